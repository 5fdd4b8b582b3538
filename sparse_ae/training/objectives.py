"""What is summed over which entries: the observed ones alone, as in the post, or the missing ones a little too.

Lists that are learned from observed entries alone are poor: what people rate is what they chose to consume, and that
they didn't choose the rest tells something. So let every missing entry count w, as if it had been rated m, where O are
the observed entries, r their ratings and y the outputs:

    sum over O of (r - y)^2  +  w sum over all others of (m - y)^2                                   (1)

w = 0 is the post. H. Steck, Training and Testing of Recommender Systems on Data Missing Not at Random, KDD 2010; as
for why: B. M. Marlin, R. S. Zemel, Collaborative Prediction and Ranking with Non-Random Missing Data, RecSys 2009.

It needn't cost rows x items. For a linear output y = W h + b, the second sum over *all* entries of a row is

    |W h + b - m|^2  =  h' G h  +  2 h' q  +  c,    G = W'W,  q = W'(b - m),  c = |b - m|^2          (2)

with G (k, k) made once for a mini-batch: for B rows and n items that costs (B + n) k^2, and nothing of size B x n is
made. The observed entries, which (2) counts with w as well, are put right one by one. For w < 1 that is again a squared
error, at a target that is shifted away from m,

    (r - y)^2 - w (m - y)^2  =  (1 - w) (t - y)^2 - w / (1 - w) (r - m)^2,    t = m + (r - m) / (1 - w)        (3)

so that the passes over the ratings stay what they are. Both are exact, and Theano differentiates them: Y. Hu, Y. Koren,
C. Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, for factors; P. Vincent, A. de
Brebisson, X. Bouthillier, Efficient Exact Gradient Update for Training Deep Networks with Very Large Sparse Targets,
NIPS 2015, for networks.

`model` has W, b, missing_weight w and missing_rating m as attributes, as `AutoEncoder` has.
"""
import numpy as np

from sparse_ae.ops.everywhere import squared_outputs
import theano.tensor as T

__all__ = ["MOST_SHIFTED", "error_beyond_missing", "error_everywhere", "masked_error", "shifted_error"]

# The largest w for equation (3), whose target runs away as w comes near 1.
MOST_SHIFTED = 0.9


def masked_error(output, target, observed, model):
    """Equation (1) of dense rows.

    Parameters
    ----------
    output, target : matrices, (n_rows, n_items)
    observed : matrix of bool or int8, (n_rows, n_items)
        Not 0 where there is a rating. No float is a condition in OpenCL.
    model : AutoEncoder

    Returns
    -------
    scalar
    """
    # Switches, not products: 0 times an infinite output is no 0.
    if not model.missing_weight:
        return T.sum(T.switch(observed, output - target, 0) ** 2)
    w, m = _missing(model)
    return T.sum(T.switch(observed, (output - target) ** 2, w * (output - m) ** 2))


def error_everywhere(h, model):
    """Equation (2) times w, summed over rows of hidden units (n_rows, k): all entries as if they were missing."""
    w, m = _missing(model)
    return w * squared_outputs(h, model.W, model.b - m)


def shifted_error(squared_error, target, model):
    """Equation (3) summed over observed entries.

    Parameters
    ----------
    squared_error : callable
        From targets (nnz,) to the sum over observed entries of (target - output)^2.
    target : vector, (nnz,)
    model : AutoEncoder
        With a `missing_weight` of at most `MOST_SHIFTED`.

    Returns
    -------
    scalar
    """
    w, m = _missing(model)
    rest, beyond = w.dtype.type(1 - w), target - m
    return rest * squared_error(m + beyond / rest) - w / rest * T.sum(beyond ** 2)


def error_beyond_missing(output, target, model):
    """The left of equation (3) summed over observed entries, from their outputs and targets, (nnz,): for any w."""
    w, m = _missing(model)
    return T.sum((output - target) ** 2) - w * T.sum((output - m) ** 2)


def _missing(model):
    """w and m as numbers of the model's dtype, lest they widen the graph."""
    return tuple(np.dtype(model.dtype).type(number) for number in (model.missing_weight, model.missing_rating))
