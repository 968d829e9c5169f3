"""The mix: how often each thing happens in realistic conversations, and on whose word.

What nobody has published is an assumption and says so. `docs/workload.md` shows this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from conformance.generate import Draw, Weighted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share(Generic[T]):
    """One choice: its values with their percentages, and why these."""

    what: str
    rows: tuple[tuple[int, T], ...]
    why: str

    def pick(self, draw: Draw) -> T:
        """Return one of the values."""
        return draw.pick(Weighted(*self.rows))


_ASSUMED = "assumed: nobody has published it"
_REGISTRY = (
    "tools a server in MCP's registry: 1 17 %, 2-5 48 %, 6-10 15 %, 11-20 11 %, more 10 % "
    "(1,945 tools of 238 servers, lyr3.com/blog/mcp-tool-distribution)"
)

KIND = Share(
    "kind of conversation",
    (
        (40, "chat without tools"),
        (30, "one question, functions on offer"),
        (10, "dialogue with tools"),
        (20, "agent with MCP servers"),
    ),
    _ASSUMED,
)
TURNS = Share(
    "turns of a chat",
    ((55, 1), (20, 2), (10, 3), (6, 4), (4, 5), (3, 6), (2, 8)),
    "2.0 on average in LMSYS-Chat-1M (arXiv 2309.11998, table 1)",
)
OFFERED = Share(
    "tools of a server that are switched on", ((17, 1), (48, 4), (15, 8), (11, 15), (9, 25)), _REGISTRY
)
SERVERS = Share("servers of an agent", ((65, 1), (25, 2), (10, 3)), _ASSUMED)
STEPS = Share("steps of calls in an agent's turn", ((30, 1), (25, 2), (20, 3), (15, 5), (10, 8)), _ASSUMED)
PARALLEL = Share(
    "calls in one step",
    ((80, 1), (14, 2), (6, 3)),
    f"{_ASSUMED} for agents; in questions as the leaderboard's right answer has it",
)
THINKING = Share(
    "thinking that clients send back",
    ((60, "of the open turn"), (15, "all"), (25, "none")),
    "OpenAI's guide to raw chains of thought: keep what led to calls until the final, then drop it; "
    "clients of chat completions without the field send none. How many do is assumed",
)
PREAMBLE = Share("text beside calls", ((85, False), (15, True)), _ASSUMED)
INSTRUCTIONS = Share("instructions", ((65, True), (35, False)), f"{_ASSUMED}; their texts are the sets' own")
EFFORT: Share[str] = Share(
    "reasoning effort", ((50, ""), (25, "medium"), (15, "high"), (10, "low")), _ASSUMED
)
END = Share(
    "where a conversation with calls stops",
    ((50, "result"), (50, "user")),
    "a prompt is made for every step: after results, and after the user's next message. Halves are assumed",
)
ARGUMENTS = Share(
    "arguments reach the template",
    ((70, "as an object"), (30, "as the text that the model wrote")),
    "vLLM and llama.cpp parse them first, others hand the client's text on; shares are assumed",
)
RESULT = Share(
    "results of tools",
    ((50, "object"), (15, "list"), (22, "text"), (8, "error"), (5, "empty")),
    f"{_ASSUMED}; objects have the set's own response schemas where it has some",
)
ANSWER = Share(
    "final answers",
    ((55, "prose"), (25, "list"), (12, "code"), (8, "table")),
    f"{_ASSUMED}; their sentences are the sets' own",
)

MIX: tuple[Share[object], ...] = (
    KIND, TURNS, OFFERED, SERVERS, STEPS, PARALLEL, THINKING, PREAMBLE, INSTRUCTIONS, EFFORT, END, ARGUMENTS, RESULT,
    ANSWER,
)  # type: ignore[assignment]  # fmt: skip
"""All of them, in the order of the page."""
