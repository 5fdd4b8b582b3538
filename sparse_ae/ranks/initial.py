"""Initial values of parameters: of all columns, or of a rank's own, which are the same as one process would draw."""
import numpy as np

import lasagne
import theano
from lasagne import init

# Numbers drawn at a time.
_PART = 2 ** 20

# Initialisers that draw each number by itself, in order.
_DRAWN_ONE_BY_ONE = init.Normal, init.Uniform, init.Glorot, init.He


def create_parameter(spec, shape, name, dtype, ranks, axis):
    """Make a shared variable of initial values, of a rank's own columns, which `axis` are (None: there are none).

    `spec` is an initialiser, a function of a shape, or an array, of all columns; or a rank's own shared variable.
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
            raise TypeError("%s is a shared variable of dtype %s, and the model's is %s; pass "
                            "dtype=%r" % (name, spec.dtype, dtype, spec.dtype))
        else:  # Lasagne refuses those without columns
            spec.name = name
            return spec
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


def _own(spec, shape, name, dtype, ranks, axis):
    """As `_whole`, for a rank's own columns, possibly none; `spec` is for all columns, or a shared variable."""
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


class OwnDraws:
    """A generator that draws whole arrays, and keeps a rank's own columns: those that one process would have drawn."""

    def __init__(self, rng, ranks, axis):
        self._rng, self._ranks, self._axis = rng, ranks, axis

    def uniform(self, low=0.0, high=1.0, size=None):
        return self._kept(size, lambda n: self._rng.uniform(low, high, n))

    def normal(self, loc=0.0, scale=1.0, size=None):
        return self._kept(size, lambda n: self._rng.normal(loc, scale, n))

    def _kept(self, shape, draw):
        ranks, axis, n_numbers = self._ranks, self._axis, int(np.prod(shape, dtype=np.int64))
        kept = []
        for start in range(0, n_numbers, _PART):
            at = np.arange(start, min(start + _PART, n_numbers))
            column = at % shape[1] if axis else at // shape[1]
            kept.append(draw(len(at))[column % ranks.size == ranks.rank])
        own = list(shape)
        own[axis] = ranks.n_own(shape[axis])
        return np.concatenate(kept).reshape(own)
