"""Factors of all entries: missing ones count too, equations (5) and (6) of docs/explanation/baselines.md."""
from typing import NamedTuple

import numpy as np

from sparse_ae.baselines.linalg import csr_rows, right_vectors, solve_factors

# Sweeps from the singular vectors.
_SWEEPS = 2


class ItemFactors(NamedTuple):
    """The items' side of equation (5): H, float32 or float64 (n_items, n_factors), v and l2."""

    H: np.ndarray
    missing_weight: float
    l2: float

    def scores(self, ratings):
        """As `ItemWeights.scores`: each user's factors are solved for by equation (6)."""
        return self.factors_of(ratings).dot(self.H.T)

    def factors_of(self, ratings):
        """The users' factors, (n, n_factors) in H's dtype; each by its own ratings alone."""
        return solve_factors(csr_rows(ratings, len(self.H), self.H.dtype), *self)

    def parts(self, ratings, items):
        """The parts of a user's ratings, a csr_matrix (1, n_items), in the scores of items, float64, (n_rated, n): by
        (6) scores are linear in the ratings of given items."""
        H = self.H.astype(np.float64)
        rated, v = H[ratings.indices], self.missing_weight
        left = v * H.T.dot(H) + (1 - v) * rated.T.dot(rated) + self.l2 * np.eye(H.shape[1])
        return ratings.data[:, np.newaxis] * rated.dot(np.linalg.solve(left, H[items].T))


class FactorSystem:
    """Ratings with v = `missing_weight`, and the factors to begin with, from singular vectors."""

    def __init__(self, X, n_factors=64, missing_weight=0.2):
        self._X, self._by_items, self._missing_weight = X, X.T.tocsr(), missing_weight
        V = right_vectors(X.astype(np.float64), min(n_factors, *X.shape)).T
        self._start = (V * np.sqrt(np.linalg.norm(X.dot(V), axis=0))).astype(np.float32)

    def solve(self, l2):
        """The float32 `ItemFactors` with a decay of more than 0."""
        H, settings = self._start, (self._missing_weight, l2)
        for _ in range(_SWEEPS):
            H = solve_factors(self._by_items, solve_factors(self._X, H, *settings), *settings)
        return ItemFactors(H, *settings)
