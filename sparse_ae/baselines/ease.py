"""EASE for many decays, on long tails, and on catalogues that a matrix of items doesn't hold.

Beside what `lists` says of EASE, users and items may count by how many ratings they have. With n_u and n_j these
numbers over their means,

    minimise sum over users of n_u^-a |x_u - x_u B|^2 + l2 sum over items of n_j^b |B_j|^2 with B_jj = 0

    B_ij = -P_ij / P_jj for i != j,    P = (X' diag(n_u^-a) X + l2 diag(n_j^b))^-1                                (1)

where B_j is the row of weights that go out from item j. a = b = 0 is EASE. With a > 0 the users of hundreds of ratings,
whose pairs of items are most of X'X, don't drown out the others; with b > 0 popular items are held back more. Dividing
by powers of degrees is what graph models live on (Y. Shen et al., How Powerful is Graph Convolution for
Recommendation?, CIKM 2021); in a ridge regression they are weights of its two sums.

X'X is made once, in float32, and serves any l2 and b. With D = l2 diag(n_j^b), the condition of D^-1/2 (X'X + D) D^-1/2
is at most 1 + s, where s is the largest sum of absolute values in a row of D^-1/2 X'X D^-1/2. Up to 10,000 the system
is solved in float32, which leaves three digits and more; beyond, in float64. It is X'X + D that is solved, by
Cholesky's factors, whose errors are the same with and without D^-1/2 on both sides (J. W. Demmel, On Floating Point
Errors in Cholesky, LAPACK Working Note 14, 1989). Of popular items, whose rows are the largest, the decay is larger,
too: of MovieLens 1M s is no more than 735 with the decays that are tried, and sums of rows of X'X are up to 23,000
times the smallest decay.

Where there are more items than fit, the most popular ones have weights among each other and the others none, and the
score 0.
"""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.linalg import csr_rows, symmetric_inverse, times
from sparse_ae.baselines.lists import ItemWeights
from sparse_ae.checks import check_count, check_number
from sparse_ae.data.ratings import check_ratings, rating_counts
from sparse_ae.runtime.processors import work_in_threads

# Columns of X'X made at a time, and a bound on the condition for float32.
_TILE, _FLOAT32 = 256, 1e4


class SomeItemWeights(NamedTuple):
    """The `lists.ItemWeights` of some items.

    Attributes
    ----------
    weights : numpy.ndarray of float32, shape (n, n)
    columns : numpy.ndarray of int, shape (n,)
        Which items they are of, ascending.
    n_items : int
        How many there are in all.
    """

    weights: np.ndarray
    columns: np.ndarray
    n_items: int

    def scores(self, ratings):
        """As `lists.ItemWeights.scores`; 0 for items without weights."""
        ratings = csr_rows(ratings, self.n_items, np.float32)
        found = np.zeros((ratings.shape[0], self.n_items), np.float32)
        found[:, self.columns] = times(ratings[:, self.columns], self.weights)
        return found


class EaseSystem:
    """The sums over ratings of equation (1), for one a.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        As `sparse_ae.data.check_ratings` takes it. The ratings count as they are.
    user_power : float
        a.
    n_columns : int, optional
        At most so many items, those with most ratings; of equal ones the first. All of them when not given.

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, and for bad numbers.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from sparse_ae.baselines.lists import fit_ease
    >>> X = sp.csr_matrix(np.array([[5, 4, 0], [0, 2, 3], [4, 4, 1]]))
    >>> found = EaseSystem(X).solve(2.0).scores(X)
    >>> np.allclose(found, fit_ease(X, 2.0).scores(X), atol=1e-4)
    True
    """

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

        def fill(start):  # half of it: the rest is the same to the last bit, of the same products in the same order
            rows = slice(start, start + _TILE)
            part = by_items[rows].dot(by_items[:rows.stop].T).toarray()
            self._gram[rows, :rows.stop] = part
            self._gram[:start, rows] = part[:, :start].T

        work_in_threads(fill, range(0, len(self._gram), _TILE))

    def solve(self, l2, item_power=0.0):
        """The weights of (1).

        Parameters
        ----------
        l2 : float
            More than 0.
        item_power : float
            b.

        Returns
        -------
        lists.ItemWeights or SomeItemWeights
            In float32.
        """
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
