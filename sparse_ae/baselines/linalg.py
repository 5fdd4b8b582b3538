"""Linear algebra of the closed forms: inverses, and products with weights."""
import numpy as np
import scipy.linalg
import scipy.sparse as sp

#: Rows or columns of a matrix of items, or of users, that are made at a time.
TILE = 256


def csr_rows(ratings, n_items, dtype=np.float64):
    """Ratings, (n, n_items), as CSR of a dtype; TypeError or ValueError for anything else."""
    ratings = getattr(ratings, "matrix", ratings)  # of `Ratings`
    if not sp.issparse(ratings):
        raise TypeError("ratings are %s; expected a SciPy sparse matrix, a row for each user, such as train[users]"
                        % type(ratings).__name__)
    if ratings.shape[1] != n_items:
        raise ValueError("ratings are %d x %d; expected a column for each of the %d items in training"
                         % (ratings.shape + (n_items,)))
    return ratings.tocsr().astype(dtype)


def times(ratings, weights):
    """The product of CSR ratings, (n, n_items), and weights, an array or CSR matrix (n_items, m), as an array. It goes
    item by item, in a third of the time: a row of weights is read once for all users."""
    return ratings.dot(weights).toarray() if sp.issparse(weights) else ratings.tocsc().dot(weights)


def symmetric_inverse(matrix):
    """The inverse of a positive definite, C-contiguous matrix, in place; LinAlgError if it isn't positive definite."""
    factor, inverse = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (matrix,))
    found, info = factor(matrix.T, lower=True, overwrite_a=True, clean=False)
    if info:
        raise np.linalg.LinAlgError("a matrix of %d x %d isn't positive definite in floating point" % matrix.shape)
    found, _ = inverse(found, lower=True, overwrite_c=True)
    for start in range(0, len(found), TILE):  # LAPACK has filled one triangle
        stop = start + TILE
        found[start:stop, stop:] = found[stop:, start:stop].T
        block = found[start:stop, start:stop]
        block[:] = np.tril(block) + np.tril(block, -1).T
    return found.T
