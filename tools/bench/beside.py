"""Other tools on the same templates: how fast they judge, which planted faults they find, and how soon.

A fault counts as found where a tool says of the reference with the fault what it does not say of the reference alone.
Seconds are of this process's processor; each tool does in it all that it does.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from importlib.metadata import version

from hypothesis import HealthCheck, Phase, given, settings

from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.conversation import Case
from conformance.engines.base import Rendered, get_engine
from conformance.engines.in_process import InProcessHost
from conformance.shapes import shapes
from conformance.strategies import cases
from tools.mutants import as_template, load, reference_text

ENGINE = "jinja2"
_RATED = 300  # conversations for a rate
_MOST = 300  # conversations, of either loop, until a fault counts as not found


@dataclass(slots=True)
class Beside:
    """One tool: conversations it judges a second, seconds until each planted fault was found, None for never."""

    name: str
    rate: float
    found: dict[str, float | None] = field(default_factory=dict)

    def __str__(self) -> str:
        caught = [seconds for seconds in self.found.values() if seconds is not None]
        median = f"{statistics.median(caught):.2f} s" if caught else "-"
        return f"| {self.name} | {self.rate:.0f} | {len(caught)} of {len(self.found)} | {median} |"


# What a tool says of a template, and of how many conversations it is made.
_Says = Callable[[str], tuple[set[Hashable], int]]


def beside(faults: int, seed: int) -> list[Beside]:
    """Return this project, a plain Hypothesis loop and the other tools that are installed, on so many faults."""
    planted = [mutant for mutant in load() if mutant.engine is None]
    chosen = planted[:: max(1, len(planted) // faults)][:faults]
    reference = reference_text()
    texts = {mutant.name: as_template(mutant, reference).text for mutant in chosen}
    return [
        _campaign(reference, texts, seed),
        _hypothesis(reference, texts),
        *(_other(name, says, reference, texts) for name, says in _others()),
    ]


def _campaign(reference: str, texts: dict[str, str], seed: int) -> Beside:
    host = InProcessHost(ENGINE)
    with Runner(Settings(cases=_RATED, seed=seed, engines=(ENGINE,)), hosts={ENGINE: host}) as runner:

        def judged(text: str, index: int) -> bool:
            item = runner.drawn(index)
            if item.lost is not None:
                return True
            (outcome,) = host.collect(host.submit(text, [item.shape.request(item.case)]))
            return runner.judge.judge(runner.judge.ask(item.case), outcome).status == "equal"

        def first(text: str) -> bool:
            return any(not judged(text, index) for index in range(_MOST))

        host.collect(host.submit(reference, []))
        judged(reference, 0)
        begin = time.process_time()
        assert all(judged(reference, index) for index in range(_RATED))
        rate = _RATED / (time.process_time() - begin)
        return Beside(
            "conformance (every conversation against Harmony)",
            rate,
            {name: _timed(first, text) for name, text in texts.items()},
        )


def _hypothesis(reference: str, texts: dict[str, str]) -> Beside:
    """Judge with Hypothesis' own loop over the same grammar, authority and engine; no shrinking."""
    engine, shape = get_engine(ENGINE), shapes(["hf"])[0][0]
    engine.load()
    with Runner(Settings(cases=1, engines=(ENGINE,)), hosts={ENGINE: InProcessHost(ENGINE)}) as runner:
        oracle = runner.judge.oracle

        def found(text: str, most: int = _MOST) -> bool:
            @settings(
                max_examples=most,
                database=None,
                derandomize=True,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(cases())
            def equal(case: Case) -> None:
                if shape.loses(case) is None:
                    outcome = engine.render(text, shape.request(case))
                    wanted = oracle.render(case).text
                    assert isinstance(outcome, Rendered) and outcome.text == wanted  # noqa: PT018

            try:
                equal()
            except AssertionError:
                return True
            return False

        found(reference, 10)
        begin = time.process_time()
        assert not found(reference, _RATED)
        rate = _RATED / (time.process_time() - begin)
        return Beside(
            "a plain Hypothesis loop over the same grammar",
            rate,
            {name: _timed(found, text) for name, text in texts.items()},
        )


def _timed(found: Callable[[str], bool], text: str) -> float | None:
    begin = time.process_time()
    return time.process_time() - begin if found(text) else None


def _other(name: str, says: _Says, reference: str, texts: dict[str, str]) -> Beside:
    says(reference)
    begin = time.process_time()
    known, judged = says(reference)
    rate = judged / (time.process_time() - begin)
    return Beside(
        name,
        rate,
        {each: _timed(lambda text: not says(text)[0] <= known, text) for each, text in texts.items()},
    )


def _others() -> list[tuple[str, _Says]]:
    found: list[tuple[str, _Says]] = []
    if importlib.util.find_spec("chatlint") is not None:
        found.append((f"chatlint {version('chatlint')}", _chatlint()))
    if importlib.util.find_spec("ggufdoctor") is not None:
        found.append((f"ggufdoctor {version('ggufdoctor')}, Jinja2 and llama.cpp", _ggufdoctor()))
    return found


def _chatlint() -> _Says:
    from chatlint.check import check
    from chatlint.render import Template
    from chatlint.shapes import all_shapes

    def says(text: str) -> tuple[set[Hashable], int]:
        report = check(Template("t", text))
        results = [*report.errors, *report.warnings]
        return {(result.prop, result.shape, result.verdict) for result in results}, len(all_shapes())

    return says


def _ggufdoctor() -> _Says:
    from ggufdoctor.checks.cross_engine import run_cross_engine_checks
    from ggufdoctor.checks.sanity import run_sanity_checks
    from ggufdoctor.engines.registry import select_engines
    from ggufdoctor.fixtures import load_fixtures
    from ggufdoctor.models import CheckContext, GgufModel

    engines, fixtures = select_engines(None).engines, load_fixtures(None)

    def says(text: str) -> tuple[set[Hashable], int]:
        model = GgufModel("t", architecture="gpt-oss", chat_template=text)
        context = CheckContext(model=model, engines=engines, fixtures=fixtures)
        findings = run_sanity_checks(context) + run_cross_engine_checks(context)
        return {(each.id, each.fixture) for each in findings}, len(fixtures)

    return says
