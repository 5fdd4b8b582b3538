"""Factors of all entries: the factorisation X is about W H', where the missing entries count too.

Each missing entry counts v, as if it had been rated 0:

    sum over O of (r_ui - W_u . H_i)^2 + v sum over all others of (W_u . H_i)^2 + l2 (|W|^2 + |H|^2)               (1)

With H fixed, W_u is the solution of a linear system that needs a loop over u's own ratings only, as the rest is the
same for all users,

    (v H'H + (1 - v) sum over O_u of H_i H_i' + l2 I) W_u = sum over O_u of r_ui H_i                               (2)

and the same with users and items exchanged: alternating least squares (Y. Hu, Y. Koren, C. Volinsky, Collaborative
Filtering for Implicit Feedback Datasets, ICDM 2008, where the weights depend on the ratings; with one weight for what
is missing: H. Steck, KDD 2010). A new user's factors are (2), so users' factors needn't be kept.

From drawn factors that takes ten sweeps over users and items. With the first right singular vectors V of X and their
singular values s, X is about X V V', so that H = V s^1/2 is where both sides' factors are equally long, as those that
decay makes small are: from there two sweeps are enough, and the singular vectors serve all decays.
"""
from typing import NamedTuple

import numpy as np

from sparse_ae.baselines.linalg import csr_rows, right_vectors, solve_factors
from sparse_ae.checks import check_count, check_number, check_share
from sparse_ae.data.ratings import check_ratings

# Sweeps from the singular vectors.
_SWEEPS = 2


class ItemFactors(NamedTuple):
    """The items' side of equation (1): H, float32 or float64 (n_items, n_factors), v and l2."""

    H: np.ndarray
    missing_weight: float
    l2: float

    def scores(self, ratings):
        """As `ItemWeights.scores`: each user's factors are solved for by equation (2)."""
        return self.factors_of(ratings).dot(self.H.T)

    def factors_of(self, ratings):
        """The users' factors, (n, n_factors) in H's dtype; each by its own ratings alone."""
        return solve_factors(csr_rows(ratings, len(self.H), self.H.dtype), *self)


class FactorSystem:
    """Ratings with v = `missing_weight`, and the singular vectors to start from.

    There are no more factors than users or items.
    """

    def __init__(self, train, n_factors=64, missing_weight=0.2):
        self._X = check_ratings(train).astype(np.float32)
        self._missing_weight = check_share(missing_weight, "missing_weight")
        self._by_items = self._X.T.tocsr()
        n_factors = min(check_count(n_factors, "n_factors"), min(self._X.shape))
        V = right_vectors(self._X.astype(np.float64), n_factors).T
        self._start = (V * np.sqrt(np.linalg.norm(self._X.dot(V), axis=0))).astype(np.float32)

    def solve(self, l2):
        """The float32 `ItemFactors` with a decay of more than 0."""
        H, settings = self._start, (self._missing_weight, check_number(l2, "l2"))
        for _ in range(_SWEEPS):
            H = solve_factors(self._by_items, solve_factors(self._X, H, *settings), *settings)
        return ItemFactors(H, *settings)
