"""Held-out ratings, as a `FitResult` predicts them and lists items for their users."""
from typing import Any, NamedTuple, Optional

import numpy as np

from sparse_ae.evaluation.metrics import mae, rmse
from sparse_ae.evaluation.rankings import check_lengths, judge_lists


class HeldOut(NamedTuple):
    """Of each rating, (n,): ids, value, positions `u` and `i`, -1 for unknown ones, the user's number, and the
    prediction; None instead of all predictions if they are scores. Of each relevant one, those in the mask `wanted`:
    its list. Of each list, for a user with a relevant rating: the number of relevant items, the user's id and position,
    places among the positions in `candidates`, -1 at its end, and perhaps AUC. `popularity` is each item's."""

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    u: np.ndarray
    i: np.ndarray
    numbers: np.ndarray
    predicted: Optional[np.ndarray]
    n_trained: int
    k: Any
    relevant: Optional[float]
    wanted: np.ndarray
    whose: np.ndarray
    n_relevant: np.ndarray
    ids: np.ndarray
    listed: np.ndarray
    lists: np.ndarray
    areas: Optional[np.ndarray]
    candidates: np.ndarray
    popularity: np.ndarray

    def judge(self, lists, candidates, users=None, areas=None):
        """The metrics of these lists or of others for the same users; of each user if their ids are given."""
        return judge_lists(lists, self.k, candidates, self.whose, self.i[self.wanted], self.n_relevant,
                           self.popularity[candidates], users=users, areas=areas)

    @property
    def n_unknown(self):
        """The number of ratings whose user or item is unknown."""
        return int(np.count_nonzero((self.u < 0) | (self.i < 0)))

    def metrics(self, measure):
        """The result of `Recommender.evaluate`, whose first metric is the `measure` of an objective."""
        found = {"n_ratings": len(self.values), "n_unknown": self.n_unknown, "n_trained": self.n_trained}
        if self.predicted is not None:
            found = dict(rmse=rmse(self.values, self.predicted), mae=mae(self.values, self.predicted), **found)
        if self.k is None:
            return found
        found.update(self.judge(self.lists, self.candidates, areas=self.areas))
        name = measure.partition("@")[0]
        first = next(each for each in (name, measure, "%s@%d" % (name, check_lengths(self.k)[0])) if each in found)
        return {first: found.pop(first), **found}


def nothing_known(users, items):
    """The words for held-out ratings, by their ids, if no pair has a known user and a known item."""
    return ("no pair has both a user and an item with ratings in fit, such as user %.60s, item %.60s: check the ids, "
            "and the columns" % (users[0], items[0]))
