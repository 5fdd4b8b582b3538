"""Find the modules of theano, lasagne and pygpu, and run them with their patches."""

import contextlib
import functools
import importlib.machinery
import logging
import sys
import warnings

from sparse_ae.theano_compat import mends, numpy2, promotion, python312, sooner
from sparse_ae.theano_compat.log import LOG_FILTERS

# In this order they are applied to a module.
_ALL_MENDS = (python312, mends, numpy2, promotion, sooner)


class _FinderOfMended:

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        package = name.partition(".")[0]
        if package not in ("theano", "lasagne", "pygpu"):
            return None
        if name in mends.MADE_BY_US:
            return importlib.machinery.ModuleSpec(name, _LoaderOfOurs)
        if name == package and name not in sys.modules:
            _drop_leftovers_of_a_failed_import(package)
        for finder in sys.meta_path:
            # Python passes over finders of before 3.4, such as six 1.15's, which have no such method.
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if finder is not cls and find_spec is not None else None
            if spec is not None:
                if spec.loader is not None:
                    # The loader is this spec's own, and still serves requests for sources or data.
                    spec.loader.exec_module = functools.partial(_run_mended, spec.loader.exec_module)
                return spec
        return None


class _LoaderOfOurs:
    """Loads a module of ours under a name of Theano's."""

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        mends.MADE_BY_US[module.__name__](module)


def _run_mended(exec_module, module):
    with warnings.catch_warnings():
        # Not all: that a flag is misspelt, for one, is the user's to know.
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning,
                         SyntaxWarning):
            warnings.simplefilter("ignore", category)
        for message in ("pkg_resources is deprecated", r"DeprecationWarning: there is no c\+\+ compiler",
                        "Module sparse_ae_startup was already imported"):  # in a checkout, by pkg_resources
            warnings.filterwarnings("ignore", message)
        with contextlib.ExitStack() as contexts:
            for each in _ALL_MENDS:
                if module.__name__ in each.CONTEXT_TO_RUN_IN:
                    contexts.enter_context(each.CONTEXT_TO_RUN_IN[module.__name__]())
            mends.RUN_BY.get(module.__name__, _run)(exec_module, module)
    _mend(module)


def _run(exec_module, module):
    exec_module(module)


def _mend(module):
    for each in _ALL_MENDS:
        if module.__name__ in each.MEND_ONCE_RUN:
            each.MEND_ONCE_RUN[module.__name__](module)


def _drop_leftovers_of_a_failed_import(package):
    for name in list(sys.modules):
        if name.startswith(package + "."):
            del sys.modules[name]


def install():
    """Apply every patch, now or when its module is imported. A second call does nothing."""
    if any(getattr(finder, "__module__", None) == __name__ for finder in sys.meta_path):
        return
    # The one that Python's start put there has done its work.
    sys.meta_path[:] = [_FinderOfMended] + [finder for finder in sys.meta_path
                                            if getattr(finder, "__module__", None) != "sparse_ae_startup"]
    for name, log_filter in LOG_FILTERS.items():
        logging.getLogger(name).addFilter(log_filter)
    for name in {name for each in _ALL_MENDS for name in each.MEND_ONCE_RUN}:
        if name in sys.modules:
            _mend(sys.modules[name])
