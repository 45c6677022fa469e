"""Section 4.1.1: the residual layer (4.2) and convolutional layers."""

from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, claim, equal, exactly, identity
from refimpl.claims.setting import Sides, pairing
from refimpl.numerics import compare
from refimpl.setting import Conv2d, Dense, Network, Residual, Tanh

Array = np.ndarray


SHAPES = Erratum("W in R^{n x n}, b in R^n and z in R^m", "z in R^n: w z, W z and b must add up", "typo")


@claim("(4.2)", given={"n": st.integers(1, 4), "m": st.integers(1, 4)}, cases=[{"n": 2, "m": 3}], erratum=SHAPES)
def residual_layer_from_another_space(n: int, m: int) -> Evidence:
    """Phi(w, W, b)(z) = w z + sigma(W z + b) is defined for W in R^{n x n}, b in R^n and z in R^m."""
    layer = Network([Residual([Dense(n, n), Tanh()])])
    try:
        return exactly(layer(layer.init(0), np.ones((1, m))).shape == (1, n))
    except ValueError as error:
        return exactly(False, str(error))


LAYER = {
    "w": draw.dyadic(-2, 2),
    "W": draw.arrays((2, 2), -2, 2),
    "b": draw.arrays(2, -2, 2),
    "z": draw.arrays((3, 2), -2, 2),
    "seed": draw.seeds(),
}
DOUBLED = {"w": 2.0, "W": np.eye(2), "b": np.zeros(2), "z": np.ones((3, 2)), "seed": 0}


@claim("(4.2)", reading="corrected", given=LAYER, cases=[DOUBLED], code=(Residual, Dense, Tanh), examples=40)
def residual_layer(w: float, W: Array, b: Array, z: Array, seed: int) -> Evidence:
    """Phi(w, W, b)(z) = w z + sigma(W z + b) for z in R^n, with the pull-backs dz = w dy + W^T s, dW = s z^T,
    db = s, dw = <z, dy>, where s = sigma'(W z + b) dy; w a fixed number or learnt."""
    return all_of(*_residual(w, W, b, z, seed, lambda dz, dy: dz))


@residual_layer.twin("the residual weight forgotten in the pull-back of z")
def residual_layer_unweighted(w: float, W: Array, b: Array, z: Array, seed: int) -> Evidence:
    return all_of(*_residual(w, W, b, z, seed, lambda dz, dy: dz - w * dy + dy))


@residual_layer.twin("the identity not differentiated")
def residual_layer_without_identity(w: float, W: Array, b: Array, z: Array, seed: int) -> Evidence:
    return all_of(*_residual(w, W, b, z, seed, lambda dz, dy: dz - w * dy))


def _residual(w: float, W: Array, b: Array, z: Array, seed: int, change: Any) -> list[Evidence]:
    random = draw.uniform(seed, (5, 3, 2))
    point = (np.array(w), W, b, z)
    steps = (random[0, 0, 0], random[1, :2], random[2, 0], random[3])

    def value(learn: bool, dtype: Any) -> Sides:
        arrays = [v.astype(dtype) for v in point]
        return _layer(learn, arrays, random[4].astype(dtype))[0], phi(*arrays), 16.0  # |w z|, |W z + b| <= 16

    def adjoint(learn: bool, dtype: Any) -> Sides:
        arrays, dy = [v.astype(dtype) for v in point], random[4].astype(dtype)
        moves = [np.asarray(v).astype(dtype) for v in (steps[0] * learn, *steps[1:])]
        dw, dW, db, dz = _layer(learn, arrays, dy)[1]
        left, right, scale = pairing([dw, dW, db, change(dz, dy)], moves, dy * phi_derivative(arrays, moves))
        return left, right, 16 + scale

    return [identity(partial(side, learn)) for side in (value, adjoint) for learn in (False, True)]


def phi(w: Array, W: Array, b: Array, z: Array) -> Array:
    """Phi(w, W, b)(z) of every row z, as the formula stands."""
    return np.array([w * row + np.tanh(W @ row + b) for row in z])  # (4.2)


def phi_derivative(point: list[Array], steps: list[Array]) -> Array:
    """D Phi at (w, W, b, z) in the direction of the steps, by a complex step."""
    start = np.zeros(1, point[1].dtype)
    return compare.complex_step(lambda t: phi(*(v + t[0] * s for v, s in zip(point, steps))), start, start + 1)


def _layer(learn: bool, point: list[Array], dy: Array) -> tuple[Array, list[Array]]:
    """The layer's output and its pull-backs of dy to w (0 where it is fixed), W, b and z."""
    w, W, b, z = point
    layer = Residual([Dense(2, 2), Tanh()], float(w), learn)
    params = {"branch.0.weight": W, "branch.0.bias": b} | ({"w": w} if learn else {})
    y, cache = layer.forward(params, z)
    dz, grads = layer.backward(params, cache, dy)
    assert dz is not None and grads is not None
    return y, [grads.get("w", np.zeros((), z.dtype)), grads["branch.0.weight"], grads["branch.0.bias"], dz]


CHANNEL = Erratum(
    "(W z)_j = sum_i k_ij * z",
    "(W z)_j = sum_i k_ij * z_i: each kernel meets its own input channel",
    "typo",
)
KERNELS = {
    "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "padding": st.sampled_from(["zero", "circular"]),
    "seed": draw.seeds(),
}
EVEN = {"kernel": (2, 2), "padding": "circular", "seed": 1}


def convolve(k: Array, z: Array, padding: str) -> Array:
    """(k * z)_i = sum_m k_m z_{i - m} of one image by direct sums; k_0 stands at kh // 2, kw // 2."""
    result = np.zeros_like(z)
    centre = np.array(k.shape) // 2
    for place in np.ndindex(*z.shape):
        for m in np.ndindex(*k.shape):
            source = np.array(place) - m + centre
            if padding == "circular":
                result[place] += k[m] * z[tuple(source % z.shape)]
            elif (source >= 0).all() and (source < z.shape).all():
                result[place] += k[m] * z[tuple(source)]
    return result


def layer_of(k: Array, z: Array, padding: str) -> Array:
    """(W z)_j = sum_i k_ij * z_i, k of shape (i, j, kh, kw), z of shape (i, rows, columns)."""
    inputs, outputs = range(k.shape[0]), range(k.shape[1])
    return np.array([sum(convolve(k[i, j], z[i], padding) for i in inputs) for j in outputs])


def drawn_kernels(kernel: tuple[int, int], seed: int) -> tuple[Array, Array, Array, Array, Array]:
    """k, z, their directions and a cotangent: two channels in, two out, 3 x 2 pixels."""
    shapes = [(2, 2, *kernel), (2, 3, 2), (2, 2, *kernel), (2, 3, 2), (2, 3, 2)]
    parts = [draw.uniform(seed + i, shape, bits=3) for i, shape in enumerate(shapes)]
    return parts[0], parts[1], parts[2], parts[3], parts[4]


@claim("4.1.1 convolution", given=KERNELS, cases=[EVEN], code=(Conv2d,), erratum=CHANNEL, examples=30)
def layer_without_channel_index(kernel: tuple[int, int], padding: str, seed: int) -> Evidence:
    """(W z)_j = sum_i k_ij * z: every kernel applied to the whole stack of channels, summed into channel j."""
    k, z, *_ = drawn_kernels(kernel, seed)
    stack = np.broadcast_to(z.sum(axis=0), z.shape)
    return equal(_conv2d(k, z, padding)[0], layer_of(k, stack, padding), 64.0)


@claim(
    "4.1.1 convolution", reading="corrected", given=KERNELS, cases=[EVEN], code=(Conv2d, Conv2d.backward), examples=30
)
def layer_is_a_sum_of_convolutions(kernel: tuple[int, int], padding: str, seed: int) -> Evidence:
    """(W z)_j = sum_i k_ij * z_i, for zero and circular padding and kernels of every parity, with its two adjoints:
    <dz, v> + <dk, h> = <dy, h * z + k * v>. The layer correlates: its weight is the kernel turned by 180 degrees."""
    return all_of(*_convolution(kernel, padding, seed))


@layer_is_a_sum_of_convolutions.twin("correlation for convolution: the kernel not turned")
def layer_correlates(kernel: tuple[int, int], padding: str, seed: int) -> Evidence:
    return all_of(*_convolution(kernel, padding, seed, turn=lambda k: k))


@layer_is_a_sum_of_convolutions.twin("the other padding")
def layer_with_other_padding(kernel: tuple[int, int], padding: str, seed: int) -> Evidence:
    return all_of(*_convolution(kernel, padding, seed, used="zero" if padding == "circular" else "circular"))


def _turn(k: Array) -> Array:
    return k[..., ::-1, ::-1]


def _conv2d(k: Array, z: Array, padding: Any, turn: Any = _turn) -> tuple[Array, Any]:
    """Output of the layer whose weight is k turned, and its pull-back dy -> (dz, dk)."""
    layer = Conv2d(k.shape[0], k.shape[1], k.shape[2:], padding=padding, bias=False)
    params = {"weight": turn(k.transpose(1, 0, 2, 3))}
    y, cache = layer.forward(params, z[None])

    def pullback(dy: Array) -> tuple[Array, Array]:
        dz, grads = layer.backward(params, cache, dy[None])
        assert dz is not None and grads is not None
        return dz[0], turn(grads["weight"]).transpose(1, 0, 2, 3)

    return y[0], pullback


def _convolution(kernel: tuple[int, int], padding: str, seed: int, turn: Any = _turn, used: str = "") -> list[Evidence]:
    parts = drawn_kernels(kernel, seed)

    def value(dtype: Any) -> Sides:
        k, z = (p.astype(dtype) for p in parts[:2])
        return _conv2d(k, z, used or padding, turn)[0], layer_of(k, z, padding), 2.0 * k[0, 0].size

    def adjoint(dtype: Any) -> Sides:
        k, z, h, v, dy = (p.astype(dtype) for p in parts)
        dz, dk = _conv2d(k, z, used or padding, turn)[1](dy)
        derivative = dy * (layer_of(h, z, padding) + layer_of(k, v, padding))
        return pairing([dz, dk], [v, h], derivative)

    return [identity(value), identity(adjoint)]
