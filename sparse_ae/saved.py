"""What the file of a saved recommender holds, checked whole before anything is made of it.

The bytes are `storage`'s: a sound zip of named arrays. What they say may still be wrong - ids that don't ascend, a CSR
matrix that points past its end -, and would give other people's recommendations, or crash SciPy.
"""
import numpy as np
import scipy.sparse as sp

from sparse_ae import storage
from sparse_ae.checks import check_rating_scale, is_number
from sparse_ae.data.ratings import check_ratings

__all__ = ["read", "write"]

# Goes up when an older version can't read the files any more.
FORMAT = 1

_ARRAYS = ("W", "V", "mu", "b", "users", "items", "data", "indices", "indptr")
_META = ("settings", "rows", "rating_scale", "unknown", "history", "best_epoch", "f", "g", "l2")


def write(path, meta, arrays):
    """Write a recommender's file over nothing but one of the library's; see `storage` for the errors."""
    storage.check_replaceable(path)
    storage.write(path, "recommender", dict(meta, format=FORMAT), arrays)


def read(path):
    """Read a recommender's file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    meta : dict
    arrays : dict of str to numpy.ndarray
    ratings : scipy.sparse.csr_matrix of float32
        What its arrays `data`, `indices` and `indptr` are; rows and columns are the model's.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is damaged, of another kind, of a later version, or its parts don't go together.
        The message names the file.
    """
    meta, arrays = storage.read(path, "recommender")
    version = meta.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise ValueError("%s has format %r of a recommender; this sparse_ae reads formats up to %d: upgrade sparse_ae"
                         % (path, version, FORMAT))
    try:
        return meta, arrays, _checked(meta, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("%s is damaged, or was changed by hand: %s; take a whole copy, or save the recommender anew"
                         % (path, error)) from error


def _checked(meta, arrays):
    """The ratings, once all parts are known to go together."""
    for what, names, found in (("array", _ARRAYS, arrays), ("entry", _META, meta)):
        for name in names:
            if name not in found:
                raise ValueError("it has no %s %r" % (what, name))
    W = arrays["W"]
    if W.ndim != 2 or W.dtype.name not in ("float32", "float64"):
        raise ValueError("W is of shape %r and dtype %s" % (W.shape, W.dtype))
    n, k = W.shape
    for name, shape in (("V", (k, n)), ("mu", (k,)), ("b", (n,))):
        if arrays[name].shape != shape or arrays[name].dtype != W.dtype:
            raise ValueError("%s is of shape %r and dtype %s where W is of %r and %s"
                             % (name, arrays[name].shape, arrays[name].dtype, W.shape, W.dtype))
    for name in ("W", "V", "mu", "b"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError("%s holds NaN or infinite values" % name)
    if meta["rows"] not in ("items", "users"):
        raise ValueError("its rows are %r" % (meta["rows"],))
    ids = [_checked_ids(name, arrays[name]) for name in ("users", "items")]
    n_rows, n_columns = map(len, ids if meta["rows"] == "users" else ids[::-1])
    if n_columns != n or len(arrays["indptr"]) != n_rows + 1:
        raise ValueError("it has %d users and %d items, and a model of %d rows and %d columns, which are %s"
                         % (len(ids[0]), len(ids[1]), len(arrays["indptr"]) - 1, n, meta["rows"]))
    parts = [arrays[name] for name in ("data", "indices", "indptr")]
    if any(part.ndim != 1 for part in parts):
        raise ValueError("the arrays of its ratings aren't one-dimensional")
    matrix = sp.csr_matrix(tuple(parts), shape=(n_rows, n_columns))
    if check_ratings(matrix) is not matrix:
        raise ValueError("its ratings aren't sorted by row and column, or not of the dtypes that were saved")
    low, high = check_rating_scale(meta["rating_scale"])
    if matrix.data.min() < low or matrix.data.max() > high:
        raise ValueError("its ratings are from %g to %g, on a scale from %g to %g"
                         % (matrix.data.min(), matrix.data.max(), low, high))
    if meta["unknown"] not in ("mean", "error") and not is_number(meta["unknown"]):
        raise ValueError("unknown is %r" % (meta["unknown"],))
    n_epochs, best_epoch = len(meta["history"]), meta["best_epoch"]
    if not isinstance(best_epoch, int) or not 1 <= best_epoch <= n_epochs:
        raise ValueError("its best epoch is %r of %d" % (best_epoch, n_epochs))
    return matrix


def _checked_ids(name, ids):
    if ids.ndim != 1 or ids.dtype != np.int64 and ids.dtype.kind != "U":
        raise ValueError("%s are of shape %r and dtype %s" % (name, ids.shape, ids.dtype))
    if len(ids) > 1 and not (ids[1:] > ids[:-1]).all():
        raise ValueError("%s aren't in ascending order" % name)
    return ids
