"""Errors of predictions, in the ratings' unit, and ranking metrics. docs/guide/evaluation.md has the formulas."""
import math
from typing import Any, NamedTuple, Optional

import numpy as np

from sparse_ae.scoring.scores import BLOCK

__all__ = ["rmse", "mae"]


def rmse(observed: Any, predicted: Any) -> float:
    """Root mean squared error, sqrt(sum((observed - predicted)**2) / n), in float64.

    Parameters
    ----------
    observed, predicted : array_like of float, of the same shape
        The n ratings and their predictions.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes differ, there are no ratings, or a value is missing (NaN, masked) or infinite.
    TypeError
        If the values aren't real numbers.

    Examples
    --------
    >>> import sparse_ae
    >>> sparse_ae.rmse([5, 3, 4, 1], [4, 3, 4, 1])
    0.5
    """
    observed, predicted = checked_pairs(observed, predicted)
    return float(np.sqrt(np.mean((observed - predicted) ** 2)))


def mae(observed: Any, predicted: Any) -> float:
    """Mean absolute error, ``sum(|observed - predicted|) / n``, in float64; arguments and errors are `rmse`'s.

    Examples
    --------
    >>> import sparse_ae
    >>> sparse_ae.mae([5, 3, 4, 1], [4, 3, 4, 1])
    0.25
    """
    observed, predicted = checked_pairs(observed, predicted)
    return float(np.mean(np.abs(observed - predicted)))


def _ndcg(hits, n_relevant, k):
    most = np.minimum(n_relevant, k)
    discounts = 1 / np.log2(np.arange(max(hits.shape[1], most.max(initial=0))) + 2)
    return hits.dot(discounts[:hits.shape[1]]) / np.cumsum(discounts)[most - 1]


def _map(hits, n_relevant, k):
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.sum(precisions * hits, axis=1) / np.minimum(n_relevant, k)


#: Functions of hits, bool (n_users, k), or fewer columns if there are fewer candidates, numbers of relevant items
#: (n_users,), at least 1, and k. They return each user's value, (n_users,).
BY_USER = {
    "precision": lambda hits, n_relevant, k: hits.sum(axis=1) / k,
    "recall": lambda hits, n_relevant, k: hits.sum(axis=1) / n_relevant,
    "ndcg": _ndcg,
    "hit_rate": lambda hits, n_relevant, k: hits.any(axis=1).astype(np.float64),
    "map": _map,
    "mrr": lambda hits, n_relevant, k: hits.any(axis=1) / (np.argmax(hits, axis=1) + 1),
    "f1": lambda hits, n_relevant, k: 2 * hits.sum(axis=1) / (k + n_relevant),
}


def area(scores, relevant, n_relevant):
    """The area under a user's ROC curve, by scores of candidates, -inf if left out, positions of relevant ones, and the
    number of relevant items, at least 1: others count as lower than all. 1 if all candidates are relevant."""
    values = scores[relevant]
    values = values[values > -np.inf]
    n_out, m, wins = np.count_nonzero(scores == -np.inf), len(values), 0.0
    step = max(1, BLOCK // len(scores))
    for start in range(0, m, step):
        some = values[start:start + step, np.newaxis]
        wins += (np.count_nonzero(scores < some) + np.count_nonzero(scores <= some)) / 2
    others = len(scores) - n_out - m
    return (wins - m * (n_out + m / 2)) / (n_relevant * others) if others else 1.0


def of_catalogue(lists, popularity):
    """The metrics of all lists together: positions of items, int (n_lists, k), -1 at the end of shorter lists, and the
    items' popularity, 0 for new ones, (n,). NaN of no items."""
    listed, n = lists[lists >= 0], len(popularity)
    shares = np.sort(np.bincount(listed, minlength=n)) / max(1, len(listed))
    used, ranks = shares[shares > 0], 2 * np.arange(n) - n + 1
    return {"coverage": len(used) / n if len(lists) else np.nan, "popularity": mean(popularity[listed]),
            "novelty": mean(np.log2(1 / np.maximum(popularity, popularity[popularity > 0].min(initial=1)))[listed]),
            "gini": float(ranks.dot(shares)) / max(1, n - 1) if len(used) else np.nan,
            "entropy": float(used.dot(np.log2(1 / used))) if len(used) else np.nan,
            "user_coverage": mean(lists[:, 0] >= 0)}


def mean(values):
    """The mean, a float, whatever the order of the values; NaN without values."""
    return math.fsum(values) / len(values) if len(values) else np.nan


class Metric(NamedTuple):
    """A ranking metric and its length k, or "rmse"; `relevant` is the rating that makes an item so, once known."""

    name: str
    k: Optional[int] = None
    relevant: Optional[float] = None

    @classmethod
    def parse(cls, text, argument):
        """The metric that is named "rmse", or such as "ndcg@10"; errors name the `argument`."""
        if isinstance(text, str):
            name, _, k = text.partition("@")
            if text == "rmse":
                return cls("rmse")
            if name in BY_USER and k.isdigit() and int(k):
                return cls(name, int(k))
        raise ValueError("%s is %r; expected 'rmse', or one of %s and the length of lists, such as 'ndcg@10'"
                         % (argument, text, ", ".join(BY_USER)))

    @property
    def label(self):
        """The name, as `parse` takes it."""
        return self.name if self.k is None else "%s@%d" % (self.name, self.k)


def checked_pairs(observed, predicted):
    """At least one observed and predicted rating, in float64."""
    observed, predicted = floats("ratings", observed), floats("predictions", predicted)
    if observed.shape != predicted.shape:
        raise ValueError("%r ratings and %r predictions; expected arrays of one shape: predict each of the ratings"
                         % (observed.shape, predicted.shape))
    if not observed.size:
        raise ValueError("there are no ratings; expected at least one, since an error of no ratings is undefined")
    return observed, predicted


def floats(name, values):
    """Values as float64; ValueError for missing or infinite ones."""
    if np.ma.is_masked(values):
        raise ValueError("%s have masked values; expected one for every rating: fill them in, for example with the "
                         "mean rating" % name)
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iuf":
        raise TypeError("%s are %s of dtype %s; expected an array of real numbers (of a sparse matrix, its .data)"
                        % (name, type(values).__name__, array.dtype))
    array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError("%d of %d %s are missing or infinite, the first (%s) at position %d; expected a finite number "
                         "for every rating: fill them in, for example with the mean rating"
                         % (array.size - finite.sum(), array.size, name, array.flat[np.argmin(finite)],
                            np.argmin(finite)))
    return array
