"""The reference template on the engines beside Jinja2: Harmony's characters, and clear refusals."""

from __future__ import annotations

from functools import cache

import pytest
from directed import ACCEPTED, REFUSED
from engines import compare

from conformance.engines import get_engine
from conformance.engines.base import Crashed, Rejected, Rendered
from conformance.engines.in_process import InProcessHost
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource

SOURCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
CASES = 300
# The largest share of cases that an engine may leave out; which they are is tested with each engine.
ENGINES = {
    "minijinja": 0.0,
    "minijinja-tgi": 0.05,
    "minijinja-mistralrs": 0.05,
    "minijinja-dynamo": 0.05,
    "llama.cpp": 0.1,
    "llama.cpp-raw": 0.1,
}
# Parts of a content that are no text never reach the template there: the normaliser drops the first three silently.
NORMALISED_AWAY = {"image", "image-with-text", "part-without-text", "part-null"}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if (missing := get_engine(name).available()) is not None:
        pytest.skip(missing)
    return name


@cache
def oracle() -> HarmonyOracle:
    return HarmonyOracle()


def test_generated_cases_equal_harmony(engine: str) -> None:
    result = compare(SOURCE, engine, 20_26, CASES)
    assert result.cases == CASES
    assert result.differing == result.differing_characters == 0, result.examples
    assert result.inexpressible.total() <= ENGINES[engine] * (CASES + result.inexpressible.total())


def test_comparison_sees_a_planted_fault(engine: str) -> None:
    result = compare(SOURCE.replace("# Valid channels", "# Valid Channels"), engine, 20_26, 3)
    assert (result.differing, result.differing_characters) == (3, 3)


def test_input_by_hand(engine: str) -> None:
    # One worker-less host for all: the template is ours, and starting one a case would take minutes.
    program, host, compared = get_engine(engine), InProcessHost(engine), 0
    for accepted in ACCEPTED:
        if program.loses(accepted.request) is None:
            outcome = host.render(SOURCE, accepted.request)
            assert outcome == Rendered(oracle().render(accepted.case).text), accepted.name
            compared += 1
    assert compared > 0.8 * len(ACCEPTED)
    for refused in REFUSED:
        outcome = host.render(SOURCE, refused.request)
        if engine == "llama.cpp" and refused.name in NORMALISED_AWAY:
            assert isinstance(outcome, Crashed if refused.name == "part-null" else Rendered), refused.name
            continue
        assert isinstance(outcome, Rejected), (refused.name, outcome)
        assert refused.words in outcome.message
        assert outcome.line is not None
