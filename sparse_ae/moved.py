"""Modules of version 1.0 from which models, objectives and scripts import: their names warn, and name the new module.
docs/guide/upgrading.md has all that changed. Version 3.0 may drop this."""
import functools
import importlib
import importlib.machinery
import warnings

# Where the names of modules that are gone are now.
MODULES = {
    "baselines.filters": "baselines.factors",
    "data.feedback": "data.tables",
    "data.files": "data.load",
    "data.outofcore": "data.stores",
    "data.synthetic": "data.datasets.synthetic",
    "evaluation.lists": "evaluation.rankings",
    "ops.mode": "ops.rewrites",
    "ops.over_ranks": "ranks.sums",
    "recommender.closed": "recommender.members",
    "recommender.estimator": "recommender.settings",
    "runtime.ranks": "ranks.ranks",
    "training.contract": "contract",
}


def _moved(module, name):
    home = "sparse_ae." + MODULES[module.partition(".")[2]]
    if name.startswith("_") or not hasattr(importlib.import_module(home), name):
        raise AttributeError("module %r has no attribute %r" % (module, name))
    warnings.warn("%s.%s has moved to %s: import it from there" % (module, name, home), FutureWarning, stacklevel=2)
    return getattr(importlib.import_module(home), name)


class OldModules:
    """Finds the modules of `MODULES` if no other finder does."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, module = name.partition(".")
        return importlib.machinery.ModuleSpec(name, OldModules) if (
            package == "sparse_ae" and module in MODULES) else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__getattr__ = functools.partial(_moved, module.__name__)
