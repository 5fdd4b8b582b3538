"""Two things that go along with a training: stopping early, and keeping a checkpoint in step.

Each has a `begin`, an `after_epoch` and, where there is something to do, an `end`; the trainer's loop calls them.
"""
from sparse_ae.training.checkpoint import Best, RunState, save

__all__ = ["Checkpoints", "EarlyStopping"]


class EarlyStopping:
    """Tells when validation stands still, and puts the best epoch back.

    Parameters
    ----------
    patience : int or None
        Epochs in a row without a better one that end the training; None for neither.
    sign : {1, -1}
        Of an error, the better the lower, and of a measure, the better the higher.

    Attributes
    ----------
    best : Best or None
    """

    def __init__(self, patience, sign):
        self.patience, self.sign, self.best = patience, sign, None

    def begin(self, epoch, validate, state, saved=None):
        """Begin after an epoch, with a file's `Best`; `validate` is None where the start is none to choose."""
        if self.patience is None:
            return
        self.best = saved
        if saved is None and validate is not None:
            self.best = Best(epoch, self.sign * validate(), state)

    def after_epoch(self, epoch, value, get_state):
        """Note what validation has shown of the step, whose state `get_state` copies where it is the best so far."""
        if self.patience is not None and (self.best is None or self.sign * value < self.best.error):
            self.best = None  # its memory is free for the other
            self.best = Best(epoch, self.sign * value, get_state())

    def is_over(self, epoch):
        """Tell whether there is nothing more to hope for."""
        return self.best is not None and epoch - self.best.epoch >= self.patience

    def end(self, history, step):
        """Put the best epoch back, if it isn't the last; the history says so."""
        if self.best is not None and self.best.epoch < len(history):
            step.set_state(self.best.state)
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
        Of `checkpoint.settings_of`.
    first : int
        Epochs before this call of `fit`.
    ranks : Ranks
    """

    def __init__(self, path, every, settings, first, ranks):
        self._path, self._every, self._settings = path, every, settings
        self._first, self._ranks = first, ranks

    def after_epoch(self, history, best, rng, get_state, is_last):
        """Write the file where it is due, but not after an epoch that Ctrl-C cut short."""
        due = (len(history) - self._first) % self._every == 0 or is_last
        if self._path is not None and due and not history[-1]["interrupted"]:
            state = best.state if best is not None and best.epoch == len(history) else get_state()
            run = RunState(history, self._first, best, rng.get_state(legacy=False), state)
            save(self._path, self._settings, run, self._ranks)
