"""Ratings with users as rows and with items as rows, and their biases."""
import numpy as np

from sparse_ae.baselines.biases import Biases, beyond_slopes, fit_biases, fit_slopes
from sparse_ae.data.ratings import Checked, rating_counts
from sparse_ae.data.side import USERS, Side
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.targets import AsRated, BeyondBiases


class OrientedRatings:
    """Ratings with users as rows and with items as rows, each made when first needed; `rows` are those to read them by
    where either is possible."""

    def __init__(self, matrix, laid_out, rows=None):
        self._made, self.rows, self.biases = {laid_out: matrix}, Side(rows or laid_out), {}

    def by(self, rows):
        """The matrix with users as rows or with items, CSR."""
        if rows not in self._made:
            self._made[rows] = self._made[Side(rows).other].T.tocsr()
        return self._made[rows]

    def laid_out(self, rows):
        """As `by`, if it is made already; else None."""
        return self._made.get(rows)

    @property
    def shape(self):
        """The numbers of users and of items."""
        return self.rows.users_items(*self.by(self.rows).shape)


def biases_of(ratings, shrinkage="auto", slopes=False):
    """The biases of `OrientedRatings`, kept for each shrinkage and with slopes."""
    key = shrinkage, slopes
    if key not in ratings.biases:
        if slopes:
            of_users = biases_of(ratings, slopes=True).slopes if shrinkage != "auto" else fit_slopes(
                ratings.by(USERS), biases_of(ratings))
            ratings.biases[key] = beyond_slopes(ratings.by(USERS), of_users, shrinkage)
        else:  # read in their layout
            mean, rows, columns, pair, _ = fit_biases(Checked(ratings.by(ratings.rows)), shrinkage)
            turned = ratings.rows.users_items
            ratings.biases[key] = Biases(mean, *turned(rows, columns), turned(*pair))
    return ratings.biases[key]


def popularity_of(ratings, missing_rating):
    """The share of users who have rated each item, above `missing_rating`: `Biases` without any of users."""
    n_users, counts = ratings.shape[0], ratings.rows.users_items(*rating_counts(ratings.by(ratings.rows)))[1]
    return Biases(missing_rating, np.zeros(n_users), counts / n_users)


def targets_of(biases, rows, scale, unit=None, levels=None):
    """Make `Targets`: beyond biases, or the ratings themselves where these are None.
    `levels` are biases too, which a decoder isn't to learn again, see `training.targets`."""
    if biases is None:
        return AsRated(scale, clips=unit is None)

    def offsets_of(biases):
        offsets, columns = Side(rows).rows_columns(biases.users, biases.items)
        return biases.mean + offsets, columns

    slopes = biases.slopes and Side(rows).rows_columns(biases.slopes.users, biases.slopes.items)
    levels = None if levels is None else offsets_of(levels)
    return BeyondBiases(*offsets_of(biases), scale, unit, slopes, levels)


def scorer_of(model, ratings, side, biases, scale, unit=None):
    """Make a `Scorer` of `OrientedRatings`."""
    side = Side(side)
    return Scorer(model, ratings.by(side), side, targets_of(biases, side, scale, unit), ratings.laid_out(side.other))
