"""Properties of every rendering: nothing lost, order kept, spans that fit, profiles that differ where contested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from conformance.conversation import (
    Assistant,
    Case,
    Instructions,
    Tool,
    ToolCall,
    ToolResult,
    User,
    case_from_json,
    to_json,
)
from conformance.generate import case_at
from conformance.oracles import harmony as harmony_module
from conformance.oracles.base import Rendering
from conformance.oracles.departures import has_exponent
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.oracles.opening import Shared
from conformance.oracles.plan import arguments_text, plan
from conformance.oracles.profile import Profile, profile, profiles, setting_citations
from conformance.strategies import cases

CaseOf = Callable[..., Case]
PROPERTY = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SAMPLE = [case_at(5, index) for index in range(300)]


def texts(case: Case, shown: set[int]) -> Iterator[str]:
    """Yield the texts that have to appear, in order; thinking only of the messages in `shown`."""
    for index, message in enumerate(case.conversation.messages):
        match message:
            case Instructions() | User():
                yield message.text
            case ToolResult():
                yield message.content
            case Assistant():
                if message.thinking and index in shown:
                    yield message.thinking
                yield message.preamble or ""
                for call in message.calls:
                    yield f"functions.{call.name}"
                    yield arguments_text(call)
                yield message.final or ""


@PROPERTY
@given(cases())
def test_no_text_is_lost_and_order_is_kept(case: Case) -> None:
    rendered = HarmonyOracle().render(case)
    dropped = {block.index for _, block in rendered.dropped}
    offset = len("".join(block.text for block in rendered.blocks if block.kind == "system"))
    for text in texts(case, set(range(len(case.conversation.messages))) - dropped):
        found = rendered.text.find(text, offset)
        assert found >= 0, f"{text!r} is lost or out of order"
        offset = found + len(text)
    for tool in case.conversation.tools:
        assert f"type {tool.name} = (" in rendered.text
    for _, block in rendered.dropped:
        assert block.kind == "thinking"


def check_spans(rendered: Rendering) -> None:
    assert "".join(block.text for block in rendered.blocks) == rendered.text
    for block, start in zip(rendered.blocks, rendered.block_starts, strict=True):
        assert "".join(piece[2] for piece in block.pieces) == block.text
        offset = start
        for region, _, text in block.pieces:
            if text:
                place = rendered.place(offset)
                last = rendered.place(offset + len(text) - 1)
                assert (place.block, place.region, place.kind) == (last.block, last.region, last.kind)
                assert rendered.blocks[place.block] is block
                assert place.region == region
                assert place.message_index == (block.index if block.index >= 0 else None)
            offset += len(text)


@PROPERTY
@given(cases())
def test_layout_and_spans_in_every_profile(case: Case) -> None:
    for name in profiles():
        oracle = HarmonyOracle(name)
        rendered = oracle.render(case)
        assert rendered.exact_spans
        assert oracle.layout_failures == 0
        assert oracle.layout(case) == rendered.text
        check_spans(rendered)


def test_layout_in_bulk(oracles: Mapping[str, HarmonyOracle]) -> None:
    """The campaign's own driver draws other cases than Hypothesis: longer, and with rarer events."""
    for index, case in enumerate(SAMPLE):
        oracle = list(oracles.values())[index % len(oracles)]
        check_spans(oracle.render(case))
        assert oracle.layout_failures == 0


def test_place_beyond_the_ends(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    rendered = oracle.render(case_of("user: Hi"))
    assert rendered.place(0).kind == "system"
    assert rendered.place(len(rendered.text)).kind == "prompt"
    assert rendered.place(10**9).kind == "prompt"


def test_place_names_the_property(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    schema = {"type": "object", "properties": {"unit": {"type": "string", "enum": ["c"], "default": "c"}}}
    rendered = oracle.render(case_of("user: Hi", tools=(Tool(name="f", parameters=schema),)))
    place = rendered.place(rendered.text.index("// default"))
    assert (place.kind, place.region, place.path, place.message_index) == (
        "developer", "default", "f.unit", None,
    )  # fmt: skip


def test_dropped_blocks_know_where_they_stood(oracles: Mapping[str, HarmonyOracle]) -> None:
    """Putting every dropped block back where it says gives the rendering that keeps all."""
    keep = HarmonyOracle(
        profile("harmony").with_setting(thinking_inference="keep-all", thinking_training="keep-all")
    )
    checked = 0
    for case in SAMPLE:
        for name in ("harmony", "documented"):
            rendered = oracles[name].render(case)
            if not rendered.dropped:
                continue
            checked += 1
            blocks = [block.text for block in rendered.blocks]
            for position, block in reversed(rendered.dropped):
                blocks.insert(position, block.text)
            assert "".join(blocks) == keep.render(case).text
    assert checked > 20


def contested(case: Case) -> dict[str, bool]:
    """Say by hand which settings can matter to a case at all."""
    messages = case.conversation.messages
    steps = [m for m in messages if isinstance(m, Assistant)]
    instructions = [m for m in messages if isinstance(m, Instructions)]
    return {
        "content_type": any(step.calls for step in steps),
        "thinking_inference": any(step.thinking for step in steps) and any(step.final for step in steps),
        "thinking_training": any(step.thinking for step in steps) and any(step.final for step in steps),
        "preamble_channel": any(step.preamble for step in steps),
        "arguments_json": any(not isinstance(c.arguments, str) for step in steps for c in step.calls),
        "recipient": any(step.calls for step in steps),
        "result_recipient": any(isinstance(m, ToolResult) for m in messages),
        "later_instructions": any(m.text for m in messages[1:] if isinstance(m, Instructions)),
        "empty_instructions": any(not m.text for m in instructions),
        "preamble_place": any(step.preamble and step.thinking for step in steps),
        "exponents": "default" in to_json(case).decode(),
    }


def test_settings_change_only_what_is_contested(oracle: HarmonyOracle) -> None:
    base = profile("harmony")
    citations = setting_citations()
    seen: set[str] = set()
    for case in SAMPLE:
        text = oracle.layout(case)
        possible = contested(case)
        for setting, can in possible.items():
            for value in citations[setting]:
                other = HarmonyOracle(base.with_setting(**{setting: value}))
                differs = other.layout(case) != text
                assert can or not differs, f"{setting}={value} changed a case without it"
                if differs:
                    seen.add(setting)
    assert seen == set(contested(SAMPLE[0])), "a setting that never made a difference was not tested"


def test_every_setting_and_value_is_cited() -> None:
    citations = setting_citations()
    for chosen in profiles().values():
        for setting in Profile.__dataclass_fields__:
            if setting != "name":
                assert citations[setting][getattr(chosen, setting)]


def test_a_case_read_from_json_renders_the_same(oracle: HarmonyOracle) -> None:
    for case in SAMPLE[:60]:
        assert oracle.render(case_from_json(to_json(case))).tokens == oracle.render(case).tokens


def test_empty_texts(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    plain = oracle.render(case_of("user: Hi")).text
    assert oracle.render(case_of(Instructions(text=""), "user: Hi")).text == plain
    assert oracle.render(case_of("user: Hi", Assistant(thinking="", final=""))).text == plain
    assert oracle.render(case_of("user: Hi", Assistant())).text == plain
    assert oracle.render(case_of("user: Hi", Instructions(text=""))).text == plain
    call = (ToolCall(name="f", arguments=""),)
    with_call = oracle.render(case_of("user: Hi", Assistant(calls=call))).text
    assert oracle.render(case_of("user: Hi", Assistant(preamble="", calls=call))).text == with_call
    assert "json<|message|><|call|>" in with_call
    # Users and results say something even when they say nothing.
    assert "<|start|>user<|message|><|end|>" in oracle.render(case_of(User(text=""))).text
    result = oracle.render(case_of("call: f", ToolResult(call=0, content=""))).text
    assert "<|start|>functions.f to=assistant<|channel|>commentary<|message|><|end|>" in result


def test_identity(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    start = "<|start|>system<|message|>"
    assert oracle.render(case_of("user: Hi", model_identity="I am Kai.")).text.startswith(
        f"{start}I am Kai.\nKnowledge cutoff"
    )
    assert oracle.render(case_of("user: Hi", model_identity="")).text.startswith(f"{start}\nKnowledge cutoff")


def test_later_instructions_are_developer_messages(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    text = oracle.render(case_of("developer: Be kind.", "user: Hi", "system: Be brief.")).text
    assert "# Instructions\n\nBe kind.<|end|><|start|>user" in text
    assert text.endswith("<|start|>developer<|message|>Be brief.<|end|><|start|>assistant")
    alone = oracle.render(case_of("user: Hi", "system: Be brief.")).text
    assert alone.endswith("Hi<|end|><|start|>developer<|message|>Be brief.<|end|><|start|>assistant")


def test_results_carry_the_name_of_their_call(oracle: HarmonyOracle, case_of: CaseOf) -> None:
    step = Assistant(calls=(ToolCall(name="f", arguments="1"), ToolCall(name="g", arguments="2")))
    text = oracle.render(case_of("user: Hi", step, "result: 1 second", "result: 0 first")).text
    parallel = (
        "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>1<|call|>"
        "<|start|>assistant to=functions.g<|channel|>commentary json<|message|>2<|call|>"
    )
    assert parallel in text
    assert text.index("functions.g to=assistant") < text.index("functions.f to=assistant")


@pytest.fixture
def broken_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the layout wrong in the developer message, as a new version of Harmony would."""

    def wrong(case: Case, chosen: Profile, _shared: Shared | None = None) -> object:
        made = plan(case, chosen)
        for block in made.kept:
            if block.kind in ("system", "developer", "call"):
                block.pieces.insert(1, ("wrong", "", "WRONG"))
                block.text = "".join(piece[2] for piece in block.pieces)
        return made

    monkeypatch.setattr(harmony_module, "plan", wrong)


@pytest.mark.usefixtures("broken_layout")
@pytest.mark.parametrize("name", list(profiles()))
def test_a_wrong_layout_falls_back_to_whole_messages(name: str) -> None:
    oracle = HarmonyOracle(name)
    for number, case in enumerate(SAMPLE[:100], start=1):
        right = oracle.layout(case).replace("WRONG", "")
        if has_exponent(plan(case, oracle.profile).kept[1]) and oracle.profile.exponents != "1e20":
            # Numbers in the text of definitions are known by the layout alone.
            with pytest.raises(OracleRefusedError, match="layout does not explain"):
                oracle.render(case)
            continue
        rendered = oracle.render(case)
        assert rendered.text == right
        assert not rendered.exact_spans
        assert oracle.layout_failures == number
        assert "WRONG" not in rendered.text
        assert "".join(block.text for block in rendered.blocks) == rendered.text
        for block in rendered.blocks:
            # Each message by itself: nothing of its neighbours.
            begins = block.text.startswith("<|start|>")
            assert begins, (block.kind, block.text[:40])
            assert block.kind == "prompt" or block.text.endswith(("<|end|>", "<|call|>", "<|return|>"))
        assert rendered.place(0).region == "message"


def test_what_harmony_refuses(oracle: HarmonyOracle) -> None:
    """Not reachable through checked cases; the campaign counts it and goes on."""
    nan = Tool(name="f", parameters={"type": "object", "properties": {"a": {"default": float("nan")}}})
    case = replace(SAMPLE[0], conversation=replace(SAMPLE[0].conversation, tools=(nan,)))
    with pytest.raises(OracleRefusedError):
        oracle.render(case)
    huge = Tool(name="f", parameters={"type": "object", "properties": {"a": {"default": 10**400}}})
    case = replace(SAMPLE[0], conversation=replace(SAMPLE[0].conversation, tools=(huge,)))
    with pytest.raises(OracleRefusedError, match="out of range"):
        oracle.render(case)


def test_profiles_are_frozen_and_named() -> None:
    assert next(iter(profiles())) == "harmony"
    assert {"harmony", "documented", "constrain", "constrain-spaced"} <= set(profiles())
    for name, chosen in profiles().items():
        assert chosen.name == name
        with pytest.raises(FrozenInstanceError):
            chosen.name = "other"  # type: ignore[misc]
