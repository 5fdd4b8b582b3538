"""Columns in any form, masked or not: entries with a masked rating are left out, and another masked id is an error."""
import numpy as np


def are_rated(ratings, missing):
    """Tell which numbers of an array differ from the one that means "not rated", which may be NaN."""
    return ~np.isnan(ratings) if np.isnan(missing) else ratings != missing


def is_masked(values):
    """Tell whether some are masked: of an array, or of a list that holds `numpy.ma.masked`."""
    if isinstance(values, (list, tuple)):
        return any(value is np.ma.masked for value in values)
    return isinstance(values, np.ma.MaskedArray) and values.dtype.names is None and bool(np.any(values.mask))


def as_array(values):
    """An array of some values, which is a masked one where some are masked."""
    if isinstance(values, np.ma.MaskedArray):
        return values
    if not is_masked(values):
        return np.asarray(values)
    mask = [value is np.ma.masked for value in values]
    instead = next((value for value in values if value is not np.ma.masked), 0)
    return np.ma.array([instead if masked else value for value, masked in zip(values, mask)], mask=mask)


def as_vector_of_ids(ids):
    """An array of ids. A list of strings becomes one of objects, since NumPy's strings all take as much as the longest.
    """
    if isinstance(ids, (list, tuple)) and any(isinstance(each, str) for each in ids):
        return np.array(ids, dtype=object)
    return np.asarray(ids)


def unmasked(columns):
    """Columns without the entries whose rating, in the third, is masked, and the places of the others (or None)."""
    if not is_masked(columns[2]):
        return columns, None
    ratings = as_array(columns[2])
    mask = np.ma.getmaskarray(ratings)
    if any(not hasattr(column, "__len__") or mask.shape != (len(column),) for column in columns):
        return columns, None
    places = np.flatnonzero(~mask)
    left = [[column[k] for k in places] if isinstance(column, (list, tuple)) else as_array(column)[places]
            for column in columns]
    left[2] = np.ma.getdata(ratings)[places]
    return left, places


def refuse_masked(ids, name):
    """Raise ValueError if an id is masked; `name` names the ids."""
    if ids is np.ma.masked:
        raise ValueError("the id in %s is masked, which means missing; expected an id" % name)
    if is_masked(ids):
        mask = np.ma.getmaskarray(ids) if isinstance(ids, np.ndarray) else [each is np.ma.masked for each in ids]
        raise ValueError("entry %d: the id in %s is masked, which means missing; expected an id: drop the entry, or "
                         "mask its rating too" % (int(np.argmax(np.ravel(mask))), name))
