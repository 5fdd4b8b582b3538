"""A program that imports this first has Theano's gpuarray backend without pygpu and without a card. It builds graphs
and rewrites them, but can't run them. It needs a process of its own, with ``cxx=``: Theano would compile for the card.
"""
import sys
import types

import numpy as np


class GpuContext:
    """The card that there isn't."""

    kind, devname, dev = b"opencl", "no card", "opencl0:0"


class GpuArray(np.ndarray):
    """An array that lies on the host after all."""

    typecode = property(lambda array: array.dtype.num)


class GpuArrayException(Exception):
    """For a dtype that a card doesn't have."""


def _not_there(*arguments, **keywords):
    raise NotImplementedError("there is no card")


def _add_module(name, **contents):
    module = sys.modules[name] = types.ModuleType(name)
    module.__dict__.update(contents)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


_add_module("pygpu", __version__="0.7.6", get_include=lambda: "")
_add_module("pygpu.gpuarray", GpuContext=GpuContext, GpuArray=GpuArray, GpuArrayException=GpuArrayException,
            SIZE="size", SSIZE="ssize", api_version=lambda: (2, 0), abi_version=lambda: 2,
            array=lambda value, context=None, **keywords: np.array(value, **keywords).view(GpuArray),
            dtype_to_typecode=lambda dtype: np.dtype(dtype).num,
            dtype_to_ctype=lambda dtype: {"float32": "ga_float", "float64": "ga_double"}[str(np.dtype(dtype))])
_add_module("pygpu.elemwise", compare=_not_there, elemwise2=_not_there)
_add_module("pygpu.tools", ArrayArg=_not_there, as_argument=_not_there)
_add_module("pygpu.reduction", ReductionKernel=_not_there)
_add_module("pygpu.blas")

from sparse_ae import theano_compat  # noqa: E402, F401  (before theano)
import theano  # noqa: E402
from theano.gpuarray.elemwise import GpuElemwise  # noqa: E402
from theano.gpuarray.type import reg_context  # noqa: E402

reg_context(None, GpuContext())
theano.compile.optdb.add_tags("gpuarray_opt", "fast_run")
GpuElemwise.do_constant_folding = lambda self, node: False  # it would be run
