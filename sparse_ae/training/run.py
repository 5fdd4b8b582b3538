"""A call of `Trainer.fit` between its epochs: validation, stopping early, going back, checkpoints."""
import math
import time
from collections import namedtuple

from sparse_ae.checks import check_bool, check_count, check_fraction, check_number, check_path
from sparse_ae.training.checkpoint import Best, RunState
from sparse_ae.training.patience import Patience


class RunArguments(namedtuple(
        "RunArguments", "n_epochs on_epoch patience checkpoint checkpoint_every resume seconds keep_optimiser cut",
        defaults=(None, None, None, 1, False, None, True, None))):
    """The arguments of `Trainer.fit` for its length, and for callbacks and files after an epoch."""

    def check(self, watched=True):
        """Return these with a number of epochs that is an int, and a path that is a str; ValueError or TypeError for
        what `fit` can't take. `watched` tells whether there is validation."""
        n_epochs = check_count(self.n_epochs, "n_epochs")
        check_count(self.checkpoint_every, "checkpoint_every")
        check_bool(self.keep_optimiser, "keep_optimiser")
        if self.patience is not None:
            check_count(self.patience, "patience", ", or None to run all epochs")
            if not watched:
                raise ValueError("patience is %r without validation; expected held-out ratings, or a measure, to stop "
                                 "early on" % (self.patience,))
        if self.cut is not None:
            check_fraction(self.cut, "cut", ", or None to stop at once")
            if self.patience is None:
                raise ValueError("cut is %r without patience; expected patience too, after which the learning rate is "
                                 "cut" % (self.cut,))
        if self.seconds is not None:
            check_number(self.seconds, "seconds", zero=True, alternative=", or None for no limit")
        if self.on_epoch is not None and not callable(self.on_epoch):
            raise TypeError("on_epoch is %r; expected a function of an epoch's dict, or None" % (self.on_epoch,))
        checkpoint = self.checkpoint
        if checkpoint is not None:
            checkpoint = check_path(checkpoint, "checkpoint", "the path of a file, or None")
        if check_bool(self.resume, "resume") and self.checkpoint is None:
            raise ValueError("resume is %r without checkpoint; expected the path of the file to go on from"
                             % (self.resume,))
        return self._replace(n_epochs=n_epochs, checkpoint=checkpoint)


class TrainingRun:
    """A call of `Trainer.fit`, `begun` after `first` epochs. `kept` is the epoch to go back to: with patience the best,
    else the last. `interrupted` is non-empty after Ctrl-C."""

    def __init__(self, step, history, rng, validation, arguments, begun, file=None):
        self.step, self.history, self.rng, self.first = step, history, rng, len(history)
        self.kept, self.rate_factor, self.interrupted = None, 1.0, []
        self._validation, self._arguments, self._file, self._ranks = validation, arguments, file, step.model.ranks
        self._patience, self._late, self._validating = None, False, 0.0
        self._end = begun + (math.inf if arguments.seconds is None else arguments.seconds)

    def begin(self, saved=None, may_be_best=False):
        """Begin where the history ends, or at the `RunState` of a file; the start may be one to go back to."""
        if saved is not None:
            self.first, self.history[:] = saved.first, saved.history
            self.rng.set_state(saved.rng)
            self.step.set_state(saved.state)
        arguments, validation, records = self._arguments, self._validation, self.history[self.first:]
        stops_early = arguments.patience is not None
        self.kept = saved.best if stops_early and saved is not None else None
        if self.kept is None:
            error = validation.sign * validation.value() if stops_early and may_be_best else math.nan
            self.kept = Best(len(self.history), error, self._copy())
        if stops_early:
            self._patience = Patience(
                arguments.patience, arguments.cut is not None, validation.least,
                [validation.sign * each[validation.name] for each in records], self.kept.epoch - self.first,
                self.kept.error)
            for number, record in enumerate(records, 1):
                if record["restored"] is not None:
                    self._cut_rate(number)

    def _cut_rate(self, number):
        """Continue at a smaller rate after so many epochs of the call."""
        self.rate_factor = self._arguments.cut or 1.0
        self._patience.cut(number)

    @property
    def n_to_come(self):
        """Number of epochs still to come, at most."""
        return self._arguments.n_epochs - (len(self.history) - self.first)

    def goes_on(self):
        """Whether another epoch follows; the best may be restored for it, to continue at a smaller rate."""
        if self._late or len(self.history) > self.first and self._ranks.any(self.interrupted):
            return False
        if (self._arguments.cut is not None and self.rate_factor == 1 and self._patience.is_over
                and self.kept.epoch != self.first):
            self._put_best_back()
            self._cut_rate(len(self.history) - self.first)
        return not self._is_over()

    def after_epoch(self, record, signs):
        """Add an epoch to the history: validate, call `on_epoch`, copy the best, write the file. Reports make way for
        what `on_epoch` prints."""
        trained = time.perf_counter()
        value = self._validation.complete(record, self.history)
        self.history.append(record)
        now = time.perf_counter()
        self._validating = max(self._validating, now - trained)  # not after each epoch
        self._late = self._ranks.any(now + record["seconds"] + self._validating >= self._end)
        try:
            if self._arguments.on_epoch is not None:
                signs.clear()
                self._arguments.on_epoch(record)
        finally:
            self._keep(value)

    def roll_back(self):
        """Put the best epoch back, or else the last one, after a divergence; return its number."""
        self.step.set_state(self.kept.state)
        return self.kept.epoch

    def finish(self):
        """Restore the best epoch, if it isn't the last; the history, which is returned, records that, and Ctrl-C."""
        if self._ranks.any(self.interrupted):
            self.history[-1]["interrupted"] = True  # the epoch is whole if it came while validation went on
        if self.kept.epoch < len(self.history):
            self._put_best_back()
        return self.history

    def _copy(self):
        return self.step.get_state() if self._arguments.keep_optimiser else self.step.get_parameters()

    def _keep(self, value):
        """Keep an epoch's state, with what `on_epoch` has changed in it: in memory, and in the file if it is due."""
        error = math.inf if self._patience is None else self._validation.sign * value
        if self._patience is None or self._patience.record(error):
            self.kept = None  # its memory is free for another copy
            self.kept = Best(len(self.history), error, self._copy())
        self._write_file()

    def _put_best_back(self):
        self.step.set_state(self.kept.state)
        self.history[-1]["restored"] = self.kept.epoch

    def _is_over(self):
        if self.n_to_come <= 0 or self._patience is None or len(self.history) == self.first:
            return self.n_to_come <= 0
        return self._patience.is_over or "ended" in self.history[-1]

    def _write_file(self):
        """Write the file if it is due, but not after an epoch that Ctrl-C interrupted."""
        if self._file is None or self.history[-1]["interrupted"]:
            return
        if (len(self.history) - self.first) % self._arguments.checkpoint_every and not (self._late or self._is_over()):
            return
        is_kept = self.kept.epoch == len(self.history) and self._arguments.keep_optimiser
        state = self.kept.state if is_kept else self.step.get_state()  # no other copy of it
        best = None if self._patience is None else self.kept
        self._file.write(RunState(self.history, self.first, best, self.rng.get_state(legacy=False), state))
