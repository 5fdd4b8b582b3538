"""The modes in which functions take this package's rewrites for a CPU: `blas`, `scalars`, `updates` and `views`."""
from sparse_ae.ops.ahead import CompileAhead
from sparse_ae.runtime.device import on_gpu
import theano
from theano import gof

__all__ = ["fast_mode"]

#: The tag of the rewrites that `fast_mode` adds to Theano's, and that of those that change no bit of a result.
TAG, AHEAD = "sparse_ae", "sparse_ae_ahead"

# After all of Theano's, the last of which is at 100 or so.
theano.compile.optdb.register("sparse_ae_compile_ahead", CompileAhead(), 1000, TAG, AHEAD)


def fast_mode():
    """Give Theano's default mode, on a CPU with the rewrites, as ``theano.function(mode=...)`` takes it."""
    return _with(TAG)


def ahead_mode():
    """Give Theano's default mode with the rewrites by which a function is compiled sooner, and gives the same bits."""
    return _with(AHEAD)


def _with(tag):
    """The default mode with rewrites, but on a GPU, and with ``linker=c``: some of their Ops work without C."""
    default = theano.compile.mode.get_default_mode()
    return default if on_gpu() or isinstance(default.linker, gof.CLinker) else default.including(tag)
