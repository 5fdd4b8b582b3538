"""Lists by several models at once: each one's scores brought to one scale for each user, and added with weights.

Models that make lists give scores of all sizes. Their scores of a user's candidates, the items that have ratings and
that the user hasn't rated, are comparable once their mean is 0 and their variance 1 there,

    score_ui  =  sum over members m of w_m (s_mui - mean_mu) / std_mu                                             (1)

and where they err in different places the sum is better than each of them. A member that says the same of all has no
variance, and adds nothing. It works in blocks of users: of all users and items no array is made.

A member has a `name` and gives scores of all items for known users, by their places, and for strangers, by what they
have told:

    of_users(users) -> float array, (n, n_items)        of_people(people) -> the same, of a list of `PersonRatings`
"""
import numpy as np

from sparse_ae.data.ratings import rows_of_entries
from sparse_ae.data.side import USERS
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.runtime.processors import in_threads, work_in_threads
from sparse_ae.scoring.ranking import best_of
from sparse_ae.scoring.scorer import Rated, blocks_of_rows

# Numbers of a block of scores, and users whose lists are made together, at most; and numbers that a cache holds.
_BLOCK, _PART = 2 ** 22, 2 ** 17
_TOGETHER = 512


class ListBlend(Rated):
    """Scores (1) of known users and new ones: members with their weights w, 0 or more, and what counts as seen.

    `candidates`, ascending, are the items with a rating.
    """

    rows, dtype, ranks = USERS, np.dtype(np.float32), ALONE

    def __init__(self, members, weights, ratings):
        self.members, self.weights, self.ratings = list(members), list(map(float, weights)), ratings
        self.candidates = np.flatnonzero(self.items_rated)
        self._place = np.full(ratings.shape[1], -1)
        self._place[self.candidates] = np.arange(len(self.candidates))

    @property
    def scorers(self):
        """The scorers of members that are trained models."""
        return [each.scorer for each in self.members if hasattr(each, "scorer")]

    @property
    def model(self):
        """The first of the trained models; None if there is none."""
        return next((each.model for each in self.scorers), None)

    def rated_by(self, users):
        """Find what some users have rated: places among `users`, and items."""
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
        users = np.asarray(users)
        return self._chosen(self._blended(lambda member: member.of_users(users), len(users), self.rated_by(users)),
                            candidates)

    def grid_of_people(self, people, candidates=None):
        """As `grid`, of a list of `PersonRatings`."""
        seen = (np.repeat(np.arange(len(people)), [len(each.places) for each in people]),
                np.concatenate([np.zeros(0, np.intp)] + [each.places for each in people]))
        return self._chosen(self._blended(lambda member: member.of_people(people), len(people), seen), candidates)

    def pairs(self, users, items):
        """Scores of pairs of users and candidates, float32, (n,)."""
        found = np.empty(len(users), self.dtype)
        for block, part, indptr in blocks_of_rows(users, self.users_together()):
            found[part] = self.grid(block)[rows_of_entries(indptr), self._place[items[part]]]
        return found

    def best(self, users, n, exclude_seen, candidates):
        """The n best of some candidates for each of some users, as `scoring.scorer.Scorer.best` yields them."""
        def of_block(block):
            return best_of(self.grid(block, candidates), n, candidates, self.rated_by(block) if exclude_seen else None)

        return in_threads(of_block, self.blocks(users))

    def best_and_pairs(self, users, n, candidates, pair_users, pair_items):
        """The lists of `best` for different users, (n_users, n), and the scores of `pairs`; each grid is made once."""
        place = np.full(self.ratings.shape[0], -1)
        place[users] = np.arange(len(users))
        best, scores = np.full((len(users), n), -1), np.empty(len(pair_users), self.dtype)

        def of_block(part):
            block, at, indptr = part
            grid, pairs = self.grid(block), at < len(pair_users)
            at, rows = at[pairs], rows_of_entries(indptr)[pairs]
            scores[at] = grid[rows, self._place[pair_items[at]]]
            there = np.flatnonzero(place[block] >= 0)
            grid = self._chosen(grid if len(there) == len(block) else grid[there], candidates)
            best[place[block[there]]] = best_of(grid, n, candidates, self.rated_by(block[there]))[0]

        work_in_threads(of_block, blocks_of_rows(np.concatenate([pair_users, users]), self.users_together()))
        return best, scores

    def blocks(self, users):
        """List the parts of an array whose first axis is of users, as their scores are made together."""
        step = self.users_together()
        return [users[start:start + step] for start in range(0, len(users), step)]

    def users_together(self):
        """Return how many users' scores are made at a time."""
        return min(_TOGETHER, max(1, _BLOCK // max(1, self.ratings.shape[1])))

    def standardised(self, scores, seen, weight=1.0):
        """One member's term of (1), of all candidates: float32, (n, n_candidates).

        `seen` are pairs, rows and items, that count neither in the mean nor in the variance.
        """
        found = np.zeros((len(scores), len(self.candidates)), np.float32)
        self._add(found, scores, seen, weight)
        return found

    def _add(self, total, scores, seen, weight):
        """Add a member's term of (1) to `total`, (n, n_candidates), a few users at a time that stay in a cache."""
        rows, at, n_candidates = seen[0], self._place[seen[1]], len(self.candidates)
        step = max(1, _PART // max(1, n_candidates))
        starts = np.arange(0, len(scores), step)
        bounds = np.append(np.searchsorted(rows, starts), len(rows))  # rows are ascending
        for start, first, stop in zip(starts, bounds, bounds[1:]):
            # All candidates are there, and are taken sooner if nobody looks whether they are.
            found = scores[start:start + step].take(self.candidates, axis=1, mode="clip").astype(np.float32, copy=False)
            of_rows = rows[first:stop] - start
            flat, these = found.reshape(-1), of_rows * n_candidates + at[first:stop]
            n = np.maximum(n_candidates - np.bincount(of_rows, minlength=len(found)), 1)
            seen_ones, level = flat[these], 0.0
            # Seen ones count in no sum: they are 0 there. The mean is subtracted twice: no digits are lost where it
            # is far from 0; float32 has enough then, whose sums are made in pairs.
            for _ in range(2):
                flat[these] = 0
                mean = (found.sum(axis=1) / n).astype(np.float32)
                found -= mean[:, np.newaxis]
                seen_ones -= mean[of_rows]
                level = level + mean.astype(np.float64)
            flat[these] = 0
            variance = np.einsum("ij,ij->i", found, found, dtype=np.float64) / n
            flat[these] = seen_ones
            # A smaller variance is that of rounding errors of scores of this size.
            largest = np.bincount(of_rows, seen_ones.astype(np.float64) ** 2, len(found)) + level ** 2 + variance
            clear = variance > 1e-12 * largest
            scale = np.where(clear, weight / np.sqrt(np.where(clear, variance, 1)), 0)
            found *= scale.astype(np.float32)[:, np.newaxis]
            total[start:start + step] += found

    def _blended(self, scores_of, n, seen):
        total = np.zeros((n, len(self.candidates)), self.dtype)
        for member, weight in self.used():
            self._add(total, scores_of(member), seen, weight)
        return total

    def _chosen(self, scores, candidates):
        if candidates is None or len(candidates) == len(self.candidates):
            return scores
        return scores[:, self._place[candidates]]
