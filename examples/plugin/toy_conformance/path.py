"""A precision path: the plain loop in float16, under another name."""

from collections.abc import Iterator
from dataclasses import replace

from conformance.precision.paths.base import PrecisionPath
from conformance.precision.paths.torch_loop import paths as loops


def paths() -> Iterator[PrecisionPath]:
    """Yield the paths of this package."""
    first = next(path for path in loops() if path.dtype == "float16")
    yield replace(first, name="toy-loop", claim="an example")
