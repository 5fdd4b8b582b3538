"""A `FitResult` as names, numbers and arrays for files and copies, and back."""
import functools
import numbers
import os

import numpy as np
import scipy.sparse as sp

from sparse_ae import networks
from sparse_ae.baselines.biases import Biases, Slopes
from sparse_ae.checks import MOST, are_on_scale, check_dtype, check_rating_scale, generator_from, is_integer, is_number
from sparse_ae.contract import describe_model, model_of
from sparse_ae.data.attributes import Attributes
from sparse_ae.data.entries import check_compressed
from sparse_ae.data.ids import check_ids
from sparse_ae.data.ratings import check_ratings
from sparse_ae.data.side import Side
from sparse_ae.files import storage
from sparse_ae.ops.nonlinearities import lasagnes_name
from sparse_ae.recommender.defaults import Choice
from sparse_ae.recommender.fit_data import targets_of
from sparse_ae.recommender.fit_result import FitResult, Fitted
from sparse_ae.recommender.members import CLOSED, AutoencoderMember, ClosedForm
from sparse_ae.recommender.settings import Shallow
from sparse_ae.scoring.features import NEW_SHARE
from sparse_ae.scoring.ranking_ensemble import STRATA, RankingEnsemble
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import Scorer, WeightedScorer
from sparse_ae.training.checkpoint import describe
from sparse_ae.training.objectives import Objective, objective_of
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.targets import unit_of_scores

# The functions that a file may name, and the makers of values that aren't JSON.
_NETWORKS = [name for name in networks.__all__ if name != "Network"]
_KINDS = {"Shallow": lambda settings: Shallow(**settings), "Choice": lambda settings: Choice(**settings),
          "Objective": objective_of, "RandomState": lambda state: generator_from(*state)}


def state_of(fitted):
    """A `FitResult` as values other than arrays, and arrays by name."""
    biases, objective = fitted.biases_of_fit, _described_objective(fitted.objective)
    scorer, parts, arrays = fitted.scorer_of_fit, [], dict(zip(("users", "items"), fitted.ids_of_fit))
    for each in scorer.scorers:
        arrays.update({"%s/%s" % (each.rows, parameter.name): parameter.variable.get_value(borrow=True)
                       for parameter in each.model.parameters})
        parts.append({"rows": each.rows, "model": describe_model(each.model), "objective": objective,
                      "parameters": {p.name: p.columns_axis for p in each.model.parameters},
                      "weight": fitted.weights[each.rows], "choice": fitted.choices[each.rows]._asdict()})
    meta = {"parts": parts, "rating_scale": fitted.rating_scale, "unknown": fitted.unknown, "biases": None,
            "history": fitted.history, "best_epoch": fitted.best_epoch, "ratings_rows": fitted.rating_matrix.rows,
            "validation_rmse": fitted.validation_rmse, "validation_lists": fitted.validation_lists,
            "missing_rating": fitted.missing_rating, "interrupted": fitted.interrupted, "fit_settings": fitted.settings,
            "span": fitted.span}
    if fitted.features:
        meta["new_share"] = fitted.new_share
    for side, attributes in fitted.features.items():
        meta.setdefault("features", {})[side] = {"names": list(attributes.names), "unread": list(attributes.unread)}
        arrays.update({"features/%s/%s" % (side, name): array for name, array in
                       (("ids", attributes.ids), ("centre", attributes.centre), ("scale", attributes.scale),
                        ("data", attributes.matrix.data), ("indices", attributes.matrix.indices),
                        ("indptr", attributes.matrix.indptr))})
    if isinstance(scorer, RankingEnsemble):
        members = []
        for each, weight in zip(scorer.members, scorer.weights):
            state, of_model = each.state() if isinstance(each, ClosedForm) else ({}, {})
            arrays.update({"%s/%s" % (each.name, name): array for name, array in of_model.items()})
            members.append(dict(state, name=each.name, weight=weight))
        meta["blend"] = {"members": members, "weights": fitted.weights, "objective": objective,
                         "chosen": {side: choice._asdict() for side, choice in fitted.choices.items()}}
    if biases is not None:
        meta["biases"] = {"mean": biases.mean, "shrinkage": biases.shrinkage,
                          "slopes": biases.slopes is not None and biases.slopes.weight}
        arrays.update(user_biases=biases.users, item_biases=biases.items)
        if biases.slopes is not None:
            arrays.update({"slopes/" + name: np.asarray(each) for name, each in biases.slopes._asdict().items()
                           if name != "weight"})
    return meta, arrays


def _described_objective(objective):
    """Describe an objective; ValueError if it can't be rebuilt from the description."""
    description = objective.describe()
    try:
        again = objective_of(description)
    except (TypeError, ValueError) as error:
        again = error
    if again != objective:
        raise ValueError("objective %s can't be saved, since describe() gives %r instead of %r; store each argument of "
                         "its __init__ under the argument's name, or override describe"
                         % (type(objective).__name__, again, objective))
    return description


def fitted_of(meta, arrays, matrix):
    """Rebuild a `FitResult` from `state_of`'s result, perhaps by `read`, and CSR ratings; errors for anything else."""
    ids, scale = (arrays["users"], arrays["items"]), check_rating_scale(meta["rating_scale"])
    _require(are_on_scale(matrix.data, scale).all(), "its ratings are from %g to %g, on a scale from %g to %g",
             matrix.data.min(), matrix.data.max(), *scale)
    ratings, parts, blend = RatingMatrix(matrix, meta["ratings_rows"]), meta["parts"], meta.get("blend")
    missing_rating, weights = meta["missing_rating"], None
    choices = {part["rows"]: Choice(**from_json(part["choice"])) for part in parts}
    objective = [objective_of(each["objective"]) for each in parts + [blend] * (blend is not None)][-1]
    biases = None if meta["biases"] is None else _biases_of(meta["biases"], arrays, ratings.shape)
    baseline = biases if blend is None else Biases(missing_rating, *map(np.zeros, ratings.shape))
    unit = None if missing_rating is None else unit_of_scores(matrix, missing_rating)
    scorers = [Scorer(_model_of(part, arrays, ratings.shape), ratings, part["rows"],
                      targets_of(baseline, part["rows"], scale, unit)) for part in parts]
    if blend is None:
        scorer = WeightedScorer(scorers, [part["weight"] for part in parts])
    else:
        scorer = _ensemble_of(blend, {each.rows: AutoencoderMember(each, objective, missing_rating)
                                      for each in scorers}, arrays, ratings)
        weights, chosen = blend["weights"], blend.get("chosen", {})
        choices = {side: Choice(**from_json(each)) for side, each in chosen.items()} or choices
    features = {Side(side): _features_of(each, side, arrays) for side, each in meta.get("features", {}).items()}
    return FitResult(Fitted(
        ids, scale, meta["unknown"], missing_rating, scorer, meta["history"], meta["best_epoch"], choices, objective,
        biases, meta["validation_rmse"], meta["validation_lists"], weights, meta.get("interrupted", False),
        from_json(meta.get("fit_settings")), features, meta.get("new_share", NEW_SHARE), from_json(meta.get("span"))))


def _check_entries(meta):
    """Check the plain entries."""
    parts, history, unknown, span = meta["parts"], meta["history"], meta["unknown"], from_json(meta.get("span"))
    least, most = (1, 1 if meta["biases"] is None else 2) if meta.get("blend") is None else (0, 2)
    sound = {"parts": isinstance(parts, list) and least <= len(parts) <= most,
             "unknown": unknown in ("mean", "error") or isinstance(unknown, float) and is_number(unknown),
             "interrupted": isinstance(meta.get("interrupted", False), bool),
             "history": isinstance(history, list) and all(isinstance(record, dict) for record in history),
             "best_epoch": is_integer(meta["best_epoch"]) and 0 <= meta["best_epoch"] <= len(history),
             "missing_rating": meta["missing_rating"] is None or _is_bounded(meta["missing_rating"]),
             "new_share": is_number(meta.get("new_share", NEW_SHARE)),
             "span": span is None or all(map(is_number, span)) and len(span) == 2 and span[0] <= span[1]}
    for name in ("validation_rmse", "validation_lists"):
        sound[name] = meta[name] is None or all(map(is_number, meta[name].values()))
    for name, is_sound in sound.items():
        _require(is_sound, "its %s is %r", name, meta.get(name))
    _require(len({part["rows"] for part in parts}) == len(parts), "its models have the same rows")


def _biases_of(entry, arrays, shape):
    """The checked `Biases` of so many users and items."""
    def array(name, *shape):
        found = arrays[name]
        _require(found.shape == shape and found.dtype == np.float64 and (np.abs(found) <= MOST).all(),
                 "%s aren't finite float64 numbers of shape %r", name, shape)
        return found

    weight, slopes = entry.get("slopes"), None
    _require(_is_bounded(entry["mean"]) and len(entry["shrinkage"]) == 2
             and all(is_number(each) and each >= 0 for each in entry["shrinkage"])
             and (not weight or isinstance(weight, (bool, float)) and 0 < weight <= 1), "its biases are %r", entry)
    if weight:  # True in older files: 1
        slopes = Slopes(array("slopes/users", shape[0], 2), array("slopes/items", shape[1], 2),
                        array("slopes/unknown", 2), tuple(array("slopes/ridge", 2).tolist()), float(weight))
    return Biases(entry["mean"], array("user_biases", shape[0]), array("item_biases", shape[1]),
                  tuple(entry["shrinkage"]), slopes)


def _model_of(part, arrays, shape):
    """The checked model of a side, for so many users and items."""
    _require(_is_bounded(part["weight"]) and part["weight"] >= 0, "a model has the weight %r", part["weight"])
    n, dtype = Side(part["rows"]).rows_columns(*shape)[1], part["model"].get("dtype")
    found = arrays_of(part["rows"], arrays)
    _require(set(part["parameters"]) >= set(found), "the parameters of a model are %s", ", ".join(part["parameters"]))
    for name, axis in part["parameters"].items():
        array = arrays["%s/%s" % (part["rows"], name)]
        _require(array.dtype.name in ("float32", "float64") and dtype in (None, array.dtype.name),
                 "%s is of dtype %s where the model is of %r", name, array.dtype, dtype)
        _require(axis is None or axis in (0, 1) and axis < array.ndim and array.shape[axis] == n,
                 "%s is of shape %r; the model has %d columns", name, array.shape, n)
    return model_of(part["model"], found)


def _ensemble_of(blend, autoencoders, arrays, ratings):
    """The checked `RankingEnsemble` of closed forms and of autoencoders by name."""
    members, weights, found = blend["members"], blend["weights"], {}
    _require(ratings.rows == "users", "it is a blend whose ratings have %s as rows", ratings.rows)
    _require(isinstance(members, list) and members and isinstance(weights, dict)
             and all(map(is_number, weights.values())), "the members of its blend are %r, with the weights %r", members,
             weights)
    for each in members:
        name = each["name"]
        of_strata = np.ravel(each["weight"]).tolist()  # before 2.0 one for all
        _require(len(of_strata) in (1, len(STRATA)) and all(_is_bounded(weight) and weight >= 0 for weight in of_strata)
                 and any(of_strata) and name in weights and name not in found
                 and (name in autoencoders or name in CLOSED), "a member of its blend is %r", each)
        found[name] = autoencoders[name] if name in autoencoders else CLOSED[name].from_state(
            each, arrays_of(name, arrays), ratings.matrix)
    return RankingEnsemble(found.values(), [np.ravel(each["weight"]) for each in members], ratings.matrix)


def _features_of(entry, side, arrays):
    """The `Attributes` of a file; KeyError, TypeError or ValueError for anything else."""
    parts, names, unread = arrays_of("features/" + side, arrays), entry["names"], entry.get("unread", [])
    ids, shape = check_ids(parts["ids"], side), (len(parts["ids"]), len(names))
    _require(all(isinstance(name, str) for name in names + unread), "its attributes are %r", entry)
    for name in ("centre", "scale"):
        _require(parts[name].shape == (len(names),) and (np.abs(parts[name]) <= MOST).all(), "its %s isn't sound", name)
    matrix = sp.csr_matrix(tuple(parts[name] for name in ("data", "indices", "indptr")), shape)
    check_compressed(matrix, shape)
    _require((np.abs(matrix.data) <= MOST).all(), "its attributes aren't finite")
    return Attributes(matrix, ids, tuple(names), parts["centre"], parts["scale"], tuple(unread))


def arrays_of(name, arrays):
    """The arrays of one model, such as "items/W", by their own names."""
    return {each[len(name) + 1:]: array for each, array in arrays.items() if each.startswith(name + "/")}


def as_json(value, name=""):
    """A value of `state_of`, or the setting `name`, as JSON; functions are names or descriptions."""
    if isinstance(value, dict):
        return {key: as_json(each, key) for key, each in value.items()}
    if isinstance(value, (Shallow, Choice)):
        return {type(value).__name__: as_json(value._asdict())}
    if isinstance(value, Objective):
        return {"Objective": as_json(_described_objective(value))}
    if isinstance(value, np.random.RandomState):
        kind, keys, position, has_gauss, gauss = value.get_state()
        return {"RandomState": [kind, keys.tolist(), position, has_gauss, gauss]}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [as_json(each, name) for each in value]
    if name == "dtype":  # perhaps np.float32, a class
        return check_dtype(value)
    if callable(value):
        return _named_function(value, name)
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, str)):
        return value
    for kind, made in ((numbers.Integral, int), (numbers.Real, float)):  # a Fraction is Real
        if isinstance(value, kind):
            return made(value)
    raise TypeError("%r can't be saved as a setting; expected a number, a string, None, or a tuple of them"
                    % (value,))


def _named_function(function, setting):
    """The name by which a setting finds a function, else a description without an address."""
    if setting == "network":
        made_by, settings = function, {}
        if isinstance(function, functools.partial) and not function.args:
            made_by, settings = function.func, function.keywords
        name = getattr(made_by, "__name__", "")
        if name in _NETWORKS and getattr(networks, name) is made_by:
            return {"Network": name, "settings": as_json(settings)}
    if setting == "update":
        return next((name for name, each in UPDATES.items() if each is function), describe(function))
    if setting in ("network", "learning_rate"):
        return describe(function)
    if lasagnes_name(function) is None:
        raise TypeError("%s is %r, which can't be saved without code; expected a function of lasagne.nonlinearities, "
                        "or its name" % (setting, function))
    return lasagnes_name(function)


def from_json(value, name=""):
    """The value that `as_json` was given; lists are tuples, and custom functions remain descriptions."""
    if isinstance(value, list):
        return tuple(map(from_json, value))
    if not isinstance(value, dict):
        return value
    found = {key: from_json(each, key) for key, each in value.items()}
    for kind, made in _KINDS.items():
        if kind in found:
            return made(found[kind])
    if "Network" in found:
        if name != "network" or found["Network"] not in _NETWORKS:
            raise ValueError("%s is the network %r; expected one of %s, as network"
                             % (name or "a setting", found["Network"], ", ".join(_NETWORKS)))
        made_by, settings = getattr(networks, found["Network"]), found["settings"]
        return functools.partial(made_by, **settings) if settings else made_by
    return found


# The format of files; version 1.0.0 wrote 4. Closed forms of earlier versions.
_FORMAT, _GONE = 5, ("neighbours", "wide")


def write(path, fitted, settings):
    """Write a recommender's file; only files of this library are replaced. See `storage` for the errors."""
    (meta, arrays), ratings = state_of(fitted), fitted.rating_matrix.matrix
    meta = as_json(dict(meta, settings=settings, format=_FORMAT))
    storage.check_replaceable(path)
    arrays.update(data=ratings.data, indices=ratings.indices, indptr=ratings.indptr)
    storage.write(path, "recommender", meta, arrays)


def read(path):
    """Read a recommender's file: the result of `state_of`, and the ratings. `fitted_of` checks the rest."""
    if os.path.isdir(path):
        raise IsADirectoryError("%s is a folder; expected a file. If sparse_ae 1.0 wrote it in parts, make it one file "
                                "with that version: Recommender.load(%r).save('model.npz')" % (path, path))
    meta, arrays = storage.read(path, "recommender")
    version = meta.get("format") if isinstance(meta, dict) else None
    if is_integer(version) and version > _FORMAT:
        raise ValueError("%s has format %r of a recommender; this sparse_ae reads formats up to %d: upgrade sparse_ae"
                         % (path, version, _FORMAT))
    with storage.damage_named(path):
        _require(is_integer(version), "its format is %r", version)
        gone = [each["name"] for each in (meta.get("blend") or {"members": ()})["members"] if each["name"] in _GONE]
    if gone:
        raise ValueError("%s ranks by the closed form %r, which this sparse_ae doesn't have; fit again, or answer with "
                         "the sparse_ae that wrote it" % (path, gone[0]))
    with storage.damage_named(path):
        n_users, n_items = (len(check_ids(arrays[name], name)) for name in ("users", "items"))
        shape, parts = Side(meta["ratings_rows"]).rows_columns(n_users, n_items), [
            arrays[name] for name in ("data", "indices", "indptr")]
        _require(all(part.ndim == 1 for part in parts) and len(parts[2]) == shape[0] + 1,
                 "it has %d users and %d items, and ratings of %s rows, which are %s", n_users, n_items,
                 parts[2].shape, meta["ratings_rows"])
        dtypes = [part.dtype.name for part in parts]
        _require(dtypes in (["float32", "int32", "int32"], ["float32", "int64", "int64"]),
                 "its ratings are of the dtypes %s", ", ".join(dtypes))
        matrix = sp.csr_matrix(tuple(parts), shape=shape)
        _require(check_ratings(matrix) is matrix, "its ratings aren't sorted by row and column")
        _check_entries(meta)
    return meta, arrays, matrix


def _require(condition, message, *found):
    if not condition:
        raise ValueError(message % found)


def _is_bounded(value):
    return is_number(value) and abs(value) <= MOST
