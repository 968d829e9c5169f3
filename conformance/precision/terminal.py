"""The terminal's view of a report: what a person needs first, findings before figures."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.precision.regimes import REGIMES
from conformance.precision.report import PrecisionReport, Row

STYLES = {"EXACT": "green", "PASS": "green", "DEGRADED": "yellow", "UNSUPPORTED": "dim"}
SHOWN = 12


def _style(verdict: str) -> str:
    return STYLES.get(verdict, "red")


def render(report: PrecisionReport, console: Console, strict: bool = False) -> None:
    """Print a report: device, verdicts by path and regime, findings, policies, boundaries, self-test, times."""
    _head(report, console)
    if report.rows:
        console.print(_matrix(report.rows))
        _unsupported(report.rows, console)
        _findings(report, report.findings(strict), console)
    if report.policies:
        console.print(_policies(report.policies))
    if report.certificates:
        _certificates(report.certificates, console)
    if report.boundary:
        console.print(_boundary(report.boundary))
    if report.depth:
        console.print(_depth(report.depth))
    if report.timing:
        _timing(report.timing, console)
    if report.selftest:
        render_selftest(report.selftest, console)
    share = report.reference.get("share_of_run")
    if share and report.rows:
        console.print(f"reference and its certificate: {share:.0%} of {report.run['elapsed_s']:.1f} s")


def _head(report: PrecisionReport, console: Console) -> None:
    device = report.environment["device"]
    place = device["name"] + (f", driver {device['driver']}" if "driver" in device else f": {device['note']}")
    flags = ", ".join(f"{k}={v}" for k, v in report.environment["flags"].items())
    console.print(Text(place, style="bold"))
    weights = report.run["weights"]
    console.print(
        f"{report.run['preset']} · {weights} weights · {report.run['tokens']} tokens · seed {report.run['seed']}"
    )
    console.print(Text(f"flags as found: {flags}", style="dim"))


def _matrix(rows: list[Row]) -> Table:
    table = Table(title="worst verdict of any stage", title_justify="left")
    table.add_column("path")
    names = list(dict.fromkeys(r.regime for r in rows if r.regime != "all"))
    for name in names:
        table.add_column("\n".join(name.split("-")), justify="center")
    order = ("PASS", "EXACT", "UNSUPPORTED")
    for path in dict.fromkeys(r.path for r in rows):
        cells = []
        for regime in names:
            here = [r for r in rows if r.path == path and r.regime == regime]
            worst = next((r for r in here if r.verdict not in order), None)
            cell = (
                worst.verdict if worst else next((v for v in order if any(r.verdict == v for r in here)), "")
            )
            mark = "" if worst is None or worst.expected else " !"
            cells.append(Text(cell.replace("@", "\n@") + mark, style=_style(cell)))
        if any(c.plain for c in cells):
            table.add_row(path, *cells)
    return table


def _unsupported(rows: list[Row], console: Console) -> None:
    for row in rows:
        if row.verdict == "UNSUPPORTED":
            console.print(Text(f"UNSUPPORTED {row.path} ({row.regime}): {row.reason}", style="dim"))


def _again(report: PrecisionReport, row: Row) -> str:
    run = report.run
    weights = ["--preset", run["preset"]]
    if run["weights"] != "synthetic":
        weights = ["--checkpoint", run["weights"], "--layer", str(row.metrics.get("layer", 0))]
    choice = ["--path", row.path, *(["--regime", row.regime] if row.regime in REGIMES else [])]
    place = ["--device", "cpu"] if report.environment["device"]["kind"] == "cpu" else []
    numbers = [
        "--tokens",
        str(run["tokens"]),
        "--seed",
        str(row.metrics.get("seed", run["seed"])),
        "--depth",
        "0",
    ]
    return shlex.join(["conformance", "precision", *weights, *choice, *numbers, *place])


def _findings(report: PrecisionReport, found: list[Row], console: Console) -> None:
    for row in found[:SHOWN]:
        where = f"{row.path} · {row.regime} · {row.stage} ({row.mode})"
        console.print(Text(f"✗ {row.verdict}  {where}", style=_style(row.verdict)))
        metrics = row.metrics
        spot = ", ".join(
            f"{k.removeprefix('worst_')} {int(metrics[k])}"
            for k in ("worst_token", "worst_channel", "worst_expert")
            if k in metrics
        )
        console.print(f"    {row.reason}" + (f" · worst at {spot}" if spot else ""))
        console.print(Text(f"    Again: {_again(report, row)}"), soft_wrap=True)
    if len(found) > SHOWN:
        kinds = Counter(r.verdict for r in found[SHOWN:])
        console.print(f"  and {len(found) - SHOWN} more: " + ", ".join(f"{n} {v}" for v, n in kinds.items()))


def _policies(entries: list[dict[str, Any]]) -> Table:
    table = Table(
        title="policies on outlier rows: non-finite numbers (the cards' rules emulated by dtype)",
        title_justify="left",
    )
    for column in ("policy", "down", "combine", "residual", "claim"):
        table.add_column(column)
    for e in entries:
        counts = e["nonfinite"]
        style = "green" if e["holds"] else "red"
        table.add_row(
            e["policy"],
            *(str(counts[s]) for s in ("down", "combine", "residual")),
            Text(("holds: " if e["holds"] else "refuted: ") + e["claim"], style=style),
        )
    return table


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


def _boundary(entries: list[dict[str, Any]]) -> Table:
    table = Table(title="scale bytes, all 256 × 16 codes", title_justify="left")
    for column in ("what", "exact", "all zero", "non-finite", "as known"):
        table.add_column(column)
    for e in entries:
        known = Text("yes", style="green") if e["as_known"] else Text(f"no: {e['known_range']}", style="red")
        table.add_row(e["what"], e["exact_bytes"], e["zero_bytes"], e["nonfinite_bytes"], known)
    return table


def _depth(entries: list[dict[str, Any]]) -> Table:
    table = Table(title="stack of layers: median token error", title_justify="left")
    for column in ("path", "first layer", "last layer", "of its twin", "tokens rerouted", "verdict"):
        table.add_column(column)
    for e in entries:
        table.add_row(
            e["path"],
            f"{e['error'][0]:.2g}",
            f"{e['error'][-1]:.2g}",
            f"{e['ratio_to_twin']:.2f}",
            f"{e['flipped'][-1]:.0%}",
            Text(e["verdict"], style=_style(e["verdict"])),
        )
    return table


def _timing(timing: dict[str, Any], console: Console) -> None:
    rates = timing["rates"]
    table = Table(
        title=f"Triton MXFP4 against others (copy {rates['bandwidth_bytes_per_s'] / 1e12:.2f} TB/s, bfloat16 "
        f"{rates['bfloat16_flop_per_s'] / 1e12:.0f} TFLOP/s measured)",
        title_justify="left",
    )
    names = list(timing["results"][0]["call_us"])
    for column in (
        "tokens",
        *(f"{n}\ncall / replayed µs" for n in names),
        "share of bandwidth",
        "of matmul rate",
    ):
        table.add_column(column)
    for r in timing["results"]:
        cells = [
            f"{r['call_us'][n]:.0f} / " + (f"{r['replayed_us'][n]:.0f}" if n in r["replayed_us"] else "-")
            for n in names
        ]
        shares = [f"{r[k]:.0%}" if k in r else "-" for k in ("share_of_bandwidth", "share_of_matmul_rate")]
        table.add_row(str(r["tokens"]), *cells, *shares)
    console.print(table)


def render_selftest(found: dict[str, Any], console: Console) -> None:
    """Print caught / planted per tolerance model, survivors with their reason, and what failed."""
    models = list(found["caught"])
    table = Table(title=f"planted faults, sums of {found['shape']['hidden']} terms", title_justify="left")
    table.add_column("fault")
    for model in models:
        table.add_column(model, justify="center")
    table.add_column("caught by the error model in")
    for e in found["faults"]:
        if e["harmless"]:
            continue
        by = ", ".join(f"{d} ({v['verdict']} {v['stage']})" for d, v in e["by_dtype"].items() if v["caught"])
        marks = [Text("✓", "green") if e["caught"] else Text("–", "red")]
        marks += [Text("✓") if e["others"][m] else Text("–", "dim") for m in models[1:]]
        table.add_row(e["name"], *marks, by or e["survives"])
    table.add_section()
    table.add_row(
        "caught / planted", *(f"{found['caught'][m]} / {found['planted']}" for m in models), "", style="bold"
    )
    table.add_row(
        "false alarms / harmless", *(f"{found['false_alarms'][m]} / {found['harmless']}" for m in models), ""
    )
    console.print(table)
    for name, why in found["survivors"].items():
        console.print(
            f"survives, as it should: {name}: {why}" if name not in found["failed"] else f"MISSED: {name}"
        )
    for name in found["failed"]:
        console.print(Text(f"✗ {name}: not as it should be", style="red"))
