"""Outputs of a model whose columns ranks have shared out: as `scorer`, by places of all users and items."""
from functools import cached_property

import numpy as np

from sparse_ae.data.ratings import rating_counts
from sparse_ae.scoring.ranking import leave_out, top_n
from sparse_ae.scoring.scorer import Blend, Scorer, users_together

__all__ = ["SharedBlend", "SharedScorer", "blend"]


class SharedScorer(Scorer):
    """A `Scorer` of ranks that have shared out a model's columns, by places of all users and items.

    Every call is for all ranks together, with the same arguments, and all get the same.

    Parameters
    ----------
    own : Scorer
        Of the rank's own columns; a Blend of one, with a weight, too.
    targets : Targets
        As the own scorer's, of all columns.
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

    def pair_outputs(self, users, items, block_size=None, hidden=None):
        return self._by_pair(users, items, self.dtype, self.own.pair_outputs, block_size)

    def grid_outputs(self, users, items):
        rows, columns = self.rows.rows_columns(users, items)
        mine, own_columns = self._ranks.own_of(columns)
        output = np.zeros((len(users), len(items)), self.dtype)
        part = self.own.grid_outputs(*self.rows.users_items(rows, own_columns))
        self.rows.turned(output)[:, mine] = self.rows.turned(part)
        return self._ranks.sum(output)

    def best(self, users, n, exclude_seen, candidates):
        step = users_together(candidates)
        for start in range(0, len(users), step):
            best, outputs = self._best_of_all(users[start:start + step], n, exclude_seen, candidates)
            yield best, self.clip(outputs)

    def _best_of_all(self, *arguments):
        return (self._best_of_items if self.rows == "users" else self._best_of_users)(*arguments)

    def _best_of_items(self, users, n, exclude_seen, candidates):
        """Each rank's own items for all users; the best of the ranks' best."""
        mine, own_candidates = self._ranks.own_of(candidates)
        best, outputs = self._own_best(users, n, exclude_seen, own_candidates)
        found = self._ranks.gathered((np.append(mine, -1)[best], outputs))
        best, outputs = (np.hstack(each) for each in zip(*found))
        # Of equal outputs the first place comes first; where there is no item the output is -inf.
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
        own = self.own
        scores = own.grid(users, candidates)
        if exclude_seen:
            leave_out(scores, candidates, *own.rated_by(users))
        best = top_n(scores, n)
        scores = np.column_stack([scores, np.full(len(scores), -np.inf, scores.dtype)])  # that of place -1
        return best, np.take_along_axis(scores, best, axis=1)

    def are_rated(self, users, items):
        return self._by_pair(users, items, np.int32, self.own.are_rated) > 0

    def _by_pair(self, users, items, dtype, values, *more):
        """Compute something of pairs, (n,), each on the rank that has its column."""
        rows, columns = self.rows.rows_columns(users, items)
        return self._ranks.by_column(
            columns, lambda mine, own: values(*self.rows.users_items(rows[mine], own), *more), dtype)


class SharedBlend(SharedScorer):
    """A `Blend` of two scorers that ranks share: each rank has users of the one and items of the other.

    The outputs meet on all ranks, those of all candidates for some users at a time.

    Parameters
    ----------
    scorers : list of SharedScorer
        The first is that of items as rows.
    weights : list of float
    """

    def __init__(self, scorers, weights):
        super().__init__(scorers[0].own, scorers[0].targets)
        self._shared, self._weights = list(scorers), list(map(float, weights))

    @property
    def scorers(self):
        return [each.own for each in self._shared]

    @property
    def weights(self):
        return self._weights

    def forget(self):
        for each in self._shared:
            each.forget()

    def pair_outputs(self, users, items, block_size=None, hidden=None):
        return self._sum(len(users), lambda each: each.pair_outputs(users, items, block_size))

    def grid_outputs(self, users, items):
        return self._sum((len(users), len(items)), lambda each: each.grid_outputs(users, items))

    def _sum(self, shape, outputs):
        total = np.zeros(shape, self.dtype)
        for scorer, weight in zip(self._shared, self._weights):
            if weight:
                total += np.asarray(weight, self.dtype) * outputs(scorer)
        return total

    def _best_of_all(self, users, n, exclude_seen, candidates):
        return self.best_of_grid(users, n, self._rated_on_any(users) if exclude_seen else None, candidates)

    def _rated_on_any(self, users):
        """As `rated_by`, of the ratings of all ranks."""
        mine, own_users = self._ranks.own_of(users)
        who, what = self.own.rated_by(own_users)
        return tuple(map(np.concatenate, zip(*self._ranks.gathered((mine[who], what)))))


def blend(scorers, weights):
    """Make the `Blend` of some scorers, of all ranks together where they are."""
    first = scorers[0]
    if not isinstance(first, SharedScorer):
        return Blend(scorers, weights)
    if len(scorers) > 1:
        return SharedBlend(scorers, weights)
    return SharedScorer(Blend([each.own for each in scorers], weights), first.targets)
