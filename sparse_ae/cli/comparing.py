"""The models of the command compare: biases, matrix factorisation and autoencoders on one split."""
from functools import partial

import numpy as np

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.defaults import useful_sides, validation_fraction

_N_FACTORS = 100


def contenders(recommender, train, test, scale, features, known=None):
    """{name: function}: each trains by the recommender's settings, autoencoders with attributes, and returns its test
    RMSE and a remark. Ratings that are `known` of users who aren't trained on are folded in."""
    found = {"biases": lambda: (_clipped_error(test.matrix, scale, predict_biases, fit_biases(train)), ""),
             "factorisation": partial(_factors, train.matrix, test.matrix, scale, recommender.rng)}
    if known is not None:
        found = {"biases": partial(_biases_of_new, train, test.matrix, known.matrix, scale),
                 "factorisation": lambda: (float("nan"), "knows no new users: it has no fold-in")}
    by_default = useful_sides(("items", "users"), train.matrix) if recommender.biases else ("items",)
    by_default = by_default[0] if len(by_default) == 1 else "both"
    for rows in ["items", "users"] + ["both"] * bool(recommender.biases):
        found["autoencoder, " + (rows if rows == "both" else rows + " as rows")] = partial(
            _autoencoder, type(recommender)(**dict(recommender.get_params(), rows=rows)), train, test,
            rows == by_default, features, known)
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


def _biases_of_new(train, test, known, scale):
    biases, predicted = fit_biases(train), []
    for user in np.flatnonzero(np.diff(test.indptr)):
        of_user, _ = biases.of_person(known[user].indices, known[user].data.astype(np.float64))
        items = test[user].indices
        predicted.append(of_user.at(np.zeros(len(items), int), items))
    return rmse(test.data, np.clip(np.concatenate(predicted), *scale)), ""


def _folded(fitted, test, known):
    """Predictions of the test ratings of new users from the known ones of items that were trained on."""
    users = np.flatnonzero(np.diff(test.matrix.indptr))
    people = []
    for row in (known.matrix[user] for user in users):
        items = known.items[row.indices]
        trained = np.isin(items, fitted.items_[fitted.items_rated_])
        people.append(dict(zip(items[trained].tolist(), row.data[trained].tolist())))
    return np.concatenate([person.predict(test.items[test.matrix[user].indices])
                           for user, person in zip(users, fitted.fold_in(people))])


def _autoencoder(recommender, train, test, is_default, features, known):
    try:
        fitted = recommender.fit(train, **features)
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
    error = (fitted.evaluate(test, k=None)["rmse"] if known is None else
             rmse(test.matrix.data, _folded(fitted, test, known)))
    return error, "; ".join(remarks)


def _clipped_error(test, scale, predict, model):
    pairs = test.tocoo()
    return rmse(pairs.data, np.clip(predict(model, pairs.row, pairs.col), *scale))
