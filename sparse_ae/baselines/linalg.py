"""Linear algebra of the closed forms: inverses, singular vectors, factors, products with weights."""
import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from sparse_ae.runtime.processors import work_in_threads

#: Rows or columns of a matrix of items, or of users, that are made at a time.
TILE = 256

# ARPACK's relative accuracy of singular values, and the smaller side up to which all of them are computed.
_ACCURACY, _DENSE = 1e-2, 400

# Rows whose factors are solved for together, and their ratings, at most.
_ROWS, _ENTRIES = 64, 2 ** 13


def solve_factors(ratings, H, missing_weight, l2):
    """The factors of each row, (n_rows, n_factors), from H, (n_columns, n_factors): equation (6) of
    docs/explanation/baselines.md. LinAlgError if l2 is too small for a system."""
    of_all = (missing_weight * H.T.dot(H) + l2 * np.eye(H.shape[1])).astype(H.dtype)
    W, beyond = np.ascontiguousarray(ratings.dot(H), H.dtype), H.dtype.type(1 - missing_weight)
    solve, = scipy.linalg.get_lapack_funcs(("posv",), (H,))
    H, indptr = np.concatenate([H, np.zeros((1, H.shape[1]), H.dtype)]), ratings.indptr.astype(np.intp)

    def fill(group):
        rows, length = group
        at = indptr[rows][:, np.newaxis] + np.arange(length)
        rated = H[np.where(at < indptr[rows + 1][:, np.newaxis], ratings.indices.take(at, mode="clip"), -1)]
        left = np.matmul(rated.transpose(0, 2, 1), rated)
        left *= beyond
        left += of_all
        for row, of_row in zip(rows, left):
            _, found, info = solve(of_row.T, W[row], overwrite_a=True)
            if info:
                raise np.linalg.LinAlgError("the system of row %d isn't positive definite in floating point; pass a "
                                            "larger l2 than %g" % (row, l2))
            W[row] = found.ravel()

    work_in_threads(fill, _of_similar_lengths(np.flatnonzero(W.any(axis=1)), np.diff(indptr)))
    return W


def _of_similar_lengths(rows, counts):
    """Group rows by the length to which they are padded with zeros: a list of rows and a length. A row's length depends
    on its own entries alone, since the rounding of its products depends on it."""
    steps = 2 ** np.maximum(np.frexp(counts[rows])[1] - 3, 3)  # an eighth or a quarter of a count from 64 on
    lengths = -(-counts[rows] // steps) * steps
    order = np.argsort(lengths, kind="stable")
    rows, lengths, groups = rows[order], lengths[order], []
    bounds = np.flatnonzero(np.diff(lengths, prepend=-1, append=-1))
    for first, stop in zip(bounds, bounds[1:]):
        length = int(lengths[first])
        step = min(_ROWS, max(1, _ENTRIES // max(1, length)))
        groups += [(rows[start:min(start + step, stop)], length) for start in range(first, stop, step)]
    return groups


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


def right_vectors(N, k):
    """The first k right singular vectors of a float64 CSR matrix, float64 (k, n_columns), largest singular value first.
    Large matrices take ARPACK, in float32 and with 3/2 k Lanczos vectors."""
    if min(N.shape) <= max(_DENSE, 2 * k):
        if N.shape[0] > N.shape[1]:  # no dense matrix with as many rows
            return np.linalg.eigh(N.T.dot(N).toarray())[1][:, ::-1][:, :k].T
        return np.linalg.svd(N.toarray(), full_matrices=False)[2][:k]
    shorter = min(N.shape)
    start = np.random.RandomState(0).uniform(-1, 1, shorter).astype(np.float32)
    _, values, vectors = scipy.sparse.linalg.svds(N.astype(np.float32), k, ncv=min(max(20, 3 * k // 2), shorter - 1),
                                                  tol=_ACCURACY, v0=start, return_singular_vectors=True)
    return vectors[np.argsort(-values, kind="stable")].astype(np.float64)
