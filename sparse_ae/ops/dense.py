"""A CSR block's values as dense rows, filled in where the rows are needed: on a GPU that is on the card.

A mini-batch of ratings is a hundredth to a thousandth of its dense rows, so it travels as CSR.
"""
import scipy.sparse as sp

from sparse_ae.ops.op import check_csr, count_scalar, index_vector
import theano.tensor as T
from theano import gof

__all__ = ["dense_rows"]


class DenseRows(gof.Op):
    """See `dense_rows`."""

    __props__ = ()

    def make_node(self, values, indices, indptr, n_items):
        values = T.as_tensor_variable(values)
        if values.ndim != 1:
            raise TypeError("values has %d dimensions; expected a vector" % values.ndim)
        if values.dtype == "float16":  # SciPy fills in no such rows, nor does the Op on a GPU
            raise TypeError("values is of dtype float16; expected float32, float64 or integers")
        n_items = count_scalar(n_items, "n_items")
        inputs = [values, index_vector(indices, "indices"), index_vector(indptr, "indptr"), n_items]
        return gof.Apply(self, inputs, [T.matrix(dtype=values.dtype)])

    def perform(self, node, inputs, outputs):
        values, indices, indptr, n_items = inputs
        if n_items < 0 and len(indptr):
            raise ValueError("n_items is %d; it must not be negative" % n_items)
        check_csr(indices, indptr, max(0, len(indptr) - 1), n_items, len(values))
        outputs[0][0] = sp.csr_matrix((values, indices, indptr), shape=(len(indptr) - 1, int(n_items))).toarray()

    def infer_shape(self, node, shapes):
        return [(shapes[2][0] - 1, node.inputs[3])]


def dense_rows(values, indices, indptr, n_items):
    """The dense matrix of a CSR block: a row for each of its rows, 0 where it stores nothing.

    Parameters
    ----------
    values : tensor, (nnz,)
    indices, indptr : tensors, (nnz,) and (n_rows + 1,), int32
        No index twice within a row.
    n_items : integer or integer scalar

    Returns
    -------
    tensor, (n_rows, n_items), of the dtype of `values`
        Not differentiable: the block is given.

    Raises
    ------
    TypeError
        When the graph is built, for tensors of other dtypes or dimensions.
    ValueError, IndexError
        When it runs, for arrays that make no CSR matrix, or indices beyond `n_items`.
    """
    return DenseRows()(values, indices, indptr, n_items)
