"""Judge a renderer's answers to vectors: the same rules and the same report as for a template."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from conformance.campaign import assemble
from conformance.campaign.judge import CRASHED, DIFFERENT, EQUAL, REFUSED, REJECTED, Answer, Judgement
from conformance.campaign.sightings import RuleTally
from conformance.campaign.tally import Tally
from conformance.compare.base import Found
from conformance.compare.classify import classify
from conformance.errors import UnjudgedError, UsageError, printable
from conformance.generate.coverage import CoverageCounter
from conformance.oracles.authorities import DEFAULT
from conformance.oracles.base import Rendering
from conformance.oracles.load import authority
from conformance.oracles.opening import Shared
from conformance.renderers.process import Answered, Failed, Renderer
from conformance.report.model import (
    CaseCounts,
    Coverage,
    Divergence,
    Report,
    Run,
    Target,
    Verdict,
)
from conformance.rules.base import Rule, Severity
from conformance.rules.behaviour import (
    INJECTED_SPECIAL_TOKEN,
    RESOURCE_LIMIT,
    TEMPLATE_CRASHED,
    TEMPLATE_REJECTED,
    TOKEN_MISMATCH,
)
from conformance.vectors.derive import oracle_for, special_count
from conformance.vectors.files import Family
from conformance.vectors.model import Vector, request_line

ENGINE, SHAPE = "external", "vector"
_RULES: dict[str, Rule] = {
    "error": TEMPLATE_REJECTED,
    "time": RESOURCE_LIMIT,
    "output": RESOURCE_LIMIT,
    "died": TEMPLATE_CRASHED,
    "broken": TEMPLATE_CRASHED,
}

Status = Literal["equal", "different", "rejected", "crashed", "refused", "not asked"]
OnJudged = Callable[["Result"], None]


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one vector: a line of `results.jsonl`."""

    id: str
    family: str
    status: Status
    rules: tuple[str, ...] = ()
    failure: str | None = None


@dataclass(slots=True)
class _Run:
    tally: Tally = field(default_factory=Tally)
    coverage: CoverageCounter = field(default_factory=CoverageCounter)
    # For each rule the oracle's answer to the smallest case that shows it.
    answers: dict[str, Answer] = field(default_factory=dict)
    by_profile: dict[str, list[bool]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)


def judge_renderer(
    renderer: Renderer,
    families: Sequence[Family],
    on_judged: OnJudged | None = None,
    *,
    name: str = DEFAULT,
) -> tuple[Report, list[Result]]:
    """Ask a renderer for every vector and return the report, and what became of each vector.

    `name` is the authority that the families are of. Raises UsageError for a vector whose text is not its,
    UnjudgedError when the oracle is missing or the renderer never answers.
    """
    begin = time.monotonic()
    run = _Run()
    vectors = [(family.name, vector) for family in families for vector in family.vectors]
    complete = True
    try:
        for index, (family, vector) in enumerate(vectors):
            if renderer.given_up:
                result = Result(id=vector.id, family=family, status="not asked")
                run.results.append(result)
            else:
                result = _one(run, renderer, index, family, vector, name)
            if on_judged is not None:
                on_judged(result)
    except KeyboardInterrupt:
        complete = False
    if (
        complete
        and not renderer.ever_answered
        and all(result.status in (CRASHED, "not asked") for result in run.results)
    ):
        raise UnjudgedError(f"The renderer never answered: {run.results[0].failure}.")
    target = _target(renderer, run)
    report = Report(
        tool=assemble.tool_info(),
        environment=assemble.environment(),
        run=Run(
            seed=0,
            profile="harmony" if "harmony" in run.by_profile else next(iter(run.by_profile), "harmony"),
            elapsed_s=round(time.monotonic() - begin, 3),
            cases=run.tally.total,
            complete=complete and not renderer.given_up,
        ),
        targets=[target],
        authority=authority(name).authority,
    )
    return report, run.results


def _one(run: _Run, renderer: Renderer, index: int, family: str, vector: Vector, name: str) -> Result:
    answer = expected(vector, family, name)
    judgement = judge_answer(vector, answer.rendering, renderer.ask(vector.id, request_line(vector)))
    case = vector.case
    mask = run.coverage.add(case)
    run.tally.add(index, case, (SHAPE, SHAPE), mask, [(ENGINE, judgement)])
    if judgement.status != REFUSED:
        run.by_profile.setdefault(vector.profile.name, []).append(judgement.status == EQUAL)
    for found in judgement.found:
        seen = run.tally.rules[found.key]
        if seen.smallest.index == index:
            run.answers[found.key] = answer
    status: Status = judgement.status  # type: ignore[assignment]
    result = Result(
        id=vector.id,
        family=family,
        status=status,
        rules=tuple(found.rule for found in judgement.found),
        failure=judgement.failure,
    )
    run.results.append(result)
    return result


def expected(vector: Vector, where: str, authority: str = DEFAULT) -> Answer:
    """Ask the oracle, and hold the vector to it.

    Raises UsageError, naming `where`, when the vector's text or tokens are not what Harmony writes.
    """
    rendering = oracle_for(vector.profile.profile(), authority).render(vector.case)
    for name, wrong in (
        ("text", vector.text != rendering.text),
        ("tokens", list(vector.tokens) != rendering.tokens),
    ):
        if wrong:
            raise UsageError(
                f"The vector {vector.id} in {where} is wrong itself: its {name} are not what the installed "
                f"{authority} writes; run `conformance vectors export`."
            )
    return Answer(vector.case, rendering, Shared(vector.case))


def judge_answer(vector: Vector, rendering: Rendering, answer: Answered | Failed) -> Judgement:
    """Compare one answer with the oracle's: text first, then tokens."""
    if isinstance(answer, Failed):
        if answer.kind == "refused":
            return Judgement(REFUSED, failure=answer.message)
        status = REJECTED if answer.kind == "error" else CRASHED
        message = f"{answer.message} (vector {vector.id})"
        return Judgement(status, [Found(_RULES[answer.kind].slug, None)], failure=message)
    oracle = oracle_for(vector.profile.profile())
    text = answer.text
    if answer.tokens is not None:
        try:
            decoded = oracle.decode(answer.tokens)
        except Exception as error:  # the binding's own: an id outside the vocabulary, half a character
            return _wrong_tokens(text, rendering, answer.tokens, f"its tokens cannot be decoded ({error})")
        if text is None:
            text = decoded
    assert text is not None
    if text != rendering.text:
        profile = vector.profile.profile()
        return Judgement(DIFFERENT, classify(vector.case, rendering, text, profile), text=text)
    if answer.tokens is not None and list(answer.tokens) != rendering.tokens:
        return _wrong_tokens(text, rendering, answer.tokens, None)
    return Judgement(EQUAL, text=text)


def _wrong_tokens(
    text: str | None, rendering: Rendering, tokens: tuple[int, ...], problem: str | None
) -> Judgement:
    right = rendering.tokens
    at = next(
        (i for i, (a, b) in enumerate(zip(right, tokens, strict=False)) if a != b),
        min(len(right), len(tokens)),
    )
    want, got = (str(row[at]) if at < len(row) else "the end" for row in (right, tokens))
    message = f"token {at} of {len(right)} is {got}, Harmony's is {want}"
    injected = special_count(tokens) > special_count(right)
    rule = INJECTED_SPECIAL_TOKEN if injected else TOKEN_MISMATCH
    return Judgement(
        DIFFERENT,
        [Found(rule.slug, None)],
        text=text,
        failure=f"{problem}; {message}" if problem else f"the characters are right; {message}",
    )


def _target(renderer: Renderer, run: _Run) -> Target:
    tally = run.tally
    # A report names what was run, not where it lies on this machine.
    name = printable(" ".join(word.rsplit("/", 1)[-1] for word in renderer.words), 60)
    divergences = [_divergence(run, key, seen) for key, seen in tally.rules.items()]
    divergences.sort(key=lambda found: (-found.count, found.code))
    left = sum(result.status == "not asked" for result in run.results)
    error = None
    if left:
        error = f"it was given up after {renderer.time_limits} time limits; {left} vectors were not asked"
    if tally.total == 0:
        error = assemble.ALL_REFUSED if tally.refused else "no vector was judged"
    verdict: Verdict = "error" if error else "diverges" if divergences else "conforms"
    return Target(
        name=name,
        sha256=hashlib.sha256(" ".join(renderer.words).encode("utf-8", "surrogateescape")).hexdigest(),
        source={"kind": "renderer", "location": name},
        verdict=verdict,
        engines=[ENGINE],
        shapes=[SHAPE],
        cases=CaseCounts(total=tally.total, refused=tally.refused, **tally.counts),
        coverage=Coverage(
            features=run.coverage.features_share,
            pairs=run.coverage.pairs_share,
            missing_features=sorted(run.coverage.missing_features),
        ),
        right_under={name: sum(right) / len(right) for name, right in run.by_profile.items()},
        divergences=divergences,
        error=error,
        unclassified_share=tally.unclassified / tally.counts[DIFFERENT] if tally.counts[DIFFERENT] else 0.0,
        refusals=assemble.refusals(tally),
    )


def _divergence(run: _Run, key: str, seen: RuleTally) -> Divergence:
    smallest = seen.smallest
    slug = smallest.found.rule
    shown = assemble.Shown(smallest.case, ENGINE, SHAPE, run.answers[key], smallest.judgement, smallest.found)
    made = assemble.divergence(slug, seen, run.tally.total, shown, run.coverage)
    tokens = slug in (INJECTED_SPECIAL_TOKEN.slug, TOKEN_MISMATCH.slug)
    # A template cannot prevent injection, so there it is a note; who writes the tokens can.
    severity: Severity = "error" if tokens else made.severity
    example = msgspec.structs.replace(made.example, case_id=run.results[smallest.index].id)
    return msgspec.structs.replace(
        made, severity=severity, check="tokens" if tokens else made.check, example=example
    )
