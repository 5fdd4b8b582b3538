import gc
import os
import sys
from pathlib import Path

import compile_cache
import pytest

from sparse_ae import theano_compat  # noqa: F401  (before theano)

try:
    import pyarrow  # noqa: F401
except ImportError:
    class NoPyarrow:
        """Makes one that this NumPy is too old for as good as none; in `sys.modules` scikit-learn would find it."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] == "pyarrow":
                raise ModuleNotFoundError(name, name=name)

    sys.meta_path.insert(0, NoPyarrow)


def pytest_addoption(parser):
    parser.addoption("--optimized", action="store_true", help="compile C code as for users, with -O3 instead of -O0")


def pytest_configure(config):
    """What the suite takes longest for is building graphs and compiling them, hundreds of both."""
    compile_cache.use_own(config)
    import theano
    os.environ.pop("THEANO_GPU_IS_ALREADY_ACTIVE", None)  # for processes that fork; those that tests start do not
    compile_cache.compile_headers(theano.config, [] if config.getoption("optimized") else ["-O0"])
    if config.getoption("numprocesses", None):  # who starts the workers
        # A worker's threads that wait for the next piece of work keep the other worker from its core.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    compile_cache.set_flag("print_active_device", False)  # processes that tests start would greet with the GPU's name
    if "," not in theano.config.blas.ldflags:  # each of them would look for a BLAS, by compiling
        compile_cache.set_flag("blas.ldflags", theano.config.blas.ldflags)
    # pyproject.toml says which warnings are errors, and in processes of their own the tests do.
    os.environ.pop("PYTHONWARNINGS", None)
    shared = sorted(path.stem for path in Path(__file__).parent.rglob("*.py") if not path.name.startswith("test_"))
    config.addinivalue_line("filterwarnings", "error:::(%s)$" % "|".join(shared))
    theano.config.on_opt_error = "raise"  # a rewrite that fails would be told, and left out
    theano.config.traceback.limit = 0  # where in a test each variable was made
    gc.disable()  # see `collect_garbage`


def pytest_runtest_setup(item):
    if os.environ.get("PYTEST_XDIST_WORKER"):
        import theano
        compile_cache.take_from_others(theano.config)


def pytest_report_header():
    import theano
    config = theano.config
    return "theano %s: device=%s, floatX=%s, compiler=%s, base_compiledir=%s" % (
        theano.__version__, config.device, config.floatX, config.cxx or "none", config.base_compiledir)


@pytest.fixture(scope="module", autouse=True)
def collect_garbage():
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

    For float64 alone. In float32 NumPy would round otherwise: there what is run is what users run. On a GPU nothing
    changes: its loops have no NumPy code.
    """
    from devices import ON_GPU

    import theano.tensor as T
    if ON_GPU:
        return

    def make_c_thunk(self, *args):
        raise NotImplementedError

    monkeypatch.setattr(T.Elemwise, "make_c_thunk", make_c_thunk)


@pytest.fixture
def float64_by_numpy(request):
    """`loops_by_numpy` for tests in float64: those whose `dtype` isn't float32."""
    from devices import DTYPE
    if (request.getfixturevalue("dtype") if "dtype" in request.fixturenames else DTYPE) == "float64":
        request.getfixturevalue("loops_by_numpy")


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    """Of a model. On a GPU float32 alone, which is what it is for."""
    from devices import ON_GPU
    if ON_GPU and request.param == "float64":
        pytest.skip("float32 is what a GPU is for")
    return request.param
