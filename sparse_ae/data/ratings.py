"""Ratings: arrays to a SciPy CSR matrix, the split of its stored entries, mini-batches of its rows.

A matrix of ratings has users as rows, items as columns (its transpose is as good: nothing here looks at the meaning
of an axis). *Observed means stored*: an entry that is stored is a rating, even if its value is 0; an entry that isn't
stored is missing. Everything here keeps stored zeros, except `dense_rows`, which has no way to show them.

The ratings are never made dense as a whole: only the rows of one mini-batch are, and only by `dense_rows`.
"""
import numbers
from typing import NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

__all__ = ["Ratings", "Split", "ratings_from_triples", "check_ratings", "split_ratings", "minibatches",
           "dense_rows", "refuse_stored_zeros", "occurring", "check_count", "check_rng"]

_INT32_MAX = np.iinfo(np.int32).max
_INT64_MAX = np.iinfo(np.int64).max

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
        ValueError
            For a matrix of another shape.
        """
        if matrix.shape != self.matrix.shape:
            raise ValueError("the part is %d x %d and the ratings are %d x %d; expected a matrix of the same users and "
                             "items" % (tuple(matrix.shape) + tuple(self.matrix.shape)))
        return self._replace(matrix=matrix, timestamps=None)


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
    n_test = _n_test(test_fraction, matrix.nnz)
    chosen = np.zeros(matrix.nnz, dtype=bool)
    chosen[rng.permutation(matrix.nnz)[:n_test]] = True
    return _split(matrix, chosen)


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


def occurring(indices, size):
    """Whether each of 0 .. size - 1 is among the indices: bool, (size,)."""
    found = np.zeros(size, dtype=bool)
    for start in range(0, len(indices), _PART):
        found[indices[start:start + _PART]] = True
    return found


def check_count(value, name, alternative=""):
    """Return a count of at least 1 as an int.

    Parameters
    ----------
    value : int
    name : str
        What the message calls it.
    alternative : str
        What the message says might have come instead.

    Raises
    ------
    ValueError
        If the value is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError("%s is %r; expected a positive integer%s" % (name, value, alternative))
    return int(value)


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
    for first in range(0, len(cols) - 1, _PART):
        last = min(first + _PART, len(cols) - 1)
        rises = cols[first + 1:last + 1] > cols[first:last]
        starts = indptr[np.searchsorted(indptr, first + 1):np.searchsorted(indptr, last, side="right")]
        rises[starts - (first + 1)] = True
        if not rises.all():
            return False
    return True


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
    with np.errstate(invalid="ignore"):
        if not len(floats) or np.isfinite([floats.min(), floats.max()]).all():
            return floats, None
    entry = int(np.argmin(np.isfinite(floats)))
    return floats, (entry, "the rating is %s; ratings have to be finite float32 numbers: mend or drop it"
                    % values[entry])


def _n_test(test_fraction, n):
    """How many of n entries a fraction is, once it leaves some on either side."""
    if not isinstance(test_fraction, numbers.Real) or not 0 < test_fraction < 1:
        raise ValueError("test_fraction is %r; expected a number between 0 and 1, such as 0.2" % (test_fraction,))
    n_test = int(round(float(test_fraction) * n))
    if not 0 < n_test < n:
        raise ValueError("test_fraction=%r puts %d of %d ratings into the test set; expected at least one on either "
                         "side: change the fraction, or add ratings" % (test_fraction, n_test, n))
    return n_test


def _split(matrix, chosen):
    """The chosen entries as the test set, the others to train on."""
    train, test = _select(matrix, ~chosen), _select(matrix, chosen)
    per_user = [np.diff(part.indptr) for part in (train, test)]
    per_item = [np.bincount(part.indices, minlength=part.shape[1]) for part in (train, test)]
    cold = [np.flatnonzero((n_train == 0) & (n_test > 0)) for n_train, n_test in (per_user, per_item)]
    return Split(train, test, cold_users=cold[0], cold_items=cold[1])


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
