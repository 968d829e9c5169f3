"""Landlock: this process and its children can touch only the files named, reach no port, and signal nobody outside.

The kernel's own interface, called through ctypes, since no kept Python package wraps it; numbers are those of
`linux/landlock.h` (ABI 1 to 7). Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from conformance.engines.system_calls import failed, no_new_privileges, system_call

# The same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_QUERY_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# How many rights on files each ABI knows: handling all means that what no rule grants is denied.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16, 6: 16, 7: 16}
TCP_ABI, SCOPE_ABI = 4, 6
_ALL_TCP = 0b11  # bind, connect
_ALL_SCOPES = 0b11  # abstract Unix sockets, signals


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """Return the version of Landlock that this kernel offers, 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(system_call(_CREATE_RULESET, None, 0, _QUERY_VERSION), 0)


def restrict(readable: Iterable[Path], executable: Iterable[Path] = ()) -> None:
    """Deny this process, for good, all files but those below the paths given, and every TCP port.

    `readable` may be read and listed, `executable` read and started; nothing may be written, made, renamed or
    removed, except what is written to /dev/null. Paths that do not exist are passed over. Raises OSError when the
    kernel refuses.
    """
    version = abi()
    known = _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]
    ruleset = _Ruleset(
        (1 << known) - 1,
        _ALL_TCP if version >= TCP_ABI else 0,
        _ALL_SCOPES if version >= SCOPE_ABI else 0,
    )
    # Older kernels refuse a structure that is longer than theirs and not zero behind it.
    size = 8 if version < TCP_ABI else 16 if version < SCOPE_ABI else 24
    rules = system_call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    if rules < 0:
        raise failed("landlock_create_ruleset")
    try:
        for path in readable:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        for path in executable:
            _allow(rules, path, _READ_FILE | _EXECUTE)
        _allow(rules, Path(os.devnull), _READ_FILE | _WRITE_FILE)
        no_new_privileges()
        if system_call(_RESTRICT_SELF, rules, 0) < 0:
            raise failed("landlock_restrict_self")
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= ~_READ_DIR  # a right that the kernel refuses on a file
        rule = _PathBeneath(rights, descriptor)
        if system_call(_ADD_RULE, rules, _RULE_PATH_BENEATH, ctypes.byref(rule), 0) < 0:
            raise failed("landlock_add_rule")
    finally:
        os.close(descriptor)
