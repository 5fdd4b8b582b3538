"""Baselines of lists of recommendations: the most popular items, neighbours, EASE.

Each `fit_` takes training ratings X (n_users, n_items), as they are, and returns an object whose `scores` takes the
ratings of some users, known or new, and returns a score for each item, the higher, the better. Scores are no predicted
ratings; `evaluation.evaluate_lists` judges the lists that they make. The defaults do well on MovieLens, one to five
stars; on other ratings try some.

>>> from sparse_ae import evaluation, made_up_ratings, split_ratings
>>> from sparse_ae.baselines import lists
>>> split = split_ratings(made_up_ratings(60, 40, 1200)[0], 0.2, rng=0)
>>> popular = lists.fit_popular(split.train)
>>> measures = evaluation.evaluate_lists(lambda users: popular.scores(split.train[users]), *split[:2], k=5)
>>> 0 < measures["ndcg"] < 1
True

Most popular: an item's score is its number of ratings, for all users.

Neighbours: items are alike if the same people rate them alike, a missing rating counting as 0. With x_j the ratings of
item j, and for each item the k others that are most similar to it and more than 0,

    s_ij = x_i . x_j / (|x_i| |x_j| + shrinkage),    score_uj = sum over the neighbours i of j of r_ui s_ij        (1)

as in the ItemKNN of M. Ferrari Dacrema, P. Cremonesi, D. Jannach, Are We Really Making Much Progress?, RecSys 2019.

EASE: see `ease`, with a = b = 0.
"""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines import linalg
from sparse_ae.baselines.ease import EaseSystem, ItemWeights
from sparse_ae.baselines.linalg import csr_rows
from sparse_ae.checks import check_count, check_number
from sparse_ae.data.ratings import check_ratings, rating_counts
from sparse_ae.scoring.ranking import top_n

__all__ = ["fit_ease", "fit_neighbours", "fit_popular"]


class Popularity(NamedTuple):
    """The number of ratings of each item, float64 (n_items,): the same scores for all users."""

    n_ratings: np.ndarray

    def scores(self, ratings):
        """As `ItemWeights.scores`."""
        return np.tile(self.n_ratings, (csr_rows(ratings, len(self.n_ratings)).shape[0], 1))


def fit_popular(train):
    """Count the ratings of each item.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes.

    Returns
    -------
    Popularity
        Its `scores` takes a sparse matrix (n, n_items), and returns an array of this shape.
    """
    return Popularity(rating_counts(check_ratings(train))[1].astype(np.float64))


def fit_neighbours(train, k=200, shrinkage=10.0):
    """Find the neighbours of each item by the shrunk cosine of equation (1).

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. The ratings count as they are.
    k : int
        At most so many neighbours; of equally similar ones the first.
    shrinkage : float
        0 or more. The larger, the less the similarity of items counts that have few ratings in common.

    Returns
    -------
    ItemWeights
        Its `scores` takes a sparse matrix (n, n_items), and returns an array of this shape.
    """
    X = check_ratings(train).astype(np.float64)
    k, shrinkage = check_count(k, "k"), check_number(shrinkage, "shrinkage", zero=True)
    norms, columns = np.sqrt(X.multiply(X).sum(axis=0).A1), []
    by_items = X.T.tocsr()
    for start in range(0, X.shape[1], linalg.TILE):
        products = by_items.dot(by_items[start:start + linalg.TILE].T).toarray()
        stop = start + products.shape[1]
        lengths = norms[start:stop, np.newaxis] * norms + shrinkage
        similar = products.T / np.where(lengths > 0, lengths, 1)
        similar[np.arange(stop - start), np.arange(start, stop)] = 0
        similar[similar <= 0] = -np.inf
        best = top_n(similar, k)
        rows, places = np.nonzero(best >= 0)
        neighbours = best[rows, places]
        columns.append(sp.csc_matrix((similar[rows, neighbours], (neighbours, rows)), (X.shape[1], stop - start)))
    return ItemWeights(sp.hstack(columns, format="csr"))


def fit_ease(train, l2=4000.0):
    """Solve equation (1) of `ease`, with a = b = 0.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. The ratings count as they are.
    l2 : float
        More than 0. Compare it with sums of squared ratings: for stars, whose squares are some 14 on MovieLens, it
        has to be as much larger than for the ones and zeros of the paper, which has 200 to 1000.

    Returns
    -------
    ItemWeights
        `weights` is dense: n_items^2 numbers of float32, and the time of an inverse of such a matrix. `scores` takes a
        sparse matrix (n, n_items), and returns an array of this shape.
    """
    return EaseSystem(train).solve(l2)
