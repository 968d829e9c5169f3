"""The exit code that a report stands for."""

from __future__ import annotations

from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, EXIT_USAGE
from conformance.report.model import Report, Target
from conformance.rules.base import Severity


def exit_code(report: Report, fail_on: str = "error") -> int:
    """Return the exit code of a report: the highest of its targets' and of what was left out.

    0 conforms, 1 divergences or findings at least as bad as `fail_on` (error, warning or never), 2 an unreadable
    target, 3 could not be judged. Where a gate has judged the targets, its word holds.
    """
    codes = [EXIT_CONFORMS]
    if not report.targets or report.run.cases == 0:
        codes.append(EXIT_UNJUDGED)
    levels = {"error": ("error",), "warning": ("error", "warning")}.get(fail_on, ())
    for target in report.targets:
        if target.verdict == "error":
            codes.append(EXIT_USAGE if target.unreadable else EXIT_UNJUDGED)
        elif target.passes is not None:
            codes.append(EXIT_CONFORMS if target.passes else EXIT_DIVERGES)
        elif not target.harmony:
            codes.append(EXIT_CONFORMS if fail_on == "never" else EXIT_DIVERGES)
        elif not _severities(target).isdisjoint(levels):
            codes.append(EXIT_DIVERGES)
    return max(codes)


def _severities(result: Target) -> set[Severity]:
    found = {divergence.severity for divergence in result.divergences}
    return found | {finding.severity for finding in result.findings}
