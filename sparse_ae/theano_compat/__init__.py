"""Lets the unmodified Theano 1.0.5 and Lasagne 0.1 run on Python 3.8 to 3.14 with NumPy 1.17 to 2.x.

Any Theano code needs only ``import sparse_ae.theano_compat``: docs/guide/theano.md tells what it does. `mends` are for
every Python and NumPy, `python312`, `numpy2` and `promotion` for some.
"""

from sparse_ae.theano_compat.compilers import NO_COMPILER, NO_HEADERS, any_compiler, python_headers  # noqa: F401
from sparse_ae.theano_compat.failing import why_unusable  # noqa: F401
from sparse_ae.theano_compat.finder import install
from sparse_ae.theano_compat.log import pygpu_fault, why_unused  # noqa: F401
from sparse_ae.theano_compat.removed import old_names

__all__ = ["install", "old_names"]

install()
