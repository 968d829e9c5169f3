"""One template on one engine: its prompts, kept so that no two checks render the same, and what it reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import jinja2
import msgspec

from conformance.checks.probe import Probe
from conformance.conversation import ToolResult
from conformance.engines.base import LimitExceeded, Outcome, Rendered, Request
from conformance.engines.host import Host

_FIRST_BATCH = 4  # small, so that a template that never ends costs few limits
_PATIENCE = 3
_WORD = re.compile(r"\w+")
# Names under which templates know what a tool answered.
RESULT_ROLES = frozenset({"tool", "ipython", "function", "observation", "tool_response", "tool_call_id"})


class Bench:
    """Renders probes of one template; templates run in the host's worker only."""

    def __init__(self, template: str, host: Host, engine: str, mask_host: Host | None = None) -> None:
        self.template = template
        self.engine = engine
        self.mask_host = mask_host
        self._host = host
        self._outcomes: dict[bytes, Outcome] = {}
        self._limits = 0
        self._gave_up: LimitExceeded | None = None

    def outcome(self, request: Request) -> Outcome:
        """Return what became of a request."""
        self.expect([request])
        return self._outcomes[msgspec.json.encode(request)]

    def expect(self, requests: Iterable[Request]) -> None:
        """Render requests together that will be asked for one by one.

        A template that went over a limit of time or memory three times is not rendered any more: its other
        requests end as the third did.
        """
        keyed = {msgspec.json.encode(request): request for request in requests}
        missing = [(key, request) for key, request in keyed.items() if key not in self._outcomes]
        batch = _FIRST_BATCH
        while missing:
            now, missing = missing[:batch], missing[batch:]
            batch *= 2
            for (key, _), outcome in zip(now, self._render([request for _, request in now]), strict=True):
                self._outcomes[key] = outcome

    def _render(self, requests: Sequence[Request]) -> Iterator[Outcome]:
        if self._gave_up is not None:
            yield from [self._gave_up] * len(requests)
            return
        for outcome in self._host.render_many(self.template, requests):
            if isinstance(outcome, LimitExceeded) and outcome.limit != "output":
                self._limits += 1
                if self._limits == _PATIENCE:
                    self._gave_up = outcome
            yield outcome

    def again(self, request: Request) -> Outcome:
        """Return what becomes of a request that is made once more."""
        (outcome,) = self._render([request])
        return outcome

    def text(self, probe: Probe, *, generation: bool | None = None) -> str | None:
        """Return the prompt of a probe, None where the template did not write one.

        The generation prompt is asked for where the assistant is to speak next, unless `generation` says.
        """
        outcome = self.outcome(probe.request(generation=probe.asks if generation is None else generation))
        return outcome.text if isinstance(outcome, Rendered) else None

    def unsupported(self, probe: Probe) -> str | None:
        """Say which part of a probe the template's code never looks at, None when it looks at all of it."""
        conversation = probe.case.conversation
        if conversation.tools and "tools" not in self.mentions:
            return "tools"
        if conversation.calls() and "tool_calls" not in self.mentions:
            return "tool calls"
        if any(isinstance(m, ToolResult) for m in conversation.messages) and not self.mentions & RESULT_ROLES:
            return "tool results"
        if probe.how == "developer" and "developer" not in self.mentions:
            return "the role developer"
        return None

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The names that a template's code uses, and the words of its strings; not what its own text says."""
        found: set[str] = set()
        try:
            for _, kind, value in jinja2.Environment().lex(self.template):
                if kind == "name":
                    found.add(value)
                elif kind == "string":
                    found.update(_WORD.findall(value))
        except jinja2.TemplateSyntaxError:
            # An engine that compiles it knows more than Jinja2: take every word.
            found.update(_WORD.findall(self.template))
        return frozenset(found)
