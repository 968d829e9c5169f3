"""The tables of the terminal's view: each fits 80 columns with every name whole, since CI logs are that wide."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.columns import Columns
from rich.table import Table
from rich.text import Text

from conformance.precision.report import Row
from conformance.precision.verdicts import Verdict

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
STAGES = ("dequant", "router", "gate_up", "swiglu", "down", "combine", "residual")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORT_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def style_of(verdict: str) -> str:
    """Return the colour of a verdict."""
    return STYLES.get(verdict, "red")


def named_table(title: str, *columns: str) -> Table:
    """Return an empty table whose first column, the name, is never cut."""
    table = Table(
        box=box.SIMPLE_HEAD,  # with a space between columns
        padding=0,
        pad_edge=False,
        show_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="",
    )
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=not number)
    return table


def matrix(rows: list[Row]) -> list[Table | Columns]:
    """Return the worst verdict of any stage by path and regime as one sign each, with the legend of those that occur.

    A digit is the stage that overflows; `!` marks what nobody could expect.
    """
    names = list(dict.fromkeys(r.regime for r in rows if r.regime != "all"))
    table = named_table("worst verdict of any stage, by path and regime", "path")
    table.add_column(" ".join(LETTERS[: len(names)]), no_wrap=True)
    seen: set[str] = set()
    for path in dict.fromkeys(r.path for r in rows):
        line = Text()
        for regime in names:
            here = [r for r in rows if r.path == path and r.regime == regime]
            worst = _worst(here)
            if worst is None:
                line.append("  ")
                continue
            surprise = not worst.good and not worst.expected and worst.verdict != Verdict.UNSUPPORTED
            seen |= {worst.verdict, "!"} if surprise else {worst.verdict}
            line.append(_mark(worst.verdict), style_of(worst.verdict))
            line.append("!" if surprise else " ", "red bold")
        if line.plain.strip():
            table.add_row(path, line)
    return [table, *_legend(names, seen)]


def _worst(rows: list[Row]) -> Row | None:
    good = (Verdict.PASS, Verdict.EXACT, Verdict.UNSUPPORTED)
    bad = sorted((r for r in rows if r.verdict not in good), key=lambda r: r.expected)
    return next(iter(bad), None) or next((r for v in good for r in rows if r.verdict == v), None)


def _mark(verdict: str) -> str:
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


def policies(entries: list[dict[str, Any]], width: int) -> Table:
    """Return what each policy loses on outlier rows, and where there is room the claim that it tests."""
    table = named_table(
        "policies on outlier rows: non-finite numbers (the cards' rules emulated by dtype)",
        "policy", "down", "combine", "residual", "",
    )  # fmt: skip
    for e in entries:
        counts = [str(e["nonfinite"][stage]) for stage in ("down", "combine", "residual")]
        words = "holds" if e["holds"] else "refuted"
        if width >= 120:
            words += f": {e['claim']}"
        table.add_row(e["policy"], *counts, Text(words, "green" if e["holds"] else "red"))
    return table


def boundary(entries: list[dict[str, Any]]) -> Table:
    """Return which scale bytes are exact, zero or non-finite in each format."""
    table = named_table(
        "scale bytes, all 256 × 16 codes", "what", "exact", "all zero", "non-finite", "as known"
    )
    for e in entries:
        known = Text("yes", "green") if e["as_known"] else Text(f"no: {e['known_range']}", "red")
        table.add_row(e["what"], e["exact_bytes"], e["zero_bytes"], e["nonfinite_bytes"], known)
    return table


def depth(entries: list[dict[str, Any]]) -> Table:
    """Return the growth of the error over a stack of layers; a number after OVERFLOW is the layer where it happens."""
    layers = max(len(e["error"]) for e in entries)
    table = named_table(
        f"stack of {layers} layers: median token error, over that of a twin whose rounding is simulated",
        "path", "first\nlayer", "last\nlayer", "over\ntwin", "re-\nrouted", "verdict\n(at layer)",
    )  # fmt: skip
    for e in entries:
        kind, _, where = e["verdict"].partition("@")
        words = f"{kind} {where.rpartition(' ')[2]}".strip() + ("" if e["expected"] else " !")
        table.add_row(
            e["path"],
            f"{e['error'][0]:.2g}",
            f"{e['error'][-1]:.2g}",
            f"{e['ratio_to_twin']:.2f}",
            f"{e['flipped'][-1]:.0%}",
            Text(words, style_of(kind)),
        )
    return table


def timing(found: dict[str, Any]) -> Table:
    """Return the Triton path's times, and the others' as multiples of them."""
    rates = found["rates"]
    first = next(iter(found["results"][0]["call_us"]))
    table = named_table(
        "a call / replayed as a graph; the others as multiples of the first line (copy "
        f"{rates['bandwidth_bytes_per_s'] / 1e12:.2f} TB/s, bfloat16 "
        f"{rates['bfloat16_flop_per_s'] / 1e12:.0f} TFLOP/s)",
        "path",
        *(f"{r['tokens']:,} token{'s' if r['tokens'] > 1 else ''}" for r in found["results"]),
    )
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
    return table


def selftest(found: dict[str, Any]) -> Table:
    """Return which planted faults each tolerance model catches."""
    models = list(found["caught"])
    heads = [
        {"error model": "error\nmodel", "triton_kernels": "triton"}.get(m, m.partition(".")[0])
        for m in models
    ]
    table = named_table(
        f"planted faults, sums of {found['shape']['hidden']} terms", "fault", *heads, "caught at"
    )
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
    return table
