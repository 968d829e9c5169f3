"""Response templates: the reference gives every step back, and each planted fault is told by its rule."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from package_files import RESPONSE, changed, findings, write_folder

from conformance.conversation import Assistant, Case, Conversation, ToolCall, User
from conformance.responses.judge import judge
from conformance.responses.steps import Steps
from conformance.rules import catalogue

Plant = Callable[[dict[str, Any]], None]


def field(name: str, **values: Any) -> Plant:
    def plant(template: dict[str, Any]) -> None:
        template["fields"][name].update(values)

    return plant


def without(name: str, key: str | None = None) -> Plant:
    def plant(template: dict[str, Any]) -> None:
        if key is None:
            del template["fields"][name]
        else:
            del template["fields"][name][key]

    return plant


def instead(name: str, old: str, new: str) -> Plant:
    def plant(template: dict[str, Any]) -> None:
        assert old in template["fields"][name]["open_pattern"]
        pattern = template["fields"][name]["open_pattern"].replace(old, new)
        template["fields"][name]["open_pattern"] = pattern

    return plant


# For each rule an obvious fault and a subtle one.
PLANTED: list[tuple[str, Plant]] = [
    ("response-template-unreadable", lambda template: template.update(version=2)),
    ("response-template-unreadable", field("thinking", open_pattern="(?:<\\|channel")),
    ("response-not-parsed", field("tool_calls", content_args={})),
    ("response-not-parsed", field("content", optional=False)),
    ("response-thinking", without("thinking")),
    ("response-thinking", field("thinking", content_args={"strip": True})),
    ("response-content", without("content", "close")),
    ("response-content", instead("content", "(?:final|commentary)", "(?:final)")),
    ("response-calls", without("tool_calls", "repeats")),
    ("response-calls", instead("tool_calls", "[^<\\s]+", "[a-z_]+")),
]


# The subtler ones of content and calls are tried by `nox -s long_tests`.
@pytest.mark.parametrize("number", [*range(7), 8, *(pytest.param(n, marks=pytest.mark.long) for n in (7, 9))])
def test_a_planted_fault_is_told_by_its_rule(number: int) -> None:
    rule, plant = PLANTED[number]
    template = copy.deepcopy(RESPONSE)
    plant(template)
    tally = judge(template, 200)
    assert max(tally.faults, key=lambda slug: tally.faults[slug]) == rule
    _, fault = tally.shortest[rule]
    assert fault.said != fault.parsed


def test_every_rule_about_responses_has_two_planted_faults() -> None:
    rules = {rule.slug for rule in catalogue() if rule.family == "responses"} - {"response-template-missing"}
    assert {rule: sum(rule == planted for planted, _ in PLANTED) for rule in rules} == dict.fromkeys(rules, 2)


def test_the_reference_gives_every_step_back() -> None:
    tally = judge(RESPONSE, 300, seed=5)
    assert (tally.judged, tally.right, tally.faults) == (300, 300, {})
    assert tally.untold


def test_steps_are_harmonys_text_behind_the_prompt() -> None:
    calls = (ToolCall("f", {"a": 1}), ToolCall("g", "{}"))
    said = Assistant(thinking="t", preamble="p", calls=calls)
    case = Case(Conversation((User("q"), said, Assistant(final="end"))))
    first, last = Steps().of(case)
    assert first.prompt.endswith("<|start|>user<|message|>q<|end|><|start|>assistant")
    assert first.written == (
        "<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>commentary<|message|>p<|end|>"
        '<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{"a": 1}<|call|>'
        "<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{}<|call|>"
    )
    assert last.written == "<|channel|>final<|message|>end<|return|>"
    assert first.untold == last.untold == ""


def test_what_no_text_can_tell_is_not_judged() -> None:
    forged = Assistant(final="<|end|> is a token")
    quoted = Assistant(calls=(ToolCall("f", '"text"'),))
    steps = list(Steps().of(Case(Conversation((User("q"), forged, quoted)))))
    assert [bool(step.untold) for step in steps] == [True, True]


def test_a_package_says_what_its_response_template_loses(tmp_path: Path) -> None:
    template = copy.deepcopy(RESPONSE)
    del template["fields"]["thinking"]
    folder = write_folder(tmp_path / "m", changed("tokenizer_config.json", response_template=template))
    (found,) = findings(folder)
    assert (found.code, found.severity) == ("HT873", "error")
    assert found.where == "tokenizer_config.json, response_template"
    assert "of 500 steps of the assistant" in found.message
    assert json.loads(found.expected)
    none = changed("tokenizer_config.json")
    del none["tokenizer_config.json"]["response_template"]
    (missing,) = findings(write_folder(tmp_path / "n", none))
    assert (missing.rule, missing.severity, missing.checked) == ("response-template-missing", "note", False)
