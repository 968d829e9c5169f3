"""GitLab code quality: the JSON that a merge request's widget reads.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import msgspec

from conformance.report.base import Output, register
from conformance.report.files import to_json
from conformance.report.issues import issues
from conformance.report.model import Report

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}


@register("gitlab")
def write_gitlab(report: Report, output: Output) -> bytes:
    """Return a report as a list of code quality violations; what could not be judged blocks."""
    found = [
        {
            "description": f"{issue.target}: {issue.summary} {issue.details}",
            "check_name": f"{issue.code} {issue.rule}" if issue.kind != "unjudged" else issue.code,
            "fingerprint": issue.fingerprint,
            "severity": "blocker" if issue.kind == "unjudged" else _SEVERITIES[issue.severity],
            "location": {"path": issue.place.uri, "lines": {"begin": issue.place.line or 1}},
        }
        for issue in issues(report)
        if not issue.accepted
    ]
    return msgspec.json.format(to_json(found), indent=2) + b"\n"
