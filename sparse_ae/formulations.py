"""One function, three graphs: the post's scan, a dense masked graph, and a sparse one.

All three have the parameters, the loss, the gradients and the updates of `model.AutoEncoder`. They differ in what they
cost for a batch of B rows with nnz ratings, and in where they run:

==========  ==========================  =======================================================================
`scan`      O(B n_items k)              the post's graph; takes dense rows in which 0 means missing
`dense`     O(B n_items k), in BLAS     an explicit mask; CPU, and CUDA through Theano's gpuarray backend as it is
`sparse`    O(nnz k)                    the Ops of `ops`; CPU
==========  ==========================  =======================================================================

A formulation is pure pieces: symbolic inputs, the squared error as a graph of them, `pack`, which turns a CSR block of
rows into the arrays that the compiled function takes, `counts`, how many of its ratings each item has, and `check`,
which raises for ratings that it can't take. A stored 0 is an observed rating for `dense` and `sparse`; `scan` refuses
it.

What the decoder is to give may differ from what the encoder sees: a *target* beside the ratings, at the same entries.
And a model with a second encoder U takes a second input there, `seen`, which is 0 nowhere.

Where missing entries count, `scan` and `dense` have all outputs, and sum over both kinds; `sparse` has those of
observed entries only, and the others by way of W'W: see `objectives`.
"""
from collections import OrderedDict, namedtuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.data.batches import dense_rows, refuse_stored_zeros
from sparse_ae.objectives import MOST_SHIFTED, error_beyond_missing, error_everywhere, masked_error, shifted_error
from sparse_ae.ops import SquaredError, csr_arrays, sampled_dot
import lasagne
import theano
import theano.tensor as T

__all__ = ["FORMULATIONS", "Formulation", "choose_formulation", "fused_names", "get_formulation"]

# The nonlinearities that the fused Ops know.
_FUSED = {lasagne.nonlinearities.linear: "linear", lasagne.nonlinearities.sigmoid: "sigmoid",
          lasagne.nonlinearities.tanh: "tanh"}

# inputs(dtype, target=False, seen=False): symbolic variables; those for the target and what is seen come last.
# squared_error(model, *inputs): a scalar. counts(model, *inputs): a vector of the model's dtype, (n_items,).
# pack(block, dtype, target=None, seen=None): the inputs' values; the latter two have one for each entry of the block.
Formulation = namedtuple("Formulation", "name inputs squared_error counts pack check")


def fused_names(model):
    """What the fused Ops call a model's f and g; None and None where they can't serve it.

    Their one pass has no place where several processes could add up what goes into the hidden units.
    """
    names = _FUSED.get(model.f), _FUSED.get(model.g)
    return names if all(names) and model.ranks.size == 1 else (None, None)


def _extras(make, dtype, target, seen):
    return [make(name, dtype) for name, wanted in (("target", target), ("seen", seen)) if wanted]


def _scan_inputs(dtype, target=False, seen=False):
    return [T.matrix("rating", dtype)] + _extras(T.matrix, dtype, target, seen)


def _scan_squared_error(model, rating, target=None, seen=None):
    wanted = rating if target is None else target
    if model.missing_weight:
        observed = T.neq(rating if seen is None else seen, 0)
        return masked_error(model.scan(rating, seen, everywhere=True), wanted, observed, model)
    return T.sum((model.scan(rating, seen) - wanted) ** 2)


def _scan_counts(model, rating, target=None, seen=None):
    return T.sum(T.neq(rating if seen is None else seen, 0), axis=0, dtype=model.dtype)


def _scan_pack(block, dtype, target=None, seen=None):
    # Where something is seen, it is what tells a rating from a missing one.
    rating = dense_rows(block, dtype=dtype) if seen is None else _dense(block, block.data, dtype)
    return (rating,) + _dense_extras(block, dtype, target, seen)


def _dense_extras(block, dtype, target, seen):
    return tuple(_dense(block, data, dtype) for data in (target, seen) if data is not None)


def _dense(block, data, dtype):
    """The block's entries with other values, as dense rows."""
    return sp.csr_matrix((data, block.indices, block.indptr), shape=block.shape).toarray().astype(dtype, copy=False)


def _dense_inputs(dtype, target=False, seen=False):
    return [T.matrix("rating", dtype), T.matrix("mask", dtype)] + _extras(T.matrix, dtype, target, seen)


def _dense_squared_error(model, rating, mask, target=None, seen=None):
    # Dots with V.T and W.T rather than with transposed ratings: the gradients then come in the memory order of V and W.
    weighted = T.dot(rating, model.V.T)
    h = model.hidden_activation(weighted if seen is None else weighted + T.dot(seen, model.U.T))
    output = model.output_activation(T.dot(h, model.W.T) + model.b)
    return masked_error(output, rating if target is None else target, mask, model)


def _dense_counts(model, rating, mask, target=None, seen=None):
    return T.sum(mask, axis=0)


def _dense_pack(block, dtype, target=None, seen=None):
    pair = _dense(block, block.data, dtype), _dense(block, np.ones_like(block.data), dtype)
    return pair + _dense_extras(block, dtype, target, seen)


def _sparse_inputs(dtype, target=False, seen=False):
    return ([T.vector("data", dtype), T.ivector("indices"), T.ivector("indptr")]
            + _extras(T.vector, dtype, target, seen))


def _sparse_squared_error(model, data, indices, indptr, target=None, seen=None):
    target = data if target is None else target
    f, g = fused_names(model)
    fused = f and g and model.missing_weight <= MOST_SHIFTED

    def squared_error(target):
        error = SquaredError(f, g, *model.output_map())
        return error(model.W, model.V.T, model.mu, model.b, data, indices, indptr, target=target,
                     U_t=None if seen is None else model.U.T, seen=seen)[0]

    if fused and not model.missing_weight:
        return squared_error(target)
    h = model.hidden_activation(model.weighted(data, indices, indptr, seen))
    if fused:
        return shifted_error(squared_error, target, model) + error_everywhere(h, model)
    output = model.output_activation(sampled_dot(indices, indptr, h, model.W) + model.b[indices])
    if not model.missing_weight:
        return T.sum((output - target) ** 2)
    return error_beyond_missing(output, target, model) + error_everywhere(h, model)


def _sparse_counts(model, data, indices, indptr, target=None, seen=None):
    return T.extra_ops.bincount(indices, minlength=model.n_items).astype(model.dtype)


def _sparse_pack(block, dtype, target=None, seen=None):
    return csr_arrays(block, dtype) + tuple(x.astype(dtype, copy=False) for x in (target, seen) if x is not None)


def _anything(ratings):
    pass


FORMULATIONS = OrderedDict((formulation.name, formulation) for formulation in [
    Formulation("scan", _scan_inputs, _scan_squared_error, _scan_counts, _scan_pack, refuse_stored_zeros),
    Formulation("dense", _dense_inputs, _dense_squared_error, _dense_counts, _dense_pack, _anything),
    Formulation("sparse", _sparse_inputs, _sparse_squared_error, _sparse_counts, _sparse_pack, _anything),
])

# The density of ratings from which the dense graph is the faster one on a CPU; examples/benchmark.py --density measures
# it.
DENSE_FROM = 0.5


def choose_formulation(density, model):
    """What ``formulation="auto"`` stands for: "dense" on a GPU, for dense ratings and where it must be, else "sparse".

    Parameters
    ----------
    density : float
        Ratings as a fraction of the matrix; `DENSE_FROM` and more are dense.
    model : AutoEncoder
    """
    return "dense" if _on_gpu() or density >= DENSE_FROM or not _has_sparse_cost(model) else "sparse"


def get_formulation(name, model):
    """The formulation of that name; ValueError if there is none, or it can't serve the model or Theano's device."""
    if not isinstance(name, str) or name not in FORMULATIONS:
        raise ValueError("formulation is %r; expected one of %s or 'auto'"
                         % (name, ", ".join(map(repr, FORMULATIONS))))
    if name == "sparse" and _on_gpu():
        raise ValueError("formulation='sparse' runs on the CPU only and Theano's device is %s; use formulation='dense'"
                         % theano.config.device)
    if name == "sparse" and not _has_sparse_cost(model):
        raise ValueError("formulation='sparse' with missing_weight=%g and f=%s: the sum over missing entries follows "
                         "the ratings' number for a linear f alone; use f='identity', or formulation='dense', which "
                         "computes every output" % (model.missing_weight, getattr(model.f, "__name__", model.f)))
    if name == "scan" and model.ranks.size > 1:
        raise ValueError("formulation='scan' and %d ranks: it computes hidden units a row at a time, and each row's "
                         "would be a sum over ranks; use formulation='sparse' or 'dense'" % model.ranks.size)
    return FORMULATIONS[name]


def _has_sparse_cost(model):
    return not model.missing_weight or model.f is lasagne.nonlinearities.linear


def _on_gpu():
    return theano.config.device != "cpu" or theano.config.init_gpu_device != ""
