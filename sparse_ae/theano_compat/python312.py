"""Patches for Python 3.12 and later: replacements for removed modules of the standard library."""

import importlib.machinery
import importlib.util
import shutil
import sys
import sysconfig
import types

import numpy as np

from sparse_ae.theano_compat.compilers import include_folder
from sparse_ae.theano_compat.patches import once_run, run_within
from sparse_ae.theano_compat.stand_ins import give_numpy_of_its_own, module_of, modules_added, names_added


def _python_lacks(name):
    """Whether Python's own library lacks a module. setuptools has a distutils: slow, and not always installed."""
    standard_library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    return name not in sys.builtin_module_names and importlib.machinery.PathFinder.find_spec(name,
                                                                                            standard_library) is None


def _make_distutils():
    """Make what Theano asks of distutils, by module."""

    def get_python_lib(plat_specific=False, standard_lib=False):
        return sysconfig.get_path("stdlib" if standard_lib else "platlib" if plat_specific else "purelib")

    spawn = module_of("distutils.spawn", find_executable=shutil.which)
    its_sysconfig = module_of(
        "distutils.sysconfig", get_config_var=sysconfig.get_config_var, get_python_inc=include_folder,
        get_python_version=sysconfig.get_python_version, get_config_h_filename=sysconfig.get_config_h_filename,
        get_python_lib=get_python_lib)
    # A path, even if an empty one, makes a package of it.
    distutils = module_of("distutils", __path__=[], spawn=spawn, sysconfig=its_sysconfig)
    return {module.__name__: module for module in (distutils, spawn, its_sysconfig)}


def _make_numpy_distutils():
    """Make what Theano asks of numpy.distutils, by module."""
    config = module_of("numpy.distutils.__config__", blas_opt_info={})
    misc_util = module_of("numpy.distutils.misc_util", get_numpy_include_dirs=lambda: [np.get_include()])
    distutils = module_of("numpy.distutils", __path__=[], __config__=config, misc_util=misc_util)
    return {module.__name__: module for module in (distutils, config, misc_util)}


_DISTUTILS = _make_distutils() if _python_lacks("distutils") else {}
_NUMPY_DISTUTILS = _make_numpy_distutils() if importlib.util.find_spec("numpy.distutils") is None else {}
_IMP = {"imp": module_of("imp")} if _python_lacks("imp") else {}


@run_within("theano", "theano.configdefaults", "theano.gof.cmodule", "theano.tensor.blas")
def _with_distutils():
    """gof/cmodule.py:20 and configdefaults.py:531 import distutils, gone in Python 3.12; gof/cmodule.py:23,
    tensor/blas.py:134 and configdefaults.py:1280 numpy.distutils, which NumPy has only where Python has distutils."""
    more = {"distutils": _NUMPY_DISTUTILS["numpy.distutils"]} if _NUMPY_DISTUTILS else {}
    with modules_added(dict(_DISTUTILS, **_NUMPY_DISTUTILS)), names_added(np, **more):
        yield


@run_within("theano")
def _numpy_says_how_it_was_linked():
    """configdefaults.py:1284 asks NumPy how it was linked, for the flag blas.ldflags. NumPy 1.22's wheels no longer say
    it, and 1.26 lacks the module. Told of nothing, Theano tries -lblas, and else calls NumPy's own BLAS, as fast."""
    import numpy.distutils
    try:
        import numpy.distutils.__config__ as numpy_config
    except ImportError:
        numpy_config = types.ModuleType("numpy.distutils.__config__")
    with names_added(numpy.distutils, __config__=numpy_config), names_added(numpy_config, blas_opt_info={}):
        yield


@run_within("theano.tests.breakpoint")
def _with_imp():
    """tests/breakpoint.py:3, which gpuarray/opt.py imports, imports imp, gone in Python 3.12, and doesn't use it."""
    with modules_added(_IMP):
        yield


@once_run("theano.gof.cmodule", where=_NUMPY_DISTUTILS)
def _keep_numpy_distutils(module):
    """gof/cmodule.py:1624 looks numpy.distutils up at every compilation."""
    give_numpy_of_its_own(module, distutils=_NUMPY_DISTUTILS["numpy.distutils"])
