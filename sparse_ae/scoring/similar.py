"""Users who are similar to one, or to whom an item is shown, and cosines, which tell who or what is similar."""
from typing import Any, NamedTuple

import numpy as np

from sparse_ae.data.columns import as_frame
from sparse_ae.scoring.ranking import best_of

# Pairs of users and items whose scores are computed at a time.
_BLOCK = 2 ** 22


class RankedUsers(NamedTuple):
    """Users, the best first.

    Attributes
    ----------
    users : numpy.ndarray of int64 or str, shape (n,)
        Ids.
    scores : numpy.ndarray of float, shape (n,)
        Of `Recommender.users_for` predictions, of `Recommender.similar_users` cosines, from -1 to 1.
    """

    users: np.ndarray
    scores: np.ndarray

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns user and score; ImportError without pandas."""
        return as_frame({"user": self.users, "score": self.scores})


def best_users(scorer, users, items, n, rated):
    """The n best of some users for each of some items: positions among `users`, as by `top_n`, and scores, (n_items, n)
    each. The function `rated` tells of pairs whether they are left out."""
    scores, step = np.empty((len(items), len(users)), scorer.dtype), max(1, _BLOCK // max(1, len(items)))
    for start in range(0, len(users), step):
        block = users[start:start + step]
        pairs = np.repeat(block, len(items)), np.tile(items, len(block))
        found = np.where(rated(*pairs), -np.inf, scorer.pairs(*pairs))
        scores[:, start:start + step] = found.reshape(len(block), len(items)).T
    return best_of(scores, min(n, max(1, len(users))))


def cosines(blocks, row):
    """Cosines of rows with one of them, all less their mean, (n,); a function makes the rows in blocks, (n, k) each."""
    total, n = 0.0, 0
    for block in blocks():
        total, n = total + block.sum(axis=0, dtype=np.float64), n + len(block)
    mean = total / n
    one, = _unit_rows(row[np.newaxis] - mean)
    return np.concatenate([np.einsum("ik,k->i", _unit_rows(block - mean), one) for block in blocks()])


def _unit_rows(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
