"""The contract of a model, kept by a stack of Lasagne layers."""
import numpy as np

from sparse_ae.checks import check_dtype, check_number, check_rating_scale
from sparse_ae.contract import Model
from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer
from sparse_ae.networks.descriptions import check_stack, described, made_layer, said
from sparse_ae.ops.nonlinearities import find
from sparse_ae.parameters import Decoder, Parameter, drawing
from sparse_ae.runtime.device import on_gpu
import theano
import theano.sparse
from lasagne import layers


class Network(Model):
    """A stack of Lasagne layers that keeps the contract of a `Model`.

    Parameters
    ----------
    output_layer : sparse_ae.layers.ObservedLayer
        The decoder, with a b. Its `observed` is the `lasagne.layers.InputLayer` of the ratings, (None, n_columns). A
        second InputLayer of this shape may be named "indicator": it reads a second encoder's input. There may be no
        others.
    rating_scale : (float, float), optional
        As in `AutoEncoder`.
    l2 : float
        The weight decay of each regularizable parameter, times the sum of squares.

    Attributes
    ----------
    output_layer : ObservedLayer
    l2 : float
        It may be set, as those of an `AutoEncoder`.
    parameters : list of Parameter
        Those of `lasagne.layers.get_all_params`. The decoder's are named "W" and "b", the others by their layer's name,
        or its number from the input on, such as "1.W".

    Examples
    --------
    >>> from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer
    >>> from sparse_ae.networks import Network
    >>> from lasagne.layers import InputLayer
    >>> ratings = InputLayer((None, 40))
    >>> hidden = SparseInputDenseLayer(ratings, num_units=10)
    >>> model = Network(ObservedLayer(hidden, ratings), rating_scale=(1, 5))
    >>> [(each.name, each.variable.get_value().shape) for each in model.parameters]
    [('1.W', (40, 10)), ('1.b', (10,)), ('W', (40, 10)), ('b', (40,))]
    """

    def __init__(self, output_layer, rating_scale=None, l2=0.0):
        if not isinstance(output_layer, ObservedLayer):
            raise TypeError("the output layer is %s; expected a sparse_ae.layers.ObservedLayer" % said(output_layer))
        if on_gpu():
            raise ValueError("a Network runs on the CPU, and Theano's variables are on a GPU; set Theano's flag "
                             "device=cpu, or use an AutoEncoder")
        if output_layer.b is None:
            raise ValueError("the output layer has b=None; expected a bias for each column, such as the default")
        self.output_layer = output_layer
        self.rating_scale = None if rating_scale is None else check_rating_scale(rating_scale)
        self._inputs = _inputs(output_layer)
        self.channels = tuple(self._inputs)[1:]
        self.l2 = l2
        self.dtype = output_layer.W.dtype
        for each in self.parameters:
            if each.variable.dtype != self.dtype:
                raise TypeError("the parameter %s has dtype %s, the decoder's W has %s; make all layers with the same "
                                "floatX" % (each.name, each.variable.dtype, self.dtype))

    @property
    def l2(self):
        return max(each.decay for each in self.parameters)

    @l2.setter
    def l2(self, l2):
        self.parameters = _parameters(self.output_layer, check_number(l2, "l2", zero=True))

    # Noise is drawn for entries, and layers read the pattern, which dense rows don't have.
    reads_entries = True

    def encode(self, batch, deterministic=True):
        """Build the graph of hidden units, (n_rows, k), of a `Batch` of CSR."""
        shape = theano.tensor.stack([batch.indptr.shape[0] - 1, np.int64(self.n_columns)])
        inputs = {layer: theano.sparse.CSR(getattr(batch, channel), batch.indices, batch.indptr, shape)
                  for channel, layer in self._inputs.items()}
        return layers.get_output(self.output_layer.input_layers[0], inputs, deterministic=deterministic)

    def decoder(self):
        """Return the `Decoder`."""
        layer = self.output_layer
        return Decoder(layer.W, layer.b, layer.nonlinearity, find(layer.nonlinearity)).over(self.rating_scale)

    def describe(self):
        """Return its layers by name and settings, as JSON; TypeError for a layer that can't be written down."""
        names = {each.variable: each.name for each in self.parameters}
        stack = layers.get_all_layers(self.output_layer)
        described_layers = [described(layer, stack, names) for layer in stack]
        check_stack(described_layers)
        return {"layers": described_layers, "dtype": self.dtype, "l2": self.l2,
                "rating_scale": None if self.rating_scale is None else list(self.rating_scale)}

    @classmethod
    def from_description(cls, description, arrays):
        """Make the network of `describe`, with parameters that have these values, by their names; or raise."""
        dtype = check_dtype(description["dtype"])
        check_stack(description["layers"])
        variables, made = {}, []
        with drawing(0, dtype):  # noise is seeded, whatever the seed
            for each in description["layers"]:
                try:
                    made.append(made_layer(each, made, arrays, variables, dtype))
                except (KeyError, TypeError, ValueError):
                    raise
                except Exception as error:  # Lasagne's, of settings that no layer has
                    raise ValueError("layer %d can't be made (%s: %s)"
                                     % (len(made), type(error).__name__, error)) from error
        if not made:
            raise ValueError("there are no layers")
        return cls(made[-1], description["rating_scale"], description["l2"])


def _inputs(output_layer):
    """The input layers of an ObservedLayer, by the array of a `Batch` that they read: data or indicator."""
    ratings = output_layer.input_layers[1]
    if not isinstance(ratings, layers.InputLayer):
        raise TypeError("observed of the output layer is %s; expected the InputLayer of the ratings" % said(ratings))
    shape, inputs = (None, output_layer.num_units), {"data": ratings}
    if output_layer.input_layers[0] is None:
        raise ValueError("the output layer has no layer before it; expected hidden units computed from the ratings")
    stack = layers.get_all_layers(output_layer)
    for layer in stack:
        if not isinstance(layer, layers.InputLayer):
            continue
        if layer.name == "indicator" and layer is not ratings:
            inputs["indicator"] = layer
        elif layer is not ratings:
            raise ValueError("the input layer %s is neither the ratings' nor named 'indicator', the only inputs of a "
                             "Network: for other inputs compile the layers' outputs with theano.function"
                             % said(layer))
        if layer.shape != shape:
            raise ValueError("the input layer %s has the shape %r; expected %r: any number of rows, and a column for "
                             "each output" % (said(layer), layer.shape, shape))
    if ratings not in layers.get_all_layers(output_layer.input_layers[0]):
        raise ValueError("the hidden units don't depend on the ratings; expected layers between the ratings' "
                         "InputLayer and the output layer")
    return inputs


def _parameters(output_layer, l2):
    stack, found, names = layers.get_all_layers(output_layer), [], {}
    own = {output_layer.W: "W", output_layer.b: "b"}
    for number, layer in enumerate(stack):
        for variable in layer.get_params():
            if variable in names:
                continue
            short = (variable.name or "parameter").rpartition(".")[2]
            name = own.get(variable, "%s.%s" % (layer.name or number, short))
            if name in names.values():
                name = "%d.%s" % (number, short)
            while name in names.values():
                name += "'"
            names[variable] = variable.name = name
            regularized = any(variable in each.get_params(regularizable=True) for each in stack)
            by_columns = variable in own or isinstance(layer, SparseInputDenseLayer) and variable is layer.W
            found.append(Parameter(variable, name, 0 if by_columns else None, l2 if regularized else 0.0,
                                   trainable=variable in layer.get_params(trainable=True)))
    return found
