"""Initial values of parameters."""
import numpy as np

import lasagne
import theano


def create_parameter(spec, shape, name, dtype):
    """Make a shared variable of initial values by an initialiser, a function of a shape, or an array; or take one."""
    is_shared = isinstance(spec, theano.compile.SharedVariable)
    if is_shared or isinstance(spec, np.ndarray):
        found = np.shape(spec.get_value(borrow=True) if is_shared else spec)
        if found != shape:
            raise ValueError("%s has shape %r; expected %r" % (name, found, shape))
    if is_shared:
        if spec.dtype != dtype:
            raise TypeError("%s is a shared variable of dtype %s, and the model's is %s; pass "
                            "dtype=%r" % (name, spec.dtype, dtype, spec.dtype))
        spec.name = name  # Lasagne refuses those without columns
        return spec
    if isinstance(spec, np.ndarray):
        if spec.dtype.kind not in "biuf":
            raise TypeError("%s is an array of %s; expected real numbers" % (name, spec.dtype))
        spec = spec.astype(dtype)
    elif not callable(spec):
        raise TypeError("%s is %r; expected an initialiser from lasagne.init, a function of a shape, an array or a "
                        "Theano shared variable" % (name, spec))
    try:
        parameter = lasagne.utils.create_param(spec, shape, name=name)
    except MemoryError as error:
        raise MemoryError("not enough memory for %s, %s numbers; lower n_hidden"
                          % (name, " x ".join(map(str, shape)))) from error
    except Exception as error:  # Lasagne's, of a function that makes something else; and the function's own
        raise ValueError("%s is %r, which makes nothing of the shape %r (%s: %s)"
                         % (name, spec, shape, type(error).__name__, error)) from error
    parameter.name = name
    return parameter
