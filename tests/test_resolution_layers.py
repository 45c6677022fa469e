"""Resolution-free layers: adjoints, both routes, torch's autograd on an independent formulation, training."""

from itertools import product

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.resolution import (
    FourierLayer,
    OversampledActivation,
    Resize,
    SpectralConv,
    TrigonometricStride,
    full_spectrum,
    spatial_convolution_channels,
    spectral_convolution_channels,
    to_spectral,
    transform,
    trigonometric_interpolation,
)
from refimpl.resolution import spectral as partial
from refimpl.setting.activations import GELU, Identity, ReLU, Sigmoid, Tanh


def dyadic(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).integers(-512, 512, shape) / 256).astype(dtype)


def parameters(layer, dtype=np.float64, seed=0):
    return {name: dyadic(shape, dtype, seed + i) for i, (name, shape) in enumerate(layer.shapes.items())}


def combinations(count, seed=0):
    """(M, N, L) in 1, 2 and 3 dimensions, every parity, any order of sizes."""
    rng = np.random.default_rng(seed)
    line = [((m,), (n,), (l,)) for m, n, l in product(range(1, 7), repeat=3)]
    plane = [tuple(tuple(map(int, rng.integers(1, 7, 2))) for _ in range(3)) for _ in range(count)]
    space = [tuple(tuple(map(int, rng.integers(1, 5, 3))) for _ in range(3)) for _ in range(count // 2)]
    return line + plane + space


CASES = [
    (SpectralConv(2, 3, (5,)), (2, 2, 8)),
    (SpectralConv(2, 3, 4, size=6), (2, 2, 7)),
    (SpectralConv(2, 3, (4, 4)), (2, 2, 4, 5)),
    (SpectralConv(2, 3, (4, 4), parametrization="unitary"), (2, 2, 4, 6)),
    (SpectralConv(2, 1, (3, 6), (5, 4), bias=False), (2, 2, 7, 4)),
    (SpectralConv(1, 2, (3, 2, 4), (4, 4, 4)), (2, 1, 3, 4, 4)),
    (Resize((5, 4)), (2, 3, 4, 6)),
    (Resize((5, 4), "bilinear", antialias=True), (2, 3, 4, 6)),
    (Resize(3, "bicubic"), (2, 3, 7)),
    (Resize((2, 2), "nearest"), (2, 3, 4, 6)),
    (TrigonometricStride(2), (2, 3, 8, 5)),
    (TrigonometricStride((1, 3)), (2, 3, 8, 5)),
]
ANALYTIC = [
    (FourierLayer(2, 3, (3, 4), GELU()), (2, 2, 6, 5)),
    (FourierLayer(2, 3, (3,), Tanh(), "unitary"), (2, 2, 6)),
    (OversampledActivation(Sigmoid(), 2), (2, 3, 4, 5)),
    (OversampledActivation(GELU(), 3), (2, 3, 6)),
]


@pytest.mark.parametrize("dtype", compare.rungs())
@pytest.mark.parametrize("layer,shape", CASES, ids=str)
def test_adjoint(layer, shape, dtype):
    """Bilinear maps: central differences are exact, so that <backward(dy), (v, w)> = <dy, D[v, w]> is flat in eps."""
    p, q = parameters(layer, dtype), parameters(layer, dtype, 7)
    x, v = dyadic(shape, dtype, 20), dyadic(shape, dtype, 21)
    y, cache = layer.forward(p, x)
    assert y.dtype == dtype
    dy = dyadic(y.shape, dtype, 22)
    dx, dp = layer.backward(p, cache, dy)
    up = layer.forward({k: p[k] + q[k] for k in p}, x + v)[0]
    down = layer.forward({k: p[k] - q[k] for k in p}, x - v)[0]
    assert dx.dtype == dtype and all(g.dtype == dtype and g.shape == layer.shapes[k] for k, g in dp.items())
    error = compare.adjoint_error([dx, *dp.values()], [v, *q.values()], dy, (up - down) / 2)
    assert error <= 16
    halves(layer, p, cache, dy, dx, dp)


@pytest.mark.parametrize("layer,shape", ANALYTIC, ids=str)
def test_adjoint_of_nonlinear_layers(layer, shape):
    p, q = parameters(layer), parameters(layer, seed=7)
    x, v = dyadic(shape, seed=20) / 2, dyadic(shape, seed=21)
    y, cache = layer.forward(p, x)
    dy = dyadic(y.shape, seed=22)
    dx, dp = layer.backward(p, cache, dy)
    h = 1e-4

    def along(t):
        return layer.forward({k: p[k] + t * q[k] for k in p}, x + t * v)[0]

    derivative = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)  # O(h^4)
    lhs = np.sum(dx * v) + sum(np.sum(dp[k] * q[k]) for k in p)
    assert abs(lhs - np.sum(dy * derivative)) <= 1e-9 * np.sum(np.abs(dy * derivative))
    halves(layer, p, cache, dy, dx, dp)


def halves(layer, p, cache, dy, dx, dp):
    """need="input" and need="parameters" give the two halves."""
    assert np.array_equal(layer.backward(p, cache, dy, "input")[0], dx)
    for name, g in (layer.backward(p, cache, dy, "parameters")[1] or {}).items():
        assert np.array_equal(g, dp[name])


@pytest.mark.parametrize("parametrization", ["half", "unitary"])
def test_forward_is_the_spectral_convolution_on_the_finer_grid(parametrization):
    for m, n, l in combinations(60):
        d, finer = len(m), tuple(map(max, n, l))
        layers = [SpectralConv(2, 2, m, l, True, parametrization, route) for route in ("fft", "matrix")]
        p = parameters(layers[0], seed=m[0])
        x = dyadic((2, 2, *n), seed=n[0])
        y = spectral_convolution_channels(layers[0].spectrum(p), trigonometric_interpolation(x, finer))
        y = trigonometric_interpolation(y, l) + p["bias"].reshape(-1, *[1] * d)
        g, results = dyadic(y.shape, seed=l[0]), []
        for layer in layers:
            out, cache = layer.forward(p, x)
            assert compare.eps_error(out, y, 100) <= 16, (m, n, l)
            results.append(layer.backward(p, cache, g))
        (dx, dp), (dx2, dp2) = results
        assert compare.eps_error(dx, dx2) <= 64
        assert compare.eps_error(dp["weight"], dp2["weight"]) <= 64


@pytest.mark.parametrize("dtype", compare.rungs())
@pytest.mark.parametrize("parametrization", ["half", "unitary"])
def test_every_precision_to_its_last_digits(parametrization, dtype):
    theta, x = dyadic((2, 2, 3, 7), dtype), dyadic((2, 2, 5, 7), dtype, 1)
    layer = SpectralConv(2, 2, (5, 7), bias=False, parametrization=parametrization)
    y = layer.forward(layer.from_spectrum(to_spectral(theta, (5, 7))), x)[0]
    assert y.dtype == dtype
    assert compare.eps_error(y, spatial_convolution_channels(theta, x), 100) <= 8


def test_stored_half_means_its_full_spectrum():
    layer = SpectralConv(2, 3, (4, 6))
    p = parameters(layer)
    stored = p["weight"][..., 0] + 1j * p["weight"][..., 1]
    assert compare.eps_error(layer.spectrum(p), full_spectrum(stored, 6, 2)) == 0
    theta_hat = transform(dyadic((3, 2, 4, 6)), 2)
    for other in (layer, SpectralConv(2, 3, (4, 6), parametrization="unitary")):
        assert compare.eps_error(other.spectrum(other.from_spectrum(theta_hat)), theta_hat) <= 16


def test_unitary_parameters_are_an_isometry_of_the_kernel():
    layer = SpectralConv(2, 3, (4, 5), parametrization="unitary")
    theta = dyadic((3, 2, 4, 5))
    weight = layer.from_spectrum(to_spectral(theta, (4, 5)))["weight"]
    assert np.isclose(np.linalg.norm(weight), np.linalg.norm(theta), rtol=1e-14)


def torch_gradients(torch, m, n, l, x, weight, g):
    """y = Re sum_k theta_hat_k x_hat_k exp(2 pi i <k, j/L>) over |k_a| <= min(M, N, L)/2, densely, by autograd."""
    d = len(m)
    band = list(product(*(range(-(min(t) // 2), min(t) // 2 + 1) for t in zip(m, n, l))))
    points = {t: np.array(list(np.ndindex(t)), float).reshape(-1, d) / np.array(t) for t in (n, l)}

    def split(k, size):
        return 0.5 ** sum(2 * abs(a) == s for a, s in zip(k, size))

    ks = np.array(band, float).reshape(-1, d)
    forward = (
        np.exp(-2j * np.pi * ks @ points[n].T) * np.array([split(k, n) for k in band])[:, None] / points[n].shape[0]
    )
    backward = np.exp(2j * np.pi * ks @ points[l].T)
    full = stored_entries(torch, m, band, weight) * torch.tensor(np.array([split(k, m) for k in band]))
    x_hat = torch.einsum("kj,bij->bik", torch.tensor(forward), x.reshape(*x.shape[:2], -1).to(torch.complex128))
    y = torch.einsum("oik,bik,kj->boj", full, x_hat, torch.tensor(backward)).real
    return y.reshape(g.shape), *torch.autograd.grad(y.reshape(g.shape), (x, weight), g)


def stored_entries(torch, m, band, weight):
    """theta_hat_k: (w_k + conj w_{-k}) / 2 where both are stored, else the stored one or its conjugate."""
    w = torch.view_as_complex(weight)

    def entry(k):
        k = tuple(a % s for a, s in zip(k, m))
        return w[(..., *k)] if k[-1] <= m[-1] // 2 else None

    columns = []
    for k in band:
        here, there = entry(k), entry([-a for a in k])
        there = None if there is None else there.conj()
        both = (here + there) / 2 if here is not None and there is not None else None
        columns.append(both if both is not None else here if here is not None else there)
    return torch.stack(columns, -1)


def test_gradients_are_those_of_torch_on_over_500_sizes():
    torch = pytest.importorskip("torch")
    cases, worst = combinations(240, seed=1), 0.0
    assert len(cases) > 500
    for i, (m, n, l) in enumerate(cases):
        layer = SpectralConv(2, 2, m, l, bias=False, route=("fft", "matrix")[i % 2])
        rng = np.random.default_rng(i)
        w, x, g = (rng.normal(size=s) for s in (layer.shapes["weight"], (2, 2, *n), (2, 2, *l)))
        y, cache = layer.forward({"weight": w}, x)
        dx, dp = layer.backward({"weight": w}, cache, g)
        tensors = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
        theirs = torch_gradients(torch, m, n, l, *tensors, torch.tensor(g))
        for ours, other in zip((y, dx, dp["weight"]), theirs):
            other = other.detach().numpy()
            worst = max(worst, np.linalg.norm(ours - other) / np.linalg.norm(other))
    assert worst <= 1e-13


def test_route_by_size():
    assert partial.by_matrix((28, 28), (2, 2), np.float32)
    assert partial.by_matrix((28, 28), (14, 14), np.float64)
    assert partial.by_matrix((512, 512), (59, 59), np.float32)  # 476 <= 24 * 20
    assert not partial.by_matrix((512, 512), (60, 60), np.float32)  # 484
    assert partial.by_matrix((1, 512), (0, 65), np.float64) and not partial.by_matrix((1, 512), (0, 66), np.float64)
    assert not partial.by_matrix((28, 28), (2, 2), np.longdouble)


def test_fourier_layer_is_its_formula():
    layer = FourierLayer(2, 3, (3, 3), GELU())
    p, u = parameters(layer), dyadic((2, 2, 5, 6))
    kernel = SpectralConv(2, 3, (3, 3)).forward({"weight": p["weight"], "bias": p["bias"]}, u)[0]
    psi = np.einsum("oi,bixy->boxy", p["residual"], u) + kernel
    assert compare.eps_error(layer.forward(p, u)[0], GELU().value(psi)) <= 16


def test_resampling_layers_are_interpolation():
    x = dyadic((2, 3, 5, 8))
    assert np.array_equal(TrigonometricStride(2).forward({}, x)[0], trigonometric_interpolation(x, (3, 4)))
    assert np.array_equal(TrigonometricStride((5, 1)).forward({}, x)[0], trigonometric_interpolation(x, (1, 8)))
    assert np.array_equal(Resize((3, 9)).forward({}, x)[0], trigonometric_interpolation(x, (3, 9)))
    fine = np.maximum(trigonometric_interpolation(x, (10, 16)), 0)
    assert np.array_equal(OversampledActivation(ReLU(), 2).forward({}, x)[0], trigonometric_interpolation(fine, (5, 8)))
    assert np.array_equal(OversampledActivation(ReLU(), 1).forward({}, x)[0], np.maximum(x, 0))


def descend(layer, weight, x, target, step, steps=30, momentum=0.5):
    """Gradient descent with momentum on 1/2 |layer(x) - target|^2."""
    velocity = np.zeros_like(weight)
    for _ in range(steps):
        y, cache = layer.forward({"weight": weight}, x)
        gradient = layer.backward({"weight": weight}, cache, y - target, "parameters")[1]["weight"]
        velocity = momentum * velocity + gradient
        weight = weight - step * velocity
    return weight


@pytest.mark.parametrize("n", [(7, 7), (6, 5), (8,)])
def test_unitary_training_is_training_the_kernel_and_half_is_not(n):
    """Lemma 4.30 and what follows: theta-descent, written as direct sums, against both parametrisations."""
    d = len(n)
    theta, x, target = dyadic((1, 1, *n)) / 8, dyadic((1, 1, *n), seed=1), dyadic((1, 1, *n), seed=2)
    step, velocity, trained = 1e-3, 0.0, theta.copy()
    shifts = list(np.ndindex(n))
    rolled = np.stack([np.roll(x[0, 0], k, tuple(range(d))) for k in shifts])  # d C(theta)(x) / d theta_k
    for _ in range(30):
        residual = spatial_convolution_channels(trained, x) - target
        velocity = 0.5 * velocity + np.tensordot(rolled, residual[0, 0], d).reshape(theta.shape)
        trained = trained - step * velocity
    ends = {}
    for parametrization, factor in (("unitary", 1.0), ("half", float(np.prod(n)))):
        layer = SpectralConv(1, 1, n, bias=False, parametrization=parametrization)
        start = layer.from_spectrum(to_spectral(theta, n))["weight"]
        end = descend(layer, start, x, target, factor * step)
        ends[parametrization] = layer.spectrum({"weight": end})
    expected = to_spectral(trained, n)
    assert compare.eps_error(ends["unitary"], expected) <= 64
    assert np.abs(ends["half"] - expected).max() > 1e-3 * np.abs(expected).max()


def test_initialisation_keeps_the_variance():
    layer = SpectralConv(16, 16, (9, 9))
    p = layer.init(np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(8, 16, 9, 9))
    assert abs(np.var(layer.forward(p, x)[0]) - 2) < 0.2
    full = SpectralConv(16, 16, (9, 9), parametrization="unitary").init(np.random.default_rng(0))
    assert np.isclose(np.linalg.norm(full["weight"]) ** 2, 16 * 2, rtol=0.1)
    assert not p["bias"].any()
    assert not np.any(layer.from_spectrum(np.ones((16, 16, 9, 9)))["bias"])
    fourier_layer = FourierLayer(16, 16, (9, 9), Identity())
    q = fourier_layer.init(np.random.default_rng(0))
    assert set(q) == {"residual", "weight", "bias"}
    assert abs(np.var(q["residual"]) - 1 / 16) < 0.02
    assert abs(np.var(fourier_layer.forward(q, x)[0]) - 2) < 0.2


def test_nan_stays_and_inputs_are_kept():
    layer = SpectralConv(1, 1, (3, 3))
    p, x = parameters(layer), dyadic((2, 1, 4, 4))
    x[0, 0, 0, 0] = np.nan
    x.setflags(write=False)
    y = layer.forward(p, x)[0]
    assert np.isnan(y[0]).all() and not np.isnan(y[1]).any()
    strided = np.asfortranarray(dyadic((2, 1, 8, 8)))[..., ::2, ::-1]
    assert np.array_equal(layer.forward(p, strided)[0], layer.forward(p, strided.copy())[0])


@pytest.mark.parametrize(
    "call,name",
    [
        (lambda: SpectralConv(0, 1, 3), "c_in"),
        (lambda: SpectralConv(1, 1.5, 3), "c_out"),
        (lambda: SpectralConv(1, 1, (3, 0)), "modes"),
        (lambda: SpectralConv(1, 1, 3, (3, 3)), "size"),
        (lambda: SpectralConv(1, 1, 3, parametrization="full"), "parametrization"),
        (lambda: SpectralConv(1, 1, 3, route="dct"), "route"),
        (lambda: SpectralConv(2, 1, 3).forward({}, np.zeros((1, 1, 4))), "x"),
        (lambda: SpectralConv(1, 1, 3).forward({}, np.zeros((1, 1, 4, 4))), "x"),
        (lambda: FourierLayer(1, 1, 3, "relu"), "activation"),
        (lambda: FourierLayer(0, 1, 3), "c_in"),
        (lambda: Resize(0), "size"),
        (lambda: Resize(3, "sinc"), "method"),
        (lambda: Resize(3).forward({}, np.zeros(3)), "x"),
        (lambda: TrigonometricStride(0), "stride"),
        (lambda: TrigonometricStride((1, 2)).forward({}, np.zeros((1, 1, 4))), "x"),
        (lambda: OversampledActivation(ReLU(), 0), "factor"),
        (lambda: OversampledActivation("relu"), "activation"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        call()
