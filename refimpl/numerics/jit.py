"""How a kernel is compiled: lazily, cached on disk, with NumPy's rules for division; or not at all.

``REFIMPL_JIT=0`` runs the plain Python body of every kernel, so that a reader can step through it.
``NUMBA_CACHE_DIR`` moves the cache; where no cache can be written the kernel compiles once a process.
"""

import os
from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)

ENABLED = os.environ.get("REFIMPL_JIT", "1") != "0"


def kernel(function: Function) -> Function:
    """Compile a function with Numba on its first call (``cache=True``, ``error_model="numpy"``).

    No explicit signatures (they would compile at import) and no fastmath: NaN and infinities
    propagate through every kernel.
    """
    if not ENABLED:
        return function
    import numba

    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no writable place for the cache
        return numba.njit(error_model="numpy")(function)
