"""The models of the command compare: biases, matrix factorisation and autoencoders on one split."""
from functools import partial

import numpy as np

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.defaults import useful_sides, validation_fraction

_N_FACTORS = 100


def contenders(recommender, train, test, scale):
    """{name: function}: each trains by the recommender's settings, and returns its test RMSE and a remark."""
    found = {"biases": lambda: (_clipped_error(test.matrix, scale, predict_biases, fit_biases(train)), ""),
             "factorisation": partial(_factors, train.matrix, test.matrix, scale, recommender.rng)}
    by_default = useful_sides(("items", "users"), train.matrix) if recommender.biases else ("items",)
    by_default = by_default[0] if len(by_default) == 1 else "both"
    for rows in ["items", "users"] + ["both"] * bool(recommender.biases):
        found["autoencoder, " + (rows if rows == "both" else rows + " as rows")] = partial(
            _autoencoder, type(recommender)(**dict(recommender.get_params(), rows=rows)), train, test,
            rows == by_default)
    return found


def _factors(train, test, scale, rng):
    """Train for the number of passes that is best on validation ratings, on the scale of its defaults, 1 to 5."""
    low, high = scale

    def scaled(matrix):
        matrix = matrix.copy()
        matrix.data = 1 + 4 * (matrix.data - low) / (high - low)
        return matrix

    train, errors = scaled(train), []
    part = split_ratings(train, validation_fraction(train.nnz), rng)
    fit_factors(part.train, _N_FACTORS, n_epochs=50, rng=rng,
                on_epoch=lambda record, factors: errors.append(
                    _clipped_error(part.test, (1, 5), predict_factors, factors)))
    factors = fit_factors(train, _N_FACTORS, n_epochs=int(np.argmin(errors)) + 1, rng=rng)
    return (high - low) / 4 * _clipped_error(scaled(test), (1, 5), predict_factors, factors), ""


def _autoencoder(recommender, train, test, is_default):
    try:
        fitted = recommender.fit(train)
    except ArithmeticError:
        return float("nan"), "training diverged"
    if fitted.interrupted_:
        raise KeyboardInterrupt
    used = [side for side, weight in fitted.weights_.items() if weight]
    remarks = ["what fit takes"] if is_default else []
    if not used:
        remarks.append("biases alone: no autoencoder was clearly better on validation")
    elif len(used) < len(fitted.weights_):
        remarks.append("%s as rows only" % used[0])
    return fitted.evaluate(test, k=None)["rmse"], "; ".join(remarks)


def _clipped_error(test, scale, predict, model):
    pairs = test.tocoo()
    return rmse(pairs.data, np.clip(predict(model, pairs.row, pairs.col), *scale))
