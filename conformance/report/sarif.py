"""SARIF 2.1.0: what code scanning services and editors show on the lines of a template.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from conformance.report.base import Output, register
from conformance.report.cards import known_rule
from conformance.report.files import to_json
from conformance.report.issues import Issue, Place, issues
from conformance.report.model import Report
from conformance.rules import Rule
from conformance.rules.base import loss_of

VERSION: Final = "2.1.0"
SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "conformance/v1"
_ROOT = "SRCROOT"


@register("sarif")
def write_sarif(report: Report, output: Output) -> bytes:
    """Return a report as SARIF; what could not be judged is a notification of a failed invocation."""
    found = [*issues(report)]
    results = [issue for issue in found if issue.kind != "unjudged"]
    unjudged = [issue for issue in found if issue.kind == "unjudged"]
    codes = sorted({issue.code for issue in results})
    log = {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": _driver(report, results, codes)},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_ROOT: {"description": {"text": "the root of the repository"}}},
                "invocations": [
                    {
                        "executionSuccessful": not unjudged,
                        "toolExecutionNotifications": [_notification(issue) for issue in unjudged],
                    }
                ],
                "results": [_result(issue, codes) for issue in results],
                "properties": {
                    "seed": report.run.seed,
                    "profile": report.run.profile,
                    "conversations": report.run.cases,
                    "authority": report.authority,
                },
            }
        ],
    }
    return msgspec.json.format(to_json(log), indent=2) + b"\n"


def _driver(report: Report, results: list[Issue], codes: list[str]) -> dict[str, Any]:
    names = {issue.code: issue.rule for issue in results}
    return {
        "name": report.tool.name,
        "semanticVersion": report.tool.version,
        "rules": [_rule(code, names[code], known_rule(names[code])) for code in codes],
    }


def _rule(code: str, slug: str, known: Rule | None) -> dict[str, Any]:
    described: dict[str, Any] = {"id": code, "name": "".join(word.title() for word in slug.split("-"))}
    if known is None:
        return described
    text = f"{known.what} {known.why} Fix: {known.fix} Source: {known.citation}."
    markdown = f"{known.what}\n\n**Why** {known.why}\n\n**Fix** {known.fix}\n\n**Source** {known.citation}"
    return {
        **described,
        "shortDescription": {"text": known.what},
        "fullDescription": {"text": f"{known.what} {known.why}"},
        "help": {"text": text, "markdown": markdown},
        "defaultConfiguration": {"level": known.severity},
        "properties": {
            "tags": ["gpt-oss", "chat-template", known.family, loss_of(slug).impact],
            "precision": "very-high",
        },
    }


def _result(issue: Issue, codes: list[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {"target": issue.target}
    if (divergence := issue.divergence) is not None:
        properties |= {
            "conversations": divergence.count,
            "impact": issue.impact,
            "share": round(divergence.share, 6),
            **(
                {}
                if divergence.workload_share is None
                else {"workloadShare": round(divergence.workload_share, 6)}
            ),
            "engines": divergence.engines,
            "shapes": divergence.shapes,
            "acceptedUnder": divergence.vanishes_under,
            "case": divergence.example.case_id,
        }
    accepted = {"kind": "external", "status": "accepted", "justification": issue.accepted}
    return {
        "suppressions": [accepted] if issue.accepted else [],
        "ruleId": issue.code,
        "ruleIndex": codes.index(issue.code),
        "level": issue.severity,
        "message": {"text": f"{issue.summary} {issue.details}"},
        "locations": [_location(issue.place)],
        "partialFingerprints": {FINGERPRINT: issue.fingerprint},
        "properties": properties,
    }


def _location(place: Place) -> dict[str, Any]:
    artifact: dict[str, Any] = {"uri": quote(place.uri, safe="/:@=#?&+,;~")}
    if place.is_file:
        artifact["uriBaseId"] = _ROOT
    physical: dict[str, Any] = {"artifactLocation": artifact}
    if place.line is not None:
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical}


def _notification(issue: Issue) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": f"{issue.summary}: {issue.details}"},
        "locations": [_location(issue.place)],
    }
