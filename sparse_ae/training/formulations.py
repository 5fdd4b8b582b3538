"""One cost, three graphs: the post's `scan` over dense rows, a `dense` masked graph, and a `sparse` one, in O(nnz k).
docs/tutorial/post.md has a table of them. `scan` is for one encoder, observed entries, and none that is a stored 0."""
from collections import OrderedDict
from typing import Any, NamedTuple

from sparse_ae.checks import check_choice
from sparse_ae.data import batches
from sparse_ae.ops import dense_rows
from sparse_ae.ops.op import check_csr, csr_matrix
from sparse_ae.runtime.device import on_gpu, warn_of_unused_gpu
from sparse_ae.training.batch import CHANNELS, Batch
from sparse_ae.training.objectives import Observed
import theano.tensor as T

__all__ = ["FORMULATIONS", "Entries", "Formulation", "choose_formulation", "get_formulation"]


class Entries(NamedTuple):
    """Outputs and their targets.

    Attributes
    ----------
    output, target : vectors, (nnz,), of observed entries; or matrices, (n_rows, n_columns), of all
    observed : matrix of bool or int8, (n_rows, n_columns), or None
        Not 0 where there is an entry; None where all of `output` are.
    h : matrix, (n_rows, k), or None
        Hidden units, where the formulation has them.
    """

    output: Any
    target: Any
    observed: Any = None
    h: Any = None

    @property
    def difference(self):
        """Outputs less targets; 0 where nothing is observed."""
        # A switch, not a product: 0 times an infinite output is no 0.
        beyond = self.output - self.target
        return beyond if self.observed is None else T.switch(self.observed, beyond, 0)

    def total(self, cost):
        """The sum over observed entries of ``cost(output, target)``, which works element by element."""
        if self.observed is None:
            return T.sum(cost(self.output, self.target))
        # Twice, for the cost's gradient may be infinite where its value isn't asked for.
        output = T.switch(self.observed, self.output, self.target)
        return T.sum(T.switch(self.observed, cost(output, self.target), 0))


class Formulation:
    """One of the graphs, in pure pieces; this is the sparse one. `name` is its name in `FORMULATIONS`."""

    name = "sparse"

    def inputs(self, channels, dtype):
        """Make a `Batch` of symbolic variables, with those of `CHANNELS` that are named."""
        return Batch(T.vector("data", dtype), T.ivector("indices"), T.ivector("indptr"),
                     **_channels(T.vector, channels, dtype))

    def entries(self, model, batch):
        """Build the graph of the model's outputs and their targets, an `Entries`."""
        h = model.encode(batch, deterministic=False)
        return Entries(model.decode(h, batch), batch.wanted, None, h)

    def item_counts(self, model, batch):
        """Build the graph of how many of its ratings each column has, (n_columns,), of the model's dtype."""
        # Theano's bincount asks for the greatest index, and a block without ratings has none.
        return T.inc_subtensor(T.zeros((model.n_columns,), "int32")[batch.indices], 1).astype(model.dtype)

    def pack(self, batch, model):
        """List the arrays of a `Batch` of CSR as the compiled function takes them."""
        return batch.csr_arrays(model.dtype)

    def check(self, ratings):
        """Raise ValueError for ratings that it can't take."""

    def check_model(self, model):
        """Raise ValueError for a model that it can't serve."""


class _Dense(Formulation):
    name = "dense"

    def entries(self, model, batch):
        def rows(values):
            return dense_rows(values, batch.indices, batch.indptr, model.n_columns)

        laid_out = batch.map(rows)._replace(indices=None, indptr=None)
        h = model.encode(batch if model.reads_entries else laid_out, deterministic=False)
        return Entries(model.decode(h), laid_out.wanted, rows(T.ones_like(batch.indices, dtype="int8")), h)


class _Scan(Formulation):
    name = "scan"

    def inputs(self, channels, dtype):
        return Batch(T.matrix("rating", dtype), **_channels(T.matrix, channels, dtype))

    def entries(self, model, batch):
        return Entries(model.scan(batch.data), batch.wanted, T.neq(batch.data, 0))

    def item_counts(self, model, batch):
        return T.sum(T.neq(batch.data, 0), axis=0, dtype=model.dtype)

    def pack(self, batch, model):
        def matrix(data):
            check_csr(batch.indices, batch.indptr, len(batch.indptr) - 1, model.n_columns, len(data))
            return csr_matrix(data, batch.indices, batch.indptr, model.n_columns)

        batches.refuse_stored_zeros(matrix(batch.data))
        rows = batch.map(lambda data: matrix(data).toarray().astype(model.dtype, copy=False))
        return rows._replace(indices=None, indptr=None).present

    def check(self, ratings):
        batches.refuse_stored_zeros(ratings)

    def check_model(self, model):
        if model.scan is None or model.channels:
            found = ("of one encoder, and the model reads %s beside the ratings" % " and ".join(model.channels)
                     if model.scan else "for an AutoEncoder, and the model is %s" % type(model).__name__)
            raise ValueError("formulation='scan' is the post's graph, %s; use formulation='sparse' or 'dense'" % found)
        model.ranks.check_alone("formulation='scan'", "formulation='sparse' or 'dense'")


def _channels(make, channels, dtype):
    return {name: make(name, dtype) for name in CHANNELS if name in channels}


#: The formulations, by name, in the order of their age: scan, dense, sparse.
FORMULATIONS = OrderedDict((formulation.name, formulation) for formulation in [_Scan(), _Dense(), Formulation()])

# The density of ratings from which the dense graph is faster on a GPU, by calculation: it has 8 B n k operations, the
# sparse one reads 16 d B n k bytes at a density d, and cards do 13 to 20 operations on float32 in the time of a byte.
DENSE_FROM_ON_GPU = 0.03


def choose_formulation(density, model, objective=Observed()):
    """Choose the formulation for "auto": "dense" on a GPU for this density of ratings, and where it is necessary."""
    dense = on_gpu() and density >= DENSE_FROM_ON_GPU
    return "dense" if dense or objective.refusal(model, "sparse") else "sparse"


def get_formulation(name, model, objective=Observed()):
    """The formulation of that name; ValueError if there is none, or it can't serve the model and the objective."""
    check_choice(name, "formulation", FORMULATIONS)
    warn_of_unused_gpu()
    FORMULATIONS[name].check_model(model)
    refusal = objective.refusal(model, name)
    if refusal:
        raise ValueError(refusal)
    return FORMULATIONS[name]
