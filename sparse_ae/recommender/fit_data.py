"""The data of a fit: ratings and attributes, checked once; held-out ratings; and what follows: biases and targets."""
import numbers
from typing import Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.biases import Biases, beyond_slopes, fit_biases, fit_slopes
from sparse_ae.checks import are_on_scale, check_fraction, check_rating_scale, check_size_of_ratings, error_at
from sparse_ae.data.attributes import as_attributes
from sparse_ae.data.columns import tell_of_zeros
from sparse_ae.data.events import span_of, with_ids_like
from sparse_ae.data.ids import positions_as_written, tell_of_quantities, with_other_zeros
from sparse_ae.data.names import listed
from sparse_ae.data.ratings import CheckedMatrix, check_ratings
from sparse_ae.data.side import ITEMS, USERS, Side
from sparse_ae.data.splits import split_ratings
from sparse_ae.data.stores import StoredRatings
from sparse_ae.data.tables import as_counts, as_ratings, total_counts
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import ListValidation, relevant_from
from sparse_ae.recommender.defaults import WORTH_A_REFIT, is_auto, useful_sides, validation_fraction
from sparse_ae.recommender.members import MOST_DENSE
from sparse_ae.scoring.features import NEW_SHARE, share_of_new
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.training.checkpoint import fingerprint
from sparse_ae.training.targets import AsRated, BeyondBiases, Targets, unit_of_scores

# The most columns of attributes: a system of as many equations is solved after training, 800 MB of numbers.
_MOST_COLUMNS = 10000

# The most users whose rankings are validated after each epoch: they resolve 0.002 of NDCG. Fewer if their scores would
# be larger than a closed form's largest matrix.
_RANKED_AT_MOST = 2000

# The share of the held-out ratings that weights of several fits are found by; epochs and decays are by the others.
_FOR_WEIGHTS = 1 / 3


class Problem(NamedTuple):
    """What is given to a fit. `missing_rating` and `unit`, that of scores, are None if missing entries don't count,
    `metric` for RMSE, `span` without times. Validation is `held_out`, or a `fraction` to hold out."""

    users: np.ndarray
    items: np.ndarray
    sides: Tuple[str, ...]
    ratings: RatingMatrix
    scale: Tuple[float, float]
    unknown: Union[str, float]
    fraction: Optional[float] = None
    held_out: Optional[RatingMatrix] = None
    missing_rating: Optional[float] = None
    unit: Optional[float] = None
    metric: Optional[Metric] = None
    on_disk: bool = False
    features: Mapping = {}
    new_share: float = NEW_SHARE
    span: Optional[Tuple[float, float]] = None

    @property
    def holds_out_little(self):
        """Whether so small a fraction is held out that no other training, on all ratings, is worth it."""
        return self.fraction is not None and self.fraction < WORTH_A_REFIT


def check_problem(factory, ratings, y, validation, item_features, user_features):
    """The `Problem` of the arguments of `fit`, for models of a `ModelFactory`."""
    objective, on_disk = factory.objective, isinstance(ratings, StoredRatings)
    features = {side: as_attributes(given, "%s_features" % side[:-1])
                for side, given in ((USERS, user_features), (ITEMS, item_features)) if given is not None}
    if features and on_disk:
        raise ValueError("features were given with ratings on disk; expected ratings in memory, or no features")
    read = _stored if on_disk else _in_memory
    ratings, users, items, sides, validation, given = read(factory, ratings, y, validation, features)
    if features:
        features = {side: each.with_ids_like({USERS: users, ITEMS: items}[side]) for side, each in features.items()}
        factory.tell(_said_of(features, {USERS: users[ratings.users_rated], ITEMS: items[ratings.items_rated]}))
    new_share = NEW_SHARE
    if ITEMS in features and given.timestamps is not None:
        n_new = np.count_nonzero(~np.isin(features[ITEMS].ids, items[ratings.items_rated]))
        new_share = share_of_new(ratings.by(USERS).indices, given.timestamps, n_new)
    matrix, rating_scale = ratings.matrix, factory.settings["rating_scale"]
    if factory.tells:
        if not on_disk and not objective.counts and rating_scale is None:
            tell_of_zeros(matrix.data)
        for ids, name in ((users, "user"), (items, "item")):
            tell_of_quantities(ids, name)
    scale, lowest = _check_scale(rating_scale, matrix.data, objective)
    unknown = factory.settings["unknown"]
    AsRated(scale, objective.clips).check_unknown(unknown if isinstance(unknown, float) else None)
    missing_rating = unit = None
    if not objective.clips:
        missing_rating = objective.missing_rating(None if lowest is None else scale)
        unit = unit_of_scores(matrix, missing_rating)
    fraction, held_out, metric = _fraction(validation, matrix.nnz, factory), None, factory.metric
    if validation is None and metric.k and objective.clips:
        raise ValueError("validation=None, and the objective is %r, which stops by %s of validation ratings; "
                         "expected validation ratings, such as validation='auto', or another objective"
                         % (objective, objective.measure))
    metric = metric._replace(relevant=relevant_from(matrix.data, scale, objective.counts)) if metric.k else None
    if validation is not None and fraction is None:
        held_out = _held_out(validation, ratings, (users, items), factory)
    return Problem(users, items, sides, ratings, scale, unknown, fraction, held_out, missing_rating, unit, metric,
                   on_disk, features, new_share, given and span_of(given))


def _stored(factory, ratings, y, validation, _):
    """Take ratings on disk: a `RatingMatrix`, users, items, the sides to train, the validation, and no `Ratings`."""
    if factory.settings["rows"] not in ("auto", ratings.rows):
        raise ValueError("the stored ratings have %s as rows and the recommender has rows=%r; set rows='auto', or "
                         "store the ratings with other rows" % (ratings.rows, factory.settings["rows"]))
    if factory.objective.counts:
        raise ValueError("the objective is for counts, and ratings on disk can't be transformed; pass "
                         "objective='lists', and store transformed counts")
    ratings.check()
    users, items = ratings.rows.users_items(ratings.row_ids, ratings.col_ids)
    if isinstance(validation, numbers.Number):
        raise ValueError("validation is %r, and ratings on disk can't be split; pass held-out ratings, or "
                         "validation=None" % (validation,))
    validation = None if is_auto(validation) else validation
    return RatingMatrix(ratings.matrix, ratings.rows), users, items, (ratings.rows,), validation, None


def _in_memory(factory, ratings, y, validation, features):
    """As `_stored`, of ratings in any other form, as `Ratings` with ids that are text where those of attributes are."""
    counts, rows = factory.objective.counts, factory.settings["rows"]
    given = with_ids_like(ratings_of(factory, ratings, y), **{str(side): each.ids for side, each in features.items()})
    matrix, users, items, _ = as_counts(given) if counts else given
    sides = ("items" if factory.objective.clips else "users",)
    if rows != "auto":
        sides = ("items", "users") if rows == "both" else (rows,)
    elif factory.residual_mode:
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


def ratings_of(factory, given, y=None):
    """`Ratings` of an argument of `fit`, perhaps of counts."""
    return (total_counts if factory.objective.counts else as_ratings)(given, y, progress=factory.settings["progress"])


def _fraction(validation, n_ratings, factory):
    """The fraction to hold out; None if ratings are given for it, or nothing."""
    if is_auto(validation):
        for_lists = factory.objective.measure != "rmse"
        fraction = validation_fraction(n_ratings, for_lists) if factory.residual_mode else 0.1
    elif isinstance(validation, numbers.Number):
        fraction = check_fraction(validation, "validation", ", 'auto', held-out ratings, or None")
    else:
        return None
    n_held_out = round(fraction * n_ratings)
    if not 0 < n_held_out < n_ratings:
        raise ValueError("validation=%r is %d of %d ratings; expected at least one, and one for training: change the "
                         "fraction, pass held-out ratings, or validation=None"
                         % (validation, n_held_out, n_ratings))
    return float(fraction)


def _held_out(given, ratings, ids, factory):
    """The held-out ratings that were given, of users and items with such ids: a `RatingMatrix`."""
    try:
        given = ratings_of(factory, given)
        given = as_counts(given) if factory.objective.counts else given
        coo = given.matrix.tocoo()
        u, i = (positions_as_written(own, known, side)[places] for own, known, side, places in zip(
            (given.users, given.items), ids, (USERS, ITEMS), (coo.row, coo.col)))
    except (TypeError, ValueError) as error:
        raise error_at("validation", error) from error
    known = (u >= 0) & (i >= 0)
    if not known.any():
        raise ValueError("none of the %d validation ratings has a user and an item of the training ratings: check "
                         "the ids" % len(known))
    u, i = u[known], i[known]
    twice = np.count_nonzero(ratings.are_rated(u, i))
    if twice:
        raise ValueError("%d of the validation ratings are training ratings too; expected held-out ratings, or a "
                         "fraction to hold out" % twice)
    matrix = check_ratings(sp.coo_matrix((coo.data[known], (u, i)), tuple(map(len, ids))))
    return RatingMatrix(matrix, USERS, ratings.rows)


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


class SideData(NamedTuple):
    """A `RatingMatrix` that models with some rows are trained on, its `Targets`, and those without the levels that a
    decoder needn't learn; `held_out` ratings, or None."""

    side: Side
    ratings: RatingMatrix
    targets: Targets
    taught: Targets
    held_out: Optional[RatingMatrix] = None


class FitData(NamedTuple):
    """Ratings to train on. Epochs and decays are chosen on `held_out`, weights on `for_weights`, perhaps the same;
    without validation both are None. `slopes` is the weight of users' slopes in the biases."""

    problem: Problem
    train: RatingMatrix
    held_out: Optional[RatingMatrix] = None
    for_weights: Optional[RatingMatrix] = None
    slopes: float = 0.0

    def fingerprints(self):
        """What ranks have to agree on, by name."""
        of_ratings = {"ratings": self.problem.ratings, "validation ratings": self.held_out,
                      "ratings for weights": self.for_weights}
        return dict({name: each and fingerprint(each.matrix) for name, each in of_ratings.items()},
                    **{"ids of users": self.problem.users, "ids of items": self.problem.items})

    def whole(self):
        """All ratings, without validation."""
        return FitData(self.problem, self.problem.ratings, slopes=self.slopes)

    def biases_under(self):
        """The `Biases` under a model: a constant for scores."""
        if self.problem.unit is not None:
            return Biases(self.problem.missing_rating, *map(np.zeros, self.train.shape))
        return biases_of(self.train, slopes=self.slopes)

    def alone(self):
        """Predictions without a model, as `Biases`: the popularity of items for scores."""
        if self.problem.unit is None:
            return self.biases_under()
        return popularity_of(self.train, self.problem.missing_rating)

    def targets(self, biases, side, levels=None):
        """The `targets_of` the fit's ratings."""
        return targets_of(biases, side, self.problem.scale, self.problem.unit, levels)

    def of_side(self, side, biases):
        """The `SideData` of the training ratings and `held_out`."""
        # Levels that aren't taught are shrunk by one rating.
        levels = biases_of(self.train, 1.0, self.slopes) if biases and self.problem.unit is None else None
        return SideData(side, self.train, self.targets(biases, side), self.targets(biases, side, levels), self.held_out)

    def list_validation(self):
        """The `ListValidation` of models; None without held-out ratings, and with validation by RMSE."""
        if self.held_out is None or self.problem.metric is None:
            return None
        train, held_out = (CheckedMatrix(each.by("users")) for each in (self.train, self.held_out))
        most_users = min(_RANKED_AT_MOST, 1 + MOST_DENSE ** 2 // self.train.shape[1])
        return ListValidation(train, held_out, self.problem.metric, most_users)


def hold_out(problem, rng, apart, slopes=0.0):
    """The `FitData` of a `Problem`; if `apart`, the ratings for weights are others."""
    ratings = problem.ratings
    if problem.fraction is None:
        return FitData(problem, ratings, problem.held_out, problem.held_out, slopes)
    split = split_ratings(CheckedMatrix(ratings.matrix), problem.fraction, rng)
    held_out = for_weights = RatingMatrix(split.test, ratings.rows)
    if apart and split.test.nnz > 2:
        parts = split_ratings(CheckedMatrix(split.test), _FOR_WEIGHTS, rng)
        held_out, for_weights = (RatingMatrix(part, ratings.rows) for part in (parts.train, parts.test))
    return FitData(problem, RatingMatrix(split.train, ratings.rows), held_out, for_weights, slopes)


def biases_of(ratings, shrinkage="auto", slopes=0.0):
    """The biases of a `RatingMatrix`, kept for each shrinkage and weight of slopes."""
    key = shrinkage, slopes
    if key not in ratings.biases:
        if slopes:
            of_users = biases_of(ratings, slopes=slopes).slopes if shrinkage != "auto" else fit_slopes(
                ratings.by(USERS), biases_of(ratings), slopes)
            ratings.biases[key] = beyond_slopes(ratings.by(USERS), of_users, shrinkage)
        else:  # read in their layout
            mean, rows, columns, pair, _ = fit_biases(CheckedMatrix(ratings.matrix), shrinkage)
            turned = ratings.rows.users_items
            ratings.biases[key] = Biases(mean, *turned(rows, columns), turned(*pair))
    return ratings.biases[key]


def popularity_of(ratings, missing_rating):
    """`Biases` without users' offsets: the share of users who have rated each item, above `missing_rating`."""
    n_users = ratings.shape[0]
    return Biases(missing_rating, np.zeros(n_users), ratings.counts[1] / n_users)


def targets_of(biases, rows, scale, unit, levels=None):
    """The `Targets` beyond biases, or ratings if these are None; the `levels`, other `Biases`, aren't taught."""
    if biases is None:
        return AsRated(scale, clips=unit is None)

    def offsets_of(biases):
        offsets, columns = Side(rows).rows_columns(biases.users, biases.items)
        return biases.mean + offsets, columns

    slopes = biases.slopes and Side(rows).rows_columns(biases.slopes.users, biases.slopes.items)
    levels = None if levels is None else offsets_of(levels)
    return BeyondBiases(*offsets_of(biases), scale, unit, slopes, levels)
