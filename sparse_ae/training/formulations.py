"""One function, three graphs: the post's scan, a dense masked graph, and a sparse one.

All three have the parameters, the loss, the gradients and the updates of `model.AutoEncoder`. They differ in what they
cost for a batch of B rows with nnz ratings:

==========  ==========================  =======================================================================
`scan`      O(B n_items k)              the post's graph; takes dense rows in which 0 means missing
`dense`     O(B n_items k), in BLAS     an explicit mask; the rows are filled in where the graph runs
`sparse`    O(nnz k)                    the Ops of `ops`
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

import scipy.sparse as sp

from sparse_ae.data import batches
from sparse_ae.ops import SquaredError, csr_arrays, dense_rows, nonlinearities, sampled_dot
from sparse_ae.runtime.device import on_gpu, warn_of_unused_gpu
from sparse_ae.training.objectives import (
    MOST_SHIFTED,
    error_beyond_missing,
    error_everywhere,
    masked_error,
    shifted_error,
)
import lasagne
import theano.tensor as T

__all__ = ["FORMULATIONS", "Formulation", "choose_formulation", "fused_settings", "get_formulation"]

# inputs(dtype, target=False, seen=False): symbolic variables; those for the target and what is seen come last.
# squared_error(model, *inputs): a scalar. counts(model, *inputs): a vector of the model's dtype, (n_items,).
# pack(block, dtype, target=None, seen=None): the inputs' values; the latter two have one for each entry of the block.
Formulation = namedtuple("Formulation", "name inputs squared_error counts pack check")


def fused_settings(model):
    """The first arguments of the fused Ops for a model; None where they can't serve it."""
    ranks = None if model.ranks.size == 1 else model.ranks
    f, g = nonlinearities.find(model.f), nonlinearities.find(model.g)
    if f is None or g is None:
        return None
    if ranks is not None and on_gpu():
        return None  # those of a GPU have no place where to add up
    return (f.name, g.name, *model.output_map(), ranks)


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
    rating = batches.dense_rows(block, dtype=dtype) if seen is None else _dense(block, block.data, dtype)
    return (rating,) + tuple(_dense(block, data, dtype) for data in (target, seen) if data is not None)


def _dense(block, data, dtype):
    """The block's entries with other values, as dense rows."""
    return sp.csr_matrix((data, block.indices, block.indptr), shape=block.shape).toarray().astype(dtype, copy=False)


def _csr_inputs(dtype, target=False, seen=False):
    return ([T.vector("data", dtype), T.ivector("indices"), T.ivector("indptr")]
            + _extras(T.vector, dtype, target, seen))


def _csr_counts(model, data, indices, indptr, target=None, seen=None):
    # Theano's bincount asks for the greatest index, and a block without ratings has none.
    return T.inc_subtensor(T.zeros((model.n_items,), "int32")[indices], 1).astype(model.dtype)


def _csr_pack(block, dtype, target=None, seen=None):
    return csr_arrays(block, dtype) + tuple(x.astype(dtype, copy=False) for x in (target, seen) if x is not None)


def _dense_squared_error(model, data, indices, indptr, target=None, seen=None):
    def rows(values):
        return dense_rows(values, indices, indptr, model.n_items)

    rating, mask = rows(data), rows(T.ones_like(indices, dtype="int8"))
    target = rating if target is None else rows(target)
    # Dots with V.T and W.T rather than with transposed ratings: the gradients then come in the memory order of V and W.
    weighted = T.dot(rating, model.V.T)
    h = model.hidden_activation(weighted if seen is None else weighted + T.dot(rows(seen), model.U.T))
    output = model.output_activation(T.dot(h, model.W.T) + model.b)
    return masked_error(output, target, mask, model)


def _sparse_squared_error(model, data, indices, indptr, target=None, seen=None):
    target = data if target is None else target
    fused = fused_settings(model) if model.missing_weight <= MOST_SHIFTED else None

    def squared_error(target):
        error = SquaredError(*fused)
        return error(model.W, model.V.T, model.mu, model.b, data, indices, indptr, target=target,
                     U_t=None if seen is None else model.U.T, seen=seen)[0]

    if fused and not model.missing_weight:
        return squared_error(target)
    weighted = model.weighted(data, indices, indptr, seen)
    if fused:
        error = shifted_error(squared_error, target, model)
        return error + error_everywhere(model.hidden_activation(weighted, after=error), model)
    h = model.hidden_activation(weighted)
    output = model.output_activation(sampled_dot(indices, indptr, h, model.W) + model.b[indices])
    if not model.missing_weight:
        return T.sum((output - target) ** 2)
    return error_beyond_missing(output, target, model) + error_everywhere(h, model)


def _anything(ratings):
    pass


FORMULATIONS = OrderedDict((formulation.name, formulation) for formulation in [
    Formulation("scan", _scan_inputs, _scan_squared_error, _scan_counts, _scan_pack, batches.refuse_stored_zeros),
    Formulation("dense", _csr_inputs, _dense_squared_error, _csr_counts, _csr_pack, _anything),
    Formulation("sparse", _csr_inputs, _sparse_squared_error, _csr_counts, _csr_pack, _anything),
])

# The density of ratings from which the dense graph is the faster one on a CPU; examples/benchmark.py --density measures
# it.
DENSE_FROM = 0.5
# On a GPU, by what the two have to do for a mini-batch of B rows with a share d of ratings. The dense graph multiplies
# matrices: 8 B n_items k operations, forward and back. The sparse one reads rows of V and W, and of hidden units for
# their gradients: 16 d B n_items k bytes. V100, A100 and H100 alike do 13 to 20 operations on float32, without tensor
# cores, in the time that a byte takes to read, so that the two are even where d is 1/40 to 1/26. No card has confirmed
# it yet.
DENSE_FROM_ON_GPU = 0.03


def choose_formulation(density, model):
    """What ``formulation="auto"`` stands for: "dense" for dense ratings and where it must be, else "sparse".

    Parameters
    ----------
    density : float
        Ratings as a fraction of the matrix; `DENSE_FROM` and more are dense, on a GPU `DENSE_FROM_ON_GPU` and more.
    model : AutoEncoder
    """
    dense = density >= (DENSE_FROM_ON_GPU if on_gpu() else DENSE_FROM)
    return "dense" if dense or not _has_sparse_cost(model) else "sparse"


def get_formulation(name, model):
    """The formulation of that name; ValueError if there is none, or it can't serve the model."""
    if not isinstance(name, str) or name not in FORMULATIONS:
        raise ValueError("formulation is %r; expected one of %s or 'auto'"
                         % (name, ", ".join(map(repr, FORMULATIONS))))
    warn_of_unused_gpu()
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
