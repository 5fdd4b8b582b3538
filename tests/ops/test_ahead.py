"""What is compiled together: once, and never at the price of an answer."""
import contextlib
import multiprocessing
import os
import pickle
import types
import uuid
from unittest.mock import Mock

import pytest
from devices import ON_GPU

from sparse_ae.ops import ahead
from sparse_ae.ops.rewrites import rewriting_mode
import theano
import theano.tensor as T
from theano import gof
from theano.configparser import change_flags
from theano.gof.cmodule import GCC_compiler
from theano.tensor.blas import _dot22 as dot22

needs_compiler = pytest.mark.skipif(not theano.config.cxx or ON_GPU, reason=(
    "there is no compiler, or it is switched off; or a GPU is in use, for which nothing begins"))
AS_IT_IS = theano.Mode("cvm", None)  # no rewrite, so none that begins with anything


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
def nothing_left(monkeypatch):
    """What Theano hasn't asked for in other tests isn't there."""
    monkeypatch.setattr(ahead, "_MADE", {})
    monkeypatch.setattr(ahead, "_WITH_NEXT", [])


@pytest.fixture
def theanos(monkeypatch):
    """The sources of `Times` that Theano had compiled by itself; in a new cache it has others compiled too, its own."""
    found, compile_str = [], GCC_compiler.compile_str.__wrapped__

    def noted(module_name, src_code, *arguments, **keywords):
        if "Times" in src_code:
            found.append(src_code)
        return compile_str(module_name, src_code, *arguments, **keywords)

    monkeypatch.setattr(GCC_compiler, "compile_str", staticmethod(ahead._using_made(noted)))
    return found


@needs_compiler
def test_all_of_a_graph_is_made_once_it_is_rewritten(theanos):
    x = T.dscalar("x")
    y = [make(factor)(x) for make in (OfTheanos, Times) for factor in (3, 5)]
    function = theano.function([x], y, mode=rewriting_mode())
    assert function(2.0) == [6.0, 10.0, 6.0, 10.0]
    assert not theanos and not ahead._MADE
    again = pickle.loads(pickle.dumps(OfTheanos(3)))
    ahead.compile_ahead.apply(gof.FunctionGraph([x], [y[0]]))  # which is in the cache now
    assert not ahead._MADE and theano.function([x], again(x), mode=AS_IT_IS)(2.0) == 6.0


@needs_compiler
def test_what_is_needed_later_is_made_with_the_next_function(theanos):
    x = T.dscalar("x")
    y, z = Times(3)(x), Times(5)(x)
    with ahead.compiled_together(OfTheanos(3)(y), z + 1):
        theano.function([x], Times(7)(x), mode=rewriting_mode())
    assert not ahead._WITH_NEXT
    assert len(ahead._MADE) == 2  # of ours: Theano's are others once a graph is rewritten
    assert theano.function([x], [y, z], mode=AS_IT_IS)(2.0) == [6.0, 10.0]
    assert not theanos and not ahead._MADE


@needs_compiler
def test_theanos_own_ops_are_left_as_they_are(monkeypatch):
    """Some are singletons of Theano's, which other functions and pickles of the process hold too."""
    monkeypatch.setattr(ahead, "get_module_cache", lambda: types.SimpleNamespace(entry_from_key={},
                                                                                 module_hash_to_key_data={}))
    monkeypatch.setattr(ahead, "_make", lambda groups: None)
    x, y = T.fmatrices(2)
    graph = gof.FunctionGraph([x, y], [dot22(x, y)])
    before = [dict(vars(node.op)) for node in graph.apply_nodes]
    ahead.compile_ahead.apply(graph)
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
    assert not ahead._MADE


@needs_compiler
def test_what_a_process_leaves_that_is_killed_is_no_module(theanos, monkeypatch, tmp_path):
    """Theano refuses a folder with two: each later process that uses the cache would end with an error."""
    x = T.dscalar("x")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryDirectory", lambda dir: contextlib.nullcontext(str(tmp_path)))
        ahead.compile_ahead.apply(gof.FunctionGraph([x], [Times(3)(x)]))
    assert len(ahead._MADE) == 1 and not [path for path in tmp_path.iterdir() if path.suffix in (".so", ".pyd")]


@needs_compiler
def test_code_that_is_wrong_is_what_theano_says_it_is(theanos, capfd):
    y = Times("no_such_number")(T.dscalar("x"))
    with pytest.raises(Exception, match="(?s)Compilation failed.*no_such_number"):
        theano.function(y.owner.inputs, y, mode=rewriting_mode())
    assert len(theanos) == 1 and not ahead._MADE and theano.config.cxx, "the compiler isn't at fault"
    assert capfd.readouterr().out.count("You can find the C code in this temporary file") == 1


@needs_compiler
def test_where_it_cannot_make_any_theano_compiles(monkeypatch, theanos):
    x = T.dscalar("x")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryDirectory", Mock(side_effect=OSError(28, "No space left on device")))
        function = theano.function([x], Times(7)(x), mode=rewriting_mode())
    assert function(2.0) == 14.0 and len(theanos) == 1


@pytest.mark.parametrize("place", ["no compiler", "py", "FAST_COMPILE", "a pool's process"])
def test_nothing_is_made(place, monkeypatch):
    """Without a compiler, where Theano runs in Python, nor in a pool."""
    mode = theano.compile.mode.get_mode(place) if place == "FAST_COMPILE" else theano.Mode("py")
    if place in ("py", "FAST_COMPILE"):
        monkeypatch.setattr(theano.compile.mode, "get_default_mode", lambda: mode)
    if place == "a pool's process":
        monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-3")
    x = T.dscalar("x")
    with change_flags(cxx="" if place == "no compiler" else theano.config.cxx):
        ahead.compile_ahead.apply(gof.FunctionGraph([x], [Times(17)(x)]))
    assert not ahead._MADE
