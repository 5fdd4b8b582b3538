"""Patches for NumPy 2's promotion rules (NEP 50), which break silently: a Python number next to an array or scalar
takes its dtype, where in NumPy 1 it had one of its own. And for numbers, dtypes and ufuncs that it no longer takes."""

import functools
import types
import warnings

import numpy as np

from sparse_ae.theano_compat.patches import once_run
from sparse_ae.theano_compat.stand_ins import give_numpy_of_its_own, rewrite, rewritten_once_run


def works(ask):
    """Whether NumPy does it without an error or a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            ask()
        except (OverflowError, TypeError, ValueError, AttributeError, DeprecationWarning):
            return False
    return True


# Since NumPy 2, np.float32(1) * 1.0 is a float32.
_PYTHON_NUMBERS_ARE_WEAK = (np.float32(1) * 1.0).dtype != np.float64
# Deprecated in NumPy 1.24, an OverflowError since 2.
_INTEGERS_WRAP_ROUND = works(lambda: np.asarray(128, "int8"))
# Anything with a dtype was one. Deprecated in NumPy 1.19, an error since 2.
_TYPES_ARE_DTYPES = works(lambda: np.dtype(types.SimpleNamespace(dtype="float64")))
# Deprecated in NumPy 1.20, a TypeError since 2.
_UFUNCS_TAKE_A_LETTER = works(lambda: np.exp(np.int8(1), sig="f"))


def dtype_of(kind):
    """Return what NumPy 1 took for a dtype: one, its name, or what has one, such as Theano's Types and variables."""
    return kind if isinstance(kind, (str, type, np.dtype)) else np.dtype(getattr(kind, "dtype", kind))


def _as_numpy_1_did(function):
    """np.array or np.asarray that wraps a Python integer round, and takes a Type of Theano's for a dtype."""

    @functools.wraps(function)
    def with_dtype(a, dtype=None, *args, **kwargs):
        if dtype is not None:
            dtype = dtype_of(dtype)
            a = _wrapped_round(a, np.dtype(dtype))
        return function(a, dtype, *args, **kwargs)

    return with_dtype


def _wrapped_round(a, dtype):
    """Python numbers as an array that NumPy casts to an integer dtype by wrapping round, as it did with the numbers; an
    OverflowError beyond 64 bits, or 63 where the dtype has no more."""
    if dtype.kind not in "iu" or isinstance(a, (np.ndarray, np.generic)):
        return a
    numbers = np.asarray(a)
    if numbers.dtype.kind == "i" or numbers.dtype == np.uint64 == dtype:
        return numbers
    return np.asarray(a, np.uint64 if dtype == np.uint64 else np.int64)


@once_run("theano.misc.safe_asarray", where=not (_INTEGERS_WRAP_ROUND and _TYPES_ARE_DTYPES))
def _wrap_integers_round(module):
    """scalar/basic.py:216 tries int8, int16 and so on until one holds the number, and takes an OverflowError (:256), as
    since NumPy 2.0, for a number beyond int64: T.constant(400) would be a uint64, and T.arange(400) a float64."""
    asarray = module._asarray

    @functools.wraps(asarray)
    def wrapping(a, dtype, order=None):
        dtype = dtype_of(module.theano.config.floatX if str(dtype) == "floatX" else dtype)
        return asarray(_wrapped_round(a, np.dtype(dtype)), dtype, order)

    module._asarray = wrapping


@once_run("theano.scalar.basic", "theano.tensor.opt", where=not (_INTEGERS_WRAP_ROUND and _TYPES_ARE_DTYPES))
def _give_wrapping_arrays(module):
    """tensor/opt.py:5057 and 6074 make -1 of an unsigned dtype: since NumPy 2 an OverflowError, and no optimisation.
    scalar/basic.py:3108 and 3141 give a Type for a dtype, and :74 a variable, deprecated since NumPy 1.19."""
    give_numpy_of_its_own(module, array=_as_numpy_1_did(np.array), asarray=_as_numpy_1_did(np.asarray),
                          zeros=lambda shape, dtype=float: np.zeros(shape, dtype_of(dtype)))


@once_run("theano.scalar.basic", where=not _INTEGERS_WRAP_ROUND)
def _fill_with_all_bits(module):
    """tensor/elemwise.py:1353 fills what `and` of nothing gives, of an unsigned dtype, with -1."""
    module.AND.identity = np.int64(module.AND.identity)  # NumPy casts its own integers as ever


@once_run("theano.scalar.basic", "theano.tensor.nnet.sigm", where=not _UFUNCS_TAKE_A_LETTER)
def _give_ufuncs_a_dtype(module):
    """scalar/basic.py:2772 and on, and tensor/nnet/sigm.py:46, call ufuncs with sig="f" for 8-bit integers."""
    for kind in list(vars(module).values()):
        for method in list(vars(kind).values()) if isinstance(kind, type) else ():
            function = getattr(method, "__func__", method)  # of a static method
            constants = getattr(getattr(function, "__code__", None), "co_consts", ())
            if ("sig",) in constants:
                function.__code__ = function.__code__.replace(
                    co_consts=tuple(("dtype",) if each == ("sig",) else each for each in constants))


# sandbox/rng_mrg.py:288, of MRG_RandomStreams without a compiler: 0xffffffff is beyond an int32.
rewritten_once_run("theano.sandbox.rng_mrg", "mrg_next_value", ("& mask", "& np.int64(mask)"),
                   where=_PYTHON_NUMBERS_ARE_WEAK)


@once_run("theano.scalar.basic", where=_PYTHON_NUMBERS_ARE_WEAK)
def _compare_in_float64(module):
    """scalar/basic.py:217 and 331 compare a Python float with a float32 made of it, in NumPy 2 rounded first, and so
    equal: ``x * 0.1`` of a float64 x would take the float32 0.1, and T.constant(1e300) be inf, silently."""
    rewrite(module.NumpyAutocaster, "__call__", (
        "    def __call__", "    @np.errstate(over='ignore')\n    def __call__"),  # 1e300 is tried as a float32
        ("x == x_", "(np.float64(x) if type(x) is builtin_float else x) == x_"))
    filter_ = module.Scalar.filter

    @functools.wraps(filter_)
    def filter_exactly(self, data, strict=False, allow_downcast=None):
        if strict:
            return filter_(self, data, strict, allow_downcast)
        if type(data) is float and self.dtype.startswith(("float", "complex")):
            if allow_downcast is None and self.dtype == module.config.floatX:
                allow_downcast = True  # as line 329 would have it, were it still Python's float
            data = np.float64(data)
        elif type(data) is float and allow_downcast and self.dtype != "bool":
            data = int(data)
        # np.float64 of an array of one number was that number until NumPy 2.4, of a list of one never.
        if type(data) in (int, complex, list if "int" in self.dtype else int) and np.asarray(data).dtype != object:
            data = np.asarray(data)[()]
        return filter_(self, data, strict, allow_downcast)

    module.Scalar.filter = filter_exactly


@once_run("theano.scalar.basic", where=_PYTHON_NUMBERS_ARE_WEAK)
def _type_every_step_of_a_composite(module):
    """scalar/basic.py:3848: in Python, a Composite mixes NumPy's scalars with Python's own, which NumPy 2 computes in
    the narrower type. Here every intermediate result has the dtype that the graph says, as it has in C."""

    def typed(compute, dtype):
        return lambda inputs: np.asarray(compute(inputs)).astype(dtype)[()]

    module.typed = typed
    rewrite(module.Composite, "init_py_impls", ("memo[r] = f", "memo[r] = f = typed(f, r.type.dtype)"))


@once_run("theano.scalar.basic", where=_PYTHON_NUMBERS_ARE_WEAK)
def _invert_in_double_precision(module):
    """scalar/basic.py:2734: np.float32(1.0) / x, of a Python float or complex, is one in float32 since NumPy 2."""
    impl, double = module.Inv.impl, {int: np.float64, float: np.float64, complex: np.complex128}
    module.Inv.impl = lambda self, x: impl(self, double[type(x)](x) if type(x) in double else x)
