"""A running server gets the whole campaign: its own day, its tokens, what it refuses, and lines that can be pasted."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from stand_in import Llama, Reply, asked, serving, today

from conformance.conversation import Assistant, Case
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED
from conformance.oracles.load import tokenizer
from conformance.report.json_file import read
from conformance.report.model import Target

FEW = ("--examples", "60", "--output", "out")


class Careful(Llama):
    """Makes the tokens as Harmony does, so that nothing is injected."""

    last: list[int]

    def prompt(self, case: Case) -> Reply:
        rendering = self.oracle.render(case)
        self.texts = {**getattr(self, "texts", {}), rendering.text: rendering.tokens}
        return 200, {"prompt": rendering.text}, {}

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
        if path == "/tokenize":
            return 200, {"tokens": self.texts[body["content"]]}, {}
        return super().__call__(method, path, body, headers)


def target(place: Path) -> Target:
    (found,) = read(place / "out").targets
    return found


def test_a_server_that_is_right_conforms(run: Run, place: Path) -> None:
    with serving(Careful()) as address:
        result = run("check", address, *FEW)
        assert result.code == EXIT_CONFORMS, result.out
        found = target(place)
        assert found.source == {
            "kind": "server",
            "location": address,
            "protocol": "llama-server",
            "version": "b1-test",
            "model": "tiny",
            "template": found.source["template"],
            "template_sha256": found.source["template_sha256"],
            "date": today(),
        }
        assert found.source["template"].endswith("(not in the catalogue)")
        assert found.cases.equal == found.cases.total > 30
        assert found.by_engine[0].version == "b1-test"
        assert "protocol llama-server, version b1-test, model tiny" in result.out


def test_a_fault_is_shrunk_and_shown_as_a_line_that_can_be_pasted(run: Run, place: Path) -> None:
    with serving(
        Llama(lambda text: text.replace("<|channel|>commentary json", "<|channel|>commentary"))
    ) as address:
        result = run("check", address, *FEW)
        assert result.code == EXIT_DIVERGES
        found = target(place)
        (marker,) = [each for each in found.divergences if each.rule == "content-type-marker"]
        example = marker.example
        assert example.minimal
        assert example.template_line is None
        assert example.case.options.date == today()
        assert len(example.case.conversation.messages) == 2  # a call, and a result so that it is not the last
        line = re.search(r"^  Or ask +(curl .*)$", result.out, re.MULTILINE)
        assert line is not None
        assert line[1] in [each.example.reproduce for each in found.divergences]
        done = subprocess.run(shlex.split(example.reproduce), capture_output=True, check=True, timeout=60)
        assert json.loads(done.stdout)["prompt"] == example.actual
        replayed = run("replay", example.case_id)
        assert replayed.code == EXIT_DIVERGES
        assert "content-type-marker" in replayed.out
        case = place / "case.json"
        case.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
        assert run("diff", address, "--case", case).code == EXIT_CONFORMS


def test_what_a_server_refuses_is_counted_apart(run: Run, place: Path) -> None:
    class Choosy(Careful):
        def prompt(self, case: Case) -> Reply:
            said = [m for m in case.conversation.messages if isinstance(m, Assistant)]
            if len(case.conversation.tools) > 1:
                return 400, {"error": {"message": f"Got {len(case.conversation.tools)} tools, at most 1"}}, {}
            if any(message.preamble for message in said):
                return 422, {"detail": [{"msg": "content beside tool_calls"}]}, {}
            return super().prompt(case)

    with serving(Choosy()) as address:
        result = run("check", address, *FEW)
    assert result.code == EXIT_CONFORMS, result.out
    found = target(place)
    assert found.cases.total == found.cases.equal
    causes = {refusal.cause: refusal for refusal in found.refusals}
    assert set(causes) == {"HTTP N: Got N tools, at most N", "HTTP N: content beside tool_calls"}
    assert sum(refusal.count for refusal in found.refusals) == found.cases.refused > 0
    several = causes["HTTP N: Got N tools, at most N"]
    assert len(several.case.conversation.tools) > 1
    assert several.message.startswith("HTTP 400: Got ")
    assert "refused, though Harmony renders them (not counted)" in " ".join(result.out.split())
    assert several.message in " ".join(result.out.split())


def test_a_server_that_refuses_everything_is_no_pass(run: Run) -> None:
    def reply(method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
        if path == "/apply-template" and body["messages"] != [{"role": "user", "content": "Hi"}]:
            return 400, {"error": "no"}, {}
        return server(method, path, body, headers)

    server = Llama()
    with serving(reply) as address:
        result = run("check", address, *FEW)
    assert result.code == EXIT_UNJUDGED
    assert "it refused every conversation" in result.out


def test_other_tokens_on_equal_text_name_the_first(run: Run, place: Path) -> None:
    class Splits(Careful):
        """Its tokenizer cuts before combining marks."""

        def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
            status, value, more = super().__call__(method, path, body, headers)
            if path == "/tokenize":
                parts = re.split("([\\u0300-\\u036f\\u0900-\\u0903\\u093a-\\u094f]+)", body["content"])
                value = {"tokens": [token for part in parts for token in self.oracle.encode(part)]}
            return status, value, more

    with serving(Splits()) as address:
        run("check", address, "--examples", "300", "--output", "out")
        found = target(place)
    (mismatch,) = [each for each in found.divergences if each.rule == "token-mismatch"]
    assert mismatch.severity == "error"
    assert mismatch.check == "tokens"
    assert len(tokenizer().encode(mismatch.example.expected_part)) == 1
    assert found.cases.equal == found.cases.total


def test_a_marker_that_becomes_a_token_is_the_servers_fault(run: Run, place: Path) -> None:
    with serving(Llama()) as address:
        assert run("check", address, "--examples", "200", "--output", "out").code == EXIT_DIVERGES
    (injected,) = [each for each in target(place).divergences if each.rule == "injected-special-token"]
    assert injected.severity == "error"


@pytest.mark.parametrize(("day", "kept"), [("2024-01-01", False), (today(), True)])
def test_a_date_that_is_no_clock_is_a_fault(run: Run, place: Path, day: str, kept: bool) -> None:
    class Old(Careful):
        def prompt(self, case: Case) -> Reply:
            self.texts = {}
            text = self.oracle.render(case).text.replace(today(), day)
            self.texts[text] = self.oracle.encode(text)
            return 200, {"prompt": text}, {}

    def reply(method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
        return server(method, path, body, headers)

    server = Old()
    with serving(reply) as address:
        run("check", address, "--examples", "20", "--output", "out", "--concurrency", "1")
    assert ("current-date" in [each.rule for each in target(place).divergences]) is not kept


def test_a_case_is_read_back_as_it_was_asked() -> None:
    assert asked({"messages": [{"role": "user", "content": "Hi"}]}).options.date == today()
