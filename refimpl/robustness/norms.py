"""Norms of batches, their dual vectors, and operator norms of matrices."""

from itertools import product
from math import prod

import numpy as np

from refimpl.numerics import validate

Array = np.ndarray

NORMS = (1, 2, np.inf)


def check_norm(name: str, p: float) -> float:
    """p in {1, 2, inf}, else ``ValueError``."""
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, (int, float, np.number)) or p not in NORMS:
        validate.fail(name, "one of 1, 2, numpy.inf", validate.describe(p))
    return float(p)


def dual_exponent(p: float) -> float:
    """p* with 1/p + 1/p* = 1."""
    return {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}[float(p)]


def rows(v: Array) -> Array:
    """A batch of any shape as a matrix: one row a sample."""
    return v.reshape(len(v), prod(v.shape[1:]))


def along(values: Array, like: Array) -> Array:
    """One number a sample, shaped so that it multiplies the batch ``like``."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def double(matrix: Array) -> Array:
    """The matrix in at most double precision: LAPACK knows no longdouble."""
    return matrix.astype(np.float64) if matrix.dtype.itemsize > 8 else matrix


def norm(v: Array, p: float = 2) -> Array:
    """||v_i||_p of every sample of a batch: v (B, ...) to (B,).

    The l_p distances of Section 4.2. Raises ValueError for p other than 1, 2, inf, or v without a batch axis.
    """
    v = validate.real_array("v", v)
    if v.ndim == 0 or 0 in v.shape[1:]:
        validate.fail("v", "a batch of samples with entries", validate.describe(v))
    return np.linalg.norm(rows(v), ord=check_norm("p", p), axis=1)


def norming(v: Array, p: float = 2) -> Array:
    """A subgradient of ||.||_p at every sample: u with <u, v> = ||v||_p and ||u||_{p*} = 1 (0 at v = 0).

    p = 2: v / ||v||;  p = 1: sign(v);  p = inf: the sign at the first entry of largest modulus, else 0.
    It is also the direction of steepest ascent of a function with gradient v, in the ball of the dual norm.
    """
    if p == 1:
        return np.sign(v)
    size = norm(v, p)
    if p == 2:
        return v / along(np.where(size == 0, 1, size), v)
    flat = rows(v)
    u = np.where(np.isnan(size)[:, None], np.nan, np.zeros_like(flat))
    first = np.argmax(np.abs(flat), axis=1)
    u[np.arange(len(flat)), first] = np.sign(flat[np.arange(len(flat)), first])
    return u.reshape(v.shape)


def operator_norm(matrix: Array, p: float = 2, q: float | None = None) -> float:
    """max ||A v||_q over ||v||_p = 1 for a matrix A (m, n), exactly, as in (4.5); p, q in {1, 2, inf} (q = p if not
    given).

    A closed form for (p, p), (1, q) and (p, inf); the other three pairs are NP-hard and enumerate signs:
    ||A||_{inf->q} = max over s in {-1, 1}^n of ||A s||_q and ||A||_{2->1} = ||A^T||_{inf->2}.

    Raises
    ------
    ValueError : more than 16 signs would have to be enumerated.
    """
    p, q = check_norm("p", p), check_norm("q", p if q is None else q)
    matrix = validate.real_array("matrix", matrix, ndim=2)
    validate.nonempty("matrix", matrix)
    if not np.isfinite(matrix).all():
        return float("nan" if np.isnan(matrix).any() else "inf")
    if p == 1:
        return float(np.max(norm(matrix.T, q)))
    if q == np.inf:
        return float(np.max(norm(matrix, dual_exponent(p))))
    if p == q == 2:
        return float(np.linalg.norm(double(matrix), 2))
    return _signed_norm(matrix.T, 2) if p == 2 else _signed_norm(matrix, q)


def _signed_norm(matrix: Array, q: float) -> float:
    n = matrix.shape[1]
    if n > 16:
        validate.fail("matrix", "at most 16 columns for this pair of norms", str(n))
    signs = np.array(list(product((-1.0, 1.0), repeat=n - 1)), matrix.dtype).reshape(2 ** (n - 1), n - 1)
    return float(np.max(norm(matrix[:, 0] + signs @ matrix[:, 1:].T, q)))  # s and -s give the same


def operator_norm_gradient(matrix: Array, p: float = 2) -> tuple[float, Array]:
    """||A||_{p->p} and a subgradient in A: u v^T with ||v||_p = 1, ||A v||_p = ||A||, u norming for A v.

    d||A|| = <u, dA v> where the maximiser is unique (Danskin). p = 2: the leading singular pair;
    p = 1: the column of largest sum; p = inf: the row of largest sum (the first one at ties).
    """
    if p == 2 and not np.isfinite(matrix).all():
        return operator_norm(matrix), np.full_like(matrix, np.nan)
    if p == 2:
        left, values, right = np.linalg.svd(double(matrix), full_matrices=False)
        return float(values[0]), np.outer(left[:, 0], right[0])
    axis = 0 if p == 1 else 1
    sums = np.abs(matrix).sum(axis=axis)
    best = int(np.argmax(sums))
    chosen = np.arange(len(sums)) == best
    return float(sums[best]), np.sign(matrix) * (chosen[None, :] if p == 1 else chosen[:, None])
