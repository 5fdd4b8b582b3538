"""Lets the unmodified Theano 1.0.5 and Lasagne 0.1 run on Python 3.8 to 3.14 with NumPy 1.17 to 2.x.

Both are from before 2021 and stay as their authors released them. All that breaks them today is mended here, and
nowhere else. ``import sparse_ae.theano_compat`` is all that other people's Theano code needs.

Importing this package, as ``import sparse_ae`` does, puts a finder in front of ``sys.meta_path``. That loads nothing.
Whoever imports a module of theano or lasagne later, this package or the user, gets it through the finder: found and
run by Python's usual means, with the mends that the tables of four modules name for it, and without the warnings that
its source makes today's Python and NumPy print, which no user can act on. A theano that is already there is mended in
place. One whose import failed, for want of the mends, leaves modules behind that would break the next try: they are
dropped first.

``mends`` are for every Python and NumPy, ``python312`` for what Python dropped, ``numpy2`` for NumPy 2's headers and
its rules of promotion; ``sooner`` leaves less to compile before the first result. Each mend says which lines of Theano
it mends, and since when they break. It asks for what is missing, not for a version, wherever that can be asked, so that
nothing changes where there is nothing to mend. NumPy gets its missing names only while the module that needs them is
being run. No flag is touched that a user has set: THEANO_FLAGS and .theanorc mean what they always meant.
"""

from sparse_ae.theano_compat.compilers import NO_COMPILER, NO_HEADERS, any_compiler, python_headers  # noqa: F401
from sparse_ae.theano_compat.distributions import installed_over_each_other  # noqa: F401
from sparse_ae.theano_compat.failing import why_unusable  # noqa: F401
from sparse_ae.theano_compat.finder import install
from sparse_ae.theano_compat.unused_gpu import pygpu_fault, why_unused  # noqa: F401

__all__ = ["install"]

install()
