"""The models of the command compare: biases, matrix factorisation and autoencoders on one split."""
from functools import partial

import numpy as np

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.defaults import validation_fraction

_N_FACTORS = 100


def contenders(recommender, train, test, scale):
    """{name: function}: each trains by the recommender's settings, and returns its test RMSE and a remark."""
    return {"biases": lambda: (_clipped_error(test.matrix, scale, predict_biases, fit_biases(train)), ""),
            "factorisation": partial(_factors, train.matrix, test.matrix, scale, recommender.rng),
            "autoencoders, as in fit": partial(_autoencoders, recommender, train, test)}


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


def _autoencoders(recommender, train, test):
    try:
        fitted = recommender.fit(train)
    except ArithmeticError:
        return float("nan"), "training diverged"
    if fitted.interrupted_:
        raise KeyboardInterrupt
    used = " and ".join(side for side, weight in fitted.weights_.items() if weight)
    return fitted.evaluate(test, k=None)["rmse"], (
        "%s as rows" % used if used else "biases alone: no autoencoder was clearly better on validation")


def _clipped_error(test, scale, predict, model):
    pairs = test.tocoo()
    return rmse(pairs.data, np.clip(predict(model, pairs.row, pairs.col), *scale))
