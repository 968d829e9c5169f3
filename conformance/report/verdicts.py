"""A target's verdict in words: one headline, and the lines of detail below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from conformance.report.cards import SEVERITY_STYLE, percent, real_use
from conformance.report.compact import plural
from conformance.report.model import Branch, Report, Run, Target, found_in
from conformance.report.visible import Glyphs, inert

VERDICT_STYLE = {"conforms": "bold green", "diverges": "bold red", "error": "bold magenta"}

_REFUSALS = 5
_BRANCHES = 10  # so many branches that never ran are listed


def best_profile(target: Target, default: str) -> tuple[str, float] | None:
    """Return the profile under which most conversations are right, the default one where it is as good."""
    shares = target.right_under
    if not shares:
        return None
    name = max(sorted(shares), key=lambda profile: (shares[profile], profile == default))
    return name, shares[name]


def judged_on(target: Target) -> str:
    """Return what a target was judged on and how much of it: logged requests, or conversations made to stress it."""
    logged = target.shapes == ["as-sent"]
    return plural(target.cases.total, "logged request" if logged else "generated stress conversation")


def not_harmony(target: Target) -> str:
    """Say in one line why a target that is not meant to write Harmony got no list of rules."""
    if target.error:
        return f"not Harmony: {target.error}"
    right = max(target.right_under.values(), default=0.0)
    share = "none" if right == 0 else percent(right)
    return f"not Harmony: {share} of {plural(target.cases.total, 'conversation')} identical under any profile"


def verdict(target: Target, default: str) -> str:
    """Return the verdict in words; what strangers wrote in it is not inert yet."""
    wrong = sum(finding.severity != "note" for finding in target.findings)
    words = _template_verdict(target, default)
    # Right prompts are of no use to a model whose tokenizer reads them as something else.
    return (
        f"{words}, but {plural(wrong, 'package finding')}"
        if wrong and words.startswith("conforms")
        else words
    )


def _template_verdict(target: Target, default: str) -> str:
    never_ran = sum(not branch.operand for branch in target.coverage.branches_never_run)
    if target.verdict == "error":
        return f"error: {target.error or 'it could not be judged'}"
    if not target.harmony:
        return f"{not_harmony(target)}; `conformance check --any` tries what holds for any template"
    if target.cases.total == 0:
        # Should be an error already; a run that judged nothing must not read like a pass.
        return "error: no conversation was judged"
    if target.verdict == "conforms":
        words = "conforms"
        if target.divergences:
            # Nothing worse than notes, or it would not conform.
            words += f", with {plural(len(target.divergences), 'note')}"
        if never_ran:
            words += f", {plural(never_ran, 'branch').replace('branchs', 'branches')} never ran"
        return words
    right = target.right_under.get(default)
    best = best_profile(target, default)
    cases = judged_on(target)
    if right is None:
        return f"diverges: {target.cases.equal:,} of {plural(target.cases.total, 'conversation')} right"
    words = f"diverges: {target.cases.equal:,} of {cases} are identical ({percent(right)})"
    if best is not None and best[0] != default and best[1] > right:
        words += f", {percent(best[1])} under {best[0]}"
    read = target.right_under_readings
    if read is not None and best is not None and read > max(right, best[1]):
        words += f", {percent(read)} under cited readings"
    used = target.workload
    if used is not None and default in used.right_under:
        words += f"; {percent(used.right_under[default])} of {used.cases.total:,} {real_use(used.name)}"
    return words


def headline(target: Target, default: str, glyphs: Glyphs) -> Table:
    """Return the verdict line of a target; what does not fit is indented below it."""
    words = inert(verdict(target, default), glyphs=glyphs)
    style = VERDICT_STYLE[target.verdict]
    if words.startswith("error"):
        style = VERDICT_STYLE["error"]
    conforms = words.startswith("conforms")
    passes = conforms if target.passes is None else target.passes and not words.startswith("error")
    mark = glyphs.good if passes else glyphs.bad
    # The mark is the gate's and goes with the exit code; where the verdict says otherwise, both are said.
    if passes and not conforms:
        words, style = f"passes this gate, {words}", "bold yellow"
    elif conforms and not passes:
        words, style = f"fails this gate, {words}", "bold red"
    word, colon, rest = words.partition(":")
    line = Table.grid(padding=(0, 1))
    line.add_row(
        Text(mark, style),
        Text.assemble((inert(target.name, glyphs=glyphs), "bold"), "  ", (word, style), colon, rest),
    )
    return line


def judged_by(report: Report) -> Iterator[str]:
    """Yield who judged, and on how many conversations that gave no answer, or one that we cannot explain.

    What strangers wrote in it is not inert yet. Nothing where nothing was compared with an authority.
    """
    authority, run = report.authority, report.run
    if authority is None:
        return
    # What it renders is the same on every platform; the hash of its file is in report.json.
    yield f"judged by {authority}, which renders {authority.renders[:12]}"
    for reason, count in sorted(run.unanswered.items(), key=lambda item: (-item[1], item[0])):
        yield f"no answer on {plural(count, 'conversation')}, which judged nobody: {reason}"
    if run.layout_failures:
        yield (
            f"on {plural(run.layout_failures, 'conversation')} of {run.cases:,} the authority writes otherwise than "
            "our layout of its text: judged all the same, but differences there are placed by message, not by region; "
            "report this with the authority's version"
        )


def never(branch: Branch, glyphs: Glyphs) -> str:
    """Return what is said of a branch that no conversation took."""
    return f"never {'came to ' if branch.operand else 'ran: '}{inert(branch.what, 80, glyphs=glyphs)}"


def details(target: Target, run: Run, glyphs: Glyphs) -> Iterator[Text]:
    """Yield what stands below a verdict: findings, counts, coverage, branches that never ran, other names."""
    dot = f" {glyphs.dot} "
    counts = target.cases
    if target.error and target.verdict != "error" and target.harmony:
        yield Text(inert(target.error, glyphs=glyphs), "bold red")
    for cut in target.cut:
        yield Text(f"cut short: {inert(cut, 300, glyphs=glyphs)}", "yellow")
    yield from _findings(target, glyphs)
    yield from _asked(target.source, glyphs)
    for refusal in target.refusals[:_REFUSALS]:
        message = inert(refusal.message, 160, glyphs=glyphs)
        yield Text.assemble((f"refused {percent(refusal.share)}", "yellow"), f"  {message}")
    if len(target.refusals) > _REFUSALS:
        yield Text(f"(+{len(target.refusals) - _REFUSALS} more reasons; report.json lists all)", "dim")
    if counts.total and target.harmony:
        said = [
            f"{number:,} {word}"
            for number, word in (
                (counts.equal, "equal"),
                (counts.different, "different"),
                (counts.rejected, "rejected"),
                (counts.crashed, "crashed"),
            )
            if number or word in ("equal", "different")
        ]
        line = dot.join(said)
        if counts.inexpressible:
            line += f"; {counts.inexpressible:,} cannot be sent in the shape drawn (not counted)"
        if counts.refused:
            line += f"; {counts.refused:,} refused, though Harmony renders them (not counted)"
        if target.unclassified_share:
            line += f"; {percent(target.unclassified_share)} unclassified"
        yield Text(line)
        if target.coverage.features:
            yield Text(_coverage(target, dot))
        if target.coverage.missing_features and target.verdict == "conforms":
            missing = inert(", ".join(target.coverage.missing_features), glyphs=glyphs)
            yield Text(f"features never drawn: {missing}", "yellow")
        engines, shapes = (
            inert(", ".join(listed), glyphs=glyphs) for listed in (target.engines, target.shapes)
        )
        where = [f"engines {engines}"] * bool(engines) + [f"shapes {shapes}"] * bool(shapes)
        yield Text(dot.join([*where, f"seed {run.seed}"]), "dim")
    never_ran = target.coverage.branches_never_run
    for branch in never_ran[:_BRANCHES]:
        yield Text(f"line {branch.line} {never(branch, glyphs)}", "yellow")
    if len(never_ran) > _BRANCHES:
        yield Text(f"(+{len(never_ran) - _BRANCHES} more; report.json lists all)", "dim")
    yield from _hidden(target, glyphs)
    accepted = sum(bool(found.accepted) for found in found_in(target))
    if accepted:
        yield Text(f"{plural(accepted, 'rule')} accepted by the baseline", "dim")
    if target.ignored:
        yield Text(f"not looked at: {inert(', '.join(target.ignored), 200, glyphs=glyphs)}", "dim")
    if target.aliases:
        yield Text(f"the same text: {inert(', '.join(target.aliases), glyphs=glyphs)}")


def _hidden(target: Target, glyphs: Glyphs) -> Iterator[Text]:
    """Yield where the output may hang on something that the campaign saw one outcome of only."""
    hidden = [decision for decision in target.coverage.decisions if decision.hidden]
    if hidden:
        lines = ", ".join(str(line) for line in sorted({decision.line for decision in hidden})[:_BRANCHES])
        more = ", …" if len({decision.line for decision in hidden}) > _BRANCHES else ""
        on = sorted({label for decision in hidden for label in decision.hangs_on})
        yield Text(
            f"{plural(len(hidden), 'decision')} on {inert(', '.join(on), glyphs=glyphs)} seen one way only, in line "
            f"{lines}{more}: what the other way writes was not judged; `conformance audit` lists them",
            "yellow",
        )


def _asked(source: dict[str, Any], glyphs: Glyphs) -> Iterator[Text]:
    """Yield what a server says of itself: protocol, version, model, and whose template it uses."""
    said = [
        f"{name} {source[name]}" for name in ("protocol", "version", "model", "template") if source.get(name)
    ]
    if said:
        yield Text(inert(", ".join(said), 400, glyphs=glyphs))


def _findings(target: Target, glyphs: Glyphs) -> Iterator[Text]:
    """Yield what is wrong in the package around the template, and what was not checked."""
    for finding in target.findings:
        message, where = (inert(text, 400, glyphs=glyphs) for text in (finding.message, finding.where))
        if finding.checked:
            mark = f"{glyphs.bad} {inert(finding.code, glyphs=glyphs)} {inert(finding.rule, glyphs=glyphs)}"
            # Errors need no word; a colour alone would not tell the others from them.
            mark += "" if finding.severity == "error" else f" ({finding.severity})"
            yield Text.assemble((mark, SEVERITY_STYLE[finding.severity]), f"  {where}: {message}")
        else:
            rule = inert(finding.rule, glyphs=glyphs)
            yield Text(f"{rule} {message}", "yellow")


def _coverage(target: Target, dot: str) -> str:
    coverage = target.coverage
    said = [f"{percent(coverage.features)} of features", f"{percent(coverage.pairs)} of their pairs"]
    if coverage.template_branches is not None:
        said.append(f"{percent(coverage.template_branches)} of template branches")
    return "covered " + dot.join(said)
