"""Ratings as people have them - data frames, arrays of pairs, triples of columns, sparse matrices - as `data.Ratings`.

Any object with a `columns` attribute and ``table[name]`` is a table, as in pandas and polars, which aren't imported.
"""
import numbers
import os
from typing import Any, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_choice, errors_at
from sparse_ae.data.columns import are_rated, as_array, check_missing
from sparse_ae.data.entries import triples
from sparse_ae.data.events import without_returns
from sparse_ae.data.ids import distinct
from sparse_ae.data.names import (
    NAMES,
    RATINGS,
    choose_columns,
    column_names,
    doubt_about_counts,
    doubt_about_header,
    find_columns,
    index_names,
    is_date,
    said_columns,
)
from sparse_ae.data.ratings import (
    DUPLICATES,
    Ratings,
    as_float32,
    build_ratings,
    canonical_csr,
    check_counts,
    check_ratings,
    named_columns,
    ratings_from_triples,
)
from sparse_ae.data.times import check_timestamps, in_seconds
from sparse_ae.runtime.progress import say

__all__ = ["as_ratings", "as_columns", "as_pairs", "from_counts"]

# So few columns, and so many rows, may be a list of ratings; so many counts, or ascending numbers, are no chance.
_COLUMNS_OF_A_LIST, _ROWS_OF_A_LIST, _NO_CHANCE = 8, 100, 10


def as_ratings(ratings: Any, y: Any = None, duplicates: str = "error", missing: Optional[float] = None,
               progress: bool = True, returns: str = "error") -> Ratings:
    """Convert ratings in any form to `Ratings`.

    Parameters
    ----------
    ratings : Ratings, SciPy sparse matrix, table, or tuple of columns
        ==============================  ==============================================================================
        a table (pandas, polars, a      with the columns user, item, rating and perhaps timestamp, by these names
        dict of columns, a structured   (also user_id, userId, movieId, ...), in any order and among others; or with
        array)                          just three or four columns in this order, whatever their names
        an array of rows, (n, 3 or 4)   user, item, rating and perhaps timestamp in each
        a tuple of three or four        users, items, ratings and perhaps timestamps (a list is taken for rows)
        arrays, (n,)
        a sparse matrix                 users by items; their ids are then 0, 1, ...
        a `Ratings`                     a sparse matrix with ids in any order
        an array of numbers, with       users by items, as dense as it is; their ids are then 0, 1, ...
        ``missing=``
        ==============================  ==============================================================================
    y : array_like of float, (n,), optional
        The ratings, where `ratings` is a table or an array of just users and items: the form in which scikit-learn can
        index the rows.
    duplicates : {"error", "first", "last", "mean", "sum"}
        The rating of a pair of user and item that comes more than once, as in `ratings_from_triples` and, for
        matrices, `check_ratings`.
    missing : float, optional
        The number that stands for "not rated" in a dense array, (n_users, n_items), or among the ratings of a table, of
        a tuple of columns, or in `y`; it may be NaN. All others are ratings, 0 included. An array of rows is taken for
        a dense one then.
    progress : bool
        Whether to show on stderr which columns of a table are read, if their names don't tell.
    returns : {"error", "drop"}
        With "drop", and ``duplicates="sum"``, pairs are left out whose counts add up to 0 or less, as returned goods
        do; otherwise they are an error of a `fit` with ``objective="clicks"``.

    Returns
    -------
    Ratings
        With ascending ids. `ratings` itself if it is in this form.

    Examples
    --------
    >>> import sparse_ae
    >>> sparse_ae.as_ratings([("ann", "tea", 5), ("bob", "tea", 4), ("bob", "jam", 2)])
    Ratings(3 ratings, 2 users, 2 items)
    >>> sparse_ae.as_ratings({"user": ["ann", "bob"], "item": [7, 9], "rating": [5, 3]})
    Ratings(2 ratings, 2 users, 2 items)
    """
    check_choice(duplicates, "duplicates", DUPLICATES)
    if check_choice(returns, "returns", ("error", "drop")) == "drop":
        if duplicates != "sum":
            raise ValueError("returns='drop' was given with duplicates=%r; only sums of counts have returns: pass "
                             "duplicates='sum', or leave returns out" % duplicates)
        return without_returns(as_ratings(ratings, y, duplicates, missing, progress), "ratings", progress)
    missing = check_missing(missing)
    if y is None and (isinstance(ratings, Ratings) or sp.issparse(ratings)):
        if missing is not None:
            raise TypeError("missing=%g was given with %s; expected a dense array, or columns: entries that a sparse "
                            "matrix doesn't store are missing, and eliminate_zeros() removes zeros"
                            % (missing, type(ratings).__name__))
        if isinstance(ratings, Ratings):
            return _with_ascending_ids(ratings, duplicates)
        matrix = check_ratings(ratings, duplicates)
        return Ratings(matrix, *(np.arange(size, dtype=np.int64) for size in matrix.shape))
    if missing is not None and y is None and not isinstance(ratings, tuple) and len(
            find_columns(column_names(ratings) or (), RATINGS)) < 3:
        return _of_table(ratings, missing)
    columns = as_columns(ratings, y, progress)
    if missing is None:
        return ratings_from_triples(*columns, duplicates=duplicates)
    n_given = len(columns[2])
    if columns[2].dtype.kind in "iuf" and all(column.shape == (n_given,) for column in columns):
        rated = are_rated(columns[2], missing)
        if n_given and not rated.any():
            raise ValueError('all %d ratings are %g, which means "not rated"; expected at least one other'
                             % (n_given, missing))
        columns = [as_array(column[rated].tolist()) if column.dtype == object else column[rated] for column in columns]
    with errors_at("of the %d ratings other than %g" % (len(columns[2]), missing)):
        return ratings_from_triples(*columns, duplicates=duplicates)


def as_columns(ratings, y=None, progress=False, counts=False):
    """Users, items, ratings and any timestamps, (n,) each, of ratings in any form that `as_ratings` takes; or `counts`,
    of pairs too, which count once each, without timestamps.

    Ids aren't checked, and pairs may be repeated. Errors and progress are those of `as_ratings`.
    """
    if y is not None:
        return as_pairs(ratings) + [_real(as_array(y))]
    if isinstance(ratings, Ratings) or sp.issparse(ratings):
        return list(named_columns(as_ratings(ratings)).values())
    columns = columns_of(ratings, *((2, 3, "feedback") if counts else (3, 4, "ratings")), progress)
    return columns[:2] + list(map(_real, columns[2:] or [np.ones(len(columns[0]))]))


def is_whole(source):
    """Tell ratings in a form that `as_ratings` takes from an iterable of such chunks: columns or rows are no chunks."""
    if isinstance(source, (tuple, list)) and source and not hasattr(source, "_fields"):
        first = source[0]
        return np.ndim(first[0]) == 0 if type(first) in (tuple, list) and first else getattr(first, "ndim", 0) == 1
    return (isinstance(source, Ratings) or sp.issparse(source) or column_names(source) is not None
            or isinstance(source, np.ndarray) and source.ndim == 2)


def as_pairs(X):
    """Users and items, (n,) each, of a table or an array of rows, (n, 2); TypeError or ValueError for others."""
    return columns_of(X, 2, 2, "X")


def _with_ascending_ids(ratings, duplicates):
    matrix, found = check_ratings(ratings, duplicates), []
    for name, column, size in zip(("users", "items"), (ratings.users, ratings.items), matrix.shape):
        if np.shape(column) != (size,):
            raise ValueError("%s have the shape %r and the matrix has %d of them; expected an id for each"
                             % (name, np.shape(column), size))
        ids, places = distinct(column, name)
        if len(ids) < size:
            raise ValueError("%s have the id %r twice; expected one row or column for each id"
                             % (name, ids[np.argmax(np.bincount(places) > 1)].item()))
        found.append((ids, places))
    (users, rows), (items, cols) = found
    times = None if ratings.timestamps is None else np.asarray(ratings.timestamps)
    given = matrix if times is None else ratings.matrix
    if times is not None and times.shape != (given.nnz,):
        raise ValueError("timestamps have the shape %r and there are %d ratings; expected one for each"
                         % (times.shape, given.nnz))
    if given is matrix and (np.diff(rows) > 0).all() and (np.diff(cols) > 0).all():
        return Ratings(matrix, users, items, ratings.timestamps, ratings.events)
    values, at_rows, at_cols = triples(given)
    return build_ratings((users, rows[at_rows]), (items, cols[at_cols]), as_float32(values)[0], times,
                         "entry {}".format, duplicates)


def columns_of(table, fewest, most, name, progress=False):
    """The `fewest` to `most` columns, from the user on, of a table, rows or a tuple that errors call `name`: arrays."""
    if hasattr(table, "_fields"):  # a named tuple of the library's is a tuple, but not of columns
        raise TypeError("%s are a %s of %s; expected ratings: %s" % (
            name, type(table).__name__, ", ".join(table._fields),
            "pass its ratings" if "ratings" in table._fields else
            "only those of fit may be on disk; pass others in memory, as load_ratings(file) reads them"
            if "folder" in table._fields else
            "pass one of its parts, such as split.train"))
    wanted = NAMES[:most]
    names = column_names(table)
    if names is not None:
        places = choose_columns(names, fewest, wanted, name, index_names(table))
        doubt = doubt_about_header(names) or (doubt_about_counts(names[places[2]]) if fewest > 2 else "")
        if progress and (doubt or len(places) > max(2, len(find_columns(names, wanted)))):
            say(name + said_columns(wanted, places, names) + doubt)
        columns = [as_array(table[names[place]]) for place in places]
        if len(columns) == 4:
            columns[3] = in_seconds(_real(columns[3]), "%s: %.60s" % (name, names[places[3]]), progress)
        if len(columns) == 4 and is_date(names[places[3]]):
            try:
                check_timestamps(columns[3])
            except (TypeError, ValueError) as error:
                del columns[3]
                if progress:
                    say("%s: the dates of %.60s are ignored: %s" % (name, names[places[3]], error))
        return columns
    if most > 2 and isinstance(table, tuple) and fewest <= len(table) <= most:
        # Unknown timestamps may be None.
        return list(map(as_array, table[:-1] if len(table) == 4 and table[-1] is None else table))
    # dtype object: asarray would turn [7, "x"] into two strings
    array = table if isinstance(table, np.ndarray) else np.array(table, dtype=object)
    if array.ndim == 2 and fewest <= array.shape[1] <= most:
        return list(map(as_array, array.T))
    shape, hint = " of shape %r" % (array.shape,) if array.ndim else "", ""
    if isinstance(table, (str, os.PathLike)):
        raise ValueError("%s are %s, %.200r; expected ratings: to read a file, pass load_ratings(%.200r%s)" % (
            name, type(table).__name__, str(table), str(table), "" if fewest > 2 else ", pairs=True, duplicates='sum'"))
    if fewest > 2 and array.ndim == 2 and array.shape[1] > most:
        hint = ('; for a table of users by items call as_ratings(array, missing=...) first, with the number that means '
                '"not rated", or numpy.nan')
    raise ValueError("%s are %s%s; expected a table, or an array of rows, with %s%s%s"
                     % (name, type(table).__name__, shape, ", ".join(wanted[:fewest]),
                        "" if fewest == 2 else " and perhaps timestamp; a tuple of such columns; or a sparse matrix",
                        hint))


def _real(column):
    """A column of Python's own numbers, as an array of rows that hold ids too has them, as floats."""
    if column.dtype != object:
        return column
    fit = all(isinstance(x, numbers.Real) and not isinstance(x, bool) for x in column.flat)
    return column.astype(np.float64) if fit else column


# Dense arrays of users by items, in which a number means "not rated"


def _of_table(table, missing):
    """`Ratings` of a dense array of users by items, without `missing` entries; ValueError for ids, counts or a list."""
    if not isinstance(table, np.ndarray) and column_names(table):
        raise TypeError("ratings are %s, whose rows and columns have names, and missing=%g was given; expected an "
                        "array: pass ratings.to_numpy(), with users and items numbered from 0"
                        % (type(table).__name__, missing))
    array = as_array(table)
    if array.dtype.kind not in "iuf" or array.ndim != 2:
        raise TypeError("ratings are of dtype %s and shape %r, and missing=%g was given; expected a table of real "
                        "numbers with a row for each user and a column for each item"
                        % (array.dtype, array.shape, missing))
    rated = are_rated(array, missing)
    row, col = np.nonzero(rated)
    floats, bad = as_float32(array[rated])
    if bad is not None:
        raise ValueError('row %d, column %d: %s, or pass missing=nan if it means "not rated"'
                         % (row[bad[0]], col[bad[0]], bad[1]))
    if not len(floats):
        raise ValueError('the table has only %g, which means "not rated"; expected at least one rating' % missing)
    indptr = np.append(0, np.cumsum(np.count_nonzero(rated, axis=1)))
    matrix = canonical_csr(floats, col, indptr, array.shape)
    _check_table(matrix, array, rated)
    return Ratings(matrix, *(np.arange(size, dtype=np.int64) for size in array.shape))


def _check_table(matrix, array, rated):
    n_rows, n_cols = array.shape
    if (np.count_nonzero(rated[:, 0]) >= _NO_CHANCE and n_cols > 1
            and (array[:, 0] == np.count_nonzero(rated[:, 1:], axis=1)).all()):
        raise ValueError("the first column counts the ratings in its row, in each of %d rows, as in Jester's data set "
                         "1; expected ratings only: leave that column out, table[:, 1:]" % n_rows)
    for name, line in ("row", matrix[0]), ("column", matrix[:, 0]):
        numbers = line.data  # without a corner and an id of 0, if that means "not rated"
        whole = np.array_equal(numbers, np.rint(numbers))  # Jester's ratings may be sorted by those of one joke
        if whole and len(numbers) >= max(_NO_CHANCE, max(line.shape) - 2) and (np.diff(numbers) > 0).all():
            raise ValueError("the first %s ascends from %g to %g, as ids do; expected ratings only: leave it out, or "
                             "put another %s first if these are ratings" % (name, numbers[0], numbers[-1], name))
    refuse_list(matrix)


def refuse_list(matrix):
    """ValueError for users by items that are a list: many rows, few columns, two of many whole numbers, one of few."""
    n_rows, n_cols = matrix.shape
    if not 3 <= n_cols <= _COLUMNS_OF_A_LIST or n_rows < _ROWS_OF_A_LIST or matrix[:, :2].nnz < 1.9 * n_rows:
        return
    n_values = [len(np.unique(matrix[:, column].data)) for column in range(n_cols)]
    ids = matrix[:, :2]
    if min(n_values[:2]) >= 20 and min(n_values[2:]) <= 11 and np.array_equal(ids.data, np.rint(ids.data)):
        rating = int(np.argmax(np.array(n_values[2:]) <= 11)) + 2
        raise ValueError("the columns look like users, items and ratings in each of %d rows, and not like %d items; "
                         "expected a row for each user: pass the columns only, as_ratings(table[:, [0, 1, %d]])"
                         % (n_rows, n_cols, rating))


# Implicit feedback: users clicked or bought items, and how often


def total_counts(feedback, y=None, progress=False):
    """`Ratings` of each pair's total count, of counts in any form that `as_ratings` takes, or of pairs."""
    if y is None and (isinstance(feedback, Ratings) or sp.issparse(feedback)):
        return as_ratings(feedback, duplicates="sum")
    return ratings_from_triples(*as_columns(feedback, y, progress, counts=True), duplicates="sum")


def as_counts(counts):
    """`Ratings` of log2(1 + count), of `Ratings` that are counts; ValueError, with its ids, for one of 0 or less."""
    check_counts(counts)
    matrix = counts.matrix.copy()
    matrix.data = from_counts(matrix.data).astype(np.float32)
    return counts._replace(matrix=matrix)


def count_columns(feedback, y=None):
    """Users, items, log2(1 + count) and any timestamps, a list of arrays, (n,); pairs may be repeated."""
    users, items, counts, *times = as_columns(feedback, y, counts=True)
    return [users, items, from_counts(counts), *times]


def from_counts(counts):
    """log2(1 + count), (n,) float64; ValueError for a count that isn't a finite number above 0."""
    counts = np.asarray(counts, np.float64)
    wrong = np.flatnonzero(~(counts > 0) | (counts == np.inf))
    if len(wrong):
        raise ValueError("the count at position %d is %g; expected numbers above 0: leave out pairs without a "
                         "count" % (wrong[0], counts[wrong[0]]))
    return np.log2(1 + counts)
