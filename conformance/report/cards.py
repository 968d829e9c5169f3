"""The failure card: one divergence as an author reads it, from what is wrong to how to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.errors import UsageError
from conformance.report import compact, origin_words
from conformance.report.excerpt import ACTUAL_STYLE, EXPECTED_STYLE, Excerpt, Parting, excerpt, parting
from conformance.report.files import to_json
from conformance.report.model import REALISTIC, Divergence, Example, Target
from conformance.report.property_card import LABELS, statement
from conformance.report.property_card import again as own_target
from conformance.report.visible import MARK_STYLE, Glyphs, glyphs_for, inert, inert_text
from conformance.rules import Rule, rule

SEVERITY_STYLE = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}

_UNASKED = "transformers"  # the engine of a command that names none
_LABEL = 9  # width of `template ` and `Harmony  `
_HEAD = 14  # width of `Accepted under`
_MOST_HANDED = 400  # characters of what the template was handed
_SEEN = 4  # so many names of features, engines or rules are listed
_NARROW = 60  # columns below which things stand one under the other
_TEXT_WIDTH = 100  # wider lines of prose are hard to read
# Kinds of sources that hold no template of which a line could be named.
_WITHOUT_LINES = ("server", "renderer")
_EXCERPT_WIDTH = 100


def percent(share: float) -> str:
    """Return a share from 0 to 1 as `15.2 %`; what is not quite nothing or everything never reads as it."""
    value = share * 100
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.1f}".removesuffix(".0") + " %"


def handed_json(example: Example) -> str:
    """Return the messages, tools and options that the template was handed, as one line of JSON."""
    return to_json(example.handed).decode("utf-8", "replace")


def known_rule(slug: str) -> Rule | None:
    """Return the rule, or None when the report was written by a version that had more of them."""
    try:
        return rule(slug)
    except UsageError:
        return None


def replay_command(divergence: Divergence, name: str, target: Target | None = None) -> str:
    """Return the command that shows a reported case again, quoted for a shell; `target` has this name.

    Where the target's report has the case in several shapes, or on several engines, it says in which.
    """
    example = divergence.example
    others = [] if target is None else [each.example for each in target.divergences]
    same = [other for other in others if other.case_id == example.case_id]
    shape = f" --shape {shlex.quote(example.shape)}" if len({other.shape for other in same}) > 1 else ""
    engine = f" --engine {shlex.quote(example.engine)}" if len({other.engine for other in same}) > 1 else ""
    return f"conformance replay {shlex.quote(example.case_id)} --target {shlex.quote(name)}{shape}{engine}"


def card(console: Console, target: Target, divergence: Divergence) -> RenderableType:
    """Return the failure card of one divergence, made for the console's width and encoding.

    Whatever a template or a conversation wrote is shown inert.
    """
    glyphs = glyphs_for(console)
    width = max(console.width - 2, 20)
    example = divergence.example
    parts: list[RenderableType] = [
        _headline(target, divergence, width, glyphs),
        Padding(_place(example, glyphs), (0, 0, 0, 2)),
    ]
    if compact.is_small(example.case):
        parts += ["", _conversation(example, width, glyphs)]
    kind = target.source.get("kind")
    wrote = kind if kind in _WITHOUT_LINES else "template"
    labels = (
        ("one", "other")
        if divergence.check == "engines"
        else LABELS.get(divergence.check, ("Harmony", wrote))
    )
    if divergence.check == "tokens" and example.failure is None:
        shown = _control_token(example, width - 2, glyphs)
    else:
        shown = _difference(example, width - 2, glyphs, labels)
    parts += ["", Padding(shown, (0, 0, 0, 4)), ""]
    parts.append(Padding(_explanation(target, divergence, width, glyphs), (0, 0, 0, 2)))
    # Never broken into lines, so that it can be pasted: a long one is wrapped by the terminal itself.
    again = Text("  ", no_wrap=True, overflow="ignore").append("Reproduce with ", "bold")
    location = own_target(target, divergence)
    command = (
        replay_command(divergence, target.name, target)
        if location is None
        else f"conformance check {_any(divergence)}{shlex.quote(location)}{_engine(divergence)}"
    )
    parts.append(again.append(inert(command, glyphs=glyphs), "cyan"))
    if example.reproduce:
        asked = Text("  ", no_wrap=True, overflow="ignore").append("Or ask         ", "bold")
        parts.append(asked.append(inert(example.reproduce, glyphs=glyphs), "cyan"))
    return Group(*parts)


def _any(divergence: Divergence) -> str:
    # What training would learn of a gpt-oss template is asked with the oracle's conversations.
    return "" if divergence.check == "mask" else "--any "


def _engine(divergence: Divergence) -> str:
    """Return the option for the engine that showed it, unless it is the one that is asked unasked."""
    return "" if divergence.example.engine == _UNASKED else f" --engine {divergence.example.engine}"


def _headline(target: Target, divergence: Divergence, width: int, glyphs: Glyphs) -> Table:
    left = Text(no_wrap=True, overflow="ellipsis" if not glyphs.ascii_only else "crop")
    note = divergence.severity == "note"
    left.append(f"{glyphs.dot if note else glyphs.bad} ", SEVERITY_STYLE[divergence.severity])
    left.append(f"{inert(divergence.code, glyphs=glyphs)} {inert(divergence.rule, glyphs=glyphs)}", "bold")
    middle = inert_text(target.name, max(width // 3, 12), glyphs=glyphs)
    place = origin_words.headline(divergence.example)
    if place is not None:
        middle.append(f" {place}", "bold")
    elif (
        divergence.example.minimal
        and divergence.example.actual is not None
        and not note
        and target.source.get("kind") not in _WITHOUT_LINES
    ):
        # Lines are traced on shrunk cases only; on others there is nothing to say yet.
        middle.append(" line not traced", MARK_STYLE)
    table = Table.grid(padding=(0, 2), expand=False)
    table.width = min(width, _TEXT_WIDTH)
    if width < _NARROW:
        # Nothing is cut: what the rule is called matters more than how many lines it takes.
        left.no_wrap, left.overflow = False, "fold"
        for words in (left, middle, Text(_weight(divergence, glyphs), SEVERITY_STYLE[divergence.severity])):
            table.add_row(words)
        return table
    table.add_column(ratio=1, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_row(left, middle, Text(_weight(divergence, glyphs), SEVERITY_STYLE[divergence.severity]))
    return table


def _weight(divergence: Divergence, glyphs: Glyphs) -> str:
    """Return severity and impact: how sure it is that this is wrong, and what the model loses."""
    impact = inert(divergence.impact, glyphs=glyphs)
    return f"{divergence.severity}{f' {glyphs.dot} {impact}' if impact else ''}"


def _place(example: Example, glyphs: Glyphs) -> Text:
    dot = f" {glyphs.dot} "
    size = compact.size(example.case)
    text = Text("case ")
    text.append(inert(example.case_id, glyphs=glyphs), "bold")
    text.append(f"{dot}shrunk to {size}" if example.minimal else f"{dot}smallest found: {size}")
    if example.region:
        text.append(dot + inert(example.region, glyphs=glyphs))
    if example.message_index is not None:
        text.append(f"{dot}message {example.message_index + 1}")
    return text


def _conversation(example: Example, width: int, glyphs: Glyphs) -> RenderableType:
    """Return the conversation, one line a message, cut where the terminal ends."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style=MARK_STYLE, no_wrap=True)
    table.add_column(no_wrap=True)
    for label, text in compact.lines(example.case):
        table.add_row(label, inert_text(text, min(width, _TEXT_WIDTH) - 15, glyphs=glyphs))
    if not table.row_count:
        table.add_row("", Text("(an empty conversation)", MARK_STYLE))
    return Padding(table, (0, 0, 0, 4))


def _difference(example: Example, width: int, glyphs: Glyphs, labels: tuple[str, str]) -> RenderableType:
    if example.actual is None or example.failure is not None:
        failure = inert(example.failure or "no text", _MOST_HANDED, glyphs=glyphs)
        return Text.assemble(("template", ACTUAL_STYLE), " ", failure)
    if example.offset is None and example.expected != example.actual:
        room = min(max(width - _LABEL - 2, 24), _EXCERPT_WIDTH)
        return statement(example, labels, room, glyphs, _LABEL)
    if example.offset is None:
        return Text("the texts are equal; see what the rule says", MARK_STYLE)
    where = parting(
        example.expected,
        example.actual,
        example.offset,
        example.actual_offset,
        example.expected_part,
        example.actual_part,
    )
    room = min(max(width - _LABEL - 2, 24), _EXCERPT_WIDTH)
    shown = excerpt(example.expected, example.actual, where, room, glyphs)
    one, other = (label.ljust(_LABEL) for label in labels)
    return Group(
        Text.assemble((one, EXPECTED_STYLE), shown.expected),
        Text.assemble((other, ACTUAL_STYLE), shown.actual),
        _caret(shown, f"character {example.offset:,}: {shown.note}", width),
    )


def _control_token(example: Example, width: int, glyphs: Glyphs) -> RenderableType:
    """Return the template's line with the text that a server reads as a token, or as other tokens than Harmony."""
    actual, at = example.actual or "", example.actual_offset or 0
    # A text that was injected is nothing that Harmony's prompt has; other tokens are of the same text.
    told = "becomes a control token"
    if example.expected_part:
        told = f"token {_token(example.actual_part, glyphs)}, Harmony's is {_token(example.expected_part, glyphs)}"
    end = min(at + max(len(example.actual_part), 1), len(actual))
    where = Parting((at, at), (at, end))
    room = min(max(width - _LABEL - 2, 24), _EXCERPT_WIDTH)
    shown = excerpt(actual[:at] + actual[end:], actual, where, room, glyphs)
    line = Text.assemble(("template".ljust(_LABEL), ACTUAL_STYLE), shown.actual)
    return Group(line, _caret(shown, f"character {at:,}: {told}", width))


def _token(text: str, glyphs: Glyphs) -> str:
    return f"`{inert(text, 24, glyphs=glyphs)}`"


def _caret(shown: Excerpt, told: str, width: int) -> Text:
    caret = Text(" " * (_LABEL + shown.column), no_wrap=True)
    if _LABEL + shown.column + len(shown.caret) + 1 + len(told) <= width:
        return caret.append(shown.caret, ACTUAL_STYLE).append(f" {told}")
    # No room to the right of the caret: the words end where it stands.
    return Text(f"{told} ".rjust(_LABEL + shown.column), no_wrap=True).append("^", ACTUAL_STYLE)


def _explanation(target: Target, divergence: Divergence, width: int, glyphs: Glyphs) -> Table:
    """Return what is to say about a divergence: labels beside the words, on a narrow terminal above them."""
    narrow = width < _NARROW
    table = Table.grid(padding=(0, 1))
    table.width = min(width - 2, _TEXT_WIDTH)
    if not narrow:
        table.add_column(width=_HEAD, style="bold")
    table.add_column(ratio=1, overflow="fold")
    for label, words in _facts(target, divergence, glyphs):
        if narrow:
            table.add_row(Text(label, "bold"))
        table.add_row(*([words] if narrow else [label, words]))
    return table


def _facts(target: Target, divergence: Divergence, glyphs: Glyphs) -> Iterator[tuple[str, Text]]:
    known, example = known_rule(divergence.rule), divergence.example
    if known is not None:
        yield "Why", Text(glyphs.plain(known.why))
        yield "Spec", Text(glyphs.plain(known.citation))
        fix = inert(divergence.fix, glyphs=glyphs) if divergence.fix else glyphs.plain(known.fix)
        yield "Try", Text(fix)
    if example.structure:
        yield "A model reads", Text("\n".join(inert(words, glyphs=glyphs) for words in example.structure))
    if (source := origin_words.sentence(example)) is not None:
        yield "Comes from", Text(source)
    yield "Frequency", _seen(target, divergence, glyphs)
    if divergence.readings or divergence.vanishes_under:
        yield "Accepted under", Text("\n".join(_readings(divergence, glyphs)))
    if example.also:
        yield "Also shows", Text(names(example.also, glyphs))
    if example.handed and compact.is_small(example.case):
        handed = inert(handed_json(example), _MOST_HANDED, glyphs=glyphs)
        yield "Handed over", Text.assemble((f"as {inert(example.shape, glyphs=glyphs)}: ", "dim"), handed)


def _readings(divergence: Divergence, glyphs: Glyphs) -> Iterator[str]:
    """Yield the readings under which a divergence is none, each with who reads it so, and the profiles with them."""
    for reading in divergence.readings[:_SEEN]:
        yield f"{reading}: {glyphs.plain(reading.citation)}"
    if divergence.vanishes_under:
        noun = "profile" if len(divergence.vanishes_under) == 1 else "profiles"
        yield f"{noun} {names(divergence.vanishes_under, glyphs)}"


def real_use(name: str) -> str:
    """Return what the conversations of a workload are called behind their number, such as "realistic ones"."""
    return "realistic ones" if name == REALISTIC else f"in {name}"


def seen_in(target: Target, divergence: Divergence) -> str:
    """Say in how many of the generated conversations a divergence is seen, and of those of real use."""
    generated = f"{percent(divergence.share)} of {target.cases.total:,} generated conversations"
    return f"in {generated}{of_real_use(target, divergence)}"


def of_real_use(target: Target, divergence: Divergence) -> str:
    """Return in how many conversations of real use a divergence is seen, as what follows the others; else nothing."""
    if target.workload is None or divergence.workload_share is None:
        return ""
    used = target.workload
    return f", {percent(divergence.workload_share)} of {used.cases.total:,} {real_use(used.name)}"


def _seen(target: Target, divergence: Divergence, glyphs: Glyphs) -> Text:
    dot = f" {glyphs.dot} "
    text = Text(f"{percent(divergence.share)} of {compact.plural(target.cases.total, 'conversation')}")
    if used := of_real_use(target, divergence):
        text.append(inert(used, glyphs=glyphs))
    if divergence.engines:
        text.append(f"{dot}engine{'s'[: len(divergence.engines) > 1]} {names(divergence.engines, glyphs)}")
    if divergence.features:
        text.append(f"{dot}seen only with {names(divergence.features, glyphs)}")
    if shapes := divergence.needs_shapes:
        text.append(f"{dot}only in shape{'s'[: len(shapes) > 1]} {names(shapes, glyphs)}")
    return text


def names(listed: Sequence[str], glyphs: Glyphs, most: int = _SEEN) -> str:
    """Return names in one inert line, the first few and how many more there are."""
    shown = ", ".join(inert(name, 60, glyphs=glyphs) for name in listed[:most])
    return shown + (f" (+{len(listed) - most} more)" if len(listed) > most else "")
