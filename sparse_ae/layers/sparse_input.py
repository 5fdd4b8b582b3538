"""Layers on CSR input: dense units from it, noise on its entries, its rows by their length, an indicator of entries."""
from sparse_ae.ops import csr_dot, sampled_dot, stored_arrays, with_values
import lasagne
import theano
import theano.tensor as T
from lasagne.layers import DenseLayer, Layer
from theano.sandbox.rng_mrg import MRG_RandomStreams


def _float_arrays(x, n_columns, dtype, layer):
    """`stored_arrays` of values that a layer's parameters of this dtype can be multiplied by."""
    data, indices, indptr = stored_arrays(x, n_columns)
    if data.dtype != dtype:
        raise TypeError("the input of %s is of dtype %s; expected %s, the dtype of its parameters: make the variable "
                        "with theano.sparse.csr_matrix('x', %r), and call the function with matrix.astype(%r)"
                        % (layer, data.dtype, dtype, str(dtype), str(dtype)))
    return data, indices, indptr


def check_input_shape(shape, layer, name="incoming"):
    """Raise ValueError for a shape, (n_rows or None, num_inputs), that isn't one, of a layer's input of that name."""
    if len(shape) != 2 or shape[1] is None:
        raise ValueError("%s of %s has the shape %r; expected (n_rows or None, num_inputs): a CSR matrix has two axes, "
                         "and its number of columns must be known" % (name, layer, tuple(shape)))


def new_stream():
    """Make a `theano.sandbox.rng_mrg.MRG_RandomStreams`, seeded by the generator that `lasagne.random.set_rng` sets."""
    return MRG_RandomStreams(lasagne.random.get_rng().randint(1, 2147462579))


class SparseInputDenseLayer(DenseLayer):
    """A fully connected layer on CSR input: f(x W + b), a dense matrix.

    It is `lasagne.layers.DenseLayer` but for its input, and its cost, O(n_entries num_units).
    docs/tutorial/sparse_input.md tells the cost of an update of W.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer before, or the expected input shape, (n_rows or None, num_inputs). Its output is a CSR variable of
        W's dtype; TypeError for anything else.
    num_units : int
    W : Theano shared variable, numpy array or callable
        The weights, (num_inputs, num_units).
    b : Theano shared variable, numpy array, callable or None
        The biases, (num_units,).
    nonlinearity : callable or None

    Examples
    --------
    >>> import theano.sparse
    >>> from sparse_ae.layers import SparseInputDenseLayer
    >>> from lasagne.layers import InputLayer
    >>> l_in = InputLayer((None, 20000), theano.sparse.csr_matrix("x"))
    >>> SparseInputDenseLayer(l_in, num_units=50).output_shape
    (None, 50)
    """

    def __init__(self, incoming, num_units, W=lasagne.init.GlorotUniform(), b=lasagne.init.Constant(0.),
                 nonlinearity=lasagne.nonlinearities.rectify, **kwargs):
        check_input_shape(incoming if isinstance(incoming, tuple) else incoming.output_shape, type(self).__name__)
        super().__init__(incoming, num_units, W, b, nonlinearity, **kwargs)

    def get_output_for(self, input, **kwargs):
        data, indices, indptr = _float_arrays(input, self.input_shape[1], self.W.dtype, type(self).__name__)
        activation = csr_dot(data, indices, indptr, self.W)
        if self.b is not None:
            activation = activation + self.b.dimshuffle("x", 0)
        return self.nonlinearity(activation)


class _SparseToSparseLayer(Layer):
    """A layer from CSR to CSR with the same entries."""

    def __init__(self, incoming, **kwargs):
        super().__init__(incoming, **kwargs)
        check_input_shape(self.input_shape, type(self).__name__)


class SparseInputDropoutLayer(_SparseToSparseLayer):
    """Dropout on CSR input: sets stored values to zero with probability p.

    The entries stay stored: a value that is hidden from the encoder is still observed, for a denoising autoencoder to
    learn from (P. Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, ICML 2008).

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer before, or the expected input shape, (n_rows or None, num_inputs).
    p : float or scalar tensor
        The probability of setting a value to zero.
    rescale : bool
        If true the values that are kept are divided by 1 - p when deterministic is False.
    stream : theano.sandbox.rng_mrg.MRG_RandomStreams, optional
        The random numbers; by default `new_stream()`.

    Examples
    --------
    >>> from sparse_ae.layers import SparseInputDenseLayer, SparseInputDropoutLayer
    >>> from lasagne.layers import InputLayer
    >>> shown = SparseInputDropoutLayer(InputLayer((None, 20000)), p=0.4)
    >>> SparseInputDenseLayer(shown, num_units=50).output_shape
    (None, 50)
    """

    def __init__(self, incoming, p=0.5, rescale=True, stream=None, **kwargs):
        super().__init__(incoming, **kwargs)
        if not isinstance(p, theano.Variable) and not 0 <= p < 1:
            raise ValueError("p is %r; expected a probability from 0 to below 1" % (p,))
        self.p, self.rescale = p, rescale
        self.stream = new_stream() if stream is None else stream

    def get_output_for(self, input, deterministic=False, **kwargs):
        data = _float_arrays(input, self.input_shape[1], input.dtype if "float" in input.dtype else
                             theano.config.floatX, type(self).__name__)[0]
        if deterministic or (not isinstance(self.p, theano.Variable) and self.p == 0):
            return input
        kept = 1 - T.cast(self.p, data.dtype)
        mask = self.stream.binomial(data.shape, p=kept, dtype=data.dtype)
        return with_values(input, data * mask / kept if self.rescale else data * mask, self.input_shape[1])


class SparseInputNormLayer(_SparseToSparseLayer):
    """Divides the stored values of each row by their Euclidean length, if that isn't 0.

    Rows with many entries and rows with few then reach the next layer at one scale, as in Mult-DAE.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer before, or the expected input shape, (n_rows or None, num_inputs).
    """

    def get_output_for(self, input, **kwargs):
        data, indices, indptr = stored_arrays(input, self.input_shape[1])
        # A row's sum is its product with ones; all of its entries are in the one column of a matrix of sums.
        first, one = T.zeros_like(indices), T.ones((1, 1), data.dtype)
        squares = csr_dot(data ** 2, first, indptr, one)
        lengths = T.sqrt(T.switch(squares > 0, squares, 1))
        return with_values(input, data / sampled_dot(first, indptr, lengths, one), self.input_shape[1])


class IndicatorLayer(_SparseToSparseLayer):
    """1 at each stored entry of CSR input, whatever its value: the pattern as a separate input.

    A missing entry adds nothing to a product, nor does an observed 0. A second `SparseInputDenseLayer` on this layer,
    summed with the first by `lasagne.layers.ElemwiseSumLayer`, tells a network the difference.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer before, or the expected input shape, (n_rows or None, num_inputs).
    """

    def get_output_for(self, input, **kwargs):
        data = stored_arrays(input, self.input_shape[1])[0]
        dtype = data.dtype if "float" in data.dtype else theano.config.floatX
        return with_values(input, T.ones_like(data, dtype=dtype), self.input_shape[1])
