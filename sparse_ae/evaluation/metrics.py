"""Errors of predictions, in the ratings' own scale, and metrics of rankings.

Over n predicted ratings, r observed and p predicted:

    RMSE = sqrt(sum((r - p)**2) / n)        MAE = sum(|r - p|) / n

For lists of k recommendations, let hit_uj be 1 if the j-th item on user u's list is relevant for u, else 0, and R_u the
number of items that are relevant for u. Over the users with R_u > 0, each of these is a mean of

    precision at k  =  sum over j of hit_uj  /  k
    recall at k     =  sum over j of hit_uj  /  R_u
    NDCG at k       =  sum over j of hit_uj / log2(j + 1)  /  sum over j = 1 .. min(k, R_u) of 1 / log2(j + 1)
    hit rate at k   =  1 if any hit_uj is 1, else 0
    MAP at k        =  sum over j of hit_uj (hit_u1 + ... + hit_uj) / j  /  min(k, R_u)
    MRR at k        =  1 / the least j with hit_uj = 1, or 0 if there is none

A user with R_u = 0 has no recall, and is left out of all six. A list of fewer than k items counts as filled up with
misses, an empty one, of an unknown user, as k misses: neither makes a denominator smaller. NDCG is that of
K. Jarvelin, J. Kekalainen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002, with relevance 0 or
1 and the discount log2(j + 1). The others are those of C. D. Manning, P. Raghavan, H. Schutze, Introduction to
Information Retrieval, 2008, section 8.4, cut off at k. The mean average precision of a list that is cut off has two
denominators in use: with min(k, R_u), as here, the best list has 1; trec_eval's map_cut divides by R_u, whatever k is.
Which of two items with equal scores comes first is for `ranking` to say.

Metrics of the lists themselves, over the n_u items on each user's list, n_u <= k:

    coverage    =  different items that are on at least one list  /  items that could have been
    popularity  =  sum over all lists of the popularity of their items  /  sum over u of n_u

The popularity of an item is any number that comes with it, such as the share of users who have rated it. Places that
no item fills count in neither: an empty list adds nothing, and if all are empty, there is no popularity.
"""
import functools
from typing import NamedTuple, Optional

import numpy as np

from sparse_ae.checks import check_count

__all__ = ["rmse", "mae", "precision_at_k", "recall_at_k", "ndcg_at_k", "hit_rate_at_k", "map_at_k", "mrr_at_k",
           "coverage", "mean_popularity"]


def rmse(observed, predicted):
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
        If the shapes differ, there are no ratings, or a value is missing (NaN, masked) or infinite.
    TypeError
        If the values aren't real numbers.
    """
    observed, predicted = checked_pairs(observed, predicted)
    return float(np.sqrt(np.mean((observed - predicted) ** 2)))


def mae(observed, predicted):
    """Mean absolute error, ``sum(|observed - predicted|) / n``, in float64; arguments and errors are `rmse`'s."""
    observed, predicted = checked_pairs(observed, predicted)
    return float(np.mean(np.abs(observed - predicted)))


class Measure(NamedTuple):
    """The metric that models are chosen by: a ranking metric and the length k, or "rmse" without a length.

    `relevant` is the rating from which an item is relevant, once it is known.
    """

    name: str
    k: Optional[int] = None
    relevant: Optional[float] = None

    @classmethod
    def parse(cls, text, argument):
        """The metric named by "rmse" or a text such as "ndcg@10"; errors call it `argument`."""
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
        """As `parse` takes it."""
        return self.name if self.k is None else "%s@%d" % (self.name, self.k)


#: From hits (n_users, k) and numbers of relevant items (n_users,), 1 at least, to each user's value, float (n_users,).
BY_USER = {}


def _mean_over_users(by_user):
    """From a metric of each user to its mean over those with a relevant item; `BY_USER` has the former."""
    @functools.wraps(by_user)
    def mean(hits, n_relevant):
        hits, n_relevant = np.asarray(hits), np.asarray(n_relevant)
        if hits.ndim != 2 or hits.dtype != bool or not hits.shape[1]:
            raise ValueError("hits are an array of %s of shape %r; expected bool, (users, k), k at least 1"
                             % (hits.dtype, hits.shape))
        if n_relevant.shape != hits.shape[:1] or n_relevant.dtype.kind not in "iu":
            raise ValueError("n_relevant is an array of %s of shape %r; expected a whole number for each of %d users"
                             % (n_relevant.dtype, n_relevant.shape, len(hits)))
        wrong = np.flatnonzero(hits.sum(axis=1) > n_relevant)
        if len(wrong):
            raise ValueError("user %d has %d hits among %d relevant items; expected each relevant item once at most"
                             % (wrong[0], hits[wrong[0]].sum(), n_relevant[wrong[0]]))
        counted = n_relevant > 0
        if not counted.any():
            raise ValueError("none of %d users has a relevant item; lower the rating from which an item is "
                             "relevant" % len(hits))
        return float(np.mean(by_user(hits[counted], n_relevant[counted])))

    BY_USER[by_user.__name__[:-len("_at_k")]] = by_user
    return mean


@_mean_over_users
def precision_at_k(hits, n_relevant):
    """Mean over users of the share of their k recommendations that is relevant; see the module's formulas.

    Parameters
    ----------
    hits : array_like of bool, shape (n_users, k)
        Whether the j-th recommendation for a user, the best first, is relevant; False without a recommendation.
    n_relevant : array_like of int, shape (n_users,)
        The number of relevant items for each user, recommended or not. Users with 0 are left out.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        For shapes that don't match, more hits than relevant items, and if no user has a relevant item.
    """
    return hits.sum(axis=1) / hits.shape[1]


@_mean_over_users
def recall_at_k(hits, n_relevant):
    """Mean over users of the share of their relevant items that is among their k recommendations.

    With more than k relevant items it stays below 1. Parameters, result and errors are those of `precision_at_k`.
    """
    return hits.sum(axis=1) / n_relevant


@_mean_over_users
def ndcg_at_k(hits, n_relevant):
    """Mean over users of their normalised discounted cumulative gain: 1 if relevant items come first.

    Parameters, result and errors are those of `precision_at_k`.
    """
    discounts = 1 / np.log2(np.arange(hits.shape[1]) + 2)
    return hits.dot(discounts) / np.cumsum(discounts)[np.minimum(n_relevant, hits.shape[1]) - 1]


@_mean_over_users
def hit_rate_at_k(hits, n_relevant):
    """Share of users with a relevant item among their k recommendations.

    Parameters, result and errors are those of `precision_at_k`.
    """
    return hits.any(axis=1).astype(np.float64)


@_mean_over_users
def map_at_k(hits, n_relevant):
    """Mean over users of their average precision: the precisions at their hits, over min(k, R_u).

    Parameters, result and errors are those of `precision_at_k`.
    """
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.sum(precisions * hits, axis=1) / np.minimum(n_relevant, hits.shape[1])


@_mean_over_users
def mrr_at_k(hits, n_relevant):
    """Mean over users of 1 / the position of their first hit, 0 without one.

    Parameters, result and errors are those of `precision_at_k`.
    """
    return hits.any(axis=1) / (np.argmax(hits, axis=1) + 1)


def coverage(lists, n_candidates):
    """Share of the candidates that are on at least one list.

    Parameters
    ----------
    lists : array_like of int, shape (n_lists, k)
        Positions among the candidates, -1 where there is no item, as of `ranking.top_n`.
    n_candidates : int
        The number of candidates.

    Returns
    -------
    float
        From 0 to 1.
    """
    n_candidates = check_count(n_candidates, "n_candidates")
    return len(np.unique(_listed(lists, n_candidates))) / n_candidates


def mean_popularity(lists, popularity):
    """Mean popularity of all recommended items; an item counts for each list that it is on.

    Parameters
    ----------
    lists : array_like of int, shape (n_lists, k)
        Positions among the candidates, -1 where there is no item, as of `ranking.top_n`.
    popularity : array_like of float, shape (n_candidates,)
        Of each candidate, such as the number of its ratings or the share of users who have rated it.

    Returns
    -------
    float
        In the unit of `popularity`.

    Raises
    ------
    ValueError
        If no list has an item.
    """
    popularity = floats("popularity", popularity)
    if popularity.ndim != 1:
        raise ValueError("popularity is of shape %r; expected one dimension, a number for each candidate"
                         % (popularity.shape,))
    listed = _listed(lists, len(popularity))
    if not len(listed):
        raise ValueError("none of %d lists has an item; expected at least one, since popularity is undefined otherwise"
                         % len(lists))
    return float(np.mean(popularity[listed]))


def _listed(lists, n_candidates):
    """The recommended items of all lists, (n,), without empty positions."""
    lists = np.asarray(lists)
    if lists.ndim != 2 or lists.dtype.kind not in "iu":
        raise ValueError("lists are an array of %s of shape %r; expected integers, (lists, k), as of top_n"
                         % (lists.dtype, lists.shape))
    if lists.size and not -1 <= lists.min() <= lists.max() < n_candidates:
        raise ValueError("lists have %d; expected positions 0 .. %d, or -1 for no item"
                         % (lists.min() if lists.min() < -1 else lists.max(), n_candidates - 1))
    return lists[lists >= 0]


def checked_pairs(observed, predicted):
    """Observed and predicted ratings, in float64; at least one."""
    observed, predicted = floats("ratings", observed), floats("predictions", predicted)
    if observed.shape != predicted.shape:
        raise ValueError("%r ratings and %r predictions; expected arrays of one shape: predict each of the ratings"
                         % (observed.shape, predicted.shape))
    if not observed.size:
        raise ValueError("there are no ratings; expected at least one, since an error of no ratings is undefined")
    return observed, predicted


def floats(name, values):
    """The values as float64, all of them there."""
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
