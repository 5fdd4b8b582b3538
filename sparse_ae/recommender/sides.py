"""Biases of a `RatingMatrix`, and the targets that are left beyond them."""
import numpy as np

from sparse_ae.baselines.biases import Biases, beyond_slopes, fit_biases, fit_slopes
from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.data.side import USERS, Side
from sparse_ae.training.targets import AsRated, BeyondBiases


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
    """The `Targets` beyond biases, or the ratings themselves if these are None; a decoder isn't taught the `levels`,
    which are `Biases` too."""
    if biases is None:
        return AsRated(scale, clips=unit is None)

    def offsets_of(biases):
        offsets, columns = Side(rows).rows_columns(biases.users, biases.items)
        return biases.mean + offsets, columns

    slopes = biases.slopes and Side(rows).rows_columns(biases.slopes.users, biases.slopes.items)
    levels = None if levels is None else offsets_of(levels)
    return BeyondBiases(*offsets_of(biases), scale, unit, slopes, levels)
