"""GitHub annotations: workflow commands that put each issue on its line of a pull request.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions; GitHub shows ten of each level a step.
"""

from __future__ import annotations

from conformance.report.base import Output, register
from conformance.report.issues import Issue, issues
from conformance.report.model import Report

_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


@register("github")
def write_github(report: Report, output: Output) -> bytes:
    """Return a report as workflow commands, one a line, what could not be judged first and then the worst."""
    found = sorted(
        (issue for issue in issues(report) if not issue.accepted),
        key=lambda issue: (issue.kind != "unjudged", list(_LEVELS).index(issue.severity)),
    )
    return "".join(f"{_command(issue)}\n" for issue in found).encode()


def _command(issue: Issue) -> str:
    title = f"{issue.code} {issue.rule}" if issue.kind != "unjudged" else "not judged"
    properties = {"title": f"{title} · {issue.target}"}
    if issue.place.is_file:
        properties = {"file": issue.place.uri, "line": str(issue.place.line or 1), **properties}
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_LEVELS[issue.severity]} {said}::{_data(f'{issue.summary} {issue.details}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
