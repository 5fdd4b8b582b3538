"""An output of ordered levels: a cumulative link model, whose thresholds are learned."""
import numpy as np

from sparse_ae.checks import check_choice
from sparse_ae.ops.ordinal import LINKS, thresholds_from_counts
import lasagne
import theano.tensor as T
from lasagne.layers import Layer


class OrdinalLayer(Layer):
    """The expectation of an ordered level, such as a rating in stars, given a score: a cumulative link model.

    With thresholds t_1 < ... < t_(C-1), which are learned, a score s stands for the probabilities

        P(level <= l_c)  =  F(t_c - s),    F the logistic function, or the normal distribution's

    of C levels (P. McCullagh, Regression Models for Ordinal Data, JRSS B 42, 1980). The expectation is the best
    prediction under a squared error; to train it, see `sparse_ae.training.losses.ordinal_crossentropy`.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer that gives scores, or their shape; any shape.
    levels : sequence of C numbers
        The levels in ascending order, in their own units.
    thresholds : array, (C - 1,), optional
        Initial thresholds, in ascending order; by default all levels are equally probable for a score of 0.
    link : {"logistic", "probit"}
    steps : Theano shared variable, (C - 1,), optional
        Instead of `thresholds`: another layer's attribute of this name.

    Attributes
    ----------
    thresholds : vector, (C - 1,)
        The thresholds, as an expression of `steps`.
    steps : Theano shared variable, (C - 1,)
        The first threshold, and the logarithms of the distances from each to the next, so that they keep their order.
        Not regularizable.
    """

    def __init__(self, incoming, levels, thresholds=None, link="logistic", steps=None, **kwargs):
        super().__init__(incoming, **kwargs)
        self.levels, self.link = np.asarray(levels, "float64"), link
        if self.levels.ndim != 1 or len(self.levels) < 2 or not (np.diff(self.levels) > 0).all():
            raise ValueError("levels are %r; expected two numbers or more in ascending order" % (levels,))
        check_choice(link, "link", LINKS)
        if thresholds is None:
            thresholds = thresholds_from_counts(np.ones(len(self.levels)), link)
        thresholds = np.asarray(thresholds, "float64")
        if (thresholds.shape != (len(self.levels) - 1,) or not np.isfinite(thresholds).all()
                or not (np.diff(thresholds) > 0).all()):
            raise ValueError("thresholds are %r; expected %d finite numbers in ascending order, one between each level "
                             "and the next" % (thresholds, len(self.levels) - 1))
        steps = lasagne.utils.floatX(_steps(thresholds)) if steps is None else steps
        self.steps = self.add_param(steps, thresholds.shape, name="steps", regularizable=False)
        self.thresholds = T.extra_ops.cumsum(T.concatenate([self.steps[:1], T.exp(self.steps[1:])]))

    def get_output_for(self, input, **kwargs):
        # levels[0], and each gap times the probability of being above it: no difference of probabilities.
        above = LINKS[self.link].distribution(input.dimshuffle(*range(input.ndim), "x") - self.thresholds)
        gaps = np.diff(self.levels).astype(above.dtype)
        return self.levels[0].astype(above.dtype) + T.dot(above, gaps)

    def set_frequencies(self, counts):
        """Set the thresholds at which a score of 0 gives each level its share of `counts`, (C,)."""
        steps = _steps(thresholds_from_counts(counts, self.link))
        self.steps.set_value(steps.astype(self.steps.dtype))

    def classes(self, values):
        """The numbers, from 0, of the levels in a tensor; the compiled function raises AssertionError for others."""
        levels = T.constant(self.levels.astype(values.dtype))
        above = values.dimshuffle(*range(values.ndim), "x") > levels
        nearest = T.clip(T.sum(above, axis=values.ndim), 0, len(self.levels) - 1)
        known = T.opt.Assert("a value isn't one of the ordinal output's levels, %s" % self.levels.tolist())
        return known(nearest, T.all(T.eq(levels[nearest], values)))


def _steps(thresholds):
    return np.append(thresholds[:1], np.log(np.diff(thresholds)))
