"""The infinitely wide autoencoder as a linear system: equations (5) and (6) of docs/explanation/baselines.md."""
from typing import NamedTuple, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines import linalg
from sparse_ae.baselines.linalg import csr_rows, symmetric_inverse
from sparse_ae.data.ratings import rows_of_entries
from sparse_ae.runtime.processors import thread_count, work_in_threads

# Numbers in a block of a kernel; the most columns for each row with which the inverse times X is kept, not the inverse.
_BLOCK, _WIDEST = 2 ** 22, 2


class WideUsers(NamedTuple):
    """Training `rows`, csr_matrix of float32 (n, n_items); a user's kernels with them are multiplied by each of `maps`.
    `ridge` is lambda; 0 in files of 1.0 where some rows stand for all."""

    rows: sp.csr_matrix
    maps: Tuple
    ridge: float = 0.0

    def scores(self, ratings, units=None):
        """As `ItemWeights.scores`, in float32; `units` are `unit_rows(self.rows)`, if they are there."""
        return self._through(kernel(csr_rows(ratings, self.rows.shape[1], np.float32), self.rows, units), self.maps)

    def scores_of_rows(self, ratings, places):
        """As `scores`, to rounding, if the rows of `ratings` that have entries are ``rows[places]``."""
        there = np.flatnonzero(np.diff(ratings.indptr))
        found = np.zeros(ratings.shape, np.float32)
        found[there] = self._through(self.maps[0][places[there]], self.maps[1:])
        found *= -self.ridge
        found[rows_of_entries(ratings.indptr), ratings.indices] += ratings.data
        return found

    @staticmethod
    def _through(found, maps):
        for each in maps:
            found = each.T.dot(found.T).T if sp.issparse(each) else found.dot(each)
        return np.ascontiguousarray(found)


class WideSystem:
    """The kernels of equation (6), which serve any l2."""

    def __init__(self, X):
        self._rows = X[np.flatnonzero(np.diff(X.indptr))]
        self._K = kernel(self._rows, self._rows)

    def solve(self, l2):
        """The `WideUsers` with a decay of more than 0, on any rating scale, since only angles count."""
        K, X = self._K.copy(), self._rows
        ridge = np.float32(l2 * K.diagonal().mean())
        K[np.diag_indices_from(K)] += ridge
        inverse = symmetric_inverse(K)
        if X.shape[1] > _WIDEST * X.shape[0]:
            return WideUsers(X, (inverse, X), float(ridge))
        return WideUsers(X, (_times(inverse, X),), float(ridge))


def kernel(x, y, units=None):
    """Equation (5) between CSR rows of x and y, float32 (n, m), computed in float64; half of it if y is x. `units` are
    `unit_rows(y)`."""
    n, symmetric = x.shape[0], y is x
    x = _of_length_one(x)
    y, columns = (x, None) if symmetric else units or unit_rows(y)
    found = np.empty((n, y.shape[0]), np.float32)
    step = max(1, _BLOCK // thread_count() // max(1, y.shape[0]))

    def fill(start):
        stop = min(start + step, n)
        u = np.clip(x[start:stop].dot(y[:stop].T if symmetric else columns).toarray(), -1, 1)
        angle = np.pi - np.arccos(u)
        part = found[start:stop, :u.shape[1]]
        part[:] = (np.sqrt(1 - u * u) + 2 * u * angle) / np.pi
        if symmetric:  # u is so to the last bit: the same products are added up in the same order
            found[:start, start:stop] = part[:, :start].T

    work_in_threads(fill, range(0, n, step))
    found[:, np.diff(y.indptr) == 0] = 0
    found[np.diff(x.indptr) == 0] = 0
    return found


def unit_rows(y):
    """Each row of y divided by its length, and the transpose, both CSR."""
    y = _of_length_one(y)
    return y, y.T.tocsr()


def _of_length_one(x):
    """Each row divided by its length, in float64; of a row of zeros nothing is stored."""
    x = x.astype(np.float64)
    x.eliminate_zeros()
    rows = rows_of_entries(x.indptr)
    x.data *= 1 / np.sqrt(np.bincount(rows, x.data ** 2, x.shape[0]))[rows]
    return x


def _times(symmetric, X):
    """The product of a symmetric array and a CSR matrix, float32."""
    found, columns = np.empty((len(symmetric), X.shape[1]), np.float32), X.T.tocsr()

    def fill(start):
        found[start:start + linalg.TILE] = columns.dot(np.ascontiguousarray(symmetric[:, start:start + linalg.TILE])).T

    work_in_threads(fill, range(0, len(found), linalg.TILE))
    return found
