"""Single numbers by NumPy: the same as Theano's, and nothing of them left to compile."""
import numpy as np
import pytest
from devices import ON_GPU

from sparse_ae.ops.mode import ahead_mode, fast_mode
from sparse_ae.ops.scalars import NumberOp
import lasagne
import theano
import theano.tensor as T


def ops(function):
    return [node.op for node in function.maker.fgraph.toposort()]


@pytest.mark.skipif(ON_GPU or not theano.config.cxx, reason="of functions on the CPU, and in C")
def test_a_function_that_is_all_in_c_has_none(monkeypatch):
    monkeypatch.setattr(theano.compile.mode, "get_default_mode", lambda: theano.Mode("c", "fast_run"))
    x = T.scalar("x", "float32")
    assert [theano.function([x], 2 * x, mode=mode())(3) for mode in (fast_mode, ahead_mode)] == [6, 6]


@pytest.mark.skipif(ON_GPU, reason="on a GPU `fast_mode` leaves all to Theano")
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("float64", 1e-13)])
def test_as_by_hand(dtype, tolerance):
    rate, t = T.scalar("rate", dtype), T.scalar("t", dtype)
    one = np.asarray(1, dtype)
    function = theano.function([rate, t], rate * T.sqrt(one - np.asarray(0.999, dtype) ** t)
                               / (one - np.asarray(0.9, dtype) ** t), mode=fast_mode())
    found = function(np.asarray(0.01, dtype), np.asarray(7, dtype))
    assert found.dtype == dtype and found.shape == ()
    np.testing.assert_allclose(found, 0.01 * np.sqrt(1 - 0.999 ** 7) / (1 - 0.9 ** 7), rtol=tolerance)
    assert any(isinstance(op, NumberOp) for op in ops(function))
    assert not any(isinstance(op, T.Elemwise) for op in ops(function))


def test_arrays_are_left_to_theano():
    x = T.dvector("x")
    function = theano.function([x], T.exp(x).sum() + 1, mode=fast_mode())
    assert any(isinstance(op, T.Elemwise) for op in ops(function))
    np.testing.assert_allclose(function([0.0, 1.0]), 2 + np.e, rtol=1e-14)


def test_shared_numbers_move_on():
    step, w = theano.shared(np.float64(0)), theano.shared(np.float64(1))
    function = theano.function([], w, updates=[(step, step + 1), (w, w / (step + 1))], mode=fast_mode())
    assert [float(function()) for _ in range(4)] == [1, 1, 0.5, 1 / 6] and step.get_value() == 4


def test_adam_of_a_single_number():
    found = []
    for mode in (fast_mode(), theano.compile.mode.get_default_mode()):
        w = theano.shared(np.float64(3))
        function = theano.function([], [], updates=lasagne.updates.adam((w - 1) ** 2, [w], 0.1), mode=mode)
        for _ in range(5):
            function()
        found.append(float(w.get_value()))
    assert found[0] == pytest.approx(found[1], rel=1e-12) and found[0] < 2.6


def test_what_overflows_does_so_in_silence():
    x = T.fscalar("x")
    with np.errstate(all="raise"):
        assert theano.function([x], x * x - 1, mode=fast_mode())(np.float32(1e30)) == np.inf


def test_integers_and_conditions():
    n, x = T.iscalar("n"), T.dscalar("x")
    function = theano.function([n, x], T.switch(T.gt(n, 2), x * n, -x), mode=fast_mode())
    assert (float(function(3, 2.0)), float(function(2, 2.0))) == (6.0, -2.0)
