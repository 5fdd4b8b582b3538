"""Models that predict ratings: one or two are trained on the residuals of biases, weighed on validation ratings, and
trained again on all ratings. Without residual mode (`biases=False`) there is one model, as in the post.
"""
from functools import partial
from typing import NamedTuple, Optional, Union

import numpy as np

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import MOST, check_count
from sparse_ae.data.side import USERS
from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender.defaults import LEAST_HIDDEN, is_auto, skips_refit
from sparse_ae.recommender.fit_data import FitData, hold_out
from sparse_ae.recommender.fit_result import FitResult
from sparse_ae.recommender.guard import ValidationResiduals, weigh, weigh_by_lists, weight_of_slopes
from sparse_ae.recommender.model_factory import Run
from sparse_ae.recommender.settings import label_of
from sparse_ae.recommender.side_trainer import SideTrainer
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import Scorer, WeightedScorer
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.validation import ranking_metric

# The decay of large data is searched for with so many times fewer users.
_FEWER_USERS = 8

# Below so many ratings there are so many fits by default.
_FEW, _N_FITS = 20000, 4


def fit_ratings(factory, data, rng, run, refit, n_fits):
    """Train a model of each side on `n_fits` splits, find weights by validation, and train models with a weight again
    on all ratings: a `FitResult` of each side's mean model. `run` goes on to `Trainer.fit`."""
    problem, residual_mode = data.problem, factory.residual_mode
    if residual_mode:
        if data.held_out is not None and factory.goes_by_rmse and not problem.on_disk:  # slopes take all ratings
            held_out = [data.held_out] + [data.for_weights] * (data.for_weights is not data.held_out)
            data = data._replace(slopes=weight_of_slopes(factory, data.train, held_out))
        factory.tell("to train: %s%s%s" % (
            ", ".join(map(label_of, problem.sides)), ", on %d random splits" % n_fits if n_fits > 1 else "",
            "; then on all ratings" if refit else ""))
    first = _fit_once(factory, data, rng, run, _step("fit ", 1, n_fits))
    fits, history, interrupted = [first], first.history, first.interrupted
    if n_fits > 1 and not interrupted:
        fits, interrupted = _on_more_splits(factory, first, rng, n_fits)
    if interrupted:  # half-trained models aren't reported
        factory = factory.with_settings(progress=False)
    with sigint_as_flag() as late:
        if not residual_mode:
            weights, found = [1.0], None
        elif isinstance(first.judge, ListValidation):
            alone = data.targets(data.alone(), first.models[0].side)
            weights, found = weigh_by_lists(factory, first.models, first.judge, alone)
        else:
            weights, found = weigh(factory, [(fit.judge, fit.models) for fit in fits],
                                   data.held_out and data.held_out.matrix.nnz)
    interrupted = interrupted or factory.ranks.any(late)
    if interrupted:  # the others have other biases
        fits = fits[:1]
    elif refit and residual_mode:
        fits, history, interrupted = _on_all_ratings(factory, fits, weights, run)
    with sigint_as_flag() as late:
        (models, weights), trained = _means(fits, weights), fits[0].models
        biases = fits[0].biases if any(weights) else data.whole().alone()
        scorers = [Scorer(model, problem.ratings, each.side, data.targets(biases, each.side))
                   for model, each in zip(models, trained)]
    measured = "validation_rmse" if problem.metric is None else "validation_lists"
    return FitResult.of(problem, WeightedScorer(scorers, weights), history, trained[0].epoch,
                        {each.side: each.choice for each in trained}, factory.objective, biases,
                        interrupted=interrupted or factory.ranks.any(late), **{measured: found})


class _Fit(NamedTuple):
    """The `SideModel` of each side, trained beside `biases`; their validation (`judge`), and seeds for a refit."""

    data: FitData
    biases: Optional[Biases]
    judge: Union[ValidationResiduals, ListValidation, None]
    models: list
    history: list
    seeds: list
    interrupted: bool


def _fit_once(factory, data, rng, run, label):
    """Train a model of each side: a `_Fit`. Progress names the label."""
    sides, is_large, residual_mode = data.problem.sides, data.problem.holds_out_little, factory.residual_mode
    judge, residuals, models, history = data.list_validation(), None, [], []
    biases, interrupted, less_decay = data.biases_under() if residual_mode else None, False, 1.0
    seeds, again = rng.randint(2 ** 31 - 1, size=(2, len(sides))) if residual_mode else [[rng], [rng]]
    measure_of = judge and partial(ranking_metric, judge)
    if residual_mode and judge is None and data.held_out is not None:
        residuals = ValidationResiduals.of(data.train, biases, data.held_out)
    with factory.until_ctrl_c(models) as ended:
        # Large data: users take less time, so that their decay is found first, and items begin with it.
        for k in range(len(sides))[::-1 if is_large else 1]:
            trainer = SideTrainer(factory, data.of_side(sides[k], biases), seeds[k], run, less_decay,
                                  _step("", len(models) + 1, len(sides)) + label)
            if trainer.searches and is_large and not models and skips_refit(trainer.ratings.nnz / _FEWER_USERS):
                trainer.less_decay = _less_decay_of_some(factory, data, trainer.choice.update, seeds[k])
            models.append(trainer.search(residuals, measure_of))
            history += models[-1].history
            interrupted, less_decay = models[-1].interrupted, trainer.less_decay if is_large else 1.0
            if interrupted:
                break
    models.sort(key=lambda each: each.side)
    errors = [each.error for each in models if each.error]
    if len(errors) == len(models):
        raise errors[0]
    if residuals is not None:
        judge = ValidationResiduals.of(data.train, biases, data.for_weights)
    return _Fit(data, biases, judge, models, history, again, interrupted or bool(ended))


def _on_more_splits(factory, first, rng, n_fits):
    """Train on further random splits with the same choices. Return the fits that succeed, and whether Ctrl-C came."""
    factory, fits = factory.with_settings(choices={each.side: each.choice for each in first.models}), [first]
    for number in range(2, n_fits + 1):
        try:
            with factory.until_ctrl_c(fits) as ended:
                data = hold_out(first.data.problem, rng, True, first.data.slopes)
                fit = _fit_once(factory, data, rng, Run(), _step("fit ", number, n_fits))
        except TrainingDiverged as error:
            factory.tell("fit %d: %s; it is left out" % (number, error))
            continue
        if ended or fit.interrupted:
            return fits, True
        fits.append(fit)
    return fits, False


def _on_all_ratings(factory, fits, weights, run):
    """Train models again on all ratings: complete fits or the first, its history, and whether Ctrl-C came."""
    whole, history, data = [], list(fits[0].history), fits[0].data.whole()
    for number, fit in enumerate(fits):
        trained, label = list(fit.models), _step("fit ", number + 1, len(fits))
        with factory.until_ctrl_c(trained) as ended:
            biases = data.biases_under()
            for k, (each, seed) in enumerate(zip(fit.models, fit.seeds)):
                if weights[k] and each.epoch:
                    trainer = SideTrainer(factory, data.of_side(each.side, biases), seed, Run() if number else run,
                                          label=label)
                    trained[k] = trainer.again(each.choice, each.rates)
                    history += [] if number else trained[k].history
                    if trained[k].interrupted or trained[k].error:
                        break
            else:
                whole.append(fit._replace(models=trained, biases=biases))
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


def _less_decay_of_some(factory, data, update, seed):
    """The factor of the rule's decay that a small model of some users needs; this saves trainings on large data."""
    users, rng = data.train.by(USERS).shape[0], np.random.RandomState(seed)
    some = np.sort(rng.permutation(users)[:-(-users // _FEWER_USERS)])
    train, held_out = (RatingMatrix(each.by(USERS)[some], USERS, each.rows)
                       for each in (data.train, data.held_out))
    factory = factory.with_settings(update=update)
    if factory.is_auto("n_hidden"):
        factory = factory.with_settings(n_hidden=LEAST_HIDDEN)
    part = data._replace(train=train, held_out=held_out, for_weights=None)
    biases, label = part.biases_under(), ", one in %d, to find the decay" % _FEWER_USERS
    trainer = SideTrainer(factory, part.of_side(USERS, biases), seed, label=label)
    if trainer.search(ValidationResiduals.of(train, biases, held_out)).interrupted:
        raise KeyboardInterrupt  # there is no model yet that could be kept
    return trainer.less_decay


def number_of_fits(fits, factory, n_ratings, refit, model):
    """The number of fits; ValueError for several if `model`, which is by the settings, can't be averaged."""
    can = (refit and factory.residual_mode and factory.goes_by_rmse and isinstance(model, AutoEncoder)
           and model.decoder().is_linear)
    if is_auto(fits):
        return _N_FITS if can and n_ratings < _FEW else 1
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
                       (min(first.l2_W * n, MOST), first.l2_V), W, np.vstack(V), np.hstack(mu), sum(b) / n,
                       dtype=first.dtype, U=np.vstack(U), l2_weighted=first.l2_weighted)
