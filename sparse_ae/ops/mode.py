"""The mode in which functions take this package's rewrites for a CPU: those of `blas`, `scalars` and `updates`."""
from sparse_ae.ops.ahead import CompileAhead
from sparse_ae.runtime.device import on_gpu
import theano

__all__ = ["TAG", "fast_mode"]

#: The tag of the rewrites that `mode` adds to Theano's.
TAG = "sparse_ae"

# After all of Theano's, the last of which is at 100 or so.
theano.compile.optdb.register("sparse_ae_compile_ahead", CompileAhead(), 1000, TAG)


def fast_mode():
    """Give Theano's default mode, on a CPU with the rewrites, as ``theano.function(mode=...)`` takes it."""
    default = theano.compile.mode.get_default_mode()
    return default if on_gpu() else default.including(TAG)
