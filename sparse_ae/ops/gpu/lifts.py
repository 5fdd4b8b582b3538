"""The rewrites that put the sparse Ops on a GPU: docs/develop/compiling.md. They need pygpu; the module is imported
only if Theano's variables are on a GPU."""
import functools

import numpy as np

from sparse_ae.ops.csr import CsrDot, CsrTDot, DenseRows, SampledDot
from sparse_ae.ops.fused import AdagradStep, SGDStep, SquaredError
from sparse_ae.ops.gpu.autoencoder import GpuAdagrad, GpuAddCsrTDot, GpuDecode, GpuHidden, GpuHiddenSlopes
from sparse_ae.ops.gpu.host import AdagradLosses, AdagradScales, Scale, SGDLosses, SGDScales, Unscaled, host_side
from sparse_ae.ops.gpu.plans import ByItem, ByRow, Parts
from sparse_ae.ops.gpu.products import GpuCsrTDot, GpuDenseRows, GpuPartSums, GpuRowSums, GpuSampledDot
from sparse_ae.ops.gpu.rewrites import register
from sparse_ae.ops.nonlinearities import NONLINEARITIES
import theano
import theano.tensor as T
from theano import gof
from theano.gpuarray.basic_ops import GpuAlloc, GpuAllocEmpty, as_gpuarray_variable
from theano.gpuarray.blas import GpuGemv
from theano.gpuarray.opt import op_lifter, register_opt, register_opt2
from theano.gpuarray.type import get_context

_by_row, _by_item, _parts = ByRow(), ByItem(), Parts()


def _lifts(cpu_op):
    """Register a function from an Op's inputs to the nodes that replace it on the GPU. An Op that sums over ranks stays
    on the host, where ranks sum."""
    def register(lift):
        @functools.wraps(lift)
        def lift_alone(op, context, inputs, outputs):
            return None if getattr(op, "apart", False) else lift(op, context, inputs, outputs)

        return register_opt("fast_compile")(op_lifter([cpu_op])(register_opt2([cpu_op], "fast_compile")(lift_alone)))
    return register


_part_sums, _row_sums, _csr_t_dot = GpuPartSums(), GpuRowSums(), GpuCsrTDot()


def _on_block(indices, indptr, context):
    """A function that applies a GPU's Op to the block. A plan among the arrays stands for its vector; the sizes are
    those of this plan, or of `ByRow`."""
    indices, indptr = host_side(indices), host_side(indptr)
    plans = {}

    def apply(op, *arrays, more=()):
        plan = next((x for x in arrays if x in (_by_row, _by_item)), _by_row)
        if plan not in plans:
            vector, sizes = plan(indices, indptr)
            plans[plan] = as_gpuarray_variable(vector, context), sizes
        vector, sizes = plans[plan]
        on_gpu = [vector if x is plan else as_gpuarray_variable(x, context) for x in arrays]
        return op(*on_gpu + [sizes, indices] + list(more))

    return apply


def _in_parts(indices, indptr, context):
    """The rows of a block in parts, on the GPU, and on the host their number."""
    vector, sizes = _parts(host_side(indices), host_side(indptr))
    return as_gpuarray_variable(vector, context), sizes


def _csr_dot(apply, data, F, parts, part_sizes):
    sums = apply(_part_sums, data, _by_row, parts, F, more=[part_sizes])
    return apply(_row_sums, parts, sums, more=[part_sizes])


@_lifts(CsrDot)
def local_gpu_csr_dot(op, context, inputs, outputs):
    data, indices, indptr, F = inputs
    apply, (parts, part_sizes) = _on_block(indices, indptr, context), _in_parts(indices, indptr, context)
    return _csr_dot(apply, data, F, parts, part_sizes)


@_lifts(SampledDot)
def local_gpu_sampled_dot(op, context, inputs, outputs):
    indices, indptr, A, F = inputs
    return _on_block(indices, indptr, context)(GpuSampledDot(), _by_row, A, F)


@_lifts(CsrTDot)
def local_gpu_csr_t_dot(op, context, inputs, outputs):
    data, indices, indptr, A, n_items = inputs
    return _on_block(indices, indptr, context)(_csr_t_dot, data, _by_item, A, more=[host_side(n_items)])


@_lifts(DenseRows)
def local_gpu_dense_rows(op, context, inputs, outputs):
    values, indices, indptr, n_items = inputs
    return _on_block(indices, indptr, context)(GpuDenseRows(), values, _by_row, more=[host_side(n_items)])


def _ones(h):
    """A hidden unit that is 1 in each row: b is its row of W."""
    return T.ones((h.shape[0], 1), dtype=h.dtype)


def _pass_through(op, apply, context, index_arrays, parameters, data, target, second, scales):
    """The hidden units; each part's squared error; its gradients for scores and for the units' pre-activations."""
    W, V_t, mu, b = parameters
    parts, part_sizes = _in_parts(*index_arrays, context)
    more = [scales, part_sizes]
    sums = apply(_part_sums, data, _by_row, parts, V_t, more=[part_sizes])
    if second:
        U_t, indicator = second
        a = apply(GpuHidden(), parts, sums, mu, more=more) + _csr_dot(apply, indicator, U_t, parts, part_sizes)
        h = as_gpuarray_variable(NONLINEARITIES[op.g].graph(a), context)
    else:
        h = apply(GpuHidden(g=op.g), parts, sums, mu, more=more)
    decode, hidden_slopes = GpuDecode(op.f, op.g, op.low, op.span), GpuHiddenSlopes(op.f, op.g)
    slopes, squares, gradients = apply(decode, _by_row, parts, h, W, b, target, more=more)
    return h, squares, slopes, apply(hidden_slopes, parts, h, gradients, more=more)


@_lifts(SquaredError)
def local_gpu_squared_error(op, context, inputs, outputs):
    W, V_t, mu, b, data, indices, indptr, target, *second = inputs
    apply = _on_block(indices, indptr, context)
    scales = Unscaled()(*[as_gpuarray_variable(x, context).shape for x in (W, V_t, mu, b, *second[:1])])
    h, squares, slopes, d_a = _pass_through(op, apply, context, (indices, indptr), (W, V_t, mu, b), data, target,
                                            second, scales)

    def gradient(values, units, x):
        n_items = T.cast(as_gpuarray_variable(x, context).shape[0], "int64")
        return apply(_csr_t_dot, values, _by_item, units, more=[n_items])

    gradients = [gradient(slopes, h, W), gradient(data, d_a, V_t), T.sum(d_a, axis=0),
                 gradient(slopes, _ones(h), b).flatten()]
    if second:
        U_t, indicator = second
        gradients.append(gradient(indicator, d_a, U_t))
    return [as_gpuarray_variable(x, context) for x in [T.sum(squares)] + gradients]


@_lifts(SGDStep)
def local_gpu_sgd_step(op, context, inputs, outputs):
    W, V_t, mu, b, state, data, indices, indptr, rate, l2_W, l2_V, target = inputs
    W, V_t, mu, b = parameters = [as_gpuarray_variable(x, context) for x in (W, V_t, mu, b)]
    apply = _on_block(indices, indptr, context)
    scales = SGDScales()(state, rate, l2_W, l2_V, *[x.shape for x in parameters])
    h, squares, slopes, d_a = _pass_through(op, apply, context, (indices, indptr), parameters, data, target, (),
                                            scales)

    def moved(place, values, units, x):
        return apply(GpuAddCsrTDot(place, op.inplace), values, _by_item, units, x, more=[scales])

    growths_W, new_W = moved(2, slopes, h, W)
    growths_V, new_V_t = moved(3, data, d_a, V_t)
    new_b = moved(4, slopes, _ones(h), b.dimshuffle(0, "x"))[1].flatten()
    new_mu = mu + Scale(4, mu.dtype)(scales) * T.sum(d_a, axis=0)
    new_state, *losses = SGDLosses()(state, scales, l2_W, l2_V, squares, growths_W, growths_V)
    return [as_gpuarray_variable(x, context) for x in (new_W, new_V_t, new_mu, new_b)] + [new_state] + losses


@_lifts(AdagradStep)
def local_gpu_adagrad_step(op, context, inputs, outputs):
    given, n = op.layout_of(len(inputs)).named(inputs), op.n
    indices, indptr, numbers = given.indices, given.indptr, (given.rate, given.l2_W, given.l2_V)
    channels = [x for x in (given.data, given.target, given.indicator) if x is not None]
    data, target, *indicator = (as_gpuarray_variable(x, context) for x in channels)
    parameters, all_squares = ([as_gpuarray_variable(x, context) for x in inputs[start:start + n]] for start in (0, n))
    (W, V_t, mu, b, *U_t), (squares_W, squares_V_t, squares_mu, squares_b, *squares_U_t) = parameters, all_squares
    apply = _on_block(indices, indptr, context)
    scales = AdagradScales(*op.settings)(*numbers, *[x.shape for x in parameters + all_squares])
    h, squares, slopes, d_a = _pass_through(op, apply, context, (indices, indptr), parameters[:4], data, target,
                                            U_t + indicator, scales)

    def moved(place, values, units, x, its_squares):
        return apply(GpuAdagrad(place, op.inplace), values, _by_item, units, x, its_squares, more=[scales])

    norms_W, *new_W = moved(2, slopes, h, W, squares_W)
    norms_V, *new_V_t = moved(3, data, d_a, V_t, squares_V_t)
    _, *new_b = moved(4, slopes, _ones(h), b.dimshuffle(0, "x"), squares_b.dimshuffle(0, "x"))
    d_mu = T.sum(d_a, axis=0)
    new_squares_mu = squares_mu + d_mu ** 2
    rate_mu, epsilon = (Scale(i, mu.dtype)(scales) for i in (5, 6))
    new_mu = mu - rate_mu * d_mu / T.sqrt(new_squares_mu + epsilon)
    of_U = [moved(3, *indicator, d_a, *U_t, *squares_U_t)] if indicator else []
    losses = AdagradLosses()(scales, squares, norms_W, norms_V, *[norms_U for norms_U, _, _ in of_U])
    values, all_squares = zip(new_W, new_V_t, (new_mu, new_squares_mu), [x.flatten() for x in new_b],
                              *[new_U_t for _, *new_U_t in of_U])
    return [as_gpuarray_variable(x, context) for x in values + all_squares] + losses


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
