"""Answers about items."""
from typing import Any, List, overload

import numpy as np

from sparse_ae.checks import Id, check_count
from sparse_ae.data.side import ITEMS
from sparse_ae.recommender.fitted_attributes import FittedAttributes
from sparse_ae.scoring.people import PersonRatings, RankedUsers, Vectors, best_users, cosines
from sparse_ae.scoring.ranking import Recommendations, best_of, recommendations


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
    best, found = best_of(scores[np.newaxis], min(n, max(1, len(scores))), popularity)
    return best[0], found[0]


class Items(FittedAttributes):
    """Base of `Recommender`."""

    @overload
    def similar_items(self, item: Id, n: int = ..., items: Any = ...) -> Recommendations: ...
    @overload
    def similar_items(self, item: Any, n: int = ..., items: Any = ...) -> List[Recommendations]: ...

    def similar_items(self, item, n=10, items=None):
        """List the n items that are most similar to an item.

        Parameters
        ----------
        item : an id, or array_like of ids, shape (n_items,)
            With a rating in `fit`, or with attributes.
        n : int
        items : array_like of ids, optional
            List only these; unknown ids as in `recommend`.

        Returns
        -------
        Recommendations; a list of them for several items, in their order
            Scores are cosines, from -1 to 1, of the items' mean-centred factors, from the model with the larger weight:
            hidden units with items as rows, rows of the decoder, W, with users as rows. An ensemble's are the scores of
            a user who has rated only this item, with the highest rating; of an item without ratings they are cosines of
            attributes. Of equal ones the most rated come first.

        Examples
        --------
        >>> shop.similar_items("tea", n=2).items.tolist()
        ['pot', 'cup']
        """
        fitted = self._answering()
        n = check_count(n, "n")
        places, candidates = fitted.known_items(item), fitted.item_catalogue.candidates(items)
        found, every, popularity = [], fitted.scorer.candidates, fitted.scorer.popularity[candidates]
        for place in np.atleast_1d(places):
            at = np.searchsorted(every, place)
            likeness = _likeness(fitted, place, at, every)
            likeness[at] = -np.inf
            best = best_of_one(likeness[np.searchsorted(every, candidates)], n, popularity)
            found.append(recommendations(fitted.items[candidates], *best))
        return found if places.ndim else found[0]

    @overload
    def users_for(self, item: Id, n: int = ..., users: Any = ...) -> RankedUsers: ...
    @overload
    def users_for(self, item: Any, n: int = ..., users: Any = ...) -> List[RankedUsers]: ...

    def users_for(self, item, n=10, users=None):
        """List the n users with the highest predictions for an item, without those who rated it in `fit`.

        Parameters
        ----------
        item : an id, or array_like of ids, shape (n_items,)
            With a rating in `fit`, or with attributes.
        n : int
        users : array_like of ids, optional
            List only these, such as subscribers. Unknown ids as in `recommend`.

        Returns
        -------
        RankedUsers; a list of them for several items, in their order
            Scores and their order are as in `recommend`. An ensemble's scores have mean 0 and variance 1 for each user;
            predicted ratings are higher for generous users. With an ensemble it takes the time of lists for all these
            users, once for several items.

        Examples
        --------
        >>> shop.users_for("jam", n=2).users.tolist()
        ['eve', 'bob']
        """
        fitted = self._answering()
        n = check_count(n, "n")
        places, candidates = fitted.known_items(item), fitted.user_catalogue.candidates(users)
        best, scores = best_users(fitted.scorer, candidates, np.atleast_1d(places), n, fitted.are_rated)
        found = [RankedUsers(*recommendations(fitted.users[candidates], *each))
                 for each in zip(best, fitted.scorer.clip(scores))]
        return found if places.ndim else found[0]

    def vectors(self) -> Vectors:
        """Give vectors of users and items whose inner products are the scores, for an index such as Faiss's.

        Returns
        -------
        Vectors
            The ids of users and items with ratings, and an array for each of the two. Biases, and a user's mean score,
            are further columns. In an index of inner products a user's best items are those of `recommend`, rated ones
            among them, to rounding.

        Raises
        ------
        ValueError
            For networks whose scores aren't such products: those with a non-linear output, and ensembles with members
            other than "factors", "explicit" and "filter".

        Examples
        --------
        >>> users, items, of_users, of_items = recommender.vectors()
        >>> print((of_users[users == "cem"] @ of_items[items == "tea"][0]).round(1))
        [4.8]
        """
        fitted = self._answering()
        rated = fitted.rating_matrix
        users, items = np.flatnonzero(rated.users_rated), np.flatnonzero(rated.items_rated)
        found = fitted.scorer_of_fit.vectors(users, items)
        if found is None:
            raise ValueError("these scores aren't products of vectors of users and items; fit with %s" % (
                "network='factors', 'explicit' or 'filter'" if fitted.is_ensemble else
                "network='shallow', or another one whose output is linear, such as Shallow(f='identity')"))
        return Vectors(fitted.users[users], fitted.items[items], *found)
