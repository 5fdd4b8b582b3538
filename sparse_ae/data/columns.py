"""Columns in any form as arrays, and the numbers in them that mean "not rated"."""
import contextlib
import importlib
import numbers

import numpy as np

from sparse_ae.checks import is_number
from sparse_ae.runtime.progress import say

_MASKED = ("some values are masked, which means missing; expected none: pass .compressed() of them, and of other "
           "columns the same entries, users[~ratings.mask]; or of a table of users by items .filled(numpy.nan), with "
           "missing=numpy.nan")

# Ratings other than 0 that are looked at, more or less; and how many times as often the rating next to 0 is given,
# where 0 hardly belongs to the scale.
_MOST_SEEN, _TIMES = 2 ** 20, 100


def are_rated(ratings, missing):
    """Tell which numbers of an array differ from the one that means "not rated", which may be NaN."""
    return ~np.isnan(ratings) if np.isnan(missing) else ratings != missing


def check_missing(missing):
    """Return the number that means "not rated" as a float, which may be NaN, None for None; ValueError for others."""
    if missing is None:
        return None
    if is_number(missing) or isinstance(missing, numbers.Real) and missing != missing:
        return float(missing)
    raise ValueError('missing is %.60r; expected the number that means "not rated", such as 99, 0 or nan'
                     % (missing,))


def tell_of_zeros(ratings):
    """Say on stderr why zeros may be no ratings, as in Book-Crossing's file, if most are 0, or it is far from the rest
    or rare; only the user can tell."""
    n_zeros = len(ratings) - np.count_nonzero(ratings)
    if not 0 < n_zeros < len(ratings) or ratings.min() < 0:
        return
    seen = ratings[::max(1, len(ratings) // _MOST_SEEN)]
    others, counts = np.unique(seen[seen != 0], return_counts=True)
    if not len(others):
        return
    n_next = counts[0] * (len(ratings) / len(seen))
    why = ("most are 0" if 2 * n_zeros > len(ratings) else
           "0 is far from the others" if len(others) > 2 and others[0] > 1.5 * np.diff(others).max() else
           "0 is very rare" if len(others) > 1 and _TIMES * n_zeros < n_next else None)
    if why is not None:
        say('%d of %d ratings are 0, and the others %g to %g: %s. If 0 means "not rated", pass missing=0 to '
            "load_ratings, store_ratings or as_ratings (--missing 0); if it is a rating, pass rating_scale=(0, %g) "
            "(--rating-scale 0 %g)" % (n_zeros, len(ratings), others[0], others[-1], why, others[-1], others[-1]))


def as_array(values):
    """An array of some values; a list with strings or complex numbers becomes one of objects, since NumPy's strings all
    take as much as the longest, and of [1, "1"] it would make two equal ones. ValueError for masked values."""
    if isinstance(values, np.ma.MaskedArray):
        if values.dtype.names is None and np.ma.is_masked(values):
            raise ValueError(_MASKED)
        return np.ma.getdata(values)
    if hasattr(values, "to_pylist"):
        return _of_arrow(values)
    if isinstance(values, (list, tuple)):
        if any(value is np.ma.masked for value in values):
            raise ValueError(_MASKED)
        if any(isinstance(value, (str, bytes, complex)) for value in values):
            return np.array(values, dtype=object)
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        return np.array(values, dtype=object)


def _plain(column):
    """A column of pyarrow; bytes as text, if all are UTF-8, decimals as integers or, if one isn't whole, as floats."""
    kind = str(column.type).partition("<")[0]
    wanted = ("int64", "float64") if "decimal" in kind else ("large_string",) if "binary" in kind else ()
    for each in wanted:
        with contextlib.suppress(ValueError, NotImplementedError):  # classes of pyarrow's errors
            return column.cast(each)
    return column


def _of_arrow(column):
    """An array of a column of pyarrow; equal texts of a dictionary are one object, and None is null."""
    column = _plain(column)
    if not hasattr(column.type, "index_type"):
        return np.asarray(column)
    found = [np.zeros(0, object)]
    for chunk in getattr(column, "chunks", [column]):
        values = _of_arrow(chunk.dictionary)
        codes = np.asarray(chunk.indices.cast("int64").fill_null(len(values)))
        found.append((np.append(values.astype(object), None) if chunk.indices.null_count else values)[codes])
    return np.concatenate(found[len(found) > 1:])


def python_values(column):
    """The values of a column of pyarrow as Python's, None for null; equal texts of a dictionary are one object."""
    column, kind = _plain(column), str(column.type)
    if kind.startswith("dictionary"):
        return _of_arrow(column).tolist()
    if hasattr(column, "chunks"):
        return [value for chunk in column.chunks for value in python_values(chunk)]
    if not kind.startswith(("list<", "large_list<")):
        return column.to_pylist()
    values, ends = python_values(column.values), column.offsets.to_pylist()
    return [values[start:end] if valid else None
            for start, end, valid in zip(ends, ends[1:], column.is_valid().to_pylist())]


def as_vector(name, values):
    """The values as a one-dimensional array."""
    vector = as_array(values)
    if vector.ndim != 1:
        raise ValueError("%s have the shape %r; expected one dimension, one value per rating" % (name, vector.shape))
    return vector


def as_frame(columns):
    """A pandas DataFrame of a dict of columns."""
    try:
        return importlib.import_module("pandas").DataFrame(columns)
    except ImportError:
        raise ImportError("to_frame needs pandas, which isn't installed: pip install pandas, or take the arrays, which "
                          "are attributes") from None
