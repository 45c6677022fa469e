"""Norms of groups of parameters: l2, rows, columns, convolution kernels, any labels (Ex 4.16, Section 4.3.5)."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.numerics.threads import team
from refimpl.sparsity.regularizers import Array, Regularizer, gauge, indicator, norm, soft, threshold

NAMED = {"all": 0, "rows": 1, "columns": 1, "kernels": 2}  # name -> leading axes that number the groups


@cache
def kernels() -> Any:
    """The module of the kernels, which brings Numba: imported at the first use."""
    from refimpl.numerics.kernels import shrinkage

    return shrinkage


@dataclass(frozen=True, eq=False)
class Grouping:
    """A partition of the entries of an array: sorted by ``order`` (None: as they are), group j ends at ``ends[j]``."""

    ends: Array
    order: Array | None = None

    @property
    def sizes(self) -> Array:
        """#g of every group g."""
        return np.diff(self.ends, prepend=0)

    def gather(self, v: Array) -> Array:
        """The entries as one contiguous vector, group after group."""
        flat = np.ascontiguousarray(v).reshape(-1)
        return flat if self.order is None else flat[self.order]

    def scatter(self, flat: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `gather`."""
        if self.order is None:
            return flat.reshape(shape)
        out = np.empty_like(flat)
        out[self.order] = flat
        return out.reshape(shape)

    def norms(self, v: Array) -> Array:
        """|v_g|_2 of every group."""
        x = self.gather(v)
        if not compiled(x):
            return np.array([norm(part) for part in np.split(x, self.ends)[:-1]], x.dtype)
        out = np.empty(len(self.ends), x.dtype)
        kernels().group_norms(x, self.ends, out)
        return out

    def shrink(self, v: Array, t: Array) -> Array:
        """v_g max(1 - t_g / |v_g|, 0) (Ex 4.16); an infinite group stays as it is."""
        if not compiled(v):
            norms = self.norms(v)
            return v * self.spread(np.maximum(1 - t / np.where(norms == 0, 1, norms), 0), v.shape)
        x = self.gather(v)
        out = memory.empty(x.shape, x.dtype)
        kernels().shrink_groups(team(x.size // kernels().GRAIN), x, self.ends, t, out)
        return self.scatter(out, v.shape)

    def spread(self, per_group: Array, shape: tuple[int, ...]) -> Array:
        """The array whose entries in group g are all ``per_group[g]``."""
        return self.scatter(np.repeat(per_group, self.sizes), shape)


def compiled(x: Array) -> bool:
    """Whether the kernels reach the dtype of x; Numba knows no longdouble."""
    return x.dtype.itemsize <= 8


def grouping(groups: str | Array, shape: tuple[int, ...]) -> Grouping:
    """The groups of an array of this shape.

    Parameters
    ----------
    groups : "all" (one group), "rows" (v[i]), "columns" (v[:, j]), "kernels" (v[i, j] of shape (kh, kw)), or
        an array of labels >= 0 of the shape of v: equal labels form a group, missing labels none.

    Raises
    ------
    ValueError : too few axes, or labels of another shape.
    """
    if isinstance(groups, str):
        return _named(groups, shape)
    if groups.shape != shape:
        validate.fail("v", f"the shape {groups.shape} of the labels", f"shape {shape}")
    order = np.argsort(groups, axis=None, kind="stable")
    return Grouping(np.cumsum(np.unique(groups, return_counts=True)[1]), order)


@lru_cache(maxsize=64)
def _named(groups: str, shape: tuple[int, ...]) -> Grouping:
    axes, size = NAMED[groups], int(np.prod(shape))
    if len(shape) <= axes and axes:
        validate.fail("v", f"at least {axes + 1} axes for the groups {groups!r}", f"shape {shape}")
    if groups == "columns":
        order = np.swapaxes(np.arange(size).reshape(shape), 0, 1).reshape(-1)
        return Grouping(_ends(shape[1], size), order)
    return Grouping(_ends(int(np.prod(shape[:axes])), size))


def _ends(count: int, size: int) -> Array:
    return np.arange(1, count + 1) * (size // max(count, 1))


def _labels(value: Any) -> Array:
    array = validate.array("groups", value).copy()
    if array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        validate.fail("groups", 'one of "rows", "columns", "kernels" or an array of integers >= 0', repr(value)[:60])
    array.flags.writeable = False
    return array


class _GroupNorm(Regularizer):
    """J(theta) = sum_g r_g |theta_g|_2; a subclass says which groups g and which weights, r_g = lam w_g."""

    lam: float

    def grouping(self, shape: tuple[int, ...]) -> Grouping:
        """The groups of an array of this shape."""
        raise TypeError(f"{type(self).__name__} defines no groups")

    def squared_weights(self, sizes: Array) -> Array:
        """w_g^2."""
        return np.ones_like(sizes)

    def radii(self, theta: Array, groups: Grouping, tau: Any = 1.0) -> Array:
        """tau r_g of every group, in float64 (longdouble where theta is)."""
        return _radii(self, groups, np.longdouble(tau), np.float64 if compiled(theta) else np.longdouble)

    def _value(self, theta: Array) -> float:
        groups = self.grouping(theta.shape)
        return theta.dtype.type(np.sum(self.radii(theta, groups) * groups.norms(theta)))

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        groups = self.grouping(v.shape)
        return groups.shrink(v, self.radii(v, groups, tau))

    def _subgradient(self, theta: Array) -> Array:
        groups = self.grouping(theta.shape)
        norms = groups.norms(theta)
        directions = theta / groups.spread(np.where(norms == 0, 1, norms), theta.shape)
        return directions * groups.spread(self.radii(theta, groups).astype(theta.dtype), theta.shape)

    def _nearest(self, p: Array, theta: Array) -> Array:
        """r_g theta_g/|theta_g|; where theta_g = 0 the projection of p_g onto the ball of radius r_g."""
        groups = self.grouping(theta.shape)
        kink = groups.spread(groups.norms(theta) == 0, theta.shape)
        return np.where(kink, p - groups.shrink(p, self.radii(p, groups)), self._subgradient(theta))

    def dual_norm(self, p: Array) -> float:
        """sup {<p, theta> : J(theta) <= 1} = max_g |p_g|_2 / r_g (Ex 4.15)."""
        p = validate.real_array("p", p)
        groups = self.grouping(p.shape)
        ratios = [gauge(n, r) for n, r in zip(groups.norms(p), self.radii(p, groups).astype(p.dtype))]
        return np.max(ratios, initial=p.dtype.type(0))

    def conjugate(self, p: Array) -> float:
        """J*(p) = 0 where the dual norm is at most 1, else inf."""
        return indicator(self.dual_norm(p) <= 1)


@lru_cache(maxsize=8)
def _labelled(J: "GroupL2", shape: tuple[int, ...]) -> Grouping:
    return grouping(J.groups, shape)


@lru_cache(maxsize=8)
def _radii(J: _GroupNorm, groups: Grouping, tau: np.longdouble, dtype: type[np.floating]) -> Array:
    weights = np.sqrt(J.squared_weights(groups.sizes).astype(np.longdouble))
    return (tau * J.lam * weights).astype(dtype)


@dataclass(frozen=True)
class L2(_GroupNorm):
    """J(theta) = lam |theta|_2, the norm itself (Ex 4.15). The subgradient is lam theta/|theta|, 0 at 0.

    Raises ValueError for lam < 0.
    """

    lam: float = 1.0

    def __post_init__(self) -> None:
        validate.nonnegative("lam", self.lam)

    def grouping(self, shape: tuple[int, ...]) -> Grouping:
        """One group: everything."""
        return _named("all", shape)


@dataclass(frozen=True, eq=False)
class GroupL2(_GroupNorm):
    """J(theta) = lam sum_g w_g |theta_g|_2 (Ex 4.16). The subgradient is lam w_g theta_g/|theta_g|, 0 at 0.

    Parameters
    ----------
    lam : >= 0.
    groups : "rows", "columns" of (n, m, ...), "kernels" of (c_out, c_in, kh, kw), "all", or integer labels >= 0
        of the shape of theta: equal labels form a group.
    weights : "sqrt-size": w_g = sqrt(#g), the number of entries of g; "unit": w_g = 1 (Section 4.3.5).

    Raises
    ------
    ValueError : lam < 0, an unknown name, labels that are no integers >= 0; at a call, too few axes for the groups.
    """

    lam: float = 1.0
    groups: Any = "rows"
    weights: str = "sqrt-size"

    def __post_init__(self) -> None:
        validate.nonnegative("lam", self.lam)
        validate.choice("weights", self.weights, ("sqrt-size", "unit"))
        if isinstance(self.groups, str):
            validate.choice("groups", self.groups, tuple(NAMED))
        else:
            object.__setattr__(self, "groups", _labels(self.groups))

    def grouping(self, shape: tuple[int, ...]) -> Grouping:
        """The groups of an array of this shape."""
        return _named(self.groups, shape) if isinstance(self.groups, str) else _labelled(self, shape)

    def squared_weights(self, sizes: Array) -> Array:
        """#g or 1."""
        return sizes if self.weights == "sqrt-size" else np.ones_like(sizes)


@dataclass(frozen=True, eq=False)
class SparseGroup(Regularizer):
    """J(theta) = lam1 |theta|_1 + lam2 sum_g w_g |theta_g|_2: few groups, and few entries within them
    (Simon et al. 2013; its parts are Ex 4.15 and Ex 4.16).

    ``groups`` and ``weights`` as in `GroupL2`. The subgradient is the sum of theirs, 0 at 0.
    Raises ValueError as `GroupL2` does.
    """

    lam1: float = 1.0
    lam2: float = 1.0
    groups: Any = "rows"
    weights: str = "sqrt-size"

    def __post_init__(self) -> None:
        validate.nonnegative("lam1", self.lam1)
        validate.nonnegative("lam2", self.lam2)
        object.__setattr__(self, "groups", self.group_part.groups)

    @property
    def group_part(self) -> GroupL2:
        """lam2 sum_g w_g |theta_g|_2."""
        return GroupL2(self.lam2, self.groups, self.weights)

    def _value(self, theta: Array) -> float:
        return self.lam1 * np.sum(np.abs(theta)) + self.group_part.value(theta)

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        """First entries, then groups: prox = group o soft; the reverse order is no prox of J."""
        return self.group_part.prox(soft(v, threshold(v, tau, self.lam1)), tau)

    def _subgradient(self, theta: Array) -> Array:
        return self.lam1 * np.sign(theta) + self.group_part.subgradient(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        """In a zero group p - prox_J(p), the projection onto box plus ball; else entry by entry."""
        groups = self.group_part.grouping(theta.shape)
        kink = groups.spread(groups.norms(theta) == 0, theta.shape)
        entries = np.where(theta == 0, np.clip(p, -self.lam1, self.lam1), self._subgradient(theta))
        return np.where(kink, p - self.prox(p), entries)
