"""Every Numba kernel, one self-contained file a family; kernels never call kernels of another file."""
