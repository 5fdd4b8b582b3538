"""The contract of a model: what training, scoring, fold-in and files ask of one, its parameters and its last layer.

Whoever needs to know which axis of an array is columns, whether it decays, or how it lies in memory asks its
`Parameter`, and never goes by a position, a name or a shape.
"""
import contextlib
import copy
from typing import Any, NamedTuple, Optional

import numpy as np

from sparse_ae.checks import MOST
from sparse_ae.ops import item_major, sampled_dot
from sparse_ae.ops.compiled import building
from sparse_ae.ops.nonlinearities import Nonlinearity, find
from sparse_ae.ranks.ranks import ALONE, OwnDraws
from sparse_ae.runtime.device import is_on_host
import lasagne
import theano
import theano.tensor as T
from lasagne import init

__all__ = ["Decoder", "Model", "Parameter"]


class Parameter(NamedTuple):
    """A parameter of a model.

    Attributes
    ----------
    variable : Theano shared variable
    name : str
        In states and files.
    columns_axis : int or None
        Which axis is the model's columns, which ranks share out; None where all have the whole.
    decay : float
        The weight decay, times the sum of squares.
    item_major : bool
        Whether its memory is column by column of the model, though columns aren't its first axis.
    trainable : bool
        Whether updates change it; what isn't is part of the state all the same, such as running means.
    """

    variable: Any
    name: str
    columns_axis: Optional[int] = None
    decay: float = 0.0
    item_major: bool = False
    trainable: bool = True


class Decoder(NamedTuple):
    """The last layer of a model: its outputs are ``low + span f(W h + b)``.

    Attributes
    ----------
    W : Theano shared variable, (n_columns, k)
    b : Theano shared variable, (n_columns,)
    f : callable
        Of a Theano tensor, element by element.
    nonlinearity : Nonlinearity or None
        f's record; None for one that isn't in the table.
    low, span : float
    l2 : float
        The weight decay of W.
    l2_weighted : bool
        Whether it is that of each rating.
    ordinal : sparse_ae.layers.OrdinalLayer or None
        Where f is the expectation of ordered levels, the layer that knows their thresholds.
    """

    W: Any
    b: Any
    f: Any
    nonlinearity: Optional[Nonlinearity]
    low: float = 0.0
    span: float = 1.0
    l2: float = 0.0
    l2_weighted: bool = False
    ordinal: Any = None

    @classmethod
    def over(cls, rating_scale, W, b, f, l2=0.0, l2_weighted=False):
        """Make one of whose f, if it is bounded, the range is stretched over the rating scale, if there is one."""
        nonlinearity, low, span = find(f), 0.0, 1.0
        if rating_scale is not None and nonlinearity is not None and nonlinearity.is_bounded:
            f_low, f_high = nonlinearity.range
            span = (rating_scale[1] - rating_scale[0]) / (f_high - f_low)
            low = rating_scale[0] - span * f_low
        return cls(W, b, f, nonlinearity, low, span, l2, l2_weighted)

    @property
    def is_linear(self):
        """Tell whether outputs are ``W h + b`` themselves."""
        return self.nonlinearity is not None and self.nonlinearity.is_linear

    def activation(self, scores):
        """Outputs, as a graph of ``W h + b`` of any shape."""
        output = self.f(scores)
        if (self.low, self.span) == (0.0, 1.0):
            return output
        return np.asarray(self.low, output.dtype) + np.asarray(self.span, output.dtype) * output

    def score_of(self, output):
        """The score ``W h + b`` whose output is `output`; of a bounded f, short of its ends, where it has no slope."""
        value = (output - self.low) / self.span
        if self.nonlinearity is None:
            return value
        if self.nonlinearity.is_bounded:
            f_low, f_high = self.nonlinearity.range
            margin = 0.01 * (f_high - f_low)
            value = min(max(value, f_low + margin), f_high - margin)
        return self.nonlinearity.inverse(value)


def create_parameter(spec, shape, name, dtype, ranks, axis):
    """Make a shared variable of initial values.

    Parameters
    ----------
    spec : lasagne.init.Initializer, callable, array or Theano shared variable
        Of all columns, but for a shared variable, which is of a rank's own; a callable is given the shape.
    shape : tuple of int
        Of all columns.
    name, dtype : str
    ranks : Ranks
    axis : int or None
        The axis that is columns.

    Returns
    -------
    Theano shared variable
        Of a rank's own columns, of which there may be none.

    Raises
    ------
    TypeError, ValueError, MemoryError
        For another shape or dtype, and for what makes no array of the shape.
    """
    if axis is None or ranks.size == 1:
        return _whole(spec, shape, name, dtype)
    return _own(spec, shape, name, dtype, ranks, axis)


def _whole(spec, shape, name, dtype):
    if isinstance(spec, (np.ndarray, theano.compile.SharedVariable)):
        value = spec if isinstance(spec, np.ndarray) else spec.get_value(borrow=True)
        if value.shape != shape:
            raise ValueError("%s has shape %r; expected %r" % (name, value.shape, shape))
        if isinstance(spec, np.ndarray):
            if spec.dtype.kind not in "biuf":
                raise TypeError("%s is an array of %s; expected real numbers" % (name, spec.dtype))
            spec = spec.astype(dtype)
        elif spec.dtype != dtype:
            raise TypeError("%s is a shared variable of dtype %s and the model's is %s; expected the same: pass "
                            "dtype=%r" % (name, spec.dtype, dtype, spec.dtype))
    elif not callable(spec):
        raise TypeError("%s is %r; expected an initialiser from lasagne.init, a function of a shape, an array or a "
                        "Theano shared variable" % (name, spec))
    try:
        parameter = lasagne.utils.create_param(spec, shape, name=name)
    except MemoryError as error:
        raise MemoryError("there is no memory for %s, %s numbers; lower n_hidden"
                          % (name, " x ".join(map(str, shape)))) from error
    except Exception as error:  # Lasagne's, of a function that makes something else; and the function's own
        raise ValueError("%s is %r, which makes nothing of the shape %r (%s: %s)"
                         % (name, spec, shape, type(error).__name__, error)) from error
    parameter.name = name
    return parameter


# What draws each number by itself, in order.
_DRAWN_ONE_BY_ONE = init.Normal, init.Uniform, init.Glorot, init.He


def _own(spec, shape, name, dtype, ranks, axis):
    """As `_whole`, for a rank's own columns, of which there may be none; `spec` is of all, or a shared variable."""
    own = list(shape)
    own[axis] = ranks.n_own(shape[axis])
    if isinstance(spec, theano.compile.SharedVariable):
        return _whole(spec, tuple(own), name, dtype)
    rng = lasagne.random.get_rng()
    if isinstance(spec, _DRAWN_ONE_BY_ONE) and len(shape) == 2:
        lasagne.random.set_rng(OwnDraws(rng, ranks, axis))
        try:
            value = np.asarray(spec(shape), dtype)
        finally:
            lasagne.random.set_rng(rng)
    else:
        value = _whole(spec, shape, name, dtype).get_value(borrow=True)
        value = value[ranks.own].copy() if axis == 0 else value[:, ranks.own].copy()
    assert value.shape == tuple(own), name
    return theano.shared(value, name=name)


def portable_state(state, parameters):
    """Make a model's state for pickle: what is on a GPU comes back where new variables land, there or on the CPU."""
    if all(is_on_host(each.variable) for each in parameters):
        return state
    anywhere = {each.variable: _Anywhere(each) for each in parameters}

    def portable(value):
        if isinstance(value, Parameter):
            return value._replace(variable=anywhere[value.variable])
        if isinstance(value, list):
            return [portable(each) for each in value]
        return anywhere.get(value, value) if isinstance(value, theano.Variable) else value

    return {name: portable(value) for name, value in state.items()}


class _Anywhere:
    """A shared variable on a GPU, for pickle."""

    def __init__(self, parameter):
        self._variable, self._item_major = parameter.variable, parameter.item_major

    def __reduce__(self):
        return _shared_anywhere, (self._variable.get_value(), self._variable.name, self._item_major)

    def __deepcopy__(self, memo):
        return copy.deepcopy(self._variable, memo)


def _shared_anywhere(value, name, is_item_major):
    variable = theano.shared(value, name=name)
    if is_item_major:
        item_major(variable)
    return variable


class Model:
    """A model; what isn't implemented here a model has to say itself, and the rest it may say better.

    Attributes
    ----------
    n_columns, n_all_columns : int
        Columns of this process, and of all ranks together.
    n_hidden : int
        Of the last hidden layer, k.
    dtype : {"float32", "float64"}
    ranks : Ranks
        Only `AutoEncoder` shares out its columns.
    channels : tuple of str
        What the encoder reads beside the ratings: () or ("indicator",); see `Batch`.
    parameters : list of Parameter
        All that is trained, and what else is part of the state.
    rating_scale : (float, float) or None
        What `AsRated` is to clip predictions to, where the model was made for ratings themselves.
    reach : (float, float)
        The lowest and the highest output that it comes near.
    l2_weighted : bool
        Whether its decay counts each rating: `decay` is then given `item_counts`.
    reads_entries : bool
        Whether the dense formulation, too, gives the encoder entries, and lays out what is decoded alone.
    compiled : dict
        For functions that were compiled for it, by name.
    """

    ranks, channels, rating_scale, reach, l2_weighted = ALONE, (), None, (-np.inf, np.inf), False
    parameters, dtype, reads_entries = (), "float32", False

    def encode(self, batch, deterministic=True):
        """Build the graph of hidden units, (n_rows, k).

        Parameters
        ----------
        batch : Batch of Theano variables
            Of CSR or, where it `is_dense`, of dense rows.
        deterministic : bool
            False for training, where there may be noise.
        """
        raise NotImplementedError

    def decoder(self):
        """Return the last layer, a `Decoder`."""
        raise NotImplementedError

    def describe(self):
        """Return JSON, as `from_description` takes it; TypeError where a function of one's own can't be written."""
        raise NotImplementedError

    @classmethod
    def from_description(cls, description, arrays, ranks=ALONE):
        """Make the model of `describe`, with `parameters` that have these values, by their names."""
        raise NotImplementedError

    def decode(self, h, batch=None):
        """Build the graph of outputs at the entries of a Batch of CSR, (nnz,); of all, (n_rows, n_columns), without."""
        return self.decoder().activation(self.scores(h, batch))

    def scores(self, h, batch=None):
        """Build the graph of ``W h + b``, of which `decode` makes outputs."""
        decoder = self.decoder()
        if batch is None:
            return T.dot(h, decoder.W.T) + decoder.b
        return sampled_dot(batch.indices, batch.indptr, h, decoder.W) + decoder.b[batch.indices]

    def decay(self, share=1, counts=None):
        """Build the graph of the weight decay that falls to a mini-batch, a scalar: `share` of all of it."""
        terms = [each.decay * T.sum(each.variable ** 2) for each in self.parameters if each.decay]
        return share * sum(terms) if terms else T.zeros((), self.dtype)

    def fused(self):
        """Return the first arguments of the fused Ops; None where they can't serve it."""
        return None

    @property
    def n_columns(self):
        return self.decoder().W.get_value(borrow=True).shape[0]

    @property
    def n_all_columns(self):
        return self.n_columns

    @property
    def n_hidden(self):
        return self.decoder().W.get_value(borrow=True).shape[1]

    @property
    def params(self):
        """The shared variables of `parameters`."""
        return [each.variable for each in self.parameters]

    @property
    def compiled(self):
        return vars(self).setdefault("_compiled_functions", {})

    @contextlib.contextmanager
    def building(self):
        """Enter a context for building its graphs: Theano's floatX is its dtype within, and other threads wait."""
        with building(self.dtype):
            yield

    def __getstate__(self):
        # For pickle and copy: compiled functions work on this model's variables. They are made again when needed.
        state = {name: value for name, value in vars(self).items() if name != "_compiled_functions"}
        return portable_state(state, self.parameters)


def describe_model(model):
    """Return the description of a model, and of which kind it is."""
    return dict(model.describe(), kind=name_of_kind(type(model), Model))


def model_of(description, arrays, ranks=ALONE):
    """Make a model of what `describe_model` has said of it.

    Parameters
    ----------
    description : dict
    arrays : dict of str to array
        The parameters' values; a rank's own columns.
    ranks : Ranks

    Raises
    ------
    LookupError, TypeError, ValueError
        For a description or arrays that no model has given, and for a kind of model that isn't imported.
    """
    settings = dict(description)
    kind, kinds = settings.pop("kind", None), kinds_of(Model)
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError("the model is a %.80r; expected one of %s: import the module first that has one of your own"
                         % (kind, ", ".join(sorted(kinds))))
    for name, value in arrays.items():
        if value.size and not (np.min(value) >= -MOST and np.max(value) <= MOST):  # NaN neither
            raise ValueError("%s holds numbers that are not finite, or beyond %g" % (name, MOST))
    return kinds[kind].from_description(settings, arrays, ranks)


def kinds_of(base):
    """All classes that inherit from one, those of programs included, by the names that files have for them."""
    return {name_of_kind(kind, base): kind for kind in _heirs(base)}


def name_of_kind(kind, base):
    """The name of a class; with its module if it isn't the library's, and the library has one of this name."""
    taken = kind.__name__ in {each.__name__ for each in _heirs(base) if _is_ours(each)}
    return "%s.%s" % (kind.__module__, kind.__name__) if taken and not _is_ours(kind) else kind.__name__


def _heirs(base):
    for kind in base.__subclasses__():
        yield kind
        yield from _heirs(kind)


def _is_ours(kind):
    return kind.__module__.partition(".")[0] == "sparse_ae"
