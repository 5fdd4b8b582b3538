"""The file of a saved recommender, checked whole before anything is made of it.

The bytes are `storage`'s: a sound zip of named arrays. Their contents may still be wrong - ids that don't ascend, a CSR
matrix that points past its end -, and would give other people's recommendations, or crash SciPy.

A recommender whose columns are shared out among ranks can be a folder instead: a file for the columns of each rank, and
`manifest.npz`, which has the rest and names them; see `files.parts`.
"""
import os
import uuid

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST, check_rating_scale, is_integer, is_number
from sparse_ae.data.ids import check_ids
from sparse_ae.data.ratings import canonical_csr, check_ratings
from sparse_ae.data.side import Side
from sparse_ae.files import storage
from sparse_ae.files.parts import Parts
from sparse_ae.ranks.ranks import ALONE, joined, joined_csr
from sparse_ae.recommender.closed import CLOSED, arrays_of, check_model, model_from

# Goes up when an older version can't read the files any more.
FORMAT = 4

# The kind of the files of a folder that have a rank's own columns.
_OF_A_RANK = "part of a recommender"

_ARRAYS = ("users", "items", "data", "indices", "indptr")
_META = ("settings", "parts", "ratings_rows", "rating_scale", "unknown", "biases", "history", "best_epoch",
         "validation_rmse", "validation_lists", "missing_rating", "counts")
_PART = ("rows", "model", "objective", "parameters", "weight", "choice")


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


def _parts_in(folder):
    return Parts(os.path.join(folder, "manifest.npz"), "recommender in parts", _OF_A_RANK, "save",
                 os.path.join(folder, "part"), "{rank}of{ranks}-{save}.npz")


def _make_folder(folder):
    """Make a folder for parts, unless it is there: OSError where it can't be, or its manifest is no such."""
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise NotADirectoryError("%s is a file; expected the name of a folder, for a recommender in parts" % folder)
        storage.check_destination(folder)
        os.mkdir(folder)
    storage.check_replaceable(_parts_in(folder).path)


def write_parts(folder, meta, arrays, own, ratings, ranks):
    """Write a recommender's folder, or leave the one of before as it is; for all ranks together.

    Parameters
    ----------
    folder : str or os.PathLike
    meta : dict
    arrays : dict of str to array
        What all ranks have.
    own : dict of str to array
        What is of a rank's own columns.
    ratings : csr_matrix
        A rank's own columns.
    ranks : Ranks
    """
    ranks.on_first(_make_folder, folder)
    save = ranks.gathered(uuid.uuid4().hex)[0]
    own = dict(own, data=ratings.data, indices=ratings.indices, indptr=ratings.indptr)
    _parts_in(folder).write(save, (dict(meta, format=FORMAT), arrays),
                            ({"save": save, "rank": ranks.rank, "ranks": ranks.size}, own), ranks)


def read(path, ranks=ALONE):
    """Read a recommender's file, or its folder.

    Parameters
    ----------
    path : str or os.PathLike
    ranks : Ranks
        Of several each reads its own part of a folder, which must have as many. One process reads all, and joins them.

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
    if os.path.isdir(path):
        return _read_folder(path, ranks)
    meta, arrays = storage.read(path, "recommender")
    ranks.check_alone("%s is one file and these are %d ranks; load it without comm, or save it with parts=True from as "
                      "many", path)
    _check_format(path, meta)
    with storage.damage_named(path):
        return meta, arrays, _checked(meta, arrays)


def _read_folder(folder, ranks):
    parts = _parts_in(folder)
    meta, arrays, to_read = parts.read(ranks, "load it in one process without comm")
    _check_format(parts.path, meta)
    found = [_read_part(path, named, meta, arrays) for path, named in to_read]
    own = {name: joined([of_rank[name] for of_rank, _ in found], axis) for name, axis in _own_arrays(meta).items()}
    return meta, dict(arrays, **own), joined_csr([ratings for _, ratings in found])


def _read_part(path, named, meta, arrays):
    """The arrays of a rank's own columns, and its ratings; checked, with what all ranks have."""
    of_part, own = storage.read(path, _OF_A_RANK)
    with storage.damage_named(path):
        if of_part != named:
            raise ValueError("it is %r, and the folder's manifest names part %d of %d of the save %s"
                             % (of_part, named["rank"], named["ranks"], named["save"]))
        if named["ranks"] > 1 and len(meta["parts"]) > 1:
            raise ValueError("it is of %d ranks, which share out one model, and has %d"
                             % (named["ranks"], len(meta["parts"])))
        # The manifest's arrays go before a part's.
        ratings = _checked(meta, dict(own, **arrays), slice(named["rank"], None, named["ranks"]))
        return {name: own[name] for name in _own_arrays(meta)}, ratings


def _own_arrays(meta):
    """Names of the arrays that are a rank's own columns, and which axis these are."""
    return {"%s/%s" % (part["rows"], name): axis for part in meta["parts"] for name, axis in part["parameters"].items()
            if axis is not None}


def _check_format(path, meta):
    version = meta.get("format") if isinstance(meta, dict) else None
    with storage.damage_named(path):
        if not is_integer(version):
            raise ValueError("its format is %r" % (version,))
    if version > FORMAT:
        raise ValueError("%s has format %r of a recommender; this sparse_ae reads formats up to %d: upgrade sparse_ae"
                         % (path, version, FORMAT))
    if version < FORMAT:
        raise ValueError("%s has format %r of a recommender, of before the first release; this sparse_ae reads format "
                         "%d: fit and save it anew" % (path, version, FORMAT))


def _checked(meta, arrays, own=slice(None)):
    """The ratings, once all is known to go together; `own` are the columns that are there, of ratings and models."""
    _check_names("array", _ARRAYS, arrays)
    _check_names("entry", _META, meta)
    ids = [check_ids(arrays[name], name) for name in ("users", "items")]
    sizes = dict(zip(("users", "items"), map(len, ids)))
    matrix = _checked_ratings(arrays, meta["ratings_rows"], sizes, own)
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
    if "blend" in meta:
        _check_blend(meta["blend"], meta["parts"], arrays, sizes)
    _check_parts(meta["parts"], arrays, {name: len(range(n)[own]) for name, n in sizes.items()},
                 meta["biases"] is not None, "blend" in meta)
    low, high = check_rating_scale(meta["rating_scale"])
    least, most = matrix.data.min(initial=high), matrix.data.max(initial=low)  # of no ratings none is off the scale
    if least < np.float32(low) or most > np.float32(high):
        raise ValueError("its ratings are from %g to %g, on a scale from %g to %g" % (least, most, low, high))
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


def _checked_ratings(arrays, rows, sizes, own):
    n_rows, n_columns = Side(rows).rows_columns(sizes["users"], sizes["items"])
    shape = n_rows, len(range(n_columns)[own])
    parts = [arrays[name] for name in ("data", "indices", "indptr")]
    if any(part.ndim != 1 for part in parts) or len(parts[2]) != shape[0] + 1:
        raise ValueError("it has %d users and %d items, and ratings of %s rows, which are %s"
                         % (sizes["users"], sizes["items"], parts[2].shape, rows))
    dtypes = [part.dtype.name for part in parts]
    if dtypes not in (["float32", "int32", "int32"], ["float32", "int64", "int64"]):
        raise ValueError("its ratings are of the dtypes %s" % ", ".join(dtypes))
    if own != slice(None) and not len(parts[0]) and not len(parts[1]) and not parts[2].any():
        return canonical_csr(*parts, shape)  # of these columns nobody may have rated any
    matrix = sp.csr_matrix(tuple(parts), shape=shape)
    if check_ratings(matrix) is not matrix:
        raise ValueError("its ratings aren't sorted by row and column")
    return matrix


def _check_blend(blend, parts, arrays, sizes):
    """The members of a blend of lists."""
    sides = [part.get("rows") for part in parts]
    _check_names("entry of a blend", ("members", "weights", "objective"), blend)
    members, weights = blend["members"], blend["weights"]
    if not isinstance(members, list) or not members or not isinstance(weights, dict) or not all(
            is_number(each) for each in weights.values()):
        raise ValueError("the members of its blend are %r, with the weights %r" % (members, weights))
    for each in members:
        _check_names("entry of a member", ("name", "weight"), each)
        if not (is_number(each["weight"]) and 0 < each["weight"] <= MOST) or each["name"] not in weights:
            raise ValueError("a member of its blend is %r" % (each,))
        if each["name"] in CLOSED:
            _check_names("entry of a closed form", ("model", "values", "l2"), each)
            values = each["values"]
            if len(values) != 3 or not all(is_number(value) for value in values) or values[1] <= 0 or not (
                    each["l2"] is None or is_number(each["l2"])):
                raise ValueError("the settings of a closed form are %r" % (each,))
            check_model(model_from(each["model"], arrays_of(each["name"], arrays)), sizes["items"])
        elif each["name"] not in sides:
            raise ValueError("a member of its blend is %r" % (each["name"],))
    if len({each["name"] for each in members}) < len(members):
        raise ValueError("two members of its blend have the same name")


def _check_parts(parts, arrays, sizes, with_biases, blended):
    """The models: one, or beside biases one of each side; of a blend any number."""
    least, most = (0, 2) if blended else (1, 1 + with_biases)
    if not isinstance(parts, list) or not least <= len(parts) <= most:
        raise ValueError("its models are %r" % (parts,))
    for part in parts:
        _check_part(part, arrays, sizes)
    if len({part["rows"] for part in parts}) < len(parts):
        raise ValueError("its models have the same rows")


def _check_part(part, arrays, sizes):
    _check_names("entry of a model", _PART, part)
    side, axes = Side(part["rows"]), part["parameters"]
    if not is_number(part["weight"]) or not 0 <= part["weight"] <= MOST:
        raise ValueError("a model has the weight %r" % (part["weight"],))
    for name in ("model", "objective", "choice", "parameters"):
        if not isinstance(part[name], dict) or not part[name]:
            raise ValueError("a model's %s is %r" % (name, part[name]))
    _check_names("array", ["%s/%s" % (side, name) for name in axes], arrays)
    n, dtype = side.rows_columns(sizes["users"], sizes["items"])[1], part["model"].get("dtype")
    for name, axis in axes.items():
        array = arrays["%s/%s" % (side, name)]
        if array.dtype.name not in ("float32", "float64") or dtype not in (None, array.dtype.name):
            raise ValueError("%s is of dtype %s where the model is of %r" % (name, array.dtype, dtype))
        if axis is not None and (axis not in (0, 1) or axis >= array.ndim or array.shape[axis] != n):
            raise ValueError("%s is of shape %r; the model has %d columns" % (name, array.shape, n))
        if not (np.abs(array) <= MOST).all():
            raise ValueError("%s holds NaN, infinite or far too large values" % name)
