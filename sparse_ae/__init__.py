"""Recommendations from ratings, orders or clicks, and sparse-input layers, on the real Theano and Lasagne.

The input of the networks is sparse, not their activations; `AutoEncoder` has the model's formula.

>>> import sparse_ae
>>> ratings = sparse_ae.load_ratings("ratings.csv")            # doctest: +SKIP

Importing the package is quick and loads no Theano: a module is loaded when one of its names is first asked for. From
the import on, ``import theano`` and ``import lasagne`` work on the Pythons and NumPys that
:mod:`sparse_ae.theano_compat` names. ``python -m sparse_ae`` says what runs here.

Docstrings name pages of the documentation, such as docs/explanation/biases.md, by their paths in the repository.
"""

import importlib
import pkgutil
import sys

from sparse_ae import theano_compat
from sparse_ae.moved import OldModules

__version__ = "2.0.0"

sys.meta_path.append(OldModules)

_HOMES = {
    "AutoEncoder": "model",
    "Trainer": "trainer",
    "Recommender": "recommender.recommender",
    "Shallow": "recommender.settings",
    "Ratings": "data",
    "as_ratings": "data.tables",
    "load_ratings": "data.load",
    "split_ratings": "data",
    "minibatches": "data",
    "k_folds": "data.splits",
    "leave_k_out": "data.splits",
    "split_by_time": "data.splits",
    "split_users": "data.splits",
    "time_folds": "data.splits",
    "k_core": "data.splits",
    "store_ratings": "data.stores",
    "open_ratings": "data.stores",
    "movielens": "data.datasets",
    "jester": "data.datasets",
    "made_up_ratings": "data.datasets.synthetic",
    "cross_validate": "recommender.search",
    "grid_search": "recommender.search",
    "rmse": "evaluation.metrics",
    "mae": "evaluation.metrics",
}

__all__ = ["__version__", "theano_compat"] + list(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module("sparse_ae." + _HOMES[name]), name)
    if name in _modules():
        return importlib.import_module("sparse_ae." + name)
    raise AttributeError("module 'sparse_ae' has no attribute %r" % name)


def __dir__():
    return sorted(set(globals()) | set(_HOMES) | _modules())


def _modules():
    return {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}
