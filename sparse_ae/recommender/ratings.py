"""Fit ratings: models of one side or two, added to biases with weights from validation.

In residual mode models are trained on what biases leave over, weighed on validation ratings, and those with a weight
are trained again on all ratings. The post's way (`biases=False`) is one model without biases: ratings in, ratings out.
"""
from functools import partial
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import check_count
from sparse_ae.data.side import USERS
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender.defaults import LEAST_HIDDEN, is_auto, is_large
from sparse_ae.recommender.fitted import Fitted
from sparse_ae.recommender.guard import verdict, weigh, weigh_by_lists
from sparse_ae.recommender.side_trainer import IN_MEMORY, SideTrainer, Trained
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.scoring.rated import Rated
from sparse_ae.scoring.scorer import Blend
from sparse_ae.trainer import TrainingDiverged, list_measure

# Large data's decay is looked for with so many times fewer users.
_FEWER_USERS = 8


class _Fit(NamedTuple):
    """The models of all sides, and their validation."""

    trained: List[Trained]
    weights: List[float]
    biases: Optional[Biases]
    found: Optional[Dict[str, float]]
    history: list
    interrupted: bool


def fit_ratings(problem, rng, run, refit, fits=1):
    """Fit the models of all sides, and with `fits` further ones on other splits that are averaged: a `Fitted`. `run`
    goes on to `Trainer.fit`."""
    if problem.settings.biases:
        problem = problem.with_slopes()
    first = _fit_once(problem, rng, run, refit)
    models, weights, biases, found = [each.model for each in first.trained], first.weights, first.biases, first.found
    interrupted = first.interrupted
    if not (is_auto(fits) or interrupted):
        models, weights, found, interrupted = _averaged(first, problem, rng, fits)
    with sigint_as_flag() as late:
        if not any(weights):
            biases = problem.alone(problem.everything)
        scorers = [problem.scorer(model, problem.everything, each.side, biases)
                   for model, each in zip(models, first.trained)]
    measured = "validation_rmse" if problem.lists is None else "validation_lists"
    return Fitted.of(problem, Blend(scorers, weights), first.history, first.trained[0].epoch,
                     {each.side: each.choice for each in first.trained}, problem.objective_beside(biases), biases,
                     interrupted=interrupted or problem.ranks.any(late), **{measured: found})


def _fit_once(problem, rng, run, refit):
    """Train all sides, find weights by validation, and train those with a weight again on all ratings: a `_Fit`. If one
    of the latter diverges, or is interrupted, all models stay beside the biases that they were trained with."""
    sides, beside = problem.sides, bool(problem.settings.biases)
    biases, lists = problem.biases_under(problem.train) if beside else None, problem.list_validation()
    seeds = rng.randint(2 ** 31 - 1, size=(2, len(sides))) if beside else [[rng]]
    measure_of = lists and partial(list_measure, lists)
    trained, history, less_decay, interrupted = [], [], 1.0, False
    with problem.until_ctrl_c(trained) as ended:
        # With large data the decay that users need, who take less time, is what items begin with.
        for k in range(len(sides))[::-1 if problem.is_large else 1]:
            trainer = SideTrainer(problem, sides[k], biases, seeds[0][k], run, less_decay)
            if (trainer.searches and problem.is_large and not trained
                    and is_large(problem.train.by(sides[k]).nnz / _FEWER_USERS)):
                trainer.less_decay = _less_decay_of_some(problem, trainer.choice.update, seeds[0][k])
            trained.append(trainer.search(measure_of))
            history += trained[-1].history
            interrupted, less_decay = trained[-1].interrupted, trainer.less_decay if problem.is_large else 1.0
            if interrupted:
                break
    interrupted = interrupted or bool(ended)
    trained.sort(key=lambda each: each.side)
    errors = [each.error for each in trained if each.error]
    if len(errors) == len(trained):
        raise errors[0]
    if interrupted:  # half-trained models have no verdict
        problem = problem.with_settings(progress=False)
    with sigint_as_flag() as late:
        if not beside:
            weights, found = [1.0], None
        elif lists is None:
            weights, found = weigh(problem, trainer.known, trained)
        else:
            weights, found = weigh_by_lists(problem, trained, lists)
    interrupted = interrupted or problem.ranks.any(late)
    if refit and beside and not interrupted:
        with problem.until_ctrl_c(trained) as ended:
            everything, again = problem.biases_under(problem.everything), list(trained)
            for k, (each, seed) in enumerate(zip(trained, seeds[1])):
                if weights[k] and each.epoch:
                    trainer = SideTrainer(problem, each.side, everything, seed, run)
                    again[k] = trainer.train(each.choice, rates=each.rates)
                    history += again[k].history
                    interrupted = again[k].interrupted
                    if again[k].interrupted or again[k].error:
                        break
            else:
                trained, biases = again, everything
        interrupted = interrupted or bool(ended)
    return _Fit(trained, weights, biases, found, history, interrupted)


def _less_decay_of_some(problem, update, seed):
    """The part of the rule's decay that a small model of some users needs: large data isn't trained on in vain."""
    users, rng = problem.train.by(USERS).shape[0], np.random.RandomState(seed)
    some = np.sort(rng.permutation(users)[:-(-users // _FEWER_USERS)])
    train, held_out = (Rated(each.by(USERS)[some], USERS, each.rows)
                       for each in (problem.train, problem.held_out))
    n_hidden = problem.settings.n_hidden
    part = problem._replace(train=train, held_out=held_out).with_settings(
        update=update, n_hidden=LEAST_HIDDEN if is_auto(n_hidden) else n_hidden)
    name = "one in %d users as rows, to find the decay" % _FEWER_USERS
    trainer = SideTrainer(part, USERS, part.biases_under(train), seed, IN_MEMORY, name=name)
    if trainer.search().interrupted:
        raise KeyboardInterrupt  # nothing is there yet that could be kept
    return trainer.less_decay


# Several fits: equation (13) of docs/explanation/biases.md.


def check_fits(fits, problem, refit, model):
    """Raise ValueError for several fits if a `model` of these settings can't be averaged."""
    if is_auto(fits) or check_count(fits, "fits", ", such as 4, or 'auto'") == 1:
        return
    if not (refit and problem.settings.biases and problem.objective.clips and problem.objective.measure == "rmse"
            and isinstance(model, AutoEncoder) and model.decoder().is_linear):
        raise ValueError("fits is %d; expected 'auto' or 1: averaging needs residual mode, network='shallow' with a "
                         "linear f, validation='auto' or a fraction, and refit=True" % fits)


def _averaged(first, problem, rng, n_fits):
    """Fit again on other random splits by the same choices, until Ctrl-C: a model of each side, the mean of all fits
    that succeed, their weights and validation errors, and whether Ctrl-C came."""
    problem = problem.with_settings(choices={each.side: each.choice for each in first.trained})
    fits, interrupted = [first], False
    for number in range(2, n_fits + 1):
        try:
            with problem.until_ctrl_c(fits) as ended:
                fit = _fit_once(problem.with_held_out(rng), rng, IN_MEMORY, refit=True)
        except TrainingDiverged as error:
            problem.tell("fit %d: %s; it is left out" % (number, error))
            continue
        interrupted = bool(ended) or fit.interrupted
        if interrupted:
            break
        fits += [fit] if fit.found else []
    if len(fits) == 1:
        return [each.model for each in first.trained], first.weights, first.found, interrupted
    weights = np.array([fit.weights for fit in fits])  # (n_fits, n_sides)
    models = [joined([fit.trained[k].model for fit, weight in zip(fits, of_side) if weight], of_side[of_side > 0])
              if of_side.any() else first.trained[k].model for k, of_side in enumerate(weights.T)]
    found = {name: float(np.sqrt(np.mean([fit.found[name] ** 2 for fit in fits])))
             for name in first.found if all(name in fit.found for fit in fits)}
    weights = weights.mean(axis=0).tolist()
    if not interrupted:
        problem.tell(verdict(found, dict(zip(problem.sides, weights)), "RMSE (mean of %d fits)" % len(fits)))
    return models, weights, found, interrupted


def joined(models, weights):
    """The mean of `AutoEncoder`s of the same settings, by equation (13), for the mean of their weights."""
    first, shares = models[0], np.array(weights) / np.sum(weights)
    W, V, mu, b, U = ([getattr(model, name).get_value(borrow=True) for model in models]
                      for name in ("W", "V", "mu", "b", "U"))
    W = np.hstack([share * each for share, each in zip(shares.astype(first.dtype), W)])  # (n_columns, sum of k)
    b = sum(share * each for share, each in zip(shares, b)).astype(first.dtype)
    return AutoEncoder(first.n_columns, W.shape[1], first.rating_scale, first.f, first.g,
                       (float(first.l2_W / np.sum(shares ** 2)), first.l2_V), W, np.vstack(V), np.hstack(mu), b,
                       dtype=first.dtype, U=np.vstack(U), l2_weighted=first.l2_weighted)
