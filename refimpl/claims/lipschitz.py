"""Section 4.2: the product bound (4.5), Example 4.7, exact Lipschitz constants."""

from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly
from refimpl.robustness import (
    exact_lipschitz,
    exact_lipschitz_rational,
    milp_lipschitz,
    operator_norm,
    product_bound,
)
from refimpl.setting import Dense, Network, ReLU, Residual, mlp

Array = np.ndarray
NORMS = st.sampled_from([1.0, 2.0, np.inf])

DEEP = Network([Dense(1, 2), Residual([Dense(2, 2), ReLU()]), Dense(2, 1)])
RESIDUAL = {"theta": draw.arrays(DEEP.size, -2, 2, 2), "p": NORMS}
ONLY_SHORTCUT = np.array([1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0])  # W = 0 in the residual branch
COMMON_SIGN = np.array([1.0, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0])


@claim(
    "(4.5)",
    given=RESIDUAL,
    cases=[{"theta": COMMON_SIGN, "p": 2.0}],
    reading="corrected",
    code=(product_bound, operator_norm),
    examples=60,
)
def product_of_operator_norms(theta: Array, p: float) -> Evidence:
    """Lip(f) <= prod_l (|w_l| + Lip(sigma) |W_l|) for the operator norms of the norms in which Lip is taken.

    Lip(f) is the largest slope of a network with one input, found from its breakpoints.
    """
    return at_most(exact_lipschitz(DEEP, theta, p=p), product_bound(DEEP, theta, p), 1 + product_bound(DEEP, theta, p))


@product_of_operator_norms.twin("without the residual weight |w|", cases=[{"theta": ONLY_SHORTCUT, "p": 2.0}])
def product_without_the_residual_weight(theta: Array, p: float) -> Evidence:
    return at_most(exact_lipschitz(DEEP, theta, p=p), _product(theta, lambda W: operator_norm(W, p)), 64.0)


def _product(theta: Array, size: Any) -> float:
    return float(np.prod([size(W) for W in DEEP.views(theta).values() if W.ndim == 2]))


WIDE = mlp([1, 3, 1])
ONES = np.array([1.0, 1, 1, 0, 0, 0, 1, 1, 1, 0])
WIDTHS = {"theta": draw.arrays(WIDE.size, -2, 2, 2)}


@claim(
    "(4.5)",
    given=WIDTHS,
    cases=[{"theta": ONES}],
    erratum=Erratum(
        "|W_l| denotes some matrix norm",
        "the operator norm that belongs to the norms of Lip: the largest modulus of the entries gives 1 < Lip = 3",
        "missing hypothesis",
    ),
    code=(product_bound,),
)
def product_of_some_matrix_norms(theta: Array) -> Evidence:
    """Lip(f) <= prod_l |W_l| in every matrix norm, for instance the largest modulus of the entries."""
    views = WIDE.views(theta)
    size = float(np.abs(views["0.weight"]).max() * np.abs(views["2.weight"]).max())
    return at_most(exact_lipschitz(WIDE, theta), size, 64.0)


@claim(
    "(4.5)",
    given={"theta": RESIDUAL["theta"]},
    cases=[{"theta": ONLY_SHORTCUT}],
    erratum=Erratum(
        "Lip(Phi_l) <= C |W_l| for the layers (4.2)",
        "Lip(Phi_l) <= |w_l| + Lip(sigma) |W_l|: with W_l = 0 and w_l = 1 the layer is the identity",
        "missing hypothesis",
    ),
    code=(product_bound,),
)
def product_of_weights_alone(theta: Array) -> Evidence:
    """Lip(f) <= prod_l |W_l| also for layers with a residual component, as (4.2) has them."""
    return at_most(exact_lipschitz(DEEP, theta), _product(theta, lambda W: operator_norm(W, 2)), 64.0)


SCALES = {"a": draw.positive(1 / 8, 8, 3), "b": draw.positive(1 / 8, 8, 3)}
MODULUS = mlp([1, 2, 1], bias=False)


@claim("Example 4.7", given=SCALES, code=(exact_lipschitz_rational, product_bound), examples=40)
def the_modulus_has_product_two(a: float, b: float) -> Evidence:
    """relu(a x)/a + relu(-b x)/b = |x| has Lip = 1 (in rational arithmetic), but products of norms >= 2.

    They are 2 for a = b = 1 and p = 1, 2, inf alike: no positive rescaling of the units helps.
    """
    theta = np.array([a, -b, 1 / a, 1 / b])
    products = [product_bound(MODULUS, theta, p) for p in (1, 2, np.inf)]
    lip = exact_lipschitz(MODULUS, theta)
    unit = np.array([1.0, -1, 1, 1])
    return all_of(
        exactly(exact_lipschitz_rational(MODULUS, unit) == 1),
        equal(lip, 1.0),
        *(at_most(2.0, size) for size in products),
        *(equal(product_bound(MODULUS, unit, p), 2.0) for p in (1, 2, np.inf)),
    )


the_modulus_has_product_two.without("a, b > 0", cases=[{"a": -1.0, "b": 1.0}], a=draw.dyadic(-8, -1 / 8, 3))


@claim(
    "Example 4.7",
    erratum=Erratum(
        "W_1 = (1, -1) and W_2 = (1, 1)^T",
        "W_1 = (1, -1)^T maps R to R^2 and W_2 = (1, 1) maps R^2 to R",
        "typo",
    ),
)
def shapes_of_the_modulus() -> Evidence:
    """W_2 relu(W_1 x) with the printed shapes maps R to R."""
    W_1, W_2 = np.array([[1.0, -1.0]]), np.array([[1.0], [1.0]])
    return exactly(W_1.shape[1] == 1 and W_2.shape[0] == 1, f"W_1 is {W_1.shape}, W_2 is {W_2.shape}")


TRAP = np.array([1.0, -1, 0, 0, 0, 0, 1, -1, 0, 0])  # relu(x) - relu(-x) = x


@claim(
    "4.2 exact Lipschitz constant",
    given=WIDTHS,
    cases=[{"theta": TRAP}],
    code=(exact_lipschitz, exact_lipschitz_rational, milp_lipschitz),
    examples=20,
)
def exact_constants_agree(theta: Array) -> Evidence:
    """Breakpoints, rational arithmetic and integer programming give the same Lip on [-1, 1], kinks included."""
    rational = float(exact_lipschitz_rational(WIDE, theta, (-1.0, 1.0)))
    return all_of(
        equal(exact_lipschitz(WIDE, theta, (-1.0, 1.0)), rational, 1 + rational),
        equal(milp_lipschitz(WIDE, theta, (-1.0, 1.0)), rational, 1 + rational, k=2**26),  # a solver's tolerance
    )


@exact_constants_agree.twin("the maximum over all sign patterns, realised or not")
def all_sign_patterns(theta: Array) -> Evidence:
    views = WIDE.views(theta)
    terms = views["0.weight"][:, 0] * views["2.weight"][0]
    largest = max(abs(np.dot(terms, pattern)) for pattern in product((0, 1), repeat=3))
    rational = float(exact_lipschitz_rational(WIDE, theta, (-1.0, 1.0)))
    return equal(largest, rational, 1 + rational)
