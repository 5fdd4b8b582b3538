"""Where the tests run, and what can't run there."""
import os

import pytest

from sparse_ae.runtime.device import is_on_host, on_gpu

ON_GPU = on_gpu()
ON_OPENCL = False
if ON_GPU:
    from theano.gpuarray.type import get_context
    ON_OPENCL = get_context(None).kind == b"opencl"

# float32 is what a GPU is for.
DTYPE = "float32" if ON_GPU else "float64"

needs_backend = pytest.mark.skipif(not ON_GPU, reason="needs Theano's gpuarray backend: THEANO_FLAGS=device=cuda")
sparse_adam_needs_cpu = pytest.mark.skipif(
    ON_GPU, reason="sparse_adam refuses a GPU's gradients, which aren't limited to rows in use")
networks_need_cpu = pytest.mark.skipif(ON_GPU, reason="networks run on the CPU")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork") or ON_GPU,
                                reason="forks, which neither Windows nor a GPU's driver takes")
scan_needs_cuda = pytest.mark.skipif(ON_OPENCL, reason="Theano's scan has no code for OpenCL")


def params(formulations):
    """Names of formulations, as pytest.mark.parametrize takes them."""
    return [pytest.param(name, marks=scan_needs_cuda) if name == "scan" else name for name in formulations]


def environment(flags):
    """That of a process of its own, which may begin with the GPU too, with these flags of Theano's behind ours."""
    flags = ",".join(filter(None, [os.environ.get("THEANO_FLAGS"), flags]))
    return dict(os.environ, THEANO_FLAGS=flags)


def memory_of(variable):
    """What stays the same as long as a shared variable's values stay at one place in memory."""
    value = variable.get_value(borrow=True, return_internal_type=True)
    if is_on_host(variable):
        return value.__array_interface__["data"][0]
    return value.base_data if ON_OPENCL else value.gpudata


def is_item_major(variable):
    """Whether a shared variable's matrix (k, n_items) lies in memory item by item."""
    return bool(variable.get_value(borrow=True, return_internal_type=True).flags["F_CONTIGUOUS"])
