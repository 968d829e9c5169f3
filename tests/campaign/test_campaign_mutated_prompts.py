"""Whatever a template writes is compared, named and taken apart: prompts that are torn at random never end a run."""

from __future__ import annotations

import random

import pytest

from conformance.campaign.assemble import region_words, structure
from conformance.campaign.judge import Answer, Judge
from conformance.engines.base import Rendered
from conformance.generate import Hints, case_at
from conformance.oracles.profile import profile

PIECES = (
    "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>", "<|return|>", "\n", "\n\n", " ", "// ", "type ",
    "{", "}", ",", " | null", "system", "user", "developer", "assistant", "# Tools", "# Instructions",
    "namespace functions {\n", "} // namespace functions", "=> any;", "final", "analysis", "commentary", " json",
    "Reasoning: ", "Current date: ", "", "x", '"', "\r\n", "default: ", "?", "[]", "null",
)  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(profile("harmony"))


def torn(text: str, draw: random.Random) -> str:
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        start = draw.randrange(len(text) + 1)
        stop = min(len(text), start + draw.choice((1, 2, 5, 20, 100, 400)))
        piece = draw.choice(PIECES)
        messages = text.split("<|start|>")
        draw.shuffle(messages)
        lines = text.split("\n")
        del lines[draw.randrange(len(lines))]
        text = draw.choice((
            text[:start] + text[stop:],
            text[:start] + piece + text[start:],
            text[:start] + text[start:stop] + text[start:],
            text[:start] + piece + text[stop:],
            text.replace(draw.choice(PIECES) or "x", piece, draw.choice((1, -1))),
            "<|start|>".join(messages),
            "\n".join(lines),
        ))  # fmt: skip
    return text


def judged(judge: Judge, answer: Answer, text: str) -> list[str]:
    found = judge.judge(answer, Rendered(text))
    structure(answer, found, "")
    return [f"{each.rule} {region_words(each)}" for each in found.found]


def test_torn_prompts_are_named(judge: Judge) -> None:
    draw = random.Random(5)
    different = 0
    for index in range(400):
        answer = judge.answer(case_at(77, index, Hints()))
        if answer is None:
            continue
        text = torn(answer.rendering.text, draw)
        if text != answer.rendering.text:
            different += 1
            assert judged(judge, answer, text), index
    assert different > 300


@pytest.mark.parametrize(
    "header",
    ["System<|message|>", "user<|message|>", "system\n<|message|>", "system<|channel|>final<|message|>"],
)
def test_another_header_before_the_identity(judge: Judge, header: str) -> None:
    answer = judge.answer(case_at(1, 0, Hints()))
    assert answer is not None
    text = answer.rendering.text.replace("<|start|>system<|message|>", f"<|start|>{header}", 1)
    assert judged(judge, answer, text)


def test_a_prompt_that_ends_in_a_start(judge: Judge) -> None:
    answer = judge.answer(case_at(1, 0, Hints()))
    assert answer is not None
    text = answer.rendering.text.removesuffix("assistant").replace("You are", "You were", 1)
    assert text.endswith("<|start|>")
    assert judged(judge, answer, text)


def test_what_is_only_added_stands_where_it_was_added(judge: Judge) -> None:
    answer = judge.answer(case_at(1, 0, Hints()))
    assert answer is not None
    expected = answer.rendering.text
    place = expected.index("<|end|>") + len("<|end|>")
    (found,) = judge.judge(answer, Rendered(expected[:place] + "\n" + expected[place:])).found
    assert found.difference is not None
    assert found.rule == "extra-newline"
    assert (found.difference.offset, found.difference.actual_offset) == (place, place)
