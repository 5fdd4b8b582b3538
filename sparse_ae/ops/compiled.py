"""Compiled functions that several threads may call, and a lock so that one thread at a time compiles or calls.

docs/develop/compiling.md tells why. A process that forks waits until neither is under way.
"""
import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from sparse_ae.ops import item_major, made_item_major, register_for_gpu
from sparse_ae.ops.once import SharedFunction, function_once
from sparse_ae.ops.rewrites import rewriting_mode
import theano
import theano.tensor as T
from theano.configparser import change_flags

# Re-entrant: building may nest. Never call a compiled function while holding `_BUILDING`: that deadlocks.
_BUILDING, _CALLING = threading.RLock(), threading.RLock()


def _before_fork():
    _BUILDING.acquire()
    _CALLING.acquire()


def _after_fork():
    _CALLING.release()
    _BUILDING.release()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


@contextlib.contextmanager
def building(dtype):
    """Enter a context for building graphs and compiling them: floatX is `dtype` within, and other threads wait."""
    # Theano's checks of graphs that a user is writing are off: the library's variables have no test values.
    flags = {"floatX": dtype, "compute_test_value": "off", "warn_float64": "ignore"}
    with _BUILDING, change_flags(**flags):
        register_for_gpu()
        yield


def updating(inputs, outputs, updates=(), **keywords):
    """Compile a function with updates as `theano.function` does, once for equivalent graphs."""
    updates = list(updates.items() if isinstance(updates, dict) else updates)
    with _BUILDING:
        return function_once(inputs, outputs, updates, rewriting_mode(), _CALLING, **keywords)


def compiled(inputs, outputs, **keywords):
    """Compile a function without updates, of positional arguments, that any thread may call at any time."""
    mode = keywords.pop("mode", None) or rewriting_mode()
    with _BUILDING:
        function = function_once(inputs, outputs, [], mode, _CALLING, **keywords)
    if isinstance(function, SharedFunction):  # which waits by itself
        return function

    def call(*values):
        with _CALLING:
            return function(*values)

    return call


def compile_update(model, inputs, loss, squared_error, update, learning_rate):
    """Compile a step of an update, within the model's `building()`: a function that returns the loss and the squared
    error before it."""
    params = [each.variable for each in model.parameters if each.trainable]
    updates = update(loss, params, learning_rate)
    if not isinstance(updates, Mapping):
        raise TypeError("update gave %r; expected a dict of new values by shared variable, as lasagne.updates.sgd gives"
                        % (updates,))
    # An update's running averages for V get V's memory order: Theano is slow if orders mix.
    turned = [x for each in model.parameters for x in _with_kept(each.variable, updates, params) if each.item_major]
    for variable in turned:
        item_major(variable)
    # Inputs of a wider dtype than the parameters' make wider updates.
    updates = OrderedDict((variable, T.cast(new, variable.dtype)) for variable, new in updates.items())
    updates.update((variable, made_item_major(new)) for variable, new in updates.items() if variable in turned)
    return updating(inputs, [loss, squared_error], updates, name="ae_batch",
                    on_unused_input="ignore")  # a cost needn't read the target


def _with_kept(parameter, updates, params):
    """A parameter and an update's arrays of its shape, from which its new value is computed."""
    if parameter not in updates:
        return []
    shape = np.shape(parameter.get_value(borrow=True, return_internal_type=True))
    read = theano.gof.graph.inputs([T.as_tensor_variable(updates[parameter])])
    return [parameter] + [x for x in read if x in updates and x not in params
                          and np.shape(x.get_value(borrow=True, return_internal_type=True)) == shape]
