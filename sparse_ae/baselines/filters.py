"""Filters of graphs: what a user's ratings have of the directions in which most ratings go, and what they share.

With D_u and D_i diagonal, of users' and items' numbers of ratings, N = D_u^-1/2 X D_i^-1/2 and V (n_items, k) its first
k right singular vectors, the scores of a row x are

    x D_i^-1/2 V V' D_i^1/2                                                                                       (1)

which keeps of x what varies slowly over the graph of users and items, and takes the rest for noise: the ideal low-pass
filter of GF-CF (Y. Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021). It is linear in x,
and takes k numbers for each item: long catalogues fit. So does a linear filter,

    x D_i^-p N' N D_i^p                                                                                           (2)

where an item's score are the users who share it with what is rated, the less the more ratings they have, and what is
rated. GF-CF has p = 0; a larger p leans towards popular items, which is better on some data and worse on others.
"""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.linalg import csr_rows, right_vectors
from sparse_ae.checks import check_count
from sparse_ae.data.ratings import check_ratings, rating_counts


class LowPass(NamedTuple):
    """Equation (1).

    Attributes
    ----------
    vectors : numpy.ndarray of float32, shape (k, n_items)
        V'.
    roots : numpy.ndarray of float32, shape (n_items,)
        The diagonal of D_i^1/2.
    """

    vectors: np.ndarray
    roots: np.ndarray

    def scores(self, ratings):
        """As `lists.ItemWeights.scores`, in float32."""
        ratings = csr_rows(ratings, len(self.roots), np.float32)
        found = ratings.dot(sp.diags(_inverted(self.roots))).dot(self.vectors.T).dot(self.vectors)
        found *= self.roots
        return found


class Shared(NamedTuple):
    """Equation (2).

    Attributes
    ----------
    N : csr_matrix of float32, shape (n_users, n_items)
        Of users with ratings.
    powers : numpy.ndarray of float32, shape (n_items,)
        The diagonal of D_i^p.
    """

    N: sp.csr_matrix
    powers: np.ndarray

    def scores(self, ratings):
        """As `lists.ItemWeights.scores`, in float32."""
        ratings = csr_rows(ratings, self.N.shape[1], np.float32).dot(sp.diags(_inverted(self.powers)))
        return self.N.T.dot(ratings.dot(self.N.T).toarray().T).T * self.powers


class FilterSystem:
    """N of equation (1), and as many singular vectors as were needed so far.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        As `sparse_ae.data.check_ratings` takes it. The ratings count as they are.
    """

    def __init__(self, train):
        self._N, self._of_items = _normalised(train)
        self._vectors = np.zeros((0, self._N.shape[1]))

    @property
    def most(self):
        """The largest k of use: with all singular vectors ratings come back as they are, and the rest is 0."""
        rated = [np.count_nonzero(np.diff(self._N.indptr)), np.count_nonzero(self._of_items)]
        return max(1, int(min(rated)) - 1)

    def solve(self, k):
        """The filter of k singular vectors, of `most` at most."""
        k = min(check_count(k, "k"), self.most)
        if k > len(self._vectors):
            self._vectors = right_vectors(self._N, k)
        return LowPass(self._vectors[:k].astype(np.float32), self._of_items.astype(np.float32))


def fit_low_pass(train, k=64):
    """Compute the filter of equation (1).

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. The ratings count as they are.
    k : int
        How many singular vectors, fewer than there are users, or items, with ratings: on films 32 to 64 do well, of ten
        thousands of places 256.

    Returns
    -------
    LowPass

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, and for a bad k.
    """
    return FilterSystem(train).solve(k)


class SharedSystem:
    """N of equation (2), which serves any p."""

    def __init__(self, train):
        N, self._of_items = _normalised(train)
        self._N = N[np.diff(N.indptr) > 0].astype(np.float32)

    def solve(self, power):
        """The `Shared` with p = power."""
        return Shared(self._N, np.where(self._of_items > 0, self._of_items ** (2 * power), 0).astype(np.float32))


def _normalised(train):
    """N, float64, and the roots of the items' numbers of ratings."""
    X = check_ratings(train).astype(np.float64)
    of_users, of_items = (np.sqrt(counts.astype(np.float64)) for counts in rating_counts(X))
    return sp.diags(_inverted(of_users)).dot(X).dot(sp.diags(_inverted(of_items))).tocsr(), of_items


def _inverted(roots):
    return np.where(roots > 0, 1 / np.where(roots > 0, roots, 1), 0).astype(roots.dtype)
