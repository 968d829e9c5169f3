"""What templates may do is not reported, or only as a note: precision matters more than recall."""

from __future__ import annotations

import pytest
from checks_helpers import examined, found, told
from planted import GOOD

_USERS = "{%- for message in messages -%}"
_THINK = "{%- if message.thinking -%}[think]{{ message.thinking }}[/think]{%- endif -%}"


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_thinking_of_earlier_turns_may_be_dropped() -> None:
    last = "{%- set last = messages | map(attribute='role') | list -%}"
    kept = "{%- if message.thinking and 'user' not in last[loop.index:] -%}"
    drops = edited(_THINK, _THINK.replace("{%- if message.thinking -%}", kept))
    assert found(last + drops) == set()


def test_an_empty_thought_may_be_dropped_too() -> None:
    last = "{%- set last = messages | map(attribute='role') | list -%}"
    empty = "{%- if 'user' not in last[loop.index:] -%}[think]{{ message.thinking }}[/think]{%- endif -%}"
    assert found(last + edited(_THINK, empty)) == set()


def test_a_thought_that_swallows_the_answer_is_no_legal_drop() -> None:
    """As some templates do: an earlier message with thinking loses its answer instead."""
    content = "{{ text(message.content) }}\n{%- for call"
    swallows = edited(
        content, "{{ text(message.content) if loop.last or not message.thinking }}\n{%- for call"
    )
    assert ("text-lost", "final", "error") in found(swallows)
    assert ("prefix-unstable", "text of earlier messages", "warning") in found(swallows)


def test_tools_behind_the_last_message_break_the_prefix() -> None:
    """As templates do that keep tools near the answer: each turn moves them, so that no cached prompt is of use."""
    tools = "{%- if tools -%}[tools]{{ tools | tojson }}[end]{%- endif -%}"
    prompt = "{%- if add_generation_prompt -%}"
    moved = edited(tools, "").replace(prompt, tools + prompt)
    told_of = found(moved)
    assert ("prefix-unstable", "tools behind the last message", "warning") in told_of
    assert "end-unstable" not in {rule for rule, _, _ in told_of}


def test_refusals_in_words_are_notes() -> None:
    refuses = edited(
        _USERS,
        "{%- if tools -%}{{ raise_exception('no tools') }}{%- endif -%}"
        "{%- if messages[0].role not in ('user', 'developer') -%}{{ raise_exception('no system') }}{%- endif -%}"
        + _USERS,
    )
    severities = {severity for _, _, severity in found(refuses)}
    assert severities == {"note"}


def test_turns_that_must_take_turns_are_a_note() -> None:
    text = edited(
        _USERS,
        _USERS
        + "{%- if message.role == 'user' and not loop.last and messages[loop.index].role == 'user' -%}"
        + "{{ raise_exception('take turns') }}{%- endif -%}",
    )
    assert found(text) == {("template-rejected", "two-users", "note")}


def test_a_template_that_knows_no_tools_gets_notes_only() -> None:
    chat = (
        "{% for m in messages %}<{{ m.role }}>"
        "{{ m.content if m.content is string else m.content[0].text if m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    rules = found(chat)
    assert {(rule, severity) for rule, _, severity in rules} == {("unsupported-input", "note")}
    assert {what for _, what, _ in rules} == {"tools", "tool calls"}


def test_calls_in_python_may_hold_python_constants() -> None:
    pythonic = edited(
        "{{ call.arguments if call.arguments is string else call.arguments | tojson }}",
        "({% for key, value in call.arguments.items() %}{{ key }}="
        '{{ "\'" ~ value ~ "\'" if value is string else value }}, {% endfor %})',
    )
    assert "python-repr" not in {rule for rule, _, _ in found(pythonic)}


def test_dates_reckoned_with_are_dates() -> None:
    dated = edited(
        "{{- bos_token -}}",
        "{{- bos_token -}}{{ strftime_now('%A %d %B %Y') }}, day {{ strftime_now('%j') | int - 1 }}이다",
    )
    assert "not-reproducible" not in {rule for rule, _, _ in found(dated)}


def test_a_template_of_parts_is_tried_with_parts() -> None:
    parts = edited(
        "{%- if content is string -%}{{ content }}{%- elif content -%}",
        "{%- if content is not string and content -%}",
    )
    assert found(parts) == {("text-lost", "content that is a string", "warning")}


def test_a_template_of_string_arguments_is_tried_with_strings() -> None:
    strings = edited(
        "{{ call.arguments if call.arguments is string else call.arguments | tojson }}",
        "{{ '' + call.arguments }}",
    )
    assert found(strings) == {("template-crashed", "arguments that are an object", "warning")}


def test_a_template_that_shows_no_text_is_asked_once() -> None:
    seen = examined("{% for m in messages %}<audio>{% endfor %}").seen
    assert [told(one) for one in seen] == [("text-lost", "user", "error")]


def test_a_template_for_requests_with_tools_needs_them() -> None:
    needs = edited("{%- if tools -%}[tools]", "{%- if tools | length -%}[tools]")
    assert ("unsupported-input", "requests without tools", "note") in found(needs)
    assert "error" not in {severity for _, _, severity in found(needs)}


@pytest.mark.parametrize("word", ["tools", "tool_calls"])
def test_words_of_the_template_s_own_text_are_no_support(word: str) -> None:
    chat = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    assert {(r, w) for r, w, _ in found(f"Use {word}. {chat}") if r == "unsupported-input"} == {
        ("unsupported-input", "tools"),
        ("unsupported-input", "tool calls"),
    }
