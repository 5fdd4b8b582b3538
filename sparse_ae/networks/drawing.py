"""The source of layers' first values and of their noise."""
import contextlib

from sparse_ae.checks import check_dtype, check_rng
from sparse_ae.ops.compiled import building
import lasagne


@contextlib.contextmanager
def drawing(rng, dtype):
    """Enter a context in which Lasagne's initialisers and noise are seeded by `rng`, and make parameters of `dtype`."""
    before, rng = lasagne.random.get_rng(), check_rng(rng)
    with building(check_dtype(dtype)):
        lasagne.random.set_rng(rng)
        try:
            yield
        finally:
            lasagne.random.set_rng(before)
