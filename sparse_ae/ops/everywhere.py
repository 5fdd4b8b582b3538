"""The sum of the squares of all outputs of a linear decoder: equation (1) of docs/explanation/ops.md."""
import numpy as np

from sparse_ae.ops.op import WithGradients, check_units, float_tensors
import theano.tensor as T
from theano import gof


class SquaredOutputs(WithGradients):
    """``sum over rows i and columns j of (h_i . W_j + c_j)^2``, with its gradients for h, W and c."""

    headers, function = ("everywhere.h",), "squared_outputs_op"

    def make_node(self, h, W, c):
        inputs = float_tensors(h=(h, 2), W=(W, 2), c=(c, 1))
        return gof.Apply(self, inputs, [T.scalar(dtype=inputs[0].dtype)]
                         + [T.TensorType(x.dtype, [False] * x.ndim)() for x in inputs])

    def compute(self, h, W, c):
        check_units(h, W, ("h", "W"))
        if len(c) != len(W):
            raise ValueError("c has %d entries, W %d rows; expected as many" % (len(c), len(W)))
        h, W = np.column_stack([h, np.ones(len(h), h.dtype)]), np.column_stack([W, c])
        G, M = W.T.dot(W), h.T.dot(h)
        d_h, d_W = 2 * h.dot(G), 2 * W.dot(M)
        gradients = map(np.ascontiguousarray, (d_h[:, :-1], d_W[:, :-1], d_W[:, -1]))
        return [np.einsum("ij,ij->", G, M, dtype="float64"), *gradients]


def squared_outputs(h, W, c):
    """The sum of the squares of ``h W' + c``, in O((n_rows + n_items) k^2): equation (1) of docs/explanation/ops.md.

    Parameters
    ----------
    h, W : matrices, (n_rows, k) and (n_items, k)
    c : vector, (n_items,)

    Returns
    -------
    scalar

    Raises
    ------
    TypeError
        For tensors of other dimensions or dtypes.
    ValueError
        When it runs, for sizes that don't fit.
    """
    return SquaredOutputs()(h, W, c)[0]
