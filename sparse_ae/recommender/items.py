"""Answers about items: functions of a `FitResult` that `answers` documents."""
import numpy as np

from sparse_ae.checks import check_count
from sparse_ae.data.side import ITEMS
from sparse_ae.scoring.people import PersonRatings, RankedUsers, Vectors, best_users, cosines
from sparse_ae.scoring.ranking import best_of, recommendations


def similar_items(fitted, item, n=10, items=None):
    """The `Recommendations` of the items that are most similar to one, or a list of them for several."""
    n = check_count(n, "n")
    places, every, candidates = fitted.known_items(item), fitted.candidates, fitted.item_catalogue.candidates(items)
    found, popularity = [], fitted.scorer.popularity[candidates]
    for place in np.atleast_1d(places):
        at = np.searchsorted(every, place)
        likeness = _likeness(fitted, place, at, every)
        likeness[at] = -np.inf
        best = best_of_one(likeness[np.searchsorted(every, candidates)], n, popularity)
        found.append(recommendations(fitted.items[candidates], *best))
    return found if places.ndim else found[0]


def users_for(fitted, item, n=10, users=None):
    """The `RankedUsers` of an item, or a list of them for several."""
    n = check_count(n, "n")
    places, candidates = fitted.known_items(item), fitted.user_catalogue.candidates(users)
    best, scores = best_users(fitted.scorer, candidates, np.atleast_1d(places), n, fitted.are_rated)
    found = [RankedUsers(*recommendations(fitted.users[candidates], *each))
             for each in zip(best, fitted.scorer.clip(scores))]
    return found if places.ndim else found[0]


def vectors(fitted):
    """The `Vectors` of users and items with ratings."""
    rated = fitted.rating_matrix
    users, items = np.flatnonzero(rated.users_rated), np.flatnonzero(rated.items_rated)
    found = fitted.scorer_of_fit.vectors(users, items)
    if found is None:
        raise ValueError("these scores aren't products of vectors of users and items; fit with %s" % (
            "network='factors', 'explicit' or 'filter'" if fitted.is_ensemble else
            "network='shallow', or another one whose output is linear, such as Shallow(f='identity')"))
    return Vectors(fitted.users[users], fitted.items[items], *found)


def heaviest(fitted):
    """The scorer with the largest weight."""
    return max(fitted.scorer_of_fit.used() or [(fitted.scorer_of_fit.scorers[0], 0.0)], key=lambda pair: pair[1])[0]


def _likeness(fitted, place, at, candidates):
    """The similarity of each candidate to an item, whose position among them is `at`."""
    if fitted.is_ensemble and not fitted.items_rated[place]:
        return fitted.scorer.likeness_of_new(place)
    if fitted.is_ensemble:
        highest = np.array([fitted.rating_matrix.matrix.data.max()], np.float64)
        return fitted.scorer.grid_of_people([PersonRatings(np.array([place]), highest)])[0]
    scorer = heaviest(fitted)
    factors = (fitted.scorer.item_factors(scorer, candidates) if fitted.features else
               scorer.side_factors(candidates, ITEMS))
    return cosines(lambda: [factors], factors[at])


def best_of_one(scores, n, popularity=None):
    """The rows of `best_of` for a single row of scores, (n,)."""
    best, found = best_of(scores[np.newaxis], min(n, max(1, len(scores))), popularity=popularity)
    return best[0], found[0]
