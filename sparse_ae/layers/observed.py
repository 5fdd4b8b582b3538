"""A decoder that computes outputs only at the entries of a CSR matrix."""
from sparse_ae.layers.sparse_input import check_input_shape
from sparse_ae.ops import sampled_dot, stored_arrays
import lasagne
import theano.tensor as T
from lasagne.layers import MergeLayer


class ObservedLayer(MergeLayer):
    """A fully connected output layer, f(h W' + b), evaluated where a CSR matrix has entries and nowhere else.

    For hidden units h (n_rows, k) and a matrix with n_entries stored entries it gives a vector, (n_entries,), in the
    order of the matrix's own `data`, at a cost of O(n_entries k). `lasagne.layers.get_output` takes these forms:

    - ``get_output(layer)``: the outputs at the entries of `observed`;
    - ``get_output(layer, entries=pairs)``: those at the entries of another CSR variable of as many rows, whatever
      its values: any pairs of rows and columns;
    - ``get_output(layer, entries="all")``: all of them, (n_rows, num_units).

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer before, or the expected input shape, (n_rows or None, k).
    observed : a :class:`Layer` instance or a tuple
        The layer whose output is a CSR variable, or its expected shape, (n_rows or None, num_units).
    num_units : int, optional
        The number of units of the layer; by default as many as `observed` has columns.
    W : Theano shared variable, numpy array or callable
        The weights, **(num_units, k)**, as those of a `SparseInputDenseLayer` from num_units columns to k units:
        ``W=encoder.W`` ties a decoder to an encoder.
    b : Theano shared variable, numpy array, callable or None
        The biases, (num_units,).
    nonlinearity : callable or None

    Examples
    --------
    The post's autoencoder without its loss:

    >>> import theano.sparse
    >>> from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer
    >>> from lasagne.layers import InputLayer, get_output
    >>> from lasagne.nonlinearities import sigmoid, tanh
    >>> l_in = InputLayer((None, 3000), theano.sparse.csr_matrix("ratings"))
    >>> hidden = SparseInputDenseLayer(l_in, num_units=100, nonlinearity=tanh)
    >>> output = ObservedLayer(hidden, l_in, nonlinearity=sigmoid)
    >>> output.output_shape, get_output(output).ndim, get_output(output, entries="all").ndim
    ((None,), 1, 2)
    """

    def __init__(self, incoming, observed, num_units=None, W=lasagne.init.GlorotUniform(), b=lasagne.init.Constant(0.),
                 nonlinearity=None, **kwargs):
        super().__init__([incoming, observed], **kwargs)
        hidden, columns = self.input_shapes
        check_input_shape(hidden, type(self).__name__)
        check_input_shape(columns, type(self).__name__, "observed")
        self.num_units = columns[1] if num_units is None else num_units
        if self.num_units != columns[1]:
            raise ValueError("num_units is %r, and observed has %d columns; expected as many, one for each unit"
                             % (num_units, columns[1]))
        self.nonlinearity = lasagne.nonlinearities.identity if nonlinearity is None else nonlinearity
        self.W = self.add_param(W, (self.num_units, hidden[1]), name="W")
        self.b = None if b is None else self.add_param(b, (self.num_units,), name="b", regularizable=False)

    def get_output_shape_for(self, input_shapes):
        return (None,)

    def get_output_for(self, inputs, entries=None, **kwargs):
        hidden, observed = inputs
        if isinstance(entries, str):
            if entries != "all":
                raise ValueError("entries is %r; expected None, 'all' or a Theano CSR variable" % entries)
            activation = T.dot(hidden, self.W.T)
            return self.nonlinearity(activation if self.b is None else activation + self.b.dimshuffle("x", 0))
        _, indices, indptr = stored_arrays(observed if entries is None else entries, self.num_units)
        activation = sampled_dot(indices, indptr, hidden, self.W)
        return self.nonlinearity(activation if self.b is None else activation + self.b[indices])
