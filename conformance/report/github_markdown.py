"""GitHub-flavoured Markdown: fits a job summary and a comment on a pull request, the details folded."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from conformance.report.base import Output, register
from conformance.report.cards import known_rule, of_real_use, percent, replay_command
from conformance.report.excerpt import excerpt, parting, token_excerpt
from conformance.report.issues import Issue, issues
from conformance.report.markdown import cell, conversation, escaped, no_paths
from conformance.report.model import Divergence, Report, Target
from conformance.report.verdicts import judged_by, verdict
from conformance.report.visible import inert
from conformance.rules.base import loss_of

# GitHub refuses comments of more characters; a job summary may have sixteen times as many.
LIMIT = 65_000
_WIDTH = 100
_MARKS = {"error": "❌", "warning": "⚠️", "note": "ℹ️"}


@register("markdown")
def write_markdown(report: Report, output: Output) -> bytes:
    """Return a report as Markdown of at most 65,000 characters; what strangers wrote is inert in it."""
    return markdown(report).encode("utf-8", "replace")


def markdown(report: Report, limit: int = LIMIT) -> str:
    """Return a report as Markdown; what does not fit is counted, never cut in the middle."""
    found = [*issues(report)]
    head = "\n".join(_head(report, found)) + "\n"
    room, left, parts = limit - len(head) - 100, 0, [head]
    for issue in found:
        part = "\n".join(_details(report, issue)) + "\n"
        if left or len(part) > room:
            left += 1
        else:
            parts.append(part)
            room -= len(part)
    if left:
        parts.append(f"\n{left:,} more in `report.json`.\n")
    return "".join(parts)


def _head(report: Report, found: list[Issue]) -> Iterator[str]:
    run = report.run
    judged, *gaps = [*judged_by(report)] or ["judged without an authority"]
    yield "## Chat template conformance"
    yield ""
    yield f"{cell(judged[:1].upper() + judged[1:])}, profile `{inert(run.profile)}`, seed {run.seed}."
    yield ""
    for gap in gaps:
        yield from (f"**{cell(gap)}**", "")
    if not run.complete:
        yield from (f"**Incomplete: the run ended early, after {run.cases:,} conversations.**", "")
    yield "| Template | Verdict |"
    yield "|---|---|"
    for target in report.targets[:200]:
        passes = target.verdict == "conforms" if target.passes is None else target.passes
        mark = "✅" if passes and target.verdict != "error" else "❌"
        yield f"| {mark} {cell(no_paths(target.name))} | {cell(no_paths(verdict(target, run.profile)))} |"
    for left in report.left_out[:200]:
        yield f"| ❌ {cell(no_paths(left.name))} | not judged: {cell(no_paths(left.reason))} |"
    yield ""
    listed = [issue for issue in found if issue.kind != "unjudged"]
    if listed:
        yield "| | Rule | Target | Where | Seen |"
        yield "|---|---|---|---|--:|"
    for issue in listed[:100]:
        line = f":{issue.place.line}" if issue.place.line is not None else ""
        seen = percent(issue.divergence.share) if issue.divergence is not None else ""
        mark = "accepted" if issue.accepted else _MARKS[issue.severity]
        yield (
            f"| {mark} | {escaped(issue.code)} {escaped(issue.rule)} | {escaped(issue.target)} "
            f"| {escaped(issue.place.uri)}{line} | {seen} |"
        )
    if len(listed) > 100:
        yield f"| | {len(listed) - 100:,} more | | | |"


def _details(report: Report, issue: Issue) -> Iterator[str]:
    if issue.kind == "unjudged":
        yield from ("", f"❌ **{escaped(issue.summary)}**: {escaped(issue.details)}")
        return
    mark = _MARKS[issue.severity]
    yield ""
    yield f"<details><summary>{mark} {escape(issue.code)} {escape(issue.rule)}: {escape(issue.summary)}</summary>"
    yield ""
    divergence, known = issue.divergence, known_rule(issue.rule)
    if divergence is None:
        yield escaped(issue.details)
    else:
        yield f"{conversation(divergence)}"
        yield from difference(divergence)
        if known is not None:
            yield from ("", f"**Why** {known.why}  ", f"**Fix** {known.fix}  ")
            yield f"**Source** {known.citation}  "
        target = _named(report, issue)
        if issue.impact:
            yield f"**Impact** {escaped(issue.impact)}: {loss_of(issue.rule).reason}  "
        if issue.accepted:
            yield f"**Accepted** {escaped(issue.accepted)}  "
        if target is not None:
            generated = f"{percent(divergence.share)} of {target.cases.total:,} generated conversations"
            yield f"**Seen** in {generated}{escaped(of_real_use(target, divergence))}"
        if divergence.vanishes_under:
            yield f"<br>**Accepted under** {cell(', '.join(divergence.vanishes_under))}"
        command = replay_command(divergence, divergence_target(issue, target), target)
        yield from ("", "```sh", inert(command), "```")
    yield "</details>"


def divergence_target(issue: Issue, target: Target | None) -> str:
    """Return the name under which a target's cases are replayed."""
    return target.name if target is not None else issue.target


def _named(report: Report, issue: Issue) -> Target | None:
    return next((target for target in report.targets if inert(target.name) == issue.target), None)


def difference(divergence: Divergence) -> Iterator[str]:
    """Yield both texts around the place where they part; every line begins with a mark, so that no fence can end."""
    example = divergence.example
    yield from ("", "```diff")
    if example.actual is None or example.failure is not None:
        yield f"! {inert(example.failure or 'no text', 400)}"
    elif divergence.check == "tokens":
        shown = token_excerpt(example.actual, example.actual_offset or 0, example.actual_part, _WIDTH)
        yield f"+ {shown.actual.plain}"
        yield f"  {' ' * shown.column}{shown.caret} read as a control token"
    elif example.offset is None:
        yield f"- {inert(example.expected, _WIDTH)}"
        yield f"+ {inert(example.actual, _WIDTH)}"
    else:
        where = parting(
            example.expected, example.actual, example.offset, example.actual_offset,
            example.expected_part, example.actual_part,
        )  # fmt: skip
        shown = excerpt(example.expected, example.actual, where, _WIDTH)
        yield f"- {shown.expected.plain}"
        yield f"+ {shown.actual.plain}"
        yield f"  {' ' * shown.column}{shown.caret} {shown.note}"
    yield "```"
