"""One function, three graphs: the post's scan, a dense masked graph, and a sparse one.

All three have the parameters, the loss, the gradients and the updates of `model.AutoEncoder`. They differ in what they
cost for a batch of B rows with nnz ratings:

==========  ==========================  =======================================================================
`scan`      O(B n_items k)              the post's graph; takes dense rows in which 0 means missing
`dense`     O(B n_items k), in BLAS     an explicit mask; the rows are filled in where the graph runs
`sparse`    O(nnz k)                    the Ops of `ops`
==========  ==========================  =======================================================================

A formulation is pure pieces: symbolic inputs, a `Batch` of them; the squared error as its graph; `pack`, which makes
of a Batch of CSR arrays those that the compiled function takes; `item_counts`, how many of its ratings each item has;
and `check`, which raises for ratings that it can't take with these channels. A stored 0 is an observed rating for
`dense` and `sparse`; `scan` refuses it.

What the decoder is to give may differ from what the encoder sees: a *target* beside the ratings, at the same entries.
And a model with a second encoder U takes a second input there, the *indicator*, which is 0 nowhere.

Where missing entries count, `scan` and `dense` have all outputs, and sum over both kinds; `sparse` has those of
observed entries only, and the others by way of W'W: see `objectives`.
"""
from collections import OrderedDict, namedtuple

import scipy.sparse as sp

from sparse_ae.data import batches
from sparse_ae.ops import SquaredError, dense_rows, nonlinearities, sampled_dot
from sparse_ae.runtime.device import on_gpu, warn_of_unused_gpu
from sparse_ae.training.batch import CHANNELS, Batch
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

# inputs(channels, dtype): a Batch of symbolic variables, with those of CHANNELS that are named.
# cost(model, batch): the squared error, a scalar. item_counts(model, batch): a vector of the model's dtype, (n_items,).
# pack(batch, model): the arrays of a Batch of CSR as the compiled function takes them.
Formulation = namedtuple("Formulation", "name inputs cost item_counts pack check")


def fused_settings(model):
    """The first arguments of the fused Ops for a model; None where they can't serve it."""
    ranks = None if model.ranks.size == 1 else model.ranks
    f, g = nonlinearities.find(model.f), nonlinearities.find(model.g)
    if f is None or g is None:
        return None
    if ranks is not None and on_gpu():
        return None  # those of a GPU have no place where to add up
    return (f.name, g.name, *model.output_map(), ranks)


def _channels(make, channels, dtype):
    return {name: make(name, dtype) for name in CHANNELS if name in channels}


def _scan_inputs(channels, dtype):
    return Batch(T.matrix("rating", dtype), **_channels(T.matrix, channels, dtype))


def _scan_cost(model, batch):
    rating, seen = batch.data, batch.indicator
    if model.missing_weight:
        observed = T.neq(rating if seen is None else seen, 0)
        return masked_error(model.scan(rating, seen, everywhere=True), batch.wanted, observed, model)
    return T.sum((model.scan(rating, seen) - batch.wanted) ** 2)


def _scan_item_counts(model, batch):
    observed = batch.data if batch.indicator is None else batch.indicator
    return T.sum(T.neq(observed, 0), axis=0, dtype=model.dtype)


def _scan_pack(batch, model):
    shape = len(batch.indptr) - 1, model.n_items

    def rows(data):
        return sp.csr_matrix((data, batch.indices, batch.indptr), shape=shape).toarray().astype(model.dtype, copy=False)

    if batch.indicator is None:  # else it is what tells a rating from a missing one
        batches.refuse_stored_zeros(sp.csr_matrix((batch.data, batch.indices, batch.indptr), shape=shape))
    return batch.map(rows)._replace(indices=None, indptr=None).present


def _csr_inputs(channels, dtype):
    return Batch(T.vector("data", dtype), T.ivector("indices"), T.ivector("indptr"),
                 **_channels(T.vector, channels, dtype))


def _csr_item_counts(model, batch):
    # Theano's bincount asks for the greatest index, and a block without ratings has none.
    return T.inc_subtensor(T.zeros((model.n_items,), "int32")[batch.indices], 1).astype(model.dtype)


def _csr_pack(batch, model):
    return batch.as_csr(model.dtype).present


def _dense_cost(model, batch):
    def rows(values):
        return dense_rows(values, batch.indices, batch.indptr, model.n_items)

    rating, mask = rows(batch.data), rows(T.ones_like(batch.indices, dtype="int8"))
    target = rating if batch.target is None else rows(batch.target)
    # Dots with V.T and W.T rather than with transposed ratings: the gradients then come in the memory order of V and W.
    weighted = T.dot(rating, model.V.T)
    h = model.hidden_activation(weighted if batch.indicator is None
                                else weighted + T.dot(rows(batch.indicator), model.U.T))
    output = model.output_activation(T.dot(h, model.W.T) + model.b)
    return masked_error(output, target, mask, model)


def _sparse_cost(model, batch):
    data, indices, indptr = batch[:3]
    fused = fused_settings(model) if model.missing_weight <= MOST_SHIFTED else None

    def squared_error(target):
        error = SquaredError(*fused)
        return error(model.W, model.V.T, model.mu, model.b, data, indices, indptr, target=target,
                     U_t=None if batch.indicator is None else model.U.T, indicator=batch.indicator)[0]

    if fused and not model.missing_weight:
        return squared_error(batch.wanted)
    weighted = model.weighted(data, indices, indptr, batch.indicator)
    if fused:
        error = shifted_error(squared_error, batch.wanted, model)
        return error + error_everywhere(model.hidden_activation(weighted, after=error), model)
    h = model.hidden_activation(weighted)
    output = model.output_activation(sampled_dot(indices, indptr, h, model.W) + model.b[indices])
    if not model.missing_weight:
        return T.sum((output - batch.wanted) ** 2)
    return error_beyond_missing(output, batch.wanted, model) + error_everywhere(h, model)


def _scan_check(ratings, channels):
    if "indicator" not in channels:
        batches.refuse_stored_zeros(ratings)


def _anything(ratings, channels):
    pass


FORMULATIONS = OrderedDict((formulation.name, formulation) for formulation in [
    Formulation("scan", _scan_inputs, _scan_cost, _scan_item_counts, _scan_pack, _scan_check),
    Formulation("dense", _csr_inputs, _dense_cost, _csr_item_counts, _csr_pack, _anything),
    Formulation("sparse", _csr_inputs, _sparse_cost, _csr_item_counts, _csr_pack, _anything),
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
