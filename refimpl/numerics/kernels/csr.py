"""Compressed sparse rows: building them from a dense matrix, and products with a dense one (feature-major)."""

from refimpl.numerics.jit import kernel


@kernel
def compress(W, starts, columns, values):
    """The nonzero entries of W (n, m), row after row; row i lies at starts[i] ... starts[i + 1] - 1. NaN is no zero."""
    n, m = W.shape
    k = 0
    for i in range(n):
        starts[i] = k
        for j in range(m):
            if W[i, j] != 0:
                columns[k] = j
                values[k] = W[i, j]
                k += 1
    starts[n] = k


@kernel
def times(starts, columns, values, X, Y):
    """Y = W X: row i of Y is the sum of W_ij times row j of X."""
    for i in range(Y.shape[0]):
        Y[i] = 0
        for k in range(starts[i], starts[i + 1]):
            a, j = values[k], columns[k]
            for b in range(X.shape[1]):
                Y[i, b] += a * X[j, b]


@kernel
def times_transposed(starts, columns, values, Y, X):
    """X = W^T Y: row i of Y goes to row j of X with the factor W_ij, in the order of the rows."""
    X[:] = 0
    for i in range(Y.shape[0]):
        for k in range(starts[i], starts[i + 1]):
            a, j = values[k], columns[k]
            for b in range(Y.shape[1]):
                X[j, b] += a * Y[i, b]
