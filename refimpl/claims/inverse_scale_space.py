"""Section 4.3.1: what changes along Bregman iterations (J, images, the inverse scale space flow)."""

from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.bregman_iterations import STEPS, iterates
from refimpl.claims.bregman_limits import TENTH_DIGIT, underdetermined
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly, member, vacuous
from refimpl.claims.noise import square
from refimpl.sparsity import L1, bregman_iteration, inverse_scale_space
from refimpl.sparsity.total_variation import differences, tv, tv_bregman, tv_denoise

Array = np.ndarray
Rationals = list[Fraction]
CLOSED_FORM_GAP = 1e-13
ROUGH = 2e-5  # a gap of 1e-10 bounds |u - u*| by sqrt(2 gap) = 1.4e-5


def solved(M: list[Rationals], b: Rationals) -> Rationals | None:
    """x with M x = b by elimination in exact arithmetic, None if M is singular."""
    rows = [[*row, value] for row, value in zip(M, b)]
    for i in range(len(rows)):
        pivot = next((r for r in range(i, len(rows)) if rows[r][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in set(range(len(rows))) - {i}:
            rows[r] = [x - rows[r][i] * y for x, y in zip(rows[r], rows[i])]
    return [row[-1] for row in rows]


def exact_step(A: list[Rationals], f: Rationals, tau: Fraction, p: Rationals, signs: list[int]) -> Any:
    """The exact (theta, p) of one step of (4.15) for J = |.|_1, if theta has these signs; else None.

    On the support tau A_S^T (A_S theta - f) = p_S - sign; then p+ in dJ(theta) is checked in rational arithmetic.
    """
    n = len(p)
    S = [j for j in range(n) if signs[j]]
    columns = [[row[j] for row in A] for j in range(n)]
    gram = [[tau * sum(x * y for x, y in zip(columns[i], columns[j])) for j in S] for i in S]
    right = [p[j] - signs[j] + tau * sum(x * y for x, y in zip(columns[j], f)) for j in S]
    x = solved(gram, right)
    if x is None:
        return None
    theta = [x[S.index(j)] if j in S else Fraction(0) for j in range(n)]
    residual = [sum(a * t for a, t in zip(row, theta)) - value for row, value in zip(A, f)]
    after = [p[j] - tau * sum(a * r for a, r in zip(columns[j], residual)) for j in range(n)]
    optimal = all(after[j] == signs[j] if theta[j] else abs(after[j]) <= 1 for j in range(n))
    right_signs = all(theta[j] * signs[j] >= 0 for j in range(n))
    return (theta, after) if optimal and right_signs else None


def exact_values(A: Array, f: Array, tau: float, count: int) -> list[Fraction] | None:
    """J(theta_0), J(theta_1), ... along (4.15) from p = 0, certified in rational arithmetic."""
    exact_A, exact_f = [[Fraction(x) for x in row] for row in A.tolist()], [Fraction(x) for x in f.tolist()]
    p, values = [Fraction(0)] * A.shape[1], [Fraction(0)]
    for iterate in iterates(A, f, tau, 1.0, count)[1:]:
        signs = [int(s) for s in np.sign(np.where(np.abs(iterate.theta) < 1e-9, 0, iterate.theta))]
        step = exact_step(exact_A, exact_f, Fraction(tau), p, signs)
        if step is None:
            return None
        p = step[1]
        values.append(sum(map(abs, step[0]), Fraction(0)))
    return values


FALLING = {
    "A": np.array([[0, 0, 2, -1], [-3, 3, 0, -2], [3, -1, 3, -3], [1, 0, -2, 1.0]]),
    "f": np.array([2.0, 3, 1, 2]),
    "tau": 0.5,
}


def never_falls(A: Array, f: Array, tau: float) -> Evidence:
    """J(theta_k) <= J(theta_{k+1}), decided in exact rational arithmetic."""
    values = exact_values(A, f, tau, STEPS)
    if values is None:
        return vacuous("the signs were not certified")
    drops = [k for k, (a, b) in enumerate(pairwise(values)) if b < a]
    note = "".join(f"J falls from {values[k]} to {values[k + 1]} at k = {k}" for k in drops[:1])
    return exactly(not drops, note)


@claim(
    "4.3.1 J along Bregman iterations",
    given={"A": draw.arrays((3, 3), -3, 3, 0), "f": draw.arrays(3, -4, 4, 0), "tau": st.sampled_from([0.25, 0.5, 1.0])},
    cases=[FALLING],
    code=(bregman_iteration,),
    examples=20,
    erratum=Erratum(
        "J(theta^(k)) only increases",
        "J may fall (rarely); D_J^p(theta*, theta^(k)) and the loss decrease; J increases for orthogonal columns",
        "false",
    ),
)
def J_only_increases(A: Array, f: Array, tau: float) -> Evidence:
    """J(theta_k) = |theta_k|_1 increases along (4.15)."""
    return never_falls(A, f, tau)


@claim(
    "4.3.1 J along Bregman iterations",
    reading="corrected",
    given={
        "A": draw.arrays(3, -3, 3, 1).map(np.diag),
        "f": draw.arrays(3, -4, 4, 1),
        "tau": st.sampled_from([0.25, 0.5, 1.0]),
    },
    code=(bregman_iteration,),
    examples=20,
)
def J_increases_for_diagonal_A(A: Array, f: Array, tau: float) -> Evidence:
    """For diagonal A (denoising) each coordinate moves on its own, away from 0, so J increases."""
    return never_falls(A, f, tau)


J_increases_for_diagonal_A.without("a diagonal A", cases=[FALLING], A=draw.arrays((3, 3), -3, 3, 0))

FLOW = {"f": draw.dyadic(0.25, 4).flatmap(lambda x: st.sampled_from([x, -x])), "lam": draw.positive(0.5, 2, 2)}


@claim("4.3.1 inverse scale space", given=FLOW, code=(inverse_scale_space,), examples=40)
def flow_waits_and_jumps(f: float, lam: float) -> Evidence:
    """For A = 1 the flow is 0 until t = lam/|f|, then f."""
    breaks = inverse_scale_space(np.eye(1), np.array([f]), lam)
    times, values = [b.t for b in breaks], [float(b.theta[0]) for b in breaks]
    return all_of(equal(times, [0.0, lam / abs(f)]), equal(values, [0.0, f]))


@flow_waits_and_jumps.twin("the gradient flow, J = 1/2 |.|^2")
def gradient_flow_waits(f: float, lam: float) -> Evidence:
    """The gradient flow f (1 - exp(-t)) moves at once."""
    return equal(f * (1 - np.exp(-lam / (2 * abs(f)))), 0.0, 1.0)


@claim("4.3.1 inverse scale space", given={"seed": draw.seeds()}, code=(inverse_scale_space,), examples=25)
def flow_is_a_flow(seed: int) -> Evidence:
    """Between breaks p moves with speed -grad L(theta) and stays in dJ(theta), at both ends and in the middle."""
    A, f = underdetermined(seed)
    breaks, J = inverse_scale_space(A, f), L1(1.0)
    parts = []
    for a, b in pairwise(breaks):
        speed = A.T @ (f - A @ a.theta)
        parts.append(equal(b.p, a.p + (b.t - a.t) * speed, 1 + b.t, k=4096))
        points = [a.p + s * (b.t - a.t) * speed for s in (0, 0.5, 1)]
        parts += [member(J.subdifferential_distance(p, a.theta), 1 + b.t, k=4096) for p in points]
    last = breaks[-1]
    return all_of(*parts, member(J.subdifferential_distance(last.p, last.theta), 1 + last.t, k=4096))


@flow_is_a_flow.twin("p moves up the gradient")
def flow_uphill(seed: int) -> Evidence:
    """With the sign of the printed (4.14) p moves away."""
    A, f = underdetermined(seed)
    a, b = inverse_scale_space(A, f)[:2]
    return equal(b.p, a.p - (b.t - a.t) * (A.T @ (f - A @ a.theta)), 1 + b.t, k=4096)


def flow_error(seed: int, n: int, time: float = 1.0) -> float:
    """|p_n - p(t)| at the last break t of the flow, after n steps of (4.15) with tau = time t/n."""
    A, f = underdetermined(seed)
    last = inverse_scale_space(A, f)[-1]
    return float(np.max(np.abs(iterates(A, f, time * last.t / n, 1.0, n)[-1].p - last.p)))


BOTH = (inverse_scale_space, bregman_iteration)


@claim("4.3.1 inverse scale space", given={"seed": draw.seeds()}, code=BOTH, examples=10)
def small_steps_follow_the_flow(seed: int) -> Evidence:
    """As tau -> 0 the subgradients of (4.15) converge to the flow: steps 16 times smaller at least halve the error."""
    return at_most(flow_error(seed, 128), 1e-9 + flow_error(seed, 8) / 2, 1.0)


@small_steps_follow_the_flow.twin("time k tau / 2")
def small_steps_follow_a_slower_flow(seed: int) -> Evidence:
    """After half the time the iteration is not there yet."""
    return at_most(flow_error(seed, 128, 0.5), 1e-9 + flow_error(seed, 8) / 2, 1.0)


IMAGE = draw.arrays((4, 5), 0, 4, 2)
GAP = 1e-12


DENOISING = {"f": IMAGE, "w": IMAGE, "alpha": draw.positive(0.125, 2, 3)}


def rof_objective(u: Array, f: Array, alpha: float) -> float:
    """1/2 |u - f|^2 + alpha TV(u)."""
    return square((u - f).ravel()) / 2 + alpha * float(tv(u))


@claim("Example 4.18", given=DENOISING, code=(tv_denoise, tv), examples=25)
def denoising_is_certified(f: Array, w: Array, alpha: float) -> Evidence:
    """prox of alpha TV comes with p = (f - u)/alpha and TV(w) >= TV(u) + <p, w - u> - gap/alpha for every image w;
    hence the objective at w exceeds that at u by 1/2 |w - u|^2 - gap."""
    result = tv_denoise(f, alpha, GAP)
    u, scale = result.u, (1 + alpha) * (1 + square(f.ravel()) + square(w.ravel()))
    subgradient = at_most(float(tv(u) + np.sum(result.p * (w - u))), float(tv(w)) + GAP / alpha, scale / min(alpha, 1))
    below = rof_objective(u, f, alpha) + square((w - u).ravel()) / 2
    objective = at_most(below, rof_objective(w, f, alpha) + GAP, scale)
    return all_of(equal(u + alpha * result.p, f, scale), subgradient, objective)


@denoising_is_certified.twin("twice the alpha")
def denoising_with_another_alpha(f: Array, w: Array, alpha: float) -> Evidence:
    """The prox of 2 alpha TV is not that of alpha TV."""
    return at_most(rof_objective(tv_denoise(f, 2 * alpha, GAP).u, f, alpha), rof_objective(f, f, 0.5 * alpha))


@denoising_is_certified.twin(
    "the anisotropic total variation",
    cases=[{"f": np.pad(np.ones((1, 1)), ((0, 3), (0, 4))), "w": np.zeros((4, 5)), "alpha": 0.125}],
)
def anisotropic_total_variation(f: Array, w: Array, alpha: float) -> Evidence:
    """|u_x| + |u_y| is another functional."""
    return equal(float(tv(f)), float(np.sum(np.abs(differences(f)))))


STEP_SIGNAL = {
    "n": st.integers(1, 5),
    "m": st.integers(1, 5),
    "height": draw.positive(1, 4, 2),
    "share": draw.positive(0.125, 0.875, 3),
}


def step_signal(n: int, m: int, height: float, share: float) -> tuple[Array, float]:
    """n zeros, then m entries of this height, as a column; and a share of the alpha at which it becomes constant."""
    f = np.concatenate([np.zeros(n), np.full(m, height)])[:, None]
    return f, share * height * n * m / (n + m)


@claim("Example 4.18", given=STEP_SIGNAL, code=(tv_denoise, tv_bregman), examples=25)
def two_levels_lose_and_regain_contrast(n: int, m: int, height: float, share: float) -> Evidence:
    """A step of two levels: the prox moves them towards each other by alpha/n and alpha/m, and the second Bregman
    iterate is the data again (tau = 1/alpha, alpha below the value at which the prox is constant)."""
    f, alpha = step_signal(n, m, height, share)
    shrunk = f + alpha * np.where(f == 0, 1 / n, -1 / m)
    first, second = list(islice(tv_bregman(f, 1 / alpha, CLOSED_FORM_GAP), 3))[1:]
    return all_of(equal(first.u, shrunk, height, k=TENTH_DIGIT), equal(second.u, f, height, k=TENTH_DIGIT))


@two_levels_lose_and_regain_contrast.twin("p with the sign printed in (4.14)")
def two_levels_with_the_other_sign(n: int, m: int, height: float, share: float) -> Evidence:
    """p + tau grad L moves the second iterate away from the data."""
    f, alpha = step_signal(n, m, height, share)
    p = (tv_denoise(f, alpha, CLOSED_FORM_GAP).u - f) / alpha
    return equal(tv_denoise(f + alpha * p, alpha, CLOSED_FORM_GAP).u, f, height, k=TENTH_DIGIT)


@claim("Example 4.18", given={"f": IMAGE, "tau": draw.positive(0.5, 2, 1)}, code=(tv_bregman,), examples=8)
def images_return_to_the_data(f: Array, tau: float) -> Evidence:
    """From a constant image: L(u_k) decreases and L(u_k) <= TV(f)/(k tau), so the iteration ends at the noisy data."""
    path = list(islice(tv_bregman(f, tau, GAP), 9))
    losses = [square((it.u - f).ravel()) / 2 for it in path]
    falls = [at_most(b - a, ROUGH, 1.0) for a, b in pairwise(losses)]
    rates = [at_most(losses[k], float(tv(f)) / (k * tau) + ROUGH, 1.0) for k in range(1, len(path))]
    return all_of(equal(float(tv(path[0].u)), 0.0, 1.0), *falls, *rates)


@images_return_to_the_data.twin("p with the sign printed in (4.14)", cases=[{"f": np.diag(np.arange(4.0)), "tau": 1.0}])
def images_with_the_other_sign(f: Array, tau: float) -> Evidence:
    """p + tau grad L(u): the loss grows."""
    p, losses = np.zeros_like(f), []
    for _ in range(6):
        u = tv_denoise(f + p / tau, 1 / tau, 1e-9).u
        p = p + tau * (u - f)
        losses.append(square((u - f).ravel()) / 2)
    return all_of(*(at_most(b - a, ROUGH, 1.0) for a, b in pairwise(losses)))


CLEAN = np.kron(np.array([[0.0, 1], [1, 0]]), np.ones((3, 3)))


def noisy_path(seed: int, count: int) -> tuple[Array, list[Any]]:
    """A chequered image with noise, and its Bregman iterates."""
    f = CLEAN + draw.uniform(seed, CLEAN.shape) / 4
    return f, list(islice(tv_bregman(f, 0.5, 1e-10), count))


@claim("Example 4.18", reading="stronger", given={"seed": draw.seeds()}, code=(tv_bregman,), examples=5)
def early_iterates_approach_the_clean_image(seed: int) -> Evidence:
    """While L(u_k) >= 1/2 |noise|^2, D_TV^p(clean, u_k) decreases: stopping there denoises."""
    f, path = noisy_path(seed, 12)
    noise = square((f - CLEAN).ravel()) / 2
    early = [it for it in path if square((it.u - f).ravel()) / 2 >= noise]
    distances = [float(tv(CLEAN) - tv(it.u) - np.sum(it.p * (CLEAN - it.u))) for it in early]
    return all_of(exactly(len(early) > 1), *(at_most(b - a, ROUGH, 1.0) for a, b in pairwise(distances)))


@early_iterates_approach_the_clean_image.twin("up to convergence, measured in norm")
def all_iterates_approach_the_clean_image(seed: int) -> Evidence:
    """Iterating on, the noise returns and the distance to the clean image grows."""
    distances = [square((it.u - CLEAN).ravel()) for it in noisy_path(seed, 60)[1]]
    return all_of(*(at_most(b - a, ROUGH, 1.0) for a, b in pairwise(distances)))
