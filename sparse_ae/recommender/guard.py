"""Weights of models in residual mode: least squares on validation ratings, shrunk by the standard error.

Equations (10) to (12) are those of docs/explanation/biases.md.
"""
import itertools
from typing import NamedTuple

import numpy as np

from sparse_ae.checks import MOST
from sparse_ae.data.side import USERS
from sparse_ae.recommender.fit_data import biases_of
from sparse_ae.recommender.settings import label_of, validation_line
from sparse_ae.runtime.progress import figure
from sparse_ae.scoring.scorer import Scorer, WeightedScorer

# Standard errors by which a model must rank better than the most popular items, or biases.
CLEARLY_BETTER = 2.0

# Standard errors that a weight must exceed: it belongs to the best of several models.
CHOSEN = 1.5

# The largest weight, and the fewest ratings that it is estimated from.
_MOST_WEIGHT, _FEWEST = 1.5, 40

# Outputs with less than this share of the residuals' sum of squares count as 0: their sign is arbitrary.
_NOTHING = 1e-3


class ValidationResiduals(NamedTuple):
    """Validation ratings of users and items with training ratings, and their residuals, (n,) each."""

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    residuals: np.ndarray

    @classmethod
    def of(cls, train, biases, *held_out):
        """Residuals of held-out ratings; all ratings are a `RatingMatrix` each."""
        pairs = [each.by(USERS).tocoo() for each in held_out]
        users, items, ratings = (np.concatenate([getattr(each, name) for each in pairs])
                                 for name in ("row", "col", "data"))
        known = train.users_rated[users] & train.items_rated[items]
        users, items, ratings = users[known], items[known], ratings[known].astype(np.float64)
        return cls(users, items, ratings, ratings - biases.at(users, items))

    def outputs(self, trained):
        """A model's outputs, (n,) float64; 0 if no epoch was better than biases, or if it diverged."""
        if not trained.epoch:
            return np.zeros(len(self.users))
        return trained.scorer.pair_outputs(self.users, self.items).astype(np.float64)

    def stretch(self, trained):
        """The least-squares factor of a model's outputs, and the squared error with it."""
        outputs, residuals = self.outputs(trained), self.residuals
        if not trained.epoch or np.dot(outputs, outputs) <= _NOTHING * np.dot(residuals, residuals):
            return np.inf, np.dot(residuals, residuals)
        stretch = max(0.0, np.dot(residuals, outputs) / np.dot(outputs, outputs))
        return stretch, np.sum((residuals - stretch * outputs) ** 2)


def weigh(factory, fits, n_held_out):
    """Weights of the models' outputs, 0 for a diverged one, and RMSEs on known validation ratings by name. A fit is a
    pair: `ValidationResiduals`, or None without validation, and the `SideModel` of each side. Without validation
    weights are equal, and RMSEs None; without shrinkage a single model's weight is 1, and two have least squares."""
    from scipy import optimize  # takes its time
    trained = fits[0][1]
    sound = np.any([[each.error is None for each in models] for _, models in fits], axis=0).astype(float)
    alike = (sound / sound.sum()).tolist()
    if fits[0][0] is None:
        return alike, None
    outputs = np.concatenate([np.stack([known.outputs(each) for each in models], axis=1) for known, models in fits])
    known = ValidationResiduals(*map(np.concatenate, zip(*(each for each, _ in fits))))
    if not len(known.ratings):
        factory.tell("validation: none of the %d ratings has both a user and an item with training ratings, so "
                     "models can't be validated; predictions use biases %s"
                     % (n_held_out, "only" if factory.guarded else "and all models"))
        return [0.0] * len(trained) if factory.guarded else alike, {}

    def error(weights):
        predicted = known.ratings - known.residuals + outputs.dot(weights)
        return float(np.sqrt(np.mean((trained[0].scorer.clip(predicted) - known.ratings) ** 2)))

    found = {"biases": error(np.zeros(len(trained)))}
    found.update((each.side, error(np.eye(len(trained))[k])) for k, each in enumerate(trained) if sound[k])
    if factory.guarded:
        weights = shrunk_weights(outputs, known.residuals, known[:2]).tolist()
    elif sound.sum() == 1:
        weights = alike
    else:  # outputs of 0 plus rounding would get infinite weights
        weights = [weight if weight <= MOST else 0.0 for weight in optimize.nnls(outputs, known.residuals)[0].tolist()]
    if np.count_nonzero(weights) > 1:
        found["both"] = error(weights)
    metric = "RMSE (known users and items%s)" % (", %d fits" % len(fits) if len(fits) > 1 else "")
    _tell(factory, metric, found, trained, weights)
    return weights, found


def weigh_by_lists(factory, trained, lists, alone):
    """As `weigh`, by rankings: a weight for the best model, or equal weights for both if these rank better. The first
    model counts nothing beyond the targets that stand `alone`."""
    scorers, sound = [each.scorer for each in trained], np.array([each.error is None for each in trained], float)
    alone = Scorer(scorers[0].model, scorers[0].rating_matrix, trained[0].side, alone)
    ways = {"biases" if factory.objective.clips else "popular": WeightedScorer([alone], [0.0])}
    ways.update((each.side, WeightedScorer(scorers, only)) for each, only in zip(trained, np.diag(sound)) if any(only))
    if sound.sum() > 1:
        ways["both"] = WeightedScorer(scorers, sound / 2)
    values = [lists.by_user(lists.lists_of(scorer)) for scorer in ways.values()]
    found = dict(zip(ways, np.mean(values, axis=1).tolist()))
    best = 1 + int(np.argmax(list(found.values())[1:]))
    better = standard_score(values[best] - values[0]) >= CLEARLY_BETTER
    weights = list(ways.values())[best].weights if better or not factory.guarded else [0.0] * len(trained)
    _tell(factory, lists.metric.label, found, trained, weights)
    return weights, found


def weight_of_slopes(factory, train, held_out):
    """The weight of users' slopes in the biases, like that of a model, at most 1, by a list of held-out ratings."""
    def residuals(weight):
        return ValidationResiduals.of(train, biases_of(train, slopes=weight), *held_out)

    plain, sloped = map(residuals, (0.0, 1.0))
    gains = (plain.residuals - sloped.residuals)[:, np.newaxis]
    weight = min(1.0, shrunk_weights(gains, plain.residuals, plain[:2])[0])
    if not weight:
        return 0.0
    errors = [float(np.sqrt(np.mean(each.residuals ** 2))) for each in (residuals(weight), plain)]
    if not errors[0] < errors[1]:
        return 0.0
    factory.tell("biases: with %.2f of slopes over an item's number of ratings and its offset; validation RMSE "
                 "%s instead of %s" % (weight, *map(figure, errors)))
    return float(weight)


def standard_score(gains):
    """The mean gain in standard errors."""
    if len(gains) < 2:
        return 0.0
    spread = gains.std()
    if not spread:
        return np.inf if gains.mean() > 0 else 0.0
    return gains.mean() / (spread / np.sqrt(len(gains)))


def _tell(factory, metric, found, models, weights):
    """Report the results of validation, and what is used."""
    used = " and ".join("%.2f of %s" % (weight, label_of(each.side)) for each, weight in zip(models, weights) if weight)
    if "popular" in found:
        use = "rankings use " + ("those of " + used if used else "the most popular items")
    else:
        use = "predictions use biases " + ("and " + used if used else "only")
    factory.tell(validation_line(metric, found))
    factory.tell(use)


def shrunk_weights(outputs, residuals, groups):
    """The best weights (n_models,) of outputs (n, n_models) for residuals (n,), 0 for outputs that don't help. `groups`
    are the users, and the items, of the residuals: errors of one user, or one item, may be correlated."""
    from scipy import optimize  # takes its time
    weights, best = np.zeros(outputs.shape[1]), -np.inf
    if len(residuals) < _FEWEST:
        return weights
    # Outputs of 0 plus rounding would get infinite weights.
    sizes = np.abs(outputs).max(axis=0, initial=0.0)
    useful = np.flatnonzero(sizes > 1e-6 * np.abs(residuals).max(initial=0.0))
    for n in range(len(useful), 0, -1):
        for chosen in map(list, itertools.combinations(useful, n)):
            found = optimize.nnls(outputs[:, chosen], residuals)[0]
            if not found.all():
                continue  # the same as a smaller set
            gain, luck, errors = _gain_and_luck(outputs[:, chosen], residuals, found, groups)
            surely = errors - CHOSEN
            if surely > 1 and gain - 2 * luck > best:
                best = gain - 2 * luck
                weights[:] = 0.0
                weights[chosen] = np.minimum(found * (1 - 1 / surely ** 2), _MOST_WEIGHT)
        if weights.any():
            break
    return weights


def _gain_and_luck(X, y, w, groups):
    """Equations (10) and (11), and w in standard errors, by Student's t for the number of groups."""
    from scipy import stats
    fitted = X.dot(w)
    gain, pulls, luck, errors = float(np.dot(fitted, fitted)), X * (y - fitted)[:, np.newaxis], 0.0, np.inf
    for group in groups:
        _, places = np.unique(group, return_inverse=True)
        n_groups = places.max() + 1
        if n_groups < 2:
            return gain, np.inf, 0.0  # all errors may be correlated
        sums = np.stack([np.bincount(places, pull) for pull in pulls.T], axis=1)
        between = sums.T.dot(sums) * n_groups / (n_groups - 1)
        of_group = float(np.trace(np.linalg.lstsq(X.T.dot(X), between, rcond=None)[0]))
        luck = max(luck, of_group)
        errors = min(errors, stats.norm.isf(stats.t.sf(np.sqrt(gain / of_group), n_groups - 1)) if of_group else np.inf)
    return gain, luck, errors
