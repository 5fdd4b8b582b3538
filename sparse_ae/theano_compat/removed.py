"""Names that Python and NumPy removed, which programs of Theano's time look up."""

import collections
import collections.abc
import inspect
import sys
import time

import numpy as np

from sparse_ae.theano_compat.mends import NAMES_NUMPY_DROPPED
from sparse_ae.theano_compat.numpy2 import Cast

_ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")


def _asfarray(a, dtype=np.float64):
    return np.asarray(a, dtype if np.issubdtype(dtype, np.inexact) else np.float64)


def _of_numpy():
    """Those names of NumPy 1.17 that 2.x lacks and programs use. NumPy's lists, `numpy.__former_attrs__` and
    `numpy._expired_attrs_2_0`, say what to take in place of each."""
    return {
        **NAMES_NUMPY_DROPPED,
        "int": int, "float": float, "object": object, "str": str, "long": int, "unicode": str, "bool8": np.bool_,
        "string_": np.bytes_, "unicode_": np.str_, "float_": np.float64, "complex_": np.complex128,
        "typeDict": np.sctypeDict, "cast": Cast(),
        "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "NaN": np.nan,
        "NAN": np.nan, "alltrue": np.all, "sometrue": np.any, "cumproduct": np.cumprod, "round_": np.round,
        "rank": np.ndim, "mat": np.asmatrix, "row_stack": np.vstack, "asfarray": _asfarray,
        "asscalar": lambda a: np.asarray(a).item(), "trapz": getattr(np, "trapezoid", None),
        "in1d": lambda a, b, *args, **kwargs: np.isin(np.ravel(a), b, *args, **kwargs)}


def old_names():
    """Put removed names of Python and NumPy back, where they are missing, for the whole process.

    These are the abstract classes of `collections`, such as ``Iterable``; ``inspect.getargspec``; ``time.clock``; and
    names of NumPy 1.17 such as ``numpy.int``, ``float_``, ``infty``, ``alltrue`` and ``asscalar``.
    """
    for name in collections.abc.__all__:
        vars(collections).setdefault(name, getattr(collections.abc, name))
    vars(inspect).setdefault("getargspec", lambda function: _ArgSpec(*inspect.getfullargspec(function)[:4]))
    vars(time).setdefault("clock", time.perf_counter)
    errors = getattr(np, "exceptions", np)  # since NumPy 1.25
    for name in ("AxisError", "ComplexWarning", "VisibleDeprecationWarning"):
        vars(np).setdefault(name, getattr(errors, name, None) or getattr(np, name))
    for name, value in _of_numpy().items():
        vars(np).setdefault(name, value)
    vars(np.linalg).setdefault("linalg", sys.modules.setdefault("numpy.linalg.linalg", np.linalg))
