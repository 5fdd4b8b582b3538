"""Rewrites that make the dense graph fast on a CPU where Theano has been given no BLAS, as after a plain `pip install`.

- Theano then takes NumPy's BLAS for a product, and for its in-place `Gemm`, which updates W and V with their gradient
  in one call, a product, a copy and two strided loops, five times slower than the product alone. SciPy brings a BLAS
  too, at most as old as NumPy's, and its gemm works in place.
- The squared norms of the weight decay write out a square and sum it on one thread; a dot product does neither.

They apply to functions compiled with `mode.fast_mode`, and to no others.
"""
import numpy as np
import scipy.linalg.blas

from sparse_ae.ops.mode import TAG
import theano
import theano.tensor as T
from theano import gof
from theano.gof.utils import MethodNotDefined
from theano.tensor.blas import Dot22, Gemm, _dot22 as dot22, gemm_inplace


class SciPyDot22(Dot22):
    """``x y`` by SciPy's BLAS, in C order."""

    def c_code(self, *args):
        raise MethodNotDefined("c_code", type(self), self.__class__.__name__)

    def perform(self, node, inputs, outputs):
        x, y = inputs
        if x.shape[1] != y.shape[0]:
            raise ValueError("shapes %r and %r don't fit: the first's columns must be as many as the second's rows"
                             % (x.shape, y.shape))
        if x.size and y.size:
            outputs[0][0] = _gemm(1, y.T, x.T).T
        else:
            outputs[0][0] = np.zeros((x.shape[0], y.shape[1]), x.dtype)


class SciPyGemm(Gemm):
    """``z = b z + a x y`` in place, by SciPy's BLAS."""

    def c_code(self, *args):
        raise MethodNotDefined("c_code", type(self), self.__class__.__name__)

    def perform(self, node, inputs, outputs, params=None):
        z, a, x, y, b = inputs
        if z.shape != (x.shape[0], y.shape[1]) or x.shape[1] != y.shape[0]:
            raise ValueError("shapes %r = %r times %r don't fit" % (z.shape, x.shape, y.shape))
        outputs[0][0] = z
        if not x.size or not y.size:
            z *= b
            return
        # BLAS counts by columns: an array in C order is to it the transpose of one in its own order.
        c, left, right = (z, x, y) if z.flags.f_contiguous else (z.T, y.T, x.T)
        result = _gemm(a, left, right, b, c)
        if not np.shares_memory(result, z):  # c was in neither order, and SciPy has worked on a copy
            c[...] = result


def _gemm(a, x, y, b=0, c=None):
    """``a x y + b c`` in Fortran's order, written into `c` where that is in this order."""
    gemm = scipy.linalg.blas.dgemm if x.dtype == "float64" else scipy.linalg.blas.sgemm
    flip = [not matrix.flags.f_contiguous for matrix in (x, y)]
    x, y = (matrix.T if transposed else matrix for matrix, transposed in zip((x, y), flip))
    return gemm(a, x, y, b, c, *flip, overwrite_c=c is not None)


class SquaredNorm(gof.Op):
    """The sum of a tensor's squares."""

    __props__ = ()

    def make_node(self, x):
        return gof.Apply(self, [x], [T.scalar(dtype=x.dtype)])

    def perform(self, node, inputs, outputs):
        x = inputs[0].ravel(order="K")
        outputs[0][0] = np.asarray(np.dot(x, x), x.dtype)

    def infer_shape(self, node, shapes):
        return [()]


@gof.local_optimizer([Dot22, Gemm])
def local_scipy_blas(node):
    if node.outputs[0].dtype in ("float32", "float64"):
        if node.op == dot22:
            return [SciPyDot22()(*node.inputs)]
        if node.op == gemm_inplace:
            return [SciPyGemm(inplace=True)(*node.inputs)]
    return False


@gof.local_optimizer([T.Sum])
def local_squared_norm(node):
    if not isinstance(node.op, T.Sum) or node.outputs[0].ndim:
        return False
    square, = node.inputs
    if (square.owner and square.owner.op == T.sqr and square.dtype in ("float32", "float64")
            and square.dtype == node.outputs[0].dtype):
        return [SquaredNorm()(square.owner.inputs[0])]
    return False


# Before the elementwise graphs are fused (49), where the square can still be seen; and after Theano has worked its
# products out (70).
theano.compile.optdb.register("sparse_ae_squared_norm",
                              T.opt.in2out(local_squared_norm, name="sparse_ae_squared_norm"), 48.7, TAG)
if not theano.config.blas.ldflags:
    theano.compile.optdb.register("sparse_ae_scipy_blas",
                                  T.opt.in2out(local_scipy_blas, name="sparse_ae_scipy_blas"), 70.5, TAG)
