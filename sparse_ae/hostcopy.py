"""What is read from a GPU once, and again only when it has changed there."""
import numpy as np

from sparse_ae.device import is_on_host

__all__ = ["HostCopy"]

# In the dialect that CUDA and OpenCL both take. Whoever finds a difference writes the same number. Theano's own sum of
# what differs takes far longer than reading all of it: one block of threads does it, or on OpenCL none that is quick.
_DIFFERS = """#include "cluda.h"
KERNEL void differs(GLOBAL_MEM const %(type)s *a, const ga_size a_offset, GLOBAL_MEM const %(type)s *b,
                    const ga_size b_offset, const ga_size n, GLOBAL_MEM ga_int *out, const ga_size out_offset)
{
    a = (GLOBAL_MEM const %(type)s *)((GLOBAL_MEM const char *)a + a_offset);
    b = (GLOBAL_MEM const %(type)s *)((GLOBAL_MEM const char *)b + b_offset);
    out = (GLOBAL_MEM ga_int *)((GLOBAL_MEM char *)out + out_offset);
    const ga_size each = (n + GDIM_0 - 1) / GDIM_0, start = GID_0 * each;
    const ga_size stop = n - start < each ? n : start + each;
    for (ga_size i = start + LID_0; start < n && i < stop; i += LDIM_0)
        if (a[i] != b[i])
            out[0] = 1;
}
"""
_BLOCKS, _THREADS = 1024, 128


class HostCopy:
    """The values of a Theano shared variable in the memory of the host.

    On the CPU they are the variable's own memory. On a GPU they are read from there, and kept. Anything may change the
    variable meanwhile, in place and without telling: a compiled update, `set_value`. So the GPU keeps what was read as
    well, and compares it with the variable's values at each call.

    Parameters
    ----------
    variable : Theano shared variable
    """

    def __init__(self, variable):
        self._variable, self._differs, self._kept = variable, None, None

    def __reduce__(self):
        return HostCopy, (self._variable,)  # what was compiled and read is that variable's

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
        """Whether a value differs; NaN does from itself, and is read anew each time."""
        import pygpu.gpuarray as gpu
        if now.shape != then.shape or not now.flags["C_CONTIGUOUS"]:
            return True
        if self._differs is None:
            kinds = [gpu.GpuArray, gpu.SIZE] * 2 + [gpu.SIZE, gpu.GpuArray, gpu.SIZE]
            source = _DIFFERS % {"type": gpu.dtype_to_ctype(now.dtype)}
            self._differs = gpu.GpuKernel(source, "differs", kinds, context=now.context,
                                          have_double=now.dtype == np.float64)
        found = gpu.array(np.zeros(1, "int32"), context=now.context)
        self._differs(now, now.offset, then, then.offset, now.size, found, found.offset, gs=_BLOCKS, ls=_THREADS)
        return bool(np.asarray(found)[0])
