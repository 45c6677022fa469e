"""What a Bregman distance is (Fig. 4.1), and how Bregman iterations denoise an image scale by scale (Fig. 4.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.experiments.figures import COLORS, canvas
from refimpl.experiments.run import Run
from refimpl.sparsity import L1, SquaredL2, bregman_distance
from refimpl.sparsity.regularizers import Regularizer

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
