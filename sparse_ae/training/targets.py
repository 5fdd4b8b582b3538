"""Encoder inputs and decoder targets of ratings, and the way back. `AsRated` is the post's; `BeyondBiases` is residual
mode: equations (6) to (9) of docs/explanation/biases.md, and the unit (4) of docs/explanation/missing.md."""
import numpy as np

from sparse_ae.checks import are_on_scale, check_finite, check_on_scale, error_at
from sparse_ae.data.ratings import Ratings, check_ratings
from sparse_ae.training.batch import Batch

__all__ = ["AsRated", "Targets"]

#: The number of ratings that the rules of "auto" were made for; see `recommender.defaults`.
TYPICAL = 50000.0

# Equation (8), chosen on validation ratings.
_THERE, _TYPICAL_COUNT, _POWER = 3.0, 50.0, 0.25

# Ratings looked at together: they may be on disk.
_CHUNK = 2 ** 22

# The length of MovieLens's scale, 1 to 5, and how far its ratings are from 0.
LENGTH, _DISTANCE = 4.0, 3.75


class Targets:
    """Base class of targets; see `AsRated`.

    Attributes
    ----------
    rating_scale : (float, float) or None
        To which predictions are clipped, if `clips`: scores aren't.
    unit : float
        The size of an output's 1 in the ratings' own unit.
    output_scale : (float, float) or None
        The range that outputs must reach, in their own unit: the model's `rating_scale`.
    channels : tuple of str
        The arrays that batches bring beside the ratings, as `Batch` names them.
    has_baseline : bool
        Whether a row or a column by itself gives a prediction.
    row_offsets, column_offsets : float64 arrays, (n_rows,) and (n_columns,)
        The ratings' level of rows and columns without a model, to be added up.
    slopes : (numpy.ndarray, numpy.ndarray) or None
        Arrays (n_rows, k) and (n_columns, k), whose products are added too.
    """

    rating_scale, clips, unit, output_scale, channels, has_baseline = None, True, 1.0, None, (), True
    row_offsets = column_offsets = slopes = None

    def block(self, block, offsets):
        """As `batch`, for rows given by their offsets, (n,); the rows may be new."""
        raise NotImplementedError

    def batch(self, rows, block):
        """Make the `Batch` of some rows, (n,), whose ratings are `block`, a csr_matrix of float32, (n, n_columns)."""
        return self.block(block, self.row_offsets[rows])

    def baseline(self, rows, columns):
        """Predict pairs without a model, float64, of the shape that the two broadcast to; not clipped."""
        found = self.row_offsets[rows] + self.column_offsets[columns]
        if self.slopes is None:
            return found
        of_rows, of_columns = self.slopes
        return found + sum(s[rows] * x[columns] for s, x in zip(of_rows.T, of_columns.T))

    def level(self, total, count):
        """A new column's level, by the sum and number of its targets: the decoder does not reproduce it."""
        return 0.0

    def clip(self, predicted):
        """Clip `predicted` to the rating scale, in place; scores are left unchanged."""
        if self.rating_scale is None or not self.clips:
            return predicted
        return np.clip(predicted, *self.rating_scale, out=predicted)

    def variance(self, ratings):
        """Mean square of the targets of ratings in a CSR matrix; None where no rule goes by it."""
        return None

    def check_model(self, model):
        """Raise ValueError for a model that reads other channels than these targets have."""
        reads, brings = ("indicator" in each.channels for each in (model, self))
        if reads != brings:
            raise ValueError("the model %s indicator, which %s %s; expected targets that match the model's inputs: "
                             "residuals for a model with a second encoder, U, and only for that"
                             % ("reads" if reads else "doesn't read", type(self).__name__,
                                "brings" if brings else "doesn't bring"))

    def check(self, ratings, model):
        """Return ratings to train on or to encode, (n_rows, n_columns), as canonical CSR of float32; or raise."""
        self.check_model(model)
        ratings = check_ratings(ratings)
        if ratings.shape[1] != model.n_columns:
            raise ValueError("ratings have %d columns; the model has n_items=%d. Rows are reconstructed, columns are "
                             "the model's items: transpose the matrix if necessary"
                             % (ratings.shape[1], model.n_columns))
        return ratings

    def check_unknown(self, unknown):
        """Raise ValueError for a prediction for unknown entries that isn't a rating; None means the mean."""
        if unknown is not None:
            check_finite(unknown, "unknown", "a number, or None for the mean rating")
            check_on_scale(unknown, self.rating_scale if self.clips else None)


class _Zeros:
    """Offsets of 0, of any number of rows or columns."""

    def __getitem__(self, places):
        return np.zeros(np.shape(places))


class AsRated(Targets):
    """Ratings in, ratings out; `rating_scale`, a pair of floats, may be None, and `clips` is False for scores."""

    has_baseline = False
    row_offsets = column_offsets = _Zeros()

    def __init__(self, rating_scale=None, clips=True):
        self.rating_scale = self.output_scale = rating_scale
        self.clips = clips

    def block(self, block, offsets):
        return Batch.of(block)

    def check(self, ratings, model):
        ratings = super().check(ratings, model)
        known = model.decoder().nonlinearity
        low, high = self.rating_scale or model.rating_scale or (known.range if known else (-np.inf, np.inf))
        on_scale = are_on_scale(ratings.data, (low, high))
        if not on_scale.all():
            first, least, most = ratings.data[np.argmin(on_scale)], ratings.data.min(), ratings.data.max()
            scale = ("rating_scale=(%g, %g)" if self.rating_scale else "the range of f, %g to %g") % (low, high)
            raise ValueError("rating %g is outside %s; pass rating_scale=(%g, %g), the lowest and highest rating"
                             % (first, scale, least, most))
        return ratings


class BeyondBiases(Targets):
    """Residuals of offsets, and of the products of `slopes`, (n_rows, k) and (n_columns, k). With a `unit` outputs are
    scores, and offsets add up to m; with `levels`, a pair of offsets, targets are those of equation (9)."""

    output_scale = -LENGTH, LENGTH
    channels = "target", "indicator"

    def __init__(self, row_offsets, column_offsets, rating_scale, unit=None, slopes=None, levels=None):
        self.row_offsets = np.asarray(row_offsets, np.float64)
        self.column_offsets = np.asarray(column_offsets, np.float64)
        self.rating_scale = tuple(map(float, rating_scale))
        self.unit = (self.rating_scale[1] - self.rating_scale[0]) / LENGTH if unit is None else unit
        self.clips, self.slopes = unit is None, slopes
        self._above = levels and (levels[0] - self.row_offsets, levels[1] - self.column_offsets)

    def batch(self, rows, block):
        counts = np.diff(block.indptr)
        if self.slopes is not None:
            of_rows, of_columns = self.slopes
            said = sum(np.repeat(s, counts) * x[block.indices] for s, x in zip(of_rows[rows].T, of_columns.T))
            block = Batch(block.data - said, block.indices, block.indptr)
        made = self.block(block, self.row_offsets[rows])
        if self._above is None:
            return made
        of_rows, of_columns = self._above
        level = np.repeat(of_rows[rows], counts) + of_columns[block.indices]
        return made._replace(target=made.target - (level / self.unit).astype(np.float32))

    def level(self, total, count):
        return total / (count + 1) if self.clips else 0.0  # for scores the level is a missing entry's

    def block(self, block, offsets):
        counts = np.diff(block.indptr)
        target = (block.data - np.repeat(offsets, counts) - self.column_offsets[block.indices]) / self.unit
        factor = np.repeat((_TYPICAL_COUNT / np.maximum(counts, 1)) ** _POWER, counts).astype(np.float32)
        target = target.astype(np.float32)
        return Batch(target * factor, block.indices, block.indptr, target, np.float32(_THERE) * factor)

    def variance(self, ratings):
        squares, n_rows = 0.0, max(1, _CHUNK * ratings.shape[0] // max(1, ratings.nnz))
        for start in range(0, ratings.shape[0], n_rows):
            rows = np.arange(start, min(start + n_rows, ratings.shape[0]))
            squares += float(np.sum(self.batch(rows, ratings[rows]).target.astype(np.float64) ** 2))
        return squares / ratings.nnz


def check_held_out(validation, train, given):
    """As `data.check_ratings`, for ratings that a training on `train` is validated by, the matrix of `given` ones."""
    try:
        both = isinstance(given, Ratings) and isinstance(validation, Ratings)
        validation = check_ratings(given.part(validation) if both else validation)
    except (TypeError, ValueError) as error:
        raise error_at("validation", error) from error
    if validation.shape != train.shape:
        raise ValueError("validation ratings are %d x %d, training ratings %d x %d; both must have the same rows and "
                         "columns, as split_ratings returns them" % (validation.shape + train.shape))
    return validation


def unit_of_scores(ratings, missing_rating):
    """The unit if missing entries count, for a CSR matrix; ValueError if all ratings are `missing_rating`."""
    squares = sum(float(np.sum((ratings.data[start:start + _CHUNK].astype(np.float64) - missing_rating) ** 2))
                  for start in range(0, ratings.nnz, _CHUNK))
    if not squares:
        raise ValueError("all ratings are missing_rating=%g; expected another one, below the ratings" % missing_rating)
    return float(np.sqrt(squares / ratings.nnz)) / _DISTANCE
