"""Numbers that the host computes for the kernels, or from their results, once a mini-batch, in float64."""
import numpy as np

from sparse_ae.ops.fused import check_shapes, next_factors
from sparse_ae.ops.op import InNumPy
from sparse_ae.ops.rules import Decayed
import theano.tensor as T
from theano import gof


def host_side(x):
    """The host's copy of an index array."""
    while x.owner and type(x.owner.op).__name__ in ("GpuFromHost", "GpuContiguous", "HostFromGpu"):
        x = x.owner.inputs[0]
    return x if isinstance(x.type, T.TensorType) else x.transfer("cpu")


class OnHost(InNumPy):
    """A function of small arrays, which Theano, other than its own Ops, leaves on the host."""

    types = []  # of the outputs

    def make_node(self, *inputs):
        return gof.Apply(self, [host_side(T.as_tensor_variable(x)) for x in inputs], [each() for each in self.types])


class Scale(OnHost):
    """One of the scales in the model's dtype, so that the GPU gets no float64."""

    __props__ = ("place", "dtype")

    def __init__(self, place, dtype):
        self.place, self.types = place, [T.TensorType(dtype, ())]

    @property
    def dtype(self):
        return self.types[0].dtype

    def compute(self, scales):
        return [scales[self.place]]


class Unscaled(OnHost):
    """Scales of 1 for W and V, (2,), from the shapes of the parameters, which are compared before a kernel starts."""

    types = [T.dvector]

    def compute(self, *shapes):
        check_shapes(shapes)
        return [[1, 1]]


class SGDScales(OnHost):
    """The scales of `SGDStep`, (7,): c_W, c_V; the negative rates of W, V (over the next factor) and of mu and b; the
    next factors. The last inputs are shapes, as for `Unscaled`."""

    types = [T.dvector]

    def compute(self, state, rate, l2_W, l2_V, *shapes):
        check_shapes(shapes)
        factors = next_factors(state, rate, [l2_W, l2_V])
        return [np.concatenate([Decayed.of(state).c, -rate / factors, [-rate], factors])]


class SGDLosses(OnHost):
    """The state of `SGDStep` after a step, and its losses, from the terms of the squared error and of both growths."""

    types = [T.dvector, T.dscalar, T.dscalar]

    def compute(self, state, scales, l2_W, l2_V, *summed):
        before = Decayed.of(state)
        squared_error, *growths = (x.sum(dtype="float64") for x in summed)
        return [np.concatenate(before.after(scales[5:], growths)), squared_error,
                squared_error + np.dot([l2_W, l2_V], before.norms)]


class AdagradScales(OnHost):
    """The numbers of `AdagradStep`, (7,): scales of 1 for W and V; twice l2 of W, of V and of b; the rate; epsilon. The
    last inputs are shapes, as for `Unscaled`, and those of the sums of squares."""

    __props__ = ("epsilon",)
    types = [T.dvector]

    def __init__(self, epsilon):
        self.epsilon = epsilon

    def compute(self, rate, l2_W, l2_V, *shapes):
        check_shapes(shapes[:len(shapes) // 2], shapes[len(shapes) // 2:])
        return [[1, 1, 2 * float(l2_W), 2 * float(l2_V), 0, rate, self.epsilon]]


class AdagradLosses(OnHost):
    """The losses of `AdagradStep`, from its scales and the terms to sum."""

    types = [T.dscalar, T.dscalar]

    def compute(self, scales, squares, norms_W, *norms_V):
        squared_error, *norms = (x.sum(dtype="float64") for x in (squares, norms_W, np.concatenate(norms_V)))
        return [squared_error, squared_error + scales[2:4].dot(norms) / 2]
