"""The score of the mutants as `mutation.json` and `mutation.md`, beside that of the hand-planted faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tools.mutate.score import CASES, ENOUGH, TELL_APART, Result

_ABOUT = (
    "Edits made by operators on the syntax tree (`tools/mutate`), not by hand: of the reference template and of three "
    f"public ones. A mutant is distinguishable when it writes any of {CASES:,} conversations of the campaign, or of "
    f"{TELL_APART:,} others, otherwise than its original; it is run until {ENOUGH} conversations have shown it. "
    "Caught: the suite's findings differ from the original's. Named: a rule is found that the operator's place lets "
    "expect (the region of Harmony's text in which the mutant's text differs from the original's), and no other in "
    "more conversations. Clean: no other at all. Line: the line that the suite shows for the rule, the lines between "
    "which nothing was written, or the condition named for it lie within the block that was edited; any line: also one "
    "that printed the text on, or that the condition reads. Masked, and counted no further: wherever the mutant shows, "
    "its original already breaks a rule that names it. "
    "False alarms are counted on the mutants that no conversation can tell from their original."
)


def write_report(results: Sequence[Result], folder: Path, *, seed: int) -> None:
    """Write the score into a folder; neither file holds times or machines, or a public template's text."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "schema": "conformance-mutation/1",
        "run": {"seed": seed, "cases": CASES, "tell_apart": TELL_APART, "enough": ENOUGH},
        **_counts(results),
        "templates": {
            name: _counts(_of(results, name)) for name in dict.fromkeys(r.template for r in results)
        },
        "mutants": [_mutant(result) for result in results],
    }
    text = msgspec.json.format(msgspec.json.encode(record), indent=1).decode()
    (folder / "mutation.json").write_text(text + "\n", encoding="utf-8")
    (folder / "mutation.md").write_text(_markdown(results, folder), encoding="utf-8")


def _of(results: Sequence[Result], template: str) -> list[Result]:
    return [result for result in results if result.template == template]


def _told(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.distinguishable and not result.masked]


def _counts(results: Sequence[Result]) -> dict[str, int]:
    told = _told(results)
    return {
        "tried": len(results),
        "masked": sum(result.masked for result in results),
        "distinguishable": len(told),
        "caught": sum(result.caught for result in told),
        "named": sum(result.named for result in told),
        "clean": sum(result.clean for result in told),
        "located": sum(result.located for result in told),
        "led": sum(result.led for result in told),
        "false_alarms": sum(result.alarms for result in results),
    }


def _mutant(result: Result) -> dict[str, Any]:
    return {
        "template": result.template,
        "name": result.edit.name,
        "operator": result.edit.operator,
        "line": result.edit.line,
        "block": result.edit.block,
        "distinguishable": result.distinguishable,
        "caught": result.caught,
        "named": result.named,
        "located": result.located,
        "masked": result.masked,
        "conversations": result.conversations,
        "right": dict(result.right.most_common()),
        "wrong": dict(result.wrong.most_common()),
        "expected": sorted({slug for one in result.shown for slug in one.expected}),
        "shown_lines": result.lines,
        "condition_lines": result.also,
        "led_here": result.led_here,
    }


def _markdown(results: Sequence[Result], folder: Path) -> str:
    head = "| | tried | masked | distinguishable | caught | named | clean | line | any line | false alarms |"
    lines = ["# Mutants", "", _ABOUT, "", head, "|---|---|---|---|---|---|---|---|---|---|"]
    templates = list(dict.fromkeys(result.template for result in results))
    for name in templates:
        lines.append(_row(name, _counts(_of(results, name))))
    lines.append(_row("**all**", _counts(results)))
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
    for operator in dict.fromkeys(result.edit.operator for result in results):
        lines.append(_row(operator, _counts([r for r in results if r.edit.operator == operator])))
    told = _told(results)
    lines += ["", "## Not caught", "", "| template | mutant | why |", "|---|---|---|"]
    for result in told:
        if not result.caught:
            why = (
                "shown by the other seed only" if result.missed_by_campaign else "the same findings as before"
            )
            lines.append(f"| {result.template} | {result.edit.name} | {why} |")
    lines += ["", "## Not rightly named", "", "| template | mutant | found | expected |", "|---|---|---|---|"]
    for result in told:
        if result.caught and not result.named:
            expected = ", ".join(
                f"`{slug}`" for slug in sorted({s for one in result.shown for s in one.expected})
            )
            lines.append(f"| {result.template} | {result.edit.name} | {_found(result)} | {expected} |")
    lines += [
        "",
        "## No line in the edited block",
        "",
        "| template | mutant | block | shown |",
        "|---|---|---|---|",
    ]
    for result in told:
        if not result.located:
            shown = "none" if result.lines is None else "–".join(map(str, dict.fromkeys(result.lines)))
            block = "–".join(map(str, dict.fromkeys(result.edit.block)))
            lines.append(f"| {result.template} | {result.edit.name} | {block} | {shown} |")
    return "\n".join(lines) + "\n"


def _row(name: str, counts: dict[str, int]) -> str:
    return f"| {name} | {' | '.join(str(count) for count in counts.values())} |"


def _found(result: Result) -> str:
    counts = [*result.wrong.most_common(), *result.right.most_common()]
    return ", ".join(f"`{slug}` {count}" for slug, count in counts) or "nothing new"
