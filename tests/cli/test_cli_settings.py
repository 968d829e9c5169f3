"""Settings files: every option, every key checked, the command line wins, and what holds is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import FAST, sentence
from command_line import Run

from conformance.cli.app import COMMANDS
from conformance.cli.options_of import Option, Options, options_of


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


FEW = 'engine = ["jinja2"]\nexamples = 12\n'


def _all(options: Options, where: tuple[str, ...]) -> list[tuple[tuple[str, ...], Option]]:
    found: list[tuple[tuple[str, ...], Option]] = []
    for key, value in options.items():
        found += [(where, value)] if isinstance(value, Option) else _all(value, (*where, key))
    return found


def test_what_a_file_sets_holds_and_the_command_line_wins(run: Run, place: Path):
    (place / "conformance.toml").write_text(FEW + 'fail-on = "never"\n')
    result = run("check", "newlines.jinja")
    assert result.code == 0
    assert "of 12" in result.out
    assert "conformance.toml sets engine, examples, fail-on" in result.err
    result = run("check", "newlines.jinja", "--fail-on", "error", "--examples", "15")
    assert result.code == 1
    assert "of 15" in result.out


def test_the_nearest_file_up_to_the_root_of_the_repository_holds(run: Run, place: Path, monkeypatch):
    below = place / "a" / "b"
    below.mkdir(parents=True)
    (place / "pyproject.toml").write_text("[tool.conformance]\nexamples = 7\n")
    monkeypatch.chdir(below)
    assert "no settings file" in run("settings", "check").out, (
        "without a repository only this folder is asked"
    )
    (place / ".git").mkdir()
    assert "[tool.conformance]" in run("settings", "check").out
    (place / "a" / "conformance.toml").write_text("examples = 8\n")
    assert "examples          8" in run("settings", "check").out
    (below / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert "examples          8" in run("settings", "check").out, "a pyproject.toml without our table is none"
    assert "no settings file" in run("--no-settings", "settings", "check").out


def test_a_key_at_the_top_is_shared_and_a_table_is_for_one_command(run: Run, place: Path):
    (place / "conformance.toml").write_text("examples = 7\nseed = 3\n[compare]\nexamples = 9\n")
    for command, examples in (("check", "7"), ("compare", "9"), ("scoreboard", "7")):
        lines = run("settings", command).out.splitlines()
        row = next(line.split() for line in lines if line.split()[:1] == ["examples"])
        assert row[1] == examples
    # The precision track's seed is another option of the same name.
    assert ["seed", "0", "default"] in [
        line.split() for line in run("settings", "precision").out.splitlines()
    ]


def test_what_includes_wins_over_what_is_included(run: Run, place: Path):
    (place / "conformance.toml").write_text('include = "shared/base.toml"\nexamples = 7\n')
    (place / "shared").mkdir()
    (place / "shared" / "base.toml").write_text('examples = 100\nseed = 4\nbaseline = "known.toml"\n')
    rows = {
        line.split()[0]: line.split()[1] for line in run("settings", "check").out.splitlines()[1:] if line
    }
    assert (rows["examples"], rows["seed"]) == ("7", "4")
    assert rows["baseline"] == str(place / "shared" / "known.toml"), (
        "paths are those of the file that names them"
    )


def test_every_option_of_every_command_is_known_and_can_be_set():
    """A new option needs nothing more than its declaration."""
    found = [each for name, options in options_of(COMMANDS).items() for each in _all(options, (name,))]
    assert len(found) > 100
    for where, option in found:
        assert option.wants, (where, option.key)
        good = {bool: True, int: 3, float: 1.5, str: "a", Path: "a"}
        if option.kind is list:
            value: object = [good[option.item]]
        else:
            value = good.get(option.kind) or next(iter(option.kind)).value  # type: ignore[call-overload]
        assert option.accepts(value), (where, option.key)
        assert not option.accepts({"a": 1}), (where, option.key)


def test_readings_and_profiles_still_stand_below(run: Run):
    out = run("settings").out
    assert "options of check" in out
    assert "result_recipient" in out
    assert "oss-harmony" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exampels = 3", "no option or command is called exampels; did you mean examples?"),
        ("fail_on = 'error'", "did you mean fail-on?"),
        ("[chekc]\nexamples = 3", "did you mean check?"),
        ("[check]\nshapes = ['hf']", "no option or command is called check.shapes; did you mean shape?"),
        ("zzz = 1", "`conformance settings` lists what there is"),
        ("examples = '3'", 'examples is "3"; give a whole number'),
        ("examples = true", "examples is true; give a whole number"),
        ("offline = 1", "offline is 1; give true or false"),
        ("engine = 'jinja2'", "give a list of texts"),
        ("engine = [1]", "give a list of texts"),
        ("fail-on = 'always'", "give one of error, warning, structure"),
        ("check = 3", "no option or command is called check"),
        ("include = 3", "include is 3; give a path"),
        ("include = 'conformance.toml'", "in a circle: conformance.toml includes conformance.toml"),
        ("include = 'gone.toml'", "gone.toml: No such file"),
        ("command = 'rm -r x'", "taken only from a file that is named"),
        ("examples = ", "not valid TOML"),
        ("examples = 0", "--examples is 0; give at least 1"),
        ("profile = 'nobody'", "nobody"),
    ],
)
def test_bad_settings_are_one_sentence(run: Run, place: Path, text: str, said: str):
    (place / "conformance.toml").write_text(text + "\n")
    result = run("check", "right.jinja")
    assert result.code == 2
    last = result._replace(err=result.err.splitlines()[-1])
    assert said in sentence(last)


def test_a_longer_circle_of_includes_is_told(run: Run, place: Path):
    (place / "conformance.toml").write_text('include = ["b.toml"]\n')
    (place / "b.toml").write_text('include = ["c.toml"]\n')
    (place / "c.toml").write_text('include = ["b.toml"]\n')
    result = run("settings")
    assert result.code == 2
    assert "b.toml includes c.toml includes b.toml" in sentence(result)


def test_an_uploads_own_settings_do_not_judge_it(run: Run, place: Path):
    """Else `ignore = ["all"]` in an upload would be its pass."""
    folder = place / "upload"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text((place / "newlines.jinja").read_text())
    (folder / "conformance.toml").write_text('fail-on = "never"\n')
    assert run("check", "upload", *FAST).code == 1


def test_settings_in_the_current_folder_that_is_judged_have_to_be_named(run: Run, place: Path):
    (place / "newlines.jinja").rename(place / "chat_template.jinja")
    (place / "conformance.toml").write_text('fail-on = "never"\n')
    result = run("check", ".", *FAST)
    assert result.code == 1
    assert "lies in ., which is judged" in result.err
    assert run("check", ".", *FAST, "--settings", "conformance.toml").code == 0


def test_a_named_file_may_run_a_program(run: Run, place: Path):
    (place / "mine.toml").write_text('command = "cat"\n')
    assert "cat" in run("settings", "check", "--settings", "mine.toml").out
    assert run("settings", "--settings", "mine.toml", "--no-settings").code == 2
