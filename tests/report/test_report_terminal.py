import io
import re

import msgspec
import pytest
from rich.console import Console

from conformance.report.base import Output, writer
from conformance.report.terminal import TerminalWriter

from . import samples

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def printed(report, width=100, *, cards=True, examples=5, colours=None, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    console = Console(
        file=file, width=width, force_terminal=colours is not None, color_system=colours, legacy_windows=False
    )
    TerminalWriter(console, examples).write(report, cards=cards)
    text = raw.getvalue().decode(encoding)
    # Editors and hooks strip blanks at line ends; they mean nothing here.
    return "\n".join(line.rstrip() for line in text.split("\n"))


def test_one_template(snapshot):
    assert printed(samples.report(samples.diverging()), examples=10) == snapshot


def test_several_templates(snapshot):
    assert printed(samples.full(), examples=1) == snapshot


def test_80_columns(snapshot):
    assert printed(samples.full(), width=80, examples=2) == snapshot


def test_the_scoreboard_table(snapshot):
    assert printed(samples.full(), width=120, cards=False) == snapshot


def test_hostile_text(snapshot):
    assert printed(samples.report(samples.hostile_target())) == snapshot


def test_colours(snapshot):
    assert printed(samples.report(samples.diverging()), examples=2, colours="standard") == snapshot


def test_ascii_terminals(snapshot):
    assert printed(samples.report(samples.diverging()), examples=2, encoding="ascii") == snapshot


def test_an_incomplete_and_an_empty_report(snapshot):
    assert printed(samples.report(complete=False)) == snapshot


def test_examples_are_the_worst():
    text = printed(samples.report(samples.diverging()), examples=1)
    assert text.count("Reproduce with") == 1
    assert "HT111 instructions-trailing-newlines" in text
    assert "(+5 more; --cards 6 shows all)" in text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("colours", [None, "standard"])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_hostile_text_is_inert_on_every_terminal(width, colours, encoding):
    report = samples.report(samples.hostile_target(), *samples.full().targets)
    text = printed(report, width, colours=colours, encoding=encoding)
    for char in ESCAPE.sub("", text) if colours else text:
        assert char == "\n" or char.isprintable(), ascii(char)
    assert "markup" in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_lines_fit_but_for_the_command_to_paste(width):
    for line in printed(samples.full(), width).split("\n"):
        assert len(line) <= width or line.startswith("  Reproduce with")


def test_the_command_can_be_pasted_whole():
    target = samples.target("a folder/with 'quotes' " + "x" * 90, "diverges", [samples.crash()])
    text = printed(samples.report(target), 80)
    line = next(line for line in text.split("\n") if "Reproduce with" in line)
    assert line.endswith("x'")


@pytest.mark.parametrize(("kind", "says"), [("server", False), ("renderer", False), ("file", True)])
def test_only_templates_have_lines_that_could_be_traced(kind, says):
    target = msgspec.structs.replace(samples.diverging(), source={"kind": kind})
    assert ("line not traced" in printed(samples.report(target))) is says


def test_no_colour_means_no_escape_codes(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(samples.report(samples.diverging()), colours=None)
    assert "\x1b" not in text


def test_a_run_without_conversations_never_reads_like_a_pass():
    target = samples.target("t", "conforms", [], cases=samples.CaseCounts(), right_under={})
    assert "error: no conversation was judged" in printed(samples.report(target))


def test_progress_is_silent_off_terminals_and_gone_afterwards():
    for terminal in (False, True):
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=terminal, legacy_windows=False)
        with TerminalWriter(console).progress() as advance:
            advance("[red]evil\x07", 1, 10)
            advance("[red]evil\x07", 10, 10)
        assert ("evil" in file.getvalue()) is terminal
        assert "\x07" not in file.getvalue()


def test_the_terminal_writer_is_a_format(tmp_path):
    console = Console(file=io.StringIO(), width=100)
    assert writer("terminal")(samples.full(), Output(folder=tmp_path, console=console)) is None
    assert "diverges" in console.file.getvalue()
