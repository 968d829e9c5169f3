"""The reference template renders exactly as Harmony, refuses what Harmony cannot express, and stays portable."""

from __future__ import annotations

import re
from functools import cache

import jinja2
import pytest
from directed import ACCEPTED, REFUSED, Accepted, Refused
from million import compare
from template_branches import BranchCounter

from conformance.engines.base import Rejected, Rendered, Request
from conformance.engines.in_process import InProcessHost
from conformance.generate.grammar import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource
from conformance.shapes import draw, shapes

SEED = 20_26
CHUNKS, CHUNK = 8, 2_500
SOURCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")


@cache
def host(engine: str) -> InProcessHost:
    return InProcessHost(engine)


@cache
def oracle() -> HarmonyOracle:
    return HarmonyOracle()


def context(request: Request) -> dict[str, object]:
    return {
        "messages": request.messages,
        "tools": request.tools,
        "add_generation_prompt": request.add_generation_prompt,
        **request.kwargs,
    }


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_generated_cases_equal_harmony(chunk: int) -> None:
    result = compare(SOURCE, SEED, chunk * 2 * CHUNK, CHUNK)
    assert result.cases == CHUNK
    assert result.differing == 0, result.examples


def test_comparison_sees_a_planted_fault() -> None:
    assert SOURCE.count("// Examples:") == 1
    assert compare(SOURCE.replace("// Examples:", "// Example:"), SEED, 0, 200).differing > 0


@pytest.mark.parametrize("engine", ["transformers", "jinja2"])
@pytest.mark.parametrize("made", ACCEPTED, ids=[made.name for made in ACCEPTED])
def test_input_by_hand_equals_harmony(made: Accepted, engine: str) -> None:
    assert host(engine).render(SOURCE, made.request) == Rendered(oracle().render(made.case).text)


@pytest.mark.parametrize("engine", ["transformers", "jinja2"])
@pytest.mark.parametrize("made", REFUSED, ids=[made.name for made in REFUSED])
def test_input_is_refused_with_a_clear_message(made: Refused, engine: str) -> None:
    outcome = host(engine).render(SOURCE, made.request)
    assert isinstance(outcome, Rejected), outcome
    assert made.words in outcome.message
    assert outcome.message.endswith(".")


def test_every_branch_runs() -> None:
    counter, choices = BranchCounter(SOURCE), shapes()
    for index in range(1_500):
        request = draw(choices, index).request(case_at(SEED, index))
        counter.render(request.date, **context(request))
    for made in [*ACCEPTED, *REFUSED]:
        try:
            counter.render(made.request.date, **context(made.request))
        except jinja2.TemplateError:
            assert isinstance(made, Refused)
    counter.render("2025-06-28", messages=[])  # no option is defined
    # Python writes every float in full; the other way is llama.cpp's, and test_reference_engines takes it there.
    in_llama_cpp = next(
        number for number, line in enumerate(SOURCE.split("\n"), 1) if "else value ~ ''" in line
    )
    assert {line for line, _ in counter.never_run()} == {in_llama_cpp}


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("undefined", [jinja2.Undefined, jinja2.StrictUndefined])
def test_host_settings_change_nothing(trim: bool, undefined: type[jinja2.Undefined]) -> None:
    # Jinja2's own tojson escapes < > & ' and everything that is not ASCII; the first can be undone.
    environment = jinja2.Environment(trim_blocks=trim, lstrip_blocks=trim, undefined=undefined)
    environment.globals["strftime_now"] = lambda _: "2025-06-28"
    template, choices, compared = environment.from_string(SOURCE), shapes(), 0
    for index in range(600):
        case, shape = case_at(SEED, index), draw(choices, index)
        expected = oracle().render(case).text
        if shape.loses(case) or case.options.date != "2025-06-28" or not expected.isascii():
            continue
        request = shape.request(case)
        assert template.render(context(request)) == expected
        compared += 1
    assert compared > 200


def test_source_keeps_to_what_every_engine_has() -> None:
    body = re.sub(r"\{#-.*?-#\}", "", SOURCE, flags=re.DOTALL)
    assert "{#" not in body
    for opened, closed in (("{{", "}}"), ("{%", "%}")):
        assert body.count(opened) == body.count(f"{opened}-"), f"{opened} without -"
        assert body.count(f"-{closed}") == body.count(opened), f"{closed} without -"
    for word in (
        ".items(",
        ".append(",
        ".get(",
        ".keys(",
        "tojson(",
        "|safe",
        "break",
        "continue",
        "trim(",
        "|sum",
    ):
        assert word not in body, word
    assert not re.search(r"[(=,<>] *-\d", re.sub(r"'[^'\n]*'", "''", body)), (
        "llama.cpp refuses some negative literals"
    )
    # Every character between the tags would be written by engines that do not strip it.
    assert re.sub(r"\{\{-.*?-\}\}|\{%-.*?-%\}", "", body, flags=re.DOTALL).strip() == ""


def test_long_conversation_stays_fast() -> None:
    messages: list[dict[str, object]] = []
    for number in range(400):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": {"n": number}}}
        messages.append({"role": "assistant", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": "r"})
    outcome = host("transformers").render(SOURCE, Request(messages, None, {}, True, "2025-06-28"))
    assert isinstance(outcome, Rendered)
    assert outcome.text.count("<|start|>functions.f to=assistant") == 400
