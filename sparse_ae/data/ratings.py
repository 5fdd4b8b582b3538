"""Ratings: users, items and numbers to a SciPy CSR matrix, checked once, in the one form that the library works on.

A matrix of ratings has users as rows, items as columns (its transpose is as good: nothing here looks at the meaning
of an axis). *Observed means stored*: an entry that is stored is a rating, even if its value is 0; an entry that isn't
stored is missing.
"""
import contextlib
import numbers
from typing import NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_choice, error_at
from sparse_ae.data.columns import as_array, as_vector_of_ids, is_masked, unmasked
from sparse_ae.data.ids import distinct
from sparse_ae.data.lines import as_times, whole

__all__ = ["Ratings", "check_ratings", "ratings_from_triples"]

#: Ways with pairs that come more than once.
DUPLICATES = "error", "first", "last", "mean", "sum"

_INT32_MAX = np.iinfo(np.int32).max

# Entries looked at together: ratings may be on disk, and what is made to look at all of them would not fit into memory.
_PART = 2 ** 22


class Ratings(NamedTuple):
    """Ratings with the ids they came with.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_users, n_items)
        The ratings, as `check_ratings` returns them: column indices sorted within each row, no duplicates.
    users : numpy.ndarray of int64 or str, shape (n_users,)
        The id of each row, in ascending order.
    items : numpy.ndarray of int64 or str, shape (n_items,)
        The id of each column, in ascending order.
    timestamps : numpy.ndarray, shape (matrix.nnz,), or None
        The time of each rating, in the order of `matrix.data`; None if none came with the ratings.
    """

    matrix: sp.csr_matrix
    users: np.ndarray
    items: np.ndarray
    timestamps: Optional[np.ndarray] = None

    def part(self, matrix):
        """Some of the ratings, with the same ids: ``ratings.part(split.train)``; without timestamps.

        Parameters
        ----------
        matrix : sparse matrix, shape (n_users, n_items)

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            For what is no sparse matrix, and for one of another shape.
        """
        if not sp.issparse(matrix):
            raise TypeError("the part is of type %s; expected a sparse matrix of some of the ratings, such as "
                            "split.train or split.test" % type(matrix).__name__)
        if matrix.shape != self.matrix.shape:
            raise ValueError("the part is %d x %d and the ratings are %d x %d; expected a matrix of the same users and "
                             "items" % (tuple(matrix.shape) + tuple(self.matrix.shape)))
        return self._replace(matrix=matrix, timestamps=None)


class Checked(NamedTuple):
    """A matrix that `check_ratings` has returned, or some entries, rows or columns of one: it is taken as it is."""

    matrix: sp.csr_matrix


def ratings_from_triples(users, items, ratings, timestamps=None, duplicates="error"):
    """Build ratings from arrays of users, items and ratings.

    Parameters
    ----------
    users, items : array_like of int or str, shape (n_ratings,)
        Ids: any labels, negative numbers included. Floats are taken if they all are whole numbers.
    ratings : array_like of float, shape (n_ratings,)
        Finite numbers, zeros included. Masked ones are missing: they are left out, with their users and items.
    timestamps : array_like of numbers or datetime64, shape (n_ratings,), optional
        The time of each rating, in any unit.
    duplicates : {"error", "first", "last", "mean", "sum"}
        What becomes of a pair of user and item that comes more than once: it is refused, its first or last rating in
        the order given counts (whatever the timestamps say), or the mean or the sum of its ratings. A timestamp is that
        of the rating kept; beside a mean or a sum, the latest.

    Returns
    -------
    Ratings
        Integer ids become int64, strings stay strings; `timestamps` keep their dtype. Nothing is shared with the
        arguments.

    Raises
    ------
    TypeError, ValueError
        If the lengths differ, an id is neither an integer nor a string, a rating or a timestamp isn't a finite number,
        a pair of user and item comes twice and `duplicates` says nothing else, or an id or a timestamp is masked. The
        message names the entry, counted from 0.
    """
    check_duplicates(duplicates)
    columns, places = unmasked([users, items, ratings] + ([] if timestamps is None else [timestamps]), 2)
    if places is None:
        return _ratings_of(*columns, duplicates=duplicates)
    if not len(places):
        raise ValueError("all %d ratings are masked, which says that they are missing; expected at least one that isn't"
                         % len(users))
    try:
        return _ratings_of(*columns, duplicates=duplicates)
    except (TypeError, ValueError) as error:
        raise error_at("of the %d ratings that aren't masked" % len(places), error) from None


def _ratings_of(users, items, ratings, timestamps=None, duplicates="error"):
    values = _vector("ratings", np.ma.getdata(as_array(ratings)))  # masked still where they don't go with the ids
    columns = {"users": _vector("users", users, as_vector_of_ids), "items": _vector("items", items, as_vector_of_ids)}
    if timestamps is not None:
        columns["timestamps"] = check_timestamps(timestamps)
    for name, column in columns.items():
        if len(column) != len(values):
            raise ValueError("%d %s and %d ratings were given; expected one of each for every rating"
                             % (len(column), name, len(values)))
    if not len(values):
        raise ValueError("there are no ratings in the arrays given; expected at least one")
    if values.dtype.kind not in "iuf":
        entry, value = next(((k, v) for k, v in enumerate(ratings) if not isinstance(v, numbers.Real)), (0, values[0]))
        raise TypeError("entry %d: the rating is %.60r; ratings have to be real numbers: convert or drop it"
                        % (entry, value.item() if isinstance(value, np.generic) else value))
    return build_ratings(distinct(users, "users"), distinct(items, "items"), values, columns.get("timestamps"),
                         where=lambda entry: "entry %d" % entry, duplicates=duplicates)


def check_ratings(ratings, duplicates="error"):
    """Check a user's matrix of ratings and bring it into the one form that the library works on.

    Parameters
    ----------
    ratings : SciPy sparse matrix or array of real numbers, shape (n_users, n_items), or Ratings
        Stored zeros are ratings, except in the DIA and BSR formats, which pad with zeros: there zeros are dropped.
        Of `Checked` the matrix is returned, unread.
    duplicates : {"error", "first", "last", "mean", "sum"}
        What becomes of a pair that is stored more than once, as in `ratings_from_triples`. SciPy adds up such entries,
        without a word, in most of what turns a COO matrix into another: ``coo.tocsr()``, and even
        ``csr_matrix((values, (rows, columns)))``. Such a sum can't be told from a rating here.

    Returns
    -------
    scipy.sparse.csr_matrix of float32, shape (n_users, n_items)
        Column indices sorted within each row, no duplicates, int32 indices where they fit. `ratings` itself if it has
        this form already; else a new matrix, which may share memory with `ratings`. `ratings` is left as it is.

    Raises
    ------
    TypeError
        If `ratings` isn't sparse or doesn't hold real numbers.
    ValueError
        If `ratings` holds no entries, NaN, an infinite rating, a pair twice (unless `duplicates` says what to do), or
        indices that don't fit its shape. The message names the row and the column, or the entry whose index is wrong,
        all counted from 0.
    """
    if isinstance(ratings, Checked):
        return ratings.matrix
    check_duplicates(duplicates)
    matrix = ratings.matrix if isinstance(ratings, Ratings) else ratings
    if not sp.issparse(matrix):
        if is_masked(matrix):
            raise TypeError("ratings are a masked dense array; expected a SciPy sparse matrix: "
                            "as_ratings(ratings, missing=numpy.nan) makes one, without what is masked")
        if isinstance(matrix, np.ndarray):
            raise TypeError("ratings are a dense array, where a missing rating can't be told from a 0; expected a "
                            "SciPy sparse matrix: if 0 means missing, pass scipy.sparse.csr_matrix(ratings)")
        raise TypeError("ratings are %s; expected a SciPy sparse matrix: make one with load_ratings(file) or "
                        "as_ratings(table)" % type(matrix).__name__)
    if len(matrix.shape) != 2:
        raise ValueError("ratings have the shape %r; expected users by items: reshape them" % (matrix.shape,))
    if matrix.dtype.kind not in "iuf":
        raise TypeError("ratings are of dtype %s; expected real numbers: convert them with .astype('float32') if that "
                        "keeps their meaning" % matrix.dtype)

    rows = None
    if matrix.format == "csr":
        n_entries = _check_compressed(matrix, matrix.shape)
        values, cols, indptr = matrix.data[:n_entries], matrix.indices[:n_entries], matrix.indptr
        if not _is_sorted(cols, indptr):
            rows = rows_of_entries(indptr)
    elif matrix.format == "csc":
        n_entries = _check_compressed(matrix, matrix.shape[::-1])
        values, rows, cols = matrix.data[:n_entries], matrix.indices[:n_entries], rows_of_entries(matrix.indptr)
    else:
        values, rows, cols = _triples(matrix)
    if not len(values):
        raise ValueError("ratings of shape %d x %d hold no entries; expected at least one stored rating"
                         % tuple(matrix.shape))
    if rows is not None:
        order, sorted_cols, indptr, same = _row_major(rows, cols, matrix.shape[0])
        if same is not None and duplicates == "error":
            first, second = _first_repeated(order, same)
            raise ValueError("row %d, column %d is stored twice (%s and %s); expected one rating per pair: drop one, "
                             "let as_ratings(ratings, duplicates=\"last\") do it (or \"first\", \"mean\"), or add them "
                             "up with sum_duplicates() if their sum is the rating"
                             % (rows[first], cols[first], values[first], values[second]))
        values, cols = values if order is None else values[order], sorted_cols
    values, bad = as_float32(values)
    if bad is not None:
        row = np.searchsorted(indptr, bad[0], side="right") - 1
        raise ValueError("row %d, column %d: %s" % (row, cols[bad[0]], bad[1]))
    if rows is not None and same is not None:
        kept, values = merge_repeated(values, same, duplicates)
        cols, indptr = cols[kept], np.searchsorted(kept, indptr)

    dtype = index_dtype(matrix.shape, len(values))
    if (type(matrix) is sp.csr_matrix and rows is None and len(values) == len(matrix.data)
            and matrix.dtype == np.float32 and matrix.indices.dtype == matrix.indptr.dtype == dtype):
        return matrix
    return canonical_csr(values, cols, indptr, matrix.shape)


def rating_counts(matrix):
    """Count the entries of each row and of each column of a CSR matrix, which may be on disk: two int arrays."""
    of_columns = np.zeros(matrix.shape[1], np.int64)
    for start in range(0, matrix.nnz, _PART):
        of_columns += np.bincount(matrix.indices[start:start + _PART], minlength=matrix.shape[1])
    return np.diff(matrix.indptr), of_columns


def occurring(indices, size):
    """Tell whether each of 0 .. size - 1 is among the indices: bool, (size,)."""
    found = np.zeros(size, dtype=bool)
    for start in range(0, len(indices), _PART):
        found[indices[start:start + _PART]] = True
    return found


def entries_stored(matrix, rows, cols):
    """Tell whether a CSR matrix, as of `check_ratings`, stores an entry, be it 0, at each of some places: bool, (n,).
    """
    rows, cols = np.asarray(rows), np.asarray(cols)
    stored, order = np.zeros(len(rows), bool), np.argsort(rows, kind="stable")
    sizes = np.cumsum(np.diff(matrix.indptr)[rows[order]] * (np.diff(rows[order], prepend=-1) > 0), dtype=np.int64)
    start = 0
    while start < len(order):
        before = sizes[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(sizes, before + _PART, side="right")))
        part = order[start:stop]
        start = stop
        used, place = np.unique(rows[part], return_inverse=True)
        block = matrix[used]
        if not block.nnz:
            continue
        keys = rows_of_entries(block.indptr) * np.int64(matrix.shape[1]) + block.indices  # ascending
        wanted = place * np.int64(matrix.shape[1]) + cols[part]
        stored[part] = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
    return stored


def canonical_csr(values, cols, indptr, shape):
    """CSR of arrays that are known to be sorted, without duplicates and within the shape; of `index_dtype`'s dtype."""
    dtype = index_dtype(shape, len(values))
    matrix = sp.csr_matrix((values, cols.astype(dtype, copy=False), indptr.astype(dtype, copy=False)), shape=shape)
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def index_dtype(shape, n_entries):
    """The dtype of a matrix's indices and indptr: int32 where its shape and its entries allow it, else int64."""
    return np.int32 if max(n_entries, *shape) <= _INT32_MAX else np.int64


def _check_compressed(matrix, shape):
    """Check the arrays of a CSR (shape as it is) or CSC (shape reversed) matrix; return how many entries they hold.

    SciPy trusts these arrays: its C++ code reads and writes outside of them, or never ends, if they are wrong.
    """
    indptr, indices, n_major, n_minor = matrix.indptr, matrix.indices, shape[0], shape[1]
    way_out = "build the matrix from (values, (rows, columns)) with scipy.sparse.coo_matrix"
    if (indptr.dtype.kind not in "iu" or indptr.shape != (n_major + 1,) or indptr[0] != 0
            or np.any(indptr[1:] < indptr[:-1])):
        raise ValueError("indptr of the %s matrix isn't %d integers that start at 0 and never fall: %s"
                         % (matrix.format.upper(), n_major + 1, way_out))
    n_entries = int(indptr[-1])
    if n_entries > len(indices) or len(indices) != len(matrix.data):
        raise ValueError("indptr of the %s matrix announces %d entries, but there are %d indices and %d values: %s"
                         % (matrix.format.upper(), n_entries, len(indices), len(matrix.data), way_out))
    _check_range(indices[:n_entries], n_minor, "index", way_out)
    return n_entries


def _check_range(indices, size, what, way_out):
    """Check indices of any integer dtype."""
    if indices.dtype.kind not in "iu":
        raise ValueError("the %s of the entries is of dtype %s; expected integers: %s" % (what, indices.dtype, way_out))
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        entry = int(np.argmax((indices < 0) | (indices >= size)))
        raise ValueError("entry %d has the %s %d; expected 0 .. %d: %s"
                         % (entry, what, indices[entry], size - 1, way_out))


def _triples(matrix):
    """Values, rows and columns of a sparse matrix that is neither CSR nor CSC."""
    if matrix.format == "coo":
        if not len(matrix.row) == len(matrix.col) == len(matrix.data):
            raise ValueError("the COO matrix has %d rows, %d columns and %d values; expected as many of each: build it "
                             "anew" % (len(matrix.row), len(matrix.col), len(matrix.data)))
        for indices, size, what in ((matrix.row, matrix.shape[0], "row"), (matrix.col, matrix.shape[1], "column")):
            _check_range(indices, size, what, "mend the index, or give the matrix the shape it needs")
        return matrix.data, matrix.row, matrix.col
    if matrix.format == "bsr":
        block = matrix.data.shape[1:]
        _check_compressed(matrix, (matrix.shape[0] // block[0], matrix.shape[1] // block[1]))
    coo = matrix.tocoo()
    if matrix.format in ("bsr", "dia"):
        stored = coo.data != 0
        return coo.data[stored], coo.row[stored], coo.col[stored]
    return _triples(coo)


def rows_of_entries(indptr):
    """The row (column, for CSC) of each entry."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _indptr(rows, n_rows):
    """Find where each row starts once the entries are sorted by row."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows.astype(np.int64, copy=False), minlength=n_rows))])


def _is_sorted(cols, indptr):
    """Tell whether the columns rise within each row, which rules out duplicates too."""
    for first in range(0, len(cols) - 1, _PART):
        last = min(first + _PART, len(cols) - 1)
        rises = cols[first + 1:last + 1] > cols[first:last]
        starts = indptr[np.searchsorted(indptr, first + 1):np.searchsorted(indptr, last, side="right")]
        rises[starts - (first + 1)] = True
        if not rises.all():
            return False
    return True


def _row_major(rows, cols, n_rows):
    """Entries by row, column, and their order: that order, the columns, indptr, and which are of the pair of the next.

    The order is None if they are in it already, the last None if no pair comes twice.
    """
    if np.all((rows[1:] > rows[:-1]) | ((rows[1:] == rows[:-1]) & (cols[1:] > cols[:-1]))):
        return None, cols, _indptr(rows, n_rows), None
    # What SciPy does to turn rows into columns is a counting sort, which is stable. First of a matrix with a row for
    # each entry, which has it in the column of `cols`; then of one whose values are the numbers of the entries.
    n = len(cols)
    number = np.arange(n + 1, dtype=np.int32 if n < 2 ** 31 - 1 else np.int64)
    by_col = sp.csr_matrix((np.empty(n, np.bool_), cols, number), shape=(n, int(cols.max()) + 1)).tocsc()
    del number
    by_row = sp.csc_matrix((by_col.indices, rows[by_col.indices], by_col.indptr),
                           shape=(n_rows, by_col.shape[1])).tocsr()
    same = by_row.indices[1:] == by_row.indices[:-1]
    starts = by_row.indptr[1:-1]
    same[starts[(starts > 0) & (starts < n)] - 1] = False
    return by_row.data, by_row.indices, by_row.indptr, same if same.any() else None


def _first_repeated(order, same):
    """The first entry whose pair has come before, and the entry just before it of that pair: (before, it)."""
    pairs = np.flatnonzero(same)
    pair = pairs[np.argmin(order[pairs + 1])]
    return order[pair], order[pair + 1]


def as_float32(values):
    """The values as float32, and for the first that isn't finite its position and what is wrong with it, or None."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a number beyond float32; of a signalling NaN
        floats = np.asarray(values, np.float32)
    with np.errstate(invalid="ignore"):
        if not len(floats) or np.isfinite([floats.min(), floats.max()]).all():
            return floats, None
    entry = int(np.argmin(np.isfinite(floats)))
    return floats, (entry, "the rating is %s; ratings have to be finite float32 numbers: mend or drop it"
                    % values[entry])


def _vector(name, values, as_vector=np.asarray):
    """The values as a one-dimensional array."""
    if is_masked(values):
        raise ValueError("%s hold masked values, which says that they are missing; expected none: drop these entries, "
                         "or mask their ratings too" % name)
    vector = as_vector(values)
    if vector.ndim != 1:
        raise ValueError("%s have the shape %r; expected one dimension, one value per rating" % (name, vector.shape))
    return vector


def check_timestamps(timestamps, where="entry %d".__mod__):
    """Return the times of ratings as an array, (n,): finite numbers or datetime64; dates of ISO 8601 as in files.

    TypeError or ValueError for others, which names the first entry that is none by `where`.
    """
    column = _vector("timestamps", timestamps)
    if column.dtype.kind in "OU" and all(isinstance(each, str) for each in column):
        with contextlib.suppress(ValueError):
            column = whole(as_times(column.tolist()))
    if column.dtype.kind not in "iufM":
        entry, value = next(((k, each) for k, each in enumerate(timestamps) if not _is_time(each)), (0, column[0]))
        raise TypeError("%s: the timestamp is %.60r; expected numbers or datetime64: convert them, as by "
                        "pandas.to_datetime(column), or leave them out"
                        % (where(entry), value.item() if isinstance(value, np.generic) else value))
    finite = np.isfinite(column)
    if not finite.all():
        entry = int(np.argmin(finite))
        raise ValueError("%s: the timestamp is %s; timestamps have to be finite: mend it, or leave the timestamps out"
                         % (where(entry), column[entry]))
    return column


def _is_time(value):
    return isinstance(value, (numbers.Real, np.datetime64)) and not isinstance(value, (bool, np.bool_))


def build_ratings(users, items, values, timestamps, where, duplicates="error", counts=False):
    """`Ratings` of (ids, positions) of users and items; `where` puts the number of an entry into words.

    With `counts`, ValueError for a pair whose count isn't above 0.
    """
    (user_ids, rows), (item_ids, cols) = users, items
    floats, bad = as_float32(values)
    if bad is not None:
        raise ValueError("%s: %s" % (where(bad[0]), bad[1]))
    if timestamps is not None:
        check_timestamps(timestamps, where)
    shape = (len(user_ids), len(item_ids))
    order, sorted_cols, indptr, same = _row_major(rows, cols, shape[0])
    if timestamps is not None:
        timestamps = timestamps.copy() if order is None else timestamps[order]
    if same is not None and duplicates == "error":
        first, second = _first_repeated(order, same)
        raise repeated_pair(user_ids[rows[first]].item(), item_ids[cols[first]].item(), where(first), where(second))
    floats = floats.copy() if order is None else floats[order]
    if same is not None:
        kept, floats = merge_repeated(floats, same, duplicates)
        if timestamps is not None and duplicates in ("mean", "sum"):  # what is split by time must not be older than it
            timestamps = np.maximum.reduceat(timestamps, _firsts(same))
        elif timestamps is not None:
            timestamps = timestamps[kept]
        sorted_cols, indptr = sorted_cols[kept], np.searchsorted(kept, indptr)
    ratings = Ratings(canonical_csr(floats, sorted_cols, indptr, shape), user_ids, item_ids, timestamps)
    if counts and not floats.min() > 0:
        row, col = place_of_count(ratings)
        entry = int(np.argmax((rows == row) & (cols == col) & ~(np.asarray(values) > 0)))
        raise no_count(ratings, row, col, where(entry) + ": ")
    return ratings


def place_of_count(ratings):
    """Row and column of the first of some ratings that is no count, since it isn't above 0; None if all are."""
    wrong = np.flatnonzero(~(ratings.matrix.data > 0))
    if not len(wrong):
        return None
    matrix = ratings.matrix
    return int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1, int(matrix.indices[wrong[0]])


def no_count(ratings, row, col, where=""):
    """The error of a pair whose count isn't above 0."""
    return ValueError("%suser %.60r has item %.60r %g times in all; expected counts above 0: leave out what was given "
                      "back, and zeros, as table[table.quantity > 0] of pandas does, or give what is left of each pair"
                      % (where, ratings.users[row].item(), ratings.items[col].item(), ratings.matrix[row, col]))


def check_duplicates(duplicates):
    """ValueError unless it is one of the ways to deal with pairs that come more than once."""
    check_choice(duplicates, "duplicates", DUPLICATES)


def merge_repeated(values, same, duplicates):
    """One rating for each pair, of ratings in which those of a pair follow each other: the entry kept, and its rating.

    `same` tells whether an entry is of the pair of the next one. Of a mean or a sum, made in float64, the last is kept.
    """
    firsts = _firsts(same)
    lasts = np.flatnonzero(np.concatenate([~same, [True]]))
    kept = firsts if duplicates == "first" else lasts
    if duplicates in ("mean", "sum"):
        sums = np.add.reduceat(values, firsts, dtype=np.float64)
        return kept, (sums / (lasts - firsts + 1) if duplicates == "mean" else sums).astype(np.float32)
    return kept, values[kept]


def _firsts(same):
    """The first entry of each pair, as `merge_repeated` has them: int array, (m,)."""
    return np.flatnonzero(np.concatenate([[True], ~same]))


def repeated_pair(user, item, first=None, second=None):
    """The error of a pair that comes twice; `first` and `second` are words for where."""
    said = "user %.60r has rated item %.60r twice" % (user, item) if first is None else (
        "%s: user %.60r has rated item %.60r already, in %s" % (second, user, item, first))
    return ValueError(said + "; expected one rating per pair: to keep the last, read them with duplicates="
                      "\"last\" (of load_ratings and as_ratings; --duplicates last), or \"first\", or \"mean\", or "
                      "\"sum\" if they are counts")
