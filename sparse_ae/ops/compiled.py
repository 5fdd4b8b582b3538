"""Compiled functions that several threads may call: one thread at a time compiles or calls, and a process that forks
waits until neither is under way. docs/develop/compiling.md tells why."""
import contextlib
import os
import threading

from sparse_ae.ops import register_for_gpu
from sparse_ae.ops.rewrites import rewriting_mode
import theano
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
    """Compile a function with updates as `theano.function` does; its caller sees to it that one thread calls it."""
    with _BUILDING:
        return theano.function(inputs, outputs, updates=updates, mode=rewriting_mode(),
                               on_unused_input="ignore", **keywords)  # a cost needn't read the target


def compiled(inputs, outputs, mode=None, **keywords):
    """Compile a function without updates, of positional arguments, that any thread may call at any time."""
    with _BUILDING:
        function = theano.function(inputs, outputs, mode=mode or rewriting_mode(), **keywords)

    def call(*values):
        with _CALLING:
            return function(*values)

    return call
