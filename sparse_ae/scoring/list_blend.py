"""Rankings by several models: each one's scores are scaled for each user, and added with weights.

Equation (1) is that of docs/explanation/blend.md. A member has a `name`, and gives scores of all items, float arrays
(n, n_items) that are the caller's to change, by `of_users(users)`, known ones by their places, and for new ones by
`of_people(people, ratings)`: a list of `PersonRatings`, and the same ratings as a csr_matrix.
"""
import numpy as np

from sparse_ae.data.ratings import rows_of_entries
from sparse_ae.data.side import USERS
from sparse_ae.runtime.processors import work_in_threads
from sparse_ae.scoring.fold_in import stacked
from sparse_ae.scoring.ranking import best_of
from sparse_ae.scoring.scorer import Rated, blocks_of_rows, users_together

# Numbers that a cache holds.
_PART = 2 ** 18


class ListBlend(Rated):
    """Scores (1) of known users and new ones: members with their weights w, 0 or more, and what counts as seen;
    `candidates`, ascending, are the items with a rating."""

    rows, dtype = USERS, np.dtype(np.float32)

    def __init__(self, members, weights, ratings):
        self.members, self.weights, self.ratings = list(members), list(map(float, weights)), ratings
        self.candidates = np.flatnonzero(self.items_rated)
        self._place = np.full(ratings.shape[1], -1)
        self._place[self.candidates] = np.arange(len(self.candidates))
        self._together = users_together(ratings.shape[1])

    @property
    def scorers(self):
        """The scorers of members that are trained models."""
        return [each.scorer for each in self.members if hasattr(each, "scorer")]

    @property
    def model(self):
        """The first of the trained models; None if there is none."""
        return next((each.model for each in self.scorers), None)

    def rated_by(self, users):
        """Find the items that users have rated: positions among `users`, and items."""
        block = self.ratings[users]
        return rows_of_entries(block.indptr), block.indices

    @staticmethod
    def clip(outputs):
        """Scores are none of a scale."""
        return outputs

    def used(self):
        """The members with a weight, and their weights: a list of pairs."""
        return [pair for pair in zip(self.members, self.weights) if pair[1]]

    # Scores

    def grid(self, users, candidates=None):
        """Scores of all pairs of some users and some candidates, by default all; float32, (n_users, n_candidates)."""
        return self._blended(lambda member: member.of_users(users), len(users), self.rated_by(users), candidates)

    def grid_of_people(self, people, candidates=None):
        """As `grid`, of a list of `PersonRatings`."""
        ratings = stacked(people, self.ratings.shape[1])
        seen = rows_of_entries(ratings.indptr), ratings.indices
        return self._blended(lambda member: member.of_people(people, ratings), len(people), seen, candidates)

    def pairs(self, users, items):
        """Scores of pairs of users and candidates, float32, (n,)."""
        return self.best_and_pairs(users[:0], 1, True, self.candidates, (users, items))[2]

    def best(self, users, n, exclude_seen, candidates):
        """The n best of some candidates for each of some users, as `scoring.scorer.Scorer.best` gives them."""
        nothing = np.zeros(0, np.intp)
        return self.best_and_pairs(users, n, exclude_seen, candidates, (nothing, nothing))[:2]

    def best_and_pairs(self, users, n, exclude_seen, candidates, users_and_items):
        """The two arrays of `best`, and the array of `pairs`; each user's scores are computed once."""
        pair_users, pair_items = users_and_items
        lists, scores = np.full((len(users), n), -1), np.full((len(users), n), -np.inf, self.dtype)
        of_pairs = np.empty(len(pair_users), self.dtype)

        def of_block(part):
            block, at, indptr = part
            grid, rows = self.grid(block), rows_of_entries(indptr)
            pairs = at >= len(users)
            of_pairs[at[pairs] - len(users)] = grid[rows[pairs], self._place[pair_items[at[pairs] - len(users)]]]
            at, rows = at[~pairs], rows[~pairs]
            if len(at):
                seen = self.rated_by(block[rows]) if exclude_seen else None
                found = grid if np.array_equal(rows, np.arange(len(grid))) else grid[rows]
                lists[at], scores[at] = best_of(self._chosen(found, candidates), n, candidates, seen)

        work_in_threads(of_block, blocks_of_rows(np.concatenate([users, pair_users]), self._together))
        return lists, scores, of_pairs

    def blocks(self, users):
        """List the parts of an array whose first axis is of users, as their scores are made together."""
        return [users[start:start + self._together] for start in range(0, len(users), self._together)]

    def _add(self, total, scores, seen, weight):
        """Add a member's term of (1) to `total`, (n, n_candidates), a few users at a time that stay in a cache. `seen`
        are pairs, rows and items, that count neither in the mean nor in the variance."""
        rows, at, n_candidates = seen[0], self._place[seen[1]], len(self.candidates)
        step = max(1, _PART // max(1, n_candidates))
        starts = np.arange(0, len(scores), step)
        bounds = np.append(np.searchsorted(rows, starts), len(rows))  # rows are ascending
        for start, first, stop in zip(starts, bounds, bounds[1:]):
            found = scores[start:start + step]
            if n_candidates < found.shape[1]:  # all are there: "clip" keeps NumPy from looking
                found = found.take(self.candidates, axis=1, mode="clip")
            found = np.ascontiguousarray(found, np.float32)
            flat, of_rows = found.reshape(-1), rows[first:stop] - start
            places = of_rows * n_candidates + at[first:stop]
            n = np.maximum(n_candidates - np.bincount(of_rows, minlength=len(found)), 1)
            seen_ones = flat[places]
            # Seen ones count in no sum: they are 0 there.
            flat[places] = 0
            mean = (found.sum(axis=1) / n).astype(np.float32)
            found -= mean[:, np.newaxis]
            seen_ones -= mean[of_rows]
            flat[places] = 0
            variance = np.einsum("ij,ij->i", found, found) / n
            flat[places] = seen_ones
            # A smaller variance is that of rounding errors of scores of this size.
            largest = np.bincount(of_rows, seen_ones.astype(np.float64) ** 2, len(found)) + variance
            clear = variance > 1e-12 * (largest + mean.astype(np.float64) ** 2)
            scale = np.where(clear, weight / np.sqrt(np.where(clear, variance, 1)), 0)
            found *= scale.astype(np.float32)[:, np.newaxis]
            total[start:start + step] += found

    def _blended(self, scores_of, n, seen, candidates):
        total = np.zeros((n, len(self.candidates)), self.dtype)
        for member, weight in self.used():
            self._add(total, scores_of(member), seen, weight)
        return self._chosen(total, candidates)

    def _chosen(self, scores, candidates):
        if candidates is None or len(candidates) == len(self.candidates):
            return scores
        return scores[:, self._place[candidates]]
