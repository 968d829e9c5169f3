"""Tools on offer: names, descriptions and parameters."""

from __future__ import annotations

from conformance.conversation import Tool
from conformance.generate import schema as schemas
from conformance.generate import text as texts
from conformance.generate.draws import Draw, Weighted
from conformance.generate.scene import Scene

NAMES = (
    "f", "get_weather", "search", "send_email", "lookup-user", "run_sql", "Calc", "browser", "python", "x1",
    "list_files", "null_check", "get_current_user_location_and_time_zone", "_private", "commentary",
    "functions",
)  # fmt: skip
_DESCRIPTIONS: Weighted[str] = Weighted((4, "missing"), (2, "empty"), (4, "lines"), (3, "edge"))


def tools(draw: Draw, scene: Scene) -> tuple[Tool, ...]:
    """Return the tools of a case, with names that differ."""
    lo, hi = scene.style.tools
    if not hi:
        return ()
    taken: set[str] = set()

    def one(draw: Draw) -> Tool:
        name = scene.guest_name(draw) or draw.choice(NAMES)
        while name in taken:
            name = f"{name[:60]}_{len(taken) + 1}"
        taken.add(name)
        return tool(draw, scene, name)

    return tuple(draw.many(one, lo, hi))


def tool(draw: Draw, scene: Scene, name: str) -> Tool:
    """Return one tool of this name."""
    return Tool(
        name=name,
        description=draw.part(lambda d: _description(d, scene)),
        parameters=draw.part(lambda d: schemas.parameters(d, scene)),
    )


def _description(draw: Draw, scene: Scene) -> str | None:
    form = "line" if draw.chance(1 - scene.style.bare) else draw.pick(_DESCRIPTIONS)
    if form == "line":
        return scene.text(draw, "description")
    if form == "missing":
        return None
    if form == "lines":
        return draw.choice(texts.LINES)
    return texts.ordinary(draw) + draw.choice(("\n", "\n\n", "\nMore.\n")) if form == "edge" else ""
