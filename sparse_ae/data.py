"""Ratings: files and arrays to a SciPy CSR matrix, the split of its stored entries, mini-batches of its rows.

A matrix of ratings has users as rows, items as columns (its transpose is as good: nothing here looks at the meaning
of an axis). *Observed means stored*: an entry that is stored is a rating, even if its value is 0; an entry that isn't
stored is missing. Everything here keeps stored zeros, except `dense_rows`, which has no way to show them.

The ratings are never made dense as a whole: only the rows of one mini-batch are, and only by `dense_rows`.
"""
import csv
import gzip
import io
import numbers
import re
import zlib
from array import array
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import scipy.io
import scipy.sparse as sp

__all__ = ["Ratings", "Split", "load_ratings", "ratings_from_triples", "check_ratings", "split_ratings", "minibatches",
           "dense_rows", "refuse_stored_zeros", "check_rng"]

_INT32_MAX = np.iinfo(np.int32).max
_INT64_MAX = np.iinfo(np.int64).max

# Bytes of text parsed at a time: small enough for the temporary arrays to stay in the processor's cache.
_BLOCK = 2 ** 20

# In this order: a comma may stand inside a tab-separated field, a blank inside any other.
_DELIMITERS = (("::", "'::'"), ("\t", "tabs"), (",", "commas"), (";", "semicolons"), (None, "blanks"))
_COLUMNS = "user, item, rating and, if you like, a timestamp"
_FORMATS = "SciPy .npz, MatrixMarket .mtx, MATLAB .mat, and text with the columns " + _COLUMNS

# What a header calls a column, and where that column has to stand; the first word that fits counts.
_HEADER_WORDS = (("timestamp", 3), ("rating", 2), ("user", 0))


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


class Split(NamedTuple):
    """Ratings cut in two by `split_ratings`.

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


def load_ratings(path, variable=None):
    """Read ratings from a file.

    The name's ending tells the format: `.npz` (`scipy.sparse.save_npz`), `.mtx` (MatrixMarket, coordinate format, real
    or integer, general), `.mat` (MATLAB, before version 7.3). Any other file is read as text with one rating per
    line: user, item, rating and, if there is one, a timestamp, separated by tabs, commas, semicolons, `::` or blanks,
    with or without a header. Fields may be quoted as in CSV, save between `::` or blanks; blanks around a field
    and blank lines count for nothing; the encoding is UTF-8, else Latin-1. Text and `.mtx` may be compressed (`.gz`).

    Ids in text that all are whole numbers (written plainly: 7, not 007 or 7.0) become int64, else they stay strings;
    being labels, they may be negative. A matrix has no ids: its rows and columns are numbered from 0.

    Parameters
    ----------
    path : str or path-like
        The file.
    variable : str, optional
        The name of the sparse variable of a `.mat` file that holds several.

    Returns
    -------
    Ratings
        `timestamps` are int64 if they all are whole numbers, else float64, in the file's unit.

    Raises
    ------
    OSError
        If there is no such file, or it can't be opened.
    TypeError, ValueError
        If the file isn't what its name says, or holds no ratings, or one that can't be used. The message names the
        file and the line or the entry.
    """
    path = Path(path)
    name = path.name.lower()
    if path.is_dir():
        raise IsADirectoryError("%s is a folder; expected a file of ratings: name one of the files in it" % path)
    if not path.is_file():
        raise FileNotFoundError("there is no file %s; check the path (relative to %s)" % (path, Path.cwd()))
    if variable is not None and not name.endswith(".mat"):
        raise ValueError("variable=%r was given for %s; only a .mat file has variables: leave it out"
                         % (variable, path))
    if path.stat().st_size == 0:
        raise ValueError("%s is empty; expected ratings: fetch or write it again" % path)
    if name.endswith(".npz"):
        return _number_ids(path, _read_npz(path))
    if name.endswith(".mat"):
        return _number_ids(path, _read_mat(path, variable))
    try:
        return _read_mtx(path) if name.endswith((".mtx", ".mtx.gz")) else _read_text(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError("%s is cut short or damaged (%s); fetch or write it again" % (path, error)) from error


def ratings_from_triples(users, items, ratings, timestamps=None):
    """Build ratings from arrays of users, items and ratings.

    Parameters
    ----------
    users, items : array_like of int or str, shape (n_ratings,)
        Ids: any labels, negative numbers included. Floats are taken if they all are whole numbers.
    ratings : array_like of float, shape (n_ratings,)
        Finite numbers, zeros included.
    timestamps : array_like of numbers or datetime64, shape (n_ratings,), optional
        The time of each rating, in any unit.

    Returns
    -------
    Ratings
        Integer ids become int64, strings stay strings; `timestamps` keep their dtype. Nothing is shared with the
        arguments.

    Raises
    ------
    TypeError, ValueError
        If the lengths differ, an id is neither an integer nor a string, a rating or a timestamp isn't a finite number,
        or a pair of user and item comes twice. The message names the entry, counted from 0.
    """
    values = _vector("ratings", ratings)
    columns = {"users": _vector("users", users), "items": _vector("items", items)}
    if timestamps is not None:
        columns["timestamps"] = _vector("timestamps", timestamps)
    for name, column in columns.items():
        if len(column) != len(values):
            raise ValueError("%d %s and %d ratings were given; expected one of each for every rating"
                             % (len(column), name, len(values)))
    if not len(values):
        raise ValueError("there are no ratings in the arrays given; expected at least one")
    if values.dtype.kind not in "iuf":
        entry, value = next(((k, v) for k, v in enumerate(ratings) if not isinstance(v, numbers.Real)), (0, values[0]))
        raise TypeError("entry %d: the rating is %r; ratings have to be real numbers: convert or drop it"
                        % (entry, value))
    if timestamps is not None and columns["timestamps"].dtype.kind not in "iufM":
        raise TypeError("timestamps are of dtype %s; expected numbers or datetime64: convert them or leave them out"
                        % columns["timestamps"].dtype)
    return _build(_index("users", users, columns["users"]), _index("items", items, columns["items"]), values,
                  columns.get("timestamps"), lambda entry: "entry %d" % entry)


def check_ratings(ratings):
    """Check a user's matrix of ratings and bring it into the one form that the library works on.

    Parameters
    ----------
    ratings : SciPy sparse matrix or array of real numbers, shape (n_users, n_items), or Ratings
        Stored zeros are ratings, except in the DIA and BSR formats, which pad with zeros: there zeros are dropped.

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
        If `ratings` holds no entries, NaN, an infinite rating, a pair twice, or indices that don't fit its shape. The
        message names the row and the column, or the entry whose index is wrong, all counted from 0.
    """
    matrix = ratings.matrix if isinstance(ratings, Ratings) else ratings
    if not sp.issparse(matrix):
        if isinstance(matrix, np.ndarray):
            raise TypeError("ratings are a dense array, where a missing rating can't be told from a 0; expected a "
                            "SciPy sparse matrix: if 0 means missing, pass scipy.sparse.csr_matrix(ratings)")
        raise TypeError("ratings are %s; expected a SciPy sparse matrix: make one with load_ratings or "
                        "ratings_from_triples" % type(matrix).__name__)
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
            rows = _expand(indptr)
    elif matrix.format == "csc":
        n_entries = _check_compressed(matrix, matrix.shape[::-1])
        values, rows, cols = matrix.data[:n_entries], matrix.indices[:n_entries], _expand(matrix.indptr)
    else:
        values, rows, cols = _triples(matrix)
    if not len(values):
        raise ValueError("ratings of shape %d x %d hold no entries; expected at least one stored rating"
                         % tuple(matrix.shape))
    if rows is not None:
        order, repeated = _row_major(rows, cols)
        if repeated:
            first, second = repeated
            raise ValueError("row %d, column %d is stored twice (%s and %s); expected one rating per pair: drop one, "
                             "or add them up with sum_duplicates() if their sum is the rating"
                             % (rows[first], cols[first], values[first], values[second]))
        values, cols, indptr = values[order], cols[order], _indptr(rows, matrix.shape[0])
    values, bad = _as_float32(values)
    if bad is not None:
        row = np.searchsorted(indptr, bad[0], side="right") - 1
        raise ValueError("row %d, column %d: %s" % (row, cols[bad[0]], bad[1]))

    dtype = _index_dtype(matrix.shape, len(values))
    if (type(matrix) is sp.csr_matrix and rows is None and len(values) == len(matrix.data)
            and matrix.dtype == np.float32 and matrix.indices.dtype == matrix.indptr.dtype == dtype):
        return matrix
    return _csr(values, cols.astype(dtype, copy=False), indptr.astype(dtype, copy=False), matrix.shape)


def split_ratings(ratings, test_fraction=0.2, rng=0):
    """Cut the stored entries in two at random, for training and for testing.

    The entries are permuted and the first round(test_fraction * nnz) of them become the test set: the count is exact,
    and zeros that are stored are split like any other rating.

    Parameters
    ----------
    ratings : Ratings or SciPy sparse matrix, shape (n_users, n_items)
        What `check_ratings` takes.
    test_fraction : float
        Share of the ratings that is tested on, between 0 and 1.
    rng : numpy.random.RandomState or int
        Source of the permutation. The default is a seed, so that two calls give the same split: pass other seeds, or
        one RandomState, for several splits.

    Returns
    -------
    Split
        `train`, `test`, and the users and items left without a training rating.

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, `check_rng` refuses rng, or either part would be empty.
    """
    matrix = check_ratings(ratings)
    rng = check_rng(rng)
    if not isinstance(test_fraction, numbers.Real) or not 0 < test_fraction < 1:
        raise ValueError("test_fraction is %r; expected a number between 0 and 1, such as 0.2" % (test_fraction,))
    n_test = int(round(float(test_fraction) * matrix.nnz))
    if not 0 < n_test < matrix.nnz:
        raise ValueError("test_fraction=%r puts %d of %d ratings into the test set; expected at least one on either "
                         "side: change the fraction, or add ratings" % (test_fraction, n_test, matrix.nnz))
    chosen = np.zeros(matrix.nnz, dtype=bool)
    chosen[rng.permutation(matrix.nnz)[:n_test]] = True
    train, test = _select(matrix, ~chosen), _select(matrix, chosen)
    per_user = [np.diff(part.indptr) for part in (train, test)]
    per_item = [np.bincount(part.indices, minlength=part.shape[1]) for part in (train, test)]
    cold = [np.flatnonzero((n_train == 0) & (n_test > 0)) for n_train, n_test in (per_user, per_item)]
    return Split(train, test, cold_users=cold[0], cold_items=cold[1])


def minibatches(matrix, batch_size, rng=None):
    """Walk once over the rows that have ratings, in blocks; the last block may be smaller than the others.

    A block costs work in proportion to its own ratings, and nothing but its ratings is read: the arrays of the matrix
    may be numpy.memmap.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_rows, n_cols)
        Ratings as `check_ratings` returns them (they aren't checked once more).
    batch_size : int
        Rows per block.
    rng : numpy.random.RandomState or int, optional
        Source of the order of the rows; without it they come in ascending order. Pass one RandomState for all epochs:
        each call draws a new order from it, whereas the same seed gives the same order.

    Returns
    -------
    iterator of (rows, block)
        rows : numpy.ndarray of int64, shape (n,), the row numbers; block : csr_matrix of float32, shape (n, n_cols), a
        copy of these rows. n is `batch_size`, or what is left for the last one.

    Raises
    ------
    TypeError, ValueError
        At the call, not at the first block: if the matrix isn't float32 CSR or has no ratings, or for a bad
        `batch_size` or rng.
    """
    if not isinstance(matrix, sp.csr_matrix) or matrix.dtype != np.float32:
        raise TypeError("the matrix isn't a float32 csr_matrix; expected ratings in the library's own form: pass "
                        "check_ratings(matrix)")
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError("batch_size is %r; expected a whole number of rows, 1 or more" % (batch_size,))
    if rng is not None:
        rng = check_rng(rng)
    rows = np.flatnonzero(np.diff(matrix.indptr))
    if not len(rows):
        raise ValueError("the matrix holds no entries; expected at least one stored rating")
    if rng is not None:
        rng.shuffle(rows)
    batches = (rows[first:first + batch_size] for first in range(0, len(rows), batch_size))
    return ((batch, matrix[batch]) for batch in batches)


def dense_rows(block, dtype="float32"):
    """Return a block of ratings as dense rows with 0 for what is missing: the form that the post's graph takes.

    Parameters
    ----------
    block : scipy.sparse.csr_matrix, shape (n_rows, n_items)
        Ratings, none of them 0, such as a block of `minibatches`.
    dtype : str or numpy.dtype
        The dtype of the result.

    Returns
    -------
    numpy.ndarray of dtype, shape (n_rows, n_items)

    Raises
    ------
    TypeError
        If the block isn't CSR.
    ValueError
        If the block holds stored zeros.
    """
    refuse_stored_zeros(block)
    return block.astype(dtype).toarray()


def refuse_stored_zeros(matrix):
    """Raise ValueError if a CSR matrix holds stored zeros (TypeError if it isn't CSR): dense rows can't show them."""
    if not sp.issparse(matrix) or matrix.format != "csr":
        raise TypeError("the ratings are %s; expected a SciPy CSR matrix, as minibatches and check_ratings return it"
                        % type(matrix).__name__)
    n_zeros = len(matrix.data) - np.count_nonzero(matrix.data)
    if n_zeros:
        raise ValueError("ratings hold %d stored zero%s; a dense row cannot tell them from missing entries. Remove "
                         "them with eliminate_zeros() or use formulation='sparse' or 'dense'."
                         % (n_zeros, "" if n_zeros == 1 else "s"))


def check_rng(rng):
    """Return the RandomState that `rng` is or is the seed of.

    Parameters
    ----------
    rng : numpy.random.RandomState or int
        A RandomState is returned as it is and moves on with every draw; an int starts a new one.

    Returns
    -------
    numpy.random.RandomState

    Raises
    ------
    TypeError, ValueError
        If rng is anything else, or a seed outside 0 .. 2**32 - 1.
    """
    if isinstance(rng, np.random.RandomState):
        return rng
    if not isinstance(rng, numbers.Integral) or isinstance(rng, bool):
        raise TypeError("rng is %r; expected a numpy.random.RandomState or an int seed, such as 0" % (rng,))
    if not 0 <= rng < 2 ** 32:
        raise ValueError("rng=%d is no seed; expected 0 .. 2**32 - 1" % rng)
    return np.random.RandomState(int(rng))


# Matrices

def _csr(values, cols, indptr, shape):
    """CSR of arrays that are known to be sorted, without duplicates and within the shape."""
    matrix = sp.csr_matrix((values, cols, indptr), shape=shape)
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def _index_dtype(shape, n_entries):
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


def _expand(indptr):
    """The row (column, for CSC) of each entry."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _indptr(rows, n_rows):
    """Where each row starts once the entries are sorted by row."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows.astype(np.int64, copy=False), minlength=n_rows))])


def _is_sorted(cols, indptr):
    """Whether the columns rise within each row, which rules out duplicates too."""
    rises = cols[1:] > cols[:-1]
    starts = indptr[1:-1]
    rises[starts[(starts > 0) & (starts < len(cols))] - 1] = True
    return bool(rises.all())


def _row_major(rows, cols):
    """What sorts the entries by row, then column, and the first two entries of the same pair, or None."""
    order = slice(None)
    if not np.all((rows[1:] > rows[:-1]) | ((rows[1:] == rows[:-1]) & (cols[1:] > cols[:-1]))):
        order = np.lexsort((cols, rows))
        same = np.flatnonzero((np.diff(rows[order]) == 0) & (np.diff(cols[order]) == 0))
        if len(same):
            pair = same[np.argmin(order[same + 1])]
            return order, (order[pair], order[pair + 1])
    return order, None


def _as_float32(values):
    """The values as float32, and for the first that isn't finite its position and what is wrong with it, or None."""
    with np.errstate(over="ignore"):
        floats = np.asarray(values, np.float32)
    finite = np.isfinite(floats)
    if finite.all():
        return floats, None
    entry = int(np.argmin(finite))
    return floats, (entry, "the rating is %s; ratings have to be finite float32 numbers: mend or drop it"
                    % values[entry])


def _select(matrix, wanted):
    """The wanted entries of a CSR matrix, in a matrix of the same shape."""
    indptr = np.concatenate([[0], np.cumsum(wanted)])[matrix.indptr].astype(matrix.indptr.dtype)
    return _csr(matrix.data[wanted], matrix.indices[wanted], indptr, matrix.shape)


# Triples

def _vector(name, values):
    """The values as a one-dimensional array."""
    if np.ma.is_masked(values):
        raise ValueError("%s hold masked values; expected none missing: drop these ratings" % name)
    vector = np.asarray(values)
    if vector.ndim != 1:
        raise ValueError("%s have the shape %r; expected one dimension, one value per rating" % (name, vector.shape))
    return vector


def _index(name, values, vector):
    """The distinct ids in ascending order, and for each of the values its position among them."""
    kind = vector.dtype.kind
    # asarray turns [1, "1"] into two equal strings: look at what came.
    if kind == "O" or kind == "U" and not isinstance(values, np.ndarray):
        codes = _Codes()
        positions = np.fromiter((codes[value] for value in _checked_ids(name, values)), np.intp, len(vector))
        return _sort_ids(list(codes), positions)
    if kind not in "iufU":
        raise TypeError("%s are of dtype %s; ids have to be integers or strings: convert them, for example with "
                        "[str(x) for x in %s]" % (name, vector.dtype, name))
    if kind == "f":
        whole = np.isfinite(vector) & (vector == np.rint(vector)) & (np.abs(vector) <= 2 ** 53)
        if not whole.all():
            entry = int(np.argmin(whole))
            raise ValueError("entry %d: the id in %s is %r; ids have to be integers or strings"
                             % (entry, name, vector[entry].item()))
    if kind == "u" and int(vector.max()) > _INT64_MAX:
        raise ValueError("%s hold the id %d, which is too large for int64: pass them as strings" % (name, vector.max()))
    return np.unique(vector if kind == "U" else vector.astype(np.int64), return_inverse=True)


def _checked_ids(name, values):
    """The ids one by one, once it is clear that all are integers or all are strings."""
    kind = None
    for entry, value in enumerate(values):
        fits = isinstance(value, (str, numbers.Integral)) and not isinstance(value, (bool, np.bool_))
        if fits and isinstance(value, str) and value.endswith("\0"):
            raise ValueError("entry %d: the id %r in %s ends in a NUL, which NumPy drops: strip it"
                             % (entry, value, name))
        if not fits or kind not in (None, isinstance(value, str)):
            raise TypeError("entry %d: the id in %s is %r; ids have to be all integers or all strings: convert them, "
                            "for example with str" % (entry, name, value))
        if not isinstance(value, str) and abs(int(value)) > _INT64_MAX:
            raise ValueError("entry %d: the id %d in %s is too large for int64: pass the ids as strings"
                             % (entry, value, name))
        kind = isinstance(value, str)
        yield value if kind else int(value)


class _Codes(dict):
    """Numbers its keys in the order in which they are first asked for."""

    def __missing__(self, key):
        code = self[key] = len(self)
        return code


def _sort_ids(ids, positions):
    """Bring a list of distinct ids, all int or all str, into ascending order, and the positions with them."""
    ids, rank = np.unique(np.array(ids, dtype=str if isinstance(ids[0], str) else np.int64), return_inverse=True)
    return ids, rank[positions]


def _build(users, items, values, timestamps, where):
    """Ratings of (ids, positions) of users and items; `where` puts the number of an entry into words."""
    (user_ids, rows), (item_ids, cols) = users, items
    floats, bad = _as_float32(values)
    if bad is not None:
        raise ValueError("%s: %s" % (where(bad[0]), bad[1]))
    if timestamps is not None and not np.isfinite(timestamps).all():
        entry = int(np.argmin(np.isfinite(timestamps)))
        raise ValueError("%s: the timestamp is %s; timestamps have to be finite: mend it, or leave the timestamps out"
                         % (where(entry), timestamps[entry]))
    order, repeated = _row_major(rows, cols)
    if repeated:
        first, second = repeated
        raise ValueError("%s: user %r has rated item %r already, in %s; expected one rating per pair: keep the last, "
                         "or their mean" % (where(second), user_ids[rows[first]].item(), item_ids[cols[first]].item(),
                                            where(first)))
    shape = (len(user_ids), len(item_ids))
    dtype = _index_dtype(shape, len(floats))
    matrix = _csr(np.array(floats[order]), cols[order].astype(dtype), _indptr(rows, shape[0]).astype(dtype), shape)
    return Ratings(matrix, user_ids, item_ids, None if timestamps is None else np.array(timestamps[order]))


# Files

def _number_ids(path, matrix):
    """Ratings of a matrix without ids."""
    try:
        matrix = check_ratings(matrix)
    except (TypeError, ValueError) as error:
        raise type(error)("%s: %s" % (path, error)) from None
    return Ratings(matrix, np.arange(matrix.shape[0], dtype=np.int64), np.arange(matrix.shape[1], dtype=np.int64))


def _read_npz(path):
    try:
        with open(str(path), "rb") as stream:
            return sp.load_npz(stream)
    except Exception as error:  # the zip, .npy and SciPy layers each raise their own on a foreign or damaged file
        raise ValueError("%s can't be read as a sparse matrix (%s: %s); expected a file that scipy.sparse.save_npz has "
                         "written" % (path, type(error).__name__, error)) from error


def _read_mat(path, variable):
    way_out = "save the ratings alone, with save('-v7', file, 'name') in MATLAB or scipy.io.savemat"
    try:
        names = [name for name, _, kind in scipy.io.whosmat(str(path)) if kind == "sparse"]
        if variable is None and len(names) == 1:
            variable = names[0]
        if variable in names:
            return scipy.io.loadmat(str(path), variable_names=[variable])[variable]
    except NotImplementedError as error:
        raise ValueError("%s is a MATLAB 7.3 file, which SciPy can't read: %s" % (path, way_out)) from error
    except Exception as error:  # SciPy's reader raises whatever the damaged bytes lead it to
        raise ValueError("%s can't be read as a MATLAB file (%s: %s): %s"
                         % (path, type(error).__name__, error, way_out)) from error
    if variable is not None:
        raise ValueError("%s has no sparse variable %r; its sparse variables are %s: pass one of them as variable="
                         % (path, variable, ", ".join(map(repr, names)) or "none"))
    if names:
        raise ValueError("%s holds %d sparse variables: %s; pass the one with the ratings as variable="
                         % (path, len(names), ", ".join(map(repr, names))))
    raise ValueError("%s holds no sparse variable; expected the ratings as one: %s" % (path, way_out))


def _read_mtx(path):
    """Read MatrixMarket here, not with scipy.io.mmread, which can't name a line and is slow before SciPy 1.12."""
    with _open(path) as stream:
        banner = stream.readline().decode("latin-1").lower().split()
        n_lines, size = 1, ""
        for line in stream:
            n_lines += 1
            size = line.decode("latin-1").strip()
            if size and not size.startswith("%"):
                break
    way_out = "write it with scipy.io.mmwrite(path, matrix, symmetry='general')"
    if len(banner) != 5 or banner[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError("%s, line 1: %r doesn't begin a MatrixMarket matrix; expected '%%%%MatrixMarket matrix "
                         "coordinate real general': %s" % (path, " ".join(banner), way_out))
    if banner[2] != "coordinate" or banner[3] not in ("real", "integer") or banner[4] != "general":
        raise ValueError("%s, line 1: the matrix is '%s'; ratings have to be 'coordinate', 'real' or 'integer', and "
                         "'general': %s" % (path, " ".join(banner[2:]), way_out))
    if not re.fullmatch(r"[0-9]+\s+[0-9]+\s+[0-9]+", size):
        raise ValueError("%s, line %d: %r isn't the size of a matrix; expected its rows, columns and number of "
                         "entries: %s" % (path, n_lines, size, way_out))
    n_rows, n_cols, n_entries = map(int, size.split())
    if n_entries == 0:
        raise ValueError("%s, line %d: the matrix holds no entries; expected at least one rating" % (path, n_lines))
    table = _read_table(path, n_lines, None, 3)
    n_found = 0 if table is None else len(table[2])
    if n_found != n_entries:
        raise ValueError("%s holds %d entries, line %d announces %d; the file is cut short or damaged: fetch or write "
                         "it again" % (path, n_found, n_lines, n_entries))
    rows, cols, values, _, where = table
    rows, cols = _mtx_positions(rows, n_rows, "row", where), _mtx_positions(cols, n_cols, "column", where)
    return _build(rows, cols, values, None, where)


def _mtx_positions(column, size, what, where):
    """(0 .. size - 1, positions counted from 0) of a column of numbers counted from 1."""
    ids, codes = column
    if ids.dtype.kind == "U":  # at least one isn't written as a plain whole number; 0 stands for what is no number
        ids = np.array([int(text) if re.fullmatch("[0-9]{1,18}", text) else 0 for text in ids])
    fits = (ids >= 1) & (ids <= size)
    if not fits.all():
        entry = int(np.argmin(fits[codes]))
        raise ValueError("%s: the %s is %s; expected a whole number, 1 .. %d: mend it, or the size at the top"
                         % (where(entry), what, column[0][codes[entry]], size))
    return np.arange(size, dtype=np.int64), ids[codes] - 1


def _read_text(path):
    """Read triples, once the first line has told the delimiter, the number of columns and whether it is a header."""
    with _open(path) as stream:
        head = stream.read(2 ** 16)
    if b"\0" in head:
        raise ValueError("%s isn't text that load_ratings can read; it reads %s: convert it, unpack it if it is an "
                         "archive, and save text as UTF-8" % (path, _FORMATS))
    lines = head.decode("utf-8-sig", errors="replace").split("\n")
    number = next((k for k, line in enumerate(lines) if line.strip()), None)
    if number is None:
        raise ValueError("%s holds nothing but blanks; expected ratings: fetch or write it again" % path)
    line = lines[number]
    found = [(_split_line(line, delimiter), delimiter, name) for delimiter, name in _DELIMITERS]
    fields, delimiter, name = next((f for f in found if len(f[0]) in (3, 4)), max(found, key=lambda f: len(f[0])))
    if len(fields) < 2:
        raise ValueError("%s, line %d: found no delimiter in %.60r; expected %s, separated by tabs, commas, "
                         "semicolons, '::' or blanks" % (path, number + 1, line, _COLUMNS))
    if len(fields) not in (3, 4):
        raise ValueError("%s, line %d: found %d columns, separated by %s; expected %s: keep just these"
                         % (path, number + 1, len(fields), name, _COLUMNS))
    header = _is_header(fields)
    if header:
        _check_header(path, number + 1, fields)
    table = _read_table(path, number + header, delimiter, len(fields))
    if table is None:
        raise ValueError("%s holds a header and no ratings; fetch or write it again" % path)
    return _build(*table)


def _split_line(line, delimiter):
    if delimiter in ("::", None):
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True), [])
    except csv.Error:
        return []


def _is_header(fields):
    """Whether a first line names the columns: it holds no number, and its rating isn't just missing."""
    for field in fields:
        try:
            float(field)
        except ValueError:
            continue
        return False
    return fields[2].strip().lower() not in ("", "na", "n/a", "none", "null", "?")


def _check_header(path, number, fields):
    """Refuse a header that contradicts the order of the columns."""
    for column, field in enumerate(fields):
        place = next((place for word, place in _HEADER_WORDS if word in field.lower()), column)
        if place != column:
            raise ValueError("%s, line %d: the header calls column %d %r; expected the order %s: reorder the columns"
                             % (path, number, column + 1, field.strip(), _COLUMNS))


def _read_table(path, n_skipped, delimiter, n_columns):
    """Read what follows the first `n_skipped` lines: the arguments of `_build`, or None if nothing follows.

    NumPy reads a file of plain numbers; one with anything else in it, right or wrong, is read again line by line.
    """
    with _open(path) as stream:
        for _ in range(n_skipped):
            stream.readline()
        columns = _read_plain(stream, delimiter, n_columns)
    if columns is not None:
        users, items = (np.unique(ids, return_inverse=True) for ids in columns[:2])
        return (users, items, columns[2], columns[3] if n_columns == 4 else None,
                lambda entry: "%s, line %d" % (path, n_skipped + 1 + entry))
    try:
        return _read_any(path, n_skipped, delimiter, n_columns, "utf-8-sig")
    except UnicodeDecodeError:
        return _read_any(path, n_skipped, delimiter, n_columns, "latin-1")


def _open(path):
    return gzip.open(str(path), "rb") if path.name.lower().endswith(".gz") else open(str(path), "rb")


def _read_plain(stream, delimiter, n_columns):
    """Columns of a file of digits and delimiters, or None if there is anything else in it that needs a closer look."""
    parts, rest = [], b""
    while True:
        text = stream.read(_BLOCK)
        rest += text
        # The last line waits for what follows it: the rest of it, or blank lines at the end of the file.
        end = rest.rfind(b"\n", 0, len(rest.rstrip(b"\r\n"))) + 1
        if not text:
            block, rest = rest.rstrip(b"\r\n") + b"\n", b""
        elif end:
            block, rest = rest[:end], rest[end:]
        elif len(rest) > _BLOCK:  # no line of ratings is that long
            return None
        else:
            continue
        if block == b"\n" and not text:
            return [np.concatenate(column) for column in zip(*parts)] or None
        columns = _parse_plain(block, delimiter, n_columns)
        if columns is None:
            return None
        parts.append(columns)


def _parse_plain(block, delimiter, n_columns):
    """Columns of whole lines of text, or None."""
    block = block.replace(b"\r\n", b"\n")
    if delimiter == "::":
        if b"\t" in block:
            return None
        block, delimiter = block.replace(b"::", b"\t"), "\t"
    delimiter = ord(delimiter or " ")
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((text == delimiter) | (text == ord("\n")))
    if len(ends) % n_columns:
        return None
    stops = ends.reshape(-1, n_columns)
    marks = text[stops]
    if np.any(marks[:, :-1] != delimiter) or np.any(marks[:, -1] != ord("\n")):
        return None
    starts = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, n_columns)
    columns = []
    for column in range(n_columns):
        parse = _parse_numbers if column == 2 else _parse_whole
        values = parse(text, starts[:, column].copy(), stops[:, column].copy())
        if values is None:
            return None
        columns.append(values)
    return columns


def _parse_whole(text, starts, stops):
    """Whole numbers as int64, or None where a field isn't up to 15 digits without a leading zero."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 15 or np.any((text[starts] == ord("0")) & (widths > 1)):
        return None
    values = np.zeros(len(starts), np.int64)
    for place in range(widths.max()):
        # As uint8, anything below "0" wraps around to more than 9.
        digits = np.where(widths > place, text[np.maximum(stops - 1 - place, 0)] - np.uint8(ord("0")), 0)
        if digits.max() > 9:
            return None
        values += digits.astype(np.int64) * 10 ** place
    return values


def _parse_numbers(text, starts, stops):
    """Numbers as float64, or None."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 32:
        return None
    places = np.arange(widths.max())
    letters = text[np.minimum(starts[:, np.newaxis] + places, len(text) - 1)]
    inside = places < widths[:, np.newaxis]
    # float() allows blanks around a number and an underscore between its digits.
    if np.any(inside & ((letters <= ord(" ")) | (letters == ord("_")))):
        return None
    letters[~inside] = 0
    try:
        return letters.view("S%d" % len(places)).ravel().astype(np.float64)
    except ValueError:
        return None


def _read_any(path, n_skipped, delimiter, n_columns, encoding):
    """What `_read_table` returns, read line by line."""
    users, items = _Codes(), _Codes()
    rows, cols, ratings, timestamps, lines = array("q"), array("q"), array("d"), array("d"), array("q")
    with io.TextIOWrapper(_open(path), encoding=encoding, newline="\n") as stream:
        for line, fields in _records(path, stream, n_skipped, delimiter):
            if len(fields) != n_columns:
                raise ValueError("%s, line %d: found %d columns; expected %d, as on the other lines: mend or drop it"
                                 % (path, line, len(fields), n_columns))
            user, item = fields[0].strip(), fields[1].strip()
            if not user or not item:
                raise ValueError("%s, line %d: the %s is empty; expected an id: fill it in, or drop the line"
                                 % (path, line, "item" if user else "user"))
            rows.append(users[user])
            cols.append(items[item])
            lines.append(line)
            try:
                ratings.append(_as_float(fields[2]))
            except ValueError:
                raise ValueError("%s, line %d: the rating %r isn't a number; expected one such as 3 or 4.5: mend or "
                                 "drop the line" % (path, line, fields[2].strip())) from None
            if n_columns == 4:
                try:
                    timestamps.append(_as_float(fields[3]))
                except ValueError:
                    raise ValueError("%s, line %d: the timestamp %r isn't a number; expected one such as 978300760: "
                                     "mend it, or leave the column out" % (path, line, fields[3].strip())) from None
    if not lines:
        return None
    times = np.array(timestamps) if n_columns == 4 else None
    if times is not None and np.all((times == np.rint(times)) & (np.abs(times) <= 2 ** 53)):
        times = times.astype(np.int64)
    return (_sort_text_ids(path, users, rows, lines), _sort_text_ids(path, items, cols, lines), np.array(ratings),
            times, lambda entry: "%s, line %d" % (path, lines[entry]))


def _records(path, stream, n_skipped, delimiter):
    """Line numbers and fields of the lines that aren't blank, after the first `n_skipped` lines."""
    for _ in range(n_skipped):
        stream.readline()
    number = n_skipped + 1
    if delimiter in ("::", None):
        rows = (line.split(delimiter) for line in stream)
    else:
        rows = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for fields in rows:
            if len(fields) > 1 or fields and fields[0].strip():
                yield number, fields
            # A quoted field may hold line ends, so that a record takes several lines.
            number = number + 1 if delimiter in ("::", None) else n_skipped + rows.line_num + 1
    except csv.Error as error:
        raise ValueError("%s, line %d: %s; expected lines that end in LF or CR LF, every quote closed, and quotes "
                         "inside a quoted field doubled" % (path, number, error)) from error


def _as_float(text):
    if "_" in text:  # float() allows it between digits; no file means that
        raise ValueError
    return float(text)


def _sort_text_ids(path, codes, positions, lines):
    """Sort ids read as text: as integers if that keeps all of them as they are written."""
    ids = list(codes)
    if all(re.fullmatch("0|-?[1-9][0-9]{0,18}", text) and abs(int(text)) <= _INT64_MAX for text in ids):
        ids = [int(text) for text in ids]
    else:
        for text in ids:
            if text.endswith("\0"):
                raise ValueError("%s, line %d: the id %r ends in a NUL byte; expected text: write the file again"
                                 % (path, lines[positions.index(codes[text])], text))
    return _sort_ids(ids, np.array(positions))
