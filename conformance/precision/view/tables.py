"""The tables of the terminal's view: each fits 80 columns with every name whole, since CI logs are that wide."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from conformance.precision.report import PrecisionReport, Row
from conformance.precision.verdicts import SEVERITY, STAGES, Verdict

STYLES = {"EXACT": "green", "PASS": "green", "DEGRADED": "yellow", "UNSUPPORTED": "dim"}
MARKS = {
    Verdict.EXACT: "=",
    Verdict.PASS: "✓",
    Verdict.DEGRADED: "~",
    Verdict.FAIL: "✗",
    Verdict.SATURATED: "^",
    Verdict.UNEXCUSED_FLIP: "?",
    Verdict.UNSUPPORTED: "-",
}
ALL_PATHS = "all"  # of a row that says why no path was tried
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORT_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def style_of(verdict: str) -> str:
    """Return the colour of a verdict."""
    return STYLES.get(verdict, "red")


def titled(title: str, table: Table) -> Group:
    """Return a table under its title, which may be wider than it."""
    return Group(Text(title, "bold"), table)


def named_table(*columns: str) -> Table:
    """Return an empty table whose first column, the name, is never cut."""
    table = Table(
        box=box.SIMPLE_HEAD,  # with a space between columns
        padding=0,
        pad_edge=False,
        show_edge=False,
        header_style="",
    )
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=not number)
    return table


def matrix(rows: list[Row]) -> list[Group | Columns]:
    """Return the worst verdict of any stage by path and regime as one sign each, with the legend of those that occur.

    A digit is the stage that overflows; `!` marks what nobody could expect.
    """
    names = list(dict.fromkeys(column_of(r) for r in rows if r.regime != "all"))
    table = named_table("path")
    table.add_column(" ".join(LETTERS[: len(names)]), no_wrap=True)
    seen: set[str] = set()
    for path in dict.fromkeys(r.path for r in rows if r.path != ALL_PATHS):
        line = Text()
        for regime in names:
            here = [r for r in rows if r.path == path and column_of(r) == regime]
            worst = worst_of(here)
            if worst is None:
                line.append("  ")
                continue
            surprise = worst in surprises([worst])
            seen |= {worst.verdict, "!"} if surprise else {worst.verdict}
            line.append(mark_of(worst.verdict), style_of(worst.verdict))
            line.append("!" if surprise else " ", "red bold")
        if line.plain.strip():
            table.add_row(path, line)
    if not table.row_count:
        return []
    return [titled("worst verdict of any stage, by path and regime", table), *_legend(names, seen)]


def column_of(row: Row) -> str:
    """Return the column of a row: its regime, but one for all properties and one for all score tests."""
    return {"property": "properties", "score": "constants"}.get(row.mode, row.regime)


def worst_of(rows: list[Row]) -> Row | None:
    """Return the row to show: what nobody expected first, then the most severe, and of those the first stage."""
    return max(surprises(rows) or rows, key=_severity, default=None)


def surprises(rows: list[Row]) -> list[Row]:
    """Return the rows that nobody could expect from the declared formats."""
    return [r for r in rows if not r.good and not r.expected and r.verdict != Verdict.UNSUPPORTED]


def _severity(row: Row) -> int:
    return SEVERITY[Verdict(row.verdict.partition("@")[0])]


def mark_of(verdict: str) -> str:
    """Return the one sign of a verdict; the number of its stage for an overflow."""
    kind, _, stage = verdict.partition("@")
    return str(STAGES.index(stage) + 1) if stage in STAGES else MARKS.get(Verdict(kind), "O")


def _legend(names: list[str], seen: set[str]) -> list[Columns]:
    marks = [f"{mark} {verdict}" for verdict, mark in MARKS.items() if verdict in seen]
    if any(v.startswith(Verdict.OVERFLOW) for v in seen):
        marks += [f"{n} OVERFLOW@{stage}" for n, stage in enumerate(STAGES, 1) if f"OVERFLOW@{stage}" in seen]
    if "!" in seen:
        marks.append("! unexpected")
    regimes = [f"{a} {name}" for a, name in zip(LETTERS, names, strict=False)]
    return [Columns((Text(t, "dim") for t in texts), padding=(0, 2)) for texts in (regimes, marks)]


def of_report(report: PrecisionReport, width: int) -> list[Group]:
    """Return the tables that a report has data for: policies, scale bytes, growth over depth, times."""
    made = []
    if report.policies:
        made.append(policies(report.policies, width))
    if report.boundary:
        made.append(boundary(report.boundary))
    if report.depth:
        made.append(depth(report.depth))
    if report.timing:
        made.append(timing(report.timing))
    return made


def policies(entries: list[dict[str, Any]], width: int) -> Group:
    """Return what each policy loses on outlier rows, and where there is room the claim that it tests."""
    table = named_table("policy", "down", "combine", "residual", "")
    for e in entries:
        counts = [str(e["nonfinite"][stage]) for stage in ("down", "combine", "residual")]
        words = "holds" if e["holds"] else "refuted"
        if width >= 120:
            words += f": {e['claim']}"
        table.add_row(e["policy"], *counts, Text(words, "green" if e["holds"] else "red"))
    return titled("policies on outlier rows: non-finite numbers (the cards' rules emulated by dtype)", table)


def boundary(entries: list[dict[str, Any]]) -> Group:
    """Return which scale bytes are exact, zero or non-finite in each format."""
    table = named_table("what", "exact", "all zero", "non-finite", "as known")
    for e in entries:
        known = Text("yes", "green") if e["as_known"] else Text(f"no: {e['known_range']}", "red")
        table.add_row(e["what"], e["exact_bytes"], e["zero_bytes"], e["nonfinite_bytes"], known)
    return titled("scale bytes, all 256 × 16 codes", table)


def depth(entries: list[dict[str, Any]]) -> Group:
    """Return the growth of the error over a stack of layers; a number after OVERFLOW is the layer where it happens."""
    layers = max(len(e["error"]) for e in entries)
    columns = ("first\nlayer", "last\nlayer", "over\ntwin", "re-\nrouted", "verdict\n(at layer)")
    table = named_table("path", *columns)
    for e in entries:
        kind, _, where = e["verdict"].partition("@")
        words = f"{kind} {where.rpartition(' ')[2]}".strip() + ("" if e["expected"] else " !")
        table.add_row(
            e["path"],
            f"{float(e['error'][0]):.2g}",
            f"{float(e['error'][-1]):.2g}",
            f"{float(e['ratio_to_twin']):.2f}",
            f"{e['flipped'][-1]:.0%}",
            Text(words, style_of(kind)),
        )
    title = f"stack of {layers} layers: median token error, also over its simulated twin's"
    return titled(title, table)


def timing(found: dict[str, Any]) -> Group:
    """Return the Triton path's times, and the others' as multiples of them."""
    rates = found["rates"]
    first = next(iter(found["results"][0]["call_us"]))
    counts = (r["tokens"] for r in found["results"])
    table = named_table("path", *(f"{n:,} token{'s' if n > 1 else ''}" for n in counts))
    for name in found["results"][0]["call_us"]:
        cells = []
        for r in found["results"]:
            if name == first:
                pair = (
                    f"{r[kind][name]:.0f}" if name in r[kind] else "-" for kind in ("call_us", "replayed_us")
                )
                cells.append(" / ".join(pair) + " µs")
            else:
                ratios = (r.get(kind, {}).get(name) for kind in ("ratio_call", "ratio_replayed"))
                cells.append(
                    " / ".join(f"{x:.{1 if x >= 10 else 2}f}×" if x is not None else "-" for x in ratios)
                )
        table.add_row(name, *cells)
    for label, key in (
        ("its share of copy rate", "share_of_bandwidth"),
        ("of matmul rate", "share_of_matmul_rate"),
    ):
        table.add_row(label, *(f"{r[key]:.1%}" if key in r else "-" for r in found["results"]), style="dim")
    copied, multiplied = rates["bandwidth_bytes_per_s"] / 1e12, rates["bfloat16_flop_per_s"] / 1e12
    return titled(
        "a call / replayed as a graph; the others as multiples of the first line\n"
        f"(measured: copy {copied:.2f} TB/s, bfloat16 products {multiplied:.0f} TFLOP/s)",
        table,
    )


def selftest(found: dict[str, Any]) -> Group:
    """Return which planted faults each tolerance model catches."""
    models = list(found["caught"])
    heads = [
        {"error model": "error\nmodel", "triton_kernels": "triton"}.get(m, m.partition(".")[0])
        for m in models
    ]
    table = named_table("fault", *heads, "caught at")
    for e in found["faults"]:
        if e["harmless"]:
            continue
        by: dict[str, list[str]] = {}
        for dtype, v in e["by_dtype"].items():
            if v["caught"]:
                by.setdefault(v["stage"], []).append(SHORT_DTYPES.get(dtype, dtype))
        words = ", ".join(f"{stage} {'+'.join(dtypes)}" for stage, dtypes in by.items())
        marks = [Text("✓", "green") if e["caught"] else Text("–", "red")]
        marks += [Text("✓") if e["others"][m] else Text("–", "dim") for m in models[1:]]
        table.add_row(e["name"], *marks, words or e["survives"])
    table.add_section()
    planted, harmless = found["planted"], found["harmless"]
    table.add_row(
        f"caught of {planted} planted", *(str(found["caught"][m]) for m in models), "", style="bold"
    )
    table.add_row(
        f"false alarms of {harmless} harmless", *(str(found["false_alarms"][m]) for m in models), ""
    )
    return titled(f"planted faults, sums of {found['shape']['hidden']} terms", table)


def certified(reference: dict[str, Any]) -> str:
    """Return one sentence on how the float32 reference was certified, empty where it was not."""
    proofs = reference.get("certified", {})
    stages = [numbers for proof in proofs.values() for numbers in proof["stages"].values()]
    if not stages:
        return ""
    rows, of = (sum(proof[key] for proof in proofs.values()) for key in ("tokens", "of"))
    normwise, z = (max(float(s[key]) for s in stages) for key in ("normwise", "z_rms"))
    return (
        f"float32 reference certified against float64 on {rows:,} of {of:,} rows of {len(proofs)} kinds of input: "
        f"normwise error at most {normwise:.1e}, z rms at most {z:.2f}"
    )
