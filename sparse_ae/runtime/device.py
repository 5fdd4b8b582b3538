"""The device of Theano's graphs, CPU or GPU: where a new shared variable lands, whatever Theano's flags say."""
import functools
import warnings

import numpy as np

import theano
import theano.tensor as T


def is_on_host(variable):
    """Tell whether a Theano variable's values are NumPy arrays, in the memory of the CPU."""
    return isinstance(variable.type, T.TensorType)


def on_gpu():
    """Tell whether new shared variables, and the graphs that are built on them, are on a GPU."""
    return not is_on_host(theano.shared(np.zeros(1, "float32")))


def kept_on_host(mode):
    """A mode of Theano's whose functions stay on the CPU."""
    # Without a GPU nothing is excluded: theano.gpuarray, which scan imports, fails where the tag is known before.
    return mode.excluding("gpuarray_opt") if on_gpu() else mode


def device_name():
    """Return the driver's name of the GPU in use; None on the CPU."""
    if not on_gpu():
        return None
    from theano.gpuarray.type import get_context
    return get_context(None).devname.strip()


@functools.lru_cache(maxsize=None)  # each `catch_warnings` drops Python's own record of warnings
def warn_of_unused_gpu():
    """Warn once where Theano's flag wants a GPU that isn't used."""
    if theano.config.device != "cpu" and not on_gpu():
        warnings.warn("Theano can't use its device, %s, and has logged the reason. Everything runs on the CPU. Set "
                      "device=cpu if you want that; `python -m sparse_ae` shows what the GPU needs"
                      % theano.config.device, RuntimeWarning, stacklevel=2)
