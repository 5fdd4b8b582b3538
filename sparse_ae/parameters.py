"""Parameters of a model: how they are made, by initialisers whose random numbers are the caller's, and updated."""
import contextlib
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from sparse_ae.checks import check_dtype, check_rng
from sparse_ae.moved import old_names
from sparse_ae.ops import item_major, made_item_major
from sparse_ae.ops.compiled import building, updating
import lasagne
import theano
import theano.tensor as T

__getattr__ = old_names(__name__)


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


def compile_update(parameters, inputs, loss, data_loss, update, learning_rate):
    """Compile an update of a model's parameters, within its `building()`: a function that returns the loss and the data
    term before it."""
    params = [each.variable for each in trained_of(parameters)]
    updates = update(loss, params, learning_rate)
    if not isinstance(updates, Mapping):
        raise TypeError("update gave %r; expected a dict of new values by shared variable, as lasagne.updates.sgd gives"
                        % (updates,))
    # An update's running averages for V get V's memory order: Theano is slow if orders mix.
    turned = [x for each in parameters for x in _with_kept(each.variable, updates, params) if each.item_major]
    for variable in turned:
        item_major(variable)
    # Inputs of a wider dtype than the parameters' make wider updates.
    updates = OrderedDict((variable, T.cast(new, variable.dtype)) for variable, new in updates.items())
    updates.update((variable, made_item_major(new)) for variable, new in updates.items() if variable in turned)
    return updating(inputs, [loss, data_loss], updates, name="ae_batch",
                    on_unused_input="ignore")  # a cost needn't read the target


def _with_kept(parameter, updates, params):
    """A parameter and an update's arrays of its shape, from which its new value is computed."""
    if parameter not in updates:
        return []
    shape = np.shape(parameter.get_value(borrow=True, return_internal_type=True))
    read = theano.gof.graph.inputs([T.as_tensor_variable(updates[parameter])])
    return [parameter] + [x for x in read if x in updates and x not in params
                          and np.shape(x.get_value(borrow=True, return_internal_type=True)) == shape]
