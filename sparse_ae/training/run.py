"""A call of `Trainer.fit` between its epochs: stopping early, checkpoints in step, validation, and an epoch's sums.

Before it stops, a training may go on once from its best epoch with smaller steps: a rate serves until the error stands
still, and a part of it then; see L. Bottou, F. E. Curtis, J. Nocedal, Optimization Methods for Large-Scale Machine
Learning, SIAM Review 60, 2018.
"""
import math
import os
import time

import numpy as np

from sparse_ae.checks import check_count
from sparse_ae.files import storage
from sparse_ae.training.checkpoint import Best, RunState, check_unused, load, save

# The part of the error by which it must fall while patience lasts, lest the rate be cut or, after that, training end.
_GAIN = 0.001

# Where the rate may be cut: the part of the first epoch's error by which it must have fallen lest patience last longer,
# and how much longer; and what of it is left at a part of the rate, at which nothing rises before it falls.
_FALLEN, _BEFORE, _AFTER = 0.005, 2, 2 / 5


class Run:
    """Tells whether there is another epoch to come, and does what is done after each.

    Parameters
    ----------
    trainer : Trainer
        Whose history grows.
    first : int
        Epochs there before this call.
    n_epochs : int
        In this call, at most.
    validation : Validation
    stopping : EarlyStopping
    checkpoints : Checkpoints
    on_epoch : callable or None
    seconds : float or None
        After so many it ends with the epoch that is under way.

    Attributes
    ----------
    interrupted : list
        Not empty once somebody wants to stop; for each epoch it is another one.
    """

    def __init__(self, trainer, first, n_epochs, validation, stopping, checkpoints, on_epoch, seconds):
        self._trainer, self._first, self._n_epochs, self._validation = trainer, first, n_epochs, validation
        self.stopping, self._checkpoints, self._on_epoch = stopping, checkpoints, on_epoch
        self._end, self._late, self.interrupted = None if seconds is None else time.perf_counter() + seconds, False, []

    @property
    def n_to_come(self):
        """Number of epochs still to come, at most."""
        return self._n_epochs - (len(self._trainer.history) - self._first)

    def goes_on(self):
        """Tell whether there is another epoch to come; for that the best one may be put back, see `EarlyStopping`."""
        history = self._trainer.history
        if self._trainer.model.ranks.any(self.interrupted):
            history[-1]["interrupted"] = True  # while validation went on, perhaps: the epoch is whole then
            return False
        if self._late:
            return False
        self.stopping.go_on(history)
        return not self._is_over()

    def _is_over(self):
        return self.n_to_come <= 0 or self.stopping.is_over(self._trainer.history)

    def after_epoch(self, record):
        """Add an epoch to the history, with what validation says of it."""
        history, ranks = self._trainer.history, self._trainer.model.ranks
        value = self._validation.complete(record, history)
        history.append(record)
        self._late = self._end is not None and ranks.any(time.perf_counter() >= self._end)
        self.stopping.after_epoch(len(history), value)
        written = self._checkpoints.after_epoch(history, self._first, self.stopping, self._trainer.rng,
                                                self._late or self._is_over())
        if self._on_epoch is not None:
            try:
                with ranks.agreed():
                    self._on_epoch(record)
            except Exception:
                self._checkpoints.write_again(written, self._trainer)
                raise
            self._checkpoints.write_again(written, self._trainer)
        self.stopping.keep(len(history))


class Validation:
    """The judge of the model after an epoch, if there is one: an RMSE, or a measure.

    Parameters
    ----------
    measure : callable, optional
        As `Trainer.fit` takes it; by default it is an RMSE.

    Attributes
    ----------
    name : str
        In the history.
    sign : {1, -1}
        Of an error, the better the lower, and of a measure, the better the higher.
    value : callable or None
        Without arguments, what it is of the model as it is; None without validation ratings.
    least : int
        Epochs before which it ends no training.

    Raises
    ------
    TypeError, ValueError
        For what is no measure.
    """

    def __init__(self, measure=None):
        self.name, self.sign, self._every, self.least, self.value = "validation_rmse", 1, 1, 1, None
        if measure is not None:
            if not callable(measure) or not isinstance(getattr(measure, "name", None), str):
                raise TypeError("measure is %r; expected a function without arguments with an attribute name, or None"
                                % (measure,))
            self.name, self.sign = "validation_" + measure.name, -1
            self._every, self.least = (check_count(getattr(measure, name, 1), name + " of measure")
                                       for name in ("every", "least"))

    def complete(self, record, history):
        """Add the value to the record of an epoch, and return it: the last one's again where it isn't asked for.

        None without validation ratings. Where there is no last one, as after a `fit` without, it is asked for.
        """
        if self.value is None:
            return None
        last = history[-1].get(self.name) if history and (len(history) + 1) % self._every else None
        record[self.name] = self.value() if last is None else last
        return record[self.name]


class EpochSums:
    """Sums over the mini-batches of an epoch, and the means that are made of them.

    Parameters
    ----------
    unit : float or None
        Of errors, in the ratings' unit; None where there is no RMSE.
    """

    def __init__(self, unit):
        self._unit = unit
        self.n_batches, self._losses, self._squared_errors, self._n_ratings = 0, 0.0, 0.0, 0

    def add(self, loss, squared_error, n_ratings):
        """Add a mini-batch."""
        self.n_batches += 1
        self._losses += loss
        self._squared_errors += squared_error
        self._n_ratings += n_ratings

    @property
    def loss(self):
        """Mean of the costs over mini-batches."""
        return self._losses / self.n_batches

    @property
    def data_loss(self):
        """Mean of the squared errors over mini-batches."""
        return self._squared_errors / self.n_batches

    @property
    def rmse(self):
        """Error over ratings; None where there is none to report."""
        if self._unit is None:
            return None
        return float(self._unit * np.sqrt(self._squared_errors / self._n_ratings))


class EarlyStopping:
    """Tells when validation stands still, and keeps what there is to go back to: one copy of what a step changes.

    Parameters
    ----------
    step : training.steps.Step
    patience : int or None
        Epochs in a row without a better one that end the training; None for neither.
    validation : training.run.Validation
        Whose value is an error, the better the lower, or a measure, the better the higher.
    cut : float, optional
        By what the rate is multiplied once validation stands still, to go on from the best epoch until it does again.
    keep_optimiser : bool
        Whether what the optimiser remembers is put back, too.

    Attributes
    ----------
    best : Best or None
    factor : float
        Of the learning rate: 1, or `cut`.
    """

    def __init__(self, step, patience, validation, cut=None, keep_optimiser=True):
        self.patience, self.best, self.factor = patience, None, 1.0
        self._step, self._validation, self._cut, self._keep_optimiser = step, validation, cut, keep_optimiser
        self._last, self._first, self._since = None, 0, 0

    def begin(self, history, first, may_be_best, saved=None):
        """Begin after the epochs of a history, of which the `first` are of earlier calls of `fit`.

        `may_be_best` tells whether the start is one to go back to; `saved` is the `RunState` of a file to go on from.
        """
        epoch, self._first = len(history), first
        if self.patience is not None:
            for record in history[first:]:
                if record["restored"] is not None:
                    self.factor, self._since = self._cut or 1.0, record["epoch"]
            if saved is not None and saved.best is not None:
                self.best = saved.best if self._keep_optimiser else saved.best._replace(
                    state={p.name: saved.best.state[p.name] for p in self._step.model.params})  # the file may have more
            elif may_be_best:
                self.best = Best(epoch, self._validation.sign * self._validation.value(), self._copy())
        self.keep(epoch)

    def _copy(self):
        return self._step.get_state() if self._keep_optimiser else self._step.get_parameters()

    @property
    def good(self):
        """The epoch to go back to, and what was copied then: the best one's, or else the last one's."""
        return self._last if self.best is None else (self.best.epoch, self.best.state)

    def after_epoch(self, epoch, value):
        """Note what validation has shown of the step, whose state is copied where it is the best so far."""
        self._last = None  # its memory is free for another copy
        if self.patience is not None and (self.best is None or self._validation.sign * value < self.best.error):
            self.best = None
            self.best = Best(epoch, self._validation.sign * value, self._copy())

    def keep(self, epoch):
        """Copy the step as it is, where there is no best epoch to go back to."""
        if self.best is None:
            self._last = epoch, self._copy()

    def state_after(self, epoch):
        """The step's whole state after the last epoch, this one: no other copy of it where it was the best."""
        is_best = self.best is not None and self.best.epoch == epoch
        return self.best.state if is_best and self._keep_optimiser else self._step.get_state()

    def is_over(self, history):
        """Tell whether there is nothing more to hope for after the epochs of a history."""
        if self.best is None or len(history) == self._first:
            return False
        errors = [self._validation.sign * record[self._validation.name] for record in history[self._first:]]
        patience = self.patience if self._cut is None else self._patience_with_cut(errors)
        then = len(history) - patience
        if then < max(self._first, self._since) or len(errors) < self._validation.least:
            return False
        if self.best.epoch <= then or self._cut is None or then == self._first:
            return self.best.epoch <= then
        error = min(errors[:then - self._first])
        return error - self.best.error < _GAIN * abs(error)

    def _patience_with_cut(self, errors):
        """How many epochs to wait for: many before the error has fallen at all, which it may do late and at once."""
        if self.factor != 1:
            return math.ceil(_AFTER * self.patience)
        has_fallen = errors[0] - min(errors) > _FALLEN * abs(errors[0])
        return self.patience if has_fallen else math.ceil(_BEFORE * self.patience)

    def go_on(self, history):
        """Put the best epoch back, where it is over and may go on at a smaller rate; the history says so.

        Where no epoch was better than the start there is nothing to go on from.
        """
        if self._cut is None or self.factor != 1 or not self.is_over(history) or self.best.epoch == self._first:
            return
        self._put_back(history)
        self.factor, self._since = self._cut, len(history)

    def end(self, history):
        """Put the best epoch back, if it isn't the last; the history says so."""
        if self.best is not None and self.best.epoch < len(history):
            self._put_back(history)

    def _put_back(self, history):
        self._step.set_state(self.best.state)
        history[-1]["restored"] = self.best.epoch


class Checkpoints:
    """Keeps the file of a run in step with it.

    Parameters
    ----------
    path : str, os.PathLike or None
        None for no file.
    every : int
        Epochs from one to the next.
    settings : dict
        Of `checkpoint.own_settings_of`.
    ranks : Ranks
    """

    def __init__(self, path, every, settings, ranks):
        self._path, self._every, self._settings, self._ranks = path, every, settings, ranks

    def read(self, resume, history, learning_rate, cut):
        """Read the `RunState` to go on from, None where there is none; raise what speaks against writing the file.

        `learning_rate` is a function of the number of an epoch, as of `checkpoint.load`.
        """
        if self._path is None:
            return None
        check_unused(self._path, resume)
        if resume:
            storage.remove_abandoned(self._path, after=0)
        if not os.path.exists(self._path):
            return None
        saved = load(self._path, self._settings, learning_rate, self._ranks, cut)
        if history and history != saved.history[:saved.first]:
            raise ValueError("%s is the checkpoint of a call of fit that began after %d epochs, not of one that goes "
                             "on from the %d epochs of this trainer; pass another path, or resume with a new Trainer"
                             % (self._path, saved.first, len(history)))
        return saved

    def after_epoch(self, history, first, stopping, rng, is_last):
        """Write the file where it is due, but not after an epoch that Ctrl-C cut short; return what was written."""
        due = (len(history) - first) % self._every == 0 or is_last
        if self._path is None or not due or history[-1]["interrupted"]:
            return None
        run = RunState(history, first, stopping.best, rng.get_state(legacy=False), stopping.state_after(len(history)))
        save(self._path, self._settings, run, self._ranks)
        return run

    def write_again(self, written, trainer):
        """Write the file once more where parameters or the generator aren't those that were `written`."""
        if written is None:
            return
        rng = trainer.rng.get_state(legacy=False)
        same = rng["state"]["pos"] == written.rng["state"]["pos"] and np.array_equal(
            rng["state"]["key"], written.rng["state"]["key"]) and all(
            np.array_equal(each.get_value(borrow=True), written.state[each.name]) for each in trainer.model.params)
        if self._ranks.any(not same):
            run = written._replace(rng=rng, state=trainer.step.get_state())
            save(self._path, self._settings, run, self._ranks)
