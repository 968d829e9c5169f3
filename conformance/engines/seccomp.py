"""Seccomp: system calls that no template needs end in EPERM, for this process and its children.

A classic BPF program over `struct seccomp_data`, as in the kernel's documentation; numbers are those of the
kernel's tables for x86-64 and arm64. It is a list of what is denied, not of what is allowed: engines are Python,
WebAssembly and node, whose memory and thread calls change with every version, while what reaches other processes,
sockets and devices is known. Files are Landlock's part; here stand the calls on files that Landlock leaves open
(owner, mode, times, attributes).
Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

from conformance.engines.system_calls import failed, libc, no_new_privileges

# name: (x86-64, arm64); None where that architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # the network; a session talks over a socket that it was born with
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200), "listen": (50, 201),
    "accept4": (288, 242),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "kcmp": (312, 272), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "perf_event_open": (298, 241),
    # what passes by this filter
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # owner, mode, times and attributes of files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "open_by_handle_at": (304, 265), "mknod": (133, None), "mknodat": (259, 33),
    # the system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "move_mount": (429, 429), "open_tree": (428, 428),
    "fsopen": (430, 430), "mount_setattr": (442, 442),
    "bpf": (321, 280), "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "acct": (163, 89), "syslog": (103, 116), "quotactl": (179, 60),
    # memory and queues shared with other processes of the user
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
# For engines that start no program of their own.
_STARTING: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
}  # fmt: skip
# Allowed towards the process itself only: the first argument must be its number (or 0 for prlimit64).
_SELF_ONLY: dict[str, tuple[int, int]] = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}
_PRLIMIT = (302, 261)
_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD = 0x00010000

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000  # x86-64's other table of calls: numbers from here on

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_PR_SET_SECCOMP, _MODE_FILTER, _PR_GET_SECCOMP = 22, 2, 21


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def available() -> bool:
    """Return whether this kernel and architecture can filter system calls."""
    return (
        sys.platform.startswith("linux")
        and platform.machine() in _ARCHITECTURES
        and libc().prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    )


def restrict(*, starts_programs: bool) -> None:
    """Deny the calls listed above, for good; `starts_programs` leaves fork and exec open.

    Threads stay possible. Raises OSError when the kernel refuses.
    """
    program = _program(starts_programs=starts_programs)
    instructions = (_Instruction * len(program))(*program)
    no_new_privileges()
    filtered = _Program(len(program), instructions)
    if libc().prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filtered), 0, 0) != 0:
        raise failed("prctl(PR_SET_SECCOMP)")


def _program(*, starts_programs: bool) -> list[_Instruction]:
    column, architecture = _ARCHITECTURES[platform.machine()]
    deny = _Instruction(_RETURN, 0, 0, _ERRNO | errno.EPERM)
    program = [
        _Instruction(_LOAD, 0, 0, _ARCHITECTURE),
        _Instruction(_EQUAL, 1, 0, architecture),
        _Instruction(_RETURN, 0, 0, _KILL),
        _Instruction(_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:
        program += [_Instruction(_AT_LEAST, 0, 1, _X32), deny]
    for numbers in (_DENIED if starts_programs else _DENIED | _STARTING).values():
        if (number := numbers[column]) is not None:
            program += [_Instruction(_EQUAL, 0, 1, number), deny]
    own = os.getpid()
    if not starts_programs:  # else it must end its children, and Landlock alone keeps signals inside
        for signalling in _SELF_ONLY.values():
            program += _first_argument_among(signalling[column], [own], deny)
    program += _first_argument_among(_PRLIMIT[column], [0, own], deny)
    if not starts_programs:
        # clone3's flags lie in memory, where no filter looks: without it libc falls back on clone.
        no_clone3 = _Instruction(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
        program += [_Instruction(_EQUAL, 0, 1, _CLONE3[column]), no_clone3]
        program += [
            _Instruction(_EQUAL, 0, 3, _CLONE[column]),
            _Instruction(_LOAD, 0, 0, _FIRST_ARGUMENT),
            _Instruction(_ANY_BIT, 1, 0, _CLONE_THREAD),
            deny,
            _Instruction(_LOAD, 0, 0, _NUMBER),
        ]
    return [*program, _Instruction(_RETURN, 0, 0, _ALLOW)]


def _first_argument_among(number: int, allowed: list[int], deny: _Instruction) -> list[_Instruction]:
    """Return instructions that deny the call unless its first argument (its lower 32 bits) is one of those."""
    count = len(allowed)
    tests = [_Instruction(_EQUAL, count - position, 0, value) for position, value in enumerate(allowed)]
    return [
        _Instruction(_EQUAL, 0, count + 3, number),
        _Instruction(_LOAD, 0, 0, _FIRST_ARGUMENT),
        *tests,
        deny,
        _Instruction(_LOAD, 0, 0, _NUMBER),
    ]
