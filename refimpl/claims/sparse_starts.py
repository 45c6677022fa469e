"""Section 4.3.5: sparse initialisation (4.33) and how sparsity is counted."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly
from refimpl.setting import mlp
from refimpl.sparsity import bernoulli_mask, count, sparsify

Array = np.ndarray
VALUES = st.lists(st.integers(-4, 4), min_size=1, max_size=4)
DENSITY = st.integers(1, 8).map(lambda n: Fraction(n, 8))


def variance(law: list[tuple[Fraction, Fraction]]) -> Fraction:
    """E X^2 - (E X)^2 of a finite law of (probability, value)."""
    mean = sum((p * x for p, x in law), Fraction(0))
    return sum((p * x * x for p, x in law), Fraction(0)) - mean**2


def masked_variance(values: list[int], r: Fraction, factor: Fraction) -> Evidence:
    """Var[W] = factor Var[W M] for W uniform on the values and M ~ B(r) independent of it."""
    weight = Fraction(1, len(values))
    law = [(weight, Fraction(x)) for x in values]
    masked = [(weight * r, Fraction(x)) for x in values] + [(1 - r, Fraction(0))]
    return exactly(variance(law) == factor * variance(masked))


@claim(
    "(4.33)",
    given={"values": VALUES, "r": DENSITY},
    cases=[{"values": [1], "r": Fraction(1, 2)}],
    erratum=Erratum("Var[W] = 1/r Var[W M]", "the same for E W = 0", "missing hypothesis"),
)
def masking_scales_any_variance(values: list[int], r: Fraction) -> Evidence:
    """Var[W] = 1/r Var[W M] for every law of W: a constant W has variance 0, a masked one r (1 - r) W^2."""
    return masked_variance(values, r, 1 / r)


SYMMETRIC = VALUES.map(lambda values: [*values, *(-x for x in values)])


@claim("(4.33)", reading="corrected", given={"values": SYMMETRIC, "r": DENSITY})
def masking_scales_the_variance_of_centred_weights(values: list[int], r: Fraction) -> Evidence:
    """Var[W] = 1/r Var[W M] if E W = 0."""
    return masked_variance(values, r, 1 / r)


masking_scales_the_variance_of_centred_weights.without(
    "E W = 0", cases=[{"values": [1], "r": Fraction(1, 2)}], values=VALUES
)
NETWORK = mlp([3, 4, 2])
START = {"seed": draw.seeds(), "density": st.sampled_from([0.25, 0.5, 1.0])}


def rescaled_start(seed: int, density: float, factor: float) -> Evidence:
    """Kept weights are multiplied by ``factor``, biases are not touched, and the second moment is that of theta."""
    theta = 1 + draw.uniform(seed, NETWORK.size) / 2
    out = sparsify(NETWORK, theta, density, rng=seed)
    weights = np.concatenate(
        [np.arange(NETWORK.size)[s] for n, s in NETWORK.slices.items() if len(NETWORK.shapes[n]) > 1]
    )
    kept = np.zeros(NETWORK.size, bool)
    kept[weights] = out[weights] != 0
    expected = np.where(kept, factor * theta, theta)
    expected[weights] *= kept[weights]
    moment = equal(density * (factor * theta) ** 2, theta**2)
    return all_of(equal(out, expected), moment)


@claim(
    "(4.33)",
    given=START,
    cases=[{"seed": 0, "density": 0.25}],
    erratum=Erratum("scale the weights with r", "scale the weights with 1/sqrt(r)", "wrong constant"),
)
def weights_scaled_with_r(seed: int, density: float) -> Evidence:
    """Scaled with r, masked weights keep their variance."""
    return rescaled_start(seed, density, density)


@claim("(4.33)", reading="corrected", given=START, code=(sparsify,), examples=30)
def weights_scaled_with_the_root_of_r(seed: int, density: float) -> Evidence:
    """Scaled with 1/sqrt(r), masked weights keep the variance: r (w/sqrt r)^2 = w^2; biases stay."""
    return rescaled_start(seed, density, 1 / np.sqrt(density))


@weights_scaled_with_the_root_of_r.twin("no scaling", cases=[{"seed": 0, "density": 0.25}])
def weights_not_scaled(seed: int, density: float) -> Evidence:
    """Without a factor the variance falls by r."""
    return rescaled_start(seed, density, 1.0)


WIDTHS = {"n": st.integers(1, 6), "before": st.integers(1, 6), "after": st.integers(1, 6), "seed": draw.seeds()}


@claim(
    "4.3.5 sparsity",
    given=WIDTHS,
    cases=[{"n": 3, "before": 5, "after": 2, "seed": 0}],
    erratum=Erratum("N(W^l) = |W^l|_0 / (n_l n_{l-1})", "N(W^l) = |W^l|_0 / (n_l n_{l+1})", "typo"),
)
def share_with_the_width_before(n: int, before: int, after: int, seed: int) -> Evidence:
    """With the printed denominator n_l n_{l-1} a dense W in R^{n_{l+1} x n_l} has N = 1."""
    return equal((after * n) / (n * before), 1.0)


@claim("4.3.5 sparsity", reading="corrected", given=WIDTHS, code=(count,), examples=50)
def share_of_nonzero_weights(n: int, before: int, after: int, seed: int) -> Evidence:
    """N = |W|_0 / (n_l n_{l+1}) is 1 for a dense W, 0 for W = 0, and S = 1 - N."""
    W = draw.uniform(seed, (after, n), 1)
    direct = sum(float(x != 0) for x in W.ravel()) / (n * after)
    shares = [count(W).density, count(np.ones_like(W)).density, count(0 * W).density, count(W).sparsity]
    return equal(np.array(shares), np.array([direct, 1.0, 0.0, 1 - direct]))


@share_of_nonzero_weights.twin(
    "positive weights for nonzero ones", cases=[{"n": 6, "before": 1, "after": 6, "seed": 0}]
)
def share_of_positive_weights(n: int, before: int, after: int, seed: int) -> Evidence:
    """Negative weights are used too."""
    W = draw.uniform(seed, (after, n), 1)
    return equal(count(W).density, float(np.mean(W > 0)))


MASK = {"seed": draw.seeds(), "r": draw.dyadic(0.25, 1, 3), "groups": st.sampled_from(["weights", "rows", "kernels"])}


def mask_density(mask: Array, r: float, independent: int) -> Evidence:
    """The density of a mask is r up to six standard deviations."""
    return at_most(abs(float(np.mean(mask)) - r), 6 * np.sqrt(r * (1 - r) / independent))


@claim("4.3.5 sparsity", reading="stronger", given=MASK, code=(bernoulli_mask,), examples=30)
def masks_have_density_r(seed: int, r: float, groups: str) -> Evidence:
    """E N = r for masks of weights, rows and kernels, and N = 1 exactly for r = 1."""
    independent = 400 if groups == "rows" else 1600
    mask = bernoulli_mask((400, 4, 2, 2), r, groups, rng=seed)
    return mask_density(mask, r, independent)


@masks_have_density_r.twin("indices drawn with replacement", cases=[{"seed": 0, "r": 1.0, "groups": "weights"}])
def masks_drawn_with_replacement(seed: int, r: float, groups: str) -> Evidence:
    """ceil(n r) draws with replacement leave 1 - (1 - 1/n)^(n r) < r of the entries."""
    mask = np.zeros(1600)
    mask[np.random.default_rng(seed).integers(0, 1600, int(1600 * r))] = 1
    return mask_density(mask, r, 1600)
