"""Mutants made by operators: the edits are where they say, expectations come from the text, the score is earned."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from jinja2 import nodes

from conformance.campaign.judge import Judge
from conformance.conversation import Assistant, Case, Conversation, Options, Tool, ToolCall, User
from conformance.engines import EngineHost
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profile
from conformance.resources import resource
from tools.mutate.expect import Expectation, changes
from tools.mutate.operators import Edit, edits
from tools.mutate.report import write_report
from tools.mutate.score import Bench, Result
from tools.mutate.tree import SourceTree, Span

SMALL = """{%- macro m(a) -%}
  {{- ('<' ~ a['x'])|trim if a and (a.y or a.z) else 'no' -}}
{%- endmacro -%}
{{ m(b) }}{{- 'end\\n' -}}
{% for c in d %}{% if c == 'e' %}{{ c }}{% elif c == 'f' and 1 < 2 %}f{% endif %}{% endfor %}
"""
REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


def _code(kind: type[nodes.Node]) -> list[str]:
    tree = SourceTree(SMALL)
    spans = [tree.span(node) for node, _ in tree.walk() if isinstance(node, kind)]
    return [tree.code(span) for span in spans if span is not None]


def test_every_node_knows_its_place_in_the_source() -> None:
    assert _code(nodes.Concat) == ["('<' ~ a['x'])"]
    assert _code(nodes.Filter) == ["('<' ~ a['x'])|trim"]
    assert _code(nodes.CondExpr) == ["('<' ~ a['x'])|trim if a and (a.y or a.z) else 'no'"]
    assert _code(nodes.And) == ["a and (a.y or a.z)", "c == 'f' and 1 < 2"]
    assert _code(nodes.Getattr) == ["a.y", "a.z"]
    assert _code(nodes.Compare) == ["c == 'e'", "c == 'f'", "1 < 2"]
    tree = SourceTree(SMALL)
    inner = SMALL.index("c == 'f'")
    assert tree.code(tree.tag(Span(inner, inner + 3)) or Span(0, 0)) == "{% elif c == 'f' and 1 < 2 %}"


@pytest.mark.long
def test_every_operator_edits_and_what_it_makes_is_another_template() -> None:
    found = edits(SourceTree(REFERENCE))
    assert set(found) == {
        "delete", "duplicate", "swap", "negate", "halve", "literal", "off-by-one", "white-space", "filter", "key",
        "order",
    }  # fmt: skip
    texts = [edit.apply(REFERENCE) for group in found.values() for edit in group]
    assert len(texts) == len({*texts, REFERENCE}) - 1
    for group in found.values():
        assert group
        for edit in group[:: max(1, len(group) // 12)]:
            SourceTree(edit.apply(REFERENCE))
            assert edit.block[0] <= edit.line <= edit.block[1]


CASE = Case(
    Conversation(
        (User("a question"), Assistant(calls=(ToolCall("f", {"a": 1}),))),
        (
            Tool(
                "f",
                "what it does",
                {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}},
            ),
        ),
    ),
    Options(),
)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("Reasoning: medium", "Reasoning: high", "reasoning-effort"),
        (" json<|message|>", "<|message|>", "content-type-marker"),
        ("a question", "a  question", "text-altered"),
        ("<|call|>", "<|end|>", "call-terminator"),
        (", // default: 1", " // default: 1,", "default-comment-placement"),
        ("// what it does\n", "", "schema-comments-dropped"),
        ('<|start|>user<|message|>a question<|end|>', "", "message-dropped"),
        ("a?: number", "a: number", "required-mark"),
        ("a?: number", "a?: integer", "type-name"),
        ("namespace functions {\n", "namespace functions{\n", "tool-layout"),
    ],
)  # fmt: skip
def test_expectations_follow_from_the_place_of_the_change(old: str, new: str, rule: str) -> None:
    right = HarmonyOracle("harmony").render(CASE)
    assert right.text.count(old) == 1
    rules = Expectation(CASE, right).rules(right.text, right.text.replace(old, new))
    assert rule in rules
    assert len(rules) <= 5


def test_changes_name_a_whole_message_that_was_lost() -> None:
    one = "<|start|>user<|message|>a<|end|><|start|>user<|message|>b<|end|><|start|>assistant"
    other = "<|start|>user<|message|>b<|end|><|start|>assistant"
    (change,) = changes(one, other)
    assert (change.lost, change.added) == ("<|start|>user<|message|>a<|end|>", "")


@pytest.fixture(scope="module")
def results() -> list[Result]:
    found = edits(SourceTree(REFERENCE))
    text = next(edit for edit in found["white-space"] if edit.text.endswith("commentary json<|message|> '"))
    unseen = Edit("delete", Span(0, 1), REFERENCE[0], 1, (1, 1))
    with (
        EngineHost("transformers") as host,
        closing(
            Bench("gpt-oss", REFERENCE, Judge(profile("harmony")), host, cases=160, tell_apart=0)
        ) as bench,
    ):
        return [result for edit in (text, unseen) if (result := bench.run(edit)) is not None]


def test_a_mutant_is_told_apart_caught_and_named(results: list[Result]) -> None:
    shown, unseen = results
    assert shown.distinguishable
    assert shown.caught
    assert shown.named
    assert shown.located
    assert not unseen.distinguishable
    assert unseen.alarms == 0
    assert unseen.conversations > 150


def test_the_report_holds_what_was_counted(results: list[Result], tmp_path: Path) -> None:
    write_report(results, tmp_path, seed=0)
    record = json.loads((tmp_path / "mutation.json").read_bytes())
    assert (record["tried"], record["distinguishable"], record["caught"], record["named"]) == (2, 1, 1, 1)
    assert "| gpt-oss | 2 | 0 | 1 | 1 | 1 |" in (tmp_path / "mutation.md").read_text()
