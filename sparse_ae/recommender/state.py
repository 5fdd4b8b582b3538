"""A `Fitted` as names, numbers and arrays, for files and copies; and a `Fitted` made of them again."""
import functools

import numpy as np

from sparse_ae import networks
from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import check_dtype
from sparse_ae.ops.nonlinearities import lasagnes_name
from sparse_ae.ranks.ranks import ALONE, joined, joined_csr
from sparse_ae.recommender.closed import CLOSED, ClosedMember, Values, arrays_of, model_arrays, model_from
from sparse_ae.recommender.defaults import Choice
from sparse_ae.recommender.estimator import from_json, to_json
from sparse_ae.recommender.fitted import fitted_by
from sparse_ae.recommender.fitting import FitResult
from sparse_ae.recommender.members import AutoencoderMember
from sparse_ae.recommender.settings import Shallow
from sparse_ae.recommender.sides import OrientedRatings, scorer_of, shape_of
from sparse_ae.scoring.list_blend import ListBlend
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.shared import blend
from sparse_ae.training.checkpoint import describe
from sparse_ae.training.contract import describe_model, model_of
from sparse_ae.training.objectives import Objective, objective_of
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.targets import unit_of_scores

# The functions that a file may name.
_NETWORKS = [name for name in networks.__all__ if name != "Network"]


def state_of(fitted):
    """Take a `Fitted` apart.

    Returns
    -------
    meta : dict
        All that is no array.
    arrays : dict of str to array
        What all ranks have.
    own : dict of str to Parameter
        Those of a rank's own columns.
    """
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
                      "objective": fitted.objective.describe(),
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
    return meta, arrays, own


def _blend_of(fitted):
    """Take a `ListBlend` apart: its description, and the arrays of closed forms."""
    members, arrays = [], {}
    for each, weight in zip(fitted.scorer.members, fitted.scorer.weights):
        entry = {"name": each.name, "weight": weight}
        if each.name in CLOSED:
            description, of_model = model_arrays(each.model)
            arrays.update({"%s/%s" % (each.name, name): array for name, array in of_model.items()})
            entry.update(model=description, values=list(each.values), l2=each.l2)
        members.append(entry)
    return {"members": members, "weights": dict(fitted.weights), "objective": fitted.objective.describe()}, arrays


def _blend_from(entry, arrays, ratings, scorers, missing_rating):
    """Put a `ListBlend` together, and its objective."""
    members, objective, of_side = [], objective_of(entry["objective"]), {scorer.rows: scorer for scorer in scorers}
    for each in entry["members"]:
        if each["name"] in CLOSED:
            model = model_from(each["model"], arrays_of(each["name"], arrays))
            members.append(ClosedMember(each["name"], model, Values(*each["values"]), each["l2"], ratings))
        else:
            members.append(AutoencoderMember(of_side[each["name"]], objective, missing_rating))
    return ListBlend(members, [each["weight"] for each in entry["members"]], ratings), objective


def whole(fitted, arrays, own):
    """Join the arrays and the ratings of all columns: a pair; None in their place on all ranks but the first."""
    ranks = fitted.ranks
    own = {name: ranks.on_first_of(joined, parameter.variable.get_value(borrow=True), parameter.columns_axis)
           for name, parameter in own.items()}
    return dict(arrays, **own), ranks.on_first_of(joined_csr, fitted.ratings)


def fitted_of(meta, arrays, ratings, ranks=ALONE):
    """Put a `Fitted` together; KeyError, TypeError or ValueError for what no `state_of` gave.

    Parameters
    ----------
    meta, arrays : dict
        As `state_of` gives them, `arrays` with the parameters, as arrays.
    ratings : csr_matrix
        By rows as ``meta["ratings_rows"]`` says; a rank's own columns.
    ranks : Ranks
    """
    biases, scale, missing_rating = None, meta["rating_scale"], meta["missing_rating"]
    if meta["biases"] is not None:
        biases = Biases(meta["biases"]["mean"], arrays["user_biases"], arrays["item_biases"],
                        tuple(meta["biases"]["shrinkage"]))
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
        return {"Objective": named(value.describe())}
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


def named_part(part):
    """Return what is known of a model as JSON has it; TypeError for a function of one's own."""
    return dict(part, model=_described("model", part["model"]), objective=named(part["objective"]),
                choice=named(part["choice"]))


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
        return next((name for name, function in UPDATES.items() if function is value), repr(value))
    if setting == "learning_rate":
        return repr(value)
    if lasagnes_name(value) is not None:
        return lasagnes_name(value)
    raise TypeError("%s is %r, which no file can hold without code to run when it is read; expected a function of "
                    "lasagne.nonlinearities, or its name" % (setting, value))
