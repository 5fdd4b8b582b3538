"""What is compiled ahead: once, not in the thread that waits for it, and never at the price of an answer."""
import os
import subprocess
import sys
import threading
import types
import uuid

import pytest

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import ahead, csr_dot
from sparse_ae.steps import make_step
import lasagne
import theano
import theano.tensor as T
from theano import gof
from theano.configparser import change_flags
from theano.gof.cmodule import GCC_compiler

needs_compiler = pytest.mark.skipif(not theano.config.cxx, reason="there is no compiler, or it is switched off")
AS_IT_IS = theano.Mode("cvm", None)  # no rewrite, so none that begins with anything


class Times(gof.Op):
    """A number times another; in C of which no cache has heard before."""

    __props__ = ("factor", "version")

    def __init__(self, factor):
        self.factor, self.version = factor, (uuid.uuid4().hex,)

    def make_node(self, x):
        return gof.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        raise AssertionError("there is C for it")

    def c_code(self, node, name, inputs, outputs, sub):
        return """
        Py_XDECREF(%(out)s);
        %(out)s = (PyArrayObject *)PyArray_SimpleNew(0, NULL, NPY_FLOAT64);
        *(double *)PyArray_DATA(%(out)s) = %(factor)s * *(double *)PyArray_DATA(%(x)s);  // %(version)s
        """ % dict(out=outputs[0], x=inputs[0], factor=self.factor, version=self.version)

    def c_code_cache_version(self):
        return self.version

    @staticmethod
    def c_compiler():
        return ahead.AheadCompiler


@pytest.fixture
def compiled_by(monkeypatch):
    """The threads that had the compiler run."""
    threads, compile_str = [], GCC_compiler.compile_str

    def noted(*arguments, **keywords):
        threads.append(threading.current_thread())
        return compile_str(*arguments, **keywords)

    monkeypatch.setattr(GCC_compiler, "compile_str", staticmethod(noted))
    return threads


@needs_compiler
def test_what_was_begun_is_not_compiled_again(compiled_by):
    x = T.dscalar("x")
    y, z = Times(3)(x), Times(5)(x)
    ahead.compile_ahead(y, z)
    ahead.compile_ahead(y + 1)
    function = theano.function([x], [y, z], mode=AS_IT_IS)
    assert function(2.0) == [6.0, 10.0]
    assert len(compiled_by) == 2 and threading.current_thread() not in compiled_by


@needs_compiler
def test_what_was_not_begun_theano_compiles(compiled_by):
    x = T.dscalar("x")
    assert theano.function([x], Times(3)(x), mode=AS_IT_IS)(2.0) == 6.0
    assert compiled_by == [threading.current_thread()]


@needs_compiler
def test_a_function_begins_with_its_ops_when_its_graph_is_ready(compiled_by):
    x = T.dscalar("x")
    assert theano.function([x], Times(7)(x), mode="FAST_RUN")(2.0) == 14.0
    assert len(compiled_by) == 1 and threading.current_thread() not in compiled_by


@needs_compiler
def test_what_the_cache_has_is_not_begun(compiled_by):
    x = T.dscalar("x")
    op = Times(11)
    theano.function([x], op(x), mode=AS_IT_IS)
    ahead.compile_ahead(op(x))
    assert len(compiled_by) == 1


@needs_compiler
def test_code_that_is_wrong_is_what_theano_says_it_is(compiled_by, capfd):
    x = T.dscalar("x")
    y = Times("no_such_number")(x)
    ahead.compile_ahead(y)
    with pytest.raises(Exception, match="no_such_number"):
        theano.function([x], y, mode=AS_IT_IS)
    assert len(compiled_by) == 2 and compiled_by[-1] is threading.current_thread()


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks on Windows")
def test_a_forked_child_compiles_for_itself():
    x = T.dscalar("x")
    y = Times(13)(x)
    ahead.compile_ahead(y)
    child = os.fork()
    if not child:
        os._exit(int(theano.function([x], y, mode=AS_IT_IS)(2.0) != 26.0))
    assert os.waitpid(child, 0)[1] == 0
    assert theano.function([x], y, mode=AS_IT_IS)(2.0) == 26.0


def test_without_a_compiler_nothing_begins(compiled_by):
    with change_flags(cxx=""):
        ahead.compile_ahead(Times(17)(T.dscalar("x")))
    assert compiled_by == []


@needs_compiler
def test_what_nobody_asks_for_is_gone_when_the_process_ends(tmp_path):
    code = ("import sparse_ae.theano_compat, theano.tensor as T\n"
            "from sparse_ae.ops import csr_dot, ahead\n"
            "ahead.compile_ahead(csr_dot(T.fvector(), *T.ivectors(2), T.fmatrix()))\n"
            "print(len(ahead._BEGUN))")
    flags = os.environ["THEANO_FLAGS"] + ",base_compiledir=%s" % (tmp_path / "theano")
    (tmp_path / "temporary").mkdir()
    said = subprocess.check_output([sys.executable, "-c", code],
                                   env=dict(os.environ, THEANO_FLAGS=flags, TMPDIR=str(tmp_path / "temporary")))
    assert said.split() == [b"1"]
    assert not list((tmp_path / "temporary").glob("sparse_ae_*"))


def test_ours_can_be_begun():
    node = csr_dot(T.fvector(), *T.ivectors(2), T.fmatrix()).owner
    assert node.op.c_compiler() is ahead.AheadCompiler


@needs_compiler
@pytest.mark.parametrize("formulation, f, update", [
    ("sparse", "linear", lasagne.updates.sgd), ("sparse", "rectify", lasagne.updates.sgd),
    ("sparse", "linear", lasagne.updates.adagrad), ("sparse", "linear", lasagne.updates.adam),
    ("sparse", "linear", lasagne.updates.rmsprop), ("sparse", "rectify", lasagne.updates.adam),
    ("dense", "linear", lasagne.updates.adam)])
def test_nothing_is_begun_in_vain(formulation, f, update, monkeypatch):
    """What is guessed from a graph that isn't ready is what Theano makes of it: else it were compiled each time."""
    begun = set()
    monkeypatch.setattr(ahead, "get_module_cache", lambda: types.SimpleNamespace(entry_from_key={}))
    monkeypatch.setattr(ahead, "_begin", lambda source, linker: begun.add(source))
    monkeypatch.setattr(ahead, "_BEGUN", {})
    model = AutoEncoder(5, 3, f=f, g="sigmoid", rating_scale=(1, 5), l2=0.1)
    step = make_step(model, formulation, update, 0.01)
    assert begun == {source for source, _ in ahead.sources(step._function.maker.fgraph)}
    assert bool(begun) == (formulation == "sparse" or update is lasagne.updates.adam)
