"""Floor 4: judges other people's implementations.

>>> from refimpl.crosscheck import assert_agrees
>>> assert_agrees("sparsity.prox_l1", my_soft_shrinkage)

==============  =====================================================================
target          an operation: inputs, reference, relation, tolerance, conventions
case            one set of inputs by name
candidate       a function, an optimizer class, or a command that claims to be the target
mistake         a wrong twin of the reference, with a name
k               tolerance in units of eps * scale
==============  =====================================================================

Some conventions of well-known libraries, as the judge finds them:

* torch ``SGD(momentum=beta)``: (4.22) without (1 - beta); the same as (4.22) for ``lr`` times (1 - beta).
  ``dampening=beta`` is not (4.22) either: the first gradient is not damped.
* torch ``Adam``: AdaBreg for lam = 0, delta = 1. torch ``Softshrink(t)``: prox_l1 for tau lam = t.
* torch ``conv2d``: a cross-correlation, ``scipy.signal.convolve2d`` a convolution: ``--set kind=convolution``. For even
  kernels ``padding="same"`` puts the extra row below and right, as `refimpl.setting.Conv2d` does.
* torch ``GELU(approximate="tanh")``: ``--set approximate=tanh``. torch and SciPy ``fft``: their "backward", "ortho",
  "forward" are ``--set norm=1``, ``sqrt``, ``n``.
* ``scipy.signal.resample`` is trigonometric interpolation with Nyquist splitting, axis by axis.
* ``scipy.ndimage.convolve(mode="wrap")`` centres the kernel; ``origin=-(m // 2)`` puts it into the corner.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.crosscheck.judge import Report
    from refimpl.crosscheck.target import Target, find, targets
    from refimpl.crosscheck.testing import assert_agrees, check, parametrize

__all__ = ["Report", "Target", "assert_agrees", "check", "find", "parametrize", "targets"]

_HOME = {"Report": "judge", "Target": "target", "find": "target", "targets": "target"}


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'testing')}"), name)
