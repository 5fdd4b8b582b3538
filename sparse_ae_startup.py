"""Has ``import theano``, ``lasagne`` and ``pygpu`` find their mends, whichever comes first: they or ``sparse_ae``.

A line in sparse_ae_startup.pth, beside this file, imports it whenever Python starts, for any program. So it does next
to nothing until one of the three is asked for.
"""

import sys


class FinderOfTheMends:
    """The first in ``sys.meta_path``; gone from there once it has been of use."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in ("theano", "lasagne", "pygpu"):
            return None
        sys.meta_path.remove(FinderOfTheMends)
        import importlib.util
        if _is_another_theano():
            return importlib.util.find_spec(name)
        try:
            importlib.import_module("sparse_ae.theano_compat")
        except ModuleNotFoundError as error:
            if error.name != "sparse_ae":  # an uninstalled one mends nothing, and stops nobody
                raise
        return importlib.util.find_spec(name)


def _is_another_theano():
    """Whether the Theano that is found isn't 1.0, as Theano-PyMC 1.1; the mends would break it."""
    import importlib.util
    import os
    import re
    try:
        folder = os.path.dirname(importlib.util.find_spec("theano").origin)
        with open(os.path.join(folder, "_version.py"), encoding="utf-8") as file:
            said = re.search(r'"version": "(\d+\.\d+)', file.read())
    except (AttributeError, ImportError, OSError, TypeError, ValueError):  # none, or one without a file
        return False
    return said is not None and said.group(1) != "1.0"


sys.meta_path.insert(0, FinderOfTheMends)
