"""EASE, weighted by numbers of ratings, for several decays: equation (2) of docs/explanation/baselines.md."""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines import linalg
from sparse_ae.baselines.linalg import csr_rows, symmetric_inverse, times
from sparse_ae.checks import MOST
from sparse_ae.data.ratings import rating_counts
from sparse_ae.runtime.processors import work_in_threads

#: The largest condition of a system of items for float32; and of one of users, where digits are cancelled.
FLOAT32, _FLOAT32_USERS = 1e4, 1e2


class ItemWeights(NamedTuple):
    """`weights`, array or csr_matrix (n_items, n_items), float32 or float64: of a row's item in a column's score."""

    weights: np.ndarray

    def scores(self, ratings):
        """Scores of all items, (n, n_items) in the weights' dtype, for known or new users by their ratings, a SciPy
        sparse matrix (n, n_items)."""
        return times(csr_rows(ratings, self.weights.shape[0], self.weights.dtype), self.weights)

    def rounded(self):
        """The same with weights that float16 has, which take half a file; not if one is too large for it."""
        with np.errstate(over="ignore"):
            half = self.weights.astype(np.float16)
        return self if np.isinf(half).any() else self._replace(weights=half.astype(self.weights.dtype))

    def _repr_html_(self):
        """A table of the ten largest weights, as a notebook shows it."""
        most = self.weights.max(axis=1)
        n = self.weights.nnz if sp.issparse(self.weights) else np.count_nonzero(self.weights)
        rows = np.argsort(-(most.toarray().ravel() if sp.issparse(most) else most), kind="stable")[:10]
        weights = sp.coo_matrix(self.weights[rows])  # a copy of all would take gigabytes
        best = np.argsort(-weights.data, kind="stable")[:10]
        shown = zip(rows[weights.row[best]], weights.col[best], weights.data[best])
        return "<table><caption>%d of %d weights</caption><tr><th>rated<th>scored<th>weight%s</table>" % (
            len(best), n, "".join("<tr><td>%d<td>%d<td>%.4f" % each for each in shown))


class SomeItemWeights(NamedTuple):
    """The `ItemWeights` of some of the `n_items`, those in `columns` (n,), ascending; `weights` is float32 (n, n)."""

    weights: np.ndarray
    columns: np.ndarray
    n_items: int
    rounded = ItemWeights.rounded

    def scores(self, ratings):
        """As `ItemWeights.scores`; 0 for items without weights."""
        ratings = csr_rows(ratings, self.n_items, np.float32)
        found = np.zeros((ratings.shape[0], self.n_items), np.float32)
        found[:, self.columns] = times(ratings[:, self.columns], self.weights)
        return found


class EaseSystem:
    """The ratings of equation (2) with a = `user_power`, of the `n_columns` most rated items or all; and their products
    over users, unless there are few users."""

    def __init__(self, X, user_power=0.0, n_columns=None):
        of_users, of_items = rating_counts(X)
        self._n_items, self._columns = X.shape[1], None
        if n_columns is not None and n_columns < X.shape[1]:
            self._columns = np.sort(np.argsort(-of_items, kind="stable")[:n_columns])
            X, of_items = X[:, self._columns], of_items[self._columns]
        if user_power:
            X = sp.diags(relative(of_users, -user_power / 2).astype(np.float32)).dot(X).tocsr()
        rated = np.diff(X.indptr) > 0
        few_users = 2 * np.count_nonzero(rated) <= X.shape[1]
        self._of_items, self._by_users = of_items, X[rated].astype(np.float64) if few_users else None
        self._gram = None if few_users else _products(X.T.tocsr())

    def solve(self, l2, item_power=0.0):
        """The weights of (2) with b = `item_power`, in float32: `ItemWeights`, or `SomeItemWeights`."""
        decay = relative(self._of_items, item_power)
        weights = self._of_few_users(l2 * decay) if self._gram is None else self._of_many_users(l2, decay)
        np.fill_diagonal(weights, 0)
        weights = weights.astype(np.float32, copy=False)
        return ItemWeights(weights) if self._columns is None else SomeItemWeights(weights, self._columns, self._n_items)

    def _of_many_users(self, l2, decay):
        """The weights by a system of items; the diagonal is arbitrary."""
        roots = (1 / np.sqrt(decay)).astype(np.float32)
        dtype = np.float32 if (np.abs(self._gram).dot(roots) * roots).max() <= FLOAT32 * l2 else np.float64
        system = self._gram.astype(dtype)
        system[np.diag_indices_from(system)] += (l2 * decay).astype(dtype)
        weights = symmetric_inverse(system)
        weights /= -np.diag(weights)
        return weights

    def _of_few_users(self, D):
        """As `_of_many_users`, by a system of users: Woodbury's identity."""
        X = self._by_users.dot(sp.diags(1 / np.sqrt(D))).tocsr()
        sizes = abs(X)
        most = sizes.dot(np.asarray(sizes.sum(axis=0)).ravel()).max(initial=0)  # the largest sum in a row of |X| |X|'
        dtype = np.float32 if most <= _FLOAT32_USERS else np.float64
        K = _products(X.astype(dtype))
        K[np.diag_indices_from(K)] += 1
        inverse, Y = symmetric_inverse(K), sp.diags(1 / D).dot(self._by_users.T).tocsr()
        of_users, of_items = Y.astype(dtype), Y.astype(np.float32)
        found = np.empty((len(D),) * 2, np.float32)

        def fill(start):
            tile = slice(start, start + linalg.TILE)
            Z = of_users[tile].dot(inverse)
            diagonal = 1 / D[tile] - np.asarray(Y[tile].multiply(Z).sum(axis=1)).ravel()  # of P
            if not ((diagonal > 0) & (diagonal < MOST)).all():
                raise np.linalg.LinAlgError("a decay of %g is too small for these ratings in floating point" % D.min())
            found[:, tile] = of_items.dot(np.ascontiguousarray((Z / diagonal[:, np.newaxis]).T, np.float32))

        work_in_threads(fill, range(0, len(D), linalg.TILE))
        return found


def _products(rows):
    """All inner products of the rows of a CSR matrix, in its dtype, (n_rows, n_rows)."""
    found, columns = np.empty((rows.shape[0],) * 2, rows.dtype), rows.T.tocsr()

    def fill(start):
        tile = slice(start, start + linalg.TILE)
        found[tile] = rows[tile].dot(columns).toarray()

    work_in_threads(fill, range(0, len(found), linalg.TILE))
    return found


def relative(counts, power):
    """Powers of counts over the mean of those that aren't 0; 1 for a count of 0."""
    counts = np.asarray(counts, np.float64)
    there = counts > 0
    return np.where(there, (np.where(there, counts, 1) / (counts[there].mean() if there.any() else 1)) ** power, 1.0)
