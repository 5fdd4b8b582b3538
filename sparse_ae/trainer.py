"""The post's training loop: batches into the compiled function, a history out; early stopping, and checkpoints.
Rows are shuffled anew in each epoch, the last, partial batch included."""
import contextlib
import time
from functools import partial
from typing import Any, Callable, List, Optional, Union

import numpy as np

from sparse_ae.checks import (
    AnyPath,
    Rng,
    check_bool,
    check_choice,
    check_count,
    check_finite,
    check_number,
    check_rng,
    state_of,
)
from sparse_ae.contract import Model
from sparse_ae.data.batches import minibatches
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.runtime.progress import announced, reporting, signs_of_life
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.training.checkpoint import CheckpointFile, check_states, settings_of
from sparse_ae.training.formulations import FORMULATIONS, choose_formulation, get_formulation
from sparse_ae.training.objectives import check_objective
from sparse_ae.training.optimisers import check_update
from sparse_ae.training.run import RunArguments, TrainingRun
from sparse_ae.training.steps import CompiledFor, has_learning_rate, make_step
from sparse_ae.training.targets import AsRated, check_held_out
from sparse_ae.validation import validation_of

__all__ = ["Trainer", "TrainingDiverged"]


class TrainingDiverged(ArithmeticError):
    """The loss or a parameter became NaN or infinite."""


class Trainer:
    """Trains a model, by mini-batches or on all rows at once.

    Parameters
    ----------
    model : AutoEncoder, or another Model
    update : str or callable
        A function of `lasagne.updates`, by name or itself; "rprop" or "lbfgs", for all rows at once; or any function of
        the signature of `lasagne.updates.sgd`, such as
        ``functools.partial(lasagne.updates.momentum, momentum=0.5)``. With "lbfgs" an epoch is one iteration.
    learning_rate : float, or callable
        A function from the number of the epoch (1, 2, ...) to a float makes a schedule. "rprop" takes it for the first
        step, "lbfgs" has none and ignores it.
    batch_size : int or None
        Rows in a mini-batch. None makes one batch of all rows, in their order, as "rprop" and "lbfgs" need it.
    formulation : {"auto", "scan", "dense", "sparse"}
        One of the equivalent graphs. "auto" is the sparse one, the dense one where the objective needs it, and on a GPU
        unless ratings are very sparse; `step.formulation.name` is the choice.
    l2_per : {"batch", "epoch"}
        "batch" is the post's: the loss of each mini-batch has the whole weight decay. With "epoch" each has a share,
        its part of all ratings: an epoch sums to ``squared error + l2 (|W|^2 + |V|^2)``.
    rng : numpy.random.RandomState or int
        Shuffles the rows.
    progress : bool or str
        Whether to report progress and long compilations on stderr; a text is the label of these lines, but for
        "logging": then they go to Python's `logging`, to the logger "sparse_ae" at level INFO.
    unknown : float, optional
        The prediction for a validation rating in a row or a column without training ratings; by default the mean of
        the training ratings.
    objective : Objective, or its name
        The cost: `Observed`, the post's squared error, or another of `training.objectives`.

    Attributes
    ----------
    model, update, learning_rate, ...
        All parameters; `update` and `objective` not by name. They may be set: the next call of `fit` uses them. The
        optimiser's state stays, but with another model, update or formulation.
    step : training.steps.Step or None
        The compiled step, called with each mini-batch. None before the first call of `fit`.
    history : list of dict
        One for each epoch, over all calls of `fit`:

        =====================  ======================================================================================
        ``epoch``              1, 2, ...
        ``loss``               mean over batches of the loss, weight decay included: what the post prints
        ``data_loss``          the same without weight decay: the objective's cost, such as the squared error
        ``train_rmse``         of the outputs that the loss is made of: each batch before its own update, not clipped;
                               None where missing entries count, and where the cost is a likelihood
        ``validation_rmse``    on the validation ratings after the epoch, clipped; None without validation, and where
                               another measure has taken its place, as ``validation_ndcg@10``
        ``learning_rate``      in this epoch; None with "lbfgs"
        ``seconds``            of the epoch, compilation and validation not counted
        ``interrupted``        True in the epoch in which Ctrl-C came, which may be cut short, else False
        ``restored``           the epoch to whose end everything was put back, in the last epoch of a call of `fit`
                               with `patience`, and before the rate is `cut`; else None
        ``ended``              only in an epoch after which `measure` ended the training: True
        =====================  ======================================================================================
    """

    def __init__(self, model: Model, update: Union[str, Callable] = "sgd",
                 learning_rate: Union[float, Callable[[int], float]] = 0.001, batch_size: Optional[int] = 64,
                 formulation: str = "auto", l2_per: str = "batch", rng: Rng = 0, progress: Union[bool, str] = True,
                 unknown: Optional[float] = None, objective: Any = "ratings") -> None:
        self.model, self.update, self.learning_rate, self.batch_size = model, update, learning_rate, batch_size
        self.formulation, self.l2_per, self.rng, self.progress = formulation, l2_per, rng, progress
        self.unknown, self.objective = unknown, objective
        self._check_settings()
        self.history: List[dict] = []
        self.step: Any = None

    def _check_settings(self):
        """Check the settings, which may have been set since."""
        if not isinstance(self.model, Model):
            raise TypeError("model is %r; expected an AutoEncoder, a Network, or another sparse_ae.contract.Model"
                            % (self.model,))
        if self.batch_size is not None:
            self.batch_size = check_count(self.batch_size, "batch_size", ", or None for all rows at once")
        self.update = check_update(self.update, self.batch_size, self.model.ranks)
        if not callable(self.learning_rate):
            check_number(self.learning_rate, "learning_rate")
        check_choice(self.formulation, "formulation", ["auto"] + list(FORMULATIONS))
        check_choice(self.l2_per, "l2_per", ("batch", "epoch"))
        if self.unknown is not None:
            self.unknown = check_finite(self.unknown, "unknown", "a number, or None for the mean rating")
        if not isinstance(self.progress, str):
            check_bool(self.progress, "progress")
        self.objective = check_objective(self.objective)
        self.rng = check_rng(self.rng)

    @reporting
    def fit(self, train: Any, n_epochs: int, validation: Any = None, on_epoch: Optional[Callable] = None,
            patience: Optional[int] = None, checkpoint: Optional[AnyPath] = None, checkpoint_every: int = 1,
            resume: bool = False, targets: Any = None, measure: Optional[Callable] = None,
            seconds: Optional[float] = None, keep_optimiser: bool = True, cut: Optional[float] = None) -> List[dict]:
        """Train for more epochs.

        Parameters
        ----------
        train : sparse matrix, (n_rows, n_items)
            The ratings; rows without ratings are skipped.
        n_epochs : int
        validation : sparse matrix of the same shape, optional
            Held-out ratings, predicted after each epoch from the rows of `train`. With an objective whose `measure` is
            a ranking metric, such as "lists", they are ranked instead: for each row all columns with a training rating
            but the row's own; relevant are held-out ratings in the upper quarter of the scale, all with `counts`.
        on_epoch : callable, optional
            Called with each epoch's dict. An exception raised by it ends the training immediately.
        patience : int, optional
            Early stopping: training ends when so many epochs in a row have not lowered the least validation RMSE. When
            it ends, for any reason, parameters and optimiser are restored to the end of the epoch with the least RMSE,
            or the highest `measure`. The state before the call counts as an epoch if it has a prediction: in later
            calls, and always in residual mode.
        checkpoint : str or os.PathLike, optional
            A file, such as run.npz, with the state at an epoch's end, from which training can continue. It belongs to
            one call.
        checkpoint_every : int
            Epochs from one checkpoint to the next. There is one after the last epoch too, and none after an epoch that
            Ctrl-C interrupted: resuming repeats it.
        resume : bool
            Whether to continue from `checkpoint` if that file exists. A program that was killed, run again unchanged,
            then ends with the same bits as if nothing had happened. `n_epochs` counts the epochs in the file too; it,
            `patience` and `checkpoint_every` may differ from those of the run that is resumed.
        targets : Targets, optional
            Inputs of the encoder and targets of the decoder; by default the ratings themselves. Costs are in the unit
            of the targets, RMSEs in the ratings'.
        measure : callable, optional
            Replaces the validation RMSE, or the objective's ranking metric: a function without arguments that returns a
            score of the model, higher is better. The history has it as ``validation_`` and its attribute `name`. With
            an attribute `every` it is called after the first epoch and each epoch that `every` divides; with `least` it
            ends no training before that. With `patience` a function `ends` may end it: it is called after the measure
            with the number of the epoch, and returns True for that.
        seconds : float, optional
            Time limit, compilation included: after the first no epoch is begun that would end later, if it takes as
            long as the one before with its validation.
        keep_optimiser : bool
            Whether an epoch is restored with the optimiser's state, which takes up to two more numbers for each
            parameter.
        cut : float, optional
            With `patience`: the factor of the learning rate once so many epochs have not lowered the error by a
            thousandth. Training then continues from the best epoch, with a patience 0.4 times as long. Before the error
            has fallen by 0.5%, patience is twice as long.

        Returns
        -------
        list of dict
            `history`. Ctrl-C ends the training after the current batch, and returns the history so far.

        Raises
        ------
        TrainingDiverged
            When the loss or a parameter is NaN or infinite. Parameters and optimiser are restored to the end of the
            last complete epoch, with `patience` to that of the best one.
        ValueError, OSError
            For a file that isn't the checkpoint of this run, that exists without `resume`, or can't be written.

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
        On ranks (see `ranks.ranks`) all call it with the same arguments, and get the same model and `history`.
        `checkpoint` is one file, on a disk that all see; as many ranks can continue from it. The value of `measure` on
        the first rank counts on all, and `on_epoch` is called on each.
        """
        begun, arguments = time.perf_counter(), RunArguments(n_epochs, on_epoch, patience, checkpoint, checkpoint_every,
                                                             resume, seconds, keep_optimiser, cut)
        self._check_settings()
        arguments = arguments.check(watched=validation is not None or measure is not None)
        train, held_out, targets, formulation = self._check_ratings(train, validation, targets)
        validation = validation_of(self.model, self.objective, self.unknown, train, held_out, targets, measure)
        settings = partial(settings_of, self, formulation, validation.name, train, held_out)
        self._check_agreement(settings, arguments)
        file = saved = None
        if arguments.checkpoint is not None:
            file = CheckpointFile(arguments.checkpoint, settings(), self.model.ranks)
            saved = file.begin(arguments.resume, self.history, self._rate, arguments.cut,
                               None if validation.value is None else validation.name)
        self._compile(formulation, targets.channels, validation.value is not None)
        if saved is not None:
            check_states(file.path, saved, self.step)
        run = TrainingRun(self.step, self.history, self.rng, validation, arguments, begun, file)
        run.begin(saved, validation.value is not None and bool(self.history or saved or targets.has_baseline))
        with signs_of_life(self.model.ranks.first and self.progress, len(self.history) + run.n_to_come,
                           np.count_nonzero(np.diff(train.indptr))) as signs, sigint_as_flag() as run.interrupted:
            while run.goes_on():
                run.after_epoch(self._epoch(train, targets, run, signs), signs)
            signs.end(run.finish())
        return self.history

    def _check_ratings(self, train, validation, targets):
        """Return the ratings as CSR, those for validation or None, `Targets`, and the formulation for them."""
        targets = AsRated(self.model.rating_scale, self.objective.clips) if targets is None else targets
        given, train = train, targets.check(train, self.model)
        targets.check_unknown(self.unknown)
        held_out = None if validation is None else check_held_out(validation, train, given)
        formulation = self.formulation
        if formulation == "auto":
            density = train.nnz / (train.shape[0] * train.shape[1])
            formulation = choose_formulation(density, self.model, self.objective)
        get_formulation(formulation, self.model, self.objective).check(train)
        self.objective.check(self.model, train, targets)
        return train, held_out, targets, formulation

    def _check_agreement(self, settings, arguments):
        """Raise on all ranks where one has other settings, or other arguments of `fit`, than another."""
        shared = {name: value for name, value in arguments._asdict().items()
                  if name not in ("on_epoch", "resume", "seconds")}
        self.model.ranks.check_same(lambda: dict(
            settings(), rng=state_of(self.rng), epochs_before=len(self.history),
            learning_rate=[self._rate(len(self.history) + epoch) for epoch in range(1, arguments.n_epochs + 1)],
            **dict(shared, checkpoint=arguments.checkpoint is not None),
            **{each.name: each.variable.get_value() for each in self.model.parameters}))

    def _compile(self, formulation, channels, predictions):
        before, needed = self.step, CompiledFor.of(self, formulation, channels)
        if before is not None and before.is_for(needed):
            return
        with announced("Compiling the %s graph; Theano keeps it for the next time ..." % formulation,
                       bool(self.progress) and self.model.ranks.first, once=True):
            rate = self._rate(len(self.history) + 1)
            with Outputs(self.model).compiled_together() if predictions else contextlib.nullcontext():
                self.step = make_step(self.model, formulation, self.update, rate, channels, self.objective)
            self.step.compiled_for = needed
            if before is not None and needed.has_state_of(before.compiled_for):  # for other targets or objectives
                self.step.set_state(before.get_state())

    def _rate(self, epoch):
        if not has_learning_rate(self.update):
            return None
        if callable(self.learning_rate):
            return check_number(self.learning_rate(epoch), "learning_rate(%d)" % epoch)
        return check_number(self.learning_rate, "learning_rate")

    def _epoch(self, train, targets, run, signs):
        """Train for an epoch, and return its record."""
        start, epoch = time.perf_counter(), len(self.history) + 1
        rate = self._rate(epoch)
        if rate is not None:
            rate *= run.rate_factor
            self.step.set_learning_rate(rate)
        unit, sums = targets.unit if self.objective.reports_rmse else None, np.zeros(4)
        size, rng = (train.shape[0], None) if self.batch_size is None else (self.batch_size, self.rng)
        self.step.decay_share.set_value(np.asarray(1, self.model.dtype))
        signs.epoch(epoch, self.history[-1] if self.history else None)
        with self.step.deferred():
            for rows, block in minibatches(train, size, rng):
                if self.l2_per == "epoch":
                    self.step.decay_share.set_value(np.asarray(block.nnz / train.nnz, self.model.dtype))
                batch = targets.batch(rows, block)
                # The wish to stop travels with the loss, so that all ranks leave the loop together.
                loss, data_loss, stop = map(float, self.model.ranks.sum(
                    np.array([*self.step(batch), bool(run.interrupted)])))
                sums += (1, loss, data_loss, block.nnz)
                if not np.isfinite(loss):
                    break
                signs.batch(len(rows), *_means(sums, unit)[::2])
                if stop:
                    break
        # The last update can ruin parameters that the loss didn't show.
        ruined = self.step.ruined() if np.isfinite(loss) else None
        if ruined != []:
            diverged = ("the loss is %g" % loss if ruined is None else
                        "%s is not finite after the update" % " and ".join(ruined))
            good = run.roll_back()
            raise TrainingDiverged(
                "%s in epoch %d, batch %d%s; the parameters are set back to the end of epoch %d. Lower the learning "
                "rate, or the initial weights"
                % (diverged, epoch, sums[0], "" if rate is None else ", with learning_rate=%g" % rate, good))
        loss, data_loss, train_rmse = _means(sums, unit)
        return {"epoch": epoch, "loss": loss, "data_loss": data_loss, "train_rmse": train_rmse,
                "validation_rmse": None, "learning_rate": rate, "seconds": time.perf_counter() - start,
                "interrupted": bool(stop), "restored": None}


def _means(sums, unit):
    """Means over mini-batches of the loss and its data term; the RMSE over ratings, None without their unit."""
    n_batches, losses, data_losses, n_ratings = sums.tolist()
    error = None if unit is None else float(unit * np.sqrt(data_losses / n_ratings))
    return losses / n_batches, data_losses / n_batches, error
