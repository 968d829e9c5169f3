"""The training variant is the reference template with marks around what the assistant wrote."""

from __future__ import annotations

import pytest
from million import compare
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

from conformance.conversation import Case
from conformance.generate.grammar import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource
from conformance.shapes import draw, shapes
from tools.training_variant import training_variant

SEED = 7
SPOKEN = ("thinking", "preamble", "call", "final")
PROMPT = "<|start|>assistant"
REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
TRAINING = resource("templates", "gpt-oss-training.jinja").read_text("utf-8")


def test_committed_file_is_the_generated_one() -> None:
    assert training_variant(REFERENCE) == TRAINING


@pytest.mark.parametrize("count", [0, 2])
def test_mark_must_stand_there_once(count: int) -> None:
    mark = "{#- training: generation -#}"
    with pytest.raises(ValueError, match=f"{count} times instead of once"):
        training_variant(REFERENCE.replace(mark, mark * count))


def test_text_equals_harmony() -> None:
    result = compare(TRAINING, SEED, 0, 1_000)
    assert result.differing == 0, result.examples


def spoken(oracle: HarmonyOracle, case: Case) -> list[str]:
    """Return what the assistant wrote, message by message, without the prompt that each began with."""
    said: dict[int, str] = {}
    for block in oracle.render(case).blocks:
        if block.kind in SPOKEN:
            said[block.index] = said.get(block.index, "") + block.text
    return [text.removeprefix(PROMPT) for text in said.values()]


def test_marks_cover_exactly_what_the_assistant_wrote() -> None:
    oracle, choices, marked = HarmonyOracle(), shapes(), 0
    for index in range(300):
        case, shape = case_at(SEED, index), draw(choices, index)
        if shape.loses(case):
            continue
        request = shape.request(case)
        _compile_jinja_template(TRAINING).globals["strftime_now"] = lambda _, date=request.date: date
        texts, spans = render_jinja_template(
            conversations=[request.messages],
            tools=request.tools,
            chat_template=TRAINING,
            return_assistant_tokens_mask=True,
            add_generation_prompt=request.add_generation_prompt,
            **request.kwargs,
        )
        found = [texts[0][start:end] for start, end in spans[0]]
        assert found == spoken(oracle, case)
        assert all(texts[0][:start].endswith(PROMPT) for start, _ in spans[0])
        marked += len(found)
    assert marked > 100
