"""The real llama-server beside the engine that stands for it, request by request, with one template on both.

What the server does to a request before the template runs is told apart: the shape `llama-server` names what it changes
or refuses, the engine what llama.cpp's Jinja cannot write. Nothing of the rest may differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from conformance.campaign.causes import plain
from conformance.campaign.judge import EQUAL, Judge
from conformance.conversation import Case, to_json
from conformance.engines import EngineHost, get_engine
from conformance.engines.base import Outcome, Rendered
from conformance.generate import case_at
from conformance.oracles.profile import profile
from conformance.servers.client import Access
from conformance.servers.host import ServerHost
from conformance.servers.llama_local import llama_server
from conformance.shapes import shapes
from conformance.targets.server import open_server

ENGINE = "llama.cpp"
_BATCH = 50
# What was done with a request: how it is said on the page.
SAME, BOTH_FAIL = "the same text", "neither makes a prompt"
OTHER, SERVER_ONLY, ENGINE_ONLY = "another text", "the server alone makes one", "the engine alone makes one"


@dataclass
class Beside:
    """One template on both: `not_asked`, `changed` by reason and what the server then did, and `outcomes` of the rest.

    `rules` counts for each rule the conversations that show it on the server and on the engine, `right` those of the
    rest that the server writes as Harmony does. `examples` has the smallest conversation of each kind of difference.
    """

    requests: int = 0
    not_asked: Counter[str] = field(default_factory=Counter)
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: dict[str, list[int]] = field(default_factory=dict)
    right: int = 0
    examples: dict[str, tuple[Case, str, str]] = field(default_factory=dict)

    @property
    def carried(self) -> int:
        """How many requests reach the template as they are."""
        return sum(self.outcomes.values())

    @property
    def explained(self) -> bool:
        """Whether server and engine did the same with every request that reaches the template as it is."""
        return self.carried == self.outcomes[SAME] + self.outcomes[BOTH_FAIL]


@dataclass(frozen=True, slots=True)
class _Asked:
    case: Case
    reason: str | None  # what the server changes or refuses, or the engine cannot write


def beside(template: str, requests: int, seed: int) -> Beside:
    """Compare both on generated conversations; raises UnjudgedError when one of them cannot be started."""
    found = Beside(requests=requests)
    with llama_server(template) as address:
        group = open_server(Access(address))
        server = group.hosts["llama-server"]
        assert isinstance(server, ServerHost)
        try:
            with EngineHost(ENGINE) as engine:
                judge = Judge(profile("harmony"))
                for batch in _batches(found, server, requests, seed, group.date or ""):
                    _compare(found, judge, server, engine, template, batch)
        finally:
            group.close()
    return found


def _batches(
    found: Beside, server: ServerHost, requests: int, seed: int, date: str
) -> Iterator[Sequence[_Asked]]:
    own, sent = shapes(["llama-server"])[0][0], shapes(["openai"])[0][0]
    engine = get_engine(ENGINE)
    batch: list[_Asked] = []
    for index in range(requests):
        case = case_at(seed, index)
        case = replace(case, options=replace(case.options, date=date))
        lost = server.protocol.loses(sent.request(case))
        if lost is not None:
            found.not_asked[lost] += 1
            continue
        batch.append(_Asked(case, own.loses(case) or engine.loses(own.request(case))))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _compare(
    found: Beside,
    judge: Judge,
    server: ServerHost,
    engine: EngineHost,
    template: str,
    batch: Sequence[_Asked],
) -> None:
    own, sent = shapes(["llama-server"])[0][0], shapes(["openai"])[0][0]
    carried = [asked for asked in batch if asked.reason is None]
    ticket = engine.submit(template, [own.request(asked.case) for asked in carried])
    theirs = server.collect(server.submit("", [sent.request(asked.case) for asked in batch]))
    mine = iter(engine.collect(ticket))
    for asked, outcome in zip(batch, theirs, strict=True):
        answer = judge.ask(asked.case)
        status = judge.judge(answer, outcome, confirm=False).status
        if asked.reason is not None:
            found.changed[asked.reason, _did(outcome, status)] += 1
            continue
        _count(found, judge, asked.case, outcome, next(mine))
        found.right += status == EQUAL


def _did(outcome: Outcome, status: str) -> str:
    if not isinstance(outcome, Rendered):
        return "refused"
    return "as Harmony" if status == EQUAL else "otherwise than Harmony"


def _count(found: Beside, judge: Judge, case: Case, theirs: Outcome, mine: Outcome) -> None:
    """Count one request that reaches the template as it is."""
    kind = _kind(theirs, mine)
    found.outcomes[kind] += 1
    if kind == BOTH_FAIL:
        found.failures[plain(_said(theirs)), plain(_said(mine))] += 1
    elif kind != SAME:
        kept = found.examples.get(kind)
        if kept is None or len(to_json(case)) < len(to_json(kept[0])):
            found.examples[kind] = (case, _said(theirs), _said(mine))
    answer = judge.ask(case)
    for side, outcome in enumerate((theirs, mine)):
        # Tokens are the server's alone, and have their own part of the page.
        text = Rendered(outcome.text) if isinstance(outcome, Rendered) else outcome
        for rule in {each.rule for each in judge.judge(answer, text, confirm=False).found}:
            found.rules.setdefault(rule, [0, 0])[side] += 1


def _kind(theirs: Outcome, mine: Outcome) -> str:
    if isinstance(theirs, Rendered) and isinstance(mine, Rendered):
        return SAME if theirs.text == mine.text else OTHER
    if isinstance(theirs, Rendered):
        return SERVER_ONLY
    return ENGINE_ONLY if isinstance(mine, Rendered) else BOTH_FAIL


def _said(outcome: Outcome) -> str:
    return outcome.text if isinstance(outcome, Rendered) else outcome.message
