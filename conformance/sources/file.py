"""A template in a text file: `.jinja`, `.j2`, `.txt`, or whatever the user points at."""

from __future__ import annotations

from pathlib import Path

from conformance.sources.base import (
    Provenance,
    SourceSettings,
    Template,
    make_template,
    read_bounded,
    register,
)


@register
class FileSource:
    """Any readable file that no other source claims, pipes such as `<(command)` included."""

    name = "file"

    def claims(self, target: str) -> bool:
        """Return whether there is something other than a folder under this path."""
        path = Path(target)
        return path.exists() and not path.is_dir()

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the one template of the file; raises UsageError if it is unreadable, not UTF-8 or empty."""
        path = Path(target)
        return [make_template(path.stem, read_bounded(path, target), Provenance("file", target))]
