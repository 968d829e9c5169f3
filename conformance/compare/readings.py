"""Which cited readings of the format explain a divergence: under one of them alone its rule would not be there.

Rendering every case under every reading would cost more than the campaign. So a reading is asked only where a rule
that it can explain was found, where the case has what it decides, and where what it would write stands in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, product

from conformance.compare.align import Pair, align
from conformance.compare.base import Found, Named
from conformance.conversation import Assistant, Case, Instructions, ToolResult, User
from conformance.oracles.base import Rendering
from conformance.oracles.departures import has_exponent
from conformance.oracles.opening import Shared, takes_nothing
from conformance.oracles.plan import plan
from conformance.oracles.profile import Profile, Reading, setting_citations
from conformance.rules import calls, messages, system
from conformance.rules.base import Rule, Slug
from conformance.rules.tool_definitions import (
    ARRAY_ITEMS,
    DEFAULT_LITERAL,
    EMPTY_PARAMETERS,
    ENUM_VALUES,
    NESTED_OBJECT,
    ONE_OF_LAYOUT,
    TYPE_UNION,
)

_DEFAULTS = (
    DEFAULT_LITERAL,
    ONE_OF_LAYOUT,
    ARRAY_ITEMS,
    NESTED_OBJECT,
    TYPE_UNION,
    ENUM_VALUES,
)
_EXPLAINS: dict[str, tuple[Rule, ...]] = {
    "recipient": (calls.RECIPIENT_PLACEMENT,),
    "result_recipient": (calls.RESULT_AUTHOR,),
    "content_type": (calls.CONTENT_TYPE_MARKER,),
    "later_instructions": (
        messages.TEXT_ALTERED,
        messages.ROLE_HEADER,
        messages.MESSAGE_DROPPED,
        messages.MESSAGE_ADDED,
        system.INSTRUCTIONS_ALTERED,
        system.EMPTY_INSTRUCTIONS,
    ),
    "empty_instructions": (system.EMPTY_INSTRUCTIONS, system.SECTION_ORDER),
    "no_arguments": (EMPTY_PARAMETERS,),
    "thinking_inference": (messages.THINKING_RETENTION,),
    "thinking_training": (messages.THINKING_RETENTION,),
    "preamble_channel": (calls.PREAMBLE_CHANNEL, messages.MESSAGE_DROPPED),
    "preamble_place": (
        messages.MESSAGE_MOVED,
        messages.MESSAGE_ADDED,
        messages.MESSAGE_DROPPED,
        messages.THINKING_RETENTION,
        messages.THINKING_DROPPED,
        calls.PREAMBLE_CHANNEL,
    ),
    "exponents": _DEFAULTS,
    "arguments_json": (calls.ARGUMENTS_FORMATTING,),
    "builtin_content_type": (calls.CONTENT_TYPE_MARKER,),
    "user_name": (messages.ROLE_HEADER,),
    "response_formats": (system.RESPONSE_FORMATS,),
}
_SETTINGS: dict[Slug, tuple[str, ...]] = {
    rule.slug: tuple(setting for setting, rules in _EXPLAINS.items() if rule in rules)
    for rules in _EXPLAINS.values()
    for rule in rules
}
# What stands in every text that follows a reading, where the reading decides anything.
_SIGNS: dict[Reading, str] = {
    ("recipient", "channel"): "<|channel|>commentary to=",
    ("result_recipient", "channel"): "<|channel|>commentary to=assistant<|message|>",
    ("content_type", "constrain"): "<|constrain|>json<|message|>",
    ("content_type", "constrain-spaced"): "<|constrain|> json<|message|>",
    ("no_arguments", "none"): " = () => any;",
    ("exponents", "1e+20"): "e+",
    ("builtin_content_type", "constrain"): "<|constrain|>code<|message|>",
}
# Settings that change the developer message or what stands around it.
_OF_DEVELOPER = frozenset(
    {"later_instructions", "empty_instructions", "no_arguments", "exponents", "response_formats"}
)
# Settings that change the text of every case in which they are contested.
DECISIVE = frozenset({"recipient", "content_type", "user_name", "response_formats"})
# So many combinations of explaining readings are tried for one case.
_MOST = 24

Naming = Callable[[Case, list[Pair], Profile, Shared], Iterable[Named]]


def contested(case: Case, expected: Rendering) -> frozenset[str]:
    """Return the settings that can decide anything in a case; `expected` is its rendering under any profile."""
    settings: set[str] = set()
    retention = "thinking_training" if case.options.mode == "training" else "thinking_inference"
    for number, message in enumerate(case.conversation.messages):
        if isinstance(message, Assistant):
            if message.thinking:
                settings.add(retention)
            if message.preamble:
                # As analysis, a preamble is kept and dropped like thinking.
                settings |= {"preamble_channel", retention}
                if message.thinking:
                    settings.add("preamble_place")
            if any(call.builtin for call in message.calls):
                # Their channel is analysis, too.
                settings |= {"builtin_content_type", "arguments_json", retention}
            if not all(call.builtin for call in message.calls):
                settings |= {"content_type", "arguments_json", "recipient"}
        elif isinstance(message, User):
            if message.name is not None:
                settings.add("user_name")
        elif isinstance(message, ToolResult):
            if message.builtin:
                settings.add(retention)
            settings.add("result_recipient")
        elif isinstance(message, Instructions):
            if number:
                settings.add("later_instructions")
            if not message.text:
                settings.add("empty_instructions")
    if case.conversation.response_formats:
        settings.add("response_formats")
    if any(takes_nothing(tool) for tool in case.conversation.tools):
        settings.add("no_arguments")
    if any(block.kind == "developer" and has_exponent(block) for block in expected.blocks[:2]):
        settings.add("exponents")
    return frozenset(settings)


def explain(
    case: Case,
    expected: Rendering,
    actual: str,
    profile: Profile,
    found: Sequence[Found],
    naming: Naming,
    shared: Shared,
) -> None:
    """Write into each divergence which readings explain it; `naming` names what differs between aligned messages.

    `shared` is what was written of the case under other profiles.
    """
    here = {one.rule for one in found}
    wanted = here & _SETTINGS.keys()
    if not wanted or not expected.exact_spans:
        return
    possible = contested(case, expected)
    explained: dict[Slug, list[Reading]] = {}
    for setting, rules in _EXPLAINS.items():
        slugs = {rule.slug for rule in rules} & wanted
        if not slugs or setting not in possible:
            continue
        for value in setting_citations()[setting]:
            if value == getattr(profile, setting):
                continue
            if _SIGNS.get((setting, value), "") not in actual:
                continue
            other = profile.with_setting(**{setting: value})
            left = _left(case, expected, actual, other, setting, naming, shared)
            # What only changes the name of the difference does not explain it.
            if left is None or not left <= here:
                continue
            for slug in slugs - left:
                explained.setdefault(slug, []).append((setting, value))
    for one in found:
        one.readings = tuple(explained.get(one.rule, ()))


def _left(
    case: Case,
    expected: Rendering,
    actual: str,
    other: Profile,
    setting: str,
    naming: Naming,
    shared: Shared,
) -> set[Slug] | None:
    """Return the rules that are left under another profile; None where it cannot be what the template follows."""
    same = (
        []
        if setting in _OF_DEVELOPER
        else [b for b in expected.blocks[:2] if b.kind in ("system", "developer")]
    )
    made = plan(case, other, shared)
    own = [block for block in made.written if not same or block.kind not in ("system", "developer")]
    if [block.text for block in own] == [block.text for block in expected.blocks[len(same) :]]:
        return None  # this reading changes nothing here
    shift = len(same) - (len(made.written) - len(own))
    dropped = [(position + shift, block) for position, block in made.dropped]
    rendering = Rendering("", [], [*same, *own], dropped)
    rendering.text = "".join([block.text for block in rendering.blocks])
    if rendering.text == actual:
        return set()
    pairs = align(rendering, actual)
    # The developer message that both share can only show what it showed before.
    ids = {id(block) for block in same}
    pairs = [pair for pair in pairs if id(pair.block) not in ids]
    return {rule.slug for rule, _ in naming(case, pairs, other, shared)}


def combinations(profile: Profile, found: Sequence[Found]) -> Iterator[Profile]:
    """Yield the profiles that read one case otherwise in just what was found; none where something is unexplained."""
    if not all(one.readings for one in found):
        return
    values: dict[str, dict[str, None]] = {}
    for one in found:
        for setting, value in one.readings:
            values.setdefault(setting, {})[value] = None
    choices = [[(setting, value) for value in (*given, None)] for setting, given in values.items()]
    for chosen in islice(product(*choices), _MOST):
        yield profile.with_setting(**{setting: value for setting, value in chosen if value is not None})
