"""All paths, in the order of the report; adding one is one file with a `paths()` and a line here."""

from __future__ import annotations

from conformance.errors import UsageError
from conformance.precision.paths import (
    dequant_matmul,
    native_mx,
    policies,
    torch_loop,
    transformers_experts,
    triton_mx,
)
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.paths.external import external_paths

BUILT_IN = (torch_loop, transformers_experts, triton_mx, dequant_matmul, native_mx, policies)


def all_paths() -> dict[str, PrecisionPath]:
    """Return every path by name, those of other packages last.

    A plug-in that does not load, or takes a name that is there, is a path that cannot run and says why.
    """
    found = {path.name: path for module in BUILT_IN for path in module.paths()}
    for path in external_paths(set(found)):
        found[path.name] = path
    return found


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
