"""What hatchling adds to the package's metadata: the README as PyPI can show it.

PyPI has no files beside the README. Where the repository has an address (GITHUB_REPOSITORY, which every GitHub action
knows), its links lead there, to the version's tag; elsewhere they are their text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_IMAGE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\)\n*")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


def readme(text: str, repository: str, version: str) -> str:
    """Return a README whose relative links lead to a repository, `OWNER/NAME`, or are plain text without one."""
    if not repository:
        return _LINK.sub(r"\1", _IMAGE.sub("", text))
    tag = f"v{version}"
    text = _IMAGE.sub(rf"![\1](https://raw.githubusercontent.com/{repository}/{tag}/\2)\n\n", text)
    return _LINK.sub(rf"[\1](https://github.com/{repository}/blob/{tag}/\2)", text)


class CustomMetadataHook(MetadataHookInterface):
    """Gives the package its description and, where it is known, the address of its repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the fields that pyproject.toml calls dynamic."""
        root, repository = Path(self.root), os.environ.get("GITHUB_REPOSITORY", "")
        source = (root / "conformance" / "__init__.py").read_text(encoding="utf-8")
        (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.M)
        text = (root / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": readme(text, repository, version)}
        if repository:
            address = f"https://github.com/{repository}"
            changes = f"{address}/blob/v{version}/CHANGELOG.md"
            metadata["urls"] = {"Repository": address, "Issues": f"{address}/issues", "Changelog": changes}
