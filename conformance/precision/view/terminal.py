"""The terminal's view of a report: what a person needs first, findings before figures."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

from rich.console import Console
from rich.text import Text

from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED
from conformance.precision.report import PrecisionReport, Row
from conformance.precision.verdicts import REGIMES
from conformance.precision.view import tables

SHOWN = 12
# Of the shifts that a declaration lets through, those that people ask about; the JSON has all.
LETS_THROUGH = (
    "alpha", "the gate's clamp limit", "the factor on the result (routing weights)", "the factor on the down bias",
)  # fmt: skip


def render(report: PrecisionReport, console: Console, strict: bool = False) -> None:
    """Print a report: device, verdicts by path and regime, findings, policies, boundaries, self-test, times."""
    _head(report, console)
    if report.rows:
        console.print(*tables.matrix(report.rows), sep="\n")
        _unsupported(report.rows, console)
        _declared(report, console)
        _findings(report, report.findings(strict), console)
        console.print()
    for part in tables.of_report(report, console.width):
        console.print(part, "", sep="\n")
    _certificates(report.certificates, console)
    if report.selftest:
        _selftest(report, console)
    _verdict(report, strict, console)


def subject(report: PrecisionReport) -> tuple[str, str, str]:
    """Return in three lines what was run: the device, the layer and its inputs, the flags."""
    device = report.environment["device"]
    place = device["name"] + (f", driver {device['driver']}" if "driver" in device else f": {device['note']}")
    flags = ", ".join(f"{k}={v}" for k, v in report.environment["flags"].items())
    run = report.run
    held = f" held in {run['stored']}" if "stored" in run else ""
    layer = f"{run['preset']} · {run['weights']} weights{held} · {run['tokens']} tokens · seed {run['seed']}"
    return place, layer, f"flags as found: {flags}"


def _head(report: PrecisionReport, console: Console) -> None:
    place, layer, flags = subject(report)
    console.print(Text(place, style="bold"))
    console.print(layer)
    console.print(Text(flags, style="dim"))


def _unsupported(rows: list[Row], console: Console) -> None:
    for row in rows:
        if row.verdict == "UNSUPPORTED":
            console.print(Text(f"UNSUPPORTED {row.path} ({row.regime}): {row.reason}", style="dim"))


def reproduce(report: PrecisionReport, row: Row) -> str:
    """Return the command line that computes a row again."""
    run = report.run
    weights = ["--preset", run["preset"]]
    if run["weights"] != "synthetic":
        weights = ["--checkpoint", run["weights"], "--layer", str(row.metrics.get("layer", 0))]
    weights += ["--stored", run["stored"]] if "stored" in run else []
    kind = "--kernel" if row.path in run.get("kernels", []) else "--path"
    choice = [kind, row.path, *(["--regime", row.regime] if row.regime in REGIMES else [])]
    place = ["--device", "cpu"] if report.environment["device"]["kind"] == "cpu" else []
    tokens = ["--tokens", str(run["tokens"])]
    if row.regime == "activations":
        choice += ["--activations", run["activations"]["file"]]
        tokens = []
    numbers = [
        *tokens,
        "--seed",
        str(row.metrics.get("seed", run["seed"])),
        "--depth",
        "0",
    ]
    return shlex.join(["conformance", "precision", *weights, *choice, *numbers, *place])


def _declared(report: PrecisionReport, console: Console) -> None:
    """Print what kernels declare, and the shifts of constants that a verdict relative to it would not see."""
    for name in report.run.get("kernels", []):
        said = report.declarations.get(name, {})
        if "says" in said:
            console.print(f"{name} declares: {said['says']}", highlight=False)
        lets = said.get("lets_through", {})
        shifts = ", ".join(
            f"{constant} ± {lets[constant]:.1g}" for constant in LETS_THROUGH if constant in lets
        )
        if shifts:
            console.print(f"    which lets through: {shifts}", highlight=False)


def _findings(report: PrecisionReport, found: list[Row], console: Console) -> None:
    for row in found[:SHOWN]:
        where = f"{row.path} · {row.regime} · {row.stage} ({row.mode})"
        console.print(Text(f"✗ {row.verdict}  {where}", style=tables.style_of(row.verdict)))
        metrics = row.metrics
        spot = ", ".join(
            f"{k.removeprefix('worst_')} {int(metrics[k])}"
            for k in ("worst_token", "worst_channel", "worst_expert")
            if k in metrics
        )
        console.print(f"    {row.reason}" + (f" · worst at {spot}" if spot else ""))
        console.print(Text(f"    Reproduce with: {reproduce(report, row)}"), soft_wrap=True)
    if len(found) > SHOWN:
        kinds = Counter(r.verdict for r in found[SHOWN:])
        console.print(f"  and {len(found) - SHOWN} more: " + ", ".join(f"{n} {v}" for v, n in kinds.items()))


def _certificates(entries: list[dict[str, Any]], console: Console) -> None:
    for e in entries[:4]:
        top = e["largest"]
        console.print(
            f"float16 certificate, layer {e['layer']}: {e['statement']}; {e['experts_proved']} of "
            f"{e['experts']} experts proved safe, largest bound {top['bound']:,.0f} "
            f"({top['stage']}, expert {top['expert']}, row {top['row']})"
        )
    if len(entries) > 4:
        safe = sum(not e["may"] for e in entries)
        console.print(f"  and {len(entries) - 4} more layers; {safe} of {len(entries)} cannot overflow")


def _selftest(report: PrecisionReport, console: Console) -> None:
    """Print caught / planted per tolerance model, survivors with their reason, and what failed."""
    found = report.selftest
    console.print(tables.selftest(found))
    for name, why in found["survivors"].items():
        if name not in found["failed"]:
            console.print(f"survives, as it should: {name}: {why}")
    for exposure, e in found.get("exposures", {}).items():
        console.print(f"{exposure} in their lowest dtype: {e['caught']} of {e['planted']} caught")
        for name, why in e["survivors"].items():
            console.print(Text(f"    survives: {name}" + (f": {why}" if why else ""), style="yellow"))
    right = found.get("right_variants")
    if right:
        console.print(f"right variants: {len(right['accused'])} of {right['tried']} accused")
    alarms = report.false_alarms()
    for name in found["failed"]:
        console.print(Text(f"✗ {'false alarm' if name in alarms else 'missed'}: {name}", style="red"))


def verdict(report: PrecisionReport, strict: bool = False) -> str:
    """Return in a line what a run found."""
    problems = report.problems(strict)
    if not report.complete:
        return "the run was cut short"
    if report.selftest:
        return f"{report.selftest['planted']} faults planted, {', '.join(problems) or 'all caught'}"
    if report.exit_code(strict) == EXIT_UNJUDGED:
        return "nothing was judged"
    judged = report.run.get("rows_judged", report.judged)
    return f"{judged:,} results judged, {', '.join(problems) or 'none unexpected'}"


def _verdict(report: PrecisionReport, strict: bool, console: Console) -> None:
    elapsed = f" · {report.run['elapsed_s']:.1f} s" if "elapsed_s" in report.run else ""
    share = report.reference.get("share_of_run")
    if share and report.rows:
        elapsed += f", {share:.0%} of it for the reference and its certificate"
    sign, style = ("✓", "green") if report.exit_code(strict) == EXIT_CONFORMS else ("✗", "red")
    console.print(Text(f"{sign} {verdict(report, strict)}{elapsed}", style=f"bold {style}"))
