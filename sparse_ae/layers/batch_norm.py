"""Batch normalisation, which Lasagne 0.1 is without."""
import numpy as np

from sparse_ae.layers.sparse_input import check_input_shape
import lasagne
import theano
import theano.tensor as T
from lasagne.layers import Layer


class BatchNormLayer(Layer):
    """Batch normalisation of units: y = (x - mean) * gamma / sqrt(variance + epsilon) + beta.

    In training, mean and variance are those of each unit in the mini-batch, and running averages of them are kept as
    the compiled function's default updates; with ``deterministic=True`` these are used, and stay. Later versions of
    Lasagne have a layer with the same arguments. See S. Ioffe, C. Szegedy, Batch Normalization, ICML 2015.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer before, or the expected input shape, (n_rows or None, num_units).
    epsilon : scalar
        Added to the variance.
    alpha : scalar
        How much a mini-batch counts in the running averages; from 0 to 1.
    beta, gamma : Theano shared variable, numpy array, callable or None
        Initial values, (num_units,), or None for 0 and 1. They are trainable; gamma is regularizable, beta is not.
    mean, inv_std : Theano shared variable, numpy array or callable
        Initial values of the running mean and of 1 / sqrt(running variance + epsilon); neither trainable nor
        regularizable.
    """

    def __init__(self, incoming, epsilon=1e-4, alpha=0.1, beta=lasagne.init.Constant(0),
                 gamma=lasagne.init.Constant(1), mean=lasagne.init.Constant(0), inv_std=lasagne.init.Constant(1),
                 **kwargs):
        super().__init__(incoming, **kwargs)
        check_input_shape(self.input_shape, type(self).__name__)
        self.epsilon, self.alpha = epsilon, alpha
        units = self.input_shape[1:]
        self.beta = None if beta is None else self.add_param(beta, units, name="beta", regularizable=False)
        self.gamma = None if gamma is None else self.add_param(gamma, units, name="gamma")
        self.mean = self.add_param(mean, units, name="mean", trainable=False, regularizable=False)
        self.inv_std = self.add_param(inv_std, units, name="inv_std", trainable=False, regularizable=False)

    def get_output_for(self, input, deterministic=False, **kwargs):
        mean, inv_std = self.mean, self.inv_std
        if not deterministic:
            mean = input.mean(axis=0)
            epsilon, alpha, rest = np.array([self.epsilon, self.alpha, 1 - self.alpha], input.dtype)
            inv_std = 1 / T.sqrt(input.var(axis=0) + epsilon)
            averages = []
            for kept, value in ((self.mean, mean), (self.inv_std, inv_std)):
                # A clone that shares the memory, so that a second graph of the layer isn't updated by the first.
                average = theano.clone(kept, share_inputs=False)
                average.default_update = rest * average + alpha * value
                averages.append(average)
            # They are updated where the output is made, so the graph must lead to them; nothing is computed of it.
            mean, inv_std = (value + 0 * average for value, average in zip((mean, inv_std), averages))
        output = input - mean.dimshuffle("x", 0)
        output = output * (inv_std if self.gamma is None else self.gamma * inv_std).dimshuffle("x", 0)
        return output if self.beta is None else output + self.beta.dimshuffle("x", 0)
