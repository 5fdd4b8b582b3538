"""Weights of a fit's models, beside the biases or among lists: as much as validation ratings show."""
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from sparse_ae.checks import MOST
from sparse_ae.recommender.sides import popularity_of
from sparse_ae.runtime.progress import figure
from sparse_ae.scoring.shared import blend

__all__ = ["lists_of", "standard_score", "stretch_on_validation", "verdict", "weigh", "weigh_by_lists"]

# Standard errors by which a model must be better than the biases on validation ratings to be used beside them.
_CLEARLY_BETTER = 2.0

# What the outputs of the first of two models may count where lists are to be good; the other's count the rest.
_SHARES = 0.25, 0.5, 0.75


class _Known(NamedTuple):
    """Validation ratings of users and items that have others, and what biases say of them."""

    users: np.ndarray
    items: np.ndarray
    observed: np.ndarray
    base: np.ndarray


def _known_of(given, scorer, side):
    pairs = given.held_out.by(side).tocoo()
    users, items = scorer.rows.users_items(pairs.row, pairs.col)
    known = scorer.users_rated[users] & scorer.items_rated[items]
    users, items = users[known], items[known]
    return _Known(users, items, pairs.data[known].astype(np.float64), scorer.baseline(users, items))


def stretch_on_validation(given, trained, biases):
    """By how much least squares would stretch a model's outputs on validation ratings, and the squared error there."""
    scorer = trained.scorer(given.train, biases, given)
    known = _known_of(given, scorer, trained.side)
    outputs = scorer.pair_outputs(known.users, known.items).astype(np.float64)
    if not outputs.any():
        return 1.0, np.inf
    stretch = np.dot(known.observed - known.base, outputs) / np.dot(outputs, outputs)
    return stretch, np.sum((scorer.clip(known.base + outputs) - known.observed) ** 2)


def weigh(given, trained, biases):
    """Weights of the sides' outputs, by least squares on the validation ratings; and the RMSEs on them by name.

    A side that isn't better than the biases by more than luck explains gets 0, and the others what is left; so
    does one that diverged, and without validation all others share alike.
    """
    sound = [each.error is None for each in trained]
    alike = [float(each) / sum(sound) for each in sound]
    if given.held_out is None:
        return alike, None
    scorers = [each.scorer(given.train, biases, given) for each in trained]
    first = scorers[0]
    users, items, observed, base = _known_of(given, first, trained[0].side)
    if not len(observed):
        given.tell("validation: none of its %d ratings is of a user and an item that both have others, so "
             "nothing shows what a model is worth; predictions are biases %s"
             % (given.held_out.by(trained[0].side).nnz, "alone" if given.guarded else "and all models"))
        return [0.0] * len(trained) if given.guarded else alike, {}
    outputs = [scorer.pair_outputs(users, items).astype(np.float64) if each else np.zeros(len(observed))
               for scorer, each in zip(scorers, sound)]

    def errors(weights):
        predicted = base + sum(weight * output for weight, output in zip(weights, outputs))
        return (first.clip(predicted) - observed) ** 2

    alone = errors([0.0] * len(trained))
    found = OrderedDict([("biases" if given.unit is None else "constant", float(np.sqrt(alone.mean())))])
    weights = []
    for k, each in enumerate(trained):
        if each.error:
            weights.append(0.0)
            continue
        of_side = errors([float(k == other) for other in range(len(trained))])
        found[each.side] = float(np.sqrt(of_side.mean()))
        better = each.epoch > 0 and standard_score(alone - of_side) >= _CLEARLY_BETTER
        weights.append(float(better or not given.guarded))
    if sum(weights) > 1:
        from scipy import optimize  # takes its time
        # Outputs that are 0 but for rounding would be stretched beyond all numbers.
        weights = [weight if weight <= MOST else 0.0
                   for weight in optimize.nnls(np.stack(outputs, axis=1), observed - base)[0].tolist()]
        found["both"] = float(np.sqrt(errors(weights).mean()))
    given.tell(verdict(found, dict(zip([each.side for each in trained], weights)),
                                   "RMSE, of known users and items"))
    return weights, dict(found)


def weigh_by_lists(given, trained, biases, lists):
    """As `weigh`, by the lists of validation users: of two models the shares whose lists are best."""
    scorers = [each.scorer(given.train, biases, given) for each in trained]
    # What there is without a model, then what it is held against: (name, what gives the lists).
    name, alone = "biases", biases
    if given.unit is not None:
        name, alone = "popular", popularity_of(given.train, given.missing_rating)
    contenders = [(name, blend([trained[0].scorer(given.train, alone, given)], [0.0]))]
    sound = [each.error is None for each in trained]
    for k in np.flatnonzero(sound):
        contenders.append((trained[k].side, blend(scorers, np.arange(len(trained)) == k)))
    if sum(sound) > 1:
        contenders += [("both", blend(scorers, [share, 1.0 - share])) for share in _SHARES]
    values = [lists.by_user(lists_of(scorer, lists), given.lists.name) for _, scorer in contenders]
    found = OrderedDict()
    for (shown, _), of_users in zip(contenders, values):
        found[shown] = max(found.get(shown, 0.0), float(of_users.mean()))
    best = 1 + int(np.argmax([of_users.mean() for of_users in values[1:]]))
    better = standard_score(values[best] - values[0]) >= _CLEARLY_BETTER
    weights = contenders[best][1].weights if better or not given.guarded else [0.0] * len(trained)
    given.tell(verdict(found, dict(zip([each.side for each in trained], weights)), given.lists.label))
    return weights, dict(found)


def lists_of(scorer, validation):
    """The lists that a `ListValidation` judges, of a scorer."""
    return scorer.best(validation.users, validation.k, True, validation.candidates)


def standard_score(gains):
    """Count the standard errors that a mean gain is above 0."""
    if len(gains) < 2:
        return 0.0
    spread = gains.std()
    if not spread:
        return np.inf if gains.mean() > 0 else 0.0
    return gains.mean() / (spread / np.sqrt(len(gains)))


def verdict(found, weights, measure):
    """Put what validation says into a line."""
    errors = ", ".join("%s %s" % (name + " as rows" if name in ("items", "users") else name, figure(error))
                       for name, error in found.items())
    used = " and ".join("%.2f of %s as rows" % (weight, side) for side, weight in weights.items() if weight)
    if "popular" in found:
        return "validation %s: %s; lists are %s" % (
            measure, errors, "those of " + used if used else "the most popular: no model's are clearly better")
    return "validation %s: %s; predictions are biases %s" % (
        measure, errors, "and " + used if used else "alone: no model is clearly better")
