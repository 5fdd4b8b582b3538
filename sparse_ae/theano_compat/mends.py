"""Patches for every Python and NumPy that this package runs on."""

import errno
import functools
import glob
import importlib.util
import logging
import os
import platform
import sys

import numpy as np

from sparse_ae.theano_compat import folders
from sparse_ae.theano_compat.patches import once_run, run_within
from sparse_ae.theano_compat.stand_ins import module_of, modules_added, names_added, rewrite, rewritten_once_run

#: Removed names of NumPy 1 that Theano still looks up.
NAMES_NUMPY_DROPPED = {"bool": np.bool_, "complex": complex, "product": np.prod}


# Names that must exist while a module is run


@run_within("theano.configdefaults")
def _compiledir_that_can_be_written_to():
    """configdefaults.py:1906 compiles to a folder of the home, and fails in a traceback where that can't be written to,
    nor loaded from: a temporary one is taken, and said, unless the user has named another."""
    from theano import configparser
    folder = os.path.join(os.path.expanduser("~"), ".theano")
    chosen = any(flag_is_set(configparser, flag) for flag in ("base_compiledir", "compiledir"))
    if os.name == "posix" and not chosen:
        # Within it another user's may lie, of a program that was run by sudo.
        its_own = glob.glob(os.path.join(glob.escape(folder), "compiledir_*-%s-*" % platform.python_version()))
        fault = next((fault for fault in map(folders.fault_of, [folder] + its_own) if fault), None)
        if fault:
            configparser.THEANO_FLAGS_DICT["base_compiledir"] = folders.temporary("theano")
            logging.getLogger("theano.configdefaults").warning(
                "%s: compiled code is kept in %s. To keep it elsewhere: THEANO_FLAGS=base_compiledir=FOLDER", fault,
                configparser.THEANO_FLAGS_DICT["base_compiledir"])
    yield


def flag_is_set(configparser, flag):
    """Tell whether the user has set a flag, in THEANO_FLAGS or in .theanorc."""
    try:
        configparser.fetch_val_for_key(flag)
    except KeyError:
        return False
    return True


@run_within("theano.scalar.basic", "pygpu.tools")
def _numpy_with_dropped_names():
    """scalar/basic.py:2323 looks np.bool up while it is run: deprecated in NumPy 1.20, gone in 1.24. So does
    dtypes.py:74 of pygpu, when tools.py is run: Theano is prepared for an ImportError, not for the AttributeError."""
    with names_added(np, **NAMES_NUMPY_DROPPED):
        yield


@run_within("lasagne", "theano.gpuarray.linalg")
def _pkg_resources_stand_in():
    """lasagne/__init__.py:27 and gpuarray/linalg.py:5, which scan imports on a CPU too, import pkg_resources, which
    setuptools 82 dropped; and an environment may hold no setuptools at all."""
    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return
    from importlib import metadata  # takes its time

    def lacking(name):
        # scikit-cuda, which linalg.py tries to import, needs more; linalg.py expects an ImportError.
        raise ImportError("pkg_resources is not installed")

    stand_in = module_of(
        "pkg_resources", get_distribution=metadata.distribution,
        DistributionNotFound=metadata.PackageNotFoundError, __getattr__=lacking)
    with modules_added({"pkg_resources": stand_in}):
        yield


@run_within("theano.tensor.nnet.abstract_conv", "theano.tensor.nnet.conv")
def _with_private_names_of_scipy_signal():
    """tensor/nnet/conv.py:30 and abstract_conv.py:27 import private names, which SciPy 1.8 moved: without them no
    convolution runs in Python. Called as there, convolve2d is the same."""
    def convolve(*args):
        from scipy import signal  # takes its time
        return signal.convolve(*args)

    def convolve2d(image, kernel, flip, mode, boundary, fill):
        from scipy import signal
        return signal.convolve2d(image, kernel, mode, boundary, fill)

    signaltools = module_of("scipy.signal.signaltools", convolve=convolve, _valfrommode=lambda mode: mode,
                            _bvalfromboundary=lambda boundary: boundary)
    sigtools = module_of("scipy.signal.sigtools", _convolve2d=convolve2d)
    with modules_added({module.__name__: module for module in (signaltools, sigtools)}):
        yield


@run_within("theano.scalar.basic_scipy")
def _without_scipy_stats():
    """scalar/basic_scipy.py:21 imports scipy.stats, half a second of work, for one Op's Python code, Chi2SF's. From
    SciPy 1.9 on it is imported where it is first looked up."""
    import scipy
    if "scipy.stats" in sys.modules or not hasattr(scipy, "__getattr__"):
        yield
        return
    with modules_added({"scipy.stats": module_of("scipy.stats")}):
        yield


@run_within("theano.scan_module.scan_perform_ext",
            where=sys.version_info >= (3, 11) or np.lib.NumpyVersion(np.__version__) >= "2.0.0")
def _scan_in_python():
    """scan_module/c_code/scan_perform.c:181 includes longintrepr.h, which Python 3.11 moved, and doesn't know NumPy 2's
    descriptors. An ImportError makes scan take its Python loop (scan_op.py:953), which is a tenth slower."""
    name = "theano.scan_module.scan_perform_ext"
    raise ImportError("%s does not compile here" % name, name=name)
    yield


# Patches after a module has been run


# tensor/sort.py:282, 285, 293 index with a list of slices: a warning since NumPy 1.15, an error since 1.23.
rewritten_once_run("theano.tensor.sort", "_topk_py_impl", (")[idx]", ")[tuple(idx)]"))

# tensor/signal/pool.py:574, 1512, 2179: likewise, so that without a compiler nothing was pooled.
_INDEX = "[region_slices[i][r[i]] for i in xrange(nd)]"
for _kind in ("Pool", "MaxPoolRop"):
    rewritten_once_run("theano.tensor.signal.pool", _kind + ".perform", (_INDEX, "tuple(%s)" % _INDEX))
rewritten_once_run("theano.tensor.signal.pool", "AveragePoolGrad.perform",
                   ("gxk[region_slice]", "gxk[tuple(region_slice)]"))

# tensor/blas.py:2318: BatchedDot's C code passes on a pointer to dgemm_, and breaks where blas.ldflags is empty, which
# is common since NumPy 1.22. Without C code it takes its NumPy loop.
rewritten_once_run("theano.tensor.blas", "BatchedDot.c_code", ("inp, out, sub):\n", """inp, out, sub):
        if not config.blas.ldflags:
            raise utils.MethodNotDefined('c_code')
"""))

# tensor/nnet/__init__.py:157 warns of an argument's old name, by which Lasagne 0.1's convolutions call it.
rewritten_once_run("theano.tensor.nnet", "conv2d", ("    if image_shape is not None:\n", """    if input_shape is None:
        input_shape, image_shape = image_shape, None
    if image_shape is not None:
"""))


@once_run("theano.tensor.blas", where=np.empty((2, 0)).strides == (0, 0))
def _mend_products_of_empty_matrices(module):
    """tensor/blas.py:651 and 2087, of Gemm, Dot22 and BatchedDot, find "no unit stride" in arrays without elements,
    whose strides are 0 since NumPy 1.23. Here they have the strides that they had before."""
    def strides_of_old(rows, columns):
        return "".join("""
            npy_intp old_S{x}[3];
            if (N{x}[{rows}] == 0 || N{x}[{columns}] == 0) {{
                old_S{x}[0] = 0;
                old_S{x}[{rows}] = (N{x}[{columns}] > 0 ? N{x}[{columns}] : 1) * type_size;
                old_S{x}[{columns}] = type_size;
                S{x} = old_S{x};
            }}
            """.format(x=x, rows=rows, columns=columns) for x in "xyz")

    gemm, batched = module.GemmRelated, module.BatchedDot
    gemm.encode_strides_in_unit = strides_of_old(0, 1) + gemm.encode_strides_in_unit
    begin = "int unit = 0;"
    rewrite(batched, "c_support_code", (begin, strides_of_old(1, 2) + begin))
    # The keys of compiled code know of it.
    for kind, method in ((gemm, "build_gemm_version"), (batched, "c_code_cache_version")):
        _add_to_version(kind, method, "empty")


def _add_to_version(kind, method, what):
    version = getattr(kind, method)
    setattr(kind, method, functools.wraps(version)(lambda self: version(self) + (what,)))


@once_run("theano.gof.cmodule")
def _refuse_a_mount_without_exec(module):
    """A folder that the user has named; before the first thing is compiled to it."""
    folder = module.config.compiledir
    if module.config.cxx and folders.is_without_exec(folder):
        raise OSError(errno.EACCES, "%s is on a mount without exec, from which no compiled code can be loaded; name "
                                    "another folder by THEANO_FLAGS=base_compiledir=FOLDER" % folder)


@once_run("theano.sparse.sandbox.sp")
def _number_pixels_by_integers(module):
    """sparse/sandbox/sp.py:192, and 117 in mode "full", number rows and columns by floats, an error since SciPy 1.5."""
    rewrite(module.ConvolutionIndices, "evaluate", ("[y, x]) / (dy, dx)", "[y, x]) // (dy, dx)"),
            ("lbound = np.zeros(2)", "lbound = np.zeros(2, int)"))


@once_run("theano.version")
def _refuse_another_theano(module):
    """Where a fork, such as Theano-PyMC, is found in place of Theano, no patch fits."""
    if not module.version.startswith("1.0."):
        raise ImportError("sparse_ae needs Theano 1.0.5, and `import theano` finds %s in %s: uninstall that one (as by "
                          "pip uninstall theano-pymc) and install sparse_ae again, or give each an environment of its "
                          "own" % (module.version, os.path.dirname(module.__file__)), name="theano")


@once_run("theano.tensor.signal")
def _make_downsample(module):
    """lasagne/layers/pool.py:6 imports what theano.tensor.signal.pool replaced in Theano 1.0, with other arguments."""
    def max_pool_2d(input, ds, ignore_border=None, st=None, padding=(0, 0), mode="max"):
        from theano.tensor.signal import pool
        return pool.pool_2d(input, ws=ds, ignore_border=ignore_border, stride=st, pad=padding, mode=mode)

    name = "theano.tensor.signal.downsample"
    module.downsample = sys.modules[name] = module_of(name, max_pool_2d=max_pool_2d)


# Work that is done once, and as well by NumPy: less is to be compiled before the first result


@once_run("theano.sandbox.rng_mrg")
def _seed_by_numpy(module):
    """sandbox/rng_mrg.py:61 compiles a function for a stream's states, each a product of the one before with a matrix,
    modulo a number. Here as many are made at once as there are."""

    def moved(states, matrix, modulo):
        return (states[:, None, :] * matrix % modulo).sum(axis=2) % modulo

    def multiply(v, A, m1, B, m2):
        return np.concatenate((module.matVecModM(A, v[:3], m1), module.matVecModM(B, v[3:], m2)))

    def get_substream_rstates(self, n_streams, dtype, inc_rstate=True):
        states = np.zeros((n_streams, 6), "int32")
        states[0] = self.rstate
        for part, jump, modulo in ((slice(0, 3), module.A1p72, int(module.M1)),
                                   (slice(3, 6), module.A2p72, int(module.M2))):
            n = 1
            while n < n_streams:
                states[n:2 * n, part] = moved(states[:min(n, n_streams - n), part].astype("int64"), jump, modulo)
                jump, n = moved(jump, jump.T, modulo), 2 * n  # of twice as many states on
        if inc_rstate:
            self.inc_rstate()
        return states

    module.multMatVect = multiply
    module.MRG_RandomStreams.get_substream_rstates = get_substream_rstates


@once_run("theano.tensor.elemwise")
def _fold_views_in_python(module):
    """tensor/opt.py:6512 folds constants by C, but for Ops that ask for Python. A constant's axes are never worth C."""
    module.DimShuffle.python_constant_folding = lambda self, node: True
