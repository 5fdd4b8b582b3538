"""The training loop: batches into the compiled function, a history out.

The post's loop, with users shuffled anew each epoch, the last partial batch included, and the error in the ratings'
unit beside the loss; and what a long run needs: early stopping on held-out ratings, and checkpoints to resume from.
"""
import time

import numpy as np

from sparse_ae.checks import (
    check_bool,
    check_choice,
    check_count,
    check_finite,
    check_number,
    check_rng,
    check_run,
    error_at,
    state_of,
)
from sparse_ae.contract import Model
from sparse_ae.data.batches import minibatches
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.runtime.progress import announced, signs_of_life
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.checkpoint import CheckpointFile, check_states, own_settings_of, settings_of
from sparse_ae.training.formulations import FORMULATIONS, choose_formulation, get_formulation
from sparse_ae.training.objectives import Objective, Observed
from sparse_ae.training.optimisers import (
    UPDATES,
    check_entrywise,
    check_update,
    make_step,
    optimiser_of,
)
from sparse_ae.training.run import EpochSums, TrainingRun, Validation
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
        Which of the equivalent graphs runs; see `formulations`. "auto" takes the sparse one on a CPU unless the ratings
        are dense; the attribute `formulation` says which after the first `fit`.
    l2_per : {"batch", "epoch"}
        "batch" is the post's: the cost of each mini-batch has the whole weight decay, which is therefore the stronger
        the more mini-batches there are. With "epoch" each has the share that its ratings are of all ratings: an epoch
        sums to ``squared error + l2 (|W|^2 + |V|^2)`` whatever the batch size.
    rng : numpy.random.RandomState or int
        Shuffles the rows.
    progress : bool or str
        Whether to show how far the training is, as `progress` tells, and to announce a long compilation; a text, such
        as "items as rows", is shown beside it.
    unknown : float, optional
        The prediction for a validation rating in a row or a column without training ratings; by default the mean of
        the training ratings.
    objective : Objective
        The cost: `Observed`, the post's squared error, or another of `training.objectives`.

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
        ``interrupted``        True in the epoch in which Ctrl-C came, which may be cut short, else False
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
        if not isinstance(model, Model):
            raise TypeError("model is %r; expected an AutoEncoder, a Network, or another sparse_ae.contract.Model"
                            % (model,))
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
            if optimiser_of(self.update).needs_all_rows:
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
            raise TypeError("objective is %r; expected an object of a class of training.objectives, or of one that "
                            "inherits Objective, such as Observed() or Missing(0.2)"
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
            the higher the better. The history has it as ``validation_`` and its attribute `name`. One with an attribute
            `every` is asked after the first epoch, and after those whose number `every` divides; the others have the
            value of the epoch before. One with an attribute `least` ends no training before so many epochs.
        seconds : float, optional
            The training ends with the epoch that is under way after so many.
        keep_optimiser : bool
            Whether an epoch is put back with what the optimiser remembered then, which is up to two numbers more for
            each parameter to keep. Without it that stays as the last epoch left it.
        cut : float, optional
            With `patience`, by what the learning rate is multiplied once that many epochs have not lowered the error by
            a thousandth: everything is put back to the best epoch, and training goes on from there until two fifths of
            as many don't. It takes twice as many as long as the error is no lower than the first epoch's by 0.5%.

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
        On ranks (see `ranks.ranks`) all call it with the same arguments, except for the ratings, where each has its own
        columns, and hold the same figures in `history`. `checkpoint` is then a file that names others beside it, one of
        each rank; as many ranks can go on from it. `measure` has to be the same on all, `on_epoch` is called on each,
        and progress is shown by the first.
        """
        with self.model.ranks.together():
            data, run = self._prepare(train, n_epochs, validation, on_epoch, patience, checkpoint, checkpoint_every,
                                      resume, targets, measure, seconds, keep_optimiser, cut)
            signs = signs_of_life(self.model.ranks.first and self.progress, run.n_to_come, len(data.rows))
            while run.goes_on():
                with sigint_as_flag() as run.interrupted:
                    run.after_epoch(self._epoch(data, run, signs))
            history = run.finish()
            signs.end(history)
            return history

    def _prepare(self, train, n_epochs, validation, on_epoch, patience, checkpoint, checkpoint_every, resume, targets,
                 measure, seconds, keep_optimiser, cut):
        """Check the arguments of `fit`, compile, and begin or resume: the `_Data` and the `TrainingRun`."""
        ranks = self.model.ranks
        targets = AsRated(self.model.rating_scale, self.objective.clips) if targets is None else targets
        with ranks.agreed():
            check_run(n_epochs, patience=patience, checkpoint=checkpoint, checkpoint_every=checkpoint_every,
                      resume=resume, on_epoch=on_epoch, keep_optimiser=keep_optimiser, cut=cut,
                      watched=validation is not None or measure is not None)
            judge = Validation(measure)
            train = targets.check(train, self.model)
            targets.check_unknown(self.unknown)
            held_out = None if validation is None else _checked_validation(validation, train, self.model)
        ranks.check_same({"rows": train.shape[0], "columns": self.model.n_all_columns})
        data = _Data(train, targets, ranks.sum(np.diff(train.indptr)))
        self._choose_formulation(data)
        self._check_agreement(data.counts, judge.name, n_epochs, patience=patience,
                              validation=held_out is not None, checkpoint=checkpoint is not None,
                              checkpoint_every=checkpoint_every, cut=cut, keep_optimiser=keep_optimiser)
        if measure is not None:
            judge.value = measure
        elif held_out is not None:
            judge.value = self._validator(train, held_out, targets)
        file = saved = None
        if checkpoint is not None:
            settings = own_settings_of(self, judge.name, train, held_out)
            file = CheckpointFile(checkpoint, checkpoint_every, settings, ranks)
            with ranks.agreed():
                saved = file.read(resume, self.history, self._rate, cut)
        self._compile(targets.channels, judge.value is not None)
        if saved is not None:
            with ranks.agreed():
                check_states(checkpoint, saved, self.step)
        run = TrainingRun(self.step, self.history, self.rng, judge, n_epochs, patience, cut, seconds, keep_optimiser,
                          file, on_epoch)
        run.begin(saved, judge.value is not None and bool(self.history or saved or targets.has_baseline))
        return data, run

    def _check_agreement(self, counts, measured, n_epochs, **arguments):
        """Raise on all ranks where one has other settings, or other arguments of `fit`, than another."""
        ranks = self.model.ranks
        ranks.check_same(lambda: dict(
            settings_of(self, measured), rng=state_of(self.rng), n_epochs=n_epochs, epochs_before=len(self.history),
            learning_rate=[self._rate(len(self.history) + epoch) for epoch in range(1, n_epochs + 1)], **arguments,
            **{each.name: each.variable.get_value() for each in self.model.parameters if each.columns_axis is None}))
        if not counts.any():
            raise ranks.raised_by_all(ValueError("the ratings hold no entries on any rank; expected at least one"))

    def _choose_formulation(self, data):
        """Choose the formulation where that is "auto"; raise what speaks against the one that is to serve."""
        train, ranks = data.train, self.model.ranks
        if self.formulation == "auto":
            self.formulation = choose_formulation(data.n_ratings / (train.shape[0] * self.model.n_all_columns),
                                                  self.model, self.objective)
        with ranks.agreed():
            get_formulation(self.formulation, self.model, self.objective).check(train, data.targets.channels)
            self.objective.check(self.model, train, data.targets)

    def _compile(self, channels, predictions):
        if self.step is not None and self.step.channels == tuple(channels):
            return
        ranks = self.model.ranks
        with announced("Compiling the %s graph; Theano keeps it for the next time ..." % self.formulation,
                       bool(self.progress) and ranks.first, once=True), ranks.agreed(), ranks.rank_0_first():
            rate = self._rate(len(self.history) + 1)
            if predictions:
                Outputs(self.model).begin_compiling()
            before, self.step = self.step, make_step(self.model, self.formulation, self.update, rate, channels,
                                                     self.objective)
            if before is not None:  # for other targets; the optimiser goes on
                self.step.set_state(before.get_state())
            if predictions:
                Outputs(self.model).compile_for_all()

    def _rate(self, epoch):
        if not optimiser_of(self.update).has_learning_rate:
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

    def _epoch(self, data, run, signs):
        """Train for an epoch, and return its record."""
        start, epoch, ranks = time.perf_counter(), len(self.history) + 1, self.model.ranks
        spent_in_sums = ranks.spending()
        rate = self._set_rate(epoch, run.rate_factor)
        sums = EpochSums(data.targets.unit if self.objective.reports_rmse else None)
        if self.batch_size is None:
            batches = minibatches(data.train, len(data.rows), rows=data.rows)
        else:
            batches = minibatches(data.train, self.batch_size, self.rng, data.rows)
        with signs.epoch(epoch, self.history[-1] if self.history else None), self.step.deferred():
            for rows, block in batches:
                n = int(data.counts[rows].sum())
                if self.l2_per == "epoch":
                    self.step.decay_share.set_value(np.asarray(n / data.n_ratings, self.model.dtype))
                batch = data.targets.batch(rows, block)
                # The wish to stop travels with the loss, so that all ranks leave the loop together.
                said = ranks.sum(np.array([*self.step(batch), bool(run.interrupted)]))
                loss, squared_error, stop = map(float, said)
                sums.add(loss, squared_error, n)
                if not np.isfinite(loss):
                    break
                signs.batch(len(rows), sums.loss, sums.rmse)
                if stop:
                    break
        diverged = next(filter(None, ranks.gathered(_divergence(loss, self.step))), None)
        if diverged:
            good = run.roll_back()
            raise ranks.raised_by_all(TrainingDiverged(
                "%s in epoch %d, batch %d%s; the parameters are those of the end of epoch %d. Lower the learning rate, "
                "or start from smaller weights"
                % (diverged, epoch, sums.n_batches, "" if rate is None else ", with learning_rate=%g" % rate, good)))
        return {"epoch": epoch, "loss": sums.loss, "data_loss": sums.data_loss, "train_rmse": sums.rmse,
                "validation_rmse": None, "learning_rate": rate, "seconds": time.perf_counter() - start,
                "interrupted": bool(stop), "restored": None, **spent_in_sums()}

    def _set_rate(self, epoch, factor):
        """Set an epoch's learning rate, times a factor, and return it; None where there is none."""
        ranks = self.model.ranks
        with ranks.agreed():
            rate = self._rate(epoch)
            if rate is not None:
                rate *= factor
                self.step.set_learning_rate(rate)
        ranks.check_same({"learning_rate(%d)" % epoch: rate})  # a schedule may have a mind of its own
        return rate


class _Data:
    """Ratings in CSR that a call of `fit` trains on, their targets, and how many each row has on all ranks."""

    def __init__(self, train, targets, counts):
        self.train, self.targets, self.counts = train, targets, counts
        self.rows, self.n_ratings = np.flatnonzero(counts), int(counts.sum())


def _divergence(loss, step):
    """Name the loss or parameters that are not finite: the last update can ruin one that the loss didn't show."""
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
