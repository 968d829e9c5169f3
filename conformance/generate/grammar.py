"""The grammar of cases, written once against `Draw`; see draws.py for what drives it."""

from __future__ import annotations

from typing import Any

from conformance.conversation import (
    DEFAULT_DATE,
    BuiltinTool,
    Case,
    Conversation,
    Effort,
    Mode,
    Options,
    Tool,
)
from conformance.generate import schema as schemas
from conformance.generate import talk, tools
from conformance.generate.corners import corner
from conformance.generate.draws import Draw, RandomDraw, Weighted
from conformance.generate.scene import STYLES, Hints, Scene

_EFFORTS: Weighted[Effort | None] = Weighted((40, None), (20, "medium"), (20, "low"), (20, "high"))
_BUILTINS: Weighted[tuple[BuiltinTool, ...]] = Weighted(
    (76, ()), (8, ("browser",)), (8, ("python",)), (4, ("browser", "python")), (4, ("python", "browser"))
)
_MODES: Weighted[Mode] = Weighted((65, "generation"), (35, "training"))
_DATES = ("2024-02-29", "2025-12-31", "2026-01-01", "1999-10-10", "2030-07-04", "2031-03-01")
_IDENTITIES = ("You are Kai.", "You are a helpful assistant.", "", "Du bist «Otto».\nSei nett.")


_TOOL_STYLES = tuple(style for style in STYLES.values if style.tools[1])
_NO_HINTS = Hints()


class Grammar:
    """Makes cases out of decisions; hints steer it towards what a template waits for."""

    __slots__ = ("hints",)

    def __init__(self, hints: Hints = _NO_HINTS) -> None:
        self.hints = hints

    def case(self, draw: Draw) -> Case:
        """Return a case; `check_case` accepts every one of them."""
        mode = draw.pick(_MODES)
        effort = draw.pick(_EFFORTS)
        builtins = draw.pick(_BUILTINS)
        date = draw.choice(_DATES) if draw.chance(0.2) else DEFAULT_DATE
        scene = Scene(draw, self.hints, draw.pick(STYLES))
        identity = draw.part(lambda d: self._identity(d, scene) if d.chance(0.12) else None)
        return Case(
            conversation=talk.conversation(draw, scene, mode),
            options=Options(
                date=date,
                reasoning_effort=effort,
                model_identity=identity,
                builtin_tools=builtins,
                mode=mode,
            ),
        )

    def conversation(self, draw: Draw) -> Conversation:
        """Return a conversation."""
        return talk.conversation(draw, Scene(draw, self.hints, draw.pick(STYLES)), draw.pick(_MODES))

    def tool(self, draw: Draw) -> Tool:
        """Return one tool."""
        scene = Scene(draw, self.hints, draw.choice(_TOOL_STYLES))
        return tools.tool(draw, scene, draw.choice(tools.NAMES))

    def schema(self, draw: Draw) -> dict[str, Any]:
        """Return the schema of one property."""
        return schemas.schema(draw, Scene(draw, self.hints, draw.choice(_TOOL_STYLES)))

    def _identity(self, draw: Draw, scene: Scene) -> str:
        return draw.choice(_IDENTITIES) if draw.chance(0.7) else scene.text(draw, "identity")


def case_at(seed: int, index: int, hints: Hints = _NO_HINTS) -> Case:
    """Return case number `index` (from 0) of the campaign with this seed: the same in every process."""
    first, last = hints.corners
    if first <= index < last:
        return corner(seed, index - first)
    if index in hints.aimed:
        return hints.aimed[index]
    return Grammar(hints).case(RandomDraw(seed, index))
