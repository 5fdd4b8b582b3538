"""Ways to cut the stored entries of ratings into training and test sets: at random, in folds, per user, by time."""
import numbers
from typing import Any, List, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import Rng, check_count, check_fraction, check_rng
from sparse_ae.data.ratings import (
    CheckedMatrix,
    Ratings,
    canonical_csr,
    check_ratings,
    check_timestamps,
    rating_counts,
    rows_of_entries,
)
from sparse_ae.data.tables import as_ratings

__all__ = ["k_folds", "leave_k_out", "split_by_time"]


class Split(NamedTuple):
    """Ratings split for training and testing: each of them is on one side.

    Attributes
    ----------
    train, test : Ratings, or scipy.sparse.csr_matrix of float32, shape (n_users, n_items)
        `Ratings` with the ids of the whole, and their own timestamps; of a sparse matrix two matrices of its shape.
    cold_users, cold_items : numpy.ndarray
        Users and items with a rating in `test` and none in `train`: a model has learned nothing about them. They are
        ids; of a sparse matrix, rows and columns, int64.
    """

    train: Any
    test: Any
    cold_users: np.ndarray
    cold_items: np.ndarray


def split_ratings(ratings: Any, test_fraction: float = 0.2, rng: Rng = 0) -> Split:
    """Split the stored entries at random, for training and for testing.

    Parameters
    ----------
    ratings : SciPy sparse matrix, or ratings in any other form that `tables.as_ratings` takes
    test_fraction : float
        Share of the ratings for testing, between 0 and 1: exactly round(test_fraction * n), stored zeros included.
    rng : numpy.random.RandomState or int
        With the same seed two calls give the same split.

    Returns
    -------
    Split
        Of `Ratings`, ready for `Recommender.fit` and `evaluate`; of a sparse matrix, of matrices.

    Examples
    --------
    >>> import sparse_ae
    >>> split = sparse_ae.split_ratings(sparse_ae.as_ratings((["ann", "bob", "bob"], [7, 7, 9], [5, 3, 4])), 0.3)
    >>> split.train, split.test
    (Ratings(2 ratings, 2 users, 2 items), Ratings(1 ratings, 2 users, 2 items))
    """
    whole, rng = _whole(ratings), check_rng(rng)
    n = whole.matrix.nnz
    return _split(whole, rng.permutation(n)[:_n_test(test_fraction, n)])


def k_folds(ratings: Any, n_folds: int = 5, rng: Rng = 0) -> List[Split]:
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
    whole, rng = _whole(ratings), check_rng(rng)
    n = whole.matrix.nnz
    if isinstance(n_folds, bool) or not isinstance(n_folds, numbers.Integral) or not 2 <= n_folds <= n:
        raise ValueError("n_folds is %r; expected a whole number from 2 to the number of ratings, %d" % (n_folds, n))
    order = rng.permutation(n)
    return [_split(whole, order[k::n_folds]) for k in range(n_folds)]


def leave_k_out(ratings: Any, k: int = 1, rng: Rng = 0, newest: bool = False) -> Split:
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
    whole = _whole(ratings)
    matrix = whole.matrix
    check_count(k, "k")
    counts = np.diff(matrix.indptr)
    if counts.max() <= k:
        raise ValueError("no user has more than k=%d ratings, the most is %d: lower k"
                         % (k, counts.max()))
    keys = _timestamps(whole, "newest=True") if newest else check_rng(rng).permutation(matrix.nnz)
    order = np.lexsort((keys, rows_of_entries(matrix.indptr)))  # stable: by row, then key, then column
    from_end = np.repeat(matrix.indptr[1:], counts) - np.arange(matrix.nnz)
    return _split(whole, order[(from_end <= k) & (np.repeat(counts, counts) > k)])


def split_by_time(ratings: Any, test_fraction: Optional[float] = None, at: Any = None) -> Split:
    """Hold out the newest of all ratings for testing.

    Parameters
    ----------
    ratings : ratings with timestamps, in any form that `tables.as_ratings` takes
    test_fraction : float, optional
        Share of the ratings for testing, between 0 and 1, by default 0.2; the count is round(test_fraction * n). Of
        ratings with the same time the last by user and item are tested on.
    at : str, datetime, numpy.datetime64 or number, optional
        Instead of a share: ratings from this time on are tested on. A date of ISO 8601, such as 2024-05-01 or
        2024-05-01 08:30+02:00 (UTC, unless it says another offset), which timestamps that are numbers have to count in
        seconds since 1970, as `load_ratings` reads dates; or a number in the unit of the timestamps.

    Returns
    -------
    Split
        Users and items that are new in the test period are among its `cold_users` and `cold_items`.
    """
    whole = _whole(ratings)
    times = _timestamps(whole, "split_by_time")
    if at is None:
        n_test = _n_test(0.2 if test_fraction is None else test_fraction, len(times))
        return _split(whole, np.argsort(times, kind="stable")[-n_test:])
    if test_fraction is not None:
        raise ValueError("test_fraction=%r and at=%r were given; expected one of them: leave the other out"
                         % (test_fraction, at))
    newest = np.flatnonzero(_are_from(at, times))
    if not 0 < len(newest) < len(times):
        hint = "" if times.dtype.kind == "M" else " (a date is seconds since 1970)"
        raise ValueError("at=%r puts %d of %d ratings into the test set; expected a time within their timestamps, "
                         "which range from %s to %s%s" % (at, len(newest), len(times), times.min(), times.max(), hint))
    return _split(whole, newest)


def _are_from(at, times):
    """Which times are `at` or later."""
    dated = times.dtype.kind == "M"
    try:
        moment, = check_timestamps([at])
        if dated and isinstance(at, str):  # seconds; a wider range than that of nanoseconds
            return times.astype("M8[us]") >= np.datetime64(int(round(1e6 * float(moment))), "us")
        if dated:
            return times >= np.datetime64(moment)  # ValueError for a number
    except (TypeError, ValueError, OverflowError):
        raise ValueError("at is %.60r; expected a date such as 2024-05-01%s"
                         % (at, "" if dated else ", or a number in the unit of the timestamps")) from None
    return times >= ((moment - np.datetime64(0, "s")) / np.timedelta64(1, "s") if moment.dtype.kind == "M" else moment)


def _whole(ratings):
    """What is to be split: `Ratings` as they are, but checked; `CheckedMatrix` of a sparse matrix."""
    if sp.issparse(ratings) or isinstance(ratings, CheckedMatrix):
        return CheckedMatrix(check_ratings(ratings))
    if not isinstance(ratings, Ratings):
        return as_ratings(ratings)
    matrix, users, items, times = ratings
    checked, times = check_ratings(matrix), None if times is None else check_timestamps(times)
    if times is not None and (checked is not matrix or len(times) != matrix.nnz):  # then times go with other entries
        raise ValueError("the %d timestamps may not have the order of the %d ratings; expected Ratings as load_ratings "
                         "and ratings_from_triples return them" % (len(times), checked.nnz))
    return Ratings(checked, np.asarray(users), np.asarray(items), times)


def _timestamps(whole, who):
    times = getattr(whole, "timestamps", None)
    if times is None:
        raise ValueError("%s needs timestamps, and these ratings have none; expected numbers or ISO dates such as "
                         "2024-05-31 in a column called timestamp or date, or datetime64 of pandas.to_datetime(column, "
                         "dayfirst=True)" % who)
    return times


def _n_test(test_fraction, n):
    """The number of entries that a fraction of n is, if it leaves some on either side."""
    n_test = int(round(check_fraction(test_fraction, "test_fraction", ", such as 0.2") * n))
    if not 0 < n_test < n:
        raise ValueError("test_fraction=%r puts %d of %d ratings into the test set; expected at least one on either "
                         "side: change the fraction, or add ratings" % (test_fraction, n_test, n))
    return n_test


def _split(whole, entries):
    """The entries at some positions as the test set, the others to train on."""
    matrix, parts, times = whole.matrix, [], getattr(whole, "timestamps", None)
    chosen = np.zeros(matrix.nnz, dtype=bool)
    chosen[entries] = True
    for wanted in (~chosen, chosen):
        indptr = np.concatenate([[0], np.cumsum(wanted)])[matrix.indptr].astype(matrix.indptr.dtype)
        parts.append(canonical_csr(matrix.data[wanted], matrix.indices[wanted], indptr, matrix.shape))
    cold = [np.flatnonzero((n_train == 0) & (n_test > 0)) for n_train, n_test in zip(*map(rating_counts, parts))]
    if isinstance(whole, CheckedMatrix):
        return Split(*parts, *cold)
    parts = [whole._replace(matrix=part, timestamps=None if times is None else times[wanted])
             for part, wanted in zip(parts, (~chosen, chosen))]
    return Split(*parts, whole.users[cold[0]], whole.items[cold[1]])
