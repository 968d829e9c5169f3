"""The score of the planted faults as `mutants.json` and `mutants.md`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from tools.mutants import ENOUGH, NOT_PLANTED, Outcome, Score, size

_ABOUT = (
    "Each fault is an edit of `templates/gpt-oss.jinja` (`fixtures/mutants/`), run on up to {score.cases:,} generated "
    "conversations (seed {score.seed}, engine {score.engine}), no further than the window in which {enough} have "
    "shown it. Caught: any conversation differs. Rightly named: the rule meant is found, and no other in more of "
    "them (the fault's declared companions aside). The smallest case is what shrinking left of a conversation: "
    "messages, tools, characters of free text."
)


def write_report(score: Score, folder: Path) -> None:
    """Write the score as `mutants.json` and `mutants.md` into a folder; neither holds times or machines."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(_record(score)), indent=1).decode()
    (folder / "mutants.json").write_text(text + "\n", encoding="utf-8")
    (folder / "mutants.md").write_text(_markdown(score), encoding="utf-8")


def _record(score: Score) -> dict[str, Any]:
    return {
        "schema": "conformance-mutants/1",
        "run": {"seed": score.seed, "cases": score.cases, "engine": score.engine, "enough": ENOUGH},
        "planted": score.planted,
        "caught": score.caught,
        "rightly_named": score.rightly_named,
        "not_planted": NOT_PLANTED,
        "mutants": [_mutant_record(outcome) for outcome in score.outcomes],
    }


def _mutant_record(outcome: Outcome) -> dict[str, Any]:
    mutant, small = outcome.mutant, outcome.shrunk
    return {
        "name": mutant.name,
        "rule": mutant.rule,
        "kind": mutant.kind,
        "why": mutant.why,
        "caught": outcome.caught,
        "rightly_named": outcome.rightly_named,
        "cases": outcome.cases,
        "found": outcome.found,
        "smallest": None
        if small is None
        else {"case": small.case, "shape": small.shape.name, **asdict(size(small.case))},
    }


def _markdown(score: Score) -> str:
    lines = [
        "# Planted faults",
        "",
        f"Caught: **{score.caught} of {score.planted}**. Rightly named: **{score.rightly_named} of {score.planted}**.",
        "",
        _ABOUT.format(score=score, enough=ENOUGH),
        "",
        "| rule | obvious | subtle |",
        "|---|---|---|",
    ]
    for slug, kinds in score.rules.items():
        cells = [f"{sum(o.rightly_named for o in found)} of {len(found)}" for found in kinds.values()]
        lines.append(f"| `{slug}` | {' | '.join(cells)} |")
    lines += ["", "Rules that no fault was planted for:", ""]
    lines += [f"- `{slug}`: {reason}" for slug, reason in NOT_PLANTED.items()]
    lines += [
        "",
        "| fault | rule meant | found in conversations | of | smallest case |",
        "|---|---|---|---|---|",
    ]
    for outcome in score.outcomes:
        found = ", ".join(f"`{slug}` {count}" for slug, count in outcome.found.items()) or "not caught"
        small = "not shrunk"
        if outcome.shrunk is not None:
            measured = size(outcome.shrunk.case)
            small = f"{measured.messages} / {measured.tools} / {measured.text}"
        lines.append(
            f"| {outcome.mutant.name} | `{outcome.mutant.rule}` | {found} | {outcome.cases} | {small} |"
        )
    return "\n".join(lines) + "\n"
