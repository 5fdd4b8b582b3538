"""Members of an ensemble of ranking models: closed forms, a class each, and trained autoencoders. Equation (2) is in
docs/explanation/blend.md."""
import operator
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.ease import TILE, EaseSystem, ItemWeights, LocalEaseSystem, SomeItemWeights, packed, unpacked
from sparse_ae.baselines.factors import FactorSystem, FilterSystem, ItemFactors, LowPass, factor_solver
from sparse_ae.baselines.lists import Popularity, fit_popular
from sparse_ae.checks import MOST, is_number
from sparse_ae.runtime.processors import cached_property
from sparse_ae.scoring.people import PersonRatings, stacked

#: The most items in EASE. A matrix of 8,192^2 numbers has 256 MB; there are three at once, and one thread inverts it in
#: half a minute. Scores for validation are no larger.
MOST_DENSE = 2 ** 13

# The most items with which EASE is a member of an ensemble: one thread inverts the matrix in 4 s.
_MOST_ITEMS = 2 ** 12

# The nearest items of each in local EASE; half as many where there are many items.
_NEAREST, _MANY_ITEMS = 100, 50000

# The models of closed forms, named tuples of arrays and numbers, as files name them.
_MODELS = {model.__name__: model for model in (Popularity, ItemWeights, SomeItemWeights, LowPass, ItemFactors)}


class Values(NamedTuple):
    """The parameters of equation (2), from ratings to the x of closed forms."""

    missing_rating: float
    unit: float
    power: int = 1

    @classmethod
    def of(cls, ratings, missing_rating, power=1):
        """Those for a CSR matrix of ratings; ValueError if all are `missing_rating`."""
        square = float(np.mean((ratings.data.astype(np.float64) - missing_rating) ** 2))
        if not square:
            raise ValueError("all ratings are %g, the assumed rating of missing entries; expected different ratings"
                             % missing_rating)
        return cls(float(missing_rating), float(np.sqrt(square)), int(power))

    def __call__(self, ratings):
        """x of a CSR matrix of ratings, float32."""
        data = (ratings.data.astype(np.float64) - self.missing_rating) / self.unit
        data = np.sign(data) * np.abs(data) ** self.power if self.power else np.ones(len(data))
        return sp.csr_matrix((data.astype(np.float32), ratings.indices, ratings.indptr), shape=ratings.shape)


class ClosedForm:
    """A closed-form model, and the ratings of the users it knows, (n_users, n_items). `system(x)` is computed once;
    `solve(system, knob)` makes a model for each value of the tuned parameter, a decay unless `knob_name` says other."""

    name, initial_weight, short_weight = "", 0.0, 0.0  # in an ensemble, before validation; where histories are short
    # From `first_knob` on knob * factor and knob / factor are tried; one is taken if rankings improve by more than
    # `worth` standard errors. A larger one takes up to `growth` times as long.
    knob_name, first_knob, factor, worth, growth, most_items = "l2", None, None, 0.0, 1.0, np.inf
    centred = False  # whether x is mean-centred ratings, instead of minus missing_rating, with power 1

    def __init__(self, model, values, knob, ratings):
        self.model, self.values, self.knob, self.ratings = model, values, knob, ratings

    @staticmethod
    def solve(system, knob):
        """A model."""
        return system.solve(knob)

    @staticmethod
    def expect(system, knobs):
        """Tell a system for which knobs it will be solved; the base class has no use for it."""

    @staticmethod
    def bounded(system, knob):
        """The knob that a system uses in the place of another; None where there is no knob."""
        return knob

    @classmethod
    def values_of(cls, ratings, missing_rating, power):
        """The `Values` of a CSR matrix of ratings."""
        if cls.centred:
            missing_rating, power = ratings.data.mean(dtype=np.float64), 1
            if not np.ptp(ratings.data):
                raise ValueError("all training ratings are %g; expected different ratings, or another network, since "
                                 "this one learns their differences" % missing_rating)
        return Values.of(ratings, missing_rating, power)

    def knowing(self, ratings):
        """The same model with other ratings of known users."""
        return type(self)(self.model, self.values, self.knob, ratings)

    def rounded(self):
        """The same, with the numbers that a file has."""
        model = self.model.rounded() if hasattr(self.model, "rounded") else self.model
        return type(self)(model, self.values, self.knob, self.ratings)

    def refitted(self, ratings, values=None):
        """The form with the same knob, fitted to other ratings, perhaps with other `Values`."""
        values = values or self.values
        model = self.solve(self.system(values(ratings)), self.knob)
        return type(self)(model, values, self.knob, ratings).rounded()

    def of_users(self, users):
        """Scores of all items for known users, (n, n_items)."""
        return self._scores(self.values(self.ratings[users]))

    def of_people(self, people, ratings):
        """As `of_users`, for new users."""
        return self._scores(self.values(ratings))

    def _scores(self, x):
        return self.model.scores(x)

    def parts(self, person, items):
        """The parts of a `PersonRatings` in the scores of items, (n_rated, n_items): those of each rating alone, whose
        sum they are."""
        alone = [PersonRatings(*each) for each in zip(person.places[:, np.newaxis], person.ratings[:, np.newaxis])]
        return np.concatenate([np.zeros((0, len(items)))] + [
            self.of_people(block, stacked(block, self.ratings.shape[1]))[:, items]
            for block in (alone[start:start + TILE] for start in range(0, len(alone), TILE))])

    def factors(self, users):
        """Factors of known users and of all items, whose products are scores; None where there are none."""

    @property
    def chosen(self):
        """The settings by name: a dict."""
        return {self.knob_name: self.knob, "power": self.values.power}

    def state(self):
        """A description, in JSON, and arrays by name."""
        description, arrays = {"kind": type(self.model).__name__, "numbers": {}, "shapes": {}}, {}
        for name, value in self.model._asdict().items():
            if name == "weights" and self.model.roots is not None:
                arrays[name] = packed(value, self.model.roots)
            elif sp.issparse(value):
                description["shapes"][name] = list(map(int, value.shape))
                arrays.update({"%s.%s" % (name, part): getattr(value, part) for part in ("data", "indices", "indptr")})
            elif isinstance(value, np.ndarray):
                arrays[name] = value
            elif value is not None:
                description["numbers"][name] = value
        return {"model": description, "values": list(self.values), "l2": self.knob}, arrays

    @classmethod
    def from_state(cls, entry, arrays, ratings):
        """Rebuild a member from its `state`; KeyError, TypeError or ValueError for anything else."""
        values, knob = Values(*entry["values"]), entry["l2"]
        if not all(map(is_number, values)) or values.unit <= 0 or values.power < 0 or not (
                knob is None or is_number(knob)):
            raise ValueError("the settings of a closed form are %r" % (entry,))
        extremes = np.array([ratings.data.min(), ratings.data.max()])  # x rises with the rating
        with np.errstate(over="ignore"):
            _checked(values(sp.csr_matrix((extremes, [0, 1], [0, 2]))).data)
        return cls(_model_of(entry["model"], arrays, ratings.shape[1]), values, knob, ratings)


def _model_of(description, arrays, n_items):
    """Rebuild a model of so many items; KeyError, TypeError or ValueError if these aren't of a `state`."""
    kind = _MODELS[description["kind"]]

    def found(name):
        if name in description["numbers"]:
            number = description["numbers"][name]
            if not is_number(number) or number < 0:
                raise ValueError("a closed form's %s is %r" % (name, number))
            return number
        if name in description["shapes"]:
            parts = [_checked(arrays["%s.%s" % (name, part)]) for part in ("data", "indices", "indptr")]
            matrix = sp.csr_matrix(tuple(parts), shape=tuple(map(operator.index, description["shapes"][name])))
            matrix.check_format(full_check=True)
            return matrix
        array = _checked(arrays[name])
        return unpacked(array, _checked(arrays["roots"])) if name == "weights" and array.ndim == 1 else array

    model = kind(**{name: found(name) for name in kind._fields if name in arrays or name not in kind._field_defaults})
    try:
        scores = model.scores(sp.csr_matrix(np.ones((1, n_items), np.float32)))  # fails if arrays don't match
    except np.linalg.LinAlgError as error:
        raise ValueError(str(error)) from error
    columns = getattr(model, "columns", np.zeros(1))
    if scores.shape != (1, n_items) or not np.isfinite(scores).all() or columns[0] < 0 or (np.diff(columns) <= 0).any():
        raise ValueError("the arrays of a closed form of kind %s aren't those of %d items" % (kind.__name__, n_items))
    return model


def _checked(array):
    """An array of a file; ValueError for NaN and numbers that are far too large."""
    if array.dtype.kind not in "fi" or array.dtype.kind == "f" and not (np.abs(array) <= MOST).all():
        raise ValueError("a closed form has NaN, infinite or far too large values")
    return array


class Popular(ClosedForm):
    """The most popular items."""

    name, short_weight = "popular", 0.5
    system = staticmethod(fit_popular)

    @staticmethod
    def solve(system, knob):
        return system

    def parts(self, person, items):
        return np.zeros((len(person.places), len(items)))


class Ease(ClosedForm):
    """EASE, with the most popular items only if there are too many."""

    name, initial_weight, short_weight, most_items, first_knob, factor = "ease", 0.23, 0.06, _MOST_ITEMS, 200.0, 2.0

    @staticmethod
    def system(x):
        return EaseSystem(x, 0.5, min(MOST_DENSE, x.shape[1]))

    @staticmethod
    def solve(system, knob):
        return system.solve(knob, 0.5)


class LocalEase(Ease):
    """EASE among each item's nearest items: sparse weights, for any number of items."""

    name, most_items, first_knob = "local", np.inf, 50.0

    @staticmethod
    def system(x):
        return LocalEaseSystem(x, _NEAREST if x.shape[1] <= _MANY_ITEMS else _NEAREST // 2, 0.5)

    @staticmethod
    def expect(system, knobs):
        system.prepare(knobs, 0.5)


class Filter(ClosedForm):
    """The low-pass filter of at most half of the singular vectors."""

    name, initial_weight, short_weight = "filter", 0.14, 0.3
    knob_name, first_knob, factor, growth = "vectors", 32, 2.0, 4.0
    system = FilterSystem

    @staticmethod
    def bounded(system, knob):
        """At most 256, which take seconds, and half of the rank: more vectors give the ratings themselves."""
        return int(max(1, min(knob, 256, system.most // 2)))

    @classmethod
    def solve(cls, system, knob):
        return system.solve(cls.bounded(system, knob))  # files of 1.0 have more

    def factors(self, users):
        return self.model.factors_of(self.values(self.ratings[users])), self.model.H


class Factors(ClosedForm):
    """Factors of all entries; missing ones have the weight `missing_weight`."""

    name, initial_weight, short_weight, first_knob, factor, worth = "factors", 0.31, 0.08, 8.0, 1.5, 1.0
    n_factors, missing_weight = 64, 0.2

    @classmethod
    def system(cls, x):
        return FactorSystem(x, cls.n_factors, cls.missing_weight)

    @cached_property
    def _factors_of(self):
        return factor_solver(*self.model)

    def _scores(self, x):
        return self._factors_of(x).dot(self.model.H.T)

    def factors(self, users):
        return self._factors_of(self.values(self.ratings[users])), self.model.H

    def parts(self, person, items):
        return self.model.parts(self.values(stacked([person], len(self.model.H))), items)


class TasteFactors(Factors):
    """Factors of mean-centred ratings: how users rate what they choose."""

    name, initial_weight, n_factors, missing_weight, centred = "explicit", 0.12, 32, 0.02, True


#: The closed forms by name, in the order in which they are fitted.
CLOSED = OrderedDict((form.name, form) for form in (Popular, Ease, LocalEase, Filter, Factors, TasteFactors))


class AutoencoderMember:
    """A trained autoencoder as a member, by its `Scorer`; its name is its rows. New users are folded in by the
    objective, at the level `mean`."""

    initial_weight = short_weight = 0.0

    def __init__(self, scorer, objective, mean):
        from sparse_ae.scoring.fold_in import FoldIn  # needs Theano, unlike closed forms
        self.name, self.scorer = scorer.rows, scorer
        self._fold_in = FoldIn(scorer, objective, mean)

    def of_users(self, users):
        """As `ClosedForm.of_users`."""
        return self.scorer.product(users, np.arange(self.scorer.rating_matrix.shape[1]))

    def of_people(self, people, ratings):
        """As `ClosedForm.of_people`, by `scoring.fold_in`."""
        items = np.arange(self.scorer.rating_matrix.shape[1])
        return np.stack([of_person(items) for of_person in self._fold_in(people)])

    def parts(self, person, items):
        """As `ClosedForm.parts`."""
        return self._fold_in.parts(person, items)

    @staticmethod
    def factors(users):
        """As `ClosedForm.factors`."""
