"""What the model loses when a rule is broken, beside how sure we are that it is wrong: two newlines are no lost call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Impact: TypeAlias = Literal["structure", "content", "wording", "white space"]

# The gravest first: structure is role, channel, call or boundary, content is text lost, altered or repeated, wording is
# comments and types of schemas and fixed sentences.
IMPACTS: Final[tuple[Impact, ...]] = ("structure", "content", "wording", "white space")


@dataclass(frozen=True, slots=True)
class Loss:
    """What the model loses, and why in half a sentence."""

    impact: Impact
    reason: str


HEADER = Loss("structure", "a header says who speaks, in which channel and to whom")
BOUNDARY = Loss("structure", "a message begins or ends elsewhere than the model learned")
MISSING = Loss("structure", "a call or a message is missing from the conversation")
NO_PROMPT = Loss("structure", "there is no prompt at all")
STOPS = Loss("structure", "where a turn ends is not what the model learned")
UNKNOWN = Loss("structure", "nobody knows yet what differs")
LOST = Loss("content", "the model does not read what was said")
ALTERED = Loss("content", "the model reads other text than was said")
TYPE = Loss("wording", "the same tool is described in other words or signs")
FIXED = Loss("wording", "a sentence that the model always saw reads otherwise")
FORMATTING = Loss("wording", "the arguments are the same value, written otherwise")
BLANK = Loss("white space", "only blanks or newlines differ")
UNREACHED = Loss("structure", "a call of the model's answer does not reach the program")
ORDER = Loss("structure", "the conversation is told in another order")
UNSAID = Loss("structure", "its rule does not say what it costs")
