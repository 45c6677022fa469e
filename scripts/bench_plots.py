"""The figures of ``scripts/bench.py``: roofline and ratios, and growth on log-log axes. Colours for every eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito
STYLE = {"ours": {"color": BLUE, "marker": "o"}, "torch": {"color": ORANGE, "marker": "x"}}
LABEL = {"ours": "refimpl", "torch": "PyTorch"}


def bench(path: Path, limits: dict[str, float], results: list[dict[str, Any]]) -> None:
    """The two rooflines above, below a bar a row: PyTorch's time over refimpl's."""
    shown = [r for r in results if r["ratio"]]
    heights = [3.0, 0.17 * len(shown) + 0.8]
    with plt.rc_context({"font.size": 8}):
        figure = plt.figure(figsize=(7, sum(heights)), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=heights)
        for i, dtype in enumerate(("float32", "float64")):
            _roofline(figure.add_subplot(grid[0, i]), dtype, limits, results)
        _ratios(figure.add_subplot(grid[1, :]), shown)
        figure.savefig(path, dpi=200)
        plt.close(figure)


def _roofline(axis: Axes, dtype: str, limits: dict[str, float], results: list[dict[str, Any]]) -> None:
    """min(peak, bandwidth x intensity), and the rows that state both bytes and operations."""
    points = [r for r in results if r["intensity"] and r["name"].endswith(dtype)]
    peak, bandwidth = limits[f"fma {dtype} flop/s"], limits["copy B/s"]
    x = np.array(
        [min([0.05, *(r["intensity"] / 2 for r in points)]), max([300, *(2 * r["intensity"] for r in points)])]
    )
    ridge = peak / bandwidth
    corners = np.array([x[0], ridge, x[1]])
    axis.plot(corners, np.minimum(peak, bandwidth * corners) / 1e9, color="black", linewidth=1)
    for who in STYLE:
        rated = [r for r in points if who in r["seconds"]]
        rates = [r["flops"] / r["seconds"][who] / 1e9 for r in rated]
        axis.plot([r["intensity"] for r in rated], rates, linestyle="", markersize=4, label=LABEL[who], **STYLE[who])
    axis.annotate(
        f"{bandwidth / 1e9:.0f} GB/s", (ridge / 8, peak / 8e9), (-4, 5), textcoords="offset points", ha="right"
    )
    axis.annotate(f"{peak / 1e9:.0f} Gflop/s", (x[1], peak / 1e9), (0, 3), textcoords="offset points", ha="right")
    axis.set(xscale="log", yscale="log", title=dtype, xlabel="operations a byte")
    axis.set(ylabel="Gflop/s", ylim=(None, 2 * peak / 1e9))
    axis.legend(loc="lower right")


def _ratios(axis: Axes, shown: list[dict[str, Any]]) -> None:
    names = [r["name"] for r in shown]
    axis.barh(names, [r["ratio"] - 1 for r in shown], left=1, color=BLUE)  # to the right of 1: faster
    axis.plot(
        [r["goal"] or np.nan for r in shown], names, "|", color=ORANGE, markersize=8, markeredgewidth=2, label="goal"
    )
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(xscale="log", xlabel="PyTorch's time over refimpl's", ylim=(len(shown) - 0.4, -0.6))
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="y", labelsize=6.5)
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1))


def growth(path: Path, rows: list[dict[str, Any]]) -> None:
    """Time above, memory below, a column a curve, with the expected order dashed beside it."""
    names = list(dict.fromkeys(r["name"] for r in rows))
    with plt.rc_context({"font.size": 8}):
        figure, axes = plt.subplots(len(names), 2, figsize=(7, 1.9 * len(names)), layout="constrained", squeeze=False)
        for row in rows:
            _growth(axes[names.index(row["name"])][int(row["kind"] == "memory")], row)
        figure.savefig(path, dpi=200)
        plt.close(figure)


def _growth(axis: Axes, row: dict[str, Any]) -> None:
    unit, scale = ("ms", 1e3) if row["kind"] == "time" else ("MB", 1e-6)
    sizes = np.array(row["sizes"], float)
    for who, style in STYLE.items():
        order = row["orders"][who]
        label = LABEL[who] if order is None else f"{LABEL[who]}: {order:.2f}"
        values = scale * np.array(row[who])
        axis.plot(sizes, np.where(values > 0, values, np.nan), markersize=4, linewidth=1, label=label, **style)
    last = scale * row["ours"][-1]
    if last > 0:
        expected = last * (sizes / sizes[-1]) ** row["expected"]
        axis.plot(sizes, expected, "--", color=GREY, linewidth=1, label=f"expected: {row['expected']:g}")
    axis.set(xscale="log", yscale="log", title=row["name"], ylabel=f"{row['kind']}, {unit}")
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axis.yaxis.set_major_locator(LogLocator(numticks=6))
    axis.yaxis.set_major_formatter("{x:g}")
    for line in (axis.xaxis, axis.yaxis):
        line.set_minor_formatter(NullFormatter())
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, high / 20), 1.5 * high)  # at least a decade, so that flat looks flat
    axis.legend(fontsize=6)
