"""The report's data model, `conformance-report/1`; its JSON Schema is published from these types."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from conformance.conversation import Case
from conformance.oracles.authorities import Authority
from conformance.rules.base import Severity

REALISTIC: Final = "realistic"
"""The name of the workload that is drawn from public sets."""
SCHEMA: Final = "conformance-report/1"

Verdict: TypeAlias = Literal["conforms", "diverges", "error"]


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the report's records."""


class ToolInfo(_Part, frozen=True, kw_only=True):
    """What wrote the report."""

    name: str
    version: str


class Environment(_Part, frozen=True, kw_only=True):
    """Where the report was made; package versions decide what templates and oracle do.

    `unguarded` names what no wall of the kernel kept workers from; None where no worker ran.
    """

    python: str
    platform: str
    packages: dict[str, str]
    unguarded: list[str] | None = None


class Workload(_Part, frozen=True, kw_only=True):
    """Conversations of real use that say how much each rule weighs; `cases` is how many were judged.

    `sources` are the packages that they are drawn from, with their hashes; `left_out` are lines of a log that are no
    requests that can be judged. `missing` says why there were none.
    """

    name: str
    cases: int = 0
    sources: dict[str, str] = {}
    left_out: int = 0
    missing: str = ""


class Run(_Part, frozen=True, kw_only=True):
    """How the campaign was run; `complete` is False when it ended early: `ended` says why.

    `unanswered` counts conversations on which the authority gave no answer, by its reason: they are among `cases`
    and judged nobody. `workload` is what the rules were weighed with. In `layout_failures` of the others our layout
    does not explain the authority's text: they are judged all the same, and what differs is placed by message, not
    by region. Relative paths are those of `directory`.
    """

    seed: int
    profile: str
    elapsed_s: float
    cases: int
    complete: bool
    ended: Literal["time", "interrupted", "gone"] | None = None
    unanswered: dict[str, int] = {}
    layout_failures: int = 0
    directory: str = ""
    workload: Workload | None = None


class CaseCounts(_Part, frozen=True, kw_only=True):
    """Conversations judged: total = equal + different + rejected + crashed; the others are apart.

    `inexpressible` ones could not be asked, `refused` ones the target said it cannot take.
    """

    total: int = 0
    equal: int = 0
    different: int = 0
    rejected: int = 0
    crashed: int = 0
    inexpressible: int = 0
    refused: int = 0


class Branch(_Part, frozen=True, kw_only=True):
    """A branch of the template that never ran in the campaign.

    `operand` says that it is no branch of its own: an operand of a condition was never true, or never false.
    """

    line: int
    what: str
    operand: bool = False


class Decision(_Part, frozen=True, kw_only=True):
    """A place of the template where its output hangs on more than structure.

    `hangs_on` says on what: what a text says, the time of day, chance, the object behind a helper, how many messages
    there are, an argument that nobody declares. `seen` are up to two of its outcomes in the campaign: with fewer, what
    the other one writes was never seen. `refuses` says that it only decides whether the template refuses.
    """

    line: int
    what: str
    hangs_on: list[str]
    seen: list[str] = []
    refuses: bool = False

    @property
    def hidden(self) -> bool:
        """Whether the campaign did not see it decide either way."""
        return len(self.seen) < 2 and not self.refuses


class Coverage(_Part, frozen=True, kw_only=True):
    """What the campaign reached, as shares from 0 to 1; pairs counts those that can meet."""

    features: float
    pairs: float
    missing_features: list[str] = []
    template_branches: float | None = None
    branches_never_run: list[Branch] = []
    decisions: list[Decision] = []


class Origin(_Part, frozen=True, kw_only=True):
    """What else is known of where a template's text comes from, all in lines of the template.

    `trail` are the outputs that the text went through behind the one that wrote it, innermost first. `between` are
    the two lines between which text is missing, `nearest` the last one before the gap that ran. `condition` decided:
    it was false, so that the branch with the missing text did not run, or `went` says that it was true. `sets` are the
    assignments that the condition reads. `decisive` are conditions, loops, outputs and assignments of numbers or truth
    values, the last to run first: had one of them gone another way, the text would be right (tried, each by itself).
    """

    trail: list[int] = []
    between: list[int] = []
    nearest: int | None = None
    condition: int | None = None
    went: bool = False
    sets: list[int] = []
    decisive: list[int] = []


class Cut(_Part, frozen=True, kw_only=True):
    """What was too long to be kept: the whole text had `length` characters, the kept stretch begins at `start`."""

    start: int
    length: int
    sha256: str


class Token(_Part, frozen=True, kw_only=True):
    """One token of a prompt: its number in o200k_harmony, and its text; part of a character is U+FFFD."""

    id: int
    text: str


class Example(_Part, frozen=True, kw_only=True):
    """The smallest case found that shows a divergence, and the two texts where they part.

    `expected` and `actual` are the whole texts, or stretches of them where they are very long: then `expected_cut` and
    `actual_cut` say of what. `offset` is the first differing character of this
    divergence in `expected`, `actual_offset` the same place in `actual` (it is another number when the case
    diverges earlier too; None where it was not kept). `template_line` is None where it could not be traced, or where
    nothing was written: then `origin` says between which lines.
    `structure` says in short sentences what a model reads otherwise than Harmony meant, when a server has encoded
    `actual`: messages lost, extra or forged, other channels and recipients. `reproduce` is a command line that asks a
    server or program for the same prompt. `handed` holds the messages, tools and options that the template was handed,
    empty where that was not kept. The tokens are those near the place where the texts part. `line` is the line of
    the log that a request is or was shrunk from.
    """

    case_id: str
    case: Case
    engine: str
    shape: str
    expected: str
    actual: str | None
    offset: int | None
    region: str
    message_index: int | None
    template_line: int | None
    expected_part: str = ""
    actual_part: str = ""
    also: list[str] = []
    failure: str | None = None
    minimal: bool = False
    actual_offset: int | None = None
    structure: list[str] = []
    reproduce: str = ""
    origin: Origin | None = None
    expected_cut: Cut | None = None
    actual_cut: Cut | None = None
    handed: dict[str, Any] = {}
    expected_tokens: list[Token] = []
    actual_tokens: list[Token] = []
    line: int | None = None


class Reading(_Part, frozen=True, kw_only=True):
    """A reading of the format under which a divergence is none, and on whose word."""

    setting: str
    value: str
    citation: str

    def __str__(self) -> str:
        return f"{self.setting}={self.value}"


class Divergence(_Part, frozen=True, kw_only=True):
    """One rule that a target breaks, with how many conversations show it and the smallest example.

    `features` lists the case features that every conversation showing it has, most telling first. `readings` are
    the cited readings that explain it everywhere, one value of each setting; `vanishes_under` the profiles that
    have them. `needs_shapes` lists the shapes in which the example shows it, empty when every shape does. A rule
    has one record for each `cause`, where it has several: line and error of a failure, or why engines disagree;
    then the example's `expected` is the other engine's text. `fix` is given where it says more than the rule's own.
    `workload_count` and `workload_share` are the same of the conversations of real use, None where none were
    judged; a rule that only they show has the count 0. `impact` is what the model loses (structure, content,
    wording, white space); `accepted` is the reason of a baseline that knows it.
    """

    rule: str
    code: str
    severity: Severity
    check: str
    count: int
    share: float
    engines: list[str]
    shapes: list[str]
    vanishes_under: list[str]
    example: Example
    features: list[str] = []
    readings: list[Reading] = []
    cause: str = ""
    needs_shapes: list[str] = []
    fix: str = ""
    impact: str = ""
    accepted: str = ""
    workload_count: int | None = None
    workload_share: float | None = None

    @property
    def key(self) -> str:
        """What tells it from the other divergences of its target: the rule, and what the rule has several of."""
        if self.cause:
            return f"{self.rule}: {self.cause}"
        # Control tokens that a template adds stand beside those that only the server can prevent.
        return f"{self.rule} (error)" if self.check == "tokens" and self.severity == "error" else self.rule


class EngineResult(_Part, frozen=True, kw_only=True):
    """What one engine alone made of a target: `rules` and `inexpressible` count conversations, by slug and reason.

    In `cases`, `inexpressible` counts what this engine cannot express; what the shape cannot carry is not in it.
    """

    name: str
    version: str
    cases: CaseCounts
    right_under: dict[str, float]
    rules: dict[str, int] = {}
    inexpressible: dict[str, int] = {}


class Finding(_Part, frozen=True, kw_only=True):
    """Something wrong in the package that a template came from: a file says `actual` where `expected` is right.

    With `checked` False it is a note that a part is missing, so that nothing can be said of it.
    """

    rule: str
    code: str
    severity: Severity
    message: str
    where: str
    expected: str = ""
    actual: str = ""
    checked: bool = True
    accepted: str = ""


class Refusal(_Part, frozen=True, kw_only=True):
    """One thing that a target says instead of a prompt, how often, and the smallest conversation it says it of.

    `cause` is what it says without the names and numbers of one request, `message` the whole sentence; `share` is of
    the conversations that it was given. Harmony renders each of them.
    """

    cause: str
    message: str
    count: int
    share: float
    case_id: str
    case: Case
    shape: str
    line: int | None = None


class Weighed(_Part, frozen=True, kw_only=True):
    """What a target made of the conversations of real use; `name` is the workload's."""

    name: str
    cases: CaseCounts
    right_under: dict[str, float]
    right_under_readings: float | None = None


class Target(_Part, frozen=True, kw_only=True):
    """One template and what the campaign found about it; `findings` are about the package around it.

    `right_under_readings` is the share of conversations that are right under some cited readings taken together.
    `cut` says what was ended or left out because it took too much time or was too long.
    `workload` is the same of conversations of real use. `ignored` are rules that a gate was told not to look at,
    `passes` what it said: None where there was no gate.
    `inexpressible` counts by reason what the shapes drawn could not carry; what an engine cannot stands with it.
    An `unreadable` one is no template for any of the engines, as `error` says.
    """

    name: str
    sha256: str
    source: dict[str, Any]
    verdict: Verdict
    engines: list[str]
    shapes: list[str]
    cases: CaseCounts
    coverage: Coverage
    right_under: dict[str, float]
    divergences: list[Divergence]
    right_under_readings: float | None = None
    error: str | None = None
    harmony: bool = True
    aliases: list[str] = []
    unclassified_share: float = 0.0
    by_engine: list[EngineResult] = []
    findings: list[Finding] = []
    ignored: list[str] = []
    passes: bool | None = None
    refusals: list[Refusal] = []
    cut: list[str] = []
    workload: Weighed | None = None
    inexpressible: dict[str, int] = {}
    unreadable: bool = False


def found_in(target: Target) -> list[Divergence | Finding]:
    """Return all that was found about a target: divergences of its prompts, and findings about its package."""
    return [*target.divergences, *target.findings]


class LeftOut(_Part, frozen=True, kw_only=True):
    """A template that was meant to be judged and was not, and why: not cached and no network, for example."""

    name: str
    reason: str


class LoggedCause(_Part, frozen=True, kw_only=True):
    """Why lines of a log were not judged, without the names and numbers of one line; `first` is the first of them."""

    reason: str
    count: int
    first: int


class Logged(_Part, frozen=True, kw_only=True):
    """The log that requests were read from: `requests` of its `lines` were judged.

    `unreadable` are lines that are no requests, `inexpressible` requests that cannot be said to gpt-oss. `translated`
    counts bodies of other interfaces, `ignored` what of bodies was not looked at although it may be meant for the
    prompt. With `anonymised` the words of examples are others than those of the log.
    """

    file: str
    lines: int
    requests: int
    unreadable: list[LoggedCause] = []
    inexpressible: list[LoggedCause] = []
    translated: dict[str, int] = {}
    ignored: dict[str, int] = {}
    anonymised: bool = False
    left_over: bool = False


class Report(_Part, frozen=True, kw_only=True, rename={"schema_": "schema"}):
    """The whole report; `authority` is None where nothing was compared with one."""

    schema_: Literal["conformance-report/1"] = SCHEMA
    tool: ToolInfo
    environment: Environment
    run: Run
    targets: list[Target]
    left_out: list[LeftOut] = []
    authority: Authority | None = None
    precision: dict[str, Any] | None = None
    logged: Logged | None = None


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a report."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "conformance report",
        **msgspec.json.schema(Report),
    }
