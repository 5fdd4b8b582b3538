"""Answers about users with ratings, or attributes."""
import itertools
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, List, Optional, overload

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import Id, check_bool, check_choice, check_count
from sparse_ae.data.columns import as_array
from sparse_ae.data.ids import distinct, one_of, positions, with_other_zeros
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.recommender.fitted_attributes import FittedAttributes
from sparse_ae.recommender.items import best_of_one, heaviest
from sparse_ae.runtime.progress import reporting, say
from sparse_ae.scoring.people import Explanation, RankedUsers, cosines, explanation
from sparse_ae.scoring.ranking import RecommendationLists, Recommendations, leave_out, recommendations


def popular_outputs(fitted, items):
    """The outputs for users without anything."""
    return fitted.popular.mean + fitted.popular.items[items]


def candidates_of(fitted, n, exclude_seen, items, exclude, new):
    """Check arguments of `recommend`: how many items to list, and the candidates."""
    n = check_count(n, "n")
    check_bool(exclude_seen, "exclude_seen")
    if new not in (None, 0):
        check_count(new, "new", ", 0 or None", n)
        if ITEMS not in fitted.features:
            raise ValueError("new is %d, and fit had no item_features, by which items without ratings are ranked; "
                             "leave it out, or pass item_features to fit" % new)
    candidates = fitted.item_catalogue.candidates(items, exclude)
    if new == 0:
        candidates = candidates[fitted.items_rated[candidates]]
    return min(n, max(1, len(candidates))), candidates  # no memory for more


def _excluded(fitted, by_user, users):
    """A row for each of some users with entries at the items that are excluded for the user, CSR."""
    ids, of_users = distinct(np.atleast_1d(as_array(users)), "users")
    rows = positions(list(by_user), ids, "users of exclude")  # an error for strings among numbers
    items = [np.atleast_1d(as_array(each)).tolist() for each in by_user.values()]
    rows, columns = np.repeat(rows, list(map(len, items))), fitted.item_catalogue.find(list(itertools.chain(*items)))
    kept = (rows >= 0) & (columns >= 0)
    return sp.csr_matrix((np.ones(np.count_nonzero(kept)), (rows[kept], columns[kept])),
                         (len(ids), len(fitted.items)))[of_users]


def listed(fitted, outputs, candidates, n, new, left_out):
    """The `Recommendations` of one user by outputs, a function of positions, but for some items."""
    grid = outputs(candidates)[np.newaxis]
    leave_out(grid, candidates, np.zeros(len(left_out), np.intp), np.array(left_out, np.intp))
    best, scores = fitted.scorer.first(grid, n, candidates, new)
    return recommendations(fitted.items[candidates], best[0], fitted.scorer.clip(scores[0]))


def explained(fitted, person, outputs, scaling, share, item):
    """As `explain`, of a `PersonRatings` that has a share in its outputs."""
    places = fitted.known_items(item)
    items = np.atleast_1d(places)
    known = fitted.items_rated[items]
    rated, parts = items[known], np.zeros((len(person.places), len(items)))
    if len(person.places) and len(rated):
        used, weights = zip(*fitted.scorer_of_fit.used()) if fitted.scorer_of_fit.used() else ((), ())
        scaled = zip(used, (scale for _, scale in scaling())) if fitted.is_ensemble else zip(fitted.fold_ins, weights)
        parts[:, known] = share * sum(weight * each.parts(person, rated) for each, weight in scaled)
    found = [explanation(fitted.items[person.places], *each) for each in zip(parts.T, outputs(items))]
    for at in np.flatnonzero(~known):
        columns, parts = fitted.scorer.parts_of_new(outputs(np.flatnonzero(fitted.items_rated)), items[at])
        found[at] = explanation(np.array(fitted.features[ITEMS].names)[columns], parts, outputs(items[[at]])[0])
    return found if places.ndim else found[0]


class KnownUsers(FittedAttributes):
    """Base of `Recommender`."""

    def predict(self, users: Any, items: Any = None) -> Any:
        """Predict ratings of pairs of users and items.

        Parameters
        ----------
        users, items : ids, or array_like of ids, shape (n,)
            One of the two may be a single id, for all of the other. Without `items`, `users` is a table or an array of
            pairs, (n, 2): the X of scikit-learn.

        Returns
        -------
        numpy.ndarray, shape (n,); a float for two single ids
            In the ratings' unit, clipped to `rating_scale_`, in the order asked for. Pairs that were rated in `fit` are
            predicted like others. With "lists" or "clicks" as the objective they are scores to rank by, not ratings.

        Raises
        ------
        ValueError
            For columns of different lengths, and, with ``unknown="error"``, for pairs without ratings in `fit`.

        Notes
        -----
        In residual mode, if only one of the two has ratings in `fit`, the prediction is the mean plus that one's
        offset. For scores ``unknown="mean"`` is `missing_rating_`.

        Examples
        --------
        >>> print(recommender.predict(["cem", "eve"], "tea").round(1))
        [4.8 3.7]
        >>> round(recommender.predict("dan", "ale"), 1)
        2.9
        """
        fitted = self._answering()
        u, i = fitted.pairs(users, items)
        predicted = fitted.predicted(u, i)
        return predicted if predicted.ndim else float(predicted)

    @overload
    def recommend(self, users: Id, n: int = ..., exclude_seen: bool = ..., items: Any = ..., exclude: Any = ...,
                  unknown: str = ..., new: Optional[int] = ...) -> Recommendations: ...
    @overload
    def recommend(self, users: Any, n: int = ..., exclude_seen: bool = ..., items: Any = ..., exclude: Any = ...,
                  unknown: str = ..., new: Optional[int] = ...) -> RecommendationLists: ...

    @reporting
    def recommend(self, users, n=10, exclude_seen=True, items=None, exclude=None, unknown="auto", new=None):
        """List the items with the highest predicted ratings.

        Parameters
        ----------
        users : an id, or array_like of ids, shape (n_users,)
        n : int
            Number of items; fewer if no more can be recommended.
        exclude_seen : bool
            Whether to leave out items that the user rated in `fit`.
        items : array_like of ids, optional
            Recommend only these. Unknown ids, without a rating in `fit`, are ignored, unless all are.
        exclude : array_like of ids, or dict of user id to array_like of ids, optional
            Recommend none of these to any user, such as items that are sold out; or none of these to that user, such as
            those bought in the last 30 days, with ``exclude_seen=False``. Unknown ids are ignored.
        unknown : {"auto", "popular", "error"}
            What a user gets who isn't among `users_`: the most popular items, or an error. "auto" is an error for a
            single user and with the setting ``unknown="error"``; among several users it is the most popular items, and
            a line on stderr.
        new : int, optional
            How many of the n places, the last ones, are kept for items without ratings in `fit` that have attributes;
            0 lists none. By default it is the share that new items had in the last tenth of the ratings of `fit`, if
            these have times, else a tenth of n; at least 1 for lists of ten or more.

        Returns
        -------
        Recommendations; for several users RecommendationLists
            The latter is a sequence of Recommendations, one for each user in the order asked for, and has `users`,
            `items` and `scores` itself. Both have `to_frame`, which needs pandas. Items are ordered by the model's
            output before it is clipped to the rating scale, of equal ones the most rated first. Scores are those of
            `predict`, with objective="lists" or "clicks" to rounding. Those of new items, which come last, by their own
            order, are regressions on attributes, which don't compare with those of other items. Where there are too few
            of one kind, more of the other are listed.

        Raises
        ------
        ValueError
            For a user who isn't among `users_` (see `unknown`, and `fold_in`), and, with the setting
            ``unknown="error"``, for an item without a rating in `fit`; if all ids in `items` are unknown, as those
            of another form are; for a `new` above n, or where `fit` had no `item_features`.

        Notes
        -----
        A user who is among `users_` but had no rating in `fit` (see `users_rated_`) gets the items with the highest
        biases, which are shrunk for items with few ratings; with objective="lists" or "clicks" the most popular items.
        New items among them are those whose attributes say so.

        Examples
        --------
        >>> shop.recommend("cid", n=2, items=["cup", "jam", "oil"]).items.tolist()
        ['oil', 'cup']
        >>> [found.items.tolist() for found in shop.recommend(["bob", "dan"], n=2)]
        [['jam', 'cup'], ['pot', 'jam']]
        """
        fitted, by_user = self._answering(), exclude if isinstance(exclude, Mapping) else {}
        check_choice(unknown, "unknown", ("auto", "popular", "error"))
        n, candidates = candidates_of(fitted, n, exclude_seen, items, None if by_user else exclude, new)
        found, excluded = fitted.user_catalogue.find(users), _excluded(fitted, by_user, users) if by_user else None
        if (found < 0).any():  # without a rating in fit, or not even among `users_`
            are_users = (found >= 0) | (positions(users, fitted.user_catalogue.of_fit, "users") >= 0)
            first = None if are_users.all() else one_of(users, int(np.argmin(are_users)))
            strict = unknown == "error" or unknown == "auto" and (not found.ndim or fitted.unknown == "error")
            if first is not None and strict:
                raise ValueError("%s; pass the user's ratings to fold_in, leave the user out, or pass "
                                 "unknown='popular' for the most popular items"
                                 % fitted.user_catalogue.without_rating(first, -1))
            if first is not None and unknown == "auto" and self.progress:
                say("%d of %d users had no rating in fit, such as %r%s, and get the most popular items"
                    % (np.count_nonzero(~are_users), len(are_users), first, with_other_zeros(first, fitted.users)))
        places, ids = np.atleast_1d(found), fitted.items[candidates]
        known = places >= 0
        best, scores = fitted.scorer.best(places[known], n, exclude_seen, candidates, new=new,
                                          exclude=None if excluded is None else excluded[known])
        lists = (recommendations(ids, *of_user) for of_user in zip(best, scores))
        popular = lru_cache(None)(partial(listed, fitted, partial(popular_outputs, fitted), candidates, n, new))
        lists = [next(lists) if each else Recommendations(*map(np.copy, popular(
            () if excluded is None else tuple(excluded[row].indices)))) for row, each in enumerate(known)]
        if not found.ndim:
            return lists[0]
        ids, of_users = distinct(users, "users")
        return RecommendationLists(ids[of_users], lists)

    @overload
    def explain(self, user: Id, item: Id) -> Explanation: ...
    @overload
    def explain(self, user: Id, item: Any) -> List[Explanation]: ...

    def explain(self, user, item):
        """Tell which of a user's ratings speak for an item, and which against it.

        Parameters
        ----------
        user : an id
        item : an id, or array_like of ids, shape (n_items,)
            With ratings in `fit`, or with attributes. The user need not have rated the item.

        Returns
        -------
        Explanation; a list of them for several items, in their order
            The ids of the rated items, by their parts in the score, descending; the `rest` of the score; and
            `to_frame`, which needs pandas. Parts and rest add up to the score: the prediction of `predict` before it is
            clipped. Of an item without ratings its attributes, such as "genre=Drama", take the place of rated items.

        Raises
        ------
        TypeError, ValueError
            For several users, for a user without a rating in `fit`, and for an unknown item.

        Notes
        -----
        Parts are exact for "ease", "local" and "filter", whose scores are sums over ratings, and for "factors" and
        "explicit", where it is given which items are rated. So are the means and standard deviations that an ensemble
        scales a user's scores by; means are in the rest. A part of an autoencoder is the output by `fold_in` minus that
        without the rating, where a user's biases are given. With items as rows and a linear f all parts come from one
        system of equations; with another f, or with l2=0, the user is folded in as often as there are ratings, which
        takes seconds. Several items take hardly more time than one.

        Examples
        --------
        >>> reasons = shop.explain("bob", "jam")
        >>> print(reasons.items, reasons.parts.round(1), round(reasons.score, 1))
        ['pot' 'tea'] [1.3 1.1] 1.5
        """
        fitted = self._answering()
        u = fitted.user_with_ratings(user, "one of the users in fit with ratings, whose parts are told")
        return explained(fitted, fitted.person_of(u), lambda items: fitted.scorer.pairs(np.full(len(items), u), items),
                         lambda: fitted.scorer_of_fit.scaling(np.array([u])), 1.0, item)

    def similar_users(self, user: Id, n: int = 10) -> RankedUsers:
        """List the n users with ratings in `fit` who are most similar to one of them.

        Parameters
        ----------
        user : an id
        n : int

        Returns
        -------
        RankedUsers
            Scores are cosines of the users' mean-centred factors, as in `similar_items`; with an ensemble of their
            mean-centred scores of all items, which takes twice the time of lists for all users.
        """
        fitted = self._answering()
        n = check_count(n, "n")
        place = fitted.user_with_ratings(user, "a user with ratings, to compare others with")
        known = np.flatnonzero(fitted.rating_matrix.users_rated)
        if fitted.is_ensemble:
            likeness = cosines(lambda: map(fitted.scorer.grid, fitted.scorer.blocks(known)),
                               fitted.scorer.grid(np.array([place]))[0])
        else:
            factors = heaviest(fitted).side_factors(known, USERS)
            likeness = cosines(lambda: [factors], factors[np.searchsorted(known, place)])
        likeness[np.searchsorted(known, place)] = -np.inf
        return RankedUsers(*recommendations(fitted.users[known], *best_of_one(likeness, n)))
