"""Lets the unmodified Theano 1.0.5 and Lasagne 0.1 run on Python 3.8-3.11 with NumPy 1.17-1.26.

Both are from before 2021 and stay as their authors released them. What breaks them today is mended here, and nowhere
else.

Importing this module, as ``import sparse_ae`` does, puts a finder in front of ``sys.meta_path``. That loads nothing.
Whoever imports a module of theano or lasagne later, this package or the user, gets it through the finder: found and run
by Python's usual means, with the mend that the tables at the end of this file name for it, and without the warnings
that its source makes today's Python and NumPy print, which no user can act on. A theano that is already there is mended
in place. One whose import failed, for want of the mends, leaves modules behind that would break the next try: they are
dropped first.

Each mend says which lines of Theano it mends, and since when they break. It asks for what is missing, not for a
version, wherever that can be asked, so that nothing changes where there is nothing to mend. NumPy gets its missing
names only while the module that needs them is being run. No flag is touched that a user has set: THEANO_FLAGS and
.theanorc mean what they always meant.
"""

import contextlib
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import sys
import types
import warnings

import numpy as np

__all__ = ["NO_COMPILER", "NO_HEADERS", "any_compiler", "install", "python_headers"]

NO_COMPILER = (
    "no C++ compiler was found: everything runs in Python, tens to hundreds of times slower. To install one: "
    "apt install g++ python3-dev (Debian, Ubuntu), dnf install gcc-c++ python3-devel (Fedora), "
    "xcode-select --install (macOS)")
NO_HEADERS = (
    "Python.h was not found in {folder}: there is a C++ compiler, but everything runs in Python, tens to hundreds of "
    "times slower. To install it: apt install python3-dev (Debian, Ubuntu), dnf install python3-devel (Fedora), or "
    "whatever brings the headers of this Python")

# What NumPy once had and Theano still looks up.
_NAMES_NUMPY_DROPPED = {"bool": np.bool_, "complex": complex, "product": np.prod}


def any_compiler():
    """Whether there is a C++ compiler of those that Theano looks for."""
    return any(shutil.which(name) for name in ("g++", "clang++"))


def python_headers():
    """Where Theano has its compiler look for Python.h.

    Returns
    -------
    folder : str
        The folder in which this Python's headers belong.
    found : bool
        Whether Python.h is there, or may be found through an include path of the user's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from distutils.sysconfig import get_python_inc
    folders = [get_python_inc(), get_python_inc(plat_specific=True)]
    found = (any(os.path.isfile(os.path.join(folder, "Python.h")) for folder in folders)
             or any(name in os.environ for name in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")))
    return folders[0], found


# What has to be in place while a module is run


@contextlib.contextmanager
def _names_added(module, **values):
    """Gives the module those of the names that it lacks, and takes them back."""
    lacking = [name for name in values if name not in vars(module)]
    for name in lacking:
        setattr(module, name, values[name])
    try:
        yield
    finally:
        for name in lacking:
            delattr(module, name)


def _refuse_versions_beyond_repair():
    """Beyond these versions Theano breaks in many places, in some of them by wrong dtypes: better not at all."""
    if sys.version_info >= (3, 12) or int(np.__version__.partition(".")[0]) >= 2:
        raise ImportError(
            "Theano 1.0.5 runs on Python 3.8 to 3.11 with NumPy below 2, and this is Python %s with NumPy %s. Make an "
            "environment with a Python that fits and install sparse_ae there; where only NumPy is too new: "
            "pip install 'numpy<2' 'pandas<3' (pandas 3 is a package that brings NumPy 2)"
            % (".".join(map(str, sys.version_info[:3])), np.__version__))


@contextlib.contextmanager
def _numpy_says_how_it_was_linked():
    """configdefaults.py:1284 asks NumPy how it was linked, to choose a default for the flag blas.ldflags.

    NumPy 1.22's wheels no longer say it. NumPy 1.26 lacks the whole module, and what Theano tries then,
    numpy.distutils.system_info, cannot be imported beside setuptools 74 and later. Told of nothing, Theano goes on to
    try -lblas, and else calls NumPy's own BLAS, which is as fast.
    """
    import numpy.distutils
    try:
        import numpy.distutils.__config__ as numpy_config
    except ImportError:
        numpy_config = types.ModuleType("numpy.distutils.__config__")
    with _names_added(numpy.distutils, __config__=numpy_config), _names_added(numpy_config, blas_opt_info={}):
        yield


@contextlib.contextmanager
def _no_compiler_without_headers():
    """configdefaults.py:500 looks for g++ but not for Python.h, without which the import ends in a compiler's errors.

    Where Python.h is missing, and the user has not chosen a compiler or its options, Theano is told that there is none.
    """
    from theano import configparser
    folder, found = python_headers()
    if not found and not any(_flag_is_set(configparser, flag) for flag in ("cxx", "gcc.cxxflags")) and any_compiler():
        logging.getLogger("theano.configdefaults").warning(NO_HEADERS.format(folder=folder))
        configparser.THEANO_FLAGS_DICT["cxx"] = ""
    yield


def _flag_is_set(configparser, flag):
    try:
        configparser.fetch_val_for_key(flag)
    except KeyError:
        return False
    return True


@contextlib.contextmanager
def _numpy_with_dropped_names():
    """scalar/basic.py:2323 looks np.bool up while it is run: deprecated in NumPy 1.20, gone in 1.24."""
    with _names_added(np, **_NAMES_NUMPY_DROPPED):
        yield


@contextlib.contextmanager
def _pkg_resources_stand_in():
    """lasagne/__init__.py:27 and gpuarray/linalg.py:5, which scan imports on a CPU too, import pkg_resources.

    setuptools 82 dropped it, and an environment may hold no setuptools at all.
    """
    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return

    def lacking(name):
        # scikit-cuda, which linalg.py tries for, asks for more; an ImportError is what it is prepared for.
        raise ImportError("pkg_resources is not installed")

    stand_in = types.ModuleType("pkg_resources")
    stand_in.get_distribution = importlib.metadata.distribution
    stand_in.DistributionNotFound = importlib.metadata.PackageNotFoundError
    stand_in.__getattr__ = lacking
    sys.modules[stand_in.__name__] = stand_in
    try:
        yield
    finally:
        del sys.modules[stand_in.__name__]


# What is put right once a module has been run


class _NumPyWithDroppedNames(types.ModuleType):
    """NumPy, and the names of it that Theano still looks up."""

    def __getattr__(self, name):
        return getattr(np, name)


def _give_numpy_of_its_own(module):
    """scalar/basic.py, scalar/sharedvar.py:59 and tensor/basic.py:381 look np.bool, np.complex and np.product up later.

    The first two were deprecated in NumPy 1.20 and left in 1.24; np.product was deprecated in 1.25. Line 381 stands in
    a ``try`` that takes any error for "not a constant": without the mend, optimisations would silently not happen.
    """
    if not _NAMES_NUMPY_DROPPED.keys() <= vars(np).keys():
        module.np = _NumPyWithDroppedNames("numpy")
        vars(module.np).update(_NAMES_NUMPY_DROPPED)


def _mend_topk(module):
    """tensor/sort.py:282, 285, 293 index with a list of slices: a warning since NumPy 1.15, an error since 1.23."""

    def topk(op, x, k, axis, idx_dtype):
        if not 0 < abs(k) <= x.shape[axis]:
            raise ValueError("topk: k is %d, and must be from 1 to the axis's size %d, or negative for the smallest"
                             % (k, x.shape[axis]))
        place, chosen = (-k, slice(-k, None)) if k > 0 else (-k - 1, slice(-k))
        index = np.argpartition(x, place, axis=axis)
        index = index[(slice(None),) * (axis % x.ndim) + (chosen,)]
        values = np.take_along_axis(x, index, axis=axis) if op.return_values else None
        if not op.return_indices:
            return values
        index = index.astype(idx_dtype)
        return (values, index) if op.return_values else index

    module._topk_py_impl = topk


def _mend_batched_dot(module):
    """tensor/blas.py:2318: BatchedDot's C code passes on a pointer to dgemm_, which needs a linked BLAS.

    So it breaks wherever blas.ldflags is empty, which is common since NumPy 1.22. Without C code it takes its NumPy
    loop.
    """
    c_code = module.BatchedDot.c_code

    @functools.wraps(c_code)
    def c_code_with_blas(self, node, name, inputs, outputs, sub):
        if not module.config.blas.ldflags:
            raise module.utils.MethodNotDefined("c_code", type(self), type(self).__name__)
        return c_code(self, node, name, inputs, outputs, sub)

    module.BatchedDot.c_code = c_code_with_blas


def _accept_image_shape(module):
    """tensor/nnet/__init__.py:157 warns of an argument's old name, by which Lasagne 0.1's convolutions call it.

    Theano 1.0.5 was the last: the old name will not go.
    """
    conv2d = module.conv2d

    @functools.wraps(conv2d)
    def conv2d_of_either_name(input, filters, input_shape=None, *args, **kwargs):
        if input_shape is None:
            input_shape = kwargs.pop("image_shape", None)
        return conv2d(input, filters, input_shape, *args, **kwargs)

    module.conv2d = conv2d_of_either_name


def _mend_module_cache(module):
    """gof/cmodule.py:540 writes an entry's key.pkl over itself, while other processes read it without the lock.

    One that finds half of it takes the entry for broken and deletes it (line 832) under the process that wrote it, of
    which a later compilation ends in a bare AssertionError (line 516), or in a file that isn't found; an entry of which
    the writing failed half way ends in another (line 937). So key.pkl is written in one step; and after such an error
    what is known of the cache is forgotten, as in a new process, and the compilation is tried once more.
    """
    cache_class = module.ModuleCache

    def save_pkl(self):
        new = "%s.%d" % (self.key_pkl, os.getpid())
        try:
            with open(new, "wb") as file:
                module.pickle.dump(self, file, protocol=module.pickle.HIGHEST_PROTOCOL)
            os.replace(new, self.key_pkl)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.remove(new)
            if isinstance(error, module.pickle.PicklingError):
                module._logger.warning("Cache leak due to unpickle-able key data %s", self.keys)
            raise

    first_try = cache_class.module_from_key

    @functools.wraps(first_try)
    def module_from_key(self, *args, **kwargs):
        lock = module.compilelock.get_lock
        locks = getattr(lock, "n_lock", 0)
        try:
            return first_try(self, *args, **kwargs)
        except (AssertionError, EOFError, FileNotFoundError, ModuleNotFoundError) as error:
            if _raised_by(error) not in (module.__name__, __name__):
                raise
        module._logger.warning("an entry of the cache of compiled code in %s was broken; compiling once more",
                               self.dirname)
        while getattr(lock, "n_lock", 0) > locks:  # lock_ctx, at compilelock.py:38, keeps it after an error
            module.compilelock.release_lock()
        self.__init__(self.dirname, self.check_for_broken_eq, do_refresh=False)
        self.refresh(cleanup=False)
        return first_try(self, *args, **kwargs)

    module.KeyData.save_pkl = save_pkl
    cache_class.module_from_key = module_from_key


def _raised_by(error):
    """The name of the module that an error was raised in."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__")


def _say_what_to_install(record):
    """A filter of log records: configdefaults.py:580 says at length that there is no compiler, not what to install."""
    if str(record.msg).startswith("g++ not detected"):
        record.msg, record.args = NO_COMPILER, ()
    return True


def _drop_what_needs_no_action(record):
    """A filter of log records: tensor/blas_headers.py:988 says that all is well."""
    return record.msg != "Using NumPy C-API based implementation for BLAS functions."


def _say_once_who_waits(record):
    """A filter of log records: gof/compilelock.py:266 takes two lines to say that another process is compiling.

    Lines 105 and 240 say that all is well: that the lock is refreshed, or taken over from a process that has died.
    """
    if record.msg == "To manually release the lock, delete %s":
        record.msg = ("Another process is compiling; waiting for it. (Should there be none, on no machine: delete its "
                      "lock, %s)")
    return not str(record.msg).startswith(("Waiting for existing lock by", "Refreshing lock %s",
                                           "Overriding existing lock by dead"))


def _say_that_it_is_made_anew(record):
    """A filter of log records: gof/cmodule.py:1555 says that it deletes something broken, not what follows from it."""
    if record.args and str(record.args[0]).startswith("Deleting (broken cache directory"):
        record.msg, record.args = ("A broken entry of the cache of compiled code is deleted, and made anew when it is "
                                   "needed: %s", record.args[1:])
    return True


# Modules that Theano 1.0 lacks, or that must not be there


def _make_downsample(module):
    """lasagne/layers/pool.py:6 imports what theano.tensor.signal.pool replaced in Theano 1.0, with other arguments."""
    from theano.tensor.signal import pool

    def max_pool_2d(input, ds, ignore_border=None, st=None, padding=(0, 0), mode="max"):
        return pool.pool_2d(input, ws=ds, ignore_border=ignore_border, stride=st, pad=padding, mode=mode)

    module.max_pool_2d = max_pool_2d


def _raise_import_error(module):
    """scan_module/c_code/scan_perform.c:181 includes longintrepr.h, which Python 3.11 moved: every scan is an error.

    An ImportError is what makes scan take its Python loop (scan_module/scan_op.py:953), which is a tenth slower.
    """
    raise ImportError("%s does not compile on Python 3.11 and later" % module.__name__, name=module.__name__)


# The tables, and what carries them out


# Module: the context manager within which it is run.
_CONTEXT_TO_RUN_IN = {
    "theano": _numpy_says_how_it_was_linked,
    "theano.configdefaults": _no_compiler_without_headers,
    "theano.scalar.basic": _numpy_with_dropped_names,
    "theano.gpuarray.linalg": _pkg_resources_stand_in,
    "lasagne": _pkg_resources_stand_in,
}
# Module: what is done to it once it has been run.
_MEND_ONCE_RUN = {
    "theano.gof.cmodule": _mend_module_cache,
    "theano.scalar.basic": _give_numpy_of_its_own,
    "theano.scalar.sharedvar": _give_numpy_of_its_own,
    "theano.tensor.basic": _give_numpy_of_its_own,
    "theano.tensor.sort": _mend_topk,
    "theano.tensor.blas": _mend_batched_dot,
    "theano.tensor.nnet": _accept_image_shape,
}
# Module: what fills it, in place of a file of Theano's.
_MADE_BY_US = {"theano.tensor.signal.downsample": _make_downsample}
if sys.version_info >= (3, 11):
    _MADE_BY_US["theano.scan_module.scan_perform_ext"] = _raise_import_error
# Logger: what its records pass through.
_LOG_FILTERS = {
    "theano.configdefaults": _say_what_to_install,
    "theano.tensor.blas": _drop_what_needs_no_action,
    "theano.gof.compilelock": _say_once_who_waits,
    "theano.gof.cmodule": _say_that_it_is_made_anew,
}


class _FinderOfMended:
    """Finds the modules of theano and lasagne, and has them run with their mends."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        package = name.partition(".")[0]
        if package not in ("theano", "lasagne"):
            return None
        if name in _MADE_BY_US:
            return importlib.machinery.ModuleSpec(name, _LoaderOfOurs)
        if name == package and name not in sys.modules:
            _drop_leftovers_of_a_failed_import(package)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not cls else None
            if spec is not None:
                if spec.loader is not None:
                    # The loader is this spec's own, and stays what it is for all that ask it for sources or data.
                    spec.loader.exec_module = functools.partial(_run_mended, spec.loader.exec_module)
                return spec
        return None


class _LoaderOfOurs:
    """Loads a module of ours under a name of Theano's."""

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        _MADE_BY_US[module.__name__](module)


def _run_mended(exec_module, module):
    if module.__name__ in ("theano", "lasagne"):  # Lasagne would say only that Theano can't be imported
        _refuse_versions_beyond_repair()
    with warnings.catch_warnings():
        # Not all: that a flag is misspelt, for one, is the user's to know.
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning,
                         SyntaxWarning):
            warnings.simplefilter("ignore", category)
        for message in ("pkg_resources is deprecated", r"DeprecationWarning: there is no c\+\+ compiler"):
            warnings.filterwarnings("ignore", message)
        with _CONTEXT_TO_RUN_IN.get(module.__name__, contextlib.nullcontext)():
            exec_module(module)
    if module.__name__ in _MEND_ONCE_RUN:
        _MEND_ONCE_RUN[module.__name__](module)


def _drop_leftovers_of_a_failed_import(package):
    for name in list(sys.modules):
        if name.startswith(package + "."):
            del sys.modules[name]


def install():
    """Puts every mend in place, now or for when its module is imported. A second call does nothing."""
    if any(getattr(finder, "__module__", None) == __name__ for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _FinderOfMended)
    for name, log_filter in _LOG_FILTERS.items():
        logging.getLogger(name).addFilter(log_filter)
    for name, mend in _MEND_ONCE_RUN.items():
        if name in sys.modules:
            mend(sys.modules[name])


install()
