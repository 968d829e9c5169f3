"""One difference has one name: Harmony's own text is changed in one place, and exactly one rule says so."""

from __future__ import annotations

import re
from functools import lru_cache

import pytest

from conformance.compare.align import align, side_by_side
from conformance.compare.classify import classify
from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.oracles.base import Rendering
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profile

UNIT = {"type": "string", "enum": ["c", "f"], "default": "c"}
FIELDS = {
    "city": {"type": "string", "description": "City ", "default": "Rome"},
    "unit": UNIT,
    "days": {"type": ["integer", "null"], "default": 3},
    "list": {"type": "array", "items": {"type": "string"}, "default": []},
    "free": {"type": "array", "default": []},
    "more": {"type": "object", "properties": {"deep": {"type": "number", "default": 1}}, "default": {}},
    "pick": {"oneOf": [{"type": "string", "default": "x"}, {"type": "number"}], "default": "x"},
    "null": {"type": "boolean", "nullable": True, "default": True},
}
WEATHER = Tool(
    name="weather",
    description="Forecast",
    parameters={"type": "object", "properties": FIELDS, "required": ["city"]},
)
CLOCK = Tool(name="clock", description="Time\nof day", parameters={"type": "object", "properties": {}})
NOTE = Tool(name="note", description=" Trimmed ", parameters=None)
CALLS = (
    ToolCall(name="weather", arguments={"city": "Oslo"}),
    ToolCall(name="weather", arguments={"city": "Rome"}),
    ToolCall(name="clock", arguments="{}"),
)
MESSAGES = (
    Instructions(text="Be brief."),
    User(text="How warm is it?"),
    Assistant(thinking="Look it up.", preamble="One moment.", calls=CALLS),
    ToolResult(call=0, content="18"),
    ToolResult(call=1, content="20"),
    ToolResult(call=2, content="noon"),
    Assistant(final="It is warm."),
    User(text="Thanks for that."),
)
_TWO = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}}
TWO = Case(
    Conversation(
        messages=(User(text="hi"),), tools=(Tool(name="f", description="what it does", parameters=_TWO),)
    ),
    Options(),
)
TALK = Case(Conversation(messages=MESSAGES, tools=(WEATHER, CLOCK, NOTE)), Options())
PLAIN = Case(
    Conversation(messages=(User(text="Hi"), Assistant(final="Hello."), User(text="And?"))), Options()
)
THINK = Case(Conversation(messages=MESSAGES[1:4], tools=(WEATHER,)), Options())
TOOLS = Case(Conversation(messages=(User(text="Hi"),), tools=(WEATHER, CLOCK, NOTE)), Options())

CALL = '<|start|>assistant to=functions.weather<|channel|>commentary json<|message|>{"city": "Oslo"}<|call|>'
FINAL = "<|start|>assistant<|channel|>final<|message|>It is warm.<|end|>"
QUESTION = "<|start|>user<|message|>How warm is it?<|end|>"
RESULT = "<|start|>functions.weather to=assistant<|channel|>commentary<|message|>18<|end|>"
NOTED = "//  Trimmed \ntype note = () => any;\n\n"
CLOCKED = "// Time\n// of day\ntype clock = (_: {\n}) => any;\n\n"
ADDED = "<|start|>developer<|message|># Instructions\n\nYou are kind.<|end|>"

# What is done to Harmony's text: the first occurrence of one text becomes another.
CHANGES: dict[str, tuple[Case, str, str, str]] = {
    # headers
    "blank after a recipient": (TALK, "weather<|channel|>", "weather <|channel|>", "role-header"),
    "blank after a role": (TALK, "<|start|>user<", "<|start|>user <", "role-header"),
    "blank before a channel's name": (TALK, "<|channel|>final", "<|channel|> final", "role-header"),
    "two blanks before a recipient": (TALK, "assistant to=", "assistant  to=", "recipient-placement"),
    "two blanks before a content type": (TALK, "commentary json", "commentary  json", "content-type-marker"),
    "other recipient": (TALK, "to=functions.weather", "to=functions.wheather", "recipient-placement"),
    "no <|message|> in an answer": (TALK, "final<|message|>", "final", "role-header"),
    "no <|message|> in thinking": (THINK, "analysis<|message|>", "analysis", "role-header"),
    "no <|message|> in a preamble": (TALK, "<|message|>One", "One", "role-header"),
    "no <|message|> in a call": (TALK, " json<|message|>", " json", "role-header"),
    "no <|message|> in a result": (TALK, "<|message|>18", "18", "role-header"),
    "no <|message|> of a user": (TALK, "user<|message|>", "user", "role-header"),
    "no <|message|> of the developer": (TALK, "developer<|message|>", "developer", "role-header"),
    "no <|message|> of the system": (TALK, "system<|message|>", "system", "role-header"),
    # ends
    "no end of a user": (TALK, "How warm is it?<|end|>", "How warm is it?", "return-or-end"),
    "no end of an answer": (TALK, "It is warm.<|end|>", "It is warm.", "return-or-end"),
    "no end of a result": (TALK, "18<|end|>", "18", "return-or-end"),
    "no end of a call": (TALK, "<|call|>", "", "call-terminator"),
    "no end of the system": (PLAIN, "message.<|end|>", "message.", "return-or-end"),
    "no end of the system before a note": (TALK, "'functions'.<|end|>", "'functions'.", "return-or-end"),
    "no end of the developer": (TALK, "functions<|end|>", "functions", "return-or-end"),
    "return ends the system": (PLAIN, "message.<|end|>", "message.<|return|>", "return-or-end"),
    "newline behind the system": (PLAIN, "message.<|end|>", "message.<|end|>\n", "extra-newline"),
    # the system message
    "no newline before the effort": (TALK, "\n\nReasoning", "\nReasoning", "system-text"),
    "no newline before the channels": (TALK, "\n\n# Valid", "\n# Valid", "system-text"),
    "three newlines before the channels": (TALK, "\n\n# Valid", "\n\n\n# Valid", "system-text"),
    "no newline before the date": (TALK, "2024-06\nCurrent", "2024-06Current", "system-text"),
    "no newline before the note": (TALK, "message.\nCalls", "message.Calls", "functions-note"),
    # the developer message
    "instructions invented beside tools": (
        TOOLS,
        "# Tools",
        "# Instructions\n\nBe kind.\n\n# Tools",
        "instructions-altered",
    ),
    "instructions invented alone": (PLAIN, "<|start|>user", f"{ADDED}<|start|>user", "instructions-altered"),
    "an empty section of instructions": (
        TOOLS,
        "# Tools",
        "# Instructions\n\n\n\n# Tools",
        "empty-instructions",
    ),
    "namespace without its blank": (TALK, "functions {", "functions{", "tool-layout"),
    "namespace on the next line": (TALK, "functions {", "functions\n{", "tool-layout"),
    "no opening of the namespace": (TALK, "namespace functions {\n", "", "tool-layout"),
    "a tool's end twice": (TALK, "}) => any;\n", "}) => any;\n\n}) => any;\n", "tool-layout"),
    "properties on one line": (TWO, "a?: string,\nb?: number,\n", "a?: stringb?: number\n", "property-comma"),
    "no heading of the namespace": (TALK, "## functions\n\n", "", "tool-layout"),
    "no heading of the tools": (TALK, "# Tools\n\n#", "#", "section-order"),
    "no newline after the tools' heading": (TALK, "# Tools\n\n", "# Tools\n", "extra-newline"),
    # tools
    "tool without equals sign": (TALK, "type weather = (_:", "type weather(_:", "tool-layout"),
    "tool without blank before the equals sign": (TALK, "type weather =", "type weather=", "tool-layout"),
    "lost newline after a tool's comment": (TALK, "// Forecast\n", "// Forecast", "schema-comments-dropped"),
    "tool twice": (TALK, NOTED, NOTED + NOTED, "tool-dropped"),
    "tool twice before others": (TALK, CLOCKED, CLOCKED + CLOCKED, "tool-dropped"),
    "tools in another order": (TALK, CLOCKED + NOTED, NOTED + CLOCKED, "tool-dropped"),
    "unknown tool": (TALK, CLOCKED, CLOCKED + "// Other\ntype other = () => any;\n\n", "tool-dropped"),
    "tool lost": (TALK, CLOCKED, "", "tool-dropped"),
    "trimmed description of a tool": (TALK, "//  Trimmed \n", "// Trimmed\n", "schema-comments-dropped"),
    "function without arguments": (TALK, "type clock = (_: {\n})", "type clock = ()", "empty-parameters"),
    # properties
    "trimmed description": (TALK, "// City \n", "// City\n", "schema-comments-dropped"),
    "lost newline after a comment": (TALK, "// City \n", "// City ", "schema-comments-dropped"),
    "property twice": (TALK, "unit?:", 'unit?: "c" | "f", // default: c\nunit?:', "tool-dropped"),
    "property twice in another": (
        TALK,
        "    deep?: number, // default: 1\n",
        "    deep?: number, // default: 1\n" * 2,
        "tool-dropped",
    ),
    "unknown property": (TALK, "unit?:", "other: any,\nunit?:", "tool-dropped"),
    # messages
    "answer moved": (TALK, RESULT + "{}" + FINAL, FINAL + "{}" + RESULT, "message-moved"),
    "question moved": (TALK, QUESTION + "{}" + CALL, "{}" + CALL + QUESTION, "message-moved"),
    "preamble lost": (
        THINK,
        "<|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>",
        "",
        "message-dropped",
    ),
    "question twice": (TALK, QUESTION, QUESTION + QUESTION, "message-added"),
}
HEADER = "<|start|>assistant<|channel|>{}<|message|>"
FRAME = "# Tools\n\n## functions\n\nnamespace functions {\n"
CHANGES |= {
    # what mutants of templates showed
    "a user's text before its header": (
        TALK, QUESTION, "How warm is it?<|start|>user<|message|><|end|>", "text-altered",
    ),
    "an answer before its header": (TALK, FINAL, f"It is warm.{HEADER.format('final')}<|end|>", "text-altered"),
    "a preamble before its header": (
        TALK,
        f"{HEADER.format('commentary')}One moment.<|end|>",
        f"One moment.{HEADER.format('commentary')}<|end|>",
        "text-altered",
    ),
    "a result twice but for its header": (TALK, "18<|end|>", "18<|end|>18<|end|>", "message-added"),
    "a tool's name in capitals": (TALK, "type weather = (", "type WEATHER = (", "tool-layout"),
    "a tool's name in quotes": (TALK, "type weather = (", 'type "weather" = (', "tool-layout"),
    "a tool's name before its type": (TALK, "type weather = (", "weathertype  = (", "tool-layout"),
    "the name of a tool without properties": (TALK, "type clock = (", "type CLOCK = (", "tool-layout"),
    "a tool's comment on the next line": (TALK, "// Forecast\n", "// \nForecast", "schema-comments-dropped"),
    "lost newline after a default": (TALK, "// default: 3\n", "// default: 3", "tool-layout"),
    "no blank before null": (TALK, "boolean | null", "boolean| null", "nullable-ignored"),
    "no arguments in a call": (TALK, '{"city": "Oslo"}', "", "arguments-altered"),
    "heading of the tools twice": (TALK, FRAME, FRAME * 2, "tool-layout"),
    "namespace behind its brace": (
        TALK, "namespace functions {\n", " {\nnamespace functions", "tool-layout",
    ),
    "description of the parameters emptied": (
        Case(Conversation((User("x"),), (Tool("f", "d", {**WEATHER.parameters, "description": "All"}),)), Options()),
        "(_: // All\n", "(_: // \n", "schema-comments-dropped",
    ),
}  # fmt: skip
for name, default in {
    "string": '"Rome"', "enum": "c", "union": "3", "array": "[]", "object": "{}", "number": "1", "boolean": "true",
}.items():  # fmt: skip
    CHANGES[f"misspelt default of a {name}"] = (
        TALK, f" // default: {default}\n", f" // defualt: {default}\n", "default-literal",
    )  # fmt: skip
CHANGES["misspelt default of a oneOf"] = (TALK, '// default: "x"\n', '// defualt: "x"\n', "default-literal")
CHANGES["misspelt default of a variant"] = (
    TALK,
    ' | string // default: "x"',
    ' | string // defualt: "x"',
    "default-literal",
)
CHANGES["default of a variant lost"] = (TALK, ' | string // default: "x"', " | string", "default-literal")


@lru_cache(maxsize=1)
def oracle() -> HarmonyOracle:
    return HarmonyOracle(profile("harmony"))


def changed(text: str, old: str, new: str) -> str:
    """Change a text; `{}` stands for what lies between two texts that change places."""
    if "{}" in old and old != "{}":
        first, last = old.split("{}")[0], old.rsplit("{}", 1)[1]
        if first and last and first in text and last in text:
            found = re.search(f"{re.escape(first)}(.*?){re.escape(last)}", text, re.DOTALL)
            if found is not None and new.count("{}") == 1 and (first + last) not in text:
                return text.replace(found[0], new.replace("{}", found[1]), 1)
    assert old in text, old
    return text.replace(old, new, 1)


def names(case: Case, old: str, new: str) -> tuple[Rendering, str, set[str]]:
    rendering = oracle().render(case)
    text = changed(rendering.text, old, new)
    return rendering, text, {found.rule for found in classify(case, rendering, text, profile("harmony"))}


@pytest.mark.parametrize("name", CHANGES)
def test_one_difference_has_one_name(name: str) -> None:
    case, old, new, rule = CHANGES[name]
    rendering, text, found = names(case, old, new)
    assert found == {rule}
    pairs = side_by_side(rendering, align(rendering, text))
    assert "".join(pair.expected or "" for pair in pairs) == rendering.text
    assert "".join(pair.actual or "" for pair in pairs) == text
