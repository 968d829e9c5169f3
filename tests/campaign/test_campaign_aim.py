"""What no conversation met is aimed at: literals, lengths, nesting and combinations of a planted condition."""

import hashlib
import math
import time

import pytest

from conformance.bounds import time_limit
from conformance.campaign import check as campaign
from conformance.campaign.branches import BranchSample
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.campaign.steering import plain_cases, slots, steered
from conformance.conversation import check_case
from conformance.generate import case_at
from conformance.sources import Provenance, Template
from conformance.template.branches import BranchProbe

# Each stands on line 1 of a template that asks it of every schema of a property, or of every message.
OF_A_SCHEMA = {
    "a combination": "s.type == 'array' and s.nullable and s.title",
    "nested deeper": "s.oneOf and s.oneOf[0].type == 'array' and s.oneOf[0].nullable",
    "a literal of its own": "s.type == 'string' and s.default == 'zanzibar'",
    "a list in the place of a word": "s.type is not string and s.type is defined and 'object' in s.type",
}
OF_A_MESSAGE = {
    "a word in a place": "m.role == 'assistant' and m.thinking and 'zanzibar' in m.thinking",
    "an end": "m.role == 'user' and m.content.endswith('zanzibar') and loop.first",
    "a length": "loop.index == 19",
}


def _template(name: str) -> str:
    if name in OF_A_SCHEMA:
        loop = (
            "for t in tools or [] %}{% for s in (t.function.parameters or {}).get('properties', {}).values()"
        )
        return f"{{% {loop} %}}{{% if {OF_A_SCHEMA[name]} %}}found{{% endif %}}{{% endfor %}}{{% endfor %}}"
    return f"{{% for m in messages %}}{{% if {OF_A_MESSAGE[name]} %}}found{{% endif %}}{{% endfor %}}"


@pytest.fixture(scope="module", name="runner")
def _runner():
    with Runner(Settings(cases=1_000, engines=("jinja2",), seed=3)) as runner:
        yield runner


@pytest.mark.parametrize("name", [*OF_A_SCHEMA, *OF_A_MESSAGE])
def test_a_condition_that_is_rarely_met_is_aimed_at(runner, name):
    cases = runner.settings.cases
    sample = BranchSample(runner, plain_cases(cases))
    template = _template(name)
    hints = steered(template, cases)
    # The sample stands for a campaign that has not met it: twenty conversations.
    aimed = sample.aim(template, hints, 20)
    found = sample.run(template, aimed, 20)
    sample.close()
    assert not [branch.what for branch in found.never_run if branch.what.startswith(("if", "found"))]
    numbers = slots(hints, cases)
    assert set(aimed.aimed) <= set(numbers)
    for number, case in aimed.aimed.items():
        check_case(case)
        assert case_at(3, number, aimed) is case
        assert runner.drawn(number, aimed).lost is None


def test_what_no_conversation_can_meet_is_reported(runner):
    sample = BranchSample(runner, plain_cases(1_000))
    template = "{% for m in messages %}{% if m.role == 'ghost' %}x{% endif %}{% endfor %}"
    found = sample.run(template, sample.aim(template, steered(template, 1_000), 20), 20)
    sample.close()
    assert [branch.what for branch in found.never_run] == ["if m.role == 'ghost'"]


def test_the_same_seed_aims_alike(runner):
    template = _template("a combination")
    made = []
    for _ in range(2):
        sample = BranchSample(runner, plain_cases(1_000))
        made.append(sample.aim(template, steered(template, 1_000), 20))
        sample.close()
    assert made[0] == made[1]
    assert made[0].aimed


def test_a_machine_that_does_something_else_aims_at_the_same_cases(monkeypatch):
    """Waiting is not work: a run whose clock went past the limits of time draws what another with its seed drew."""
    text = _template("a combination")
    digest = hashlib.sha256(text.encode()).hexdigest()
    target = Template("t", text, digest, Provenance(kind="file", location="t.jinja"), harmony=True)
    monkeypatch.setattr(
        campaign, "time_limit", lambda seconds, wall_s=math.inf: time_limit(seconds / 20, wall_s=wall_s)
    )
    aim, noted, made, waited = BranchSample.aim, BranchProbe.noted, [], []

    def kept(self, *given):
        made.append(aim(self, *given))
        return made[-1]

    def slowly(self, *given):
        for each in noted(self, *given):
            waited.append(time.sleep(0.008))
            yield each

    monkeypatch.setattr(BranchSample, "aim", kept)
    cuts = []
    for probe in (noted, slowly):
        monkeypatch.setattr(BranchProbe, "noted", probe)
        report = campaign.check([target], Settings(cases=200, engines=("jinja2",), seed=3), shrink=False)
        cuts.append(report.targets[0].cut)
    assert len(waited) * 0.008 > 1  # longer than the limit
    assert cuts == [[], []]
    assert made[0] == made[1]
    assert made[0].aimed
