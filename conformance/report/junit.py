"""JUnit XML: a suite for each target, a test case for each rule, as Jenkins, GitLab and others read it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from conformance.report.base import Output, register
from conformance.report.issues import Issue, issues
from conformance.report.model import Report
from conformance.report.verdicts import judged_by, verdict
from conformance.report.visible import inert


@register("junit")
def write_junit(report: Report, output: Output) -> bytes:
    """Return a report as JUnit XML: an error or a warning is a failure, a note a test that passed and says so.

    What could not be judged is an error, and so is a run that ended early.
    """
    by_target: dict[str, list[Issue]] = {inert(target.name): [] for target in report.targets}
    for issue in issues(report):
        by_target.setdefault(issue.target, []).append(issue)
    root = ET.Element("testsuites", name=report.tool.name)
    words = {inert(target.name): inert(verdict(target, report.run.profile)) for target in report.targets}
    for name, found in by_target.items():
        _suite(root, name, found, words.get(name), [inert(line, 400) for line in judged_by(report)])
    for suite in root:
        _count(suite)
    _count(root)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _suite(root: ET.Element, name: str, found: list[Issue], words: str | None, judged: list[str]) -> None:
    suite = ET.SubElement(root, "testsuite", name=name)
    if words is not None:
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="verdict", value=words)
        for line in judged:
            ET.SubElement(properties, "property", name="authority", value=line)
    for issue in found:
        case = _case(suite, name, f"{issue.code} {issue.rule}")
        case.set("file", issue.place.uri)
        if issue.place.line is not None:
            case.set("line", str(issue.place.line))
        if issue.accepted:
            ET.SubElement(case, "skipped", message=f"accepted: {issue.accepted}")
        elif issue.severity == "note":
            ET.SubElement(case, "system-out").text = f"{issue.summary} {issue.details}"
        else:
            tag = "error" if issue.kind == "unjudged" else "failure"
            told = ET.SubElement(case, tag, message=issue.summary, type=issue.severity)
            told.text = issue.details
    if not found:
        _case(suite, name, "equals Harmony")


def _case(suite: ET.Element, target: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=target, name=name)


def _count(suite: ET.Element) -> None:
    for attribute, tag in (
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        suite.set(attribute, str(len(list(suite.iter(tag)))))
