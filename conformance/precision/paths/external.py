"""Paths that other installed packages offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from conformance.precision.model.rounding import fused
from conformance.precision.paths.base import PathRunner, PrecisionPath

ENTRY_POINTS = "conformance.precision.paths"


def external_paths(taken: set[str]) -> Iterator[PrecisionPath]:
    """Yield the paths of installed packages, each in a process of its own when a run isolates.

    A plug-in that does not load costs only itself: it is a path that cannot run.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            loaded = entry.load()
            paths = list(loaded() if callable(loaded) else loaded)
        except Exception as error:  # other people's code: whatever it raises is its own
            yield _broken(entry, f"does not load: {type(error).__name__}: {error}")
            continue
        for path in paths:
            if not isinstance(path, PrecisionPath):
                yield _broken(entry, f"offers {type(path).__name__}, which is no PrecisionPath")
            elif path.name in taken:
                yield _broken(entry, f"offers a path {path.name!r}, and there is one: rename it")
            else:
                taken.add(path.name)
                yield replace(path, trusted=False)


def _broken(entry: EntryPoint, why: str) -> PrecisionPath:
    def prepare(layer: object) -> PathRunner:
        raise RuntimeError(why)

    name = f"plug-in {entry.name}"
    said = f"the path plug-in {entry.name!r} ({entry.value}) {why}"
    return PrecisionPath(name, "", fused("bfloat16"), prepare, lambda device, layer: said)
