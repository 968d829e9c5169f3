"""The table of attacks as a page."""

from __future__ import annotations

from collections.abc import Sequence

from tools.attacks.run import Outcome
from tools.attacks.templates import ATTACKS


def page(outcomes: Sequence[Outcome]) -> str:
    """Return reports/attacks.md: a row for each attack, a column for each engine, and what was cut."""
    engines = sorted({outcome.engine for outcome in outcomes})
    bad = [outcome for outcome in outcomes if not outcome.contained]
    worst = max(outcomes, key=lambda outcome: outcome.seconds)
    fattest = max(outcomes, key=lambda outcome: outcome.parent_mb)
    counts = sorted({outcome.cases for outcome in outcomes}, reverse=True)
    made = (
        "Made by `python -m tools.attacks --write`: `conformance check ATTACK --examples N` for each template and "
        f"engine, with the reports in JSON, Markdown, HTML and for the terminal; N is {' or '.join(map(str, counts))}."
    )
    whole = (
        f"{len(outcomes)} runs, {len(outcomes) - len(bad)} contained. The longest took {worst.seconds:.0f} s "
        f"({worst.attack}, {worst.engine}); the judging process needed at most {fattest.parent_mb} MB "
        f"({fattest.attack}, {fattest.engine}); the largest reports together "
        f"{max(outcome.report_mb for outcome in outcomes):.1f} MB."
    )
    left = len(ATTACKS) * len(engines) - len(outcomes)
    cells = f"{left} cells are empty: that attack was not run there. " if left else ""
    cells += (
        "Each cell: verdict, seconds, megabytes of the process that judges, megabytes of all its reports."
    )
    lines = ["# Attacks", "", made, "", whole, "", cells, ""]
    lines += [f"| attack | against | {' | '.join(engines)} |", f"|---|---|{'---|' * len(engines)}"]
    by_place = {(outcome.attack, outcome.engine): outcome for outcome in outcomes}
    for name, attack in ATTACKS.items():
        row = [_cell(by_place.get((name, engine))) for engine in engines]
        if any(row):
            lines.append(f"| {attack.what} (`{name}`) | {attack.stage} | {' | '.join(row)} |")
    cut = sorted({(outcome.attack, line) for outcome in outcomes for line in outcome.cut})
    if cut:
        lines += ["", "## What the reports say was cut short", ""]
        lines += [f"- `{name}`: {line}" for name, line in cut]
    if bad:
        lines += ["", "## Not contained", ""]
        lines += [f"- `{one.attack}` on {one.engine}: exit code {one.exit_code}, {one.said!r}" for one in bad]
    return "\n".join(lines) + "\n"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    mark = "" if outcome.contained else "**not contained** "
    return (
        f"{mark}{outcome.verdict} {outcome.seconds:.0f} s {outcome.parent_mb} MB {outcome.report_mb:.1f} MB"
    )
