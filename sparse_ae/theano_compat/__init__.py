"""Lets the unmodified Theano 1.0.5 and Lasagne 0.1 run on Python 3.8 to 3.14 with NumPy 1.17 to 2.x.

Both are from before 2021 and stay as their authors released them. All patches are here, and nowhere else. Any Theano
code needs only ``import sparse_ae.theano_compat``.

Importing this package, as ``import sparse_ae`` does, puts a finder in front of ``sys.meta_path``. That loads nothing.
Later imports of modules of theano or lasagne go through the finder: they are found and run by Python's usual means,
with the patches that are entered for them in `patches`, and without warnings of today's Python and NumPy that
users can't act on. A theano that is already imported is patched in place. One whose import failed without the patches
leaves modules behind that would break the next try: they are dropped first.

``mends`` are for every Python and NumPy, ``python312`` for modules that Python dropped, ``numpy2`` for NumPy 2's names
and headers, ``promotion`` for its rules; ``sooner`` leaves less to compile before the first result. Each patch names
the lines of Theano that it corrects, and since when they fail. Where possible it tests for the missing feature, not for
a version, so that nothing changes where nothing is broken. NumPy gets its removed names only while the module that
needs them is being run. The user's flags are kept: THEANO_FLAGS and .theanorc mean what they always meant.
"""

from sparse_ae.theano_compat.compilers import NO_COMPILER, NO_HEADERS, any_compiler, python_headers  # noqa: F401
from sparse_ae.theano_compat.distributions import installed_over_each_other  # noqa: F401
from sparse_ae.theano_compat.failing import why_unusable  # noqa: F401
from sparse_ae.theano_compat.finder import install
from sparse_ae.theano_compat.unused_gpu import pygpu_fault, why_unused  # noqa: F401

__all__ = ["install"]

install()
