"""Section 4.2: adversarial examples, certificates, projections, transforms, the attack problem (4.3)."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import fft

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly, vacuous
from refimpl.robustness import (
    Bound,
    addition,
    certified_radius,
    change_of_basis,
    exact_lipschitz,
    fgsm,
    margin,
    pgd,
    project,
    quotient,
    rotation,
    to_cosines,
    translation,
)
from refimpl.robustness.norms import norm
from refimpl.setting import CrossEntropy, Dense, Network, mlp, softmax

Array = np.ndarray

NET = mlp([2, 3, 2])
POINT = {"theta": draw.arrays(NET.size, -2, 2, 2), "x": draw.arrays(2, -2, 2, 3)}
TWO_CLASSES = np.array([1.0, 0, -1, 0, 0, 0, 0, 0, 0, 1, -1, 0, -1, 1, 0, 0, 0])  # logits (x_1, -x_1)


def labels_differ(theta: Array, x: Array, points: Array) -> bool:
    """Whether f^MAP at one of the points differs from f^MAP(x)."""
    outputs = NET(theta, np.concatenate([x[None], points]))
    return bool(np.any(outputs.argmax(axis=1)[1:] != outputs.argmax(axis=1)[0]))


@claim(
    "4.2 adversarial example",
    given=POINT | {"shift": draw.arrays(2, -1, 1, 3)},
    cases=[{"theta": TWO_CLASSES, "x": np.array([1.0, 0]), "shift": np.array([0.125, 0])}],
    erratum=Erratum(
        "xbar is adversarial if d(x, xbar) <= eps and f(x) != f(xbar)",
        "... and f^MAP(x) != f^MAP(xbar): outputs differ after almost every perturbation, labels do not",
        "false",
    ),
    code=(margin,),
)
def different_outputs_are_adversarial(theta: Array, x: Array, shift: Array) -> Evidence:
    """Read literally, f(x) != f(xbar) makes xbar adversarial, that is, it fools the classifier."""
    xbar = x + shift
    if np.array_equal(*NET(theta, np.stack([x, xbar]))):
        return vacuous("equal outputs")
    return exactly(labels_differ(theta, x, xbar[None]))


def _circle(x: Array, radius: float) -> Array:
    angles = np.arange(64) * (2 * np.pi / 64)
    return x + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


@claim(
    "4.2 adversarial example",
    given=POINT,
    cases=[{"theta": TWO_CLASSES, "x": np.array([1.0, 0.5])}],
    reading="corrected",
    code=(certified_radius, exact_lipschitz, margin),
    examples=20,
)
def no_adversary_inside_the_certified_radius(theta: Array, x: Array) -> Evidence:
    """No xbar with |x - xbar|_2 < (f_c - max_j f_j) / (sqrt 2 Lip) has another label."""
    return _certified(theta, x, exact_lipschitz(NET, theta))


@no_adversary_inside_the_certified_radius.twin("an estimate from below in place of Lip")
def certificate_from_below(theta: Array, x: Array) -> Evidence:
    estimate = quotient(NET, theta, x[None], x[None] + np.array([[0.125, 1.0]]))[0]
    return _certified(theta, x, float(estimate))


@no_adversary_inside_the_certified_radius.twin("the margin without the factor sqrt 2")
def certificate_without_the_factor(theta: Array, x: Array) -> Evidence:
    return _certified(theta, x, exact_lipschitz(NET, theta) / np.sqrt(2))


def _certified(theta: Array, x: Array, lip: float) -> Evidence:
    output = NET(theta, x[None])
    margins = margin(output, output.argmax(axis=1))
    radius = float(certified_radius(margins, Bound(lip, "upper"))[0])
    inside = [_circle(x, r * (1 - 2**-20)) for r in (min(radius, 64.0), min(radius, 64.0) / 2)]
    return exactly(not labels_differ(theta, x, np.concatenate(inside)))


BALL = {
    "v": draw.arrays(2, -2, 3, 3),
    "center": draw.arrays(2, 0, 1, 3),
    "eps": draw.positive(1 / 8, 2, 3),
    "p": st.sampled_from([1.0, 2.0, np.inf]),
}
CORNER = {"v": np.array([2.0, 0.5]), "center": np.array([0.75, 0.25]), "eps": 0.5, "p": 2.0}


@claim("4.2 projection", given=BALL, cases=[CORNER], code=(project,))
def projection_is_the_nearest_point(v: Array, center: Array, eps: float, p: float) -> Evidence:
    """Proj(v) lies in B_p(x, eps) and in [0, 1]^n, and <v - Proj(v), z - Proj(v)> <= 0 for every z in both."""
    return _nearest(v, center, eps, p, project(v[None], center[None], eps, p)[0])


@projection_is_the_nearest_point.twin("clipping after shrinking")
def clip_after_shrink(v: Array, center: Array, eps: float, p: float) -> Evidence:
    return _nearest(v, center, eps, p, np.clip(_shrunk(v, center, eps, p), 0, 1))


@projection_is_the_nearest_point.twin("shrinking after clipping")
def shrink_after_clip(v: Array, center: Array, eps: float, p: float) -> Evidence:
    return _nearest(v, center, eps, p, _shrunk(np.clip(v, 0, 1), center, eps, p))


def _shrunk(v: Array, center: Array, eps: float, p: float) -> Array:
    return project(v[None], center[None], eps, p, box=None)[0]


def _nearest(v: Array, center: Array, eps: float, p: float, point: Array) -> Evidence:
    grid = np.linspace(-1, 1, 33)
    shifts = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    z = center + eps * shifts[norm(shifts, p) <= 1]
    z = z[np.all((z >= 0) & (z <= 1), axis=1)]
    size = 1 + float(np.abs(v).max()) ** 2
    return all_of(
        at_most(float(norm((point - center)[None], p)[0]), eps, size),
        at_most(float(np.max(np.abs(point - 0.5))), 0.5, size),
        at_most(float(np.max((z - point) @ (v - point))), 0.0, size),
    )


IMAGE = {"x": draw.arrays((1, 3, 4), 0, 1), "y": draw.arrays((1, 3, 4), 0, 1), "shift": st.integers(-3, 3)}
SIX = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1.0]])[None]


@claim("4.2 transforms", given=IMAGE, code=(addition, translation, rotation, change_of_basis))
def transforms_start_at_the_identity(x: Array, y: Array, shift: int) -> Evidence:
    """T(x, 0) = x for every transform; translations are undone by the opposite ones; the cosine basis keeps
    inner products, so that |delta|_2 is the same in pixels."""
    return _transforms(x, y, shift, to_cosines)


@transforms_start_at_the_identity.twin("cosine coefficients without orthonormal scaling")
def unscaled_cosines(x: Array, y: Array, shift: int) -> Evidence:
    return _transforms(x, y, shift, lambda z: fft.dctn(z, axes=(-2, -1)))


def _transforms(x: Array, y: Array, shift: int, basis: Any) -> Evidence:
    zero = np.zeros_like(x)
    same = [addition(x, zero), translation(x, (0, 0)), translation(x, (0, 0), "zero"), rotation(x, 0.0)]
    back = translation(translation(x, (shift, 1)), (-shift, -1))
    return all_of(
        *(equal(t, x, 1.0) for t in (*same, back, change_of_basis(x, zero))),
        equal(np.sum(basis(x) * basis(y)), np.sum(x * y), 12.0),
    )


@claim(
    "4.2 transforms",
    erratum=Erratum(
        "only eps < pi/2 makes sense, for otherwise a 6 could always be turned into a 9",
        "a 6 becomes a 9 at the angle pi; pi/2 bounds eps only when budgets around both digits must not meet",
        "false",
    ),
    code=(rotation,),
)
def six_becomes_nine_at_a_quarter_turn() -> Evidence:
    """A 6 rotated by pi/2 is a 9."""
    return _six_becomes_nine(np.pi / 2)


@claim("4.2 transforms", reading="corrected", code=(rotation,))
def six_becomes_nine_at_a_half_turn() -> Evidence:
    """A 6 rotated by pi is a 9."""
    return _six_becomes_nine(np.pi)


@six_becomes_nine_at_a_half_turn.twin("a full turn")
def six_at_a_full_turn() -> Evidence:
    return _six_becomes_nine(2 * np.pi)


def _six_becomes_nine(angle: float) -> Evidence:
    square = np.pad(SIX, ((0, 0), (0, 0), (1, 1)))
    return equal(rotation(square, angle), square[:, ::-1, ::-1], 8.0)


LINEAR = {
    "w": draw.arrays(3, -2, 2),
    "x": draw.arrays(3, -2, 2),
    "eps": draw.positive(1 / 8, 2, 3),
    "p": st.sampled_from([2.0, np.inf]),
}
SLANTED = {"w": np.array([2.0, 1, 0.5]), "x": np.zeros(3), "eps": 1.0, "p": 2.0}


def linear_classifier(w: Array) -> tuple[Network, Array]:
    """Logits (<w, x>, -<w, x>): the loss of label 0 falls with <w, x>."""
    return Network([Dense(len(w), 2, bias=False)]), np.concatenate([w, -w])


@claim("(4.3)", given=LINEAR, cases=[SLANTED], reading="corrected", code=(pgd,), examples=60)
def attack_on_linear_models(w: Array, x: Array, eps: float, p: float) -> Evidence:
    """For f(x) = (<w, x>, -<w, x>) with label 0 the attack lowers <w, x> by eps |w|_q, 1/p + 1/q = 1: the optimum."""
    return _lowered(w, x, eps, p, gradient="normalised")


@attack_on_linear_models.twin("a sign step in the l_2 ball")
def sign_step_in_the_euclidean_ball(w: Array, x: Array, eps: float, p: float) -> Evidence:
    return _lowered(w, x, eps, p, gradient="sign", steps=1)


@attack_on_linear_models.twin("the wrong sign: descending the loss")
def attack_with_the_wrong_sign(w: Array, x: Array, eps: float, p: float) -> Evidence:
    return _lowered(w, x, eps, p, gradient="normalised", targeted=0)


def _lowered(w: Array, x: Array, eps: float, p: float, **options: Any) -> Evidence:
    if not w.any():
        return vacuous("w = 0: nothing to attack")
    network, theta = linear_classifier(w)
    found = pgd(network, theta, x[None], np.array([0]), eps, p, box=None, **{"steps": 3, **options}).x[0]
    best = eps * (np.sqrt(w @ w) if p == 2 else np.abs(w).sum())
    return all_of(equal(w @ (x - found), best, 24.0), at_most(float(norm((found - x)[None], p)[0]), eps, 2 + eps))


SOFT = POINT | {"eps": draw.positive(1 / 8, 1, 3)}


@claim(
    "(4.3)",
    given=SOFT,
    cases=[{"theta": TWO_CLASSES, "x": np.array([1.0, 0.5]), "eps": 0.5}],
    erratum=Erratum(
        "the reference label is the network's own output, y = f_theta(x)",
        "the true label (or f^MAP(x)): at xbar = x the gradient of l(f(xbar), f(x)) vanishes, and FGSM never moves",
        "false",
    ),
    code=(fgsm,),
)
def own_output_as_label(theta: Array, x: Array, eps: float) -> Evidence:
    """With y = f_theta(x), one projected sign step leaves x wherever the loss of the label has a slope."""
    output = NET(theta, x[None])
    label = output.argmax(axis=1)
    moved = fgsm(NET, theta, x[None], label, eps, box=None).x
    if np.array_equal(moved[0], x):
        return vacuous("no slope at x")
    own = _sign_step(theta, x, softmax(output), eps)
    return at_most(0.5 * eps, float(np.abs(own - x).max()), eps)


def _sign_step(theta: Array, x: Array, target: Array, eps: float) -> Array:
    output, pullback = NET.vjp(theta, x[None])
    slope = pullback(CrossEntropy().gradient(output, target), need="input")[0]
    assert slope is not None
    slope = slope[0]
    return x + eps * np.sign(np.where(np.abs(slope) > 2.0**-40, slope, 0))


CONVEX = {"W": draw.arrays((2, 3), -2, 2), "x": draw.arrays(3, -2, 2), "eps": draw.positive(1 / 8, 1, 3)}


@claim("(4.3)", given=CONVEX, reading="corrected", code=(fgsm,), examples=60)
def one_step_gains_at_least_its_slope(W: Array, x: Array, eps: float) -> Evidence:
    """For linear logits the loss is convex in x, so FGSM with the true label gains at least eps |grad_x l|_1."""
    return _gain(W, x, eps, +1.0)


@one_step_gains_at_least_its_slope.twin("the wrong sign")
def one_step_down(W: Array, x: Array, eps: float) -> Evidence:
    return _gain(W, x, eps, -1.0)


def _gain(W: Array, x: Array, eps: float, sign: float) -> Evidence:
    network, loss, label = Network([Dense(3, 2, bias=False)]), CrossEntropy(), np.array([0])
    output, pullback = network.vjp(W.ravel(), x[None])
    slope = pullback(loss.gradient(output, label), need="input")[0]
    assert slope is not None
    found = fgsm(network, W.ravel(), x[None], label, eps, box=None).x
    end = x + sign * (found - x)
    gain = loss.value(network(W.ravel(), end), label) - loss.value(output, label)
    return at_most(eps * float(np.abs(slope).sum()), gain, 48.0)
