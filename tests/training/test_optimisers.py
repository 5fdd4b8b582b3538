"""RProp against a loop over single weights."""
import numpy as np
import pytest

from sparse_ae.training.optimisers import rprop
import theano
import theano.tensor as T
from theano.configparser import change_flags


@pytest.fixture
def floatX(dtype):
    with change_flags(floatX=dtype):
        yield dtype


def irprop_minus(gradients, start, learning_rate=1e-3, increase=1.2, decrease=0.5, min_step=1e-6, max_step=50.0):
    """Igel and Huesken's algorithm for one weight, from the gradients it meets; the values that it takes."""
    x, step, last, path = start, learning_rate, 0.0, []
    for gradient in gradients:
        if gradient * last > 0:
            step = min(step * increase, max_step)
        elif gradient * last < 0:
            step = max(step * decrease, min_step)
            gradient = 0.0
        x -= np.sign(gradient) * step
        last = gradient
        path.append(x)
    return path


def followed(gradients, start, learning_rate=1e-3, **settings):
    """The values that `rprop` gives a parameter of `start`'s shape, from a list of gradients."""
    param, grad = theano.shared(start), theano.shared(np.zeros_like(start))
    function = theano.function([], updates=rprop([grad], [param], learning_rate, **settings))
    path = []
    for gradient in gradients:
        grad.set_value(gradient)
        function()
        path.append(param.get_value())
    return path


@pytest.mark.parametrize("settings", [{}, dict(increase=1.5, decrease=0.3, min_step=4e-4, max_step=5e-3)])
def test_rprop_weight_by_weight(settings, floatX):
    rng = np.random.RandomState(0)
    # Runs of a sign, turns, zeros, and gradients whose products underflow.
    gradients = [(rng.randn(3, 4) * np.array([1, 1e-30, 1e30, rng.randint(2)])).astype(floatX) for _ in range(40)]
    gradients += [np.full((3, 4), 1e-30, floatX)] * 30
    start = rng.randn(3, 4).astype(floatX)
    path = followed(gradients, start, learning_rate=1e-3, **settings)
    for i, j in np.ndindex(3, 4):
        expected = irprop_minus([np.sign(float(g[i, j])) for g in gradients], float(start[i, j]), **settings)
        np.testing.assert_allclose([x[i, j] for x in path], expected, rtol=1e-4 if floatX == "float32" else 1e-12)
    assert path[0].dtype == floatX


def test_the_judge_by_hand():
    """Four steps down a slope, over the valley, a pause, and back."""
    # steps: 1, 1.2, 1.44, 0.72 (turned: no move), 0.72 (nothing to compare with), 0.864
    assert irprop_minus([2.0, 0.1, 7.0, -3.0, -1.0, -1.0], 10.0, 1.0) == pytest.approx(
        [9.0, 7.8, 6.36, 6.36, 7.08, 7.944])


def test_rprop_takes_a_symbolic_rate_that_scales_every_step():
    rate, param = theano.shared(np.float64(0.1)), theano.shared(np.zeros(2))
    function = theano.function([], updates=rprop(T.sum(param * np.array([1.0, -1.0])), [param], rate, max_step=0.11))
    function()
    np.testing.assert_allclose(param.get_value(), [-0.1, 0.1])
    function()  # 0.12 is above max_step
    np.testing.assert_allclose(param.get_value(), [-0.21, 0.21])
    rate.set_value(0.01)
    function()
    np.testing.assert_allclose(param.get_value(), [-0.2232, 0.2232])  # 0.11 / 0.1 * 1.2 * 0.01


@pytest.mark.parametrize("settings, message", [
    (dict(increase=0.9), "decrease is 0.5 and increase 0.9; expected 0 < decrease < 1 < increase"),
    (dict(decrease=1.0), "decrease is 1.0 and increase 1.2; expected"),
    (dict(min_step=2, max_step=1), "min_step is 2 and max_step 1; expected 0 <= min_step < max_step"),
    (dict(min_step=-1), "min_step is -1"),
])
def test_rprop_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        rprop([T.zeros((2,))], [theano.shared(np.zeros(2))], **settings)


def test_rprop_refuses_another_number_of_gradients():
    with pytest.raises(ValueError, match="Got 1 gradient expressions for 2 parameters"):
        rprop([T.zeros((2,))], [theano.shared(np.zeros(2)), theano.shared(np.zeros(2))])
