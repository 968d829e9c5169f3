"""Renews all that is generated from something else in this repository: `python -m tools.renew`.

With `--check` nothing is written: what is stale is listed, and the exit code is 1. The score of the planted faults
takes a minute or two, so that `--check` leaves it to its own test.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from conformance.report.markdown import between
from conformance.report.visible import units
from conformance.resources import resource
from conformance.rules import catalogue
from conformance.shapes import table
from conformance.vectors.export import normalise, rendered_files
from conformance.vectors.files import default_folder
from tools import mutants, profiles_page, training_variant
from tools.example_template import example_template
from tools.mutants.report import write_report

ROOT = Path(__file__).resolve().parents[1]


def rules_table() -> str:
    """Return the Markdown table of all rules, by code."""
    rows = ["| Code | Rule | Severity | What differs |", "|---|---|---|---|"]
    rows += [
        f"| [{rule.code}](#{rule.code.lower()}-{rule.slug}) | `{rule.slug}` | {rule.severity} | {_cell(rule.what)} |"
        for rule in catalogue()
    ]
    return "\n".join(rows)


def shapes_table() -> str:
    """Return the Markdown table of all shape families, in the order of the data."""
    rows = ["| `--shape` | What a template is handed | Who does so |", "|---|---|---|"]
    for name, family in table().items():
        drawn = " (drawn by default)" if family.default else ""
        rows.append(f"| `{name}`{drawn} | {_cell(family.what)} | {_cell(family.citation)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def rules_page() -> str:
    """Return the page that says all about every rule."""
    parts = [
        "# Rules",
        "",
        "Made by `nox -s renew` from `conformance/rules/`; `conformance explain RULE` prints one.",
        "",
        "A warning is what another documented profile agrees with, or only the formatting of equal arguments.",
        "",
        rules_table(),
    ]
    family = ""
    for rule in catalogue():
        if rule.family != family:
            family = rule.family
            parts += ["", f"## {family.capitalize()}"]
        parts += ["", f"### {rule.code} {rule.slug}", "", f"{rule.what} ({rule.severity})", "", rule.why, ""]
        parts += ["```diff", f"- {_shown(rule.bad)}", f"+ {_shown(rule.good)}", "```", ""]
        parts += [f"Fix: {rule.fix}", "", f"Source: {rule.citation}"]
        if rule.setting:
            parts += ["", f"Under another value of the setting `{rule.setting}` this may be right."]
    return "\n".join(parts) + "\n"


def _shown(text: str) -> str:
    return "".join(unit.shown for unit in units(text))


def shapes_page() -> str:
    """Return the page about shapes with its table made anew."""
    text = (ROOT / "docs" / "shapes.md").read_text(encoding="utf-8")
    return between(text, "<!-- shapes: generated -->", "<!-- shapes: end -->", shapes_table())


def generated() -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Yield each generated file with what makes its content anew."""
    yield ROOT / "docs" / "shapes.md", lambda: shapes_page().encode()
    yield ROOT / "examples" / "first-template" / "chat_template.jinja", lambda: example_template().encode()
    page = ROOT / "docs" / "profiles.md"
    yield page, lambda: profiles_page.updated(page.read_text(encoding="utf-8")).encode()
    yield ROOT / "docs" / "rules.md", lambda: rules_page().encode()
    source = resource("templates", training_variant.SOURCE).read_text("utf-8")
    target = resource("templates", training_variant.TARGET)
    yield target, lambda: training_variant.training_variant(source).encode()
    folder = default_folder()
    for name, data in rendered_files(normalise(folder)).items():
        yield folder / name, lambda data=data: data  # type: ignore[misc]


def stale() -> list[Path]:
    """Return the generated files that are missing or are not as they would be made."""
    return [path for path, make in generated() if not path.is_file() or path.read_bytes() != make()]


def main() -> int:
    """Renew everything, or say what is stale."""
    options = argparse.ArgumentParser(prog="python -m tools.renew", description=__doc__)
    options.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when something is stale"
    )
    check = options.parse_args().check
    old = stale()
    for path in old:
        print(f"{path.relative_to(ROOT)} {'is stale' if check else 'renewed'}")
    if check:
        return 1 if old else 0
    made = {path: make() for path, make in generated() if path in old}
    for path, data in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    score = mutants.run()
    write_report(score, resource("reports"))
    print(f"planted faults: {score.rightly_named} of {score.planted} caught under their rule")
    return 0 if score.rightly_named == score.planted else 1


if __name__ == "__main__":
    sys.exit(main())
