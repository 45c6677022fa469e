"""Optimizers on one vector theta: gradient descent, (4.6), LinBreg (4.21), momentum (4.22), AdaBreg (Section 4.3.3).

An optimizer is a value; ``init(theta)`` makes a state, ``step(state, gradient)`` returns the next one and leaves
the old one alone; with ``inplace=True`` it writes into the arrays of the old one, with the same bits.
``step=`` replaces the step size tau for one call, for schedules.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from refimpl.numerics import validate
from refimpl.sparsity import fused
from refimpl.sparsity.regularizers import Array, Regularizer

State = TypeVar("State", bound=tuple)
PAGE = 4096


class Plain(NamedTuple):
    """The state of a method without memory."""

    theta: Array


class Bregman(NamedTuple):
    """theta = prox_{delta J}(delta v), the subgradient v of J_delta at theta, the momentum m (None: no momentum)."""

    theta: Array
    v: Array
    m: Array | None


class Adam(NamedTuple):
    """theta and v as in `Bregman`; the moments m and s of the gradient; the number k of steps made."""

    theta: Array
    v: Array
    m: Array
    s: Array
    k: int


class Optimizer(ABC, Generic[State]):
    """What every optimizer shares: the checks of the arguments, pure and in-place steps."""

    tau: float

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def init(self, theta: Array) -> State:
        """The state at the start theta, which is copied."""
        return self._init(_aligned(validate.real_array("theta", theta)))

    def step(self, state: State, gradient: Array, step: float | None = None, inplace: bool = False) -> State:
        """The next state.

        Parameters
        ----------
        gradient : of the shape of theta; it is read in the dtype of theta.
        step : the step size tau of this step alone.
        inplace : write into the arrays of ``state``; the result has the same bits.

        Raises
        ------
        ValueError : another shape, or a step size that is not positive.
        """
        theta = state[0]
        g = _as_kernels_want("gradient", gradient, theta)
        tau = self.tau if step is None else validate.positive("step", step)
        if not inplace:
            state = type(state)(*(_aligned(x) if isinstance(x, np.ndarray) else x for x in state))
        return self._step(state, g, tau)

    @abstractmethod
    def _init(self, theta: Array) -> State:
        """The state at theta."""

    @abstractmethod
    def _step(self, state: State, g: Array, tau: float) -> State:
        """The next state, written into the arrays of ``state``."""


@dataclass(frozen=True, init=False)
class GradientDescent(Optimizer[Plain]):
    """theta <- theta - tau g (Section 4.1.2); with a stochastic g this is SGD.

    Raises ValueError for step <= 0.
    """

    tau: float

    def __init__(self, step: float):
        self._set(tau=validate.positive("step", step))

    def _init(self, theta: Array) -> Plain:
        return Plain(theta)

    def _step(self, state: Plain, g: Array, tau: float) -> Plain:
        np.subtract(state.theta, tau * g, out=state.theta)
        return state


@dataclass(frozen=True, init=False)
class ProximalGradient(Optimizer[Plain]):
    """theta <- prox_{tau J}(theta - tau g) (4.6): for J = lam |.|_1 the threshold is tau lam.

    Raises ValueError for step <= 0 or a J that is no `Regularizer`.
    """

    J: Regularizer
    tau: float

    def __init__(self, J: Regularizer, step: float):
        self._set(J=regularizer(J), tau=validate.positive("step", step))

    def _init(self, theta: Array) -> Plain:
        return Plain(theta)

    def _step(self, state: Plain, g: Array, tau: float) -> Plain:
        state.theta[...] = self.J.prox(state.theta - tau * g, tau)  # (4.6)
        return state


@dataclass(frozen=True, init=False)
class LinBreg(Optimizer[Bregman]):
    """Stochastic linearized Bregman iterations (4.21), with momentum beta > 0 those of (4.22).

    v <- v - tau g (momentum: m <- beta m + (1 - beta) tau g, v <- v - m), then theta <- prox_{delta J}(delta v).
    They start from v = theta/delta + p with p = J.subgradient(theta), so that v in dJ_delta(theta), and m = 0.

    Raises ValueError for step <= 0, delta <= 0, momentum outside [0, 1), or a J that is no `Regularizer`.
    """

    J: Regularizer
    tau: float
    delta: float = 1.0
    momentum: float = 0.0

    def __init__(self, J: Regularizer, step: float, delta: float = 1.0, momentum: float = 0.0):
        if not 0 <= validate.real("momentum", momentum) < 1:
            validate.fail("momentum", "a number in [0, 1)", momentum)
        self._set(J=regularizer(J), tau=validate.positive("step", step))
        self._set(delta=validate.positive("delta", delta), momentum=float(momentum))

    def _init(self, theta: Array) -> Bregman:
        m = _aligned(np.zeros_like(theta)) if self.momentum else None
        return Bregman(theta, _aligned(theta / self.delta + self.J.subgradient(theta)), m)

    def _step(self, state: Bregman, g: Array, tau: float) -> Bregman:
        theta, v, m = state
        if not fused.reaches(theta, v, m):
            self._formulas(theta, v, m, g, tau)
        elif m is None:
            fused.linbreg(self.J, theta, v, g, tau, self.delta)
        else:
            fused.momentum(self.J, theta, v, m, g, self.momentum, (1 - self.momentum) * tau, self.delta)
        return state

    def _formulas(self, theta: Array, v: Array, m: Array | None, g: Array, tau: float) -> None:
        """The step as it is printed, in any precision."""
        if m is None:
            v -= tau * g  # (4.21)
        else:
            m[...] = self.momentum * m + (1 - self.momentum) * tau * g  # (4.22)
            v -= m
        theta[...] = self.J.prox(self.delta * v, self.delta)  # (4.21)


@dataclass(frozen=True, init=False)
class AdaBreg(Optimizer[Adam]):
    """LinBreg with Adam's update of v (Section 4.3.3); eps is added outside the root.

    m <- beta1 m + (1 - beta1) g, s <- beta2 s + (1 - beta2) g^2,
    v <- v - tau/(1 - beta1^k) m / (sqrt(s)/sqrt(1 - beta2^k) + eps), then theta <- prox_{delta J}(delta v).
    ``bias_correction=False`` leaves out the factor 1/(1 - beta1^k), as early published code did.

    Raises ValueError as `LinBreg` does, and for betas outside [0, 1) or eps < 0.
    """

    J: Regularizer
    tau: float
    delta: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    bias_correction: bool = True

    def __init__(
        self,
        J: Regularizer,
        step: float,
        delta: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        bias_correction: bool = True,
    ):
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            validate.fail("betas", "two numbers in [0, 1)", validate.describe(betas))
        for beta in betas:
            if not 0 <= validate.real("betas", beta) < 1:
                validate.fail("betas", "two numbers in [0, 1)", betas)
        self._set(J=regularizer(J), tau=validate.positive("step", step), delta=validate.positive("delta", delta))
        self._set(betas=tuple(map(float, betas)), eps=validate.nonnegative("eps", eps))
        self._set(bias_correction=validate.flag("bias_correction", bias_correction))

    def _init(self, theta: Array) -> Adam:
        v, zero = theta / self.delta + self.J.subgradient(theta), np.zeros_like(theta)
        return Adam(theta, _aligned(v), _aligned(zero), _aligned(zero), 0)

    def _step(self, state: Adam, g: Array, tau: float) -> Adam:
        theta, v, m, s, _ = state
        (b1, b2), k = self.betas, state.k + 1
        rate, root = tau / (1 - b1**k if self.bias_correction else 1), sqrt(1 - b2**k)
        if fused.reaches(theta, v, m, s):
            fused.adabreg(self.J, theta, v, m, s, g, rate, root, b1, 1 - b1, b2, 1 - b2, self.eps, self.delta)
        else:
            self._formulas(theta, v, m, s, g, rate, root)
        return Adam(theta, v, m, s, k)

    def _formulas(self, theta: Array, v: Array, m: Array, s: Array, g: Array, rate: float, root: float) -> None:
        """The step as it is printed, in any precision."""
        b1, b2 = self.betas
        m[...] = b1 * m + (1 - b1) * g
        s[...] = b2 * s + (1 - b2) * (g * g)
        v -= rate * (m / (np.sqrt(s) / root + self.eps))
        theta[...] = self.J.prox(self.delta * v, self.delta)


def regularizer(J: Any) -> Regularizer:
    """J itself, if it is a Regularizer."""
    return J if isinstance(J, Regularizer) else validate.fail("J", "a Regularizer", validate.describe(J))


def _aligned(x: Array) -> Array:
    """A copy of x, contiguous, at the start of a page.

    No vector of a kernel straddles two cache lines, and no load waits for a store to another array at the same place
    of a page, as it does where that array begins a few lines later in its page.
    """
    raw = np.empty(x.nbytes + PAGE, np.uint8)
    start = -raw.ctypes.data % PAGE
    out = raw[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


def _as_kernels_want(name: str, value: Any, theta: Array) -> Array:
    """The array itself if it is contiguous and of the dtype and shape of theta; else checked, and copied so."""
    fits = type(value) is np.ndarray and value.dtype == theta.dtype and value.shape == theta.shape
    if fits and value.flags.c_contiguous:
        return value
    checked = validate.real_array(name, value, shape=theta.shape)
    return np.ascontiguousarray(checked, theta.dtype).reshape(theta.shape)
