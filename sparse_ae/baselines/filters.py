"""The low-pass filter of GF-CF: equation (4) of docs/explanation/baselines.md."""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.linalg import csr_rows, right_vectors
from sparse_ae.data.ratings import rating_counts


class LowPass(NamedTuple):
    """Equation (4): `vectors`, V', float32 (k, n_items), and `roots`, the diagonal of D_i^1/2, float32 (n_items,)."""

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


class FilterSystem:
    """N of equation (4), and as many singular vectors as were needed so far."""

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


def _normalised(X):
    """N, float64, and the roots of the items' numbers of ratings."""
    X = X.astype(np.float64)
    of_users, of_items = (np.sqrt(counts.astype(np.float64)) for counts in rating_counts(X))
    return sp.diags(_inverted(of_users)).dot(X).dot(sp.diags(_inverted(of_items))).tocsr(), of_items


def _inverted(roots):
    return np.where(roots > 0, 1 / np.where(roots > 0, roots, 1), 0).astype(roots.dtype)
