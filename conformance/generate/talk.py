"""Messages: instructions, user turns, thinking, preambles, calls, results and finals, in likely orders."""

from __future__ import annotations

from typing import Literal

from conformance.conversation import (
    Assistant,
    Conversation,
    Instructions,
    Message,
    Mode,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.generate import arguments, tools
from conformance.generate.draws import Draw, Weighted
from conformance.generate.scene import Range, Scene

End = Literal["user", "result", "call", "final", "thinking", "instructions"]
Role = Literal["system", "developer"]

# How a conversation ends. Servers ask for an answer after a user or a result, training data ends in what the
# model said; the rest happens too (a prompt without a generation prompt, a prefilled answer) and is rare.
_ENDS: dict[tuple[Mode, bool], Weighted[End]] = {
    ("generation", False): Weighted((86, "user"), (4, "instructions"), (6, "final"), (4, "thinking")),
    ("generation", True): Weighted(
        (50, "user"), (34, "result"), (5, "call"), (2, "instructions"), (5, "final"), (4, "thinking")
    ),
    ("training", False): Weighted((82, "final"), (8, "thinking"), (8, "user"), (2, "instructions")),
    ("training", True): Weighted(
        (58, "final"), (8, "thinking"), (22, "call"), (5, "user"), (5, "result"), (2, "instructions")
    ),
}
_INSTRUCTIONS: Weighted[Role | None] = Weighted((40, None), (40, "system"), (20, "developer"))
_ROLES: Weighted[Role] = Weighted((1, "system"), (1, "developer"))
_CALLS: Weighted[Range] = Weighted((1, (1, 1)), (1, (2, 3)))
_STEPS: Weighted[Range] = Weighted((7, (1, 1)), (3, (1, 3)))
_CLOSINGS: Weighted[str] = Weighted((92, "final"), (4, "thinking"), (4, "nothing"))
_RESULTS = ("{}", "null", "", "[1, 2]", '{"temp": 20, "unit": "c"}', '"quoted"', "18", '{"a": "é"}')


def conversation(draw: Draw, scene: Scene, mode: Mode) -> Conversation:
    """Return a conversation that ends as this mode's conversations do."""
    offered = draw.part(lambda d: tools.tools(d, scene))
    talk = _Talk(scene, offered)
    draw.part(talk.open)
    lo, hi = draw.pick(scene.style.turns)
    if scene.hints.messages and draw.chance(0.08):
        lo = hi = scene.hints.messages // 2 + 1
    draw.many(talk.turn, lo - 1, hi - 1)
    draw.part(lambda d: talk.end(d, d.pick(_ENDS[mode, scene.style.calls > 0])))
    return Conversation(messages=tuple(talk.messages), tools=offered)


class _Talk:
    """Messages so far, and the number of calls made."""

    __slots__ = ("_called", "_fields", "_instructed", "_names", "_scene", "messages")

    def __init__(self, scene: Scene, offered: tuple[Tool, ...]) -> None:
        self.messages: list[Message] = []
        self._scene = scene
        self._called = 0
        self._instructed = False
        self._fields = {tool.name: tuple((tool.parameters or {}).get("properties", ())) for tool in offered}
        self._names = tuple(self._fields)

    def open(self, draw: Draw) -> None:
        """Add the instructions, and now and then a greeting by the assistant."""
        role = draw.pick(_INSTRUCTIONS)
        if role:
            draw.part(lambda d: self._instruct(d, role))
        if self._scene.rare(draw):
            self.messages.append(Assistant(final=self._scene.text(draw, "final")))

    def turn(self, draw: Draw) -> None:
        """Add one turn: the user, calls and results if any, and what the assistant says at last."""
        draw.part(self._ask)
        draw.part(self._work)
        closing = draw.pick(_CLOSINGS)
        if closing == "final":
            self._answer(draw)
        elif closing == "thinking":
            self._think(draw)

    def end(self, draw: Draw, end: End) -> None:
        """Add the last turn, up to a message of the kind `end`."""
        draw.part(self._ask)
        if end == "user":
            return
        if end == "instructions":
            self._instruct(draw, draw.pick(_ROLES)) if self._instructed else self._ask(draw)
            return
        if end == "result":
            draw.many(self._step, *draw.pick(_STEPS))
            return
        draw.part(self._work)
        if end == "call":
            self._call(draw)
        elif end == "thinking":
            self._think(draw)
        else:
            self._answer(draw)

    def _instruct(self, draw: Draw, role: Role) -> None:
        scene = self._scene
        self._instructed = True
        text = "" if scene.rare(draw) else scene.text(draw, "instructions")
        if text and scene.rare(draw):
            text += draw.choice(("\n", "\n\n", " \n", "\nBe brief."))
        self.messages.append(Instructions(text=text, role=role))

    def _ask(self, draw: Draw) -> None:
        scene = self._scene
        if self._instructed and scene.rare(draw):
            self._instruct(draw, draw.pick(_ROLES))
        self._user(draw)
        if scene.rare(draw):
            self._user(draw)

    def _user(self, draw: Draw) -> None:
        scene = self._scene
        empty = scene.rare(draw) and draw.chance(0.5)
        self.messages.append(User(text="" if empty else scene.text(draw, "user")))

    def _work(self, draw: Draw) -> None:
        if self._scene.style.calls and draw.chance(self._scene.style.calls):
            draw.many(self._step, *draw.pick(_STEPS))

    def _step(self, draw: Draw) -> None:
        """Add an assistant step with calls, and their results: in order or not, at times not all."""
        first = self._called
        self._call(draw)
        order = list(range(first, self._called))
        if len(order) > 1:
            if self._scene.shuffled and draw.chance(0.6):
                order.append(order.pop(0))
                if draw.chance(0.5):
                    order.sort(reverse=True)
            if draw.chance(0.1):
                order.pop()
        for index in order:
            self.messages.append(ToolResult(call=index, content=self._result(draw)))

    def _result(self, draw: Draw) -> str:
        return draw.choice(_RESULTS) if draw.chance(0.4) else self._scene.text(draw, "result")

    def _call(self, draw: Draw) -> None:
        calls = tuple(draw.many(self._one_call, *(draw.pick(_CALLS) if self._scene.parallel else (1, 1))))
        self._called += len(calls)
        self.messages.append(
            Assistant(
                thinking=draw.part(self._thinking),
                preamble=draw.part(self._preamble),
                calls=calls,
            )
        )

    def _one_call(self, draw: Draw) -> ToolCall:
        scene = self._scene
        unknown = scene.rare(draw)  # a tool that is not on offer (any more)
        name = draw.choice(tools.NAMES if unknown or not self._names else self._names)
        return draw.part(lambda d: arguments.call(d, scene, name, self._fields.get(name, ())))

    def _thinking(self, draw: Draw) -> str | None:
        return self._aside(draw, "thinking", self._scene.thinking)

    def _preamble(self, draw: Draw) -> str | None:
        return self._aside(draw, "preamble", 0.3 if self._scene.preambles else 0.0)

    def _aside(self, draw: Draw, place: str, share: float) -> str | None:
        if draw.chance(share):
            return self._scene.text(draw, place)
        return "" if self._scene.rare(draw) and draw.chance(0.3) else None

    def _think(self, draw: Draw) -> None:
        self.messages.append(Assistant(thinking=self._scene.text(draw, "thinking")))

    def _answer(self, draw: Draw) -> None:
        scene = self._scene
        thinking = draw.part(self._thinking)
        empty = scene.rare(draw) and draw.chance(0.4)
        self.messages.append(Assistant(thinking=thinking, final="" if empty else scene.text(draw, "final")))
