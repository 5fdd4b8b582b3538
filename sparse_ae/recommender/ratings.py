"""From ratings to models: what `Recommender.fit` does once the ratings are a matrix and the settings are given.

The post's way, `fit_ratings`, is one model with ratings in and ratings out. `fit_residuals` trains one model or two on
what biases leave over, weighs them on validation ratings, and trains what helps again on all ratings. Where missing
entries count, the place of the biases is taken by what a missing entry is taken to be rated.

`settings` is a `Recommender`, or whatever else has its settings as attributes and lists them by `get_params`.
"""
import inspect
from functools import partial
from typing import Dict, List, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import MOST, check_count, check_number, check_run
from sparse_ae.contract import Model
from sparse_ae.data.ratings import Checked
from sparse_ae.model import AutoEncoder
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.recommender import probe
from sparse_ae.recommender.defaults import LATE_RATE, WORTH_A_REFIT, Choice, choose, falls, fits_to_join, is_auto
from sparse_ae.recommender.guard import lists_of, mean_weights, promises, verdict, weigh, weigh_by_lists
from sparse_ae.recommender.joining import can_be_joined, joined
from sparse_ae.recommender.settings import Shallow, check_network, in_words
from sparse_ae.recommender.sides import n_columns_of
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.scoring.shared import blend
from sparse_ae.trainer import Trainer, TrainingDiverged
from sparse_ae.training.checkpoint import check_unused, describe
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.objectives import Objective, check_objective
import lasagne

# How much longer each of several fits is trained on all ratings than was best for one: their mean errs less by what
# one has learned by heart, and wants models that have learned more.
_LONGER_IN_A_MEAN = 0.12

# The part of the squared error by which it may be higher with twice as many hidden units of few ratings: what
# validation tells of two models is no more exact, and the mean of several fits has less to fear of more of them.
_AS_GOOD = 0.003

# A training that is no part of a fit's history, and quickly repeated.
_IN_MEMORY = {"on_epoch": None, "checkpoint": None, "checkpoint_every": 1, "resume": False}


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


class Trained(NamedTuple):
    """A model of one side, beside biases.

    Attributes
    ----------
    side : {"items", "users"}
    model : Model
    choice : defaults.Choice
    history : list of dict
    epoch : int
        That the parameters are of, by the history's count; 0 where none was better than biases.
    rates : list of float or None
        The learning rate of each epoch on the way there: those that were put back aren't on it.
    error : TrainingDiverged or None
        Where it diverged.
    """

    side: str
    model: AutoEncoder
    choice: Choice
    history: list
    epoch: int
    rates: list
    error: Optional[TrainingDiverged]

    @property
    def interrupted(self):
        return _ends_interrupted(self.history)

    def scorer(self, ratings, biases, given):
        return given.scorer(self.model, ratings, self.side, biases)


class _ListMeasure:
    """A measure for `Trainer.fit`: that of the lists which a scorer gives by then."""

    def __init__(self, lists, validation, scorer):
        self.name, self._measure = lists.label, lists.name
        self._validation, self._scorer = validation, scorer

    def __call__(self):
        self._scorer.forget()  # the model has been trained on
        return self._validation(lists_of(self._scorer, self._validation), self._measure)


def check_settings(settings, scale, unknown, validated, paths, run, ranks=ALONE, fits="auto", refit=False):
    """Raise what training would, before anything is fitted, compiled or written."""
    any_ratings = sp.csr_matrix(np.ones((1, 1), np.float32))  # what is chosen for "auto" can always be taken
    objective = check_objective(settings.objective)
    choice = choose(settings.get_params(), any_ratings, 1.0 if settings.biases else None, validated, objective)
    rng = np.random.RandomState(0)
    if not isinstance(check_network(settings.network), Shallow):
        ranks.check_alone("network=%s on %d ranks: its columns can't be shared out; expected network='shallow', or one "
                          "process", describe(settings.network))
    model = _model(settings, 1, choice, rng, scale, two_encoders=settings.biases)
    _trainer(settings, model, choice, rng, unknown, objective)
    if settings.formulation != "auto":
        get_formulation(settings.formulation, model, objective)
    if not is_auto(fits) and check_count(fits, "fits", ", such as 4, or 'auto'") > 1:
        by_ratings = settings.biases and objective.clips and objective.measure == "rmse"
        if not (by_ratings and refit and can_be_joined(model) and ranks.size == 1):
            raise ValueError("fits is %d; expected 'auto' or 1 here: several fits are joined where ratings are "
                             "predicted beside biases by a network='shallow' with a linear f, in one process, with "
                             "validation='auto' or a fraction of %g or more, and refit=True" % (fits, WORTH_A_REFIT))
    check_run(choice.n_epochs, choice.patience, checkpoint=paths[0], **run)
    for path in paths:
        if path is not None:
            check_unused(path, run["resume"])


def fit_ratings(settings, given, rng, run):
    """The post's way: ratings in, ratings out.

    Parameters
    ----------
    settings : Recommender
    given : FitInputs
    rng : numpy.random.RandomState
    run : dict
        What goes on to `Trainer.fit`: on_epoch, checkpoint, checkpoint_every, resume.

    Returns
    -------
    FitResult
    """
    rows, = given.sides
    train, held_out = given.train.own(rows), given.held_out and given.held_out.own(rows)
    objective, targets = given.objective.at(given.missing_rating), given.targets(None, rows)
    choice = choose(settings.get_params(), train, targets.variance(train), held_out is not None, objective, given.ranks)
    model = _model(settings, n_columns_of(given.train, rows), choice, rng, targets.output_scale, ranks=given.ranks)
    scorer = given.scorer(model, given.train, rows, None)
    # Outputs start at the mean rating, or at that of the many that are missing: what is learned is how each differs.
    objective.begin(model, train, scorer.mean)
    lists = given.list_validation()
    measure = lists and _ListMeasure(given.lists, lists, scorer)
    history = _trainer(settings, model, choice, rng, given.unknown, objective).fit(
        Checked(train), choice.n_epochs, validation=None if held_out is None else Checked(held_out),
        patience=choice.patience, targets=targets, measure=measure, **run)
    best_epoch = history[-1]["restored"] or len(history)
    _check_learned(settings, model, history[best_epoch - 1]["train_rmse"], best_epoch, given.scale, choice)
    return FitResult(given.scorer(model, given.everything, rows, None), history, best_epoch, {rows: choice},
                     objective)


def fit_residuals(settings, given, rng, paths, run, refit, fits="auto"):
    """Ratings in, residuals out: one model or two beside the biases, with weights from validation.

    Parameters
    ----------
    settings : Recommender
    given : FitInputs
    rng : numpy.random.RandomState
    paths : list of str or None, (most_trainings(len(given.sides)),)
        Checkpoints of the trainings with validation, then of those on all ratings, then of those with another decay.
    run : dict
        What goes on to `Trainer.fit`: on_epoch, checkpoint_every, resume.
    refit : bool
        Whether to train what helps again, on all ratings.
    fits : int or "auto"
        How many fits are to be joined to one.

    Returns
    -------
    FitResult

    Raises
    ------
    TrainingDiverged
        If all models did.
    """
    first = _one_fit(settings, given, rng, paths, run, refit, fits)
    further = _further_fits(settings, given, rng, first, quietly=is_auto(fits))
    whole = [first] + [fit for fit in further if fit.found]
    trained, weights, biases, found = first[:4]
    if len(whole) > 1:
        trained, weights, found = _mean_of(whole)
        given.tell(verdict(found, dict(zip(given.sides, weights)), "RMSE, of %d fits" % len(whole)))
    if not any(weights):
        _, biases = given.simplest(given.everything, biases)
    scorers = [each.scorer(given.everything, biases, given) for each in trained]
    measured = "validation_rmse" if given.lists is None else "validation_lists"
    return FitResult(blend(scorers, weights), first.history, trained[0].epoch,
                     {each.side: each.choice for each in trained}, given.objective.at(0.0), biases, **{measured: found})


class _Fit(NamedTuple):
    """The models of all sides, after training on one part of the ratings and validation on the other.

    `n_fits` is of how many such it is one.
    """

    trained: List[Trained]
    weights: List[float]
    biases: Biases
    found: Optional[Dict[str, float]]
    history: list
    n_fits: int = 1

    @property
    def interrupted(self):
        return _ends_interrupted(self.history)


def _ends_interrupted(history):
    return bool(history) and history[-1]["interrupted"]


def _one_fit(settings, given, rng, paths, run, refit, fits="auto", before=None):
    """As `fit_residuals`, of the validation ratings that are held out: a `_Fit`.

    With a `_Fit` from `before` decays are tried from that on which was best then, and it is one of as many.
    """
    sides = given.sides
    seeds = rng.randint(2 ** 31 - 1, size=(2, len(sides)))
    biases, lists = given.baseline(given.train), given.list_validation()
    trained, history = [], []
    for k, (side, seed) in enumerate(zip(sides, seeds[0])):
        learned = before is not None and before.trained[k].epoch > 0
        choice = before.trained[k].choice if learned else choice_of(settings, given, side, biases)
        trained.append(_fit_with_validation(settings, given, side, biases, seed, choice, run=run,
                                            paths=paths[k::len(sides)], lists=lists, is_first=before is None))
        history += trained[-1].history
        if trained[-1].interrupted:
            break
    errors = [each.error for each in trained if each.error]
    if len(errors) == len(trained):
        raise errors[0]
    if lists is None:
        weights, found = weigh(given, trained, biases)
    else:
        weights, found = weigh_by_lists(given, trained, biases, lists)
    n_fits = 1
    if refit and not trained[-1].interrupted:
        n_fits = _n_fits(settings, given, trained, found, fits) if before is None else before.n_fits
        longer = _LONGER_IN_A_MEAN if n_fits > 1 and is_auto(settings.n_epochs) else 0.0
        biases = given.baseline(given.everything)
        for k, (side, seed, path) in enumerate(zip(sides, seeds[1], paths[len(sides):])):
            if not weights[k] or not trained[k].epoch:
                continue
            again = fit_side(settings, given, side, biases, seed, run=dict(run, checkpoint=path),
                             before=trained[k]._replace(rates=_for_longer(trained[k].rates, longer)))
            history += again.history
            if again.interrupted:
                break
            if not again.error:
                trained[k] = again
    return _Fit(trained, weights, biases, found, history, n_fits)


def _for_longer(rates, share):
    """Learning rates of a training with so many more epochs at the first rate, in proportion."""
    n_first = sum(rate == rates[0] for rate in rates)
    return rates[:1] * int(round(share * n_first)) + rates


def _n_fits(settings, given, trained, found, fits):
    """Return how many fits to join: so many as are asked for, or as many as few ratings want; 1 where none can be."""
    if not (given.goes_by_ratings and found and all(can_be_joined(each.model) for each in trained)):
        return 1
    if not is_auto(fits):
        return fits
    is_large = any(probe.is_large(n_columns_of(given.train, each.side), each.choice) for each in trained)
    if is_large or not is_auto(settings.n_hidden):
        return 1
    return fits_to_join(given.everything.by(given.sides[0]).nnz)


def _further_fits(settings, given, rng, first, quietly):
    """Fit again with other validation ratings, until there are as many as the first is one of: `_Fit`s.

    They have no checkpoint. Ctrl-C ends them, and those that were whole count.
    """
    found, tell, n_fits = [], given.tell, 1 if first.interrupted else first.n_fits
    if n_fits > 1:
        tell("%d fits in all, each with other validation ratings and first weights" % n_fits)
    if quietly:  # they take seconds
        settings, given = settings.silent(), given._replace(progress=False)
    paths = [None] * most_trainings(len(given.sides))
    for number in range(2, n_fits + 1):
        try:
            fit = _one_fit(settings, given.with_held_out(rng), rng, paths, _IN_MEMORY, refit=True, before=first)
        except TrainingDiverged as error:
            tell("fit %d: %s; it is left out" % (number, error))
            continue
        except KeyboardInterrupt:  # between two trainings: what was learned before isn't to be lost
            fit = None
        if fit is None or fit.interrupted:
            tell("fit %d was interrupted, and is left out" % number)
            break
        found.append(fit)
    return found


def _mean_of(fits):
    """Join several fits to trained models, weights and errors of one, whose outputs are their mean, shrunk."""
    trained, weights = [], np.array([fit.weights for fit in fits])  # (n_fits, n_sides)
    means = mean_weights(weights).tolist()
    for k, first in enumerate(fits[0].trained):
        if means[k]:
            counting = np.flatnonzero(weights[:, k])
            models = [fits[n].trained[k].model for n in counting]
            first = first._replace(model=joined(models, weights[counting, k]))
        trained.append(first)
    errors = {name: float(np.sqrt(np.mean([fit.found[name] ** 2 for fit in fits])))
              for name in fits[0].found if all(name in fit.found for fit in fits)}
    return trained, means, errors


def most_trainings(n_sides):
    """Count the trainings that `fit_residuals` may take."""
    return (2 + probe.MORE_TRIES) * n_sides


def _fit_with_validation(settings, given, side, biases, seed, choice, run, paths, lists, is_first):
    """Train a model of one side, and again with another decay, and more hidden units, where validation says so.

    Where training takes long, decays are tried with few hidden units first; where ratings are few, twice as many hidden
    units are tried by the first of several fits.
    """
    network = check_network(settings.network)
    seeks = given.goes_by_ratings and is_auto(settings.l2)
    free = [name for name in ("l2", "n_hidden") if is_auto(getattr(settings, name))]
    looks = given.goes_by_ratings and isinstance(network, Shallow)
    if looks:
        train = partial(fit_side, settings, given, side, biases, seed, run=_IN_MEMORY)
        ended, choice = probe.look(given, side, biases, choice, train, free, np.dtype(network.dtype).itemsize)
        if ended is None and seeks:
            ended, choice = probe.seek(given, side, biases, choice, train, free)
        if ended is not None:
            return ended
    say_what_is_chosen(settings, given, side, choice)
    first, *more = [partial(fit_side, settings, given, side, biases, seed, run=dict(run, checkpoint=path),
                            measure_of=lists and partial(_ListMeasure, given.lists, lists))
                    for path in paths[:1] + paths[2:]]
    best = first(choice=choice)
    if seeks:
        best = probe.better_decay(given, best, biases, more)
    if is_first and looks and "n_hidden" in free and not best.interrupted:
        best = _with_more_hidden(settings, given, side, biases, seed, best, run["on_epoch"])
    return best


def _with_more_hidden(settings, given, side, biases, seed, best, on_epoch):
    """Train a model of one side with twice as many hidden units, where ratings are few: these, or those if better.

    Only where the model is of use as it is: what is the better of two that validation has shown nothing of is luck.
    """
    n_hidden, n_columns = 2 * best.choice.n_hidden, n_columns_of(given.train, side)
    is_large = probe.is_large(n_columns, best.choice._replace(n_hidden=n_hidden))
    is_few = fits_to_join(given.everything.by(side).nnz) > 1
    if not is_few or is_large or n_hidden > probe.most_hidden_of(given, side) or not promises(given, best, biases):
        return best
    train = partial(fit_side, settings, given, side, biases, seed, run=dict(_IN_MEMORY, on_epoch=on_epoch),
                    label="%s as rows, %d hidden units" % (side, n_hidden))
    found, _ = probe.more_hidden(given, best, biases, train, n_hidden, -_AS_GOOD)
    if found.choice.n_hidden == n_hidden:
        given.tell("%s as rows: %d hidden units in place of %d" % (side, n_hidden, best.choice.n_hidden))
    return found


def fit_side(settings, given, side, biases, seed, run, measure_of=None, choice=None, before=None, label=None):
    """Train a model of one side beside biases.

    Parameters
    ----------
    settings, given, biases, run
        As `fit_residuals` has them.
    side : {"items", "users"}
    seed : int
    measure_of : callable, optional
        From a `Scorer` of the model to what `Trainer.fit` takes as a measure.
    choice : Choice, optional
        Chosen here when not given.
    before : Trained, optional
        Training is on all ratings, by its choice, for as long as was best then.
    label : str, optional

    Returns
    -------
    Trained
    """
    refit, on_epoch = before is not None, run["on_epoch"]
    ratings = given.everything if refit else given.train
    train, held_out = ratings.own(side), None if refit or given.held_out is None else given.watched(side)
    targets = given.targets(biases, side, ratings)
    if refit:
        choice, patience, n_epochs = before.choice, None, len(before.rates)
    else:
        if choice is None:
            choice = choice_of(settings, given, side, biases)
            say_what_is_chosen(settings, given, side, choice)
        n_epochs, patience = choice.n_epochs, choice.patience
    goes_on = patience is not None and falls(settings.learning_rate, given.objective)
    rng = np.random.RandomState(seed)
    probe.make_room(n_columns_of(ratings, side), choice)
    model = _model(settings, n_columns_of(ratings, side), choice, rng, targets.output_scale, ranks=given.ranks,
                   two_encoders=True)
    label = label or "%s as rows%s" % (side, ", on all ratings" if refit else "")
    trainer, error = _trainer(settings, model, choice, rng, given.unknown, given.objective.at(0.0), label), None
    if refit:
        # Of a checkpoint with more epochs, which another run has left, the rates differ, and it is refused.
        trainer.learning_rate = lambda epoch: before.rates[epoch - 1] if epoch <= n_epochs else np.nan
    measure = None if measure_of is None or held_out is None else measure_of(given.scorer(model, ratings, side, biases))

    def on_record(record):
        record.update(rows=side, refit=refit)
        if on_epoch is not None:
            on_epoch(record)

    try:
        trainer.fit(Checked(train), n_epochs, validation=None if held_out is None else Checked(held_out),
                    patience=patience, targets=targets, measure=measure, keep_optimiser=False,
                    cut=LATE_RATE if goes_on else None, **dict(run, on_epoch=on_record))
        restored = trainer.history[-1]["restored"]
        epoch = len(trainer.history) if restored is None else restored
        if epoch:
            _check_learned(settings, model, trainer.history[epoch - 1]["train_rmse"], epoch, given.scale, choice)
    except TrainingDiverged as found:
        error, epoch = found, 0
        given.tell("%s: %s; that model is left out" % (label, found))
    for record in trainer.history:  # those of a checkpoint don't come to `on_record`
        record.update(rows=side, refit=refit)
    return Trained(side, model, choice, trainer.history, epoch, _rates_to(epoch, trainer.history), error)


def _rates_to(epoch, history):
    """List the learning rates on the way to an epoch, without those of epochs that were put back."""
    rates = []
    for record in history[:epoch]:
        rates.append(record["learning_rate"])
        if record["restored"] is not None:
            del rates[record["restored"]:]
    return rates


def choice_of(settings, given, side, biases):
    """Choose settings of one side beside biases, for the ratings to train on."""
    train = given.train.own(side)
    return choose(settings.get_params(), train, given.targets(biases, side).variance(train),
                  given.held_out is not None, given.objective.at(0.0), given.ranks)


def _trainer(settings, model, choice, rng, unknown, objective, label=True):
    return Trainer(model, choice.update, choice.learning_rate, choice.batch_size, formulation=settings.formulation,
                   l2_per="epoch", objective=objective, rng=rng, progress=settings.progress and label,
                   unknown=unknown if isinstance(unknown, float) else None)


def _model(settings, n_columns, choice, rng, rating_scale, ranks=ALONE, two_encoders=False):
    network = check_network(settings.network)
    if not isinstance(network, Shallow):
        return _made_by(network, n_columns, choice, rng, rating_scale, two_encoders)
    if check_number(network.weight_scale, "weight_scale", alternative=", such as 0.01") > MOST:
        raise ValueError("weight_scale is %r; expected far less, such as 0.01" % (network.weight_scale,))
    normal = lasagne.init.Normal(network.weight_scale)
    return AutoEncoder(n_columns, choice.n_hidden, rating_scale, f=network.f, g=network.g, l2=choice.l2, W=normal,
                       V=normal, rng=rng, dtype=network.dtype, U=normal if two_encoders else None,
                       l2_weighted=choice.l2_weighted, comm=ranks)


def _made_by(network, n_columns, choice, rng, rating_scale, two_encoders):
    """The model that a callable makes, which has to keep the contract, and to read what its targets bring."""
    name = describe(network)
    if isinstance(choice.l2, (tuple, list)):
        raise ValueError("l2 is %r with network=%s; expected one number for all of its layers" % (choice.l2, name))
    more = {"indicator": True} if two_encoders else {}
    try:
        inspect.signature(network).bind(n_columns, choice.n_hidden, rating_scale=rating_scale, l2=choice.l2, rng=rng,
                                        **more)
    except TypeError as error:
        further = (", and, beside biases, indicator=True: whether it is to read who has rated; or biases=False" if more
                   else "")
        raise TypeError("network=%s can't be called (%s); expected a function that takes (n_columns, n_hidden, "
                        "rating_scale=, l2=, rng=)%s" % (name, error, further)) from error
    except ValueError:  # of a builtin there is no signature
        pass
    model = network(n_columns, choice.n_hidden, rating_scale=rating_scale, l2=choice.l2, rng=rng, **more)
    if not isinstance(model, Model):
        raise TypeError("network=%s has made %r; expected a model that keeps sparse_ae.contract, such as a "
                        "networks.Network" % (name, model))
    if model.n_columns != n_columns:
        raise ValueError("network=%s has made a model of %d columns; expected %d" % (name, model.n_columns, n_columns))
    if tuple(model.channels) != tuple(more):
        raise ValueError("network=%s has made a model that reads %s beside the ratings; expected one that reads %s%s"
                         % (name, " and ".join(model.channels) or "nothing", " and ".join(more) or "nothing",
                            ": an InputLayer named 'indicator', of who has rated; or biases=False" if more else ""))
    return model


def _check_learned(settings, model, error, epoch, scale, choice):
    ruined = [p.name for p in model.params if not (np.abs(p.get_value(borrow=True)) <= MOST).all()]
    if model.ranks.any(ruined):
        raise TrainingDiverged("%s holds numbers beyond %g in epoch %d; lower learning_rate=%r, or the weight_scale of "
                               "network=%r" % (" and ".join(ruined) or "a parameter of another rank", MOST, epoch,
                                               choice.learning_rate, settings.network))
    if error is not None and error > scale[1] - scale[0]:  # any constant on the scale is better
        raise TrainingDiverged("the training RMSE is %g in epoch %d, on a scale from %g to %g; lower "
                               "learning_rate=%r, or the weight_scale of network=%r"
                               % (error, epoch, *scale, choice.learning_rate, settings.network))


def say_what_is_chosen(settings, given, side, choice):
    """Say a line on the settings that were chosen for a side."""
    chosen = {name: value for name, value in choice._asdict().items() if is_auto(getattr(settings, name, None))}
    if chosen:
        given.tell("%s as rows: %s" % (side, in_words(chosen)))
