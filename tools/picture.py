"""Makes the picture in the README: `python -m tools.picture` writes docs/images/report.svg, a real report.

It is the terminal's report on the template of `examples/first-template`, as `conformance check --cards 1` prints it.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.report.model import Report
from conformance.report.terminal import TerminalWriter
from conformance.sources import resolve

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "report.svg"
TEMPLATE = "examples/first-template/chat_template.jinja"
_WIDTH = 104


def picture(report: Report) -> str:
    """Return a report's terminal output as an SVG image that asks nobody for a font."""
    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    TerminalWriter(console, examples=1).write(report)
    svg = console.export_svg(title=f"conformance check {TEMPLATE}", theme=MONOKAI, unique_id="report")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    return re.sub(r"Fira Code", "ui-monospace, DejaVu Sans Mono, Menlo, Consolas", svg)


def main() -> int:
    """Judge the example and write the picture."""
    options = argparse.ArgumentParser(prog="python -m tools.picture", description=__doc__)
    options.add_argument("--examples", type=int, default=2000, help="conversations")
    chosen = options.parse_args()
    (template,) = resolve(str(ROOT / TEMPLATE))
    report = check([template], Settings(cases=chosen.examples))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(report), encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
