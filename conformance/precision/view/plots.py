"""Plots of a report: error against depth, a histogram of errors in ULP, magnitudes against float16's limit."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

from conformance.precision.report import PrecisionReport

FLOAT16_MAX = 65504.0
PANELS = 5  # in a row


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
        if any(points(c["error"]) or overflow(c["error"]) is not None for c in report.depth):
            written.append(_depth(report.depth, folder / "precision-depth.svg"))
        written.append(_magnitude(report.depth, folder / "precision-magnitude.svg"))
    if drawn(report.histograms):
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


def _colours(count: int) -> list[Any]:
    """Return a colour of its own for each path."""
    wheel = import_module("matplotlib").colormaps["turbo"]
    return [wheel(0.04 + 0.92 * i / max(1, count - 1)) for i in range(count)]


def twins(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return each different set of data once, with the names of all paths that have it."""
    together: dict[str, tuple[list[str], Any]] = {}
    for name, data in named:
        together.setdefault(repr(data), ([], data))[0].append(name)
    return [("\n= ".join(names), data) for names, data in together.values()]


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    return path


def _depth(curves: list[dict[str, Any]], path: Path) -> Path:
    figure, axes = _figure("Error over depth (synthetic layers)", "layer", "median relative error of a token")
    found = twins([(c["path"], c["error"]) for c in curves])
    top = max((e for _, errors in found for _, e in points(errors)), default=1.0)
    for colour, (name, errors) in zip(_colours(len(found)), found, strict=True):
        seen, lost = points(errors), overflow(errors)
        if lost is not None:
            # At the top edge: from this layer on the result is infinite, or no number.
            axes.plot([lost], [top * 3], marker="X", markersize=8, linestyle="", color=colour)
            seen = [p for p in seen if p[0] < lost]
            name = f"{name} (overflows at layer {lost})"
        if seen:
            axes.plot(*zip(*seen, strict=True), label=name, marker=".", linewidth=1, color=colour)
        elif lost is not None:
            axes.plot([], [], label=name, marker="X", linestyle="", color=colour)
    axes.set_yscale("log")
    figure.legend(fontsize=6, loc="outside right upper")
    return _save(figure, path)


def overflow(errors: list[Any]) -> int | None:
    """Return the first layer whose error is no finite number."""
    return next((i for i, e in enumerate(errors) if not math.isfinite(float(e))), None)


def points(errors: list[Any]) -> list[tuple[int, float]]:
    """Return what a logarithmic axis can show of a curve; a path without any error has nothing."""
    return [(i, float(e)) for i, e in enumerate(errors) if math.isfinite(float(e)) and float(e) > 0]


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
    """Draw a panel for each path, twins in one, all on the same axes."""
    panels = twins(drawn(found))
    edges = found["edges"][1:]
    used = [i for _, counts in panels for i, c in enumerate(counts) if c]
    low, high = (min(used), max(used)) if used else (0, len(edges) - 1)
    rows = -(-len(panels) // PANELS)
    figure = import_module("matplotlib.figure").Figure(figsize=(11, 0.9 + 1.5 * rows), layout="constrained")
    grid = figure.subplots(rows, PANELS, sharex=True, sharey=True, squeeze=False)
    for colour, axes, (name, counts) in zip(_colours(len(panels)), grid.flat, panels, strict=False):
        total = sum(counts) or 1
        axes.step(edges, [c / total for c in counts], where="mid", color=colour, linewidth=1.2)
        axes.fill_between(edges, [c / total for c in counts], step="mid", color=colour, alpha=0.25)
        axes.axvline(1.0, color="grey", linewidth=0.6, linestyle=":")
        axes.set_title(name, fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_xscale("log", base=2)
        axes.set_xlim(edges[max(0, low - 1)], edges[min(len(edges) - 1, high + 1)])
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle("Chained error of the layer's result", fontsize=11)
    figure.supxlabel("units in the last place of the dtype that holds the result (dotted: one)", fontsize=8)
    figure.supylabel("share of elements", fontsize=8)
    return _save(figure, path)


def drawn(histograms: dict[str, Any]) -> list[tuple[str, list[int]]]:
    """Return the paths that the histogram shows with their counts."""
    return list(histograms.get("paths", {}).items())
