"""The facts of a bug report: versions, device, compiler, caches and missing parts."""
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys

import numpy as np

import sparse_ae
from sparse_ae import theano_compat
from sparse_ae.data.datasets.published import cache_folder
from sparse_ae.runtime.processors import processors

_REQUIRED = ("Theano", "Lasagne", "numpy", "scipy", "tqdm", "pooch", "threadpoolctl")
_OPTIONAL = ("pandas", "pyarrow", "matplotlib", "joblib", "mpi4py", "pygpu")


def info():
    """A line "name: value" for each fact, then a line for each missing part, which says what to do."""
    facts = {"sparse_ae": sparse_ae.__version__, "python": "%s, %s" % (platform.python_version(), sys.executable)}
    for name in _REQUIRED + _OPTIONAL:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed" if name in _REQUIRED else "not installed, optional"
    missing = ["%s: run pip install . in sparse_ae's folder" % name for name in _REQUIRED
               if facts[name] == "not installed"]
    fault = theano_compat.pygpu_fault()
    if fault and facts["pygpu"] != "not installed, optional":
        facts["pygpu"] += ", not usable: %s" % fault
    facts.update({"platform": platform.platform(), "cores": "%d usable of %s" % (processors(), os.cpu_count())})
    facts.update((name, os.environ.get(name, "not set")) for name in ("OMP_NUM_THREADS", "THEANO_FLAGS", "THEANORC"))
    facts.update(_theano_facts(missing))
    if facts["pooch"] != "not installed":
        facts["data cache"] = cache_folder()
    return "\n".join(["%s: %s" % fact for fact in facts.items()]
                     + (["missing: %s" % each for each in missing] or ["all required parts are there"]))


def _theano_facts(missing):
    logging.disable(logging.ERROR)  # Theano's messages are repeated below
    try:
        from theano import config
    except Exception as error:
        missing.append("a Theano that can be imported (%s: %s)" % (type(error).__name__, error))
        return {}
    finally:
        logging.disable(logging.NOTSET)
    return {"device": _device(config.device, missing), "floatX": config.floatX,
            "compiler": _compiler(config.cxx, missing), "OpenMP": _openmp(config.cxx, missing),
            "BLAS": "Theano links %s; NumPy's is %s" % (config.blas.ldflags or "none, but calls NumPy's", _blas()),
            "base_compiledir": config.base_compiledir}


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
    if theano_compat.why_unusable() is None and theano_compat.any_compiler() and found:
        return "switched off by Theano's flag cxx"
    missing.append(theano_compat.why_unusable() or (
        theano_compat.NO_HEADERS.format(folder=folder) if theano_compat.any_compiler() else theano_compat.NO_COMPILER))
    return "none"


def _openmp(cxx, missing):
    from theano.gof import OpenMPOp
    if cxx and not OpenMPOp.test_gxx_support():
        missing.append("OpenMP, to use more than one core: %s does not compile with -fopenmp" % cxx)
        return "no"
    return "yes" if cxx else "not without a compiler"


def _blas():
    if hasattr(np.__config__, "CONFIG"):  # since NumPy 1.26
        return "{name} {version}".format(**np.__config__.CONFIG["Build Dependencies"]["blas"])
    return ", ".join(np.__config__.get_info("blas_opt").get("libraries", ["unknown"]))
