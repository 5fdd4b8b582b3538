"""Factors of all entries for many decays, from a start that is near them all.

Equation (3) of `lists` is made small there by alternating least squares from factors that are drawn, which takes ten
sweeps. From the first singular vectors of X two are enough: on MovieLens 100K, with 64 factors, a missing weight of 0.2
and a decay of 10, the sum is then 0.3% above that of twelve sweeps, and after two sweeps from drawn factors 6%. The
singular vectors serve all decays.

With right singular vectors V and singular values s, X is about X V V', so that H = V s^1/2 is where both sides' factors
are equally long, as those that decay makes small are.
"""
import numpy as np

from sparse_ae.baselines.linalg import right_vectors, solve_factors
from sparse_ae.baselines.lists import ItemFactors
from sparse_ae.checks import check_count, check_number, check_share
from sparse_ae.data.ratings import check_ratings

# Sweeps, and how exact the singular vectors need be that they begin with.
_SWEEPS, _ACCURACY = 2, 1e-2


class FactorSystem:
    """Ratings and the singular vectors to begin with, for one number of factors.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        As `sparse_ae.data.check_ratings` takes it. The ratings count as they are, and missing ones as 0.
    n_factors : int
        At most so many; no more than there are users or items.
    missing_weight : float
        v of `lists`' equation (3), from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If `check_ratings` refuses the ratings, and for bad numbers.
    """

    def __init__(self, train, n_factors=64, missing_weight=0.2):
        self._X = check_ratings(train).astype(np.float32)
        self._missing_weight = check_share(missing_weight, "missing_weight")
        self._by_items = self._X.T.tocsr()
        n_factors = min(check_count(n_factors, "n_factors"), min(self._X.shape))
        V = right_vectors(self._X.astype(np.float64), n_factors, _ACCURACY).T
        self._start = (V * np.sqrt(np.linalg.norm(self._X.dot(V), axis=0))).astype(np.float32)

    def solve(self, l2):
        """Sweep twice, with a decay of more than 0; float32.

        Returns
        -------
        lists.ItemFactors
        """
        H, settings = self._start, (self._missing_weight, 0.0, check_number(l2, "l2"))
        for _ in range(_SWEEPS):
            H = solve_factors(self._by_items, solve_factors(self._X, H, *settings), *settings)
        return ItemFactors(H, *settings)
