"""Shrinking: independent checks that a shown case is 1-minimal, that it ends, and that it shows its own rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from random import Random

import pytest

from conformance.campaign import shrink as shrink_module
from conformance.campaign.check import check
from conformance.campaign.reduce import STEPS
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.campaign.shrink import Shrinker
from conformance.compare.base import Found
from conformance.conversation import Case, Conversation, Options, User, case_id, check_case, to_json
from conformance.engines import EngineHost
from conformance.errors import UsageError
from conformance.generate import case_at
from conformance.report.model import Divergence
from conformance.resources import resource
from conformance.shapes import Shape, families, shapes
from conformance.sources import Template, make_template
from conformance.sources.base import Provenance

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")

# A template that somebody could have written in an afternoon: most of it is wrong, some of it crashes.
WEIRD = """{%- set system = messages[0].content if messages[0].role in ('system', 'developer') else '' -%}
<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06
Current date: {{ strftime_now('%Y-%m-%d') }}

Reasoning: {{ reasoning_effort or 'high' }}

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>
{%- if system or tools %}<|start|>developer<|message|># Instructions

{{ system | trim }}
{%- for tool in tools or [] %}
// {{ tool.function.description }}
type {{ tool.function.name }} = (_: {
{%- for name, value in (tool.function.parameters or {}).get('properties', {}).items() %}
{{ name }}: {{ value.type }}{% if 'default' in value %}, // default: {{ value.default }},{% else %},{% endif %}
{%- endfor %}
}) => any;
{%- endfor %}<|end|>{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}<|start|>user<|message|>{{ message.content | trim }}<|end|>
{%- elif message.role == 'assistant' %}
{%- for call in message.tool_calls or [] %}<|start|>assistant<|channel|>commentary to={{ call.function.name }}
{{- ' json<|message|>' + call.function.arguments | tojson + '<|end|>' }}{% endfor %}
{%- if message.content %}<|start|>assistant<|message|>{{ message.content }}<|end|>{% endif %}
{%- elif message.role == 'tool' %}<|start|>tool<|message|>{{ message.content | tojson }}<|end|>
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant<|channel|>analysis{% endif %}
"""


def template(text: str) -> Template:
    return make_template("t", text, Provenance(kind="file", location="t"))


def changed(old: str, new: str) -> Template:
    assert REFERENCE.count(old) == 1, old
    return template(REFERENCE.replace(old, new))


def rules_of(runner: Runner, text: str, case: Case, shape: Shape) -> list[str]:
    return [found.rule for found in found_in(runner, text, case, shape)]


def keys_of(found: Sequence[Found]) -> set[str]:
    """Return the rules, and each with the places in which it was found."""
    return {found.rule for found in found} | {
        f"{each.rule}: {name}" for each in found for name in each.places
    }


def found_in(runner: Runner, text: str, case: Case, shape: Shape) -> list[Found]:
    """Judge one case by itself, without the shrinker."""
    (host,) = runner.hosts.values()
    (outcome,) = host.collect(host.submit(text, [shape.request(case)]))
    answer = runner.judge.answer(case)
    assert answer is not None
    return runner.judge.judge(answer, outcome).found


def reductions(case: Case) -> Iterator[Case]:
    """Yield every case that is one step simpler."""
    for step in STEPS:
        yield from step.cases(case)


def simpler(case: Case, shape: Shape) -> Iterator[Case]:
    for smaller in reductions(case):
        if smaller.conversation.messages and not shape.loses(smaller):
            try:
                check_case(smaller)
            except UsageError:
                continue
            yield smaller


CONSTRAIN = changed(
    "~ '<|channel|>commentary json<|message|>'", "~ '<|channel|>commentary <|constrain|>json<|message|>'"
)
WRONG = {
    "marker": CONSTRAIN,
    "final": changed(
        "<|channel|>final<|message|>' ~ content", "<|channel|>final<|message|>' ~ (content | trim)"
    ),
    "weird": template(WEIRD),
}


@cache
def divergences_of(name: str) -> list[Divergence]:
    settings = Settings(cases=150 if name == "final" else 60, engines=("jinja2",))
    return check([WRONG[name]], settings).targets[0].divergences


@pytest.mark.parametrize("name", WRONG)
def test_one_minimal_for_every_rule(name: str) -> None:
    target = WRONG[name]
    divergences = divergences_of(name)
    assert divergences
    assert len(divergences) > 8 or name != "weird"
    with Runner(Settings(engines=("jinja2",))) as runner:
        for found in divergences:
            assert found.example is not None
            assert found.example.minimal or found.cause.endswith("more causes")
            shape = shapes([found.example.shape])[0][0]
            case = found.example.case
            assert found.example.case_id == case_id(case)
            if found.cause.endswith("more causes"):
                continue
            key = found.key if ", line" not in found.key else found.rule
            shown = keys_of(found_in(runner, target.text, case, shape))
            assert key in shown or found.check == "renders"
            # A simpler case may show it too where it brings another rule in.
            still = [
                smaller
                for smaller in simpler(case, shape)
                if key in (rules := keys_of(found_in(runner, target.text, smaller, shape)))
                and {name for name in rules if ":" not in name} <= shown
            ]
            assert not still, (found.rule, to_json(case), to_json(still[0]))


def test_shrunk_cases_are_small() -> None:
    found = next(found for found in divergences_of("marker") if found.severity != "note")
    assert found.rule == "content-type-marker"
    assert found.severity == "warning"
    assert "constrain" in found.vanishes_under
    assert len(found.example.case.conversation.messages) == 1
    assert len(to_json(found.example.case)) < 120


@pytest.mark.parametrize("seed", range(6))
def test_every_step_makes_a_case_simpler_so_that_shrinking_ends(seed: int) -> None:
    """Whichever simplification still shows a rule: going on with any of the next ones reaches an end."""
    random = Random(seed)
    case = case_at(9, seed)
    steps = 0
    while candidates := [
        c for c in islice(reductions(case), random.randint(1, 40)) if c.conversation.messages
    ]:
        case = random.choice(candidates[-3:])
        steps += 1
        assert steps < 3_000, to_json(case)


def test_no_reduction_is_the_case_itself() -> None:
    for index in range(40):
        case = case_at(9, index)
        name = case_id(case)
        assert all(case_id(smaller) != name for smaller in islice(reductions(case), 60))


def test_the_bound_ends_a_shrink_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrink_module, "_RENDERS", 40)
    with Runner(Settings(engines=("jinja2",))) as runner:
        (host,) = runner.hosts.values()
        plain = families()["hf"][0]
        case = next(
            case
            for case in (case_at(0, index) for index in range(400))
            if len(to_json(case)) > 2_000 and not plain.loses(case)
        )
        rule = rules_of(runner, WEIRD, case, plain)[-1]
        small = Shrinker(runner.judge, host, WEIRD).shrink(case, plain, rule)
    assert small is not None
    assert not small.minimal
    assert small.renders < 40 + 2 * 12
    assert len(to_json(small.case)) <= len(to_json(case))


def test_a_long_text_is_shrunk_to_what_it_takes() -> None:
    case = Case(Conversation((User(f"{'word ' * 60}x\u00a0y{' more' * 50}"),)), Options())
    text = REFERENCE.replace(
        "'the content of a user message')", "'the content of a user message')|replace('\u00a0', ' ')"
    )
    assert text != REFERENCE
    with Runner(Settings(engines=("jinja2",))) as runner:
        small = Shrinker(runner.judge, runner.hosts["jinja2"], text).shrink(
            case, families()["hf"][0], "text-altered"
        )
    assert small is not None
    assert small.minimal
    assert small.case.conversation.messages == (User("a\u00a0a"),)


def test_what_does_not_show_the_rule_is_not_shrunk() -> None:
    with Runner(Settings(engines=("jinja2",))) as runner:
        host: EngineHost = runner.hosts["jinja2"]  # type: ignore[assignment]
        plain = families()["hf"][0]
        case = next(c for c in (case_at(0, index) for index in range(50)) if not plain.loses(c))
        assert Shrinker(runner.judge, host, REFERENCE).shrink(case, plain, "system-text") is None


def test_shrinking_is_deterministic() -> None:
    settings = Settings(cases=20, engines=("jinja2",))
    first, second = (check([WRONG["weird"]], settings).targets[0].divergences for _ in range(2))
    assert [(d.rule, d.example.case_id) for d in first] == [(d.rule, d.example.case_id) for d in second]
