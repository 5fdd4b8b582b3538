"""New users, who are folded in: by their ratings, their attributes, or both."""
import itertools
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, List, Optional, overload

import numpy as np

from sparse_ae.checks import Id, are_on_scale, error_at, is_number
from sparse_ae.data.attributes import unknown_line
from sparse_ae.data.side import USERS
from sparse_ae.data.tables import from_counts
from sparse_ae.recommender.fitted_attributes import FittedAttributes
from sparse_ae.recommender.known_users import candidates_of, explained, listed, popular_outputs
from sparse_ae.runtime.progress import reporting, say
from sparse_ae.scoring.people import Explanation, PersonRatings
from sparse_ae.scoring.ranking import Recommendations
from sparse_ae.scoring.scorer import predict_known

# A new user's attributes count as so many ratings.
_AS_RATINGS = 2

_NO_RATINGS = PersonRatings(np.zeros(0, np.intp), np.zeros(0))


class NewUser:
    """A user whose ratings came after `fit`, as `Recommender.fold_in` makes one.

    Attributes
    ----------
    items : numpy.ndarray of int64 or str, shape (n_rated,)
        The ids of the rated items, ascending.
    ratings : numpy.ndarray of float64, shape (n_rated,)

    Examples
    --------
    >>> new = shop.fold_in({"tea": 1, "pot": 2})
    >>> new.recommend(n=2).items.tolist(), new.predict("jam") > new.predict("rye")
    (['jam', 'cup'], True)
    >>> new.explain("jam").items.tolist()
    ['pot', 'tea']
    """

    def __init__(self, fitted, person, outputs, biases, residuals, share):
        self.items, self.ratings = fitted.items[person.places], person.ratings
        self._fitted, self._person, self._outputs, self._biases = fitted, person, outputs, biases
        self._residuals, self._share = residuals, share

    def predict(self, items: Any) -> Any:
        """Predict ratings of items, an array (n,), or of a single item, a float, as `Recommender.predict`."""
        fitted, places = self._fitted, self._fitted.item_catalogue.find(items)
        if self._biases is None:
            fitted.item_catalogue.check_known(items, places)
        predicted = predict_known(
            (np.zeros_like(places), places), (True, places >= 0), lambda _, items: self._outputs(items),
            self._biases and self._biases.at, fitted.for_unknown, fitted.scorer.clip)
        return predicted if predicted.ndim else float(predicted)

    def recommend(self, n: int = 10, exclude_seen: bool = True, items: Any = None, exclude: Any = None,
                  new: Optional[int] = None) -> Recommendations:
        """List the items with the highest predicted ratings. All arguments are those of `Recommender.recommend`."""
        if isinstance(exclude, Mapping):
            raise TypeError("exclude is a dict; expected ids of items, since there is one user")
        n, candidates = candidates_of(self._fitted, n, exclude_seen, items, exclude, new)
        return listed(self._fitted, self._outputs, candidates, n, new, self._person.places if exclude_seen else ())

    @overload
    def explain(self, item: Id) -> Explanation: ...
    @overload
    def explain(self, item: Any) -> List[Explanation]: ...

    def explain(self, item):
        """Tell which ratings speak for an item, or for each of several, as `Recommender.explain`. The rest includes the
        part of attributes."""
        return explained(self._fitted, self._residuals, self._outputs, lambda: (
            self._fitted.scorer_of_fit.scaling_of_people([self._residuals])), self._share, item)


def _person_ratings(fitted, ratings):
    """Check a user's dict of ratings: a `PersonRatings`."""
    low, high = fitted.rating_scale
    if not hasattr(ratings, "items") or not callable(ratings.items):
        raise TypeError("ratings are %s; expected a dict of item id to rating, such as {%r: %g}, or a list of such "
                        "dicts" % (type(ratings).__name__, fitted.items[0].item(), 3 if fitted.is_counts else high))
    pairs = list(ratings.items())  # a Series has no method `values`
    items = [item.item() if isinstance(item, np.generic) else item for item, _ in pairs]
    values = [value for _, value in pairs]
    for item, value in zip(items, values):
        if not is_number(value):
            raise TypeError("the rating of item %r is %r; expected a finite number" % (item, value))
    places, values = fitted.item_catalogue.find(items), np.array(values, dtype=np.float64)
    on_scale = are_on_scale(values, (low, high))
    if fitted.is_counts:
        values = from_counts(values)
    elif not on_scale.all():
        wrong = int(np.argmin(on_scale))
        raise ValueError("the rating of item %r is %g; expected one within the rating scale, %g to %g"
                         % (items[wrong], values[wrong], low, high))
    fitted.item_catalogue.check_known(items, places, "ignored")
    if len(items) and not (places >= 0).any():
        raise ValueError("none of the %d rated items, such as %.60r, had a rating in fit, or attributes; expected "
                         "at least one such item, or {}, which gives the most popular items"
                         % (len(items), items[0]))
    order = np.argsort(places)[np.count_nonzero(places < 0):]
    return PersonRatings(places[order], values[order])


def _folded(fitted, people, rows):
    """A `NewUser` of each `PersonRatings`, and its row of attributes or None: a list."""
    stand_ins = [[_beside_biases(fitted, each) for each in _stand_ins(fitted, person)] for person in people]
    by_ratings, folded = _outputs_by_ratings(fitted, list(itertools.chain(*stand_ins))), []
    for person, row, beside in zip(people, rows, stand_ins):
        of_ratings = [next(by_ratings) for _ in beside]
        known = fitted.items_rated[person.places]
        n = np.count_nonzero(known) or len(person.places) * (len(of_ratings) > 0)
        biases, residuals = beside[0] if known.any() else _beside_biases(fitted, _NO_RATINGS)
        share = 1.0 if row is None else n / (n + _AS_RATINGS)  # of the ratings in the outputs
        folded.append(NewUser(fitted, person, _with_attributes(fitted, of_ratings, n, row), biases, residuals, share))
    return folded


def _stand_ins(fitted, person):
    """Who is folded in for a `PersonRatings`: one with the ratings of known items; if all are new, people with one
    item each, the known ones that are most like these."""
    places, ratings = person[:2]
    known = fitted.items_rated[places]
    if known.any():
        return [PersonRatings(places[known], ratings[known])]
    return [PersonRatings(np.array([other]), np.array([rating])) for place, rating in zip(places, ratings)
            for other in fitted.scorer.most_alike(place)]


def _outputs_by_ratings(fitted, beside):
    """Iterate over the outputs, functions of positions, of people by pairs of `_beside_biases`."""
    people, weights = [person for _, person in beside], [weight for _, weight in fitted.scorer_of_fit.used()]
    if fitted.is_ensemble:  # the scores of a block are computed once
        for block in fitted.scorer.blocks(people):
            grid = lru_cache(None)(partial(fitted.scorer.grid_of_people, block))
            for row in range(len(block)):
                yield lambda items, grid=grid, row=row: grid()[row, fitted.scorer.places[items]]
        return

    def outputs(biases, folded, items):
        models = sum(weight * of_person(items) for weight, of_person in zip(weights, folded))
        return models if biases is None else (
            biases.at(np.zeros(len(items), int), items) + models).astype(fitted.scorer.dtype)

    for (biases, _), *folded in zip(beside, *[fold_in(people) for fold_in in fitted.fold_ins]):
        of_known = partial(outputs, biases, folded)
        yield fitted.scorer.from_known(of_known) if fitted.features else of_known


def _with_attributes(fitted, of_ratings, n, row):
    """Outputs of a new user with n ratings: means of those of ratings and those of attributes; else the popularity."""
    parts = [(each, n / len(of_ratings)) for each in of_ratings]
    if row is not None:
        parts.append((fitted.scorer.from_known(lambda known: row.dot(fitted.scorer.of_words)[0]), _AS_RATINGS))
    if len(parts) < 2:
        return parts[0][0] if parts else partial(popular_outputs, fitted)
    return lambda items: sum(weight * each(items) for each, weight in parts) / sum(weight for _, weight in parts)


def _beside_biases(fitted, person):
    """The `Biases` of a new user, or None, and the `PersonRatings` that models fold in beside them."""
    if fitted.biases is None or fitted.missing_rating is not None or not len(person.places):
        return fitted.biases and fitted.biases._replace(users=np.zeros(1), slopes=None), person
    biases, ratings = fitted.biases.of_person(person.places, person.ratings)
    return biases, PersonRatings(person.places, ratings, biases.users[0])


class NewUsers(FittedAttributes):
    """Base of `Recommender`."""

    @reporting
    def fold_in(self, ratings: Any, features: Any = None) -> Any:
        """Make a `NewUser` from the ratings of a user who was not in `fit`, without training.

        With users as rows the ratings go through the encoder. With items as rows the user's parameters are solved for:
        docs/explanation/fold-in.md.

        Parameters
        ----------
        ratings : dict of item id to rating, or list of such dicts
            Unknown items are ignored (with ``unknown="error"`` a ValueError names one).
            Items that only have attributes count if there are no others, by the known items that are most like them.
            A list of users is quicker than one at a time. A user without ratings, {}, gets the most
            popular items, or what the attributes say.
        features : dict of column to word, words or number, or list of words; for a list of ratings a list; optional
            Attributes of the user, if `fit` had `user_features`; None in a list stands for none. A line on stderr tells
            of unknown words.

        Returns
        -------
        NewUser; a list of them for a list, in its order
            With methods `predict` and `recommend`. The recommender isn't changed.

        Raises
        ------
        TypeError, ValueError
            For ratings that aren't a dict of numbers within the rating scale, or are all of unknown items, and for
            unknown columns. The message names the entry of a list, counted from 0.

        Examples
        --------
        >>> shop.fold_in({"tea": 1}).recommend(n=2).items.tolist()
        ['pot', 'cup']
        """
        fitted = self._answering()
        several = isinstance(ratings, (list, tuple))
        people, given = [], features if several else [features]
        for entry, each in enumerate(ratings if several else [ratings]):
            try:
                people.append(_person_ratings(fitted, each))
            except (TypeError, ValueError) as error:
                raise error_at("entry %d" % entry, error) if several else error from None
        if features is None:
            given = [None] * len(people)
        elif USERS not in fitted.features:
            raise ValueError("features were given, and fit had no user_features; leave them out, or pass user_features "
                             "to fit")
        if not isinstance(given, (list, tuple)) or len(given) != len(people):
            raise ValueError("ratings are a list of %d users, and features %s; expected a list of as many"
                             % (len(people), type(given).__name__))
        unknown = set()
        rows = [None if each is None else fitted.scorer.by_side[USERS].row(fitted.features[USERS].of(each, unknown))
                for each in given]
        if unknown and self.progress:
            say(unknown_line("features", unknown))
        folded = _folded(fitted, people, rows)
        return folded if several else folded[0]
