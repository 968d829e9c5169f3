"""Draws realistic conversations: the material of public sets, laid out by the mix; case number i is always the same."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Effort,
    Instructions,
    Message,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.generate import Draw, RandomDraw
from conformance.report.model import REALISTIC
from conformance.workload import mix, packages, values
from conformance.workload.material import Dialogue, Turn
from conformance.workload.stock import Stock, stock

_SENTENCE = re.compile(r"[A-Z][^.\n]{15,200}\.")
_MOST_TOOLS = 60


def loaded() -> Sources:
    """Return the material of the cached packages, read once; raises UsageError where one is missing."""
    return _read_from(packages.folder())


@lru_cache(maxsize=2)
def _read_from(_folder: Path) -> Sources:
    return Sources(stock())


def realistic_case(seed: int, index: int) -> Case:
    """Return realistic case number `index`; raises UsageError where the sets are not in the cache."""
    return loaded().case(RandomDraw(seed, index))


class Sources:
    """Draws conversations from a stock."""

    def __init__(self, kept: Stock) -> None:
        self.stock = kept

    def case(self, draw: Draw) -> Case:
        """Return one case."""
        kind = mix.KIND.pick(draw)
        dialogue = {
            "chat without tools": self._chat,
            "one question, functions on offer": lambda d: d.choice(self.stock.questions),
            "dialogue with tools": lambda d: d.choice(self.stock.dialogues or self.stock.questions),
            "agent with MCP servers": self._agent,
        }[kind](draw)
        instructions = dialogue.instructions
        if not instructions and mix.INSTRUCTIONS.pick(draw):
            instructions = self._instructions(draw)
        messages = _Talk(self, dialogue).messages(draw)
        if instructions:
            messages.insert(0, Instructions(text=instructions))
        effort = cast(Effort | None, mix.EFFORT.pick(draw) or None)
        return Case(
            conversation=Conversation(messages=tuple(messages), tools=dialogue.tools),
            options=Options(reasoning_effort=effort),
        )

    def _chat(self, draw: Draw) -> Dialogue:
        """Return a chat: one of the sets', or questions of theirs that need no tools."""
        if draw.chance(0.4):
            return draw.choice(self.stock.chats)
        questions = [draw.choice(self.stock.questions).turns[0].user for _ in range(mix.TURNS.pick(draw))]
        return Dialogue(tuple(Turn(text) for text in questions))

    def _agent(self, draw: Draw) -> Dialogue:
        """Return turns of an agent that calls the tools of servers, several steps on end."""
        tools: dict[str, Tool] = {}
        for _ in range(mix.SERVERS.pick(draw)):
            offered = draw.choice(self.stock.servers).tools
            count = min(mix.OFFERED.pick(draw), len(offered))
            first = draw.integer(0, len(offered) - count)
            tools |= {tool.name: tool for tool in offered[first : first + count]}
        chosen = tuple(tools.values())[:_MOST_TOOLS]
        turns = []
        for _ in range(mix.TURNS.pick(draw)):
            steps = [
                tuple(self._call(draw, draw.choice(chosen)) for _ in range(mix.PARALLEL.pick(draw)))
                for _ in range(mix.STEPS.pick(draw))
            ]
            asked = _SENTENCE.search(draw.choice(chosen).description or "")
            turns.append(
                Turn(f"Please {asked[0][:1].lower()}{asked[0][1:]}" if asked else "Go on.", tuple(steps))
            )
        return Dialogue(tuple(turns), chosen)

    def _call(self, draw: Draw, tool: Tool) -> ToolCall:
        return ToolCall(tool.name, values.arguments(draw, tool.parameters))

    def sentence(self, draw: Draw) -> str:
        """Return a sentence that some author of tools has written."""
        chosen: str = draw.choice(self.stock.sentences)
        return chosen

    def _instructions(self, draw: Draw) -> str:
        if draw.chance(0.4):
            return draw.choice(self.stock.instructions)
        lines = draw.many(self.sentence, 1, 6)
        if draw.chance(0.5):
            return " ".join(["You are a helpful assistant.", *lines])
        # As agents have them: a paragraph and a list under a heading.
        return "\n".join(["You are an agent.", "", "## Rules", *(f"- {line}" for line in lines)])

    def answer(self, draw: Draw) -> str:
        """Return a final answer."""
        lines, kind = draw.many(self.sentence, 1, 4), mix.ANSWER.pick(draw)
        if kind == "list":
            return "\n".join([f"**{lines[0]}**", "", *(f"{n}. {line}" for n, line in enumerate(lines, 1))])
        if kind == "code":
            return f"{lines[0]}\n\n```python\nprint({json.dumps(lines[-1])})\n```\n"
        if kind == "table":
            return "\n".join(
                ["| # | what |", "|---|---|", *(f"| {n} | {line} |" for n, line in enumerate(lines, 1))]
            )
        return " ".join(lines)


class _Talk:
    """Lays one dialogue out as messages."""

    def __init__(self, sources: Sources, dialogue: Dialogue) -> None:
        self._sources, self._dialogue = sources, dialogue
        self._called = 0

    def messages(self, draw: Draw) -> list[Message]:
        """Return the messages up to where the model is asked to go on."""
        thinking, written = mix.THINKING.pick(draw), mix.ARGUMENTS.pick(draw) != "as an object"
        turns = self._dialogue.turns
        if len(turns) > 1 and self._dialogue.tools:
            # A dialogue is asked at each of its turns.
            turns = turns[: draw.integer(1, len(turns))]
        found: list[Message] = []
        for turn in turns[:-1]:
            found += self._turn(draw, turn, thinking == "all", written)
            found.append(
                Assistant(thinking=self._thought(draw, thinking == "all"), final=self._sources.answer(draw))
            )
        last = turns[-1]
        if last.steps and mix.END.pick(draw) == "result":
            steps = last.steps[: draw.integer(1, len(last.steps))]
            return found + self._turn(draw, Turn(last.user, steps), thinking != "none", written)
        return [*found, User(text=last.user)]

    def _thought(self, draw: Draw, wanted: bool) -> str | None:
        return " ".join(draw.many(self._sources.sentence, 1, 3)) if wanted else None

    def _turn(self, draw: Draw, turn: Turn, thinking: bool, written: bool) -> list[Message]:
        found: list[Message] = [User(text=turn.user)]
        for step in turn.steps:
            calls = tuple(_written(draw, call) for call in step) if written else step
            preamble = self._sources.sentence(draw) if mix.PREAMBLE.pick(draw) else None
            found.append(Assistant(thinking=self._thought(draw, thinking), preamble=preamble, calls=calls))
            found += self._results(draw, step)
        return found

    def _results(self, draw: Draw, step: Sequence[ToolCall]) -> list[Message]:
        found: list[Message] = []
        for call in step:
            schema = self._sources.stock.result(call.name)
            content = values.result(draw, schema, self._sources.sentence(draw))
            found.append(ToolResult(call=self._called, content=content))
            self._called += 1
        return found


def _written(draw: Draw, call: ToolCall) -> ToolCall:
    """Return a call with its arguments as a model writes them: most without blanks, some with, few in lines."""
    value: Any = call.arguments
    if draw.chance(0.7):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    else:
        text = json.dumps(value, ensure_ascii=False, indent=2 if draw.chance(0.2) else None)
    return ToolCall(call.name, text)


@dataclass(frozen=True, slots=True)
class Realistic:
    """The workload of a campaign: as many cases as are asked for."""

    name: str = REALISTIC
    cases: int | None = None
    shown: bool = True

    def load(self) -> None:
        """Read the sets; raises UsageError where one is not in the cache."""
        loaded()

    def case(self, seed: int, index: int) -> Case:
        """Return one case; raises UsageError where the sets are not in the cache."""
        return realistic_case(seed, index)
