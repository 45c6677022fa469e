"""Every Numba kernel, one file a family; they may call each other, see `refimpl.numerics.cache`."""
