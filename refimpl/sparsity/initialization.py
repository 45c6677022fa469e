"""Sparse start: Bernoulli masks, the variance (4.33), and counts of what is nonzero (Section 4.3.5)."""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.sparsity.blocks import parameters
from refimpl.sparsity.groups import NAMED
from refimpl.sparsity.regularizers import Array


def bernoulli_mask(shape: tuple[int, ...], density: float, groups: str = "weights", rng: Any = None) -> Array:
    """M in {0, 1} with i.i.d. entries ~ B(r), r = ``density`` (Section 4.3.5), as float64.

    Parameters
    ----------
    groups : what is kept or dropped as a whole: "weights", "rows" (M[i]), "columns" (M[:, j]) or "kernels"
        (M[i, j]). Every group is drawn on its own, so the expected density is exactly r, also for r = 1.

    Raises
    ------
    ValueError : density outside [0, 1], an unknown name, too few axes for the groups.
    """
    r, shape = validate.within("density", density, 0, 1), validate.integers("shape", shape, low=0)
    validate.choice("groups", groups, ("weights", "rows", "columns", "kernels"))
    if prod(shape) >= 2**48:
        validate.fail("shape", "fewer than 2^48 entries", shape)
    if groups != "weights" and len(shape) <= NAMED[groups]:
        validate.fail("shape", f"at least {NAMED[groups] + 1} axes for groups {groups!r}", shape)
    drawn = {"weights": shape, "rows": shape[:1], "columns": (1, *shape[1:2]), "kernels": shape[:2]}[groups]
    draw = validate.generator("rng", rng).random(drawn) < r
    return np.broadcast_to(draw.reshape(drawn + (1,) * (len(shape) - len(drawn))), shape).astype(np.float64)


def sparsify(
    network: Any,
    theta: Array,
    density: float,
    rng: Any = None,
    groups: str | Mapping[str, str] = "weights",
    rescale: bool = True,
) -> Array:
    """W~ . M / sqrt(r) in every block with at least two axes; vectors (biases) stay (Section 4.3.5).

    Var[W~ . M] = r Var[W~] for centred W~ (4.33), so that the factor 1/sqrt(r) keeps the variance.

    Parameters
    ----------
    network : anything with ``slices`` and ``shapes`` by name.
    density : r in [0, 1].
    groups : of the masks, one name for all blocks or by block; blocks that are not named stay dense. Blocks with
        too few axes for "kernels" are masked by weights.
    rescale : False leaves out the factor.

    Raises
    ------
    ValueError : density outside [0, 1], an unknown name or block, theta too short for the blocks.
    """
    r = validate.within("density", density, 0, 1)
    validate.flag("rescale", rescale)
    out = np.array(parameters(network, theta))
    rng, names = validate.generator("rng", rng), {name for name, shape in network.shapes.items() if len(shape) > 1}
    if not isinstance(groups, (str, Mapping)):
        validate.fail("groups", "a name, or names by block", validate.describe(groups))
    if not isinstance(groups, str) and not set(groups) <= names:
        validate.fail("groups", "names of blocks with two axes or more", sorted(map(repr, set(groups) - names)))
    for name in network.shapes:
        kind = groups if isinstance(groups, str) else groups.get(name)
        if name not in names or kind is None:
            continue
        shape = tuple(network.shapes[name])
        kind = "weights" if kind == "kernels" and len(shape) < 3 else kind
        mask = bernoulli_mask(shape, r, kind, rng).reshape(-1)
        out[network.slices[name]] *= mask / (sqrt(r) if rescale and r > 0 else 1)  # (4.33)
    return out


class Count(NamedTuple):
    """How many of how many are nonzero; N = ``density``, S = ``sparsity`` = 1 - N (1 of an empty block)."""

    nonzero: int
    total: int

    @property
    def density(self) -> float:
        """N(W) = |W|_0 / number of entries."""
        return self.nonzero / self.total if self.total else 0.0

    @property
    def sparsity(self) -> float:
        """S(W) = 1 - N(W)."""
        return 1 - self.density


def count(W: Array, groups: str = "weights") -> Count:
    """Nonzero weights of an array, or its rows, columns or kernels that are not all zero; NaN is not zero.

    W has any shape with enough axes; ||W||_0 of Section 4.3.5. Raises ValueError for an unknown name or too few axes.
    """
    W = validate.real_array("W", W)
    validate.choice("groups", groups, ("weights", "rows", "columns", "kernels"))
    if groups == "weights":
        return Count(int(np.count_nonzero(W)), W.size)
    axes = NAMED[groups]
    if W.ndim <= axes:
        validate.fail("W", f"at least {axes + 1} axes for groups {groups!r}", validate.describe(W))
    if groups == "columns":
        W = np.swapaxes(W, 0, 1)
    active = np.any(W != 0, axis=tuple(range(axes, W.ndim)))
    return Count(int(np.count_nonzero(active)), prod(W.shape[:axes]))


def density(network: Any, theta: Array, groups: str = "weights") -> dict[str, Count]:
    """`count` of every weight block (those with enough axes), by name, and their "total".

    N of Section 4.3.5. Raises ValueError for an unknown name or a theta too short.
    """
    theta = parameters(network, theta)
    validate.choice("groups", groups, ("weights", "rows", "columns", "kernels"))
    axes = 2 if groups == "weights" else NAMED[groups] + 1
    counts = {
        name: count(theta[network.slices[name]].reshape(shape), groups)
        for name, shape in network.shapes.items()
        if len(shape) >= max(axes, 2)
    }
    total = Count(sum(c.nonzero for c in counts.values()), sum(c.total for c in counts.values()))
    return counts | {"total": total}
