"""Scores of users and items by a grid of all candidates, and lists by them: ensembles, and what attributes add."""
import numpy as np

from sparse_ae.data.ratings import rows_of_entries
from sparse_ae.runtime.processors import work_in_threads
from sparse_ae.scoring.ranking import best_of, leave_out
from sparse_ae.scoring.scorer import blocks_of_rows, users_together


class Scores:
    """Base class: a subclass has `grid(users)`, scores of the `candidates`, (n_users, n_candidates); `grid_of_people`,
    the same for a list of `PersonRatings`; `seen_by(users)`, and each item's `popularity`. `places` are the items'
    positions among the candidates, -1 for others."""

    dtype = np.dtype(np.float32)

    def __init__(self, are_candidates):
        self.candidates = np.flatnonzero(are_candidates)
        self.places = np.full(len(are_candidates), -1)
        self.places[self.candidates] = np.arange(len(self.candidates))
        self._together = users_together(len(are_candidates))

    @staticmethod
    def clip(outputs):
        """Scores have no scale to clip to."""
        return outputs

    def pairs(self, users, items):
        """Scores of pairs of users and candidates, float32, (n,)."""
        found = np.empty(len(users), self.dtype)

        def of_block(part):
            block, at, indptr = part
            found[at] = self.grid(block)[rows_of_entries(indptr), self.places[items[at]]]

        work_in_threads(of_block, blocks_of_rows(users, self._together))
        return found

    def choose(self, n, candidates, new=None):
        """A function like `best_of` for lists of n candidates; a subclass may keep `new` places for new items."""
        return best_of

    def best(self, users, n, exclude_seen, candidates, watch=None, exclude=None, new=None):
        """As `Scorer.best`, with `new` places for new items."""
        lists, scores = np.full((len(users), n), -1), np.full((len(users), n), -np.inf, self.dtype)
        popularity, choose = self.popularity[candidates], self.choose(n, candidates, new)

        def of_block(start):
            at = np.arange(start, min(start + self._together, len(users)))
            grid, seen = self.grid(users[at]), self.seen_by(users[at]) if exclude_seen else None
            if len(candidates) < len(self.candidates):
                grid = grid[:, self.places[candidates]]
            if exclude is not None:
                leave_out(grid, candidates, *exclude[at].nonzero())
            lists[at], scores[at] = choose(grid, n, candidates, seen, popularity)
            if watch is not None:
                watch(at, grid)

        work_in_threads(of_block, range(0, len(users), self._together))
        return lists, self.clip(scores)

    def blocks(self, users):
        """Split an array by users whose scores are computed together: a list."""
        return [users[start:start + self._together] for start in range(0, len(users), self._together)]
