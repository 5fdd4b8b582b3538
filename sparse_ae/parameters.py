"""Parameters of a model: how each is described, made by an initialiser with the caller's random numbers, and updated;
the last layer."""
import contextlib
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from sparse_ae.checks import check_dtype, check_rng
from sparse_ae.ops import item_major, made_item_major
from sparse_ae.ops.compiled import building
from sparse_ae.ops.nonlinearities import Nonlinearity
import lasagne
import theano
import theano.tensor as T

__all__ = ["Decoder", "Parameter"]


class Parameter(NamedTuple):
    """A parameter of a model.

    Attributes
    ----------
    variable : Theano shared variable
    name : str
        In states and files; each parameter of a model has another.
    columns_axis : int or None
        Which axis is the model's columns, if one is.
    decay : float
        The weight decay, times the sum of squares.
    item_major : bool
        Whether its memory is column by column of the model, though columns aren't its first axis.
    trainable : bool
        Whether updates change it. False for running means and the like, which are part of the state too.
    """

    variable: Any
    name: str
    columns_axis: Optional[int] = None
    decay: float = 0.0
    item_major: bool = False
    trainable: bool = True


class _DecoderFields(NamedTuple):
    W: Any
    b: Any
    f: Any
    nonlinearity: Optional[Nonlinearity]
    low: float = 0.0
    span: float = 1.0


class Decoder(_DecoderFields):
    """The last layer of a model: its outputs are ``low + span f(W h + b)``.

    Attributes
    ----------
    W, b : Theano shared variables, (n_columns, k) and (n_columns,)
    f : callable
        A function of a Theano tensor, element by element.
    nonlinearity : Nonlinearity or None
        f's record; None for one that isn't in the table.
    low, span : float
    """

    __slots__ = ()

    def __new__(cls, *args, l2=None, l2_weighted=None, **fields):
        """Make a decoder; `l2` and `l2_weighted` are version 1.0's, and warn."""
        if l2 is not None or l2_weighted is not None:
            warnings.warn("Decoder(l2=, l2_weighted=) has no effect: the decay is that of W's Parameter, per rating "
                          "with the model's l2_weighted; leave it out", FutureWarning, stacklevel=2)
        return super().__new__(cls, *args, **fields)

    def over(self, rating_scale):
        """The decoder that stretches the range of a bounded f over the rating scale, if there is one."""
        if rating_scale is None or self.nonlinearity is None or not self.nonlinearity.is_bounded:
            return self
        f_low, f_high = self.nonlinearity.range
        span = (rating_scale[1] - rating_scale[0]) / (f_high - f_low)
        return self._replace(low=rating_scale[0] - span * f_low, span=span)

    @property
    def is_linear(self):
        """Whether outputs are ``W h + b`` themselves."""
        return self.nonlinearity is not None and self.nonlinearity.is_linear

    def activation(self, scores):
        """Outputs, as a graph of ``W h + b`` of any shape."""
        output = self.f(scores)
        if (self.low, self.span) == (0.0, 1.0):
            return output
        return np.asarray(self.low, output.dtype) + np.asarray(self.span, output.dtype) * output

    def score_of(self, output):
        """The score ``W h + b`` of an output; for a bounded f, short of its ends, where it has no slope."""
        value = (output - self.low) / self.span
        if self.nonlinearity is None:
            return value
        if self.nonlinearity.is_bounded:
            f_low, f_high = self.nonlinearity.range
            margin = 0.01 * (f_high - f_low)
            value = min(max(value, f_low + margin), f_high - margin)
        return self.nonlinearity.inverse(value)


@contextlib.contextmanager
def drawing(rng, dtype):
    """Enter a context in which Lasagne's initialisers and noise are seeded by `rng`, and make parameters of `dtype`."""
    rng = check_rng(rng)
    with building(check_dtype(dtype)):
        before = lasagne.random.get_rng()  # not another thread's, which waits here until that one has put it back
        lasagne.random.set_rng(rng)
        try:
            yield
        finally:
            lasagne.random.set_rng(before)


def create_parameter(spec, shape, name, dtype):
    """Make a shared variable by an initialiser, another function of a shape, or an array; or take one that is made."""
    is_shared, is_array = isinstance(spec, theano.compile.SharedVariable), isinstance(spec, np.ndarray)
    if is_shared or is_array:
        found = np.shape(spec.get_value(borrow=True) if is_shared else spec)
        if found != shape:
            raise ValueError("%s has shape %r; expected %r" % (name, found, shape))
    if is_shared:
        if spec.dtype != dtype:
            raise TypeError("%s is a shared variable of dtype %s, and the model's is %s; pass "
                            "dtype=%r" % (name, spec.dtype, dtype, spec.dtype))
        spec.name = name
        return spec
    if is_array and spec.dtype.kind not in "biuf":
        raise TypeError("%s is an array of %s; expected real numbers" % (name, spec.dtype))
    if not is_array and not callable(spec):
        raise TypeError("%s is %r; expected an initialiser from lasagne.init, a function of a shape, an array or a "
                        "Theano shared variable" % (name, spec))
    try:
        return lasagne.utils.create_param(spec.astype(dtype) if is_array else spec, shape, name=name)
    except MemoryError as error:
        raise MemoryError("not enough memory for %s, %s numbers; lower n_hidden"
                          % (name, " x ".join(map(str, shape)))) from error
    except Exception as error:  # Lasagne's, of a function that makes something else; and the function's own
        raise ValueError("%s is %r, which makes nothing of the shape %r (%s: %s)"
                         % (name, spec, shape, type(error).__name__, error)) from error


def trained_of(parameters):
    """The trainable ones of some parameters; ValueError if all are frozen."""
    trained = [each for each in parameters if each.trainable]
    if not trained:
        raise ValueError("all parameters of the model are frozen, by trainable=False: %s; expected at least one to "
                         "train" % ", ".join(each.name for each in parameters))
    return trained


def checked_updates(updates, parameters):
    """The new values of an update of a model's parameters, each of its variable's dtype and memory order."""
    if not isinstance(updates, Mapping):
        raise TypeError("update gave %r; expected a dict of new values by shared variable, as lasagne.updates.sgd gives"
                        % (updates,))
    # An update's running averages for V get V's memory order: Theano is slow if orders mix.
    params = [each.variable for each in parameters]
    turned = [x for each in parameters for x in _with_kept(each.variable, updates, params) if each.item_major]
    for variable in turned:
        item_major(variable)
    # Inputs of a wider dtype than the parameters' make wider updates.
    updates = OrderedDict((variable, T.cast(new, variable.dtype)) for variable, new in updates.items())
    updates.update((variable, made_item_major(new)) for variable, new in updates.items() if variable in turned)
    return updates


def _with_kept(parameter, updates, params):
    """A parameter and an update's arrays of its shape, from which its new value is computed."""
    if parameter not in updates:
        return []
    shape = np.shape(parameter.get_value(borrow=True, return_internal_type=True))
    read = theano.gof.graph.inputs([T.as_tensor_variable(updates[parameter])])
    return [parameter] + [x for x in read if x in updates and x not in params
                          and np.shape(x.get_value(borrow=True, return_internal_type=True)) == shape]
