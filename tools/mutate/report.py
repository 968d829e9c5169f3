"""The score of the mutants as `mutation.json` and `mutation.md`, beside that of the hand-planted faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tools.mutate.score import CASES, ENOUGH, TELL_APART, Result
from tools.mutate.templates import TEMPLATES

_ABOUT = (
    "Edits made by operators on the syntax tree (`tools/mutate`), not by hand: of the reference template and of three "
    f"public ones. A mutant is distinguishable when it writes any of {CASES:,} conversations of the campaign, or of "
    f"{TELL_APART:,} others, otherwise than its original; it is run until {ENOUGH} conversations have shown it. "
    "Caught: the suite's findings differ from the original's. Named: a rule is found that the operator's place lets "
    "expect (the region of Harmony's text in which the mutant's text differs from the original's), and no other in "
    "more conversations. Clean: no other at all. Line: the line that the suite shows for the rule, the lines between "
    "which nothing was written, the condition named for it or one of the lines that decide (tried: with another answer "
    "there the text is right) lie within the block that was edited; any line: also one that printed the text on, or "
    "that the condition reads. Masked, and counted no further: wherever the mutant shows, its original already breaks "
    "a rule that names it. "
    "False alarms are counted on the mutants that no conversation can tell from their original."
)


Record = dict[str, Any]


def write_report(results: Sequence[Result], folder: Path, *, seed: int, more: bool = False) -> None:
    """Write the score into a folder; neither file holds times or machines, or a public template's text.

    Of templates that these results say nothing of, what the folder's report says stays; with `more`, all of it does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = [_mutant(result) for result in results]
    anew = {record["template"] for record in own}
    named = {(record["template"], record["name"]) for record in own}
    kept = [
        record
        for record in _known(folder, seed)
        if (record["template"], record["name"]) not in named and (more or record["template"] not in anew)
    ]
    records = sorted(kept + own, key=lambda record: _place(record["template"]))
    report = {
        "schema": "conformance-mutation/1",
        "run": {"seed": seed, "cases": CASES, "tell_apart": TELL_APART, "enough": ENOUGH},
        **_counts(records),
        "templates": {name: _counts(_of(records, name)) for name in dict.fromkeys(_templates(records))},
        "mutants": records,
    }
    text = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    (folder / "mutation.json").write_text(text + "\n", encoding="utf-8")
    (folder / "mutation.md").write_text(_markdown(records, folder), encoding="utf-8")


def scored(folder: Path, seed: int) -> set[tuple[str, str]]:
    """Return template and name of the mutants that a folder's report of this seed has."""
    return {(record["template"], record["name"]) for record in _known(folder, seed)}


def _known(folder: Path, seed: int) -> list[Record]:
    path = folder / "mutation.json"
    if not path.exists():
        return []
    known = msgspec.json.decode(path.read_bytes())
    # What was written before all of this was in it, or of another seed, cannot stand beside it.
    fit = known["run"]["seed"] == seed and all("led" in record for record in known["mutants"])
    return list(known["mutants"]) if fit else []


def _place(template: str) -> int:
    return TEMPLATES.index(template) if template in TEMPLATES else len(TEMPLATES)


def _templates(records: Sequence[Record]) -> list[str]:
    return [record["template"] for record in records]


def _of(records: Sequence[Record], template: str) -> list[Record]:
    return [record for record in records if record["template"] == template]


def _told(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["distinguishable"] and not record["masked"]]


def _counts(records: Sequence[Record]) -> dict[str, int]:
    told = _told(records)
    return {
        "tried": len(records),
        "masked": sum(record["masked"] for record in records),
        "distinguishable": len(told),
        **{
            key: sum(record[key] for record in told) for key in ("caught", "named", "clean", "located", "led")
        },
        "false_alarms": sum(record["false_alarms"] for record in records),
    }


def _mutant(result: Result) -> Record:
    return {
        "template": result.template,
        "name": result.edit.name,
        "operator": result.edit.operator,
        "line": result.edit.line,
        "block": list(result.edit.block),
        "distinguishable": result.distinguishable,
        "caught": result.caught,
        "named": result.named,
        "clean": result.clean,
        "located": result.located,
        "led": result.led,
        "masked": result.masked,
        "false_alarms": result.alarms,
        "conversations": result.conversations,
        "missed_by_campaign": result.missed_by_campaign,
        "right": dict(result.right.most_common()),
        "wrong": dict(result.wrong.most_common()),
        "expected": sorted({slug for one in result.shown for slug in one.expected}),
        "shown_lines": None if result.lines is None else list(result.lines),
        "deciding_lines": result.also,
        "led_here": result.led_here,
    }


def _markdown(records: Sequence[Record], folder: Path) -> str:
    head = "| | tried | masked | distinguishable | caught | named | clean | line | any line | false alarms |"
    lines = [
        "# Mutants",
        "",
        _ABOUT,
        "",
        _lines_shown(records),
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(name, _counts(_of(records, name))) for name in dict.fromkeys(_templates(records))]
    lines.append(_row("**all**", _counts(records)))
    planted = folder / "mutants.json"
    if planted.exists():
        known = msgspec.json.decode(planted.read_bytes())
        row = [
            known["planted"],
            "",
            known["planted"],
            known["caught"],
            known["rightly_named"],
            "",
            "",
            "",
            "",
        ]
        lines.append(f"| planted by hand ([mutants.md](mutants.md)) | {' | '.join(map(str, row))} |")
    lines += ["", head.replace("| |", "| operator |"), "|---|---|---|---|---|---|---|---|---|---|"]
    for operator in dict.fromkeys(record["operator"] for record in records):
        lines.append(_row(operator, _counts([r for r in records if r["operator"] == operator])))
    told = _told(records)
    lines += ["", "## Not caught", "", "| template | mutant | why |", "|---|---|---|"]
    for record in told:
        if not record["caught"]:
            seed = record["missed_by_campaign"]
            why = "shown by the other seed only" if seed else "the same findings as before"
            lines.append(f"| {record['template']} | {record['name']} | {why} |")
    lines += ["", "## Not rightly named", "", "| template | mutant | found | expected |", "|---|---|---|---|"]
    for record in told:
        if record["caught"] and not record["named"]:
            expected = ", ".join(f"`{slug}`" for slug in record["expected"])
            lines.append(f"| {record['template']} | {record['name']} | {_found(record)} | {expected} |")
    lines += [
        "",
        "## No line in the edited block",
        "",
        "| template | mutant | block | shown |",
        "|---|---|---|---|",
    ]
    for record in told:
        if not record["located"]:
            block, shown = (_range(record[key]) for key in ("block", "shown_lines"))
            lines.append(f"| {record['template']} | {record['name']} | {block} | {shown} |")
    return "\n".join(lines) + "\n"


def _lines_shown(records: Sequence[Record]) -> str:
    """Say how many lines a card names: where all are named, one is always right."""
    shown = [
        len({*(record["shown_lines"] or ()), *record["deciding_lines"]})
        for record in _told(records)
        if record["shown_lines"] is not None
    ]
    middle, most = (sorted(shown)[len(shown) // 2], max(shown)) if shown else (0, 0)
    return f"A card names {middle} lines in the middle of the cases, {most} at most."


def _range(lines: Sequence[int] | None) -> str:
    return "none" if lines is None else "–".join(map(str, dict.fromkeys(lines)))


def _row(name: str, counts: dict[str, int]) -> str:
    return f"| {name} | {' | '.join(str(count) for count in counts.values())} |"


def _found(record: Record) -> str:
    counts = [*record["wrong"].items(), *record["right"].items()]
    return ", ".join(f"`{slug}` {count}" for slug, count in counts) or "nothing new"
