"""Users who are similar to one, and the cosines that tell which users or items are."""
from typing import Any, NamedTuple

import numpy as np

from sparse_ae.data.columns import as_frame


class SimilarUsers(NamedTuple):
    """Users who are similar to one, the most similar first.

    Attributes
    ----------
    users : numpy.ndarray of int64 or str, shape (n,)
        Ids.
    scores : numpy.ndarray of float, shape (n,)
        Cosines, from -1 to 1.
    """

    users: np.ndarray
    scores: np.ndarray

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns user and score; ImportError without pandas."""
        return as_frame({"user": self.users, "score": self.scores})


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
