"""Outputs of a model whose columns are divided among ranks: as `scorer`, for positions of all users and items."""
from functools import cached_property

import numpy as np

from sparse_ae.data.ratings import rating_counts
from sparse_ae.scoring.scorer import Blend, Scorer, users_together


class SharedScorer(Scorer):
    """A `Scorer` of ranks that divide a model's columns, for positions of all users and items.

    Every call is for all ranks together, with the same arguments, and all get the same. `own` is the scorer of the
    rank's own columns, a Blend of one with a weight, too; `targets` are of all columns.
    """

    def __init__(self, own, targets):
        super().__init__(own.model, own.ratings, own.rows, targets)
        self.own, self._ranks = own, own.model.ranks

    @property
    def scorers(self):
        return self.own.scorers

    @property
    def weights(self):
        return self.own.weights

    @cached_property
    def mean(self):
        return self.own.mean

    @cached_property
    def _rated(self):
        own = self.own
        return self.rows.users_items(own.rows_rated, self._ranks.columns_of(own.columns_rated))

    def rating_counts(self):
        rows, columns = rating_counts(self.ratings)
        return self.rows.users_items(self._ranks.sum(rows), self._ranks.columns_of(columns))

    def forget(self):
        self.own.forget()

    def pair_outputs(self, users, items, block_size=None):
        return self._by_pair(users, items, self.dtype, self.own.pair_outputs, block_size)

    def grid_outputs(self, users, items):
        rows, columns = self.rows.rows_columns(users, items)
        mine, own_columns = self._ranks.own_of(columns)
        output = np.zeros((len(users), len(items)), self.dtype)
        part = self.own.grid_outputs(*self.rows.users_items(rows, own_columns))
        self.rows.turned(output)[:, mine] = self.rows.turned(part)
        return self._ranks.sum(output)

    def best(self, users, n, exclude_seen, candidates):
        step, best_of = users_together(candidates), self._best_of_items if self.rows == "users" else self._best_of_users
        best, outputs = np.empty((len(users), n), np.intp), np.empty((len(users), n), self.dtype)
        for start in range(0, len(users), step):
            part = slice(start, start + step)
            best[part], outputs[part] = best_of(users[part], n, exclude_seen, candidates)
        return best, self.clip(outputs)

    def _best_of_items(self, users, n, exclude_seen, candidates):
        """Each rank's own items for all users; the best of the ranks' best."""
        mine, own_candidates = self._ranks.own_of(candidates)
        best, outputs = self._own_best(users, n, exclude_seen, own_candidates)
        found = self._ranks.gathered((np.append(mine, -1)[best], outputs))
        best, outputs = (np.hstack(each) for each in zip(*found))
        # Equal outputs keep their order; without an item the output is -inf.
        order = np.lexsort((best, -outputs), axis=1)[:, :n]
        return np.take_along_axis(best, order, axis=1), np.take_along_axis(outputs, order, axis=1)

    def _best_of_users(self, users, n, exclude_seen, candidates):
        """Each rank's own users."""
        mine, own_users = self._ranks.own_of(users)
        best, outputs = np.empty((len(users), n), np.intp), np.empty((len(users), n), self.dtype)
        for who, *lists in self._ranks.gathered((mine,) + self._own_best(own_users, n, exclude_seen, candidates)):
            best[who], outputs[who] = lists
        return best, outputs

    def _own_best(self, users, n, exclude_seen, candidates):
        return self.own.best_of_grid(users, n, self.own.rated_by(users) if exclude_seen else None, candidates)

    def are_rated(self, users, items):
        return self._by_pair(users, items, np.int32, self.own.are_rated) > 0

    def _by_pair(self, users, items, dtype, values, *more):
        """Compute something of pairs, (n,), each on the rank that has its column."""
        rows, columns = self.rows.rows_columns(users, items)
        return self._ranks.by_column(
            columns, lambda mine, own: values(*self.rows.users_items(rows[mine], own), *more), dtype)


def blend(scorers, weights):
    """Make the `Blend` of some scorers; of ranks, which have one model together, that of the one."""
    first = scorers[0]
    if not isinstance(first, SharedScorer):
        return Blend(scorers, weights)
    return SharedScorer(Blend([each.own for each in scorers], weights), first.targets)
