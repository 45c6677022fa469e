"""Accelerated dual ascent for total variation denoising, with its duality gap.

min_u 1/2 |u - f|^2 + alpha TV(u) has the dual max_z over |z_ij| <= 1, with u = f - alpha D^T z, where D takes
forward differences, zero beyond the last row and column. The arrays are padded by one, so that no loop
has a branch at the border: z and y (2, n+1, m+1) by a zero row and column in front, u (n+1, m+1) by a copy
of its last row and column.
"""

from math import sqrt

import numpy as np

from refimpl.numerics.jit import kernel


@kernel
def dual_ascent(f, alpha, bound, free, z, y, t, u, wanted, iterations):
    """At most so many steps z <- P(y + D u(y) / (bound alpha)) of FISTA, until the gap at z is <= wanted.

    P projects every z_ij where ``free`` onto the unit disc and keeps the others. ``bound`` >= |D|^2. The momentum
    restarts (t = 1) when the step turns against it. Updates z, y and u = f - alpha D^T z; returns (steps, gap, t).
    """
    n, m = f.shape
    rate = 1.0 / (bound * alpha)
    turn = np.zeros(m)
    for k in range(1, iterations + 1):
        primal(f, alpha, y, u)
        if np.sum(turn) > 0.0:
            t = 1.0
        t_next = (1.0 + sqrt(1.0 + 4.0 * t * t)) / 2.0
        beta = (t - 1.0) / t_next
        t = t_next
        turn[:] = 0.0
        for i in range(n):
            for j in range(m):
                old_a = z[0, i + 1, j + 1]
                old_b = z[1, i + 1, j + 1]
                y_a = y[0, i + 1, j + 1]
                y_b = y[1, i + 1, j + 1]
                a = y_a + rate * (u[i + 1, j] - u[i, j])
                b = y_b + rate * (u[i, j + 1] - u[i, j])
                size = max(1.0, sqrt(a * a + b * b))
                a = a / size if free[i, j] else old_a
                b = b / size if free[i, j] else old_b
                turn[j] += (y_a - a) * (a - old_a) + (y_b - b) * (b - old_b)
                z[0, i + 1, j + 1] = a
                z[1, i + 1, j + 1] = b
                y[0, i + 1, j + 1] = a + beta * (a - old_a)
                y[1, i + 1, j + 1] = b + beta * (b - old_b)
        if k % 20 == 0 or k == iterations:
            primal(f, alpha, z, u)
            reached = gap(alpha, free, z, u)
            if reached <= wanted:
                return k, reached, t
    return iterations, reached, t


@kernel
def primal(f, alpha, z, u):
    """u = f - alpha D^T z, with its last row and column repeated."""
    n, m = f.shape
    for i in range(n):
        for j in range(m):
            below = z[0, i, j + 1] - z[0, i + 1, j + 1]
            right = z[1, i + 1, j] - z[1, i + 1, j + 1]
            u[i, j] = f[i, j] - alpha * (below + right)
        u[i, m] = u[i, m - 1]
    u[n] = u[n - 1]


@kernel
def gap(alpha, free, z, u):
    """alpha sum over free ij of |(D u)_ij| - <z_ij, (D u)_ij>, >= 1/2 |u - u*|^2 for u = f - alpha D^T z."""
    total = 0.0
    for i in range(free.shape[0]):
        for j in range(free.shape[1]):
            a = u[i + 1, j] - u[i, j]
            b = u[i, j + 1] - u[i, j]
            if free[i, j]:
                total += sqrt(a * a + b * b) - z[0, i + 1, j + 1] * a - z[1, i + 1, j + 1] * b
    return alpha * total
