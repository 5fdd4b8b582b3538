"""More ratings after a fit: the same settings, knobs and weights, and parameters that begin where they were."""
import copy

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import are_on_scale, check_choice, check_count, check_rng
from sparse_ae.data.attributes import unknown_line
from sparse_ae.data.events import span_of, with_ids_like
from sparse_ae.data.ids import positions
from sparse_ae.data.ratings import check_ratings, ratings_from_triples, wrong_total
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.recommender.fit_data import FitData, Problem, ratings_of
from sparse_ae.recommender.members import AutoencoderMember, ClosedForm
from sparse_ae.recommender.model_factory import ModelFactory
from sparse_ae.recommender.side_trainer import SideTrainer
from sparse_ae.runtime.progress import say
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import WeightedScorer
from sparse_ae.training.targets import unit_of_scores

# The factor of the learning rate that a fit ended with: Adam begins anew, with steps that would change lists at random.
_SLOWER = 0.3

# By how much more than its share of 1 + count a count may be off a whole number: float32 keeps its logarithm.
_ROUNDING = 2e-6


def fit_more(fitted, settings, ratings, y, features, n_epochs, returns):
    """The `FitResult` of another one with more ratings, or None, and attributes by side; `settings` are the fit's."""
    if n_epochs != 0:
        check_count(n_epochs, "n_epochs", ", or 0")
    if check_choice(returns, "returns", ("error", "drop")) == "drop" and not fitted.is_counts:
        raise ValueError("returns='drop' was given, and the ratings of fit were no counts, which alone have returns; "
                         "leave it out")
    if ratings is None and not any(each is not None for each in features.values()):
        raise ValueError("partial_fit was given neither ratings nor attributes; expected some of them")
    features = _features(fitted, features, settings["progress"])
    if ratings is None:
        return fitted.extended(features=features)
    factory, old = ModelFactory(settings, fitted.objective).at(fitted.missing_rating), fitted.scorer_of_fit
    problem = _problem(factory, fitted, ratings, y, returns)
    slopes = fitted.biases_of_fit and fitted.biases_of_fit.slopes
    data = FitData(problem, problem.ratings, slopes=slopes.weight if slopes else 0.0)
    train, is_ensemble = problem.ratings.by(USERS), fitted.is_ensemble
    biases, history, rng = None, list(fitted.history), check_rng(copy.deepcopy(settings["rng"]))
    if is_ensemble or fitted.biases_of_fit is not None:
        biases = (data.biases_under if is_ensemble or any(old.weights) else data.alone)()

    def continued(before, weight):
        side, ids = before.rows, (problem.users, problem.items)
        columns, columns_before = (side.rows_columns(*each)[1] for each in (ids, fitted.ids_of_fit))
        trainer = SideTrainer(factory, data.of_side(side, biases), rng.randint(2 ** 31 - 1))
        choice, scorer = trainer.begun(fitted.choices[side], before, np.searchsorted(columns, columns_before))
        if weight and n_epochs:
            rate = [each["learning_rate"] for each in fitted.history
                    if each.get("rows", side) == side and not each.get("partial")][-1]
            # A file only describes a function; L-BFGS has no rate, and ignores this one.
            choice = choice._replace(learning_rate=_SLOWER * (rate or 1.0))
            trained = trainer.again(choice, [choice.learning_rate] * n_epochs, scorer)
            if trained.interrupted or trained.error:
                raise trained.error or KeyboardInterrupt
            history.extend(dict(record, partial=True) for record in trained.history)
        return scorer

    def member_of(before):
        if isinstance(before, ClosedForm):
            with factory.announced("%s: fitting again on all ratings ..." % before.name):
                return before.refitted(train, before.values_of(train, fitted.missing_rating, before.values.power))
        return AutoencoderMember(continued(before.scorer, True), fitted.objective, fitted.missing_rating)

    if is_ensemble:
        scorer, biases = RankingEnsemble(map(member_of, old.members), old.weights, train), None
    else:
        scorer = WeightedScorer([continued(*each) for each in zip(old.scorers, old.weights)], old.weights)
    n_more = n_epochs if fitted.weights.get(next(iter(fitted.models), None)) else 0  # of the first model, `model_`
    return fitted.extended(
        ids_of_fit=(problem.users, problem.items), rating_scale=tuple(map(float, problem.scale)), scorer_of_fit=scorer,
        history=history, best_epoch=fitted.best_epoch + n_more, biases_of_fit=biases, features=features,
        span=problem.span)


def _features(fitted, given, progress):
    """`Attributes` by side: those of a fit, with more."""
    found = dict(fitted.features)
    for side, more in given.items():
        name = "%s_features" % side[:-1]
        if more is not None and side not in found:
            raise ValueError("%s were given, and fit had none; leave them out, or fit again with those of all %s"
                             % (name, side))
        if more is not None:
            unknown = set()
            found[side] = found[side].with_more(more, name, unknown)
            if unknown and progress:
                say(unknown_line(name, unknown))
    return found


def _problem(factory, fitted, ratings, y, returns):
    """The `Problem` of a fit's ratings and new ones."""
    users, items = fitted.ids_of_fit
    ratings = with_ids_like(ratings, users=users, items=items)
    new = ratings_of(factory, ratings, y)
    span = span_of(new, fitted.span)
    new, n_left_out = _added_up(fitted, new, returns) if fitted.is_counts else (new, 0)
    (users, items), matrix = _together(fitted, new)
    scale = fitted.rating_scale
    if fitted.is_counts:
        scale = scale[0], max(scale[1], float(matrix.data.max()))
    unit = None if fitted.missing_rating is None else unit_of_scores(matrix, fitted.missing_rating)
    factory.tell("new ratings: %d, new users: %d, new items: %d" % (
        len(new), *(len(now) - len(before) for now, before in zip((users, items), fitted.ids_of_fit))))
    if n_left_out:
        factory.tell("%d pairs of user and item are left out, since their counts add up to 0 or less" % n_left_out)
    return Problem(users, items, tuple(fitted.models), RatingMatrix(matrix, USERS, fitted.rating_matrix.rows), scale,
                   fitted.unknown, missing_rating=fitted.missing_rating, unit=unit, span=span)


def _added_up(fitted, new, returns):
    """`Ratings` of log2(1 + total count) for pairs of `new` ones, 0 if returned; and how many are left out."""
    coo = new.matrix.tocoo()
    u, i = (positions(ids, known, side)[at] for ids, known, side, at in zip(
        (new.users, new.items), fitted.ids_of_fit, (USERS, ITEMS), (coo.row, coo.col)))
    before = np.exp2(np.asarray(fitted.rating_matrix.by(USERS)[u, i], np.float64).ravel())  # 1 + count
    before[(u < 0) | (i < 0)] = 1
    totals = before - 1 + coo.data
    whole = np.rint(totals)
    totals = np.where(np.abs(totals - whole) <= _ROUNDING * before, whole, totals)
    left = totals > 0
    if returns == "error" and not left.all():
        first = int(np.argmin(left))
        raise wrong_total(new.users[coo.row[first]].item(), new.items[coo.col[first]].item(), totals[first])
    kept = left | (before > 1)
    if not kept.any():
        raise ValueError("the counts of all %d pairs of user and item add up to 0 or less, and none was in fit; "
                         "expected at least one" % len(kept))
    logs = np.log2(1 + np.where(left, totals, 0))
    added = ratings_from_triples(new.users[coo.row[kept]], new.items[coo.col[kept]], logs[kept])
    return added, np.count_nonzero(~left)


def _together(fitted, new):
    """The ids and the matrix of a fit's ratings and `new` ones, which replace older ones; counts of 0 are none."""
    (low, high), of_fit = fitted.rating_scale, fitted.ids_of_fit
    on_scale = are_on_scale(new.matrix.data, (low, high))
    if not fitted.is_counts and not on_scale.all():
        raise ValueError("rating %g is outside the rating scale of the fit, %g to %g; correct it, or fit again with "
                         "all ratings" % (new.matrix.data[np.argmin(on_scale)], low, high))
    for ids, known, side in zip((new.users, new.items), of_fit, (USERS, ITEMS)):
        positions(ids, known, side)  # raises an error for strings among numbers
    ids, placed = [np.union1d(*each) for each in zip(of_fit, (new.users, new.items))], []
    for matrix, own in ((fitted.rating_matrix.by(USERS), of_fit), (new.matrix, (new.users, new.items))):
        rows, columns = (np.searchsorted(every, each) for every, each in zip(ids, own))
        coo = matrix.tocoo()
        placed.append((rows[coo.row], columns[coo.col], coo.data))
    rows, columns, values = map(np.concatenate, zip(*placed))
    matrix = check_ratings(sp.coo_matrix((values.astype(np.float32), (rows, columns)), tuple(map(len, ids))), "last")
    if fitted.is_counts:
        matrix.eliminate_zeros()
    if not matrix.nnz:
        raise ValueError("the counts of all pairs of user and item add up to 0; expected at least one above 0")
    return ids, matrix
