"""Judge a response template: what it makes of each step, against what was said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from conformance.engines.base import Limits, Outcome, Rendered, Request
from conformance.engines.host import EngineHost
from conformance.errors import UnjudgedError
from conformance.responses.engine import ResponseEngine
from conformance.responses.steps import Step, Steps
from conformance.rules import responses as rules
from conformance.rules.base import Rule

STEPS = 500
"""Steps that a check of a package takes by default."""
# transformers hands each of these names over as the others before a template sees a message.
_THINKING = ("reasoning_content", "thinking", "reasoning")
_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that a response template breaks on a step: what was said, and what came back."""

    rule: Rule
    said: str
    parsed: str


@dataclass(slots=True)
class Tally:
    """What became of the steps: how many came back whole, and for each rule how many did not, with the shortest.

    `untold` counts steps that no response template can give back, by reason; they are not judged.
    """

    judged: int = 0
    right: int = 0
    untold: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    shortest: dict[str, tuple[Step, Fault]] = field(default_factory=dict)

    def add(self, step: Step, faults: list[Fault]) -> None:
        """Count one step."""
        self.judged += 1
        self.right += not faults
        for fault in faults:
            slug = fault.rule.slug
            self.faults[slug] = self.faults.get(slug, 0) + 1
            if slug not in self.shortest or len(step.written) < len(self.shortest[slug][0].written):
                self.shortest[slug] = step, fault


def judge(
    template: dict[str, Any], steps: int = STEPS, *, seed: int = 0, limits: Limits | None = None
) -> Tally:
    """Parse steps of the assistant and compare what comes back.

    A response template that cannot be read has one fault and no judged step. Raises UnjudgedError when Harmony or
    transformers' parser cannot be had.
    """
    tally = Tally()
    text = json.dumps(template)
    with EngineHost(ResponseEngine, limits=limits) as host:
        problem = host.compile_check(text)
        if problem is not None:
            tally.faults[rules.RESPONSE_TEMPLATE_UNREADABLE.slug] = 1
            step = next(iter(Steps(seed)))
            fault = Fault(rules.RESPONSE_TEMPLATE_UNREADABLE, "a response template", problem.message)
            tally.shortest[fault.rule.slug] = step, fault
            return tally
        source = _told(Steps(seed), tally)
        left = steps
        while left > 0:
            batch = list(islice(source, min(_WINDOW, left)))
            if not batch:
                break
            left -= len(batch)
            outcomes = host.collect(host.submit(text, [_request(step) for step in batch]))
            for step, outcome in zip(batch, outcomes, strict=True):
                tally.add(step, list(faults(step, outcome)))
    if steps and not tally.judged:
        raise UnjudgedError("No step of the assistant was judged.")
    return tally


def _told(steps: Iterable[Step], tally: Tally) -> Iterator[Step]:
    for step in steps:
        if step.untold:
            tally.untold[step.untold] = tally.untold.get(step.untold, 0) + 1
        else:
            yield step


def _request(step: Step) -> Request:
    options = {"prefix": step.prompt, "response": step.written}
    return Request([], None, options, False, step.case.options.date)


def faults(step: Step, outcome: Outcome) -> Iterator[Fault]:
    """Yield what came back otherwise than it was said."""
    if not isinstance(outcome, Rendered):
        yield Fault(rules.RESPONSE_NOT_PARSED, _shown(step.written), outcome.message)
        return
    message = json.loads(outcome.text)
    if not isinstance(message, dict):
        yield Fault(rules.RESPONSE_NOT_PARSED, _shown(step.written), f"not a message: {_shown(message)}")
        return
    thinking = next((message[name] for name in _THINKING if message.get(name)), "")
    if thinking != (step.said.thinking or ""):
        yield Fault(rules.RESPONSE_THINKING, _shown(step.said.thinking), _shown(thinking))
    content = message.get("content") or ""
    expected = (step.said.preamble if step.said.calls else step.said.final) or ""
    if content != expected:
        yield Fault(rules.RESPONSE_CONTENT, _shown(expected), _shown(content))
    said = [(call.name, call.arguments) for call in step.said.calls]
    parsed = message.get("tool_calls") or []
    if not _calls_agree(said, parsed):
        yield Fault(rules.RESPONSE_CALLS, _shown(said), _shown(parsed))


def _calls_agree(said: list[tuple[str, Any]], parsed: Any) -> bool:
    if not isinstance(parsed, list) or len(parsed) != len(said):
        return False
    for (name, arguments), call in zip(said, parsed, strict=True):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or function.get("name") != name:
            return False
        if not _arguments_agree(arguments, function.get("arguments")):
            return False
    return True


def _arguments_agree(said: Any, parsed: Any) -> bool:
    """Return whether arguments are the same value: text may come back as what it says in JSON, and the other way."""
    if _same(said, parsed):
        return True
    if isinstance(said, str) != isinstance(parsed, str):
        text, value = (said, parsed) if isinstance(said, str) else (parsed, said)
        try:
            return _same(json.loads(text), value)
        except (ValueError, RecursionError):
            return False
    return False


def _same(one: Any, other: Any) -> bool:
    # As JSON, so that 1, 1.0 and true are three values.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:159]}…"
