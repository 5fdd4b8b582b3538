"""Find the modules of theano, lasagne and pygpu, and run them with their patches."""

import contextlib
import functools
import logging
import sys
import warnings

from sparse_ae.theano_compat import cache, mends, numpy2, promotion, python312  # noqa: F401
from sparse_ae.theano_compat.log import LOG_FILTERS
from sparse_ae.theano_compat.patches import CONTEXTS, PATCHES


class _FinderOfMended:

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        package = name.partition(".")[0]
        if package not in ("theano", "lasagne", "pygpu"):
            return None
        for finder in sys.meta_path:
            spec = None if finder is cls else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    # The loader is this spec's own, and still serves requests for sources or data.
                    spec.loader.exec_module = functools.partial(_run_mended, spec.loader.exec_module)
                return spec
        return None


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
            for each in CONTEXTS.get(module.__name__, ()):
                contexts.enter_context(each())
            extension = cache.EXTENSIONS.get(module.__name__)
            if extension:
                cache.run_extension(extension, exec_module, module)
            else:
                exec_module(module)
    _patch(module)


def _patch(module):
    for each in PATCHES.get(module.__name__, ()):
        each(module)


def install():
    """Have every patch applied when its module is imported. A second call does nothing."""
    if any(getattr(finder, "__module__", None) == __name__ for finder in sys.meta_path):
        return
    if "theano.version" in sys.modules:  # another Theano stays as it is
        _patch(sys.modules["theano.version"])
    if any(name.partition(".")[0] == "theano" for name in sys.modules):
        raise ImportError("theano was imported before sparse_ae could patch it; start Python again, and import "
                          "sparse_ae first", name="theano")
    # The one that Python's start put there has done its work.
    sys.meta_path[:] = [_FinderOfMended] + [finder for finder in sys.meta_path
                                            if getattr(finder, "__module__", None) != "sparse_ae_startup"]
    for name, log_filter in LOG_FILTERS.items():
        logging.getLogger(name).addFilter(log_filter)
