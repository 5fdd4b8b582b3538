import gc
import os
import subprocess
import sysconfig
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from sparse_ae import theano_compat  # noqa: F401  (before theano)

# With `-n 2` of pytest-xdist each worker has a compile cache of its own, within that of who started it: for one cache
# they would wait for each other, seconds each time.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    base = os.environ["THEANO_FLAGS"].rpartition("base_compiledir=")[2].partition(",")[0]
    os.environ["THEANO_FLAGS"] += ",base_compiledir=" + os.path.join(base, WORKER)

# What Theano's modules include after Python.h, and our C code.
HEADERS = ["iostream", "math.h", "numpy/arrayobject.h", "numpy/arrayscalars.h", "vector", "algorithm", "cmath"]


def pytest_addoption(parser):
    parser.addoption("--optimized", action="store_true", help="compile C code as for users, with -O3 instead of -O1")


def pytest_configure(config):
    """What the suite takes longest for is building graphs and compiling them, hundreds of both."""
    import theano
    compile_headers(theano.config, [] if config.getoption("optimized") else ["-O1"])
    if config.getoption("numprocesses", None):  # who starts the workers
        set_flag("base_compiledir", theano.config.base_compiledir)
        # A worker's threads that wait for the next piece of work keep the other worker from its core.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    set_flag("print_active_device", False)  # processes that tests start would greet with the GPU's name
    theano.config.traceback.limit = 0  # where in a test each variable was made
    gc.disable()  # see `collect_garbage`


def compile_headers(config, flags):
    """Has the compiler take some flags more, and compiles once the headers that each of Theano's modules begins with.

    They are half of a module. Where Python.h lies beside a Python.h.gch of the same compiler and the same flags,
    g++ takes that.
    """
    from theano.gof.cmodule import GCC_compiler
    folder = Path(config.compiledir + "_headers")
    if not config.cxx or config.gcc.cxxflags or " " in str(folder):
        return
    (folder / "Python.h.gch").mkdir(parents=True, exist_ok=True)
    python = Path(sysconfig.get_paths()["include"])
    (folder / "Python.h").write_text('#include "%s"\n' % (python / "Python.h"))
    all_headers = folder / "all.h"
    all_headers.write_text('#include "%s"\n' % (python / "Python.h") + "".join("#include <%s>\n" % x for x in HEADERS))
    for name, more in [("plain", []), ("openmp", ["-fopenmp"])]:
        name = "-".join([name] + flags)
        compiled, unfinished = folder / "Python.h.gch" / name, folder / ("%s.%d" % (name, os.getpid()))
        if not compiled.exists():
            command = [config.cxx, "-O3", "-fno-math-errno", *GCC_compiler.compile_args(), "-fvisibility=hidden", "-g0",
                       *flags, *more, "-I%s" % np.get_include(), "-I%s" % python]
            if subprocess.run(command + ["-x", "c++-header", str(all_headers), "-o", str(unfinished)],
                              stderr=subprocess.DEVNULL).returncode:
                return
            unfinished.replace(compiled)
    config.gcc.cxxflags = " ".join(["-I%s" % folder, "-g0"] + flags)
    # For the processes that tests start: with other flags they would compile all modules for themselves.
    set_flag("gcc.cxxflags", config.gcc.cxxflags)


def set_flag(name, value):
    """Sets a flag of Theano's for processes that are started from now on."""
    os.environ["THEANO_FLAGS"] = ",".join(filter(None, [os.environ.get("THEANO_FLAGS"), "%s=%s" % (name, value)]))


def pytest_report_header():
    import theano
    config = theano.config
    return "theano %s: device=%s, floatX=%s, compiler=%s, base_compiledir=%s" % (
        theano.__version__, config.device, config.floatX, config.cxx or "none", config.base_compiledir)


@pytest.fixture(scope="session", autouse=True)
def known_generators():
    """Hypothesis meets the random generators that there are before `collect_garbage` puts them where it sees none."""
    hypothesis.find(hypothesis.strategies.none(), lambda nothing: True)


@pytest.fixture(scope="module", autouse=True)
def collect_garbage(known_generators):
    """Looks for garbage once a file: a graph is many objects, most stay, and to walk them all again takes long."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of the data sets that lie beside a checkout, as on the machines that develop this package."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no folder shared/data beside this checkout")
    return folder


@pytest.fixture
def loops_by_numpy(monkeypatch):
    """Theano's element-wise loops run in NumPy in what a test compiles: each one in C takes a third of a second.

    For float64 alone. In float32 NumPy would round otherwise: there what is run is what users run.
    """
    import theano.tensor as T

    def make_c_thunk(self, *args):
        raise NotImplementedError

    monkeypatch.setattr(T.Elemwise, "make_c_thunk", make_c_thunk)
