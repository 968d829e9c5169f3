"""The campaign from beginning to end, on small templates whose faults are known."""

from __future__ import annotations

import pytest

from conformance.campaign import check as checks
from conformance.campaign.check import check
from conformance.campaign.judge import Judge
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.engines.base import Limits
from conformance.errors import UsageError
from conformance.gate.exits import exit_code
from conformance.generate import case_at
from conformance.oracles.profile import profile
from conformance.resources import resource
from conformance.sources import Template, make_template
from conformance.sources.base import Provenance

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
FAST = Settings(cases=120, engines=("jinja2",))


def template(text: str, name: str = "t") -> Template:
    return make_template(name, text, Provenance(kind="file", location=name))


def broken(old: str, new: str) -> Template:
    assert REFERENCE.count(old) == 1, old
    return template(REFERENCE.replace(old, new))


# The effort and the answer's channel are written in one place each.
EFFORT = broken("Reasoning: ' -}}", "reasoning: ' -}}")


def plain(report):
    """A report without what differs from run to run."""
    import msgspec

    data = msgspec.to_builtins(report)
    data["run"].pop("elapsed_s")
    return data


def test_the_reference_conforms():
    report = check([template(REFERENCE)], FAST)
    target = report.targets[0]
    assert target.verdict == "conforms"
    assert target.cases.total == target.cases.equal > 100
    assert exit_code(report) == 0
    assert target.right_under["harmony"] == 1.0


def test_a_wrong_template_is_caught_named_and_shrunk():
    report = check([EFFORT], FAST)
    target = report.targets[0]
    assert target.verdict == "diverges"
    assert exit_code(report) == 1
    found, note = target.divergences
    assert (note.rule, note.severity, note.check) == ("injected-special-token", "note", "tokens")
    assert found.rule == "reasoning-effort"
    assert found.share == 1.0
    assert found.example.minimal
    assert found.example.template_line is not None
    assert "reasoning: '" in EFFORT.text.split("\n")[found.example.template_line - 1]


def test_the_same_seed_gives_the_same_report_in_any_number_of_processes():
    first, again = (plain(check([EFFORT], FAST)) for _ in range(2))
    assert first == again
    shared = plain(check([EFFORT], Settings(cases=120, engines=("jinja2",), jobs=2)))
    assert shared == first
    other = plain(check([EFFORT], Settings(cases=120, engines=("jinja2",), seed=1)))
    assert other != first


def test_parts_add_up_to_the_whole():
    with Runner(FAST) as runner:
        whole = runner.run([EFFORT], 0, 60)
        left, right = runner.run([EFFORT], 0, 25), runner.run([EFFORT], 25, 60)
        left.merge(right)
        assert left.tallies[0].counts == whole.tallies[0].counts
        assert left.tallies[0].right == whole.tallies[0].right
        assert left.coverage.counts == whole.coverage.counts
        mine, theirs = left.tallies[0].rules, whole.tallies[0].rules
        assert mine.keys() == theirs.keys()
        for slug in mine:
            assert mine[slug].count == theirs[slug].count
            assert mine[slug].smallest.key() == theirs[slug].smallest.key()


def test_a_template_that_crashes_or_refuses_is_counted_as_such():
    crashing = template("{{ messages[0].nothing.at.all }}")
    report = check([crashing], Settings(cases=30, engines=("jinja2",)))
    target = report.targets[0]
    assert target.cases.crashed == target.cases.total > 0
    assert {d.rule for d in target.divergences} == {"template-crashed"}
    refusing = check([template("{{ raise_exception('no') }}")], Settings(cases=30, engines=("jinja2",)))
    assert refusing.targets[0].cases.rejected == refusing.targets[0].cases.total > 0


def test_a_template_that_never_ends_is_given_up():
    loop = "{% for _ in range(9999) %}"
    text = loop * 3 + "{% endfor %}" * 3
    limits = Limits(time_s=0.2, grace_s=0.5)
    report = check([template(text)], Settings(cases=500, engines=("jinja2",), limits=limits))
    target = report.targets[0]
    assert target.cases.total < 100
    assert "limit" in target.error
    assert {d.rule for d in target.divergences} == {"resource-limit"}
    assert exit_code(report) == 1


def test_a_template_of_another_family_is_one_line():
    text = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    report = check([template(text)], Settings(cases=80, engines=("jinja2",)))
    assert not report.targets[0].harmony
    assert report.targets[0].right_under["harmony"] == 0.0


def test_a_syntax_error_names_its_line():
    with pytest.raises(UsageError, match="line 2"):
        check([template("a\n{% if %}")], FAST)
    both = check([template("a\n{% if %}", "bad"), EFFORT], Settings(cases=20, engines=("jinja2",)))
    verdicts = {target.name: target.verdict for target in both.targets}
    assert verdicts == {"bad": "error", "t": "diverges"}
    assert exit_code(both) == 2


def test_an_interruption_keeps_what_was_found(monkeypatch):
    class Interrupting(checks.Silent):
        def progress(self, template, done, total):
            if done >= 40:
                raise KeyboardInterrupt

    report = check([EFFORT], FAST, Interrupting())
    assert not report.run.complete
    assert 0 < report.targets[0].cases.total < 120
    assert report.targets[0].divergences[0].rule == "reasoning-effort"


def test_copies_are_judged_once():
    report = check([EFFORT, template(EFFORT.text, "copy")], Settings(cases=20, engines=("jinja2",)))
    assert [(t.name, t.aliases) for t in report.targets] == [("t", ["copy"])]


def test_a_word_that_a_branch_waits_for_is_found():
    old = next(line for line in REFERENCE.split("\n") if "<|start|>user" in line).strip()
    planted = (
        "{%- if messages[0].content is string and 'xylophone' in messages[0].content -%}!{%- endif -%}" + old
    )
    report = check([broken(old, planted)], Settings(cases=400, engines=("jinja2",)))
    assert report.targets[0].verdict == "diverges"
    hidden = "{%- if messages|length == 7777 -%}!{%- endif -%}" + old
    quiet = check([broken(old, hidden)], Settings(cases=100, engines=("jinja2",))).targets[0]
    assert quiet.verdict == "conforms"
    assert any("7777" in branch.what for branch in quiet.coverage.branches_never_run)


def test_profiles_that_write_a_case_alike_are_known_without_being_asked() -> None:
    """What is contested in a case says for most profiles whether they write it alike; 20,000 cases agreed."""
    judge, alike, unlike = Judge(profile("harmony")), 0, 0
    for index in range(400):
        answer = judge.ask(case_at(5, index))
        agreeing = judge._agreeing(answer)
        for name, oracle in judge._others.items():
            assert (oracle.layout(answer.case) == answer.rendering.text) == (name in agreeing)
            alike += name in agreeing
            unlike += name not in agreeing
    assert alike > 400
    assert unlike > 400
