"""Projections onto ball and box: against SLSQP, the optimality conditions, and by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize

from refimpl.robustness import project, project_box
from refimpl.robustness.norms import norm

NORMS = (1, 2, np.inf)
BOXES = (None, (0.0, 1.0), (-0.25, 0.5))


def slsqp(v, center, eps, p, box):
    """The same minimisation by a general solver; l_1 and l_inf balls as their facets."""
    n = len(v)
    if p == 2:
        ball = [{"type": "ineq", "fun": lambda z: eps**2 - np.sum((z - center) ** 2)}]
    else:
        signs = np.array(np.meshgrid(*[[-1, 1]] * n)).reshape(n, -1).T
        facets = signs if p == 1 else np.vstack([np.eye(n), -np.eye(n)])
        ball = [{"type": "ineq", "fun": lambda z: eps - facets @ (z - center), "jac": lambda z: -facets}]
    start = np.clip(center, *(box or (-np.inf, np.inf)))
    bounds = None if box is None else [box] * n
    objective = lambda z: (np.sum((z - v) ** 2), 2 * (z - v))  # noqa: E731
    options = {"ftol": 1e-15, "maxiter": 500}
    return minimize(objective, start, jac=True, bounds=bounds, constraints=ball, method="SLSQP", options=options)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("outside", [False, True], ids=["centre in the box", "centre outside"])
def test_agrees_with_a_general_solver(p, outside):
    rng = np.random.default_rng(int(min(p, 9)) + outside)
    compared = 0
    for _ in range(25):
        center = rng.uniform(-0.15, 1.15, 4) if outside else rng.uniform(0, 1, 4)
        v, eps = center + rng.normal(0, 0.7, 4), rng.uniform(0.4, 1)
        other = slsqp(v, center, eps, p, (0.0, 1.0))
        if not other.success:
            continue
        z = project(v, center, eps, p)
        compared += 1
        assert np.max(np.abs(z - other.x)) < 1e-5
        assert np.sum((z - v) ** 2) <= other.fun + 1e-7
    assert compared >= 15


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("scale", [1e-3, 0.3, 10.0])
def test_variational_inequality(p, box, scale):
    """z is the projection iff <v - z, y - z> <= 0 for every feasible y; and z is feasible."""
    rng = np.random.default_rng(1)
    low, high = box or (-1, 1)
    center = rng.uniform(low, high, (40, 9))
    v, eps = center + rng.normal(0, scale, center.shape), rng.uniform(0, 1, 40)
    z = project(v, center, eps, p, box)
    assert np.all(norm(z - center, p) <= eps + 16 * np.finfo(float).eps)
    assert box is None or np.all((z >= low) & (z <= high))
    for _ in range(50):
        y = center + rng.normal(0, 1, center.shape)
        y = project_box(center + (y - center) * np.minimum(1, eps / norm(y - center, p))[:, None], box)
        inner = np.sum((v - z) * (y - z), axis=1)
        assert np.all(inner <= 1e-13 * (1 + scale))


def test_clip_and_shrink_in_either_order_are_not_the_projection():
    center, v = np.array([0.9, 0.5]), np.array([2.0, 1.3])
    z = project(v, center, 0.5)
    clipped, shrunk = np.clip(v, 0, 1) - center, v - center
    wrong = [
        center + clipped * 0.5 / np.linalg.norm(clipped),
        np.clip(center + shrunk * 0.5 / np.linalg.norm(shrunk), 0, 1),
    ]
    for other in wrong:
        assert np.linalg.norm(other - center) <= 0.5 + 1e-15 and np.all((other >= 0) & (other <= 1))
        assert np.linalg.norm(v - z) < np.linalg.norm(v - other) - 1e-3


def test_by_hand():
    assert np.allclose(project([3.0, 4.0], [0.0, 0.0], 1.0, box=None), [0.6, 0.8], rtol=0, atol=1e-15)
    assert np.array_equal(project([3.0, 1.0], [0.0, 0.0], 2.0, 1, None), [2.0, 0.0])
    assert np.array_equal(project([3.0, -4.0], [0.0, 0.0], 2.0, np.inf, None), [2.0, -2.0])
    z = project([9.0, 9.0], [0.5, 0.0], 0.75)  # the first coordinate stops at the face, the second takes the rest
    assert np.allclose(z, [1.0, np.sqrt(0.75**2 - 0.25)], rtol=0, atol=1e-15)
    assert np.array_equal(project_box([-1.0, 0.5, 3.0]), [0.0, 0.5, 1.0])


@pytest.mark.parametrize("p", NORMS)
def test_special_radii_and_points(p):
    rng = np.random.default_rng(2)
    center = rng.uniform(0, 1, (5, 6))
    v = center + rng.normal(0, 1, center.shape)
    assert np.array_equal(project(v, center, 0, p), center)
    assert np.array_equal(project(v, center, np.inf, p), np.clip(v, 0, 1))
    inside = center + 1e-3 * (0.5 - center)
    assert np.array_equal(project(inside, center, 1.0, p), inside)
    z = project(v, center, 0.3, p)
    assert np.max(np.abs(project(z, center, 0.3, p) - z)) <= 8 * np.finfo(float).eps


@pytest.mark.parametrize("p", NORMS)
def test_batched_is_one_by_one(p):
    rng = np.random.default_rng(3)
    center, eps = rng.uniform(0, 1, (7, 2, 3)), rng.uniform(0, 1, 7)
    v = center + rng.normal(size=center.shape)
    single = [project(v[i].ravel(), center[i].ravel(), eps[i], p) for i in range(7)]
    assert np.array_equal(project(v, center, eps, p).reshape(7, -1), single)


@pytest.mark.parametrize("p", NORMS)
def test_nan_stays_in_its_row_and_float32_stays(p):
    v, center = np.ones((3, 4)), np.zeros((3, 4))
    v[1, 2] = np.nan
    z = project(v, center, 0.5, p)
    assert np.isnan(z[1, 2]) and np.isfinite(z[[0, 2]]).all()
    single = project(v.astype(np.float32), center.astype(np.float32), 0.5, p)
    assert single.dtype == np.float32
    assert np.nanmax(np.abs(single - z)) < 1e-7
    wide = project(np.ones((1, 3), np.longdouble), np.zeros((1, 3), np.longdouble), 0.5, p)
    assert wide.dtype == np.longdouble


def test_arguments_are_not_modified_and_may_be_read_only():
    v, center = np.full((2, 4), 2.0)[:, ::2], np.zeros((2, 2))
    v.flags.writeable = center.flags.writeable = False
    before = v.copy()
    project(v, center, 1.0)
    assert np.array_equal(v, before)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0], [0.0], -1.0), "eps"),
        (([1.0], [0.0], np.nan), "eps"),
        (([1.0], [0.0, 1.0], 1.0), "center"),
        (([1.0], [0.0], 1.0, 3), "p"),
        (([1.0], [0.0], 1.0, 2, (1.0, 0.0)), "box"),
        (([1.0], [0.0], 1.0, 2, 1.0), "box"),
        (([0.5], [2.0], 0.5), "center"),
        ((["a"], [2.0], 0.5), "v"),
        (([[1.0], [1.0]], [[0.0], [0.0]], [1.0, 1.0, 1.0]), "eps"),
    ],
)
def test_bad_input(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        project(*arguments)


def test_centre_outside_reaches_the_face():
    assert np.array_equal(project([0.0, 0.5], [1.5, 0.5], 0.5), [1.0, 0.5])
