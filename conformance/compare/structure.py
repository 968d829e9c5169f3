"""Compare prompts as the model reads them: the tokens parsed back by Harmony's own parser, message by message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from conformance.compare.align import Pair
from conformance.compare.tokens import (
    MESSAGE,
    START,
    Ordinary,
    control_tokens,
    server_tokens,
    special_ids,
)
from conformance.oracles.base import Rendering
from conformance.oracles.library import OracleRefusedError
from conformance.oracles.load import tokenizer

_ENDS = ("<|end|>", "<|call|>", "<|return|>")
_CONSTRAIN, _CHANNEL = "<|constrain|>", "<|channel|>"
_TOOLS = "# Tools\n\n"
_INSTRUCTIONS = "# Instructions\n\n"
_MOST, _QUOTED = 8, 40
# A prompt of more messages is not compared with the oracle's few: only what is hostile gets there.
_MOST_MESSAGES = 1_000


@dataclass(slots=True)
class Parsed:
    """One message as the model reads it; `refused` is why Harmony's parser does not take its header.

    `content` is what DeepDiff compares: the text, or of a developer message instructions and tools apart. `end` is
    the token that ends the message, empty where none does. `start` counts the prompt's `<|start|>` before its own.
    """

    header: dict[str, str]
    content: dict[str, str]
    end: str
    refused: str = ""
    start: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """What the message is called in a sentence: its role and channel."""
        return " ".join(part for part in (self.header["role"], self.header["channel"]) if part)

    @property
    def said(self) -> str:
        """All its text."""
        return "".join(self.content.values())

    def values(self, *, whole: bool = False) -> dict[str, str]:
        """Return all that is compared, in the order in which it is told; `whole` leaves the text in one piece."""
        return {**self.header, **({"content": self.said} if whole else self.content), "end": self.end}


@dataclass(slots=True)
class Prompt:
    """A prompt taken apart: messages, text between them (after how many), and the header that it leaves open."""

    messages: list[Parsed] = field(default_factory=list)
    stray: list[tuple[int, str]] = field(default_factory=list)
    opened: str | None = None


def parse(tokens: Sequence[int]) -> Prompt:
    """Take tokens apart as Harmony's parser does, and go on where it stops.

    The parser is asked for one message at a time. Where it refuses a header, that is kept in `refused` and the header
    read by what is sure: the first word, ` to=`, the word after `<|channel|>`, what follows. `<|constrain|> json`,
    which Harmony documents and its parser refuses, reads as `<|constrain|>json`.
    """
    special = special_ids()
    ends = {special[end]: end for end in _ENDS}
    prompt = Prompt()
    at = passed = 0
    while at < len(tokens):
        start = _find(tokens, special[START], at)
        if start > at:
            prompt.stray.append((len(prompt.messages), tokenizer().decode(list(tokens[at:start]))))
        message = next(
            (i for i in range(start + 1, len(tokens)) if tokens[i] == special[MESSAGE] or tokens[i] in ends),
            len(tokens),
        )
        if message == len(tokens):
            if start < len(tokens):
                prompt.opened = tokenizer().decode(list(tokens[start + 1 :]))
            break
        if tokens[message] in ends:
            # A header that ends before its text: the parser goes back to where a message starts.
            prompt.stray.append((len(prompt.messages), tokenizer().decode(list(tokens[start : message + 1]))))
            passed += tokens[start:message].count(special[START])
            at = message + 1
            continue
        stop = next((i for i in range(message + 1, len(tokens)) if tokens[i] in ends), len(tokens))
        end = ends[tokens[stop]] if stop < len(tokens) else ""
        found = _message(tokens[start:message], tokens[message + 1 : stop], end)
        found.start = passed
        prompt.messages.append(found)
        passed += tokens[start:stop].count(special[START])
        at = stop + 1
    return prompt


def _find(tokens: Sequence[int], token: int, at: int) -> int:
    try:
        return tokens.index(token, at)
    except ValueError:
        return len(tokens)


def _message(header: Sequence[int], content: Sequence[int], end: str) -> Parsed:
    special, harmony = special_ids(), tokenizer()
    told = harmony.decode(list(header))
    read = told.replace(f"{_CONSTRAIN} ", _CONSTRAIN)
    refused = ""
    try:
        # The header alone: no text can be refused, and the parser would decode it once more.
        (found,) = harmony.parse([*harmony.encode(read), special[MESSAGE], special["<|end|>"]])
        fields = {
            "role": found.role,
            "name": found.name or "",
            "channel": found.channel or "",
            "recipient": found.recipient or "",
            "content type": found.content_type or "",
        }
    except (OracleRefusedError, ValueError) as error:  # refused, or read as no or as several messages
        refused = str(error)
        fields = _header(read.removeprefix(START))
    text = harmony.decode(list(content))
    return Parsed(fields, _content(fields["role"], text), end, refused)


def _header(text: str) -> dict[str, str]:
    """Read a header that Harmony's parser refuses, as far as it is sure."""
    before, _, after = text.partition(_CHANNEL)
    words = before.split()
    later = after.replace(_CONSTRAIN, f" {_CONSTRAIN}").split()
    recipients = [word.removeprefix("to=") for word in (*words[1:], *later[1:]) if word.startswith("to=")]
    rest = [word for word in later[1:] if not word.startswith("to=")]
    role = words[0] if words else ""
    tool = role.startswith("functions.")
    return {
        "role": "tool" if tool else role,
        "name": role if tool else "",
        "channel": later[0] if later else "",
        "recipient": recipients[0] if recipients else "",
        "content type": " ".join(rest),
    }


def _content(role: str, text: str) -> dict[str, str]:
    """Return what a message says; the parser gives a developer message as one text, here it is two."""
    if role != "developer":
        return {"content": text}
    if text.startswith(_TOOLS):
        return {"instructions": "", "tools": text}
    instructions, heading, tools = text.partition(f"\n\n{_TOOLS}")
    if heading or text.startswith(_INSTRUCTIONS):
        return {"instructions": instructions, "tools": heading + tools}
    return {"content": text}


def compare(
    expected: Rendering, actual: str, pairs: Sequence[Pair], ordinary: Ordinary = (), *, extra: str = "extra"
) -> list[str]:
    """Say in short sentences what the model reads otherwise than Harmony meant; at most eight.

    `pairs` are all messages, the equal ones too (see `align.side_by_side`). Messages are counted from 1, the system
    message included; lost ones by Harmony's prompt, all others by the template's. A message that Harmony did not
    write is called `extra`. An empty list means that both parse alike.
    """
    tokens = server_tokens(actual, ordinary)
    if tokens == expected.tokens:
        return []
    one, other = parse(expected.tokens), parse(tokens)
    starts = [offset for offset, token in control_tokens(actual, ordinary=ordinary) if token == START]
    places = [starts[message.start] for message in other.messages]
    told = list(_differences(one, other, _numbers(pairs, places), extra))
    more = len(told) - _MOST
    return [*told[:_MOST], f"and {more} more"] if more > 0 else told


def _numbers(pairs: Sequence[Pair], places: Sequence[int]) -> list[tuple[int | None, int | None]]:
    """Return the numbers of the parsed messages that stand for each other, by the offsets of the template's.

    Of several that begin within one pair, the first is what Harmony wrote; the others broke out of its text.
    """
    numbers: list[tuple[int | None, int | None]] = []
    written = read = 0
    for pair in pairs:
        mine = None
        if pair.expected is not None and pair.kind != "prompt":
            mine, written = written, written + 1
        stop = pair.actual_offset + len(pair.actual or "")
        theirs = []
        while read < len(places) and places[read] < stop:
            theirs.append(read)
            read += 1
        first = theirs.pop(0) if theirs else None
        if mine is not None or first is not None:
            numbers.append((mine, first))
        numbers += [(None, number) for number in theirs]
    return numbers


def _differences(
    expected: Prompt, actual: Prompt, numbers: list[tuple[int | None, int | None]], extra: str
) -> Iterator[str]:
    if not actual.messages and actual.opened is None:
        yield "Harmony's parser refuses the prompt: it holds no message"
        return
    if len(actual.messages) > _MOST_MESSAGES:
        yield f"{len(actual.messages):,} messages instead of {len(expected.messages):,}"
        return
    stray = dict(actual.stray)
    if 0 in stray:
        yield f"text before the first message: {_quote(stray[0])}"
    for i, j in numbers:
        if j is None:
            assert i is not None
            yield f"message {i + 1} lost ({expected.messages[i].name})"
            continue
        message = actual.messages[j]
        if message.refused and (i is None or message.refused != expected.messages[i].refused):
            yield f"Harmony's parser refuses message {j + 1}: {message.refused}"
        if i is None:
            said = _quote(message.said) if message.said else "nothing"
            yield f"message {j + 1} {extra}: {message.name or 'nobody'} says {said}"
        elif message != expected.messages[i]:
            for words in _changes(expected.messages[i], message):
                yield f"message {j + 1}: {words}"
        if j + 1 in stray:
            yield f"text outside of all messages after message {j + 1}: {_quote(stray[j + 1])}"
    if expected.opened != actual.opened:
        if actual.opened is None:
            yield "generation prompt missing"
        elif expected.opened is None:
            yield f"a message is opened at the end: {_quote(actual.opened)}"
        else:
            yield f"generation prompt {_quote(actual.opened)} instead of {_quote(expected.opened)}"


def _changes(expected: Parsed, actual: Parsed) -> Iterator[str]:
    # A developer message of another form is told of as one text.
    whole = expected.content.keys() != actual.content.keys()
    want, got = (message.values(whole=whole) for message in (expected, actual))
    for name in _changed(want, got):
        before, after = want.get(name, ""), got.get(name, "")
        if name in ("content", "instructions", "tools"):
            plural = "" if name in ("tools", "instructions") else "s"
            if before and after:
                yield f"{name} differ{plural}"
            else:
                yield f"{name} {'missing' if before else 'extra'}"
        elif name == "end":
            yield f"ends in {after or 'no token'} instead of {before or 'no token'}"
        elif before and after:
            yield f"{name} {_plain(after)} instead of {_plain(before)}"
        else:
            yield f"{name} missing" if before else f"{name} {_plain(after)} extra"


def _changed(expected: dict[str, str], actual: dict[str, str]) -> list[str]:
    """Return the fields in which two messages differ, in the order in which they are told."""
    diff = _deep_diff()(expected, actual, view="tree")
    names = {cast("str", change.path(output_format="list")[0]) for kind in diff.values() for change in kind}
    return [name for name in dict.fromkeys((*expected, *actual)) if name in names]


@lru_cache(maxsize=1)
def _deep_diff() -> Any:
    from deepdiff import DeepDiff  # takes half a second to import, and few runs need it

    return DeepDiff


def _plain(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def _quote(text: str) -> str:
    return f"`{_plain(text)}`"
