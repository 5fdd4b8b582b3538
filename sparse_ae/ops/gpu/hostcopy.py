"""A host copy of a shared variable, refreshed when the value on the GPU has changed."""
import numpy as np

from sparse_ae.ops.gpu.kernels import KERNELS, WIDTH, source
from sparse_ae.runtime.device import is_on_host

# Of threads.
_BLOCKS = 1024


class HostCopy:
    """The values of a Theano shared variable in the memory of the host."""
    # From a GPU they are read, and kept. A compiled update or `set_value` may change the variable meanwhile: the GPU
    # keeps what was read as well, and compares at each call.

    def __init__(self, variable):
        self._variable, self._differ, self._kept = variable, None, None

    def __reduce__(self):
        return HostCopy, (self._variable,)  # the compiled function and the copy are that variable's

    def __call__(self):
        """The values now; not to be written to."""
        if is_on_host(self._variable):
            return self._variable.get_value(borrow=True)
        now, kept = self._variable.get_value(borrow=True, return_internal_type=True), self._kept
        if kept is None or self._changed(now, kept[0]):
            there = now.copy("C")
            here = np.asarray(there)
            here.flags.writeable = False
            self._kept = kept = there, here
        return kept[1]

    def _changed(self, now, then):
        """Tell whether a value differs; NaN differs from itself, and is read again each time."""
        import pygpu.gpuarray as gpu
        if now.shape != then.shape or not now.flags["C_CONTIGUOUS"]:
            return True
        if self._differ is None:
            kernel = KERNELS["differ"]
            kinds = [gpu.GpuArray, gpu.SIZE] * len(kernel.arrays) + [gpu.SIZE] * len(kernel.sizes)
            self._differ = gpu.GpuKernel(source("differ", value=gpu.dtype_to_ctype(now.dtype)), "differ", kinds,
                                         context=now.context, have_double=now.dtype == np.float64)
        found = gpu.array(np.zeros(1, "int32"), context=now.context)
        # Theano's sum of the differences takes far longer than reading everything: one block of threads does it.
        self._differ(now, now.offset, then, then.offset, found, found.offset, now.size, gs=(_BLOCKS, 1),
                     ls=(WIDTH, KERNELS["differ"].height))
        return bool(np.asarray(found)[0])
