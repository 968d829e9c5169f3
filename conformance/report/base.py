"""What a report writer is, and how writers are found by the name of their format."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from conformance.errors import UsageError
from conformance.report.model import Report

if TYPE_CHECKING:
    from rich.console import Console

ENTRY_POINT_GROUP = "conformance.report_writers"

# Imported when first asked for: the JSON writer must not pay for rich.
_BUILT_IN = {
    "terminal": "conformance.report.terminal",
    "json": "conformance.report.json_file",
    "markdown": "conformance.report.github_markdown",
    "sarif": "conformance.report.sarif",
    "junit": "conformance.report.junit",
    "github": "conformance.report.github",
    "gitlab": "conformance.report.gitlab",
}


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a report goes: the folder of `--output`, the terminal, and how many failure cards to print."""

    folder: Path
    console: Console | None = None
    examples: int = 5


class Writer(Protocol):
    """Writes a report in one format."""

    def __call__(self, report: Report, output: Output, /) -> bytes | Path | None:
        """Return the report's bytes, which go to standard output or to the file that the user named.

        A writer that has its own way returns the file that it wrote into the output's folder, or None when it printed
        on the output's console. Raises UsageError with one sentence if it cannot write.
        """


_WriterT = TypeVar("_WriterT", bound=Writer)
_writers: dict[str, Writer] = {}


def register(name: str) -> Callable[[_WriterT], _WriterT]:
    """Return a decorator that adds a writer for the format `name`; a taken name is a programming error."""

    def add(writer: _WriterT) -> _WriterT:
        known = _writers.get(name)
        if known is not None and getattr(known, "__module__", None) != writer.__module__:
            raise ValueError(f"two report writers are called {name!r}")
        _writers[name] = writer
        return writer

    return add


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def formats() -> list[str]:
    """Return the names of all formats: built in, registered and from installed plug-ins."""
    return sorted({*_BUILT_IN, *_writers, *_plugins()})


def writer(name: str) -> Writer:
    """Return the writer of a format.

    Raises UsageError when there is none, or when the plug-in that offers it cannot be loaded.
    """
    if name in _writers:
        return _writers[name]
    if name in _BUILT_IN:
        importlib.import_module(_BUILT_IN[name])
        return _writers[name]
    point = _plugins().get(name)
    if point is None:
        raise UsageError(f"There is no report format {name!r}; choose from {', '.join(formats())}.")
    try:
        loaded: Writer = point.load()
    except Exception as error:  # a stranger's module may fail in any way
        raise UsageError(
            f"The report format {name!r} ({point.value}) cannot be loaded: {error}; "
            "update or uninstall the package that offers it."
        ) from error
    return register(name)(loaded)
