"""Sparse Ops, for any graph; and rewrites that make dense graphs fast on a CPU.

The three products and their gradients: `csr_dot`, `sampled_dot`, `csr_t_dot`; see `csr`. The masked autoencoder in one
pass over the ratings: `SquaredError`, `SGDStep`, `AdagradStep`, `SparseAdamStep`, `AdamStep`; see `fused`. The sum of
squares of all outputs, for missing entries, without computing the outputs: `squared_outputs`; see `everywhere`. Ordered
levels from scores: see `ordinal`. `stored_arrays` brings a Theano sparse variable to them, `item_major` a shared
variable into the memory order that they work fastest in. Plain SGD and Adagrad along the products' gradients write only
the rows in use, in any function; see `rows`. Functions that hold one of these Ops run Adam and the like in one pass
over each parameter; see `updates` and `rewrites`.
"""
from sparse_ae.ops import rows, updates  # noqa: F401  (register their rewrites)
from sparse_ae.ops.csr import (  # noqa: F401  (item_major and made_item_major are for the other rooms)
    add_csr_t_dot,
    csr_dot,
    csr_t_dot,
    dense_rows,
    item_major,
    made_item_major,
    sampled_dot,
)
from sparse_ae.ops.everywhere import squared_outputs
from sparse_ae.ops.fused import AdagradStep, AdamStep, SGDStep, SparseAdamStep, SquaredError
from sparse_ae.ops.op import before_nodes
from sparse_ae.ops.rewrites import fast_mode
from sparse_ae.ops.stored import stored_arrays, with_values
from sparse_ae.ranks.sums import SumOverRanks
from sparse_ae.runtime.device import on_gpu

__all__ = ["AdagradStep", "AdamStep", "SGDStep", "SparseAdamStep", "SquaredError", "SumOverRanks", "add_csr_t_dot",
           "csr_dot", "csr_t_dot", "dense_rows", "fast_mode", "sampled_dot", "squared_outputs", "stored_arrays",
           "with_values"]


def register_for_gpu():
    """Register the rewrites for a GPU, where one is in use; called often, since `theano.gpuarray.use` may come late."""
    if on_gpu():
        from sparse_ae.ops.gpu import lifts  # noqa: F401  (registers its rewrites)


register_for_gpu()  # now, for graphs that come out of a pickle
before_nodes.append(register_for_gpu)
