"""Section 4.3.4: step sizes for which the Bregman distance falls below a level or converges, (4.30) to (4.32)."""

from math import ceil

from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, at_most, claim
from refimpl.claims.convergence_norm import RUN, SAMPLES, affine_run, polynomial_steps
from refimpl.numerics import compare
from refimpl.sparsity import LinBreg


def floor_evidence(tau: float, eps: float, lam: float, delta: float, sigma: float) -> Evidence:
    """limsup d_k <= eps for the constant step tau on `affine_run`; there d = E |theta - theta*|^2 / (2 delta)."""
    errors = affine_run(lam, delta, [tau] * ceil(8 / (tau * delta)), sigma, 0.5)
    return at_most(errors[-1] / (2 * delta), eps)


def modulus_of_run(lam: float, delta: float, sigma: float) -> float:
    """nu of `affine_run` with gap 1/2: mu = 1, theta* = 4 (1/2 + sigma) + 1."""
    return 1 / (1 / delta + 4 * lam / (4 * (0.5 + sigma) + 1))


FLOOR = {
    "eps": st.sampled_from([0.125, 0.0625, 0.03125]),
    "lam": draw.dyadic(0, 1, 2),
    "delta": draw.positive(0.5, 2, 1),
    "sigma": draw.positive(0.5, 1, 1),
}
UNPENALISED = {"eps": 0.0625, "lam": 0.0, "delta": 1.0, "sigma": 1.0}


@claim("(4.30)", given=FLOOR, cases=[UNPENALISED], code=(LinBreg,), examples=5)
def floor_of_constant_steps(eps: float, lam: float, delta: float, sigma: float) -> Evidence:
    """limsup d_k <= eps for tau = nu eps / (delta sigma^2 + 2 delta^2 L^2 eps), the step that (4.29) gives."""
    nu = modulus_of_run(lam, delta, sigma)
    return floor_evidence(nu * eps / (delta * sigma**2 + 2 * delta**2 * eps), eps, lam, delta, sigma)


@floor_of_constant_steps.twin("a step eight times larger")
def floor_of_large_steps(eps: float, lam: float, delta: float, sigma: float) -> Evidence:
    """The noise floor grows with the step."""
    nu = modulus_of_run(lam, delta, sigma)
    return floor_evidence(8 * nu * eps / (delta * sigma**2 + 2 * delta**2 * eps), eps, lam, delta, sigma)


@claim("(4.30)", reading="stronger", given=FLOOR, cases=[UNPENALISED], code=(LinBreg,), examples=5)
def floor_of_larger_steps(eps: float, lam: float, delta: float, sigma: float) -> Evidence:
    """limsup d_k <= eps already for tau = min(1/(delta L), 2 nu eps / (delta sigma^2))."""
    nu = modulus_of_run(lam, delta, sigma)
    return floor_evidence(min(1 / delta, 2 * nu * eps / (delta * sigma**2)), eps, lam, delta, sigma)


@floor_of_larger_steps.twin("a step four times larger")
def floor_of_too_large_steps(eps: float, lam: float, delta: float, sigma: float) -> Evidence:
    """With J = 0 the floor is tau sigma^2 / (2 L (2 - tau delta L))."""
    nu = modulus_of_run(lam, delta, sigma)
    return floor_evidence(8 * nu * eps / (delta * sigma**2), eps, lam, delta, sigma)


@claim("(4.31)", reading="stronger", given={**RUN, "power": st.just(2.0)}, code=(LinBreg,), examples=3)
def summable_steps_get_stuck(lam: float, delta: float, sigma: float, gap: float, power: float) -> Evidence:
    """sum tau = infinity is needed: for delta L tau_k = (k + 1)^-2 / 2 an eighth of |theta_0 - theta*|^2 remains,
    because the mean error is multiplied by prod (1 - delta L tau_k) = sin(pi/sqrt 2) / (pi/sqrt 2) > 1/sqrt 8."""
    errors = affine_run(lam, delta, polynomial_steps(1 / (2 * delta), power), sigma, gap)
    return at_most(gap**2 / 8, errors[-1])


summable_steps_get_stuck.without("summable steps", power=st.just(0.6))


@claim("(4.32)", given={**RUN, "power": st.sampled_from([0.3, 0.6])}, code=(LinBreg,), examples=4)
def bregman_distance_converges(lam: float, delta: float, sigma: float, gap: float, power: float) -> Evidence:
    """Under (4.31) alone, also where sum tau^2 is infinite (power 0.3), d_k -> 0: it decays like tau_k."""
    errors = affine_run(lam, delta, polynomial_steps(1 / (2 * delta), power), sigma, gap)
    order = compare.order_of_decay(SAMPLES, errors[SAMPLES] / (2 * delta))
    return at_most(order, -0.25, 1.0)


bregman_distance_converges.without("tau -> 0", power=st.just(0.0))
bregman_distance_converges.without("sum tau = infinity", power=st.just(2.0))
