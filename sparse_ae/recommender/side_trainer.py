"""Training of the models with the same rows, items or users: settings are chosen, and less decay is tried."""
import gc
from typing import List, NamedTuple, Optional

import numpy as np

from sparse_ae.checks import MOST, check_rng
from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.files.storage import shortened
from sparse_ae.model import AutoEncoder
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.recommender.defaults import PLAIN_L2, Choice
from sparse_ae.recommender.model_factory import LARGE, MORE_TRIES, Run
from sparse_ae.recommender.settings import as_line
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.fold_in import FoldIn
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.training.targets import TYPICAL

# The factor of less decay; the decay is too strong if outputs should be 1.1 times as large.
LESS_DECAY, _TOO_SMALL = 0.3, 1.1


class SideModel(NamedTuple):
    """A trained model of one side in a `Scorer`, as after `epoch` (0: none was better than biases); `rates` to it."""

    side: str
    scorer: Scorer
    choice: Choice
    history: list
    epoch: int
    rates: List[float]
    error: Optional[TrainingDiverged] = None
    interrupted: bool = False

    @property
    def model(self):
        return self.scorer.model


class SideTrainer:
    """Trains models of a `ModelFactory` on `SideData` with the same seed (a RandomState for a single training).
    Progress names the rows and a `label`; `less_decay` is the factor of the rule's decay to begin with."""

    def __init__(self, factory, data, seed, run=Run(), less_decay=1.0, label=""):
        self.factory, self.data, self.side, self.ratings = factory, data, data.side, data.ratings.by(data.side)
        self.name = "%s as rows%s" % (data.side, label)
        self._seed, self._run, self._label = seed, run, label
        self.less_decay = less_decay  # `search` changes it
        self.n_columns = self.ratings.shape[1]
        # The objective has a rule for the decay; a custom cost is measured.
        self._has_rule = factory.objective.rule(1, 1.0) is not None
        self.searches = (factory.residual_mode and data.held_out is not None and factory.goes_by_rmse
                         and not factory.is_chosen(self.side) and factory.is_auto("l2"))

    @cached_property
    def choice(self):
        """The `Choice` by the settings; "auto" is looked up in `choices`, or follows from the training ratings."""
        variance = None if self.factory.is_chosen(self.side) else self.data.targets.variance(self.ratings)
        return self.factory.choice(self.side, self.ratings, variance, self.data.held_out is not None)

    def say(self, choice):
        """Print the chosen settings in a line."""
        chosen = {name: value for name, value in choice._asdict().items() if self.factory.is_auto(name)}
        if chosen and self.factory.residual_mode and not self.factory.is_chosen(self.side):
            self.factory.tell("%s: %s" % (self.name, as_line(chosen)))

    def search(self, residuals=None, measure_of=None):
        """The best `SideModel` by the chosen settings, and with less decay if the `ValidationResiduals` suggest it."""
        choice = self.choice
        if self.searches and not self._has_rule:
            choice = self._by_cost(choice)
        if self.searches:
            choice = choice._replace(l2=choice.l2 * self.less_decay)
        self.say(choice)
        best = self.train(choice, measure_of)
        return self._with_less_decay(best, residuals) if self.searches else best

    def _by_cost(self, choice):
        """The choice with a decay in proportion to the mean cost of a rating in a first epoch."""
        label = self._label + ", to find the scale of the cost"
        first = SideTrainer(self.factory, self.data, self._seed, label=label).train(
            choice._replace(n_epochs=1, patience=1))
        if first.interrupted:
            raise KeyboardInterrupt  # this side has no model yet that could be kept
        if first.error:
            return choice
        n = self.ratings.nnz
        return choice._replace(l2=float(PLAIN_L2 * first.history[0]["data_loss"] / n * (n / TYPICAL) ** (1 / 3)))

    def _with_less_decay(self, best, residuals):
        """Train with less decay while validation ratings ask for larger outputs and it helps: the best `SideModel`. The
        rule takes residuals for noise; its decay is too strong if they are true preferences."""
        if best.error or best.interrupted or not len(residuals.ratings):
            return best
        with self.factory.until_ctrl_c(best) as ended:
            stretch, error = residuals.stretch(best)
            for attempt in range(MORE_TRIES):
                if self._has_rule and stretch <= _TOO_SMALL:  # another cost's decay can't be judged by least squares
                    break
                # A model that has learned nothing on large data would learn nothing with a third of the decay, too.
                factor = LESS_DECAY ** (2 if self._has_rule and np.isinf(stretch) else 1)
                choice = best.choice._replace(l2=best.choice.l2 * factor)
                self.factory.tell("%s: l2=%.4g is too much (on validation ratings outputs %s); trained again with "
                                  "l2=%.4g" % (self.name, best.choice.l2, "are 0" if np.isinf(stretch) else
                                               "%.2f times as large are best" % stretch, choice.l2))
                tried, before = self.train(choice, stage=2 + attempt), error
                stretch, error = residuals.stretch(tried)
                if tried.error or tried.interrupted or not error < before:
                    return best._replace(interrupted=tried.interrupted)
                best, self.less_decay = tried, self.less_decay * factor
        return best._replace(interrupted=bool(ended))

    def train(self, choice, measure_of=None, stage=0, seconds=None):
        """The `SideModel` of a training, stopped early by validation; `measure_of` makes `measure` of `Trainer.fit`."""
        rng, held_out = check_rng(self._seed), self.data.held_out
        validation = None if held_out is None else CheckedMatrix(held_out.by(self.side))
        return self._trained(self._new(choice, rng), choice, rng, None, held_out and measure_of,
                             checkpoint=self._run.path(self.side, stage), validation=validation,
                             n_epochs=choice.n_epochs, patience=choice.patience, cut=choice.cut, seconds=seconds)

    def again(self, choice, rates, start=None):
        """Train a model, by default a new one, or that of a `Scorer`, for an epoch of each learning rate."""
        rng = check_rng(self._seed)
        return self._trained(start or self._new(choice, rng), choice, rng, rates, n_epochs=len(rates),
                             checkpoint=self._run.path(self.side, 1))

    def begun(self, choice, before, columns):
        """The `Choice`, and a `Scorer` of all ratings, of a new model with the parameters of that of `before`, which is
        a `Scorer` of fewer ratings, with columns that are now at some positions. Decoders of new ones are folded in."""
        was = before.model
        if self.factory.is_shallow and isinstance(was, AutoEncoder):
            choice = choice._replace(n_hidden=was.n_hidden, l2=(was.l2_W, was.l2_V))  # a mean of models has other ones
        scorer = self._scorer(self._model(choice, check_rng(self._seed)))
        values = {each.name: each.variable.get_value(borrow=True) for each in was.parameters}
        for each in scorer.model.parameters:
            value = each.variable.get_value()
            at = tuple(columns if axis == each.columns_axis else slice(None) for axis in range(value.ndim))
            value[at] = values[each.name]
            each.variable.set_value(value)
        counts, counts_before = (self.side.rows_columns(*each.rating_matrix.counts)[1] for each in (scorer, before))
        is_new = counts > 0
        is_new[columns[counts_before > 0]] = False
        if is_new.any() and self.factory.objective.folds_columns:
            FoldIn(scorer, self.factory.objective).put(np.flatnonzero(is_new))
        return choice, scorer

    def _scorer(self, model):
        return Scorer(model, self.data.ratings, self.side, self.data.targets)

    def _model(self, choice, rng):
        if self.n_columns * choice.n_hidden >= LARGE:
            gc.collect()  # Theano's functions are cycles of references that hold an update's memory
        return self.factory.model(self.n_columns, choice, rng, self.data.targets.output_scale)

    def _new(self, choice, rng):
        """A `Scorer` of a new model."""
        scorer = self._scorer(self._model(choice, rng))
        if not self.factory.residual_mode:  # outputs start at the mean rating, or at that of the many missing entries
            self.factory.objective.begin(scorer.model, self.ratings, scorer.rating_matrix.mean)
        return scorer

    def _trained(self, scorer, choice, rng, rates, measure_of=None, **arguments):
        """The `SideModel` of a `Scorer`'s model by arguments of `Trainer.fit`; with `rates` on all ratings."""
        model, run, residual_mode, error = scorer.model, self._run, self.factory.residual_mode, None
        labels = {"rows": self.side, "refit": rates is not None} if residual_mode else {}
        label, bench = self.name + ("" if rates is None else ", on all ratings"), self.factory.bench(model)
        trainer = self.factory.trainer(bench.model, choice, rng, label if residual_mode else True)
        trainer.step = bench.step
        if rates is not None:  # NaN: a checkpoint with more epochs, which another run has left, is refused
            trainer.learning_rate = lambda epoch: rates[epoch - 1] if epoch <= len(rates) else np.nan

        def note(record):
            record.update(labels)
            if run.on_epoch is not None:
                run.on_epoch(record)

        try:
            try:
                trainer.fit(CheckedMatrix(self.ratings), targets=self.data.taught, on_epoch=note, resume=run.resume,
                            measure=measure_of and measure_of(self._scorer(bench.model)),
                            keep_optimiser=not residual_mode, **arguments)
            finally:
                bench.give(trainer.step, model)
            for each in model.parameters if residual_mode else ():
                each.variable.set_value(shortened(each.variable.get_value(borrow=True)))
            scorer.forget()  # hidden units of before
            restored = trainer.history[-1]["restored"]
            epoch = len(trainer.history) if restored is None else restored
            if epoch:
                self._check_learned(model, choice, trainer.history[epoch - 1])
        except TrainingDiverged as found:
            if not residual_mode:
                raise
            error, epoch = found, 0
            self.factory.tell("%s: %s; that model is left out" % (label, found))
        model.ranks = ALONE
        for record in trainer.history:  # those of a checkpoint don't come to `note`
            record.update(labels)
        interrupted = bool(trainer.history) and trainer.history[-1]["interrupted"]
        return SideModel(self.side, scorer, choice, trainer.history, epoch, _rates_to(epoch, trainer.history), error,
                         interrupted)

    def _check_learned(self, model, choice, record):
        """Raise `TrainingDiverged` for diverged parameters, or a large error."""
        ruined = [each.name for each in model.parameters
                  if not (np.abs(each.variable.get_value(borrow=True)) <= MOST).all()]
        (low, high), error = self.data.targets.rating_scale, record["train_rmse"]
        if ruined:
            said = "%s has numbers beyond %g in epoch %d" % (" and ".join(ruined), MOST, record["epoch"])
        elif error is not None and error > high - low:  # any constant on the scale is better
            said = "the training RMSE is %g in epoch %d, on a scale from %g to %g" % (error, record["epoch"], low, high)
        else:
            return
        raise TrainingDiverged("%s; lower learning_rate=%r, or the weight_scale of network=%r"
                               % (said, choice.learning_rate, self.factory.settings["network"]))


def _rates_to(epoch, history):
    """The learning rates that led to an epoch, without epochs that were rolled back."""
    rates = []
    for record in history[:epoch]:
        rates.append(record["learning_rate"])
        if record["restored"] is not None:
            del rates[record["restored"]:]
    return rates
