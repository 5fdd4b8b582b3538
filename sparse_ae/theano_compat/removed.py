"""Names that Python and NumPy removed, which programs of Theano's time look up."""

import collections
import collections.abc
import inspect
import math
import sys
import time

import numpy as np

from sparse_ae.theano_compat.mends import NAMES_NUMPY_DROPPED
from sparse_ae.theano_compat.numpy2 import Cast

_ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")


class _Sizes:
    """numpy.nbytes."""

    def __getitem__(self, key):
        return np.dtype(key).itemsize


def _asfarray(a, dtype=np.float64):
    return np.asarray(a, dtype if np.issubdtype(dtype, np.inexact) else np.float64)


def _common_type(array_types, scalar_types):
    """The arrays' dtype, unless a scalar is of a higher kind: bool, integer, float, complex."""
    arrays, scalars = ([np.dtype(each) for each in types] for types in (array_types, scalar_types))
    highest = [max(("biufc".find(each.kind) // 2 for each in types), default=-1) for types in (arrays, scalars)]
    return np.result_type(*(scalars if highest[1] > highest[0] else arrays))


def _sctypes():
    return {"int": [np.int8, np.int16, np.int32, np.int64], "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64, np.longdouble],
            "complex": [np.complex64, np.complex128, np.clongdouble],
            "others": [bool, object, bytes, str, np.void]}


def _of_numpy():
    """Those names of NumPy 1.17 that 2.x lacks, but for private ones, finance, documentation and text files. NumPy's
    lists, `numpy.__former_attrs__` and `numpy._expired_attrs_2_0`, say what to take in place of each."""
    return {
        **NAMES_NUMPY_DROPPED,
        "int": int, "float": float, "object": object, "str": str, "long": int, "unicode": str, "int0": np.intp,
        "uint0": np.uintp, "bool8": np.bool_, "object0": np.object_, "str0": np.str_, "bytes0": np.bytes_,
        "void0": np.void, "string_": np.bytes_, "unicode_": np.str_, "float_": np.float64, "complex_": np.complex128,
        "cfloat": np.complex128, "singlecomplex": np.complex64, "longfloat": np.longdouble,
        "longcomplex": np.clongdouble, "clongfloat": np.clongdouble,
        "typeDict": np.sctypeDict, "sctypes": _sctypes(), "nbytes": _Sizes(), "cast": Cast(),
        "MAXDIMS": 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32,
        "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "NaN": np.nan,
        "NAN": np.nan, "PZERO": 0.0, "NZERO": -0.0,
        "alltrue": np.all, "sometrue": np.any, "cumproduct": np.cumprod, "round_": np.round, "rank": np.ndim,
        "mat": np.asmatrix, "row_stack": np.vstack, "asfarray": _asfarray, "find_common_type": _common_type,
        "alen": lambda a: len(np.array(a, ndmin=1)), "asscalar": lambda a: np.asarray(a).item(),
        "fastCopyAndTranspose": lambda a: np.asarray(a).T.copy(), "msort": lambda a: np.sort(a, axis=0),
        "in1d": lambda a, b, *args, **kwargs: np.isin(np.ravel(a), b, *args, **kwargs),
        "trapz": getattr(np, "trapezoid", None), "issubclass_": lambda a, b: isinstance(a, type) and issubclass(a, b),
        "issubsctype": lambda a, b: np.issubdtype(getattr(a, "dtype", a), getattr(b, "dtype", b)),
        "obj2sctype": lambda a: np.dtype(getattr(a, "dtype", a)).type, "sctype2char": lambda a: np.dtype(a).char,
        "format_parser": np.rec.format_parser, "math": math}


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
    for name in ("AxisError", "ComplexWarning", "RankWarning", "TooHardError", "VisibleDeprecationWarning"):
        vars(np).setdefault(name, getattr(errors, name, None) or getattr(np, name))
    for name, value in _of_numpy().items():
        vars(np).setdefault(name, value)
    vars(np.linalg).setdefault("linalg", sys.modules.setdefault("numpy.linalg.linalg", np.linalg))
