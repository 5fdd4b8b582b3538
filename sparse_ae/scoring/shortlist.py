"""The items that can be among a user's n best: estimates by a product of matrices, and a bound on their error.

An output that is the same to the last bit whatever else is asked for is computed by itself (`AutoEncoder.decode`),
several times as slowly as in a product of matrices. A list needs few outputs, but needs to know which. The product
estimates all of them. Items further below the n-th best estimate than twice the bound are none of the n best; the
others, hardly more than n, are computed by themselves, and ordered by that.

The bound: a sum of k products p_t q_t in floating point, added up in any order, is off by at most

    k u / (1 - k u)  sum over t of |p_t q_t|  <=  k u / (1 - k u) |p| |q|                            (1)

where u is half the dtype's eps: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1, and
Cauchy and Schwarz. Both ways of computing an output are off by that, by the few operations around the sum, and by
underflow.
"""
import numpy as np

from sparse_ae.scoring.ranking import floors, leave_out, ordered, reaching

# From how many users on a product is worth its preparation, and the largest share of pairs that is.
USERS, _SHARE = 16, 1 / 4

# Times eps, more than the operations around the sum of (1) are off by.
_AROUND = 64


class Shortlist:
    """The n best of some `candidates`, ascending, for users, as `Scorer.best` gives them, of linear outputs."""

    def __init__(self, scorer, candidates):
        self._scorer, self._candidates, self._dtype = scorer, candidates, np.dtype(scorer.dtype)
        self._of_users, of_items = scorer.rows.users_items(scorer.targets.row_offsets, scorer.targets.column_offsets)
        shift, self._parts = of_items[candidates].astype(np.float64), []
        self._size = np.abs(shift).max()
        self._slopes = None
        if getattr(scorer.targets, "slopes", None) is not None:
            of_users, of_items = scorer.rows.users_items(*scorer.targets.slopes)
            self._slopes = of_users, of_items[candidates].T
        for each, weight in scorer.used():
            W, b = each.outputs.W_on_host(), each.outputs.decoder.b.get_value(borrow=True)
            scale, by_users = float(weight * each.targets.unit * each.outputs.decoder.span), each.rows == "users"
            q = _rows_of(W, candidates) if by_users else each.hidden(candidates)  # (n_candidates, k)
            if by_users:
                shift += scale * b[candidates].astype(np.float64)
            self._size += abs(scale) * np.abs(b).max().astype(np.float64)
            self._parts.append((each.hidden if by_users else W.__getitem__, scale, q, _norms(q).max()))
        with np.errstate(over="ignore"):
            self._shift = shift.astype(self._dtype)

    def best(self, users, n, seen=None):
        """The lists of some users without pairs that were `seen`: int and float arrays, (n_users, n), as `best_of`.

        None where the estimates say too little.
        """
        estimates, bound = self.estimates(users)
        if not (bound < np.finfo(self._dtype).max / 16).all():  # nor is NaN
            return None
        if seen is not None:
            leave_out(estimates, self._candidates, *seen)
        lowest = (floors(estimates, n) - 2 * bound).astype(self._dtype)
        # Pairs that may be recommended, (n_pairs,): positions among users, and among candidates.
        rows, places = reaching(estimates, np.nextafter(lowest, self._dtype.type(-np.inf)))
        if len(rows) > _SHARE * estimates.size:
            return None
        outputs = self._scorer.pairs(users[rows], self._candidates[places])
        best = ordered(rows, outputs, len(users), n)  # (n_users, n), of pairs: -1 is appended
        return np.append(places, -1)[best], np.append(outputs, self._dtype.type(-np.inf))[best]

    def estimates(self, users):
        """Outputs, (n_users, n_candidates), but for a number that is the same for all of a user's, and their bounds."""
        info, size = np.finfo(self._dtype), self._size + np.abs(self._of_users[users])
        if self._slopes is not None:
            of_users, of_items = self._slopes
            size = size + np.abs(of_users[users]).dot(np.abs(of_items).max(axis=1))
        found, bound = np.zeros((len(users), len(self._candidates)), self._dtype), _AROUND * info.eps * size
        with np.errstate(over="ignore", invalid="ignore"):
            for factors, scale, q, largest in self._parts:
                p, k = factors(users), q.shape[1]
                norms = _norms(p)
                bound += 2 * (k + _AROUND) * info.eps * abs(scale) * norms * largest
                bound += (2 * k + _AROUND) * info.tiny * (1 + abs(scale)) * (1 + norms) * (1 + largest)  # underflow
                found += (p * np.asarray(scale, self._dtype)).dot(q.T)
            found += self._shift
            if self._slopes is not None:
                found += of_users[users].dot(of_items)
            # Numbers on the way are to be far from the largest that there is.
            return found, np.where(size + bound / info.eps < info.max / 16, bound, np.inf)


def _rows_of(W, places):
    """Some rows, ascending; no copy where all between the first and the last are asked for."""
    return W[places[0]:places[-1] + 1] if places[-1] - places[0] == len(places) - 1 else W[places]


def _norms(rows):
    """Upper bounds of the rows' norms, in float64."""
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    lost = rows.shape[1] * np.finfo(np.float64).tiny  # of squares too small for float64
    return (np.sqrt(squares) + np.sqrt(lost)) * (1 + (rows.shape[1] + 8) * np.finfo(np.float64).eps)
