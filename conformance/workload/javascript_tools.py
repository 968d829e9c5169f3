"""Tools of MCP servers written in TypeScript, read from the JavaScript that they are published as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.conversation import TOOL_NAME, Tool
from conformance.workload import zod
from conformance.workload.javascript import Chain, Source, UnreadableError
from conformance.workload.material import Material, Server

_REGISTERED = re.compile(r"\.(tool|registerTool)\(")


def read(files: Mapping[str, bytes]) -> Material:
    """Return a server for each file that has tools."""
    found = Material()
    for path in sorted(files):
        if path.endswith(".js"):
            tools = {tool.name: tool for tool in _tools(Source(files[path].decode("utf-8", "replace")))}
            if tools:
                found.servers.append(Server(path, tuple(tools.values())))
    return found


def _tools(source: Source) -> Iterator[Tool]:
    for value in source.constants().values():
        if isinstance(value, dict) and isinstance(value.get("inputSchema"), dict):
            yield from _tool(value.get("name"), value.get("description"), value["inputSchema"])
    for call in _REGISTERED.finditer(source.text):
        given = source.arguments(call.end(), 3)
        if call[1] == "registerTool" and len(given) == 2 and isinstance(given[1], dict):
            given = [given[0], given[1].get("description"), given[1].get("inputSchema", {})]
        if len(given) == 3:
            yield from _tool(*given)


def _tool(name: Any, description: Any, schema: Any) -> Iterator[Tool]:
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name) or not isinstance(description, str):
        return
    try:
        plain = isinstance(schema, dict) and schema.get("type") == "object"
        parameters = schema if plain else zod.parameters(schema)
    except (UnreadableError, IndexError, TypeError, AttributeError):
        return
    if not _has_chain(parameters):
        yield Tool(name, description, parameters)


def _has_chain(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_chain, value.values()))
    return any(map(_has_chain, value)) if isinstance(value, list) else isinstance(value, Chain)
