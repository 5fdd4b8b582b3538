"""Vectors of users and items, for an index of nearest neighbours."""
from typing import NamedTuple

import numpy as np


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
