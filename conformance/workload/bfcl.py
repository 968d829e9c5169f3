"""Reads the Berkeley Function Calling Leaderboard: questions, functions, right calls, dialogues (bfcl-eval's data).

Functions become tools as its own `convert_to_tool` makes them for OpenAI's models: type names of Python, Java and
JavaScript become JSON Schema's, dots in names become underscores.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.conversation import TOOL_NAME, Tool, ToolCall
from conformance.workload.material import Dialogue, Material, Turn

_DATA = "bfcl_eval/data/"
_ONE_TURN = (
    "simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple",
    "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple",
)  # fmt: skip
# No function fits these questions.
_NO_CALL = ("irrelevance", "live_irrelevance")
_DIALOGUES = ("multi_turn_base", "multi_turn_miss_param")
_CHATS = ("memory_customer", "memory_finance", "memory_healthcare", "memory_student", "memory_notetaker")
_TYPES = {
    "float": "number", "double": "number", "byte": "integer", "short": "integer", "long": "integer",
    "Bigint": "integer", "bool": "boolean", "list": "array", "tuple": "array", "ArrayList": "array",
    "Array": "array", "Queue": "array", "Stack": "array", "dict": "object", "HashMap": "object",
    "Hashtable": "object", "any": "string", "Any": "string", "char": "string", "String": "string",
}  # fmt: skip
_KNOWN = frozenset(("integer", "number", "string", "boolean", "array", "object"))
_LONGEST = 4_000  # characters of a text; a few are whole documents


def read(files: Mapping[str, bytes]) -> Material:
    """Return what the files of the package give."""
    found = Material()
    for name in (*_ONE_TURN, *_NO_CALL):
        answers = {} if name in _NO_CALL else _answers(files, name)
        asked = (_question(row, answers.get(row["id"], ())) for row in _rows(files, f"BFCL_v4_{name}.json"))
        found.questions += [question for question in asked if question is not None]
    for row in _rows(files, "unused_datasets/question/BFCL_v4_chatable.json"):
        found.chats.append(Dialogue((Turn(row["question"]),)))
    for name in _CHATS:
        for row in _rows(files, f"memory_prereq_conversation/{name}.json"):
            said = [m["content"] for turn in row["question"] for m in turn if m["role"] == "user"]
            found.chats.append(Dialogue(tuple(Turn(text) for text in said if 0 < len(text) < _LONGEST)[:8]))
    documents = _documents(files, found)
    for name in _DIALOGUES:
        answers = _answers(files, name)
        for row in _rows(files, f"BFCL_v4_{name}.json"):
            found.dialogues.append(_dialogue(row, answers[row["id"]], documents))
    found.chats = [chat for chat in found.chats if chat.turns]
    return found


def _answers(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    return {row["id"]: row["ground_truth"] for row in _rows(files, f"possible_answer/BFCL_v4_{name}.json")}


def _rows(files: Mapping[str, bytes], name: str) -> Iterator[Any]:
    for line in files[_DATA + name].decode("utf-8").split("\n"):
        if line.strip():
            yield json.loads(line)


def _question(row: Mapping[str, Any], answer: Any) -> Dialogue | None:
    said = row["question"][0]
    user = [message["content"] for message in said if message["role"] == "user"]
    system = [message["content"] for message in said if message["role"] == "system"]
    tools = tuple(tool for tool in map(_tool, row["function"]) if TOOL_NAME.fullmatch(tool.name))
    if not user or not tools or len(user[-1]) > _LONGEST or len({tool.name for tool in tools}) < len(tools):
        return None
    calls = tuple(
        ToolCall(
            _name(name), {key: value for key, value in map(_argument, given.items()) if value is not _NONE}
        )
        for call in answer
        for name, given in call.items()
    )
    if any(not TOOL_NAME.fullmatch(call.name) for call in calls):
        return None
    steps = (calls,) if calls else ()
    return Dialogue((Turn(user[-1], steps),), tools, "\n\n".join(system)[:_LONGEST])


def _name(name: str) -> str:
    return name.replace(".", "_")


def _tool(function: Mapping[str, Any]) -> Tool:
    parameters = _schema(function["parameters"])
    parameters["type"] = "object"
    return Tool(_name(function["name"]), function.get("description"), parameters)


def _schema(schema: Any) -> Any:
    """Return a schema with JSON Schema's own type names, all keys and their order kept."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            found[key] = value if value in _KNOWN else _TYPES.get(value, "string")
        elif key == "properties" and isinstance(value, dict):
            found[key] = {name: _schema(each) for name, each in value.items()}
        elif key in ("items", "additionalProperties"):
            found[key] = _schema(value)
        else:
            found[key] = value
    return found


_NONE = object()


def _argument(item: tuple[str, Any]) -> tuple[str, Any]:
    name, choices = item
    return name, _chosen(choices)


def _chosen(choices: Any) -> Any:
    """Return the first value that is right, _NONE where the argument may be left out: an empty text says so."""
    if not isinstance(choices, list):
        return _plain(choices)
    return _NONE if not choices or choices[0] == "" else _plain(choices[0])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {key: _chosen(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each is not _NONE}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _documents(files: Mapping[str, bytes], found: Material) -> dict[str, tuple[Tool, ...]]:
    """Return the tools of each module, by the module's file; keep what their results look like."""
    documents: dict[str, tuple[Tool, ...]] = {}
    prefix = f"{_DATA}multi_turn_func_doc/"
    for path in sorted(files):
        if not path.startswith(prefix) or not path.endswith(".json"):
            continue
        rows = list(_rows(files, path.removeprefix(_DATA)))
        documents[path.removeprefix(prefix).removesuffix(".json")] = tuple(map(_tool, rows))
        found.results.update(
            {_name(row["name"]): _schema(row["response"]) for row in rows if "response" in row}
        )
    return documents


def _dialogue(row: Mapping[str, Any], answer: Any, documents: Mapping[str, tuple[Tool, ...]]) -> Dialogue:
    left_out = set(row.get("excluded_function", ()))
    modules = [documents[name] for name in map(_file, row["involved_classes"]) if name in documents]
    tools = tuple(tool for module in modules for tool in module if tool.name not in left_out)
    fields = {tool.name: list((tool.parameters or {}).get("properties", ())) for tool in tools}
    turns = []
    for said, calls in zip(row["question"], answer, strict=False):
        made = [call for call in (_written(text, fields) for text in calls) if call is not None]
        # The reference calls stand in order; one that needs the last one's result is a step of its own.
        turns.append(
            Turn("\n".join(m["content"] for m in said if m["role"] == "user"), tuple((c,) for c in made))
        )
    return Dialogue(tuple(turn for turn in turns if turn.user), tools)


_SPECIAL = {"GorillaFileSystem": "gorilla_file_system", "TwitterAPI": "posting_api", "TravelAPI": "travel_booking",
            "VehicleControlAPI": "vehicle_control"}  # fmt: skip


def _file(name: str) -> str:
    """Return the file that describes a class of the set."""
    return _SPECIAL.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("_a_p_i", "_api")


def _written(text: str, fields: Mapping[str, list[str]]) -> ToolCall | None:
    """Return a call that is written in Python, None where it is not literal."""
    try:
        node = ast.parse(text, mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        names = fields.get(node.func.id, [])
        given = dict(zip(names, map(ast.literal_eval, node.args), strict=False))
        given |= {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        return ToolCall(node.func.id, json.loads(json.dumps(given)))
    except (SyntaxError, ValueError, TypeError):
        return None
