"""The sparse Ops, and what makes the dense graph fast."""
from sparse_ae.ops.csr import SGDStep, SquaredError, add_csr_t_dot, csr_dot, csr_t_dot, sampled_dot

__all__ = ["csr_dot", "csr_t_dot", "sampled_dot", "add_csr_t_dot", "SquaredError", "SGDStep"]
