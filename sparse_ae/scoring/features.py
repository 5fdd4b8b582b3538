"""What attributes say of items and users without a rating: ridge regression of the outputs of those with ratings,
equation (1) of docs/guide/new-items.md."""
from functools import partial

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.ranking import best_with_new
from sparse_ae.scoring.scores import Scores

# The decay of (1) for scores of lists, and those to choose from for ratings: the last one leaves attributes out.
_L2_OF_LISTS, _L2_OF_RATINGS = 100.0, (10.0, 30.0, 100.0, 300.0, 1000.0, 1e12)

# Parts of the known items that are held out in turn to choose it, how many of their outputs are looked at, and beyond
# how many columns it is that of lists.
_N_FOLDS, _N_OUTPUTS, _MOST_COLUMNS = 4, 2 ** 21, 1000

# Known items that are taken for a new one in the ratings of a visitor who has no others.
_MOST_ALIKE = 10

# The share of new items in the places of lists where no times tell it; lists that are as long as one of them needs have
# a new one at least.
NEW_SHARE = 0.1


def share_of_new(items, times, n_new):
    """The share of items without an entry before in the last tenth of entries by time, (n,) each; less if `n_new`, the
    number of new items now, is smaller than that of those."""
    late = times >= np.sort(times)[-max(1, len(times) // 10)]
    new = late & ~np.isin(items, items[~late])
    share = np.count_nonzero(new) / np.count_nonzero(late)
    return NEW_SHARE if late.all() else share * min(1.0, n_new / max(1, len(np.unique(items[new]))))


class FeatureRegression:
    """Equation (1): outputs of all with attributes by those of the `known`, who count alike; of ratings, by `examples`
    (a function from n to outputs and CSR ratings for n of the other side), by their numbers of ratings."""

    def __init__(self, attributes, ids, counts, examples=None):
        matrix, self.described = attributes.over(ids)
        self.known, self.new, self._examples = counts > 0, self.described & (counts == 0), examples
        self.rows = sp.hstack([self.described[:, np.newaxis].astype(np.float32), matrix], format="csr")
        self._weights = np.ones(np.count_nonzero(self.known)) if examples is None else counts[self.known]

    @cached_property
    def l2(self):
        """The decay; for ratings the one by which some known ones best predict the ratings of others."""
        rows, fold = self.rows[self.known], np.cumsum(self.described[self.known]) % _N_FOLDS
        fold[~self.described[self.known]] = -1
        if self._examples is None or rows.shape[1] > _MOST_COLUMNS or len(np.unique(fold[fold >= 0])) < _N_FOLDS:
            return _L2_OF_LISTS
        outputs, ratings = self._examples(max(1, _N_OUTPUTS // max(rows.shape[0], 4 * rows.shape[1])))
        errors = np.zeros(len(_L2_OF_RATINGS))
        for train, held in ((fold != k, fold == k) for k in range(_N_FOLDS)):
            left, right, wanted = self._left(train), self.sums(outputs[train], train), ratings[held].tocoo()
            for k, more in enumerate(np.diff((0.0,) + _L2_OF_RATINGS)):
                said = rows[held].dot(scipy.linalg.lu_solve(_factors(left, more), right))
                errors[k] += np.sum((said[wanted.row, wanted.col] - wanted.data) ** 2)
        return _L2_OF_RATINGS[int(np.argmin(errors))]

    @cached_property
    def _weighted(self):
        """Rows of known ones with their weights, CSR of float32, (n_known, n_columns + 1)."""
        weights = sp.diags((self._weights / np.mean(self._weights)).astype(np.float32))
        return weights.dot(self.rows[self.known]).tocsr()

    def _left(self, part=slice(None)):
        """The system of equations of all known ones, or a part, without decay, (n_columns + 1, n_columns + 1)."""
        return self._weighted[part].T.astype(np.float64).dot(self.rows[self.known][part]).toarray()

    @cached_property
    def _factors(self):
        return _factors(self._left(), self.l2, overwrite_a=True)

    def sums(self, outputs, part=None):
        """The right-hand sides of (1), (n_columns + 1, n), by outputs of all known ones or a part, (n_part, n)."""
        return (self._weighted if part is None else self._weighted[part]).T.dot(outputs)

    def solved(self, sums):
        """The coefficients of all columns, by the sum of `sums`."""
        return scipy.linalg.lu_solve(self._factors, sums)

    def of(self, outputs, rows):
        """What attributes say by outputs of the known ones, (n, n_known), at n_rows of `rows`, (n, n_rows)."""
        return rows.dot(self.solved(self.sums(outputs.T.astype(np.float64)))).T

    @staticmethod
    def row(attributes):
        """Rows of attributes, (n, n_columns), as those of `rows`, with a 1 in front."""
        return sp.hstack([np.ones((attributes.shape[0], 1), np.float32), attributes], format="csr")


def _factors(left, l2, **lu):
    """The LU factors of a system of equations, to which a decay is added, but of the 1 in front."""
    diagonal = np.arange(1, len(left))
    left[diagonal, diagonal] += l2
    return scipy.linalg.lu_factor(left, **lu)


class FeatureScorer(Scores):
    """Scores of a `WeightedScorer` or `RankingEnsemble`, perhaps `predicted` ratings, for all `ids`: the scorer's, then
    those with attributes only. `features` are `Attributes` by side; `new_share` is new items' share of places."""

    def __init__(self, scorer, features, ids, new_share, predicted=False):
        super().__init__(scorer.rating_matrix)
        self.scorer = scorer
        counts = {side: np.append(of_fit, np.zeros(len(of_side) - len(of_fit), of_fit.dtype)) for side, of_side, of_fit
                  in zip((USERS, ITEMS), ids, scorer.rating_matrix.counts)}
        self.by_side = {side: FeatureRegression(features[side], of_side, counts[side],
                                                partial(self._examples, side) if predicted else None)
                        for side, of_side in zip((USERS, ITEMS), ids) if side in features}
        self._items = self.by_side.get(ITEMS)
        self.users_rated, self.items_rated, self.popularity = counts[USERS] > 0, counts[ITEMS] > 0, counts[ITEMS]
        known = self.items_rated if self._items is None else self.items_rated | self._items.new
        self.candidates = np.flatnonzero(known)
        self.dtype, self.clip, self._share = scorer.dtype, scorer.clip, new_share

    def _examples(self, side, n):
        """Outputs and ratings of the known ones of a side, for at most n of the other side."""
        ratings = self.rating_matrix
        known, others = map(np.flatnonzero, side.rows_columns(ratings.users_rated, ratings.items_rated))
        others = others[np.linspace(0, len(others) - 1, min(n, len(others))).astype(int)]
        users, items = side.users_items(known, others)
        outputs = side.turned(self.scorer.grids(items)(users))
        return outputs.astype(np.float64), ratings.by(side)[known][:, others]

    @cached_property
    def _new_rows(self):
        return self._items.rows[self._items.new]

    def extended(self, outputs):
        """Outputs for all candidates, (n, n_candidates), of those for the known items, (n, n_known)."""
        if self._items is None or not self._new_rows.shape[0]:
            return outputs
        known = self.items_rated[self.candidates]
        found = np.empty((len(outputs), len(known)), outputs.dtype)
        found[:, known], found[:, ~known] = outputs, self._items.of(outputs, self._new_rows)
        return found

    def from_known(self, outputs):
        """A function from places to outputs, of one that takes places of known items."""
        return lambda items: self.extended(outputs(np.flatnonzero(self.items_rated))[np.newaxis])[0, self.places[items]]

    def grid(self, users):
        """Outputs for all pairs of some users and the candidates, (n_users, n_candidates)."""
        rated = self.users_rated[users]
        if rated.all():
            return self.extended(self._of_rated(users))
        found = self.by_side[USERS].rows[users].dot(self.of_words)
        if rated.any():
            found[rated] = self._of_rated(users[rated])
        return self.extended(found)

    @cached_property
    def _of_rated(self):
        """A function from users with ratings to their outputs for the known items, (n_users, n_known)."""
        return self.scorer.grids(np.flatnonzero(self.items_rated))

    @cached_property
    def of_words(self):
        """The coefficients of users' attributes, with a 1 in front, for each known item, (n_columns + 1, n_known)."""
        users, found = self.by_side[USERS], 0.0
        known = np.flatnonzero(users.known)
        for part in self.blocks(np.arange(len(known))):
            found += users.sums(self._of_rated(known[part]), part)
        return users.solved(found)

    def grid_of_people(self, people):
        """As `Scores.grid_of_people`."""
        return self.extended(self.scorer.grid_of_people(people))

    def pairs(self, users, items):
        """Outputs of pairs, (n,); those of known ones are the scorer's."""
        found = np.empty(len(users), self.scorer.dtype)
        known = self.users_rated[users] & self.items_rated[items]
        found[known] = self.scorer.pairs(users[known], items[known])
        found[~known] = super().pairs(users[~known], items[~known])
        return found

    def first(self, grid, n, candidates, new=None):
        """As `Scores.first`; for `new`, None stands for their share."""
        are_new = ~self.items_rated[candidates]
        if not are_new.any():
            return super().first(grid, n, candidates)
        if new is None:
            new = max(int(n * self._share + 0.5), n * NEW_SHARE >= 1)
        return best_with_new(grid, n, self.popularity[candidates], new, are_new)

    def seen_by(self, users):
        """As `Scores.seen_by`."""
        rated = np.flatnonzero(self.users_rated[users])
        rows, items = self.rating_matrix.rated_by(users[rated])
        return rated[rows], items

    def item_factors(self, scorer, items):
        """Factors of items, (n, k), of one of the scorers: those of new ones are what their attributes say."""
        if self._items is None:
            return scorer.side_factors(items, ITEMS)
        known, rated = np.flatnonzero(self.items_rated), self.items_rated[items]
        found = self._items.of(scorer.side_factors(known, ITEMS).T, self._items.rows[items]).T
        found[rated] = scorer.side_factors(items[rated], ITEMS)
        return found

    def parts_of_new(self, outputs, item):
        """The columns of a new item's attributes, and their parts in its output, by those of the known items."""
        row, coefficients = self._items.rows[item], self._items.solved(self._items.sums(
            outputs[:, np.newaxis].astype(np.float64)))[:, 0]
        columns, parts = row.indices, row.data * coefficients[row.indices]
        return columns[columns > 0] - 1, parts[columns > 0]

    def most_alike(self, place):
        """The places of a few known items with attributes most like a new one's, the most popular of equal ones."""
        known = np.flatnonzero(self.items_rated)
        likeness = self.likeness_of_new(place)[self.places[known]]
        best = np.lexsort((-self.popularity[known], -likeness))[:_MOST_ALIKE]
        return known[best[likeness[best] > 0]]

    def likeness_of_new(self, place):
        """The cosines of a new item's attributes and each candidate's, (n_candidates,)."""
        return self._directions[self.candidates].dot(self._directions[place].toarray().ravel())

    @cached_property
    def _directions(self):
        """The attributes of items, CSR, with rows of length 1, or without entries."""
        rows = self._items.rows[:, 1:]
        norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)))
        return rows.multiply(1 / np.maximum(norms, np.finfo(np.float32).tiny)).tocsr()
