"""Whatever a renderer does on one vector, the others are judged, and the report says which and why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from vector_helpers import fake_command

from conformance.errors import UnjudgedError, UsageError
from conformance.renderers.process import Renderer
from conformance.vectors.files import read_folder
from conformance.vectors.judging import Result, judge_renderer

Fake = Callable[..., list[Result]]

BAD = [
    ("crashes", "crashed", "template-crashed", "exited with code 1: RuntimeError: cannot render this"),
    ("killed", "crashed", "template-crashed", "signal 9 (SIGKILL)"),
    ("half", "crashed", "template-crashed", "exited with code 0 after half a line"),
    ("floods", "crashed", "resource-limit", "more than 16 MB without ending its line"),
    ("many-lines", "crashed", "template-crashed", "more than one line"),
    ("not-utf8", "crashed", "template-crashed", "not UTF-8 (byte"),
    ("not-json", "crashed", "template-crashed", "not the JSON asked for"),
    ("no-object", "crashed", "template-crashed", "not the JSON asked for"),
    ("empty", "crashed", "template-crashed", "neither text nor tokens nor an error"),
    ("unknown-field", "crashed", "template-crashed", "`txt`"),
    ("other-id", "crashed", "template-crashed", "has the id 000000000000"),
    ("no-id", "crashed", "template-crashed", "has no id"),
    ("closes-output", "crashed", "template-crashed", "it closed its output"),
    ("refuses", "rejected", "template-rejected", "no tools"),
    ("wrong-effort", "different", "reasoning-effort", None),
    ("last-token-lost", "different", "token-mismatch", "is the end, Harmony's is"),
    ("huge-token", "different", "token-mismatch", "cannot be decoded"),
]


@pytest.mark.parametrize(("mode", "status", "rule", "said"), BAD, ids=[row[0] for row in BAD])
def test_a_fault_costs_one_vector(fake: Fake, mode: str, status: str, rule: str, said: str | None) -> None:
    results = fake(mode, 2, limit_s=10)
    assert [r.status for r in results] == ["equal", "equal", status, "equal", "equal"]
    bad = results[2]
    assert bad.rules == (rule,)
    if said is not None:
        assert bad.failure is not None
        assert said in bad.failure
        assert bad.id in bad.failure or status == "different"
        assert "\x1b" not in bad.failure


@pytest.mark.parametrize(("mode", "said"), [("hangs", "flush its output"), ("half-hangs", "but half a line")])
def test_a_hang_ends_at_the_limit(fake: Fake, mode: str, said: str) -> None:
    begin = time.monotonic()
    results = fake(mode, 1, limit_s=0.4)
    assert [r.status for r in results] == ["equal", "crashed", "equal", "equal", "equal"]
    assert results[1].rules == ("resource-limit",)
    assert said in (results[1].failure or "")
    assert time.monotonic() - begin < 8


@pytest.mark.parametrize("mode", ["good", "tokens", "floods-errors"])
def test_these_are_no_faults(fake: Fake, mode: str) -> None:
    assert {r.status for r in fake(mode, 0, 1, 2, limit_s=10)} == {"equal"}


def test_an_early_end_is_told_and_costs_nothing(few: Path) -> None:
    families = read_folder(few)
    ids = [vector.id for vector in families[0].vectors]
    with Renderer(fake_command("ends-after", f"{ids[0]},{ids[2]}", few)) as renderer:
        report, results = judge_renderer(renderer, families)
    assert {r.status for r in results} == {"equal"}
    assert report.targets[0].verdict == "conforms"
    assert [before for before, _ in renderer.early_exits] == [ids[1], ids[3]]


def test_a_renderer_that_hangs_from_the_beginning_never_answered(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.renderers.process.MOST_TIME_LIMITS", 2)
    with pytest.raises(UnjudgedError, match=r"never answered: it wrote nothing for 0\.3 s; does it flush"):
        fake("hangs", 0, 1, 2, 3, 4, limit_s=0.1)


def test_what_was_not_asked_is_no_pass(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conformance.renderers.process.MOST_TIME_LIMITS", 1)
    families = read_folder(few)
    with Renderer(fake_command("hangs", families[0].vectors[1].id, few), limit_s=0.3) as renderer:
        report, results = judge_renderer(renderer, families)
    assert [r.status for r in results] == ["equal", "crashed", "not asked", "not asked", "not asked"]
    assert report.targets[0].verdict == "error"
    assert not report.run.complete
    assert "3 vectors were not asked" in (report.targets[0].error or "")


def test_a_renderer_that_never_answers_is_unjudged(few: Path) -> None:
    with (
        Renderer(fake_command("dies-at-once", "none", few)) as renderer,
        pytest.raises(UnjudgedError, match="never answered: it exited with code 1: Error: cannot load"),
    ):
        judge_renderer(renderer, read_folder(few))


def test_commands_that_cannot_run() -> None:
    with pytest.raises(UsageError, match="empty"):
        Renderer(" ")
    with pytest.raises(UsageError, match="words of a shell"):
        Renderer("node 'x")


def test_a_command_that_is_not_there(few: Path) -> None:
    with (
        Renderer("no-such-program-here") as renderer,
        pytest.raises(UsageError, match="Cannot start the renderer no-such-program-here"),
    ):
        judge_renderer(renderer, read_folder(few))


def test_special_tokens_out_of_text_are_an_error(shipped: tuple, tmp_path: Path) -> None:
    """Who tokenizes the finished text gets the characters right and the tokens wrong."""
    from conformance.oracles.harmony import HarmonyOracle
    from conformance.renderers.process import Answered
    from conformance.vectors.derive import special_count
    from conformance.vectors.judging import expected, judge_answer

    oracle = HarmonyOracle()
    vector = next(v for f in shipped if f.name == "hostile" for v in f.vectors if "tokens-only" in v.flags)
    naive = tuple(oracle.encode(vector.text))
    assert special_count(naive) > special_count(vector.tokens)
    judgement = judge_answer(vector, expected(vector, "hostile").rendering, Answered(vector.text, naive))
    assert [found.rule for found in judgement.found] == ["injected-special-token"]
    assert json.dumps(judgement.failure)
