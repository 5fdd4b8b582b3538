"""Fit ratings: models of one side or two, added to biases with weights from validation.

In residual mode models are trained on what biases leave over, weighed on validation ratings, and those with a weight
are trained again on all ratings. The post's way (`biases=False`) is one model without biases: ratings in, ratings out.
"""
from functools import partial
from typing import List, NamedTuple, Optional, Sequence, Union

import numpy as np

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import check_count
from sparse_ae.data.side import USERS
from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender.defaults import LEAST_HIDDEN, is_auto, is_large
from sparse_ae.recommender.fitted import Fitted
from sparse_ae.recommender.guard import Known, weigh, weigh_by_lists
from sparse_ae.recommender.problem import Problem
from sparse_ae.recommender.side_trainer import IN_MEMORY, SideTrainer, Trained
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import WeightedScorer
from sparse_ae.trainer import TrainingDiverged, list_measure

# Of fits but the first, where progress is reported.
_NUMBER = ", fit %d of %d"

# Large data's decay is looked for with so many times fewer users.
_FEWER_USERS = 8


class _Fit(NamedTuple):
    """The models of all sides beside `biases`, what judges them (None without validation), and seeds to train them
    again."""

    problem: Problem
    trained: List[Trained]
    biases: Optional[Biases]
    judge: Union[Known, ListValidation, None]
    seeds: Sequence[int]
    history: list
    interrupted: bool


def fit_ratings(problem, rng, run, refit, n_fits=1):
    """Train the models of all sides on `n_fits` splits, find weights by validation, and train those with a weight again
    on all ratings: a `Fitted` of the models, or of their means. `run` goes on to `Trainer.fit`."""
    beside = bool(problem.settings.biases)
    if beside:
        problem = problem.with_slopes()
    fits = [_validated(problem, rng, run)]
    first, history, interrupted = fits[0], fits[0].history, fits[0].interrupted
    if n_fits > 1 and not interrupted:
        fits, interrupted = _on_more_splits(first, rng, n_fits)
    if interrupted:  # half-trained models have no verdict
        problem = problem.with_settings(progress=False)
    with sigint_as_flag() as late:
        if not beside:
            weights, found = [1.0], None
        elif isinstance(first.judge, ListValidation):
            weights, found = weigh_by_lists(problem, first.trained, first.judge)
        else:
            weights, found = weigh(problem, [(fit.judge, fit.trained) for fit in fits])
    interrupted = interrupted or problem.ranks.any(late)
    if interrupted:  # the others are beside other biases
        fits = fits[:1]
    elif refit and beside:
        fits, history, interrupted = _on_all_ratings(fits, weights, run)
    with sigint_as_flag() as late:
        (models, weights), trained = _means(fits, weights), fits[0].trained
        biases = fits[0].biases if any(weights) else problem.alone(problem.everything)
        scorers = [problem.scorer(model, problem.everything, each.side, biases)
                   for model, each in zip(models, trained)]
    measured = "validation_rmse" if problem.lists is None else "validation_lists"
    return Fitted.of(problem, WeightedScorer(scorers, weights), history, trained[0].epoch,
                     {each.side: each.choice for each in trained}, problem.objective_beside(biases), biases,
                     interrupted=interrupted or problem.ranks.any(late), **{measured: found})


def _validated(problem, rng, run, label=""):
    """Train all sides with early stopping: a `_Fit`. Progress tells of a `label`."""
    sides, beside = problem.sides, bool(problem.settings.biases)
    biases, judge = problem.biases_under(problem.train) if beside else None, problem.list_validation()
    seeds = rng.randint(2 ** 31 - 1, size=(2, len(sides))) if beside else [[rng], [rng]]
    measure_of = judge and partial(list_measure, judge)
    trained, history, less_decay, interrupted = [], [], 1.0, False
    with problem.until_ctrl_c(trained) as ended:
        # With large data the decay that users need, who take less time, is what items begin with.
        for k in range(len(sides))[::-1 if problem.is_large else 1]:
            trainer = SideTrainer(problem, sides[k], biases, seeds[0][k], run, less_decay, label)
            if (trainer.searches and problem.is_large and not trained
                    and is_large(problem.train.by(sides[k]).nnz / _FEWER_USERS)):
                trainer.less_decay = _less_decay_of_some(problem, trainer.choice.update, seeds[0][k])
            trained.append(trainer.search(measure_of))
            history += trained[-1].history
            interrupted, less_decay = trained[-1].interrupted, trainer.less_decay if problem.is_large else 1.0
            if interrupted:
                break
    trained.sort(key=lambda each: each.side)
    errors = [each.error for each in trained if each.error]
    if len(errors) == len(trained):
        raise errors[0]
    if beside and judge is None and problem.weighed is not None:
        judge = Known.of(problem, biases, problem.weighed)
    return _Fit(problem, trained, biases, judge, seeds[1], history, interrupted or bool(ended))


def _on_more_splits(first, rng, n_fits):
    """Train on further random splits with the same choices: fits that succeed, until Ctrl-C, and whether it came."""
    fits, problem = [first], first.problem.with_settings(choices={each.side: each.choice for each in first.trained})
    for number in range(2, n_fits + 1):
        try:
            with problem.until_ctrl_c(fits) as ended:
                fit = _validated(problem.with_held_out(rng, True), rng, IN_MEMORY, _NUMBER % (number, n_fits))
        except TrainingDiverged as error:
            problem.tell("fit %d: %s; it is left out" % (number, error))
            continue
        if ended or fit.interrupted:
            return fits, True
        fits.append(fit)
    return fits, False


def _on_all_ratings(fits, weights, run):
    """Train models with a weight again on all ratings: the fits that are whole, the history of the first, and whether
    Ctrl-C came. If there are none the first fit's models stay beside the biases that they were trained with."""
    whole, history = [], list(fits[0].history)
    for number, fit in enumerate(fits):
        problem, trained, label = fit.problem, list(fit.trained), _NUMBER % (number + 1, len(fits)) if number else ""
        with problem.until_ctrl_c(trained) as ended:
            everything = problem.biases_under(problem.everything)
            for k, (each, seed) in enumerate(zip(fit.trained, fit.seeds)):
                if weights[k] and each.epoch:
                    trainer = SideTrainer(problem, each.side, everything, seed, IN_MEMORY if number else run,
                                          label=label)
                    trained[k] = trainer.train(each.choice, rates=each.rates)
                    history += [] if number else trained[k].history
                    if trained[k].interrupted or trained[k].error:
                        break
            else:
                whole.append(fit._replace(trained=trained, biases=everything))
        if ended or any(each.interrupted for each in trained):
            return whole or fits[:1], history, True
    return whole or fits[:1], history, False


def _means(fits, weights):
    """The mean model of each side, and its weight: fits in which no epoch was better than biases count as 0."""
    if len(fits) == 1:
        return [each.model for each in fits[0].trained], weights
    models, found = [], []
    for of_side, weight in zip(zip(*(fit.trained for fit in fits)), weights):
        useful = [each.model for each in of_side if each.epoch] if weight else []
        models.append(mean_of(useful) if useful else of_side[0].model)
        found.append(weight * len(useful) / len(fits))
    return models, found


def _less_decay_of_some(problem, update, seed):
    """The part of the rule's decay that a small model of some users needs: large data isn't trained on in vain."""
    users, rng = problem.train.by(USERS).shape[0], np.random.RandomState(seed)
    some = np.sort(rng.permutation(users)[:-(-users // _FEWER_USERS)])
    train, held_out = (RatingMatrix(each.by(USERS)[some], USERS, each.rows)
                       for each in (problem.train, problem.held_out))
    n_hidden = problem.settings.n_hidden
    part = problem._replace(train=train, held_out=held_out, weighed=None).with_settings(
        update=update, n_hidden=LEAST_HIDDEN if is_auto(n_hidden) else n_hidden)
    label = ", one in %d, to find the decay" % _FEWER_USERS
    trainer = SideTrainer(part, USERS, part.biases_under(train), seed, IN_MEMORY, label=label)
    if trainer.search().interrupted:
        raise KeyboardInterrupt  # nothing is there yet that could be kept
    return trainer.less_decay


# Several fits: equation (13) of docs/explanation/biases.md. Below so many ratings there are so many by default.

_FEW, _N_FITS = 20000, 4


def number_of_fits(fits, problem, refit, model):
    """How many fits are averaged; ValueError for several if a `model` of these settings can't be averaged."""
    can = (refit and problem.settings.biases and problem.objective.clips and problem.objective.measure == "rmse"
           and isinstance(model, AutoEncoder) and model.decoder().is_linear)
    if is_auto(fits):
        return _N_FITS if can and problem.everything.matrix.nnz < _FEW else 1
    if check_count(fits, "fits", ", such as 4, or 'auto'") > 1 and not can:
        raise ValueError("fits is %d; expected 'auto' or 1: averaging needs residual mode, network='shallow' with a "
                         "linear f, validation='auto' or a fraction, and refit=True" % fits)
    return fits


def mean_of(models):
    """The mean of `AutoEncoder`s of the same settings, by equation (13)."""
    first, n = models[0], len(models)
    W, V, mu, b, U = ([getattr(model, name).get_value(borrow=True) for model in models]
                      for name in ("W", "V", "mu", "b", "U"))
    W = np.hstack(W) / n  # (n_columns, sum of k)
    return AutoEncoder(first.n_columns, W.shape[1], first.rating_scale, first.f, first.g,
                       (first.l2_W * n, first.l2_V), W, np.vstack(V), np.hstack(mu), sum(b) / n,
                       dtype=first.dtype, U=np.vstack(U), l2_weighted=first.l2_weighted)
