"""The report as a page: one file with everything in it, for a browser, a phone or a printer, without a network.

What strangers wrote goes into the page as JSON whose angle brackets are escaped, and the page's script puts it in as
text; a content security policy allows that script and that style by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template as Page
from typing import Any

from rich.text import Text

from conformance.conversation import Assistant, Case, Instructions, ToolResult, User
from conformance.report.base import Output, register
from conformance.report.cards import handed_json, known_rule, percent, real_use, replay_command, seen_in
from conformance.report.excerpt import excerpt, parting, token_excerpt
from conformance.report.files import to_json
from conformance.report.issues import issues, repository
from conformance.report.model import Divergence, Report, Target, Token
from conformance.report.precision_page import precision_page
from conformance.report.property_card import LABELS
from conformance.report.property_card import again as own_target
from conformance.report.severities import SEVERITIES, weight
from conformance.report.verdicts import best_profile, judged_by, judged_on, not_harmony, verdict
from conformance.report.visible import MARK_STYLE, TOKEN_STYLE, inert, units
from conformance.rules.base import loss_of
from conformance.rules.impacts import IMPACTS

TRACK = "// precision.js"  # where the script of the precision track belongs
_WIDTH = 240  # cells of either text on a card
_AROUND = 3  # lines of the template shown before and after the offending one
_MOST_TEXT = 4000  # of one message in a conversation
_MOST_BYTES = 4 * 2**20
# Few fonts have the picture of a blank; and on a page a line may end where it ends.
_PICTURES = {"␠": "·", "⏎": "⏎\n"}
_SERVER = ("protocol", "version", "model", "template")  # what a server says of itself
_MOST_REFUSALS = 3
_KINDS = {TOKEN_STYLE: "token", MARK_STYLE: "mark"}


@register("html")
def write_html(report: Report, output: Output) -> bytes:
    """Return the report as one HTML file."""
    folder = files(__package__).joinpath("page")
    names = ("page.html", "style.css", "precision.js", "app.js")
    page, style, track, app = (folder.joinpath(name).read_text("utf-8") for name in names)
    script = app.replace(TRACK, track)
    data = _for_script(to_json(_data(report)).decode())
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    problems = [f"{inert(left.name)} was not judged: {inert(left.reason)}" for left in report.left_out]
    if not report.run.complete and not _only_precision(report):
        problems.insert(0, f"Incomplete: the run ended early, after {report.run.cases:,} conversations.")
    text = Page(page).substitute(
        policy=escape(policy),
        title=escape(f"Conformance: {_headline(report)}"),
        style=style,
        kicker="MoE precision against float32"
        if _only_precision(report)
        else "Chat templates against OpenAI’s Harmony",
        headline=escape(_headline(report)),
        judged=escape("; ".join(inert(line) for line in judged_by(report)) or _judged(report)),
        problems="".join(f'<p class="problem">{escape(problem)}</p>' for problem in problems),
        footer=escape(_footer(report)),
        data=data,
        script=script,
    )
    return text.encode("utf-8", "replace")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _for_script(text: str) -> str:
    """Return JSON that cannot end the element that it stands in."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _passes(target: Target) -> bool:
    if target.verdict == "error":
        return False
    return target.verdict == "conforms" if target.passes is None else target.passes


def _only_precision(report: Report) -> bool:
    return report.precision is not None and not report.targets


def _headline(report: Report) -> str:
    if _only_precision(report):
        found = precision_page(report.precision) or {}
        return str(found.get("problem") or f"Precision: {found['verdict']}")
    if not report.targets:
        return "Nothing was judged"
    if len(report.targets) == 1:
        target = report.targets[0]
        return f"{inert(target.name)} {inert(verdict(target, report.run.profile)).partition(':')[0]}"
    good = sum(map(_passes, report.targets))
    return f"{good:,} of {len(report.targets):,} targets pass"


def _judged(report: Report) -> str:
    if _only_precision(report):
        return ""
    return f"Profile {inert(report.run.profile)}, seed {report.run.seed}"


def _footer(report: Report) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in sorted(report.environment.packages.items()))
    profile = "" if _only_precision(report) else f", profile {report.run.profile}"
    tool = f"{report.tool.name} {report.tool.version}{profile}, seed {report.run.seed}"
    return inert(f"{tool}; Python {report.environment.python}; {packages}")


def _data(report: Report) -> dict[str, Any]:
    shapes = sorted({shape for target in report.targets for shape in target.shapes})
    listed = [
        (target, divergence)
        for target in report.targets
        if target.harmony
        for divergence in target.divergences
    ]
    listed.sort(key=lambda pair: (_weight(pair[1]), pair[0].name, pair[1].code))
    lines = _sources(report)
    return {
        "targets": [_target(target, report) for target in report.targets],
        "rules": list(_rules(listed)),
        "cards": [_card(target, divergence, lines.get(target.sha256, [])) for target, divergence in listed],
        "shapes": shapes,
        "matrix": list(_matrix(report, shapes)),
        "branches": [
            {
                "name": inert(target.name),
                "lines": [
                    (branch.line, inert(branch.what, 200)) for branch in target.coverage.branches_never_run
                ],
            }
            for target in report.targets
            if target.coverage.branches_never_run
        ],
        "precision": precision_page(report.precision),
    }


def _weight(divergence: Divergence) -> tuple[int, int, float, float]:
    """Return what cards are sorted by: severity, then what the model loses, then how often it is seen."""
    impacts: tuple[str, ...] = IMPACTS
    impact = impacts.index(divergence.impact) if divergence.impact in impacts else 0
    return SEVERITIES.index(divergence.severity), impact, *weight(divergence)


def _target(target: Target, report: Report) -> dict[str, Any]:
    profile, counts = report.run.profile, target.cases
    shown: dict[str, Any] = {"name": inert(target.name), "passes": _passes(target), "share": "", "lines": []}
    word, _, rest = inert(verdict(target, profile)).partition(":")
    shown["verdict"] = word if target.verdict != "error" else f"{word}:{rest}"
    if not target.harmony:
        return {**shown, "verdict": inert(not_harmony(target))}
    right = target.right_under.get(profile)
    if right is not None and counts.total:
        shown["share"], shown["width"] = percent(right), f"{right * 100:.3f}%"
        shown["meaning"] = f"of {judged_on(target)} are identical under {inert(profile)}"
        best = best_profile(target, profile)
        if best is not None and best[0] != profile and best[1] > right:
            shown["lines"].append(f"{percent(best[1])} under the best cited profile, {inert(best[0])}")
        if target.right_under_readings is not None and target.right_under_readings > right:
            shown["lines"].append(
                f"{percent(target.right_under_readings)} under some cited reading of every point"
            )
        if target.workload is not None and profile in target.workload.right_under:
            share, name = percent(target.workload.right_under[profile]), inert(target.workload.name)
            shown["lines"].append(
                f"{share} of {target.workload.cases.total:,} {real_use(name)} are identical"
            )
    told = ((counts.different, "differ"), (counts.rejected, "rejected"), (counts.crashed, "crashed"))
    if said := [f"{number:,} {word}" for number, word in told if number]:
        shown["lines"].append(" · ".join(said))
    for finding in target.findings:
        if finding.checked:
            shown["lines"].append(inert(f"{finding.code} {finding.where}: {finding.message}", 300))
    for refusal in target.refusals[:_MOST_REFUSALS]:
        shown["lines"].append(inert(f"refuses {percent(refusal.share)}: {refusal.message}", 300))
    said = [f"{name} {target.source[name]}" for name in _SERVER if target.source.get(name)]
    if said:
        shown["lines"].append(inert(" · ".join(said), 400))
    if accepted := sum(bool(found.accepted) for found in target.divergences):
        shown["lines"].append(f"{accepted} accepted by the baseline")
    engines, shapes = ", ".join(target.engines), ", ".join(target.shapes)
    shown["lines"].append(inert(f"engines {engines} · shapes {shapes}"))
    return shown


def _rules(listed: list[tuple[Target, Divergence]]) -> Iterator[dict[str, Any]]:
    by_rule: dict[str, list[tuple[Target, Divergence]]] = {}
    for target, divergence in listed:
        by_rule.setdefault(divergence.rule, []).append((target, divergence))
    for slug, pairs in by_rule.items():
        worst, known = pairs[0][1], known_rule(slug)
        yield {
            "code": inert(worst.code),
            "rule": inert(slug),
            "severity": worst.severity,
            "impact": inert(worst.impact),
            "seen": percent(max(divergence.share for _, divergence in pairs)),
            "targets": len({target.name for target, _ in pairs}),
            "what": known.what if known else "",
        }


def _card(target: Target, divergence: Divergence, lines: list[str]) -> dict[str, Any]:
    example, known = divergence.example, known_rule(divergence.rule)
    line = example.template_line
    where = [target.name, example.region, f"line {line}" if line is not None else ""]
    labels = ("one", "other") if divergence.cause else LABELS.get(divergence.check, ("Harmony", "template"))
    card: dict[str, Any] = {
        "target": inert(target.name),
        "code": inert(divergence.code),
        "rule": inert(divergence.rule),
        "severity": divergence.severity,
        "impact": inert(divergence.impact),
        "accepted": bool(divergence.accepted),
        "seen": inert(seen_in(target, divergence).removeprefix("in ")),
        "where": inert(" · ".join(part for part in where if part)),
        "engines": [inert(name) for name in divergence.engines],
        "shapes": [inert(name) for name in divergence.shapes],
        "labels": labels,
        "line": line,
        "source": _around(lines, line),
        "bubbles": list(_bubbles(example.case)),
        **_difference(divergence),
    }
    facts = [("Why", known.why), ("Fix", known.fix), ("Source", known.citation)] if known else []
    if divergence.impact:
        facts.append(("Loses", f"{inert(divergence.impact)}: {loss_of(divergence.rule).reason}"))
    for label, listed in (
        ("Accepted under", divergence.vanishes_under),
        ("Seen only with", divergence.features),
        ("The same case also shows", example.also),
        ("Engines", divergence.engines),
    ):
        if listed:
            facts.append((label, inert(", ".join(listed))))
    if example.structure:
        facts.append(("A server reads", inert("; ".join(example.structure))))
    if divergence.accepted:
        facts.append(("Accepted because", inert(divergence.accepted)))
    card["facts"] = facts
    card["handed"] = inert(handed_json(example), _MOST_TEXT) if example.handed else ""
    card["ask"] = inert(example.reproduce, _MOST_TEXT)
    card["tokens"] = [
        _token_row(labels[0], example.expected_tokens),
        _token_row(labels[1], example.actual_tokens),
    ]
    card["command"] = (
        "" if own_target(target, divergence) else inert(replay_command(divergence, target.name, target))
    )
    return card


def _token_row(label: str, tokens: list[Token]) -> tuple[str, list[tuple[int, str]]]:
    return label, [(token.id, "".join(unit.shown for unit in units(token.text))) for token in tokens]


def _difference(divergence: Divergence) -> dict[str, Any]:
    example = divergence.example
    plain: dict[str, Any] = {"failure": "", "expected": [], "actual": [], "note": ""}
    if example.actual is None or example.failure is not None:
        return {**plain, "failure": inert(example.failure or "no text", 1000)}
    if divergence.check == "tokens":
        # The characters are Harmony's; what differs is what the server makes of them.
        shown = token_excerpt(example.actual, example.actual_offset or 0, example.actual_part, _WIDTH)
        return {
            **plain,
            "actual": _segments(shown.actual),
            "note": "the marked text is read as a control token",
        }
    if example.offset is None:
        expected, actual = ([[inert(text, 1000), ""]] for text in (example.expected, example.actual))
        return {**plain, "expected": expected, "actual": actual, "note": "see the rule"}
    where = parting(
        example.expected, example.actual, example.offset, example.actual_offset,
        example.expected_part, example.actual_part,
    )  # fmt: skip
    shown = excerpt(example.expected, example.actual, where, _WIDTH)
    return {
        **plain,
        "expected": _segments(shown.expected),
        "actual": _segments(shown.actual),
        "note": f"character {example.offset:,}: {shown.note}",
    }


def _segments(text: Text) -> list[list[str]]:
    """Return styled text as pieces of one kind each."""
    kinds = [""] * len(text.plain)
    for span in text.spans:
        kind = _KINDS.get(str(span.style), "changed")
        kinds[span.start : span.end] = [kind] * (span.end - span.start)
    pieces: list[list[str]] = []
    for letter, kind in zip(text.plain, kinds, strict=True):
        shown = _PICTURES.get(letter, letter)
        if pieces and pieces[-1][1] == kind:
            pieces[-1][0] += shown
        else:
            pieces.append([shown, kind])
    return pieces


def _bubbles(case: Case) -> Iterator[tuple[str, str, str]]:
    """Yield a conversation as bubbles: who, the label above, the text."""
    for tool in case.conversation.tools:
        described = to_json(tool.parameters).decode() if tool.parameters is not None else "no parameters"
        yield "tool", f"tool {_line(tool.name)}", _line(f"{tool.description or ''} {described}".strip())
    for form in case.conversation.response_formats:
        described = f"{form.description or ''} {to_json(form.schema).decode()}".strip()
        yield "tool", f"response format {_line(form.name)}", _line(described)
    for message in case.conversation.messages:
        match message:
            case Instructions(text=text, role=role):
                yield "instructions", role, _line(text)
            case User(text=text):
                yield "user", f"user {_line(message.name or '')}".rstrip(), _line(text)
            case Assistant():
                for kind, said in (("thinking", message.thinking), ("preamble", message.preamble)):
                    if said is not None:
                        yield kind, f"assistant, {kind}", _line(said)
                for call in message.calls:
                    arguments = (
                        call.arguments
                        if isinstance(call.arguments, str)
                        else to_json(call.arguments).decode()
                    )
                    yield "call", f"assistant calls {_line(call.name)}", _line(arguments)
                if message.final is not None:
                    yield "final", "assistant", _line(message.final)
            case ToolResult(call=call):
                whose = _line(message.name or "") if call is None else f"call {call + 1}"
                yield "result", f"result of {whose}", _line(message.content)


def _line(text: str) -> str:
    """Return a text of several lines, each of them inert."""
    return "\n".join(inert(line, 1000) for line in text[:_MOST_TEXT].split("\n"))


def _sources(report: Report) -> dict[str, list[str]]:
    """Return the lines of templates that are files here and still what was judged, by their hash."""
    root = repository(Path.cwd())
    found: dict[str, list[str]] = {}
    places = {issue.target: issue.place for issue in issues(report, root)}
    for target in report.targets:
        place = places.get(inert(target.name))
        if place is None or not place.is_file:
            continue
        try:
            path = root / place.uri
            data = path.read_bytes() if path.is_file() and path.stat().st_size <= _MOST_BYTES else b""
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == target.sha256:
            found[target.sha256] = data.decode("utf-8", "replace").split("\n")
    return found


def _around(lines: list[str], line: int | None) -> list[tuple[int, str, bool]]:
    if line is None or not 0 < line <= len(lines):
        return []
    first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
    return [(number, inert(lines[number - 1], 400), number == line) for number in range(first, last + 1)]


def _matrix(report: Report, shapes: list[str]) -> Iterator[dict[str, Any]]:
    for target in report.targets:
        results = {result.name: result.right_under.get(report.run.profile) for result in target.by_engine}
        for engine in target.engines if target.harmony else ():
            right = results.get(engine, target.right_under.get(report.run.profile))
            here = [found for found in target.divergences if engine in found.engines]
            counts = [sum(shape in found.shapes for found in here) for shape in shapes]
            share = "" if right is None else percent(right)
            yield {"target": inert(target.name), "engine": inert(engine), "right": share, "counts": counts}
