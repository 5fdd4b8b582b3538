"""Baselines for rankings: the most popular items, neighbours, EASE. docs/explanation/baselines.md has the equations.

Each `fit_` returns an object whose `scores` takes the ratings of some users, known or new, and returns a score for each
item, the higher, the better, not a predicted rating; `evaluation.evaluate_lists` evaluates them.
"""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines import ease
from sparse_ae.baselines.ease import EaseSystem, ItemWeights, csr_rows
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
    """Count the ratings of each item: its score, for all users.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes.

    Returns
    -------
    Popularity
        Its `scores` takes a sparse matrix (n, n_items), and returns an array of this shape.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sparse_ae.baselines.lists import fit_popular
    >>> popular = fit_popular(sp.csr_matrix([[5.0, 0.0], [4.0, 2.0]]))
    >>> popular.scores(sp.csr_matrix([[0.0, 3.0]]))
    array([[2., 1.]])
    """
    return Popularity(rating_counts(check_ratings(train))[1].astype(np.float64))


def fit_neighbours(train, k=200, shrinkage=10.0):
    """Find each item's neighbours by a shrunk cosine: equation (1) of docs/explanation/baselines.md.

    ItemKNN, as in M. Ferrari Dacrema, P. Cremonesi, D. Jannach, RecSys 2019. The defaults suit the stars of MovieLens.

    Parameters
    ----------
    train : SciPy sparse matrix or Ratings
        As for `fit_popular`.
    k : int
        The most neighbours of an item; the first of equally similar ones.
    shrinkage : float
        0 or more; it lowers the similarity of items with few ratings in common.

    Returns
    -------
    ItemWeights
        Its `scores` are called as those of `fit_popular`.
    """
    X = check_ratings(train).astype(np.float64)
    k, shrinkage = check_count(k, "k"), check_number(shrinkage, "shrinkage", zero=True)
    norms, columns = np.sqrt(X.multiply(X).sum(axis=0).A1), []
    by_items = X.T.tocsr()
    for start in range(0, X.shape[1], ease.TILE):
        products = by_items.dot(by_items[start:start + ease.TILE].T).toarray()
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
    """Solve EASE (H. Steck, WWW 2019): equation (2) of docs/explanation/baselines.md with a = b = 0.

    Parameters
    ----------
    train : SciPy sparse matrix or Ratings
        As for `fit_popular`.
    l2 : float
        More than 0. Stars, whose squares are some 14 on MovieLens, need as many times the paper's 200 to 1000, which
        are for ones and zeros.

    Returns
    -------
    ItemWeights
        Its `scores` are called as those of `fit_popular`. `weights` is a dense float32 matrix, (n_items, n_items), and
        takes the time of an inverse.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sparse_ae.baselines.lists import fit_ease
    >>> ease = fit_ease(sp.csr_matrix([[1, 1, 0], [0, 1, 1], [1, 1, 0]]), l2=1)
    >>> print(ease.scores(sp.csr_matrix([[1, 0, 0]])).round(2))
    [[ 0.    0.67 -0.25]]
    """
    return EaseSystem(check_ratings(train)).solve(check_number(l2, "l2"))
