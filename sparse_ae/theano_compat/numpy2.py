"""Patches for NumPy 2: removed names, its headers, and its promotion rules (NEP 50).

Those rules are what breaks silently: a Python number next to an array or scalar takes its dtype, where in NumPy 1 it
had one of its own. The patches for the headers must never come without those for the rules: Theano would run, with
wrong dtypes.
"""

import contextlib
import copy
import functools
import types
import warnings
from pathlib import Path

import numpy as np

from sparse_ae.theano_compat.mends import flag_is_set
from sparse_ae.theano_compat.stand_ins import attributes_renamed, give_numpy_of_its_own, modules_added, replace_in_code

# NumPy's headers depend on its version, and so do their patches.
_NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"


def _works(ask):
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
_INTEGERS_WRAP_ROUND = _works(lambda: np.asarray(128, "int8"))
# Anything with a dtype was one. Deprecated in NumPy 1.19, an error since 2.
_TYPES_ARE_DTYPES = _works(lambda: np.dtype(types.SimpleNamespace(dtype="float64")))
# Deprecated in NumPy 1.20, a TypeError since 2.
_UFUNCS_TAKE_A_LETTER = _works(lambda: np.exp(np.int8(1), sig="f"))


# Names that NumPy 2 dropped


def _dtype_of(kind):
    """Return what NumPy 1 took for a dtype: one, its name, or what has one, such as Theano's Types and variables."""
    return kind if isinstance(kind, (str, type, np.dtype)) else np.dtype(getattr(kind, "dtype", kind))


class _Cast:
    """numpy.cast."""

    def __getitem__(self, key):
        dtype = _dtype_of(key)
        return lambda x: np.asarray(x).astype(dtype)


def _angle(z):
    """numpy.angle, which since NumPy 2 is a float16 of a short integer; scalar/basic.py:3665 says float64."""
    return np.angle(z if np.iscomplexobj(z) else np.float64(z))


def _dropped_names():
    """Return what Theano looks up in NumPy, beyond what NumPy 1.24 had dropped."""
    names = {}
    if not hasattr(np, "cast") or not _TYPES_ARE_DTYPES:
        names["cast"] = _Cast()
    if not hasattr(np, "sctype2char"):
        names["sctype2char"] = lambda dtype: np.dtype(dtype).char
    if not hasattr(np, "ComplexWarning"):
        names["ComplexWarning"] = np.exceptions.ComplexWarning
    if not hasattr(np, "MAXDIMS"):
        names["MAXDIMS"] = -2 ** 31  # NPY_RAVEL_AXIS, which the C code uses instead of NPY_MAXDIMS
    if _NUMPY_2:
        names.update(angle=_angle, core=np._core)  # np.core is deprecated
    return names


def _give_dropped_names(module):
    """Names that left in NumPy 2.0, and np.cast by a Type, which is deprecated since NumPy 1.19.

    scalar/basic.py:2977 and on and tensor/nnet/bn.py:218 look np.cast up, tensor/elemwise.py:700 np.sctype2char,
    tensor/extra_ops.py:262 np.MAXDIMS, gof/cc.py:1381 np.core, and tensor/slinalg.py:552, tensor/nnet/conv.py:802 and
    tensor/nnet/abstract_conv.py:2243 np.ComplexWarning.
    """
    names = _dropped_names()
    if names:
        give_numpy_of_its_own(module, **names)


@contextlib.contextmanager
def _with_numpy_linalg_linalg():
    """gpuarray/linalg.py:7 imports numpy.linalg.linalg, private since NumPy 2.0."""
    with modules_added({"numpy.linalg.linalg": np.linalg} if _NUMPY_2 else {}):
        yield


def _fill_instead_of_itemset(module):
    """compile/debugmode.py:2096 calls the itemset of an array without axes, which left in NumPy 2.0.

    In tensor/blas.py:910, of matrices, nothing comes to that.
    """
    if not _works(lambda: np.zeros(()).itemset(1.0)):
        attributes_renamed(module._Linker.make_all, itemset="fill")


def _take_bytes(module):
    """printing.py:1268 calls an array's tostring, deprecated in NumPy 1.19, gone in 2.3."""
    if not _works(lambda: np.zeros(1).tostring()):
        attributes_renamed(module.hex_digest, tostring="tobytes")


def _flatten_inverse(module):
    """tensor/extra_ops.py:1184: since NumPy 2.0 the inverse that np.unique returns has a matrix's shape."""
    if np.unique(np.zeros((1, 1)), return_inverse=True)[1].ndim == 1:
        return
    perform = module.Unique.perform

    @functools.wraps(perform)
    def with_flat_inverse(self, node, inputs, output_storage):
        perform(self, node, inputs, output_storage)
        if self.return_inverse:
            storage = output_storage[2 if self.return_index else 1]
            storage[0] = storage[0].ravel()

    module.Unique.perform = with_flat_inverse


def _fft_of_numpy_1():
    """Functions of numpy.fft that compute in double precision, and transform the last axes where a shape is given.

    NumPy 2.0 made a complex64 of a float32, and deprecated a shape without axes.
    """

    def in_double(name, dtype):
        function = getattr(np.fft, name)
        return lambda a, *args, **kwargs: function(np.asarray(a, dtype(a)), *args, **kwargs)

    def of_last_axes(function):
        return lambda a, s: function(a, s, axes=tuple(range(-len(s), 0)))

    def real(a):
        return np.float64

    def any_of_both(a):
        return np.complex128 if np.iscomplexobj(a) else np.float64

    return types.SimpleNamespace(
        fft=in_double("fft", any_of_both), ifft=in_double("ifft", any_of_both),
        rfftn=of_last_axes(in_double("rfftn", real)), irfftn=of_last_axes(in_double("irfftn", any_of_both)))


def _give_fft_of_numpy_1(module):
    """tensor/fourier.py:101 and sandbox/fourier.py:92 say complex128 of a float32, tensor/fft.py:37 computes so.

    tensor/fft.py:37 and 95 give a shape without axes.
    """
    if np.fft.fft(np.zeros(1, np.float32)).dtype != np.complex128:
        give_numpy_of_its_own(module, fft=_fft_of_numpy_1())


def _copy_random_states_whole(module):
    """tensor/raw_random.py:258 draws from a copy: since NumPy 2.0 copy.copy's goes on where the original went to.

    Without the patch a function silently draws other numbers at every call where it should draw the same.
    """
    state = np.random.RandomState(0)
    copy.copy(state).rand()
    if state.rand() != np.random.RandomState(0).rand():
        module.copy = copy.deepcopy


def _mask_in_64_bits(module):
    """sandbox/rng_mrg.py:288, of MRG_RandomStreams without a compiler: 0xffffffff is beyond an int32."""
    if not _PYTHON_NUMBERS_ARE_WEAK:
        return
    next_value = module.mrg_next_value

    @functools.wraps(next_value)
    def mrg_next_value(rstate, new_rstate, NORM, mask, offset):
        return next_value(rstate, new_rstate, NORM, np.int64(mask), offset)

    module.mrg_next_value = mrg_next_value


def _strides_of_a_new_view(module):
    """tensor/nnet/conv3d2d.py:30 sets the strides of an array, deprecated in NumPy 2.4."""

    def set_strides():
        np.zeros(1).strides = (8,)

    if _works(set_strides):
        return

    def get_diagonal_subtensor_view(x, i0, i1):
        i0, i1 = int(i0), int(i1)
        if x.shape[i0] < x.shape[i1]:
            raise NotImplementedError("is this allowed?")
        index = [slice(None)] * x.ndim
        index[i0] = slice(x.shape[i1] - 1, None)
        view = x[tuple(index)]
        strides = list(view.strides)
        if x.shape[i1] != 1:
            strides[i1] -= strides[i0]
        return np.lib.stride_tricks.as_strided(view, strides=strides)

    module.get_diagonal_subtensor_view = get_diagonal_subtensor_view


def _as_numpy_1_did(function):
    """np.array or np.asarray that wraps a Python integer round, and takes a Type of Theano's for a dtype."""

    @functools.wraps(function)
    def with_dtype(a, dtype=None, *args, **kwargs):
        if dtype is not None:
            dtype = _dtype_of(dtype)
            a = _wrapped_round(a, np.dtype(dtype))
        return function(a, dtype, *args, **kwargs)

    return with_dtype


def _wrapped_round(a, dtype):
    """Python numbers as an array that NumPy casts to an integer dtype by wrapping round, as it did with the numbers.

    Those beyond 64 bits, or beyond 63 where the dtype has no more, are an OverflowError, then as now.
    """
    if dtype.kind not in "iu" or isinstance(a, (np.ndarray, np.generic)):
        return a
    numbers = np.asarray(a)
    if numbers.dtype.kind == "i" or numbers.dtype == np.uint64 == dtype:
        return numbers
    return np.asarray(a, np.uint64 if dtype == np.uint64 else np.int64)


def _wrap_integers_round(module):
    """misc/safe_asarray.py:33 asks for dtypes that are too short, deprecated in NumPy 1.24 and an error since 2.0.

    scalar/basic.py:216 tries int8, int16 and so on until one holds the number, and takes an OverflowError (:256) for a
    number beyond int64: without the patch T.constant(400) is a uint64, and T.arange(400) a float64, silently.
    gradient.py:2024 and 2059 give a variable for a dtype, deprecated since NumPy 1.19.
    """
    if _INTEGERS_WRAP_ROUND and _TYPES_ARE_DTYPES:
        return
    asarray = module._asarray

    @functools.wraps(asarray)
    def wrapping(a, dtype, order=None):
        dtype = _dtype_of(module.theano.config.floatX if str(dtype) == "floatX" else dtype)
        return asarray(_wrapped_round(a, np.dtype(dtype)), dtype, order)

    module._asarray = wrapping


def _give_wrapping_arrays(module):
    """tensor/opt.py:5057 and 6074 make -1 of an unsigned dtype: since NumPy 2 an OverflowError, and no optimisation.

    scalar/basic.py:3108 and 3141 give a Type for a dtype, deprecated since NumPy 1.19, and :74, for T.ceil_intdiv, a
    variable.
    """
    if not (_INTEGERS_WRAP_ROUND and _TYPES_ARE_DTYPES):
        give_numpy_of_its_own(
            module, array=_as_numpy_1_did(np.array), asarray=_as_numpy_1_did(np.asarray),
            zeros=lambda shape, dtype=float: np.zeros(shape, _dtype_of(dtype)))


def _fill_with_all_bits(module):
    """tensor/elemwise.py:1353 fills what `and` of nothing gives, of an unsigned dtype, with -1."""
    if not _INTEGERS_WRAP_ROUND:
        module.AND.identity = np.int64(module.AND.identity)  # NumPy casts its own integers as ever


class _UfuncOfALetter:
    """A ufunc that takes its signature, ``sig``, as one letter."""

    def __init__(self, ufunc):
        self.ufunc = ufunc

    def __call__(self, *args, sig=None, **kwargs):
        if sig is not None:
            kwargs["dtype"] = sig
        return self.ufunc(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self.ufunc, name)


def _give_ufuncs_of_a_letter(module):
    """scalar/basic.py:2772 and on, and tensor/nnet/sigm.py:46, call ufuncs with sig="f" for 8-bit integers."""
    if not _UFUNCS_TAKE_A_LETTER:
        ufuncs = {name: _UfuncOfALetter(value) for name, value in vars(np).items() if isinstance(value, np.ufunc)}
        give_numpy_of_its_own(module, **ufuncs)


# The rules of promotion


class _Float(float):
    """A Python float that is compared in float64, whatever it is compared with."""

    __hash__ = float.__hash__

    def __eq__(self, other):
        return float(self) == np.asarray(other, np.float64)


def _compare_in_float64(module):
    """scalar/basic.py:217 and 331 compare a Python float with a float16 or float32 made of it.

    NumPy 1 compared in float64. NumPy 2 rounds the Python float first, and finds them equal: without the patch ``x *
    0.1`` of a float64 x takes the float32 0.1, T.constant(1e300) is inf, and a function of a float32 takes 0.1, all
    silently.
    """
    if not _PYTHON_NUMBERS_ARE_WEAK:
        return
    autocast, filter_ = module.NumpyAutocaster.__call__, module.Scalar.filter

    @functools.wraps(autocast)
    def autocast_exactly(self, x):
        with np.errstate(over="ignore"):  # 1e300 is tried as a float32
            return autocast(self, _Float(x) if type(x) is float else x)

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

    module.NumpyAutocaster.__call__, module.Scalar.filter = autocast_exactly, filter_exactly


def _type_every_step_of_a_composite(module):
    """scalar/basic.py:3848: in Python, a Composite mixes NumPy's scalars, which casts give, with Python's own.

    NumPy 1 computed such pairs in float64 and int64, NumPy 2 in the narrower type: results are rounded, or an
    OverflowError. Here every intermediate result has the dtype that the graph says, as it has in C.
    """
    if not _PYTHON_NUMBERS_ARE_WEAK:
        return

    def init_py_impls(self):
        known = {}

        def of(variable):
            if variable not in known:
                compute, dtype = untyped(variable), variable.type.dtype
                known[variable] = lambda inputs: np.asarray(compute(inputs)).astype(dtype)[()]
            return known[variable]

        def untyped(variable):
            if variable in self.fgraph.inputs:
                index = self.fgraph.inputs.index(variable)
                return lambda inputs: inputs[index]
            if variable.owner is None:
                return lambda inputs: variable.data
            op, arguments = variable.owner.op, [of(each) for each in variable.owner.inputs]
            return lambda inputs: op.impl(*[argument(inputs) for argument in arguments])

        self._impls = [of(output) for output in self.fgraph.outputs]

    module.Composite.init_py_impls = init_py_impls


def _invert_in_double_precision(module):
    """scalar/basic.py:2734: np.float32(1.0) / x, of a Python float or complex, is one in float32 since NumPy 2."""
    if _PYTHON_NUMBERS_ARE_WEAK:
        impl, double = module.Inv.impl, {int: np.float64, float: np.float64, complex: np.complex128}
        module.Inv.impl = lambda self, x: impl(self, double[type(x)](x) if type(x) in double else x)


# The headers


def _name_the_compiledir(configparser):
    """Keep a folder for each: modules compiled for NumPy 1 do not load in NumPy 2, nor the other way round.

    configdefaults.py:1815 names it by Python's version alone. A name that the user has set stays.
    """
    if not flag_is_set(configparser, "compiledir_format"):
        configparser.THEANO_FLAGS_DICT["compiledir_format"] = (
            "compiledir_%(short_platform)s-%(processor)s-%(python_version)s-%(python_bitwidth)s-numpy2")


@contextlib.contextmanager
def _with_a_compiledir_of_its_own():
    if _NUMPY_2:
        from theano import configparser
        _name_the_compiledir(configparser)
    yield


def _define_dropped_macros(module):
    """gof/cmodule.py:1929: names that NumPy 2's headers no longer define are passed to the compiler, as part of every
    key.

    Descriptors have a member ``elsize`` only for those that ask for NumPy 2 (sandbox/rng_mrg.py:142, sparse/opt.py:147,
    tensor/c_code/dimshuffle.c:71, tensor/blas.py:514 and more). NPY_PY3K and PyInt_* are in gof/c_code/lazylinker_c.c;
    npy_3kcompat.h, which that includes, has them in NumPy 2.0 and not in later ones.
    """
    if not _NUMPY_2:
        return
    macros = ["-DNPY_TARGET_VERSION=NPY_2_0_API_VERSION"]
    header = Path(np.get_include(), "numpy", "npy_3kcompat.h")
    if not header.exists() or "#define PyInt_FromLong" not in header.read_text(encoding="utf-8"):
        macros += ["-DNPY_PY3K", "-DPyInt_Check=PyLong_Check", "-DPyInt_AsLong=PyLong_AsLong",
                   "-DPyInt_FromLong=PyLong_FromLong"]
    compile_args = module.GCC_compiler.compile_args

    @functools.wraps(compile_args)
    def with_macros(*args, **kwargs):
        return compile_args(*args, **kwargs) + macros

    module.GCC_compiler.compile_args = staticmethod(with_macros)


def _flatten_by_ravel_axis(*kinds):
    """tensor/basic.py:1349 and 1556, extra_ops.py:328, subtensor.py:1808: NPY_MAXDIMS no longer means "all axes"."""
    if _NUMPY_2:
        for kind in kinds:
            replace_in_code(kind, "c_code", ("NPY_MAXDIMS", "NPY_RAVEL_AXIS"))


def _give_complex_numbers_members(module):
    """scalar/basic.py:513: since NumPy 2.0, npy_complex64 and npy_complex128 have no members real and imag in C++."""
    if _NUMPY_2:
        replace_in_code(module.Scalar, "c_support_code", *(
            ("struct theano_complex%d : public npy_complex%d\n            {" % (bits, bits),
             "struct theano_complex%d\n            {\n    npy_float%d real, imag;\n"
             "    operator npy_complex%d() const { return *(const npy_complex%d *)this; }\n"
             % (bits, bits // 2, bits, bits)) for bits in (64, 128)))


def _increment_rows_in_c(module):
    """tensor/inc_code.py, of AdvancedIncSubtensor1, uses PyArray_MapIter*, private since NumPy 2.0.

    Without C code it would take np.add.at (subtensor.py:2015), which is slower.
    """
    if _NUMPY_2:
        code = (Path(__file__).resolve().parent / "increments.h").read_text(encoding="utf-8")
        module.inc_code = lambda: code


# The tables


def _mend_scalar_basic(module):
    _give_dropped_names(module)
    _give_ufuncs_of_a_letter(module)
    _give_wrapping_arrays(module)
    _fill_with_all_bits(module)
    _compare_in_float64(module)
    _type_every_step_of_a_composite(module)
    _invert_in_double_precision(module)
    _give_complex_numbers_members(module)


def _mend_tensor_basic(module):
    _flatten_by_ravel_axis(module.MaxAndArgmax, module.Argmax)


def _mend_extra_ops(module):
    _give_dropped_names(module)
    _flatten_by_ravel_axis(module.CumOp)
    _flatten_inverse(module)


def _mend_subtensor(module):
    _flatten_by_ravel_axis(module.AdvancedSubtensor1)
    _increment_rows_in_c(module)


def _mend_sigm(module):
    _give_dropped_names(module)
    _give_ufuncs_of_a_letter(module)


CONTEXT_TO_RUN_IN = {
    "theano.configdefaults": _with_a_compiledir_of_its_own,
    "theano.gpuarray.linalg": _with_numpy_linalg_linalg,
}
MEND_ONCE_RUN = {
    "theano.compile.debugmode": _fill_instead_of_itemset,
    "theano.printing": _take_bytes,
    "theano.sandbox.fourier": _give_fft_of_numpy_1,
    "theano.sandbox.rng_mrg": _mask_in_64_bits,
    "theano.misc.safe_asarray": _wrap_integers_round,
    "theano.gof.cc": _give_dropped_names,
    "theano.gof.cmodule": _define_dropped_macros,
    "theano.scalar.basic": _mend_scalar_basic,
    "theano.tensor.basic": _mend_tensor_basic,
    "theano.tensor.elemwise": _give_dropped_names,
    "theano.tensor.extra_ops": _mend_extra_ops,
    "theano.tensor.fft": _give_fft_of_numpy_1,
    "theano.tensor.fourier": _give_fft_of_numpy_1,
    "theano.tensor.opt": _give_wrapping_arrays,
    "theano.tensor.raw_random": _copy_random_states_whole,
    "theano.tensor.slinalg": _give_dropped_names,
    "theano.tensor.subtensor": _mend_subtensor,
    "theano.tensor.nnet.abstract_conv": _give_dropped_names,
    "theano.tensor.nnet.bn": _give_dropped_names,
    "theano.tensor.nnet.conv": _give_dropped_names,
    "theano.tensor.nnet.conv3d2d": _strides_of_a_new_view,
    "theano.tensor.nnet.sigm": _mend_sigm,
}
