"""A report under a gate's rules: what is looked at, how severe it is, what is accepted, and what fails."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec.structs import replace

from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UsageError
from conformance.gate.baseline import Baseline
from conformance.gate.selectors import all_named, rules_named
from conformance.report.model import Divergence, Finding, Report, Target, found_in
from conformance.rules import catalogue
from conformance.rules.base import Severity, loss_of
from conformance.rules.impacts import IMPACTS


class FailOn(enum.StrEnum):
    """From which severity, or from which impact on, a divergence makes the command fail."""

    error = "error"
    warning = "warning"
    structure = "structure"
    content = "content"
    wording = "wording"
    white_space = "white-space"
    never = "never"


_Found = TypeVar("_Found", Divergence, Finding)
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Policy:
    """What a gate was told: `select` and `ignore` are slugs, `severities` are what rules get instead of theirs."""

    select: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    baseline: Baseline | None = None
    fail_on: FailOn = FailOn.error

    @staticmethod
    def of(
        select: Sequence[str] | None,
        ignore: Sequence[str] | None,
        severities: Sequence[str] | None,
        baseline: Baseline | None,
        fail_on: str,
    ) -> Policy:
        """Return the policy of options as given; raises UsageError for rules and severities that do not exist."""
        chosen: dict[str, Severity] = {}
        for pair in severities or ():
            selector, equals, severity = pair.partition("=")
            if not equals or severity not in _SEVERITIES:
                raise UsageError(
                    f"--severity {pair} is not RULE=SEVERITY with one of {', '.join(_SEVERITIES)}."
                )
            chosen |= dict.fromkeys(rules_named(selector), severity)
        selected, ignored = all_named(select) if select else None, all_named(ignore or ())
        every = frozenset(rule.slug for rule in catalogue()) if selected is None else selected
        if not every - ignored:
            raise UsageError(
                "--select and --ignore leave no rule to look at: anything would pass. Leave one out."
            )
        return Policy(
            select=selected,
            ignore=ignored,
            severities=chosen,
            baseline=baseline,
            fail_on=FailOn(fail_on),
        )

    def with_baseline(self, baseline: Baseline) -> Policy:
        """Return the same policy with another baseline."""
        return dataclasses.replace(self, baseline=baseline)

    def apply(self, report: Report) -> Report:
        """Return the report with what is not looked at left out, severities set, and what is accepted marked."""
        return replace(report, targets=[self._target(target) for target in report.targets])

    def _target(self, target: Target) -> Target:
        divergences = [self._marked(target, found) for found in target.divergences if self._looks_at(found)]
        findings = [self._marked(target, found) for found in target.findings if self._looks_at(found)]
        left_out = {found.rule for found in found_in(target) if not self._looks_at(found)}
        judged = replace(
            target, divergences=divergences, findings=findings, ignored=sorted({*target.ignored, *left_out})
        )
        return replace(judged, passes=self.exit_code(judged) == EXIT_CONFORMS)

    def _looks_at(self, found: Divergence | Finding) -> bool:
        return (self.select is None or found.rule in self.select) and found.rule not in self.ignore

    def _marked(self, target: Target, found: _Found) -> _Found:
        severity = self.severities.get(found.rule, found.severity)
        accepted = self.baseline.accepts(target.name, found) if self.baseline is not None else ""
        return replace(found, severity=severity, accepted=accepted)

    def exit_code(self, target: Target) -> int:
        """Return 1 when something in a judged target is as bad as `fail_on` and not accepted, else 0."""
        if self.fail_on is FailOn.never:
            return EXIT_CONFORMS
        if target.verdict == "error":
            return EXIT_CONFORMS  # it has a code of its own
        if not target.harmony:
            return EXIT_DIVERGES
        fails = any(not found.accepted and self._fails(found) for found in found_in(target))
        return EXIT_DIVERGES if fails else EXIT_CONFORMS

    def _fails(self, found: Divergence | Finding) -> bool:
        if found.severity == "note":
            return False
        if self.fail_on in (FailOn.error, FailOn.warning):
            return found.severity == "error" or self.fail_on is FailOn.warning
        worst = IMPACTS.index(loss_of(found.rule).impact)
        return worst <= IMPACTS.index(self.fail_on.value.replace("-", " "))
