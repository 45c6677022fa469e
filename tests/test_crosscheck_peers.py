"""Real peers: PyTorch and SciPy judged like anybody's code; what differs is named."""

import functools

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.signal
import scipy.special

from refimpl import crosscheck
from refimpl.crosscheck import report as reports

assert_agrees = functools.partial(crosscheck.assert_agrees, examples=25)
check = functools.partial(crosscheck.check, examples=25)

# SciPy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "theirs"), [("1", "backward"), ("sqrt", "ortho"), ("n", "forward")])
def test_scipy_fft(norm, theirs):
    assert_agrees("resolution.dft", functools.partial(scipy_fftn, norm=theirs), conventions={"norm": norm})
    inverse = functools.partial(scipy.fft.ifftn, norm=theirs)
    assert_agrees("resolution.inverse_dft", lambda v_hat: inverse(v_hat), conventions={"norm": norm})


def scipy_fftn(v, norm):
    return scipy.fft.fftn(v, norm=norm)


def test_scipy_orders_of_frequencies():
    assert_agrees("resolution.centred_spectrum", lambda v_hat: scipy.fft.fftshift(v_hat))
    assert_agrees("resolution.fft_order", lambda v_hat: scipy.fft.ifftshift(v_hat))
    wrong = check("resolution.fft_order", lambda v_hat: scipy.fft.fftshift(v_hat))
    assert [d.mistake for d in wrong.diagnoses] == ["fftshift for ifftshift on odd sizes"]


def test_scipy_resample_is_trigonometric_interpolation():
    """It splits and folds the Nyquist frequency as this package does, axis by axis."""

    def resample(v, size):
        for axis, length in enumerate(size):
            v = scipy.signal.resample(v, length, axis=axis)
        return v

    assert_agrees("resolution.trigonometric_interpolation", resample)


def test_scipy_convolution_is_a_convolution():
    def convolved(x, weight, bias):
        images = [[sum(one(z, w) for z, w in zip(image, kernel)) for kernel in weight] for image in x]
        return np.array(images) + bias[:, None, None]

    def one(z, w):
        return scipy.signal.convolve2d(z, w, mode="valid")

    fixed = {"stride": 1, "padding": "valid"}
    assert_agrees("setting.conv2d.forward", convolved, fixed=fixed, conventions={"kind": "convolution"})
    found = check("setting.conv2d.forward", convolved, fixed=fixed)
    assert any("correlation for convolution" in d.mistake for d in found.diagnoses)


def test_scipy_periodic_convolution_has_its_origin_in_the_middle():
    """ndimage.convolve puts the origin at the centre of the kernel; in the corner it is the package's."""

    def wrapped(theta, v):
        if any(m > n for m, n in zip(theta.shape, v.shape)):
            raise NotImplementedError("kernel larger than the image")
        origin = [-(m // 2) for m in theta.shape]
        return scipy.ndimage.convolve(v, theta, mode="wrap", origin=origin).astype(v.dtype)

    found = assert_agrees("resolution.spatial_convolution", wrapped)
    assert found.declined["kernel larger than the image"]


def test_scipy_softmax_and_activations():
    def value(logits, labels):
        return -np.mean(scipy.special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels])

    assert_agrees("setting.cross_entropy.value", value)
    assert_agrees("setting.sigmoid", lambda x: scipy.special.expit(x))
    assert_agrees("setting.gelu", lambda x: x * scipy.special.ndtr(x))


# PyTorch ------------------------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch_agrees = functools.partial(assert_agrees, adapter="torch")


def test_softshrink():
    module = torch.nn.Softshrink(0.5)
    found = check("sparsity.prox_l1", lambda v: module(v), adapter="torch", fixed={"tau": 1.0, "lam": 0.5})
    assert found.agrees, reports.text(found)


def conv2d(x, weight, bias, stride, padding):
    """The padding of the chapter, spelled out for PyTorch."""
    kh, kw = weight.shape[2:]
    margins = ((kw - 1) // 2, kw // 2, (kh - 1) // 2, kh // 2)
    if padding == "circular" and (kh // 2 >= x.shape[2] + 1 or kw // 2 >= x.shape[3] + 1):
        raise NotImplementedError("padding larger than the image")
    mode = {"circular": "circular", "zero": "constant", "valid": "constant"}[padding]
    return F.conv2d(x if padding == "valid" else F.pad(x, margins, mode=mode), weight, bias, stride)


def test_conv2d_forward_and_backward():
    torch_agrees("setting.conv2d.forward", conv2d)
    torch_agrees("setting.conv2d.backward", conv2d_backward)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv2d_same_padding():
    def same(x, weight, bias):
        return F.conv2d(x, weight, bias, padding="same")

    torch_agrees("setting.conv2d.forward", same, fixed={"stride": 1, "padding": "zero"})


def conv2d_backward(x, weight, bias, stride, padding, dy):
    """By autograd."""
    leaves = [a.clone().requires_grad_() for a in (x, weight, bias)]
    return torch.autograd.grad(conv2d(*leaves, stride, padding), leaves, dy)


def test_cross_entropy():
    def value(logits, labels):
        return F.cross_entropy(logits, labels.long() if labels.ndim == 1 else labels)

    def gradient(logits, labels):
        z = logits.clone().requires_grad_()
        return torch.autograd.grad(value(z, labels), z)[0]

    for name in ("cross_entropy", "cross_entropy_distributions"):
        torch_agrees(f"setting.{name}.value", value)
        torch_agrees(f"setting.{name}.gradient", gradient)
    found = check("setting.cross_entropy.value", lambda z, y: F.cross_entropy(F.softmax(z, 1), y), adapter="torch")
    assert [d.mistake for d in found.diagnoses] == ["softmax applied twice"]


def test_gelu():
    torch_agrees("setting.gelu", lambda x: F.gelu(x))
    torch_agrees("setting.gelu", lambda x: F.gelu(x, approximate="tanh"), conventions={"approximate": "tanh"})
    found = check("setting.gelu", lambda x: F.gelu(x, approximate="tanh"), adapter="torch")
    assert [d.mistake for d in found.diagnoses] == ["another convention: approximate=tanh"]


def test_batch_norm():
    def normalised(x, weight, bias, eps):
        module = torch.nn.BatchNorm2d(len(weight), eps=eps, dtype=x.dtype)
        module.weight.data, module.bias.data = weight, bias
        return module(x)

    torch_agrees("setting.batch_norm2d.forward", normalised)


def test_pooling():
    torch_agrees("setting.max_pool2d.forward", lambda x, size: F.max_pool2d(x, size))
    torch_agrees("setting.average_pool2d.forward", lambda x, size: F.avg_pool2d(x, size))
    torch_agrees("setting.adaptive_average_pool2d.forward", lambda x, size: F.adaptive_avg_pool2d(x, size))


def test_torch_fft():
    torch_agrees("resolution.dft", lambda v: torch.fft.fftn(v))
    torch_agrees("resolution.inverse_dft", lambda v_hat: torch.fft.ifftn(v_hat))
    torch_agrees("resolution.fft_order", lambda v_hat: torch.fft.ifftshift(v_hat))


PLAIN = {"lam": 0.0, "delta": 1.0}
optimizer = functools.partial(check, style="torch-optimizer")


def test_adam_is_adabreg_without_penalty():
    found = optimizer("sparsity.adabreg.trajectory", torch.optim.Adam, fixed=PLAIN)
    assert found.agrees and found.cases > 25, reports.text(found)
    drawn = optimizer("sparsity.adabreg.trajectory", torch.optim.Adam)
    assert drawn.declined["the constructor has no lam, delta; to compare the rest: --set lam=0.0 --set delta=1.0"] >= 10


def test_sgd():
    assert optimizer("setting.gradient_descent.trajectory", torch.optim.SGD).agrees
    assert optimizer("setting.gradient_descent.quadratic", torch.optim.SGD).agrees


def test_momentum_of_torch_lacks_the_factor_one_minus_beta():
    found = optimizer("sparsity.momentum.trajectory", torch.optim.SGD, fixed=PLAIN)
    assert "(1 - beta) missing" in found.diagnoses[0].mistake and len(found.diagnoses) == 1

    def scaled(params, lr, momentum):
        return torch.optim.SGD(params, lr=lr * (1 - momentum), momentum=momentum)

    assert optimizer("sparsity.momentum.trajectory", scaled, fixed=PLAIN).agrees

    def damped(params, lr, momentum):
        return torch.optim.SGD(params, lr=lr, momentum=momentum, dampening=momentum)

    found = optimizer("sparsity.momentum.trajectory", damped, fixed=PLAIN)
    assert [d.mistake.split(":")[0] for d in found.diagnoses] == ["lr damped momentum"]


class LinBreg(torch.optim.Optimizer):
    """A stranger's optimizer; ``wrong`` takes the threshold lam instead of delta lam."""

    def __init__(self, params, lr=1e-3, lam=0.0, delta=1.0, wrong=False):
        super().__init__(params, {"lr": lr, "lam": lam, "delta": delta, "wrong": wrong})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state, delta, lam = self.state[p], group["delta"], group["lam"]
                if not state:
                    state["v"] = p / delta + lam * torch.sign(p)
                state["v"] -= group["lr"] * p.grad
                p.copy_(F.softshrink(delta * state["v"], lam if group["wrong"] else delta * lam))


def test_a_strangers_linbreg():
    assert optimizer("sparsity.linbreg.trajectory", LinBreg).agrees
    assert optimizer("sparsity.linbreg.quadratic", LinBreg).agrees
    found = optimizer("sparsity.linbreg.trajectory", functools.partial(LinBreg, wrong=True))
    assert [d.mistake for d in found.diagnoses] == ["threshold not scaled by delta"]
    text = reports.text(found)
    assert "first differs at step 1, coordinate 0" in text
    assert "Your output equals: threshold not scaled by delta" in text


def test_scikit_learn_squared_error_agrees_and_its_softmax_underflows():
    metrics = pytest.importorskip("sklearn.metrics")
    extmath = pytest.importorskip("sklearn.utils.extmath")

    def squared(y, target):
        return metrics.mean_squared_error(np.ravel(target), np.ravel(y))

    def finite_only(function):
        def answer(y, target):  # None declines: scikit-learn refuses NaN and infinities
            return function(y, target) if np.isfinite(y).all() and np.isfinite(target).all() else None

        return answer

    def entropy(logits, labels):
        with np.errstate(divide="ignore"):
            return -np.mean(np.log(extmath.softmax(logits)[np.arange(len(labels)), labels]))

    usual = {"y": np.array([[0.5, -1.0]]), "target": np.array([[0.25, 2.0]])}
    assert squared(**usual) == (0.25**2 + 9) / 2
    assert_agrees("setting.squared_error.value", finite_only(squared))
    assert not check("setting.cross_entropy.value", entropy, examples=20).agrees, "log of an underflowed softmax"
