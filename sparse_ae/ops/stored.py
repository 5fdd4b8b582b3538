"""The three arrays of a Theano sparse variable, which the other Ops take, and a sparse variable made from arrays."""
import numpy as np

import theano.sparse


class StoredArrays(theano.sparse.CSMProperties):
    """See `stored_arrays`; each matrix must have `n_columns` columns, any number if it is None."""

    __props__ = ("n_columns",)

    def __init__(self, n_columns=None):
        super().__init__()
        self.n_columns = n_columns

    def perform(self, node, inputs, outputs):
        x, = inputs
        if self.n_columns is not None and x.shape[1] != self.n_columns:
            raise ValueError("the sparse input is %d x %d; expected %d columns, as many as the graph was built for"
                             % (x.shape[0], x.shape[1], self.n_columns))
        if x.nnz > np.iinfo("int32").max:
            raise ValueError("the sparse input stores %d entries; a block holds at most %d: pass fewer rows at a time"
                             % (x.nnz, np.iinfo("int32").max))
        super().perform(node, inputs, outputs)


def stored_arrays(x, n_columns=None):
    """The stored values of a CSR variable, their columns, and the start of each row: inputs of the other Ops.

    Parameters
    ----------
    x : Theano sparse variable, CSR, (n_rows, n_columns)
    n_columns : int, optional
        The number of columns that each matrix must have; any number by default.

    Returns
    -------
    data, indices, indptr : vectors, (nnz,), (nnz,) and (n_rows + 1,)
        Of the dtype of `x`, int32 and int32. Nothing is copied; stored zeros are entries too.

    Raises
    ------
    TypeError
        When the graph is built, for a dense variable, or a format other than CSR.
    ValueError
        When it runs, for a matrix with another number of columns, or with more entries than int32 can count.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp, theano, theano.sparse, theano.tensor as T
    >>> from sparse_ae.ops import csr_dot, stored_arrays
    >>> x, F = theano.sparse.csr_matrix("x", "float64"), T.dmatrix("F")
    >>> product = theano.function([x, F], csr_dot(*stored_arrays(x, n_columns=3), F))
    >>> product(sp.csr_matrix([[0.0, 2.0, 0.0], [1.0, 0.0, 1.0]]), np.arange(6.0).reshape(3, 2))
    array([[4., 6.],
           [4., 6.]])
    """
    if not isinstance(getattr(x, "type", None), theano.sparse.SparseType):
        raise TypeError("the input, %s, is of type %s; expected a sparse variable: make it with "
                        "theano.sparse.csr_matrix('x'), and call the function with a scipy.sparse.csr_matrix"
                        % (getattr(x, "name", None) or x, getattr(x, "type", type(x).__name__)))
    if x.type.format != "csr":
        raise TypeError("the sparse input, %s, is in the format %r; expected 'csr', whose rows lie together: make it "
                        "with theano.sparse.csr_matrix('x'), and call the function with matrix.tocsr()"
                        % (x.name or x, x.type.format))
    if x.owner is not None and isinstance(x.owner.op, theano.sparse.CSM):
        return tuple(x.owner.inputs[:3])  # the graph makes it of arrays: use these
    return tuple(StoredArrays(n_columns)(x)[:3])


def with_values(x, data, n_columns=None):
    """A CSR variable that stores other values at the entries of `x`.

    Parameters
    ----------
    x : Theano sparse variable, CSR, (n_rows, n_columns)
    data : vector, (nnz,)
    n_columns : int, optional
        As for `stored_arrays`.

    Returns
    -------
    Theano sparse variable, CSR, (n_rows, n_columns), of the dtype of `data`
        `stored_arrays` of it gives `data` itself.

    Raises
    ------
    TypeError
        As `stored_arrays`.
    """
    _, indices, indptr = stored_arrays(x, n_columns)
    made_here = x.owner is not None and isinstance(x.owner.op, theano.sparse.CSM)
    shape = x.owner.inputs[3] if made_here else theano.sparse.csm_shape(x)
    return theano.sparse.CSR(data, indices, indptr, shape)
