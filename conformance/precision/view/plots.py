"""Plots of a report: error against depth, a histogram of errors in ULP, magnitudes against float16's limit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from conformance.precision.report import PrecisionReport

FLOAT16_MAX = 65504.0


def write_plots(report: PrecisionReport, folder: Path) -> list[Path]:
    """Write the plots that the report has data for as SVG and return their paths; an empty list without matplotlib."""
    try:
        matplotlib = import_module("matplotlib")  # an extra: typed as Any, and only where a plot is wanted
    except ImportError:
        return []
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "conformance"  # the same data give the same file
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if report.depth:
        if any(_points(curve) for curve in report.depth):
            written.append(_depth(report.depth, folder / "precision-depth.svg"))
        written.append(_magnitude(report.depth, folder / "precision-magnitude.svg"))
    if _drawn(report.histograms):
        written.append(_histogram(report.histograms, folder / "precision-ulp.svg"))
    return written


def _figure(title: str, across: str, up: str) -> tuple[Any, Any]:
    figure = import_module("matplotlib.figure").Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    return figure, axes


def _line(number: int) -> dict[str, str]:
    """Return how the line of a number is drawn: ten colours, then the same dashed and dotted."""
    return {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3]}


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    return path


def _depth(curves: list[dict[str, Any]], path: Path) -> Path:
    figure, axes = _figure("Error over depth (synthetic layers)", "layer", "median relative error of a token")
    for number, curve in enumerate(curves):
        if points := _points(curve):
            axes.plot(
                *zip(*points, strict=True), label=curve["path"], marker=".", linewidth=1, **_line(number)
            )
    axes.set_yscale("log")
    figure.legend(fontsize=6, loc="outside right upper")
    return _save(figure, path)


def _points(curve: dict[str, Any]) -> list[tuple[int, float]]:
    """Return what a logarithmic axis can show of a curve; a path without any error has nothing."""
    return [(i, e) for i, e in enumerate(curve["error"]) if e not in (float("inf"), "inf") and e > 0]


def _magnitude(curves: list[dict[str, Any]], path: Path) -> Path:
    figure, axes = _figure(
        "Largest activation against float16's limit", "layer", "largest magnitude of the residual"
    )
    peak = curves[0]["peak"]
    axes.plot(range(len(peak)), peak, marker=".", label="reference")
    axes.axhline(FLOAT16_MAX, color="red", linestyle="--", label="float16's largest number, 65,504")
    axes.set_yscale("log")
    axes.legend(fontsize=8)
    return _save(figure, path)


def _histogram(found: dict[str, Any], path: Path) -> Path:
    figure, axes = _figure(
        "Chained error of the layer's result",
        "error in units in the last place of the dtype that holds the result",
        "share of elements",
    )
    for number, (name, counts) in enumerate(_drawn(found)):
        total = sum(counts) or 1
        shares = [c / total for c in counts]
        axes.step(found["edges"][1:], shares, where="mid", label=name, linewidth=1, **_line(number))
    axes.set_xscale("log", base=2)
    figure.legend(fontsize=6, loc="outside right upper")
    return _save(figure, path)


def _drawn(histograms: dict[str, Any]) -> list[tuple[str, list[int]]]:
    """Return the paths that the histogram shows with their counts."""
    return list(histograms.get("paths", {}).items())
