"""The squares of all outputs of a linear decoder in O((n_rows + n_items) k^2): none of them is formed.

With hidden units H (n_rows, k), a decoder W (n_items, k) and an offset c (n_items,) the outputs are H W' + c, one for
each row and column. The sum of their squares is that of the products of entries of two small matrices, and of vectors,

    |H W' + c|^2  =  sum of G * M  +  2 s' W' c  +  n_rows c' c,    G = W' W,    M = H' H,    s = H' 1

with the gradients 2 (H G + c' W) for H, 2 (W M + c s') for W and 2 (W s + n_rows c) for c. Nothing of size n_rows x
n_items is made: O((n_rows + n_items) k^2). It is the trick of the papers that `objectives` names.
"""
import numpy as np

from sparse_ae.ops.op import float_tensors, like
from sparse_ae.ops.rewrites import gemm
import theano.tensor as T
from theano import gof


class SquaredOutputs(gof.Op):
    """``sum over rows i and columns j of (h_i . W_j + c_j)^2``, and its gradients for h, W and c, by NumPy's BLAS.

    `theano.grad` takes the gradients from there; there is no second derivative.
    """

    __props__ = ()

    def make_node(self, h, W, c):
        inputs = float_tensors(h=(h, 2), W=(W, 2), c=(c, 1))
        return gof.Apply(self, inputs, [T.scalar(dtype=inputs[0].dtype)]
                         + [T.TensorType(x.dtype, [False] * x.ndim)() for x in inputs])

    def perform(self, node, inputs, outputs):
        h, W, c = inputs
        if h.shape[1] != W.shape[1]:
            raise ValueError("h has %d columns, W %d; both must have one for each hidden unit"
                             % (h.shape[1], W.shape[1]))
        if len(c) != len(W):
            raise ValueError("c has %d entries, W %d rows; expected as many" % (len(c), len(W)))
        G, M, W_c, sum_h = W.T.dot(W), h.T.dot(h), W.T.dot(c), h.sum(axis=0)
        value = np.einsum("ij,ij->", G, M, dtype="float64") + 2 * np.einsum("i,i->", W_c, sum_h, dtype="float64")
        d_W = np.outer(2 * c, sum_h)
        if d_W.size:
            gemm(2, M, W.T, 1, d_W.T)  # into it: arrays of W's size are slow to make
        gradients = 2 * (h.dot(G) + W_c), d_W, 2 * (W.dot(sum_h) + len(h) * c)
        for output, result in zip(outputs, (np.asarray(value + len(h) * c.dot(c), h.dtype),) + gradients):
            output[0] = result

    def infer_shape(self, node, shapes):
        return [()] + list(shapes)

    def connection_pattern(self, node):
        return [[True, False, False, False]] * 3

    def grad(self, inputs, output_gradients):
        return [like(output_gradients[0] * gradient, x) for x, gradient in zip(inputs, self(*inputs)[1:])]


def squared_outputs(h, W, c):
    """The sum of the squares of ``h W' + c``.

    Parameters
    ----------
    h : matrix, (n_rows, k)
    W : matrix, (n_items, k)
    c : vector, (n_items,)

    Returns
    -------
    scalar

    Raises
    ------
    TypeError
        For tensors of another kind; where the function is called, ValueError for sizes that don't fit.
    """
    return SquaredOutputs()(h, W, c)[0]
