"""EASE for many decays, weighted by numbers of ratings: equation (2) of docs/explanation/baselines.md."""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines import linalg
from sparse_ae.baselines.linalg import csr_rows, symmetric_inverse, times
from sparse_ae.data.ratings import rating_counts
from sparse_ae.runtime.processors import work_in_threads

# A bound on the condition for float32.
_FLOAT32 = 1e4


class ItemWeights(NamedTuple):
    """`weights`, array or csr_matrix (n_items, n_items), float32 or float64, of the item in a row in the score of a
    column's."""

    weights: np.ndarray

    def scores(self, ratings):
        """Scores of all items, the higher, the better, (n, n_items) in the weights' dtype, for users, new or old, whose
        ratings are known: a SciPy sparse matrix (n, n_items)."""
        return times(csr_rows(ratings, self.weights.shape[0], self.weights.dtype), self.weights)


class SomeItemWeights(NamedTuple):
    """The `ItemWeights` of some of the `n_items`, those in `columns` (n,), ascending; `weights` is float32 (n, n)."""

    weights: np.ndarray
    columns: np.ndarray
    n_items: int

    def scores(self, ratings):
        """As `ItemWeights.scores`; 0 for items without weights."""
        ratings = csr_rows(ratings, self.n_items, np.float32)
        found = np.zeros((ratings.shape[0], self.n_items), np.float32)
        found[:, self.columns] = times(ratings[:, self.columns], self.weights)
        return found


class EaseSystem:
    """The sums over ratings of equation (2) with a = `user_power`, of the `n_columns` most rated items or all."""

    def __init__(self, X, user_power=0.0, n_columns=None):
        of_users, of_items = rating_counts(X)
        self._n_items, self._columns = X.shape[1], None
        if n_columns is not None and n_columns < X.shape[1]:
            self._columns = np.sort(np.argsort(-of_items, kind="stable")[:n_columns])
            X, of_items = X[:, self._columns], of_items[self._columns]
        if user_power:
            X = sp.diags(relative(of_users, -user_power / 2).astype(np.float32)).dot(X).tocsr()
        self._of_items, self._gram = of_items, np.empty((X.shape[1], X.shape[1]), np.float32)
        by_items = X.T.tocsr()

        def fill(start):
            rows = slice(start, start + linalg.TILE)
            self._gram[rows] = by_items[rows].dot(X).toarray()

        work_in_threads(fill, range(0, len(self._gram), linalg.TILE))

    def solve(self, l2, item_power=0.0):
        """The weights of (2) with b = `item_power`, in float32: `ItemWeights`, or `SomeItemWeights`."""
        decay = relative(self._of_items, item_power)
        roots = (1 / np.sqrt(decay)).astype(np.float32)
        dtype = np.float32 if (np.abs(self._gram).dot(roots) * roots).max() <= _FLOAT32 * l2 else np.float64
        system = self._gram.astype(dtype)
        system[np.diag_indices_from(system)] += (l2 * decay).astype(dtype)
        weights = symmetric_inverse(system)
        weights /= -np.diag(weights)
        np.fill_diagonal(weights, 0)
        weights = weights.astype(np.float32, copy=False)
        return ItemWeights(weights) if self._columns is None else SomeItemWeights(weights, self._columns, self._n_items)


def relative(counts, power):
    """Powers of counts over the mean of those that aren't 0; 1 for a count of 0."""
    counts = np.asarray(counts, np.float64)
    there = counts > 0
    return np.where(there, (np.where(there, counts, 1) / (counts[there].mean() if there.any() else 1)) ** power, 1.0)
