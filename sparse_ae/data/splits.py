"""Ways to cut the stored entries of ratings into training and test sets: at random, per user, by user, by time."""
import numbers
from typing import Any, List, NamedTuple, Optional, Sequence, Union

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import Rng, check_count, check_fraction, check_rng
from sparse_ae.data.entries import numbers_of_pairs, rows_of_entries
from sparse_ae.data.events import before_and_after, trimmed
from sparse_ae.data.ratings import CheckedMatrix, Ratings, check_ratings, numbers_in, part_of, rating_counts
from sparse_ae.data.tables import as_ratings
from sparse_ae.data.times import check_timestamps

__all__ = ["k_core", "k_folds", "leave_k_out", "split_by_time", "split_users", "time_folds"]


class Split(NamedTuple):
    """Ratings split for training and testing: each of them is on one side; in `time_folds` the later ones on neither.
    Counts that were added up are split by their events in `split_by_time` and `time_folds`, as they were at the time.

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


class UserSplit(NamedTuple):
    """Ratings split by users, in the form of those of `Split`.

    Attributes
    ----------
    train, test, known : Ratings, or scipy.sparse.csr_matrix of float32
        All ratings of the users to train on; those of the held-out users that are to be predicted; and all but these,
        `train` included, from which they are predicted, and which `evaluate_lists` takes as its training ratings.
    """

    train: Any
    test: Any
    known: Any


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

    Examples
    --------
    >>> import sparse_ae
    >>> ratings, _ = sparse_ae.made_up_ratings(n_ratings=900)
    >>> [(len(fold.train), len(fold.test)) for fold in sparse_ae.k_folds(ratings, 3)]
    [(600, 300), (600, 300), (600, 300)]
    """
    whole, rng = _whole(ratings), check_rng(rng)
    n = whole.matrix.nnz
    if isinstance(n_folds, bool) or not isinstance(n_folds, numbers.Integral) or not 2 <= n_folds <= n:
        raise ValueError("n_folds is %r; expected a whole number from 2 to the number of ratings, %d" % (n_folds, n))
    order = rng.permutation(n)
    return [_split(whole, order[k::n_folds]) for k in range(n_folds)]


def leave_k_out(ratings: Any, k: Optional[int] = None, rng: Rng = 0, newest: bool = False,
                fraction: Optional[float] = None) -> Split:
    """Hold out k ratings of each user, or a share of them, for testing.

    Parameters
    ----------
    ratings, rng
        As `split_ratings` takes them; rng isn't used with `newest`.
    k : int, optional
        Test ratings of a user who has more than k, by default 1; the others keep theirs for training and aren't tested.
    newest : bool
        Hold out the newest ratings instead; of those with the same time the ones of the last items.
    fraction : float, optional
        Instead of k: a share between 0 and 1. Of n ratings round(fraction * n) are held out, at most n - 1.

    Returns
    -------
    Split

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = [("ann", "tea", 5), ("ann", "jam", 4), ("bob", "tea", 3)]
    >>> split = sparse_ae.leave_k_out(ratings, k=1)
    >>> len(split.train), len(split.test)
    (2, 1)
    """
    whole = _whole(ratings)
    counts = np.diff(whole.matrix.indptr)
    if fraction is None:
        k = check_count(1 if k is None else k, "k")
        n_test = np.where(counts > k, k, 0)
    elif k is None:
        n_test = _shares(fraction, "fraction", counts)
    else:
        raise ValueError("k=%r and fraction=%r were given; expected one of them: leave the other out" % (k, fraction))
    if not n_test.any():
        raise ValueError("%s holds out no rating, since no user has more than %d: %s" % (
            ("k=%d" % k, counts.max(), "lower k") if k else ("fraction=%r" % fraction, counts.max(), "raise it")))
    keys = _timestamps(whole, "newest=True") if newest else check_rng(rng).permutation(whole.matrix.nnz)
    return _split(whole, _last_of_users(whole.matrix, keys, n_test))


def split_users(ratings: Any, test_fraction: float = 0.1, known_fraction: float = 0.8, rng: Rng = 0) -> UserSplit:
    """Hold out users, to test a model on users that it wasn't trained on: strong generalisation.

    A part of each held-out user's ratings is known when the others are predicted: docs/guide/evaluation.md.

    Parameters
    ----------
    ratings, rng
        As `split_ratings` takes them.
    test_fraction : float
        Share of the users with two ratings or more to hold out, between 0 and 1. All others are for training.
    known_fraction : float
        Share of each held-out user's ratings that is known: round(known_fraction * n), at least one and not all.

    Returns
    -------
    UserSplit

    Examples
    --------
    >>> import sparse_ae
    >>> ratings, _ = sparse_ae.made_up_ratings(n_users=60, n_items=40, n_ratings=900)
    >>> split = sparse_ae.split_users(ratings, test_fraction=0.1)
    >>> len(split.train), len(split.known), len(split.test)
    (809, 882, 18)
    """
    whole, rng = _whole(ratings), check_rng(rng)
    counts = np.diff(whole.matrix.indptr)
    several = np.flatnonzero(counts > 1)
    held_out = rng.permutation(several)[:_n_test(test_fraction, len(several), "users with two ratings or more")]
    n_test = np.zeros_like(counts)
    n_test[held_out] = counts[held_out] - np.maximum(1, _shares(known_fraction, "known_fraction", counts[held_out]))
    test = np.zeros(whole.matrix.nnz, dtype=bool)
    test[_last_of_users(whole.matrix, rng.permutation(len(test)), n_test)] = True
    return UserSplit(*(_part(whole, wanted) for wanted in (np.repeat(n_test == 0, counts), test, ~test)))


def split_by_time(ratings: Any, test_fraction: Optional[float] = None, at: Any = None) -> Split:
    """Hold out the newest of all ratings for testing.

    Parameters
    ----------
    ratings : ratings with timestamps, in any form that `tables.as_ratings` takes
    test_fraction : float, optional
        Share of the ratings for testing, between 0 and 1, by default 0.2; the count is round(test_fraction * n). Of
        ratings with the same time the last by user and item are tested on. A sum has the time of its first event.
    at : str, datetime, numpy.datetime64 or number, optional
        Instead of a share: ratings from this time on are tested on. A date of ISO 8601, such as 2024-05-01 or
        2024-05-01 08:30+02:00 (UTC, unless it says another offset), which timestamps that are numbers have to count in
        seconds since 1970, as `load_ratings` reads dates; or a number in the unit of the timestamps.

    Returns
    -------
    Split
        Users and items that are new in the test period are among its `cold_users` and `cold_items`. Counts that were
        added up with their times (`duplicates="sum"`) are split as two files would be, of the events before that time
        and of those from it on: `train` has the pairs and the counts of the first, `test` the counts of those pairs of
        the second that `train` lacks, and may be empty. With `returns="drop"` a pair is in `train` until its return.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = [("ann", "tea", 5, "2024-04-01"), ("ann", "jam", 4, "2024-05-03")]
    >>> split = sparse_ae.split_by_time(ratings, at="2024-05-01")
    >>> len(split.train), len(split.test), split.cold_items.tolist()
    (1, 1, ['jam'])
    """
    whole = _whole(ratings)
    times = _timestamps(whole, "split_by_time")
    if at is not None and test_fraction is not None:
        raise ValueError("test_fraction=%r and at=%r were given; expected one of them: leave the other out"
                         % (test_fraction, at))
    if at is None:
        n_test = _n_test(0.2 if test_fraction is None else test_fraction, len(times))
        after = _from_entry(whole, np.argsort(times, kind="stable")[-n_test])
    else:
        after = _from_time(whole, at)
    return _as_split(whole, *before_and_after(whole, ~after, after))


def time_folds(ratings: Any, folds: Union[int, Sequence] = 5) -> List[Split]:
    """Split by time, as `split_by_time` does: each period is the test set once, and all before it is to train on.

    Parameters
    ----------
    ratings : ratings with timestamps, in any form that `tables.as_ratings` takes
    folds : int, or list of str, datetime, numpy.datetime64 or number
        The number of test sets, as large as one another and as what is before the first, up to one rating; of ratings
        with the same time the last by user and item are later. Or the times at which the periods begin, ascending, each
        as `split_by_time` takes it; the last has no end.

    Returns
    -------
    list of Split
        One for each period, the earliest first, for ``cross_validate(splits=)``.
    """
    whole = _whole(ratings)
    times = _timestamps(whole, "time_folds")
    n = len(times)
    if np.ndim(folds):
        afters = [_from_time(whole, each) for each in folds]
    else:
        check_count(folds, "folds", ", or a list of times, such as ['2024-05-01', '2024-06-01']", most=n - 1)
        order = np.argsort(times, kind="stable")
        afters = [_from_entry(whole, order[n * fold // (folds + 1)]) for fold in range(1, folds + 1)]
    if not afters or max(np.diff(list(map(np.count_nonzero, afters)), append=0)) >= 0:
        raise ValueError("folds=%r has a period without ratings; expected ascending times, with some between"
                         % (folds,))
    return [_as_split(whole, *before_and_after(whole, ~after, after & ~later))
            for after, later in zip(afters, afters[1:] + [np.zeros_like(afters[0])])]


def k_core(ratings: Any, k: int = 5) -> Any:
    """The ratings of users and items with at least k of them, after others are dropped, until all have k.

    Parameters
    ----------
    ratings : SciPy sparse matrix, or ratings in any other form that `tables.as_ratings` takes
    k : int
        The least number of ratings of a user, and of an item.

    Returns
    -------
    Ratings, or scipy.sparse.csr_matrix of float32
        `Ratings` with these users and items alone; of a sparse matrix a matrix of its shape.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = [("ann", "tea", 5), ("ann", "jam", 4), ("bob", "tea", 3),
    ...            ("bob", "jam", 2), ("cem", "tea", 1)]
    >>> sparse_ae.k_core(ratings, k=2).users.tolist()
    ['ann', 'bob']
    """
    whole = _whole(ratings)
    check_count(k, "k")
    matrix = whole.matrix
    rows, cols = rows_of_entries(matrix.indptr), matrix.indices
    kept, before = np.ones(matrix.nnz, dtype=bool), -1
    while before != np.count_nonzero(kept):
        before = np.count_nonzero(kept)
        for side in (rows, cols):
            kept &= (np.bincount(side[kept], minlength=max(matrix.shape)) >= k)[side]
    if not before:
        raise ValueError("no users and items have %d ratings of one another; expected a lower k" % k)
    core = _part(whole, kept)
    return core if whole.users is None else trimmed(core)


def _from_entry(whole, entry):
    """A mask of the events from an entry's first one on: of those with the same time the last by user and item."""
    events, start = whole.events or whole, entry
    if whole.events is not None:
        start = np.searchsorted(numbers_of_pairs(events.matrix), numbers_in(events, whole)[entry])
    times, moment = events.timestamps, whole.timestamps[entry]
    return (times > moment) | (times == moment) & (np.arange(len(times)) >= start)


def _from_time(whole, at):
    """A mask of the events from a time on; ValueError if there are none, or no others."""
    times = (whole.events or whole).timestamps
    dated = times.dtype.kind == "M"
    try:
        moment, = check_timestamps([at])
        if dated and isinstance(at, str):  # seconds; a wider range than that of nanoseconds
            times, moment = times.astype("M8[us]"), np.datetime64(int(round(1e6 * float(moment))), "us")
        elif dated:
            moment = np.datetime64(moment)  # ValueError for a number
        elif moment.dtype.kind == "M":
            moment = (moment - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    except (TypeError, ValueError, OverflowError):
        raise ValueError("at is %.60r; expected a date such as 2024-05-01%s"
                         % (at, "" if dated else ", or a number in the unit of the timestamps")) from None
    after = times >= moment
    if after.all() or not after.any():
        raise ValueError("at=%r puts %d of %d ratings into the test set; expected a time within their timestamps, "
                         "which range from %s to %s%s"
                         % (at, np.count_nonzero(after), len(times), times.min(), times.max(),
                            "" if dated else " (a date is seconds since 1970)"))
    return after


def _whole(ratings):
    """What is to be split: `Ratings` as they are, but checked; without ids of a sparse matrix."""
    if sp.issparse(ratings) or isinstance(ratings, CheckedMatrix):
        return Ratings(check_ratings(ratings), None, None)
    if not isinstance(ratings, Ratings):
        return as_ratings(ratings)
    matrix, users, items, times = ratings
    checked, times = check_ratings(matrix), None if times is None else check_timestamps(times)
    if times is not None and (checked is not matrix or len(times) != matrix.nnz):  # then times go with other entries
        raise ValueError("the %d timestamps may not have the order of the %d ratings; expected Ratings as load_ratings "
                         "and ratings_from_triples return them" % (len(times), checked.nnz))
    return Ratings(checked, np.asarray(users), np.asarray(items), times, ratings.events)


def _timestamps(whole, who):
    if whole.timestamps is None:
        raise ValueError("%s needs timestamps, and these ratings have none; expected numbers or ISO dates such as "
                         "2024-05-31 in a column called timestamp or date, or datetime64 of pandas.to_datetime(column, "
                         "dayfirst=True), of every line of counts that are added up" % who)
    return whole.timestamps


def _n_test(test_fraction, n, kind="ratings"):
    """The number of entries that a fraction of n is, if it leaves some on either side."""
    n_test = int(round(check_fraction(test_fraction, "test_fraction", ", such as 0.2") * n))
    if not 0 < n_test < n:
        raise ValueError("test_fraction=%r puts %d of %d %s into the test set; expected at least one on either side: "
                         "change the fraction, or add %s" % (test_fraction, n_test, n, kind, kind))
    return n_test


def _shares(fraction, name, counts):
    """How many of some counts a fraction of each is, at most all but one."""
    return np.minimum(np.rint(check_fraction(fraction, name, ", such as 0.2") * counts).astype(np.int64),
                      np.maximum(counts, 1) - 1)


def _last_of_users(matrix, keys, n_test):
    """The positions of the last `n_test[u]` entries of each user by the entries' keys."""
    order = np.lexsort((keys, rows_of_entries(matrix.indptr)))  # stable: by row, then key, then column
    counts = np.diff(matrix.indptr)
    from_end = np.repeat(matrix.indptr[1:], counts) - np.arange(matrix.nnz)
    return order[from_end <= np.repeat(n_test, counts)]


def _split(whole, test):
    """The entries at some positions as the test set, all others to train on."""
    chosen = np.zeros(whole.matrix.nnz, dtype=bool)
    chosen[test] = True
    return _as_split(whole, _part(whole, ~chosen), _part(whole, chosen))


def _as_split(whole, *parts):
    counts = zip(*(rating_counts(getattr(part, "matrix", part)) for part in parts))
    cold = [np.flatnonzero((n_train == 0) & (n_test > 0)) for n_train, n_test in counts]
    if whole.users is not None:
        cold = parts[0].users[cold[0]], parts[0].items[cold[1]]
    return Split(*parts, *cold)


def _part(whole, wanted):
    """The entries that a mask chooses, in the form and the shape of the whole."""
    part = part_of(whole, wanted)
    return part.matrix if whole.users is None else part
