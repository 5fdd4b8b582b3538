"""Views, shapes and look-ups by NumPy: the same as Theano's, and nothing of them left to compile."""
import pickle

import numpy as np
import pytest
from devices import ON_GPU

from sparse_ae.ops import fast_mode
from sparse_ae.ops.mode import ahead_mode
from sparse_ae.ops.views import InPython
import theano
import theano.tensor as T
from theano.compile.ops import Shape_i
from theano.tensor.opt import MakeVector
from theano.tensor.subtensor import AdvancedSubtensor1

MODES = pytest.mark.parametrize("mode", [fast_mode, ahead_mode])
on_cpu = pytest.mark.skipif(ON_GPU, reason="on a GPU they are Theano's")


def ops(function):
    return [node.op for node in function.maker.fgraph.toposort()]


@on_cpu
@MODES
def test_as_by_hand(mode):
    x, v, chosen = T.dmatrix("x"), T.dvector("v"), T.ivector("chosen")
    outputs = [x.dimshuffle(1, "x", 0), T.stack([x.shape[0], x.shape[1] + 1]), v[chosen],
               T.alloc(v[0], x.shape[1]), x.T.shape[0]]
    function = theano.function([x, v, chosen], outputs, mode=mode())
    values = np.arange(6.0).reshape(2, 3), np.array([5.0, 7, 9]), np.array([2, 0, 2, -1], "int32")
    for _ in range(2):  # the second time there is memory to write to
        turned, shape, found, filled, length = function(*values)
        np.testing.assert_array_equal(turned, [[[0, 3]], [[1, 4]], [[2, 5]]])
        assert shape.tolist() == [2, 4] and shape.dtype == "int64"
        assert found.tolist() == [9, 5, 9, 9] and filled.tolist() == [5, 5, 5] and length == 3
    kinds = tuple(op.op.__class__ for op in ops(function) if isinstance(op, InPython))
    assert {T.DimShuffle, MakeVector, Shape_i, AdvancedSubtensor1, T.Alloc} == set(kinds)
    assert not any(isinstance(op, kinds) for op in ops(function))
    with pytest.raises(IndexError):
        function(*values[:2], np.array([3], "int32"))


@on_cpu
@MODES
def test_a_view_is_known_for_one(mode):
    w = theano.shared(np.arange(6.0).reshape(2, 3))
    function = theano.function([], w.T + 0 * w.sum(), updates=[(w, T.inc_subtensor(w[0], 10 * w.T[:, 1]))], mode=mode())
    np.testing.assert_array_equal(function(), np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(w.get_value(), [[30, 41, 52], [3, 4, 5]])
    turned = theano.function([], w.T, updates=[(w, w + 1)], mode=mode())
    before = w.get_value()
    np.testing.assert_array_equal(turned(), before.T)


@on_cpu
@MODES
def test_rows_of_matrices_are_left_to_c(mode):
    x, chosen = T.dmatrix("x"), T.ivector("chosen")
    function = theano.function([x, chosen], [x[chosen], T.alloc(x.sum(), 2, 3)], mode=mode())
    kinds = {type(op) for op in ops(function)}
    assert {AdvancedSubtensor1, T.Alloc} <= kinds
    assert function(np.arange(4.0).reshape(2, 2), [1])[0].tolist() == [[2, 3]]


@on_cpu
def test_a_compiled_function_is_pickled():
    x, v, chosen = T.dmatrix("x"), T.dvector("v"), T.ivector("chosen")
    outputs = [x.dimshuffle(1, "x", 0), T.stack([x.shape[0], x.shape[1]]), v[chosen], T.alloc(v[0], x.shape[1])]
    function = theano.function([x, v, chosen], outputs, mode=fast_mode())
    again = pickle.loads(pickle.dumps(function))
    values = np.arange(6.0).reshape(2, 3), np.array([5.0, 7, 9]), np.array([2, 0], "int32")
    assert any(isinstance(op, InPython) for op in ops(again))
    for one, other in zip(function(*values), again(*values)):
        np.testing.assert_array_equal(one, other)


def test_equal_ones_are_one():
    made = [InPython(MakeVector("int64")) for _ in range(2)]
    assert made[0] == made[1] == pickle.loads(pickle.dumps(made[0])) and hash(made[0]) == hash(made[1])
    assert made[0] != InPython(MakeVector("int32"))
