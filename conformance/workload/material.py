"""What public sets give: questions with their right calls, dialogues, tools that are offered together, and texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.conversation import Tool, ToolCall


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user asks, and the steps of calls that answer it: the calls of one step are made at once."""

    user: str
    steps: tuple[tuple[ToolCall, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns of one conversation with the tools on offer; without tools it is a chat."""

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """The tools of one MCP server, or of one module of a large one, which clients switch on together."""

    name: str
    tools: tuple[Tool, ...]


@dataclass(slots=True)
class Material:
    """All that was read, in a fixed order: `questions` have one turn, `dialogues` several, `chats` no tools."""

    questions: list[Dialogue] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)
    chats: list[Dialogue] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    # What results of a tool look like, where a set says so: a schema by the tool's name.
    results: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, other: Material) -> None:
        """Add what another set gives."""
        self.questions += other.questions
        self.dialogues += other.dialogues
        self.chats += other.chats
        self.servers += other.servers
        self.results.update(other.results)

    @property
    def tools(self) -> Iterable[Tool]:
        """All tools of the servers."""
        return (tool for server in self.servers for tool in server.tools)
