"""What is read of packages that nobody runs: literals of JavaScript, zod, signatures of Python, leaderboard rows."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from conformance.conversation import ToolCall
from conformance.workload import bfcl, javascript_tools, python_tools
from conformance.workload.javascript import Source, UnreadableError

_SERVER = """
import { z } from "zod";
const NAMES = { find: "find_it", "odd": 'odd\\'s', };
const Edit = z.object({ old: z.string().describe('before ' + `it`), "new": z.string() });
let secret = process.env.KEY;
server.tool(NAMES.find, "Finds it. " +
    "At once.", {
    // what to look for
    query: z.string().min(1).describe("Words"),
    kind: z.enum(["a", "b"]).optional().default("a").describe("Which kind"),
    top: z.coerce.number().int().max(50).default(20),
    edits: z.array(Edit).optional(),
    tags: z.record(z.string(), z.boolean()).nullable(),
    lower: z.string().transform((value) => value.toLowerCase()),
    either: z.union([z.string(), z.number()]),
}, async ({ query }) => { return run(query, { a: 1 }); });
server.tool(secret, "Has no name that can be read", { a: z.string() }, run);
server.tool("unknown_schema", "Uses what is not known here", { a: z.discriminatedUnion("k", []) }, run);
server.registerTool("write", { title: "Write", description: "Writes.", inputSchema: Edit.shape, annotations: {} }, run);
export const PLAIN = { name: "plain", description: "By hand",
  inputSchema: { type: "object", properties: { n: { type: "number", minimum: -1.5 } } } };
"""


def test_tools_of_a_javascript_server_are_read_with_their_schemas() -> None:
    """What zod-to-json-schema 3.25 makes of these schemas, its order of keys included."""
    (server,) = javascript_tools.read(
        {"package/index.js": _SERVER.encode(), "package/notes.txt": b"none"}
    ).servers
    tools = {tool.name: tool for tool in server.tools}
    assert list(tools) == ["plain", "find_it", "write"]
    assert tools["find_it"].description == "Finds it. At once."
    edit = {
        "type": "object",
        "properties": {"old": {"type": "string", "description": "before it"}, "new": {"type": "string"}},
        "required": ["old", "new"],
        "additionalProperties": False,
    }
    assert tools["find_it"].parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "description": "Words"},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a", "description": "Which kind"},
            "top": {"type": "integer", "maximum": 50, "default": 20},
            "edits": {"type": "array", "items": edit},
            "tags": {
                "anyOf": [{"type": "object", "additionalProperties": {"type": "boolean"}}, {"type": "null"}]
            },
            "lower": {"type": "string"},
            "either": {"type": ["string", "number"]},
        },
        "required": ["query", "tags", "lower", "either"],
        "additionalProperties": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    }
    assert tools["write"].parameters == {**edit, "$schema": "http://json-schema.org/draft-07/schema#"}
    assert tools["plain"].parameters == {
        "type": "object",
        "properties": {"n": {"type": "number", "minimum": -1.5}},
    }


@pytest.mark.parametrize(
    "written", ["run()", "a ? 1 : 2", "1 + 2", "`${x}`", "{ ...rest }", "[1, , 2]", "b", "'open", ""]
)
def test_what_is_no_literal_is_not_read(written: str) -> None:
    source = Source(f"const a = {written};\nconst b = a;")
    with pytest.raises(UnreadableError):
        source.constant("a")


_PYTHON = '''
from pydantic import BaseModel, Field
import os
os.abort()  # nothing of this is run
PATTERN = r"^[A-Z]+-\\\\d+$"

class Place(BaseModel):
    lat: float
    name: str | None = Field(default=None, description="Its " "name")

@server.tool(tags={"read"})
@checked
async def look(
    ctx: Context,
    service,
    key: Annotated[str, Field(description="The key", pattern=PATTERN)],
    limit: Annotated[int, Field(description="How many", ge=1, le=50)] = 10,
    mode: Literal["full", "short"] = "short",
    places: Optional[List[Place]] = None,
) -> str:
    """Look it up.

        Twice.
    """

@server.tool()
def strange(value: Stranger) -> str:
    """Has a type that is not known."""
'''


def test_tools_of_a_python_server_have_the_schemas_that_pydantic_makes() -> None:
    (server,) = python_tools.read({"a/server.py": _PYTHON.encode()}).servers
    (tool,) = server.tools
    assert (server.name, tool.name, tool.description) == ("a/server", "look", "Look it up.\n\nTwice.")
    place: Any = create_model(
        "Place", lat=(float, ...), name=(str | None, Field(default=None, description="Its name"))
    )
    signature: Any = create_model(
        "lookArguments",
        key=(Annotated[str, Field(description="The key", pattern=r"^[A-Z]+-\\d+$")], ...),
        limit=(Annotated[int, Field(description="How many", ge=1, le=50)], 10),
        mode=(Literal["full", "short"], "short"),
        places=(list[place] | None, None),
    )
    assert tool.parameters == signature.model_json_schema()


def _rows(*rows: Any) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def test_rows_of_the_leaderboard_become_questions_with_their_right_calls() -> None:
    function = {
        "name": "geo.find",
        "description": "Finds.",
        "parameters": {
            "type": "dict",
            "properties": {"at": {"type": "tuple", "items": {"type": "float"}}, "deep": {"type": "HashMap"}},
            "required": ["at"],
        },
    }
    question = {
        "id": "simple_python_0",
        "question": [[{"role": "user", "content": "Where\u2028is it?"}]],
        "function": [function],
    }
    answer = {
        "id": "simple_python_0",
        "ground_truth": [{"geo.find": {"at": [[1.5]], "deep": ["", {"k": ["v"]}]}}],
    }
    files = {f"bfcl_eval/data/{name}": b"" for name in _EVERY_FILE}
    files["bfcl_eval/data/BFCL_v4_simple_python.json"] = _rows(question)
    files["bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json"] = _rows(answer)
    (found,) = bfcl.read(files).questions
    assert found.turns[0].user == "Where\u2028is it?"
    assert found.turns[0].steps == ((ToolCall("geo_find", {"at": [1.5]}),),)
    assert found.tools[0].parameters == {
        "type": "object",
        "properties": {"at": {"type": "array", "items": {"type": "number"}}, "deep": {"type": "object"}},
        "required": ["at"],
    }


_EVERY_FILE = [
    *(f"BFCL_v4_{name}.json" for name in (*bfcl._ONE_TURN, *bfcl._NO_CALL, *bfcl._DIALOGUES)),
    *(f"possible_answer/BFCL_v4_{name}.json" for name in (*bfcl._ONE_TURN, *bfcl._DIALOGUES)),
    *(f"memory_prereq_conversation/{name}.json" for name in bfcl._CHATS),
    "unused_datasets/question/BFCL_v4_chatable.json",
]
