"""Recommenders: from ratings with ids to predictions and recommendations with the same ids."""
import importlib

__all__ = ["NotFittedError", "Recommendations", "Recommender", "Shallow"]


def __getattr__(name):
    # Loaded when asked for: settings, files and searches need no Theano.
    if name in __all__:
        return getattr(importlib.import_module("sparse_ae.recommender.recommender"), name)
    raise AttributeError("module 'sparse_ae.recommender' has no attribute %r" % name)
