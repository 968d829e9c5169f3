"""What no conversation of Harmony's reaches stays, or is named: options, calls, roles, objects, refusals."""

from __future__ import annotations

import pytest
from fix_helpers import REFERENCE, WRONG, edited, repaired

from conformance.campaign.runner import Runner
from conformance.fixes.kept import gone, lost
from conformance.fixes.trial import Trials
from conformance.template.parts import Source

_EFFORTS = "effort in ['low', 'medium', 'high']"
NONE = edited(REFERENCE, _EFFORTS, "effort in ['low', 'medium', 'high', 'none']")
_CALL = (
    "{{- '<|start|>assistant to=functions.' ~ function_name(call, 'A tool call') ~ "
    "'<|channel|>commentary json<|message|>' -}}"
)
PYTHON = edited(
    REFERENCE,
    _CALL,
    "{%- set name = function_name(call, 'A tool call') -%}{%- if name == 'python' -%}"
    "{{- '<|start|>assistant to=python<|channel|>analysis code<|message|>' -}}{%- else -%}"
    + _CALL
    + "{%- endif -%}",
)
_UNKNOWN = "{%- elif role is string and role -%}"
ROLE = edited(
    REFERENCE, _UNKNOWN,
    "{%- elif role == 'ipython' -%}{{- '<|start|>ipython<|message|>' ~ message['content'] ~ '<|end|>' -}}" + _UNKNOWN,
)  # fmt: skip
_RESULT = "{{- text_at(message, 'content', 'the content of a tool message') ~ '<|end|>' -}}"
OBJECTS = edited(
    REFERENCE, _RESULT,
    "{{- (message['content'] if message['content'] is string else message['content']|tojson) ~ '<|end|>' -}}",
)  # fmt: skip


def _lost(runner: Runner, before: str, after: str) -> list[str]:
    return lost(before, after, Trials.drawn(runner, 0, 1, before).texts)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (NONE, "reasoning_effort='none'"),
        (PYTHON, "calls of python"),
        (ROLE, "messages of the role 'ipython'"),
        (OBJECTS, "results that are objects"),
    ],
)
def test_what_the_template_names_itself_is_missed_when_it_ends(
    runner: Runner, template: str, what: str
) -> None:
    assert _lost(runner, template, REFERENCE) == [what]
    assert _lost(runner, template, template) == []
    assert _lost(runner, REFERENCE, template) == []


def test_these_are_four_templates() -> None:
    """Each comes back as it was, here and in test_fix_edits: templates with one fault no longer become one text.

    PYTHON does not: Harmony writes a function that is named python as any other, and a repair puts that right too.
    """
    assert len({NONE, ROLE, OBJECTS, REFERENCE}) == 4


@pytest.mark.parametrize("template", [NONE, ROLE, OBJECTS], ids=["none", "role", "objects"])
def test_a_repair_keeps_it(runner: Runner, template: str) -> None:
    wrong = edited(template, "{%- set effort = 'medium' -%}", "{%- set effort = 'low' -%}")
    result = repaired(runner, wrong, cases=40)
    assert result.text == template


@pytest.mark.long
def test_a_section_that_would_end_it_is_refused(runner: Runner) -> None:
    """Two faults in one tag, which only the whole section mends: it is not worth the value `none`."""
    first = "{{- '\\nKnowledge cutoff: 2024-06\\nCurrent date: ' -}}"
    wrong = edited(
        NONE, first, "{{- ('\\nknowledge CUTOFF: 2024-06\\nCurrent date: '|title)|replace('e', 'é') -}}"
    )
    result = repaired(runner, wrong, cases=30)
    assert result.text == wrong or _lost(runner, wrong, result.text) == []
    assert (
        any("reasoning_effort='none'" in refused.reason for refused in result.refused)
        or result.remaining == []
    )


@pytest.mark.long
def test_objects_still_render_after_the_section_for_results(runner: Runner) -> None:
    """The template for these tests encodes all results: text has to come plain, objects have to stay JSON."""
    result = repaired(runner, WRONG, cases=30)
    assert "assistant-and-results" in [fix.name for fix in result.applied]
    assert _lost(runner, WRONG, result.text) == []


def test_a_function_of_the_host_is_no_argument() -> None:
    source = Source("{{ raise('no') }}{{ mine }}{{ exclaim(other) }}")
    assert source.own_arguments == {"mine", "other"}


def test_a_guard_that_goes_is_named() -> None:
    guard = (
        "{%- if '<|channel|>' in message['content']|string -%}"
        "{{- raise_exception('No message may hold a channel tag of its own.') -}}{%- endif -%}"
    )
    opening = "{{- '<|start|>user' ~"
    guarded = edited(REFERENCE, opening, guard + opening)
    line = guarded[: guarded.index(guard)].count("\n") + 1
    (named,) = gone(guarded, REFERENCE)
    assert named == f"line {line} refuses 'No message may hold a channel tag of its own.'"
    assert gone(guarded, guarded) == []
