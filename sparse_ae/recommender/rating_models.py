"""Models that predict ratings: one or two are trained on the residuals of biases, weighed on validation ratings, and
trained again on all ratings. Without residual mode (`biases=False`) there is one model, as in the post.
"""
import copy
from functools import partial

import numpy as np

from sparse_ae.checks import check_count
from sparse_ae.data.side import USERS
from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender.defaults import LEAST_HIDDEN, is_auto, skips_refit
from sparse_ae.recommender.fit_data import FitData
from sparse_ae.recommender.fit_result import FitResult
from sparse_ae.recommender.guard import ValidationResiduals, weigh, weigh_by_lists, with_slopes
from sparse_ae.recommender.settings import label_of
from sparse_ae.recommender.side_trainer import IN_MEMORY, SideTrainer
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import WeightedScorer
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.validation import ranking_metric

# The decay of large data is searched for with so many times fewer users.
_FEWER_USERS = 8

# Below so many ratings there are so many fits by default.
_FEW, _N_FITS = 20000, 4


def fit_ratings(data, rng, run, refit, n_fits=1):
    """Train a model of each side on `n_fits` splits, find weights by validation, and train models with a weight again
    on all ratings: a `FitResult` of each side's mean model. `run` goes on to `Trainer.fit`."""
    residual_mode = bool(data.arguments.settings.biases)
    if residual_mode:
        data = with_slopes(data)
        data.arguments.tell("to train: %s%s%s" % (
            ", ".join(map(label_of, data.arguments.sides)), ", on %d random splits" % n_fits if n_fits > 1 else "",
            "; then on all ratings" if refit else ""))
    fits = [_SingleFit(data, rng, run, _step("fit ", 1, n_fits))]
    first, history, interrupted = fits[0], fits[0].history, fits[0].interrupted
    if n_fits > 1 and not interrupted:
        fits, interrupted = _on_more_splits(first, rng, n_fits)
    if interrupted:  # half-trained models aren't reported
        data = data.with_settings(progress=False)
    with sigint_as_flag() as late:
        if not residual_mode:
            weights, found = [1.0], None
        elif isinstance(first.judge, ListValidation):
            weights, found = weigh_by_lists(data, first.models, first.judge)
        else:
            weights, found = weigh(data, [(fit.judge, fit.models) for fit in fits])
    arguments = data.arguments
    interrupted = interrupted or arguments.ranks.any(late)
    if interrupted:  # the others have other biases
        fits = fits[:1]
    elif refit and residual_mode:
        fits, history, interrupted = _on_all_ratings(fits, weights, run)
    with sigint_as_flag() as late:
        (models, weights), trained = _means(fits, weights), fits[0].models
        biases = fits[0].biases if any(weights) else data.alone(arguments.ratings)
        scorers = [data.scorer(model, arguments.ratings, each.side, biases) for model, each in zip(models, trained)]
    measured = "validation_rmse" if arguments.metric is None else "validation_lists"
    return FitResult.of(arguments, WeightedScorer(scorers, weights), history, trained[0].epoch,
                        {each.side: each.choice for each in trained}, arguments.objective_for(biases), biases,
                        interrupted=interrupted or arguments.ranks.any(late), **{measured: found})


class _SingleFit:
    """A model of each side beside `biases`, trained with early stopping; their validation (`judge`, or None), and seeds
    to train them again. Progress names a `label`."""

    def __init__(self, data, rng, run, label=""):
        arguments, residual_mode = data.arguments, bool(data.arguments.settings.biases)
        sides, is_large, less_decay = arguments.sides, arguments.holds_out_little, 1.0
        self.data, self.judge, self.models, self.history = data, data.list_validation(), [], []
        self.biases, self.interrupted = data.biases_under(data.train) if residual_mode else None, False
        seeds, self.seeds = rng.randint(2 ** 31 - 1, size=(2, len(sides))) if residual_mode else [[rng], [rng]]
        measure_of = self.judge and partial(ranking_metric, self.judge)
        with arguments.until_ctrl_c(self.models) as ended:
            # Large data: users take less time, so that their decay is found first, and items begin with it.
            for k in range(len(sides))[::-1 if is_large else 1]:
                trainer = SideTrainer(data, sides[k], self.biases, seeds[k], run, less_decay,
                                      _step("", len(self.models) + 1, len(sides)) + label)
                if (trainer.searches and is_large and not self.models
                        and skips_refit(data.train.by(sides[k]).nnz / _FEWER_USERS)):
                    trainer.less_decay = _less_decay_of_some(data, trainer.choice.update, seeds[k])
                self.models.append(trainer.search(measure_of))
                self.history += self.models[-1].history
                self.interrupted, less_decay = self.models[-1].interrupted, trainer.less_decay if is_large else 1.0
                if self.interrupted:
                    break
        self.interrupted = self.interrupted or bool(ended)
        self.models.sort(key=lambda each: each.side)
        errors = [each.error for each in self.models if each.error]
        if len(errors) == len(self.models):
            raise errors[0]
        if residual_mode and self.judge is None and data.for_weights is not None:
            self.judge = ValidationResiduals.of(data.train, self.biases, data.for_weights)


def _on_more_splits(first, rng, n_fits):
    """Train on further random splits with the same choices. Return the fits that succeed, and whether Ctrl-C came."""
    choices = {each.side: each.choice for each in first.models}
    fits, arguments = [first], first.data.arguments.with_settings(choices=choices)
    for number in range(2, n_fits + 1):
        try:
            with arguments.until_ctrl_c(fits) as ended:
                data = FitData.of(arguments, rng, True, first.data.slopes)
                fit = _SingleFit(data, rng, IN_MEMORY, _step("fit ", number, n_fits))
        except TrainingDiverged as error:
            arguments.tell("fit %d: %s; it is left out" % (number, error))
            continue
        if ended or fit.interrupted:
            return fits, True
        fits.append(fit)
    return fits, False


def _on_all_ratings(fits, weights, run):
    """Train models with a weight again on all ratings. Return the fits that are complete, or the first as it was; the
    history of the first; and whether Ctrl-C came."""
    whole, history = [], list(fits[0].history)
    for number, fit in enumerate(fits):
        data, trained, label = fit.data, list(fit.models), _step("fit ", number + 1, len(fits))
        with data.arguments.until_ctrl_c(trained) as ended:
            biases = data.biases_under(data.arguments.ratings)
            for k, (each, seed) in enumerate(zip(fit.models, fit.seeds)):
                if weights[k] and each.epoch:
                    trainer = SideTrainer(data, each.side, biases, seed, IN_MEMORY if number else run, label=label)
                    trained[k] = trainer.train(each.choice, rates=each.rates)
                    history += [] if number else trained[k].history
                    if trained[k].interrupted or trained[k].error:
                        break
            else:
                whole.append(copy.copy(fit))
                whole[-1].models, whole[-1].biases = trained, biases
        if ended or any(each.interrupted for each in trained):
            return whole or fits[:1], history, True
    return whole or fits[:1], history, False


def _means(fits, weights):
    """The mean model of each side, and its weight; models that are no better than biases count as 0."""
    if len(fits) == 1:
        return [each.model for each in fits[0].models], weights
    models, found = [], []
    for of_side, weight in zip(zip(*(fit.models for fit in fits)), weights):
        useful = [each.model for each in of_side if each.epoch] if weight else []
        models.append(mean_of(useful) if useful else of_side[0].model)
        found.append(weight * len(useful) / len(fits))
    return models, found


def _step(kind, number, n):
    """The part of a label in progress reports that numbers trainings."""
    return ", %s%d of %d" % (kind, number, n) if n > 1 else ""


def _less_decay_of_some(data, update, seed):
    """The factor of the rule's decay that a small model of some users needs; this saves trainings on large data."""
    users, rng = data.train.by(USERS).shape[0], np.random.RandomState(seed)
    some = np.sort(rng.permutation(users)[:-(-users // _FEWER_USERS)])
    train, held_out = (RatingMatrix(each.by(USERS)[some], USERS, each.rows)
                       for each in (data.train, data.held_out))
    n_hidden = data.arguments.settings.n_hidden
    part = data._replace(train=train, held_out=held_out, for_weights=None).with_settings(
        update=update, n_hidden=LEAST_HIDDEN if is_auto(n_hidden) else n_hidden)
    label = ", one in %d, to find the decay" % _FEWER_USERS
    trainer = SideTrainer(part, USERS, part.biases_under(train), seed, IN_MEMORY, label=label)
    if trainer.search().interrupted:
        raise KeyboardInterrupt  # there is no model yet that could be kept
    return trainer.less_decay


def number_of_fits(fits, arguments, refit, model):
    """The number of fits; ValueError for several if `model`, which is by the settings, can't be averaged."""
    can = (refit and arguments.settings.biases and arguments.goes_by_rmse and isinstance(model, AutoEncoder)
           and model.decoder().is_linear)
    if is_auto(fits):
        return _N_FITS if can and arguments.ratings.matrix.nnz < _FEW else 1
    if check_count(fits, "fits", ", such as 4, or 'auto'") > 1 and not can:
        raise ValueError("fits is %d; expected 'auto' or 1: averaging needs residual mode, network='shallow' with a "
                         "linear f, validation='auto' or a fraction, and refit=True" % fits)
    return fits


def mean_of(models):
    """The mean of `AutoEncoder`s of the same settings, by equation (13) of docs/explanation/biases.md."""
    first, n = models[0], len(models)
    W, V, mu, b, U = ([getattr(model, name).get_value(borrow=True) for model in models]
                      for name in ("W", "V", "mu", "b", "U"))
    W = np.hstack(W) / n  # (n_columns, sum of k)
    return AutoEncoder(first.n_columns, W.shape[1], first.rating_scale, first.f, first.g,
                       (first.l2_W * n, first.l2_V), W, np.vstack(V), np.hstack(mu), sum(b) / n,
                       dtype=first.dtype, U=np.vstack(U), l2_weighted=first.l2_weighted)
