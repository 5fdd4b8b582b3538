"""EASE for many decays, weighed by numbers of ratings.

A linear autoencoder in which no item may predict itself (H. Steck, Embarrassingly Shallow Autoencoders for Sparse Data,
WWW 2019). With n_u and n_j the users' and the items' numbers of ratings over their means, and B_j the weights that go
out from item j,

    minimise sum over users of n_u^-a |x_u - x_u B|^2 + l2 sum over items of n_j^b |B_j|^2 with B_jj = 0

    B_ij = -P_ij / P_jj for i != j,    P = (X' diag(n_u^-a) X + l2 diag(n_j^b))^-1                                (1)

EASE is a = b = 0. With a > 0 the users of hundreds of ratings, whose pairs of items are most of X'X, count less; with
b > 0 popular items decay more. Such powers of degrees are those of graph models (Y. Shen et al., How Powerful is Graph
Convolution for Recommendation?, CIKM 2021).

X'X is computed once, in float32, and serves any l2 and b. With D = l2 diag(n_j^b), the condition of D^-1/2 (X'X + D)
D^-1/2 is at most 1 + s, where s is the largest sum of absolute values in a row of D^-1/2 X'X D^-1/2. Up to 10,000 the
system is solved in float32, which leaves three digits and more; beyond, in float64. It is X'X + D that is solved, by
Cholesky's factors, whose errors are the same with and without D^-1/2 on both sides (J. W. Demmel, On Floating Point
Errors in Cholesky, LAPACK Working Note 14, 1989).

With more items than fit, the most popular ones have weights among each other, and the others none, and the score 0.
"""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines import linalg
from sparse_ae.baselines.linalg import csr_rows, symmetric_inverse, times
from sparse_ae.checks import check_count, check_number
from sparse_ae.data.ratings import check_ratings, rating_counts
from sparse_ae.runtime.processors import work_in_threads

# A bound on the condition for float32.
_FLOAT32 = 1e4


class ItemWeights(NamedTuple):
    """The weight of a rating of the item in the row in the score of the item in the column: (n_items, n_items).

    `weights` is an array or a csr_matrix of float32 or float64.
    """

    weights: np.ndarray

    def scores(self, ratings):
        """Scores of all items for some users, in the weights' dtype, (n, n_items); the higher, the better.

        `ratings` is a SciPy sparse matrix (n, n_items) of ratings that are known of each user, new or old.
        """
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
    """The sums over ratings of equation (1) with a = `user_power`, of the `n_columns` most rated items or all."""

    def __init__(self, train, user_power=0.0, n_columns=None):
        X = check_ratings(train).astype(np.float32)
        user_power = check_number(user_power, "user_power", zero=True)
        of_users, of_items = rating_counts(X)
        self._n_items, self._columns = X.shape[1], None
        if n_columns is not None and check_count(n_columns, "n_columns", ", or None for all") < X.shape[1]:
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
        """The weights of (1) with b = `item_power`, in float32: `ItemWeights`, or `SomeItemWeights`."""
        l2 = check_number(l2, "l2")
        decay = relative(self._of_items, check_number(item_power, "item_power", zero=True))
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
