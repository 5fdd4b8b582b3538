"""A call of `Trainer.fit` between its epochs, its validation, and an epoch's sums: what the loop needn't show."""
import time

import numpy as np

from sparse_ae.checks import check_count


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
    stopping : stopping.EarlyStopping
    checkpoints : stopping.Checkpoints
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
        self._checkpoints.after_epoch(history, self._first, self.stopping, self._trainer.rng,
                                      self._late or self._is_over())
        if self._on_epoch is not None:
            with ranks.agreed():
                self._on_epoch(record)
        self.stopping.keep(len(history))  # somebody may have set parameters


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
