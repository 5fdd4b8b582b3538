"""Columns in any form, masked or not: entries with a masked rating are left out, and another masked id is an error."""
import contextlib
import importlib
import numbers

import numpy as np

from sparse_ae.checks import is_number


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
    """An array of some values, masked where some are; a list with strings or complex numbers becomes one of objects,
    since NumPy's strings all take as much as the longest, and of [1, "1"] it would make two equal ones."""
    if isinstance(values, np.ma.MaskedArray):
        return values
    if hasattr(values, "to_pylist"):
        return _of_arrow(values)
    if isinstance(values, (list, tuple)):
        if any(value is np.ma.masked for value in values):
            mask = [value is np.ma.masked for value in values]
            instead = next((value for value in values if value is not np.ma.masked), 0)
            filled = [instead if masked else value for value, masked in zip(values, mask)]
            return np.ma.array(as_array(filled), mask=mask)
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
    """An array of a column of pyarrow. NumPy would ignore nulls in a dictionary, and repeat its texts: here equal ones
    are one object, and None is null."""
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


def is_masked(array):
    """Tell whether some entries of an array are masked."""
    return isinstance(array, np.ma.MaskedArray) and array.dtype.names is None and bool(np.any(array.mask))


def unmasked(columns):
    """Columns as arrays, without the entries whose rating, in the third, is masked, and the places of the others (or
    None)."""
    columns = list(map(as_array, columns))
    mask = np.ma.getmaskarray(columns[2]) if is_masked(columns[2]) else None
    if mask is None or any(column.shape[:1] != mask.shape for column in columns):
        return columns, None
    places = np.flatnonzero(~mask)
    left = [as_array(column[places].tolist()) if column.dtype == object else column[places] for column in columns]
    return left[:2] + [np.ma.getdata(left[2])] + left[3:], places


def without_mask(values, name):
    """Ids or times as a plain array; ValueError if one is masked. `name` names them."""
    array = as_array(values)
    if is_masked(array):
        entry, hint = ("entry %d: " % np.argmax(np.ma.getmaskarray(array)), ": drop the entry, or mask its rating too"
                       ) if array.ndim else ("", "")
        raise ValueError("%sthe value in %s is masked, which means missing; expected one%s" % (entry, name, hint))
    return np.ma.getdata(array)


def as_vector(name, values):
    """The values as a one-dimensional array."""
    vector = without_mask(values, name)
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
