"""Weights of models in residual mode: least squares on validation ratings, shrunk by its standard error.

With the outputs X (n, m) of m models for n validation ratings, and the residuals y (n,) of the biases,

    w = argmin of (y - X w)^2, summed, w >= 0,    gain = (X w)^2, summed                    (1)

and `gain` is by how much the squared error falls. A useless model lowers the error on the ratings its weight was fitted
to as well. The expected drop is

    luck = trace(A^-1 M),    A = X'X,    M = sum over groups g of s_g s_g',    s_g = sum over i in g of x_i e_i     (2)

with e = y - X w: the cluster-robust covariance of w, A^-1 M A^-1, in the unit of (1) (K.-Y. Liang, S. L. Zeger,
Longitudinal data analysis using generalized linear models, Biometrika 73, 1986). Errors are clustered by user, then by
item, and the larger estimate counts. So w is z = sqrt(gain / luck) standard errors above 0, and its best multiple is
estimated by

    (1 - 1 / z^2)+ w                                                                        (3)

where w^2 less its variance estimates the square of the right weight: J. R. Thompson, Some shrinkage techniques for
estimating the mean, JASA 63, 1968; the positive part is L. Breiman's nonnegative garrote, Technometrics 37, 1995.
The stopping epoch and the decay were chosen on the same ratings, which makes z too large: (3) uses z - 1.5.

All models are taken together if each then has a weight; if not, those with the largest ``gain - 2 luck`` (C. L.
Mallows, Some comments on C_p, Technometrics 15, 1973).
"""
import itertools
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from sparse_ae.checks import MOST
from sparse_ae.runtime.progress import figure
from sparse_ae.scoring.shared import blend

# Standard errors by which a model's lists must be better than the most popular items, or those of biases.
_CLEARLY_BETTER = 2.0

# What the outputs of the first of two models may count where lists are to be good; the other's count the rest.
_SHARES = 0.25, 0.5, 0.75

# Standard errors by which a model that was chosen on the ratings may look better than it is.
_CHOSEN = 1.5

# Outputs below this share of the residuals' energy count as zero: their sign is arbitrary. And the part of the first
# epoch's training error from which on a model has learned something.
_NOTHING, _FALLEN = 1e-3, 0.98


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


def _shown(given, trained, biases):
    """Find validation ratings, `_Known`, a model's outputs there, and what biases leave over: float64, (n,) each."""
    scorer = trained.scorer(given.train, biases, given)
    known = _known_of(given, scorer, trained.side)
    return known, scorer.pair_outputs(known.users, known.items).astype(np.float64), known.observed - known.base


def stretch_on_validation(given, trained, biases):
    """Find how much least squares would stretch a model's outputs on validation ratings, and the squared error then."""
    _, outputs, beyond = _shown(given, trained, biases)
    if not trained.epoch or np.dot(outputs, outputs) <= _NOTHING * np.dot(beyond, beyond):
        return 0.0 if _overfits(trained.history) else np.inf, np.dot(beyond, beyond)
    stretch = max(0.0, np.dot(beyond, outputs) / np.dot(outputs, outputs))
    return stretch, np.sum((beyond - stretch * outputs) ** 2)


def _overfits(history):
    """Tell whether training errors have fallen, though no epoch was better than biases on validation ratings."""
    errors = [record["train_rmse"] for record in history]
    return bool(errors) and None not in errors and errors[-1] < _FALLEN * errors[0]


def promises(given, trained, biases):
    """Tell whether validation ratings show that a model's outputs help at all."""
    if trained.error or not trained.epoch:
        return False
    known, outputs, beyond = _shown(given, trained, biases)
    return bool(shrunk_weights(outputs[:, np.newaxis], beyond, (known.users, known.items)).any())


def weigh(given, trained, biases):
    """Weights of the sides' outputs, from the validation ratings; and the RMSEs on them by name.

    A side counts as much as they are sure of it, see `guard`: one that they don't show to be better than the biases
    gets 0, and so does one that diverged. Without the guard all count: one side 1, two what least squares gives them.
    Without validation all that are sound share alike.
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
    outputs = np.stack([scorer.pair_outputs(users, items).astype(np.float64) if each else np.zeros(len(observed))
                        for scorer, each in zip(scorers, sound)], axis=1)

    def error(weights):
        return float(np.sqrt(np.mean((first.clip(base + outputs.dot(weights)) - observed) ** 2)))

    found = OrderedDict([(given.baseline_name, error(np.zeros(len(trained))))])
    found.update((each.side, error(np.eye(len(trained))[k])) for k, each in enumerate(trained) if sound[k])
    if given.guarded:
        learned = [each.epoch > 0 and each.error is None for each in trained]
        weights = shrunk_weights(outputs * learned, observed - base, (users, items)).tolist()
    elif sum(sound) == 1:
        weights = alike
    else:
        weights = _least_squares(outputs, observed - base)
    if np.count_nonzero(weights) > 1:
        found["both"] = error(weights)
    given.tell(verdict(found, dict(zip([each.side for each in trained], weights)),
                       "RMSE, of known users and items"))
    return weights, dict(found)


def _least_squares(outputs, residuals):
    from scipy import optimize  # takes its time
    # Outputs that are 0 but for rounding would be stretched beyond all numbers.
    return [weight if weight <= MOST else 0.0 for weight in optimize.nnls(outputs, residuals)[0].tolist()]


def weigh_by_lists(given, trained, biases, lists):
    """As `weigh`, by the lists of validation users: of two models the shares whose lists are best."""
    scorers = [each.scorer(given.train, biases, given) for each in trained]
    # What there is without a model, then what it is held against: (name, what gives the lists).
    name, alone = given.simplest(given.train, biases)
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
    errors = ", ".join("%s %s" % (name + " as rows" if name in weights else name, figure(error))
                       for name, error in found.items())
    used = " and ".join("%.2f of %s as rows" % (weight, side) for side, weight in weights.items() if weight)
    if "popular" in found:
        return "validation %s: %s; lists are %s" % (
            measure, errors, "those of " + used if used else "the most popular: no model's are clearly better")
    return "validation %s: %s; predictions are biases %s" % (
        measure, errors, "and " + used if used else "alone: no model is clearly better")


def shrunk_weights(outputs, residuals, groups):
    """Estimate the best weights (n_models,) of outputs (n, n_models) for residuals (n,): 0 where no output helps.

    `groups` are integer labels of the users, and of the items, (n,) each: ratings of one label may err together.
    """
    from scipy import optimize  # takes its time

    weights = np.zeros(outputs.shape[1])
    # Outputs that are 0 but for rounding would be stretched beyond all numbers.
    sizes = np.abs(outputs).max(axis=0, initial=0.0)
    useful = np.flatnonzero(sizes > 1e-6 * np.abs(residuals).max(initial=0.0))
    best = -np.inf
    for n in range(len(useful), 0, -1):
        for chosen in itertools.combinations(useful, n):
            found = optimize.nnls(outputs[:, chosen], residuals)[0]
            if not found.all():
                continue  # that is a smaller choice
            gain, luck = _gain_and_luck(outputs[:, chosen], residuals, found, groups)
            surely = np.sqrt(gain / luck) - _CHOSEN if luck else np.inf
            if surely > 1 and gain - 2 * luck > best:
                best = gain - 2 * luck
                weights[:] = 0.0
                weights[list(chosen)] = found * (1 - 1 / surely ** 2)
        if weights.any():
            break
    return weights


def mean_weights(weights):
    """The weights (n_models,) of the mean of several fits, from theirs (n_fits, n_models): shrunk as by equation (3).

    z is then of the standard errors between the fits; what one fit alone has found is luck, and counts nothing.
    """
    mean, variance = np.mean(weights, axis=0), np.var(weights, axis=0, ddof=1) / len(weights)
    return mean * np.clip(1 - variance / np.where(mean, mean, 1) ** 2, 0, None)


def _gain_and_luck(X, y, w, groups):
    """Equations (1) and (2)."""
    fitted = X.dot(w)
    pulls, luck = X * (y - fitted)[:, np.newaxis], 0.0
    for group in groups:
        _, places = np.unique(group, return_inverse=True)
        n_groups = places.max() + 1
        if n_groups < 2:
            return 0.0, np.inf  # they may all have erred together
        sums = np.stack([np.bincount(places, pull) for pull in pulls.T], axis=1)
        between = sums.T.dot(sums) * n_groups / (n_groups - 1)
        luck = max(luck, float(np.trace(np.linalg.lstsq(X.T.dot(X), between, rcond=None)[0])))
    return float(np.dot(fitted, fitted)), luck
