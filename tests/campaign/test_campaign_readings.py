"""A divergence that one cited reading explains is a warning, and says which; an error shows what none explains."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.campaign.check import check
from conformance.campaign.judge import Judge
from conformance.campaign.settings import Settings
from conformance.conversation import Assistant, Case, Conversation, Instructions, Tool, ToolCall, User
from conformance.engines.base import Rendered
from conformance.fixes.readings import reading_variant
from conformance.gate.exits import exit_code
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import citation, profile, setting_citations
from conformance.report.model import Target
from conformance.resources import resource
from conformance.sources import Provenance, Template, make_template

REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
NOTES = {"injected-special-token", "token-mismatch"}


def template(text: str, name: str = "t") -> Template:
    return make_template(name, text, Provenance(kind="file", location=name))


def following(said: str) -> Template:
    return template(reading_variant(REFERENCE, profile(said)), said)


def judged(*templates: Template, shrink: bool = False, **settings: str) -> list[Target]:
    report = check(templates, Settings(cases=150, engines=("jinja2",), **settings), shrink=shrink)
    assert exit_code(report) == (
        1 if any(d.severity == "error" for t in report.targets for d in t.divergences) else 0
    )
    return report.targets


READINGS = [
    (setting, value)
    for setting, values in setting_citations().items()
    for value in values
    if value != getattr(profile("harmony"), setting)
]


def test_a_template_that_follows_one_reading_has_no_error() -> None:
    # Arguments given as objects arrive as text in the shape `openai`, and are the caller's there; the others decide
    # what no generated conversation has.
    left_out = {"arguments_json", "builtin_content_type", "user_name", "response_formats"}
    chosen = [reading for reading in READINGS if reading[0] not in left_out]
    targets = judged(*(following("=".join(reading)) for reading in chosen))
    seen = 0
    for (setting, value), target in zip(chosen, targets, strict=True):
        found = [one for one in target.divergences if one.rule not in NOTES]
        seen += bool(found)
        for divergence in found:
            assert divergence.severity == "warning", (setting, value, divergence.rule)
            own = [one for one in divergence.readings if (one.setting, one.value) == (setting, value)]
            assert [one.citation for one in own] == [citation((setting, value))]
        assert target.right_under_readings == 1.0
    assert seen >= len(chosen) - 2, "hardly any reading was seen to differ"


def test_the_documents_prompt_is_right_under_its_profile() -> None:
    (target,) = judged(following("format-document"))
    assert {(d.rule, d.severity) for d in target.divergences if d.rule not in NOTES} == {
        ("recipient-placement", "warning"), ("content-type-marker", "warning"),
    }  # fmt: skip
    assert target.right_under["format-document"] == 1.0 > target.right_under["harmony"]
    (target,) = judged(following("format-document"), profile="format-document")
    assert target.verdict == "conforms"


def test_an_error_shows_a_conversation_that_no_profile_explains() -> None:
    """One call follows the document, one follows nobody: the smaller conversation must not stand for the error."""
    text = reading_variant(REFERENCE, profile("content_type=constrain"))
    wrong = text.replace(
        "commentary <|constrain|>json<|message|>' -}}",
        "commentary ' ~ ('<|constrain|>json' if messages|length < 4 else 'yaml') ~ '<|message|>' -}}",
    )
    assert wrong != text
    (target,) = judged(template(wrong), shrink=True)
    (found,) = (one for one in target.divergences if one.rule == "content-type-marker")
    assert (found.severity, found.readings) == ("error", [])
    assert found.example.actual is not None
    assert "yaml" in found.example.actual
    assert len(found.example.case.conversation.messages) >= 4


def test_two_values_of_one_setting_are_no_reading() -> None:
    text = reading_variant(REFERENCE, profile("content_type=constrain"))
    other = "' ~ (' <|constrain|>json' if messages|length % 2 else '') ~ '<|message|>' -}}"
    mixed = text.replace(" <|constrain|>json<|message|>' -}}", other)
    assert mixed != text
    (target,) = judged(template(mixed))
    (found,) = (one for one in target.divergences if one.rule == "content-type-marker")
    assert (found.severity, found.readings) == ("error", [])


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "number", "default": 1e20}, {"type": "string"}], "default": 1e20},
        {"type": "array", "items": {"oneOf": [{"type": "number", "default": 1e20}]}},
        {"type": "object", "properties": {"k": {"oneOf": [{"type": "number", "default": 1e20}]}}},
        {"oneOf": [{"type": "array", "items": {"type": "number"}, "default": [1e20]}]},
    ],
)
def test_an_exponent_is_a_reading_in_every_place(schema: dict[str, Any]) -> None:
    tool = Tool(name="f", description="d", parameters={"type": "object", "properties": {"x": schema}})
    judge = Judge(profile("harmony"))
    answer = judge.ask(Case(Conversation((User(text="q"),), (tool,))))
    found = judge.judge(answer, Rendered(answer.rendering.text.replace("1e20", "1e+20"))).found
    assert found
    assert all(one.readings == (("exponents", "1e+20"),) for one in found)


@pytest.mark.parametrize("said", ["harmony", "format-document", "vllm"])
def test_instructions_that_are_lost_are_no_reading(said: str) -> None:
    """No cited reading drops them, and merging them is not dropping them."""
    judge = Judge(profile(said))
    case = Case(
        Conversation(messages=(Instructions(text="Be kind."), User(text="Hi"), Instructions(text="Short.")))
    )
    answer = judge.answer(case)
    assert answer is not None
    text = "".join(block.text for block in answer.rendering.blocks if block.kind != "instructions")
    found = judge.judge(answer, Rendered(text))
    assert [(one.rule, one.readings) for one in found.found] == [("message-dropped", ())]
    assert not found.read


def test_a_reading_is_named_beside_another_fault() -> None:
    """A call that follows the document and whose arguments are encoded twice: each rule by itself."""
    judge = Judge(profile("harmony"))
    call = Assistant(calls=(ToolCall(name="f", arguments='{"a": 1}'),))
    case = Case(Conversation(messages=(User(text="Hi"), call)))
    answer = judge.answer(case)
    assert answer is not None
    text = HarmonyOracle("format-document").render(case).text.replace('{"a": 1}', '"{\\"a\\": 1}"')
    judgement = judge.judge(answer, Rendered(text))
    assert {one.rule: one.readings for one in judgement.found} == {
        "recipient-placement": (("recipient", "channel"),),
        "content-type-marker": (("content_type", "constrain"),),
        "arguments-double-encoded": (),
    }
    assert not judgement.read
