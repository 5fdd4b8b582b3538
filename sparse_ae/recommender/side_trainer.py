"""Training a model of one side: of what its rows are, items or users."""
import inspect
from typing import List, NamedTuple, Optional

import numpy as np

from sparse_ae.checks import MOST, check_number, check_rng
from sparse_ae.contract import Model
from sparse_ae.data.ratings import Checked
from sparse_ae.model import AutoEncoder
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.recommender.defaults import PLAIN_L2, TYPICAL, Choice, choose, is_auto
from sparse_ae.recommender.guard import lists_of
from sparse_ae.recommender.memory import make_room
from sparse_ae.recommender.settings import Shallow, check_network, in_words
from sparse_ae.recommender.sides import n_columns_of
from sparse_ae.trainer import Trainer, TrainingDiverged
from sparse_ae.training.checkpoint import describe
import lasagne

# How a training runs that is no part of a fit's history, and quickly repeated.
IN_MEMORY = {"on_epoch": None, "checkpoint": None, "checkpoint_every": 1, "resume": False}


class Trained(NamedTuple):
    """A model of one side.

    `epoch` is the one that its parameters are of, 0 where none was better than biases; `rates` are the learning rates
    on the way there, without those of epochs that were put back; `error` says that it diverged.
    """

    side: str
    model: Optional[AutoEncoder]
    choice: Choice
    history: list
    epoch: int
    rates: List[float]
    error: Optional[TrainingDiverged] = None
    interrupted: bool = False

    def scorer(self, ratings, biases, problem):
        """A `Scorer` of the model, to whom these `OrientedRatings` are known."""
        return problem.scorer(self.model, ratings, self.side, biases)


class SideTrainer:
    """Trains models with the same rows, settings, ratings, biases and seed.

    `biases` is None for the post's way: ratings in, ratings out. `seed` may be a RandomState, for one training.
    """

    def __init__(self, settings, problem, side, biases, seed, run):
        self.settings, self.problem, self.side, self.biases = settings, problem, side, biases
        self._seed, self._run, self._objective = seed, run, objective_of(problem, biases)
        self.n_columns = n_columns_of(problem.train, side)

    def choose(self):
        """The `Choice` that the settings have, or make for the ratings to train on."""
        given = (self.settings.choices or {}).get(self.side)
        if given is not None:
            return given
        train = self.problem.train.own(self.side)
        variance = self.problem.targets(self.biases, self.side).variance(train)
        return choose(self.settings.get_params(), train, variance, self.problem.held_out is not None, self._objective,
                      self.problem.ranks)

    @property
    def has_rule(self):
        """Tell whether the objective knows a decay for the ratings; a cost of one's own has to be measured."""
        return self._objective.rule(1, 1.0) is not None

    def measured(self, choice):
        """A choice with a decay in proportion to the mean cost of a rating in a first epoch."""
        train = self.problem.train.own(self.side)
        first = self.train(choice._replace(n_epochs=1, patience=1), "%s as rows, the scale of the cost" % self.side,
                           **IN_MEMORY)
        if first.error or first.interrupted:
            return choice
        mean = first.history[0]["data_loss"] / train.nnz
        return choice._replace(l2=float(PLAIN_L2 * mean * (train.nnz / TYPICAL) ** (1 / 3)))

    def say(self, choice):
        """Say a line on the settings that were chosen."""
        chosen = {name: value for name, value in choice._asdict().items()
                  if is_auto(getattr(self.settings, name, None))}
        if chosen and self.biases is not None and self.settings.choices is None:
            self.problem.tell("%s as rows: %s" % (self.side, in_words(chosen)))

    def train(self, choice, label=None, measure_of=None, **run):
        """Train a model, and stop early if there is validation: a `Trained`.

        `measure_of` makes a measure for `Trainer.fit` of a `Scorer`; `run` is as SideTrainer has it, where it differs.
        """
        problem = self.problem
        held_out = problem.held_out
        if held_out is not None:
            held_out = held_out.own(self.side) if self.biases is None else problem.watched(self.side)
        return self._train(problem.train, held_out, choice, dict(self._run, **run), label or "%s as rows" % self.side,
                           choice.n_epochs, choice.patience, choice.cut, measure_of)

    def refit(self, trained, biases, seed, **run):
        """Train a model again on all ratings beside their biases, for as long as was best: a `Trained`."""
        other = SideTrainer(self.settings, self.problem, self.side, biases, seed, self._run)
        return other._train(self.problem.everything, None, trained.choice, dict(self._run, **run),
                            "%s as rows, on all ratings" % self.side, len(trained.rates), None, None, None,
                            trained.rates)

    def _train(self, ratings, held_out, choice, run, label, n_epochs, patience, cut, measure_of, rates=None):
        problem, side, beside, on_epoch = self.problem, self.side, self.biases is not None, run["on_epoch"]
        targets = problem.targets(self.biases, side, ratings if beside else None)
        train, rng = ratings.own(side), check_rng(self._seed)
        make_room(self.n_columns, choice)
        model = model_of(self.settings, self.n_columns, choice, rng, targets.output_scale, problem.ranks, beside)
        scorer = problem.scorer(model, ratings, side, self.biases)
        if not beside:  # outputs start at the mean rating, or at that of the many missing entries
            self._objective.begin(model, train, scorer.mean)
        trainer = trainer_of(self.settings, model, choice, rng, problem.unknown, self._objective,
                             label if beside else True)
        if rates is not None:  # NaN: a checkpoint with more epochs, which another run has left, is refused
            trainer.learning_rate = lambda epoch: rates[epoch - 1] if epoch <= n_epochs else np.nan

        def note(record):
            if beside:
                record.update(rows=side, refit=rates is not None)
            if on_epoch is not None:
                on_epoch(record)

        measure = None if measure_of is None or held_out is None else measure_of(scorer)
        error = None
        try:
            trainer.fit(Checked(train), n_epochs, validation=None if held_out is None else Checked(held_out),
                        patience=patience, targets=targets, measure=measure,
                        keep_optimiser=not beside, cut=cut, **dict(run, on_epoch=note))
            restored = trainer.history[-1]["restored"]
            epoch = len(trainer.history) if restored is None else restored
            if epoch:
                _check_learned(self.settings, model, trainer.history[epoch - 1]["train_rmse"], epoch, problem.scale,
                               choice)
        except TrainingDiverged as found:
            if not beside:
                raise
            error, epoch = found, 0
            problem.tell("%s: %s; that model is left out" % (label, found))
        for record in trainer.history if beside else ():  # those of a checkpoint don't come to `note`
            record.update(rows=side, refit=rates is not None)
        interrupted = bool(trainer.history) and trainer.history[-1]["interrupted"]
        return Trained(side, model, choice, trainer.history, epoch, _rates_to(epoch, trainer.history), error,
                       interrupted)


class ListMeasure:
    """A measure for `Trainer.fit`: that of the lists which a scorer gives by then."""

    def __init__(self, lists, validation, scorer):
        self.name, self._measure = lists.label, lists.name
        self._validation, self._scorer = validation, scorer

    def __call__(self):
        self._scorer.forget()  # the model has been trained on
        return self._validation(lists_of(self._scorer, self._validation), self._measure)


def objective_of(problem, biases):
    """The objective of training: beside biases a missing entry is 0 in the unit of the targets."""
    return problem.objective.at(problem.missing_rating if biases is None else 0.0)


def _rates_to(epoch, history):
    """List the learning rates on the way to an epoch, without those of epochs that were put back."""
    rates = []
    for record in history[:epoch]:
        rates.append(record["learning_rate"])
        if record["restored"] is not None:
            del rates[record["restored"]:]
    return rates


def trainer_of(settings, model, choice, rng, unknown, objective, label=True):
    """A `Trainer` by the settings and what was chosen."""
    return Trainer(model, choice.update, choice.learning_rate, choice.batch_size, formulation=settings.formulation,
                   l2_per="epoch", objective=objective, rng=rng, progress=settings.progress and label,
                   unknown=unknown if isinstance(unknown, float) else None)


def model_of(settings, n_columns, choice, rng, rating_scale, ranks=ALONE, two_encoders=False):
    """The model that the settings ask for, before training."""
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
    """The model that a callable makes: it has to keep the contract, and to read the channels of the targets."""
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
    except ValueError:  # a builtin has no signature
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
