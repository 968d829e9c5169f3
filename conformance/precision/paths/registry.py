"""All paths by name, in the order of the report; `PATHS` in `base` lists the sets that they come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.errors import UsageError
from conformance.precision.model.rounding import fused
from conformance.precision.paths.base import PATHS, PathRunner, PrecisionPath


def all_paths() -> dict[str, PrecisionPath]:
    """Return every path by name, those of other packages last.

    A plug-in costs only itself: where it does not load, or takes a name that is there, it is a path that cannot run
    and says why.
    """
    found: dict[str, PrecisionPath] = {}
    for name in PATHS.names():
        built_in = name in PATHS.built_in
        for path in PATHS[name]() if built_in else _plugged_in(name, set(found)):
            found[path.name] = path
    return found


def _plugged_in(name: str, taken: set[str]) -> Iterator[PrecisionPath]:
    """Yield the paths of another package, each in a process of its own when a run isolates."""
    try:
        offered = PATHS[name]
        paths = list(offered() if callable(offered) else offered)
    except Exception as error:  # other people's code: whatever it raises is its own
        yield _broken(
            name, str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        )
        return
    for path in paths:
        if not isinstance(path, PrecisionPath):
            yield _broken(name, f"it offers {type(path).__name__}, which is no PrecisionPath")
        elif path.name in taken:
            yield _broken(name, f"it offers a path {path.name!r}, and there is one: rename it")
        else:
            taken.add(path.name)
            yield replace(path, trusted=False)


def _broken(name: str, why: str) -> PrecisionPath:
    said = f"the plug-in {name!r} cannot be used: {why}"

    def prepare(layer: object) -> PathRunner:
        raise RuntimeError(said)

    return PrecisionPath(f"plug-in {name}", "", fused("bfloat16"), prepare, lambda device, layer: said)


def select(names: list[str] | None) -> list[PrecisionPath]:
    """Return paths by name (a `*` at the end matches the rest), all of them for None.

    Raises UsageError for a name that matches nothing.
    """
    known = all_paths()
    if not names:
        return list(known.values())
    chosen: dict[str, PrecisionPath] = {}
    for name in names:
        matching = [p for p in known if p == name or (name.endswith("*") and p.startswith(name[:-1]))]
        if not matching:
            raise UsageError(f"--path {name!r} is not known: choose from {', '.join(known)}")
        chosen.update({p: known[p] for p in matching})
    return list(chosen.values())
