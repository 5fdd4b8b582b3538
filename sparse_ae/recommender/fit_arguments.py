"""The arguments of `Recommender.fit`, checked once."""
import numbers
from functools import partial
from typing import Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np
import scipy.sparse as sp

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
from sparse_ae.data.attributes import as_attributes
from sparse_ae.data.events import span_of, with_ids_like
from sparse_ae.data.ids import positions_as_written, tell_of_quantities, with_other_zeros
from sparse_ae.data.names import listed
from sparse_ae.data.ratings import check_ratings
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.data.stores import StoredRatings
from sparse_ae.data.tables import as_counts, as_ratings, total_counts
from sparse_ae.data.zeros import tell_of_zeros
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import relevant_from
from sparse_ae.ranks.ranks import ALONE, Ranks
from sparse_ae.recommender.defaults import WORTH_A_REFIT, Choice, is_auto, useful_sides, validation_fraction
from sparse_ae.recommender.settings import RecommenderSettings, closed_form
from sparse_ae.runtime.interrupts import until_sigint
from sparse_ae.runtime.progress import say
from sparse_ae.scoring.features import NEW_SHARE, share_of_new
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.training.objectives import Objective, check_objective
from sparse_ae.training.targets import unit_of_scores

_OF_AUTOENCODERS = ("n_hidden", "rows", "l2", "update", "learning_rate", "batch_size", "n_epochs", "patience",
                    "formulation")

# The most columns of attributes: a system of as many equations is solved after training, 800 MB of numbers.
_MOST_COLUMNS = 10000


class FitArguments(NamedTuple):
    """The checked arguments and settings of a fit. If missing entries count, they are taken for `missing_rating`, and
    `unit` is the unit of scores; else both are None. `metric` ranks; None for RMSE. `ranks` train a model together.
    `span` is the ratings' first and last time, None without times. On `benches` models are trained in turn, or each
    alone."""

    settings: RecommenderSettings
    objective: Objective
    users: np.ndarray
    items: np.ndarray
    sides: Tuple[str, ...]
    ratings: RatingMatrix
    validation: object
    scale: Tuple[float, float]
    unknown: Union[str, float]
    missing_rating: Optional[float] = None
    unit: Optional[float] = None
    metric: Optional[Metric] = None
    on_disk: bool = False
    ranks: Ranks = ALONE
    features: Mapping = {}
    new_share: float = NEW_SHARE
    span: Optional[Tuple[float, float]] = None
    benches: Optional[list] = None

    @classmethod
    def of(cls, settings, ratings, y=None, validation="auto", ranks=ALONE, item_features=None, user_features=None):
        """Check the arguments of `fit` with the settings."""
        unknown, biases = settings.unknown, settings.biases
        if not (isinstance(unknown, str) and unknown in ("mean", "error")):
            unknown = check_finite(unknown, "unknown", "'mean', 'error', or the rating to predict for unknown users "
                                                       "and items")
        if settings.progress != "logging":
            check_bool(settings.progress, "progress", ", or 'logging'")
        if not (isinstance(biases, (bool, np.bool_)) or isinstance(biases, str) and biases == "unguarded"):
            raise ValueError("biases is %r; expected True, False, or 'unguarded'" % (biases,))
        objective, on_disk = check_objective(settings.objective), isinstance(ratings, StoredRatings)
        is_counts, metric = objective.counts, Metric.parse(objective.measure, "the objective's measure")
        _check_rows(settings)
        read = _stored if on_disk else _in_memory
        features = {side: as_attributes(given, "%s_features" % side[:-1])
                    for side, given in ((USERS, user_features), (ITEMS, item_features)) if given is not None}
        if features and on_disk:
            raise ValueError("features were given with ratings on disk; expected ratings in memory, or no features")
        ratings, users, items, sides, validation, given = read(settings, ratings, y, validation, objective, features)
        if features:
            features = {side: each.with_ids_like({USERS: users, ITEMS: items}[side]) for side, each in features.items()}
            said = _said_of(features, {USERS: users[ratings.users_rated], ITEMS: items[ratings.items_rated]})
            if settings.progress and ranks.first:
                say(said)
        new_share = NEW_SHARE
        if ITEMS in features and given.timestamps is not None:
            n_new = np.count_nonzero(~np.isin(features[ITEMS].ids, items[ratings.items_rated]))
            new_share = share_of_new(ratings.by(USERS).indices, given.timestamps, n_new)
        check_choices(settings.choices, settings.rows)
        matrix = ratings.matrix
        if settings.progress and ranks.first and not on_disk and not is_counts and settings.rating_scale is None:
            tell_of_zeros(matrix.data)
        if settings.progress and ranks.first:
            for ids, name in ((users, "user"), (items, "item")):
                tell_of_quantities(ids, name)
        scale, lowest = _check_scale(settings.rating_scale, matrix.data, objective)
        if isinstance(unknown, float) and objective.clips:
            check_on_scale(unknown, scale)
        missing_rating = unit = None
        if not objective.clips:
            missing_rating = objective.missing_rating(None if lowest is None else scale)
            unit = unit_of_scores(matrix, missing_rating)
        validation = _check_validation(validation, matrix.nnz, objective, biases)
        if validation is None and metric.k and objective.clips:
            raise ValueError("validation=None, and the objective is %r, which stops by %s of validation ratings; "
                             "expected validation ratings, such as validation='auto', or another objective"
                             % (objective, objective.measure))
        metric = metric._replace(relevant=relevant_from(matrix.data, scale, is_counts)) if metric.k else None
        return cls(settings, objective, users, items, sides, ratings, validation, scale, unknown, missing_rating, unit,
                   metric, on_disk, ranks, features, new_share, given and span_of(given), [])

    def tell(self, line):
        """Print a line on stderr, if progress is reported."""
        if self.settings.progress and self.ranks.first:
            say(line)

    @property
    def guarded(self):
        """Whether models count only if validation ratings show a gain."""
        return self.settings.biases != "unguarded"

    @property
    def holds_out_fraction(self):
        """Whether validation ratings are a fraction of the given ones."""
        return isinstance(self.validation, float)

    @property
    def holds_out_little(self):
        """Whether so small a fraction is held out that no other training, on all ratings, is worth it."""
        return self.holds_out_fraction and self.validation < WORTH_A_REFIT

    @property
    def goes_by_rmse(self):
        """Whether models are validated by RMSE."""
        return self.unit is None and self.metric is None

    def until_ctrl_c(self, kept):
        """`until_sigint` for trainings. Ranks keep nothing: the others wouldn't know."""
        return until_sigint(kept if self.ranks.size == 1 else ())

    def with_settings(self, **changed):
        """The same arguments with some other settings."""
        return self._replace(settings=RecommenderSettings(**dict(self.settings.get_params(), **changed)))

    def given_held_out(self):
        """The held-out ratings that were given, of known users and items: a `RatingMatrix`."""
        try:
            given = reader_of(self.objective.counts, self.settings.progress)(self.validation)
            given = as_counts(given) if self.objective.counts else given
            coo = given.matrix.tocoo()
            u = positions_as_written(given.users, self.users, "users")[coo.row]
            i = positions_as_written(given.items, self.items, "items")[coo.col]
        except (TypeError, ValueError) as error:
            raise error_at("validation", error) from error
        known = (u >= 0) & (i >= 0)
        if not known.any():
            raise ValueError("none of the %d validation ratings has a user and an item of the training ratings: check "
                             "the ids" % len(known))
        u, i = u[known], i[known]
        twice = np.count_nonzero(self.ratings.are_rated(u, i))
        if twice:
            raise ValueError("%d of the validation ratings are training ratings too; expected held-out ratings, or a "
                             "fraction to hold out" % twice)
        matrix = check_ratings(sp.coo_matrix((coo.data[known], (u, i)), (len(self.users), len(self.items))))
        return RatingMatrix(matrix, USERS, self.ratings.rows)

    def objective_for(self, biases):
        """The objective of training: in residual mode a missing entry is 0 in the unit of the targets."""
        return self.objective.at(self.missing_rating if biases is None else 0.0)


def _stored(settings, ratings, y, validation, objective, _):
    """Take ratings on disk: a `RatingMatrix`, users, items, the sides to train, the validation, and no `Ratings`."""
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
    return RatingMatrix(ratings.matrix, ratings.rows), users, items, (ratings.rows,), validation, None


def _in_memory(settings, ratings, y, validation, objective, features):
    """As `_stored`, of ratings in any other form, as `Ratings` with ids that are text where those of attributes are."""
    given = with_ids_like(reader_of(objective.counts, settings.progress)(ratings, y),
                          **{str(side): each.ids for side, each in features.items()})
    matrix, users, items, _ = as_counts(given) if objective.counts else given
    sides = ("items" if objective.clips else "users",)
    if settings.rows != "auto":
        sides = ("items", "users") if settings.rows == "both" else (settings.rows,)
    elif settings.biases:
        sides = useful_sides(("items", "users") if validation is not None else sides, matrix)
    # Without biases ratings are held out in the order of the rows, as in the post.
    return RatingMatrix(matrix, USERS, sides[0]), users, items, sides, validation, given


def _said_of(features, ids_by_side):
    """A line about attributes, by side, for ids with ratings; ValueError if they have none of these."""
    said = []
    for side, attributes in features.items():
        ids, name = ids_by_side[side], "%s_features" % side[:-1]
        n_both = len(np.intersect1d(ids, attributes.ids))
        if not n_both:
            first = attributes.ids[0].item()
            raise ValueError("%s have none of the %d %s with ratings, and ids such as %.60r%s; expected the same ids, "
                             "in a column called %s" % (name, len(ids), side, first, with_other_zeros(first, ids),
                                                        side[:-1]))
        if len(attributes.names) > _MOST_COLUMNS:
            raise ValueError("%s have %d columns; expected at most %d: leave out rare words, or pass a projection of "
                             "the columns on fewer" % (name, len(attributes.names), _MOST_COLUMNS))
        said.append("%s: %d columns of %d %s, %d of them without a rating; %d with ratings have none%s" % (
            name, len(attributes.names), len(attributes.ids), side, len(attributes.ids) - n_both, len(ids) - n_both,
            "; nothing is read from %s, where no two have a word in common" % listed(attributes.unread)
            if attributes.unread else ""))
    return "; ".join(said)


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


def reader_of(is_counts, progress):
    """The function from an argument to `Ratings`, perhaps of counts."""
    return partial(total_counts if is_counts else as_ratings, progress=progress)


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
    """The rating scale, and its lowest rating; None in place of the latter for counts and equal ratings."""
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
