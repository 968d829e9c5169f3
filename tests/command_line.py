"""What a command line run in this process ended with and wrote; the fixture `run` of all tests runs one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Result(NamedTuple):
    """What a command ended with and wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]
