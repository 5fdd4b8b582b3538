"""Baselines of lists of recommendations: the most popular, neighbours, EASE, factors of all entries.

Each `fit_` takes training ratings X (n_users, n_items), as they are, and returns an object whose `scores` takes the
ratings of some users, known or strangers, and returns a score for each item, the higher, the better. Scores are no
predicted ratings; `evaluation.evaluate_lists` judges the lists that they make. The defaults do well on MovieLens, one
to five stars; on other ratings try some.

>>> from sparse_ae import evaluation, made_up_ratings, split_ratings
>>> from sparse_ae.baselines import lists
>>> split = split_ratings(made_up_ratings(60, 40, 1200)[0], 0.2, rng=0)
>>> popular = lists.fit_popular(split.train)
>>> measures = evaluation.evaluate_lists(lambda users: popular.scores(split.train[users]), *split[:2], k=5)
>>> 0 < measures["ndcg"] < 1
True

Most popular: an item's score is how many ratings it has, for everybody.

Neighbours: items are alike if the same people rate them alike, a missing rating counting as 0. With x_j the ratings of
item j, and for each item the k others that are most similar to it and more than 0,

    s_ij = x_i . x_j / (|x_i| |x_j| + shrinkage),    score_uj = sum over the neighbours i of j of r_ui s_ij        (1)

as in the ItemKNN of M. Ferrari Dacrema, P. Cremonesi, D. Jannach, Are We Really Making Much Progress?, RecSys 2019.

EASE (H. Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019): a linear autoencoder in which no item
may predict itself,

    minimise |X - X B|^2 + l2 |B|^2 with B_jj = 0:    B_ij = -P_ij / P_jj for i != j,  P = (X'X + l2 I)^-1         (2)

Factors of all entries: the factorisation X is about W H' that the post begins with, where the missing entries count
too, each with a weight v as if it had been rated m,

    sum over O of (r_ui - W_u . H_i)^2 + v sum over all others of (m - W_u . H_i)^2 + l2 (|W|^2 + |H|^2)           (3)

With H fixed, W_u is the solution of a linear system that needs a loop over u's own ratings only, as the rest is the
same for all users,

    (v H'H + (1 - v) sum over O_u of H_i H_i' + l2 I) W_u = v m sum_i H_i + sum over O_u of (r_ui - v m) H_i       (4)

and the same with users and items exchanged: alternating least squares (Y. Hu, Y. Koren, C. Volinsky, Collaborative
Filtering for Implicit Feedback Datasets, ICDM 2008, where the weights depend on the ratings; with one weight for what
is missing: H. Steck, KDD 2010). A stranger's factors are (4), so users' factors needn't be kept.
"""
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparse_ae.baselines.linalg import csr_rows, solve_factors, times
from sparse_ae.checks import check_count, check_finite, check_number, check_rng, check_share
from sparse_ae.data.ratings import check_ratings, rating_counts
from sparse_ae.scoring.ranking import top_n

__all__ = ["fit_ease", "fit_neighbours", "fit_popular"]

# Columns of X'X held at a time.
_TILE = 256

# Standard deviation of the first factors, times the root of their number: S. Rendle, W. Krichene, L. Zhang, Y. Koren,
# Revisiting the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022.
_FIRST_SCALE = 0.1


class Popularity(NamedTuple):
    """The number of ratings of each item.

    Attributes
    ----------
    n_ratings : numpy.ndarray of float64, shape (n_items,)
    """

    n_ratings: np.ndarray

    def scores(self, ratings):
        """The same for everybody; arguments, result and errors are those of `ItemWeights.scores`."""
        return np.tile(self.n_ratings, (csr_rows(ratings, len(self.n_ratings)).shape[0], 1))


class ItemWeights(NamedTuple):
    """The weight of a rating of one item in the score of another: EASE and neighbours.

    Attributes
    ----------
    weights : numpy.ndarray or csr_matrix of float32 or float64, shape (n_items, n_items)
        From the item in the row to the one in the column.
    """

    weights: np.ndarray

    def scores(self, ratings):
        """Scores of all items for some users.

        Parameters
        ----------
        ratings : SciPy sparse matrix, shape (n, n_items)
            What is known of each: rows of the training ratings, or the ratings of strangers. A row may be empty.

        Returns
        -------
        numpy.ndarray of the weights' dtype, shape (n, n_items)
            The items that a user has rated have scores like the others.

        Raises
        ------
        TypeError, ValueError
            For ratings that aren't a sparse matrix of as many items as in training.
        """
        return times(csr_rows(ratings, self.weights.shape[0], self.weights.dtype), self.weights)


class ItemFactors(NamedTuple):
    """The items' side of equation (3).

    Attributes
    ----------
    H : numpy.ndarray of float64 or float32, shape (n_items, n_factors)
    missing_weight, missing_rating : float
        v and m.
    l2 : float
    """

    H: np.ndarray
    missing_weight: float
    missing_rating: float
    l2: float

    def scores(self, ratings):
        """As `ItemWeights.scores`: each user's factors are solved for by equation (4)."""
        return self.factors_of(ratings).dot(self.H.T)

    def factors_of(self, ratings):
        """Solve for the users' side of `scores`: array of H's dtype, (n, n_factors); each by its own ratings alone."""
        ratings = csr_rows(ratings, len(self.H), self.H.dtype)
        return solve_factors(ratings, self.H, self.missing_weight, self.missing_rating, self.l2)


def fit_popular(train):
    """Count the ratings of each item.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes.

    Returns
    -------
    Popularity

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings.
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
        Sparse.

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, and for a bad k or shrinkage.
    """
    X = _float64(check_ratings(train))
    k, shrinkage = check_count(k, "k"), check_number(shrinkage, "shrinkage", zero=True)
    norms, columns = np.sqrt(X.multiply(X).sum(axis=0).A1), []
    for start, products in _gram(X):
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
    """Solve equation (2).

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. The ratings count as they are.
    l2 : float
        More than 0. It is held against sums of squared ratings: for stars, whose squares are some 14 on MovieLens, it
        has to be as much larger than for the ones and zeros of the paper, which has 200 to 1000.

    Returns
    -------
    ItemWeights
        Dense: n_items^2 numbers, and the time of an inverse of such a matrix.

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, and for a bad l2.
    """
    X, l2 = _float64(check_ratings(train)), check_number(l2, "l2")
    G = np.empty((X.shape[1], X.shape[1]))
    for start, products in _gram(X):
        G[:, start:start + products.shape[1]] = products
    G[np.diag_indices_from(G)] += l2
    B = scipy.linalg.cho_solve(scipy.linalg.cho_factor(G, lower=True, overwrite_a=True), np.eye(len(G)))
    B /= -np.diag(B)
    np.fill_diagonal(B, 0)
    return ItemWeights(B)


def fit_all_entries(train, n_factors=64, missing_weight=0.2, l2=30.0, n_iterations=10, missing_rating=0.0, rng=0):
    """Make equation (3) small by alternating least squares.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. The ratings count as they are.
    n_factors : int
    missing_weight : float
        v, what a missing entry counts, from 0 to 1; an observed one counts 1.
    l2 : float
        More than 0.
    n_iterations : int
        How often users' and items' factors are solved for.
    missing_rating : float
        m.
    rng : numpy.random.RandomState or int
        Draws the first factors of the items.

    Returns
    -------
    ItemFactors

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, and for a bad setting.
    """
    X = _float64(check_ratings(train))
    n_factors, n_iterations = check_count(n_factors, "n_factors"), check_count(n_iterations, "n_iterations")
    missing_weight, l2 = check_share(missing_weight, "missing_weight"), check_number(l2, "l2")
    settings = missing_weight, check_finite(missing_rating, "missing_rating", "a finite number, such as 0"), l2
    H = _FIRST_SCALE / np.sqrt(n_factors) * check_rng(rng).randn(X.shape[1], n_factors)
    by_items = X.T.tocsr()
    for _ in range(n_iterations):
        W = solve_factors(X, H, *settings)
        H = solve_factors(by_items, W, *settings)
    return ItemFactors(H, *settings)


def _gram(X):
    """X'X, some columns at a time: the first of them, and a dense array, (n_items, columns)."""
    by_items = X.T.tocsr()
    for start in range(0, X.shape[1], _TILE):
        yield start, by_items.dot(by_items[start:start + _TILE].T).toarray()


def _float64(matrix):
    return matrix.astype(np.float64)
