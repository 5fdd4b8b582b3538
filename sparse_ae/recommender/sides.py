"""Ratings with users as rows and with items as rows, and their biases."""
import copy

import numpy as np

from sparse_ae.baselines.biases import Biases, beyond_slopes, fit_biases, fit_slopes
from sparse_ae.data.ratings import Checked
from sparse_ae.data.side import ITEMS, USERS, Side
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.scoring.shared import SharedScorer
from sparse_ae.training.targets import AsRated, BeyondBiases


class OrientedRatings:
    """A matrix of ratings with users as rows and with items as rows: each made when first needed."""

    def __init__(self, matrix, rows, ranks=ALONE, in_parts=False):
        self.rows, self.ranks, self.in_parts, self._made, self._own = Side(rows), ranks, in_parts, {rows: matrix}, {}
        self.sharing, self._to_share = (ranks, ALONE) if in_parts else (ALONE, ranks)
        self.biases = {}

    def laid_out(self, rows):
        """As `by`, if it is made already; else None."""
        return self._made.get(rows)

    def turned(self, rows):
        """The same ratings, with these rows where either is possible, so that each layout is made once."""
        self.by(rows)
        turned = copy.copy(self)
        turned.rows = Side(rows)
        return turned

    def own(self, rows):
        """As `by`: a rank's own columns."""
        if rows not in self._own:
            self._own[rows] = self._to_share.part(self.by(rows))
        return self._own[rows]

    def by(self, rows):
        """The matrix with users as rows or with items, CSR."""
        if rows not in self._made:
            self._made[rows] = self._made[self.rows].T.tocsr()
        return self._made[rows]


def biases_of(ratings, shrinkage="auto", slopes=False):
    """The biases of `OrientedRatings`, kept for each shrinkage and with slopes."""
    key = shrinkage, slopes
    if key not in ratings.biases:
        if slopes:
            of_users = biases_of(ratings, slopes=True).slopes if shrinkage != "auto" else fit_slopes(
                ratings.by(USERS), biases_of(ratings))
            ratings.biases[key] = beyond_slopes(ratings.by(USERS), of_users, shrinkage)
        else:  # read in their layout
            mean, rows, columns, pair, _ = fit_biases(Checked(ratings.by(ratings.rows)), shrinkage, ratings.sharing)
            turned = ratings.rows.users_items
            ratings.biases[key] = Biases(mean, *turned(rows, ratings.sharing.columns_of(columns)), turned(*pair))
    return ratings.biases[key]


def popularity_of(ratings, missing_rating):
    """The share of users who have rated each item, above `missing_rating`: `Biases` without any of users."""
    n_users, n_items = shape_of(ratings)
    part = ratings.by(ratings.rows)
    if ratings.rows == ITEMS:
        counts = ratings.sharing.sum(np.diff(part.indptr))
    else:
        counts = ratings.sharing.columns_of(np.bincount(part.indices, minlength=part.shape[1]))
    return Biases(missing_rating, np.zeros(n_users), counts / n_users)


def targets_of(biases, rows, scale, unit=None, ranks=ALONE, levels=None):
    """Make the `Targets` of a rank's own columns: beyond biases, or the ratings themselves where these are None.

    `levels` are biases too: those that a decoder isn't to learn again, see `training.targets`.
    """
    if biases is None:
        return AsRated(scale, clips=unit is None)

    def offsets_of(biases):
        offsets, columns = Side(rows).rows_columns(biases.users, biases.items)
        return biases.mean + offsets, columns[ranks.own]

    slopes = biases.slopes and Side(rows).rows_columns(biases.slopes.users, biases.slopes.items)
    levels = None if levels is None else offsets_of(levels)
    return BeyondBiases(*offsets_of(biases), scale, unit, ranks, slopes, levels)


def scorer_of(model, ratings, side, biases, scale, unit=None):
    """Make a `Scorer` of `OrientedRatings`; of all ranks together."""
    ranks, side = ratings.ranks, Side(side)
    targets = targets_of(biases, side, scale, unit, ranks)
    if ranks.size == 1:
        return Scorer(model, ratings.by(side), side, targets, ratings.laid_out(side.other))
    own = Scorer(model, ratings.own(side), side, targets)
    return SharedScorer(own, targets_of(biases, side, scale, unit))


def shape_of(ratings):
    """Count the users and the items of `OrientedRatings`, on all ranks."""
    n_rows, n_columns = ratings.by(ratings.rows).shape
    return ratings.rows.users_items(n_rows, int(ratings.sharing.sum(np.array([n_columns]))[0]))


def n_columns_of(ratings, rows):
    """Count the columns of `OrientedRatings` with these rows, on all ranks."""
    return Side(rows).rows_columns(*shape_of(ratings))[1]
