"""What is read from a GPU once, and again only when it has changed there."""
import numpy as np

from sparse_ae.compiled import building, compiled
from sparse_ae.device import is_on_host
import theano.tensor as T

__all__ = ["HostCopy"]


class HostCopy:
    """The values of a Theano shared variable in the memory of the host.

    On the CPU they are the variable's own memory. On a GPU they are read from there, and kept. Anything may change the
    variable meanwhile, in place and without telling: a compiled update, `set_value`. So the GPU keeps what was read as
    well, compares it with the variable's values at each call, and sends the number of those that differ.

    Parameters
    ----------
    variable : Theano shared variable
    """

    def __init__(self, variable):
        self._variable, self._count, self._kept = variable, None, None

    def __reduce__(self):
        return HostCopy, (self._variable,)  # what was compiled and read is that variable's

    def __call__(self):
        """The values now; not to be written to."""
        if is_on_host(self._variable):
            return self._variable.get_value(borrow=True)
        kept = self._kept
        if kept is None or self._n_changed(kept[0]):
            there = self._variable.get_value(return_internal_type=True)
            here = np.asarray(there)
            here.flags.writeable = False
            self._kept = kept = there, here
        return kept[1]

    def _n_changed(self, there):
        """How many values differ from those `there`; NaN does from itself, and is read anew each time."""
        if self._count is None:
            with building(self._variable.dtype):
                old = self._variable.type("old")
                self._count = compiled([old], T.sum(T.neq(old, self._variable)), name="n_changed")
        return self._count(there)
