"""Prints what CHANGELOG.md says about a version: `python -m tools.release_notes 0.2.0`; exit code 1 where it is silent.

A release workflow calls it with the tag's version, so that no version is published without its section.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from conformance import __version__

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def notes(text: str, version: str) -> str | None:
    """Return the section of a changelog about a version, None where there is none or it is empty."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}\n(.*?)(?=^## \[|\Z)", text, re.M | re.S)
    said = found[1].strip() if found else ""
    return said or None


def main() -> int:
    """Print a version's section, or say what is missing."""
    options = argparse.ArgumentParser(prog="python -m tools.release_notes", description=__doc__)
    options.add_argument("version", help="the version, as in the tag without its v")
    version = options.parse_args().version
    if version != __version__:
        print(
            f"The package has version {__version__}, not {version}; change conformance/__init__.py.",
            file=sys.stderr,
        )
        return 1
    said = notes(CHANGELOG.read_text(encoding="utf-8"), version)
    if said is None:
        print(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`; write it.", file=sys.stderr)
        return 1
    print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
