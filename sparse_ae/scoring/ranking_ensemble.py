"""Rankings by an ensemble: its members' scores are scaled for each user and added with weights.

Equation (1) is in docs/explanation/blend.md. A member has a `name`, and returns scores of all items, float arrays
(n, n_items) that the caller may change: `of_users(users)` for known users by position, `of_people(people, ratings)` for
new ones, a list of `PersonRatings` and the same ratings as a csr_matrix.
"""
import numpy as np

from sparse_ae.data.ratings import rows_of_entries
from sparse_ae.data.side import USERS
from sparse_ae.scoring.people import stacked
from sparse_ae.scoring.ranking import leave_out
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scores import Scores

#: The fewest ratings of users with weights of their own.
STRATA = 0, 4, 8, 16


def stratum_of(counts):
    """The place in `STRATA` of users with so many ratings, int (n,)."""
    return np.searchsorted(STRATA, counts, side="right") - 1


def weight_line(weights, counts):
    """A member's mean weight for users with so many ratings; if it is higher for few ratings, those of `STRATA`, too.
    """
    line = "%.2f" % mean_weight(weights, counts)
    if weights[0] > weights[-1]:  # only `popular` gets more where ratings are few
        line += " (%s, else %.2f)" % (", ".join("%.2f below %d ratings" % pair for pair in zip(weights, STRATA[1:])),
                                      weights[-1])
    return line


def mean_weight(weights, counts):
    """The mean of weights by `STRATA` over users with so many ratings, those without any left out."""
    shares = np.bincount(stratum_of(counts[counts > 0]), minlength=len(STRATA)) / np.count_nonzero(counts)
    return float(weights[-1] + np.dot(shares, weights - weights[-1]))  # exact where they are equal


class RankingEnsemble(Scores):
    """Scores (1) of known users and new ones: members with their weights w, 0 or more, one or one for each of `STRATA`,
    and the `ratings` (n_users, n_items) that count as seen; `candidates`, ascending, are the items with a rating."""

    def __init__(self, members, weights, ratings):
        self.members, self.weights = list(members), [np.zeros(len(STRATA)) + each for each in weights]
        super().__init__(RatingMatrix(ratings, USERS))

    @property
    def scorers(self):
        """The scorers of members that are trained models."""
        return [each.scorer for each in self.members if hasattr(each, "scorer")]

    @property
    def model(self):
        """The first of the trained models, or None."""
        return next((each.model for each in self.scorers), None)

    def used(self):
        """The members with a weight, and their weights by `STRATA`: a list of pairs."""
        return [pair for pair in zip(self.members, self.weights) if pair[1].any()]

    def grid(self, users):
        """Scores of the candidates for some users, float32, (n_users, n_candidates)."""
        return self._blended(*self._of_users(users))[0]

    def unseen(self, users):
        """As `grid`, with -inf for what they have rated."""
        found = self.grid(users)
        leave_out(found, self.candidates, *self.seen_by(users))
        return found

    def grid_of_people(self, people):
        """As `grid`, for a list of `PersonRatings`."""
        return self._blended(*self._of_people(people))[0]

    def _of_users(self, users):
        return lambda member: member.of_users(users), len(users), self.seen_by(users)

    def _of_people(self, people):
        ratings = stacked(people, len(self.places))
        seen = rows_of_entries(ratings.indptr), ratings.indices
        return lambda member: member.of_people(people, ratings), len(people), seen

    def _add(self, total, scores, seen, weights):
        """Add a member's term of (1) to `total`, (n, n_candidates), and return mean and w / std, (n,) each. They
        leave out `seen` pairs: rows and items."""
        found, rows = np.asarray(scores, np.float32), seen[0]
        if len(self.candidates) < found.shape[1]:  # "clip" saves NumPy a check of the indices
            found = found.take(self.candidates, axis=1, mode="clip")
        found = np.ascontiguousarray(found)
        flat, places = found.reshape(-1), rows * found.shape[1] + self.places[seen[1]]
        counts = np.bincount(rows, minlength=len(found))
        n = np.maximum(found.shape[1] - counts, 1)
        seen_ones = flat[places]
        flat[places] = 0  # in the sums
        mean = (found.sum(axis=1) / n).astype(np.float32)
        found -= mean[:, np.newaxis]
        seen_ones -= mean[rows]
        flat[places] = 0
        variance = np.einsum("ij,ij->i", found, found) / n
        flat[places] = seen_ones
        # A smaller variance is due to rounding.
        largest = np.bincount(rows, seen_ones.astype(np.float64) ** 2, len(found)) + variance
        clear = variance > 1e-12 * (largest + mean.astype(np.float64) ** 2)
        scale = np.where(clear, weights[stratum_of(counts)] / np.sqrt(np.where(clear, variance, 1)), 0)
        found *= scale.astype(np.float32)[:, np.newaxis]
        total += found
        return mean, scale

    def scaling(self, users):
        """The means and the factors w / std of (1) of known users, float64 (n_members, 2, n), by members with a weight.
        """
        parts = [self._blended(*self._of_users(block))[1] for block in self.blocks(users)]
        return np.concatenate(parts, axis=2).astype(np.float64)

    def scaling_of_people(self, people):
        """As `scaling`, for a list of `PersonRatings`."""
        return np.array(self._blended(*self._of_people(people))[1], np.float64)

    def vectors(self, users, items):
        """As `Scorer.vectors`, of candidates; None if a member has no factors."""
        factors = [member.factors(users) for member, _ in self.used()]
        if any(each is None for each in factors):
            return None
        means, scales = self.scaling(users).transpose(1, 0, 2)
        of_users = [scale[:, np.newaxis] * W for scale, (W, _) in zip(scales, factors)]
        of_users.append(-np.sum(scales * means, axis=0))
        of_items = [H[items] for _, H in factors] + [np.ones(len(items))]
        return np.column_stack(of_users).astype(self.dtype), np.column_stack(of_items).astype(self.dtype)

    def _blended(self, scores_of, n, seen):
        """The scores (1), (n, n_candidates), and for each member with a weight the result of `_add`."""
        total = np.zeros((n, len(self.candidates)), self.dtype)
        return total, [self._add(total, scores_of(member), seen, weights) for member, weights in self.used()]
