"""Rewrites for a CPU, of functions that hold an Op of this package: SciPy's BLAS for products of matrices, and sums of
squares. docs/develop/compiling.md tells why."""
import numpy as np
import scipy.linalg.blas

from sparse_ae.ops.ahead import compile_ahead
from sparse_ae.ops.op import InNumPy
from sparse_ae.runtime.device import on_gpu
import theano
import theano.tensor as T
from theano import gof
from theano.gof.utils import MethodNotDefined
from theano.tensor.blas import Dot22, Gemm, _dot22 as dot22, gemm_inplace

TAG = "sparse_ae"


def _may_rewrite():
    """Tell whether the rewrites apply: not on a GPU, nor with ``linker=c``, since some of their Ops have no C code."""
    return not on_gpu() and not isinstance(theano.compile.mode.get_default_mode().linker, gof.CLinker)


def register(name, rewrite, position):
    """Register a rewrite, of graphs or nodes, in `rewriting_mode`, and in the default mode for graphs with our Ops."""
    name = "sparse_ae_" + name
    if isinstance(rewrite, gof.LocalOptimizer):
        rewrite = T.opt.in2out(rewrite, name=name)

    @gof.optimizer
    def where_ours(fgraph):
        if any(type(node.op).__module__.startswith("sparse_ae.") for node in fgraph.apply_nodes) and _may_rewrite():
            rewrite.optimize(fgraph)

    theano.compile.optdb.register(name, rewrite, position, TAG)
    theano.compile.optdb.register(name + "_where_ours", where_ours, position, "fast_run", "sparse_ae_default")


def rewriting_mode():
    """Theano's default mode; on a CPU with the rewrites, which then apply to graphs without our Ops too."""
    default = theano.compile.mode.get_default_mode()
    return default.including(TAG).excluding("sparse_ae_default") if _may_rewrite() else default


def fast_mode():
    """Return Theano's default mode, in which the rewrites apply to each function with an Op of this package. Code that
    was written for 1.0 needs it."""
    return theano.compile.mode.get_default_mode()


# BLAS


def _no_c_code(self, *args):
    raise MethodNotDefined("c_code", type(self), type(self).__name__)


class SciPyDot22(Dot22):
    """``x y`` by SciPy's BLAS, in C order."""

    c_code = _no_c_code

    def perform(self, node, inputs, outputs):
        x, y = inputs
        if x.shape[1] != y.shape[0]:
            raise ValueError("shapes %r and %r don't fit: x needs as many columns as y has rows"
                             % (x.shape, y.shape))
        if x.size and y.size:
            outputs[0][0] = _gemm(1, y.T, x.T).T
        else:
            outputs[0][0] = np.zeros((x.shape[0], y.shape[1]), x.dtype)


class SciPyGemm(Gemm):
    """``z = b z + a x y`` in place, by SciPy's BLAS."""

    c_code = _no_c_code

    def perform(self, node, inputs, outputs, params=None):
        z, a, x, y, b = inputs
        if z.shape != (x.shape[0], y.shape[1]) or x.shape[1] != y.shape[0]:
            raise ValueError("shapes %r = %r times %r don't fit" % (z.shape, x.shape, y.shape))
        if not z.flags.writeable:  # such as a file that is mapped to memory
            z = z.copy()
        outputs[0][0] = z
        if not x.size or not y.size:
            z *= b
            return
        # BLAS stores matrices by columns: to it an array in C order is the transpose of one in its own order.
        c, left, right = (z, x, y) if z.flags.f_contiguous else (z.T, y.T, x.T)
        result = _gemm(a, left, right, b, c)
        if not np.shares_memory(result, z):  # SciPy copied c, which was in neither order
            c[...] = result


def _gemm(a, x, y, b=0, c=None):
    """``a x y + b c`` in Fortran's order, written into `c` if it is in this order."""
    gemm = scipy.linalg.blas.dgemm if x.dtype == "float64" else scipy.linalg.blas.sgemm
    flip = [not matrix.flags.f_contiguous for matrix in (x, y)]
    x, y = (matrix.T if transposed else matrix for matrix, transposed in zip((x, y), flip))
    return gemm(a, x, y, b, c, *flip, overwrite_c=c is not None)


class SquaredNorm(InNumPy):
    """The sum of a tensor's squares, added up in float64 as Theano's is, except within each `FEW` float32 numbers."""

    FEW = 512

    def make_node(self, x):
        return gof.Apply(self, [x], [T.scalar(dtype=x.dtype)])

    def compute(self, x):
        x = x.ravel(order="K")
        whole = len(x) // self.FEW * self.FEW if x.dtype == "float32" else 0
        few, rest = x[:whole].reshape(-1, 1, self.FEW), x[whole:]
        return [np.matmul(few, few.transpose(0, 2, 1)).sum(dtype="float64") + np.dot(rest, rest)]

    def infer_shape(self, node, shapes):
        return [()]


@gof.local_optimizer([Dot22, Gemm])
def local_scipy_blas(node):
    if node.op not in (dot22, gemm_inplace) or node.outputs[0].dtype not in ("float32", "float64"):
        return False
    return [(SciPyDot22() if node.op == dot22 else SciPyGemm(inplace=True))(*node.inputs)]


@gof.local_optimizer([T.Sum])
def local_squared_norm(node):
    if not isinstance(node.op, T.Sum) or node.outputs[0].ndim:
        return False
    square, = node.inputs
    if (square.owner and square.owner.op == T.sqr and square.dtype in ("float32", "float64")
            and square.dtype == node.outputs[0].dtype and node.op.acc_dtype in (None, "float64")):
        return [SquaredNorm()(square.owner.inputs[0])]
    return False


# Before Theano fuses elementwise Ops (49), which would hide the square.
register("squared_norm", local_squared_norm, 48.7)
if not theano.config.blas.ldflags:
    register("scipy_blas", local_scipy_blas, 70.5)  # after Theano has chosen its products (70)
# After all of Theano's; the last is at about 100.
register("compile_ahead", compile_ahead, 1000)
