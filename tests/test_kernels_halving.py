"""Pooling by 2 x 2 windows against argmax, compiled and as plain Python."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from parts import ways

from refimpl.numerics.kernels import halving


def plain_halving(monkeypatch: Any) -> None:
    """The kernels as they run without compilation."""
    for name, L in product(("best", "spread"), (8, 4)):
        monkeypatch.setattr(halving, f"_{name}{L}", partial(getattr(halving, f"_plain_{name}"), L))


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(2, 8), (6, 10), (4, 12), (2, 14), (2, 16), (10, 28), (2, 38)])
@pytest.mark.parametrize("values", ["ties", "special"])
def test_halving(values: str, size: Any, dtype: Any, plain: bool, monkeypatch: Any) -> None:
    """Against argmax, which takes the first of equal maxima and the first NaN, and a gradient by hand."""
    if plain:
        plain_halving(monkeypatch)
    drawn = [-2, -1, 0, 1, 2] if values == "ties" else [np.nan, -np.inf, np.inf, 1]
    x = np.random.default_rng(size[1]).choice(drawn, (5, *size)).astype(dtype)
    y, where = np.empty((5, size[0] // 2, size[1] // 2), dtype), np.empty((5, size[0] // 2, size[1] // 2), np.int32)
    ways(halving, "forward")[plain](5, x, y, where)
    each = x.reshape(5, y.shape[1], 2, y.shape[2], 2).transpose(0, 1, 3, 2, 4).reshape(*y.shape, 4)
    k = each.argmax(axis=-1)
    np.testing.assert_array_equal(y, np.take_along_axis(each, k[..., None], -1)[..., 0])
    rows, columns = 2 * np.arange(y.shape[1])[:, None] + k // 2, 2 * np.arange(y.shape[2]) + k % 2
    np.testing.assert_array_equal(where, rows * size[1] + columns)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    dx, expected = np.full_like(x, 7), np.zeros_like(x)
    ways(halving, "backward")[plain](5, dy, where, dx)
    expected[np.arange(5)[:, None, None], rows, columns] = dy
    np.testing.assert_array_equal(dx, expected)
