"""The data of a fit: ratings to train on, held-out ratings, and what follows from them: biases and targets."""
from typing import NamedTuple, Optional

import numpy as np

from sparse_ae.baselines.biases import Biases, beyond_slopes, fit_biases, fit_slopes
from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.data.side import USERS, Side
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.recommender.members import MOST_DENSE
from sparse_ae.recommender.problem import Problem
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.training.checkpoint import fingerprint
from sparse_ae.training.targets import AsRated, BeyondBiases, Targets

# The most users whose rankings are validated after each epoch: they resolve 0.002 of NDCG. Fewer if their scores would
# be larger than a closed form's largest matrix.
_RANKED_AT_MOST = 2000

# The share of the held-out ratings that weights of several fits are found by; epochs and decays are by the others.
_FOR_WEIGHTS = 1 / 3


class SideData(NamedTuple):
    """A `RatingMatrix` that models with some rows are trained on, its `Targets`, and those without the levels that a
    decoder needn't learn; `held_out` ratings, or None."""

    side: Side
    ratings: RatingMatrix
    targets: Targets
    taught: Targets
    held_out: Optional[RatingMatrix] = None


class FitData(NamedTuple):
    """The ratings of a fit. Epochs and decays are chosen on `held_out`, weights on `for_weights`, perhaps the same;
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

    def biases_under(self, ratings):
        """The `Biases` under a model of a `RatingMatrix`: a constant for scores."""
        if self.problem.unit is not None:
            return Biases(self.problem.missing_rating, *(np.zeros(n) for n in ratings.shape))
        return biases_of(ratings, slopes=self.slopes)

    def alone(self, ratings):
        """Predictions without a model, as `Biases`: the popularity of items for scores."""
        if self.problem.unit is None:
            return self.biases_under(ratings)
        return popularity_of(ratings, self.problem.missing_rating)

    def targets(self, biases, side, levels=None):
        """The `targets_of` the fit's ratings."""
        return targets_of(biases, side, self.problem.scale, self.problem.unit, levels)

    def of_side(self, side, biases, ratings=None):
        """The `SideData` of the training ratings and `held_out`; or of other ratings, without validation."""
        held_out = self.held_out if ratings is None else None
        ratings, levels = self.train if ratings is None else ratings, None
        if biases is not None and self.problem.unit is None:
            levels = biases_of(ratings, 1.0, self.slopes)  # shrunk by one rating
        return SideData(side, ratings, self.targets(biases, side), self.targets(biases, side, levels), held_out)

    def list_validation(self):
        """The `ListValidation` of models; None without held-out ratings, and with validation by RMSE."""
        if self.held_out is None or self.problem.metric is None:
            return None
        train, held_out = (CheckedMatrix(each.by("users")) for each in (self.train, self.held_out))
        most_users = min(_RANKED_AT_MOST, 1 + MOST_DENSE ** 2 // self.train.shape[1])
        return ListValidation(train, held_out, self.problem.metric, most_users)


def hold_out(problem, rng, apart=False, slopes=0.0):
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


def targets_of(biases, rows, scale, unit=None, levels=None):
    """The `Targets` beyond biases, or ratings if these are None; the `levels`, other `Biases`, aren't taught."""
    if biases is None:
        return AsRated(scale, clips=unit is None)

    def offsets_of(biases):
        offsets, columns = Side(rows).rows_columns(biases.users, biases.items)
        return biases.mean + offsets, columns

    slopes = biases.slopes and Side(rows).rows_columns(biases.slopes.users, biases.slopes.items)
    levels = None if levels is None else offsets_of(levels)
    return BeyondBiases(*offsets_of(biases), scale, unit, slopes, levels)
