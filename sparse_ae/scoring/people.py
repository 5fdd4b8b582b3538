"""Users one by one: ratings, reasons for a score, users who are similar to one or to whom an item is shown, vectors."""
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.data.columns import as_frame
from sparse_ae.data.entries import check_compressed
from sparse_ae.scoring.ranking import best_of
from sparse_ae.scoring.scores import BLOCK


class PersonRatings(NamedTuple):
    """A new user's items (`places`, ascending) and ratings, less slopes' part, and bias (`offset`), 0 for scores."""

    places: np.ndarray
    ratings: np.ndarray
    offset: float = 0.0


def without_each(person):
    """The same `PersonRatings` without each of the ratings in turn: a list."""
    return [PersonRatings(np.delete(person.places, k), np.delete(person.ratings, k), person.offset)
            for k in range(len(person.places))]


def stacked(people, n_items):
    """The ratings of several `PersonRatings`, a csr_matrix of float32 (n, n_items)."""
    indptr = np.concatenate([[0], np.cumsum([len(each.places) for each in people])])
    places, ratings = (np.concatenate([each[k] for each in people]) for k in (0, 1))
    found = sp.csr_matrix((ratings.astype("float32"), places, indptr), shape=(len(people), n_items))
    check_compressed(found, found.shape)  # SciPy's products would write beyond their arrays
    return found


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
    """The n best users for each item, but pairs that are `rated`: positions among `users`, and scores, (n_items, n)."""
    scores, step = np.empty((len(items), len(users)), scorer.dtype), max(1, BLOCK // max(1, len(items)))
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


class Vectors(NamedTuple):
    """Users and items with ratings, and vectors whose inner products are scores, for Faiss, hnswlib or pgvector.

    Attributes
    ----------
    users, items : numpy.ndarray of int64 or str, shapes (n_users,) and (n_items,)
        Ids, ascending.
    of_users, of_items : numpy.ndarray of float, shapes (n_users, k) and (n_items, k)
        ``of_users[u].dot(of_items[i])`` is the prediction of `Recommender.predict` before it is clipped, to rounding.
    """

    users: np.ndarray
    items: np.ndarray
    of_users: np.ndarray
    of_items: np.ndarray
