"""Users, items and numbers as a SciPy CSR matrix, checked once, in the one form that the library works on.

*Observed means stored*: a stored entry is a rating, even if its value is 0. Users are rows, but the transpose is as
good.
"""
import numbers
from typing import Any, Iterator, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_choice
from sparse_ae.data.columns import as_frame, as_vector
from sparse_ae.data.entries import PART, check_compressed, in_order, numbers_of_pairs, rows_of_entries, triples
from sparse_ae.data.ids import distinct
from sparse_ae.data.times import check_timestamps

#: Ways with pairs that come more than once.
DUPLICATES = "error", "first", "last", "mean", "sum"

_INT32_MAX = np.iinfo(np.int32).max


class Ratings:
    """Ratings with ids. ``len(ratings)`` is their number, and ``matrix, users, items, timestamps = ratings`` the parts.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_users, n_items)
        The ratings, as `check_ratings` returns them: column indices sorted within each row, no duplicates.
    users : numpy.ndarray of int64 or str, shape (n_users,)
        The id of each row, in ascending order.
    items : numpy.ndarray of int64 or str, shape (n_items,)
        The id of each column, in ascending order.
    timestamps : numpy.ndarray, shape (matrix.nnz,), or None
        The time of each rating, in the order of `matrix.data`; None if there are no times. A sum has its first.
    events : Ratings or None
        The lines that sums with times were added up from: a pair comes as often as it was given, and pairs are included
        that were left out since they add up to 0 or less. None if no pair came twice. Splits by time add up the events
        of each period.

    Examples
    --------
    >>> import sparse_ae
    >>> triples = [("ann", "tea", 5), ("bob", "tea", 4), ("bob", "jam", 2)]
    >>> ratings = sparse_ae.as_ratings(triples)
    >>> ratings.users.tolist(), ratings.items.tolist(), ratings.timestamps
    (['ann', 'bob'], ['jam', 'tea'], None)
    >>> print(ratings.matrix.toarray())
    [[0. 5.]
     [2. 4.]]
    >>> list(ratings.to_frame())
    ['user', 'item', 'rating']
    """

    __slots__ = "matrix", "users", "items", "timestamps", "events"
    matrix: Any
    users: np.ndarray
    items: np.ndarray
    timestamps: Optional[np.ndarray]
    events: Optional["Ratings"]

    # Pickles of 1.0's named tuples call no __init__.
    def __new__(cls, matrix: Any, users: np.ndarray, items: np.ndarray, timestamps: Any = None,
                events: Optional["Ratings"] = None) -> "Ratings":
        made = super().__new__(cls)
        for name, value in zip(cls.__slots__, (matrix, users, items, timestamps, events)):
            object.__setattr__(made, name, value)
        return made

    def __setattr__(self, name, value):
        raise AttributeError("%s of Ratings can't be set; make new Ratings(matrix, users, items, timestamps)" % name)

    def __getattr__(self, name):  # splits of 1.0 were matrices
        of_matrix = name in ("data", "indices", "indptr") or hasattr(sp.csr_matrix, name)
        raise AttributeError("Ratings have no %s%s" % (name, ": it is ratings.matrix.%s" % name if of_matrix else ""))

    def __reduce__(self):
        return Ratings, (*self, self.events)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.matrix, self.users, self.items, self.timestamps))

    def __len__(self):
        return self.matrix.nnz

    def __repr__(self):
        return "Ratings(%d ratings, %d users, %d items)" % ((len(self),) + self.matrix.shape)

    def _replace(self, **changed):
        if self.events is not None and changed.get("timestamps") is not None and "events" not in changed:
            raise ValueError("the timestamps of sums can't be replaced, since all that was added up has its own; give "
                             "all lines with their times to as_ratings(lines, duplicates='sum')")
        return Ratings(**dict(zip(self.__slots__, self), **changed))  # events belong to these arrays, and to no others

    def part(self, matrix: Any) -> "Ratings":
        """Return `Ratings` of a matrix of some of the entries, (n_users, n_items), with the same ids, and with these
        entries' timestamps. `Ratings` of the same ids, as a split of `Ratings` has them, are returned as they are.
        """
        if isinstance(matrix, Ratings):
            if not (np.array_equal(matrix.users, self.users) and np.array_equal(matrix.items, self.items)):
                raise ValueError("the part has other users or items than the ratings; expected the same ids, in the "
                                 "same order, as splits of the ratings have them")
            return matrix
        if not sp.issparse(matrix):
            raise TypeError("the part is %s; expected a sparse matrix of some of the ratings, such as split.train or "
                            "split.test" % type(matrix).__name__)
        if matrix.shape != self.matrix.shape:
            raise ValueError("the part is %d x %d and the ratings are %d x %d; expected a matrix of the same users and "
                             "items" % (tuple(matrix.shape) + tuple(self.matrix.shape)))
        matrix = check_ratings(matrix)
        if self.timestamps is not None and check_ratings(self) is self.matrix:
            wanted = are_among(numbers_of_pairs(self.matrix), numbers_of_pairs(matrix))
            part = part_of(self, wanted)
            if len(part) == len(matrix.data) and (self.events is None or np.array_equal(part.matrix.data, matrix.data)):
                return part._replace(matrix=matrix, events=part.events)  # else these aren't the sums of any events
        return Ratings(matrix, self.users, self.items)

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns user, item, rating and, if there are times, timestamp; user by user. If
        duplicates were added up, ``ratings.events.to_frame()`` has all lines.
        """
        return as_frame(named_columns(self))


class CheckedMatrix(NamedTuple):
    """A matrix of `check_ratings`, or some entries, rows or columns of one, which isn't checked again."""

    matrix: sp.csr_matrix


def named_columns(ratings):
    """The columns user, item, rating and, if there are times, timestamp of `Ratings`, in the order of the matrix."""
    coo = ratings.matrix.tocoo()
    columns = {"user": np.asarray(ratings.users)[coo.row], "item": np.asarray(ratings.items)[coo.col],
               "rating": coo.data}
    return columns if ratings.timestamps is None else dict(columns, timestamp=ratings.timestamps)


def ratings_from_triples(users: Any, items: Any, ratings: Any, timestamps: Any = None,
                         duplicates: str = "error") -> Ratings:
    """Build ratings from arrays of users, items and ratings.

    Parameters
    ----------
    users, items : array_like of int or str, shape (n_ratings,)
        Ids: any labels, negative numbers included. Floats are taken if they all are whole numbers.
    ratings : array_like of float, shape (n_ratings,)
        Finite numbers, zeros included.
    timestamps : array_like of numbers or datetime64, shape (n_ratings,), optional
        The time of each rating, in any unit.
    duplicates : {"error", "first", "last", "mean", "sum"}
        The rating of a pair of user and item that comes more than once: an error, the first or the last in the order
        given (whatever the timestamps say), the mean or the sum. The timestamp is that of the rating kept; of a mean
        the latest, of a sum the first, and `events` has all.

    Returns
    -------
    Ratings
        Integer ids become int64, strings stay strings; `timestamps` keep their dtype. No memory is shared with the
        arguments.
    """
    check_choice(duplicates, "duplicates", DUPLICATES)
    columns = checked_columns(users, items, ratings, timestamps)
    return build_ratings(*columns, where=lambda entry: "entry %d" % entry, duplicates=duplicates)


def checked_columns(users, items, ratings, timestamps=None):
    """(ids, positions) of users and of items, ratings as float32 and times; errors name the entry."""
    values = as_vector("ratings", ratings)
    columns = {"users": as_vector("users", users), "items": as_vector("items", items)}
    if timestamps is not None:
        columns["timestamps"] = check_timestamps(timestamps)
    for name, column in columns.items():
        if len(column) != len(values):
            raise ValueError("%d %s and %d ratings were given; expected one of each for every rating"
                             % (len(column), name, len(values)))
    if not len(values):
        raise ValueError("there are no ratings in the arrays given; expected at least one")
    if values.dtype.kind not in "iuf":
        entry, value = next(((k, v) for k, v in enumerate(values) if not isinstance(v, numbers.Real)), (0, values[0]))
        raise TypeError("entry %d: the rating is %.60r; expected a real number: convert all by astype(float)"
                        % (entry, value.item() if isinstance(value, np.generic) else value))
    ids = [distinct(columns[name], name) for name in ("users", "items")]
    floats, bad = as_float32(values)
    if bad is not None:
        raise ValueError("entry %d: %s" % bad)
    return ids + [floats, columns.get("timestamps")]


def check_ratings(ratings: Any, duplicates: str = "error") -> Any:
    """Check a matrix of ratings, and convert it to the library's own form.

    Parameters
    ----------
    ratings : SciPy sparse matrix or array of real numbers, shape (n_users, n_items), or Ratings
        Stored zeros are ratings, except in the DIA and BSR formats, which pad with zeros: there zeros are dropped.
        Of `CheckedMatrix` the matrix is returned, unread.
    duplicates : {"error", "first", "last", "mean", "sum"}
        What becomes of a pair that is stored more than once, as in `ratings_from_triples`. SciPy adds up such entries
        in most conversions of a COO matrix, such as ``coo.tocsr()``; such a sum can't be told from a rating here.

    Returns
    -------
    scipy.sparse.csr_matrix of float32, shape (n_users, n_items)
        Column indices sorted within each row, no duplicates, int32 indices where they fit. `ratings` itself if it has
        this form already; else a new matrix, which may share memory with `ratings`. `ratings` is left as it is.
    """
    if isinstance(ratings, CheckedMatrix):
        return ratings.matrix
    check_choice(duplicates, "duplicates", DUPLICATES)
    matrix = ratings.matrix if isinstance(ratings, Ratings) else ratings
    if not sp.issparse(matrix):
        dense = isinstance(matrix, np.ndarray)
        raise TypeError("ratings are %s%s; expected a SciPy sparse matrix: make one with %s" % (
            type(matrix).__name__, ", in which a missing rating can't be told from a 0" if dense else "",
            "as_ratings(ratings.filled(numpy.nan), missing=numpy.nan)" if isinstance(matrix, np.ma.MaskedArray) else
            "scipy.sparse.csr_matrix(ratings), if 0 means missing" if dense else
            "load_ratings(file) or as_ratings(table)"))
    if len(matrix.shape) != 2:
        raise ValueError("ratings have the shape %r; expected users by items: reshape them" % (matrix.shape,))
    if matrix.dtype.kind not in "iuf":
        raise TypeError("ratings are of dtype %s; expected real numbers: convert them with .astype('float32') if that "
                        "keeps their meaning" % matrix.dtype)

    rows = None
    if matrix.format == "csr":
        n_entries = check_compressed(matrix, matrix.shape)
        values, cols, indptr = matrix.data[:n_entries], matrix.indices[:n_entries], matrix.indptr
        # By a new matrix: what a user's says of itself may be wrong.
        if not sp.csr_matrix((cols, cols, indptr), shape=matrix.shape).has_canonical_format:
            rows = rows_of_entries(indptr)
    else:
        values, rows, cols = triples(matrix)
    if not len(values):
        raise ValueError("ratings of shape %d x %d hold no entries; expected at least one stored rating"
                         % tuple(matrix.shape))
    floats, bad = as_float32(values)
    if bad is not None:
        row = np.searchsorted(indptr, bad[0], side="right") - 1 if rows is None else rows[bad[0]]
        raise ValueError("row %d, column %d: %s" % (row, cols[bad[0]], bad[1]))
    if rows is not None:
        def repeated(first, second, total=None):
            if total is not None:
                return wrong_total(int(rows[first]), int(cols[first]), total)
            return ValueError("row %d, column %d is stored twice (%s and %s); expected one rating per pair: drop one, "
                              "let as_ratings(ratings, duplicates=\"last\") do it (or \"first\", \"mean\"), or add "
                              "them up with sum_duplicates() if their sum is the rating"
                              % (rows[first], cols[first], values[first], values[second]))
        floats, cols, indptr, *_ = in_order(floats, (rows, cols), matrix.shape[0], duplicates, repeated)
    dtype = index_dtype(matrix.shape, len(floats))
    if (type(matrix) is sp.csr_matrix and rows is None and len(floats) == len(matrix.data)
            and matrix.dtype == np.float32 and matrix.indices.dtype == matrix.indptr.dtype == dtype):
        return matrix
    return canonical_csr(floats, cols, indptr, matrix.shape)


def rating_counts(matrix):
    """Count the entries of each row and of each column of a CSR matrix, which may be on disk: two int arrays."""
    of_columns = np.zeros(matrix.shape[1], np.int64)
    for start in range(0, matrix.nnz, PART):
        of_columns += np.bincount(matrix.indices[start:start + PART], minlength=matrix.shape[1])
    return np.diff(matrix.indptr), of_columns


def entries_stored(matrix, rows, cols):
    """Tell whether a CSR matrix of `check_ratings` stores an entry, even 0, at each of some positions: bool, (n,)."""
    rows, cols = np.asarray(rows), np.asarray(cols)
    stored, order = np.zeros(len(rows), bool), np.argsort(rows, kind="stable")
    is_first = np.diff(rows[order], prepend=-1) > 0  # of the positions in its row, which is read once
    sizes = np.cumsum(np.where(is_first, np.diff(matrix.indptr)[rows[order]], 0), dtype=np.int64)
    for part in np.split(order, np.searchsorted(sizes, np.arange(PART, sizes[-1:].sum(), PART))):
        used, place = np.unique(rows[part], return_inverse=True)
        block = matrix[used]
        if block.nnz:
            block.data[:] = 1  # a copy
            stored[part] = np.asarray(block[place, cols[part]]).ravel()
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


def as_float32(values):
    """The values as float32, and the position and fault of the first that isn't finite, or None."""
    with np.errstate(all="ignore"):  # of a number beyond float32, or too small for it; of a signalling NaN
        floats = np.asarray(values, np.float32)
    with np.errstate(invalid="ignore"):
        if not len(floats) or np.isfinite([floats.min(), floats.max()]).all():
            return floats, None
    entry = int(np.argmin(np.isfinite(floats)))
    return floats, (entry, "the rating is %s; expected a finite float32 number: correct or drop it"
                    % values[entry])


def build_ratings(users, items, values, timestamps, where, duplicates="error"):
    """`Ratings` of (ids, positions), float32, times, all checked; `where` says where an entry is, or ""."""
    (user_ids, rows), (item_ids, cols) = users, items
    shape = (len(user_ids), len(item_ids))

    def repeated(first, second, total=None):
        return repeated_pair(user_ids[rows[first]].item(), item_ids[cols[first]].item(), where(first), where(second),
                             total)

    *merged, every = in_order(values, (rows, cols), shape[0], duplicates, repeated, timestamps)
    ratings, events = (each and Ratings(canonical_csr(*each[:3], shape), user_ids, item_ids, each[3])
                       for each in (merged, every))
    if events is not None and duplicates == "sum" and timestamps is not None:
        events.matrix.has_canonical_format = False
        ratings = ratings._replace(events=events)
    return ratings


def check_counts(ratings, where=lambda row, col: ""):
    """ValueError for a pair whose count isn't above 0; `where` puts its row and column into words."""
    matrix, wrong = ratings.matrix, np.flatnonzero(~(ratings.matrix.data > 0))
    if len(wrong):
        row, col = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1, int(matrix.indices[wrong[0]])
        raise wrong_total(ratings.users[row].item(), ratings.items[col].item(), matrix[row, col], where(row, col))


def part_of(whole, wanted):
    """The entries of `Ratings` that a mask, (n_entries,), chooses, with all users and items."""
    matrix, times, events = whole.matrix, whole.timestamps, whole.events
    indptr = np.concatenate([[0], np.cumsum(wanted)])[matrix.indptr].astype(matrix.indptr.dtype)
    part = canonical_csr(matrix.data[wanted], matrix.indices[wanted], indptr, matrix.shape)
    part.has_canonical_format = matrix.has_canonical_format
    if events is not None:
        events = part_of(events, are_among(numbers_of_pairs(events.matrix), numbers_in(events, whole)[wanted]))
    return Ratings(part, whole.users, whole.items, None if times is None else np.asarray(times)[wanted], events)


def numbers_in(events, ratings):
    """As `numbers_of_pairs` of the events, of `Ratings` whose users and items are among theirs."""
    rows, cols = (np.searchsorted(getattr(events, name), getattr(ratings, name)) for name in ("users", "items"))
    return rows[rows_of_entries(ratings.matrix.indptr)] * len(events.items) + cols[ratings.matrix.indices]


def are_among(numbers, known):
    """Tell which numbers from 0 are among the known ones, which ascend: bool, (n,)."""
    return np.append(known, -1)[np.searchsorted(known, numbers)] == numbers


def wrong_total(user, item, total, where=""):
    """The error for the sum of a pair's ratings that is beyond float32, or no count."""
    if abs(total) > np.finfo(np.float32).max:
        return ValueError("%suser %.60r, item %.60r: the ratings add up to %g, beyond float32; expected at most "
                          "3.4e38: divide all by a constant, or pass other duplicates" % (where, user, item, total))
    return ValueError("%suser %.60r has item %.60r %g times in total; expected counts above 0: leave out returns and "
                      "zeros, by returns='drop' of load_ratings (--returns drop) or table[table.quantity > 0] in pandas"
                      % (where, user, item, total))


def repeated_pair(user, item, first, second, total=None):
    """The error for a repeated pair, or for its `total`, which is too large; `first` and `second` describe where."""
    if total is not None:
        return wrong_total(user, item, total, second and second + ": ")
    return ValueError('%s: user %.60r has rated item %.60r already, in %s; expected one rating per pair: pass '
                      'duplicates="last" to load_ratings or as_ratings (--duplicates last) to keep the last, or '
                      '"first", "mean", or "sum" for counts' % (second, user, item, first))
