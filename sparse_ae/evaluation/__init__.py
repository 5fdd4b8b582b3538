"""Judging predictions and lists by held-out ratings: metrics, lists, plots. `metrics` never imports Theano."""
from sparse_ae.evaluation.rankings import evaluate_lists

__all__ = ["evaluate_lists"]
