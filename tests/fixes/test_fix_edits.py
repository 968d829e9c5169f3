"""The least edit comes first: one wrong token is one changed line, whatever kind of thing is wrong."""

from __future__ import annotations

import difflib

import pytest
from fix_helpers import REFERENCE, edited, repaired

from conformance.campaign.runner import Runner
from conformance.fixes.edits import Edit, Hunk, candidates, hunk
from conformance.template.parts import Source

# What was made of the reference: a literal, a default, a condition, a separator, a mark, a filter, a count.
_FAULTS = {
    "a literal": ("'<|channel|>commentary json<|message|>'", "'<|channel|>comentary json<|message|>'"),
    "a recipient": ("' to=assistant<|channel|>commentary<|message|>'", "' to=user<|channel|>commentary<|message|>'"),
    "a default": ("{%- set effort = 'medium' -%}", "{%- set effort = 'high' -%}"),
    "a negated condition": ("{%- if content and not loop.first -%}", "{%- if content and loop.first -%}"),
    "a joined condition": ("{%- if instructions or has_tools -%}", "{%- if instructions and has_tools -%}"),
    "a separator": (
        "    {%- if instructions -%}\n      {{- '\\n\\n' -}}",
        "    {%- if instructions -%}\n      {{- '\\n' -}}",
    ),
    "a white-space mark": (
        "{{- '<|start|>developer<|message|>' -}}\n  {%- if instr",
        "{{- '<|start|>developer<|message|>' }}\n  {% if instr",
    ),
    "a filter": ("'# Instructions\\n\\n' ~ instructions", "'# Instructions\\n\\n' ~ instructions|trim"),
}  # fmt: skip


def changed_lines(before: str, after: str) -> int:
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), lineterm="", n=0)
    return sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in lines)


# A repair tries and proves many candidates: two kinds of them run with every change, all with the long tests.
_QUICK = {"a literal", "a joined condition"}


@pytest.mark.parametrize(
    "name", [name if name in _QUICK else pytest.param(name, marks=pytest.mark.long) for name in _FAULTS]
)
def test_one_fault_is_repaired_where_it_is(runner: Runner, name: str) -> None:
    wrong = edited(REFERENCE, *_FAULTS[name])
    result = repaired(runner, wrong, cases=60)
    assert result.main.before.counts, "nothing is wrong with it"
    assert result.remaining == []
    assert [fix.size for fix in result.applied] == ["edit"]
    assert changed_lines(wrong, result.text) <= 4


@pytest.mark.long
def test_two_faults_are_two_edits(runner: Runner) -> None:
    wrong = edited(edited(REFERENCE, *_FAULTS["a literal"]), *_FAULTS["a default"])
    result = repaired(runner, wrong, cases=60)
    assert result.remaining == []
    assert result.text == REFERENCE
    assert sorted(fix.what for fix in result.applied)[0].startswith("line ")


@pytest.mark.long
def test_what_no_single_edit_repairs_is_a_section_as_before(runner: Runner) -> None:
    wrong = edited(REFERENCE, "look.first_final = loop.index if", "look.first_final = loop.index0 + 30 if")
    result = repaired(runner, wrong, cases=200)
    assert result.remaining == []
    assert {fix.size for fix in result.applied} == {"section"}


@pytest.mark.long
def test_later_instructions_with_several_faults_are_repaired(runner: Runner) -> None:
    wrong = edited(
        REFERENCE,
        "{{- '<|start|>developer<|message|>' ~ content ~ '<|end|>' -}}",
        "{{- '<|start|>system<|message|># Later\\n\\n' ~ content|upper ~ '\\n<|end|>' -}}",
    )
    result = repaired(runner, wrong, cases=200)
    assert result.remaining == []
    assert {fix.size for fix in result.applied} == {"expression"}
    assert changed_lines(wrong, result.text) < 60  # the macro that reads content, and one branch


@pytest.mark.long
def test_only_the_rules_that_are_wanted_are_repaired(runner: Runner) -> None:
    from conformance.fixes.repair import repair

    wrong = edited(edited(REFERENCE, *_FAULTS["a literal"]), *_FAULTS["a default"])
    result = repair(runner, wrong, seed=0, cases=80, wanted=["reasoning-effort"])
    assert result.text == edited(REFERENCE, *_FAULTS["a literal"])
    assert result.remaining == ["role-header"]


def test_a_hunk_is_what_two_stretches_do_not_share() -> None:
    found = hunk("commentary json", "comentary json", "x comentary json", 2)
    assert (found.start, found.actual, found.expected, found.end) == (5, "", "m", 5)
    assert hunk("ab", "axxb", "axxb", 0) == Hunk("axxb", 1, "xx", "")


def test_literals_are_read_and_written_as_jinja_has_them() -> None:
    source = Source("{{ 'it\\'s\\n' ~ x }} b\n{{- \"q\" -}}")
    edits = list(candidates(source, Hunk("it's\n1 b\nq", 3, "s", "\\\n'")))
    assert [edit.apply(source) for edit in edits] == ["{{ 'it\\'\\\\\\n\\'\\n' ~ x }} b\n{{- \"q\" -}}"]


def test_an_edit_whose_place_is_gone_is_skipped() -> None:
    from conformance.fixes.base import SkippedError

    edit = Edit(1, "a", "b", "c", "d")
    assert edit.apply(Source("abd")) == "acd"
    with pytest.raises(SkippedError):
        edit.apply(Source("abdabd"))
