"""Robust and sparse supervised learning, computed line by line from the formulas, without autodiff.

The sections of the chapter are the subpackages; each loads when it is first asked for, so that
``import refimpl`` itself loads neither Numba nor SciPy nor matplotlib.

================  ========================================================
``data``          digit glyphs drawn at any resolution, IDX and CIFAR-10 files
``setting``       Section 4.1: losses, layers, networks, gradient descent
``robustness``    Section 4.2: attacks, Lipschitz constants, CLIP
``sparsity``      Section 4.3: regularizers, Bregman iterations, optimizers
``resolution``    Section 4.4: Fourier layers, trigonometric interpolation
``claims``        every numbered statement as an executable check
``crosscheck``    judges other people's implementations
``experiments``   the figures and tables
================  ========================================================
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SECTIONS = ("setting", "robustness", "sparsity", "resolution")
_SUBPACKAGES = ("numerics", "data", *_SECTIONS, "claims", "crosscheck", "experiments")
__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"refimpl.{name}")
    raise AttributeError(f"module 'refimpl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
