"""New users of a `FitResult`, who are folded in: by their ratings, their attributes, or both."""
import itertools
from functools import lru_cache, partial

import numpy as np

from sparse_ae.checks import are_on_scale, error_at, is_number
from sparse_ae.data.attributes import unknown_line
from sparse_ae.data.side import USERS
from sparse_ae.data.tables import from_counts
from sparse_ae.scoring.fold_in import NewUser
from sparse_ae.scoring.people import PersonRatings

# A new user's attributes count as so many ratings.
_AS_RATINGS = 2

_NO_RATINGS = PersonRatings(np.zeros(0, np.intp), np.zeros(0))


class NewUsers:
    """The part of `FitResult` for users who weren't in `fit`."""

    def fold_in(self, ratings, features=None, tell=None):
        """A `NewUser` of a dict of ratings, or a list of them."""
        several = isinstance(ratings, (list, tuple))
        people = self._people(ratings) if several else [self._person_ratings(ratings)]
        given = features if several else [features]
        if features is None:
            given = [None] * len(people)
        elif USERS not in self.features:
            raise ValueError("features were given, and fit had no user_features; leave them out, or pass user_features "
                             "to fit")
        if not isinstance(given, (list, tuple)) or len(given) != len(people):
            raise ValueError("ratings are a list of %d users, and features %s; expected a list of as many"
                             % (len(people), type(given).__name__))
        unknown = set()
        rows = [None if each is None else self.scorer.by_side[USERS].row(self.features[USERS].of(each, unknown))
                for each in given]
        if unknown and tell is not None:
            tell(unknown_line("features", unknown))
        folded = self._folded(people, rows)
        return folded if several else folded[0]

    def _people(self, ratings):
        """Check a list of dicts of ratings: a list of `PersonRatings`."""
        people = []
        for entry, each in enumerate(ratings):
            try:
                people.append(self._person_ratings(each))
            except (TypeError, ValueError) as error:
                raise error_at("entry %d" % entry, error) from None
        return people

    def _person_ratings(self, ratings):
        """Check a user's dict of ratings: a `PersonRatings`."""
        low, high = self.rating_scale
        if not hasattr(ratings, "items") or not callable(ratings.items):
            raise TypeError("ratings are %s; expected a dict of item id to rating, such as {%r: %g}, or a list of such "
                            "dicts" % (type(ratings).__name__, self.items[0].item(), 3 if self.is_counts else high))
        pairs = list(ratings.items())  # a Series has no method `values`
        items = [item.item() if isinstance(item, np.generic) else item for item, _ in pairs]
        values = [value for _, value in pairs]
        for item, value in zip(items, values):
            if not is_number(value):
                raise TypeError("the rating of item %r is %r; expected a finite number" % (item, value))
        places, values = self._items.find(items), np.array(values, dtype=np.float64)
        on_scale = are_on_scale(values, (low, high))
        if self.is_counts:
            values = from_counts(values)
        elif not on_scale.all():
            wrong = int(np.argmin(on_scale))
            raise ValueError("the rating of item %r is %g; expected one within the rating scale, %g to %g"
                             % (items[wrong], values[wrong], low, high))
        self._items.check_known(items, places, "ignored")
        if len(items) and not (places >= 0).any():
            raise ValueError("none of the %d rated items, such as %.60r, had a rating in fit, or attributes; expected "
                             "at least one such item, or {}, which gives the most popular items"
                             % (len(items), items[0]))
        order = np.argsort(places)[np.count_nonzero(places < 0):]
        return PersonRatings(places[order], values[order])

    def _folded(self, people, rows):
        """A `NewUser` of each `PersonRatings`, and its row of attributes or None: a list."""
        beside = [[(each, *self._beside_biases(each)) for each in self._folded_for(person)] for person in people]
        by_ratings, folded = self._outputs_by_ratings(list(itertools.chain(*beside))), []
        for person, row, folded_for in zip(people, rows, beside):
            of_ratings = [next(by_ratings) for _ in folded_for]
            known = self.items_rated[person.places]
            n = np.count_nonzero(known) or len(person.places) * (len(of_ratings) > 0)
            biases, residuals = folded_for[0][1:] if known.any() else self._beside_biases(_NO_RATINGS)
            outputs = self._with_attributes(of_ratings, n, row)
            share = 1.0 if row is None else n / (n + _AS_RATINGS)  # of the ratings in the outputs
            explain = partial(self._explain, residuals, outputs, lambda residuals=residuals:
                              self.scorer.scaling_of_people([residuals]), share)
            folded.append(NewUser(self._items, person, outputs, self.scorer.clip, self._for_unknown, biases, explain,
                                  partial(self.list_of_one, person, outputs)))
        return folded

    def _folded_for(self, person):
        """Who is folded in for a `PersonRatings`: one with the ratings of known items; if all are new, people with one
        item each, the known ones that are most like these."""
        places, ratings = person[:2]
        known = self.items_rated[places]
        if known.any():
            return [PersonRatings(places[known], ratings[known])]
        return [PersonRatings(np.array([other]), np.array([rating])) for place, rating in zip(places, ratings)
                for other in self.scorer.most_alike(place)]

    def _outputs_by_ratings(self, beside):
        """Iterate over the outputs, functions of positions, of people with ratings."""
        if self._is_ensemble:
            return self._scores_of([person for person, _, _ in beside])
        by_model = [fold_in([residuals for *_, residuals in beside]) for fold_in in self._fold_ins]
        return map(self._outputs_of, beside, zip(*by_model) if by_model else [()] * len(beside))

    def _with_attributes(self, of_ratings, n, row):
        """Outputs of a new user with n ratings: the mean of those of ratings, those of attributes, or both; else the
        popularity."""
        parts = [(each, n / len(of_ratings)) for each in of_ratings]
        if row is not None:
            parts.append((self.scorer.from_known(lambda known: self.scorer.of_new_users(row)[0]), _AS_RATINGS))
        if len(parts) < 2:
            return parts[0][0] if parts else self._popularity
        return lambda items: sum(weight * each(items) for each, weight in parts) / sum(weight for _, weight in parts)

    def _beside_biases(self, person):
        """The `Biases` of a new user, or None, and the `PersonRatings` that models fold in beside them."""
        if self.biases is None or self.missing_rating is not None or not len(person.places):
            return self.biases and self.biases._replace(users=np.zeros(1), slopes=None), person
        biases, ratings = self.biases.of_person(person.places, person.ratings)
        return biases, PersonRatings(person.places, ratings, biases.users[0])

    def _scores_of(self, people):
        """Iterate over the ensemble's scores of new users: functions of positions. The scores of a block of users are
        computed together, once, when they are asked for."""
        for block in self.scorer.blocks(people):
            grid = lru_cache(None)(partial(self.scorer.grid_of_people, block))
            for row in range(len(block)):
                yield lambda items, grid=grid, row=row: grid()[row, self.scorer.places[items]]

    def _outputs_of(self, beside, folded):
        """A new user's outputs, a function of positions, from those of each model with a weight."""
        biases, weights = beside[1], [weight for _, weight in self.scorer.used()]

        def outputs(items):
            models = sum(weight * of_person(items) for weight, of_person in zip(weights, folded))
            return models if biases is None else (
                biases.at(np.zeros(len(items), int), items) + models).astype(self.scorer.dtype)

        return self.scorer.from_known(outputs) if self.features else outputs
