"""The result of a fit: ids, ratings, models and biases, and predictions from them. It never changes: the next fit of a
`Recommender` makes another."""
import copy
import itertools
import numbers
from collections.abc import Mapping
from functools import lru_cache, partial

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_bool, check_choice, check_count
from sparse_ae.data.columns import as_array
from sparse_ae.data.ids import Catalogue, distinct, is_single, one_of, positions, with_other_zeros
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.data.tables import as_pairs
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.recommender.defaults import is_auto
from sparse_ae.recommender.fit_data import biases_of, popularity_of
from sparse_ae.recommender.held_out import HeldOut
from sparse_ae.recommender.new_users import NewUsers
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.features import NEW_SHARE, FeatureScorer
from sparse_ae.scoring.fold_in import FoldIn
from sparse_ae.scoring.people import PersonRatings, RankedUsers, Vectors, best_users, cosines, explanation
from sparse_ae.scoring.ranking import RecommendationLists, Recommendations, best_of, recommendations
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble, weight_line
from sparse_ae.scoring.scorer import predict_known


def _with_more(biases, side, regression):
    """Biases with the offsets that attributes say of new users, or items, and no slopes of their own."""
    offsets, known, new = getattr(biases, side), regression.known, np.flatnonzero(regression.new)
    n_more, slopes = len(known) - len(offsets), biases.slopes
    offsets = np.append(offsets, np.zeros(n_more))
    offsets[new] = regression.of(offsets[np.newaxis, known], regression.rows[new])[0]
    if slopes is not None:
        more = np.tile(slopes.unknown if side == ITEMS else np.zeros(2), (n_more, 1))
        slopes = slopes._replace(**{side: np.vstack([getattr(slopes, side), more])})
    return biases._replace(slopes=slopes, **{side: offsets})


class FitResult(NewUsers):
    """The result of `Recommender.fit`, with all that `answers` and `fitted_attributes` document. `biases` are None for
    the post's model, which predicts nothing for an unknown user or item."""

    def __init__(self, users, items, rating_scale, unknown, missing_rating, scorer, history, best_epoch, choices,
                 objective, biases=None, validation_rmse=None, validation_lists=None, weights=None, interrupted=False,
                 settings=None, features=None, new_share=NEW_SHARE, span=None):
        self.settings = settings  # of the fit; None in files of 1.0
        self.rating_scale = tuple(map(float, rating_scale))
        self.missing_rating, self.is_counts, self.unknown = missing_rating, objective.counts, unknown
        self.ids_of_fit, self.scorer_of_fit, self.biases_of_fit = (users, items), scorer, biases
        self.rating_matrix, self.model = scorer.rating_matrix, scorer.model
        self.history, self.best_epoch, self.choices, self.objective = history, best_epoch, choices, objective
        self.interrupted, self.new_share, self.span = interrupted, new_share, span
        self.validation_rmse, self.validation_lists = validation_rmse, validation_lists
        self.models = {each.rows: each.model for each in scorer.scorers}
        self.weights = dict(zip(self.models, scorer.weights)) if weights is None else weights
        self.mean = scorer.rating_matrix.mean if biases is None or missing_rating is not None else biases.mean
        self._is_ensemble = isinstance(scorer, RankingEnsemble)
        level = 0.0 if self._is_ensemble else self.mean if missing_rating is None else missing_rating
        self._for_unknown = unknown if isinstance(unknown, float) else level
        self._fold_ins = [] if self._is_ensemble else [
            FoldIn(each, objective, 0.0 if biases is None else biases.mean) for each, _ in scorer.used()]
        self.take(features or {})

    def take(self, features):
        """Know items and users by their `Attributes`, a dict by side, as well as those with ratings; those with
        attributes only come last."""
        self.features, self.scorer = features, self.scorer_of_fit
        self.users_rated, self.items_rated = self.rating_matrix.users_rated, self.rating_matrix.items_rated
        known, ids = {USERS: self.users_rated, ITEMS: self.items_rated}, dict(zip((USERS, ITEMS), self.ids_of_fit))
        if features:
            for side, each in features.items():
                ids[side] = np.append(ids[side], np.setdiff1d(each.ids, ids[side]))
            self.scorer = FeatureScorer(self.scorer, features, (ids[USERS], ids[ITEMS]), self.new_share)
            self.users_rated, self.items_rated = self.scorer.users_rated, self.scorer.items_rated
            for side, each in self.scorer.by_side.items():
                known[side] = each.known | each.new
        self.users, self.items = ids[USERS], ids[ITEMS]
        self._users, self._items = (
            Catalogue(side[:-1], ids[side], known[side], self.unknown == "error", len(ids[side]) - len(of_fit))
            for side, of_fit in zip((USERS, ITEMS), self.ids_of_fit))
        self.candidates = self._items.candidates()
        for name in "biases", "_popular":  # of other features
            vars(self).pop(name, None)

    @cached_property
    def biases(self):
        """The biases, with those of users and items that have attributes only; None for the post's model."""
        return self.biases_of_fit and self._with_more(self.biases_of_fit)

    def _with_more(self, biases):
        for side, each in self.scorer.by_side.items() if self.features else ():
            biases = _with_more(biases, side, each)
        return biases

    def with_features(self, features, new_share=None):
        """The same result that knows items and users by their attributes, too, and another share of new ones."""
        made = copy.copy(self)
        made.new_share = self.new_share if new_share is None else new_share
        made.take(features)
        return made

    @classmethod
    def of(cls, problem, *result, **more):
        """The result of a fit of a `Problem`."""
        return cls(problem.users, problem.items, problem.scale, problem.unknown, problem.missing_rating, *result,
                   span=problem.span, **more)

    def weight_lines(self):
        """The models' names and weights, as text: a list of pairs."""
        lines = {name: "%.2f" % weight for name, weight in self.weights.items()}
        if self._is_ensemble:
            lines.update((each.name, weight_line(weights, self.rating_matrix.counts[0]))
                         for each, weights in self.scorer_of_fit.used())
        return list(lines.items())

    def predict(self, users, items=None):
        """Predictions of pairs: (n,), or a float for two single ids."""
        u, i = self.pairs(users, items)
        predicted = self.predicted(u, i, self.scorer.pairs)
        return predicted if predicted.ndim else float(predicted)

    def predicted(self, u, i, pairs):
        """Predictions of pairs of positions, by the function `pairs` where both are known."""
        return predict_known(u, i, u >= 0, i >= 0, pairs, None if self.biases is None else self.biases.at,
                             self._for_unknown, self.scorer.clip)

    def pairs(self, users, items):
        """The positions of pairs, (n,) each or () for a single one; -1 for unknown ids."""
        if items is None:
            if isinstance(users, (str, numbers.Number)):
                raise TypeError("predict has the user %r and no items; expected predict(users, items), or a table of "
                                "pairs" % (users,))
            users, items = as_pairs(users)
        u, i = self._users.find(users), self._items.find(items)
        if u.ndim and i.ndim and len(u) != len(i):
            raise ValueError("%d users and %d items were given; expected as many of each, or a single one of "
                             "either" % (len(u), len(i)))
        u, i = np.broadcast_arrays(u, i)
        nothing = (u < 0) | (i < 0) if self.biases is None else (u < 0) & (i < 0)
        if nothing.any():
            self._users.check_known(users, np.where(nothing, u, 0))
            self._items.check_known(items, np.where(nothing, i, 0))
        return u, i

    def recommend(self, users, n=10, exclude_seen=True, items=None, exclude=None, unknown="auto", new=None, tell=None):
        """The `Recommendations` of a user, or the `RecommendationLists` of several; see `Recommender.recommend`."""
        check_choice(unknown, "unknown", ("auto", "popular", "error"))
        by_user = exclude if isinstance(exclude, Mapping) else {}
        n, candidates = self._candidates(n, exclude_seen, items, None if by_user else exclude, new)
        found, excluded = self._users.find(users), self._excluded(by_user, users) if by_user else None
        if (found < 0).any():  # without a rating in fit, or not even among `users_`
            listed = (found >= 0) | (positions(users, self._users.of_fit, "users") >= 0)
            first = None if listed.all() else one_of(users, int(np.argmin(listed)))
            strict = unknown == "error" or unknown == "auto" and (not found.ndim or self.unknown == "error")
            if first is not None and strict:
                raise ValueError("%s; pass the user's ratings to fold_in, leave the user out, or pass "
                                 "unknown='popular' for the most popular items"
                                 % self._users.without_rating(first, -1))
            if first is not None and unknown == "auto" and tell is not None:
                tell("%d of %d users had no rating in fit, such as %r%s, and get the most popular items"
                     % (np.count_nonzero(~listed), len(listed), first, with_other_zeros(first, self.users)))
        places, ids = np.atleast_1d(found), self.items[candidates]
        known = places >= 0
        more = {"new": new} if self.features else {}
        best, scores = self.scorer.best(places[known], n, exclude_seen, candidates,
                                        exclude=None if excluded is None else excluded[known], **more)
        lists = (recommendations(ids, *of_user) for of_user in zip(best, scores))
        popular = lru_cache(None)(partial(self._listed, self._popularity, candidates, n, new))
        lists = [next(lists) if each else Recommendations(*map(np.copy, popular(
            () if excluded is None else tuple(excluded[row].indices)))) for row, each in enumerate(known)]
        if not found.ndim:
            return lists[0]
        ids, of_users = distinct(users, "users")
        return RecommendationLists(ids[of_users], lists)

    @cached_property
    def _popular(self):
        """`Biases` with the items' offsets; with their popularity if missing entries count."""
        return self._with_more(popularity_of(self.rating_matrix, self.missing_rating) if self.missing_rating is not None
                               else self.biases_of_fit or biases_of(self.rating_matrix))

    def _popularity(self, items):
        """The outputs for users without anything."""
        return self._popular.mean + self._popular.items[items]

    def _candidates(self, n, exclude_seen, items, exclude, new):
        """Check the arguments of lists: how many items to list, and the candidates."""
        n = check_count(n, "n")
        check_bool(exclude_seen, "exclude_seen")
        if new not in (None, 0):
            check_count(new, "new", ", 0 or None", n)
            if ITEMS not in self.features:
                raise ValueError("new is %d, and fit had no item_features, by which items without ratings are ranked; "
                                 "leave it out, or pass item_features to fit" % new)
        candidates = self._items.candidates(items, exclude)
        if new == 0:
            candidates = candidates[self.items_rated[candidates]]
        return min(n, max(1, len(candidates))), candidates  # no memory for more

    def _excluded(self, by_user, users):
        """A row for each of some users with entries at the items that are excluded for the user, CSR."""
        ids, of_users = distinct(np.atleast_1d(as_array(users)), "users")
        rows = positions(list(by_user), ids, "users of exclude")  # an error for strings among numbers
        items = [np.atleast_1d(as_array(each)).tolist() for each in by_user.values()]
        rows, columns = np.repeat(rows, list(map(len, items))), self._items.find(list(itertools.chain(*items)))
        kept = (rows >= 0) & (columns >= 0)
        return sp.csr_matrix((np.ones(np.count_nonzero(kept)), (rows[kept], columns[kept])),
                             (len(ids), len(self.items)))[of_users]

    def list_of_one(self, person, outputs, n, exclude_seen, items, exclude, new):
        """The `Recommendations` of a `PersonRatings` by outputs, a function of positions."""
        if isinstance(exclude, Mapping):
            raise TypeError("exclude is a dict; expected ids of items, since there is one user")
        n, candidates = self._candidates(n, exclude_seen, items, exclude, new)
        return self._listed(outputs, candidates, n, new, person.places if exclude_seen else ())

    def _listed(self, outputs, candidates, n, new, left_out):
        choose = self.scorer.choose(n, candidates, new) if self.features else best_of
        rows = np.zeros(len(left_out), np.intp), np.array(left_out, np.intp)
        popularity = self.scorer.popularity[candidates]
        best, scores = choose(outputs(candidates)[np.newaxis], n, candidates, rows, popularity)
        return recommendations(self.items[candidates], best[0], self.scorer.clip(scores[0]))

    def explain(self, user, item):
        """The `Explanation` of a user's score of an item, or a list of them for several."""
        u = self._user_with_ratings(user, "one of the users in fit with ratings, whose parts are told")
        return self._explain(self._person_of(u), lambda items: self.scorer.pairs(np.full(len(items), u), items),
                             lambda: self.scorer.scaling(np.array([u])), 1.0, item)

    def _explain(self, person, outputs, scaling, share, item):
        """As `explain`, of a `PersonRatings` that has a share in its outputs."""
        places = self._known_items(item)
        items = np.atleast_1d(places)
        known = self.items_rated[items]
        rated, parts = items[known], np.zeros((len(person.places), len(items)))
        if len(person.places) and len(rated):
            used = zip(self.scorer.used(), scaling()) if self._is_ensemble else ()
            parts[:, known] = share * sum([scale * member.parts(person, rated) for (member, _), (_, scale) in used] + [
                weight * fold_in.parts(person, rated)
                for (_, weight), fold_in in zip(self.scorer.used(), self._fold_ins)])
        found = [explanation(self.items[person.places], *each) for each in zip(parts.T, outputs(items))]
        for at in np.flatnonzero(~known):
            found[at] = self._explained_by_attributes(outputs, items[at:at + 1])
        return found if places.ndim else found[0]

    def _explained_by_attributes(self, outputs, item):
        """The `Explanation` of a new item, at one position: by the names of its attributes."""
        columns, parts = self.scorer.parts_of_new(outputs(np.flatnonzero(self.items_rated)), item[0])
        return explanation(np.array(self.features[ITEMS].names)[columns], parts, outputs(item)[0])

    def vectors(self):
        """The `Vectors` of users and items with ratings."""
        rated = self.rating_matrix
        users, items = np.flatnonzero(rated.users_rated), np.flatnonzero(rated.items_rated)
        found = self.scorer.vectors(users, items)
        if found is None:
            raise ValueError("these scores aren't products of vectors of users and items; fit with %s" % (
                "network='factors', 'explicit' or 'filter'" if self._is_ensemble else
                "network='shallow', or another one whose output is linear, such as Shallow(f='identity')"))
        return Vectors(self.users[users], self.items[items], *found)

    def _person_of(self, user):
        """The `PersonRatings` of a known user, at a position."""
        row = self.rating_matrix.of_users(np.array([user]))
        places, ratings = row.indices, row.data.astype(np.float64)
        if self.biases is None or self.missing_rating is not None:
            return PersonRatings(places, ratings)
        if self.biases.slopes is not None:
            ratings -= self.biases.slopes.at(np.full(len(places), user), places)
        return PersonRatings(places, ratings, self.biases.users[user])

    def _user_with_ratings(self, user, expected):
        """The position of a single user who had a rating in `fit`; or an error that says what was expected."""
        if not is_single(user, "user"):
            raise TypeError("user is %r; expected a single id" % (user,))
        place = int(self._users.find(user))
        if place < 0 or not self.users_rated[place]:
            raise ValueError("%s; expected %s" % (self._users.without_rating(user, -1), expected))
        return place

    def similar_items(self, item, n=10, items=None):
        """The `Recommendations` of the items that are most similar to one, or a list of them for several."""
        n = check_count(n, "n")
        places, every, candidates = self._known_items(item), self.candidates, self._items.candidates(items)
        found, popularity = [], self.scorer.popularity[candidates]
        for place in np.atleast_1d(places):
            at = np.searchsorted(every, place)
            likeness = self._likeness(place, at, every)
            likeness[at] = -np.inf
            best = _best_of_one(likeness[np.searchsorted(every, candidates)], n, popularity)
            found.append(recommendations(self.items[candidates], *best))
        return found if places.ndim else found[0]

    def _known_items(self, item):
        """The places of an item or several, which all are known."""
        places = self._items.find(item)
        if (places < 0).any():
            raise ValueError("%s; expected an item with ratings, or attributes"
                             % self._items.without_rating(item, places))
        return places

    def users_for(self, item, n=10, users=None):
        """The `RankedUsers` of an item, or a list of them for several."""
        n = check_count(n, "n")
        places, candidates = self._known_items(item), self._users.candidates(users)
        best, scores = best_users(self.scorer, candidates, np.atleast_1d(places), n, self.are_rated)
        found = [RankedUsers(*recommendations(self.users[candidates], *each))
                 for each in zip(best, self.scorer.clip(scores))]
        return found if places.ndim else found[0]

    def are_rated(self, u, i):
        """Whether pairs of positions, -1 for unknown ones, were rated in `fit`, (n,)."""
        of_users, of_items = self.rating_matrix.counts  # others have attributes only
        rated = (u >= 0) & (i >= 0) & (u < len(of_users)) & (i < len(of_items))
        rated[rated] = self.rating_matrix.are_rated(u[rated], i[rated])
        return rated

    def similar_users(self, user, n=10):
        """The `RankedUsers` of one."""
        n = check_count(n, "n")
        place = self._user_with_ratings(user, "a user with ratings, to compare others with")
        known = np.flatnonzero(self.rating_matrix.users_rated)
        if self._is_ensemble:
            likeness = cosines(lambda: map(self.scorer.grid, self.scorer.blocks(known)),
                               self.scorer.grid(np.array([place]))[0])
        else:
            factors = self._heaviest().side_factors(known, USERS)
            likeness = cosines(lambda: [factors], factors[np.searchsorted(known, place)])
        likeness[np.searchsorted(known, place)] = -np.inf
        return RankedUsers(*recommendations(self.users[known], *_best_of_one(likeness, n)))

    def _heaviest(self):
        """The scorer with the largest weight."""
        return max(self.scorer.used() or [(self.scorer.scorers[0], 0.0)], key=lambda pair: pair[1])[0]

    def _likeness(self, place, at, candidates):
        """The similarity of each candidate to an item, whose position among them is `at`."""
        if self._is_ensemble and not self.items_rated[place]:
            return self.scorer.likeness_of_new(place)
        if self._is_ensemble:
            highest = np.array([self.rating_matrix.matrix.data.max()], np.float64)
            return self.scorer.grid_of_people([PersonRatings(np.array([place]), highest)])[0]
        scorer = self._heaviest()
        factors = (self.scorer.item_factors(scorer, candidates) if self.features else
                   scorer.side_factors(candidates, ITEMS))
        return cosines(lambda: [factors], factors[at])

    def score(self, ratings, y=None):
        """The objective's measure, an RMSE with a minus."""
        found = HeldOut(self, ratings, y, self.length(None), None).metrics(self.objective.measure)
        name, value = next(iter(found.items()))
        return -value if name == "rmse" else value

    def length(self, k="auto"):
        """The length of lists, `k`, or the objective's for "auto" and None; None if that is an RMSE's."""
        own = Metric.parse(self.objective.measure, "the objective's measure").k
        if is_auto(k):
            return own or 10
        return own if k is None else k

    def evaluate(self, ratings, y=None, k="auto", relevant=None, per_user=False, users="all", tell=None):
        """A dict of metrics, which `Recommender.evaluate` lists; call `tell` with a line if few users are judged."""
        k = self.length(k)
        of_lists = "per_user=True" if check_bool(per_user, "per_user") else "relevant" if relevant is not None else None
        if of_lists and k is None:
            raise ValueError("%s and k=None were given; expected a k, since it is lists that are judged" % of_lists)
        held = HeldOut(self, ratings, y, k, relevant, True, users)
        said = None if k is None else held.judge.few_judged(held.relevant)
        if tell and said:
            tell(said)
        return (held.judge.metrics(held.lists, k, users=held.ids, areas=held.areas) if per_user else
                held.metrics(self.objective.measure))


def _best_of_one(scores, n, popularity=None):
    """The rows of `best_of` for a single row of scores, (n,)."""
    best, found = best_of(scores[np.newaxis], min(n, max(1, len(scores))), popularity=popularity)
    return best[0], found[0]
