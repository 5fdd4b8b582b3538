"""Training of the models with the same rows, items or users: settings are chosen, and less decay is tried."""
import gc
import inspect
import itertools
import os
from typing import List, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST, check_number, check_rng
from sparse_ae.contract import Model
from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.model import AutoEncoder
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.recommender.bench import Bench
from sparse_ae.recommender.defaults import PLAIN_L2, Choice, choose, is_auto, with_given
from sparse_ae.recommender.guard import ValidationResiduals
from sparse_ae.recommender.settings import Shallow, as_line, check_network
from sparse_ae.runtime.device import on_gpu
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.fold_in import FoldIn
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.trainer import Trainer, TrainingDiverged
from sparse_ae.training.checkpoint import check_unused, describe
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.run import RunArguments
from sparse_ae.training.targets import TYPICAL
import lasagne

# Arguments of trainings that a fit's history and checkpoints leave out.
IN_MEMORY = {"on_epoch": None, "checkpoint": None, "resume": False}

# The most trainings with less decay, and its factor; the decay is too strong if outputs should be 1.1 times as large.
_MORE_TRIES, LESS_DECAY, _TOO_SMALL = 2, 0.3, 1.1

# The size of W from which collecting garbage first is worth a tenth of a second, and compiling costs less than memory.
_LARGE = 2 ** 21


class SideModel(NamedTuple):
    """A trained model of one side in a `Scorer`, as it was after `epoch` (0: none was better than biases); the learning
    `rates` up to that, and the error if it diverged."""

    side: str
    scorer: Scorer
    choice: Choice
    history: list
    epoch: int
    rates: List[float]
    error: Optional[TrainingDiverged] = None
    interrupted: bool = False

    @property
    def model(self):
        return self.scorer.model


class SideTrainer:
    """Trains models with the same rows, data, biases (None without residual mode) and seed (a RandomState for a single
    training). Progress names the rows and a `label`; `less_decay` is the factor of the rule's decay to begin with."""

    def __init__(self, data, side, biases, seed, run, less_decay=1.0, label=""):
        self.data, self.arguments, self.side, self.biases = data, data.arguments, side, biases
        self.name = "%s as rows%s" % (side, label)
        self._seed, self._run, self._objective = seed, run, self.arguments.objective_for(biases)
        self.less_decay = less_decay  # `search` changes it
        self.n_columns = data.train.by(side).shape[1]
        settings = self.arguments.settings
        self._is_chosen = side in (settings.choices or {})
        self.searches = (biases is not None and data.held_out is not None and self.arguments.goes_by_rmse
                         and not self._is_chosen and is_auto(settings.l2))
        # The objective has a rule for the decay; a custom cost is measured.
        self._has_rule = self._objective.rule(1, 1.0) is not None

    @cached_property
    def choice(self):
        """The `Choice` by the settings; "auto" is looked up in `choices`, or follows from the training ratings."""
        train = self.data.train.by(self.side)
        variance = None if self._is_chosen else self.data.targets(self.biases, self.side).variance(train)
        return _choice_of(self.arguments, self.side, self._objective, train, variance, self.data.held_out is not None)

    def say(self, choice):
        """Print the chosen settings in a line."""
        chosen = {name: value for name, value in choice._asdict().items()
                  if is_auto(getattr(self.arguments.settings, name, None))}
        if chosen and self.biases is not None and not self._is_chosen:
            self.arguments.tell("%s: %s" % (self.name, as_line(chosen)))

    def search(self, measure_of=None):
        """Train by the chosen settings, and with less decay if validation ratings suggest it: the best `SideModel`."""
        choice = self.choice
        if self.searches and not self._has_rule:
            choice = self._by_cost(choice)
        if self.searches:
            choice = choice._replace(l2=choice.l2 * self.less_decay)
        self.say(choice)
        best = self.train(choice, measure_of=measure_of)
        return self._with_less_decay(best) if self.searches else best

    def _by_cost(self, choice):
        """The choice with a decay in proportion to the mean cost of a rating in a first epoch."""
        n, label = self.data.train.by(self.side).nnz, "%s, to find the scale of the cost" % self.name
        first = self.train(choice._replace(n_epochs=1, patience=1), label, **IN_MEMORY)
        if first.interrupted:
            raise KeyboardInterrupt  # this side has no model yet that could be kept
        if first.error:
            return choice
        return choice._replace(l2=float(PLAIN_L2 * first.history[0]["data_loss"] / n * (n / TYPICAL) ** (1 / 3)))

    def _with_less_decay(self, best):
        """Train with less decay while validation ratings ask for larger outputs and it helps: the best `SideModel`. The
        rule takes residuals for noise; its decay is too strong if they are true preferences."""
        residuals = ValidationResiduals.of(self.data.train, self.biases, self.data.held_out)
        if best.error or best.interrupted or not len(residuals.ratings):
            return best
        with self.arguments.until_ctrl_c(best) as ended:
            stretch, error = residuals.stretch(best)
            for attempt in range(_MORE_TRIES):
                if self._has_rule and stretch <= _TOO_SMALL:  # another cost's decay can't be judged by least squares
                    break
                # A model that has learned nothing on large data would learn nothing with a third of the decay, too.
                factor = LESS_DECAY ** (2 if self._has_rule and np.isinf(stretch) else 1)
                choice = best.choice._replace(l2=best.choice.l2 * factor)
                self.arguments.tell("%s: l2=%.4g is too much (on validation ratings outputs %s); trained again with "
                                    "l2=%.4g" % (self.name, best.choice.l2, "are 0" if np.isinf(stretch) else
                                                 "%.2f times as large are best" % stretch, choice.l2))
                tried, before = self.train(choice, stage=2 + attempt), error
                stretch, error = residuals.stretch(tried)
                if tried.error or tried.interrupted or not error < before:
                    return best._replace(interrupted=tried.interrupted)
                best, self.less_decay = tried, self.less_decay * factor
        return best._replace(interrupted=bool(ended))

    def begun(self, choice, before, columns):
        """The `Choice`, and a `Scorer` of all ratings, of a new model with the parameters of that of `before`, which is
        a `Scorer` of fewer ratings, with columns that are now at some positions. Decoders of new ones are folded in."""
        was = before.model
        if isinstance(was, AutoEncoder) and isinstance(check_network(self.arguments.settings.network), Shallow):
            choice = choice._replace(n_hidden=was.n_hidden, l2=(was.l2_W, was.l2_V))  # a mean of models has other ones
        targets = self.data.targets(self.biases, self.side)
        model = _model_of(self.arguments, self.n_columns, choice, check_rng(self._seed), targets.output_scale)
        values = {each.name: each.variable.get_value(borrow=True) for each in was.parameters}
        for each in model.parameters:
            value = each.variable.get_value()
            if each.columns_axis is None:
                value[...] = values[each.name]
            else:
                np.moveaxis(value, each.columns_axis, 0)[columns] = np.moveaxis(values[each.name], each.columns_axis, 0)
            each.variable.set_value(value)
        scorer = self.data.scorer(model, self.arguments.ratings, self.side, self.biases)
        counts, counts_before = (self.side.rows_columns(*each.rating_matrix.counts)[1] for each in (scorer, before))
        is_new = counts > 0
        is_new[columns[counts_before > 0]] = False
        if is_new.any() and self._objective.folds_columns:
            FoldIn(scorer, self._objective).put(np.flatnonzero(is_new))
        return choice, scorer

    def train(self, choice, label=None, measure_of=None, rates=None, stage=0, start=None, **run):
        """Train a model, and stop early if there is validation; with `rates` on all ratings, an epoch for each.
        `measure_of` takes a `Scorer` and returns a `measure` of `Trainer.fit`; `run` replaces arguments of it. With
        `start`, a `Scorer`, its model is trained instead of a new one."""
        data, side, residual_mode, run = self.data, self.side, self.biases is not None, dict(self._run, **run)
        label, on_epoch = label or self.name + ("" if rates is None else ", on all ratings"), run["on_epoch"]
        ratings, held_out, n_epochs = data.train, data.held_out, choice.n_epochs
        if rates is not None:
            ratings, held_out, n_epochs, stage = self.arguments.ratings, None, len(rates), 1
        run["checkpoint"] = _path(run["checkpoint"], stage, self.arguments.sides, side)
        if self.n_columns * choice.n_hidden >= _LARGE:
            gc.collect()  # Theano's functions are cycles of references that hold an update's memory
        targets = data.targets(self.biases, side, ratings if residual_mode else None)
        train, rng = ratings.by(side), check_rng(self._seed)
        scorer = start or data.scorer(
            _model_of(self.arguments, self.n_columns, choice, rng, targets.output_scale), ratings, side, self.biases)
        model = scorer.model
        if not residual_mode and not start:  # outputs start at the mean rating, or at that of the many missing entries
            self._objective.begin(model, train, scorer.rating_matrix.mean)
        bench, label_shown = self._bench(model), label if residual_mode else True
        trainer = _trainer_of(self.arguments, self._objective, bench.model, choice, rng, label_shown)
        trainer.step = bench.step
        if rates is not None:  # NaN: a checkpoint with more epochs, which another run has left, is refused
            trainer.learning_rate = lambda epoch: rates[epoch - 1] if epoch <= n_epochs else np.nan

        labels, error = {"rows": side, "refit": rates is not None} if residual_mode else {}, None

        def note(record):
            record.update(labels)
            if on_epoch is not None:
                on_epoch(record)

        measure = None
        if measure_of is not None and held_out is not None:
            measure = measure_of(data.scorer(bench.model, ratings, side, self.biases))
        try:
            try:
                trainer.fit(CheckedMatrix(train), n_epochs, targets=targets, measure=measure,
                            validation=None if held_out is None else CheckedMatrix(held_out.by(side)),
                            patience=None if rates else choice.patience, cut=None if rates else choice.cut,
                            keep_optimiser=not residual_mode, **dict(run, on_epoch=note))
            finally:
                bench.give(trainer.step, model)
            scorer.forget()  # hidden units of before
            restored = trainer.history[-1]["restored"]
            epoch = len(trainer.history) if restored is None else restored
            if epoch:
                _check_learned(self.arguments, model, choice, trainer.history[epoch - 1])
        except TrainingDiverged as found:
            if not residual_mode:
                raise
            error, epoch = found, 0
            self.arguments.tell("%s: %s; that model is left out" % (label, found))
        model.ranks = ALONE
        for record in trainer.history:  # those of a checkpoint don't come to `note`
            record.update(labels)
        interrupted = bool(trainer.history) and trainer.history[-1]["interrupted"]
        return SideModel(side, scorer, choice, trainer.history, epoch, _rates_to(epoch, trainer.history), error,
                       interrupted)

    def _bench(self, model):
        """The `Bench` to train a model on: one of its own on several ranks, on a GPU, and where it is large."""
        benches = self.arguments.benches
        is_shared = (benches is not None and type(model) is AutoEncoder and model.ranks.size == 1 and not on_gpu()
                     and model.n_columns * model.n_hidden < _LARGE)
        return Bench.of(model, benches) if is_shared else Bench(model)


def check_training(arguments, run):
    """Raise the errors of training before anything is compiled or written; return a model by the settings."""
    settings, sides, objective = arguments.settings, arguments.sides, arguments.objective_for(None)
    any_ratings = sp.csr_matrix(np.ones((1, 1), np.float32))  # the values of "auto" are never wrong
    choice = _choice_of(arguments, sides[0], objective, any_ratings, 1.0 if settings.biases else None,
                        arguments.validation is not None)
    rng = np.random.RandomState(0)
    model = _model_of(arguments, 1, choice, rng, arguments.scale)
    _trainer_of(arguments, objective, model, choice, rng)
    if settings.formulation != "auto":
        get_formulation(settings.formulation, model, objective)
    patience = None if is_auto(settings.patience) else settings.patience  # without validation, too
    RunArguments(choice.n_epochs, patience=patience, **run).check()
    stages = range(2 + _MORE_TRIES if settings.biases else 1)
    for stage, side in itertools.product(stages if run["checkpoint"] is not None else (), sides):
        check_unused(_path(run["checkpoint"], stage, sides, side), run["resume"])
    return model


def _choice_of(arguments, side, objective, train, variance, validated):
    settings = arguments.settings
    known = (settings.choices or {}).get(side)
    if known is not None:
        return with_given(known, settings.get_params(), validated)
    return choose(settings.get_params(), train, variance, validated, objective)


def _trainer_of(arguments, objective, model, choice, rng, label=True):
    settings, unknown = arguments.settings, arguments.unknown
    return Trainer(model, choice.update, choice.learning_rate, choice.batch_size, formulation=settings.formulation,
                   l2_per="epoch", objective=objective, rng=rng, progress=settings.progress and label,
                   unknown=unknown if isinstance(unknown, float) else None)


def _model_of(arguments, n_columns, choice, rng, rating_scale):
    """The model by the settings, before training; in residual mode it has a second encoder."""
    network, residual_mode = check_network(arguments.settings.network), bool(arguments.settings.biases)
    if not isinstance(network, Shallow):
        arguments.ranks.check_alone("network=%s" % describe(network), "network='shallow'")
        return _made_by(network, n_columns, choice, rng, rating_scale, residual_mode)
    if check_number(network.weight_scale, "weight_scale", alternative=", such as 0.01") > MOST:
        raise ValueError("weight_scale is %r; expected far less, such as 0.01" % (network.weight_scale,))
    normal = lasagne.init.Normal(network.weight_scale)
    return AutoEncoder(n_columns, choice.n_hidden, rating_scale, f=network.f, g=network.g, l2=choice.l2, W=normal,
                       V=normal, rng=rng, dtype=network.dtype, U=normal if residual_mode else None,
                       l2_weighted=choice.l2_weighted, comm=arguments.ranks)


def _check_learned(arguments, model, choice, record):
    """Raise `TrainingDiverged` for diverged parameters, or a large error."""
    ruined = [each.name for each in model.parameters
              if not (np.abs(each.variable.get_value(borrow=True)) <= MOST).all()]
    (low, high), error = arguments.scale, record["train_rmse"]
    if ruined:
        said = "%s has numbers beyond %g in epoch %d" % (" and ".join(ruined), MOST, record["epoch"])
    elif error is not None and error > high - low:  # any constant on the scale is better
        said = "the training RMSE is %g in epoch %d, on a scale from %g to %g" % (error, record["epoch"], low, high)
    else:
        return
    raise TrainingDiverged("%s; lower learning_rate=%r, or the weight_scale of network=%r"
                           % (said, choice.learning_rate, arguments.settings.network))


def _path(checkpoint, stage, sides, side):
    """The file of a side's training: stage 0 has validation, 1 all ratings, and 2, 3, ... less decay."""
    if checkpoint is None or stage == 0 and side == sides[0]:
        return checkpoint
    return "%s.%d" % (os.fspath(checkpoint), 1 + stage * len(sides) + sides.index(side))


def _rates_to(epoch, history):
    """The learning rates that led to an epoch, without epochs that were rolled back."""
    rates = []
    for record in history[:epoch]:
        rates.append(record["learning_rate"])
        if record["restored"] is not None:
            del rates[record["restored"]:]
    return rates


def _made_by(network, n_columns, choice, rng, rating_scale, two_encoders):
    """The model that a callable makes; it must keep the contract, and read the channels of the targets."""
    name, channels = describe(network), ("indicator",) if two_encoders else ()
    if isinstance(choice.l2, (tuple, list)):
        raise ValueError("l2 is %r with network=%s; expected one number for all of its layers" % (choice.l2, name))
    more = dict(dict.fromkeys(channels, True), rating_scale=rating_scale, l2=choice.l2, rng=rng)
    try:
        inspect.signature(network).bind(n_columns, choice.n_hidden, **more)
    except (TypeError, ValueError) as error:  # some of Python's own have no signature
        raise TypeError("network=%s can't be called (%s); expected a function that takes (n_columns, n_hidden, "
                        "rating_scale=, l2=, rng=), and if biases isn't False indicator=" % (name, error)) from error
    model = network(n_columns, choice.n_hidden, **more)
    if not isinstance(model, Model):
        raise TypeError("network=%s returned %r; expected a sparse_ae.contract.Model, such as a "
                        "networks.Network" % (name, model))
    if model.n_columns != n_columns:
        raise ValueError("network=%s returned a model with %d columns for n_columns=%d, its first argument, which "
                         "differs from call to call; expected that number of columns"
                         % (name, model.n_columns, n_columns))
    if tuple(model.channels) != channels:
        raise ValueError("network=%s returned a model with the channels %r; expected %r: InputLayers of these names, "
                         "which are 'indicator', for the pattern of ratings, or none with biases=False"
                         % (name, tuple(model.channels), channels))
    return model
