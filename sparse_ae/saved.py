"""What the file of a saved recommender holds, checked whole before anything is made of it.

The bytes are `storage`'s: a sound zip of named arrays. What they say may still be wrong - ids that don't ascend, a CSR
matrix that points past its end -, and would give other people's recommendations, or crash SciPy.
"""
import numpy as np
import scipy.sparse as sp

from sparse_ae import storage
from sparse_ae.checks import MOST, check_rating_scale, is_integer, is_number
from sparse_ae.data.ids import check_ids
from sparse_ae.data.ratings import check_ratings

__all__ = ["read", "write"]

# Goes up when an older version can't read the files any more.
FORMAT = 3

_ARRAYS = ("users", "items", "data", "indices", "indptr")
_META = ("settings", "parts", "ratings_rows", "rating_scale", "unknown", "biases", "history", "best_epoch",
         "validation_rmse", "validation_lists", "missing_rating", "counts")
_PART = ("rows", "f", "g", "l2", "l2_weighted", "missing_weight", "weight", "choice")


def write(path, meta, arrays, ratings):
    """Write a recommender's file over nothing but one of the library's; see `storage` for the errors.

    Parameters
    ----------
    path : str or os.PathLike
    meta : dict
    arrays : dict of str to array
        Those of a model are named after its rows: ``"items/W"``, ...
    ratings : csr_matrix
    """
    storage.check_replaceable(path)
    arrays = dict(arrays, data=ratings.data, indices=ratings.indices, indptr=ratings.indptr)
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
        What its arrays `data`, `indices` and `indptr` are; its rows are ``meta["ratings_rows"]``.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is damaged, of another kind, of a later version, or its parts don't go together.
        The message names the file.
    """
    meta, arrays = storage.read(path, "recommender")
    version = meta.get("format") if isinstance(meta, dict) else None
    if not is_integer(version):
        raise ValueError("%s is damaged, or was changed by hand: its format is %r; take a whole copy, or save the "
                         "recommender anew" % (path, version))
    if version > FORMAT:
        raise ValueError("%s has format %r of a recommender; this sparse_ae reads formats up to %d: upgrade sparse_ae"
                         % (path, version, FORMAT))
    if version < FORMAT:
        raise ValueError("%s has format %r of a recommender, of before the first release; this sparse_ae reads format "
                         "%d: fit and save it anew" % (path, version, FORMAT))
    try:
        return meta, arrays, _checked(meta, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("%s is damaged, or was changed by hand: %s; take a whole copy, or save the recommender anew"
                         % (path, error)) from error


def _checked(meta, arrays):
    """The ratings, once all parts are known to go together."""
    _check_names("array", _ARRAYS, arrays)
    _check_names("entry", _META, meta)
    ids = [check_ids(arrays[name], name) for name in ("users", "items")]
    sizes = dict(zip(("users", "items"), map(len, ids)))
    matrix = _checked_ratings(arrays, meta["ratings_rows"], sizes)
    if meta["biases"] is not None:
        _check_names("array", ("user_biases", "item_biases"), arrays)
        for name, size in (("user_biases", sizes["users"]), ("item_biases", sizes["items"])):
            if arrays[name].shape != (size,) or arrays[name].dtype != np.float64 or not (
                    np.abs(arrays[name]) <= MOST).all():
                raise ValueError("%s aren't %d finite float64 numbers" % (name, size))
        numbers = [meta["biases"]["mean"]] + list(meta["biases"]["shrinkage"])
        if len(numbers) != 3 or not all(is_number(each) for each in numbers) or min(numbers[1:]) < 0 or (
                abs(numbers[0]) > MOST):
            raise ValueError("its biases are %r" % (meta["biases"],))
    _check_parts(meta["parts"], arrays, sizes, meta["biases"] is not None)
    low, high = check_rating_scale(meta["rating_scale"])
    if high - low > MOST or matrix.data.min() < low or matrix.data.max() > high:
        raise ValueError("its ratings are from %g to %g, on a scale from %g to %g"
                         % (matrix.data.min(), matrix.data.max(), low, high))
    if meta["unknown"] not in ("mean", "error") and not (isinstance(meta["unknown"], float)
                                                         and is_number(meta["unknown"])):
        raise ValueError("unknown is %r" % (meta["unknown"],))
    if not isinstance(meta["settings"], dict):
        raise ValueError("its settings are %r" % (meta["settings"],))
    history, best_epoch = meta["history"], meta["best_epoch"]
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise ValueError("its history is no list of epochs")
    if not is_integer(best_epoch) or not 0 <= best_epoch <= len(history):
        raise ValueError("its best epoch is %r of %d" % (best_epoch, len(history)))
    for name in ("validation_rmse", "validation_lists"):
        found = meta[name]
        if found is not None and not (isinstance(found, dict) and all(is_number(each) for each in found.values())):
            raise ValueError("its %s are %r" % (name, found))
    missing_rating = meta["missing_rating"]
    if missing_rating is not None and not (
            is_number(missing_rating) and abs(missing_rating) <= MOST):
        raise ValueError("its missing rating is %r" % (missing_rating,))
    if not isinstance(meta["counts"], bool):
        raise ValueError("its counts are %r" % (meta["counts"],))
    return matrix


def _check_names(what, names, found):
    if not isinstance(found, dict):
        raise ValueError("%r stands where entries are expected" % (found,))
    for name in names:
        if name not in found:
            raise ValueError("it has no %s %r" % (what, name))


def _checked_ratings(arrays, rows, sizes):
    if rows not in sizes:
        raise ValueError("the rows of its ratings are %r" % (rows,))
    shape = (sizes["users"], sizes["items"]) if rows == "users" else (sizes["items"], sizes["users"])
    parts = [arrays[name] for name in ("data", "indices", "indptr")]
    if any(part.ndim != 1 for part in parts) or len(parts[2]) != shape[0] + 1:
        raise ValueError("it has %d users and %d items, and ratings of %s rows, which are %s"
                         % (sizes["users"], sizes["items"], parts[2].shape, rows))
    dtypes = [part.dtype.name for part in parts]
    if dtypes not in (["float32", "int32", "int32"], ["float32", "int64", "int64"]):
        raise ValueError("its ratings are of the dtypes %s" % ", ".join(dtypes))
    matrix = sp.csr_matrix(tuple(parts), shape=shape)
    if check_ratings(matrix) is not matrix:
        raise ValueError("its ratings aren't sorted by row and column")
    return matrix


def _check_parts(parts, arrays, sizes, with_biases):
    """The models: one, or beside biases one of each side."""
    if not isinstance(parts, list) or not 1 <= len(parts) <= 1 + with_biases:
        raise ValueError("its models are %r" % (parts,))
    for part in parts:
        _check_part(part, arrays, sizes, with_biases)
    if len({part["rows"] for part in parts}) < len(parts):
        raise ValueError("its models have the same rows")


def _check_part(part, arrays, sizes, with_biases):
    _check_names("entry of a model", _PART, part)
    side, decays = part["rows"], part["l2"]
    if side not in sizes or not is_number(part["weight"]) or not (
            0 <= part["weight"] <= MOST):
        raise ValueError("a model has the rows %r and the weight %r" % (side, part["weight"]))
    if len(decays) != 2 or not all(is_number(each) and each >= 0 for each in decays):
        raise ValueError("a model's l2 is %r" % (decays,))
    if not is_number(part["missing_weight"]) or not 0 <= part["missing_weight"] <= 1:
        raise ValueError("a model's missing_weight is %r" % (part["missing_weight"],))
    if not isinstance(part["l2_weighted"], bool) or not isinstance(part["choice"], dict):
        raise ValueError("a model's l2_weighted is %r and its choice %r" % (part["l2_weighted"], part["choice"]))
    own = ("W", "V", "mu", "b") + (("U",) if with_biases else ())
    _check_names("array", ["%s/%s" % (side, name) for name in own], arrays)
    W = arrays["%s/W" % side]
    n = sizes["items" if side == "users" else "users"]
    if W.ndim != 2 or len(W) != n or W.dtype.name not in ("float32", "float64"):
        raise ValueError("W is of shape %r and dtype %s; the model has %d columns" % (W.shape, W.dtype, n))
    k = W.shape[1]
    for name, shape in zip(own, ((n, k), (k, n), (k,), (n,), (k, n))):
        array = arrays["%s/%s" % (side, name)]
        if array.shape != shape or array.dtype != W.dtype:
            raise ValueError("%s is of shape %r and dtype %s where W is of %r and %s"
                             % (name, array.shape, array.dtype, W.shape, W.dtype))
        if not (np.abs(array) <= MOST).all():
            raise ValueError("%s holds NaN, infinite or far too large values" % name)
