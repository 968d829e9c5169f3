"""What a campaign knows about a target, whatever kind it is, and what it is run with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from conformance.engines.base import Request
from conformance.engines.host import Host
from conformance.renderers.known import PREFIX
from conformance.sources import HUB_ADDRESS

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


class Target(Protocol):
    """Whatever turns a request into a prompt.

    `source` says where it is from and goes into the report as it is. `text` is the template's source, None where
    the target is no template: then no line of it can be blamed. `harmony` is the catalogue's word, None where only
    a campaign can tell.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> Any: ...  # noqa: D102
    @property
    def text(self) -> str | None: ...  # noqa: D102
    @property
    def harmony(self) -> bool | None: ...  # noqa: D102

    def reproduce(self, request: Request) -> str:
        """Return a command line that shows this request's prompt without this program, empty where none is needed."""


@dataclass(frozen=True)
class Group:
    """Targets that are judged together, by the same hosts and in the same shapes.

    `hosts` are empty for templates, whose engines the campaign starts itself. `shapes` and `date` are the target's
    own, where nothing else was asked for. `others` are the names of what was left out, where a command takes only the
    first. `close` ends what was opened.
    """

    targets: Sequence[Target]
    hosts: Mapping[str, Host] = field(default_factory=lambda: MappingProxyType({}))
    shapes: tuple[str, ...] = ()
    date: str | None = None
    close: Callable[[], None] = lambda: None
    others: Sequence[str] = ()


def is_address(target: str) -> bool:
    """Return whether a target is a server's address; a page of the Hub is none."""
    return _ADDRESS.match(target) is not None and HUB_ADDRESS.match(target) is None


def is_known(target: str) -> bool:
    """Return whether a target is `renderer:NAME`."""
    return target.startswith(PREFIX)
