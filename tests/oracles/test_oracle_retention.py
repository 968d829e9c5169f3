"""Which thinking stays: the three settings, in both modes, and how messages end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.conversation import Assistant, Case, ToolCall
from conformance.generate import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.plan import plan
from conformance.oracles.profile import profile

CaseOf = Callable[..., Case]


def kept(case: Case, retention: str, **settings: str) -> str:
    """Return the letters of the analysis messages that stay; every thinking in these tests is one letter."""
    chosen = profile("harmony").with_setting(
        thinking_inference=retention, thinking_training=retention, **settings
    )
    oracle = HarmonyOracle(chosen)
    text = oracle.render(case).text
    assert oracle.layout_failures == 0
    return "".join(part.partition("<|")[0] for part in text.split("<|channel|>analysis<|message|>")[1:])


def answer(thinking: str, final: str = "ok") -> Assistant:
    return Assistant(thinking=thinking, final=final)


def call(thinking: str, preamble: str | None = None) -> Assistant:
    return Assistant(thinking=thinking, preamble=preamble, calls=(ToolCall(name="f", arguments="{}"),))


# Conversation, then what stays under harmony, documented (generation), documented (training), keep-all.
CONVERSATIONS: dict[str, tuple[tuple[Any, ...], str, str, str, str]] = {
    "one turn": (("user: 1", answer("a")), "", "", "a", "a"),
    "next turn": (("user: 1", answer("a"), "user: 2"), "", "", "", "a"),
    # Harmony's own golden test (test_keep_analysis_between_final_messages) keeps what lies between finals.
    "two turns": (("user: 1", answer("a"), "user: 2", answer("b")), "b", "", "b", "ab"),
    "three turns": (
        ("user: 1", answer("a"), "user: 2", answer("b"), "user: 3", answer("c")), "bc", "", "c", "abc",
    ),
    "ongoing call": (("user: 1", call("a"), "result: 0 x"), "a", "a", "a", "a"),
    "call, then final": (
        ("user: 1", call("a"), "result: 0 x", answer("b")), "", "", "b", "ab",
    ),
    "answered, then ongoing call": (
        # The library keeps the first turn's thinking while the last assistant message is no final.
        ("user: 1", answer("a"), "user: 2", call("b"), "result: 0 x"), "ab", "b", "b", "ab",
    ),
    "answered call, then a question": (
        ("user: 1", call("a"), "result: 0 x", answer("b"), "user: 2"), "", "", "", "ab",
    ),
    "thinking alone at the end": (
        ("user: 1", answer("a"), "user: 2", Assistant(thinking="b")), "ab", "b", "b", "ab",
    ),
    "thinking in two messages before the final": (
        ("user: 1", Assistant(thinking="a"), answer("b")), "", "", "ab", "ab",
    ),
    "no final at all": (("user: 1", Assistant(thinking="a"), "user: 2"), "a", "a", "a", "a"),
    "empty finals are no finals": (("user: 1", answer("a", ""), "user: 2"), "a", "a", "a", "a"),
    "greeting before the first question": (
        ("final: hello", "user: 1", answer("a"), "user: 2"), "a", "", "", "a",
    ),
    "result after the final": (
        ("user: 1", call("a"), answer("b"), "result: 0 x"), "", "", "", "ab",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_what_stays(case_of: CaseOf, name: str) -> None:
    messages, harmony, documented, documented_training, everything = CONVERSATIONS[name]
    for mode in ("generation", "training"):
        case = case_of(*messages, mode=mode)
        assert kept(case, "harmony") == harmony
        assert kept(case, "keep-all") == everything
        assert kept(case, "documented") == (documented_training if mode == "training" else documented)


def test_documented_training_keeps_what_the_trained_answer_was_sampled_with(case_of: CaseOf) -> None:
    """The training prompt of the last answer is the generation prompt of the turn before it, plus the answer."""
    chosen = profile("harmony").with_setting(thinking_inference="documented", thinking_training="documented")
    oracle = HarmonyOracle(chosen)
    history = ("user: 1", answer("a"), "user: 2")
    prompt = oracle.render(case_of(*history)).text
    trained = oracle.render(case_of(*history, answer("b"), mode="training")).text
    assert trained == (
        prompt
        + "<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>ok<|return|>"
    )


def test_a_preamble_on_the_analysis_channel_is_dropped_as_analysis(case_of: CaseOf) -> None:
    case = case_of("user: 1", call("a", "p"), "result: 0 x", answer("b"), "user: 2")
    assert kept(case, "harmony", preamble_channel="analysis") == ""
    assert kept(case, "keep-all", preamble_channel="analysis") == "apb"
    assert kept(case, "keep-all") == "ab"
    assert "<|channel|>commentary<|message|>p<|end|>" in HarmonyOracle().render(case).text


@pytest.mark.parametrize("retention", ["harmony", "documented", "keep-all"])
def test_only_analysis_is_ever_dropped(retention: str) -> None:
    chosen = profile("harmony").with_setting(thinking_inference=retention, thinking_training=retention)
    for index in range(200):
        case = case_at(21, index)
        made = plan(case, chosen)
        assert {block.kind for _, block in made.dropped} <= {"thinking"}
        left = len(made.kept) - (case.options.mode == "generation")
        finals = [block for block in made.kept if block.kind == "final"]
        assert not made.dropped or finals
        if made.auto_drop:
            assert len(made.messages) == left + len(made.dropped)
        else:
            assert len(made.messages) == left


@pytest.mark.parametrize(
    ("messages", "training_end"),
    [
        (("user: 1", "final: ok"), "ok<|return|>"),
        (("user: 1", "call: f"), "{}<|call|>"),
        (("user: 1", "thinking: a"), "a<|end|>"),
        (("user: 1", "call: f", "result: 0 x"), "x<|end|>"),
        (("user: 1",), "1<|end|>"),
        (("user: 1", "final: ok", "user: 2"), "2<|end|>"),
        # Only the very last message is one that the model stopped after.
        (("user: 1", "final: ok", "user: 2", "call: f"), "{}<|call|>"),
        (("user: 1", Assistant(thinking="a", final="")), "a<|end|>"),
    ],
)
def test_ends(oracle: HarmonyOracle, case_of: CaseOf, messages: tuple[Any, ...], training_end: str) -> None:
    training = oracle.render(case_of(*messages, mode="training")).text
    assert training.endswith(training_end)
    assert training.count("<|return|>") == training_end.endswith("<|return|>")
    generation = oracle.render(case_of(*messages)).text
    assert generation.endswith(training_end.replace("<|return|>", "<|end|>") + "<|start|>assistant")
    assert "<|return|>" not in generation
