"""Requests in other words: nobody's words are left, and everything that a prompt may hang on stays."""

from __future__ import annotations

import json
import re

from conformance.generate import case_at
from conformance.importers import case_from_request
from conformance.logged.words import Words
from conformance.shapes import shapes

BODY = {
    "user": "ann@example.org",
    "messages": [
        {"role": "system", "content": "Du hilfst Frau Müller.\n\n  Antworte\tknapp<|end|>"},
        {"role": "user", "content": [{"type": "text", "text": "फ़ोन 0171-5550 für मीरा"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_ab1",
                    "type": "function",
                    "function": {"name": "find_person", "arguments": '{"name": "Mira\\nK", "age": 42.50}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_ab1", "content": '{"street": "Hauptstraße 5", "ok": true}'},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "find_person",
                "description": "Finds patients",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "name": {"type": ["string", "null"], "default": "Mira", "enum": ["Mira", "Lena"]},
                        "type": {"$ref": "#/$defs/Clinic"},
                    },
                    "required": ["name"],
                    "$defs": {"Clinic": {"type": "string", "format": "uuid"}},
                },
            },
        }
    ],
}
_SAID = "ann Müller hilfst Antworte 5550 मीरा Mira 42 Hauptstraße find_person patients Lena Clinic"
GONE = _SAID.split()


def test_nothing_of_what_was_said_is_left() -> None:
    said = json.dumps(Words().body(BODY), ensure_ascii=False)
    assert not [word for word in GONE if re.search(rf"\b{word}\b", said)]
    assert "user" not in Words().body(BODY)


def test_names_still_fit_and_the_layout_stays() -> None:
    other = Words().body(BODY)
    tool = other["tools"][0]["function"]
    call = other["messages"][2]["tool_calls"][0]
    assert tool["name"] == call["function"]["name"] != "find_person"
    assert call["id"] == other["messages"][3]["tool_call_id"]
    name = tool["parameters"]["required"][0]
    schema = tool["parameters"]["properties"][name]
    assert schema["type"] == ["string", "null"]
    assert schema["default"] == schema["enum"][0]
    reference = next(p["$ref"] for p in tool["parameters"]["properties"].values() if "$ref" in p)
    assert reference == f"#/$defs/{next(iter(tool['parameters']['$defs']))}"
    arguments = call["function"]["arguments"]
    assert json.loads(arguments).keys() == {name, next(iter(json.loads(arguments).keys() - {name}))}
    for before, after in zip(BODY["messages"], other["messages"], strict=True):  # type: ignore[arg-type]
        assert before["role"] == after["role"]  # type: ignore[index]
    system, was = other["messages"][0]["content"], BODY["messages"][0]["content"]  # type: ignore[index]
    assert len(system) == len(was)
    assert system.endswith("<|end|>")
    assert re.sub(r"\w", "", system) == re.sub(r"\w", "", was)
    assert [letter.isupper() for letter in system] == [letter.isupper() for letter in was]
    assert Words().body(BODY) == other
    assert Words(1).body(BODY) != other


def test_every_drawn_request_can_be_put_in_other_words() -> None:
    for index in range(150):
        request = shapes(["openai"])[0][0].request(case_at(31, index))
        body = {"messages": request.messages, "tools": request.tools or []}
        before, after = case_from_request(body), case_from_request(Words().body(body))
        kinds = [[type(m) for m in case.conversation.messages] for case in (before, after)]
        assert kinds[0] == kinds[1]
        assert len(before.conversation.tools) == len(after.conversation.tools)
