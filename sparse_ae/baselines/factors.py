"""Closed forms of factors: the low-pass filter of GF-CF, equation (4) of docs/explanation/baselines.md, and factors of
all entries, equations (5) and (6), in which missing ones count too."""
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from sparse_ae.baselines.ease import csr_rows, symmetric_inverse
from sparse_ae.data.ratings import rating_counts
from sparse_ae.files.storage import in_steps, shortened
from sparse_ae.runtime.processors import work_in_threads

# ARPACK's relative accuracy of singular values, and the smaller side up to which all of them are computed.
_ACCURACY, _DENSE = 1e-2, 400

# Sweeps from the singular vectors; rows whose factors are solved for together, and their ratings, at most.
_SWEEPS, _ROWS, _ENTRIES = 2, 64, 2 ** 13


class LowPass(NamedTuple):
    """Equation (4): `vectors`, V', float32 (k, n_items), and `roots`, the diagonal of D_i^1/2, float32 (n_items,)."""

    vectors: np.ndarray
    roots: np.ndarray

    def rounded(self):
        """As `ItemWeights.rounded`."""
        return self._replace(vectors=shortened(self.vectors))

    def scores(self, ratings):
        """As `ItemWeights.scores`, in float32."""
        found = self.factors_of(ratings).dot(self.vectors)
        found *= self.roots
        return found

    def factors_of(self, ratings):
        """The users' factors, (n, k)."""
        ratings = csr_rows(ratings, len(self.roots), np.float32)
        return ratings.dot(sp.diags(_inverted(self.roots))).dot(self.vectors.T)

    @property
    def H(self):
        """The items' factors, (n_items, k)."""
        return (self.vectors * self.roots).T


class FilterSystem:
    """N of equation (4), float64, and as many singular vectors as were needed so far."""

    def __init__(self, X):
        X = X.astype(np.float64)
        of_users, self._of_items = (np.sqrt(counts.astype(np.float64)) for counts in rating_counts(X))
        self._N = sp.diags(_inverted(of_users)).dot(X).dot(sp.diags(_inverted(self._of_items))).tocsr()
        self._vectors = np.zeros((0, X.shape[1]))

    @property
    def most(self):
        """The largest useful k: all singular vectors give the ratings themselves, and 0 elsewhere."""
        rated = [np.count_nonzero(np.diff(self._N.indptr)), np.count_nonzero(self._of_items)]
        return max(1, int(min(rated)) - 1)

    def solve(self, k):
        """The `LowPass` of k singular vectors, of `most` at most."""
        k = min(k, self.most)
        if k > len(self._vectors):
            self._vectors = right_vectors(self._N, k)
        # In Fortran's order: products with CSR matrices would copy V each time.
        return LowPass(np.asfortranarray(self._vectors[:k], np.float32), self._of_items.astype(np.float32))


class ItemFactors(NamedTuple):
    """The items' side of equation (5): H, float32 or float64 (n_items, n_factors), v and l2."""

    H: np.ndarray
    missing_weight: float
    l2: float

    def rounded(self):
        """As `ItemWeights.rounded`."""
        return self._replace(H=in_steps(self.H))

    def scores(self, ratings):
        """As `ItemWeights.scores`: each user's factors are solved for by the user's own ratings alone."""
        return factor_solver(*self)(csr_rows(ratings, len(self.H), self.H.dtype)).dot(self.H.T)

    def parts(self, ratings, items):
        """The parts of a user's ratings, a csr_matrix (1, n_items), in the scores of items, float64, (n_rated, n): by
        (6) scores are linear in the ratings of given items."""
        H = self.H.astype(np.float64)
        rated, v = H[ratings.indices], self.missing_weight
        left = v * H.T.dot(H) + (1 - v) * rated.T.dot(rated) + self.l2 * np.eye(H.shape[1])
        return ratings.data[:, np.newaxis] * rated.dot(np.linalg.solve(left, H[items].T))


class FactorSystem:
    """Ratings with v = `missing_weight`, and the factors to begin with, from singular vectors."""

    def __init__(self, X, n_factors=64, missing_weight=0.2):
        self._X, self._by_items, self._missing_weight = X, X.T.tocsr(), missing_weight
        V = right_vectors(X.astype(np.float64), min(n_factors, *X.shape)).T
        self._start = (V * np.sqrt(np.linalg.norm(X.dot(V), axis=0))).astype(np.float32)

    def solve(self, l2):
        """The float32 `ItemFactors` with a decay of more than 0."""
        H, settings = self._start, (self._missing_weight, l2)
        for _ in range(_SWEEPS):
            W = factor_solver(H, *settings)(self._X)
            H = factor_solver(W, *settings)(self._by_items)
        return ItemFactors(H, *settings)


def factor_solver(H, missing_weight, l2):
    """A function from CSR ratings, (n, n_columns), to the factors of each row, (n, k), by H, (n_columns, k): equation
    (6). LinAlgError if l2 is too small."""
    of_all = (missing_weight * H.T.dot(H) + l2 * np.eye(H.shape[1])).astype(H.dtype)
    inverse, beyond = symmetric_inverse(of_all.copy()), H.dtype.type(1 - missing_weight)
    solve, = scipy.linalg.get_lapack_funcs(("posv",), (H,))

    def factors_of(ratings):
        W, indptr = np.ascontiguousarray(ratings.dot(H), H.dtype), ratings.indptr.astype(np.intp)

        def fill(group):
            rows, length = group
            at = indptr[rows][:, np.newaxis] + np.arange(length)
            there = at < indptr[rows + 1][:, np.newaxis]
            rated = H[ratings.indices.take(at, mode="clip")]
            rated[~there] = 0
            if 2 * length <= H.shape[1]:  # a system of the ratings takes a fifth of the time
                of_rated = np.matmul(rated, inverse)
                left = np.matmul(of_rated, rated.transpose(0, 2, 1)) * beyond + np.eye(length, dtype=H.dtype)
                x = np.where(there, ratings.data.take(at, mode="clip"), 0).astype(H.dtype)
                W[rows] = np.matmul(np.linalg.solve(left, x[:, :, np.newaxis]).transpose(0, 2, 1), of_rated)[:, 0]
                return
            left = np.matmul(rated.transpose(0, 2, 1), rated)
            left *= beyond
            left += of_all
            for row, of_row in zip(rows, left):
                _, found, info = solve(of_row.T, W[row], overwrite_a=True)
                if info:
                    raise np.linalg.LinAlgError("the system of row %d isn't positive definite in floating point; pass "
                                                "a larger l2 than %g" % (row, l2))
                W[row] = found.ravel()

        work_in_threads(fill, _of_similar_lengths(np.flatnonzero(W.any(axis=1)), np.diff(indptr)))
        return W

    return factors_of


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


def _inverted(roots):
    return np.where(roots > 0, 1 / np.where(roots > 0, roots, 1), 0).astype(roots.dtype)
