"""Answers about users with ratings, or attributes: functions of a `FitResult` that `answers` documents."""
import itertools
from collections.abc import Mapping
from functools import lru_cache, partial

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_bool, check_choice, check_count
from sparse_ae.data.columns import as_array
from sparse_ae.data.ids import distinct, one_of, positions, with_other_zeros
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.recommender.items import best_of_one, heaviest
from sparse_ae.scoring.people import RankedUsers, cosines, explanation
from sparse_ae.scoring.ranking import ListArguments, RecommendationLists, Recommendations, leave_out, recommendations


def predict(fitted, users, items=None):
    """Predictions of pairs: (n,), or a float for two single ids."""
    u, i = fitted.pairs(users, items)
    predicted = fitted.predicted(u, i, fitted.scorer.pairs)
    return predicted if predicted.ndim else float(predicted)


def recommend(fitted, users, asked=ListArguments(), unknown="auto", tell=None):
    """The `Recommendations` of a user, or the `RecommendationLists` of several; see `Recommender.recommend`."""
    check_choice(unknown, "unknown", ("auto", "popular", "error"))
    by_user = asked.exclude if isinstance(asked.exclude, Mapping) else {}
    n, candidates = _candidates(fitted, asked._replace(exclude=None) if by_user else asked)
    found, excluded = fitted.user_catalogue.find(users), _excluded(fitted, by_user, users) if by_user else None
    if (found < 0).any():  # without a rating in fit, or not even among `users_`
        listed = (found >= 0) | (positions(users, fitted.user_catalogue.of_fit, "users") >= 0)
        first = None if listed.all() else one_of(users, int(np.argmin(listed)))
        strict = unknown == "error" or unknown == "auto" and (not found.ndim or fitted.unknown == "error")
        if first is not None and strict:
            raise ValueError("%s; pass the user's ratings to fold_in, leave the user out, or pass "
                             "unknown='popular' for the most popular items"
                             % fitted.user_catalogue.without_rating(first, -1))
        if first is not None and unknown == "auto" and tell is not None:
            tell("%d of %d users had no rating in fit, such as %r%s, and get the most popular items"
                 % (np.count_nonzero(~listed), len(listed), first, with_other_zeros(first, fitted.users)))
    places, ids = np.atleast_1d(found), fitted.items[candidates]
    known = places >= 0
    best, scores = fitted.scorer.best(places[known], n, asked.exclude_seen, candidates, new=asked.new,
                                      exclude=None if excluded is None else excluded[known])
    lists = (recommendations(ids, *of_user) for of_user in zip(best, scores))
    popular = lru_cache(None)(partial(_listed, fitted, partial(popular_outputs, fitted), candidates, n, asked.new))
    lists = [next(lists) if each else Recommendations(*map(np.copy, popular(
        () if excluded is None else tuple(excluded[row].indices)))) for row, each in enumerate(known)]
    if not found.ndim:
        return lists[0]
    ids, of_users = distinct(users, "users")
    return RecommendationLists(ids[of_users], lists)


def popular_outputs(fitted, items):
    """The outputs for users without anything."""
    return fitted.popular.mean + fitted.popular.items[items]


def _candidates(fitted, asked):
    """Check `ListArguments`: how many items to list, and the candidates."""
    n, new = check_count(asked.n, "n"), asked.new
    check_bool(asked.exclude_seen, "exclude_seen")
    if new not in (None, 0):
        check_count(new, "new", ", 0 or None", n)
        if ITEMS not in fitted.features:
            raise ValueError("new is %d, and fit had no item_features, by which items without ratings are ranked; "
                             "leave it out, or pass item_features to fit" % new)
    candidates = fitted.item_catalogue.candidates(asked.items, asked.exclude)
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


def list_of_one(fitted, person, outputs, asked):
    """The `Recommendations` of a `PersonRatings` by outputs, a function of positions."""
    if isinstance(asked.exclude, Mapping):
        raise TypeError("exclude is a dict; expected ids of items, since there is one user")
    n, candidates = _candidates(fitted, asked)
    return _listed(fitted, outputs, candidates, n, asked.new, person.places if asked.exclude_seen else ())


def _listed(fitted, outputs, candidates, n, new, left_out):
    grid = outputs(candidates)[np.newaxis]
    leave_out(grid, candidates, np.zeros(len(left_out), np.intp), np.array(left_out, np.intp))
    best, scores = fitted.scorer.first(grid, n, candidates, new)
    return recommendations(fitted.items[candidates], best[0], fitted.scorer.clip(scores[0]))


def explain(fitted, user, item):
    """The `Explanation` of a user's score of an item, or a list of them for several."""
    u = fitted.user_with_ratings(user, "one of the users in fit with ratings, whose parts are told")
    return explained(fitted, fitted.person_of(u), lambda items: fitted.scorer.pairs(np.full(len(items), u), items),
                     lambda: fitted.scorer_of_fit.scaling(np.array([u])), 1.0, item)


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
        found[at] = _explained_by_attributes(fitted, outputs, items[at:at + 1])
    return found if places.ndim else found[0]


def _explained_by_attributes(fitted, outputs, item):
    """The `Explanation` of a new item, at one position: by the names of its attributes."""
    columns, parts = fitted.scorer.parts_of_new(outputs(np.flatnonzero(fitted.items_rated)), item[0])
    return explanation(np.array(fitted.features[ITEMS].names)[columns], parts, outputs(item)[0])


def similar_users(fitted, user, n=10):
    """The `RankedUsers` of one."""
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
