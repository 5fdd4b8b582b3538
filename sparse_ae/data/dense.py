"""Dense tables: a row for each user, a column for each item, and one number that stands for "not rated".

A table has no room for the difference between a rating and none, so somebody has to say which number means none: 99 in
Jester's files, NaN in many others. Any other number is a rating, 0 included. Users and items are numbered from 0.
"""
import math
import numbers

import numpy as np

from sparse_ae.data.columns import are_rated, is_masked
from sparse_ae.data.lines import AS_LISTS, DELIMITERS, as_floats, first_lines, lines_of
from sparse_ae.data.ratings import Ratings, as_float32, canonical_csr

# So many rows whose first number counts the others are no chance.
_ROWS_NO_CHANCE = 10


def ratings_from_table(table, missing):
    """Ratings of a dense table.

    Parameters
    ----------
    table : array_like of real numbers, shape (n_users, n_items)
        What is masked isn't rated.
    missing : float
        What stands for "not rated" elsewhere; it may be NaN.

    Returns
    -------
    Ratings
        Users and items are numbered from 0, those without ratings too.

    Raises
    ------
    TypeError, ValueError
        If it is no such table, holds no rating, or one that isn't finite: the message names its row and column, counted
        from 0.
    """
    if hasattr(table, "columns"):
        raise TypeError("ratings are %s, whose columns and rows have names, and missing=%r was given; expected an "
                        "array of numbers: pass ratings.to_numpy(), which numbers users and items from 0"
                        % (type(table).__name__, missing))
    array = np.asarray(table)
    if array.dtype.kind not in "iuf" or array.ndim != 2:
        raise TypeError("ratings are of dtype %s and shape %r, and missing=%r was given; expected a table of real "
                        "numbers with a row for each user and a column for each item"
                        % (array.dtype, array.shape, missing))
    if is_masked(table) and isinstance(missing, numbers.Real):
        array = np.where(np.ma.getmaskarray(table), missing, array)
    return ratings_from_blocks([(range(len(array)), array)], missing, "row %d, column %d", first_column=0)


def read_table(path, progress=False):
    """Read a dense table of numbers from a file of text, some rows at a time.

    Numbers are separated as ratings in text are, and may be in quotes; one that isn't there counts as NaN.

    Parameters
    ----------
    path : pathlib.Path
    progress : bool
        Whether to show a bar on stderr, if that is a terminal and reading takes longer than some seconds.

    Yields
    ------
    numbers : list of int, length n
        The line of each row, from 1.
    table : numpy.ndarray of float64, shape (n, n_columns)

    Raises
    ------
    ValueError
        For what is no number, and a row of another length than the first.
    """
    first, delimiter = _first_row(path)
    n_columns = len(first)
    with lines_of(path, progress=progress) as lines:
        for block in iter(lines.read_block, b""):
            numbered, fields = [], []
            for line in lines.decode(block).replace('"', "").split("\n"):
                if line.strip():
                    row = line.rstrip("\r").split(delimiter)
                    if len(row) != n_columns:
                        way_out = "; " + AS_LISTS if all(field.strip().isdigit() for field in row) else ""
                        raise ValueError("%s, line %d: found %d columns; expected %d, as on the first line: mend or "
                                         "drop it%s" % (path, lines.number, len(row), n_columns, way_out))
                    numbered.append(lines.number)
                    fields += row
                lines.number += 1
            lines.number -= block.endswith(b"\n")
            try:
                table = _numbers(fields).reshape(-1, n_columns)
            except ValueError:
                _name_what_is_no_number(path, numbered, fields, n_columns)
            if numbered:
                yield numbered, table


def count_columns(path):
    """The number of columns that a file of text has, if its first line is of numbers, as that of a table is; else 0.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For what is no text, or blank.
    """
    first, _ = _first_row(path)
    try:
        return len(_numbers(first))
    except ValueError:
        return 0


def ratings_from_blocks(blocks, missing, where, first_column=1):
    """Ratings of a dense table that comes some rows at a time.

    Parameters
    ----------
    blocks : iterable of (sequence of int, numpy.ndarray of shape (n, n_items))
        The numbers of some rows, for messages, and the rows.
    missing : float
    where : str
        A pattern that puts the numbers of a row and a column into words.
    first_column : int
        The number of the first column, for messages.

    Returns
    -------
    Ratings

    Raises
    ------
    ValueError
        If no entry is a rating, or one isn't finite, or the first column counts the others.
    """
    check_missing(missing)
    values, cols, lengths, n_items = [], [], [], 0
    for numbered, table in blocks:
        rated = are_rated(table, missing)
        row, col = np.nonzero(rated)
        floats, bad = as_float32(table[rated])
        if bad is not None:
            raise ValueError("%s: %s, or pass missing=nan if it stands for none"
                             % (where % (numbered[row[bad[0]]], first_column + col[bad[0]]), bad[1]))
        values.append(floats)
        cols.append(col.astype(np.int32))
        lengths.append(np.count_nonzero(rated, axis=1))
        n_items = table.shape[1]
    if not sum(map(len, values)):
        raise ValueError("the table holds nothing but %r, which stands for no rating; expected at least one rating"
                         % (missing,))
    lengths, values = np.concatenate(lengths), np.concatenate(values)
    shape = len(lengths), n_items
    matrix = canonical_csr(values, np.concatenate(cols), np.concatenate([[0], np.cumsum(lengths)]), shape)
    if shape[0] >= _ROWS_NO_CHANCE and n_items > 1 and lengths.all():
        firsts = matrix.indptr[:-1]
        if not matrix.indices[firsts].any() and np.array_equal(matrix.data[firsts], lengths - 1):
            raise ValueError("the first column counts the ratings in the rest of its row, in each of %d rows, as in "
                             "Jester's data set 1; expected ratings alone: leave that column out, or read Jester's "
                             "file by sparse_ae.jester(path)" % shape[0])
    return Ratings(matrix, *(np.arange(size, dtype=np.int64) for size in shape))


def check_missing(missing):
    """Return what stands for no rating, a number that may be NaN; ValueError for anything else."""
    if not isinstance(missing, numbers.Real) or isinstance(missing, (bool, np.bool_)) or math.isinf(missing):
        raise ValueError("missing is %r; expected the number that stands for no rating, such as 99, 0 or nan"
                         % (missing,))
    return missing


def _first_row(path):
    """The first line's fields, and the delimiter: that which makes the most of them."""
    line = first_lines(path)[1][0].replace('"', "").rstrip("\r")
    return max(((line.split(delimiter), delimiter) for delimiter, _ in DELIMITERS), key=lambda each: len(each[0]))


def _numbers(fields):
    return as_floats([field if field and not field.isspace() else "nan" for field in fields])


def _name_what_is_no_number(path, numbered, fields, n_columns):
    for k, field in enumerate(fields):
        try:
            _numbers([field])
        except ValueError:
            raise ValueError("%s, line %d, column %d: %.60r isn't a number; expected a table of numbers alone: mend "
                             "it, or drop the header"
                             % (path, numbered[k // n_columns], k % n_columns + 1, field)) from None
