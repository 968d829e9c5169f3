"""The oracle against what is printed in Harmony's own documents.

Source: openai/harmony, docs/format.md (sections in the tests' names) and the conversations of its
tests/test_harmony.py. The texts below are short facts of that document, written out by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from conformance.conversation import Assistant, Case, Tool, ToolCall
from conformance.oracles.harmony import HarmonyOracle

CaseOf = Callable[..., Case]

HEAD = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n"
    "Current date: 2025-06-28\n\n"
    "Reasoning: {effort}\n\n"
)
CHANNELS = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
NOTE = "\nCalls to these tools must go to the commentary channel: 'functions'."

FORMAT_PROPERTY = {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"}
LOCATION = Tool(name="get_location", description="Gets the location of the user.")
WEATHER = Tool(
    name="get_current_weather",
    description="Gets the current weather in the provided location.",
    parameters={
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "format": FORMAT_PROPERTY,
        },
        "required": ["location"],
    },
)
WEATHERS = Tool(
    name="get_multiple_weathers",
    description="Gets the current weather in the provided list of locations.",
    parameters={
        "type": "object",
        "properties": {
            "locations": {
                "type": "array",
                "items": {"type": "string"},
                "description": 'List of city and state, e.g. ["San Francisco, CA", "New York, NY"]',
            },
            "format": FORMAT_PROPERTY,
        },
        "required": ["locations"],
    },
)
DEVELOPER = """<|start|>developer<|message|># Instructions

Use a friendly tone.

# Tools

## functions

namespace functions {

// Gets the location of the user.
type get_location = () => any;

// Gets the current weather in the provided location.
type get_current_weather = (_: {
// The city and state, e.g. San Francisco, CA
location: string,
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

// Gets the current weather in the provided list of locations.
type get_multiple_weathers = (_: {
// List of city and state, e.g. ["San Francisco, CA", "New York, NY"]
locations: string[],
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

} // namespace functions<|end|>"""
QUESTION = "<|start|>user<|message|>What is the weather like in SF?<|end|>"
ASK = "<|start|>assistant"


def system(effort: str = "medium", *, tools: bool = False) -> str:
    return HEAD.format(effort=effort) + CHANNELS + (NOTE if tools else "") + "<|end|>"


def weather_case(case_of: CaseOf, *more: Any) -> Case:
    return case_of(
        "system: Use a friendly tone.",
        "user: What is the weather like in SF?",
        *more,
        tools=(LOCATION, WEATHER, WEATHERS),
        reasoning_effort="high",
    )


def test_chat_conversation_format(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    text = oracle.render(case_of("user: What is 2 + 2?")).text
    assert text == f"{system()}<|start|>user<|message|>What is 2 + 2?<|end|>{ASK}"


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_and_developer_message_format(
    oracle: HarmonyOracle, case_of: CaseOf, effort: str, role: str
) -> None:
    text = oracle.render(case_of(f"{role}: Answer like a robot.", "user: Hi", reasoning_effort=effort)).text
    assert text == (
        f"{system(effort)}<|start|>developer<|message|># Instructions\n\nAnswer like a robot.<|end|>"
        f"<|start|>user<|message|>Hi<|end|>{ASK}"
    )


def test_defining_available_tools(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    text = oracle.render(weather_case(case_of)).text
    assert text == system("high", tools=True) + DEVELOPER + QUESTION + ASK


CALL = Assistant(
    thinking="Need to use function get_weather.",
    calls=(ToolCall(name="get_weather", arguments='{"location":"San Francisco"}'),),
)
RESULT = 'result: 0 {"sunny": true, "temperature": 20}'
THOUGHT = "<|start|>assistant<|channel|>analysis<|message|>Need to use function get_weather.<|end|>"
CALL_BODY = '<|message|>{"location":"San Francisco"}<|call|>'
RESULT_TEXT = (
    "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>"
    '{"sunny": true, "temperature": 20}<|end|>'
)


@pytest.mark.parametrize(
    ("profile", "marker"),
    [
        ("harmony", " json"),
        ("documented", " json"),
        ("constrain", " <|constrain|>json"),
        ("constrain-spaced", " <|constrain|> json"),
    ],
)
def test_handling_tool_calls(
    oracles: Mapping[str, HarmonyOracle], case_of: CaseOf, profile: str, marker: str
) -> None:
    text = oracles[profile].render(weather_case(case_of, CALL, RESULT)).text
    assert text == (
        system("high", tools=True) + DEVELOPER + QUESTION + THOUGHT
        + f"<|start|>assistant to=functions.get_weather<|channel|>commentary{marker}{CALL_BODY}"
        + RESULT_TEXT + ASK
    )  # fmt: skip


def test_handling_tool_calls_as_printed(oracles: Mapping[str, HarmonyOracle], case_of: CaseOf) -> None:
    """The document writes the recipient after the channel and says that both places are good: for Harmony's
    parser they are one message."""
    oracle = oracles["constrain"]
    printed = (
        system("high", tools=True) + DEVELOPER + QUESTION + THOUGHT
        + f"<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json{CALL_BODY}"
        + RESULT_TEXT
    )  # fmt: skip
    ours = oracle.render(weather_case(case_of, CALL, RESULT))
    assert oracle.parse(oracle.encode(printed)) == oracle.parse(ours.tokens[:-2])


def test_the_tokens_of_the_document(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    """The document's streaming example gives these tokens for the answer to 2 + 2."""
    case = case_of(
        "user: What is 2 + 2?",
        Assistant(
            thinking='User asks: "What is 2 + 2?" Simple arithmetic. Provide answer.', final="2 + 2 = 4."
        ),
        mode="training",
    )
    tokens = oracle.render(case).tokens
    assert tokens[-12:] == [200005, 17196, 200008, 17, 659, 220, 17, 314, 220, 19, 13, 200002]
    at = tokens.index(35644)
    assert tokens[at - 3 : at + 8] == [200006, 173781, 200005, 35644, 200008, 1844, 31064, 25, 392, 4827, 382]


def test_special_tokens_have_the_documented_ids(oracle: HarmonyOracle) -> None:
    documented = {
        "<|start|>": 200006,
        "<|end|>": 200007,
        "<|message|>": 200008,
        "<|channel|>": 200005,
        "<|constrain|>": 200003,
        "<|return|>": 200002,
        "<|call|>": 200012,
    }
    assert {text: oracle.encode(text) for text in documented} == {k: [v] for k, v in documented.items()}


def test_preambles(oracles: Mapping[str, HarmonyOracle], case_of: CaseOf) -> None:
    step = Assistant(
        thinking="long chain of thought",
        preamble="**Action plan**:\n1. Generate an HTML file",
        calls=(ToolCall(name="generate_file", arguments='{"template": "basic_html"}'),),
    )
    text = oracles["constrain"].render(case_of("user: Go", step)).text
    assert text.endswith(
        "<|start|>assistant<|channel|>analysis<|message|>long chain of thought<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>**Action plan**:\n1. Generate an HTML file<|end|>"
        "<|start|>assistant to=functions.generate_file<|channel|>commentary <|constrain|>json<|message|>"
        f'{{"template": "basic_html"}}<|call|>{ASK}'
    )


def test_reasoning_in_subsequent_sampling(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    """Earlier thinking goes once its turn ended in final (the document's `<|return|>` there is a slip: its own
    note says that history ends in `<|end|>`)."""
    text = oracle.render(
        case_of(
            "user: What is 2 + 2?",
            Assistant(thinking="Simple arithmetic.", final="2 + 2 = 4."),
            "user: What about 9 / 2?",
        )
    ).text
    assert text == (
        f"{system()}<|start|>user<|message|>What is 2 + 2?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|end|>"
        f"<|start|>user<|message|>What about 9 / 2?<|end|>{ASK}"
    )


BROWSER_LINES = (
    "# Tools\n\n## browser\n\n// Tool for browsing.\n// The `cursor` appears in brackets before each browsing",
    "// Cite information from the tool using the following format:\n// `【{cursor}†L{line_start}",
    (
        "namespace browser {\n\n// Searches for information related to `query` and displays `topn` results.\n"
        "type search = (_: {\nquery: string,\ntopn?: number, // default: 10\n"
    ),
    "type open = (_: {\n",
    (
        "// Finds exact matches of `pattern` in the current page, or the page given by `cursor`.\n"
        "type find = (_: {\npattern: string,\ncursor?: number, // default: -1\n}) => any;\n\n} // namespace browser\n\n"
    ),
)
PYTHON_LINES = (
    "## python\n\nUse this tool to execute Python code in your chain of thought.",
    "When you send a message containing Python code to python, it will be executed in a stateful Jupyter",
    "Internet access for this session is UNKNOWN. Depends on the cluster.\n\n# Valid channels: ",
)


@pytest.mark.parametrize(
    ("tools", "lines"),
    [
        (("browser",), BROWSER_LINES),
        (("python",), PYTHON_LINES),
        (("browser", "python"), BROWSER_LINES + PYTHON_LINES),
        (("python", "browser"), BROWSER_LINES + PYTHON_LINES),  # Harmony sorts namespaces by name
    ],
)
def test_builtin_tools(
    oracle: HarmonyOracle, case_of: CaseOf, tools: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    text = oracle.render(case_of("user: Hi", builtin_tools=tools)).text
    places = [text.find(line) for line in lines]
    assert -1 not in places
    assert places == sorted(places)
    assert NOTE not in text  # the note is about functions only
    # A system message between the two dates and channels lines, nothing else.
    assert text.startswith(HEAD.format(effort="medium") + "# Tools\n\n## ")
    assert f"{CHANNELS}<|end|><|start|>user" in text


KITCHENSINK = Tool(
    name="kitchensink",
    description="A function with various complex schemas.",
    parameters={
        "description": "params object",
        "type": "object",
        "properties": {
            "string": {
                "type": "string", "title": "STRING", "description": "A string", "examples": ["hello", "world"],
            },
            "string_nullable": {
                "type": "string", "nullable": True, "description": "A nullable string", "default": "the default",
            },
            "string_enum": {"type": "string", "enum": ["a", "b", "c"]},
            "oneof_string_or_number": {
                "oneOf": [
                    {"type": "string", "default": "default_string_in_oneof"},
                    {"type": "number", "description": "numbers can happen too"},
                ],
                "description": "a oneof",
                "default": 20,
            },
        },
    },
)  # fmt: skip


def test_complex_schemas_as_in_harmonys_own_test(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    """The conversation of Harmony's test_render_functions_with_parameters, its tool `kitchensink`."""
    rendered = oracle.render(case_of("user: Hi", tools=(KITCHENSINK,)))
    assert rendered.exact_spans
    assert (
        """type kitchensink = (_: // params object
{
// STRING
//
// A string
// Examples:
// - "hello"
// - "world"
string?: string,
// A nullable string
string_nullable?: string | null, // default: "the default"
string_enum?: "a" | "b" | "c",
// a oneof
// default: 20
oneof_string_or_number?:
 | string // default: "default_string_in_oneof"
 | number // numbers can happen too
,
}) => any;
"""
        in rendered.text
    )
