"""Section 4.4.2: continuity and differentiability of a layer between L^p spaces (Propositions 4.4 and 4.5)."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, at_most, claim, decays, exactly, identity, vacuous
from refimpl.claims.images import parts, problem, problems, size_of
from refimpl.claims.operators import apply, layer_of, mean_norm
from refimpl.resolution import (
    FourierLayer,
    to_spectral,
)
from refimpl.setting.activations import GELU, Activation, Identity, ReLU, Tanh

Array = np.ndarray
Problem = dict[str, Any]


# Step functions t 1_[0, mu) with t = 2^(a n), mu = 2^(-b n) test all exponents at once.


@dataclass(frozen=True)
class Steps:
    """The sequence h_n = 2^(a n) on a set of measure 2^(-b n), 0 elsewhere."""

    a: int
    b: int

    def value(self, n: int) -> float:
        """2^(a n)."""
        return 2.0 ** (self.a * n)

    def norm(self, value: float, n: int, p: float) -> float:
        """The L^p norm of a function with this value on the set of h_n, 0 elsewhere."""
        return abs(value) * (1.0 if p == inf else 2.0 ** (-self.b * n / p))

    def vanishes(self, p: float) -> bool:
        """Whether h_n tends to 0 in L^p."""
        return self.a < 0 or (p != inf and self.a * p < self.b)


@dataclass(frozen=True)
class Square(Activation):
    """sigma(x) = x^2: analytic, grows too fast for L^r to L^r."""

    def value(self, x: Array) -> Array:
        """x^2."""
        return x * x

    def slope(self, x: Array, y: Array) -> Array:
        """2 x."""
        return 2 * x


STEPS = st.builds(Steps, st.integers(-2, 2), st.integers(0, 8))
FAR = 100


def image_vanishes(sigma: Activation, h: Steps, r: float, q: float) -> Evidence:
    """h_n -> 0 in L^r implies sigma(h_n) - sigma(0) -> 0 in L^q."""
    if not h.vanishes(r):
        return vacuous("h_n does not tend to 0 in L^r")
    first, last = (h.norm(float(sigma.value(np.array(h.value(n)))), n, q) for n in (1, FAR))
    return exactly(last <= 1e-3 * max(first, 1e-3), f"from {first:.3g} to {last:.3g}")


@claim(
    "Proposition 4.4",
    given={"sigma": st.just(Tanh()), "h": STEPS, "r": st.sampled_from([1.0, 2.0, 4.0]), "q": st.just(inf)},
    cases=[{"sigma": Tanh(), "h": Steps(0, 1), "r": 2.0, "q": inf}],
    erratum=Erratum(
        "q = infinity: continuous if sigma is uniformly continuous",
        "q = infinity needs r = infinity too: tanh(1_[0,1/n]) does not tend to 0 uniformly",
        "missing hypothesis",
    ),
)
def layer_is_continuous_into_bounded_functions(sigma: Activation, h: Steps, r: float, q: float) -> Evidence:
    """L^r to L^q for q = infinity and any r: convergence in L^r implies that of sigma(h_n) in L^q."""
    return image_vanishes(sigma, h, r, q)


@claim(
    "Proposition 4.4",
    reading="corrected",
    code=(FourierLayer,),
    examples=100,
    given={
        "sigma": st.sampled_from([Tanh(), ReLU(), GELU()]),
        "h": STEPS,
        "r": st.sampled_from([2.0, 4.0, inf]),
        "q": st.sampled_from([1.0, 2.0]),
    },
    cases=[{"sigma": Tanh(), "h": Steps(-1, 0), "r": inf, "q": inf}],
)
def layer_is_continuous_under_the_growth_condition(sigma: Activation, h: Steps, r: float, q: float) -> Evidence:
    """|sigma(x)| <= C (1 + |x|^(r/q)) and q < infinity, or r = q = infinity: h_n -> 0 in L^r implies sigma(h_n) ->
    sigma(0) in L^q, for step functions h_n of every height and width."""
    return image_vanishes(sigma, h, r, q)


layer_is_continuous_under_the_growth_condition.without(
    "the growth condition",
    sigma=st.just(Square()),
    r=st.just(2.0),
    q=st.just(2.0),
    cases=[{"sigma": Square(), "h": Steps(1, 3), "r": 2.0, "q": 2.0}],
)
layer_is_continuous_under_the_growth_condition.without(
    "r = infinity for q = infinity", q=st.just(inf), cases=[{"sigma": Tanh(), "h": Steps(0, 1), "r": 2.0, "q": inf}]
)

POSITIVE = {"theta": np.array([0.5, 0.25, 0.25]), "v": np.ones(5), "size": (1,)}


@claim(
    "Proposition 4.4",
    reading="stronger",
    examples=100,
    cases=[{"problem": POSITIVE, "p": p} for p in (1, 2, inf)],
    given={"problem": problems(lambda m, n, l: m <= n and l == 1), "p": st.sampled_from([1, 2, inf])},
    code=(FourierLayer.forward,),
)
def layer_is_lipschitz(problem: Problem, p: float) -> Evidence:
    """|G u - G v|_p <= (|W| + |kappa|_1) |u - v|_p for ReLU; equality for kappa >= 0 and constants."""
    return lipschitz(problem, p, lambda theta: float(np.sum(np.abs(theta))))


def lipschitz(problem: Problem, p: float, size: Callable[[Array], float]) -> Evidence:
    """The inequality at v and 3 v + 4, for a layer converted from the kernel theta."""
    theta, v, _ = parts(problem, np.float64)
    layer, params = layer_of(np.zeros(v.shape), ReLU())
    params |= {"weight": layer.kernel.from_spectrum(to_spectral(theta, v.shape)[None, None])["weight"]}
    u = 3 * v + 4
    Gu, Gv = (layer.forward(params, x[None, None])[0] for x in (u, v))
    lhs, distance = (float(np.linalg.norm(np.ravel(x), p)) for x in (Gu - Gv, u - v))
    scale = (1 + float(np.sum(np.abs(theta)))) * float(np.sum(np.abs(u)) + np.sum(np.abs(v)))
    return at_most(lhs, (0.75 + size(theta)) * distance, scale)


@layer_is_lipschitz.twin(
    "|int kappa| for |kappa|_1",
    cases=[{"problem": {"theta": np.array([1.0, -1.0]), "v": np.array([4.0, -4.0]), "size": (1,)}, "p": 2}],
)
def _integral_of_kappa(problem: Problem, p: float) -> Evidence:
    return lipschitz(problem, p, lambda theta: float(abs(np.sum(theta))))


def remainder_ratio(sigma: Activation, h: Steps, n: int, r: float, q: float) -> float:
    """|sigma(h_n) - sigma'(0) h_n|_q / |h_n|_r at the base point 0."""
    t, zero = np.array(h.value(n)), np.zeros(())
    remainder = sigma.value(t) - sigma.value(zero) - sigma.slope(zero, sigma.value(zero)) * t
    return h.norm(float(remainder), n, q) / h.norm(float(t), n, r)


PAIRS = st.sampled_from([(2.0, 1.0), (4.0, 2.0), (3.0, 2.0), (4.0, 1.0), (inf, 1.0), (inf, 2.0), (inf, inf)])


@claim(
    "Proposition 4.5",
    given={"sigma": st.sampled_from([GELU(), Tanh()]), "h": STEPS, "exponents": PAIRS},
    examples=150,
    cases=[{"sigma": GELU(), "h": Steps(0, 1), "exponents": (2.0, 1.0)}],
    code=(Activation, GELU),
)
def layer_is_differentiable(sigma: Activation, h: Steps, exponents: tuple[float, float]) -> Evidence:
    """sigma continuously differentiable with bounded slope, r > q or r = q = infinity: the remainder |sigma(h) -
    sigma(0) - sigma'(0) h|_q is o(|h|_r) along step functions h_n -> 0 of every height and width."""
    r, q = exponents
    if not h.vanishes(r):
        return vacuous("h_n does not tend to 0 in L^r")
    ratio = remainder_ratio(sigma, h, FAR, r, q)
    return exactly(ratio <= 1e-3, f"remainder / |h| = {ratio:.3g}")


layer_is_differentiable.without(
    "r > q",
    exponents=st.sampled_from([(1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (1.0, 2.0)]),
    cases=[{"sigma": GELU(), "h": Steps(0, 1), "exponents": (2.0, 2.0)}],
)
layer_is_differentiable.without(
    "sigma continuously differentiable",
    sigma=st.just(ReLU()),
    cases=[{"sigma": ReLU(), "h": Steps(-1, 0), "exponents": (4.0, 2.0)}],
)


@claim(
    "Proposition 4.5",
    reading="stronger",
    code=(GELU,),
    examples=30,
    given={"exponents": st.sampled_from([(1, 1), (2, 2), (4, 4), (2, 1), (4, 2), (3, 2), (6, 2), (4, 1)])},
)
def remainder_decays_at_the_rate_of_the_exponents(exponents: tuple[int, int]) -> Evidence:
    """For GELU and h_n = 1_[0,1/n] the ratio of remainder and |h_n|_r is (Phi(1) - 1/2) n^-(1/q - 1/r): for r = q it
    stays at 0.3413 and the layer is not differentiable."""
    r, q = exponents
    return rate(r, q, 1 / q - 1 / r)


def rate(r: float, q: float, order: float) -> Evidence:
    """The fitted order of the ratio in 1/n."""
    n = np.arange(2, 30)
    ratios = np.array([remainder_ratio(GELU(), Steps(0, 1), k, r, q) for k in n.tolist()])
    return decays(2.0**-n, ratios, order, 1e-9)


@remainder_decays_at_the_rate_of_the_exponents.twin("order 1/q")
def _order_of_q_alone(exponents: tuple[int, int]) -> Evidence:
    return rate(*exponents, 1 / exponents[1])


@claim(
    "Proposition 4.5",
    reading="stronger",
    given={"problem": problems(), "seed": draw.seeds()},
    examples=60,
    code=(FourierLayer.backward,),
)
def derivative_of_a_layer(problem: Problem, seed: int) -> Evidence:
    """DG(v)(h) = sigma'(Psi v) . (Psi - b)(h): the hand-written pull-back of the layer is its adjoint."""
    return derivative_evidence(problem, seed, bias=0.0)


def derivative_evidence(problem: Problem, seed: int, bias: float) -> Evidence:
    """<backward(dy), h> against <dy, sigma'(Psi v) . (Psi(h) - b + bias)>."""

    def sides(dtype: Any) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        h, dy = (draw.uniform(seed + i, v.shape).astype(dtype) for i in range(2))
        layer, params = layer_of(theta, Tanh())
        y, cache = layer.forward(params, v[None, None])
        linear = apply(theta, h, Identity()) + dtype(0.5 + bias)
        dx = layer.backward(params, cache, dy[None, None], "input")[0]
        lhs, rhs = np.sum(dx[0, 0] * h), np.sum(dy * (1 - y[0, 0] ** 2) * linear)  # type: ignore[index]
        return lhs, rhs, float(np.sum(np.abs(dy)) * (1 + size_of(theta, h))) + 1

    return identity(sides)


@derivative_of_a_layer.twin("Psi h for (Psi - b) h", cases=[{"problem": problem((3,), (5,)), "seed": 0}])
def _bias_kept(problem: Problem, seed: int) -> Evidence:
    return derivative_evidence(problem, seed, bias=-0.5)


MULTIPLIERS = st.sampled_from([(4.0, 3.0), (3.0, 2.0), (4.0, 2.0), (6.0, 2.0), (6.0, 5.0)])


@claim(
    "Proposition 4.5",
    given={"exponents": st.sampled_from([(4.0, 3.0), (3.0, 2.0), (6.0, 5.0)])},
    erratum=Erratum(
        "sigma': L^r -> [L^r -> L^s] with s = rq/(r - q)",
        "sigma': L^r -> L^s, whose elements multiply L^r into L^q (s = infinity for r = q = infinity)",
        "typo",
    ),
)
def slopes_map_into_the_higher_space(exponents: tuple[float, float]) -> Evidence:
    """Multiplication by a slope, here the constant 1, maps L^r boundedly into L^s, s = rq/(r - q)."""
    r, q = exponents
    s, h = r * q / (r - q), Steps(0, 1)
    return at_most(h.norm(1.0, FAR, s) / h.norm(1.0, FAR, r), 100.0)


@claim(
    "Proposition 4.5",
    reading="corrected",
    given={"problem": problems(lambda m, n, l: m == n and l == 1), "exponents": MULTIPLIERS},
    cases=[
        {
            "problem": {"theta": np.array([1.0, 2.0]), "v": np.array([1.0, 2.0**0.5]), "size": (1,)},
            "exponents": (4.0, 2.0),
        }
    ],
    examples=100,
)
def slopes_multiply(problem: Problem, exponents: tuple[float, float]) -> Evidence:
    """|m h|_q <= |m|_s |h|_r with s = rq/(r - q): m in L^s multiplies L^r into L^q; equality where |m|^s = |h|^r."""
    r, q = exponents
    return multiplied(problem, r, q, r * q / (r - q))


def multiplied(problem: Problem, r: float, q: float, s: float) -> Evidence:
    """The inequality at |theta|^(1/s), scaled to be extremal for v = theta, and |v|^(1/r)."""
    m, h = (np.abs(problem[name]) ** (1 / e) for name, e in (("theta", s), ("v", r)))
    norms = [mean_norm(x, Fraction(1 / e)) for x, e in ((m * h, q), (m, s), (h, r))]
    return at_most(norms[0], norms[1] * norms[2])


@slopes_multiply.twin(
    "s = r",
    cases=[
        {"problem": {"theta": np.array([1.0, 0.0]), "v": np.array([1.0, 0.0]), "size": (1,)}, "exponents": (4.0, 3.0)}
    ],
)
def _smaller_exponent(problem: Problem, exponents: tuple[float, float]) -> Evidence:
    return multiplied(problem, exponents[0], exponents[1], exponents[0])
