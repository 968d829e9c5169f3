"""What the machine-readable formats share: a report as a flat list of issues, each with a place and a fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from conformance.report.cards import known_rule, replay_command, seen_in
from conformance.report.excerpt import parting
from conformance.report.markdown import no_paths
from conformance.report.model import Divergence, Finding, Report, Target
from conformance.report.severities import worst_first
from conformance.report.verdicts import not_harmony
from conformance.report.visible import inert
from conformance.rules.base import Severity

Kind = Literal["divergence", "package", "unjudged"]

UNJUDGED, NO_HARMONY = "unjudged", "not-harmony"

_EXCERPT = 60  # characters of either text in a message
_MOST_BYTES = 32 * 2**20
_KEY = re.compile(rb'"chat_template"\s*:')


@dataclass(frozen=True, slots=True)
class Place:
    """Where an issue is: a file relative to the repository or an address, and its line from 1 where it is known."""

    uri: str
    line: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file of the repository, so that a review can show the issue on its line."""
        return "://" not in self.uri


@dataclass(frozen=True, slots=True)
class Issue:
    """Something to report about a target, in inert text of one line each.

    `accepted` is why a baseline knows it.
    `fingerprint` is the same in every run that finds the same thing, wherever the line has moved.
    """

    kind: Kind
    target: str
    place: Place
    code: str
    rule: str
    severity: Severity
    summary: str
    details: str
    fingerprint: str
    divergence: Divergence | None = None
    impact: str = ""
    accepted: str = ""


def issues(report: Report, root: Path | None = None) -> Iterator[Issue]:
    """Yield what a report found, target by target, the worst first; `root` is the repository (default: found).

    A target that could not be judged is an issue too: no format may show it as a pass.
    """
    root = root or repository(Path.cwd())
    for target in report.targets:
        place = _place(target, root)
        if target.verdict == "error":
            yield _unjudged(target.name, place, target.error or "it could not be judged")
        for finding in target.findings:
            yield _package(target, place, finding)
        if not target.harmony and target.verdict == "diverges":
            yield _no_harmony(target, place)
            continue
        for divergence in worst_first(target.divergences):
            yield _divergence(target, place, divergence, root)
    for left in report.left_out:
        yield _unjudged(left.name, Place(_relative(left.name, root)), left.reason)
    if not report.run.complete:
        place = _place(report.targets[0], root) if report.targets else Place(".")
        yield _unjudged("the run", place, f"It ended early, after {report.run.cases:,} conversations.")
    elif not report.targets and not report.left_out:
        yield _unjudged("the run", Place("."), "It had no target.")


def repository(folder: Path) -> Path:
    """Return the repository that a folder is in, else the folder."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def _place(target: Target, root: Path) -> Place:
    kind, location = str(target.source.get("kind", "")), str(target.source.get("location", target.name))
    member = str(target.source.get("member") or "").partition("#")[0]
    if kind == "model-folder" and member and Path(location).is_dir():
        location = str(PurePosixPath(location) / member)
    return Place(_relative(location, root))


def _relative(location: str, root: Path) -> str:
    """Return a file relative to the repository; outside of it, its name, which says nothing about the machine."""
    if "://" in location:
        return inert(location)
    try:
        return Path(location).resolve().relative_to(root.resolve()).as_posix()
    except (ValueError, OSError):
        return inert(PurePosixPath(location).name or location)


def _line(place: Place, line: int | None, root: Path) -> Place:
    """Return the place with the line of a divergence.

    A template inside a JSON file is one line there, and its own lines are not the file's.
    """
    if not place.is_file or not place.uri.endswith(".json"):
        return Place(place.uri, line)
    with contextlib.suppress(OSError):
        file = root / place.uri
        if file.stat().st_size <= _MOST_BYTES and (found := _KEY.search(data := file.read_bytes())):
            return Place(place.uri, data.count(b"\n", 0, found.start()) + 1)
    return Place(place.uri)


def _divergence(target: Target, place: Place, divergence: Divergence, root: Path) -> Issue:
    example, known = divergence.example, known_rule(divergence.rule)
    where = example.region or "the prompt"
    summary = f"{where}: {known.what if known else divergence.rule}"
    if example.failure is not None:
        summary = f"{known.what if known else divergence.rule} {example.failure}"
    seen = f"Seen {seen_in(target, divergence)}"
    parts = [_difference(divergence), f"{seen}."]
    if known is not None:
        parts += [f"Why: {known.why}", f"Fix: {known.fix}", f"Source: {known.citation}"]
    if divergence.vanishes_under:
        parts.append(f"Accepted under {inert(', '.join(divergence.vanishes_under))}.")
    if example.template_line is not None and not place.uri.endswith((".jinja", ".j2", ".txt")):
        parts.append(f"Line {example.template_line} of the template.")
    parts.append(f"Reproduce with: {inert(replay_command(divergence, target.name, target))}")
    return Issue(
        kind="divergence",
        target=inert(target.name),
        place=_line(place, example.template_line, root),
        code=inert(divergence.code),
        rule=inert(divergence.rule),
        severity=divergence.severity,
        summary=inert(summary, 300),
        details=" ".join(part for part in parts if part),
        fingerprint=_fingerprint(place.uri, target.name, divergence.key),
        divergence=divergence,
        impact=inert(divergence.impact),
        accepted=inert(divergence.accepted),
    )


def _difference(divergence: Divergence) -> str:
    """Say how the two texts differ where they part."""
    example = divergence.example
    if example.actual is None or example.offset is None or divergence.check == "tokens":
        return ""
    where = parting(
        example.expected, example.actual, example.offset, example.actual_offset,
        example.expected_part, example.actual_part,
    )  # fmt: skip
    (start, end), (other, other_end) = where.expected, where.actual
    begin = max(0, start - 20)
    expected = _quoted(example.expected, begin, end)
    actual = _quoted(example.actual, max(0, other - (start - begin)), other_end)
    return f"Expected {expected}, got {actual} ({where.note})."


def _quoted(text: str, start: int, end: int) -> str:
    stop = min(len(text), end + 10)
    shown = text[start:stop]
    cut = len(shown) > _EXCERPT
    return f"“{inert(shown[:_EXCERPT])}{'…' if cut else ''}”"


def _package(target: Target, place: Place, finding: Finding) -> Issue:
    known = known_rule(finding.rule)
    details = [finding.message]
    if finding.expected or finding.actual:
        details.append(f"Expected {finding.expected or 'nothing'}, found {finding.actual or 'nothing'}.")
    if known is not None:
        details += [f"Why: {known.why}", f"Fix: {known.fix}"]
    return Issue(
        kind="package",
        target=inert(target.name),
        place=place,
        code=inert(finding.code),
        rule=inert(finding.rule),
        severity=finding.severity,
        summary=inert(f"{finding.where}: {finding.message}", 300),
        details=inert(" ".join(details)),
        fingerprint=_fingerprint(place.uri, target.name, f"{finding.rule} {finding.where}"),
        accepted=inert(finding.accepted),
    )


def _no_harmony(target: Target, place: Place) -> Issue:
    """Return one issue for a template of another format: its hundred differences would say nothing more."""
    return Issue(
        kind="divergence",
        target=inert(target.name),
        place=place,
        code=NO_HARMONY,
        rule=NO_HARMONY,
        severity="error",
        summary="the template does not write Harmony",
        details=inert(not_harmony(target)),
        fingerprint=_fingerprint(place.uri, target.name, NO_HARMONY),
    )


def _unjudged(name: str, place: Place, reason: str) -> Issue:
    return Issue(
        kind="unjudged",
        target=inert(no_paths(name)),
        place=place,
        code=UNJUDGED,
        rule=UNJUDGED,
        severity="error",
        summary=inert(f"{no_paths(name)} could not be judged", 300),
        details=inert(no_paths(reason)),
        fingerprint=_fingerprint(place.uri, name, UNJUDGED),
    )


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
