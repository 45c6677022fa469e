"""Upper bounds of the Lipschitz constant: the product (4.5), layer by layer; labelled constants, certificates."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, Literal, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import check_norm, double, operator_norm, operator_norm_gradient
from refimpl.setting.activations import Activation
from refimpl.setting.convolution import Conv2d
from refimpl.setting.layer import Chain, Layer, Params, prefixed, scoped
from refimpl.setting.layers import Dense, Flatten, Residual
from refimpl.setting.network import Network
from refimpl.setting.normalization import BatchNorm2d
from refimpl.setting.pooling import AdaptiveAveragePool2d, AveragePool2d, MaxPool2d

Array = np.ndarray
Kind = Literal["lower", "exact", "upper"]


@dataclass(frozen=True)
class Bound:
    """A number that stands for Lip(f) (Section 4.2), and on which side of it: "lower", "exact" or "upper".

    Raises ValueError for another kind or a negative value.
    """

    value: float
    kind: Kind

    def __post_init__(self) -> None:
        validate.choice("kind", self.kind, ("lower", "exact", "upper"))
        if validate.number("value", self.value) < 0:
            validate.fail("value", "a number >= 0", validate.describe(self.value))


def margin(logits: Array, labels: Array) -> Array:
    """f_y - max over j != y of f_j, for every sample: positive iff the label is the unique maximum (Section 4.2).

    logits (B, C) and labels (B,) give (B,). Raises ValueError for other shapes or labels outside 0 ... C - 1.
    """
    logits = validate.real_array("logits", logits, ndim=2)
    labels = validate.labels("labels", labels, *logits.shape)
    others = logits.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return logits[np.arange(len(labels)), labels] - others.max(axis=1)


def certified_radius(margins: Any, bound: Bound, q: float = 2) -> Array:
    """Inside which radius no adversarial example (Section 4.2) exists: margin / (sqrt 2 Lip) for l_2 outputs.

    It is 0 for negative margins; margins of any shape.

    f_y - f_j moves by at most ||e_y - e_j||_{q*} Lip ||x - xbar||: the factor is sqrt 2 for q = 2, 2 for
    q = inf, 1 for q = 1, with Lip from the norm of the inputs to ||.||_q.

    Raises
    ------
    ValueError : a bound of kind "lower": an estimate from below certifies nothing.
    """
    if not isinstance(bound, Bound) or bound.kind == "lower":
        validate.fail("bound", 'a Bound of kind "exact" or "upper" (a lower estimate certifies nothing)', repr(bound))
    margins = validate.real_array("margins", margins)
    factor = {1.0: 1.0, 2.0: np.sqrt(2), np.inf: 2.0}[check_norm("q", q)]
    positive = np.maximum(margins, 0)
    if bound.value == 0:
        return np.where(positive > 0, np.inf, positive)
    return positive / margins.dtype.type(factor * bound.value)  # 4.2 adversarial example


class _Factor(NamedTuple):
    """Lip(Phi) <= value, its gradient in the parameters (None: not available), Phi at the sample image."""

    value: float
    gradient: Params | None
    y: Array | None


def product_bound(network: Network, theta: Array, p: float = 2, input_shape: Sequence[int] | None = None) -> float:
    r"""prod_l Lip(Phi_l) >= Lip(f_theta) in the norm ||.||_p of all layers (4.5).

    Dense ||W||_{p -> p}; activations their constant; a residual layer |w| Lip(S) + Lip(F), F the branch and S
    the shortcut (without the term |w| the product is no bound); convolutions for p = 1 and inf the largest sum
    of moduli over an input and an output channel, for p = 2 the largest singular value of the symbol, exact for
    circular padding at stride 1 and an upper bound otherwise; maximum pooling (windows a pixel)^{1/p}.

    Parameters
    ----------
    p : 1, 2 or inf.
    input_shape : the shape of one input without the batch axis; only p = 2 convolutions and mean pooling need it.

    Raises
    ------
    ValueError : a layer without a rule; a missing input_shape; batch normalisation in training mode.
    """
    return _product(network, theta, p, input_shape).value


def product_bound_gradient(network: Network, theta: Array, p: float = 2) -> tuple[float, Array]:
    """The bound (4.5) and a subgradient in theta, for dense and residual networks.

    d prod_l B_l = sum_l (prod_{k != l} B_k) dB_l, where d||W||_2 = u v^T with the leading singular vectors.
    Biases get 0.

    Raises
    ------
    ValueError : as `product_bound`; a layer whose norm has no derivative here (convolutions, pooling).
    """
    factor = _product(network, theta, p, None)
    if factor.gradient is None:
        validate.fail("network", "dense, residual and activation layers", repr(network))
    zeros = {name: np.zeros(shape) for name, shape in network.shapes.items()}
    return factor.value, network.flatten(zeros | factor.gradient, validate.real_array("theta", theta).dtype)


def _product(network: Network, theta: Array, p: float, input_shape: Sequence[int] | None) -> _Factor:
    x = None if input_shape is None else np.zeros((1, *validate.shape("input_shape", input_shape)))
    validate.provides("network", network, "views")
    return _chain(network, network.views(theta), x, check_norm("p", p))


def _chain(chain: Chain, params: Params, x: Array | None, p: float) -> _Factor:
    factors = []
    for i, layer in enumerate(chain.layers):
        factor = _factor(layer, scoped(params, str(i)), x, p)
        factors.append(factor)
        x = factor.y
    values = [f.value for f in factors]
    gradient: Params | None = {}
    for i, factor in enumerate(factors):
        others = prod(values[:i] + values[i + 1 :])
        gradient = _merge(gradient, factor.gradient, str(i), others)
    return _Factor(prod(values), gradient, x)  # (4.5)


def _merge(total: Params | None, part: Params | None, name: str, scale: float) -> Params | None:
    if total is None or part is None:
        return None
    return total | prefixed(name, {key: scale * g for key, g in part.items()})


def _factor(layer: Layer, params: Params, x: Array | None, p: float) -> _Factor:
    if isinstance(layer, Chain):
        return _chain(layer, params, x, p)
    if isinstance(layer, Residual):
        return _residual(layer, params, x, p)
    y = None if x is None else layer.forward(params, x)[0]
    if isinstance(layer, Dense):
        value, gradient = operator_norm_gradient(params["weight"], p)
        return _Factor(value, {"weight": gradient}, y)
    value = _constant(layer, params, x, p)
    return _Factor(value, None if layer.shapes or not isinstance(layer, (Activation, Flatten)) else {}, y)


def _residual(layer: Residual, params: Params, x: Array | None, p: float) -> _Factor:
    branch = _factor(layer._parts["branch"], scoped(params, "branch"), x, p)
    shortcut = _factor(layer._parts["shortcut"], scoped(params, "shortcut"), x, p)
    w = float(params["w"]) if layer.learn else layer.w
    gradient = _merge(_merge({}, branch.gradient, "branch", 1.0), shortcut.gradient, "shortcut", abs(w))
    if gradient is not None and layer.learn:
        gradient["w"] = np.sign(w) * shortcut.value
    y = None if branch.y is None or shortcut.y is None else branch.y + w * shortcut.y
    return _Factor(abs(w) * shortcut.value + branch.value, gradient, y)


def _constant(layer: Layer, params: Params, x: Array | None, p: float) -> float:
    """Lip of a layer without a derivative rule."""
    if isinstance(layer, Activation):
        return layer.lipschitz
    if isinstance(layer, Flatten):
        return 1.0
    if isinstance(layer, Conv2d):
        return convolution_norm(params["weight"], p, layer.padding, _grid(layer, x) if p == 2 else None)
    if isinstance(layer, MaxPool2d):
        size, stride, _ = layer._windows
        return prod(ceil(s / t) for s, t in zip(size, stride)) ** (1 / p)
    if isinstance(layer, (AveragePool2d, AdaptiveAveragePool2d)):
        return operator_norm(_matrix(layer, _grid(layer, x)), p)
    if not isinstance(layer, BatchNorm2d) or layer.variance is None:
        validate.fail("network", "layers with a Lipschitz constant (batch normalisation in evaluation)", repr(layer))
    return float(np.max(np.abs(params["weight"]) / np.sqrt(layer.variance + layer.eps)))


def _grid(layer: Layer, x: Array | None) -> tuple[int, ...]:
    if x is None:
        validate.fail("input_shape", f"the shape of one input, needed for {layer!r}", "None")
    return x.shape[2:]


def _matrix(layer: Layer, grid: tuple[int, ...]) -> Array:
    """The matrix of a linear layer that acts on every channel alike, on one channel."""
    basis = np.eye(prod(grid)).reshape(-1, 1, *grid)
    return layer.forward({}, basis)[0].reshape(len(basis), -1).T


def convolution_norm(
    weight: Array, p: float = 2, padding: str = "circular", grid: Sequence[int] | None = None
) -> float:
    """An upper bound of ||x -> W x||_{p -> p} for a convolution with weight W (c_out, c_in, kh, kw), at any stride
    (Section 4.2).

    p = inf: max over output channels of sum |W|; p = 1: over input channels (exact at stride 1, away from the edge).
    p = 2: the circular operator is block diagonal in the Fourier basis, its norm the largest singular value of
    the symbol over the frequencies of the grid. No padding drops rows of it, zero padding restricts the
    circular operator of a grid that is larger by the kernel, a stride drops rows: none enlarges the norm.

    Raises
    ------
    ValueError : p = 2 without a grid.
    """
    weight = validate.real_array("weight", weight, ndim=4)
    validate.nonempty("weight", weight)
    validate.choice("padding", padding, ("zero", "circular", "valid"))
    if check_norm("p", p) != 2:
        return float(np.abs(weight).sum(axis=(1, 2, 3) if p == np.inf else (0, 2, 3)).max())
    grid = validate.integers("grid", grid, low=1)
    if len(grid) != 2 or max(grid) >= 2**16:
        validate.fail("grid", "(rows, columns) of the image, below 2^16 each", validate.describe(grid))
    if not np.isfinite(weight).all():
        return float("nan" if np.isnan(weight).any() else "inf")
    kernel = weight.shape[2:]
    size = [n + k - 1 if padding == "zero" else n for n, k in zip(grid, kernel)]
    symbol = np.fft.fft2(_wrapped(double(weight), size))
    return float(np.linalg.norm(np.moveaxis(symbol, (0, 1), (-2, -1)), 2, axis=(-2, -1)).max())


def _wrapped(weight: Array, size: Sequence[int]) -> Array:
    """The kernel on a periodic grid: entries a period apart are added up."""
    down, across = (np.equal.outer(np.arange(n), np.arange(k) % n) * 1.0 for n, k in zip(size, weight.shape[2:]))
    return down @ weight @ across.T


def power_iteration(
    layer: Layer, params: Params, shape: Sequence[int], steps: int = 100, rng: np.random.Generator | int | None = 0
) -> Bound:
    """||A||_2 of an affine layer x -> A x + b from below: v <- A^T A v / ||A^T A v||, then ||A v|| / ||v||.

    For any padding and stride, where the symbol gives an upper bound only; never a certificate itself.
    It is the lower counterpart of the factors in (4.5).

    Parameters
    ----------
    params : name -> array, each of the shape that ``layer.shapes`` gives.
    shape : of one input, without the batch axis.

    Raises
    ------
    ValueError : steps below 1, another shape than the layer takes.
    """
    validate.provides("layer", layer, "forward", "backward")
    validate.mapping("params", params, layer.shapes)
    blocks = {name: validate.real_array(f"params[{name!r}]", params[name], shape=s) for name, s in layer.shapes.items()}
    params = params | blocks
    v = validate.generator("rng", rng).normal(size=(1, *validate.shape("shape", shape)))
    zero, _ = layer.forward(params, np.zeros_like(v))
    for _ in range(validate.integer("steps", steps, 1)):
        y, cache = layer.forward(params, v / (np.linalg.norm(v) or 1.0))
        value = float(np.linalg.norm(y - zero))
        back, _ = layer.backward(params, cache, y - zero, "input")
        v = np.zeros_like(v) if back is None else back
    return Bound(value, "lower")
