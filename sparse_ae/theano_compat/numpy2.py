"""Patches for NumPy 2: removed names, and its headers. Those for the headers must never come without those for the
rules of `promotion`: Theano would run, with wrong dtypes."""

import copy
import functools
from pathlib import Path

import numpy as np

from sparse_ae.theano_compat.mends import NAMES_NUMPY_DROPPED, flag_is_set
from sparse_ae.theano_compat.patches import once_run, run_within
from sparse_ae.theano_compat.promotion import dtype_of, works
from sparse_ae.theano_compat.stand_ins import give_numpy_of_its_own, modules_added, rewrite, rewritten_once_run

# NumPy's headers depend on its version, and so do their patches.
_NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"


# Names that NumPy 2 dropped


class Cast:
    """numpy.cast."""

    def __getitem__(self, key):
        dtype = dtype_of(key)
        return lambda x: np.asarray(x).astype(dtype)


def _angle(z):
    """numpy.angle, which since NumPy 2 is a float16 of a short integer; scalar/basic.py:3665 says float64."""
    return np.angle(z if np.iscomplexobj(z) else np.float64(z))


# Names that Theano looks up in NumPy.
_DROPPED = {"cast": Cast()}
if not NAMES_NUMPY_DROPPED.keys() <= vars(np).keys():
    _DROPPED.update(NAMES_NUMPY_DROPPED)
if _NUMPY_2:
    # MAXDIMS is NPY_RAVEL_AXIS, which the C code uses instead of NPY_MAXDIMS; np.core is deprecated.
    _DROPPED.update(sctype2char=lambda dtype: np.dtype(dtype).char, ComplexWarning=np.exceptions.ComplexWarning,
                    MAXDIMS=-2 ** 31, angle=_angle, core=np._core)


@once_run("theano.gof.cc", "theano.scalar.basic", "theano.scalar.sharedvar", "theano.tensor.basic",
          "theano.tensor.elemwise", "theano.tensor.extra_ops", "theano.tensor.slinalg",
          "theano.tensor.nnet.abstract_conv", "theano.tensor.nnet.bn", "theano.tensor.nnet.conv",
          "theano.tensor.nnet.sigm")
def _give_dropped_names(module):
    """Names that left in NumPy 1.24 and 2.0. tensor/basic.py:381 looks np.product up in a ``try`` that takes any error
    for "not a constant": without the patch, optimisations would silently not happen."""
    give_numpy_of_its_own(module, **_DROPPED)


@run_within("theano.gpuarray.linalg", where=_NUMPY_2)
def _with_numpy_linalg_linalg():
    """gpuarray/linalg.py:7 imports numpy.linalg.linalg, private since NumPy 2.0."""
    with modules_added({"numpy.linalg.linalg": np.linalg}):
        yield


# compile/debugmode.py:2096 calls the itemset of an array without axes, which left in NumPy 2.0.
rewritten_once_run("theano.compile.debugmode", "_Linker.make_all", (".itemset(", ".fill("),
                   where=not works(lambda: np.zeros(()).itemset(1.0)))

# printing.py:1268 calls an array's tostring, deprecated in NumPy 1.19, gone in 2.3.
rewritten_once_run("theano.printing", "hex_digest", (".tostring()", ".tobytes()"),
                   where=not works(lambda: np.zeros(1).tostring()))

# tensor/extra_ops.py:1184: since NumPy 2.0 the inverse that np.unique returns has a matrix's shape.
rewritten_once_run("theano.tensor.extra_ops", "Unique.perform", ("= outs[i]", "= outs[i].ravel() if i else outs[i]"),
                   where=np.unique(np.zeros((1, 1)), return_inverse=True)[1].ndim > 1)


@once_run("theano.sandbox.fourier", "theano.tensor.fft", "theano.tensor.fourier",
          where=np.fft.fft(np.zeros(1, np.float32)).dtype != np.complex128)
def _transform_in_double_precision(module):
    """tensor/fourier.py:101 and sandbox/fourier.py:92 say complex128 of a float32, where NumPy 2.0 has complex64;
    tensor/fft.py:37 and 95 give a shape without axes, which is deprecated."""
    for name, old, new in (("Fourier", "fft(a,", "fft(a.astype(np.result_type(a, float)),"),
                           ("FFT", "(frames,", "(frames.astype(np.result_type(frames, float)),"),
                           ("RFFTOp", "(a, s=tuple(s))", "(a.astype(float), tuple(s), range(-len(s), 0))"),
                           ("IRFFTOp", "(inp, s=tuple(s))", "(inp.astype(complex), tuple(s), range(-len(s), 0))")):
        if name in vars(module):
            rewrite(vars(module)[name], "perform", (old, new))


@once_run("theano.tensor.nnet.conv3d2d")
def _strides_of_a_new_view(module):
    """tensor/nnet/conv3d2d.py:30 sets the strides of an array, deprecated in NumPy 2.4."""
    module.as_strided = np.lib.stride_tricks.as_strided
    rewrite(module, "get_diagonal_subtensor_view",
            ("xview.strides = strides", "xview = as_strided(xview, strides=strides)"))


def _copies_share_a_state():
    state = np.random.RandomState(0)
    copy.copy(state).rand()
    return state.rand() != np.random.RandomState(0).rand()


@once_run("theano.tensor.raw_random", where=_copies_share_a_state())
def _copy_random_states_whole(module):
    """tensor/raw_random.py:258 draws from a copy: since NumPy 2.0 copy.copy's goes on where the original went to, and a
    function would silently draw other numbers at every call."""
    module.copy = copy.deepcopy


# The headers


@run_within("theano.configdefaults", where=_NUMPY_2)
def _with_a_compiledir_of_its_own():
    """configdefaults.py:1815 names the folder by Python's version alone, but modules compiled for NumPy 1 don't load in
    NumPy 2, nor the other way round. A name that the user has set stays."""
    from theano import configparser
    if not flag_is_set(configparser, "compiledir_format"):
        configparser.THEANO_FLAGS_DICT["compiledir_format"] = (
            "compiledir_%(short_platform)s-%(processor)s-%(python_version)s-%(python_bitwidth)s-numpy2")
    yield


@once_run("theano.gof.cmodule", where=_NUMPY_2)
def _define_dropped_macros(module):
    """gof/cmodule.py:1929: names that NumPy 2's headers no longer define are passed to the compiler, as part of every
    key. Those of npy_3kcompat.h, for gof/c_code/lazylinker_c.c, left after NumPy 2.0."""
    macros = ["-DNPY_TARGET_VERSION=NPY_2_0_API_VERSION"]  # else descriptors have no member ``elsize``
    header = Path(np.get_include(), "numpy", "npy_3kcompat.h")
    if not header.exists() or "#define PyInt_FromLong" not in header.read_text(encoding="utf-8"):
        macros += ["-DNPY_PY3K", "-DPyInt_Check=PyLong_Check", "-DPyInt_AsLong=PyLong_AsLong",
                   "-DPyInt_FromLong=PyLong_FromLong"]
    compile_args = module.GCC_compiler.compile_args

    @functools.wraps(compile_args)
    def with_macros(*args, **kwargs):
        return compile_args(*args, **kwargs) + macros

    module.GCC_compiler.compile_args = staticmethod(with_macros)


# tensor/basic.py:1349 and 1556, extra_ops.py:328, subtensor.py:1808: NPY_MAXDIMS no longer means "all axes".
for _module, _kind in (("basic", "MaxAndArgmax"), ("basic", "Argmax"), ("extra_ops", "CumOp"),
                       ("subtensor", "AdvancedSubtensor1")):
    rewritten_once_run("theano.tensor." + _module, _kind + ".c_code", ("NPY_MAXDIMS", "NPY_RAVEL_AXIS"),
                       where=_NUMPY_2)

# scalar/basic.py:513: since NumPy 2.0, npy_complex64 and npy_complex128 have no members real and imag in C++.
_TYPE = "typedef npy_float%(half_nbits)s scalar_type;"
rewritten_once_run("theano.scalar.basic", "Scalar.c_support_code", (" : public npy_complex%(nbits)s", ""), (
    _TYPE, _TYPE + " scalar_type real, imag; operator npy_complex%(nbits)s() const"
                   " { return *(const npy_complex%(nbits)s *)this; }"), where=_NUMPY_2)


_INC_CODE = """
static int inplace_increment(PyArrayObject *x, PyObject *index, PyArrayObject *inc, int add)
{
    PyObject *module = PyImport_ImportModule("%s");
    PyObject *done = module ? PyObject_CallMethod(module, "increment_rows", "OOOi", x, index, inc, add) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(done);
    return done ? 0 : -1;
}
""" % __name__


def increment_rows(x, index, inc, add):
    """x[index] += inc, where an index counts as often as it occurs; or, without `add`, x[index] = inc."""
    if not x.flags.writeable:  # np.add.at writes all the same
        raise ValueError("an array whose rows are to be incremented in place is read-only")
    inc = np.broadcast_to(inc.astype(x.dtype, copy=False), index.shape + x.shape[1:])
    if not add:
        x[index] = inc
    elif x.ndim == 2 and x.shape[1] <= len(index):  # in a quarter of the time
        for column, its_inc in zip(x.T, inc.T):
            np.add.at(column, index, its_inc)
    else:
        np.add.at(x, index, inc)


@once_run("theano.tensor.subtensor", where=_NUMPY_2)
def _increment_rows_by_numpy(module):
    """tensor/inc_code.py, of AdvancedIncSubtensor1, uses PyArray_MapIter*, private since NumPy 2.0."""
    module.inc_code = lambda: _INC_CODE
