"""Implicit feedback: users clicked or bought items, and how often.

Someone who did c times what others did once isn't c times as fond of it. A pair of user and item that comes c times, or
whose count is c, is taken for a rating of

    log2(1 + c)        (1)

once is 1, three times 2, seven times 3; as the confidence in Y. Hu, Y. Koren, C. Volinsky, Collaborative Filtering for
Implicit Feedback Datasets, ICDM 2008, grows with a logarithm of the count. A pair that never came is missing.
"""
import numpy as np
import scipy.sparse as sp

from sparse_ae.data.ratings import Ratings, check_counts
from sparse_ae.data.tables import as_columns, as_ratings, columns_of

__all__ = ["from_counts"]


def total_counts(feedback, y=None):
    """`Ratings` of each pair's total count, of counts in any form that `as_ratings` takes, or of pairs."""
    return as_ratings(_counted(feedback, y), y, duplicates="sum")


def as_counts(counts):
    """`Ratings` of equation (1), of `Ratings` that are counts; ValueError, with its ids, for a count of 0 or less."""
    check_counts(counts)
    matrix = counts.matrix.copy()
    matrix.data = from_counts(matrix.data).astype(np.float32)
    return counts._replace(matrix=matrix)


def count_columns(feedback, y=None):
    """Users, items and equation (1) of their counts, a list of arrays, (n,); pairs may be repeated."""
    users, items, counts = as_columns(_counted(feedback, y), y)[:3]
    return [users, items, from_counts(counts)]


def from_counts(counts):
    """Equation (1), (n,) float64; ValueError for a count that isn't a finite number above 0."""
    counts = np.asarray(counts, np.float64)
    wrong = np.flatnonzero(~(counts > 0) | (counts == np.inf))
    if len(wrong):
        raise ValueError("the count at position %d is %g; expected numbers above 0: leave out pairs without a "
                         "count" % (wrong[0], counts[wrong[0]]))
    return np.log2(1 + counts)


def _counted(feedback, y):
    """Feedback with counts unchanged; pairs or a table as a tuple of users, items and counts."""
    if y is not None or isinstance(feedback, Ratings) or sp.issparse(feedback):
        return feedback
    columns = columns_of(feedback, 2, 3, "feedback")
    return tuple(columns if len(columns) == 3 else columns + [np.ones(len(columns[0]))])
