"""Ratings of users one by one."""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.data.entries import check_compressed


class PersonRatings(NamedTuple):
    """A new user's items (`places`, ascending) and ratings, less the slopes' part; `offset` is the user's bias, 0 for
    scores."""

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
