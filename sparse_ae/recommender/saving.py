"""A `Fitted` as names, numbers and arrays, for files and copies; and a `Fitted` made of them again."""
import functools
import os
import uuid

import numpy as np
import scipy.sparse as sp

from sparse_ae import networks
from sparse_ae.baselines.biases import Biases, Slopes
from sparse_ae.checks import MOST, are_on_scale, check_dtype, check_rating_scale, is_integer, is_number
from sparse_ae.contract import describe_model, model_of
from sparse_ae.data.ids import check_ids
from sparse_ae.data.ratings import canonical_csr, check_ratings
from sparse_ae.data.side import Side
from sparse_ae.files import storage
from sparse_ae.files.parts import Parts
from sparse_ae.ops.nonlinearities import lasagnes_name
from sparse_ae.ranks.ranks import ALONE, joined, joined_csr
from sparse_ae.recommender.defaults import Choice
from sparse_ae.recommender.fitted import fitted_by
from sparse_ae.recommender.members import CLOSED, AutoencoderMember, ClosedForm
from sparse_ae.recommender.ratings import FitResult
from sparse_ae.recommender.settings import Shallow, from_json, to_json
from sparse_ae.recommender.sides import OrientedRatings, scorer_of, shape_of
from sparse_ae.scoring.list_blend import ListBlend
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.shared import blend
from sparse_ae.training.checkpoint import describe
from sparse_ae.training.objectives import Objective, objective_of
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.targets import unit_of_scores

# The functions that a file may name.
_NETWORKS = [name for name in networks.__all__ if name != "Network"]


def state_of(fitted):
    """Take a `Fitted` apart: what is no array, arrays that all ranks have, and Parameters of a rank's own columns."""
    scorer = fitted.scorer
    parts, arrays, own = [], {"users": fitted.users, "items": fitted.items}, {}
    for each in scorer.scorers:
        for parameter in each.model.parameters:
            name = "%s/%s" % (each.rows, parameter.name)
            if parameter.columns_axis is None:
                arrays[name] = parameter.variable.get_value(borrow=True)
            else:
                own[name] = parameter
        parts.append({"rows": each.rows, "model": describe_model(each.model),
                      "objective": _described_objective(fitted.objective),
                      "parameters": {p.name: p.columns_axis for p in each.model.parameters},
                      "weight": fitted.weights[each.rows], "choice": dict(fitted.choices[each.rows]._asdict())})
    meta = {"parts": parts, "rating_scale": fitted.rating_scale, "unknown": fitted.unknown, "biases": None,
            "history": fitted.history, "best_epoch": fitted.best_epoch, "ratings_rows": scorer.rows,
            "validation_rmse": fitted.validation_rmse, "validation_lists": fitted.validation_lists,
            "missing_rating": fitted.missing_rating, "counts": fitted.is_counts}
    if isinstance(scorer, ListBlend):
        meta["blend"], closed = _blend_of(fitted)
        arrays.update(closed)
    if fitted.biases is not None:
        meta["biases"] = {"mean": fitted.biases.mean, "shrinkage": fitted.biases.shrinkage}
        arrays.update(user_biases=fitted.biases.users, item_biases=fitted.biases.items)
        slopes = fitted.biases.slopes
        if slopes is not None:
            meta["biases"]["slopes"] = {"unknown": slopes.unknown.tolist(), "ridge": list(slopes.ridge)}
            arrays.update(user_slopes=slopes.users, item_slopes=slopes.items)
    return meta, arrays, own


def _slopes_from(entry, arrays):
    """The `Slopes` of a file; None in those of 1.0.0."""
    slopes = entry.get("slopes")
    if slopes is None:
        return None
    return Slopes(arrays["user_slopes"], arrays["item_slopes"], np.array(slopes["unknown"], np.float64),
                  tuple(slopes["ridge"]))


def _check_slopes(slopes, arrays, sizes):
    _check_names("entry of slopes", ("unknown", "ridge"), slopes)
    _check_names("array", ("user_slopes", "item_slopes"), arrays)
    for name, size in (("user_slopes", sizes["users"]), ("item_slopes", sizes["items"])):
        if arrays[name].shape != (size, 2) or arrays[name].dtype != np.float64 or not (
                np.abs(arrays[name]) <= MOST).all():
            raise ValueError("%s aren't %d pairs of finite float64 numbers" % (name, size))
    for name, numbers in slopes.items():
        if not isinstance(numbers, list) or len(numbers) != 2 or not all(
                is_number(each) and abs(each) <= MOST for each in numbers):
            raise ValueError("%s of its slopes is %r" % (name, numbers))


def _blend_of(fitted):
    """Take a `ListBlend` apart: its description, and the arrays of closed forms."""
    members, arrays = [], {}
    for each, weight in zip(fitted.scorer.members, fitted.scorer.weights):
        entry = {"name": each.name, "weight": weight}
        if isinstance(each, ClosedForm):
            state, of_model = each.state()
            arrays.update({"%s/%s" % (each.name, name): array for name, array in of_model.items()})
            entry.update(state)
        members.append(entry)
    choices = {side: dict(choice._asdict()) for side, choice in fitted.choices.items()}
    return {"members": members, "weights": dict(fitted.weights), "choices": choices,
            "objective": _described_objective(fitted.objective)}, arrays


def _described_objective(objective):
    """Describe an objective; ValueError for one that its description doesn't make again."""
    description = objective.describe()
    try:
        again = objective_of(description)
    except (TypeError, ValueError) as error:
        raise ValueError("objective %s can't be saved, since no file could give it back: %s; store each argument of "
                         "its __init__ under the argument's name, or override describe"
                         % (type(objective).__name__, error)) from error
    if again != objective:
        raise ValueError("objective %s can't be saved: made again from describe() it is %r, not %r; store each "
                         "argument of its __init__ under the argument's name, or override describe"
                         % (type(objective).__name__, again, objective))
    return description


def _blend_from(entry, arrays, ratings, scorers, missing_rating):
    """Put a `ListBlend` together, and its objective."""
    members, objective, of_side = [], objective_of(entry["objective"]), {scorer.rows: scorer for scorer in scorers}
    for each in entry["members"]:
        if each["name"] in CLOSED:
            members.append(CLOSED[each["name"]].from_state(each, arrays_of(each["name"], arrays), ratings))
        else:
            scorer = of_side[each["name"]]
            members.append(AutoencoderMember(scorer, objective, missing_rating))
    return ListBlend(members, [each["weight"] for each in entry["members"]], ratings), objective


def arrays_of(name, arrays):
    """Pick one model's arrays out of all, where they are called "name/W": by their own names."""
    return {each[len(name) + 1:]: array for each, array in arrays.items() if each.startswith(name + "/")}


def whole(fitted, arrays, own):
    """Join the arrays and the ratings of all columns: a pair; None in their place on all ranks but the first."""
    ranks = fitted.ranks
    own = {name: ranks.on_first_of(joined, parameter.variable.get_value(borrow=True), parameter.columns_axis)
           for name, parameter in own.items()}
    return dict(arrays, **own), ranks.on_first_of(joined_csr, fitted.ratings)


def fitted_of(meta, arrays, ratings, ranks=ALONE):
    """Put a `Fitted` together; KeyError, TypeError or ValueError for what no `state_of` gave."""
    biases, scale, missing_rating = None, meta["rating_scale"], meta["missing_rating"]
    if meta["biases"] is not None:
        biases = Biases(meta["biases"]["mean"], arrays["user_biases"], arrays["item_biases"],
                        tuple(meta["biases"]["shrinkage"]), _slopes_from(meta["biases"], arrays))
    unit, scorers, choices = None, [], {}
    ratings = OrientedRatings(ratings, meta["ratings_rows"], ranks, in_parts=True)
    if missing_rating is not None:
        unit = unit_of_scores(ratings.by(ratings.rows), missing_rating, ratings.sharing)
    objectives = [objective_of(part["objective"]) for part in meta["parts"]]
    for part in meta["parts"]:
        side = part["rows"]
        model = model_of(part["model"], arrays_of(side, arrays), ranks)
        with ranks.rank_0_first():
            Outputs(model).compile_for_all()
        baseline = biases if "blend" not in meta else Biases(missing_rating, *map(np.zeros, shape_of(ratings)))
        scorers.append(scorer_of(model, ratings, side, baseline, scale, unit))
        choices[side] = Choice(**part["choice"])
    weights = None
    if "blend" in meta:
        scorer, objective = _blend_from(meta["blend"], arrays, ratings.by("users"), scorers, missing_rating)
        weights = meta["blend"]["weights"]
        choices.update({side: Choice(**choice) for side, choice in meta["blend"].get("choices", {}).items()})
    else:
        objective = objectives[0]
        scorer = scorers[0] if biases is None else blend(scorers, [part["weight"] for part in meta["parts"]])
    result = FitResult(scorer, meta["history"], meta["best_epoch"], choices, objective, biases,
                       validation_rmse=meta["validation_rmse"], validation_lists=meta["validation_lists"],
                       weights=weights)
    return fitted_by(arrays["users"], arrays["items"], result, rating_scale=scale, unknown=meta["unknown"],
                     missing_rating=missing_rating, is_counts=meta["counts"])


def named(settings, **more):
    """Return a dict of settings as JSON has them, and of what it has already."""
    return dict({name: _named(name, value) for name, value in settings.items()}, **more)


def _named(name, value):
    if isinstance(value, Shallow):
        return {"Shallow": named(value._asdict())}
    if isinstance(value, Objective):
        return {"Objective": named(_described_objective(value))}
    if name == "choices" and value is not None:
        return {"Choices": {side: named(choice._asdict()) for side, choice in value.items()}}
    if name == "network" and callable(value):
        return _named_network(value)
    return to_json(_name_of(name, value))


def _named_network(function):
    """A function of `sparse_ae.networks`, alone or with settings that JSON has, as a dict; another one as a name."""
    made_by, settings = function, {}
    if isinstance(function, functools.partial) and not function.args:
        made_by, settings = function.func, function.keywords
    name = getattr(made_by, "__name__", "")
    if name in _NETWORKS and getattr(networks, name) is made_by:
        return {"Network": name, "settings": named(settings)}
    return describe(function)  # no address of memory: the same seed gives the same file


def named_meta(meta, settings):
    """Return what `state_of` gives, and settings, as JSON has them; TypeError for a model's own functions."""
    parts = [dict(part, model=_described("model", part["model"]), objective=named(part["objective"]),
                  choice=named(part["choice"])) for part in meta["parts"]]
    return dict(_with_choices(meta, named), parts=parts, settings=named(settings))


def unnamed_meta(meta):
    """Return what `named_meta` was given, but for the settings, and functions that a file only has the names of."""
    parts = [dict(part, choice=unnamed(part["choice"])) for part in meta["parts"]]
    return dict(_with_choices(meta, unnamed), parts=parts)


def _with_choices(meta, changed):
    """The same with the choices of a blend changed; files of 1.0.0 have those of the members with a weight alone."""
    choices = meta.get("blend", {}).get("choices")
    if choices is None:
        return meta
    return dict(meta, blend=dict(meta["blend"], choices={side: changed(each) for side, each in choices.items()}))


def _described(name, value):
    """As `_named`, of a description: there are dicts and lists in it."""
    if isinstance(value, dict):
        return {inner: _described(inner, each) for inner, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(name, each) for each in value]
    return _named(name, value)


def unnamed(settings):
    """Return the settings that `named` was given, but for functions of one's own, which remain names."""
    return {name: _unnamed(value) for name, value in settings.items()}


def _unnamed(value):
    if isinstance(value, dict) and "Shallow" in value:
        return Shallow(**unnamed(value["Shallow"]))
    if isinstance(value, dict) and "Objective" in value:
        return objective_of(unnamed(value["Objective"]))
    if isinstance(value, dict) and "Choices" in value:
        return {side: Choice(**unnamed(choice)) for side, choice in value["Choices"].items()}
    if isinstance(value, dict) and "Network" in value:
        if value["Network"] not in _NETWORKS:
            raise ValueError("network is %r; expected one of %s" % (value["Network"], ", ".join(_NETWORKS)))
        made_by, settings = getattr(networks, value["Network"]), unnamed(value["settings"])
        return functools.partial(made_by, **settings) if settings else made_by
    return from_json(value)


def _name_of(setting, value):
    """Return the name by which a function is known where the setting is looked up; all else as it is."""
    if setting == "dtype":  # np.float32 is a class, and does for its name
        return check_dtype(value)
    if not callable(value):
        return value
    if setting == "update":
        return next((name for name, function in UPDATES.items() if function is value), describe(value))
    if setting == "learning_rate":
        return describe(value)
    if lasagnes_name(value) is not None:
        return lasagnes_name(value)
    raise TypeError("%s is %r, which no file can hold without code to run when it is read; expected a function of "
                    "lasagne.nonlinearities, or its name" % (setting, value))


# Goes up when an older version can't read the files any more; and the oldest that is read, of 1.0.0.
FORMAT, _OLDEST = 5, 4

# The kind of the files of a folder that have a rank's own columns.
_OF_A_RANK = "part of a recommender"

_ARRAYS = ("users", "items", "data", "indices", "indptr")
_META = ("settings", "parts", "ratings_rows", "rating_scale", "unknown", "biases", "history", "best_epoch",
         "validation_rmse", "validation_lists", "missing_rating", "counts")
_PART = ("rows", "model", "objective", "parameters", "weight", "choice")


def write(path, meta, arrays, ratings):
    """Write a recommender's file over nothing but one of the library's; see `storage` for the errors."""
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
    """Write a recommender's folder, or leave the one of before as it is; for all ranks together."""
    ranks.on_first(_make_folder, folder)
    save = ranks.gathered(uuid.uuid4().hex)[0]
    own = dict(own, data=ratings.data, indices=ratings.indices, indptr=ratings.indptr)
    _parts_in(folder).write(save, (dict(meta, format=FORMAT), arrays),
                            ({"save": save, "rank": ranks.rank, "ranks": ranks.size}, own), ranks)


def read(path, ranks=ALONE):
    """Read a recommender's file, or its folder: (meta, arrays, CSR); a ValueError names what is damaged."""
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
    if version < _OLDEST:
        raise ValueError("%s has format %r of a recommender, of before the first release; this sparse_ae reads formats "
                         "from %d: fit and save it anew" % (path, version, _OLDEST))


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
        if meta["biases"].get("slopes") is not None:
            _check_slopes(meta["biases"]["slopes"], arrays, sizes)
    if "blend" in meta:
        if meta["ratings_rows"] != "users":
            raise ValueError("it is a blend whose ratings have %s as rows" % meta["ratings_rows"])
        _check_blend(meta["blend"], meta["parts"], arrays, matrix)
    _check_parts(meta["parts"], arrays, {name: len(range(n)[own]) for name, n in sizes.items()},
                 meta["biases"] is not None, "blend" in meta)
    low, high = check_rating_scale(meta["rating_scale"])
    if not are_on_scale(matrix.data, (low, high)).all():
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


def _check_blend(blend, parts, arrays, matrix):
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
            CLOSED[each["name"]].from_state(each, arrays_of(each["name"], arrays), matrix)
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
