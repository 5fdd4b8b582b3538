"""Reasons for a score: each of the user's ratings has a part in it."""
from typing import Any, NamedTuple

import numpy as np

from sparse_ae.data.columns import as_frame


class Explanation(NamedTuple):
    """The parts of a user's ratings in the score of an item.

    Attributes
    ----------
    items : numpy.ndarray of int64 or str, shape (n_rated,)
        Ids of the items that the user rated, the one with the largest part first. Of an item without ratings the names
        of its attributes.
    parts : numpy.ndarray of float64, shape (n_rated,)
        In the score's unit, descending; a rating with a negative part speaks against the item.
    rest : float
        The score minus the sum of the parts, such as biases and the popularity of the item.
    """

    items: np.ndarray
    parts: np.ndarray
    rest: float

    @property
    def score(self) -> float:
        """float: The sum of all: the prediction before it is clipped to the rating scale."""
        return float(self.parts.sum() + self.rest)

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns item and part, the largest first; ImportError without pandas."""
        return as_frame({"item": self.items, "part": self.parts})


def explanation(ids, parts, score):
    """The `Explanation` of a score by the ids, ascending, and parts of rated items, (n_rated,) each."""
    order = np.argsort(-parts, kind="stable")
    return Explanation(ids[order], parts[order], float(score - parts.sum()))
