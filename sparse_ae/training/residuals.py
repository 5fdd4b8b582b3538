"""Ratings in, residuals out: what the encoder sees of ratings, what the decoder is to give, and the way back.

Biases say most of what there is to say of a rating: the mean, the user's offset and the item's. The decoder is left
what they leave over, so that an item's level needn't pass through the encoder. With the biases' prediction b_ui, and
the scale from `low` to `high` brought to the length of MovieLens's, for which step sizes, weights and decays were made,

    residual    e_ui = (r_ui - b_ui) / unit,    unit = (high - low) / 4            (1)
    prediction  b_ui + unit * output                                               (2)

The encoder gets the residuals, and beside them, through weights of its own, which entries are there: residuals near 0
hide what was rated, and that alone tells a lot. Both are scaled by how many ratings n the row has,

    x_ui = e_ui q_n,    s_ui = 3 q_n,    q_n = (50 / n)^(1/4)                   (3)

lest rows with many ratings drive the hidden units into saturation. Stored is observed: a residual of 0 is a rating.

Offsets that are parameters of the graph, one for each row beside b for each column, are no better, and a row that comes
later has none. Validation RMSE of items as rows, the best of four decays of theirs, and beside it that of (1):
FilmTrust 0.7845 and 0.7848, MovieLens 100K 0.9075 and 0.9064, Douban 0.7554 and 0.7397.

Where missing entries count (see `objectives`), as if they had been rated m, biases have no part: how popular an item is
shows in all entries, not in the ratings. Then b_ui is m for all, missing entries have the target 0, and the unit is

    unit = sqrt(mean of (r_ui - m)^2) / 3.75,    m = low - (high - low) / 4                 (4)

where 3.75 is what MovieLens's ratings give with a unit of 1, whose m is 0. Outputs are scores: they aren't clipped.
"""
import numpy as np

from sparse_ae.runtime.ranks import ALONE
from sparse_ae.training.batch import Batch

__all__ = ["Residuals", "missing_rating_of", "unit_of_scores"]

# Equation (3), chosen on validation ratings of five data sets and of made-up ones.
_THERE, _TYPICAL_COUNT, _POWER = 3.0, 50.0, 0.25

# Ratings looked at together: they may be on disk.
_PART = 2 ** 22

# The length of MovieLens's scale, 1 to 5, and how far its ratings are from 0.
_LENGTH, _DISTANCE = 4.0, 3.75


class Residuals:
    """The biases of a model's rows and columns, and the rating scale.

    Parameters
    ----------
    rows : float array, (n_rows,)
        The biases' prediction for a row and a column is the sum of ``rows[row]`` and ``columns[column]``.
    columns : float array, (n_columns,)
    rating_scale : (float, float)
    unit : float, optional
        Of scores, equation (4); they aren't clipped. By default equation (1)'s.
    ranks : Ranks
        Among which the columns are shared out: a row's number of ratings is then of all of them, and what makes blocks
        is for all ranks to call together.

    Attributes
    ----------
    unit : float
        Of a residual, in the ratings' own unit.
    output_scale : (float, float)
        The model's `rating_scale`, in the unit of residuals: a bounded f is stretched over all that there could be.
    """

    output_scale = -_LENGTH, _LENGTH
    channels = "target", "indicator"

    def __init__(self, rows, columns, rating_scale, unit=None, ranks=ALONE):
        self.rows, self.columns = np.asarray(rows, np.float64), np.asarray(columns, np.float64)
        self.low, self.high = map(float, rating_scale)
        self.unit = (self.high - self.low) / _LENGTH if unit is None else unit
        self._scores, self._ranks = unit is not None, ranks

    def baseline(self, rows, columns):
        """The biases' predictions for pairs, (n,), not clipped."""
        return self.rows[rows] + self.columns[columns]

    def batch(self, rows, block):
        """What a step takes of some rows.

        Parameters
        ----------
        rows : int array, (n,)
        block : csr_matrix of float32, (n, n_columns)
            Their ratings.

        Returns
        -------
        Batch
            Equation (3), for the encoders, and as the target equation (1), for the decoder.
        """
        return self.block(block, self.rows[rows])

    def block(self, block, offsets):
        """As `batch`, for rows with these offsets, (n,), which needn't be known ones."""
        counts = np.diff(block.indptr)
        target = (block.data - np.repeat(offsets, counts) - self.columns[block.indices]) / self.unit
        of_all = np.maximum(self._ranks.sum(counts), 1)
        factor = np.repeat((_TYPICAL_COUNT / of_all) ** _POWER, counts).astype(np.float32)
        target = target.astype(np.float32)
        return Batch(target * factor, block.indices, block.indptr, target, np.float32(_THERE) * factor)

    def variance(self, ratings):
        """Mean square of the residuals of ratings in a CSR matrix; read a part of its rows at a time."""
        n = int(self._ranks.sum(np.array([ratings.nnz]))[0])
        squares, step = 0.0, max(1, _PART * ratings.shape[0] // max(1, n))
        for start in range(0, ratings.shape[0], step):
            rows = np.arange(start, min(start + step, ratings.shape[0]))
            squares += float(np.sum(self.batch(rows, ratings[rows]).target.astype(np.float64) ** 2))
        return float(self._ranks.sum(np.array([squares]))[0]) / n

    def clip(self, predicted):
        """`predicted` brought into the rating scale, in place; scores as they are."""
        return predicted if self._scores else np.clip(predicted, self.low, self.high, out=predicted)


def missing_rating_of(rating_scale):
    """Equation (4)'s m: as far below the lowest rating as 0 is below MovieLens's."""
    low, high = rating_scale
    return low - (high - low) / _LENGTH


def unit_of_scores(ratings, missing_rating, ranks=ALONE):
    """Equation (4)'s unit for a CSR matrix; ValueError if all ratings are `missing_rating`."""
    squares = sum(float(np.sum((ratings.data[start:start + _PART].astype(np.float64) - missing_rating) ** 2))
                  for start in range(0, ratings.nnz, _PART))
    squares, n = ranks.sum(np.array([squares, ratings.nnz]))
    if not squares:
        raise ValueError("all ratings are missing_rating=%g; expected another one, below the ratings" % missing_rating)
    return float(np.sqrt(squares / n)) / _DISTANCE
