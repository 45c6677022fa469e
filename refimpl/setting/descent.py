"""Gradient descent and stochastic gradient descent as sequences of iterates (Section 4.1.2)."""

from collections.abc import Callable, Iterator

from refimpl.numerics import validate
from refimpl.setting.initialization import Rng
from refimpl.setting.layer import Array

Steps = float | Callable[[int], float]


def gradient_descent(gradient: Callable[[Array], Array], theta: Array, tau: Steps) -> Iterator[Array]:
    """theta_0, theta_1, ... with theta_{k+1} = theta_k - tau_k grad L(theta_k) (Section 4.1.2), without end.

    On an L-smooth loss tau <= 1/L never increases it; tau > 2/L increases a quadratic.

    Parameters
    ----------
    gradient : theta -> grad L(theta).
    theta : the start, of any shape.
    tau : the step size, or k -> tau_k.

    Raises
    ------
    ValueError : tau not positive, theta not real.

    Examples
    --------
    >>> iterates = list(islice(gradient_descent(gradient, theta, tau=0.1), 100))
    """
    theta = validate.real_array("theta", theta)
    step = _steps(tau)
    return _iterate(lambda k, theta: theta - step(k) * gradient(theta), theta)


def sgd(estimator: Callable[[Array, Rng], Array], theta: Array, tau: Steps, *, rng: Rng = None) -> Iterator[Array]:
    """theta_0, theta_1, ... with theta_{k+1} = theta_k - tau_k g(theta_k; omega_k), omega_k drawn anew (Section 4.1.2).

    ``estimator(theta, rng)`` is a `GradientEstimator` or any function like it. theta may have any shape. Raises
    ValueError for tau not positive or theta not real.
    """
    theta = validate.real_array("theta", theta)
    step, rng = _steps(tau), validate.generator("rng", rng)
    return _iterate(lambda k, theta: theta - step(k) * estimator(theta, rng), theta)


def _iterate(step: Callable[[int, Array], Array], theta: Array) -> Iterator[Array]:
    k = 0
    while True:
        yield theta
        theta = step(k, theta)
        k += 1


def _steps(tau: Steps) -> Callable[[int], float]:
    if callable(tau) and not isinstance(tau, type):
        return tau
    constant = validate.positive("tau", tau)
    return lambda k: constant
