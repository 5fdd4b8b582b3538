"""Lists of the best: which items, in which order, and which of equals comes first.

Scores are ordered from the highest down, and equal ones by their place among the candidates, ascending. The same scores
give the same list, always.
"""
from typing import NamedTuple

import numpy as np

from sparse_ae.checks import check_count

__all__ = ["Recommendations", "leave_out", "recommendations", "top_n"]


class Recommendations(NamedTuple):
    """Items for one person, the best first.

    Attributes
    ----------
    items : numpy.ndarray of int64 or str, shape (n,)
        Ids.
    scores : numpy.ndarray of float, shape (n,)
        Predicted ratings, in the ratings' unit; of `Recommender.similar_items`, cosines.
    """

    items: np.ndarray
    scores: np.ndarray


def top_n(scores, n):
    """The n best of each row, the best first; of equal scores the one that comes first in the row.

    Parameters
    ----------
    scores : numpy.ndarray of float, shape (n_rows, n_candidates)
        -inf for what must not be chosen. No NaN.
    n : int
        How many, 1 or more.

    Returns
    -------
    numpy.ndarray of int, shape (n_rows, n)
        Positions among the candidates; -1 where there are no more.

    Raises
    ------
    ValueError
        For a bad n, and for NaN among the scores.
    """
    n = check_count(n, "n")
    scores = np.asarray(scores)
    if np.isnan(scores).any():
        raise ValueError("%d scores are NaN; expected a number for each candidate, -inf for one to leave out"
                         % np.isnan(scores).sum())
    best = np.full((len(scores), n), -1)
    for row, negative in enumerate(-scores):
        candidates = np.flatnonzero(negative < np.inf)
        if len(candidates) > n:  # all that tie with the n-th stay, for the order below to choose from
            candidates = candidates[negative[candidates] <= np.partition(negative[candidates], n - 1)[n - 1]]
        order = candidates[np.argsort(negative[candidates], kind="stable")][:n]
        best[row, :len(order)] = order
    return best


def leave_out(scores, candidates, rows, items):
    """Set the scores of some pairs to -inf, in place.

    Parameters
    ----------
    scores : numpy.ndarray of float, shape (n_rows, n_candidates)
    candidates : numpy.ndarray of int, shape (n_candidates,)
        The items that the columns are of, ascending.
    rows, items : numpy.ndarray of int, shape (n,)
        The pairs. Items that are no candidates are passed over.
    """
    if len(candidates):
        at = np.minimum(np.searchsorted(candidates, items), len(candidates) - 1)
        there = candidates[at] == items
        scores[rows[there], at[there]] = -np.inf


def recommendations(ids, best, scores):
    """A row of `top_n` in ids, those of the candidates; `scores` (n,) go with `best`."""
    best = best[best >= 0]
    return Recommendations(ids[best], scores[:len(best)])
