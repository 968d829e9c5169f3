"""The section about conformance in a model card, between two marks, so that the next one replaces it."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.markdown import cell, no_paths
from conformance.report.model import Report
from conformance.report.verdicts import judged_by, verdict

BEGIN = "<!-- conformance: begin -->"
END = "<!-- conformance: end -->"


def with_section(card: str, report: Report) -> str:
    """Return a model card with the section about a report: in place of an earlier one, else at its end."""
    section = "\n".join([BEGIN, *_section(report), END])
    begin, end = card.find(BEGIN), card.find(END)
    if 0 <= begin < end:
        return card[:begin] + section + card[end + len(END) :]
    return f"{card.rstrip()}\n\n{section}\n" if card.strip() else f"{section}\n"


def _section(report: Report) -> Iterator[str]:
    run = report.run
    yield from ("## Chat template conformance", "")
    judged = next(judged_by(report), "judged without an authority")
    tool = f"{report.tool.name} {report.tool.version}"
    yield f"{cell(judged[:1].upper() + judged[1:])}, profile `{cell(run.profile)}`, seed {run.seed}, by {tool}."
    yield from ("", "| Template | SHA-256 | Result |", "|---|---|---|")
    for target in report.targets:
        words = cell(no_paths(verdict(target, run.profile)))
        yield f"| {cell(no_paths(target.name))} | `{target.sha256[:16]}` | {words} |"
    accepted = sorted(
        {found.code for target in report.targets for found in target.divergences if found.accepted}
    )
    if accepted:
        yield from ("", f"Known and accepted: {', '.join(accepted)}.")
