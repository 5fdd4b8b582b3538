"""The training loop: batches into the compiled function, a history out.

The post's loop, with users shuffled anew each epoch, the last partial batch included, and the error in the ratings'
unit beside the loss; and what a long run needs: early stopping on held-out ratings, and checkpoints to resume from.
"""
import contextlib
import os
import signal
import threading
import time

import numpy as np

from sparse_ae.checks import (
    check_bool,
    check_choice,
    check_count,
    check_finite,
    check_fraction,
    check_number,
    check_rng,
    check_run,
    error_at,
    state_of,
)
from sparse_ae.data.batches import minibatches
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.files import storage
from sparse_ae.runtime.progress import announced, signs_of_life
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.checkpoint import check_states, check_unused, load, settings_of
from sparse_ae.training.formulations import FORMULATIONS, choose_formulation, get_formulation
from sparse_ae.training.objectives import Objective, Observed
from sparse_ae.training.optimisers import (
    UPDATES,
    check_entrywise,
    check_update,
    has_learning_rate,
    make_step,
    needs_all_rows,
)
from sparse_ae.training.stopping import Checkpoints, EarlyStopping
from sparse_ae.training.targets import AsRated, check_own

__all__ = ["Trainer", "TrainingDiverged"]


class TrainingDiverged(ArithmeticError):
    """The loss or a parameter became NaN or infinite."""


class Trainer:
    """Trains a model, by mini-batches or on all rows at once.

    Parameters
    ----------
    model : AutoEncoder
    update : str or callable
        A function of `lasagne.updates`, by name or itself; "rprop" or "lbfgs", for all rows at once; or any function of
        the signature of `lasagne.updates.sgd`, such as
        ``functools.partial(lasagne.updates.momentum, momentum=0.5)``. With "lbfgs" an epoch is one iteration.
    learning_rate : float, or callable
        A function from the number of the epoch (1, 2, ...) to a float makes a schedule. "rprop" takes it for the first
        step, "lbfgs" has none and passes it over.
    batch_size : int or None
        Rows in a mini-batch. None makes one batch of all rows, in their order, as "rprop" and "lbfgs" need it. The
        dense and the scan formulation make it dense, which takes ``n_rows * n_items`` numbers and more.
    formulation : {"auto", "scan", "dense", "sparse"}
        Which of the equal graphs runs; see `formulations`. "auto" takes the sparse one on a CPU unless the ratings are
        dense; the attribute `formulation` says which after the first `fit`.
    l2_per : {"batch", "epoch"}
        "batch" is the post's: the cost of each mini-batch has the whole weight decay, which is therefore the stronger
        the more mini-batches there are. With "epoch" each has the share that its ratings are of all ratings: an epoch
        sums to ``squared error + l2 (|W|^2 + |V|^2)`` whatever the batch size.
    rng : numpy.random.RandomState or int
        Shuffles the rows.
    progress : bool or str
        Whether to show how far the training is, as `progress` tells, and to announce a long compilation; a text, such
        as "items as rows", says beside it what is trained.
    unknown : float, optional
        What a validation rating in a row or a column without training ratings is predicted as; the mean of the
        training ratings when not given.
    objective : Objective
        What is summed over which entries: `Observed`, the post's, or another of `training.objectives`.

    Attributes
    ----------
    step : training.steps.Step or None
        The compiled step: what a mini-batch is given to. None before the first call of `fit`.
    history : list of dict
        One for each epoch, over all calls of `fit`:

        =====================  ======================================================================================
        ``epoch``              1, 2, ...
        ``loss``               mean over batches of the cost, weight decay included: what the post prints
        ``data_loss``          the same of the squared error alone
        ``train_rmse``         of the outputs that the loss is made of: each batch before its own update, not clipped;
                               None where missing entries count, whose squared error is of all entries, and where the
                               cost is a likelihood
        ``validation_rmse``    on the validation ratings after the epoch, clipped; None without validation, and where
                               another measure has taken its place, as ``validation_ndcg@10``
        ``learning_rate``      in this epoch; None with "lbfgs"
        ``seconds``            of the epoch, compilation and validation not counted
        ``interrupted``        True in an epoch that Ctrl-C cut short, else False
        ``restored``           in the last epoch of a call of `fit` with `patience`, and before the rate is `cut`: the
                               epoch to whose end everything was put back, None where this one was the best; None in
                               all others
        =====================  ======================================================================================

        On several ranks there are two more: ``seconds_in_sums``, of them, and ``bytes_summed``, what this rank has put
        into sums in the epoch.

    Raises
    ------
    ValueError
        For settings that can't be used.
    """

    def __init__(self, model, update="sgd", learning_rate=0.001, batch_size=64, formulation="auto", l2_per="batch",
                 rng=0, progress=True, unknown=None, objective=Observed()):
        if isinstance(model, type) or not all(hasattr(model, name)
                                           for name in ("parameters", "encode", "decode", "decoder")):
            raise TypeError("model is %r; expected an AutoEncoder, or another that keeps training.contract" % (model,))
        self.model = model
        self.update = UPDATES.get(update) if isinstance(update, str) else update
        if not callable(self.update):
            raise ValueError("update is %r; expected a function, as those of lasagne.updates are, or one of %s"
                             % (update, ", ".join(UPDATES)))
        check_update(self.update, update)
        if not callable(learning_rate):
            check_number(learning_rate, "learning_rate")
        if batch_size is not None:
            check_count(batch_size, "batch_size", ", or None for all rows at once")
            if needs_all_rows(self.update):
                raise ValueError("batch_size is %r with update=%r, which needs the gradient of all ratings at once; "
                                 "expected batch_size=None, or an update for mini-batches such as 'adam'"
                                 % (batch_size, update))
        check_choice(formulation, "formulation", ["auto"] + list(FORMULATIONS))
        check_choice(l2_per, "l2_per", ("batch", "epoch"))
        if unknown is not None:
            check_finite(unknown, "unknown", "a number, or None for the mean rating")
        if not isinstance(progress, str):
            check_bool(progress, "progress")
        self.learning_rate, self.batch_size, self.formulation = learning_rate, batch_size, formulation
        self.l2_per, self.unknown, self.progress, self.objective = l2_per, unknown, progress, objective
        if not isinstance(objective, Objective):
            raise TypeError("objective is %r; expected one of training.objectives, such as Observed() or Missing(0.2)"
                            % (objective,))
        if model.ranks.size > 1:
            check_entrywise(self.update, update)
        self.rng = check_rng(rng)
        self.history = []
        self.step = None

    def fit(self, train, n_epochs, validation=None, on_epoch=None, patience=None, checkpoint=None, checkpoint_every=1,
            resume=False, targets=None, measure=None, seconds=None, keep_optimiser=True, cut=None):
        """Train for some epochs more.

        Parameters
        ----------
        train : sparse matrix, (n_rows, n_items)
            The ratings; rows without any are passed over. Of a model whose columns are shared out among ranks, the own
            ones: ``model.ranks.part(ratings)``.
        n_epochs : int
        validation : sparse matrix of the same shape, optional
            Held-out ratings, predicted after each epoch from the rows of `train`.
        on_epoch : callable, optional
            Called with each epoch's dict. An exception raised by it ends the training immediately.
        patience : int, optional
            Early stopping: training ends when so many epochs in a row have not lowered the least validation RMSE. When
            it ends, for this reason or another, parameters and optimiser are put back to the end of the epoch with the
            least, or with the highest `measure`. In a later call, and beyond biases in any, the parameters that it
            starts from are among those to choose from, so that it never ends worse than it began.
        checkpoint : str or os.PathLike, optional
            A file, `.npz` by convention, that holds at any time all that is needed to go on from an epoch's end; see
            `checkpoint`. It belongs to one call of `fit`.
        checkpoint_every : int
            Epochs from one checkpoint to the next. There is one after the last epoch too, and none after an epoch that
            Ctrl-C cut short: resuming repeats it whole.
        resume : bool
            Whether to go on from `checkpoint` where that file exists. A program that was killed, run again as it was,
            then ends with the same parameters, optimiser, generator and history (but for `seconds`), bit for bit, as
            if nothing had happened. `n_epochs` counts the epochs in the file too, which don't come to `on_epoch`
            again; it, `patience` and `checkpoint_every` may differ from those of the run that is resumed.
        targets : Targets, optional
            What the encoder is to see and the decoder to give; by default the ratings themselves. Costs are in the
            unit of the targets, RMSEs in the ratings'.
        measure : callable, optional
            What takes the place of the validation RMSE: without arguments, it returns how good the model is by then,
            the higher the better. The history has it as ``validation_`` and its attribute `name`.
        seconds : float, optional
            The training ends with the epoch that is under way after so many.
        keep_optimiser : bool
            Whether an epoch is put back with what the optimiser remembered then, which is up to two numbers more for
            each parameter to keep. Without it that stays as the last epoch left it.
        cut : float, optional
            With `patience`, by what the learning rate is multiplied when it runs out for the first time: everything is
            put back to the best epoch, and training goes on from there, with half the patience.

        Returns
        -------
        list of dict
            `history`. Ctrl-C ends the training after the current batch, and returns what there is.

        Raises
        ------
        TrainingDiverged
            When the loss or a parameter is NaN or infinite. Parameters and optimiser are put back to the end of the
            last whole epoch, with `patience` to that of the best one.
        ValueError, TypeError
            For arguments that can't be used, and for a file that isn't the checkpoint of this run.
        OSError
            For a checkpoint that exists without `resume`, and one that can't be written. Arguments and files are
            checked before anything is compiled, but for the arrays of a checkpoint.

        Examples
        --------
        >>> import sparse_ae
        >>> ratings, _ = sparse_ae.made_up_ratings(60, 40, 900, rng=0)
        >>> split = sparse_ae.split_ratings(ratings, 0.1, rng=0)
        >>> model = sparse_ae.AutoEncoder(n_items=40, n_hidden=4, rating_scale=(1, 5), rng=0)
        >>> trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.01, progress=False)
        >>> history = trainer.fit(split.train, 5, validation=split.test, patience=2)
        >>> history[-1]["train_rmse"] < history[0]["train_rmse"]
        True

        Notes
        -----
        On ranks (see `runtime.ranks`) all call it with the same arguments, but for the ratings, of which each has
        its own columns, and hold the same figures in `history`. `checkpoint` is then a file that names others beside
        it, one of each rank; as many ranks can go on from it. `measure` has to be the same on all, `on_epoch` is called
        on each, and progress is shown by the first.
        """
        with self.model.ranks.together():
            return self._fit(train, n_epochs, validation=validation, on_epoch=on_epoch, patience=patience,
                             checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume,
                             targets=targets, measure=measure, seconds=seconds, keep_optimiser=keep_optimiser, cut=cut)

    def _fit(self, train, n_epochs, validation, on_epoch, patience, checkpoint, checkpoint_every, resume, targets,
             measure, seconds, keep_optimiser, cut):
        ranks = self.model.ranks
        targets = AsRated(self.model.rating_scale, self.objective.clips) if targets is None else targets
        with ranks.agreed():
            check_run(n_epochs, patience=patience, checkpoint=checkpoint, checkpoint_every=checkpoint_every,
                      resume=resume, on_epoch=on_epoch)
            check_bool(keep_optimiser, "keep_optimiser")
            if cut is not None:
                check_fraction(cut, "cut", ", or None to stop at once")
            train, validation = self._checked(train, validation, patience, targets)
        ranks.check_same({"rows": train.shape[0], "columns": self.model.n_all_columns})
        counts = ranks.sum(np.diff(train.indptr))  # the ratings of each row, on all ranks
        if self.formulation == "auto":
            self.formulation = choose_formulation(counts.sum() / (train.shape[0] * self.model.n_all_columns),
                                                  self.model, self.objective)
        measured = "validation_rmse" if measure is None else "validation_" + measure.name
        settings = saved = None
        if checkpoint is not None or ranks.size > 1:
            settings = settings_of(self, train, validation, measured)
        with ranks.agreed():
            get_formulation(self.formulation, self.model, self.objective)
            FORMULATIONS[self.formulation].check(train, targets.channels)
            self.objective.check(self.model, train, targets)
        if ranks.size > 1:
            self._check_agreement(counts, settings, n_epochs, patience=patience, validation=validation is not None,
                                  checkpoint=checkpoint is not None, checkpoint_every=checkpoint_every, cut=cut,
                                  keep_optimiser=keep_optimiser)
        validate = None
        if validation is not None:
            validate = measure or self._validator(train, validation, targets)
        sign = 1 if measure is None else -1  # of an error, which is the better the lower
        with ranks.agreed():
            if checkpoint is not None:
                saved = self._open(checkpoint, resume, settings, cut)
        self._compile(targets.channels, validate is not None)

        way_back = self.step.get_state if keep_optimiser else self.step.get_parameters
        first, stopping = len(self.history), EarlyStopping(patience, sign, way_back, cut)  # `first`: earlier epochs
        if saved is not None:
            with ranks.agreed():
                check_states(checkpoint, saved, self.step)
            self.history[:] = saved.history
            self.rng.set_state(saved.rng)
            self.step.set_state(saved.state)
            first = saved.first
            if saved.best is not None and not keep_optimiser:  # of the last epoch the file has all
                state = {p.name: saved.best.state[p.name] for p in self.model.params}
                saved = saved._replace(best=saved.best._replace(state=state))
        # One copy of what a step changes serves as the way back, for early stopping and for the file: the best
        # epoch's alone, where there is one to go back to in any case.
        state = way_back()
        stopping.begin(len(self.history), validate if self.history or targets.has_baseline else None, state,
                       None if saved is None else saved.best, self.history[first:])

        def state_now():
            is_best = stopping.best is not None and stopping.best.epoch == len(self.history)
            return stopping.best.state if is_best and keep_optimiser else self.step.get_state()

        checkpoints = Checkpoints(checkpoint, checkpoint_every, settings, first, ranks, state_now)

        def is_over():
            n = len(self.history)
            return n - first >= n_epochs or stopping.is_over(n)

        signs = signs_of_life(ranks.first and self.progress, n_epochs - (len(self.history) - first),
                              np.count_nonzero(counts))
        interrupted, end = [], np.inf if seconds is None else time.perf_counter() + seconds
        late = False
        while not ranks.any(interrupted or late):
            stopping.go_on(self.history, self.step)
            if is_over():
                break
            with _sigint_as_flag() as interrupted:
                good = (len(self.history), state) if stopping.best is None else stopping.best[::2]
                state = None
                record = self._epoch(train, counts, interrupted, targets, signs, good, stopping.factor)
                if validate is not None:
                    record[measured] = validate()
                self.history.append(record)
                good = None
                late = seconds is not None and ranks.any(time.perf_counter() >= end)
                stopping.after_epoch(len(self.history), record.get(measured))
                checkpoints.after_epoch(self.history, stopping.best, self.rng, late or is_over())
                if on_epoch is not None:
                    with ranks.agreed():
                        on_epoch(record)
                if stopping.best is None:
                    state = way_back()  # somebody may have set parameters
        stopping.end(self.history, self.step)
        signs.end(self.history)
        return self.history

    def _checked(self, train, validation, patience, targets):
        """The ratings to train on and to validate on, of arguments of `fit` that go together."""
        if patience is not None and validation is None:
            raise ValueError("patience is %r without validation; expected held-out ratings to stop early on"
                             % (patience,))
        train = targets.check(train, self.model)
        targets.check_unknown(self.unknown)
        return train, None if validation is None else _checked_validation(validation, train, self.model)

    def _check_agreement(self, counts, settings, n_epochs, **arguments):
        """Raise on all ranks where one has other settings, or other arguments of `fit`, than another."""
        ranks = self.model.ranks
        settings = {name: value for name, value in settings.items() if name not in ("n_columns", "train", "validation")}
        with ranks.agreed():
            rates = [self._rate(len(self.history) + epoch) for epoch in range(1, n_epochs + 1)]
        ranks.check_same(dict(
            settings, rng=state_of(self.rng), n_epochs=n_epochs, epochs_before=len(self.history),
            learning_rate=rates, **arguments,
            **{each.name: each.variable.get_value() for each in self.model.parameters if each.columns_axis is None}))
        if not counts.any():
            raise ranks.raised_by_all(ValueError("the ratings hold no entries on any rank; expected at least one"))

    def _open(self, checkpoint, resume, settings, cut):
        """Read what the file has to go on from, None where there is none; raise what speaks against writing it."""
        check_unused(checkpoint, resume)
        if resume:
            storage.remove_abandoned(checkpoint, after=0)
        if not os.path.exists(checkpoint):
            return None
        saved = load(checkpoint, settings, self._rate, self.model.ranks, cut)
        if self.history and self.history != saved.history[:saved.first]:
            raise ValueError("%s is the checkpoint of a call of fit that began after %d epochs, not of one that goes "
                             "on from the %d epochs of this trainer; pass another path, or resume with a new Trainer"
                             % (checkpoint, saved.first, len(self.history)))
        return saved

    def _compile(self, channels, predictions):
        if self.step is not None:
            return
        ranks = self.model.ranks
        with announced("Compiling the %s graph; Theano keeps it for the next time ..." % self.formulation,
                       bool(self.progress) and ranks.first, once=True), ranks.agreed(), ranks.rank_0_first():
            rate = self._rate(len(self.history) + 1)
            if predictions:
                Outputs(self.model).begin_compiling()
            self.step = make_step(self.model, self.formulation, self.update, rate, channels,
                                  self.objective)
            if predictions and ranks.size > 1:
                Outputs(self.model).compile()

    def _rate(self, epoch):
        if not has_learning_rate(self.update):
            return None
        if callable(self.learning_rate):
            return check_number(self.learning_rate(epoch), "learning_rate(%d)" % epoch)
        return check_number(self.learning_rate, "learning_rate")

    def _validator(self, train, held_out, targets):
        """A function that gives the RMSE on held-out ratings of the model as it is then."""
        scorer, pairs = Scorer(self.model, train, targets=targets), held_out.tocoo()
        unknown = scorer.mean if self.unknown is None else self.unknown
        if self.model.ranks.size == 1:
            return lambda: rmse(pairs.data, scorer.predict(pairs.row, pairs.col, unknown))

        def of_all_ranks():
            error = pairs.data - scorer.predict(pairs.row, pairs.col, unknown).astype(np.float64)
            squares, n = self.model.ranks.sum(np.array([np.dot(error, error), len(error)]))
            return float(np.sqrt(squares / n))

        return of_all_ranks

    def _epoch(self, train, counts, interrupted, targets, signs, good, factor):
        """Train for an epoch, at a factor times its rate: its record.

        `good` is where to go back to if it diverges, an epoch and its state.
        """
        start = time.perf_counter()
        epoch, ranks = len(self.history) + 1, self.model.ranks
        waited, summed = ranks.seconds, ranks.bytes
        with ranks.agreed():
            rate = self._rate(epoch)
            if rate is not None:
                rate *= factor
                self.step.set_learning_rate(rate)
        ranks.check_same({"learning_rate(%d)" % epoch: rate})  # a schedule may have a mind of its own
        n_batches, losses, squared_errors, n_ratings = 0, 0.0, 0.0, 0

        def error():
            if self.objective.reports_rmse:
                return float(targets.unit * np.sqrt(squared_errors / n_ratings))
            return None

        used, n_all = np.flatnonzero(counts), int(counts.sum())
        if self.batch_size is None:
            batches = minibatches(train, len(used), rows=used)
        else:
            batches = minibatches(train, self.batch_size, self.rng, used)
        with signs.epoch(epoch, self.history[-1] if self.history else None), self.step.deferred():
            for rows, block in batches:
                n = int(counts[rows].sum())
                if self.l2_per == "epoch":
                    self.step.decay_share.set_value(np.asarray(n / n_all, self.model.dtype))
                batch = targets.batch(rows, block)
                # That somebody wants to stop travels with the loss, lest one rank leave the loop alone.
                loss, squared_error, stop = map(float, ranks.sum(np.array([*self.step(batch), bool(interrupted)])))
                n_batches += 1
                if not np.isfinite(loss):
                    break
                losses += loss
                squared_errors += squared_error
                n_ratings += n
                signs.batch(len(rows), losses / n_batches, error())
                if stop:
                    break
        diverged = next(filter(None, ranks.gathered(_divergence(loss, self.step))), None)
        if diverged:
            self.step.set_state(good[1])
            raise ranks.raised_by_all(TrainingDiverged(
                "%s in epoch %d, batch %d%s; the parameters are those of the end of epoch %d. Lower the learning rate, "
                "or start from smaller weights"
                % (diverged, epoch, n_batches, "" if rate is None else ", with learning_rate=%g" % rate, good[0])))
        in_sums = {} if ranks.size == 1 else {"seconds_in_sums": ranks.seconds - waited,
                                              "bytes_summed": ranks.bytes - summed}
        return {"epoch": epoch, "loss": losses / n_batches, "data_loss": squared_errors / n_batches,
                "train_rmse": error(), "validation_rmse": None, "learning_rate": rate,
                "seconds": time.perf_counter() - start, "interrupted": bool(stop),
                "restored": None, **in_sums}


def _divergence(loss, step):
    """Name what is no longer finite: an epoch's last update can ruin a parameter that its loss didn't show."""
    if not np.isfinite(loss):
        return "the loss is %g" % loss
    ruined = step.ruined()
    return "%s is not finite after the update" % " and ".join(ruined) if ruined else None


def _checked_validation(validation, train, model):
    try:
        validation = check_own(validation, model.ranks)
    except (TypeError, ValueError) as error:
        raise error_at("validation", error) from error
    if validation.shape != train.shape:
        raise ValueError("validation ratings are %d x %d, training ratings %d x %d; both must have the same rows and "
                         "columns, as split_ratings returns them" % (validation.shape + train.shape))
    return validation


@contextlib.contextmanager
def _sigint_as_flag():
    """A list that the first Ctrl-C makes non-empty, so that no step is torn apart; a second one is as always."""
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
