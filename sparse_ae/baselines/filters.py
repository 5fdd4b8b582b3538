"""The graph filters of GF-CF: equations (3) and (4) of docs/explanation/baselines.md."""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.linalg import csr_rows, right_vectors
from sparse_ae.data.ratings import rating_counts

# Users whose products with N are made at a time, by the rows that share an item with any of them.
_USERS = 16


class LowPass(NamedTuple):
    """Equation (3): `vectors`, V', float32 (k, n_items), and `roots`, the diagonal of D_i^1/2, float32 (n_items,)."""

    vectors: np.ndarray
    roots: np.ndarray

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


class Shared(NamedTuple):
    """Equation (4): `N`, csr_matrix (n, n_items), of users with ratings, and `powers`, (n_items,); float32."""

    N: sp.csr_matrix
    powers: np.ndarray

    def scores(self, ratings, by_items=None):
        """As `ItemWeights.scores`, in float32; `by_items`, N' as a csr_matrix, saves making it."""
        ratings = csr_rows(ratings, self.N.shape[1], np.float32).dot(sp.diags(_inverted(self.powers)))
        shared = ratings.dot(self.N.T.tocsr() if by_items is None else by_items)
        found, by_length = np.empty(ratings.shape, np.float32), np.argsort(np.diff(shared.indptr), kind="stable")
        for start in range(0, len(found), _USERS):
            users = by_length[start:start + _USERS]
            part = shared[users]
            sharing = np.flatnonzero(np.bincount(part.indices, minlength=shared.shape[1]))
            found[users] = self.N[sharing].T.dot(part.toarray().T[sharing]).T
        found *= self.powers
        return found


class FilterSystem:
    """N of equation (3), and as many singular vectors as were needed so far."""

    def __init__(self, X):
        self._N, self._of_items = _normalised(X)
        self._vectors = np.zeros((0, self._N.shape[1]))

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


class SharedSystem:
    """N of equation (4), which serves any p."""

    def __init__(self, X):
        N, self._of_items = _normalised(X)
        self._N = N[np.diff(N.indptr) > 0].astype(np.float32)

    def solve(self, power):
        """The `Shared` with p = power."""
        return Shared(self._N, np.where(self._of_items > 0, self._of_items ** (2 * power), 0).astype(np.float32))


def _normalised(X):
    """N, float64, and the roots of the items' numbers of ratings."""
    X = X.astype(np.float64)
    of_users, of_items = (np.sqrt(counts.astype(np.float64)) for counts in rating_counts(X))
    return sp.diags(_inverted(of_users)).dot(X).dot(sp.diags(_inverted(of_items))).tocsr(), of_items


def _inverted(roots):
    return np.where(roots > 0, 1 / np.where(roots > 0, roots, 1), 0).astype(roots.dtype)
