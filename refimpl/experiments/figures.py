"""What every figure shares: a quiet style, colours that the colour-blind can tell apart, files with fixed bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.numerics.files import atomic_write, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

# Okabe and Ito's palette without its yellow, which is too pale for lines; black first.
COLORS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLUMN = 3.5  # inches, one column of a paper
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "svg.hashsalt": "refimpl",
    "svg.fonttype": "path",
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.family": "DejaVu Sans",
}


@contextmanager
def canvas(rows: int = 1, columns: int = 1, width: float = COLUMN, height: float = 2.4, **options: Any):
    """A figure and its axes (an array when there are several) in the common style, without a display."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, **options)


def save(figure: Figure, folder: Path, name: str) -> list[str]:
    """``name.png`` and ``name.svg`` without dates, each written atomically; their file names."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            with atomic_write(folder / f"{name}.{kind}") as temporary:
                figure.savefig(temporary, format=kind, metadata=metadata)
    return [f"{name}.png", f"{name}.svg"]


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table with fixed bytes: ``\\n`` line ends, numbers with six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    write_text(path, stream.getvalue())


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


def style(i: int) -> dict[str, str]:
    """The i-th colour and marker."""
    return {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}


def band(axes: Axes, x: Sequence[float], runs: Array, i: int, label: str, **options: Any) -> None:
    """The mean over runs (runs, len(x)) as a line, and the range from the lowest to the highest as a band."""
    runs = np.atleast_2d(np.asarray(runs, dtype=float))
    shown = {"markevery": max(1, len(x) // 8)} | style(i) | options
    axes.plot(x, runs.mean(axis=0), label=label, **shown)
    if len(runs) > 1:
        axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=COLORS[i % len(COLORS)], alpha=0.15, linewidth=0)


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for all panels, below them, from the lines of one."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def picture(
    axes: Axes, image: Array, title: str = "", low: float | None = None, high: float | None = None, cmap: str = "gray"
) -> Any:
    """An image without ticks; by default from its lowest to its highest value."""
    shown = axes.imshow(image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.set_title(title)
    for side in axes.spines.values():
        side.set_visible(False)
    return shown


def photograph(size: int) -> Array:
    """matplotlib's sample photograph as a square of grey values in [0, 1], by block means."""
    from matplotlib.cbook import get_sample_data
    from matplotlib.image import imread

    file = str(get_sample_data("grace_hopper.jpg", asfileobj=False))
    image = imread(file)[:512, :512].astype(np.float64).mean(axis=2) / 255
    block = 512 // size
    return image.reshape(size, block, size, block).mean(axis=(1, 3))
