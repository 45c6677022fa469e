"""Floor 0: argument checks, errors in units of eps, the Numba kernels. Knows no chapter."""
