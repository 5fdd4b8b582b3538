"""Single numbers by NumPy.

A loss's weight decay, or what Adam makes of the learning rate, are expressions of single numbers, once a mini-batch. Of
each Theano makes a piece of C, which takes the compiler half a second; NumPy takes some microseconds.

It applies to functions compiled with `mode.fast_mode`, and to no others.
"""
import numpy as np

from sparse_ae.ops.mode import TAG
import theano
import theano.tensor as T
from theano import gof


class NumberOp(gof.Op):
    """A scalar function of single numbers, by its own Python.

    Parameters
    ----------
    scalar_op : theano.scalar.ScalarOp
        Of one output.
    """

    __props__ = ("scalar_op",)

    def __init__(self, scalar_op):
        self.scalar_op = scalar_op

    def make_node(self, *inputs):
        scalars = [theano.scalar.get_scalar_type(x.dtype).make_variable() for x in inputs]
        return gof.Apply(self, list(inputs), [T.scalar(dtype=self.scalar_op.make_node(*scalars).outputs[0].dtype)])

    def prepare_node(self, node, storage_map, compute_map, impl):
        self.scalar_op.prepare_node(node, None, None, "py")

    def perform(self, node, inputs, outputs):
        # As Theano's C code, which says nothing of an overflow; a loss that isn't finite is the trainer's matter.
        with np.errstate(all="ignore"):
            outputs[0][0] = np.asarray(self.scalar_op.impl(*inputs), node.outputs[0].dtype)

    def infer_shape(self, node, shapes):
        return [()]


@gof.local_optimizer([T.Elemwise])
def local_numbers_by_numpy(node):
    if isinstance(node.op, T.Elemwise) and len(node.outputs) == 1 and not node.outputs[0].ndim:
        return [NumberOp(node.op.scalar_op)(*node.inputs)]
    return False


# After Theano has made one function of what is element by element (49), and before any of it works in place (75).
theano.compile.optdb.register("sparse_ae_numbers", T.opt.in2out(local_numbers_by_numpy, name="sparse_ae_numbers"), 49.5,
                              TAG)
