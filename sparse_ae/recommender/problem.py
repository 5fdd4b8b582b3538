"""The arguments of `Recommender.fit`, checked once and prepared for a fit."""
import numbers
from functools import partial
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import (
    are_on_scale,
    check_bool,
    check_choice,
    check_finite,
    check_fraction,
    check_on_scale,
    check_rating_scale,
    check_size_of_ratings,
    error_at,
)
from sparse_ae.data.ids import positions
from sparse_ae.data.ratings import CheckedMatrix, check_ratings
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.data.splits import split_ratings
from sparse_ae.data.stores import StoredRatings
from sparse_ae.data.tables import as_counts, as_ratings, total_counts
from sparse_ae.data.zeros import tell_of_zeros
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import ListValidation, are_relevant, relevant_from
from sparse_ae.ranks.ranks import ALONE, Ranks
from sparse_ae.recommender.defaults import WORTH_A_REFIT, Choice, is_auto, useful_sides, validation_fraction
from sparse_ae.recommender.guard import Known
from sparse_ae.recommender.members import MOST_DENSE
from sparse_ae.recommender.settings import RecommenderSettings, closed_form
from sparse_ae.recommender.sides import biases_of, popularity_of, targets_of
from sparse_ae.runtime.interrupts import until_sigint
from sparse_ae.runtime.progress import figure, say
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.checkpoint import fingerprint
from sparse_ae.training.objectives import Objective, check_objective
from sparse_ae.training.targets import unit_of_scores

# The most users that are ranked for after each epoch: a sample of this size resolves 0.002 of NDCG. Fewer if their
# scores of all items are more numbers than a closed form's largest matrix.
_LISTS_AT_MOST = 2000

_OF_AUTOENCODERS = ("n_hidden", "rows", "l2", "update", "learning_rate", "batch_size", "n_epochs", "patience",
                    "formulation")

# With several fits, the share of the held-out ratings that weights are found by: epochs and decays by the others.
_FOR_WEIGHTS = 1 / 3

# Pseudo-ratings that shrink the levels which a decoder needn't learn.
_LEVELS_SHRUNK_BY = 1.0


class Problem(NamedTuple):
    """The data of a fit. Epochs and decays are chosen on `held_out`, weights on `weighed`. `unit` is that of scores,
    where missing entries count, as if they had been rated `missing_rating`; else None. `ranks` train a model together;
    each has all else."""

    settings: RecommenderSettings
    objective: Objective
    users: np.ndarray
    items: np.ndarray
    sides: Tuple[str, ...]
    everything: RatingMatrix
    train: RatingMatrix
    held_out: Optional[RatingMatrix]
    weighed: Optional[RatingMatrix]
    validation: object
    scale: Tuple[float, float]
    unknown: Union[str, float]
    missing_rating: Optional[float] = None
    unit: Optional[float] = None
    lists: Optional[Metric] = None
    on_disk: bool = False
    ranks: Ranks = ALONE
    slopes: float = 0.0

    @classmethod
    def of(cls, settings, ratings, y=None, validation="auto", ranks=ALONE):
        """Check the arguments of `fit` with the settings; no rating is held out yet."""
        unknown, biases = settings.unknown, settings.biases
        if not (isinstance(unknown, str) and unknown in ("mean", "error")):
            unknown = check_finite(unknown, "unknown", "'mean', 'error', or the rating to predict for unknown users "
                                                       "and items")
        check_bool(settings.progress, "progress")
        if not (isinstance(biases, (bool, np.bool_)) or isinstance(biases, str) and biases == "unguarded"):
            raise ValueError("biases is %r; expected True, False, or 'unguarded'" % (biases,))
        objective, on_disk = check_objective(settings.objective), isinstance(ratings, StoredRatings)
        is_counts, measure = objective.counts, Metric.parse(objective.measure, "the objective's measure")
        _check_rows(settings)
        read = _stored if on_disk else _in_memory
        everything, users, items, sides, validation = read(settings, ratings, y, validation, objective)
        check_choices(settings.choices, settings.rows)
        matrix = everything.matrix
        if settings.progress and ranks.first and not on_disk and not is_counts and settings.rating_scale is None:
            tell_of_zeros(matrix.data)
        scale, lowest = _check_scale(settings.rating_scale, matrix.data, objective)
        if isinstance(unknown, float) and objective.clips:
            check_on_scale(unknown, scale)
        missing_rating = unit = None
        if not objective.clips:
            missing_rating = objective.missing_rating(None if lowest is None else scale)
            unit = unit_of_scores(matrix, missing_rating)
        validation = _check_validation(validation, matrix.nnz, objective, biases)
        if validation is None and measure.k and objective.clips:
            raise ValueError("validation=None, and the objective is %r, which stops by %s of validation ratings; "
                             "expected validation ratings, such as validation='auto', or another objective"
                             % (objective, objective.measure))
        lists = measure._replace(relevant=scale[0] if is_counts else relevant_from(*scale)) if measure.k else None
        return cls(settings, objective, users, items, sides, everything, everything, None, None, validation, scale,
                   unknown, missing_rating, unit, lists, on_disk, ranks)

    def tell(self, line):
        """Print a line on stderr, if progress is reported."""
        if self.settings.progress and self.ranks.first:
            say(line)

    def fingerprints(self):
        """What ranks have to agree on, by name."""
        of_ratings = {"ratings": self.everything, "validation ratings": self.held_out,
                      "ratings for weights": self.weighed}
        return dict({name: each and fingerprint(each.matrix) for name, each in of_ratings.items()},
                    **{"ids of users": self.users, "ids of items": self.items})

    @property
    def guarded(self):
        """Tell whether models count only if validation ratings show a gain."""
        return self.settings.biases != "unguarded"

    @property
    def is_cut_off(self):
        """Tell whether validation ratings are a fraction of the given ones."""
        return isinstance(self.validation, float)

    @property
    def is_large(self):
        """Tell whether so small a part is cut off that no other training, on all ratings, is worth it."""
        return self.is_cut_off and self.validation < WORTH_A_REFIT

    @property
    def goes_by_ratings(self):
        """Tell whether models are validated by RMSE."""
        return self.held_out is not None and self.unit is None and self.lists is None

    def until_ctrl_c(self, kept):
        """`until_sigint`, for trainings and the time between them. Among ranks nothing is kept: the others don't know.
        """
        return until_sigint(kept if self.ranks.size == 1 else ())

    def with_settings(self, **changed):
        """The same problem with some other settings."""
        return self._replace(settings=RecommenderSettings(**dict(self.settings.get_params(), **changed)))

    def with_held_out(self, rng, apart=False):
        """Hold out validation ratings: a `Problem` with its own `train` and `held_out`, and `weighed`, perhaps apart.
        """
        if self.validation is None:
            return self
        everything, rows = self.everything, self.everything.rows
        if not self.is_cut_off:
            held_out = self._held_out()
            return self._replace(held_out=held_out, weighed=held_out)
        split = split_ratings(CheckedMatrix(everything.matrix), self.validation, rng)
        held_out = weighed = RatingMatrix(split.test, rows)
        if apart and split.test.nnz > 2:
            parts = split_ratings(CheckedMatrix(split.test), _FOR_WEIGHTS, rng)
            held_out, weighed = RatingMatrix(parts.train, rows), RatingMatrix(parts.test, rows)
        return self._replace(train=RatingMatrix(split.train, rows), held_out=held_out, weighed=weighed)

    def _held_out(self):
        """Prepare given held-out ratings: those of known users and items."""
        try:
            given = _reader(self.objective.counts, self.settings.progress)(self.validation)
            coo = given.matrix.tocoo()
            u = positions(given.users, self.users, "users")[coo.row]
            i = positions(given.items, self.items, "items")[coo.col]
        except (TypeError, ValueError) as error:
            raise error_at("validation", error) from error
        known = (u >= 0) & (i >= 0)
        if not known.any():
            raise ValueError("none of the %d validation ratings has a user and an item of the training ratings: check "
                             "the ids" % len(known))
        u, i = u[known], i[known]
        twice = np.count_nonzero(self.everything.are_rated(u, i))
        if twice:
            raise ValueError("%d of the validation ratings are training ratings too; expected held-out ratings, or a "
                             "fraction to hold out" % twice)
        matrix = check_ratings(sp.coo_matrix((coo.data[known], (u, i)), (len(self.users), len(self.items))))
        return RatingMatrix(matrix, USERS, self.everything.rows)

    def biases_under(self, ratings):
        """Return the `Biases` under a model of a `RatingMatrix`: a constant for scores."""
        if self.unit is not None:
            return Biases(self.missing_rating, *(np.zeros(n) for n in ratings.shape))
        return biases_of(ratings, slopes=self.slopes)

    def alone(self, ratings):
        """Return predictions without a model, as `Biases`: the popularity of items for scores."""
        return self.biases_under(ratings) if self.unit is None else popularity_of(ratings, self.missing_rating)

    def with_slopes(self):
        """Weigh slopes of users in the biases as a model, at most 1; not for ratings on disk."""
        if not self.goes_by_ratings or self.on_disk:
            return self
        held_out = [self.held_out] + [self.weighed] * (self.weighed is not self.held_out)
        plain, sloped = (Known.of(self, biases_of(self.train, slopes=weight), *held_out) for weight in (0.0, 1.0))
        weight = min(1.0, plain.weights((plain.residuals - sloped.residuals)[:, np.newaxis])[0])
        if not weight:
            return self
        sloped = Known.of(self, biases_of(self.train, slopes=weight), *held_out)
        errors = [float(np.sqrt(np.mean(each.residuals ** 2))) for each in (sloped, plain)]
        if not errors[0] < errors[1]:
            return self
        self.tell("biases: with %.2f of slopes over an item's number of ratings and its offset; validation RMSE %s "
                  "instead of %s" % (weight, *map(figure, errors)))
        return self._replace(slopes=float(weight))

    def objective_beside(self, biases):
        """The training objective: in residual mode a missing entry is 0 in the unit of the targets."""
        return self.objective.at(self.missing_rating if biases is None else 0.0)

    def targets(self, biases, side, trained_on=None):
        """Return the `Targets`; `biases` is None for ratings in, ratings out. Beyond biases, a decoder that is
        `trained_on` a `RatingMatrix` isn't taught the levels of that."""
        has_levels = trained_on is not None and self.unit is None
        levels = biases_of(trained_on, _LEVELS_SHRUNK_BY, self.slopes) if has_levels else None
        return targets_of(biases, side, self.scale, self.unit, levels)

    def scorer(self, model, ratings, side, biases):
        """Return a `Scorer` of a `RatingMatrix`."""
        return Scorer(model, ratings, side, targets_of(biases, side, self.scale, self.unit))

    def list_validation(self):
        """Return the `ListValidation` of models; None without held-out ratings, and with validation by RMSE."""
        if self.held_out is None or self.lists is None:
            return None
        relevant, held_out = self.lists.relevant, self.held_out.by("users")
        if not are_relevant(held_out.data, relevant).any():
            raise ValueError("none of the %d validation ratings is %g or higher, which makes an item relevant; hold "
                             "out others, or pass validation=None or an objective with "
                             "measure='rmse'" % (held_out.nnz, relevant))
        most_users = min(_LISTS_AT_MOST, 1 + MOST_DENSE ** 2 // held_out.shape[1])
        return ListValidation(CheckedMatrix(self.train.by("users")), CheckedMatrix(held_out), self.lists, most_users)


def _stored(settings, ratings, y, validation, objective):
    """Take ratings on disk: a `RatingMatrix`, users, items, the sides to train, and the validation."""
    if settings.rows not in ("auto", ratings.rows):
        raise ValueError("the stored ratings have %s as rows and the recommender has rows=%r; set rows='auto', or "
                         "store the ratings with other rows" % (ratings.rows, settings.rows))
    if objective.counts:
        raise ValueError("the objective is for counts, and ratings on disk can't be transformed; pass "
                         "objective='lists', and store transformed counts")
    ratings.check()
    users, items = ratings.rows.users_items(ratings.row_ids, ratings.col_ids)
    if isinstance(validation, numbers.Number):
        raise ValueError("validation is %r, and ratings on disk can't be split; pass held-out ratings, or "
                         "validation=None" % (validation,))
    validation = None if is_auto(validation) else validation
    return RatingMatrix(ratings.matrix, ratings.rows), users, items, (ratings.rows,), validation


def _in_memory(settings, ratings, y, validation, objective):
    """As `_stored`, of ratings in any other form."""
    matrix, users, items, _ = _reader(objective.counts, settings.progress)(ratings, y)
    sides = ("items" if objective.clips else "users",)
    if settings.rows != "auto":
        sides = ("items", "users") if settings.rows == "both" else (settings.rows,)
    elif settings.biases:
        sides = useful_sides(("items", "users") if validation is not None else sides, matrix)
    # The post's mode holds out ratings in the order of its rows.
    return RatingMatrix(matrix, USERS, sides[0]), users, items, sides, validation


def _check_rows(settings):
    check_choice(settings.rows, "rows", ("auto", "items", "users", "both"))
    if closed_form(settings.network) is not None:
        given = [name for name in _OF_AUTOENCODERS if not is_auto(getattr(settings, name))]
        given += ["choices"] if settings.choices else []
        if given:
            raise ValueError("network is %r, a closed form, and %s=%r; expected no such setting: it is for autoencoders"
                             % (settings.network, given[0], getattr(settings, given[0])))
    if settings.rows == "both" and not settings.biases:
        raise ValueError("rows is 'both' and biases is %r; expected biases=True: the two models are weighted as "
                         "additions to biases" % (settings.biases,))


def _reader(is_counts, progress):
    """Return the function from feedback to `Ratings`."""
    read = partial(total_counts if is_counts else as_ratings, progress=progress)
    return (lambda *feedback: as_counts(read(*feedback))) if is_counts else read


def check_choices(choices, rows="auto"):
    """Check a setting: None, or a dict with a `Choice` for a side, or for both."""
    if choices is None:
        return
    if not isinstance(choices, dict) or not all(isinstance(each, Choice) for each in choices.values()):
        raise TypeError("choices is %r; expected None, or a dict of 'items' and 'users' to Choice, such as choices_"
                        % (choices,))
    sides = (ITEMS, USERS) if rows in ("auto", "both") else (rows,)
    if not set(choices) <= {ITEMS, USERS} or choices and not set(choices) & set(sides):
        raise ValueError("choices has %s, and with rows=%r there are models of %s; expected a Choice for some of these"
                         % (", ".join(map(str, choices)), rows, " and ".join(sides)))
    for side, choice in choices.items():
        unset = [name for name, value in choice._asdict().items() if is_auto(value)]
        if unset:
            raise ValueError("choices has %s='auto' for %s; expected a value, which is what 'auto' is, or choices=None"
                             % (unset[0], side))


def _check_validation(validation, n_ratings, objective, biases):
    """The fraction to hold out, or the ratings that were given for it."""
    if is_auto(validation):
        fraction = validation_fraction(n_ratings, objective.measure != "rmse") if biases else 0.1
    elif isinstance(validation, numbers.Number):
        fraction = check_fraction(validation, "validation", ", 'auto', held-out ratings, or None")
    else:
        return validation
    n_held_out = round(fraction * n_ratings)
    if not 0 < n_held_out < n_ratings:
        raise ValueError("validation=%r is %d of %d ratings; expected at least one, and one for training: change the "
                         "fraction, pass held-out ratings, or validation=None"
                         % (validation, n_held_out, n_ratings))
    return float(fraction)


def _check_scale(rating_scale, values, objective):
    """Return the rating scale, and its lowest rating: None for counts, and where all ratings are equal."""
    least, most = check_size_of_ratings((values.min(), values.max()), "the ratings go from %g to %g")
    if objective.counts and rating_scale is not None:
        raise ValueError("rating_scale is %r, and the objective is for counts, which have no scale; leave it out"
                         % (rating_scale,))
    if not objective.clips and (objective.counts or rating_scale is None and least == most != 0):
        return (min(least, 0.0), max(most, 0.0)), None
    if rating_scale is None:
        if least == most:
            raise ValueError("all ratings are %g, so there is no scale; pass rating_scale=(lowest, highest)%s" % (
                least, ", or objective='lists' to rank items by choices" if objective.clips else
                ", or a rating above 0, such as 1, for each pair"))
        return (least, most), least
    low, high = check_rating_scale(rating_scale)
    if not are_on_scale((least, most), (low, high)).all():
        raise ValueError("rating %g is outside rating_scale=(%g, %g); pass rating_scale=(%g, %g), the lowest and "
                         "highest rating" % (least if least < low else most, low, high, least, most))
    return (low, high), low
