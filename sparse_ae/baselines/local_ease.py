"""EASE among each item's nearest items, with sparse weights: equation (3) of docs/explanation/baselines.md."""
import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparse_ae.baselines.ease import FLOAT32, ItemWeights, relative
from sparse_ae.data.ratings import rating_counts
from sparse_ae.runtime.processors import in_threads, work_in_threads

# Items whose products with all others are made at a time; neighbours of the items that are solved for together, whose
# products are a dense matrix.
_ITEMS, _NEIGHBOURS = 256, 1600

# By which power of an item's number of ratings it is less near.
_POWER = 0.3

# LAPACK's solution of a positive definite system by type: to look it up takes longer than a small system.
_SOLVE = {dtype: scipy.linalg.get_lapack_funcs("posv", dtype=dtype) for dtype in (np.float32, np.float64)}


class LocalEaseSystem:
    """Each item's `n_neighbours` nearest items, with the products of the ratings of equation (2), a = `user_power`."""

    def __init__(self, X, n_neighbours, user_power=0.0):
        of_users, of_items = rating_counts(X)
        # The rarest items come first: a pair's product is kept in the row of the rarer one, which has few.
        self._order = np.argsort(of_items, kind="stable")
        self._of_items, self._n_neighbours = of_items[self._order], n_neighbours
        if user_power:
            X = sp.diags(relative(of_users, -user_power / 2).astype(np.float32)).dot(X)
        self._X = sp.csr_matrix(X, dtype=np.float32)[:, self._order]
        self._by_items = self._X.T.tocsr()
        parts = list(in_threads(self._products, range(0, X.shape[1], _ITEMS)))
        self._above, self._near = (sp.vstack(each, format="csr") for each in zip(*parts))
        del self._X, self._by_items

    def _products(self, start):
        """Of some items the products with themselves and more frequent items, and those with their nearest items."""
        found = self._by_items[start:start + _ITEMS].dot(self._X)
        rows = start + np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
        others = found.indices != rows
        likeness = np.where(others, np.abs(found.data) / self._of_items[found.indices] ** _POWER, -1)
        for row in np.flatnonzero(np.diff(found.indptr) > self._n_neighbours):
            of_row = slice(*found.indptr[row:row + 2])
            n_left = of_row.stop - of_row.start - self._n_neighbours
            others[of_row.start + np.argpartition(likeness[of_row], n_left - 1)[:n_left]] = False
        return _only(found, found.indices >= rows), _only(found, others)

    def solve(self, l2, item_power=0.0):
        """The `ItemWeights` of equation (3), with b = `item_power`; csr_matrix of float32."""
        near, decay = self._near, l2 * relative(self._of_items, item_power)
        weights, counts = np.empty(near.nnz, np.float32), np.diff(near.indptr)

        def fill(items):
            entries = slice(near.indptr[items[0]], near.indptr[items[-1] + 1])
            columns, places = np.unique(near.indices[entries], return_inverse=True)
            products = self._above[columns][:, columns].toarray()
            for own in np.split(np.arange(entries.start, entries.stop), np.cumsum(counts[items])[:-1]):
                at = places[own - entries.start]
                weights[own] = _solved(products[at[:, np.newaxis], at], decay[near.indices[own]], near.data[own])

        rated = np.flatnonzero(counts)
        work_in_threads(fill, np.split(rated, np.flatnonzero(np.diff(np.cumsum(counts[rated]) // _NEIGHBOURS)) + 1)
                        if len(rated) else [])
        by_item = sp.csc_matrix((weights, self._order[near.indices], near.indptr), near.shape)
        return ItemWeights(by_item[:, np.argsort(self._order)].tocsr())


def _solved(upper, decay, right):
    """The solution of a system of products, whose upper triangle is given, with a decay. Its condition is 1 and the sum
    below at most."""
    dtype = np.float32 if (upper.diagonal() / decay).sum() <= FLOAT32 else np.float64
    system = upper.astype(dtype)
    system.reshape(-1)[::len(system) + 1] += decay
    _, found, info = _SOLVE[dtype](system.T, right, lower=True, overwrite_a=True)
    if info:
        raise np.linalg.LinAlgError("a decay of %g is too small for these ratings in floating point" % decay.min())
    return found.ravel()


def _only(matrix, kept):
    """Some entries of a CSR matrix, sorted by row and column."""
    indptr = np.append(0, np.cumsum(kept))[matrix.indptr]
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), matrix.shape).tocsc().tocsr()
