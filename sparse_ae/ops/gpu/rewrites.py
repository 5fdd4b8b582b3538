"""Rewrites of graphs before they are moved to a GPU: they replace Ops that are slow there, or whose results differ from
run to run. They need no pygpu, so that tests run them without a card."""
from sparse_ae.ops.csr import SampledDot, csr_t_dot
from sparse_ae.ops.everywhere import SquaredOutputs
import theano
import theano.tensor as T
from theano import gof
from theano.tensor.subtensor import AdvancedIncSubtensor1


@gof.local_optimizer([T.Sum])
def local_sum_in_two_steps(node):
    """Sum a matrix by columns first: Theano's sum of a whole matrix uses one of a card's multiprocessors only."""
    if not isinstance(node.op, T.Sum) or node.outputs[0].ndim or node.inputs[0].ndim != 2:
        return False
    x, dtypes = node.inputs[0], dict(dtype=node.op.dtype, acc_dtype=node.op.acc_dtype)
    return [T.Sum(axis=(0,), **dtypes)(T.Sum(axis=(0,), **dtypes)(x))]


@gof.local_optimizer([AdvancedIncSubtensor1])
def local_lookup_gradient(node):
    """Sum the gradient of ``b[indices]`` in a fixed order, if the indices are a CSR block's: Theano's atomic additions
    on a GPU come in a different order each time."""
    if not isinstance(node.op, AdvancedIncSubtensor1) or node.op.set_instead_of_inc:
        return False
    b, values, indices = node.inputs
    if b.ndim != 1 or values.ndim != 1 or values.dtype != b.dtype or b.dtype not in ("float32", "float64"):
        return False
    indptr = next((client.inputs[1] for client, place in indices.clients
                   if client != "output" and isinstance(client.op, SampledDot) and place == 0), None)
    if indptr is None:
        return False
    ones = T.ones((indptr.shape[0] - 1, 1), dtype=b.dtype)
    return [b + csr_t_dot(values, indices, indptr, ones, b.shape[0]).flatten()]


@gof.local_optimizer([SquaredOutputs])
def local_squared_outputs(node):
    """Write the sum of squares as products of matrices: the Op runs on the host, and W would have to go there."""
    if not isinstance(node.op, SquaredOutputs):
        return False
    h, W, c = node.inputs
    G, M, of_h, of_W = T.dot(W.T, W), T.dot(h.T, h), T.sum(h, axis=0), T.dot(W.T, c)
    n_rows = T.cast(h.shape[0], c.dtype)
    total = T.sum(M * G) + 2 * T.dot(of_h, of_W) + n_rows * T.dot(c, c)
    return [total, 2 * (T.dot(h, G) + of_W), 2 * (T.dot(W, M) + c.dimshuffle(0, "x") * of_h),
            2 * (T.dot(W, of_h) + n_rows * c)]


def register():
    """Register the rewrites, for all functions that are compiled from now on."""
    # The products before Theano chooses how to multiply (1.7); the sum after Theano merges sums (3), and before it
    # moves anything to the card (48.5).
    for rewrite, position in [(local_lookup_gradient, 1.6), (local_squared_outputs, 1.6),
                              (local_sum_in_two_steps, 48.4)]:
        name = "sparse_ae_gpu_" + rewrite.__name__
        theano.compile.optdb.register(name, T.opt.in2out(rewrite, name=name), position, "fast_run", "fast_compile")
