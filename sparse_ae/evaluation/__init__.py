"""Evaluation of predictions and rankings on held-out ratings: metrics, protocol, plots. Nothing needs Theano."""
from sparse_ae.evaluation.rankings import compare_lists, evaluate_lists

__all__ = ["compare_lists", "evaluate_lists"]
