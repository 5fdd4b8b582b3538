"""Dense tables of users by items, in which a number means "not rated", as `Ratings`."""
import numpy as np

from sparse_ae.data.columns import are_rated, as_array
from sparse_ae.data.names import column_names
from sparse_ae.data.ratings import Ratings, as_float32, canonical_csr

# So few columns, and so many rows, may be a list of ratings; so many counts, or ascending numbers, are no chance.
_COLUMNS_OF_A_LIST, _ROWS_OF_A_LIST, _NO_CHANCE = 8, 100, 10


def ratings_from_table(table, missing):
    """`Ratings` of a dense array of users by items, without entries that are `missing`; ValueError for a first column
    that counts the others, for ids in the first row or column, and for a list."""
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
