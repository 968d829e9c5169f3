"""The published comparison of renderers, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from conformance.report.cards import percent
from conformance.report.files import to_json
from conformance.report.markdown import case_cell, cell, excerpt_cell
from conformance.report.model import Reading, Target

SCHEMA: Final = "conformance-renderers/1"
SHOWN = 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One renderer: what it is, how long it takes, and its target of the campaign's report.

    `start_s` is the time to its first answer, `prompt_ms` the median of the others; `packages` are those installed
    with it that take part in the prompt. `target` is None where it could not be asked: then `error` says why.
    """

    name: str
    what: str
    home: str
    package: str
    packages: list[str]
    start_s: float = 0.0
    prompt_ms: float = 0.0
    target: Target | None = None
    error: str = ""


class Renderers(msgspec.Struct, frozen=True, kw_only=True):
    """Renderers judged on the same conversations; `complete` is False when the run was interrupted."""

    authority: str
    seed: int
    cases: int
    rows: list[Row]
    complete: bool = True


def page_json(found: Renderers) -> bytes:
    """Return the comparison as indented JSON in UTF-8."""
    return msgspec.json.format(to_json({"schema": SCHEMA, **msgspec.to_builtins(found)}), indent=2) + b"\n"


def page_markdown(found: Renderers) -> str:
    """Return the comparison as Markdown; whatever a conversation holds is inert in it."""
    return "\n".join(_markdown(found)) + "\n"


def best(target: Target) -> tuple[str, float]:
    """Return the profile under which most conversations are right, the default where none is better, and its share."""
    name = max(target.right_under, key=lambda profile: target.right_under[profile])
    return name, target.right_under[name]


def readings(target: Target) -> list[Reading]:
    """Return the cited readings that explain a divergence everywhere, each once."""
    found = {str(reading): reading for each in target.divergences for reading in each.readings}
    return [found[name] for name in sorted(found)]


def _markdown(found: Renderers) -> Iterator[str]:
    yield "# Renderers without a template of their own, against Harmony"
    yield ""
    yield (
        f"Each was given the same {found.cases:,} generated conversations (seed {found.seed}) and compared with "
        f"{cell(found.authority)}, text and tokens. `conformance renderers report` makes this page, "
        "`conformance check renderer:NAME` shows one in full. Shares are of the conversations that a renderer did not "
        "refuse: what its adapter declares that it cannot be told, or what it refuses itself. These are stress "
        "conversations, not traffic. The best profile is one whole reading of the format; under cited readings, every "
        "contested point may be read as somebody is known to read it."
    )
    if not found.complete:
        yield from ("", "**Incomplete: the run was ended early.**")
    yield ""
    heads = [
        "Renderer",
        "Package",
        "Judged",
        "Refused",
        "Right",
        "Best profile",
        "Under cited readings",
        "First answer",
        "A prompt",
    ]
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|--:|--:|--:|---|--:|--:|--:|"
    for row in found.rows:
        yield _row(row)
    for row in found.rows:
        yield from ("", f"## {cell(row.name)}", "", f"{cell(row.what)} ({cell(row.home)}).")
        if row.packages:
            yield f"Installed: {cell(', '.join(row.packages))}."
        yield from [f"Not judged: {cell(row.error)}."] if row.target is None else _details(row.target)


def _row(row: Row) -> str:
    target = row.target
    if target is None:
        return f"| {cell(row.name)} | {cell(row.package)} | could not be asked | | | | | | |"
    cases = target.cases
    name, share = best(target)
    cells = [
        cell(row.name),
        cell(row.package),
        f"{cases.total:,}",
        percent(cases.refused / (cases.total + cases.refused)) if cases.refused else "none",
        percent(target.right_under.get("harmony", 0.0)),
        f"{name} {percent(share)}",
        "" if target.right_under_readings is None else percent(target.right_under_readings),
        f"{row.start_s:.1f} s",
        f"{row.prompt_ms:.1f} ms",
    ]
    return f"| {' | '.join(cells)} |"


def _details(target: Target) -> Iterator[str]:
    if read := readings(target):
        yield from ("", "Its readings of contested points:", "")
        for reading in read:
            yield f"- `{reading}` ({cell(reading.citation)})"
    if target.refusals:
        yield from ("", "Refused:", "")
        for refusal in target.refusals:
            yield f"- {percent(refusal.share)}: {cell(refusal.cause)}"
    wrong = [each for each in target.divergences if each.severity == "error"]
    if not wrong:
        yield from ("", "Nothing else differs.")
        return
    more = f"; {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    yield from ("", f"The first of what no reading explains{more}:", "")
    yield "| Rule | Share | Harmony | Renderer | Smallest conversation |"
    yield "|---|--:|---|---|---|"
    for each in wrong[:SHOWN]:
        example = each.example
        actual = example.failure if example.actual is None else example.actual_part
        cells = [
            f"{each.code} {cell(each.rule)}",
            percent(each.share),
            excerpt_cell(example.expected_part),
            excerpt_cell(actual or ""),
            case_cell(example.case),
        ]
        yield f"| {' | '.join(cells)} |"
