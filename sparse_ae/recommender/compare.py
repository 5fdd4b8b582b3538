"""Biases, matrix factorisation and autoencoders, trained on a part of the ratings and tested on the rest."""
import numpy as np

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.checks import check_rating_scale
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.defaults import useful_sides, validation_fraction

# Passes of the factorisation at most.
_PASSES = 50


class Comparison:
    """One split of some ratings, and those that are to learn from the larger part.

    Parameters
    ----------
    recommender : Recommender
        The settings of the autoencoders, but for `rows`; its `rng`, a number, draws the split too.
    ratings : Ratings
    test_fraction : float
    n_factors : int
        Of the factorisation.

    Attributes
    ----------
    train, test : Ratings
    rating_scale : (float, float)
        That of the settings, or of the ratings to train on.
    contenders : dict of str to callable
        In order. Each trains, given what to call after each epoch with the epoch's record, and returns its RMSE on the
        test ratings and what there is to remark on it, a str that may be empty.

    Raises
    ------
    TypeError, ValueError
        For a fraction that leaves one part empty, and ratings that tell no scale.
    """

    def __init__(self, recommender, ratings, test_fraction=0.2, n_factors=100):
        split = split_ratings(ratings, test_fraction, recommender.rng)
        self._rng, self._n_factors = recommender.rng, n_factors
        self.train, self.test = ratings.part(split.train), ratings.part(split.test)
        data = split.train.data
        self.rating_scale = recommender.rating_scale or (float(data.min()), float(data.max()))
        check_rating_scale(self.rating_scale)
        self.contenders = {"biases": self._biases, "factorisation": self._factors}
        # The post's way is of one side, and takes items unless it is told otherwise.
        by_default, both = ("items",), ("items", "users")
        ways = [("items", "items as rows", ("items",)), ("users", "users as rows", ("users",))]
        if recommender.biases:
            by_default = useful_sides(both, split.train)
            ways.append(("both", "both", both))
        for rows, name, sides in ways:
            self.contenders["autoencoder, " + name] = self._autoencoder(recommender, rows, sides == by_default)

    def _autoencoder(self, recommender, rows, is_default):
        settings = dict(recommender.get_params(), rows=rows)

        def contend(on_epoch):
            fitted = type(recommender)(**settings).fit(self.train, on_epoch=on_epoch)
            used = [side for side, weight in fitted.weights_.items() if weight]
            remarks = ["what fit takes"] if is_default else []
            if not used:
                remarks.append("biases alone: no autoencoder was clearly better on validation")
            elif len(used) < len(fitted.weights_):
                remarks.append("%s as rows alone" % used[0])
            return fitted.evaluate(self.test, k=None)["rmse"], "; ".join(remarks)

        return contend

    def _biases(self, on_epoch):
        biases = fit_biases(self.train)
        return _clipped_error(self.test.matrix, self.rating_scale,
                              lambda rows, cols: predict_biases(biases, rows, cols)), ""

    def _factors(self, on_epoch):
        """Take as many passes as are best on a part of the training ratings, on the scale that it is made for."""
        low, high = self.rating_scale

        def scaled(matrix):
            matrix = matrix.copy()
            matrix.data = 1 + 4 * (matrix.data - low) / (high - low)
            return matrix

        train = scaled(self.train.matrix)
        part = split_ratings(train, validation_fraction(train.nnz), self._rng)
        errors = []

        def note(record, factors):
            on_epoch(record)
            errors.append(_error_of(factors, part.test))

        fit_factors(part.train, self._n_factors, n_epochs=_PASSES, rng=self._rng, on_epoch=note)
        factors = fit_factors(train, self._n_factors, n_epochs=int(np.argmin(errors)) + 1, rng=self._rng,
                              on_epoch=lambda record, factors: on_epoch(record))
        return (high - low) / 4 * _error_of(factors, scaled(self.test.matrix)), ""


def _error_of(factors, test):
    return _clipped_error(test, (1, 5), lambda rows, cols: predict_factors(factors, rows, cols))


def _clipped_error(test, scale, predict):
    pairs = test.tocoo()
    return rmse(pairs.data, np.clip(predict(pairs.row, pairs.col), *scale))
