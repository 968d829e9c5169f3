"""Each fix removes its rule from a template that is wrong in this one place."""

from __future__ import annotations

import pytest
from fix_helpers import REFERENCE, edited, repaired, rules

from conformance.campaign.runner import Runner
from conformance.fixes.base import Size, fixes, register
from conformance.fixes.trial import Trials, objection
from conformance.resources import resource
from conformance.rules import rule
from conformance.template.parts import Source, blocks

FIXES = {fix.name: fix for fix in fixes()}
RULES = {fix.name: fix.rules for fix in fixes()}

# A fault in the reference, the fix that removes it and the rule that it removes.
FAULTS = [
    (
        "empty-calls",
        "template-crashed",
        "{%- set is_prompt = add_generation_prompt",
        (
            "{%- for message in messages %}{% if 'tool_calls' in message %}{% set _ = message.tool_calls[0].function %}"
            "{% endif %}{% endfor -%}{%- set is_prompt = add_generation_prompt"
        ),
    ),
    (
        "content-parts",
        "template-crashed",
        "{%- set is_prompt = add_generation_prompt",
        (
            "{%- for message in messages %}{% if message.role == 'user' %}{% set _ = message.content + '' %}"
            "{% endif %}{% endfor -%}{%- set is_prompt = add_generation_prompt"
        ),
    ),
    (
        "plain-results",
        "result-json-encoded",
        "{{- text_at(message, 'content', 'the content of a tool message') ~ '<|end|>' -}}",
        "{{- message['content']|tojson ~ '<|end|>' -}}",
    ),
    (
        "generation-prompt",
        "generation-prompt",
        "{{- '<|start|>assistant' -}}",
        "{{- '<|start|>assistant<|channel|>analysis' -}}",
    ),
    (
        "tool-definitions",
        "array-without-items",
        "'Array<any>'",
        "'any[]'",
    ),
    (
        "assistant-and-results",
        "final-channel-missing",
        "{{- '<|start|>assistant<|channel|>final<|message|>' ~ content ~",
        "{{- '<|start|>assistant<|message|>' ~ content ~",
    ),
    (
        "assistant-and-results",
        "preamble-channel",
        "{{- '<|start|>assistant<|channel|>commentary<|message|>' ~ content ~",
        "{{- '<|start|>assistant<|channel|>analysis<|message|>' ~ content ~",
    ),
    (
        "developer-message",
        "instructions-trailing-newlines",
        "{{- '# Instructions\\n\\n' ~ instructions -}}",
        "{{- '# Instructions\\n\\n' ~ instructions ~ '\\n' -}}",
    ),
    (
        "system-message",
        "functions-note",
        "{{- '\\nCalls to these tools must",
        "{{- '\\nCalls to those tools must",
    ),
]


@pytest.mark.parametrize(("name", "slug", "find", "replace"), FAULTS, ids=[f"{r[0]}-{r[1]}" for r in FAULTS])
def test_a_fix_removes_its_rule(runner: Runner, name: str, slug: str, find: str, replace: str) -> None:
    wrong = edited(REFERENCE, find, replace)
    assert slug in RULES[name]
    # What clients do seldom is drawn seldom.
    trials = Trials.drawn(runner, 0, 250 if name in ("empty-calls", "content-parts") else 80, wrong)
    before = trials.judge(wrong)
    assert before.counts[slug]
    after = trials.judge(FIXES[name].apply(Source(wrong)))
    assert after.counts[slug] == 0
    assert objection(before, after) is None


ASSISTANT = "{%- if message.role == 'assistant' -%}"


@pytest.mark.parametrize(
    ("name", "loop", "fixed"),
    [
        (
            "plain-arguments",
            "{%- if message.role == 'assistant' -%}{{- call.arguments|tojson -}}{%- endif -%}",
            "{{- (call.arguments if call.arguments is string else call.arguments|tojson) -}}",
        ),
        (
            "plain-results",
            "{%- if message.role == 'tool' -%}{{- '<' ~ message['content'] | tojson -}}{%- endif -%}",
            "{{- '<' ~ (message['content'] if message['content'] is string else message['content']|tojson) -}}",
        ),
        (
            "final-channel",
            "{%- if message.role == 'assistant' -%}{{- '<|start|>assistant<|message|>' -}}{%- endif -%}",
            "{{- '<|start|>assistant<|channel|>final<|message|>' -}}",
        ),
        (
            "thinking-channel",
            f"{ASSISTANT}{{{{- '<|channel|>commentary<|message|>' ~ message.reasoning_content -}}}}{{%- endif -%}}",
            "{{- '<|channel|>analysis<|message|>' ~ message.reasoning_content -}}",
        ),
        (
            "preamble-channel",
            f"{ASSISTANT}{{{{- '<|channel|>analysis<|message|>' + message.content -}}}}{{%- endif -%}}",
            "{{- '<|channel|>commentary<|message|>' + message.content -}}",
        ),
        (
            "content-type",
            "{%- if message.role == 'assistant' -%}{{- 'commentary <|constrain|> json' -}}{%- endif -%}",
            "{{- 'commentary json' -}}",
        ),
    ],
)
def test_an_expression_fix_changes_one_tag(name: str, loop: str, fixed: str) -> None:
    other = "{%- if message.role == 'assistant' -%}{%- endif -%}" if "'tool'" in loop else ""
    text = f"{{%- for message in messages -%}}{{{{- '<|start|>' -}}}}{other}{loop}{{%- endfor -%}}"
    begin = loop.index("{{")
    wanted = text.replace(loop, loop[:begin] + fixed + "{%- endif -%}")
    assert FIXES[name].apply(Source(text)) == wanted


def test_space_between_tags_is_stripped(runner: Runner) -> None:
    """What an engine without trim_blocks writes between two tags."""
    wrong = edited(REFERENCE, "{{- '<|start|>user' ~", "{{- '' }} {{ '' -}}{{- '<|start|>user' ~")
    assert rules(runner, wrong)
    fixed = FIXES["whitespace-between-tags"].apply(Source(wrong))
    assert rules(runner, fixed) == {}


def test_generation_marks_stay(runner: Runner) -> None:
    """The training variant with a fault gets the right text, and keeps its marks."""
    marked = resource("templates", "gpt-oss-training.jinja").read_text("utf-8")
    wrong = edited(
        marked,
        "{{- '<|start|>assistant<|channel|>final<|message|>' ~ content ~",
        "{{- '<|start|>assistant<|message|>' ~ content ~",
    )
    result = repaired(runner, wrong)
    assert result.remaining == []
    assert list(blocks(Source(result.text).parts, "generation"))
    assert "training: generation" not in result.text


def test_every_fix_is_registered_under_rules_that_exist() -> None:
    for fix in fixes():
        slugs = fix.rules
        assert slugs, fix.name
        assert len(set(slugs)) == len(slugs)
        for slug in slugs:
            assert rule(slug).slug == slug
    sizes = [fix.size for fix in fixes()]
    assert sizes == sorted(sizes), "what changes least comes first"


def test_a_name_is_taken_once() -> None:
    class Again:
        name = "plain-results"
        size: Size = "expression"
        what = ""
        rules = ("result-json-encoded",)

        def apply(self, source: Source) -> str:
            return source.text

    with pytest.raises(ValueError, match="registered twice"):
        register(Again)
