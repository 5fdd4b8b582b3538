"""Sparse Ops: products of a CSR matrix of ratings with dense factors, at a cost proportional to the ratings.

A block of ratings R, (n_rows, n_items), comes as SciPy's three CSR arrays: `data` (nnz,), `indices` (nnz,) and `indptr` (n_rows + 1,),
the last two int32. Dense factors F are (n_items, k), one row per item; hidden units A are (n_rows, k), one row per user.

=========================================  ================  ==========================================
``csr_dot(data, indices, indptr, F)``      (n_rows, k)       R F: the encoder, ``csr_dot(..., V.T)``
``sampled_dot(indices, indptr, A, F)``     (nnz,)            A F' where R is stored: the decoder
``csr_t_dot(data, ..., A, n_items)``       (n_items, k)      R' A: the gradient of both for F
=========================================  ================  ==========================================

The gradient of each is made of the three, so any nonlinearity, loss or Lasagne layer can be differentiated through them, twice if
need be. None gathers rows into a copy. Each has C code with OpenMP and a `perform` in NumPy and SciPy that says the same, for float32
and float64, and checks its indices: wrong ones raise, whatever they are. Order and repetition of indices within a row don't matter.

`SquaredError` is the cost of the masked autoencoder and its gradients in one pass over the ratings, for the usual nonlinearities.
`add_csr_t_dot` and `SGDStep` are the updates of the sparse formulation. Compiled with optimisations, as by default, they work in place where
Theano finds that nobody needs the old value: then they write to the rows in use, and touch no others.

Theano's own `sparse.structured_dot` and `sparse.sampling_dot` run on one thread, or compute the whole dense product, or have no
gradient in C; see the README.

Examples
--------
A linear decoder of one's own, differentiated by Theano:

>>> import numpy as np, theano, theano.tensor as T
>>> from sparse_ae.ops import sampled_dot
>>> indices, indptr = T.ivectors("indices", "indptr")
>>> A, F = T.dmatrices("A", "F")
>>> s = sampled_dot(indices, indptr, A, F)
>>> grad = theano.function([indices, indptr, A, F], T.grad((s ** 2).sum(), F))
>>> grad(np.int32([1]), np.int32([0, 1]), np.ones((1, 2)), np.ones((3, 2)))
array([[0., 0.],
       [4., 4.],
       [0., 0.]])
"""
import os
import zlib

import numpy as np
import scipy.sparse as sp

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano
import theano.tensor as T
from theano import gof
from theano.gof.op import OpenMPOp
from theano.gradient import DisconnectedType

__all__ = ["csr_dot", "csr_t_dot", "sampled_dot", "add_csr_t_dot", "SquaredError", "SGDStep"]

_C_TYPES = {"float32": "npy_float32", "float64": "npy_float64"}


def _kernels():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernels.h"), encoding="utf-8") as file:
        return file.read()


_KERNELS = _kernels()
# Theano looks a compiled Op up by its version, not by its code: with the code's checksum in it, an upgrade never runs old code.
_VERSION = (1, zlib.crc32(_KERNELS.encode()))


def _has_openmp():
    # Theano's own test, run once a process; Apple's clang, for one, has no OpenMP.
    if OpenMPOp.gxx_support_openmp is None:
        OpenMPOp.gxx_support_openmp = OpenMPOp.test_gxx_support()
    return OpenMPOp.gxx_support_openmp


class _CsrOp(gof.Op):
    """What the Ops share: the C code's surroundings and the types of a CSR block."""

    __props__ = ()

    def c_support_code(self):
        return _KERNELS

    def c_compile_args(self):
        return ["-O3"] + (["-fopenmp"] if _has_openmp() else [])

    def c_code_cache_version(self):
        return _VERSION

    def c_call(self, function, dtype, inputs, outputs, sub):
        arguments = ", ".join(list(inputs) + ["&" + out for out in outputs])
        return "if (sparse_ae::%s<%s>(%s)) { %s }" % (function, _C_TYPES[dtype], arguments, sub["fail"])


def _index_vector(x, name):
    x = T.as_tensor_variable(x)
    if x.ndim != 1 or x.dtype not in ("int8", "int16", "int32", "uint8", "uint16"):
        raise TypeError("%s is a %d-d tensor of %s; expected a vector of int32. SciPy's index arrays can be int64: check that they fit "
                        "and cast them with .astype('int32')." % (name, x.ndim, x.dtype))
    return T.cast(x, "int32")


def _float_tensors(**tensors):
    """Each as a tensor of its expected ndim, all of one floating dtype; `tensors` maps a name to (tensor, ndim)."""
    converted = {}
    for name, (x, ndim) in tensors.items():
        x = T.as_tensor_variable(x)
        if x.ndim != ndim:
            raise TypeError("%s has %d dimensions; expected %d" % (name, x.ndim, ndim))
        if x.dtype not in theano.tensor.float_dtypes + theano.tensor.integer_dtypes or x.dtype == "float16":
            raise TypeError("%s is of dtype %s; expected float32 or float64" % (name, x.dtype))
        converted[name] = x
    dtype = theano.scalar.upcast("float32", *[x.dtype for x in converted.values()])
    return [T.cast(x, dtype) for x in converted.values()]


def _like(gradient, x):
    """A gradient with the broadcast pattern of the input x, as Theano demands."""
    return T.patternbroadcast(gradient, x.broadcastable)


def _check_csr(indices, indptr, n_rows, n_items, n_data=None):
    """kernels.h's check_csr for the NumPy side, with the same messages."""
    if len(indptr) < 1 or len(indptr) != n_rows + 1:
        raise ValueError("indptr has %d entries; %d rows need %d" % (len(indptr), n_rows, n_rows + 1))
    if n_data is not None and n_data != len(indices):
        raise ValueError("data has %d entries, indices %d; a CSR matrix stores one index per rating" % (n_data, len(indices)))
    if indptr[0] != 0 or indptr[-1] != len(indices):
        raise ValueError("indptr runs from %d to %d; it must run from 0 to the number of indices, %d"
                         % (indptr[0], indptr[-1], len(indices)))
    falls = np.flatnonzero(np.diff(indptr) < 0)
    if len(falls):
        i = falls[0]
        raise ValueError("indptr falls from %d to %d at row %d; it must never fall" % (indptr[i], indptr[i + 1], i))
    wrong = np.flatnonzero((indices < 0) | (indices >= n_items))
    if len(wrong):
        raise IndexError("indices[%d] is %d; with %d items it must lie in 0 ... %d"
                         % (wrong[0], indices[wrong[0]], n_items, n_items - 1))


def _same_units(a, b, name_a, name_b):
    if a.shape[1] != b.shape[1]:
        raise ValueError("%s has %d columns, %s %d; both must have one for each hidden unit"
                         % (name_a, a.shape[1], name_b, b.shape[1]))


def _csr(data, indices, indptr, n_items):
    # n_rows columns rather than 0: SciPy refuses a matrix without columns.
    return sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_items))


def _sampled_dot(indices, indptr, A, F):
    rows = np.repeat(np.arange(len(A)), np.diff(indptr))
    s = np.empty(len(indices), F.dtype)
    chunk = max(1, 2 ** 22 // max(1, F.shape[1]))  # entries at a time, so that the gathered rows stay below some tens of MB
    for start in range(0, len(indices), chunk):
        part = slice(start, start + chunk)
        s[part] = np.einsum("pt,pt->p", A[rows[part]], F[indices[part]])
    return s


class CsrDot(_CsrOp):
    """R F for a CSR block R (n_rows, n_items) and dense F (n_items, k); see `csr_dot`."""

    def make_node(self, data, indices, indptr, F):
        data, F = _float_tensors(data=(data, 1), F=(F, 2))
        inputs = [data, _index_vector(indices, "indices"), _index_vector(indptr, "indptr"), F]
        return gof.Apply(self, inputs, [T.matrix(dtype=F.dtype)])

    def perform(self, node, inputs, outputs):
        data, indices, indptr, F = inputs
        _check_csr(indices, indptr, len(indptr) - 1, len(F), len(data))
        outputs[0][0] = np.ascontiguousarray(_csr(data, indices, indptr, len(F)).dot(F), F.dtype)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_call("csr_dot_op", node.inputs[3].dtype, inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return [(shapes[2][0] - 1, shapes[3][1])]

    def connection_pattern(self, node):
        return [[True], [False], [False], [True]]

    def grad(self, inputs, output_gradients):
        data, indices, indptr, F = inputs
        gradient, = output_gradients
        return [_like(sampled_dot(indices, indptr, gradient, F), data), DisconnectedType()(), DisconnectedType()(),
                _like(csr_t_dot(data, indices, indptr, gradient, F.shape[0]), F)]


class SampledDot(_CsrOp):
    """A F' at the stored entries of a CSR block; see `sampled_dot`."""

    def make_node(self, indices, indptr, A, F):
        A, F = _float_tensors(A=(A, 2), F=(F, 2))
        inputs = [_index_vector(indices, "indices"), _index_vector(indptr, "indptr"), A, F]
        return gof.Apply(self, inputs, [T.vector(dtype=F.dtype)])

    def perform(self, node, inputs, outputs):
        indices, indptr, A, F = inputs
        _same_units(A, F, "A", "F")
        _check_csr(indices, indptr, len(A), len(F))
        outputs[0][0] = _sampled_dot(indices, indptr, A, F)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_call("sampled_dot_op", node.inputs[3].dtype, inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def connection_pattern(self, node):
        return [[False], [False], [True], [True]]

    def grad(self, inputs, output_gradients):
        indices, indptr, A, F = inputs
        gradient, = output_gradients
        return [DisconnectedType()(), DisconnectedType()(), _like(csr_dot(gradient, indices, indptr, F), A),
                _like(csr_t_dot(gradient, indices, indptr, A, F.shape[0]), F)]


class CsrTDot(_CsrOp):
    """R' A for a CSR block R (n_rows, n_items) and dense A (n_rows, k); see `csr_t_dot`."""

    def make_node(self, data, indices, indptr, A, n_items):
        data, A = _float_tensors(data=(data, 1), A=(A, 2))
        n_items = T.as_tensor_variable(n_items)
        if n_items.ndim != 0 or n_items.dtype not in theano.tensor.integer_dtypes:
            raise TypeError("n_items is a %d-d tensor of %s; expected an integer scalar" % (n_items.ndim, n_items.dtype))
        inputs = [data, _index_vector(indices, "indices"), _index_vector(indptr, "indptr"), A, T.cast(n_items, "int64")]
        return gof.Apply(self, inputs, [T.matrix(dtype=A.dtype)])

    def perform(self, node, inputs, outputs):
        data, indices, indptr, A, n_items = inputs
        if n_items < 0:
            raise ValueError("n_items is %d; it must not be negative" % n_items)
        _check_csr(indices, indptr, len(A), n_items, len(data))
        outputs[0][0] = np.ascontiguousarray(_csr(data, indices, indptr, int(n_items)).T.dot(A), A.dtype)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_call("csr_t_dot_op", node.inputs[3].dtype, inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return [(node.inputs[4], shapes[3][1])]

    def connection_pattern(self, node):
        return [[True], [False], [False], [True], [False]]

    def grad(self, inputs, output_gradients):
        data, indices, indptr, A, n_items = inputs
        gradient, = output_gradients
        return [_like(sampled_dot(indices, indptr, A, gradient), data), DisconnectedType()(), DisconnectedType()(),
                _like(csr_dot(data, indices, indptr, gradient), A), DisconnectedType()()]


class _UpdateOp(_CsrOp):
    """An Op whose first outputs are new values of its first inputs, with a twin that writes them in place."""

    n_updated = 0

    def set_inplace(self, inplace):
        self.inplace = bool(inplace)
        if self.inplace:
            self.destroy_map = {i: [i] for i in range(self.n_updated)}

    def targets(self, inputs):
        """The arrays to write to."""
        return [x if self.inplace else x.copy() for x in inputs[:self.n_updated]]


class AddCsrTDot(_UpdateOp):
    """F + alpha R' A; see `add_csr_t_dot`."""

    __props__ = ("inplace",)
    n_updated = 1

    def __init__(self, inplace=False):
        self.set_inplace(inplace)

    def in_place(self):
        return type(self)(inplace=True)

    def make_node(self, F, alpha, data, indices, indptr, A):
        F, alpha, data, A = _float_tensors(F=(F, 2), alpha=(alpha, 0), data=(data, 1), A=(A, 2))
        inputs = [F, alpha, data, _index_vector(indices, "indices"), _index_vector(indptr, "indptr"), A]
        return gof.Apply(self, inputs, [F.type(), T.dscalar()])

    def perform(self, node, inputs, outputs):
        F, alpha, data, indices, indptr, A = inputs
        _same_units(A, F, "A", "F")
        _check_csr(indices, indptr, len(A), len(F), len(data))
        F, = self.targets(inputs)
        used = np.unique(indices)
        before = (F[used].astype("float64") ** 2).sum()
        R = _csr(data, np.searchsorted(used, indices), indptr, len(used))
        F[used] += alpha * R.T.dot(A)
        outputs[0][0] = F
        outputs[1][0] = np.asarray((F[used].astype("float64") ** 2).sum() - before)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_call("add_csr_t_dot_op", node.inputs[0].dtype, [str(int(self.inplace))] + inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return [shapes[0], ()]


_csr_dot, _sampled_dot_op, _csr_t_dot, _add_csr_t_dot = CsrDot(), SampledDot(), CsrTDot(), AddCsrTDot()


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
        When it runs, for arrays that make no CSR matrix, or indices that `F` has no row for.
    """
    return _csr_dot(data, indices, indptr, F)


def sampled_dot(indices, indptr, A, F):
    """The entries of A F' that a CSR block stores: ``s[p] = A[row of p] . F[indices[p]]``.

    Parameters
    ----------
    indices, indptr : tensors, (nnz,) and (n_rows + 1,), int32
    A : tensor, (n_rows, k), float32 or float64
    F : tensor, (n_items, k), float32 or float64

    Returns
    -------
    tensor, (nnz,)
        Differentiable for `A` and `F`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `csr_dot`, and for factors with different numbers of columns.
    """
    return _sampled_dot_op(indices, indptr, A, F)


def csr_t_dot(data, indices, indptr, A, n_items):
    """R' A: the transpose of a CSR block of ratings times a dense matrix.

    Parameters
    ----------
    data : tensor, (nnz,), float32 or float64
    indices, indptr : tensors, (nnz,) and (n_rows + 1,), int32
    A : tensor, (n_rows, k), float32 or float64
    n_items : integer or integer scalar
        Columns of R, rows of the result.

    Returns
    -------
    tensor, (n_items, k)
        Differentiable for `data` and `A`. Rows of items without a rating are 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `csr_dot`.
    """
    return _csr_t_dot(data, indices, indptr, A, n_items)


def add_csr_t_dot(F, alpha, data, indices, indptr, A):
    """F + alpha R' A. In place, it reads and writes only the rows of F that R has ratings for.

    Parameters
    ----------
    F : tensor, (n_items, k), float32 or float64
    alpha : scalar
    data, indices, indptr : as in `csr_t_dot`
    A : tensor, (n_rows, k)

    Returns
    -------
    list of two tensors
        The new F, (n_items, k), and by how much the sum of its squares grew, a float64 scalar.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `csr_dot`; F is unchanged then.
    """
    return _add_csr_t_dot(F, alpha, data, indices, indptr, A)


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))  # no overflow warning for a large negative x


class _FusedOp(_CsrOp):
    """The masked autoencoder in one pass: output = low + span f(W g(V r + mu) + b)."""

    NONLINEARITIES = {  # name -> (value at x, derivative from the value)
        "linear": (lambda x: x, lambda y: np.ones_like(y)),
        "sigmoid": (_sigmoid, lambda y: y * (1 - y)),
        "tanh": (np.tanh, lambda y: 1 - y * y),
    }

    def set_function(self, f, g, low, span):
        for name in (f, g):
            if name not in self.NONLINEARITIES:
                raise ValueError("nonlinearity %r has no fused step; expected one of %s"
                                 % (name, ", ".join(sorted(self.NONLINEARITIES))))
        self.f, self.g, self.low, self.span = f, g, float(low), float(span)

    @staticmethod
    def parameters(W, V_t, mu, b, data, indices, indptr):
        W, V_t, mu, b, data = _float_tensors(W=(W, 2), V_t=(V_t, 2), mu=(mu, 1), b=(b, 1), data=(data, 1))
        return [W, V_t, mu, b], [data, _index_vector(indices, "indices"), _index_vector(indptr, "indptr")]

    def pass_through(self, W, V_t, mu, b, data, indices, indptr, c_W=1, c_V=1):
        """The squared error; the items in use; the gradients for their rows of W and V and entries of b, and for mu."""
        n_items, k = W.shape
        if k < 1 or V_t.shape != W.shape or len(mu) != k or len(b) != n_items:
            raise ValueError("W is %r, V's transpose %r, mu %r, b %r; expected (n_items, k), (n_items, k), (k,), (n_items,) with k at "
                             "least 1" % (W.shape, V_t.shape, mu.shape, b.shape))
        _check_csr(indices, indptr, len(indptr) - 1, n_items, len(data))
        (f, f_slope), (g, g_slope) = self.NONLINEARITIES[self.f], self.NONLINEARITIES[self.g]
        used, local = np.unique(indices, return_inverse=True)
        R = _csr(data, local.astype("int32"), indptr, len(used))
        H = g((R.dot(V_t[used]) * c_V + mu).astype(W.dtype))
        y = f((_sampled_dot(local, indptr, H, W[used]) * c_W + b[indices]).astype(W.dtype))
        e = self.low + self.span * y - data
        dS = _csr((2 * e * self.span * f_slope(y)).astype(W.dtype), R.indices, indptr, len(used))
        dA = (dS.dot(W[used]) * c_W * g_slope(H)).astype(W.dtype)
        gradients = [dS.T.dot(H), R.T.dot(dA), dA.sum(axis=0), np.asarray(dS.sum(axis=0)).ravel()]
        return (e.astype("float64") ** 2).sum(), used, gradients

    # The buffers live as long as the compiled function does: fresh ones would cost a page fault for every 4 KB.
    def c_support_code_struct(self, node, name):
        return "sparse_ae::Workspace workspace_%s;" % name

    def c_fused_call(self, function, node, name, inputs, outputs, sub):
        return """
        {
            PyArrayObject *in[] = {%(inputs)s}, **out[] = {%(outputs)s};
            if (sparse_ae::%(function)s%(low)r, %(span)r, workspace_%(name)s)) { %(fail)s }
        }""" % dict(function=function % ("<%s, sparse_ae::%s, sparse_ae::%s>" % (_C_TYPES[node.inputs[0].dtype], self.f.upper(), self.g.upper())),
                    inputs=", ".join(inputs), outputs=", ".join("&" + out for out in outputs), low=self.low, span=self.span, name=name,
                    fail=sub["fail"])


class SquaredError(_FusedOp):
    """The squared error of the masked autoencoder at the ratings of a CSR block, with its gradients from the same pass.

    ``sum (low + span f(W g(V r + mu) + b) - r)^2`` over the stored ratings.

    Parameters
    ----------
    f, g : {"linear", "sigmoid", "tanh"}
        Output and hidden nonlinearity.
    low, span : float
        Map f's value to the ratings' scale.

    Notes
    -----
    Inputs: W (n_items, k), V's transpose (n_items, k), mu (k,), b (n_items,), data, indices and indptr, all of one float dtype but for the
    indices. Outputs: the squared error, and its gradients for the first four, which `theano.grad` takes from there. A second derivative
    needs `csr_dot` and `sampled_dot`.
    """

    __props__ = ("f", "g", "low", "span")

    def __init__(self, f, g, low=0.0, span=1.0):
        self.set_function(f, g, low, span)

    def make_node(self, W, V_t, mu, b, data, indices, indptr):
        parameters, block = self.parameters(W, V_t, mu, b, data, indices, indptr)
        return gof.Apply(self, parameters + block, [T.scalar(dtype=parameters[0].dtype)] + [x.type() for x in parameters])

    def perform(self, node, inputs, outputs):
        squared_error, used, gradients = self.pass_through(*inputs)
        outputs[0][0] = np.asarray(squared_error, inputs[0].dtype)
        for x, gradient, output in zip(inputs, gradients, outputs[1:]):
            output[0] = np.zeros(x.shape, x.dtype)
            output[0][slice(None) if x is inputs[2] else used] = gradient

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("squared_error_op%s(in, out, ", node, name, inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return [()] + shapes[:4]

    def connection_pattern(self, node):
        return [[True] + [False] * 4] * 4 + [[False] * 5] * 3

    def grad(self, inputs, output_gradients):
        return [output_gradients[0] * gradient for gradient in self(*inputs)[1:]] + [DisconnectedType()() for _ in range(3)]


class SGDStep(_FusedOp, _UpdateOp):
    """One step of SGD on the masked autoencoder with L2 on all of W and V: encode, decode, errors, gradients and update in one pass.

    The cost is that of `SquaredError` plus ``l2_W |W|^2 + l2_V |V|^2``.

    The weight decay of the rows that no rating touches is kept as a factor: the W and V of the cost are ``c_W W`` and ``c_V V``. A
    step multiplies the factors by ``1 - 2 learning_rate l2`` and moves the rows in use by their gradient over the factor. This is
    exact: L. Bottou, Stochastic Gradient Descent Tricks, 2012, section 5.1. Whoever calls it multiplies a factor in before it gets small.

    Parameters
    ----------
    f, g, low, span : as in `SquaredError`

    Notes
    -----
    Inputs: W, V's transpose, mu and b as in `SquaredError`; state (4,) float64, holding c_W, c_V and the squared norms of ``c_W W`` and
    ``c_V V``; data, indices, indptr; learning_rate, l2_W, l2_V. Outputs: the first five, updated, and costs (2,) float64: the squared
    error and the whole cost, before the update.
    """

    __props__ = ("f", "g", "low", "span", "inplace")
    n_updated = 5

    def __init__(self, f, g, low=0.0, span=1.0, inplace=False):
        self.set_function(f, g, low, span)
        self.set_inplace(inplace)

    def in_place(self):
        return type(self)(self.f, self.g, self.low, self.span, inplace=True)

    def make_node(self, W, V_t, mu, b, state, data, indices, indptr, learning_rate, l2_W, l2_V):
        parameters, block = self.parameters(W, V_t, mu, b, data, indices, indptr)
        state = T.as_tensor_variable(state)
        if state.ndim != 1 or state.dtype != "float64":
            raise TypeError("state is a %d-d tensor of %s; expected a vector of float64" % (state.ndim, state.dtype))
        scalars = [T.as_tensor_variable(x) for x in (learning_rate, l2_W, l2_V)]
        if any(x.ndim for x in scalars):
            raise TypeError("learning_rate, l2_W and l2_V must be scalars")
        return gof.Apply(self, parameters + [state] + block + scalars, [x.type() for x in parameters + [state]] + [T.dvector()])

    def perform(self, node, inputs, outputs):
        data, indices, indptr, learning_rate, l2_W, l2_V = inputs[5:]
        c_W, c_V = inputs[4][:2]
        squared_error, used, gradients = self.pass_through(*inputs[:4] + [data, indices, indptr], c_W=c_W, c_V=c_V)
        if len(inputs[4]) != 4:
            raise ValueError("state has %d entries; expected 4" % len(inputs[4]))
        lr, l2 = float(learning_rate), np.array([l2_W, l2_V], "float64")
        factors = inputs[4][:2] * (1 - 2 * lr * l2)
        if not (factors > 0).all():
            raise ValueError("2 * learning_rate * l2 is not below 1: one step of weight decay would turn W or V around; lower the "
                             "learning rate or l2")
        W, V_t, mu, b, state = updated = self.targets(inputs)
        outputs[5][0] = np.array([squared_error, squared_error + l2.dot(state[2:])])
        for i, M in enumerate((W, V_t)):
            old = M[used]
            new = old - (lr / factors[i] * gradients[i]).astype(M.dtype)
            growth = (new.astype("float64") ** 2).sum() - (old.astype("float64") ** 2).sum()
            state[2 + i] = (state[2 + i] / state[i] ** 2 + growth) * factors[i] ** 2
            state[i] = factors[i]
            M[used] = new
        mu -= mu.dtype.type(lr) * gradients[2]
        b[used] -= b.dtype.type(lr) * gradients[3]
        for output, value in zip(outputs, updated):
            output[0] = value

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("sgd_step_op%%s(%d, in, out, " % self.inplace, node, name, inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return shapes[:5] + [(T.constant(2, dtype="int64"),)]


@gof.local_optimizer([AddCsrTDot, SGDStep])
def local_update_inplace(node):
    """Theano checks that nobody needs the old value, and takes the replacement back where somebody does."""
    if isinstance(node.op, _UpdateOp) and not node.op.inplace:
        return node.op.in_place()(*node.inputs, return_list=True)
    return False


theano.compile.optdb.register("sparse_ae_update_inplace",
                              T.opt.in2out(local_update_inplace, name="sparse_ae_update_inplace"), 60, "fast_run", "inplace")
