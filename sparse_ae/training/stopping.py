"""Two things that go along with a training: stopping early, and keeping a checkpoint in step.

Before it stops, a training may go on once from its best epoch with smaller steps: a rate serves until the error stands
still, and a part of it then; see L. Bottou, F. E. Curtis, J. Nocedal, Optimization Methods for Large-Scale Machine
Learning, SIAM Review 60, 2018.

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
    get_state : callable
        Copies what an epoch is to be put back by, of the step.
    cut : float, optional
        By what the rate is multiplied once validation stands still, to go on from the best epoch until it does again.

    Attributes
    ----------
    best : Best or None
    factor : float
        Of the learning rate: 1, or `cut`.
    """

    def __init__(self, patience, sign, get_state, cut=None):
        self.patience, self.sign, self.get_state, self.best = patience, sign, get_state, None
        self._cut, self.factor, self._first, self._since = cut, 1.0, 0, 0

    def begin(self, epoch, validate, state, saved=None, history=()):
        """Begin after an epoch, with a file's `Best` and its history since the start of this call of `fit`.

        `validate` is None where the start is none to choose.
        """
        if self.patience is None:
            return
        self.best, self._first = saved, epoch - len(history)
        for record in history:
            if record["restored"] is not None:
                self.factor, self._since = self._cut, record["epoch"]
        if saved is None and validate is not None:
            self.best = Best(epoch, self.sign * validate(), state)

    def after_epoch(self, epoch, value):
        """Note what validation has shown of the step, whose state is copied where it is the best so far."""
        if self.patience is not None and (self.best is None or self.sign * value < self.best.error):
            self.best = None  # its memory is free for the other
            self.best = Best(epoch, self.sign * value, self.get_state())

    def is_over(self, epoch):
        """Tell whether there is nothing more to hope for."""
        # At a part of the rate nothing rises before it falls: half the patience shows it.
        patience = self.patience if self.factor == 1 else (self.patience + 1) // 2
        return self.best is not None and epoch - max(self.best.epoch, self._since) >= patience

    def go_on(self, history, step):
        """Put the best epoch back, where it is over and may go on at a smaller rate; the history says so.

        Where no epoch was better than the start there is nothing to go on from.
        """
        if self._cut is None or self.factor != 1 or not self.is_over(len(history)) or self.best.epoch == self._first:
            return
        step.set_state(self.best.state)
        history[-1]["restored"] = self.best.epoch
        self.factor, self._since = self._cut, len(history)

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
    get_state : callable
        Copies the step's state.
    """

    def __init__(self, path, every, settings, first, ranks, get_state):
        self._path, self._every, self._settings = path, every, settings
        self._first, self._ranks, self._get_state = first, ranks, get_state

    def after_epoch(self, history, best, rng, is_last):
        """Write the file where it is due, but not after an epoch that Ctrl-C cut short."""
        due = (len(history) - self._first) % self._every == 0 or is_last
        if self._path is not None and due and not history[-1]["interrupted"]:
            state = self._get_state()
            run = RunState(history, self._first, best, rng.get_state(legacy=False), state)
            save(self._path, self._settings, run, self._ranks)
