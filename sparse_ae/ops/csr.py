"""Products of a CSR block with dense matrices, at a cost proportional to its entries: docs/explanation/ops.md."""
import numpy as np

from sparse_ae.ops.op import (
    CsrOp,
    InNumPy,
    check_csr,
    check_units,
    count_scalar,
    csr_matrix,
    float_tensors,
    index_vectors,
    like,
    sampled_products,
)
from sparse_ae.runtime.device import is_on_host, on_gpu
import theano.tensor as T
from theano import gof
from theano.gradient import DisconnectedType


class _Product(CsrOp):
    """A product, which is linear in each of the two inputs at the positions `linear_in`."""

    headers = ("nonlinearities.h", "slices.h", "rules.h", "products.h")
    linear_in = (0, 3)

    def connection_pattern(self, node):
        return [[i in self.linear_in] for i in range(len(node.inputs))]

    def grad(self, inputs, output_gradients):
        gradients = dict(zip(self.linear_in, self.gradients(*inputs, *output_gradients)))
        return [like(gradients[i], x) if i in gradients else DisconnectedType()() for i, x in enumerate(inputs)]

    def R_op(self, inputs, eval_points):
        terms = [self(*inputs[:i] + [eval_points[i]] + inputs[i + 1:]) for i in self.linear_in
                 if eval_points[i] is not None]
        return [T.add(*terms) if len(terms) > 1 else terms[0] if terms else None]


class CsrDot(_Product):
    """R F for a CSR block R (n_rows, n_items) and dense F (n_items, k); see `csr_dot`."""

    function = "csr_dot_op"

    def make_node(self, data, indices, indptr, F):
        data, F = float_tensors(data=(data, 1), F=(F, 2))
        return gof.Apply(self, [data, *index_vectors(indices, indptr), F], [T.matrix(dtype=F.dtype)])

    def compute(self, data, indices, indptr, F):
        check_csr(indices, indptr, len(indptr) - 1, len(F), len(data))
        return [np.ascontiguousarray(csr_matrix(data, indices, indptr, len(F)).dot(F))]

    def infer_shape(self, node, shapes):
        return [(shapes[2][0] - 1, shapes[3][1])]

    def gradients(self, data, indices, indptr, F, gradient):
        """The gradients for the inputs at `linear_in`."""
        return sampled_dot(indices, indptr, gradient, F), csr_t_dot(data, indices, indptr, gradient, F.shape[0])


class SampledDot(_Product):
    """A F' at the stored entries of a CSR block; see `sampled_dot`."""

    function, linear_in = "sampled_dot_op", (2, 3)

    def make_node(self, indices, indptr, A, F):
        A, F = float_tensors(A=(A, 2), F=(F, 2))
        return gof.Apply(self, [*index_vectors(indices, indptr), A, F], [T.vector(dtype=F.dtype)])

    def compute(self, indices, indptr, A, F):
        check_units(A, F)
        check_csr(indices, indptr, len(A), len(F))
        return [sampled_products(indices, indptr, A, F)]

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def gradients(self, indices, indptr, A, F, gradient):
        """As `CsrDot.gradients`."""
        return csr_dot(gradient, indices, indptr, F), csr_t_dot(gradient, indices, indptr, A, F.shape[0])


class CsrTDot(_Product):
    """R' A for a CSR block R (n_rows, n_items) and dense A (n_rows, k); see `csr_t_dot`."""

    function = "csr_t_dot_op"

    def make_node(self, data, indices, indptr, A, n_items):
        data, A = float_tensors(data=(data, 1), A=(A, 2))
        inputs = [data, *index_vectors(indices, indptr), A, count_scalar(n_items, "n_items")]
        return gof.Apply(self, inputs, [T.matrix(dtype=A.dtype)])

    def compute(self, data, indices, indptr, A, n_items):
        check_csr(indices, indptr, len(A), n_items, len(data))
        return [np.ascontiguousarray(csr_matrix(data, indices, indptr, int(n_items)).T.dot(A))]

    def infer_shape(self, node, shapes):
        return [(node.inputs[4], shapes[3][1])]

    def gradients(self, data, indices, indptr, A, n_items, gradient):
        """As `CsrDot.gradients`."""
        return sampled_dot(indices, indptr, A, gradient), csr_dot(data, indices, indptr, gradient)


class DenseRows(InNumPy):
    """See `dense_rows`."""

    def make_node(self, values, indices, indptr, n_items):
        values = T.as_tensor_variable(values)
        if values.ndim != 1:
            raise TypeError("values has %d dimensions; expected a vector" % values.ndim)
        if values.dtype == "float16":  # neither SciPy nor the Op on a GPU takes it
            raise TypeError("values is of dtype float16; expected float32, float64 or integers")
        inputs = [values, *index_vectors(indices, indptr), count_scalar(n_items, "n_items")]
        return gof.Apply(self, inputs, [T.matrix(dtype=values.dtype)])

    def compute(self, values, indices, indptr, n_items):
        check_csr(indices, indptr, len(indptr) - 1, n_items, len(values))
        return [csr_matrix(values, indices, indptr, int(n_items)).toarray()]

    def infer_shape(self, node, shapes):
        return [(shapes[2][0] - 1, node.inputs[3])]


def csr_dot(data, indices, indptr, F):
    """R F: a CSR block of ratings times a dense matrix.

    Parameters
    ----------
    data : tensor, (nnz,), float32 or float64
    indices, indptr : tensors, (nnz,) and (n_rows + 1,), int32
    F : tensor, (n_items, k), float32 or float64
        Fastest with contiguous rows; any other layout is copied first.

    Returns
    -------
    tensor, (n_rows, k)
        Differentiable for `data` and `F`.

    Raises
    ------
    TypeError
        When the graph is built, for tensors of other dtypes or dimensions.
    ValueError, IndexError
        When it runs, for arrays that aren't a CSR matrix's, or for indices beyond the rows of `F`. The other products
        raise the same errors.
    """
    return CsrDot()(data, indices, indptr, F)


def sampled_dot(indices, indptr, A, F):
    """The entries of A F' that a CSR block stores: ``s[p] = A[row of p] . F[indices[p]]``.

    Parameters
    ----------
    indices, indptr, F : tensors
        As in `csr_dot`.
    A : tensor, (n_rows, k), float32 or float64

    Returns
    -------
    tensor, (nnz,)
        Differentiable for `A` and `F`.

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> indices, indptr = T.ivectors("indices", "indptr")
    >>> A, F = T.dmatrices("A", "F")
    >>> s = sampled_dot(indices, indptr, A, F)
    >>> grad = theano.function([indices, indptr, A, F], T.grad((s ** 2).sum(), F))
    >>> grad(np.int32([1]), np.int32([0, 1]), np.ones((1, 2)), np.ones((3, 2)))
    array([[0., 0.],
           [4., 4.],
           [0., 0.]])
    """
    return SampledDot()(indices, indptr, A, F)


def csr_t_dot(data, indices, indptr, A, n_items):
    """R' A: the transpose of a CSR block of ratings times a dense matrix.

    Parameters
    ----------
    data, indices, indptr : tensors
        As in `csr_dot`.
    A : tensor, (n_rows, k), float32 or float64
    n_items : integer or integer scalar
        Columns of R, rows of the result.

    Returns
    -------
    tensor, (n_items, k)
        Differentiable for `data` and `A`. Rows of columns without a rating are 0.
    """
    return CsrTDot()(data, indices, indptr, A, n_items)


def dense_rows(values, indices, indptr, n_items):
    """The dense matrix of a CSR block, 0 where it stores nothing. On a GPU the card makes it.

    Parameters
    ----------
    values : tensor, (nnz,)
    indices, indptr : tensors, (nnz,) and (n_rows + 1,), int32
        No index twice within a row.
    n_items : integer or integer scalar

    Returns
    -------
    tensor, (n_rows, n_items), of the dtype of `values`
        Not differentiable.
    """
    return DenseRows()(values, indices, indptr, n_items)


def item_major(variable):
    """Store V (k, n_items) column by column: the Ops take its transpose, without a copy then."""
    if is_on_host(variable):
        variable.set_value(np.asfortranarray(variable.get_value(borrow=True)), borrow=True)
        return
    value = variable.get_value(borrow=True, return_internal_type=True)
    if not value.flags["F_CONTIGUOUS"]:
        variable.container.value = value.copy("F")  # set_value would change it to C order


def made_item_major(new):
    """A new value of V (k, n_items), stored column by column also on a GPU, whose elementwise Ops write in C order."""
    return T.extra_ops.cpu_contiguous(new.T).T if on_gpu() else new
