"""Facts about ratings that don't depend on a model: who has some, and which pairs are among them."""
from functools import cached_property

import numpy as np

from sparse_ae.data.ratings import entries_stored, occurring, rating_counts
from sparse_ae.ranks.ranks import ALONE


class Rated:
    """Ratings by users or by items; the base of scorers and of blends of lists.

    Each attribute reads all ratings, which may be on disk: once, and only if it is asked for.

    Attributes
    ----------
    ratings : csr_matrix of float32, (n_rows, n_columns)
    rows : Side
    ranks : Ranks
        Who share out the columns.
    mean : float
        Of the ratings.
    users_rated, items_rated : bool arrays, (n_users,) and (n_items,)
        Who and what has a rating.
    """

    @cached_property
    def mean(self):
        data = self.ratings.data
        total, n = self.ranks.sum(np.array([data.sum(dtype="float64"), data.size]))
        return float(total / n)

    @cached_property
    def users_rated(self):
        return self._rated[0]

    @cached_property
    def items_rated(self):
        return self._rated[1]

    @cached_property
    def _rated(self):
        return self.rows.users_items(self.rows_rated, self.columns_rated)

    @property
    def rows_rated(self):
        return self.ranks.sum(np.diff(self.ratings.indptr)) > 0

    @property
    def columns_rated(self):
        return occurring(self.ratings.indices, self.ratings.shape[1])

    def are_rated(self, users, items):
        """Tell whether each of some pairs is among the ratings, (n,)."""
        return entries_stored(self.ratings, *self.rows.rows_columns(users, items))

    def rating_counts(self):
        """Count the ratings of each user and of each item: two int arrays."""
        return self.rows.users_items(*rating_counts(self.ratings))


def blocks_of_rows(rows, block_size, n_rows=None, ranks=ALONE):
    """List pairs in the order of their rows, a block of rows at a time.

    Parameters
    ----------
    rows : int array, (n_pairs,)
    block_size : int
        Rows in a block.
    n_rows : int, optional
        How many there are.
    ranks : Ranks, optional
        Who are to have the same blocks, whatever pairs each of them has.

    Returns
    -------
    list of tuples
    used : int array
        Rows of the block that have pairs, ascending.
    part : int array
        Positions of their pairs in `rows`.
    indptr : int array, (len(used) + 1,)
        Where those of each row begin within `part`, as in CSR.
    """
    order = np.argsort(rows, kind="stable")
    used, counts = np.unique(rows, return_counts=True)
    if ranks.size > 1:
        counts = np.bincount(rows, minlength=n_rows)
        used = np.flatnonzero(ranks.sum(counts))
        counts = counts[used]
    stops, blocks = np.concatenate([[0], np.cumsum(counts)]), []
    for start in range(0, len(used), block_size):
        bounds = stops[start:start + block_size + 1]
        blocks.append((used[start:start + block_size], order[bounds[0]:bounds[-1]], bounds - bounds[0]))
    return blocks
