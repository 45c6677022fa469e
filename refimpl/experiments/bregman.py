"""What a Bregman distance is (Fig. 4.1), and how Bregman iterations denoise an image scale by scale (Fig. 4.2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from refimpl.experiments.figures import COLORS, canvas, photograph, picture
from refimpl.experiments.run import Run
from refimpl.experiments.sweep import Progress
from refimpl.sparsity import L1, SquaredL2, bregman_distance
from refimpl.sparsity.regularizers import Regularizer
from refimpl.sparsity.total_variation import tv, tv_bregman

Array = np.ndarray

# title, J, theta (of the tangent), and pairs of a subgradient p at theta and thetabar (of the gap)
TANGENTS: tuple[tuple[str, Regularizer, float, tuple[tuple[float, float], ...]], ...] = (
    (r"$J = \frac{1}{2}|\theta|^2$", SquaredL2(1.0), -0.5, ((-0.5, 1.5),)),
    (r"$J = |\theta|$, at $\theta < 0$", L1(1.0), -0.5, ((-1.0, 1.5),)),
    (r"$J = |\theta|$, at the kink", L1(1.0), 0.0, ((0.5, 1.5), (-0.6, 1.0))),
)


def bregman_distance_figure(run: Run) -> None:
    """Fig. 4.1: D_J^p(thetabar, theta) is the gap at thetabar between J and its linearisation at theta."""
    rows = []
    with canvas(1, 3, width=7, height=2.4) as (figure, axes):
        for ax, (title, J, at, tangents) in zip(axes, TANGENTS):
            for i, (p, other) in enumerate(tangents):
                gap = bregman_distance(J, np.array([other]), np.array([at]), np.array([p]))
                distance = J.subdifferential_distance(np.array([p]), np.array([at]))
                rows.append((repr(J), at, other, p, float(distance), float(gap)))
                _tangent(ax, J, at, other, p, float(gap), 1 + 3 * i)
            ax.set(title=title, xlabel=r"$\theta$", ylim=(-1.7, 2.6))
        run.figure(figure, "bregman-distance", DISTANCE)
    run.table(("J", "theta", "thetabar", "p", "distance of p to dJ(theta)", "D_J^p(thetabar, theta)"), rows)
    run.found = {f"{row[0]}, theta = {row[1]}, p = {row[3]}": row[5] for row in rows}


def _tangent(ax: Any, J: Regularizer, at: float, other: float, p: float, gap: float, color: int) -> None:
    x = np.linspace(-2, 2, 201)
    graph = np.array([J.value(np.array([t])) for t in x])
    value, end = float(J.value(np.array([at]))), float(J.value(np.array([other])))
    ax.plot(x, graph, color="black")
    ax.plot(x, value + p * (x - at), "--", color=COLORS[color], label=f"p = {p:g}, D = {gap:.3g}")
    ax.plot([other, other], [value + p * (other - at), end], color=COLORS[color], linewidth=2.5)
    ax.plot([at], [value], "ko")
    ax.legend(loc="upper center")


DISTANCE = """The Bregman distance (thick bar) is the gap at a point thetabar between J (black) and its linearisation
    at theta (dot) with slope p. Left: for the squared norm it is half the squared distance. Middle: for the absolute
    value it is 2 thetabar across the kink and zero on the same side. Right: at the kink it depends on which
    subgradient p is taken."""


def bregman_denoising(run: Run) -> None:
    """Fig. 4.2: Bregman iterations for TV denoising add scale after scale and end at the noisy image."""
    size, last, tau, sigma = (64, 40, 0.5, 0.1) if run.quick else (128, 80, 0.5, 0.1)
    clean = photograph(size)
    noisy = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
    progress = Progress(last, run.name, every=5.0)
    iterates, rows = [], []
    for k, now in zip(range(last + 1), tv_bregman(noisy, tau, gap=1e-6 * size**2)):
        misfit = float(np.sum((now.u - noisy) ** 2)) / 2
        rows.append((k, misfit, float(np.mean((now.u - clean) ** 2)), float(tv(now.u)), now.gap))
        iterates.append(now.u)
        progress.passed() if k else None
    discrepancy = clean.size * sigma**2 / 2
    stop = next((k for k, row in enumerate(rows) if row[1] <= discrepancy), last)
    _draw_iterates(run, clean, noisy, iterates, rows, stop)
    _draw_progress(run, rows, stop, discrepancy)
    run.table(("k", "L(u_k)", "mean squared error", "TV(u_k)", "duality gap"), rows)
    best = min(range(len(rows)), key=lambda k: rows[k][2])
    run.found = {
        "stopping index": stop,
        "best index": best,
        "mean squared error noisy, stopped, best, last": [
            float(np.mean((noisy - clean) ** 2)),
            *(rows[k][2] for k in (stop, best, last)),
        ],
        "L never rises": all(b[1] <= a[1] for a, b in pairwise(rows)),
        "TV never falls": all(b[3] >= a[3] for a, b in pairwise(rows)),
    }


def _draw_iterates(run: Run, clean: Array, noisy: Array, iterates: list[Array], rows: list[Any], stop: int) -> None:
    shown = sorted({1, max(2, stop // 4), max(3, stop // 2), stop, min(2 * stop, len(rows) - 1), len(rows) - 1})
    names = [f"k = {k}" + (" (stop)" if k == stop else "") for k in shown]
    images = [clean, noisy, *(iterates[k] for k in shown)]
    with canvas(2, 4, width=7, height=3.8) as (figure, axes):
        for ax, image, name in zip(axes.flat, images, ["clean", "noisy f", *names]):
            picture(ax, image, name, 0, 1)
        for ax in list(axes.flat)[len(images) :]:
            ax.set_visible(False)
        run.figure(figure, "bregman-denoising", DENOISING)


def _draw_progress(run: Run, rows: list[Any], stop: int, discrepancy: float) -> None:
    k = [row[0] for row in rows]
    with canvas(1, 2, width=7, height=2.3) as (figure, (left, right)):
        left.plot(k, [row[1] for row in rows], color=COLORS[5], label=r"$\frac{1}{2}\|u_k - f\|^2$")
        left.axhline(discrepancy, color="black", linewidth=0.8, linestyle=":", label="noise level")
        left.set(yscale="log", xlabel="k")
        right.plot(k, [row[2] for row in rows], color=COLORS[4], label="mean squared error to the clean image")
        right.set(xlabel="k", ylim=(0, None))
        for ax in (left, right):
            ax.axvline(stop, color="black", linewidth=0.8)
            ax.legend()
        run.figure(figure, "bregman-denoising-progress", PROGRESS)


DENOISING = """Bregman iterations for total variation on a noisy photograph, from the constant image: first the large
    scales, then finer ones, at the end the noise itself. The iterate "stop" is the first whose distance to f is at
    most that of the noise."""
PROGRESS = """The distance to the noisy image falls monotonically; the error to the clean image has its minimum near
    where the distance falls below the noise level (dotted): the discrepancy principle (vertical line)."""
