"""Lasagne layers on sparse input: any network whose input rows are mostly missing, or mostly zero.

A Theano CSR variable goes into Lasagne's own `InputLayer`, and a SciPy CSR matrix into the compiled function. The
layers here take it from there; in between and behind stand Lasagne's, and its initialisers, nonlinearities, objectives,
regularisers and updates work as they do on dense rows.

============================  ==================  ============================================================
`SparseInputDenseLayer`       CSR -> dense        a `DenseLayer` at a cost that follows the stored entries
`SparseInputDropoutLayer`     CSR -> CSR          noise on stored values; entries stay entries
`SparseInputNormLayer`        CSR -> CSR          each row's values by their length
`IndicatorLayer`              CSR -> CSR          1 at each entry: what is there, whatever its value
`ObservedLayer`               dense, CSR -> (n,)  a decoder's outputs at the entries of a CSR matrix alone
`OrdinalLayer`                any -> any          a score as the expected one of ordered levels
`BatchNormLayer`              dense -> dense      batch normalisation, which Lasagne 0.1 is without
============================  ==================  ============================================================

*Observed means stored.* A stored 0 is an entry like others, and is never taken for a missing one.

Objectives for them are in `sparse_ae.training.losses`.

What an update costs
--------------------
The gradient for the W of a `SparseInputDenseLayer`, (num_inputs, num_units), and of an `ObservedLayer`, (num_units, k),
is made by C code from the entries. Where it goes follows from the update:

- `lasagne.updates.sgd`, `lasagne.updates.adagrad`: no array is made of it; W, and Adagrad's sum of squares, are written
  to in place, and only in the rows whose columns have entries in the mini-batch. This holds for every
  ``theano.function`` that Theano optimises as by default, where nobody else asks for the gradient: not with a
  `total_norm_constraint`, nor with a weight decay on W under Adagrad. SGD with a decay passes over W once for it.
- `lasagne.updates.adam`, `momentum`, `rmsprop` and so on move every row in every step: the gradient is an array of W's
  shape. Functions compiled with ``mode=sparse_ae.ops.fast_mode()`` run the update as one pass over W and what is kept
  of it, on all cores.

Examples
--------
Classes of rows with 3 of 1,000 words each, of which the first tells the class:

>>> import numpy as np, scipy.sparse as sp, theano, theano.sparse, theano.tensor as T
>>> from sparse_ae.layers import SparseInputDenseLayer
>>> import lasagne
>>> from lasagne.layers import DenseLayer, InputLayer, get_all_params, get_output
>>> rng = np.random.RandomState(0)
>>> words = np.column_stack([np.arange(60) % 2, rng.randint(2, 1000, (60, 2))]).astype("int32")
>>> X = sp.csr_matrix((np.ones(180, theano.config.floatX), words.ravel(), np.arange(61) * 3), shape=(60, 1000))
>>> y = (np.arange(60) % 2).astype("int32")
>>> lasagne.random.set_rng(rng)
>>> x, target = theano.sparse.csr_matrix("x", theano.config.floatX), T.ivector("target")
>>> hidden = SparseInputDenseLayer(InputLayer((None, 1000), x), num_units=10)
>>> network = DenseLayer(hidden, num_units=2, nonlinearity=lasagne.nonlinearities.softmax)
>>> loss = lasagne.objectives.categorical_crossentropy(get_output(network), target).mean()
>>> updates = lasagne.updates.adagrad(loss, get_all_params(network, trainable=True), learning_rate=0.1)
>>> train = theano.function([x, target], loss, updates=updates)
>>> losses = [float(train(X, y)) for epoch in range(20)]
>>> losses[-1] < 0.1 < losses[0]
True
"""
import numpy as np

from sparse_ae.ops import csr_dot, sampled_dot, stored_arrays, with_values
from sparse_ae.ops.ordinal import LINKS, thresholds_from_counts
import lasagne
import theano
import theano.tensor as T
from lasagne.layers import DenseLayer, Layer, MergeLayer
from theano.sandbox.rng_mrg import MRG_RandomStreams

__all__ = ["BatchNormLayer", "IndicatorLayer", "ObservedLayer", "OrdinalLayer", "SparseInputDenseLayer",
           "SparseInputDropoutLayer", "SparseInputNormLayer", "new_stream"]


def _float_arrays(x, n_columns, dtype, layer):
    """`stored_arrays` of values that a layer's parameters of this dtype can be multiplied by."""
    data, indices, indptr = stored_arrays(x, n_columns)
    if data.dtype != dtype:
        raise TypeError("the input of %s is of dtype %s; expected %s, as its parameters are: make the variable with "
                        "theano.sparse.csr_matrix('x', %r), and call the function with matrix.astype(%r)"
                        % (layer, data.dtype, dtype, str(dtype), str(dtype)))
    return data, indices, indptr


def _check_input_shape(shape, layer, name="incoming"):
    if len(shape) != 2 or shape[1] is None:
        raise ValueError("%s of %s has the shape %r; expected (n_rows or None, num_inputs): a CSR matrix has two axes, "
                         "and its number of columns must be known" % (name, layer, tuple(shape)))


def new_stream():
    """A stream of random numbers, seeded by Lasagne's generator: what `lasagne.random.set_rng` sets is its seed's.

    Returns
    -------
    theano.sandbox.rng_mrg.MRG_RandomStreams
    """
    return MRG_RandomStreams(lasagne.random.get_rng().randint(1, 2147462579))


class SparseInputDenseLayer(DenseLayer):
    """
    sparse_ae.layers.SparseInputDenseLayer(incoming, num_units,
    W=lasagne.init.GlorotUniform(), b=lasagne.init.Constant(0.),
    nonlinearity=lasagne.nonlinearities.rectify, **kwargs)

    A fully connected layer on CSR input: f(x W + b), a dense matrix.

    It is `lasagne.layers.DenseLayer` but for its input, and what it costs, O(n_entries num_units): a row's missing
    entries are zeros of the product, and are never written out.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer feeding into this layer, or the expected input shape, (n_rows or None, num_inputs). Its output is a
        CSR variable of W's dtype.
    num_units : int
        The number of units of the layer.
    W : Theano shared variable, numpy array or callable
        An initializer for the weights of the layer, (num_inputs, num_units).
    b : Theano shared variable, numpy array, callable or None
        An initializer for the biases of the layer, (num_units,). If None is provided the layer will have no biases.
    nonlinearity : callable or None
        The nonlinearity that is applied to the layer activations. If None is provided, the layer will be linear.

    Raises
    ------
    ValueError
        For an input shape that isn't one of a matrix with a known number of columns; where the compiled function is
        called, for a matrix with another number of columns.
    TypeError
        When the output is asked for, of dense input, of CSC, and of another dtype than W's.

    Notes
    -----
    What an update of W costs is said in the module's docstring.

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
        _check_input_shape(incoming if isinstance(incoming, tuple) else incoming.output_shape, type(self).__name__)
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
        _check_input_shape(self.input_shape, type(self).__name__)


class SparseInputDropoutLayer(_SparseToSparseLayer):
    """
    sparse_ae.layers.SparseInputDropoutLayer(incoming, p=0.5, rescale=True,
    stream=None, **kwargs)

    Dropout on CSR input: sets stored values to zero with probability p.

    The entries stay stored: a value that is hidden from the encoder is still observed, which is what a denoising
    autoencoder learns from. A number is drawn for each stored value, and none for the entries that aren't there.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer feeding into this layer, or the expected input shape, (n_rows or None, num_inputs).
    p : float or scalar tensor
        The probability of setting a value to zero.
    rescale : bool
        If true the values that are kept are divided by 1 - p when deterministic is False.
    stream : theano.sandbox.rng_mrg.MRG_RandomStreams, optional
        Where the random numbers come from. By default a new stream that is seeded by Lasagne's generator, see
        `lasagne.random.set_rng`, as that of `lasagne.layers.DropoutLayer`.

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Bengio, Y., Manzagol, P.-A. (2008):
           Extracting and Composing Robust Features with Denoising Autoencoders. ICML.
    .. [2] Srivastava, N., Hinton, G., Krizhevsky, A., Sutskever, I., Salakhutdinov, R. (2014):
           Dropout: A Simple Way to Prevent Neural Networks from Overfitting.
           Journal of Machine Learning Research, 15, 1929-1958.
    """

    def __init__(self, incoming, p=0.5, rescale=True, stream=None, **kwargs):
        super().__init__(incoming, **kwargs)
        if not isinstance(p, theano.Variable) and not 0 <= p < 1:
            raise ValueError("p is %r; expected a probability from 0 to below 1" % (p,))
        self.p, self.rescale = p, rescale
        self.stream = new_stream() if stream is None else stream

    def get_output_for(self, input, deterministic=False, **kwargs):
        """
        Parameters
        ----------
        input : Theano CSR variable
            Output from the previous layer.
        deterministic : bool
            If true dropout and scaling is disabled.
        """
        data = _float_arrays(input, self.input_shape[1], input.dtype if "float" in input.dtype else
                             theano.config.floatX, type(self).__name__)[0]
        if deterministic or (not isinstance(self.p, theano.Variable) and self.p == 0):
            return input
        kept = 1 - T.cast(self.p, data.dtype)
        mask = self.stream.binomial(data.shape, p=kept, dtype=data.dtype)
        return with_values(input, data * mask / kept if self.rescale else data * mask, self.input_shape[1])


class SparseInputNormLayer(_SparseToSparseLayer):
    """
    sparse_ae.layers.SparseInputNormLayer(incoming, **kwargs)

    Divides the stored values of each row by their Euclidean length; a row of zeros, or without entries, stays as it is.

    Rows with many entries and rows with few then reach the next layer at one scale, as in [1]_.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer feeding into this layer, or the expected input shape, (n_rows or None, num_inputs).

    References
    ----------
    .. [1] Liang, D., Krishnan, R. G., Hoffman, M. D., Jebara, T. (2018):
           Variational Autoencoders for Collaborative Filtering. WWW.
    """

    def get_output_for(self, input, **kwargs):
        data, indices, indptr = stored_arrays(input, self.input_shape[1])
        # A row's sum is its product with ones; all of its entries are in the one column of a matrix of sums.
        first, one = T.zeros_like(indices), T.ones((1, 1), data.dtype)
        squares = csr_dot(data ** 2, first, indptr, one)
        lengths = T.sqrt(T.switch(squares > 0, squares, 1))
        return with_values(input, data / sampled_dot(first, indptr, lengths, one), self.input_shape[1])


class IndicatorLayer(_SparseToSparseLayer):
    """
    sparse_ae.layers.IndicatorLayer(incoming, **kwargs)

    1 at each stored entry of CSR input, whatever its value: what is there, as an input of its own.

    A missing entry adds nothing to a product, and nor does an observed 0. A second `SparseInputDenseLayer` on this
    layer, summed with the first by `lasagne.layers.ElemwiseSumLayer`, tells a network the difference.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer feeding into this layer, or the expected input shape, (n_rows or None, num_inputs).
    """

    def get_output_for(self, input, **kwargs):
        data = stored_arrays(input, self.input_shape[1])[0]
        dtype = data.dtype if "float" in data.dtype else theano.config.floatX
        return with_values(input, T.ones_like(data, dtype=dtype), self.input_shape[1])


class ObservedLayer(MergeLayer):
    """
    sparse_ae.layers.ObservedLayer(incoming, observed, num_units=None,
    W=lasagne.init.GlorotUniform(), b=lasagne.init.Constant(0.),
    nonlinearity=None, **kwargs)

    A fully connected output layer, f(h W' + b), evaluated where a CSR matrix has entries and nowhere else.

    For hidden units h (n_rows, k) and a matrix with n_entries stored entries it gives a vector, (n_entries,), in the
    order of the matrix's own `data`, at a cost of O(n_entries k). `lasagne.layers.get_output` passes on what else may
    be asked for:

    - ``get_output(layer)``: the outputs at the entries of `observed`;
    - ``get_output(layer, entries=pairs)``: those at the entries of another CSR variable of as many rows, whatever
      its values: any pairs of rows and columns;
    - ``get_output(layer, entries="all")``: all of them, (n_rows, num_units).

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer feeding into this layer, or the expected input shape, (n_rows or None, k).
    observed : a :class:`Layer` instance or a tuple
        The layer whose output is a CSR variable, or its expected shape, (n_rows or None, num_units).
    num_units : int, optional
        The number of units of the layer; by default as many as `observed` has columns.
    W : Theano shared variable, numpy array or callable
        An initializer for the weights of the layer, **(num_units, k)**: a unit's weights lie together, as W's rows in
        the autoencoder f(W g(V r + mu) + b). It is the shape of the weights of a `SparseInputDenseLayer` from
        num_units columns to k units: ``W=encoder.W`` ties a decoder to an encoder.
    b : Theano shared variable, numpy array, callable or None
        An initializer for the biases of the layer, (num_units,). If None is provided the layer will have no biases.
    nonlinearity : callable or None
        The nonlinearity that is applied to the layer activations. If None is provided, the layer will be linear.

    Raises
    ------
    ValueError
        For input shapes that don't fit; where the compiled function is called, for matrices that don't.
    TypeError
        When the output is asked for at entries that aren't those of a CSR variable.

    Notes
    -----
    What an update of W costs is said in the module's docstring; that of b is an array of num_units numbers.

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
        _check_input_shape(hidden, type(self).__name__)
        _check_input_shape(columns, type(self).__name__, "observed")
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
        """
        Parameters
        ----------
        inputs : list of Theano expressions
            The hidden units, and the CSR variable.
        entries : None, "all" or Theano CSR variable
            Where outputs are asked for: at the entries of the second input, everywhere, or at these entries.
        """
        hidden, observed = inputs
        if isinstance(entries, str):
            if entries != "all":
                raise ValueError("entries is %r; expected None, 'all' or a Theano CSR variable" % entries)
            activation = T.dot(hidden, self.W.T)
            return self.nonlinearity(activation if self.b is None else activation + self.b.dimshuffle("x", 0))
        _, indices, indptr = stored_arrays(observed if entries is None else entries, self.num_units)
        activation = sampled_dot(indices, indptr, hidden, self.W)
        return self.nonlinearity(activation if self.b is None else activation + self.b[indices])


class OrdinalLayer(Layer):
    """
    sparse_ae.layers.OrdinalLayer(incoming, levels, thresholds=None,
    link="logistic", **kwargs)

    The expectation of an ordered level, such as a rating in stars, given a score: a cumulative link model.

    With thresholds t_1 < ... < t_(C-1), which are learned, a score s stands for the probabilities

        P(level <= l_c)  =  F(t_c - s),    F the logistic function, or the normal distribution's

    of C levels: the distances between levels are learned, and a level at the end of the scale can be sure. The
    expectation is the best prediction under a squared error. To train it, ask for the scores and hold them against the
    levels with `sparse_ae.training.losses.ordinal_crossentropy`.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer that gives scores, or their shape; any shape.
    levels : sequence of C numbers
        The levels in ascending order, in their own units.
    thresholds : array, (C - 1,), optional
        The thresholds to begin with, in ascending order. By default those at which all levels are equally probable for
        a score of 0; `thresholds_from_counts` makes them from the levels' frequencies.
    link : {"logistic", "probit"}

    Attributes
    ----------
    thresholds : vector, (C - 1,)
        The thresholds, as an expression of `steps`.
    steps : Theano shared variable, (C - 1,)
        The first threshold, and the logarithms of the distances from each to the next, so that they keep their order.
        Not regularizable.

    Raises
    ------
    ValueError
        For levels or thresholds that don't ascend, or aren't as many as they should be, and for an unknown link.

    References
    ----------
    .. [1] McCullagh, P. (1980): Regression Models for Ordinal Data. Journal of the Royal Statistical Society B, 42.
    .. [2] Koren, Y., Sill, J. (2011): OrdRec: An Ordinal Model for Predicting Personalized Item Rating Distributions.
           RecSys.
    """

    def __init__(self, incoming, levels, thresholds=None, link="logistic", **kwargs):
        super().__init__(incoming, **kwargs)
        self.levels, self.link = np.asarray(levels, "float64"), link
        if self.levels.ndim != 1 or len(self.levels) < 2 or not (np.diff(self.levels) > 0).all():
            raise ValueError("levels are %r; expected two numbers or more in ascending order" % (levels,))
        if link not in LINKS:
            raise ValueError("link is %r; expected one of %s" % (link, ", ".join(map(repr, LINKS))))
        if thresholds is None:
            thresholds = thresholds_from_counts(np.ones(len(self.levels)), link)
        thresholds = np.asarray(thresholds, "float64")
        if (thresholds.shape != (len(self.levels) - 1,) or not np.isfinite(thresholds).all()
                or not (np.diff(thresholds) > 0).all()):
            raise ValueError("thresholds are %r; expected %d finite numbers in ascending order, one between each level "
                             "and the next" % (thresholds, len(self.levels) - 1))
        steps = np.append(thresholds[:1], np.log(np.diff(thresholds)))
        self.steps = self.add_param(lasagne.utils.floatX(steps), steps.shape, name="steps", regularizable=False)
        self.thresholds = T.extra_ops.cumsum(T.concatenate([self.steps[:1], T.exp(self.steps[1:])]))

    def get_output_for(self, input, **kwargs):
        # levels[0], and each gap times the probability of being above it: no difference of probabilities.
        above = LINKS[self.link].distribution(input.dimshuffle(*range(input.ndim), "x") - self.thresholds)
        gaps = np.diff(self.levels).astype(above.dtype)
        return self.levels[0].astype(above.dtype) + T.dot(above, gaps)

    def classes(self, values):
        """The numbers of levels, from 0, that values are.

        Parameters
        ----------
        values : vector, of levels

        Returns
        -------
        vector of int64

        Raises
        ------
        AssertionError
            Where the compiled function is called with a value that is no level.
        """
        levels = T.constant(self.levels.astype(values.dtype))
        nearest = T.clip(T.sum(values.dimshuffle(0, "x") > levels.dimshuffle("x", 0), axis=1), 0, len(self.levels) - 1)
        known = T.opt.Assert("a value is none of the ordinal output's levels, %s" % self.levels.tolist())
        return known(nearest, T.all(T.eq(levels[nearest], values)))


class BatchNormLayer(Layer):
    """
    sparse_ae.layers.BatchNormLayer(incoming, epsilon=1e-4, alpha=0.1,
    beta=lasagne.init.Constant(0), gamma=lasagne.init.Constant(1),
    mean=lasagne.init.Constant(0), inv_std=lasagne.init.Constant(1),
    **kwargs)

    Batch normalisation of units: y = (x - mean) * gamma / sqrt(variance + epsilon) + beta.

    In training, mean and variance are those of each unit in the mini-batch, and running averages of them are kept as
    the compiled function's default updates; where ``deterministic=True`` these are used, and stay. Lasagne 0.1 has no
    such layer; that of its later versions takes the same arguments.

    Parameters
    ----------
    incoming : a :class:`Layer` instance or a tuple
        The layer feeding into this layer, or the expected input shape, (n_rows or None, num_units).
    epsilon : scalar
        Added to the variance.
    alpha : scalar
        How much a mini-batch counts in the running averages; from 0 to 1.
    beta, gamma : Theano shared variable, numpy array, callable or None
        Initial values, (num_units,), or None for 0 and 1. They are trainable; gamma is regularizable, beta is not.
    mean, inv_std : Theano shared variable, numpy array or callable
        Initial values of the running mean and of 1 / sqrt(running variance + epsilon); neither trainable nor
        regularizable.

    Raises
    ------
    ValueError
        For an input shape that isn't one of a matrix with a known number of units.

    References
    ----------
    .. [1] Ioffe, S., Szegedy, C. (2015): Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift. ICML.
    """

    def __init__(self, incoming, epsilon=1e-4, alpha=0.1, beta=lasagne.init.Constant(0),
                 gamma=lasagne.init.Constant(1), mean=lasagne.init.Constant(0), inv_std=lasagne.init.Constant(1),
                 **kwargs):
        super().__init__(incoming, **kwargs)
        _check_input_shape(self.input_shape, type(self).__name__)
        self.epsilon, self.alpha = epsilon, alpha
        units = self.input_shape[1:]
        self.beta = None if beta is None else self.add_param(beta, units, name="beta", regularizable=False)
        self.gamma = None if gamma is None else self.add_param(gamma, units, name="gamma")
        self.mean = self.add_param(mean, units, name="mean", trainable=False, regularizable=False)
        self.inv_std = self.add_param(inv_std, units, name="inv_std", trainable=False, regularizable=False)

    def get_output_for(self, input, deterministic=False, **kwargs):
        """
        Parameters
        ----------
        input : matrix, (n_rows, num_units)
        deterministic : bool
            If true the running averages are used, and aren't moved.
        """
        mean, inv_std = self.mean, self.inv_std
        if not deterministic:
            mean = input.mean(axis=0)
            epsilon, alpha, rest = np.array([self.epsilon, self.alpha, 1 - self.alpha], input.dtype)
            inv_std = 1 / T.sqrt(input.var(axis=0) + epsilon)
            averages = []
            for kept, value in ((self.mean, mean), (self.inv_std, inv_std)):
                # A clone that shares the memory, lest a second graph of the layer be updated by the first.
                average = theano.clone(kept, share_inputs=False)
                average.default_update = rest * average + alpha * value
                averages.append(average)
            # They are updated where the output is made, so the graph must lead to them; nothing is computed of it.
            mean, inv_std = (value + 0 * average for value, average in zip((mean, inv_std), averages))
        output = input - mean.dimshuffle("x", 0)
        output = output * (inv_std if self.gamma is None else self.gamma * inv_std).dimshuffle("x", 0)
        return output if self.beta is None else output + self.beta.dimshuffle("x", 0)
