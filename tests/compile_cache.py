"""Where Theano compiles to while the tests run, and how: never in the user's own cache."""
import atexit
import contextlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

# What Theano's modules include after Python.h, and our C code.
HEADERS = ["iostream", "math.h", "numpy/arrayobject.h", "numpy/arrayscalars.h", "vector", "algorithm", "cmath"]


def set_flag(name, value):
    """Sets a flag of Theano's for this process, before it imports Theano, and for those that it starts from now on."""
    os.environ["THEANO_FLAGS"] = ",".join(filter(None, [os.environ.get("THEANO_FLAGS"), "%s=%s" % (name, value)]))


def flag(name):
    """What THEANO_FLAGS says of a flag, None if nothing."""
    found = [value for key, _, value in (each.partition("=") for each in os.environ.get("THEANO_FLAGS", "").split(","))
             if key.strip() == name]
    return found[-1] if found else None


def own_folder(config):
    """The folder that the tests compile to: what THEANO_FLAGS names for this run, else one beside pytest's own.

    Where the checkout can't be written to it is deleted when the process ends.
    """
    given = flag("base_compiledir")
    if given is not None:
        return given
    try:
        folder = config.cache.mkdir("theano")
        # A folder of somebody else's, which may be there already, doesn't do.
        tempfile.TemporaryFile(dir=str(folder)).close()
    except (AttributeError, OSError):  # without a cache, by -p no:cacheprovider
        folder = None
    if folder is None or re.search(r"""[\s,'"\\]""", str(folder)):  # which THEANO_FLAGS doesn't take
        folder = tempfile.mkdtemp(prefix="sparse_ae-tests-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


def use_own(config):
    """Has this process, and those that tests start, compile to the tests' own folder, whatever a .theanorc says.

    Each worker of pytest-xdist has a folder within that: in one they would wait for each other.
    """
    if "theano" in sys.modules:
        raise pytest.UsageError("Theano was imported before tests/conftest.py could say where it compiles to")
    os.environ["THEANORC"] = os.devnull
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        set_flag("base_compiledir", os.path.join(flag("base_compiledir"), worker))
    else:
        set_flag("base_compiledir", own_folder(config))


def compile_headers(config, flags):
    """Compiles once the headers that each of Theano's modules begins with: half of the time that it takes.

    Where Python.h lies beside a Python.h.gch of the same compiler and the same flags, g++ takes that.
    """
    from sparse_ae.ops.ahead import QUICK
    from theano.gof.cmodule import GCC_compiler
    base, compiled = Path(config.base_compiledir), Path(config.compiledir).name
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    # Of each NumPy its own: g++ doesn't look whether the headers are still those that it has compiled.
    folder = base / ("%s_headers-%s" % (compiled, np.__version__))
    if not config.cxx or config.gcc.cxxflags or " " in str(folder):
        return
    (folder / "Python.h.gch").mkdir(parents=True, exist_ok=True)
    python, all_headers, begun = Path(sysconfig.get_paths()["include"]), folder / "all.h", []
    for path, more in ((folder / "Python.h", []), (all_headers, HEADERS)):
        text = '#include "%s"\n' % (python / "Python.h") + "".join("#include <%s>\n" % name for name in more)
        if not path.exists() or path.read_text() != text:  # another worker's compiler may read it
            path.write_text(text)
    for name, more in [("plain", []), ("quick", QUICK), ("openmp", QUICK + ["-fopenmp"])]:
        name = "-".join([name] + flags)
        header, unfinished = folder / "Python.h.gch" / name, folder / ("%s.%d" % (name, os.getpid()))
        if not header.exists():
            command = [config.cxx, "-O3", "-fno-math-errno", *GCC_compiler.compile_args(), "-fvisibility=hidden", "-g0",
                       *flags, *more, "-I%s" % np.get_include(), "-I%s" % python]
            command += ["-x", "c++-header", str(all_headers), "-o", str(unfinished)]
            begun.append((subprocess.Popen(command, stderr=subprocess.DEVNULL), unfinished, header))
    if any([compiler.wait() for compiler, _, _ in begun]):
        return
    for _, unfinished, header in begun:
        unfinished.replace(header)
    # Binutils has gold, too, which links in a fifth of the time that ld takes.
    gold = ["-fuse-ld=gold"]
    finds_gold = subprocess.run([config.cxx, *gold, "-Wl,--version"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL).returncode == 0
    config.gcc.cxxflags = " ".join(["-I%s" % folder, "-g0"] + flags + (gold if flags and finds_gold else []))
    # For the processes that tests start: with other flags they would compile all modules for themselves.
    set_flag("gcc.cxxflags", config.gcc.cxxflags)


def take_from_others(config, looked_at={}):  # noqa: B006
    """Copy to this worker's cache of Theano's the modules that the other workers have compiled since the last call.

    One that may still be in the writing is for the next call.
    """
    own, taken = Path(config.compiledir), False
    for folder in own.parents[1].glob("gw*/" + own.name):
        changed = folder.stat().st_mtime_ns
        if folder == own or looked_at.get(folder) == changed:
            continue
        looked_at[folder] = changed
        for module in folder.glob("tmp*"):
            if (own / module.name).exists():
                continue
            try:
                is_new = time.time() - (module / "key.pkl").stat().st_mtime < 1
            except OSError:
                is_new = True
            if is_new:
                looked_at[folder] = None
                continue
            with contextlib.suppress(OSError, shutil.Error):  # it is being deleted
                unfinished = own.parent / ("taken-" + module.name)
                shutil.copytree(str(module), str(unfinished))
                unfinished.rename(own / module.name)
                taken = True
    if taken:
        from theano.gof.cc import get_module_cache
        get_module_cache().refresh(cleanup=False)
