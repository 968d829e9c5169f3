"""Repairs the catalogue's templates and records rules before and after: `python -m tools.fixes_record`.

Neither file holds times or machines: the same seed and package versions give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from conformance.campaign.runner import Runner
from conformance.campaign.settings import DEFAULT_CASES, Settings
from conformance.errors import UnjudgedError
from conformance.fixes.base import fixes
from conformance.fixes.repair import Compared, Repair, repair
from conformance.report.cards import percent
from conformance.report.files import write_file
from conformance.report.markdown import cell, rounded
from conformance.report.repairs import FILE_NAME, SCHEMA, Repaired, reference_template
from conformance.resources import resource
from conformance.rules import rule
from conformance.sources import Template, catalogue

FIRST_REPORTED = {
    "arguments encoded twice": ("arguments-double-encoded",),
    "newlines at boundaries": ("instructions-trailing-newlines", "extra-newline"),
    "wrong channel before a call": ("preamble-channel", "thinking-channel"),
    "final channel missing": ("final-channel-missing",),
}
"""The kinds of divergence that were known in public before this project, with their rules."""


def templates() -> list[Template]:
    """Return the catalogue's templates that mean to write Harmony, each text once.

    Raises UnjudgedError when one cannot be had, since a record without it would look complete.
    """
    found: dict[str, Template] = {}
    for fetched in catalogue.fetch(entry.name for entry in catalogue.entries() if entry.harmony):
        if fetched.template is None:
            raise UnjudgedError(f"{fetched.entry.name} is missing: {fetched.error}")
        found.setdefault(fetched.template.sha256, fetched.template)
    return list(found.values())


def record(chosen: Sequence[Template], *, seed: int = 0, cases: int = DEFAULT_CASES) -> dict[str, Any]:
    """Repair templates and return what became of them, as it is written to `fixes.json`.

    Counts of rules are numbers of conversations; shares are of all conversations that were judged.
    """
    settings = Settings(seed=seed, cases=cases)
    entries = []
    with Runner(settings) as runner:
        for template in chosen:
            result = repair(runner, template.text, seed=seed, cases=cases, harmony=template.harmony)
            entries.append(_entry(template, result))
    return {
        "schema": SCHEMA,
        # Fixes take their parts from it: with another one they are other fixes.
        "reference": hashlib.sha256(reference_template().read_bytes()).hexdigest(),
        "run": {
            "seed": seed,
            "cases": cases,
            "engines": list(settings.engines),
            "profile": settings.profile,
        },
        "fixes": {fix.name: fix.what for fix in fixes()},
        "templates": entries,
    }


def _entry(template: Template, result: Repair) -> dict[str, Any]:
    runs = [result.main, *([result.proof] if result.proof is not None else [])]
    before = sorted({slug for run in runs for slug in run.before.counts}, key=lambda slug: rule(slug).code)
    return {
        "name": template.name,
        "sha256": template.sha256,
        "rules_before": before,
        "rules_after": sorted(result.remaining, key=lambda slug: rule(slug).code),
        "runs": [_run(run) for run in runs],
        "applied": [fix.name for fix in result.applied],
        "not_applied": [
            {"fix": refused.fix, "reason": refused.reason}
            for refused in result.refused
            if set(refused.rules) & set(result.remaining)
        ],
    }


def _run(run: Compared) -> dict[str, Any]:
    record: dict[str, Any] = {"seed": run.seed, "cases": len(run.before.seen)}
    for word, results in (("before", run.before), ("after", run.after)):
        counts = results.counts
        shares = results.right_under()
        record[word] = {
            "right_under": {name: rounded(shares[name]) for name in sorted(shares)},
            "rules": {slug: counts[slug] for slug in sorted(counts)},
        }
    return record


_ABOUT = (
    "`conformance fix` on every template of the catalogue that means to write Harmony: {cases:,} generated "
    "conversations of seed {seed} to choose the fixes, as many of the next seed to prove them. Right: the share of the "
    "conversations of both seeds that are equal to Harmony's text in every character under the profile `{profile}`. "
    "Renewed by `python -m tools.fixes_record`."
)


def markdown(record: dict[str, Any]) -> str:
    """Return a record as the text of `fixes.md`."""
    lines = [
        "# Repairs",
        "",
        _ABOUT.format(**record["run"]),
        "",
        "| template | rules before | rules after | right before | right after | fixes applied |",
        "|---|---|---|---|---|---|",
    ]
    profile = record["run"]["profile"]
    for entry in record["templates"]:
        shares = [percent(share) for share in msgspec.convert(entry, Repaired).right(profile)]
        counts = [str(len(entry[key])) for key in ("rules_before", "rules_after")]
        applied = ", ".join(entry["applied"]) or "none"
        lines.append(f"| {' | '.join([cell(entry['name']), *counts, *shares, applied])} |")
    lines += ["", *_first_reported(record), "", "The fixes:", ""]
    used = {name for entry in record["templates"] for name in entry["applied"]}
    lines += [
        f"- {name}: {what}{'' if name in used else ' (not needed by any of these)'}"
        for name, what in record["fixes"].items()
    ]
    left = [entry for entry in record["templates"] if entry["rules_after"]]
    if left:
        lines += ["", "Not repaired:", ""]
    for entry in left:
        lines.append(f"- {cell(entry['name'])}: {', '.join(f'`{slug}`' for slug in entry['rules_after'])}")
        lines += [f"  - {refused['fix']}: {cell(refused['reason'])}" for refused in entry["not_applied"]]
    return "\n".join(lines) + "\n"


def _first_reported(record: dict[str, Any]) -> list[str]:
    lines = [
        "The kinds that were reported in public first, in conversations before and after:",
        "",
        f"| template | {' | '.join(FIRST_REPORTED)} |",
        f"|---|{'---|' * len(FIRST_REPORTED)}",
    ]
    for entry in record["templates"]:
        cells = []
        for slugs in FIRST_REPORTED.values():
            before, after = (
                sum(run[word]["rules"].get(slug, 0) for run in entry["runs"] for slug in slugs)
                for word in ("before", "after")
            )
            cells.append(f"{before} → {after}" if before or after else "none")
        lines.append(f"| {cell(entry['name'])} | {' | '.join(cells)} |")
    return lines


def write(record: dict[str, Any], folder: Path) -> None:
    """Write a record as `fixes.json` and `fixes.md` into a folder; raises UsageError when that fails."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    write_file(folder / FILE_NAME, text + b"\n")
    write_file(folder / "fixes.md", markdown(record).encode("utf-8"))


if __name__ == "__main__":
    write(record(templates()), resource("reports"))
