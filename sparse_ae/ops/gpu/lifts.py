"""The rewrites that put the sparse Ops on a GPU: docs/develop/compiling.md. They need pygpu; the module is imported
only if Theano's variables are on a GPU."""
import functools

import numpy as np

from sparse_ae.ops.csr import CsrDot, CsrTDot, DenseRows, SampledDot
from sparse_ae.ops.fused import AdagradStep, SGDStep, SquaredError
from sparse_ae.ops.gpu.autoencoder import GpuAdagrad, GpuAddCsrTDot, GpuDecode, GpuUnits
from sparse_ae.ops.gpu.host import AdagradLosses, AdagradScales, Scale, SGDLosses, SGDScales, Unscaled, host_side
from sparse_ae.ops.gpu.plans import ByItem, ByRow, Parts
from sparse_ae.ops.gpu.products import GpuCsrTDot, GpuDenseRows, GpuPartSums, GpuRowSums, GpuSampledDot
from sparse_ae.ops.gpu.rewrites import register
import theano
import theano.tensor as T
from theano import gof
from theano.gpuarray.basic_ops import GpuAlloc, GpuAllocEmpty, as_gpuarray_variable
from theano.gpuarray.blas import GpuGemv
from theano.gpuarray.opt import op_lifter, register_opt, register_opt2
from theano.gpuarray.type import get_context

_by_row, _by_item, _parts = ByRow(), ByItem(), Parts()


def _lifts(cpu_op):
    """Register a function of an Op, a context and inputs that gives what replaces the outputs. An Op that sums over
    ranks stays on the host, where ranks sum."""
    def register(lift):
        @functools.wraps(lift)
        def lift_alone(op, context, inputs, outputs):
            return None if getattr(op, "apart", False) else lift(op, context, *inputs)

        return register_opt("fast_compile")(op_lifter([cpu_op])(register_opt2([cpu_op], "fast_compile")(lift_alone)))
    return register


_part_sums, _row_sums, _csr_t_dot = GpuPartSums(), GpuRowSums(), GpuCsrTDot()


def _on_block(indices, indptr, context):
    """A function that applies a GPU's Op to the block. A plan among the arrays stands for its vector; the sizes are
    those of `ByItem` if it is there, else of `ByRow`, and the number of parts comes last if the Op reads them."""
    indices, indptr, plans = host_side(indices), host_side(indptr), {}

    def made(plan):
        if plan not in plans:
            vector, sizes = plan(indices, indptr)
            plans[plan] = as_gpuarray_variable(vector, context), sizes
        return plans[plan]

    def apply(op, *arrays, more=()):
        on_gpu = [made(x)[0] if isinstance(x, gof.Op) else as_gpuarray_variable(x, context) for x in arrays]
        sizes, n_parts = made(_by_item if _by_item in arrays else _by_row)[1], [made(_parts)[1]] * (_parts in arrays)
        return op(*on_gpu, sizes, indices, *more, *n_parts)

    return apply


def _csr_dot(apply, data, F):
    return apply(_row_sums, _parts, apply(_part_sums, data, _by_row, _parts, F))


@_lifts(CsrDot)
def local_gpu_csr_dot(op, context, data, indices, indptr, F):
    return _csr_dot(_on_block(indices, indptr, context), data, F)


@_lifts(SampledDot)
def local_gpu_sampled_dot(op, context, indices, indptr, A, F):
    return _on_block(indices, indptr, context)(GpuSampledDot(), _by_row, A, F)


@_lifts(CsrTDot)
def local_gpu_csr_t_dot(op, context, *inputs):
    data, indices, indptr, A, n_items = inputs
    return _on_block(indices, indptr, context)(_csr_t_dot, data, _by_item, A, more=[host_side(n_items)])


@_lifts(DenseRows)
def local_gpu_dense_rows(op, context, values, indices, indptr, n_items):
    return _on_block(indices, indptr, context)(GpuDenseRows(), values, _by_row, more=[host_side(n_items)])


def _pass_through(op, apply, context, parameters, channels, scales):
    """Each part's squared error, the gradient for mu, and for W, V, b and U the factors of theirs, R' A: data and A."""
    (W, V_t, mu, b, *U_t), (data, target, *indicator) = parameters, channels
    sums, more = apply(_part_sums, data, _by_row, _parts, V_t), [scales]
    if U_t:  # no rule that scales V has a second encoder
        sums += apply(_part_sums, *indicator, _by_row, _parts, *U_t)
    h = apply(GpuUnits("hidden", 1, op.g), _parts, sums, mu, more=more)
    slopes, squares, gradients = apply(GpuDecode(op.f, op.low, op.span), _by_row, _parts, h, W, b, target, more=more)
    d_a = apply(GpuUnits("hidden_slopes", 0, op.g), _parts, h, gradients, more=more)
    ones = T.ones((h.shape[0], 1), dtype=h.dtype)  # a hidden unit that is 1 in each row: b is its row of W
    return squares, T.sum(d_a, axis=0), [(slopes, h), (data, d_a), (slopes, ones)] + [(x, d_a) for x in indicator]


def _matrices(W, V_t, mu, b, *U_t):
    """Parameters, or their state, whose rows in use are moved: b as a matrix of one column."""
    return [W, V_t, b.dimshuffle(0, "x"), *U_t]


@_lifts(SquaredError)
def local_gpu_squared_error(op, context, *inputs):
    W, *_, data, indices, indptr, target = inputs[:8]
    apply, parameters = _on_block(indices, indptr, context), inputs[:4] + inputs[8:9]
    scales = Unscaled()(*[as_gpuarray_variable(x, context).shape for x in parameters])
    squares, d_mu, factors = _pass_through(op, apply, context, parameters, (data, target, *inputs[9:]), scales)
    n_items = T.cast(as_gpuarray_variable(W, context).shape[0], "int64")
    d_W, d_V_t, d_b, *d_U_t = [apply(_csr_t_dot, values, _by_item, A, more=[n_items]) for values, A in factors]
    return [as_gpuarray_variable(x, context) for x in (T.sum(squares), d_W, d_V_t, d_mu, d_b.flatten(), *d_U_t)]


@_lifts(SGDStep)
def local_gpu_sgd_step(op, context, *inputs):
    state, data, indices, indptr, rate, l2_W, l2_V, target = inputs[4:]
    parameters, apply = [as_gpuarray_variable(x, context) for x in inputs[:4]], _on_block(indices, indptr, context)
    scales = SGDScales()(state, rate, l2_W, l2_V, *[x.shape for x in parameters])
    squares, d_mu, factors = _pass_through(op, apply, context, parameters, (data, target), scales)
    (growths_W, new_W), (growths_V, new_V_t), (_, new_b) = [
        apply(GpuAddCsrTDot(place, op.inplace), values, _by_item, A, x, more=[scales])
        for place, (values, A), x in zip((2, 3, 4), factors, _matrices(*parameters))]
    new_mu = parameters[2] + Scale(4, d_mu.dtype)(scales) * d_mu
    new_state, *losses = SGDLosses()(state, scales, l2_W, l2_V, squares, growths_W, growths_V)
    return [as_gpuarray_variable(x, context) for x in (new_W, new_V_t, new_mu, new_b.flatten())] + [new_state] + losses


@_lifts(AdagradStep)
def local_gpu_adagrad_step(op, context, *inputs):
    given, n = op.layout_of(len(inputs)).named(inputs), op.n
    channels = [x for x in (given.data, given.target, given.indicator) if x is not None]
    arrays = [as_gpuarray_variable(x, context) for x in inputs[:2 * n]]
    apply = _on_block(given.indices, given.indptr, context)
    scales = AdagradScales(*op.settings)(given.rate, given.l2_W, given.l2_V, *[x.shape for x in arrays])
    squares, d_mu, factors = _pass_through(op, apply, context, arrays[:n], channels, scales)
    norms, *moved = zip(*[
        apply(GpuAdagrad(place, op.inplace), values, _by_item, A, x, its_squares, more=[scales])
        for place, (values, A), x, its_squares in zip(
            (2, 3, 4, 3), factors, _matrices(*arrays[:n]), _matrices(*arrays[n:]))])
    squares_mu = arrays[n + 2] + d_mu ** 2
    rate, epsilon = (Scale(i, d_mu.dtype)(scales) for i in (5, 6))
    of_mu = arrays[2] - rate * d_mu / T.sqrt(squares_mu + epsilon), squares_mu
    losses = AdagradLosses()(scales, squares, *norms[:2], *norms[3:])
    return [as_gpuarray_variable(x, context) for (W, V_t, b, *U_t), new_mu in zip(moved, of_mu)
            for x in (W, V_t, new_mu, b.flatten(), *U_t)] + losses


@gof.local_optimizer([GpuGemv])
def local_opencl_gemv(node):
    """On OpenCL, start a product with a vector from zeros: CLBlast multiplies uninitialised memory by 0, and NaN stays
    NaN. The zeros are copies of one: with memset_0 OpenCL compiles a program in each call."""
    if not isinstance(node.op, GpuGemv):  # `in2out` hands it every node
        return False
    y, *others = node.inputs
    context = y.type.context_name
    if not y.owner or not isinstance(y.owner.op, GpuAllocEmpty) or get_context(context).kind != b"opencl":
        return False
    zero = as_gpuarray_variable(np.zeros((), y.dtype), context)
    return [node.op(GpuAlloc(context)(zero, *y.owner.inputs), *others)]


# After Theano has moved its products to the GPU (48.5), and before it makes Ops work in place.
theano.compile.optdb.register("sparse_ae_opencl_gemv", T.opt.in2out(local_opencl_gemv, name="sparse_ae_opencl_gemv"),
                              48.6, "fast_run", "fast_compile")
register()
