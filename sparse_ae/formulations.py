"""One function, three graphs: the post's scan, a dense masked graph, and a sparse one.

All three have the parameters, the loss, the gradients and the updates of `model.AutoEncoder`. They differ in what they
cost for a batch of B rows with nnz ratings, and in where they run:

==========  ==========================  =======================================================================
`scan`      O(B n_items k)              the post's graph; takes dense rows in which 0 means missing
`dense`     O(B n_items k), in BLAS     an explicit mask; CPU, and CUDA through Theano's gpuarray backend as it is
`sparse`    O(nnz k)                    the Ops of `ops`; CPU
==========  ==========================  =======================================================================

A formulation is pure pieces: symbolic inputs, the squared error as a graph of them, `pack`, which turns a CSR block of
rows into the arrays that the compiled function takes, and `check`, which raises for ratings that it can't take. A
stored 0 is an observed rating for `dense` and `sparse`; `scan` refuses it.
"""
from collections import OrderedDict, namedtuple

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import lasagne
import numpy as np
import scipy.sparse as sp
import theano
import theano.tensor as T

from sparse_ae.data.batches import dense_rows, refuse_stored_zeros
from sparse_ae.ops import SquaredError, csr_arrays, csr_dot, sampled_dot

__all__ = ["FORMULATIONS", "Formulation", "choose_formulation", "fused_name", "get_formulation"]

# The nonlinearities that the fused Ops know.
_FUSED = {lasagne.nonlinearities.linear: "linear", lasagne.nonlinearities.sigmoid: "sigmoid",
          lasagne.nonlinearities.tanh: "tanh"}

# inputs(dtype): symbolic variables. squared_error(model, *inputs): a graph. pack(block, dtype): their values.
Formulation = namedtuple("Formulation", "name inputs squared_error pack check")


def fused_name(nonlinearity):
    """What the fused Ops call a nonlinearity; None for one that they don't know."""
    return _FUSED.get(nonlinearity)


def _scan_inputs(dtype):
    return [T.matrix("rating", dtype)]


def _scan_squared_error(model, rating):
    scan_res = model.scan(rating)
    return T.sum((scan_res - rating) ** 2)


def _scan_pack(block, dtype):
    return dense_rows(block, dtype=dtype),


def _dense_inputs(dtype):
    return [T.matrix("rating", dtype), T.matrix("mask", dtype)]


def _dense_squared_error(model, rating, mask):
    # Dots with V.T and W.T rather than with transposed ratings: the gradients then come in the memory order of V and W.
    h = model.hidden_activation(T.dot(rating, model.V.T))
    error = model.output_activation(T.dot(h, model.W.T) + model.b) - rating
    # A switch, not a product: 0 times an infinite output is no 0.
    return T.sum(T.switch(mask, error, 0) ** 2)


def _dense_pack(block, dtype):
    mask = sp.csr_matrix((np.ones_like(block.data), block.indices, block.indptr), shape=block.shape)
    return tuple(x.toarray().astype(dtype, copy=False) for x in (block, mask))


def _sparse_inputs(dtype):
    return [T.vector("data", dtype), T.ivector("indices"), T.ivector("indptr")]


def _sparse_squared_error(model, data, indices, indptr):
    f, g = fused_name(model.f), fused_name(model.g)
    if f and g:
        error = SquaredError(f, g, *model.output_map())
        return error(model.W, model.V.T, model.mu, model.b, data, indices, indptr)[0]
    h = model.hidden_activation(csr_dot(data, indices, indptr, model.V.T))
    output = model.output_activation(sampled_dot(indices, indptr, h, model.W) + model.b[indices])
    return T.sum((output - data) ** 2)


def _anything(ratings):
    pass


FORMULATIONS = OrderedDict((formulation.name, formulation) for formulation in [
    Formulation("scan", _scan_inputs, _scan_squared_error, _scan_pack, refuse_stored_zeros),
    Formulation("dense", _dense_inputs, _dense_squared_error, _dense_pack, _anything),
    Formulation("sparse", _sparse_inputs, _sparse_squared_error, csr_arrays, _anything),
])

# The density of ratings from which the dense graph is the faster one on a CPU; examples/benchmark.py --density measures
# it.
DENSE_FROM = 0.5


def choose_formulation(density):
    """What ``formulation="auto"`` stands for: "dense" on a GPU and for dense ratings, else "sparse".

    Parameters
    ----------
    density : float
        Ratings as a fraction of the matrix; `DENSE_FROM` and more are dense.
    """
    return "dense" if _on_gpu() or density >= DENSE_FROM else "sparse"


def get_formulation(name):
    """The formulation of that name; ValueError if there is none, or it doesn't run on Theano's device."""
    if name not in FORMULATIONS:
        raise ValueError("formulation is %r; expected one of %s or 'auto'"
                         % (name, ", ".join(map(repr, FORMULATIONS))))
    if name == "sparse" and _on_gpu():
        raise ValueError("formulation='sparse' runs on the CPU only and Theano's device is %s; use formulation='dense'"
                         % theano.config.device)
    return FORMULATIONS[name]


def _on_gpu():
    return theano.config.device != "cpu" or theano.config.init_gpu_device != ""
