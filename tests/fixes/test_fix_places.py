"""The places of fixes are found by structure, and refused when they are not found or found twice."""

from __future__ import annotations

import pytest
from fix_helpers import REFERENCE, WRONG, edited, known_templates

from conformance.fixes.base import SkippedError, fixes
from conformance.fixes.places import branches, developer_block, loop_of, message_loop, only, tools_loop
from conformance.template.parts import Source

FIXES = {fix.name: fix for fix in fixes()}


def skipped(name: str, text: str) -> str:
    with pytest.raises(SkippedError) as caught:
        FIXES[name].apply(Source(text))
    return str(caught.value)


def test_all_places_of_every_harmony_template_are_found() -> None:
    texts = {template.name: template.text for template in known_templates() if template.harmony}
    for name, text in {"reference": REFERENCE, "wrong": WRONG, **texts}.items():
        source = Source(text)
        loop = message_loop(source)
        for role in ("assistant", "tool"):
            assert len(branches(loop, role)) == 1, (name, role)
        assert (
            "<|start|>developer" in source.text[developer_block(source).start : developer_block(source).end]
        )
        _, tools = tools_loop(source)
        assert loop_of(tools)[0] == "tool", name


# What has to be taken from the wrong template so that a fix does not find its place, or finds it twice.
LOOP = WRONG[WRONG.index("{%- for message in rest -%}") : WRONG.index("{%- if add_generation_prompt")]
DEVELOPER = WRONG[WRONG.index("{%- if opening or tools -%}") : WRONG.index("{%- set last = ")]
TOOLS = WRONG[WRONG.index("    {%- for tool in tools %}") : WRONG.index("    {{- '} // namespace ' ~ name")]
PROMPT = WRONG[WRONG.index("{%- if add_generation_prompt") :]
ASSISTANT = LOOP[
    LOOP.index("    {%- elif message.role == 'assistant' -%}") : LOOP.index(
        "    {%- elif message.role == 'tool'"
    )
]

PLACES = [
    ("assistant-and-results", LOOP, "the loop over the messages"),
    ("plain-arguments", LOOP, "the loop over the messages"),
    ("plain-results", LOOP, "the loop over the messages"),
    ("final-channel", LOOP, "the loop over the messages"),
    ("later-instructions", LOOP, "the loop over the messages"),
    ("newlines-between-sections", DEVELOPER, "the block that writes the developer message"),
    ("developer-message", DEVELOPER, "the block that writes the developer message"),
    ("tool-definitions", TOOLS, "the loop over the tools"),
]


@pytest.mark.parametrize(("name", "place", "what"), PLACES, ids=[row[0] for row in PLACES])
def test_a_place_that_is_not_there(name: str, place: str, what: str) -> None:
    assert skipped(name, edited(WRONG, place, "")) == f"{what} was not found"


@pytest.mark.parametrize(("name", "place", "what"), PLACES, ids=[row[0] for row in PLACES])
def test_a_place_that_is_there_twice(name: str, place: str, what: str) -> None:
    assert skipped(name, edited(WRONG, place, place + place)) == f"{what} was found twice"


def test_a_branch_that_is_there_twice() -> None:
    assert skipped("plain-arguments", edited(WRONG, ASSISTANT, ASSISTANT * 2)) == (
        "the branch for the role assistant was found twice"
    )


def test_a_prompt_that_is_written_twice() -> None:
    assert "was found twice" in skipped("generation-prompt", WRONG + PROMPT)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain-results", "no expression that encodes content as JSON was found"),
        ("plain-arguments", "no expression that encodes arguments as JSON was found"),
        ("final-channel", "an assistant message without a channel was not found"),
        ("thinking-channel", "thinking in another channel was not found"),
        ("preamble-channel", "text beside calls in the channel analysis was not found"),
        ("content-type", "a marker before the content type was not found"),
        ("whitespace-between-tags", "no space between tags is left"),
    ],
)
def test_what_is_right_offers_no_place(name: str, said: str) -> None:
    assert said in skipped(name, REFERENCE)


def test_numbers_are_told() -> None:
    assert only([7], "it") == 7
    for count, said in ((0, "it was not found"), (2, "it was found twice"), (5, "it was found 5 times")):
        with pytest.raises(SkippedError, match=said):
            only(list(range(count)), "it")


SECTION = "assistant-and-results"
CALLS = "{%- if message.tool_calls -%}"
LOOP_TAG = "{%- for message in rest -%}"
TOOL = "{%- set tool = tool.function -%}"
NOTE = "{%- if tools -%}\n    {{- '\\nCalls"


@pytest.mark.parametrize(
    ("name", "find", "replace", "said"),
    [
        (SECTION, CALLS, "{%- if message.content[0].type != 'image' -%}", "handles 'image' parts"),
        (SECTION, CALLS, "{%- if message.tool_calls or message.mood -%}", "reads message.mood"),
        (SECTION, LOOP_TAG, "{%- for message in rest if message -%}", "has a form that is not known"),
        ("tool-definitions", TOOL, "{%- if tool.kind == 'video' -%}{%- endif -%}", "handles 'video' parts"),
        ("system-message", NOTE, NOTE.replace("if tools", "if tools and region"), "reads region"),
        (
            "developer-message",
            "{%- if opening -%}",
            "{%- if opening|length -%}",
            "under the test 'opening|length'",
        ),
    ],
)
def test_what_cannot_be_judged_is_left(name: str, find: str, replace: str, said: str) -> None:
    assert said in skipped(name, edited(WRONG, find, replace))


def test_images_of_user_messages_do_not_keep_the_rest_from_repair() -> None:
    user = "{{- '<|start|>user<|message|>' ~ message.content ~ '<|end|>' -}}"
    images = "{%- for part in message.content -%}{{- '<image>' if part.type == 'image' -}}{%- endfor -%}"
    text = FIXES["assistant-and-results"].apply(Source(edited(WRONG, user, images)))
    assert text.count(images) == 1
    assert "harmony_assistant_text(message" in text
