"""The real packages, fetched by pip and npm once: what is drawn from them, and how it weighs what a campaign finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Run

from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.conversation import Assistant, Case, ToolResult, check_case, to_json
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profile
from conformance.report.model import Report, Workload
from conformance.report.severities import worst_first
from conformance.report.verdicts import verdict
from conformance.resources import resource
from conformance.sources import catalogue
from conformance.workload import packages, realistic
from conformance.workload.mix import MIX

_CACHE = packages.folder()


@pytest.fixture(autouse=True)
def real_use(no_real_use: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the packages in the user's cache, as `conformance workload fetch` leaves them."""
    monkeypatch.setenv("CONFORMANCE_WORKLOAD", str(_CACHE))
    for package in packages.packages():
        packages.fetch(package)
    return


def _cases(count: int, seed: int = 0) -> list[Case]:
    return [realistic.realistic_case(seed, index) for index in range(count)]


def test_realistic_cases_are_valid_varied_and_the_same_again() -> None:
    cases = _cases(300)
    assert [to_json(case) for case in cases] == [to_json(case) for case in _cases(300)]
    assert len({to_json(case) for case in cases}) > 290
    for number, case in enumerate(cases):
        check_case(case, f"realistic case {number}")
    steps = [m for case in cases for m in case.conversation.messages if isinstance(m, Assistant)]
    assert any(len(step.calls) > 1 for step in steps)
    assert any(step.thinking for step in steps)
    assert any(step.preamble for step in steps)
    assert any(step.final for step in steps)
    assert any(isinstance(call.arguments, str) for step in steps for call in step.calls)
    assert any(isinstance(m, ToolResult) for case in cases for m in case.conversation.messages)
    offered = [case for case in cases if case.conversation.tools]
    # Half of the mix, and questions or dialogues of the leaderboard: 60 %.
    assert 0.5 < len(offered) / len(cases) < 0.7
    schemas = b"".join(to_json(tool.parameters) for case in offered for tool in case.conversation.tools)
    for shape in (
        b'"title":',
        b'"anyOf":',
        b'"additionalProperties":false',
        b'"$schema":',
        b'"default":null',
    ):
        assert shape in schemas, f"no schema has {shape!r}: pydantic's or zod's shapes are missing"


def test_harmony_renders_every_realistic_case_and_the_layout_explains_it() -> None:
    oracle = HarmonyOracle(profile("harmony"))
    assert all(oracle.render(case).exact_spans for case in _cases(60, seed=3))


_judged_once: dict[int, Report] = {}


@pytest.fixture
def report() -> Report:
    """One campaign for the tests of this module; the packages have to be there before, for each test anew."""
    if 1 not in _judged_once:
        _judged_once[1] = _judged(jobs=1)
    return _judged_once[1]


def _judged(jobs: int) -> Report:
    (fetched,) = catalogue.fetch(["openai-gpt-oss-120b"])
    assert fetched.template is not None
    settings = Settings(cases=160, jobs=jobs, workload=realistic.Realistic())
    return check([fetched.template], settings, shrink=False, workload=Workload(name="realistic"))


def test_every_rule_has_both_shares_and_real_use_decides_the_order(report: Report) -> None:
    (target,) = report.targets
    assert report.run.workload is not None
    assert report.run.workload.cases == 40
    assert target.workload is not None
    assert target.workload.cases.total == 40
    assert target.cases.total + target.cases.inexpressible == 160
    assert all(found.workload_share is not None for found in target.divergences)
    assert target.workload.cases.equal == round(40 * target.workload.right_under["harmony"])
    errors = [found for found in worst_first(target.divergences) if found.severity == "error"]
    weights = [found.workload_share or 0.0 for found in errors]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > 0.0
    generated = [found.rule for found in sorted(errors, key=lambda found: -found.share)]
    assert [found.rule for found in errors] != generated, "real use does not change the order"
    words = verdict(target, "harmony")
    assert words.startswith(
        f"diverges: {target.cases.equal} of {target.cases.total} generated stress conversations"
    )
    assert "of 40 realistic ones" in words


@pytest.mark.long
def test_several_processes_weigh_alike(report: Report) -> None:
    (one,), (two,) = report.targets, _judged(jobs=2).targets
    assert one.workload == two.workload
    assert [(d.key, d.count, d.workload_count) for d in one.divergences] == [
        (d.key, d.count, d.workload_count) for d in two.divergences
    ]


def test_the_page_states_the_mix_and_the_packages() -> None:
    page = Path("docs/workload.md").read_text("utf-8")
    for share in MIX:
        assert f"| {share.what} |" in page, f"docs/workload.md does not state: {share.what}"
    assert all(package.title in page for package in packages.packages())


def test_an_altered_package_counts_as_missing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {package: packages.archive(package) for package in packages.packages()}
    monkeypatch.setenv("CONFORMANCE_WORKLOAD", str(tmp_path))
    for package, data in kept.items():
        assert data is not None
        package.path.write_bytes(data[:-1] + b"!")
    assert packages.is_here()
    done = run("check", str(resource("templates", "gpt-oss.jinja")), "--workload", "realistic", "--offline")
    assert done.code == 3
    assert "bfcl-eval==2026.3.23 is altered in the cache and the network is switched off" in done.err


@pytest.mark.parametrize("arguments", [("list",), ("mix",), ("show", "7")])
def test_the_command_prints_packages_mix_and_a_case(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("workload", *arguments)
    assert done.code == 0
    assert done.out


def test_a_log_of_requests_weighs_and_shows_nothing_of_itself(run: Run, tmp_path: Path) -> None:
    secret = "the word that nobody else has"
    plain = {"messages": [{"role": "system", "content": secret}, {"role": "user", "content": "Hi"}]}
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(body) + "\n" for body in [plain] * 3 + [[]]))
    template = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    wrong = template.replace(
        "'# Instructions\\n\\n' ~ instructions", "'# Instructions\\n\\n' ~ instructions ~ '\\n'"
    )
    assert wrong != template
    (tmp_path / "wrong.jinja").write_text(wrong, encoding="utf-8")
    report = tmp_path / "out" / "report.json"
    options = ("--examples", 60, "--workload", tmp_path / "mine.jsonl", "--output", tmp_path / "out")
    done = run("check", tmp_path / "wrong.jinja", *options)
    assert done.code == 1
    assert "0 % of 3 in mine.jsonl" in " ".join(done.out.split())
    found = json.loads(report.read_text("utf-8"))
    assert found["run"]["workload"]["left_out"] == 1
    (rule,) = (each for each in found["targets"][0]["divergences"] if each["severity"] == "error")
    assert (rule["workload_count"], rule["workload_share"]) == (3, 1.0)
    assert secret not in report.read_text("utf-8")
    assert run("check", tmp_path / "wrong.jinja", "--workload", "none").code == 2
