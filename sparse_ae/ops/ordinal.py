"""The likelihood of ordered levels given a score (cumulative link models): equation (2) of docs/explanation/ops.md."""
from collections import namedtuple

import numpy as np
import scipy.special

from sparse_ae.checks import check_choice
import theano.tensor as T

__all__ = ["thresholds_from_counts"]

#: distribution(x): F, of tensors. quantile(p): its inverse, of arrays. log_interval(lower, upper, gap): the logarithm
#: of F(upper) - F(lower), of tensors, with gap = upper - lower.
Link = namedtuple("Link", "distribution quantile log_interval")

# Used for infinity: F is 0 or 1 there, its slope 0, and the square of this number is finite in float32.
_FAR = 1e9


def _logistic_interval(lower, upper, gap):
    # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)): no difference of nearly equal numbers.
    return T.log(-T.expm1(-gap)) - T.nnet.softplus(-upper) - T.nnet.softplus(lower)


def _normal(x):
    return T.erfc(x * np.asarray(-np.sqrt(0.5), x.dtype)) * np.asarray(0.5, x.dtype)


def _normal_interval(lower, upper, gap):
    # On the side where F is small the difference keeps its digits. Beyond 13 (float32) or 37 standard deviations it is
    # 0: the logarithm is then that of the smallest number, and its slope is 0.
    above = lower + upper > 0
    left, right = T.switch(above, -upper, lower), T.switch(above, -lower, upper)
    return T.log(_normal(right) - _normal(left) + np.finfo(lower.dtype).tiny)


#: The links of ordered levels, by name.
LINKS = {"logistic": Link(T.nnet.sigmoid, scipy.special.logit, _logistic_interval),
         "probit": Link(_normal, scipy.special.ndtri, _normal_interval)}


def ordinal_crossentropy(scores, classes, thresholds, link="logistic"):
    """The negative log-likelihood of ordered levels for each score.

    Equation (2) of docs/explanation/ops.md; P. McCullagh, Regression Models for Ordinal Data, JRSS B 42, 1980.

    Parameters
    ----------
    scores : vector, (n,)
    classes : integer vector, (n,)
        The number of each entry's level, from 0 to C - 1; `sparse_ae.layers.OrdinalLayer` finds those of ratings.
    thresholds : vector, (C - 1,)
        In ascending order; an `OrdinalLayer` learns them.
    link : {"logistic", "probit"}

    Returns
    -------
    vector, (n,)
        In nats; differentiable for `scores` and `thresholds`.

    Examples
    --------
    A decoder whose outputs are scores, and thresholds that are learned with it:

    >>> import theano.sparse
    >>> from sparse_ae.layers import ObservedLayer, OrdinalLayer, SparseInputDenseLayer
    >>> from sparse_ae.ops import stored_arrays
    >>> from sparse_ae.training.losses import ordinal_crossentropy
    >>> from lasagne.layers import InputLayer, get_output
    >>> x = theano.sparse.csr_matrix("x")
    >>> l_in = InputLayer((None, 100), x)
    >>> scores = ObservedLayer(SparseInputDenseLayer(l_in, num_units=20), l_in)
    >>> stars = OrdinalLayer(scores, levels=[1, 2, 3, 4, 5])
    >>> score, prediction = get_output([scores, stars])
    >>> loss = ordinal_crossentropy(score, stars.classes(stored_arrays(x)[0]), stars.thresholds).mean()
    """
    check_choice(link, "link", LINKS)
    far = np.asarray([_FAR], thresholds.dtype)
    limits = T.concatenate([-far, thresholds, far])
    lower, upper = limits[classes], limits[classes + 1]
    return -LINKS[link].log_interval(lower - scores, upper - scores, upper - lower)


def thresholds_from_counts(counts, link="logistic"):
    """The thresholds at which a score of 0 gives each level its relative frequency as probability.

    Parameters
    ----------
    counts : array, (C,)
        The count of each level; 1 is added to each, so that no level has probability 0.
    link : {"logistic", "probit"}

    Returns
    -------
    array, (C - 1,) of float64
    """
    counts = np.asarray(counts, "float64") + 1
    return LINKS[link].quantile(np.cumsum(counts)[:-1] / counts.sum())
