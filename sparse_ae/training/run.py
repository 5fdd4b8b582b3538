"""A call of `Trainer.fit` between its epochs: validation, stopping early, going back, checkpoints.

It may go on once from its best epoch with smaller steps, as of L. Bottou, F. E. Curtis, J. Nocedal, SIAM Review 60,
2018.
"""
import math
import time
from typing import Any, Callable, NamedTuple, Optional

from sparse_ae.checks import check_bool, check_count, check_fraction, check_number, check_path
from sparse_ae.training.checkpoint import Best, RunState

#: A share of an error that is as good as nothing: where it falls by less while patience lasts, the rate is cut or,
#: after that, training ends; a setting that gains less is no better.
LEAST_GAIN = 0.001

#: Factor of patience until the first improvement.
AT_FIRST = 2

#: Factor of patience where the rate will be cut, and again after the cut: at a smaller rate the error falls at once or
#: not at all.
SHORTER = 2 / 5

# The part of the first epoch's error by which it has fallen.
_FALLEN = 0.005


class RunArguments(NamedTuple):
    """The arguments of `Trainer.fit` for its length, and for callbacks and files after an epoch."""

    n_epochs: int
    on_epoch: Optional[Callable] = None
    patience: Optional[int] = None
    checkpoint: Any = None
    checkpoint_every: int = 1
    resume: bool = False
    seconds: Optional[float] = None
    keep_optimiser: bool = True
    cut: Optional[float] = None

    def check(self, watched=True):
        """Return these with a number of epochs that is an int; ValueError or TypeError for what `fit` can't take.
        `watched` tells whether there is validation."""
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
        if self.checkpoint is not None:
            check_path(self.checkpoint, "checkpoint", "the path of a file, or None")
        if check_bool(self.resume, "resume") and self.checkpoint is None:
            raise ValueError("resume is %r without checkpoint; expected the path of the file to go on from"
                             % (self.resume,))
        return self._replace(n_epochs=n_epochs)


class TrainingRun:
    """A call of `Trainer.fit`, `begun` after `first` epochs: a checkpoint's content, and decisions between epochs.
    `kept` is the epoch to go back to: with patience the best, else the last. `interrupted` is non-empty after Ctrl-C.
    """

    def __init__(self, step, history, rng, validation, arguments, begun, file=None):
        self.step, self.history, self.rng, self.first = step, history, rng, len(history)
        self.kept, self.rate_factor, self.interrupted = None, 1.0, []
        self._validation, self._arguments, self._file, self._ranks = validation, arguments, file, step.model.ranks
        self._patience, self._cut = arguments.patience, arguments.cut
        self._end, self._validating = begun + (math.inf if arguments.seconds is None else arguments.seconds), 0.0
        self._late, self._since = False, 0  # when the rate was cut

    def begin(self, saved=None, may_be_best=False):
        """Begin where the history ends, or at the `RunState` of a file; the start may be one to go back to."""
        if saved is not None:
            self.first, self.history[:] = saved.first, saved.history
            self.rng.set_state(saved.rng)
            self.step.set_state(saved.state)
        if self._patience is not None:
            for record in self.history[self.first:]:
                if record["restored"] is not None:
                    self.rate_factor, self._since = self._cut or 1.0, record["epoch"]
            if saved is not None and saved.best is not None:
                self.kept = saved.best
                return
        judged = may_be_best and self._patience is not None
        error = self._validation.sign * self._validation.value() if judged else math.nan
        self.kept = Best(len(self.history), error, self._copy())

    @property
    def n_to_come(self):
        """Number of epochs still to come, at most."""
        return self._arguments.n_epochs - (len(self.history) - self.first)

    def goes_on(self):
        """Whether another epoch follows; the best may be restored for it, to continue at a smaller rate."""
        if self._late or len(self.history) > self.first and self._ranks.any(self.interrupted):
            return False
        if self._cut is not None and self.rate_factor == 1 and self._stands_still() and self.kept.epoch != self.first:
            self._put_best_back()
            self.rate_factor, self._since = self._cut, len(self.history)
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
        if self._patience is None or error < self.kept.error or math.isnan(self.kept.error):
            self.kept = None  # its memory is free for another copy
            self.kept = Best(len(self.history), error, self._copy())
        self._write_file()

    def _put_best_back(self):
        self.step.set_state(self.kept.state)
        self.history[-1]["restored"] = self.kept.epoch

    def _is_over(self):
        return self.n_to_come <= 0 or self._stands_still()

    def _stands_still(self):
        """Whether patience has ended."""
        if self._patience is None or len(self.history) == self.first:
            return False
        errors = [self._validation.sign * record[self._validation.name] for record in self.history[self.first:]]
        patience = self._patience if self._cut is None else self._patience_with_cut(errors)
        then = len(self.history) - patience
        if then < max(self.first, self._since) or len(errors) < self._validation.least:
            return False
        if self.kept.epoch <= then or self._cut is None or then == self.first:
            return self.kept.epoch <= then
        error = min(errors[:then - self.first])
        return error - self.kept.error < LEAST_GAIN * abs(error)

    def _patience_with_cut(self, errors):
        """How many epochs to wait: many before the error has fallen at all, which it may do late and at once."""
        if self.rate_factor != 1:
            return math.ceil(SHORTER * self._patience)
        has_fallen = errors[0] - min(errors) > _FALLEN * abs(errors[0])
        return self._patience if has_fallen else math.ceil(AT_FIRST * self._patience)

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
