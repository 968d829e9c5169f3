"""Turn what was counted into the report's records: targets, divergences, examples."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from conformance import __version__
from conformance.as_sent import SentCase
from conformance.campaign.judge import Answer, Judgement, seems_harmony
from conformance.campaign.sightings import RuleTally
from conformance.campaign.tally import EngineTally, RefusalTally, Tally
from conformance.compare.align import align, side_by_side
from conformance.compare.base import Found
from conformance.compare.places import MESSAGES
from conformance.compare.structure import compare
from conformance.compare.tokens import tokens_around
from conformance.conversation import Case, Conversation, case_id, plain_case
from conformance.engines import confinement
from conformance.engines.base import Request
from conformance.generate.coverage import CoverageCounter
from conformance.generate.features import FEATURES, names_of
from conformance.oracles.base import shown_path
from conformance.oracles.library import OracleRefusedError
from conformance.oracles.profile import Reading, citation
from conformance.report.cut import fitted
from conformance.report.model import (
    CaseCounts,
    Coverage,
    Divergence,
    EngineResult,
    Environment,
    Example,
    Finding,
    Origin,
    Refusal,
    Target,
    Token,
    ToolInfo,
    Verdict,
    Weighed,
)
from conformance.report.model import Reading as ReadingRecord
from conformance.rules import rule
from conformance.rules.base import Severity, loss_of
from conformance.rules.behaviour import INJECTED_SPECIAL_TOKEN
from conformance.targets.base import Target as Judged
from conformance.template.branches import BranchCoverage

PACKAGES = ("openai-harmony", "transformers", "jinja2", "gguf", "huggingface_hub", "hypothesis")
_TELLING = 0.8  # a feature that more of all cases have than this tells nothing
_BY_CHANCE = 1e-3  # a feature that all of these cases may well have by chance tells nothing either
_MOST_FEATURES = 6
_PART = 4_000
_PARSED = 500_000  # so many characters are parsed back; longer prompts are long by mistake

_REGIONS_OF_TOOLS = (
    "tool parameters opening property comment name body one-of type default nullable object-description "
    "tool-description namespace-close"
)
_IN_TOOLS = frozenset(_REGIONS_OF_TOOLS.split())
_REGIONS = {
    "comment": "comment",
    "body": "type",
    "one-of": "oneOf",
    "type": "type",
    "default": "default comment",
    "nullable": "type",
    "object-description": "description",
    "tool-description": "description",
    "namespace-close": "closing line",
    "name": "name",
    "opening": "opening",
    "parameters": "parameters",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A case that shows a rule, ready to be reported; `minimal` when it was shrunk as far as it goes."""

    case: Case
    engine: str
    shape: str
    answer: Answer
    judgement: Judgement
    found: Found
    minimal: bool = False
    line: int | None = None
    needs_shapes: Sequence[str] = ()
    origin: Origin | None = None
    reproduce: str = ""
    withheld: bool = False
    request: Request | None = None


NOTHING_JUDGED = "no conversation was judged"
ALL_REFUSED = "it refused every conversation"


def tool_info() -> ToolInfo:
    """Return this tool's name and version."""
    return ToolInfo(name="conformance", version=__version__)


def environment() -> Environment:
    """Return the versions that decide what templates and oracle do."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
        unguarded=confinement.unguarded(),
    )


def region_words(found: Found) -> str:
    """Say in words where a divergence lies: `developer message, tools, `f.unit`, default comment`."""
    if found.against:
        return f"{found.cause}, against {found.against}"
    difference = found.difference
    if difference is None:
        return ""
    words = [MESSAGES[difference.block.kind]] if difference.block else ["extra text"]
    in_schema = difference.path and difference.block is not None and difference.block.kind == "developer"
    if difference.region in _IN_TOOLS or in_schema:
        words.append("tools")
        if difference.path:
            words.append(f"`{shown_path(difference.path)}`")
    region = _REGIONS.get(difference.region, difference.region)
    if region not in ("message", "tool", "property", "prompt") and region not in words[0]:
        words.append(region)
    return ", ".join(words)


def example(shown: Shown, *, parse: bool = True) -> Example:
    """Return the record of a case that shows a divergence; `parse` also says what a model reads in its prompt."""
    if shown.withheld:
        return _withheld(shown)
    difference, judgement = shown.found.difference, shown.judgement
    block = difference.block if difference else None
    failure = judgement.failure
    if failure is not None and judgement.line is not None:
        failure = f"{failure} (line {judgement.line})"
    return Example(
        case_id=case_id(shown.case),
        case=plain_case(shown.case),
        engine=shown.engine,
        shape=shown.shape,
        expected=shown.found.against_text if shown.found.against else shown.answer.rendering.text,
        actual=judgement.text,
        offset=difference.offset if difference else None,
        actual_offset=difference.actual_offset if difference else None,
        region=region_words(shown.found),
        message_index=block.index if block is not None and block.index >= 0 else None,
        template_line=judgement.line if shown.line is None else shown.line,
        expected_part=difference.expected[:_PART] if difference else "",
        actual_part=difference.actual[:_PART] if difference else "",
        also=[found.rule for found in judgement.found if found.rule != shown.found.rule],
        failure=failure,
        minimal=shown.minimal,
        structure=[]
        if shown.found.against or not parse
        else structure(shown.answer, judgement, shown.found.rule),
        origin=shown.origin,
        reproduce=shown.reproduce,
        line=shown.case.line if isinstance(shown.case, SentCase) else None,
        handed={} if shown.request is None else shown.request.handed,
        expected_tokens=_tokens(
            shown.answer.rendering.text if parse else None, difference.offset if difference else None
        ),
        actual_tokens=_tokens(
            judgement.text if parse else None,
            difference.actual_offset if difference else None,
            judgement.ordinary,
        ),
    )


def _withheld(shown: Shown) -> Example:
    """Return the record of a case of which no word may be written."""
    line = shown.case.line if isinstance(shown.case, SentCase) else 0
    empty = Case(conversation=Conversation())
    return Example(
        case_id=case_id(empty),
        case=empty,
        engine=shown.engine,
        shape=shown.shape,
        expected="",
        actual=None,
        offset=None,
        region=region_words(shown.found) if shown.found.difference is None else "",
        message_index=None,
        template_line=shown.judgement.line,
        failure=f"see line {line} of the log: in other words it was not found again, and none are shown",
        line=line,
    )


def _tokens(text: str | None, at: int | None, ordinary: Sequence[tuple[int, int]] = ()) -> list[Token]:
    """Return the tokens near the place where two texts part, none where there is no such place or text."""
    if text is None or at is None:
        return []
    return [Token(id=token, text=written) for token, written in tokens_around(text, at, tuple(ordinary))]


def refusals(tally: Tally) -> list[Refusal]:
    """Return the records of what a target refused, the most frequent cause first."""
    asked = tally.total + tally.refused
    most = sorted(tally.refusals.items(), key=lambda item: (-item[1].count, item[0]))
    return [_refusal(cause, refused, asked) for cause, refused in most]


def _refusal(cause: str, tally: RefusalTally, asked: int) -> Refusal:
    """Return the record of one cause of refusals; `asked` counts the conversations that the target was given."""
    return Refusal(
        cause=cause,
        message=tally.message,
        count=tally.count,
        share=tally.count / asked,
        case_id=case_id(tally.case),
        case=plain_case(tally.case),
        shape=tally.shape,
        line=tally.case.line if isinstance(tally.case, SentCase) else None,
    )


def structure(answer: Answer, judgement: Judgement, slug: str) -> list[str]:
    """Say what a model reads otherwise than Harmony meant, empty where a template wrote nothing.

    Where `slug` is about injection, messages of the template alone are called forged.
    """
    text = judgement.text
    if text is None or judgement.failure is not None:
        return []
    if len(text) > _PARSED:
        return [f"the prompt of {len(text):,} characters is too long to be parsed back"]
    extra = "forged" if slug == INJECTED_SPECIAL_TOKEN.slug else "extra"
    rendering = answer.rendering
    pairs = side_by_side(rendering, align(rendering, text))
    try:
        return compare(rendering, text, pairs, judgement.ordinary, extra=extra)
    except OracleRefusedError as error:
        return [f"the prompt cannot be parsed back: {error}"]


def severity(slug: str, readings: Sequence[Reading], own: Severity | None = None) -> Severity:
    """Return a divergence's severity: a warning at most where cited readings explain it.

    `own` is the finding's, where it is not the rule's.
    """
    own = own or rule(slug).severity
    return "warning" if own == "error" and readings else own


def telling_features(tally: RuleTally, coverage: CoverageCounter) -> list[str]:
    """Return the features that every case with the rule has and not by chance, the rarest in general first."""
    if coverage.cases == 0 or tally.features < 0:
        return []
    rates = {
        feature.name: coverage.counts[number] / coverage.cases for number, feature in enumerate(FEATURES)
    }
    common = [
        name
        for name in names_of(tally.features)
        if rates[name] < _TELLING and rates[name] ** tally.count < _BY_CHANCE
    ]
    return sorted(common, key=lambda name: (rates[name], name))[:_MOST_FEATURES]


def divergence(
    slug: str,
    tally: RuleTally,
    total: int,
    shown: Shown,
    coverage: CoverageCounter,
    *,
    weighed: int = 0,
    parse: bool = True,
) -> Divergence:
    """Return the record of one rule on one target; without `parse` not what a model reads in the prompt.

    `total` conversations were generated, `weighed` are of real use.
    """
    readings = tally.explained
    return Divergence(
        rule=slug,
        code=rule(slug).code,
        severity=severity(slug, readings, shown.found.severity),
        check=_check(shown),
        count=tally.count,
        share=tally.count / total if total else 0.0,
        engines=sorted(tally.engines),
        shapes=sorted(tally.shapes),
        vanishes_under=sorted(tally.vanishes),
        readings=[
            ReadingRecord(setting=setting, value=value, citation=citation((setting, value)))
            for setting, value in readings
        ],
        example=fitted(example(shown, parse=parse)),
        features=telling_features(tally, coverage),
        cause=tally.smallest.found.cause,
        fix=shown.found.fix,
        needs_shapes=list(shown.needs_shapes),
        impact=loss_of(slug).impact,
        workload_count=tally.weighed if weighed else None,
        workload_share=tally.weighed / weighed if weighed else None,
    )


def _check(shown: Shown) -> str:
    if shown.found.against:
        return "engines"
    if rule(shown.found.rule).family == "tokens":
        return "tokens"
    return "text" if shown.judgement.failure is None else "renders"


def engine_record(name: str, version: str, tally: EngineTally, profiles: Sequence[str]) -> EngineResult:
    """Return the record of what one engine alone made of a target."""
    total, lost = sum(tally.counts.values()), sum(tally.inexpressible.values())
    return EngineResult(
        name=name,
        version=version,
        cases=CaseCounts(total=total, inexpressible=lost, **tally.counts),
        right_under={profile: tally.right.get(profile, 0) / total for profile in profiles} if total else {},
        rules=dict(sorted(tally.rules.items(), key=lambda item: (-item[1], item[0]))),
        inexpressible=dict(sorted(tally.inexpressible.items(), key=lambda item: (-item[1], item[0]))),
    )


def coverage_record(coverage: CoverageCounter, branches: BranchCoverage | None) -> Coverage:
    """Return the record of what the generator reached, and of the template's branches where they were counted."""
    return Coverage(
        features=coverage.features_share,
        pairs=coverage.pairs_share,
        missing_features=sorted(coverage.missing_features),
        template_branches=None if branches is None else branches.share,
        branches_never_run=[] if branches is None else branches.never_run,
        decisions=[] if branches is None else branches.audit,
    )


def target(
    judged: Judged,
    tally: Tally,
    divergences: list[Divergence],
    coverage: Coverage,
    *,
    engines: Sequence[str],
    profiles: Sequence[str],
    versions: Mapping[str, str] = MappingProxyType({}),
    aliases: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    refusals: Sequence[Refusal] = (),
    error: str | None = None,
    short: str | None = None,
    cut: Sequence[str] = (),
    weighed: tuple[str, Tally] | None = None,
    unreadable: bool = False,
) -> Target:
    """Return the record of one target; without a single judged conversation its verdict is error.

    `weighed` is the name of a workload, and what it made of that. `short` says why too few were judged to call it
    conforming: what was found stands, what was not proves nothing.
    """
    total = tally.total
    counts = CaseCounts(total=total, inexpressible=tally.inexpressible, refused=tally.refused, **tally.counts)
    verdict: Verdict = "diverges" if any(found.severity != "note" for found in divergences) else "conforms"
    if total == 0:
        verdict, error = "error", error or (ALL_REFUSED if tally.refused else NOTHING_JUDGED)
    elif verdict == "conforms" and short is not None:
        verdict, error = "error", short
    return Target(
        name=judged.name,
        sha256=judged.sha256,
        source=msgspec.to_builtins(judged.source),
        verdict=verdict,
        engines=list(engines),
        by_engine=[
            engine_record(name, versions.get(name, ""), tally.engine(name), profiles)
            for name in engines
            if total
        ],
        shapes=sorted(tally.shapes),
        cases=counts,
        inexpressible=dict(sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))),
        coverage=coverage,
        right_under={name: tally.right.get(name, 0) / total for name in profiles} if total else {},
        right_under_readings=tally.read / total if total else None,
        divergences=divergences,
        error=error,
        harmony=is_harmony(judged, tally),
        aliases=list(aliases),
        findings=list(findings),
        refusals=list(refusals),
        cut=list(cut),
        unreadable=unreadable,
        unclassified_share=tally.unclassified / counts.different if counts.different else 0.0,
        workload=None if weighed is None else _weighed(*weighed, profiles),
    )


def _weighed(name: str, tally: Tally, profiles: Sequence[str]) -> Weighed | None:
    """Return what a target made of conversations of real use, None where it was given none."""
    total = tally.total
    if not total:
        return None
    return Weighed(
        name=name,
        cases=CaseCounts(
            total=total, inexpressible=tally.inexpressible, refused=tally.refused, **tally.counts
        ),
        right_under={name: tally.right.get(name, 0) / total for name in profiles},
        right_under_readings=tally.read / total,
    )


def is_harmony(judged: Judged, tally: Tally) -> bool:
    """Say whether a target is meant to write Harmony: the catalogue's word, else what it does.

    One that in no conversation writes the system message or a user message as Harmony does writes
    something else.
    """
    if judged.harmony is not None:
        return judged.harmony
    rendered = tally.counts["equal"] + tally.counts["different"]
    return seems_harmony(rendered, tally.familiar)
