"""The exact Lipschitz constant of a scalar ReLU network by mixed-integer programming, in l_1 and l_inf."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import scipy

from refimpl.numerics import validate
from refimpl.robustness.norms import check_norm
from refimpl.robustness.piecewise import check_domain, program
from refimpl.robustness.regions import inner_ball
from refimpl.setting.network import Network

Array = np.ndarray
Layers = list[tuple[Array, Array]]


def milp_lipschitz(network: Network, theta: Array, domain: Any, p: float = np.inf, limit: int = 1000) -> float:
    """Lip(f_theta) = max over the box of ||grad f||_{p*} for one output, by integer programs (Section 4.2).

    Binary a marks the active neurons. Forward z_l = W_l h_{l-1} + b_l, h_l = a_l z_l; backward s_l = W_{l+1}^T y_{l+1},
    y_l = a_l s_l; grad f = W_1^T y_1. A product with a binary is linear once interval bounds of z and s are known.
    ||g||_{p*} is the largest <d, g> over the vertices d of the ball of ||.||_p: one program for each.
    At a kink both values of a are feasible, so a pattern found counts only if its region has an inner ball;
    otherwise it is cut off and the program solved again.

    Parameters
    ----------
    domain : finite (low, high) for each input coordinate, or one pair for all.
    p : 1 (2 n programs) or inf (2^n programs).
    limit : how many patterns to cut off at most.

    Raises
    ------
    ValueError : layers other than Dense and ReLU in turn, ending in Dense with one output; p = 2; an infinite box.
    """
    p = validate.choice("p", check_norm("p", p), (1.0, np.inf))
    layers, limit = _dense_layers(network, theta), validate.integer("limit", limit, low=0)
    if not all(np.isfinite(part).all() for layer in layers for part in layer):
        validate.fail("theta", "finite numbers", "NaN or infinities")
    low, high = check_domain(domain, layers[0][0].shape[1])
    if not np.isfinite([low, high]).all():
        validate.fail("domain", "finite (low, high) in every coordinate", validate.describe(domain))
    model = _Model(layers, low, high)
    return max(model.largest(d, limit) for d in _vertices(len(low), p))  # 4.2 exact Lipschitz constant


def _dense_layers(network: Network, theta: Array) -> Layers:
    """(W, b) of Dense, ReLU, Dense, ..., Dense."""
    ops = program(network, theta)
    kinds = [op[0] for op in ops]
    if kinds != ["affine", "relu"] * (len(ops) // 2) + ["affine"] or len(ops[-1][2]) != 1:
        validate.fail("network", "Dense and ReLU layers in turn, the last one Dense with one output", repr(network))
    return [(op[1], op[2]) for op in ops if op[0] == "affine"]


def _vertices(n: int, p: float) -> list[Array]:
    return [*np.eye(n), *-np.eye(n)] if p == 1 else [np.array(signs) for signs in product((1.0, -1.0), repeat=n)]


class _Model:
    """The constraints, over the variables x, then h, a, y of every hidden layer, in one vector."""

    def __init__(self, layers: Layers, low: Array, high: Array):
        self.layers, self.low, self.high = layers, low, high
        self.widths = [len(b) for _, b in layers[:-1]]
        starts = np.cumsum([len(low), *np.repeat(self.widths, 3)])
        self.size = int(starts[-1])
        blocks = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self.h, self.a, self.y = blocks[0::3], blocks[1::3], blocks[2::3]
        self.cuts: list[scipy.optimize.LinearConstraint] = []
        self.binary = np.zeros(self.size)
        for a in self.a:
            self.binary[a] = 1
        self.constraints = self._forward() + self._backward()

    def rows(self, blocks: dict[int, Array], count: int) -> Array:
        """A matrix with the given blocks, each at its first column."""
        matrix = np.zeros((count, self.size))
        for start, block in blocks.items():
            matrix[:, start : start + block.shape[1]] += block
        return matrix

    def _forward(self) -> list[scipy.optimize.LinearConstraint]:
        """h = relu(W v + b): h >= 0, h >= z, h <= u a, h <= z - l (1 - a), with l <= z <= u."""
        found, at, low, high = [], 0, self.low, self.high
        for (weight, bias), h, a in zip(self.layers, self.h, self.a):
            m, eye = len(bias), np.eye(len(bias))
            plus, minus = np.maximum(weight, 0), np.minimum(weight, 0)
            lower, upper = plus @ low + minus @ high + bias, plus @ high + minus @ low + bias
            lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
            found += [
                scipy.optimize.LinearConstraint(self.rows({h.start: eye}, m), 0, np.inf),
                scipy.optimize.LinearConstraint(self.rows({h.start: eye, at: -weight}, m), bias, np.inf),
                scipy.optimize.LinearConstraint(self.rows({h.start: eye, a.start: -np.diag(upper)}, m), -np.inf, 0),
                scipy.optimize.LinearConstraint(
                    self.rows({h.start: eye, at: -weight, a.start: -np.diag(lower)}, m), -np.inf, bias - lower
                ),
                scipy.optimize.LinearConstraint(self.rows({at: weight, a.start: -np.diag(upper)}, m), -np.inf, -bias),
                scipy.optimize.LinearConstraint(
                    self.rows({at: weight, a.start: np.diag(lower)}, m), lower - bias, np.inf
                ),
            ]
            at, low, high = h.start, np.zeros(m), upper
        return found

    def _backward(self) -> list[scipy.optimize.LinearConstraint]:
        """y = a s: |y| <= S a, |y - s| <= S (1 - a), with |s| <= S."""
        found, size = [], np.abs(self.layers[-1][0][0])
        for i in reversed(range(len(self.widths))):
            weight, m, a, y = self.layers[i + 1][0], self.widths[i], self.a[i], self.y[i]
            last = i == len(self.widths) - 1
            size = size if last else np.abs(weight).T @ size
            eye, reach = np.eye(m), np.diag(size)
            slope = {} if last else {self.y[i + 1].start: -weight.T}  # y - s as a row, up to the constant below
            constant = weight[0] if last else np.zeros(m)
            for sign in (1, -1):
                found += [
                    scipy.optimize.LinearConstraint(self.rows({y.start: sign * eye, a.start: -reach}, m), -np.inf, 0),
                    scipy.optimize.LinearConstraint(
                        self.rows({y.start: sign * eye, a.start: reach} | {k: sign * b for k, b in slope.items()}, m),
                        -np.inf,
                        size + sign * constant,
                    ),
                ]
        return found

    def largest(self, direction: Array, limit: int) -> float:
        """max <direction, grad f> over the full-dimensional regions."""
        if not self.widths:
            return float(self.layers[0][0][0] @ direction)
        cost = np.zeros(self.size)
        cost[self.y[0]] = -self.layers[0][0] @ direction
        low, high = np.full(self.size, -np.inf), np.where(self.binary, 1.0, np.inf)
        low[self.binary > 0] = 0
        low[: len(self.low)], high[: len(self.low)] = self.low, self.high
        while len(self.cuts) <= limit:
            result = scipy.optimize.milp(
                cost,
                integrality=self.binary.astype(int),
                bounds=scipy.optimize.Bounds(low, high),
                constraints=self.constraints + self.cuts,
                options={"mip_rel_gap": 0},
            )
            if result.x is None:
                validate.fail("network", "an integer program that can be solved", result.message)
            pattern = np.round(result.x[self.binary > 0])
            gradient = self._gradient(pattern)
            if gradient is not None:
                return float(gradient @ direction)
            self._cut(pattern)
        return validate.fail("network", f"at most {limit} patterns without a region", "more")

    def _cut(self, pattern: Array) -> None:
        """Exclude one pattern: sum over a_i = 1 of (1 - a_i) + sum over a_i = 0 of a_i >= 1."""
        row = np.zeros((1, self.size))
        row[0, self.binary > 0] = 1 - 2 * pattern
        self.cuts.append(scipy.optimize.LinearConstraint(row, 1 - pattern.sum(), np.inf))

    def _gradient(self, pattern: Array) -> Array | None:
        """grad f on the region of a pattern, or None if the region is thin."""
        n = len(self.low)
        G, h = [-np.eye(n), np.eye(n)], [-self.low, self.high]
        slope, offset = np.eye(n), np.zeros(n)
        for (weight, bias), active in zip(self.layers, np.split(pattern, np.cumsum(self.widths)[:-1])):
            slope, offset = weight @ slope, weight @ offset + bias
            sign = 1 - 2 * active  # sign z <= 0 on the region
            length = np.linalg.norm(slope, axis=1)
            scale = sign / np.where(length == 0, 1, length)
            if np.any((length == 0) & (sign * offset > 0)):
                return None
            G.append((scale[:, None] * slope)[length > 0])
            h.append((-scale * offset)[length > 0])
            slope, offset = active[:, None] * slope, active * offset
        ball = inner_ball(np.concatenate(G), np.concatenate(h))
        return None if ball is None else (self.layers[-1][0] @ slope)[0]
