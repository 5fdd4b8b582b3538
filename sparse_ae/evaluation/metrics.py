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
from typing import NamedTuple, Optional

import numpy as np

__all__ = ["rmse", "mae"]


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


def _precision(hits, n_relevant):
    return hits.sum(axis=1) / hits.shape[1]


def _recall(hits, n_relevant):
    return hits.sum(axis=1) / n_relevant


def _ndcg(hits, n_relevant):
    discounts = 1 / np.log2(np.arange(hits.shape[1]) + 2)
    return hits.dot(discounts) / np.cumsum(discounts)[np.minimum(n_relevant, hits.shape[1]) - 1]


def _hit_rate(hits, n_relevant):
    return hits.any(axis=1).astype(np.float64)


def _map(hits, n_relevant):
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.sum(precisions * hits, axis=1) / np.minimum(n_relevant, hits.shape[1])


def _mrr(hits, n_relevant):
    return hits.any(axis=1) / (np.argmax(hits, axis=1) + 1)


#: From hits, bool (n_users, k), and numbers of relevant items (n_users,), 1 at least, to each user's value, (n_users,).
BY_USER = {"precision": _precision, "recall": _recall, "ndcg": _ndcg, "hit_rate": _hit_rate, "map": _map, "mrr": _mrr}


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
