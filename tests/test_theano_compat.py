"""The mends. What depends on what is imported runs in an interpreter of its own, where every warning is an error."""

import importlib
import importlib.util
import logging
import os
import re
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import programs
import pytest
from devices import ON_OPENCL, scan_needs_cuda

from sparse_ae import theano_compat
from sparse_ae.theano_compat import compilers, log, mends
import lasagne
import theano
import theano.tensor as T
from theano.tensor import blas
from theano.tensor.sort import argtopk, topk, topk_and_argtopk

ROOT = Path(__file__).resolve().parents[1]
floatX = theano.config.floatX

# A scan and its gradient: without a compiler it takes other ways through Theano than with one.
SCAN = """
import numpy as np, theano, theano.tensor as T
x = T.matrix()
rows, _ = theano.scan(lambda row: row ** 2, sequences=[x])
gradient = theano.function([x], T.grad(rows.sum(), x))(np.full((2, 2), 3, x.dtype))
assert (gradient == 6).all(), gradient
"""
# As where sparse_ae is on the path, and not installed.
WITHOUT_STARTUP = """
sys.meta_path[:] = [each for each in sys.meta_path if getattr(each, "__module__", "") != "sparse_ae_startup"]
"""


def run(code, *options, **environment):
    """Standard output and error of an interpreter of its own, which must succeed; on the CPU, for the sake of time."""
    flags = [environment.get("THEANO_FLAGS", os.environ["THEANO_FLAGS"]), "device=cpu"]
    if "base_compiledir" not in flags[0]:
        flags.append("base_compiledir=" + theano.config.base_compiledir)
    return programs.run("-W", "error", *options, "-c", code, **dict(
        environment, PYTHONPATH=str(ROOT), THEANO_FLAGS=",".join(flag for flag in flags if flag)))


def without_flags(*names):
    """THEANO_FLAGS without the named ones."""
    flags = os.environ.get("THEANO_FLAGS", "").split(",")
    return ",".join(flag for flag in flags if flag and flag.partition("=")[0] not in names)


# Imports


def test_theano_and_lasagne_import_without_a_word_from_sources_never_compiled(tmp_path):
    code = """
import sys, numpy as np
before = {name for name in ("bool", "complex") if name in vars(np)}
linalg = sys.modules.get("numpy.linalg.linalg")  # NumPy 2.0 imports it itself
import sparse_ae, theano, lasagne, theano.sparse, theano.gpuarray.linalg
assert before == {name for name in ("bool", "complex") if name in vars(np)}
config = getattr(getattr(np, "distutils", None), "__config__", None)
assert not hasattr(config, "blas_opt_info") or np.__version__ < "1.22"
assert not {"imp", "distutils"} & set(sys.modules) or sys.version_info < (3, 12)
assert sys.modules.get("numpy.linalg.linalg") is linalg or np.__version__ < "2"
print(theano.__version__, lasagne.__version__)
"""
    looks_for_a_blas = without_flags("blas.ldflags")
    versions = "1.0.5 %s\n" % lasagne.__version__
    assert run(code, "-X", "pycache_prefix=%s" % tmp_path, THEANO_FLAGS=looks_for_a_blas) == (versions, "")


def test_what_takes_long_to_import_is_imported_when_it_is_needed():
    code = """
import sparse_ae, sys
sparse_ae.Recommender
import lasagne, scipy, theano, theano.tensor as T
assert not hasattr(scipy, "__getattr__") or not {"scipy.stats", "scipy.optimize", "scipy.signal"} & set(sys.modules)
x = T.dvector()
print(theano.function([x], T.chi2sf(x, 2.0), mode=theano.Mode("py", None))([0.0, 2.0]))
import scipy.stats
print(scipy.stats.chi2.sf(2.0, 2.0).round(8))
"""
    out, _ = run(code)
    assert out == "[1.         0.36787944]\n0.36787944\n"  # exp(-x / 2)


def test_from_pythons_start_on_the_order_of_imports_is_all_one():
    """Here Lasagne is first; other tests begin with ours."""
    code = """
import sys, sparse_ae_startup
assert not {"numpy", "sparse_ae", "importlib.util", "warnings"} & set(sys.modules) - before
assert sys.meta_path[0] is sparse_ae_startup.FinderOfTheMends
import lasagne, theano, sparse_ae
print(lasagne.__version__, theano.__version__, sys.meta_path[0].__module__)
assert sparse_ae_startup.FinderOfTheMends not in sys.meta_path
"""
    before = "import sys; before = set(sys.modules) - {'sparse_ae_startup'}\n"
    before += "sys.modules.pop('sparse_ae_startup', None)\n" + WITHOUT_STARTUP
    out, err = run(before + code)
    assert out == lasagne.__version__ + " 1.0.5 sparse_ae.theano_compat.finder\n" and err == ""


def test_a_start_without_sparse_ae_stops_nobody():
    code = """
import sys, sparse_ae_startup
class Nowhere:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "sparse_ae":
            raise ModuleNotFoundError(name, name=name)
        if name == "theano":
            return __import__("importlib.machinery").machinery.ModuleSpec(name, loader)
class loader:
    create_module = staticmethod(lambda spec: None)
    exec_module = staticmethod(lambda module: None)
sys.meta_path.insert(1, Nowhere)
import theano
print(theano.__spec__.loader is loader, sparse_ae_startup.FinderOfTheMends in sys.meta_path)
"""
    assert run(code) == ("True False\n", "")


def test_another_theano_is_left_alone_or_refused_in_words(tmp_path):
    """Such as Theano-PyMC's: a program that doesn't ask for sparse_ae runs as without it."""
    package = tmp_path / "theano"
    package.mkdir()
    (package / "__init__.py").write_text("from theano.version import version as __version__\n")
    (package / "_version.py").write_text('version_json = \'{"date": "2021", "version": "1.1.2"}\'\n')
    (package / "version.py").write_text("version = '1.1.2'\n")
    start = "import sys\nsys.path.insert(0, %r)\n" % str(tmp_path) + WITHOUT_STARTUP
    code = start + "sys.modules.pop('sparse_ae_startup', None)\nimport sparse_ae_startup, theano\n"
    assert run(code + "print(theano.__version__, 'sparse_ae' in sys.modules)") == ("1.1.2 False\n", "")
    both_there = code + "try: import sparse_ae\n"
    late = start + "import types; sys.modules['theano'] = types.ModuleType('theano')\ntry: import sparse_ae\n"
    said, _ = run(late + "except ImportError as error: print(error)")
    assert said.startswith("theano was imported before sparse_ae could patch it; start Python again, and import spar")
    for ours in (start + "import sparse_ae\ntry: import theano\n", both_there):
        said, _ = run(ours + "except ImportError as error: print(error)\nprint(sys.meta_path)")
        assert ours is not both_there or "_FinderOfMended" not in said
        assert said.startswith("sparse_ae needs Theano 1.0.5, and `import theano` finds 1.1.2 in %s: uninst" % package)


def test_installing_twice_changes_nothing():
    def state():
        log_filters = logging.getLogger("theano.tensor.blas").filters
        return sys.meta_path[:], theano.tensor.blas.BatchedDot.c_code, log_filters[:]

    before = state()
    theano_compat.install()
    importlib.reload(theano_compat)
    assert state() == before


# Settings


def test_flags_and_theanorc_mean_what_they_meant(tmp_path):
    rc = tmp_path / "rc"
    rc.write_text("[global]\nfloatX = float32\ncxx =\n[blas]\nldflags = -lmine\n")
    code = "import sparse_ae, theano; c = theano.config; print(c.floatX, repr(c.cxx), c.blas.ldflags, c.optimizer)"
    flags = without_flags("floatX", "cxx", "optimizer", "blas.ldflags")
    flags += ",optimizer=fast_compile,floatX=float16,flaotX=float32,mode"
    out, err = run(code, "-W", "default", THEANORC=str(rc), THEANO_FLAGS=flags)
    assert out == "float16 '' -lmine fast_compile\n"
    # That one is misspelt is for the user to know.
    assert "UserWarning: Theano does not recognise this flag: flaotX" in err
    assert "TheanoConfigWarning: Config key 'mode' has no value, ignoring it" in err
    assert err.count("Warning: ") == 2


def test_theanorc_example_works_as_it_is():
    code = "import sparse_ae, theano; c = theano.config; print(c.device, c.floatX, c.on_opt_error, c.on_shape_error)\n"
    code += "x = theano.tensor.vector(); theano.function([x], 2 * x)([1])"
    flags = without_flags("device", "floatX", "on_opt_error", "on_shape_error")
    assert run(code, THEANORC=str(ROOT / "theanorc.example"), THEANO_FLAGS=flags) == ("cpu float32 raise raise\n", "")


@pytest.mark.skipif(importlib.util.find_spec("pygpu") is not None, reason="there may be a card that can be used")
def test_a_card_that_cannot_be_used_stops_nothing():
    """Not even with force_device: what the README and theanorc.example say of it."""
    code = ("import os\n"
            "os.environ['THEANO_FLAGS'] += ',device=cuda,force_device=True'\n"
            "import sparse_ae, theano\n"
            "x = theano.tensor.vector()\n"
            "print(theano.config.device, theano.function([x], 2 * x)([1, 2]).tolist())")
    said, log = run(code)
    assert said == "cuda [2.0, 4.0]\n" and log == (
        "ERROR (theano.gpuarray): cuda can't be used, everything runs on the CPU: pygpu isn't installed: conda install "
        "pygpu, which includes libgpuarray\n")


def test_pygpu_imports_with_any_numpy(tmp_path):
    """pygpu's tools.py calls a function of its dtypes.py that looks np.bool up; only while it is run, here as there."""
    package = tmp_path / "pygpu"
    package.mkdir()
    (package / "__init__.py").write_text("from pygpu import tools\n")
    (package / "dtypes.py").write_text("import numpy as np\ndef fill():\n    return np.bool\n")
    (package / "tools.py").write_text("from pygpu.dtypes import fill\nfilled = fill()\n")
    code = ("import numpy as np, sparse_ae, sys\n"
            "before = 'bool' in vars(np)\n"
            "sys.path.insert(0, %r)\n"
            "import pygpu\n"
            "print(pygpu.tools.filled is np.bool_ or before, before == ('bool' in vars(np)))" % str(tmp_path))
    assert run(code) == ("True True\n", "")


# Compilers


def test_without_a_compiler_one_line_says_what_to_install(tmp_path):
    environment = {"PATH": str(tmp_path), "THEANO_FLAGS": without_flags("cxx"), "THEANORC": os.devnull}
    _, err = run("import sparse_ae\n" + SCAN, **environment)
    assert err == "WARNING (theano.configdefaults): %s\n" % theano_compat.NO_COMPILER
    assert "apt install g++" in err and "dnf install gcc-c++" in err and "xcode-select --install" in err


@pytest.mark.skipif(os.name != "posix", reason="a script is no program")
def test_a_compiler_that_cannot_tell_its_version_is_none(tmp_path, monkeypatch):
    (tmp_path / "g++").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    record = logging.makeLogRecord({"msg": "g++ not detected ! Theano will be unable"})
    assert log.LOG_FILTERS["theano.configdefaults"](record)
    assert record.getMessage().startswith("%s/g++ can't compile a module for Python (g++ -v fails): every" % tmp_path)


def test_a_compiler_that_is_switched_off_needs_no_words():
    said = run("import sparse_ae, lasagne.layers\n%sprint(gradient.tolist())" % SCAN,
               THEANO_FLAGS=without_flags("cxx") + ",cxx=")
    assert said == ("[[6.0, 6.0], [6.0, 6.0]]\n", "")


@pytest.mark.parametrize("name", ["CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH"])
def test_headers_may_be_where_the_user_says(monkeypatch, name, tmp_path):
    assert theano_compat.python_headers()[1] or not theano.config.cxx
    for each in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setattr(compilers, "include_folder", lambda plat_specific=False: "/nowhere")
    assert theano_compat.python_headers() == ("/nowhere", False)
    monkeypatch.setenv(name, os.pathsep.join(["/somewhere", str(tmp_path)]))
    assert theano_compat.python_headers() == ("/nowhere", False)  # a path of the user's, but for something else
    (tmp_path / "Python.h").write_text("")
    assert theano_compat.python_headers() == ("/nowhere", True)


# What is mended


@pytest.mark.skipif(ON_OPENCL, reason="Theano's topk has no code for OpenCL")
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("k", [1, 2, 4, -1, -3, -4])
def test_topk_is_what_sorting_gives(k, axis):
    values = np.random.RandomState(0).permutation(16).reshape(4, 4).astype(floatX)
    x = T.matrix()
    outputs = [each(x, k, axis, sorted=False) for each in (topk, argtopk)] + topk_and_argtopk(x, k, axis, sorted=False)
    # TopKOp has no C code: this mode compiles nothing.
    best, where, best_too, where_too = theano.function([x], outputs, mode=theano.Mode("py", "fast_compile"))(values)
    ordered = np.sort(values, axis=axis)
    expected = np.take(ordered, range(4 - k, 4) if k > 0 else range(-k), axis=axis)
    np.testing.assert_array_equal(np.sort(best, axis=axis), expected)
    np.testing.assert_array_equal(best_too, best)
    np.testing.assert_array_equal(np.take_along_axis(values, where, axis), best)
    np.testing.assert_array_equal(where_too, where)
    assert best.dtype == values.dtype and where.dtype == "int64"


@pytest.mark.parametrize("rows, inner, columns", [(3, 4, 5), (0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)])
def test_products_without_a_linked_blas_and_of_empty_matrices(rows, inner, columns):
    """Gemm in C; with a linked BLAS the others too. Without optimisations, of which ours have SciPy multiply."""
    x, y, z = T.dmatrices("xyz")
    left, right = T.dtensor3(), T.dtensor3()
    gemm = blas.gemm_no_inplace(z, np.float64(-2), x, y, np.float64(1))
    outputs = [gemm, blas._dot22(x, y), blas.BatchedDot()(left, right)]
    function = theano.function([x, y, z, left, right], outputs, mode=theano.Mode("c|py", None))
    one, other, start = (np.ones(shape) for shape in ((rows, inner), (inner, columns), (rows, columns)))
    combined, product, products = function(one, other, start, one[None], other[None])
    # A sum of nothing is 0.
    assert combined.tolist() == (start - 2 * inner).tolist()
    assert product.tolist() == np.full((rows, columns), float(inner)).tolist()
    assert products.tolist() == product[None].tolist()


@pytest.mark.skipif(ON_OPENCL, reason="Theano's cast to bool crashes there")
def test_bools_complexes_and_constants():
    x = T.vector()
    np.testing.assert_array_equal(theano.function([x], T.cast(x, "bool"))(np.array([0, 2], floatX)), [False, True])
    assert float(T.get_scalar_constant_value(T.constant(2.5) * T.constant(2))) == 5
    with pytest.raises(T.NotScalarConstantError):
        T.get_scalar_constant_value(T.constant([1, 2]))
    assert theano.scalar.sharedvar.shared(True).get_value() == 1
    a, b = T.scalars("ab")
    assert theano.function([a, b], T.complex(a, b), mode=theano.Mode("py"))(1, 2) == 1 + 2j


@scan_needs_cuda
def test_a_scan_within_a_scan():
    """The mend for gof/cc.py:1454: a Scan has no version of its own."""
    table = T.matrix()

    def total(row):
        totals, _ = theano.scan(lambda number, total: 2 * total + number, sequences=[row],
                                outputs_info=[T.zeros((), floatX)])
        return totals[-1]

    totals, _ = theano.scan(total, sequences=[table])
    function = theano.function([table], totals, mode=theano.Mode("py", None))
    np.testing.assert_array_equal(function(np.array([[1, 1, 1], [0, 1, 2]], floatX)), [7, 4])


def test_lasagne_pools():
    values = np.arange(32).reshape(1, 2, 4, 4).astype(floatX)
    for mode, expected in [("max", values[:, :, 1::2, 1::2]), ("average_inc_pad", values[:, :, 1::2, 1::2] - 2.5)]:
        layer = lasagne.layers.Pool2DLayer(lasagne.layers.InputLayer(values.shape), 2, mode=mode)
        x = layer.input_layer.input_var
        np.testing.assert_allclose(theano.function([x], lasagne.layers.get_output(layer))(values), expected)
    layer = lasagne.layers.MaxPool1DLayer(lasagne.layers.InputLayer((1, 1, 10)), 3, stride=2, pad=1)
    result = theano.function([layer.input_layer.input_var], lasagne.layers.get_output(layer))
    np.testing.assert_array_equal(result(np.arange(10).reshape(1, 1, 10).astype(floatX))[0, 0], [1, 3, 5, 7, 9])


def test_lasagne_convolves_without_a_warning():
    layer = lasagne.layers.Conv2DLayer(lasagne.layers.InputLayer((1, 1, 4, 4)), 1, 3)
    assert lasagne.layers.get_output(layer).ndim == 4
    x, w = T.tensor4(), T.tensor4()
    both = T.nnet.conv2d(x, w, image_shape=(2, 3, 5, 5)).owner.op
    assert both.imshp == T.nnet.conv2d(x, w, (2, 3, 5, 5)).owner.op.imshp == (2, 3, 5, 5)


@pytest.mark.parametrize("name, message, level", [
    ("theano.tensor.blas", "Using NumPy C-API based implementation for BLAS functions.", logging.WARNING),
    ("theano.gof.compilelock", "Refreshing lock %s", logging.INFO),
    ("theano.gof.compilelock", "Overriding existing lock by dead %s (I am process '%s')", logging.WARNING),
])
def test_lines_that_nobody_can_act_on_are_not_logged(name, message, level, caplog):
    logging.getLogger(name).log(level, message, *["here"] * message.count("%s"))
    assert log.LOG_FILTERS[name](logging.makeLogRecord({"msg": "%s: %s"}))
    logging.getLogger(name).log(level, "Refreshing lock failed")
    assert caplog.messages == ["Refreshing lock failed"]


@pytest.mark.skipif(not theano.config.cxx, reason="nothing is compiled without a compiler")
def test_what_one_process_has_compiled_the_next_one_finds():
    # An Op with empty __props__, one of Theano's whose C code is a file, and two of ours.
    code = """
import numpy as np, sparse_ae, theano, theano.tensor as T
from sparse_ae.ops import csr_dot, squared_outputs
from theano.gof import cmodule
%s
x, i, F = T.fvector(), T.ivector(), T.fmatrix()
theano.function([x, i, F], [x[i], F.dimshuffle(1, "x", 0), csr_dot(x, i, i, F), squared_outputs(F, F, x)])
"""
    run(code % "")
    run(code % "cmodule.GCC_compiler.compile_str = None")


def test_old_names_come_back_where_they_are_asked_for():
    code = """
import collections, inspect, numpy, sys, warnings
from sparse_ae import theano_compat
before = dict(vars(numpy))
assert "Iterable" not in vars(collections)
theano_compat.old_names()
from collections import Callable, Iterable, Mapping, MutableMapping, Sequence
assert isinstance([], Iterable) and numpy.zeros(2, numpy.int).dtype.kind == "i"
warnings.simplefilter("ignore", DeprecationWarning)  # those of a NumPy that still has them
assert numpy.asscalar(numpy.array([3])) == 3 and numpy.typeDict["float32"] is numpy.float32
assert numpy.infty == numpy.PINF == -numpy.NINF and numpy.alltrue([1, 1]) and not numpy.sometrue([0, 0])
assert numpy.string_ is numpy.bytes_ and numpy.cast["int8"](3.7) == 3
assert numpy.asfarray([1, 2]).dtype == float and numpy.asfarray([1], "float32").dtype == "float32"
assert numpy.in1d([[1, 2]], [2]).tolist() == [False, True] and issubclass(numpy.ComplexWarning, Warning)
assert sys.version_info < (3, 11) or inspect.getargspec(lambda a, *b, c=1, **d: 0)[:3] == (["a"], "b", "d")
assert all(vars(numpy)[name] is value for name, value in before.items())
import numpy.linalg.linalg
assert numpy.linalg.linalg.norm([3, 4]) == 5
"""
    assert run(code) == ("", "")


def test_pkg_resources_has_a_stand_in_where_there_is_none(monkeypatch):
    monkeypatch.delitem(sys.modules, "pkg_resources", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with mends._pkg_resources_stand_in():
        import pkg_resources
        assert pkg_resources.get_distribution("Lasagne").version == lasagne.__version__
        with pytest.raises(pkg_resources.DistributionNotFound):
            pkg_resources.get_distribution("no-such-distribution")
    assert "pkg_resources" not in sys.modules


# A GPU that can't be used


@pytest.mark.parametrize("importing, beginning, expected", [
    (ModuleNotFoundError("No module named 'pygpu'", name="pygpu"), None, "pygpu isn't installed: conda install pygpu"),
    (ImportError("libgpuarray.so.3: cannot open shared object file"), None,
     r"pygpu can't be imported \(ImportError: libgpuarray.so.3: cannot open .*\): name the folder of libgpuarray"),
    (None, RuntimeError(b'Could not load "libcuda.so": libcuda.so: cannot open shared object file'),
     r"the card's driver isn't found \(Could not load .libcuda.so.: .*\): install it"),
    (None, RuntimeError("no\n  such device"), "^no such device$"),
])
def test_why_a_gpu_is_not_used(importing, beginning, expected, monkeypatch):
    pygpu = Mock(init=Mock(side_effect=beginning))
    monkeypatch.setattr(log.importlib, "import_module", Mock(side_effect=importing, return_value=pygpu))
    found = theano_compat.why_unused("cuda")
    assert re.search(expected, found) and "\n" not in found
    assert (theano_compat.pygpu_fault() is None) == (importing is None)
    record = logging.LogRecord("theano.gpuarray", logging.ERROR, "", 0, "Could not initialize pygpu", (),
                               beginning and (type(beginning), beginning, None))
    assert log.say_why_unused(record) and record.getMessage().endswith("runs on the CPU: " + found)
    assert not record.exc_info
