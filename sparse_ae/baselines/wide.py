"""The infinitely wide autoencoder: the limit of a network with ever more hidden units, by one linear system.

For rows x, y of ratings and u, the cosine of the angle between them, an autoencoder with one layer of infinitely many
rectifiers that is trained by small steps makes the same outputs as kernel ridge regression of rows on rows, with the
neural tangent kernel

    k(x, y) = k1(u) + u k0(u),   k0(u) = (pi - arccos u) / pi,   k1(u) = (sqrt(1 - u^2) + u (pi - arccos u)) / pi   (1)

A row without ratings, or of zeros alone, has no angle, and the kernel 0 with all rows. With all training rows X, K of
(1) between them, and lambda = l2 times the mean of K's diagonal, the outputs for a row x are

    y = k(x, X) (K + lambda I)^-1 X                                                                                 (2)

N. Sachdeva, M. P. Dhaliwal, C.-J. Wu, J. McAuley, Infinite Recommendation Networks: A Data-Centric Approach, NeurIPS
2022; the kernels: Y. Cho, L. K. Saul, Kernel Methods for Deep Learning, NIPS 2009.

Rows are the fewer of users and items. With users as rows a stranger's ratings x go into (2) as anybody's do. With items
as rows the scores of all items are linear in a user's ratings, x (K + lambda I)^-1 K, so that a stranger is folded in
exactly, too: it is a linear model, as EASE is, whose weights come from the kernel.

The training rows' own outputs need no kernel: with users as rows they are X - lambda (K + lambda I)^-1 X. Where those
of s rows are enough, and these are put last, their rows of the inverse are the columns of L'^-1 (0, L_s^-1)' with
Cholesky's factor L and its last block L_s: n_rows^3 / 6 multiplications for L and s n_rows^2 / 2 more, where the
inverse takes n_rows^3 / 2.

(2) takes three arrays of n_rows^2 numbers and n_rows^3 / 3 multiplications. Where rows are too many for that,
*landmarks* L stand for them: some rows, by which the function of x is restricted to sums of k(x, L) (the subset of
regressors; J. Quinonero-Candela, C. E. Rasmussen, A Unifying View of Sparse Approximate Gaussian Process Regression,
JMLR 2005). With K_L between all rows and the landmarks and K_LL among these,

    y = k(x, L) (K_L' K_L + lambda K_LL)^-1 K_L' X                                                                  (3)

which is (2) where all rows are landmarks. It takes n_landmarks n_columns numbers, and passes over blocks of K_L.

Everything is float32 but for (3)'s system: the condition of K + lambda I is at most n_rows / l2, and float32 leaves
three digits and more of the solution; K_L' K_L squares it.
"""
from typing import NamedTuple, Tuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparse_ae.baselines.linalg import csr_rows, lower_factor, symmetric_inverse
from sparse_ae.baselines.lists import ItemWeights
from sparse_ae.checks import check_choice, check_count, check_number, check_rng
from sparse_ae.data.ratings import check_ratings, rows_of_entries
from sparse_ae.data.side import ITEMS, USERS, Side
from sparse_ae.runtime.processors import thread_count, work_in_threads

# Rows of users beyond which landmarks stand for them, and how many: 3 * 4 * 12,000^2 bytes are 1.7 GB.
_MOST_ROWS, _N_LANDMARKS = 12000, 4000

# Numbers of a block of a kernel held at a time; rows of (K + lambda I)^-1 that X is multiplied by at a time; columns
# for each row, up to which their product is kept rather than the inverse; and which part of the rows are few, so that
# theirs of the inverse are found sooner than all.
_BLOCK, _TILE, _WIDEST, _FEW = 2 ** 22, 128, 2, 0.5


class WideUsers(NamedTuple):
    """The infinitely wide autoencoder with users as rows.

    Attributes
    ----------
    rows : csr_matrix of float32, shape (n, n_items)
        The training rows or landmarks that a user is compared with.
    maps : tuple of array or csr_matrix of float32
        What their kernels are multiplied by, one after the other: (n, n) and (n, n_items), or (n, n_items) alone.
    ridge : float
        lambda, where all training rows are there, each with itself in the kernel; 0 else.
    """

    rows: sp.csr_matrix
    maps: Tuple
    ridge: float = 0.0

    def scores(self, ratings):
        """As `lists.ItemWeights.scores`, in float32."""
        found = kernel(csr_rows(ratings, self.rows.shape[1], np.float32), self.rows)
        return self._through(found, self.maps)

    def scores_of_rows(self, ratings, places):
        """As `scores`, to rounding, of users who may be training rows; if they are, it takes hardly any time.

        Parameters
        ----------
        ratings : csr_matrix, (n, n_items)
        places : int array, (n,)
            Which of `rows` each may be.
        """
        there = np.flatnonzero(np.diff(ratings.indptr))
        if (not self.ridge or places.max(initial=0) >= self.rows.shape[0]
                or not _same(ratings[there], self.rows[places[there]])):
            return self.scores(ratings)
        found = np.zeros(ratings.shape, np.float32)
        found[there] = self._through(self.maps[0][places[there]], self.maps[1:])
        found *= -self.ridge
        at = rows_of_entries(ratings.indptr), ratings.indices
        found[at] += ratings.data
        return found

    @staticmethod
    def _through(found, maps):
        for each in maps:
            found = each.T.dot(found.T).T if sp.issparse(each) else found.dot(each)
        return np.ascontiguousarray(found)


class SomeRows(NamedTuple):
    """What `WideUsers` says of some of its training rows, and nobody else.

    Attributes
    ----------
    places : int array, (n,)
        Which rows, ascending.
    outputs : numpy.ndarray of float32, shape (n, n_items)
    """

    places: np.ndarray
    outputs: np.ndarray

    def scores_of_rows(self, ratings, places):
        """As `WideUsers.scores_of_rows`, of these rows."""
        there = np.flatnonzero(np.diff(ratings.indptr))
        found = np.zeros(ratings.shape, np.float32)
        found[there] = self.outputs[np.searchsorted(self.places, places[there])]
        return found


def fit_wide(train, l2=4.0, rows="auto", n_landmarks="auto", rng=None):
    """Solve equation (2), or (3).

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        As `sparse_ae.data.check_ratings` takes it. The ratings count as they are.
    l2 : float
        More than 0. Only the angles between rows count, so that it needn't follow the rating scale.
    rows : {"auto", "users", "items"}
        "auto" takes those of which fewer have a rating.
    n_landmarks : int, "auto" or None
        How many rows stand for all; None for all of them. "auto" is None up to 12,000 rows with ratings, which take 1.7
        GB, and 4,000 beyond.
    rng : numpy.random.RandomState or int, optional
        Draws the landmarks. By default they are the rows with most ratings.

    Returns
    -------
    WideUsers or lists.ItemWeights
        With users, or with items as rows. With items and landmarks, the weights are made whole: n_items^2 numbers.

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, if all of them are 0, and for a bad setting.
    MemoryError
        Where there isn't as much memory as said above.
    """
    l2 = check_number(l2, "l2")
    return WideSystem(train, rows, n_landmarks, rng).solve(l2)


class WideSystem:
    """The kernels of equation (2), or (3), which serve any l2: arguments and errors are those of `fit_wide`."""

    def __init__(self, train, rows="auto", n_landmarks="auto", rng=None):
        X = check_ratings(train).astype(np.float32)
        if check_choice(rows, "rows", ("auto", "users", "items")) == "auto":
            rated = np.count_nonzero(np.diff(X.indptr)), len(np.unique(X.indices))
            rows = USERS if rated[0] <= rated[1] else ITEMS
        rows = Side(rows)
        by_rows = rows.turned(X).tocsr()
        if not X.data.any():
            raise ValueError("all ratings are 0, and rows of zeros have no angle between them; expected others too: "
                             "add a number to all ratings, or give chosen pairs a rating of 1")
        with_ratings = np.flatnonzero(np.diff(by_rows.indptr))
        if n_landmarks == "auto":
            n_landmarks = None if len(with_ratings) <= _MOST_ROWS else _N_LANDMARKS
        elif n_landmarks is not None:
            n_landmarks = check_count(n_landmarks, "n_landmarks")
        if n_landmarks is not None and n_landmarks >= len(with_ratings):
            n_landmarks = None
        self.rows, self.n_landmarks = rows, n_landmarks
        self._n, self._n_columns, self._with_ratings = len(with_ratings), X.shape[1], with_ratings
        if n_landmarks is None:
            kind = rows.users_items(_AllUsers, _AllItems)[0]
            self._system = self._within_memory(kind, by_rows, with_ratings)
        else:
            chosen = _landmarks(by_rows, with_ratings, n_landmarks, rng)
            kind = rows.users_items(_UsersByLandmarks, _ItemsByLandmarks)[0]
            self._system = self._within_memory(kind, by_rows, chosen)

    def solve(self, l2):
        """As `fit_wide`."""
        return self._within_memory(self._system.solve, check_number(l2, "l2"))

    def solve_for(self, l2, users):
        """As `solve`, or `SomeRows` of some training users, ascending, where it is quicker to find theirs alone."""
        places = np.flatnonzero(np.isin(self._with_ratings, users))
        if not isinstance(self._system, _AllUsers) or not 0 < len(places) <= _FEW * self._n:
            return self.solve(l2)
        return self._within_memory(self._system.solve_for, check_number(l2, "l2"), places)

    def _within_memory(self, make, *arguments):
        try:
            return make(*arguments)
        except MemoryError as error:
            n, m = self._n, self.n_landmarks
            raise MemoryError("there is no memory for %s; pass fewer landmarks, such as n_landmarks=%d" % (
                "3 x %d x %d numbers, with all %s as rows" % (n, n, self.rows) if m is None else
                "%d x %d numbers, with %d landmarks" % (m, self._n_columns, m), (m or n) // 4)) from error


def kernel(x, y):
    """Compute equation (1), in float64: an angle near 0 needs twice the digits of its cosine.

    Parameters
    ----------
    x, y : csr_matrix of float, shape (n, n_columns), (m, n_columns)
        Of one matrix, given twice, half of it is computed.

    Returns
    -------
    numpy.ndarray of float32, shape (n, m)
    """
    n, symmetric, y = x.shape[0], y is x, _unit_rows(y)
    x = y if symmetric else _unit_rows(x)
    found, columns = np.empty((n, y.shape[0]), np.float32), None if symmetric else y.T.tocsr()
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


def _same(x, y):
    """Tell whether two CSR matrices of as many columns have the same entries."""
    return all(np.array_equal(a, b) for a, b in ((x.indptr, y.indptr), (x.indices, y.indices), (x.data, y.data)))


def _unit_rows(x):
    """Each row divided by its length, in float64; of a row of zeros nothing is stored."""
    x = x.astype(np.float64)
    x.eliminate_zeros()
    lengths = np.sqrt(x.multiply(x).sum(axis=1)).A1
    return sp.diags(1 / np.where(lengths > 0, lengths, 1)).dot(x).tocsr()


class _AllUsers:
    """(2) with users as rows."""

    def __init__(self, X, with_ratings):
        self._X = X[with_ratings]
        self._K = kernel(self._X, self._X)

    def solve(self, l2):
        K, X = self._K.copy(), self._X
        ridge = self._add_ridge(K, l2)
        inverse = symmetric_inverse(K)
        if X.shape[1] > _WIDEST * X.shape[0]:
            return WideUsers(X, (inverse, X), ridge)
        return WideUsers(X, (_transposed_times(inverse, X),), ridge)

    def solve_for(self, l2, places):
        order = np.append(np.delete(np.arange(len(self._K)), places), places)
        K, n = self._K[np.ix_(order, order)], len(places)
        ridge = self._add_ridge(K, l2)
        triangular_solve, = scipy.linalg.get_blas_funcs(("trsm",), (K,))
        L, rows = lower_factor(K), np.zeros((len(K), n), np.float32, order="F")
        rows[-n:] = triangular_solve(1, L[-n:, -n:], np.eye(n, dtype=np.float32), lower=True)
        rows = triangular_solve(1, L, rows, lower=True, trans_a=True, overwrite_b=True)
        outputs = _transposed_times(rows, self._X[order])
        outputs *= -ridge
        mine = self._X[places]
        outputs[rows_of_entries(mine.indptr), mine.indices] += mine.data
        return SomeRows(places, outputs)

    @staticmethod
    def _add_ridge(K, l2):
        """Add lambda to the diagonal, and return it."""
        ridge = np.float32(l2 * K.diagonal().mean())
        K[np.diag_indices_from(K)] += ridge
        return float(ridge)


def _transposed_times(matrix, X):
    """matrix' X of an array, (n, m), and a CSR matrix, (n, n_columns): float32, some columns of `matrix` at a time."""
    found, columns = np.empty((matrix.shape[1], X.shape[1]), np.float32), X.T.tocsr()

    def fill(start):
        found[start:start + _TILE] = columns.dot(np.ascontiguousarray(matrix[:, start:start + _TILE])).T

    work_in_threads(fill, range(0, len(found), _TILE))
    return found


class _AllItems:
    """(2) with items as rows, (n_items, n_users): the weights x -> scores, (n_items, n_items)."""

    def __init__(self, X, with_ratings):
        self._K, self._with_ratings = kernel(X, X), with_ratings

    def solve(self, l2):
        ridge = self._K.copy()
        ridge[np.diag_indices_from(ridge)] += l2 * ridge.diagonal()[self._with_ratings].mean()
        return ItemWeights(scipy.linalg.cho_solve(scipy.linalg.cho_factor(ridge, lower=True), self._K))


def _landmarks(X, with_ratings, n, rng):
    if rng is not None:
        return np.sort(check_rng(rng).choice(with_ratings, n, replace=False))
    counts = np.diff(X.indptr)[with_ratings]
    return np.sort(with_ratings[np.argsort(-counts, kind="stable")[:n]])


class _ByLandmarks:
    """The sums over all rows of (3), some rows at a time, in float64."""

    def __init__(self, X, chosen, products=False):
        L = X[chosen]
        self._K_LL, self._sums = kernel(L, L).astype(np.float64), np.zeros((len(chosen), len(chosen)))
        self._products = np.zeros((len(chosen), X.shape[1])) if products else None
        step = max(1, _BLOCK // len(chosen))
        for start in range(0, X.shape[0], step):
            block = X[start:start + step]
            K_L = kernel(block, L)
            self._sums += K_L.T.dot(K_L)
            if products:
                self._products += block.T.dot(K_L).T

    def _inverse(self, l2):
        # A little more on the diagonal: rows that are alike make K_LL, and with it (3), singular.
        system = l2 * self._K_LL.diagonal().mean() * (self._K_LL + 1e-6 * np.eye(len(self._K_LL)))
        system += self._sums
        return symmetric_inverse(system)


class _UsersByLandmarks(_ByLandmarks):
    """(3) with users as rows: the last two factors, (n_landmarks, n_items), are one map."""

    def __init__(self, X, chosen):
        super().__init__(X, chosen, products=True)
        self._L = X[chosen]

    def solve(self, l2):
        return WideUsers(self._L, (self._inverse(l2).dot(self._products).astype(np.float32),))


class _ItemsByLandmarks(_ByLandmarks):
    """(3) with items as rows: x K_L (K_L' K_L + lambda K_LL)^-1 K_L', (n_items, n_items)."""

    def __init__(self, X, chosen):
        super().__init__(X, chosen)
        self._K_L = kernel(X, X[chosen])

    def solve(self, l2):
        return ItemWeights(self._K_L.dot(self._inverse(l2).astype(np.float32)).dot(self._K_L.T))
