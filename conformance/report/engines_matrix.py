"""The published matrix template × engine, as Markdown and as JSON; the same seed gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from conformance.report.cards import percent
from conformance.report.files import to_json
from conformance.report.markdown import cell, conversation, no_paths, rounded
from conformance.report.model import Divergence, Report, Target
from conformance.report.scoreboard import authority, authority_words

SCHEMA = "conformance-engines/1"


def engines_json(report: Report) -> bytes:
    """Return the matrix as indented JSON in UTF-8."""
    data = {
        "schema": SCHEMA,
        "authority": authority(report),
        "run": {
            "seed": report.run.seed,
            "profile": report.run.profile,
            "cases": report.run.cases,
            "complete": report.run.complete,
        },
        "templates": [_target_data(target) for target in report.targets],
        "left_out": [
            {"name": no_paths(left.name), "reason": no_paths(left.reason)} for left in report.left_out
        ],
    }
    return msgspec.json.format(to_json(data), indent=2) + b"\n"


def _target_data(target: Target) -> dict[str, Any]:
    return {
        "name": no_paths(target.name),
        "sha256": target.sha256,
        "harmony": target.harmony,
        "engines": target.by_engine,
        "disagreements": [
            {
                "cause": found.cause,
                "engines": found.engines,
                "count": found.count,
                "share": rounded(found.share),
                "case_id": found.example.case_id,
                "case": found.example.case,
            }
            for found in _disagreements(target)
        ],
    }


def engines_markdown(report: Report) -> str:
    """Return the matrix as Markdown; whatever a template or a conversation wrote is inert in it."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    profile = report.run.profile
    yield "# Templates × engines"
    yield ""
    yield (
        f"The share of conversations that each engine renders as Harmony does under `{profile}`, among those that it "
        f"can express, of {report.run.cases:,} generated ones (seed {report.run.seed}). Two templates that are equal "
        "under one engine may differ under another."
    )
    if words := authority_words(report):
        yield from ("", f"Judged by {cell(words)}.")
    if not report.run.complete:
        yield from ("", "**Incomplete: the run was ended early.**")
    judged = [target for target in report.targets if target.by_engine]
    names = list(dict.fromkeys(result.name for target in judged for result in target.by_engine))
    versions = {result.name: result.version for target in judged for result in target.by_engine}
    yield ""
    yield "| Template | " + " | ".join(cell(name) for name in names) + " |"
    yield "|---|" + "--:|" * len(names)
    for target in judged:
        shares = {result.name: result.right_under.get(profile) for result in target.by_engine}
        cells = [percent(share) if (share := shares.get(name)) is not None else "" for name in names]
        yield f"| {cell(no_paths(target.name))} | {' | '.join(cells)} |"
    yield from ("", "Versions: " + ", ".join(f"{cell(name)} {cell(versions[name])}" for name in names) + ".")
    yield from _inexpressible(judged, names)
    yield from ("", "## Where engines disagree with each other", "")
    yield "| Template | Cause | Engines | Share | Smallest conversation |"
    yield "|---|---|---|--:|---|"
    for target in judged:
        for found in _disagreements(target):
            cells = [
                cell(no_paths(target.name)),
                cell(found.cause),
                cell(", ".join(found.engines)),
                percent(found.share),
                conversation(found),
            ]
            yield f"| {' | '.join(cells)} |"
    if report.left_out:
        yield from ("", "## Left out", "")
        for left in report.left_out:
            yield f"- {cell(no_paths(left.name))}: {cell(no_paths(left.reason))}"


def _inexpressible(judged: list[Target], names: list[str]) -> Iterator[str]:
    """Say what each engine cannot express, as measured on the first target: it is a matter of the case alone."""
    if not judged:
        return
    yield from (
        "",
        "## What an engine cannot express",
        "",
        "| Engine | Conversations | Reason |",
        "|---|--:|---|",
    )
    for result in judged[0].by_engine:
        cases = result.cases.total + result.cases.inexpressible
        for reason, count in result.inexpressible.items():
            yield f"| {cell(result.name)} | {percent(count / cases)} | {cell(reason)} |"


def _disagreements(target: Target) -> list[Divergence]:
    found = [divergence for divergence in target.divergences if divergence.check == "engines"]
    return sorted(found, key=lambda divergence: (-divergence.count, divergence.cause))
