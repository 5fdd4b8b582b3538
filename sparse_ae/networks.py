"""Networks of Lasagne layers that train, predict and are listed as the post's model is.

A network is any stack of layers from the ratings to an `ObservedLayer`, whose W and b are the decoder; all that stands
before it makes the hidden units. It keeps `training.contract`, so that `Trainer` trains it, with its objectives, its
checkpoints and its measures, and whatever needs no more than a decoder takes it.

==============  ========================================================================================
`shallow`       the post's: f(W g(V r + mu) + b)
`deep`          hidden layers with residual connections and dropout
`denoising`     learns from what it was shown a part of
`tied`          the decoder is the encoder
`multinomial`   the autoencoder of lists: Mult-DAE, for `training.objectives.Multinomial`
==============  ========================================================================================

Each is a few lines of layers, and a place to begin one of one's own.

Examples
--------
Two hidden layers, a third of the hidden units dropped:

>>> import sparse_ae
>>> from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer
>>> from sparse_ae.networks import Network
>>> from lasagne.layers import DenseLayer, DropoutLayer, InputLayer
>>> from lasagne.nonlinearities import tanh
>>> ratings = InputLayer((None, 40))
>>> hidden = DropoutLayer(SparseInputDenseLayer(ratings, 10, nonlinearity=tanh), 0.3)
>>> hidden = DenseLayer(hidden, 10, nonlinearity=tanh)
>>> model = Network(ObservedLayer(hidden, ratings), rating_scale=(1, 5), l2=0.1)
>>> made_up = sparse_ae.made_up_ratings(60, 40, 800, rng=0)[0]
>>> trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.01, progress=False)
>>> history = trainer.fit(made_up.matrix, n_epochs=5)
>>> history[-1]["train_rmse"] < history[0]["train_rmse"]
True
"""
import contextlib

import numpy as np

from sparse_ae.checks import check_count, check_dtype, check_number, check_rating_scale, check_rng
from sparse_ae.layers import (
    BatchNormLayer,
    IndicatorLayer,
    ObservedLayer,
    SparseInputDenseLayer,
    SparseInputDropoutLayer,
    SparseInputNormLayer,
)
from sparse_ae.ops.compiled import building
from sparse_ae.ops.nonlinearities import find
from sparse_ae.parameters import Decoder, Parameter
from sparse_ae.runtime.device import on_gpu
from sparse_ae.runtime.ranks import ALONE
from sparse_ae.training.contract import Model
import lasagne
import theano
import theano.sparse
from lasagne import layers, nonlinearities

__all__ = ["Network", "deep", "denoising", "multinomial", "shallow", "tied"]


class Network(Model):
    """A stack of Lasagne layers that keeps `training.contract`.

    Parameters
    ----------
    output_layer : sparse_ae.layers.ObservedLayer
        The decoder, with a b. Its `observed` is the `lasagne.layers.InputLayer` of the ratings, (None, n_columns). A
        second InputLayer of this shape may be named "indicator": it reads what a second encoder sees, see
        `training.targets`. There may be no others.
    rating_scale : (float, float), optional
        A bounded nonlinearity of the decoder is stretched over it, as `AutoEncoder`'s is, and predictions are clipped
        to it.
    l2 : float
        The weight decay of each regularizable parameter, times the sum of squares.

    Attributes
    ----------
    output_layer : ObservedLayer
    parameters : list of Parameter
        Those of `lasagne.layers.get_all_params`. The decoder's are named "W" and "b", the others by their layer's name,
        or its number from the input on, such as "1.W"; the variables are given these names.

    Raises
    ------
    TypeError, ValueError
        For a stack that is no such network, for a decay or a scale that can't be used, and on a GPU.
    """

    def __init__(self, output_layer, rating_scale=None, l2=0.0):
        if not isinstance(output_layer, ObservedLayer):
            raise TypeError("the output layer is %s; expected a sparse_ae.layers.ObservedLayer, which has outputs "
                            "where there are ratings" % _said(output_layer))
        if on_gpu():
            raise ValueError("a Network runs on the CPU, and Theano's variables are on a GPU; set Theano's flag "
                             "device=cpu, or use an AutoEncoder")
        if output_layer.b is None:
            raise ValueError("the output layer has b=None; expected a bias for each column, such as the default")
        self.output_layer = output_layer
        self.rating_scale = None if rating_scale is None else check_rating_scale(rating_scale)
        self.l2 = check_number(l2, "l2", zero=True)
        self._ratings, self._indicator = _inputs(output_layer)
        self.channels = () if self._indicator is None else ("indicator",)
        self.parameters = _parameters(output_layer, self.l2)
        self.dtype = output_layer.W.dtype
        for each in self.parameters:
            if each.variable.dtype != self.dtype:
                raise TypeError("the parameter %s is of dtype %s, the decoder's W of %s; expected one dtype: make the "
                                "layers under one floatX" % (each.name, each.variable.dtype, self.dtype))

    # Noise is drawn for entries, and layers ask what is there: dense rows can't tell.
    reads_entries = True

    def encode(self, batch, deterministic=True):
        """Build the graph of hidden units, (n_rows, k), of a `Batch` of CSR or of dense rows, whose zeros are missing.
        """
        inputs = {self._ratings: self._rows(batch, batch.data)}
        if self._indicator is not None:
            inputs[self._indicator] = self._rows(batch, batch.indicator)
        hidden = self.output_layer.input_layers[0]
        return layers.get_output(hidden, inputs, deterministic=deterministic)

    def _rows(self, batch, values):
        if batch.is_dense:
            return theano.sparse.csr_from_dense(values)
        shape = theano.tensor.stack([batch.indptr.shape[0] - 1, np.int64(self.n_columns)])
        return theano.sparse.CSR(values, batch.indices, batch.indptr, shape)

    def decoder(self):
        """Return the `Decoder`: a bounded nonlinearity is stretched over the rating scale, if there is one."""
        layer = self.output_layer
        nonlinearity, low, span = find(layer.nonlinearity), 0.0, 1.0
        if self.rating_scale is not None and nonlinearity is not None and nonlinearity.is_bounded:
            f_low, f_high = nonlinearity.range
            span = (self.rating_scale[1] - self.rating_scale[0]) / (f_high - f_low)
            low = self.rating_scale[0] - span * f_low
        return Decoder(layer.W, layer.b, layer.nonlinearity, nonlinearity, low, span, self.l2)

    @property
    def reach(self):
        """The lowest and the highest output that the decoder comes near."""
        nonlinearity = find(self.output_layer.nonlinearity)
        return self.rating_scale or (nonlinearity.range if nonlinearity else (-np.inf, np.inf))

    def describe(self):
        """Return its layers by name and settings, JSON, as `from_description` takes them.

        Raises
        ------
        TypeError
            For a layer, a nonlinearity or a setting that can't be written down, with the reason.
        """
        names = {each.variable: each.name for each in self.parameters}
        stack = layers.get_all_layers(self.output_layer)
        return {"layers": [_described(layer, stack, names) for layer in stack], "dtype": self.dtype, "l2": self.l2,
                "rating_scale": None if self.rating_scale is None else list(self.rating_scale)}

    @classmethod
    def from_description(cls, description, arrays, ranks=ALONE):
        """Make the network of `describe`, with parameters that have these values, by their names.

        Raises
        ------
        LookupError, TypeError, ValueError
            For what `describe` can't have given, and arrays that don't go with it.
        """
        if ranks.size > 1:
            raise ValueError("a Network on %d ranks: its columns can't be shared out; use an AutoEncoder" % ranks.size)
        dtype = check_dtype(description["dtype"])
        variables, made = {}, []
        with building(dtype):
            for each in description["layers"]:
                made.append(_made(each, made, arrays, variables, dtype))
        return cls(made[-1], description["rating_scale"], description["l2"])


def _said(layer):
    name = getattr(layer, "name", None)
    return type(layer).__name__ + (" %r" % name if name else "")


def _inputs(output_layer):
    """The input layers of the ratings, and of the indicator or None."""
    ratings = output_layer.input_layers[1]
    if not isinstance(ratings, layers.InputLayer):
        raise TypeError("observed of the output layer is %s; expected the InputLayer of the ratings" % _said(ratings))
    shape, indicator = (None, output_layer.num_units), None
    if output_layer.input_layers[0] is None:
        raise ValueError("the output layer has no layer before it; expected hidden units that come from the ratings")
    stack = layers.get_all_layers(output_layer)
    for layer in stack:
        if not isinstance(layer, layers.InputLayer):
            continue
        if layer.name == "indicator" and layer is not ratings:
            indicator = layer
        elif layer is not ratings:
            raise ValueError("the input layer %s is neither that of the ratings nor named 'indicator'; a Network reads "
                             "nothing else: for other inputs compile the layers' outputs with theano.function"
                             % _said(layer))
        if layer.shape != shape:
            raise ValueError("the input layer %s has the shape %r; expected %r: any number of rows, and a column for "
                             "each output" % (_said(layer), layer.shape, shape))
    if ratings not in layers.get_all_layers(output_layer.input_layers[0]):
        raise ValueError("the hidden units don't come from the ratings; expected layers between the ratings' "
                         "InputLayer and the output layer")
    return ratings, indicator


def _parameters(output_layer, l2):
    stack, found, names = layers.get_all_layers(output_layer), [], set()
    own = {output_layer.W: "W", output_layer.b: "b"}
    seen = {}
    for number, layer in enumerate(stack):
        for variable in layer.get_params():
            if variable in seen:
                continue
            short = (variable.name or "parameter").rpartition(".")[2]
            name = own.get(variable, "%s.%s" % (layer.name or number, short))
            if name in names:
                name = "%d.%s" % (number, short)
            while name in names:
                name += "'"
            names.add(name)
            seen[variable] = name
            regularized = any(variable in each.get_params(regularizable=True) for each in stack)
            by_columns = variable in own or isinstance(layer, SparseInputDenseLayer) and variable is layer.W
            found.append(Parameter(variable, name, 0 if by_columns else None, l2 if regularized else 0.0,
                                   trainable=variable in layer.get_params(trainable=True)))
    for each in found:
        each.variable.name = each.name
    return found


# Descriptions

# The settings of each kind of layer: attributes that are numbers or truth values, and whether it has a nonlinearity.
_SETTINGS = {
    layers.DenseLayer: ("num_units", "nonlinearity"),
    SparseInputDenseLayer: ("num_units", "nonlinearity"),
    ObservedLayer: ("nonlinearity",),
    layers.NonlinearityLayer: ("nonlinearity",),
    layers.DropoutLayer: ("p", "rescale"),
    SparseInputDropoutLayer: ("p", "rescale"),
    layers.GaussianNoiseLayer: ("sigma",),
    SparseInputNormLayer: (),
    IndicatorLayer: (),
    BatchNormLayer: ("epsilon", "alpha"),
    layers.ElemwiseSumLayer: ("coeffs",),
    layers.ConcatLayer: ("axis",),
}
_PARAMETERS = {layers.DenseLayer: ("W", "b"), SparseInputDenseLayer: ("W", "b"), ObservedLayer: ("W", "b"),
               BatchNormLayer: ("beta", "gamma", "mean", "inv_std")}
_KINDS = {kind.__name__: kind for kind in _SETTINGS}
_LISTS = layers.ElemwiseSumLayer, layers.ConcatLayer


def _described(layer, stack, names):
    kind = type(layer)
    if kind is layers.InputLayer:
        return {"kind": "InputLayer", "columns": layer.shape[1], "name": layer.name}
    if kind not in _SETTINGS:
        raise TypeError("the layer %s can't be written down; expected one of %s"
                        % (_said(layer), ", ".join(sorted(_KINDS))))
    before = layer.input_layers if isinstance(layer, layers.MergeLayer) else [layer.input_layer]
    settings = {name: _plain(getattr(layer, name), name, layer) for name in _SETTINGS[kind]}
    parameters = {name: None if getattr(layer, name) is None else names[getattr(layer, name)]
                  for name in _PARAMETERS.get(kind, ())}
    return {"kind": kind.__name__, "name": layer.name, "inputs": [stack.index(each) for each in before],
            "settings": settings, "parameters": parameters}


def _plain(value, name, layer):
    """A setting as JSON."""
    if name == "nonlinearity":
        known = getattr(value, "__name__", "")
        if getattr(nonlinearities, known, None) is not value:
            raise TypeError("the nonlinearity %r of the layer %s can't be written down; expected a function of "
                            "lasagne.nonlinearities" % (value, _said(layer)))
        return known
    if isinstance(value, (list, tuple)):
        return [_plain(each, name, layer) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    raise TypeError("%s of the layer %s is %r, which can't be written down; expected a number"
                    % (name, _said(layer), value))


def _made(description, made, arrays, variables, dtype):
    """The layer of a description, on those that are made by now."""
    if description["kind"] == "InputLayer":
        return layers.InputLayer((None, check_count(description["columns"], "columns")), name=description["name"])
    if description["kind"] not in _KINDS:
        raise ValueError("a layer is a %r; expected one of %s" % (description["kind"], ", ".join(sorted(_KINDS))))
    kind = _KINDS[description["kind"]]
    settings = dict(description["settings"])
    if "nonlinearity" in settings:
        settings["nonlinearity"] = _nonlinearity(settings["nonlinearity"])
    for name, of in description["parameters"].items():
        if of is not None and of not in variables:
            variables[of] = theano.shared(np.asarray(arrays[of], dtype), name=of)
        settings[name] = None if of is None else variables[of]
    if set(settings) != set(_SETTINGS[kind]) | set(_PARAMETERS.get(kind, ())):
        raise ValueError("the settings of a %s are %s; expected others" % (kind.__name__, ", ".join(sorted(settings))))
    before = [_earlier(made, number) for number in description["inputs"]]
    if kind in _LISTS:
        return kind(before, name=description["name"], **settings)
    return kind(*before, name=description["name"], **settings)


def _earlier(made, number):
    if not isinstance(number, int) or not 0 <= number < len(made):
        raise ValueError("a layer stands on layer %r; expected one of the %d before it" % (number, len(made)))
    return made[number]


def _nonlinearity(name):
    function = getattr(nonlinearities, name, None) if isinstance(name, str) and name.islower() else None
    if not callable(function):
        raise ValueError("nonlinearity is %r; expected the name of a function of lasagne.nonlinearities" % (name,))
    return function


# Networks


@contextlib.contextmanager
def _drawing(rng, dtype):
    """Lasagne's initialisers and noise are seeded by `rng` within, and make parameters of `dtype`."""
    before, rng = lasagne.random.get_rng(), check_rng(rng)
    with building(check_dtype(dtype)):
        lasagne.random.set_rng(rng)
        try:
            yield
        finally:
            lasagne.random.set_rng(before)


def shallow(n_columns, n_hidden, rating_scale=None, f="sigmoid", g="tanh", l2=0.1, rng=0, dtype="float32"):
    """Make the post's model, f(W g(V r + mu) + b), of layers.

    Parameters
    ----------
    n_columns, n_hidden : int
    rating_scale : (float, float), optional
    f, g : str
        Of the outputs and the hidden units, by their names in `lasagne.nonlinearities`.
    l2 : float
    rng : numpy.random.RandomState or int
        For initial values, and the seeds of noise.
    dtype : {"float32", "float64"}

    Returns
    -------
    Network
        With the loss, the gradients and the updates of an `AutoEncoder` that has its W, V', mu and b.
    """
    with _drawing(rng, dtype):
        ratings = layers.InputLayer((None, n_columns))
        hidden = SparseInputDenseLayer(ratings, n_hidden, nonlinearity=_nonlinearity(g))
        return Network(ObservedLayer(hidden, ratings, nonlinearity=_nonlinearity(f)), rating_scale, l2)


def deep(n_columns, n_hidden=500, depth=2, dropout=0.3, rating_scale=None, f="linear", g="tanh", l2=0.1, rng=0,
         dtype="float32"):
    """Make a network of hidden layers of one width, each of which adds to the one before: h + g(U h + c).

    Parameters
    ----------
    n_columns, n_hidden : int
    depth : int
        The number of hidden layers; 1 is the post's model with dropout.
    dropout : float
        The share of the last hidden units that is dropped in training; from 0 to below 1.
    rating_scale, f, g, l2, rng, dtype
        As in `shallow`.

    Returns
    -------
    Network
    """
    check_count(depth, "depth")
    with _drawing(rng, dtype):
        ratings = layers.InputLayer((None, n_columns))
        hidden = SparseInputDenseLayer(ratings, n_hidden, nonlinearity=_nonlinearity(g))
        for _ in range(depth - 1):
            more = layers.DenseLayer(hidden, n_hidden, nonlinearity=_nonlinearity(g))
            hidden = layers.ElemwiseSumLayer([hidden, more])
        if dropout:
            hidden = layers.DropoutLayer(hidden, dropout)
        return Network(ObservedLayer(hidden, ratings, nonlinearity=_nonlinearity(f)), rating_scale, l2)


def denoising(n_columns, n_hidden=500, hide=0.4, dropout=0.2, rating_scale=None, f="linear", g="tanh", l2=0.1, rng=0,
              dtype="float32"):
    """Make a network that is shown a part of the ratings, drawn anew each time, and learns to give all of them.

    Parameters
    ----------
    n_columns, n_hidden : int
    hide : float
        The share of ratings that is hidden from the encoder in training; from 0 to below 1.
    dropout : float
        The share of hidden units that is dropped in training.
    rating_scale, f, g, l2, rng, dtype
        As in `shallow`.

    Returns
    -------
    Network

    References
    ----------
    Vincent, P., Larochelle, H., Bengio, Y., Manzagol, P.-A. (2008): Extracting and Composing Robust Features with
    Denoising Autoencoders. ICML.
    """
    with _drawing(rng, dtype):
        ratings = layers.InputLayer((None, n_columns))
        shown = SparseInputDropoutLayer(ratings, hide)
        hidden = SparseInputDenseLayer(shown, n_hidden, nonlinearity=_nonlinearity(g))
        if dropout:
            hidden = layers.DropoutLayer(hidden, dropout)
        return Network(ObservedLayer(hidden, ratings, nonlinearity=_nonlinearity(f)), rating_scale, l2)


def tied(n_columns, n_hidden, rating_scale=None, f="sigmoid", g="tanh", l2=0.1, rng=0, dtype="float32"):
    """Make f(W g(W' r + mu) + b): the decoder is the encoder, and has half as many parameters to learn.

    Parameters
    ----------
    n_columns, n_hidden, rating_scale, f, g, l2, rng, dtype
        As in `shallow`.

    Returns
    -------
    Network
    """
    with _drawing(rng, dtype):
        ratings = layers.InputLayer((None, n_columns))
        hidden = SparseInputDenseLayer(ratings, n_hidden, nonlinearity=_nonlinearity(g))
        output = ObservedLayer(hidden, ratings, W=hidden.W, nonlinearity=_nonlinearity(f))
        return Network(output, rating_scale, l2)


def multinomial(n_columns, n_hidden=200, hide=0.5, g="tanh", l2=0.01, rng=0, dtype="float32"):
    """Make Mult-DAE: rows of length 1, of which a part is hidden, to scores of all columns.

    It is for lists, and trained with ``objective=training.objectives.Multinomial()``.

    Parameters
    ----------
    n_columns, n_hidden : int
    hide : float
        The share of entries that is hidden from the encoder in training.
    g, l2, rng, dtype
        As in `shallow`.

    Returns
    -------
    Network

    References
    ----------
    Liang, D., Krishnan, R. G., Hoffman, M. D., Jebara, T. (2018): Variational Autoencoders for Collaborative Filtering.
    WWW.
    """
    with _drawing(rng, dtype):
        entries = layers.InputLayer((None, n_columns))
        shown = SparseInputDropoutLayer(SparseInputNormLayer(entries), hide)
        hidden = SparseInputDenseLayer(shown, n_hidden, nonlinearity=_nonlinearity(g))
        return Network(ObservedLayer(hidden, entries), l2=l2)
