"""Kernels that share their work, as they may run."""

from typing import Any

from refimpl.numerics import threads


def ways(module: Any, name: str) -> list[Any]:
    """Functions of (n, *args), n the size of the work: the compiled kernel, and its plain body on two parts."""
    part = getattr(module, f"_{name}")

    def compiled(n: int, *args: Any) -> None:
        getattr(module, name)(threads.team(1), *args)

    def plain(n: int, *args: Any) -> None:
        for low, high in ((0, n // 2), (n // 2, n)):
            getattr(part, "py_func", part)(low, high, *args)

    return [compiled, plain]
