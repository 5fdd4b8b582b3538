"""The training loop: mini-batches into the compiled function, a history out.

The post's loop, with users shuffled anew each epoch, the last partial batch included, and the error in the ratings' unit beside the loss.
"""
import contextlib
import numbers
import signal
import sys
import threading
import time

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import lasagne
import numpy as np
from tqdm import tqdm

from sparse_ae.data import check_ratings, check_rng, minibatches
from sparse_ae.formulations import FORMULATIONS, TrainingStep, choose_formulation
from sparse_ae.metrics import rmse

__all__ = ["Trainer", "TrainingDiverged"]


class TrainingDiverged(ArithmeticError):
    """The loss became NaN or infinite."""


class Trainer:
    """Trains a model by mini-batches.

    Parameters
    ----------
    model : AutoEncoder
    update : str or callable
        A function of `lasagne.updates`, by name or itself; or any of its signature, `functools.partial(lasagne.updates.momentum,
        momentum=0.5)` for one.
    learning_rate : float
    batch_size : int
        Rows in a mini-batch.
    formulation : {"auto", "scan", "dense", "sparse"}
        Which of the equal graphs runs; see `formulations`. "auto" takes the sparse one on a CPU unless the ratings are dense, and the
        dense one on a GPU; the attribute `formulation` says which after the first `fit`.
    l2_per : {"batch", "epoch"}
        "batch" is the post's: the cost of each mini-batch has the whole weight decay, which is therefore the stronger the more
        mini-batches there are. With "epoch" each has the share that its ratings are of all ratings: an epoch sums to
        ``squared error + l2 (|W|^2 + |V|^2)`` whatever the batch size.
    rng : numpy.random.RandomState or int
        Shuffles the rows.
    progress : bool
        Whether to show a progress bar (on a terminal) and to announce a long compilation, both on stderr.

    Attributes
    ----------
    history : list of dict
        One for each epoch, over all calls of `fit`:

        ============================  =======================================================================================
        ``epoch``                     1, 2, ...
        ``loss``                      mean over mini-batches of the cost, weight decay included: what the post prints
        ``data_loss``                 the same of the squared error alone
        ``train_rmse``                of the outputs that the loss is made of: each batch before its own update, not clipped
        ``validation_rmse``           on the validation ratings after the epoch, clipped; None without validation
        ``seconds``                   of the epoch, compilation and validation not counted
        ``interrupted``               True in an epoch that Ctrl-C cut short, else False
        ============================  =======================================================================================

    Raises
    ------
    ValueError
        For settings that can't be used.
    """

    def __init__(self, model, update="sgd", learning_rate=0.001, batch_size=64, formulation="auto", l2_per="batch", rng=0,
                 progress=True):
        self.model = model
        self.update = _update(update)
        if not isinstance(learning_rate, numbers.Real) or not np.isfinite(learning_rate) or learning_rate <= 0:
            raise ValueError("learning_rate is %r; expected a positive number" % (learning_rate,))
        if isinstance(batch_size, bool) or not isinstance(batch_size, numbers.Integral) or batch_size < 1:
            raise ValueError("batch_size is %r; expected a positive integer" % (batch_size,))
        if formulation != "auto" and formulation not in FORMULATIONS:
            raise ValueError("formulation is %r; expected one of 'auto', %s" % (formulation, ", ".join(map(repr, FORMULATIONS))))
        if l2_per not in ("batch", "epoch"):
            raise ValueError("l2_per is %r; expected 'batch' or 'epoch'" % (l2_per,))
        self.learning_rate, self.batch_size, self.formulation, self.l2_per = learning_rate, batch_size, formulation, l2_per
        self.rng = check_rng(rng)
        self.progress = progress
        self.history = []
        self._step = None

    def fit(self, train, n_epochs, validation=None, on_epoch=None):
        """Trains for some epochs more.

        Parameters
        ----------
        train : sparse matrix, (n_rows, n_items)
            The ratings; rows without any are passed over.
        n_epochs : int
        validation : sparse matrix of the same shape, optional
            Held-out ratings, predicted after each epoch from the rows of `train`.
        on_epoch : callable, optional
            Called with each epoch's dict. What it raises ends the training.

        Returns
        -------
        list of dict
            `history`. Ctrl-C ends the running epoch after its current batch and returns what there is.

        Raises
        ------
        TrainingDiverged
            When the loss is NaN or infinite. Parameters and optimiser are put back to the end of the last whole epoch.
        ValueError
            For ratings that the model can't take; before anything is compiled.
        """
        train = self.model.check(train)
        if isinstance(n_epochs, bool) or not isinstance(n_epochs, numbers.Integral) or n_epochs < 1:
            raise ValueError("n_epochs is %r; expected a positive integer" % (n_epochs,))
        held_out = None if validation is None else _validation(validation, train)
        if self._step is None:
            if self.formulation == "auto":
                self.formulation = choose_formulation(train.nnz / (train.shape[0] * train.shape[1]))
            FORMULATIONS[self.formulation].check(train)
            with _announce_if_slow("Compiling the %s graph; Theano keeps it for the next time ..." % self.formulation, self.progress):
                self._step = TrainingStep(self.model, self.formulation, self.update, self.learning_rate)

        for _ in range(n_epochs):
            with _sigint_as_flag() as interrupted:
                record = self._epoch(train, interrupted)
            if held_out is not None:
                record["validation_rmse"] = rmse(held_out.data, self.model.predict_pairs(train, held_out.row, held_out.col))
            self.history.append(record)
            if on_epoch is not None:
                on_epoch(record)
            if record["interrupted"]:
                break
        return self.history

    def _epoch(self, train, interrupted):
        start = time.perf_counter()
        epoch = len(self.history) + 1
        good = [x.get_value(borrow=False) for x in self._step.state]
        n_batches, losses, squared_errors, n_ratings = 0, 0.0, 0.0, 0
        n_rows = np.count_nonzero(np.diff(train.indptr))
        # disable=None: no bar where stderr is no terminal
        bar = tqdm(total=n_rows, desc="epoch %d" % epoch, unit="row", leave=False, disable=None if self.progress else True)
        with bar, self._step.deferred():
            for rows, block in minibatches(train, self.batch_size, self.rng):
                if self.l2_per == "epoch":
                    self._step.share.set_value(np.asarray(block.nnz / train.nnz, self._step.share.dtype))
                loss, squared_error = self._step(block)
                n_batches += 1
                if not np.isfinite(loss):
                    break
                losses += loss
                squared_errors += squared_error
                n_ratings += block.nnz
                if not bar.disable:
                    bar.set_postfix(loss="%.4g" % (losses / n_batches), rmse="%.4f" % np.sqrt(squared_errors / n_ratings), refresh=False)
                    bar.update(len(rows))
                if interrupted:
                    break
        if not np.isfinite(loss):
            for variable, value in zip(self._step.state, good):
                variable.set_value(value, borrow=True)
            raise TrainingDiverged(
                "the loss is %g in epoch %d, batch %d, with learning_rate=%g; the parameters are those of the end of epoch %d. Lower the "
                "learning rate, or start from smaller weights" % (loss, epoch, n_batches, self._step.learning_rate.get_value(), epoch - 1))
        return {"epoch": epoch, "loss": losses / n_batches, "data_loss": squared_errors / n_batches,
                "train_rmse": float(np.sqrt(squared_errors / n_ratings)), "validation_rmse": None,
                "seconds": time.perf_counter() - start, "interrupted": bool(interrupted)}


# lasagne.updates also exports what works on updates and on gradients.
_UPDATES = ["sgd", "momentum", "nesterov_momentum", "adagrad", "rmsprop", "adadelta", "adam", "adamax"]


def _update(update):
    function = getattr(lasagne.updates, update, None) if isinstance(update, str) and update in _UPDATES else update
    if not callable(function):
        raise ValueError("update is %r; expected a function of lasagne.updates or its name: %s" % (update, ", ".join(_UPDATES)))
    return function


def _validation(validation, train):
    validation = check_ratings(validation)
    if validation.shape != train.shape:
        raise ValueError("validation ratings are %d x %d, training ratings %d x %d; both must have the same rows and columns, as "
                         "split_ratings returns them" % (validation.shape + train.shape))
    return validation.tocoo()


@contextlib.contextmanager
def _announce_if_slow(message, wanted, after=2.0):
    """Prints `message` on stderr when the body takes longer than some seconds; what Theano has cached comes back sooner."""
    timer = threading.Timer(after, print, [message], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    if wanted:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _sigint_as_flag():
    """A list that the first Ctrl-C makes non-empty, so that no step is torn apart; a second one interrupts as always."""
    flag = []
    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread gets signals, and only it may handle them
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(number, frame):
        flag.append(number)
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
