"""What `fit` leaves behind as names, numbers and arrays, for files and copies; and a `Fitted` made of them again."""

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import check_dtype
from sparse_ae.data.ratings import canonical_csr
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender.defaults import Choice
from sparse_ae.recommender.estimator import from_json, to_json
from sparse_ae.recommender.fitted import Fitted
from sparse_ae.recommender.fitting import FitResult
from sparse_ae.recommender.sides import OrientedRatings, scorer_of
from sparse_ae.runtime.ranks import ALONE
from sparse_ae.scoring.scorer import blend
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.targets import BeyondBiases, unit_of_scores
import lasagne
import theano

__all__ = ["fitted_of", "named", "state_of", "unnamed", "whole"]


def state_of(fitted):
    """Take a `Fitted` apart.

    Returns
    -------
    meta : dict
        All that is no array.
    arrays : dict of str to array
        What all ranks have.
    own : dict of str to shared variable
        The parameters of a rank's own columns.
    """
    scorer = fitted.scorer
    parts, arrays, own = [], {"users": fitted.users, "items": fitted.items}, {}
    for each in scorer.scorers:
        model = each.model
        arrays["%s/mu" % each.rows] = model.mu.get_value(borrow=True)
        own.update(("%s/%s" % (each.rows, p.name), p) for p in model.params if p is not model.mu)
        parts.append({"rows": each.rows, "f": model.f, "g": model.g, "l2": (model.l2_W, model.l2_V),
                      "l2_weighted": model.l2_weighted, "missing_weight": model.missing_weight,
                      "weight": fitted.weights[each.rows], "choice": dict(fitted.choices[each.rows]._asdict())})
    meta = {"parts": parts, "rating_scale": fitted.rating_scale, "unknown": fitted.unknown, "biases": None,
            "history": fitted.history, "best_epoch": fitted.best_epoch, "ratings_rows": scorer.rows,
            "validation_rmse": fitted.validation_rmse, "validation_lists": fitted.validation_lists,
            "missing_rating": fitted.missing_rating, "counts": fitted.is_counts}
    if fitted.biases is not None:
        meta["biases"] = {"mean": fitted.biases.mean, "shrinkage": fitted.biases.shrinkage}
        arrays.update(user_biases=fitted.biases.users, item_biases=fitted.biases.items)
    return meta, arrays, own


def whole(fitted, arrays, own):
    """Join the arrays and the ratings of all columns: a pair; None in their place on all ranks but the first."""
    scorer = fitted.scorer
    ranks = scorer.model.ranks
    arrays = dict(arrays, **{name: _whole(ranks, parameter) for name, parameter in own.items()})
    return arrays, scorer.ratings if ranks.size == 1 else _whole_ratings(scorer, ranks)


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
    in_parts = ranks.size > 1
    if in_parts and len(meta["parts"]) > 1:  # the columns of one model are the rows of the other
        shape = ratings.shape[0], _n_columns(meta["ratings_rows"], arrays)
        ratings, in_parts = canonical_csr(*ranks.whole(ratings), shape), False
    unit = None if missing_rating is None else unit_of_scores(ratings, missing_rating, ranks if in_parts else ALONE)
    ratings, scorers, choices = OrientedRatings(ratings, meta["ratings_rows"], ranks, in_parts), [], {}
    for part in meta["parts"]:
        side = part["rows"]
        names = ("W", "V", "mu", "b") + (() if biases is None else ("U",))
        parameters = {name: arrays["%s/%s" % (side, name)] for name in names}
        n_hidden, dtype = parameters["W"].shape[1], parameters["W"].dtype
        if ranks.size > 1:  # arrays would be those of all columns
            parameters = {name: theano.shared(value) for name, value in parameters.items()}
        model = AutoEncoder(_n_columns(side, arrays), n_hidden,
                            scale if biases is None else BeyondBiases.output_scale, part["f"], part["g"],
                            tuple(part["l2"]), dtype=dtype, l2_weighted=part["l2_weighted"],
                            missing_weight=part["missing_weight"],
                            missing_rating=(missing_rating or 0.0) if biases is None else 0.0, comm=ranks,
                            **parameters)
        if ranks.size > 1:
            with ranks.rank_0_first():
                model.compile_predictions()
        scorers.append(scorer_of(model, ratings, side, biases, scale, unit))
        choices[side] = Choice(**part["choice"])
    scorer = scorers[0] if biases is None else blend(scorers, [part["weight"] for part in meta["parts"]])
    result = FitResult(scorer, meta["history"], meta["best_epoch"], choices, biases=biases,
                       validation_rmse=meta["validation_rmse"], validation_lists=meta["validation_lists"])
    return Fitted(arrays["users"], arrays["items"], result, rating_scale=scale, unknown=meta["unknown"],
                  missing_rating=missing_rating, is_counts=meta["counts"])


def _whole(ranks, parameter):
    """Join a parameter's value of all columns; None on all ranks but the first."""
    value = parameter.get_value(borrow=True)
    if ranks.size == 1:
        return value
    if parameter.name in ("W", "b"):
        return ranks.columns_of(value, first_only=True)
    found = ranks.columns_of(value.T, first_only=True)
    return None if found is None else found.T


def _whole_ratings(scorer, ranks):
    """Join the ratings of all columns, on the first rank; None on the others."""
    found = ranks.whole(scorer.ratings, first_only=True)
    n_columns = len(scorer.by_users(scorer.users_rated, scorer.items_rated)[1])
    return None if found is None else canonical_csr(*found, (scorer.ratings.shape[0], n_columns))


def _n_columns(rows, arrays):
    """Return how many columns there are with these rows, of all ranks."""
    return len(arrays["items" if rows == "users" else "users"])


def named(settings, **more):
    """Return a dict of settings as JSON has them, and of what it has already."""
    return dict({name: to_json(_name_of(name, value)) for name, value in settings.items()}, **more)


def unnamed(settings):
    """Return the settings that `named` was given, but for functions, which remain names."""
    return {name: from_json(value) for name, value in settings.items()}


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
    name = getattr(value, "__name__", "")
    if getattr(lasagne.nonlinearities, name, None) is value:
        return name
    raise TypeError("%s is %r, which no file can hold without code to run when it is read; expected a function of "
                    "lasagne.nonlinearities, or its name" % (setting, value))
