"""Matrix factorisation on the observed entries, the post's first equation. Equations (7) and (8) are in
docs/explanation/baselines.md."""
import time
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from sparse_ae.baselines.biases import Biases, predict_biases
from sparse_ae.checks import check_count, check_dtype, check_number, check_rng
from sparse_ae.data.ratings import check_ratings, rows_of_entries
from sparse_ae.ops import sampled_dot
from sparse_ae.ops.compiled import building
from sparse_ae.training.optimisers import rprop
import theano
import theano.tensor as T

__all__ = ["Factors", "fit_factors", "predict_factors"]

# Pairs predicted at a time: each takes two copies of its factors.
_PAIRS = 2 ** 14


class Factors(NamedTuple):
    """The parameters of equation (7) of docs/explanation/baselines.md.

    Attributes
    ----------
    biases : baselines.Biases
        The mean, c (n_users,) and d (n_items,).
    W, H : numpy.ndarray, shapes (n_users, k) and (n_items, k)
    """

    biases: Biases
    W: np.ndarray
    H: np.ndarray


def factor_cost(W, H, c, d, data, rows, indices, indptr, l2):
    """Graphs of equation (8) and of its squared error, for mean-centred ratings in CSR with their `rows`."""
    error = sampled_dot(indices, indptr, W, H) + c[rows] + d[indices] - data
    squared_error = T.sum(error ** 2)
    n_u = T.extra_ops.diff(indptr).astype(W.dtype)
    n_i = T.extra_ops.bincount(indices, minlength=H.shape[0]).astype(H.dtype)
    decay = T.dot(n_u, T.sum(W ** 2, axis=1) + c ** 2) + T.dot(n_i, T.sum(H ** 2, axis=1) + d ** 2)
    return squared_error + l2 * decay, squared_error


def fit_factors(train, n_factors=500, l2=0.06, n_epochs=25, learning_rate=0.005, weight_scale=0.01, rng=0,
                on_epoch=None, dtype="float32"):
    """Fit a factorisation to training ratings: equation (7) of docs/explanation/baselines.md.

    The source is Y. Koren, R. Bell, C. Volinsky, IEEE Computer 42(8), 2009, equation 5. The defaults were chosen on
    validation ratings of MovieLens 1M (1 to 5 stars).

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `data.check_ratings` takes.
    n_factors : int
        k.
    l2 : float
        Weight decay for each rating, 0 or more: equation (8).
    n_epochs : int
        Passes over the ratings, a step of RProp each. The error on held-out ratings rises again before the cost does.
    learning_rate : float
        RProp's first step.
    weight_scale : float
        Standard deviation of the normal distribution that W and H start from.
    rng : numpy.random.RandomState or int
    on_epoch : callable, optional
        Called as ``on_epoch(record, factors)`` after each pass. `record` is a dict: ``epoch`` (1, 2, ...), ``loss``
        (the cost) and ``train_rmse``, both before the pass's step, and the ``seconds`` that it took.
    dtype : {"float32", "float64"}
        dtype of the factors and of the computation.

    Returns
    -------
    Factors

    Raises
    ------
    ArithmeticError
        When the cost becomes NaN or infinite.
    """
    for name, value in (("n_factors", n_factors), ("n_epochs", n_epochs)):
        check_count(value, name)
    check_number(l2, "l2", zero=True)
    check_number(learning_rate, "learning_rate")
    check_number(weight_scale, "weight_scale")
    train, rng = check_ratings(train), check_rng(rng)
    dtype = check_dtype(dtype)
    mean = float(train.data.mean(dtype="float64"))
    indices, indptr = (each.astype("int32", copy=False) for each in (train.indices, train.indptr))
    parameters = OrderedDict()
    for name, counts in (("W", np.diff(indptr)), ("H", np.bincount(indices, minlength=train.shape[1]))):
        start = weight_scale * rng.randn(len(counts), n_factors)
        start[counts == 0] = 0  # equation (7) falls back on the biases
        parameters[name] = theano.shared(start.astype(dtype), name=name)
    for name, n in zip("cd", train.shape):
        parameters[name] = theano.shared(np.zeros(n, dtype), name=name)
    rows = rows_of_entries(indptr).astype("int32")
    centred = (train.data.astype("float64") - mean).astype(dtype)
    data, rows, indices, indptr = map(theano.shared, (centred, rows, indices, indptr))
    with building(dtype):
        cost, squared_error = factor_cost(data=data, rows=rows, indices=indices, indptr=indptr,
                                          l2=np.asarray(l2, dtype), **parameters)
        updates = rprop(cost, list(parameters.values()), learning_rate)
        step = theano.function([], [cost, squared_error], updates=updates, name="mf_batch")

    def factors():
        W, H, c, d = (p.get_value() for p in parameters.values())
        return Factors(Biases(mean, c.astype("float64"), d.astype("float64")), W, H)

    for epoch in range(1, n_epochs + 1):
        start = time.perf_counter()
        loss, squares = step()
        seconds = time.perf_counter() - start
        if not np.isfinite(loss):
            raise ArithmeticError("the cost is %g in epoch %d; lower learning_rate=%g or weight_scale=%g"
                                  % (loss, epoch, learning_rate, weight_scale))
        if on_epoch is not None:
            on_epoch({"epoch": epoch, "loss": float(loss), "train_rmse": float(np.sqrt(squares / train.nnz)),
                      "seconds": seconds}, factors())
    return factors()


def predict_factors(factors, user_places, item_places):
    """Predict ratings by equation (7) of docs/explanation/baselines.md, without clipping them to a rating scale.

    Parameters
    ----------
    factors : Factors
    user_places, item_places : array_like of int, shape (n,)
        As for `baselines.biases.predict_biases`: positions in the training ratings, not ids.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
    """
    predicted = predict_biases(factors.biases, user_places, item_places)
    user_places, item_places = np.asarray(user_places), np.asarray(item_places)
    for start in range(0, user_places.size, _PAIRS):
        part = slice(start, start + _PAIRS)
        predicted[part] += np.einsum("pt,pt->p", factors.W[user_places[part]], factors.H[item_places[part]])
    return predicted
