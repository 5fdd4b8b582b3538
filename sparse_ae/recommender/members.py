"""Closed forms that make lists, as members of a `scoring.list_blend.ListBlend`.

They don't take ratings as they are but

    x = ((r - missing_rating) / unit) ** power                                                                    (1)

with the unit that makes the mean square of (r - missing_rating) / unit 1, so that decays don't follow the rating scale.
A higher power, which keeps the sign, lets the highest ratings count more, by which lists are judged; 0 leaves nothing
but who rated what. One that is `centred` has the mean rating in the place of missing_rating, and the power 1. `CLOSED`
is the table of closed forms: what makes one, and the decays that are tried.
"""
from collections import OrderedDict
from functools import cached_property
from typing import Callable, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.ease import EaseSystem, SomeItemWeights
from sparse_ae.baselines.factors import FactorSystem
from sparse_ae.baselines.filters import FilterSystem, LowPass, Shared, SharedSystem
from sparse_ae.baselines.lists import ItemFactors, ItemWeights, Popularity
from sparse_ae.baselines.wide import WideSystem, WideUsers
from sparse_ae.checks import MOST
from sparse_ae.data.ratings import rating_counts

# Powers of users' and of items' numbers of ratings in EASE: on validation ratings of FilmTrust and MovieLens 100K 0.5
# of both was as good as any of 0, 0.5 and 1, or better. On made-up plays the users' alone were better by 1.5%.
_EASE_POWERS = 0.5, 0.5

# Items that have weights among each other, and rows of the infinitely wide autoencoder, at most; and landmarks beyond.
# 8,000^2 numbers are 256 MB, of which there are three at a time, and solved in half a minute on one thread.
_MOST, _N_LANDMARKS = 8000, 1000

# Factors of all entries, and the weight of missing ones. With a decay of 7 to 10 they were best on ratings of MovieLens
# 100K and FilmTrust and on made-up plays. The lists of some validation users, to which they add the less the more
# members there are, often preferred others, which were worse for what was held out by up to 7%: hence `worth`.
_N_FACTORS, _MISSING_WEIGHT = 64, 0.2

# Factors of what ratings differ by from their mean, where missing ones are next to nothing: of 16, 32 and 64 and of
# missing weights from 0.005 to 0.05 these were best beside blends of MovieLens 100K and FilmTrust, with decays from 4
# to 16. The others learn what people choose, these what they think of it: alone they make poor lists, and blends better
# by 0.3 to 1%.
_N_EXPLICIT, _MISSING_EXPLICIT = 32, 0.02

# Singular vectors of the filter, at most; bytes of a block of kernels, and of what a rating is copied to.
_MOST_VECTORS, _KERNELS, _A_RATING = 256, 2 ** 27, 40

# Powers of the items' numbers of ratings in `filters.Shared`.
_SHARED_POWERS = 0.0, 0.125, 0.25

# Numbers of users' factors that are kept, 64 MB of float32: they are a third of the time that lists take.
_MOST_SOLVED = 2 ** 24


class Values(NamedTuple):
    """Equation (1).

    Attributes
    ----------
    missing_rating, unit : float
    power : int
    """

    missing_rating: float
    unit: float
    power: int = 1

    @classmethod
    def of(cls, ratings, missing_rating, power=1):
        """That of a CSR matrix of ratings; ValueError where all are `missing_rating`."""
        square = float(np.mean((ratings.data.astype(np.float64) - missing_rating) ** 2))
        if not square:
            raise ValueError("all ratings are %g, which missing entries are taken to be rated; expected others too"
                             % missing_rating)
        return cls(float(missing_rating), float(np.sqrt(square)), int(power))

    def __call__(self, ratings):
        """x of a CSR matrix of ratings, float32."""
        data = (ratings.data.astype(np.float64) - self.missing_rating) / self.unit
        data = np.sign(data) * np.abs(data) ** self.power if self.power else np.ones(len(data))
        return sp.csr_matrix((data.astype(np.float32), ratings.indices, ratings.indptr), shape=ratings.shape)


class ClosedForm(NamedTuple):
    """A closed form, and the way to fit it.

    Attributes
    ----------
    system : callable
        From ratings x (n_users, n_items) to what serves all decays.
    solve : callable
        From the system and a decay to a model with `scores`.
    l2 : float or None
        The decay that is tried first, and taken without validation; None where there is none. In its place the filter
        has a number of singular vectors, and "neighbours" a power.
    factor : float
        From one decay to the next.
    tries : callable
        From the system to decays that are all tried, where this is cheap; without validation the first is taken.
    worth : float
        Standard errors by which lists must become better for another decay.
    centred : bool
        Whether x is what ratings differ by from their mean: there is nothing where all are equal.
    solve_for : callable, optional
        As `solve`, of the users, too, whose scores are enough, where that is quicker.
    note : callable
        From x to words about what is left out, where not all fits; None where all does.
    matrices : callable
        From x to how many bytes its matrices take at most, while decays are tried.
    """

    system: Callable
    solve: Callable
    l2: Optional[float] = None
    factor: float = 2.0
    tries: Optional[Callable] = None
    worth: float = 0.0
    centred: bool = False
    solve_for: Optional[Callable] = None
    note: Callable = lambda x: None
    matrices: Callable = lambda x: 0

    def memory(self, x):
        """Bytes that it takes at most, about: its matrices, and some for each rating."""
        return self.matrices(x) + _A_RATING * x.nnz

    def values(self, ratings, missing_rating, power):
        """Return the `Values` of a CSR matrix of ratings by which they are taken here."""
        if self.centred:
            missing_rating, power = ratings.data.mean(dtype=np.float64), 1
            if not np.ptp(ratings.data):
                raise ValueError("all ratings to train on are %g; expected some that differ, or another network: this "
                                 "one learns what they differ by" % missing_rating)
        return Values.of(ratings, missing_rating, power)


def _popularity(x):
    return Popularity(rating_counts(x)[1].astype(np.float64))


def _n_rated(x):
    """Count the users, and the items, that have a rating."""
    return int(np.count_nonzero(np.diff(x.indptr))), int(np.count_nonzero(np.bincount(x.indices)))


def _ease(x):
    return EaseSystem(x, _EASE_POWERS[0], min(_MOST, x.shape[1]))


def _ease_note(x):
    n = _n_rated(x)[1]
    return "among the %d items with most ratings, of %d" % (_MOST, n) if n > _MOST else None


def _ease_matrices(x):
    """X'X, a system of float64 in its place, and the weights of two decays."""
    return (4 + 8 + 4 + 4) * min(_MOST, x.shape[1]) ** 2


def _wide(x):
    """The wide autoencoder with users as rows, unless they are too many; with items as rows it errs where EASE does.

    On validation ratings of MovieLens 1M a blend with EASE and the filter had an NDCG at 10 that was 2% above EASE's,
    with items as rows 0.2%, though these were better alone.
    """
    users, items = _n_rated(x)
    if users <= _MOST:
        return WideSystem(x, "users")
    return WideSystem(x, "items") if items <= _MOST else WideSystem(x, "users", _N_LANDMARKS)


def _wide_note(x):
    n = _n_rated(x)
    return "by the %d users with most ratings, of %d" % (_N_LANDMARKS, n[0]) if min(n) > _MOST else None


def _wide_matrices(x):
    """The kernels, a system, and what comes of two decays; blocks of kernels are made in float64.

    With users as rows that is up to two numbers for each in their place.
    """
    users, items = _n_rated(x)
    if users <= _MOST:
        return 8 * users * (users + max(users, min(2 * users, x.shape[1]))) + _KERNELS
    if items <= _MOST:
        return 16 * items ** 2 + _KERNELS
    return 32 * _N_LANDMARKS ** 2 + 24 * _N_LANDMARKS * x.shape[1] + _KERNELS


def _ranks(system):
    """The numbers of singular vectors to try, no more than half of the data's rank, the usual one first."""
    most = max(1, system.most // 2)
    return [float(k) for k in (32, 64, 128, 256, 16, 8) if k <= most] or [float(min(32, most))]


def _filter_matrices(x):
    return _singular_vectors(x, _MOST_VECTORS)


def _factors(x):
    return FactorSystem(x, _N_FACTORS, _MISSING_WEIGHT)


def _explicit(x):
    return FactorSystem(x, _N_EXPLICIT, _MISSING_EXPLICIT)


def _factor_matrices(x):
    """The start, and factors of both sides before and after half a sweep."""
    return _singular_vectors(x, _N_FACTORS) + 16 * min(_N_FACTORS, *x.shape) * sum(x.shape)


def _singular_vectors(x, k):
    """ARPACK's vectors and copies on the shorter side, and the singular ones on both, all counted as float64.

    Of few users or items all singular vectors are made at once, with what LAPACK needs.
    """
    shorter = min(x.shape)
    dense = 40 * shorter * (shorter + x.shape[1]) if shorter <= 2 * _MOST_VECTORS else 0
    return max(dense, 8 * min(k, shorter) * (3 * shorter + 2 * max(x.shape)))


#: The closed forms, by name: what fits each, and its settings to choose from.
CLOSED = OrderedDict([
    ("popular", ClosedForm(_popularity, lambda model, l2: model)),
    ("ease", ClosedForm(_ease, lambda system, l2: system.solve(l2, _EASE_POWERS[1]), 200.0, note=_ease_note,
                        matrices=_ease_matrices)),
    ("wide", ClosedForm(_wide, lambda system, l2: system.solve(l2), 8.0,
                        solve_for=lambda system, l2, users: system.solve_for(l2, users), note=_wide_note,
                        matrices=_wide_matrices)),
    ("filter", ClosedForm(FilterSystem, lambda system, k: system.solve(int(k)), 32.0, tries=_ranks,
                          matrices=_filter_matrices)),
    ("factors", ClosedForm(_factors, lambda system, l2: system.solve(l2), 8.0, 1.5, worth=1.0,
                           matrices=_factor_matrices)),
    ("explicit", ClosedForm(_explicit, lambda system, l2: system.solve(l2), 8.0, 1.5, worth=1.0, centred=True,
                            matrices=_factor_matrices)),
    ("neighbours", ClosedForm(SharedSystem, lambda system, power: system.solve(power), 0.0,
                              tries=lambda system: _SHARED_POWERS)),
])

#: The share of each at first, and without validation; chosen on validation ratings of FilmTrust and MovieLens 100K.
FIRST = {"ease": 0.23, "wide": 0.2, "filter": 0.14, "factors": 0.31, "explicit": 0.12}


class ClosedMember:
    """A closed form, as a member of a blend.

    Parameters
    ----------
    name : str
        One of `CLOSED`.
    model : object
        Its `scores` takes x, CSR, and returns scores of all items.
    values : Values
    l2 : float or None
        What it was fitted with.
    ratings : csr_matrix, (n_users, n_items)
        What known users have rated.
    """

    def __init__(self, name, model, values, l2, ratings):
        self.name, self.model, self.values, self.l2, self._ratings = name, model, values, l2, ratings
        self.label = name

    def of_users(self, users):
        """Scores of all items for known users, float array, (n, n_items)."""
        if isinstance(self.model, ItemFactors):
            return self._factors_of(users).dot(self.model.H.T)
        x = self.values(self._ratings[users])
        if not hasattr(self.model, "scores_of_rows"):
            return self.model.scores(x)
        return self.model.scores_of_rows(x, self._places[users])

    def _factors_of(self, users):
        """Solve for users' factors, or take those that were solved for before, which are the same to the last bit."""
        kept, known = self._solved
        new = users[~known[users]] if len(known) else users
        if len(new):
            found = self.model.factors_of(self.values(self._ratings[new]))
            if not len(known):
                return found
            kept[new] = found
            known[new] = True  # only now: threads may ask for the same users
        return kept[users]

    @cached_property
    def _solved(self):
        """Known users' factors, (n_users, k), and which of them have been solved for; empty, if they are too many."""
        n_users = self._ratings.shape[0]
        if n_users * self.model.H.shape[1] > _MOST_SOLVED:
            n_users = 0
        return np.empty((n_users, self.model.H.shape[1]), self.model.H.dtype), np.zeros(n_users, bool)

    @cached_property
    def _places(self):
        """The place of each user among those with ratings."""
        return np.cumsum(np.diff(self._ratings.indptr) > 0) - 1

    def of_people(self, people):
        """As `of_users`, for a list of `PersonRatings`."""
        indptr = np.concatenate([[0], np.cumsum([len(each.places) for each in people])]).astype(np.int64)
        ratings, places = (np.concatenate([each[k] for each in people]) for k in (1, 0))
        return self.model.scores(self.values(sp.csr_matrix((ratings.astype(np.float32), places, indptr),
                                                           shape=(len(people), self._ratings.shape[1]))))

    @property
    def chosen(self):
        """Its settings by name: a dict."""
        knob = {"filter": "vectors", "neighbours": "item_power"}.get(self.name, "l2")
        return {knob: self.l2, "power": self.values.power}


class AutoencoderMember:
    """A trained autoencoder, as a member of a blend; its name is what its rows are.

    Parameters
    ----------
    scorer : scoring.scorer.Scorer
    fold_in : scoring.fold_in.FoldIn
        Its own.
    """

    def __init__(self, scorer, fold_in):
        self.name, self.scorer = scorer.rows, scorer
        self.label = "%s as rows" % self.name
        self._fold_in = fold_in

    def of_users(self, users):
        """As `closed.ClosedMember.of_users`: by a product of matrices, to rounding the model's outputs."""
        scorer, items = self.scorer, np.arange(len(self.scorer.items_rated))
        decoder = scorer.outputs.decoder
        if decoder.nonlinearity is None:  # one that NumPy doesn't know
            return scorer.grid_outputs(users, items)
        rows, columns = scorer.rows.rows_columns(users, items)
        found = scorer.hidden(rows).dot(scorer.outputs.W_on_host()[columns].T)
        found += decoder.b.get_value(borrow=True)[columns]
        return scorer.rows.turned(found if decoder.is_linear else decoder.nonlinearity.ufunc(found))

    def of_people(self, people):
        """As `closed.ClosedMember.of_people`, by `scoring.fold_in`."""
        items = np.arange(len(self.scorer.items_rated))
        return np.stack([of_person(items) for of_person in self._fold_in(people)])


# Models as arrays

_KINDS = {kind.__name__: kind for kind in (Popularity, ItemWeights, SomeItemWeights, WideUsers, LowPass, ItemFactors,
                                           Shared)}


def model_arrays(model):
    """Take a closed form's model apart, as `model_from` puts it together.

    Returns
    -------
    description : dict
        Its kind, and what of it is no array: in JSON.
    arrays : dict of str to numpy.ndarray
    """
    description, arrays = {"kind": type(model).__name__, "numbers": {}, "shapes": {}, "maps": 0}, {}
    for name, value in model._asdict().items():
        parts = [(name, value)]
        if isinstance(value, tuple):
            description["maps"] = len(value)
            parts = [("%s%d" % (name, k), each) for k, each in enumerate(value)]
        for part, each in parts:
            if sp.issparse(each):
                description["shapes"][part] = list(map(int, each.shape))
                arrays.update({part + ".data": each.data, part + ".indices": each.indices,
                               part + ".indptr": each.indptr})
            elif isinstance(each, np.ndarray):
                arrays[part] = each
            else:
                description["numbers"][part] = each
    return description, arrays


def arrays_of(name, arrays):
    """Pick one model's arrays out of all, where they are called "name/W": by their own names."""
    return {each[len(name) + 1:]: array for each, array in arrays.items() if each.startswith(name + "/")}


def model_from(description, arrays):
    """Put a model together; KeyError, TypeError or ValueError for what `model_arrays` didn't give."""
    kind = _KINDS[description["kind"]]

    def found(name):
        if name in description["numbers"]:
            return description["numbers"][name]
        if name in description["shapes"]:
            parts = [arrays["%s.%s" % (name, part)] for part in ("data", "indices", "indptr")]
            return sp.csr_matrix(tuple(parts), shape=tuple(description["shapes"][name]))
        if name == "maps":
            return tuple(found("maps%d" % k) for k in range(description["maps"]))
        return arrays[name]

    return kind(**{name: found(name) for name in kind._fields})


def check_model(model, n_items):
    """Raise ValueError where a model that came from a file can't be one of so many items."""
    kind, arrays = type(model).__name__, []
    for value in model:
        arrays += value if isinstance(value, tuple) else [value]
    for each in arrays:
        if sp.issparse(each):
            each.check_format(full_check=True)
        numbers = each.data if sp.issparse(each) else np.asarray(each)
        if numbers.dtype.kind == "f" and not (np.abs(numbers) <= MOST).all():
            raise ValueError("a closed form holds NaN, infinite or far too large values")
    shapes = [np.shape(each) for each in arrays]
    if kind == "SomeItemWeights":
        n, columns = len(model.columns), model.columns
        sound = (shapes[0] == (n, n) and columns.ndim == 1 and columns.dtype.kind == "i" and n > 0
                 and model.n_items == n_items and columns[0] >= 0 and columns[-1] < n_items
                 and (np.diff(columns) > 0).all())
    elif kind == "WideUsers":
        of_maps = [np.shape(each) for each in model.maps]
        widths = [model.rows.shape[0]] + [shape[-1] for shape in of_maps]
        sound = (sp.issparse(model.rows) and model.rows.shape[1] == widths[-1] == n_items and len(of_maps) > 0
                 and all(shape == (before, width) for shape, before, width in zip(of_maps, widths, widths[1:]))
                 and isinstance(model.ridge, (int, float)) and model.ridge >= 0)
    elif kind == "ItemFactors":
        numbers = model[1:]
        sound = (len(shapes[0]) == 2 and shapes[0][0] == n_items and shapes[0][1] > 0
                 and all(isinstance(each, (int, float)) for each in numbers)
                 and 0 <= model.missing_weight <= 1 and abs(model.missing_rating) <= MOST and 0 < model.l2 <= MOST)
    elif kind == "Shared":
        sound = sp.issparse(model.N) and model.N.shape[1] == n_items and shapes[1] == (n_items,)
    else:
        expected = {"Popularity": [(n_items,)], "ItemWeights": [(n_items, n_items)],
                    "LowPass": [(shapes[0][0], n_items) if len(shapes[0]) == 2 else None, (n_items,)]}
        sound = shapes == expected[kind]
    if not sound or any(np.asarray(each.data if sp.issparse(each) else each).dtype.kind not in "fi" for each in arrays):
        raise ValueError("the arrays of a closed form of kind %s are of the shapes %s, with %d items"
                         % (kind, ", ".join(map(str, shapes)), n_items))
