"""What the Ops share: the types of tensors, keys of compiled code, how threads wait."""
import importlib.util
import os
import sys

import programs
import pytest

from sparse_ae.ops.op import float_tensors, index_vector
import theano.tensor as T


def test_types_of_tensors():
    """Others are refused: test_csr.py."""
    assert index_vector(T.bvector(), "indices").dtype == "int32"
    assert [x.dtype for x in float_tensors(a=(T.fvector(), 1), b=(T.dmatrix(), 2))] == ["float64"] * 2
    assert [x.dtype for x in float_tensors(a=(T.ivector(), 1))] == ["float64"]


def test_an_op_of_changed_code_is_compiled_anew(tmp_path, monkeypatch):
    """Its version follows every file that its C code is made from: the headers, and the modules of its classes."""
    def version_with(line):
        (tmp_path / "sparse_ae.own.py").write_text("from sparse_ae.ops.op import CsrOp\n\n\n"
                                                   "class Own(CsrOp):\n    def c_code(self, *_):\n        %s\n" % line)
        spec = importlib.util.spec_from_file_location("sparse_ae.own", str(tmp_path / "sparse_ae.own.py"))
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "sparse_ae.own", module)
        spec.loader.exec_module(module)
        return module.Own().c_code_cache_version()

    assert version_with("return 'a'") == version_with("return 'a'") != version_with("return 'b'")


COUNTS = """
import os, sys
import sparse_ae.theano_compat, theano, theano.tensor as T
from sparse_ae.ops import csr_dot
inputs = [T.fvector(), T.ivector(), T.ivector(), T.fmatrix()]
theano.function(inputs, csr_dot(*inputs))
if not theano.config.cxx or not any("libgomp" in line for line in open("/proc/self/maps")):
    print("none")
sys.stdout.write(str(sorted(name for name in os.environ if name.startswith(("GOMP", "OMP_W")))))
"""


@pytest.mark.parametrize("settings, spins", [({}, "'1000'"), ({"GOMP_SPINCOUNT": "77"}, "'77'"),
                                             ({"OMP_WAIT_POLICY": "PASSIVE"}, "'0'")])
@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="Linux says there what a process has loaded")
def test_threads_wait_for_a_short_time_or_as_the_user_says(settings, spins, monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    said, errors = programs.run("-c", COUNTS, OMP_DISPLAY_ENV="VERBOSE", **settings)
    if said.startswith("none"):
        pytest.skip("GNU's OpenMP isn't loaded")
    assert [line.split("=")[1].strip() for line in errors.splitlines() if "GOMP_SPINCOUNT" in line] == [spins]
    assert said == str(sorted(settings)), "the environment is as it was"
