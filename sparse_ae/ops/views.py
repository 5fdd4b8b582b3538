"""Views, shapes and look-ups by NumPy.

To turn an array's axes, tell its length or look up some entries of a vector takes NumPy microseconds, as it does C; and
Theano makes a piece of C for each, which takes the compiler most of a second.

The rewrite is in functions compiled with `mode.fast_mode` or `mode.ahead_mode`, and in no others.
"""
from sparse_ae.ops.mode import AHEAD, TAG
import theano
import theano.tensor as T
from theano import gof
from theano.compile.ops import Shape_i
from theano.tensor.opt import MakeVector
from theano.tensor.subtensor import AdvancedSubtensor1


class InPython(gof.Op):
    """An Op by its own Python.

    Parameters
    ----------
    op : theano.gof.Op
        One that writes to none of its inputs.
    """

    __props__ = ("op",)

    def __init__(self, op):
        self.op = op
        # Its own methods, lest each call be one more.
        for name in ("view_map", "params_type", "get_params", "perform"):
            if hasattr(op, name):
                setattr(self, name, getattr(op, name))

    def make_node(self, *inputs):
        node = self.op.make_node(*inputs)
        return gof.Apply(self, node.inputs, [x.type() for x in node.outputs])


def _is_quick_in_python(node):
    kind = type(node.op)  # some have GPU Ops for subclasses
    if kind in (T.DimShuffle, Shape_i, MakeVector):
        return True
    # Of a matrix Theano's C keeps the memory from call to call.
    return kind in (T.Alloc, AdvancedSubtensor1) and node.outputs[0].ndim < 2


@gof.local_optimizer(None)
def local_in_python(node):
    if _is_quick_in_python(node):
        return [InPython(node.op)(*node.inputs)]
    return False


# After all of Theano's, the last of which is at 100 or so.
theano.compile.optdb.register("sparse_ae_in_python", T.opt.in2out(local_in_python, name="sparse_ae_in_python"), 900,
                              TAG, AHEAD)
