import hashlib
import io

import msgspec
import pytest
from harmony_texts import messages_of
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from conformance.conversation import Case, Conversation, User
from conformance.errors import UsageError
from conformance.report.diff_view import Finding, plain_diff, render_diff
from conformance.report.explain import explain_all, explain_rule
from conformance.report.model import Environment
from conformance.report.repairs import Repairs, read_repairs, reference_template
from conformance.report.scoreboard import scoreboard_json, scoreboard_markdown
from conformance.rules import catalogue, rule

from . import samples


def shown(width, make):
    console = Console(file=io.StringIO(), width=width)
    console.print(make(console), markup=False, highlight=False, emoji=False)
    return "\n".join(line.rstrip() for line in console.file.getvalue().split("\n"))


def example(make):
    found = make().example
    return messages_of(found.expected, found.actual)


def test_diff_stacked_and_side_by_side(snapshot):
    finding = Finding("one-of-layout", "developer message, tools, `pick.kind`")
    for width in (80, 130):
        view = shown(
            width, lambda console: render_diff(console, example(samples.one_of_layout), findings=[finding])
        )
        assert view == snapshot(name=f"{width} columns")


def test_diff_of_messages_that_only_one_side_has(snapshot):
    findings = [Finding("thinking-retention", "", ["documented"], "warning")]
    assert shown(100, lambda c: render_diff(c, example(samples.retention), findings=findings)) == snapshot


def test_plain_diff(snapshot):
    assert plain_diff(example(samples.retention), findings=[Finding("thinking-retention", "x")]) == snapshot


def test_diffs_of_equal_hostile_and_missing_texts():
    assert "equal: 1 character" in shown(80, lambda c: render_diff(c, messages_of("a", "a")))
    assert "TypeError: x␛" in shown(80, lambda c: render_diff(c, None, failure="TypeError: x\x1b"))
    assert plain_diff(None) == "! template: the template wrote nothing\n"
    for text in (
        shown(80, lambda c: render_diff(c, example(samples.hostile))),
        plain_diff(messages_of("a", samples.HOSTILE)),
    ):
        assert all(char == "\n" or char.isprintable() for char in text)


texts = st.lists(st.sampled_from(["<|start|>", "user", "<|message|>", "x", "\n", "<|end|>"]), max_size=20)


@settings(deadline=None)
@given(texts, texts)
def test_pairing_loses_nothing(left, right):
    expected, actual = "".join(left), "".join(right)
    found = messages_of(expected, actual)
    assert "".join(pair.expected or "" for pair in found) == expected
    assert "".join(pair.actual or "" for pair in found) == actual


def test_explain(snapshot):
    assert shown(80, lambda c: explain_rule(rule("thinking-retention"), c)) == snapshot


def test_explain_lists_every_rule():
    text = shown(120, lambda c: explain_all(catalogue(), c))
    for known in catalogue():
        assert f"{known.code}  {known.slug}" in text


def test_scoreboard(snapshot):
    assert scoreboard_markdown(samples.full(), samples.repairs()) == snapshot


def test_the_scoreboard_says_nothing_about_time_or_machine():
    report = samples.full()
    other = msgspec.structs.replace(
        report,
        environment=Environment(
            python="3.13.0",
            platform="Darwin",
            packages={"jinja2": "3.1.6", "openai-harmony": "0.0.8", "transformers": "5.23.0", "rich": "1"},
        ),
        run=msgspec.structs.replace(report.run, elapsed_s=123.4),
        targets=list(reversed(report.targets)),
    )
    for write in (scoreboard_markdown, scoreboard_json):
        written = write(report, samples.repairs())
        assert written == write(other, samples.repairs())
        text = written if isinstance(written, str) else written.decode()
        for secret in ("/home", "someone", ".cache", "Linux", "3.12.1", "9.87"):
            assert secret not in text
        assert "wheel://trl==1.16.0/trl/chat" in text


def test_hostile_text_is_inert_in_markdown():
    text = scoreboard_markdown(samples.report(samples.hostile_target()), "<script>")
    assert all(char == "\n" or char.isprintable() for char in text)
    assert "\\[bold\\]markup" in text
    columns = {line.replace("\\|", "").count("|") for line in text.split("\n") if line.startswith("|")}
    assert columns == {11, 8}
    assert "<script>" not in text


def test_the_scoreboard_json_keeps_cases_whole():
    data = msgspec.json.decode(scoreboard_json(samples.full(), samples.repairs()))
    rules = next(t for t in data["templates"] if t["name"] == "openai-gpt-oss-120b")["rules"]
    assert rules[0]["case"]["conversation"]["messages"] == [{"kind": "instructions", "text": "Be brief."}]
    assert [left["name"] for left in data["left_out"]] == ["broken.jinja", "hf-model"]


def test_newlines_stay_readable_in_the_scoreboard():
    case = Case(conversation=Conversation(messages=(User(text="a\nb"),)))
    found = samples.default_comment()
    found = msgspec.structs.replace(found, example=msgspec.structs.replace(found.example, case=case))
    written = scoreboard_markdown(samples.report(samples.target("t", "diverges", [found])), "none")
    assert "a⏎b" in written
    assert "U+23CE" not in written


def test_the_scoreboard_shows_what_repairs_reach_or_why_it_does_not():
    (data,) = (
        target["repaired"]
        for target in msgspec.json.decode(scoreboard_json(samples.full(), samples.repairs()))["templates"]
        if target["name"] == "openai-gpt-oss-120b"
    )
    # 100 conversations at 10 % and 300 at 20 %.
    assert data["right_before"] == 0.175
    assert (data["right_after"], data["rules_before"], data["rules_after"]) == (1.0, 2, 0)
    assert (data["conversations"], data["seeds"]) == (400, [0, 1])
    text = scoreboard_markdown(samples.full(), samples.repairs())
    assert "17.5 % → 100 %" in text
    assert "on 400 conversations of seeds 0 and 1" in text
    assert "→" not in scoreboard_markdown(samples.full(), "no record")
    assert "Nothing is said of repairs: no record." in scoreboard_markdown(samples.full(), "no record")


def test_a_record_of_another_reference_or_schema_says_nothing(tmp_path):
    path = tmp_path / "fixes.json"
    assert "no record of repairs" in read_repairs(path)
    whole = msgspec.to_builtins(samples.repairs())
    ours = hashlib.sha256(reference_template().read_bytes()).hexdigest()
    for change, said in (
        ({}, "another reference"),
        ({"schema": "conformance-fixes/2"}, "conformance-fixes/2"),
        ({"reference": ours}, None),
    ):
        path.write_bytes(msgspec.json.encode({**whole, **change}))
        found = read_repairs(path)
        assert isinstance(found, Repairs) if said is None else said in found
    path.write_text("{")
    with pytest.raises(UsageError, match="no record of repairs"):
        read_repairs(path)
