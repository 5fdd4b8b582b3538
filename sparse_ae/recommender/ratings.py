"""Fit ratings: models of one side or two, added to biases with weights from validation.

In residual mode models are trained on what biases leave over, weighed on validation ratings, and those with a weight
are trained again on all ratings. The post's way (`biases=False`) is one model without biases: ratings in, ratings out.
"""
from functools import partial
from typing import Dict, List, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import check_count, check_run
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.recommender.climb import climb
from sparse_ae.recommender.defaults import WORTH_A_REFIT, Choice, choose, is_auto
from sparse_ae.recommender.guard import mean_weights, promises, stretch_on_validation, verdict, weigh, weigh_by_lists
from sparse_ae.recommender.joining import can_be_joined, joined
from sparse_ae.recommender.memory import memory_needed, memory_there
from sparse_ae.recommender.settings import Shallow, check_network
from sparse_ae.recommender.side_trainer import (
    IN_MEMORY,
    ListMeasure,
    SideTrainer,
    Trained,
    model_of,
    objective_of,
    trainer_of,
)
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.scoring.shared import blend
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.training.checkpoint import check_unused, describe
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.objectives import Objective, check_objective

# Trainings with another decay at most, and by which factor. If the best scale of the outputs is above 1.1 the decay is
# too strong, below 0.7 too weak.
_MORE_TRIES, _LESS_DECAY, _TOO_SMALL, _TOO_LARGE = 2, 0.3, 1.1, 0.7

# From so many ratings, or numbers in W, a pilot with few hidden units shows whether a side is worth its time, by which
# decay, and with how many hidden units: twice as many while the MSE falls by this share.
_MANY_RATINGS, _LARGE, _PILOT_HIDDEN, _PILOT_UPDATES, _WORTH_TWICE = 10 ** 6, 2 ** 23, 64, 650, 0.001


class FitResult(NamedTuple):
    """The outcome of training, or of a file."""

    scorer: Scorer
    history: list
    best_epoch: int
    choices: Dict[str, Choice]
    objective: Objective
    biases: Optional[Biases] = None
    validation_rmse: Optional[Dict[str, float]] = None
    validation_lists: Optional[Dict[str, float]] = None
    weights: Optional[Dict[str, float]] = None


class _Fit(NamedTuple):
    """The models of all sides, and what validation says of them."""

    trained: List[Trained]
    weights: List[float]
    biases: Optional[Biases]
    found: Optional[Dict[str, float]]
    history: list
    interrupted: bool


def check_settings(settings, scale, unknown, validated, paths, run, ranks=ALONE, fits="auto", refit=False):
    """Raise what training would, before anything is fitted, compiled or written."""
    any_ratings = sp.csr_matrix(np.ones((1, 1), np.float32))  # the settings for "auto" can always be taken
    objective = check_objective(settings.objective)
    choice = choose(settings.get_params(), any_ratings, 1.0 if settings.biases else None, validated, objective)
    rng = np.random.RandomState(0)
    if not isinstance(check_network(settings.network), Shallow):
        ranks.check_alone("network=%s on %d ranks: its columns can't be shared out; expected network='shallow', or one "
                          "process", describe(settings.network))
    model = model_of(settings, 1, choice, rng, scale, two_encoders=settings.biases)
    trainer_of(settings, model, choice, rng, unknown, objective)
    if settings.formulation != "auto":
        get_formulation(settings.formulation, model, objective)
    if not is_auto(fits) and check_count(fits, "fits", ", such as 4, or 'auto'") > 1:
        by_ratings = settings.biases and objective.clips and objective.measure == "rmse"
        if not (by_ratings and refit and can_be_joined(model) and ranks.size == 1):
            raise ValueError("fits is %d; expected 'auto' or 1 here: several fits are averaged where ratings are "
                             "predicted in residual mode by a network='shallow' with a linear f, in one process, with "
                             "validation='auto' or a fraction of %g or more, and refit=True" % (fits, WORTH_A_REFIT))
    check_run(choice.n_epochs, choice.patience, checkpoint=paths[0], **run)
    for path in paths:
        if path is not None:
            check_unused(path, run["resume"])


def most_trainings(n_sides):
    """Count the trainings with a checkpoint in residual mode."""
    return (2 + _MORE_TRIES) * n_sides


def fit_ratings(settings, problem, rng, paths, run, refit, fits=1):
    """Fit the models of all sides, and with `fits` further ones on other splits that are averaged: a `FitResult`.

    `paths` are checkpoints (None for none): of the trainings with validation, of those on all ratings, and of those
    with another decay, by sides. `run` goes on to `Trainer.fit`.
    """
    if settings.biases:
        problem = problem.with_slopes()
    first = _fit_once(settings, problem, rng, paths, run, refit)
    trained, weights, biases, found = first[:4]
    further = []
    if not (is_auto(fits) or first.interrupted):
        further = _further_fits(settings.with_choices({each.side: each.choice for each in trained}), problem, rng, fits)
    if further:
        trained, weights, found = _mean_of([first] + further)
        problem.tell(verdict(found, dict(zip(problem.sides, weights)), "RMSE, of %d fits" % (1 + len(further))))
    if not any(weights):
        _, biases = problem.simplest(problem.everything, problem.baseline(problem.everything))
    scorers = [each.scorer(problem.everything, biases, problem) for each in trained]
    measured = "validation_rmse" if problem.lists is None else "validation_lists"
    return FitResult(scorers[0] if biases is None else blend(scorers, weights), first.history, trained[0].epoch,
                     {each.side: each.choice for each in trained}, objective_of(problem, biases), biases,
                     **{measured: found})


def _fit_once(settings, problem, rng, paths, run, refit):
    """Train all sides, weigh them by validation, and train those with a weight again on all ratings: a `_Fit`.

    If one of the latter diverges, or is interrupted, all models stay beside the biases that they were trained with.
    """
    sides, beside = problem.sides, bool(settings.biases)
    biases, lists = problem.baseline(problem.train) if beside else None, problem.list_validation()
    seeds = rng.randint(2 ** 31 - 1, size=(2, len(sides))) if beside else [[rng]]
    measure_of = lists and partial(ListMeasure, problem.lists, lists)
    trainers = [SideTrainer(settings, problem, side, biases, seed, run) for side, seed in zip(sides, seeds[0])]
    trained, history = [], []
    for k, trainer in enumerate(trainers):
        trained.append(_train_side(trainer, paths[k::len(sides)], measure_of))
        history += trained[-1].history
        if trained[-1].interrupted:
            break
    errors, interrupted = [each.error for each in trained if each.error], trained[-1].interrupted
    if len(errors) == len(trained):
        raise errors[0]
    if not beside:
        weights, found = [1.0], None
    elif lists is None:
        weights, found = weigh(problem, trained, biases)
    else:
        weights, found = weigh_by_lists(problem, trained, biases, lists)
    if refit and beside and not interrupted:
        everything, again = problem.baseline(problem.everything), list(trained)
        for k, (trainer, seed) in enumerate(zip(trainers, seeds[1])):
            if weights[k] and trained[k].epoch:
                again[k] = trainer.refit(trained[k], everything, seed, checkpoint=paths[len(sides) + k])
                history += again[k].history
                interrupted = again[k].interrupted
                if again[k].interrupted or again[k].error:
                    break
        else:
            trained, biases = again, everything
    return _Fit(trained, weights, biases, found, history, interrupted)


def _train_side(trainer, paths, measure_of):
    """Train a model of one side, and again with another decay where validation says so: a `Trained`."""
    settings, problem, choice = trainer.settings, trainer.problem, trainer.choose()
    searches = problem.goes_by_ratings and trainer.biases is not None and settings.choices is None
    if searches and isinstance(check_network(settings.network), Shallow):
        ended, choice = _pilot(trainer, choice)
        if ended is not None:
            return ended
    if searches and is_auto(settings.l2) and not trainer.has_rule:
        choice = trainer.measured(choice)
    trainer.say(choice)
    best = trainer.train(choice, measure_of=measure_of, checkpoint=paths[0])
    if searches and is_auto(settings.l2):
        tries = [partial(trainer.train, checkpoint=path) for path in paths[2:]]
        best = _better_decay(trainer, best, tries)
    return best


def _pilot(trainer, choice):
    """Train few hidden units first where much is to be trained: (Trained or None, Choice).

    The first is there where the side is to be left out, or after Ctrl-C; the second has the decay and the number of
    hidden units that validation has shown to be worth it.
    """
    settings, problem, side = trainer.settings, trainer.problem, trainer.side
    n_columns, train = trainer.n_columns, problem.train.by(side)
    is_large = n_columns * choice.n_hidden >= _LARGE
    if choice.n_hidden < 2 * _PILOT_HIDDEN or not (is_large or train.nnz >= _MANY_RATINGS):
        return None, choice
    needed, free = memory_needed(n_columns, choice, np.dtype(check_network(settings.network).dtype).itemsize), \
        memory_there()
    if free is not None and needed > free:
        problem.tell("%s as rows: training takes about %.1f GB, of %.1f GB of memory that are free; a smaller n_hidden "
                     "than %d, or the other rows alone, takes less" % (side, needed / 1e9, free / 1e9, choice.n_hidden))
    per_epoch = choice.updates_per_epoch(np.count_nonzero(np.diff(train.indptr)))
    n_epochs = min(choice.n_epochs, max(2, -(-_PILOT_UPDATES // per_epoch)))
    tried = []

    def train_few(choice):
        tried.append(trainer.train(choice, "%s as rows, %d hidden units first" % (side, choice.n_hidden), **IN_MEMORY))
        return tried[-1]

    def with_twice(trained):
        n_hidden = 2 * trained.choice.n_hidden
        return train_few(trained.choice._replace(n_hidden=n_hidden)) if n_hidden <= choice.n_hidden else None

    # Errors may stand still for most of the updates.
    best = train_few(choice._replace(n_hidden=_PILOT_HIDDEN, n_epochs=n_epochs, patience=n_epochs))
    if is_auto(settings.l2):
        best = _better_decay(trainer, best, [train_few] * _MORE_TRIES)
    if not best.interrupted and problem.guarded and not promises(problem, best, trainer.biases):
        problem.tell("%s as rows: with %d hidden units validation ratings show no gain over biases; the %d that were "
                     "chosen are left out" % (side, _PILOT_HIDDEN, choice.n_hidden))
        return best._replace(epoch=0), choice
    if is_auto(settings.n_hidden) and not best.interrupted:
        best, _ = climb(best, [with_twice], partial(_error_of, trainer), lambda new, old: 1 - new / old, _WORTH_TWICE,
                        most_steps=10)
        if tried[-1] is not best:
            choice = choice._replace(n_hidden=best.choice.n_hidden)
    if tried[-1].interrupted:
        return best._replace(interrupted=True), choice
    if choice.patience is not None:
        choice = choice._replace(patience=max(choice.patience, 1 + _stood_still(best.history)))
    return None, choice._replace(l2=best.choice.l2)


def _better_decay(trainer, best, tries):
    """Train with another decay while validation ratings say so, and it helps: the best `Trained`.

    The rule for ``l2="auto"`` takes the residuals of biases for noise. If much of it is taste, the decay shrinks
    outputs too much, and least squares would stretch them again; those of a model that overfits it would shrink.
    """
    problem, tries, tried = trainer.problem, iter(tries), [best]
    stretch, error = stretch_on_validation(problem, best, trainer.biases)
    if best.error or best.interrupted or not error:  # no validation rating is of a known pair
        return best
    is_small = stretch > 1

    def with_decay(factor, why, trained):
        train = next(tries, None)
        if train is None or tried[-1].interrupted:
            return None
        choice = trained.choice._replace(l2=trained.choice.l2 * factor)
        problem.tell("%s as rows: %s; again with l2=%.4g" % (trained.side, why, choice.l2))
        tried.append(train(choice))
        return tried[-1]

    def with_other_decay(trained):
        stretch, _ = stretch_on_validation(problem, trained, trainer.biases)
        if _TOO_LARGE <= stretch <= _TOO_SMALL or (stretch > 1) != is_small:
            return None
        return with_decay(_LESS_DECAY if is_small else 1 / _LESS_DECAY, _in_words(stretch), trained)

    moves = [with_other_decay]
    if not trainer.has_rule:  # least squares tells nothing of the decay of another cost
        moves = [partial(with_decay, factor, "its cost knows no decay") for factor in (_LESS_DECAY, 1 / _LESS_DECAY)]
    best, _ = climb(best, moves, partial(_error_of, trainer), lambda new, old: old - new, most_steps=_MORE_TRIES)
    return best._replace(interrupted=tried[-1].interrupted)


def _error_of(trainer, trained):
    """The squared error on validation ratings, at the best scale of the outputs; infinite where training broke off."""
    if trained.error or trained.interrupted:
        return np.inf
    return stretch_on_validation(trainer.problem, trained, trainer.biases)[1]


def _in_words(stretch):
    if np.isinf(stretch):
        return "next to nothing is learned"
    if not stretch:
        return "the outputs make validation ratings worse"
    return "outputs are too %s by a factor of %.2f" % (("small", stretch) if stretch > 1 else ("large", 1 / stretch))


def _stood_still(history):
    """The longest run of epochs without improvement."""
    best, since, most = np.inf, 0, 0
    for record in history:
        if record["validation_rmse"] < best:
            best, since, most = record["validation_rmse"], record["epoch"], max(most, record["epoch"] - since)
    return most


def _further_fits(settings, problem, rng, n_fits):
    """Fit again on other random splits by the same choices: as many `_Fit`s as end well, until Ctrl-C."""
    found, paths = [], [None] * most_trainings(len(problem.sides))
    for number in range(2, n_fits + 1):
        try:
            fit = _fit_once(settings, problem.with_held_out(rng), rng, paths, IN_MEMORY, refit=True)
        except TrainingDiverged as error:
            problem.tell("fit %d: %s; it is left out" % (number, error))
            continue
        except KeyboardInterrupt:  # between two trainings
            fit = None
        if fit is None or fit.interrupted:
            problem.tell("fit %d was interrupted, and is left out" % number)
            break
        found.append(fit)
    return [fit for fit in found if fit.found]


def _mean_of(fits):
    """Average several fits: trained models, weights and validation errors of one."""
    trained, weights = [], np.array([fit.weights for fit in fits])  # (n_fits, n_sides)
    means = mean_weights(weights).tolist()
    for k, first in enumerate(fits[0].trained):
        counting = np.flatnonzero(weights[:, k])
        if means[k]:
            first = first._replace(model=joined([fits[n].trained[k].model for n in counting], weights[counting, k]))
        trained.append(first)
    errors = {name: float(np.sqrt(np.mean([fit.found[name] ** 2 for fit in fits])))
              for name in fits[0].found if all(name in fit.found for fit in fits)}
    return trained, means, errors
