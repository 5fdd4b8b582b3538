"""Validation after each epoch of a training: by an RMSE, by a ranking metric, or by a measure of the caller's."""
from typing import Callable, NamedTuple, Optional

import numpy as np

from sparse_ae.checks import check_count, check_finite
from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import ListValidation, relevant_from
from sparse_ae.runtime.progress import VALIDATION
from sparse_ae.scoring.scorer import Scorer


class EpochMetric(NamedTuple):
    """A function without arguments (None without validation), called after each `every` epochs; `sign` is 1 for an
    error, -1 where higher is better. It may end training from the epoch `least` on, and at once if `ends` says so."""

    value: Optional[Callable]
    name: str
    every: int = 1
    least: int = 1
    sign: int = -1
    ends: Callable = lambda epoch: False

    def __call__(self):
        return self.value()

    def complete(self, record, history):
        """Add the value to the record of an epoch, and return it; epochs that aren't validated get the last value."""
        if self.value is None:
            return None
        last = history[-1].get(self.name) if history and (len(history) + 1) % self.every else None
        record[self.name] = self.value() if last is None else last
        if last is None and self.ends(len(history) + 1):
            record["ended"] = True  # in files too
        return record[self.name]


def validation_of(model, objective, unknown, train, held_out, targets, measure):
    """The `EpochMetric` by a `measure` of `Trainer.fit`, or by the objective's on held-out ratings if there are any."""
    found = EpochMetric(None, "rmse", sign=1)
    if measure is not None:
        if not callable(measure) or not isinstance(getattr(measure, "name", None), str):
            raise TypeError("measure is %r; expected a function without arguments with an attribute name, or None"
                            % (measure,))
        found = EpochMetric(measure, measure.name, *(check_count(getattr(measure, name, 1), name + " of measure")
                                                     for name in ("every", "least")),
                            ends=getattr(measure, "ends", found.ends))
    elif held_out is not None:
        metric = Metric.parse(objective.measure, "the objective's measure")
        scorer = Scorer(model, train, targets=targets)
        if metric.k is None:
            found = found._replace(value=validation_rmse(scorer, held_out, unknown))
        else:
            relevant = relevant_from(train.data, targets.rating_scale, objective.counts)
            found = ranking_metric(ListValidation(CheckedMatrix(train), CheckedMatrix(held_out),
                                                  metric._replace(relevant=relevant)), scorer)

    def value():
        given = model.ranks.gathered(found.value())[0]  # the same to the last bit on all ranks
        return given if measure is None else check_finite(given, "the value of measure", "a finite number")

    return found._replace(name=VALIDATION + found.name, value=None if found.value is None else value,
                          ends=lambda epoch: model.ranks.any(found.ends(epoch)))


def validation_rmse(scorer, held_out, unknown):
    """A function that returns the current model's RMSE on held-out ratings; `unknown` is predicted where nothing is
    known, None for the mean."""
    pairs, unknown = held_out.tocoo(), scorer.rating_matrix.mean if unknown is None else unknown

    def value():
        error = pairs.data - scorer.predict(pairs.row, pairs.col, unknown).astype(np.float64)
        return float(np.sqrt(np.sum(error ** 2) / len(error)))

    return value


def ranking_metric(validation, scorer):
    """The `EpochMetric` of a scorer's rankings by a `ListValidation`."""
    def value():
        scorer.forget()
        return float(validation.by_user(validation.lists_of(scorer)).mean())

    return EpochMetric(value, validation.metric.label)
