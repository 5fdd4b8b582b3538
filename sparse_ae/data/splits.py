"""Ways to cut the stored entries of ratings into training and test sets: at random, in folds, per user, by time."""
import numbers
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_count, check_fraction, check_rng
from sparse_ae.data.ratings import Ratings, canonical_csr, check_ratings, check_timestamps, rows_of_entries

__all__ = ["k_folds", "leave_k_out", "split_by_time"]


class Split(NamedTuple):
    """Ratings split for training and testing.

    Attributes
    ----------
    train, test : scipy.sparse.csr_matrix of float32, shape (n_users, n_items)
        Two matrices of the shape of the whole; each of its stored entries is in one of them.
    cold_users, cold_items : numpy.ndarray of int64
        Rows and columns, in ascending order, with a rating in `test` and none in `train`. A model has learned nothing
        about them.
    """

    train: sp.csr_matrix
    test: sp.csr_matrix
    cold_users: np.ndarray
    cold_items: np.ndarray


def split_ratings(ratings, test_fraction=0.2, rng=0):
    """Split the stored entries at random, for training and for testing.

    Parameters
    ----------
    ratings : Ratings or SciPy sparse matrix, shape (n_users, n_items)
    test_fraction : float
        Share of the ratings for testing, between 0 and 1: exactly round(test_fraction * nnz), stored zeros included.
    rng : numpy.random.RandomState or int
        With the same seed two calls give the same split.

    Returns
    -------
    Split
    """
    matrix, rng = check_ratings(ratings), check_rng(rng)
    return _split(matrix, rng.permutation(matrix.nnz)[:_n_test(test_fraction, matrix.nnz)])


def k_folds(ratings, n_folds=5, rng=0):
    """Split the stored entries at random into folds; each is the test set once.

    Parameters
    ----------
    ratings, rng
        As `split_ratings` takes them.
    n_folds : int
        2 or more, up to the number of ratings. Test sets differ in size by at most one rating.

    Returns
    -------
    list of Split
        One for each fold. Each holds a copy of all ratings.
    """
    matrix, rng = check_ratings(ratings), check_rng(rng)
    if isinstance(n_folds, bool) or not isinstance(n_folds, numbers.Integral) or not 2 <= n_folds <= matrix.nnz:
        raise ValueError("n_folds is %r; expected a whole number from 2 to the number of ratings, %d"
                         % (n_folds, matrix.nnz))
    order = rng.permutation(matrix.nnz)
    return [_split(matrix, order[k::n_folds]) for k in range(n_folds)]


def leave_k_out(ratings, k=1, rng=0, newest=False):
    """Hold out k ratings of each user for testing.

    Parameters
    ----------
    ratings, rng
        As `split_ratings` takes them; rng isn't used with `newest`.
    k : int
        Test ratings of a user who has more than k; the others keep theirs for training and aren't tested.
    newest : bool
        Hold out the k newest instead; of ratings with the same time those of the last items.

    Returns
    -------
    Split
    """
    matrix = check_ratings(ratings)
    check_count(k, "k")
    counts = np.diff(matrix.indptr)
    if counts.max() <= k:
        raise ValueError("no user has more than k=%d ratings, the most is %d: lower k"
                         % (k, counts.max()))
    keys = _timestamps(ratings, matrix, "newest=True") if newest else check_rng(rng).permutation(matrix.nnz)
    order = np.lexsort((keys, rows_of_entries(matrix.indptr)))  # stable: by row, then key, then column
    from_end = np.repeat(matrix.indptr[1:], counts) - np.arange(matrix.nnz)
    return _split(matrix, order[(from_end <= k) & (np.repeat(counts, counts) > k)])


def split_by_time(ratings, test_fraction=0.2):
    """Hold out the newest of all ratings for testing.

    Parameters
    ----------
    ratings : Ratings with timestamps, shape (n_users, n_items)
    test_fraction : float
        Share of the ratings for testing, between 0 and 1; the count is round(test_fraction * nnz). Of ratings with the
        same time the last by user and item are tested on.

    Returns
    -------
    Split
        Users and items that are new in the test period are among its `cold_users` and `cold_items`.
    """
    matrix = check_ratings(ratings)
    timestamps = _timestamps(ratings, matrix, "split_by_time")
    return _split(matrix, np.argsort(timestamps, kind="stable")[-_n_test(test_fraction, matrix.nnz):])


def _timestamps(ratings, matrix, who):
    if not isinstance(ratings, Ratings) or ratings.timestamps is None:
        raise ValueError("%s needs timestamps, and these ratings have none; expected numbers or ISO dates such as "
                         "2024-05-31 in a column called timestamp or date, or datetime64 of pandas.to_datetime(column, "
                         "dayfirst=True)" % who)
    timestamps = check_timestamps(ratings.timestamps)
    if matrix is not ratings.matrix or len(timestamps) != matrix.nnz:  # then times go with other entries
        raise ValueError("the %d timestamps may not have the order of the %d ratings; expected Ratings as load_ratings "
                         "and ratings_from_triples return them" % (len(timestamps), matrix.nnz))
    return timestamps


def _n_test(test_fraction, n):
    """The number of entries that a fraction of n is, if it leaves some on either side."""
    n_test = int(round(check_fraction(test_fraction, "test_fraction", ", such as 0.2") * n))
    if not 0 < n_test < n:
        raise ValueError("test_fraction=%r puts %d of %d ratings into the test set; expected at least one on either "
                         "side: change the fraction, or add ratings" % (test_fraction, n_test, n))
    return n_test


def _split(matrix, entries):
    """The entries at some positions as the test set, the others to train on."""
    chosen = np.zeros(matrix.nnz, dtype=bool)
    chosen[entries] = True
    parts = []
    for wanted in (~chosen, chosen):
        indptr = np.concatenate([[0], np.cumsum(wanted)])[matrix.indptr].astype(matrix.indptr.dtype)
        parts.append(canonical_csr(matrix.data[wanted], matrix.indices[wanted], indptr, matrix.shape))
    per_user = [np.diff(part.indptr) for part in parts]
    per_item = [np.bincount(part.indices, minlength=part.shape[1]) for part in parts]
    cold = [np.flatnonzero((n_train == 0) & (n_test > 0)) for n_train, n_test in (per_user, per_item)]
    return Split(*parts, *cold)
