"""Two rewrites that make the dense graph fast on a CPU where Theano has been given no BLAS, as after a plain `pip install`.

- Theano's in-place `Gemm`, which updates W and V with their gradient in one call, falls back on a product, a copy and two strided loops,
  five times slower than the product alone. SciPy brings a BLAS whose own gemm works in place.
- The squared norms of the weight decay write out a square and sum it on one thread; a dot product does neither.

They apply to functions compiled with `mode`, and to no others.
"""
from sparse_ae import theano_compat  # noqa: F401  (before theano)
import numpy as np
import scipy.linalg.blas
import theano
import theano.tensor as T
from theano import gof
from theano.gof.utils import MethodNotDefined
from theano.tensor.blas import Gemm, gemm_inplace

__all__ = ["mode"]

TAG = "sparse_ae"


def mode():
    """Theano's default mode with the rewrites, as ``theano.function(mode=...)`` takes it."""
    return theano.compile.mode.get_default_mode().including(TAG)


class SciPyGemm(Gemm):
    """``z = b z + a x y`` in place, by SciPy's BLAS."""

    def c_code(self, *args):
        raise MethodNotDefined("c_code", type(self), self.__class__.__name__)

    def c_code_cache_version(self):
        return ()

    def perform(self, node, inputs, outputs, params=None):
        z, a, x, y, b = inputs
        if z.shape != (x.shape[0], y.shape[1]) or x.shape[1] != y.shape[0]:
            raise ValueError("shapes %r = %r times %r don't fit" % (z.shape, x.shape, y.shape))
        outputs[0][0] = z
        if not z.size or not x.size:
            z *= b
            return
        # BLAS counts by columns: an array in C order is to it the transpose of one in its own order.
        c, left, right = (z, x, y) if z.flags.f_contiguous else (z.T, y.T, x.T)
        flip = [not matrix.flags.f_contiguous for matrix in (left, right)]
        left, right = (matrix.T if transposed else matrix for matrix, transposed in zip((left, right), flip))
        gemm = scipy.linalg.blas.dgemm if z.dtype == "float64" else scipy.linalg.blas.sgemm
        result = gemm(a, left, right, b, c, *flip, overwrite_c=True)
        if not np.shares_memory(result, z):  # c was in neither order, and SciPy has worked on a copy
            c[...] = result


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


@gof.local_optimizer([Gemm])
def local_scipy_gemm(node):
    if node.op == gemm_inplace and node.outputs[0].dtype in ("float32", "float64"):
        return [SciPyGemm(inplace=True)(*node.inputs)]
    return False


@gof.local_optimizer([T.Sum])
def local_squared_norm(node):
    if not isinstance(node.op, T.Sum) or node.outputs[0].ndim:
        return False
    square, = node.inputs
    if square.owner and square.owner.op == T.sqr and square.dtype in ("float32", "float64") and square.dtype == node.outputs[0].dtype:
        return [SquaredNorm()(square.owner.inputs[0])]
    return False


if theano.config.device == "cpu":
    # Before the elementwise graphs are fused (49), where the square can still be seen; and after Theano has worked its products out (70).
    theano.compile.optdb.register("sparse_ae_squared_norm", T.opt.in2out(local_squared_norm, name="sparse_ae_squared_norm"), 48.7, TAG)
    if not theano.config.blas.ldflags:
        theano.compile.optdb.register("sparse_ae_scipy_gemm", T.opt.in2out(local_scipy_gemm, name="sparse_ae_scipy_gemm"), 70.5, TAG)
