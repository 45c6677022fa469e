"""Loss functions ell(f_theta(x), y), as means over a batch: Examples 4.2 and 4.3.

A loss is a frozen dataclass with ``values`` (one number a sample), ``value`` (their mean), ``gradient``
and ``value_and_gradient`` of the mean.
"""

from dataclasses import dataclass
from math import isnan

import numpy as np

from refimpl.numerics import validate
from refimpl.numerics.jit import compiled
from refimpl.setting.activations import kernels
from refimpl.setting.layer import Array


class Loss:
    """The mean over a batch of ell(y, target), the ell of (4.1); a subclass states `values` and `gradient`."""

    def values(self, y: Array, target: Array) -> Array:
        """ell(y_b, target_b) for every sample b, shape (batch,)."""
        raise TypeError(f"{type(self).__name__} defines no values")

    def gradient(self, y: Array, target: Array) -> Array:
        """The gradient of `value` in y, shape of y."""
        raise TypeError(f"{type(self).__name__} defines no gradient")

    def value(self, y: Array, target: Array) -> float:
        """The mean of `values` over the batch."""
        return float(self.values(y, target).mean())

    def value_and_gradient(self, y: Array, target: Array) -> tuple[float, Array]:
        """(value, gradient)."""
        return self.value(y, target), self.gradient(y, target)


@dataclass(frozen=True)
class SquaredError(Loss):
    """ell(ybar, y) = |ybar - y|^2 / (N M), N M the entries of one sample (Example 4.2).

    Derivative: d ell = 2 <ybar - y, d ybar> / (N M); the mean over B samples divides by B once more.

    Raises
    ------
    ValueError : prediction and target differ in shape, or there is nothing to average.
    """

    def values(self, y: Array, target: Array) -> Array:
        """|ybar_b - y_b|^2 / (N M) for every sample."""
        difference = self._difference(y, target)
        return (difference * difference).reshape(len(difference), -1).mean(axis=1)  # Example 4.2

    def gradient(self, y: Array, target: Array) -> Array:
        """2 (ybar - y) / (B N M)."""
        difference = self._difference(y, target)
        return 2 * difference / difference.dtype.type(difference.size)

    @staticmethod
    def _difference(y: Array, target: Array) -> Array:
        y, target = validate.real_array("y", y), validate.real_array("target", target)
        validate.same_shape("target", target, "y", y)
        if y.ndim == 0:
            validate.fail("y", "a batch: at least 1 axis", validate.describe(y))
        validate.nonempty("y", y)
        return y - target.astype(y.dtype, copy=False)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """ell(z, y) = H(y, Q(z)) of logits z (B, C), Q the soft-max; -log Q(z)_y for a label y (Example 4.3).

    Labels are integers (B,) in 0 ... C - 1 or distributions (B, C). With sum_c y_c = 1,
    ell = log sum_c exp(z_c) - <y, z>, hence d ell = <Q(z) - y, dz>; finite for |z| of any finite size.

    Raises
    ------
    ValueError : logits not (B, C); labels of another number, out of range, negative or not summing to 1.
    """

    def values(self, logits: Array, labels: Array) -> Array:
        """H(y_b, Q(z_b)) for every sample."""
        logits = self._logits(logits)
        return self._values(log_softmax(logits), self._labels(logits, labels))

    def gradient(self, logits: Array, labels: Array) -> Array:
        """(Q(z) - y) / B."""
        return self.value_and_gradient(logits, labels)[1]

    def value_and_gradient(self, logits: Array, labels: Array) -> tuple[float, Array]:
        """(value, gradient) from one soft-max."""
        logits = self._logits(logits)
        if compiled(logits) and validate.array("labels", labels).ndim == 1:
            return self._fused(np.ascontiguousarray(logits), labels)
        labels, log_q = self._labels(logits, labels), log_softmax(logits)
        return float(self._values(log_q, labels).mean()), self._gradient(log_q, labels)

    @staticmethod
    def _fused(logits: Array, labels: Array) -> tuple[float, Array]:
        """(value, gradient) from one kernel, which also looks at the labels."""
        indices, gradient = validate.integer_labels("labels", labels, len(logits)), np.empty_like(logits)
        total = kernels().cross_entropy(logits, indices, gradient)
        if isnan(total):  # the logits are, or a label is out of range
            validate.labels("labels", labels, *logits.shape)
        return total / len(logits), gradient

    @staticmethod
    def _values(log_q: Array, labels: Array) -> Array:
        if labels.ndim == 1:
            return -log_q[np.arange(len(labels)), labels]  # Example 4.3
        return -_times_log(labels, log_q).sum(axis=1)  # Example 4.3

    @staticmethod
    def _gradient(log_q: Array, labels: Array) -> Array:
        gradient = np.exp(log_q)
        if labels.ndim == 1:
            gradient[np.arange(len(labels)), labels] -= 1
        else:
            gradient -= labels
        return gradient / log_q.dtype.type(len(log_q))

    @staticmethod
    def _logits(logits: Array) -> Array:
        logits = validate.real_array("logits", logits, ndim=2)
        validate.nonempty("logits", logits)
        return logits

    @staticmethod
    def _labels(logits: Array, labels: Array) -> Array:
        if validate.array("labels", labels).ndim == 1:
            return validate.labels("labels", labels, *logits.shape)
        labels = validate.real_array("labels", labels, shape=logits.shape)
        distribution("labels", labels)
        return labels.astype(logits.dtype, copy=False)


def softmax(z: Array) -> Array:
    """Q(z)_c = exp(z_c) / sum_k exp(z_k) along the last axis (Example 4.3); invariant under z + const.

    Derivative: dQ = Q (dz - <Q, dz>).

    z has any shape (..., C). Raises ValueError where there is nothing along the last axis.
    """
    z = _scores(z)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)  # Example 4.3


def log_softmax(z: Array) -> Array:
    """log Q(z)_c = z_c - log sum_k exp(z_k) along the last axis, without overflow or log 0 (Example 4.3).

    z has any shape (..., C). Raises ValueError where there is nothing along the last axis.
    """
    z = _scores(z)
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _scores(z: Array) -> Array:
    z = validate.real_array("z", z)
    if z.ndim == 0 or z.shape[-1] == 0:
        validate.fail("z", "at least one number along the last axis", validate.describe(z))
    return z


def cross_entropy(p: Array, q: Array) -> Array:
    """H(p, q) = -sum_c p_c log q_c along the last axis, with 0 log 0 = 0 (Example 4.3).

    p and q are (..., C), the result (...). Infinite where q_c = 0 < p_c.

    Raises
    ------
    ValueError : p or q is no distribution along the last axis, or their shapes differ.
    """
    p, q = validate.real_array("p", p), validate.real_array("q", q)
    validate.same_shape("q", q, "p", p)
    distribution("p", p)
    distribution("q", q)
    with np.errstate(divide="ignore"):
        return -_times_log(p, np.log(q)).sum(axis=-1)  # Example 4.3


def distribution(name: str, p: Array) -> None:
    """Raise unless p >= 0 sums to 1 along the last axis, up to C eps of float32; NaN passes."""
    if p.ndim == 0 or p.shape[-1] == 0:
        validate.fail(name, "distributions along the last axis", validate.describe(p))
    off = np.abs(p.sum(axis=-1) - 1)
    if (p < 0).any() or (off > p.shape[-1] * 2e-7 + 1e-6).any():
        validate.fail(name, "distributions: entries >= 0 that sum to 1 along the last axis", validate.describe(p))


def _times_log(p: Array, log_q: Array) -> Array:
    """p log q with 0 log 0 = 0."""
    return np.where(p == 0, p, p * np.where(p == 0, 0, log_q))
