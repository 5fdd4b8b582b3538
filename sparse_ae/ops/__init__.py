"""Sparse Ops for any graph, and rewrites that make dense graphs faster on a CPU: docs/explanation/ops.md."""
from sparse_ae.ops import rows, updates  # noqa: F401  (register their rewrites)
from sparse_ae.ops.csr import (  # noqa: F401  (item_major and made_item_major are for other packages)
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

__all__ = ["AdagradStep", "AdamStep", "SGDStep", "SparseAdamStep", "SquaredError", "SumOverRanks", "csr_dot",
           "csr_t_dot", "dense_rows", "fast_mode", "sampled_dot", "squared_outputs", "stored_arrays",
           "with_values"]


def register_for_gpu():
    """Register the rewrites for a GPU if one is in use; called often, since `theano.gpuarray.use` may come late."""
    if on_gpu():
        from sparse_ae.ops.gpu import lifts  # noqa: F401  (registers its rewrites)


register_for_gpu()  # now, for graphs from a pickle
before_nodes.append(register_for_gpu)
