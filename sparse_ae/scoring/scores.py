"""Scores of users and items by position, in grids and pairs, and lists by them: one protocol for all models."""
import numpy as np

from sparse_ae.data.ratings import rows_of_entries
from sparse_ae.runtime.processors import cached_property, work_in_threads
from sparse_ae.scoring.ranking import best_of, leave_out

#: Numbers in a block.
BLOCK = 2 ** 22

#: The most users who are ranked, and rows that are encoded, together.
TOGETHER = 256


class Scores:
    """Base class: a subclass has a `RatingMatrix`, and `grid(users)`, scores of the `candidates`, (n_users, n), or
    `grids(items)` and `pairs(users, items)`."""

    dtype = np.dtype(np.float32)

    def __init__(self, rating_matrix):
        self.rating_matrix = rating_matrix

    @staticmethod
    def clip(outputs):
        """Scores have no scale to clip to."""
        return outputs

    @cached_property
    def popularity(self):
        """The number of ratings of each item, by which equal ones are ordered, (n_items,)."""
        return self.rating_matrix.counts[1]

    @cached_property
    def candidates(self):
        """The items with a score, ascending."""
        return np.flatnonzero(self.popularity)

    @cached_property
    def places(self):
        """The items' positions among the candidates, -1 for others, (n_items,)."""
        found = np.full(len(self.popularity), -1)
        found[self.candidates] = np.arange(len(self.candidates))
        return found

    def seen_by(self, users):
        """The items that users have rated: positions in `users`, and items, (n_seen,) each."""
        return self.rating_matrix.rated_by(users)

    @property
    def _together(self):
        return min(TOGETHER, max(1, BLOCK // max(1, len(self.popularity))))

    def blocks(self, users):
        """Split an array by users whose scores are computed together: a list."""
        return [users[start:start + self._together] for start in range(0, len(users), self._together)]

    def grids(self, items):
        """A function from users to the scores of some candidates, (n_users, n_items)."""
        if len(items) == len(self.candidates):
            return self.grid
        return lambda users: self.grid(users)[:, self.places[items]]

    def pairs(self, users, items):
        """Scores of pairs of users and candidates, (n,)."""
        found = np.empty(len(users), self.dtype)

        def of_block(part):
            block, at, indptr = part
            found[at] = self.grid(block)[rows_of_entries(indptr), self.places[items[at]]]

        work_in_threads(of_block, blocks_of_rows(users, self._together))
        return found

    def first(self, grid, n, candidates, new=None):
        """The n best of candidates, as by `best_of`; a subclass may keep `new` places for new items."""
        return best_of(grid, n, self.popularity[candidates])

    def chooser(self, users, grid, n, candidates, new):
        """A function that returns users' n best of a grid, once some of its scores are -inf."""
        return lambda: self.first(grid, n, candidates, new)

    def best(self, users, n, exclude_seen, candidates, watch=None, exclude=None, new=None):
        """Each user's n best of ascending candidates: positions, as by `top_n`, and clipped scores (exact-lists.md).
        `watch` gets positions in `users` and grids, -inf where left out; `exclude`, CSR, leaves out more by user."""
        best, scores = np.empty((len(users), n), np.intp), np.empty((len(users), n), self.dtype)
        grid_of, order = self.grids(candidates), np.argsort(users, kind="stable")  # hidden units are found by order

        def of_block(at):
            block, grid = users[at], grid_of(users[at])
            choose = self.chooser(block, grid, n, candidates, new)
            if exclude_seen:
                leave_out(grid, candidates, *self.seen_by(block))
            if exclude is not None:
                leave_out(grid, candidates, *exclude[at].nonzero())
            best[at], scores[at] = choose()
            if watch is not None:
                watch(at, grid)

        work_in_threads(of_block, self.blocks(order))
        return best, self.clip(scores)


def blocks_of_rows(rows, block_size):
    """Pairs by rows, `block_size` at a time: a list of ascending rows, their pairs' positions, and their indptr."""
    order = np.argsort(rows, kind="stable")
    used, counts = np.unique(rows, return_counts=True)
    stops, blocks = np.concatenate([[0], np.cumsum(counts)]), []
    for start in range(0, len(used), block_size):
        bounds = stops[start:start + block_size + 1]
        blocks.append((used[start:start + block_size], order[bounds[0]:bounds[-1]], bounds - bounds[0]))
    return blocks
