"""Columns in any form, masked or not: entries with a masked rating are left out, and another masked id is an error."""
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
