"""Columns in any form as arrays."""
import contextlib
import importlib
import numbers

import numpy as np

from sparse_ae.checks import is_number

_MASKED = ("some values are masked, which means missing; expected none: pass .compressed() of them, and of other "
           "columns the same entries, users[~ratings.mask]; or of a table of users by items .filled(numpy.nan), with "
           "missing=numpy.nan")


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
