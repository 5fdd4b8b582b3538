"""Predicted ratings of a model without a recommender, by rows and columns: `AutoEncoder.predict_pairs` and others."""
import numpy as np

from sparse_ae.checks import check_count
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.batch import Batch
from sparse_ae.training.targets import AsRated

__all__ = ["predict_blocks", "predict_pairs"]


def predict_pairs(model, ratings, rows, cols, unknown=None, block_size=1024):
    """Predict pairs: see `AutoEncoder.predict_pairs`."""
    ratings, targets = _checked(model, ratings, block_size, unknown)
    rows, cols = _positions(rows, ratings.shape[0], "rows"), _positions(cols, ratings.shape[1], "cols")
    if len(rows) != len(cols):
        raise ValueError("rows has %d entries, cols %d; expected as many" % (len(rows), len(cols)))
    scorer = Scorer(model, ratings, targets=targets)
    return scorer.predict(rows, cols, scorer.rating_matrix.mean if unknown is None else unknown, block_size)


def predict_blocks(model, ratings, block_size=256):
    """Predict all columns, a block of rows at a time: see `AutoEncoder.predict_blocks`."""
    ratings, targets = _checked(model, ratings, block_size)
    outputs = Outputs(model)
    for start in range(0, ratings.shape[0], block_size):
        rows = slice(start, min(start + block_size, ratings.shape[0]))
        yield rows, targets.clip(outputs.everywhere(outputs.hidden(Batch.of(ratings[rows]))))


def _checked(model, ratings, block_size, unknown=None):
    """The ratings to encode, and the targets of a model of ratings themselves."""
    if model.channels:
        raise ValueError("the model reads %s beside the ratings, which need targets; expected a model that reads only "
                         "ratings: predict with scoring.Scorer(model, ratings, targets=...)"
                         % " and ".join(model.channels))
    targets = AsRated(model.rating_scale)
    targets.check_unknown(unknown)
    check_count(block_size, "block_size")
    return targets.check(ratings, model), targets


def _positions(values, stop, name):
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError("%s is a %d-d array of %s; expected a vector of integers" % (name, values.ndim, values.dtype))
    if len(values) and (values.min() < 0 or values.max() >= stop):
        wrong = values[(values < 0) | (values >= stop)][0]
        raise IndexError("%s holds %d; the ratings have positions 0 ... %d" % (name, wrong, stop - 1))
    return values.astype(np.intp, copy=False)
