"""The adapters: the protocol for all, and each of them on its real program where that is installed."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from conformance.conversation import Case, Conversation, User, case_id
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES
from conformance.oracles.profile import profile
from conformance.renderers.environments import installed
from conformance.renderers.known import Known, known, read_known
from conformance.renderers.line import choices, line
from conformance.renderers.process import Answered, Failed, Renderer
from conformance.report.json_file import read
from conformance.resources import resource

# Loading some of them takes a minute: `CONFORMANCE_RENDERERS=all` judges all that are installed.
CHOSEN = os.environ.get("CONFORMANCE_RENDERERS", "unsloth-zoo")
CASE = Case(conversation=Conversation(messages=(User(text="Hi"),)))


@pytest.mark.parametrize("entry", known().values(), ids=str)
def test_each_is_pinned_and_has_its_adapter(entry: Known) -> None:
    assert entry.file.is_file()
    source = entry.file.read_text("utf-8")
    # What it cannot say is declared, and short: these are examples for others.
    assert "refuse" in source.lower()
    assert len(source.splitlines()) < 130
    assert all("==" in each or entry.alone for each in entry.requires)


def test_a_broken_list_is_refused(tmp_path: Path) -> None:
    from conformance.errors import UsageError

    file = tmp_path / "renderers.toml"
    file.write_text("[a]\nwhat = 1\n")
    with pytest.raises(UsageError, match="does not describe renderers"):
        read_known(file)


ADAPTER = """
import sys
sys.path.insert(0, {folder!r})
import datetime
from adapter import Refused, refuse, serve

class Panic(BaseException):
    pass

def prompt(conversation, options):
    print("what a library prints")
    text = conversation["messages"][0]["text"]
    if text == "refuse":
        raise Refused("not this")
    if text == "fail":
        raise ValueError("bad")
    if text == "panic":
        raise Panic("rust")
    refuse(options, training="no training")
    return {{"text": f"{{datetime.datetime.now():%Y-%m-%d}}"}}

serve(prompt)
"""


def test_the_lines_of_an_adapter(tmp_path: Path) -> None:
    """Refusals and failures are told apart, what is printed is no answer, and the clock stands on the case's day."""
    file = tmp_path / "ask.py"
    file.write_text(ADAPTER.format(folder=str(resource("fixtures", "renderers"))))

    def ask(text: str) -> Answered | Failed:
        case = Case(conversation=Conversation(messages=(User(text=text),)), options=CASE.options)
        return renderer.ask(case_id(case), line(case_id(case), case, choices(profile("harmony"))))

    with Renderer(shlex.join([sys.executable, str(file)])) as renderer:
        assert ask("date") == Answered(CASE.options.date, None)
        assert ask("refuse") == Failed("refused", "not this")
        assert ask("fail") == Failed("error", "ValueError: bad")
        assert ask("panic") == Failed("error", "Panic: rust")


@pytest.mark.parametrize("entry", known().values(), ids=lambda entry: entry.name)
def test_a_real_one_is_judged_and_replayed(run, place: Path, entry: Known) -> None:  # type: ignore[no-untyped-def]
    if CHOSEN not in ("all", entry.name):
        pytest.skip(f"CONFORMANCE_RENDERERS={entry.name} runs it")
    if installed(entry) is None:
        pytest.skip(f"conformance renderers fetch {entry.name}")
    name = f"renderer:{entry.name}"
    result = run("check", name, "--examples", "12", "--seconds", "60", "--at-least", "1", "--output", "out")
    assert result.code in (EXIT_CONFORMS, EXIT_DIVERGES), result.err
    (target,) = read(place / "out").targets
    assert target.source == {"kind": "renderer", "location": name, "version": str(entry)}
    assert target.cases.equal + target.cases.different > 0
    # It answers every conversation, or says why not.
    assert not [each.example.failure for each in target.divergences if each.rule == "template-crashed"]
    assert str(Path.home()) not in json.dumps(target.divergences, default=str)
    again = run("replay", target.divergences[0].example.case_id, "--run", "out", "--target", name)
    assert again.code == EXIT_DIVERGES, again.err
