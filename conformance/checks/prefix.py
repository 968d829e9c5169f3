"""The prompt of N messages is the beginning of the prompt of N+1; what may legally be dropped is said here.

Compared are prompts without generation prompt, cut where a turn ends: after a user message, after a final
answer, after all results of a step. Two things are told apart from an unstable text:

- *Thinking of earlier turns* may be dropped, together with the markup around it and also where it was
  empty: a stretch that the longer prompt lacks, that holds no other text that was sent and that has the
  thinking, or a word for it (think, thought, reason, analysis), in it. This is legal and not reported.
- *What follows the last text* may differ, unless tools are offered there: an end-of-turn token that only
  the last message has (or has in another form, `<|return|>` for `<|end|>`) is `end-unstable`; a generation
  prompt that was written although nobody asked for it is `generation-prompt-uninvited`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from conformance.checks.base import Finding, register
from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.checks.words import TOOL_KINDS, text_end, words
from conformance.compare.base import parting
from conformance.conversation import Assistant, Instructions, ToolResult, User
from conformance.rules.base import Slug
from conformance.rules.properties import END_UNSTABLE, GENERATION_PROMPT_UNINVITED, PREFIX_UNSTABLE

_THOUGHT = re.compile(r"think|thought|reason|analysis", re.IGNORECASE)
# So many characters have to agree again behind a dropped thought, or all that is left.
_AGAIN = 24


@register("prefix")
def prefix(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each prompt that the prompt of the next turn does not begin with."""
    if probe.manner is not None:
        return
    ends = list(_turn_ends(probe))
    for shorter, longer in pairwise(ends):
        before, after = probe.first(shorter), probe.first(longer)
        text = bench.text(before, generation=False)
        whole = bench.text(after, generation=False)
        if text is None or whole is None or whole.startswith(text):
            continue
        kept, place, other = without_dropped(text, whole, before)
        if kept:
            continue
        rule, what = _rule(bench, before, text, place)
        if rule == PREFIX_UNSTABLE.slug and isinstance(after.messages[-2], Instructions):
            what = "what stands before later instructions"
        yield Finding(
            rule,
            after,
            what,
            expected=text,
            actual=whole,
            offset=place,
            actual_offset=other,
            message=shorter - 1,
        )
        return


def _turn_ends(probe: Probe) -> Iterator[int]:
    messages = probe.messages
    for count, message in enumerate(messages, 1):
        following = messages[count] if count < len(messages) else None
        match message:
            case Assistant():
                ends = not message.calls
            case ToolResult():
                ends = not isinstance(following, ToolResult)
            case _:
                ends = isinstance(message, User)
        if ends:
            yield count


def without_dropped(text: str, whole: str, probe: Probe) -> tuple[bool, int, int]:
    """Say whether `whole` begins with `text` but for dropped thinking, and where they part if not."""
    others = [word.text for word in words(probe.case.conversation) if word.kind != "thinking"]
    at = place = parting(text, whole)
    while place < len(text):
        again = _again(text, place, whole, at)
        if again is None:
            return False, place, at
        # The same deletion can be read with its ends moved: look at the widest reading.
        first, last = place, again
        while first and last > first and text[first - 1] == text[last - 1]:
            first, last = first - 1, last - 1
        dropped = text[first:again]
        if not _THOUGHT.search(dropped) or any(other in text[place:again] for other in others):
            return False, place, at
        step = parting(text[again:], whole[at:])
        place, at = again + step, at + step
    return True, place, at


def _again(text: str, place: int, whole: str, at: int) -> int | None:
    """Return where `text` goes on as `whole` does at `at`, behind a stretch that was dropped."""
    for start in range(place + 1, len(text)):
        rest = text[start : start + _AGAIN]
        if whole.startswith(rest, at) and (len(rest) == _AGAIN or rest.strip()):
            return start
    return None


def _rule(bench: Bench, before: Probe, text: str, place: int) -> tuple[Slug, str]:
    """Return the rule for prompts that part at `place`, and what differs."""
    conversation = before.case.conversation
    if place < text_end(text, conversation):
        return PREFIX_UNSTABLE.slug, "text of earlier messages"
    # A tool's name may stand behind its result; the rest of a tool is written where tools are offered.
    offered = (w.text for w in words(conversation) if w.kind in TOOL_KINDS and w.kind != "tool name")
    if any(word in text[place:] for word in offered):
        return PREFIX_UNSTABLE.slug, "tools behind the last message"
    if isinstance(before.messages[-1], Assistant) and "add_generation_prompt" not in bench.mentions:
        return GENERATION_PROMPT_UNINVITED.slug, "what follows the last answer"
    return END_UNSTABLE.slug, "what follows the last message"
