"""EASE, weighted by numbers of ratings, for several decays: of all items, and among each item's nearest ones. Equations
(2) and (3) are in docs/explanation/baselines.md."""
from typing import NamedTuple, Optional

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparse_ae.checks import MOST
from sparse_ae.data.ratings import rating_counts
from sparse_ae.files.storage import shortened
from sparse_ae.runtime.processors import in_threads, work_in_threads

#: Rows or columns of a matrix of items, or of users, that are made at a time.
TILE = 256

# The largest condition of a system of items for float32; and of one of users, where digits are cancelled.
_FLOAT32, _FLOAT32_USERS = 1e4, 1e2

# Of local EASE: items whose products with all others are made at a time; neighbours of the items that are solved for
# together, whose products are a dense matrix; by which power of an item's number of ratings it is less near.
_ITEMS, _NEIGHBOURS, _POWER = 256, 1600, 0.3

# Files have EASE's symmetric weights in multiples of one in so many.
_STEPS = 2 ** 15

# LAPACK's solution of a positive definite system by type: to look it up takes longer than a small system.
_SOLVE = {dtype: scipy.linalg.get_lapack_funcs("posv", dtype=dtype) for dtype in (np.float32, np.float64)}


class ItemWeights(NamedTuple):
    """`weights`, array or csr_matrix (n_items, n_items), float32 or float64: of a row's item in a column's score. Those
    of EASE have `roots` (n_items,), of the diagonal of P in equation (2)."""

    weights: np.ndarray
    roots: Optional[np.ndarray] = None

    def scores(self, ratings):
        """Scores of all items, (n, n_items) in the weights' dtype, for known or new users by their ratings, a SciPy
        sparse matrix (n, n_items)."""
        return times(csr_rows(ratings, self.weights.shape[0], self.weights.dtype), self.weights)

    def rounded(self):
        """The same, with the weights that a file has."""
        return self._replace(weights=shortened(self.weights) if self.roots is None else
                             unpacked(packed(self.weights, self.roots), self.roots))


class SomeItemWeights(NamedTuple):
    """The `ItemWeights` of some of the `n_items`, those in `columns` (n,), ascending; `weights` is float32 (n, n)."""

    weights: np.ndarray
    columns: np.ndarray
    n_items: int
    roots: Optional[np.ndarray] = None
    rounded = ItemWeights.rounded

    def scores(self, ratings):
        """As `ItemWeights.scores`; 0 for items without weights."""
        ratings = csr_rows(ratings, self.n_items, np.float32)
        found = np.zeros((ratings.shape[0], self.n_items), np.float32)
        found[:, self.columns] = times(ratings[:, self.columns], self.weights)
        return found


def packed(weights, roots):
    """EASE's weights in a fifth of a file: -P_ij / sqrt(P_ii P_jj), P of equation (2), are symmetric, and at most 1.
    Those below the diagonal in steps of 2^-15, by row, int16."""
    rows = [np.rint(_STEPS * row[:i] * (roots[:i] / roots[i])) for i, row in enumerate(weights)]
    return np.clip(np.concatenate(rows), 1 - _STEPS, _STEPS - 1).astype(np.int16)


def unpacked(found, roots):
    """The float32 weights that are `packed`, (n, n); ValueError for anything else."""
    if found.shape != (len(roots) * (len(roots) - 1) // 2,) or not (roots > 0).all():
        raise ValueError("%d weights and %d roots aren't those of EASE" % (len(found), len(roots)))
    weights = np.zeros((len(roots),) * 2, np.float32)
    for i, row in enumerate(weights):
        row[:i] = found[i * (i - 1) // 2:i * (i + 1) // 2]
    _mirror(weights)
    weights *= roots[:, np.newaxis] / _STEPS
    weights /= roots
    return weights


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
        weights, P = self._of_few_users(l2 * decay) if self._gram is None else self._of_many_users(l2, decay)
        np.fill_diagonal(weights, 0)
        weights, roots = weights.astype(np.float32, copy=False), np.sqrt(P).astype(np.float32)
        return (ItemWeights(weights, roots) if self._columns is None else
                SomeItemWeights(weights, self._columns, self._n_items, roots))

    def _of_many_users(self, l2, decay):
        """The weights by a system of items, whose diagonal is arbitrary, and the diagonal of P."""
        roots = (1 / np.sqrt(decay)).astype(np.float32)
        dtype = np.float32 if (np.abs(self._gram).dot(roots) * roots).max() <= _FLOAT32 * l2 else np.float64
        system = self._gram.astype(dtype)
        system[np.diag_indices_from(system)] += (l2 * decay).astype(dtype)
        weights = symmetric_inverse(system)
        diagonal = np.diag(weights).copy()
        weights /= -diagonal
        return weights, diagonal

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
        found, diagonal = np.empty((len(D),) * 2, np.float32), 1 / D

        def fill(start):
            tile = slice(start, start + TILE)
            Z = of_users[tile].dot(inverse)
            diagonal[tile] -= np.asarray(Y[tile].multiply(Z).sum(axis=1)).ravel()
            if not ((diagonal[tile] > 0) & (diagonal[tile] < MOST)).all():
                raise np.linalg.LinAlgError("a decay of %g is too small for these ratings in floating point" % D.min())
            found[:, tile] = of_items.dot(np.ascontiguousarray((Z / diagonal[tile, np.newaxis]).T, np.float32))

        work_in_threads(fill, range(0, len(D), TILE))
        return found, diagonal


def _products(rows):
    """All inner products of the rows of a CSR matrix, in its dtype, (n_rows, n_rows)."""
    found, columns = np.empty((rows.shape[0],) * 2, rows.dtype), rows.T.tocsr()

    def fill(start):
        tile = slice(start, start + TILE)
        found[tile] = rows[tile].dot(columns).toarray()

    work_in_threads(fill, range(0, len(found), TILE))
    return found


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
        self._above, near = (sp.vstack(each, format="csr") for each in zip(*parts))
        # Items that have the rarest of their nearest ones in common share more of them, and so their products.
        self._items = np.argsort(np.append(near.indices, 0)[near.indptr[:-1]], kind="stable")
        self._near, self._solved = near[self._items], {}
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
        if (l2, item_power) not in self._solved:
            self.prepare([l2], item_power)
        weights = self._solved.pop((l2, item_power))
        by_item = sp.csc_matrix((weights, self._order[self._near.indices], self._near.indptr), self._near.shape)
        return ItemWeights(by_item[:, np.argsort(self._order[self._items])].tocsr())

    def prepare(self, l2s, item_power=0.0):
        """Make the weights of several decays, which `solve` then gives: their products are collected once."""
        near, decays = self._near, np.multiply.outer(l2s, relative(self._of_items, item_power))
        weights, counts = np.empty((len(decays), near.nnz), np.float32), np.diff(near.indptr)

        def fill(items):
            entries = slice(near.indptr[items[0]], near.indptr[items[-1] + 1])
            columns, places = np.unique(near.indices[entries], return_inverse=True)
            products = self._above[columns][:, columns].toarray()
            for own in np.split(np.arange(entries.start, entries.stop), np.cumsum(counts[items])[:-1]):
                at = places[own - entries.start]
                upper = products[at[:, np.newaxis], at]
                for found, decay in zip(weights, decays):
                    found[own] = _solved(upper, decay[near.indices[own]], near.data[own])

        rated = np.flatnonzero(counts)
        work_in_threads(fill, np.split(rated, np.flatnonzero(np.diff(np.cumsum(counts[rated]) // _NEIGHBOURS)) + 1)
                        if len(rated) else [])
        self._solved = {(l2, item_power): found for l2, found in zip(l2s, weights)}


def _solved(upper, decay, right):
    """The solution of a system of products, whose upper triangle is given, with a decay. Its condition is 1 and the sum
    below at most."""
    dtype = np.float32 if (upper.diagonal() / decay).sum() <= _FLOAT32 else np.float64
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


def relative(counts, power):
    """Powers of counts over the mean of those that aren't 0; 1 for a count of 0."""
    counts = np.asarray(counts, np.float64)
    there = counts > 0
    return np.where(there, (np.where(there, counts, 1) / (counts[there].mean() if there.any() else 1)) ** power, 1.0)


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
    _mirror(found)
    return found.T


def _mirror(lower):
    """Make a matrix whose lower triangle is filled symmetric, in place."""
    for start in range(0, len(lower), TILE):
        stop = start + TILE
        lower[start:stop, stop:] = lower[stop:, start:stop].T
        block = lower[start:stop, start:stop]
        block[:] = np.tril(block) + np.tril(block, -1).T
