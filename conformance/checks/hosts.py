"""The workers that checks render in: one an engine, and one for assistant masks that starts when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from conformance.engines import EngineHost
from conformance.engines.base import Limits
from conformance.engines.host import Host
from conformance.template.mask_engine import MaskEngine


@contextmanager
def open_hosts(engines: Sequence[str], limits: Limits) -> Iterator[tuple[dict[str, Host], Host]]:
    """Give a host for each engine, and the mask engine's; all end with the block.

    Raises UsageError for an engine that does not exist.
    """
    with ExitStack() as stack:
        hosts: dict[str, Host] = {
            name: stack.enter_context(EngineHost(name, limits=limits)) for name in engines
        }
        # Not entered: it starts with its first request, which most templates never make.
        masks = EngineHost(MaskEngine, limits=limits, relatives=hosts.values())
        stack.callback(masks.close)
        yield hosts, masks
