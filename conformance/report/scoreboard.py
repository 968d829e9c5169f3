"""The published scoreboard: all judged templates, as Markdown and as JSON.

The same seed gives the same bytes on every machine: no time, machine or path is in it, and of the versions
only those that decide what templates and the oracle write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from conformance.report.cards import percent
from conformance.report.files import to_json
from conformance.report.markdown import cell, conversation, no_paths, rounded
from conformance.report.model import Divergence, Report, Target
from conformance.report.repairs import Repairs
from conformance.report.severities import weight
from conformance.report.verdicts import best_profile, judged_by, not_harmony, verdict
from conformance.report.visible import inert

SCHEMA = "conformance-scoreboard/1"

_DECIDING = ("transformers", "jinja2")
REFERENCE = "reference-template"
"""The name of this project's own template on the scoreboard."""


def scoreboard_json(report: Report, repairs: Repairs | str) -> bytes:
    """Return the scoreboard as indented JSON in UTF-8, with what is recorded of repairs or why nothing is."""
    return msgspec.json.format(to_json(_data(report, repairs)), indent=2) + b"\n"


def scoreboard_markdown(report: Report, repairs: Repairs | str) -> str:
    """Return the scoreboard as Markdown; whatever a template or a conversation wrote is inert in it."""
    return "\n".join(_markdown(report, repairs)) + "\n"


def _data(report: Report, repairs: Repairs | str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "tool": report.tool.name,
        "authority": authority(report),
        "packages": _packages(report),
        "run": {
            "seed": report.run.seed,
            "profile": report.run.profile,
            "complete": report.run.complete,
            "unanswered": report.run.unanswered,
            "layout_failures": report.run.layout_failures,
            "workload": report.run.workload,
        },
        "repairs": repairs if isinstance(repairs, str) else {"profile": repairs.profile},
        "templates": [_target_data(target, repairs) for target in ranked(report)],
        "left_out": [{"name": name, "reason": reason} for name, reason in _left_out(report)],
    }


def _target_data(target: Target, repairs: Repairs | str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": no_paths(target.name),
        "sha256": target.sha256,
        "source": _source(target),
        "aliases": [no_paths(alias) for alias in target.aliases],
        "harmony": target.harmony,
        "verdict": target.verdict,
        "engines": target.engines,
        "shapes": target.shapes,
        "cases": target.cases,
        "right_under": dict(sorted(target.right_under.items())),
        "right_under_readings": target.right_under_readings,
        "workload": target.workload,
        "repaired": _repaired_data(target, repairs),
        "unclassified_share": rounded(target.unclassified_share),
        "branches_never_run": target.coverage.branches_never_run,
    }
    if target.harmony:
        data["rules"] = [_rule_data(divergence) for divergence in _by_share(target)]
    return data


def _repaired_data(target: Target, repairs: Repairs | str) -> dict[str, Any] | None:
    found = None if isinstance(repairs, str) else repairs.of(target.sha256)
    if found is None or isinstance(repairs, str):
        return None
    before, after = found.right(repairs.profile)
    return {
        "seeds": [run.seed for run in found.runs],
        "conversations": found.cases,
        "right_before": rounded(before),
        "right_after": rounded(after),
        "rules_before": len(found.rules_before),
        "rules_after": len(found.rules_after),
        "fixes": found.applied,
    }


def repaired_words(target: Target, repairs: Repairs | str) -> str:
    """Return what `fix` makes of a template as shares before and after, empty where that is not recorded."""
    found = None if isinstance(repairs, str) else repairs.of(target.sha256)
    if found is None or isinstance(repairs, str):
        return ""
    before, after = found.right(repairs.profile)
    left = f", {len(found.rules_after)} rules left" if found.rules_after else ""
    return f"{percent(before)} → {percent(after)}{left}"


def repairs_words(report: Report, repairs: Repairs | str) -> str:
    """Return in a sentence what the column of repairs is and was measured on, or why it is empty."""
    if isinstance(repairs, str):
        return f"Nothing is said of repairs: {repairs}."
    ours = [found for target in report.targets if (found := repairs.of(target.sha256)) is not None]
    if not ours:
        return "Nothing is said of repairs: no template here is on the record."
    counts, seeds = {found.cases for found in ours}, {run.seed for found in ours for run in found.runs}
    cases = f"{min(counts):,}" if len(counts) == 1 else f"{min(counts):,} to {max(counts):,}"
    named = " and ".join(str(seed) for seed in sorted(seeds))
    return (
        f"Repaired: the same share before and after conformance fix, on {cases} conversations of seeds {named} "
        f"under {repairs.profile}, as reports/fixes.md records it."
    )


def _rule_data(divergence: Divergence) -> dict[str, Any]:
    return {
        "rule": divergence.rule,
        "code": divergence.code,
        "severity": divergence.severity,
        "count": divergence.count,
        "share": rounded(divergence.share),
        "workload_count": divergence.workload_count,
        "workload_share": None if divergence.workload_share is None else rounded(divergence.workload_share),
        **({"cause": divergence.cause} if divergence.cause else {}),
        "vanishes_under": divergence.vanishes_under,
        "readings": [str(reading) for reading in divergence.readings],
        "features": divergence.features,
        "template_line": divergence.example.template_line,
        "case_id": divergence.example.case_id,
        "case": divergence.example.case,
    }


def _markdown(report: Report, repairs: Repairs | str) -> Iterator[str]:
    profile = report.run.profile
    yield "# Scoreboard: public gpt-oss chat templates against Harmony"
    yield ""
    yield (
        "Each template renders the same generated conversations as OpenAI's Harmony library; right means equal "
        "in every character. The profiles name the choices that Harmony's own documents leave open."
    )
    used = report.run.workload
    if used is not None and used.cases:
        yield ""
        yield (
            f"Real use: the share of {used.cases:,} conversations drawn from public sets of tools, calls and dialogues "
            "([how](../docs/workload.md)) instead of from the stress grammar."
        )
    elif used is not None and used.missing:
        yield from ("", f"**No shares of real use: {cell(no_paths(used.missing))}**")
    yield from ("", cell(repairs_words(report, repairs)))
    if any(target.name == REFERENCE for target in report.targets):
        yield ""
        yield (
            f"`{REFERENCE}` is this project's own ([what it is](../docs/reference-template.md)); it shows that "
            "conformance is possible."
        )
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in _packages(report).items())
    judged = f", judged by {cell(words)}" if (words := authority_words(report)) else ""
    yield f"Seed {report.run.seed}, default profile `{profile}`{judged}" + (
        f", {versions}." if versions else "."
    )
    for gap in [*judged_by(report)][1:]:
        yield from ("", f"**{cell(gap)}**")
    if not report.run.complete:
        yield ""
        yield "**Incomplete: the run was ended early.**"
    yield ""
    shares = f"Identical under {cell(profile)} | Identical in real use | Best profile | Under cited readings"
    yield f"| Template | SHA-256 | Conversations | {shares} | Rules | Repaired | Verdict |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|---|"
    best_first = ranked(report)
    for target in best_first:
        yield _row(target, profile, repairs)
    left = list(_left_out(report))
    if left:
        yield from ("", "## Left out", "")
        for name, reason in left:
            yield f"- {cell(name)}: {cell(reason)}"
    for target in best_first:
        if target.harmony and target.divergences:
            yield from _rules(target)


def _row(target: Target, profile: str, repairs: Repairs | str) -> str:
    name = cell(no_paths(target.name))
    if target.source.get("kind") == "gguf":
        name += "<br>GGUF metadata"
    for alias in target.aliases:
        name += f"<br>= {cell(no_paths(alias))}"
    judged = target.harmony and target.cases.total > 0
    right, best = target.right_under.get(profile), best_profile(target, profile)
    used = target.workload.right_under.get(profile) if target.workload is not None else None
    # What the shares say has columns; why a template is not Harmony has none.
    words = verdict(target, profile).partition(":")[0] if target.harmony else no_paths(not_harmony(target))
    cells = [
        name,
        f"`{inert(target.sha256[:8])}`",
        f"{target.cases.total:,}",
        percent(right) if judged and right is not None else "",
        percent(used) if judged and used is not None else "",
        f"{percent(best[1])} {cell(best[0])}" if judged and best else "",
        percent(target.right_under_readings) if judged and target.right_under_readings is not None else "",
        f"{len({found.rule for found in target.divergences}):,}" if judged else "",
        repaired_words(target, repairs) if judged else "",
        cell(words),
    ]
    return f"| {' | '.join(cells)} |"


def _rules(target: Target) -> Iterator[str]:
    yield from ("", f"## {cell(no_paths(target.name))}", "")
    source = _source(target)
    if "location" in source:
        yield from (f"From {cell(source['location'])}, sha256 `{inert(target.sha256)}`.", "")
    yield "| Rule | Severity | Share | Real use | Right where | Template line | Smallest conversation |"
    yield "|---|---|--:|--:|---|--:|---|"
    for divergence in _by_share(target):
        line = divergence.example.template_line
        cells = [
            f"{cell(divergence.code)} {cell(divergence.rule)}"
            + (f"<br>{cell(divergence.cause)}" if divergence.cause else ""),
            divergence.severity,
            percent(divergence.share),
            "" if divergence.workload_share is None else percent(divergence.workload_share),
            cell(", ".join(str(reading) for reading in divergence.readings)),
            "" if line is None else f"{line}",
            conversation(divergence),
        ]
        yield f"| {' | '.join(cells)} |"


def ranked(report: Report) -> list[Target]:
    """Return the judged targets: Harmony first, the best first, by name where equal."""
    profile = report.run.profile
    judged = [target for target in report.targets if target.verdict != "error"]
    return sorted(judged, key=lambda t: (not t.harmony, -t.right_under.get(profile, 0.0), t.name, t.sha256))


def _by_share(target: Target) -> list[Divergence]:
    return sorted(target.divergences, key=lambda divergence: (*weight(divergence), divergence.code))


def _left_out(report: Report) -> Iterable[tuple[str, str]]:
    for target in report.targets:
        if target.verdict == "error":
            yield no_paths(target.name), no_paths(target.error or "it could not be judged")
    for left in report.left_out:
        yield no_paths(left.name), no_paths(left.reason)


def _source(target: Target) -> dict[str, Any]:
    """Return where a template comes from, if that is the same place on every machine."""
    source = target.source
    location = str(source.get("location", ""))
    if "://" not in location or location.startswith("file:"):
        return {key: source[key] for key in ("kind",) if key in source}
    wanted = ("kind", "location", "revision", "member", "licence")
    return {key: source[key] for key in wanted if source.get(key) is not None}


def authority(report: Report) -> dict[str, str] | None:
    """Return who judged, as far as it is the same on every platform: what it renders, not its compiled file."""
    if report.authority is None:
        return None
    return {name: getattr(report.authority, name) for name in ("name", "version", "distribution", "renders")}


def authority_words(report: Report) -> str:
    """Return who judged in words, empty where nobody did."""
    said = authority(report)
    return (
        "" if said is None else f"{said['distribution']} {said['version']} (renders {said['renders'][:12]})"
    )


def _packages(report: Report) -> dict[str, str]:
    packages = report.environment.packages
    return {name: packages[name] for name in _DECIDING if name in packages}
