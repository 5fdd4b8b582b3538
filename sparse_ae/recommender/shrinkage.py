"""Weights of models beside the biases, by validation ratings: least squares, less what is luck.

With the outputs X (n, m) of m models for n validation ratings, of which biases leave over y (n,), least squares says

    w = argmin of (y - X w)^2, summed, w >= 0,    gain = (X w)^2, summed                    (1)

and `gain` is by how much the squared error falls. If nothing were to be gained it would fall all the same, for w fits
these very ratings; by how much in expectation, is

    luck = trace(A^-1 M),    A = X'X,    M = sum over groups g of s_g s_g',    s_g = sum over i in g of x_i e_i     (2)

where e = y - X w: the covariance of w between groups of ratings that may err together, A^-1 M A^-1, in the unit of (1)
(K.-Y. Liang, S. L. Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73, 1986). Groups are
a user's ratings, then an item's, and the larger luck counts. So z = sqrt(gain / luck) standard errors are between w and
0. Of all multiples of w the one that errs least on other ratings is estimated by

    (1 - 1 / z^2)+ w                                                                        (3)

where w^2 less its variance stands for the square of the right weight: J. R. Thompson, Some shrinkage techniques for
estimating the mean, JASA 63, 1968; the positive part is L. Breiman's nonnegative garrote, Technometrics 37, 1995.

But w isn't all that was fitted to these ratings: at which epoch training stopped, and by which decay, was chosen on
them too, which makes z too large. In (3) stands z - 1.5, after the rule of L. Breiman et al., Classification and
Regression Trees, 1984, that what is within a standard error of the best is as good. With one standard error made-up
ratings without taste were predicted worse than by biases, by up to 0.0014 of RMSE; with one and a half, on none of 24
splits. Outputs that are better by two and a half of them, or fewer, count nothing; by three and a half 0.75 of w, by
five 0.92.

All models are taken together if that leaves a weight to each; if not, the one with the largest ``gain - 2 luck``, which
is what C. L. Mallows, Some comments on C_p, Technometrics 15, 1973, expects to be gained on other ratings.

Of several fits, each with other validation ratings, a model counts the mean of its weights, times (3) with z for the
standard errors between the fits that the mean is from 0. What one fit alone has found is luck, and counts nothing.
"""
import itertools

import numpy as np

# Standard errors by which what was chosen on the ratings may look better than it is.
_CHOSEN = 1.5


def shrunk_weights(outputs, residuals, groups):
    """Estimate the weights that err least on other ratings.

    Parameters
    ----------
    outputs : numpy.ndarray of float64, shape (n, n_models)
        In the unit of the residuals; 0 throughout for a model that is to have no weight.
    residuals : numpy.ndarray of float64, shape (n,)
        What the biases leave over of validation ratings.
    groups : sequence of numpy.ndarray of int, each of shape (n,)
        Numbers of the users, and of the items: ratings of one number may err together.

    Returns
    -------
    numpy.ndarray of float64, shape (n_models,)
        0 or more; 0 where nothing shows that a model's outputs help.
    """
    from scipy import optimize  # takes its time

    weights = np.zeros(outputs.shape[1])
    # Outputs that are 0 but for rounding would be stretched beyond all numbers.
    sizes = np.abs(outputs).max(axis=0, initial=0.0)
    useful = np.flatnonzero(sizes > 1e-6 * np.abs(residuals).max(initial=0.0))
    best = -np.inf
    for n in range(len(useful), 0, -1):
        for chosen in itertools.combinations(useful, n):
            found = optimize.nnls(outputs[:, chosen], residuals)[0]
            if not found.all():
                continue  # that is a smaller choice
            gain, luck = _gain_and_luck(outputs[:, chosen], residuals, found, groups)
            surely = np.sqrt(gain / luck) - _CHOSEN if luck else np.inf
            if surely > 1 and gain - 2 * luck > best:
                best = gain - 2 * luck
                weights[:] = 0.0
                weights[list(chosen)] = found * (1 - 1 / surely ** 2)
        if weights.any():
            break
    return weights


def mean_weights(weights):
    """Estimate the weights of models from those of several fits.

    Parameters
    ----------
    weights : array_like of float, shape (n_fits, n_models)
        Of two fits, or more; 0 where one shows nothing.

    Returns
    -------
    numpy.ndarray of float64, shape (n_models,)
    """
    mean, variance = np.mean(weights, axis=0), np.var(weights, axis=0, ddof=1) / len(weights)
    return mean * np.clip(1 - variance / np.where(mean, mean, 1) ** 2, 0, None)


def _gain_and_luck(X, y, w, groups):
    """Equations (1) and (2)."""
    fitted = X.dot(w)
    pulls, luck = X * (y - fitted)[:, np.newaxis], 0.0
    for group in groups:
        _, places = np.unique(group, return_inverse=True)
        n_groups = places.max() + 1
        if n_groups < 2:
            return 0.0, np.inf  # they may all have erred together
        sums = np.stack([np.bincount(places, pull) for pull in pulls.T], axis=1)
        between = sums.T.dot(sums) * n_groups / (n_groups - 1)
        luck = max(luck, float(np.trace(np.linalg.lstsq(X.T.dot(X), between, rcond=None)[0])))
    return float(np.dot(fitted, fitted)), luck
