"""Versions, device, compiler, caches and missing parts: all that a bug report needs."""

import importlib.metadata
import logging
import os
import platform
import subprocess
import sys

import numpy as np

import sparse_ae
from sparse_ae import theano_compat
from sparse_ae.runtime.processors import processors

_REQUIRED = ("Theano", "Lasagne", "numpy", "scipy", "tqdm", "pooch")
_OPTIONAL = ("matplotlib", "h5py", "joblib", "mpi4py", "pygpu")


def info():
    """A line "name: value" for each fact of a bug report, then one that says what to do for each thing missing."""
    facts = [("sparse_ae", sparse_ae.__version__), ("python", "%s, %s" % (platform.python_version(), sys.executable))]
    missing = []
    for name in _REQUIRED + _OPTIONAL:
        version = _version(name)
        fault = theano_compat.pygpu_fault() if name == "pygpu" and version else None
        facts.append((name, "%s, not usable: %s" % (version, fault) if fault else version or "not installed"))
        if version is None and name in _REQUIRED:
            missing.append("%s: run pip install . in sparse_ae's folder" % name)
        if version is None and name == "matplotlib":
            missing.append("matplotlib, for figures: pip install matplotlib")
    facts += [("platform", platform.platform()), ("cores", "%d usable of %s" % (processors(), os.cpu_count()))]
    facts += [(name, os.environ.get(name, "not set")) for name in ("OMP_NUM_THREADS", "THEANO_FLAGS", "THEANORC")]
    facts += _theano_facts(missing)
    facts.append(("data cache", _data_cache()))
    lines = ["%s: %s" % fact for fact in facts]
    lines += ["missing: %s" % each for each in missing] or ["missing: nothing"]
    return "\n".join(lines)


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _data_cache():
    try:
        from sparse_ae.data.datasets import cache_folder
        return cache_folder()
    except ImportError as error:
        return "unknown (%s)" % error


def _theano_facts(missing):
    mixture = theano_compat.installed_over_each_other()
    if mixture is not None:
        missing.append("one Theano: %s" % mixture)
    # Theano's messages during the import are repeated below.
    logging.disable(logging.ERROR)
    try:
        import theano
    except Exception as error:
        missing.append("a Theano that can be imported (%s: %s)" % (type(error).__name__, error))
        return []
    finally:
        logging.disable(logging.NOTSET)
    config = theano.config
    return [
        ("device", _device(config.device, missing)),
        ("floatX", config.floatX),
        ("compiler", _compiler(config.cxx, missing)),
        ("OpenMP", _openmp(config.cxx, missing)),
        ("BLAS", _blas(config.blas.ldflags)),
        ("base_compiledir", config.base_compiledir),
    ]


def _device(device, missing):
    if device == "cpu":
        return device
    from sparse_ae.runtime.device import device_name
    name = device_name()
    if name is None:
        missing.append("the GPU: Theano cannot use device=%s: %s. docs/guide/gpu.md lists the requirements"
                       % (device, theano_compat.why_unused(device)))
        return "%s, not usable: everything runs on the CPU" % device
    return "%s, in use: %s" % (device, name)


def _compiler(cxx, missing):
    folder, found = theano_compat.python_headers()
    if cxx:
        said = subprocess.run([cxx, "--version"], stdout=subprocess.PIPE, universal_newlines=True).stdout
        return "%s, %s" % (cxx, said.partition("\n")[0])
    if theano_compat.why_unusable() is not None:
        missing.append(theano_compat.why_unusable())
    elif not theano_compat.any_compiler():
        missing.append(theano_compat.NO_COMPILER)
    elif not found:
        missing.append(theano_compat.NO_HEADERS.format(folder=folder))
    else:
        return "switched off by Theano's flag cxx"
    return "none"


def _openmp(cxx, missing):
    from theano.gof import OpenMPOp
    if not cxx:
        return "not without a compiler"
    if OpenMPOp.test_gxx_support():
        return "yes"
    missing.append("OpenMP, to use more than one core: %s does not compile with -fopenmp" % cxx)
    return "no"


def _blas(ldflags):
    build = getattr(np.__config__, "CONFIG", None)  # since NumPy 1.26
    if build is not None:
        blas = "{name} {version}".format(**build["Build Dependencies"]["blas"])
    else:
        found = [np.__config__.get_info(name).get("libraries", []) for name in ("blas_opt", "blas_ilp64_opt")]
        blas = " ".join(sorted({name for libraries in found for name in libraries})) or "unknown"
    return "Theano links %s; NumPy's is %s" % (ldflags or "none and calls NumPy's", blas)
