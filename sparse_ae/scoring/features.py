"""What attributes say of items and users without a rating: ridge regression of the outputs of those with ratings,
equation (1) of docs/guide/new-items.md."""
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.data.attributes import Attributes
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble
from sparse_ae.scoring.scorer import users_together


class SideFeatures(NamedTuple):
    """The attributes of items or users, the decay of (1), the weight of known ones' in their own outputs, and what new
    ones' are raised by."""

    attributes: Attributes
    l2: float
    weight: float = 0.0
    level: float = 0.0


class FeatureRegression:
    """Equation (1): from outputs of the `known` items, or users, to those of all that have attributes. Known ones count
    alike, or with `by_counts` by their numbers of ratings."""

    def __init__(self, attributes, ids, counts, l2, by_counts):
        matrix, self.described = attributes.over(ids)
        self.known, self.new = counts > 0, self.described & (counts == 0)
        self.rows = sp.hstack([self.described[:, np.newaxis].astype(np.float32), matrix], format="csr")
        X, weights = self.rows[self.known].astype(np.float64), counts[self.known] if by_counts else 1.0
        weighted = X.T.multiply(weights / np.mean(weights)).tocsr()
        decay = np.full(X.shape[1], float(l2))
        decay[0] = 0
        left = weighted.dot(X).toarray() + np.diag(decay)
        self.kernel = np.linalg.solve(left, weighted.toarray()).T.astype(np.float32)  # (n_known, n_columns + 1)

    def of(self, outputs, places):
        """What attributes say at some places, (n, n_places), by outputs of the known ones, (n, n_known)."""
        return self.rows[places].dot(outputs.dot(self.kernel).T).T

    @staticmethod
    def row(attributes):
        """Rows of attributes, (n, n_columns), as those of `rows`, with a 1 in front."""
        return sp.hstack([np.ones((attributes.shape[0], 1), np.float32), attributes], format="csr")


class FeatureScorer:
    """A `WeightedScorer` or `RankingEnsemble` that gives outputs of users and items that only have attributes, too.
    `features` are `SideFeatures` by side; `ids` of users and items are the scorer's, then those of others."""

    def __init__(self, scorer, features, ids):
        self.scorer, self.features, self.is_ensemble = scorer, features, isinstance(scorer, RankingEnsemble)
        counts = {side: np.append(of_fit, np.zeros(len(of_side) - len(of_fit), of_fit.dtype)) for side, of_side, of_fit
                  in zip((USERS, ITEMS), ids, scorer.rating_matrix.counts)}
        self.by_side = {side: FeatureRegression(features[side].attributes, of_side, counts[side], features[side].l2,
                                                not self.is_ensemble)
                        for side, of_side in zip((USERS, ITEMS), ids) if side in features}
        self._items = self.by_side.get(ITEMS)
        self.users_rated, self.items_rated = counts[USERS] > 0, counts[ITEMS] > 0
        self._known = self.items_rated
        self.candidates = np.flatnonzero(self._known if self._items is None else self._known | self._items.new)
        self.places = np.full(len(self._known), -1)
        self.places[self.candidates] = np.arange(len(self.candidates))
        self._together = users_together(len(self.places))
        self._weight, self._level = features[ITEMS][2:] if self._items is not None else (0.0, 0.0)

    def __getattr__(self, name):  # all else is the scorer's
        return getattr(self.scorer, name)

    def extended(self, outputs):
        """Outputs for all candidates, (n, n_candidates), of those for the known items, (n, n_known)."""
        if self._items is None:
            return outputs
        said, known = self._items.of(outputs, self.candidates), self._known[self.candidates]
        found = (1 + self._weight) * said + self._level
        found[:, known] = outputs + self._weight * said[:, known] if self._weight else outputs
        return found

    def from_known(self, outputs):
        """A function from places to outputs, of one that takes places of known items."""
        return lambda items: self.extended(outputs(np.flatnonzero(self._known))[np.newaxis])[0, self.places[items]]

    def grid(self, users):
        """Outputs for all pairs of some users and the candidates, (n_users, n_candidates)."""
        return self.extended(self._of_known_items(users))

    def _of_known_items(self, users):
        rated = self.users_rated[users]
        if rated.all():
            return self._of_rated(users)
        found = self.of_new_users(self.by_side[USERS].rows[users])
        if rated.any():
            found[rated] = self._of_rated(users[rated])
        return found

    @cached_property
    def _of_rated(self):
        """A function from users with ratings to their outputs for the known items, (n_users, n_known)."""
        return self.scorer.grid if self.is_ensemble else self.scorer.grids(np.flatnonzero(self._known))

    def of_new_users(self, rows):
        """Outputs of known items, (n, n_known), for users by their rows of attributes with a 1 in front."""
        return rows.dot(self._of_words)

    @cached_property
    def _of_words(self):
        """The coefficients of users' attributes for each known item, (n_columns + 1, n_known)."""
        users, found = self.by_side[USERS], 0.0
        known = np.flatnonzero(users.known)
        for start in range(0, len(known), self._together):
            part = slice(start, start + self._together)
            found = found + users.kernel[part].T.dot(self._of_rated(known[part]))
        return found

    def grid_of_people(self, people):
        """As `RankingEnsemble.grid_of_people`."""
        return self.extended(self.scorer.grid_of_people(people))

    def pairs(self, users, items):
        """Outputs of pairs, (n,); those of known ones are the scorer's unless attributes have a weight."""
        found = np.empty(len(users), self.scorer.dtype)
        plain = self.users_rated[users] & self.items_rated[items] & (not self._weight)
        found[plain] = self.scorer.pairs(users[plain], items[plain])
        found[~plain] = RankingEnsemble.pairs(self, users[~plain], items[~plain])
        return found

    best = RankingEnsemble.best

    def seen_by(self, users):
        """As `RankingEnsemble.seen_by`."""
        rated = np.flatnonzero(self.users_rated[users])
        rows, items = self.scorer.rating_matrix.rated_by(users[rated])
        return rated[rows], items

    def vectors(self, users, items):
        """As the scorer's, of all users and items with ratings."""
        found = self.scorer.vectors(users, items)
        return found and (found[0], self.extended(found[1].T)[:, self._known[self.candidates]].T)

    def item_factors(self, scorer, items):
        """Factors of items, (n, k), of one of the scorers: those of new ones are what their attributes say."""
        if self._items is None:
            return scorer.side_factors(items, ITEMS)
        found = self._items.of(scorer.side_factors(np.flatnonzero(self._known), ITEMS).T, items).T
        rated = self._known[items]
        found[rated] = scorer.side_factors(items[rated], ITEMS)
        return found

    def likeness_of_new(self, place):
        """The cosines of a new item's attributes and each candidate's, (n_candidates,)."""
        return self._directions[self.candidates].dot(self._directions[place].toarray().ravel())

    @cached_property
    def _directions(self):
        """The attributes of items, CSR, with rows of length 1, or without entries."""
        rows = self._items.rows[:, 1:]
        norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)))
        return rows.multiply(1 / np.maximum(norms, np.finfo(np.float32).tiny)).tocsr()
