"""The result of a fit: ids, ratings, models and biases, as data, and what attributes add to them."""
import numbers
from typing import Any, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from sparse_ae.baselines.biases import Biases
from sparse_ae.data.ids import Catalogue, is_single
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.data.tables import as_pairs
from sparse_ae.recommender.fit_data import biases_of, popularity_of
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.features import NEW_SHARE, FeatureScorer
from sparse_ae.scoring.fold_in import FoldIn
from sparse_ae.scoring.people import PersonRatings
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble
from sparse_ae.scoring.scorer import predict_known
from sparse_ae.training.objectives import Objective


class Fitted(NamedTuple):
    """What is fitted, and saved. `biases_of_fit` are None for the post's model, which predicts nothing for an unknown
    user or item; `features` are `Attributes` by side; `settings` are None in files of 1.0."""

    ids_of_fit: Tuple[np.ndarray, np.ndarray]
    rating_scale: Tuple[float, float]
    unknown: Union[str, float]
    missing_rating: Optional[float]
    scorer_of_fit: Any
    history: list
    best_epoch: int
    choices: dict
    objective: Objective
    biases_of_fit: Optional[Biases] = None
    validation_rmse: Optional[dict] = None
    validation_lists: Optional[dict] = None
    weights: Optional[dict] = None
    interrupted: bool = False
    settings: Optional[dict] = None
    features: Mapping = {}
    new_share: float = NEW_SHARE
    span: Optional[Tuple[float, float]] = None


class FitResult:
    """What is `Fitted`, by the names of its fields, and what follows from it. It never changes: `extended` and the next
    fit make another. Users and items with attributes only come last."""

    def __init__(self, data):
        self.data = data
        vars(self).update(data._asdict())
        scorer, biases, ids = data.scorer_of_fit, data.biases_of_fit, dict(zip((USERS, ITEMS), data.ids_of_fit))
        self.scorer, self.rating_matrix, self.model = scorer, scorer.rating_matrix, scorer.model
        self.is_counts, self.is_ensemble = self.objective.counts, isinstance(scorer, RankingEnsemble)
        self.models = {each.rows: each.model for each in scorer.scorers}
        self.weights = dict(zip(self.models, scorer.weights)) if data.weights is None else data.weights
        self.mean = scorer.rating_matrix.mean if biases is None or self.missing_rating is not None else biases.mean
        level = 0.0 if self.is_ensemble else self.mean if self.missing_rating is None else self.missing_rating
        self.for_unknown = self.unknown if isinstance(self.unknown, float) else level
        self.fold_ins = [] if self.is_ensemble else [
            FoldIn(each, self.objective, 0.0 if biases is None else biases.mean) for each, _ in scorer.used()]
        for side, each in self.features.items():
            ids[side] = np.append(ids[side], np.setdiff1d(each.ids, ids[side]))
        self.users, self.items = ids[USERS], ids[ITEMS]
        rated, self._regressions = self.rating_matrix, {}
        if self.features:
            self.scorer = rated = FeatureScorer(scorer, self.features, (self.users, self.items), self.new_share,
                                                self.missing_rating is None)
            self._regressions = self.scorer.by_side
        self.users_rated, self.items_rated = rated.users_rated, rated.items_rated
        known = {USERS: self.users_rated, ITEMS: self.items_rated}
        for side, each in self._regressions.items():
            known[side] = each.known | each.new
        self.user_catalogue, self.item_catalogue = (
            Catalogue(side[:-1], ids[side], known[side], self.unknown == "error", len(ids[side]) - len(of_fit))
            for side, of_fit in zip((USERS, ITEMS), self.ids_of_fit))

    @classmethod
    def of(cls, problem, *result, **more):
        """The result of a fit of a `Problem`."""
        return cls(Fitted((problem.users, problem.items), tuple(map(float, problem.scale)), problem.unknown,
                          problem.missing_rating, *result, span=problem.span, **more))

    def extended(self, **more):
        """Another result, with some fields of `Fitted` replaced."""
        return FitResult(self.data._replace(**more))

    @cached_property
    def biases(self):
        """The biases, with those of users and items that have attributes only; None for the post's model."""
        return self.biases_of_fit and self._with_more(self.biases_of_fit)

    @cached_property
    def popular(self):
        """`Biases` with the items' offsets; with their popularity if missing entries count."""
        return self._with_more(popularity_of(self.rating_matrix, self.missing_rating) if self.missing_rating is not None
                               else self.biases_of_fit or biases_of(self.rating_matrix))

    def _with_more(self, biases):
        """Biases with the offsets that attributes say of new users and items, who have no slopes of their own."""
        for side, regression in self._regressions.items():
            offsets, known, new = getattr(biases, side), regression.known, np.flatnonzero(regression.new)
            n_more, slopes = len(known) - len(offsets), biases.slopes
            offsets = np.append(offsets, np.zeros(n_more))
            offsets[new] = regression.of(offsets[np.newaxis, known], regression.rows[new])[0]
            if slopes is not None:
                more = np.tile(slopes.unknown if side == ITEMS else np.zeros(2), (n_more, 1))
                slopes = slopes._replace(**{side: np.vstack([getattr(slopes, side), more])})
            biases = biases._replace(slopes=slopes, **{side: offsets})
        return biases

    def predicted(self, u, i):
        """Predictions of pairs of positions."""
        return predict_known((u, i), (u >= 0, i >= 0), self.scorer.pairs, self.biases and self.biases.at,
                             self.for_unknown, self.scorer.clip)

    def pairs(self, users, items):
        """The positions of pairs, (n,) each or () for a single one; -1 for unknown ids."""
        if items is None:
            if isinstance(users, (str, numbers.Number)):
                raise TypeError("predict has the user %r and no items; expected predict(users, items), or a table of "
                                "pairs" % (users,))
            users, items = as_pairs(users)
        u, i = self.user_catalogue.find(users), self.item_catalogue.find(items)
        if u.ndim and i.ndim and len(u) != len(i):
            raise ValueError("%d users and %d items were given; expected as many of each, or a single one of "
                             "either" % (len(u), len(i)))
        u, i = np.broadcast_arrays(u, i)
        nothing = (u < 0) | (i < 0) if self.biases is None else (u < 0) & (i < 0)
        if nothing.any():
            self.user_catalogue.check_known(users, np.where(nothing, u, 0))
            self.item_catalogue.check_known(items, np.where(nothing, i, 0))
        return u, i

    def are_rated(self, u, i):
        """Whether pairs of positions, -1 for unknown ones, were rated in `fit`, (n,)."""
        of_users, of_items = self.rating_matrix.counts  # others have attributes only
        rated = (u >= 0) & (i >= 0) & (u < len(of_users)) & (i < len(of_items))
        rated[rated] = self.rating_matrix.are_rated(u[rated], i[rated])
        return rated

    def person_of(self, user):
        """The `PersonRatings` of a known user, at a position."""
        row = self.rating_matrix.of_users(np.array([user]))
        places, ratings = row.indices, row.data.astype(np.float64)
        if self.biases is None or self.missing_rating is not None:
            return PersonRatings(places, ratings)
        if self.biases.slopes is not None:
            ratings -= self.biases.slopes.at(np.full(len(places), user), places)
        return PersonRatings(places, ratings, self.biases.users[user])

    def user_with_ratings(self, user, expected):
        """The position of a single user who had a rating in `fit`; or an error that says what was expected."""
        if not is_single(user, "user"):
            raise TypeError("user is %r; expected a single id" % (user,))
        place = int(self.user_catalogue.find(user))
        if place < 0 or not self.users_rated[place]:
            raise ValueError("%s; expected %s" % (self.user_catalogue.without_rating(user, -1), expected))
        return place

    def known_items(self, item):
        """The places of an item or several, which all are known."""
        places = self.item_catalogue.find(item)
        if (places < 0).any():
            raise ValueError("%s; expected an item with ratings, or attributes"
                             % self.item_catalogue.without_rating(item, places))
        return places
