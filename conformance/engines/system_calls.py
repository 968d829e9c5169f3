"""System calls that Python has no function for, through libc's `syscall` and `prctl`."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

_PR_SET_NO_NEW_PRIVS = 38


@functools.cache
def libc() -> ctypes.CDLL:
    """Return the C library with errno kept."""
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: Any) -> int:
    """Return what the system call returns, -1 when it failed (see `failed`)."""
    call = libc().syscall
    call.restype = ctypes.c_long
    result: int = call(
        ctypes.c_long(number),
        *(ctypes.c_long(value) if isinstance(value, int) else value for value in arguments),
    )
    return result


def failed(what: str) -> OSError:
    """Return the error of the call that just failed."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def no_new_privileges() -> None:
    """Give up, for good, what a set-user-ID program would add: both walls demand it.

    Raises OSError when the kernel refuses.
    """
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if libc().prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0:
        raise failed("prctl(PR_SET_NO_NEW_PRIVS)")
