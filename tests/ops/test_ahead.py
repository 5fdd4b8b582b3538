"""What is compiled ahead: once, by nobody who waits for it, and never at the price of an answer."""
import multiprocessing
import os
import pickle
import subprocess
import sys
import types
import uuid
from collections import OrderedDict

import pytest
from devices import ON_GPU
from ranks import Fake
from toys import softplus

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import ahead, once
from sparse_ae.ops.rewrites import rewriting_mode
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.optimisers import make_step
import lasagne
import theano
import theano.tensor as T
from theano import gof
from theano.configparser import change_flags
from theano.gof.cmodule import GCC_compiler
from theano.tensor.blas import _dot22 as dot22

needs_compiler = pytest.mark.skipif(not theano.config.cxx or ON_GPU, reason=(
    "there is no compiler, or it is switched off; or a GPU is in use, for which nothing begins"))
AS_IT_IS = theano.Mode("cvm", None)  # no rewrite, so none that begins with anything


@pytest.fixture(autouse=True)
def nothing_compiled_before(monkeypatch):
    """Functions of other tests' models aren't there: an equivalent graph would take one, and compile nothing."""
    monkeypatch.setattr(once, "_functions", OrderedDict())


class OfTheanos(gof.Op):
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
        *(double *)PyArray_DATA(%(out)s) = %(factor)s * *(double *)PyArray_DATA(%(x)s);  // Times %(version)s
        """ % dict(out=outputs[0], x=inputs[0], factor=self.factor, version=self.version)

    def c_code_cache_version(self):
        return self.version


class Times(OfTheanos):
    """The same as one of ours."""

    headers = ()


@pytest.fixture(autouse=True)
def nothing_left():
    """What a forked child has compiled and filed first, its parent doesn't ask for; nor others' tests what they met."""
    ahead._end()
    yield
    ahead._end()


@pytest.fixture
def theanos(monkeypatch):
    """The sources of `Times` that Theano had compiled by itself; in a new cache it has others compiled too, its own."""
    found, compile_str = [], GCC_compiler.compile_str.__wrapped__

    def noted(module_name, src_code, *arguments, **keywords):
        if "Times" in src_code:
            found.append(src_code)
        return compile_str(module_name, src_code, *arguments, **keywords)

    monkeypatch.setattr(GCC_compiler, "compile_str", staticmethod(ahead._taking_what_is_begun(noted)))
    return found


@needs_compiler
def test_what_was_begun_is_not_compiled_again(theanos):
    x = T.dscalar("x")
    y, z = Times(3)(x), Times(5)(x)
    ahead.compile_ahead(y, z)
    assert len(ahead._BEGUN) == 2
    ahead.compile_ahead(y + 1)
    assert len(ahead._BEGUN) == 2
    assert theano.function([x], [y, z], mode=AS_IT_IS)(2.0) == [6.0, 10.0]
    assert not theanos and not ahead._BEGUN
    ahead.compile_ahead(y, z)  # which are in the cache now
    assert not ahead._BEGUN


@needs_compiler
def test_all_of_a_graph_is_begun_once_it_is_rewritten(theanos):
    x = T.dscalar("x")
    y = [make(factor)(x) for make in (OfTheanos, Times) for factor in (3, 5)]
    function = theano.function([x], y, mode=rewriting_mode())
    assert function(2.0) == [6.0, 10.0, 6.0, 10.0]
    assert not theanos and not ahead._BEGUN
    again = pickle.loads(pickle.dumps(OfTheanos(3)))
    ahead.CompileAhead().apply(gof.FunctionGraph([x], [y[0]]))  # which is in the cache now
    assert not ahead._BEGUN and theano.function([x], again(x), mode=AS_IT_IS)(2.0) == 6.0


@needs_compiler
def test_theanos_own_ops_are_left_as_they_are(monkeypatch):
    """Some are singletons of Theano's, which other functions and pickles of the process hold too."""
    monkeypatch.setattr(ahead, "get_module_cache", lambda: types.SimpleNamespace(entry_from_key={},
                                                                                 module_hash_to_key_data={}))
    monkeypatch.setattr(ahead, "_begin", lambda group: None)
    x, y = T.fmatrices(2)
    graph = gof.FunctionGraph([x, y], [dot22(x, y)])
    before = [dict(vars(node.op)) for node in graph.apply_nodes]
    ahead.CompileAhead().apply(graph)
    assert [vars(node.op) for node in graph.apply_nodes] == before and b"sparse_ae" not in pickle.dumps(dot22)


@needs_compiler
@pytest.mark.parametrize("works", [True, False])
def test_several_are_one_text(works, monkeypatch, theanos):
    """Where that can't be compiled, Theano compiles each."""
    joined, joins = ahead._joined, []

    def noted(sources):
        joins.append(len(sources))
        return joined(sources) + ("" if works else "no C++")

    monkeypatch.setattr(ahead, "_joined", noted)
    monkeypatch.setattr(ahead, "_can_be_joined", lambda source, linker: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    x = T.dscalar("x")
    function = theano.function([x], [OfTheanos(factor)(x) for factor in (3, 5, 7, 9, 11)], mode=rewriting_mode())
    assert function(2.0) == [6.0, 10.0, 14.0, 18.0, 22.0]
    assert sorted(joins) == [5] and len(theanos) == (0 if works else 5)
    assert not ahead._BEGUN


@needs_compiler
def test_code_that_is_wrong_is_what_theano_says_it_is(theanos, capfd):
    y = Times("no_such_number")(T.dscalar("x"))
    ahead.compile_ahead(y)
    folder, = (folder for _, folder in ahead._BEGUN.values())
    with pytest.raises(Exception, match="no_such_number"):
        theano.function(y.owner.inputs, y, mode=AS_IT_IS)
    assert len(theanos) == 1 and not ahead._BEGUN and not os.path.exists(folder)
    assert capfd.readouterr().out.count("You can find the C code in this temporary file") == 1


@needs_compiler
def test_where_it_cannot_begin_theano_compiles(monkeypatch, theanos):
    def refuse(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    x = T.dscalar("x")
    y = Times(7)(x)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.mkdtemp", refuse)
        ahead.compile_ahead(y)
    assert not ahead._BEGUN
    assert theano.function([x], y, mode=AS_IT_IS)(2.0) == 14.0 and len(theanos) == 1


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks on Windows")
def test_a_forked_child_compiles_for_itself():
    x = T.dscalar("x")
    y = Times(13)(x)
    ahead.compile_ahead(y)
    child = os.fork()
    if not child:
        wrong = 2
        try:
            wrong = int(ahead._BEGUN != {} or theano.function([x], y, mode=AS_IT_IS)(2.0) != 26.0)
        finally:
            os._exit(wrong)
    assert os.waitpid(child, 0)[1] == 0
    assert theano.function([x], y, mode=AS_IT_IS)(2.0) == 26.0


@pytest.mark.parametrize("place", ["no compiler", "py", "FAST_COMPILE", "a pool's process"])
def test_nothing_begins(place, monkeypatch):
    """Without a compiler, where Theano runs in Python, nor in a pool."""
    mode = theano.compile.mode.get_mode(place) if place == "FAST_COMPILE" else theano.Mode("py")
    if place in ("py", "FAST_COMPILE"):
        monkeypatch.setattr(theano.compile.mode, "get_default_mode", lambda: mode)
    if place == "a pool's process":
        monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-3")
    with change_flags(cxx="" if place == "no compiler" else theano.config.cxx):
        ahead.compile_ahead(Times(17)(T.dscalar("x")))
    assert not ahead._BEGUN


@needs_compiler
def test_what_nobody_asks_for_is_gone_when_the_process_ends(tmp_path):
    code = ("import sparse_ae.theano_compat, theano.tensor as T\n"
            "from sparse_ae.ops import csr_dot, ahead\n"
            "ahead.compile_ahead(csr_dot(T.fvector(), *T.ivectors(2), T.fmatrix()))\n"
            "(process, folder), = ahead._BEGUN.values()\n"
            "print(folder)")
    scratch, compiled = tmp_path / "scratch", tmp_path / "compiled"
    scratch.mkdir()
    flags = os.environ["THEANO_FLAGS"] + ",base_compiledir=%s" % compiled
    folder = subprocess.check_output([sys.executable, "-W", "error", "-c", code], universal_newlines=True,
                                     env=dict(os.environ, THEANO_FLAGS=flags, TMPDIR=str(scratch))).strip()
    assert folder.startswith(str(compiled)) and not os.path.exists(folder)
    assert not list(scratch.iterdir()), "the compiler's own, which it had no time to remove"


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@needs_compiler
@pytest.mark.parametrize("formulation, f, update, target, settings", [
    ("sparse", "linear", lasagne.updates.sgd, False, {}),
    ("sparse", "linear", lasagne.updates.adagrad, False, {}),
    ("sparse", "linear", lasagne.updates.adam, False, {}),
    ("sparse", "linear", lasagne.updates.rmsprop, False, {}),
    ("dense", "linear", lasagne.updates.adam, False, {}),
    slow("sparse", softplus, lasagne.updates.sgd, False, {}),
    slow("sparse", softplus, lasagne.updates.adam, False, {}),
    slow("sparse", "linear", lasagne.updates.sgd, True, {}),
    slow("sparse", "linear", lasagne.updates.adam, True, dict(U=lasagne.init.Normal(), l2_weighted=True)),
    slow("sparse", "linear", lasagne.updates.adagrad, True, dict(U=lasagne.init.Normal(), l2_weighted=True)),
    slow("sparse", "linear", lasagne.updates.sgd, False, dict(objective=Missing(0.2))),
    slow("sparse", "linear", lasagne.updates.adam, False, dict(objective=Missing(0.95))),
    slow("sparse", "linear", lasagne.updates.adam, False, dict(objective=Missing(0.2), comm=Fake()))])
def test_nothing_is_begun_in_vain(formulation, f, update, target, settings, monkeypatch):
    """What is guessed from a graph that isn't ready is what Theano makes of it: else it were compiled each time."""
    begun = set()
    monkeypatch.setattr(ahead, "get_module_cache", lambda: types.SimpleNamespace(entry_from_key={},
                                                                                  module_hash_to_key_data={}))
    monkeypatch.setattr(ahead, "_begin", begun.update)
    monkeypatch.setattr(ahead.CompileAhead, "apply", lambda self, graph: None)  # which needn't guess
    objective = settings.pop("objective", Observed())
    model = AutoEncoder(5, 3, f=f, g="sigmoid", rating_scale=(1, 5), **dict(dict(l2=0.1), **settings))
    step = make_step(model, formulation, update, 0.01, ("target",) * target + model.channels, objective)
    made = {ahead.source_of(ahead.linker_of(node)) for node in ahead.ours(step.function.maker.fgraph)}
    assert begun <= made and bool(begun) == (formulation == "sparse")
