"""RProp against a loop over single weights, L-BFGS against SciPy's own."""
import functools
import warnings

import numpy as np
import pytest
import reference
import scipy.optimize
import scipy.sparse as sp

from sparse_ae.model import AutoEncoder
from sparse_ae.updates import LBFGS, rprop
import lasagne
import theano
import theano.tensor as T
from theano.configparser import change_flags

NAMES = ["dense", "sparse"] if theano.config.device == "cpu" else ["dense"]  # scan takes long to compile


@pytest.fixture(params=["float64", "float32"])
def floatX(request):
    if theano.config.device != "cpu" and request.param == "float64":
        pytest.skip("float32 is what a GPU is for")
    with change_flags(floatX=request.param):
        yield request.param


# RProp

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


def test_rprop_by_hand():
    """Four steps down a slope, over the valley, a pause, and back."""
    path = followed([np.array([g]) for g in (2.0, 0.1, 7.0, -3.0, -1.0, -1.0)], np.array([10.0]), learning_rate=1.0)
    # steps: 1, 1.2, 1.44, 0.72 (turned: no move), 0.72 (nothing to compare with), 0.864
    np.testing.assert_allclose(np.ravel(path), [9.0, 7.8, 6.36, 6.36, 7.08, 7.944])


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


def test_rprop_keeps_the_dtype(floatX):
    param = theano.shared(np.zeros(3, floatX))
    updates = rprop(T.sum(param ** 2), [param], learning_rate=theano.shared(np.asarray(1e-3, floatX)))
    assert len(updates) == 3 and list(updates)[0] is param
    for variable, update in updates.items():
        assert variable.dtype == update.dtype == floatX
    assert rprop([T.ones_like(param)], [param], 0.1)[param].dtype == floatX


def test_rprop_minimises_what_lasagnes_test_does():
    """Lasagne's own oracle for updates, a sum of squares."""
    param = theano.shared(np.array([[0.3, -0.2], [5.0, 1e-3]]))
    function = theano.function([], updates=rprop(T.sum((param - 1) ** 2), [param], 0.01))
    for _ in range(200):
        function()
    np.testing.assert_allclose(param.get_value(), 1, atol=1e-4)


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


# L-BFGS

# Weight decay so strong that there is one minimum, and no long valley.
SETTINGS = dict(f="sigmoid", g="tanh", low=1.0, span=4.0, l2_W=2.0, l2_V=0.5)


def ratings():
    rng = np.random.RandomState(0)
    return sp.csr_matrix(rng.randint(1, 6, (10, 6)) * (rng.rand(10, 6) < 0.5), dtype="float32")


@functools.lru_cache(maxsize=None)
def compiled(formulation, floatX):
    lbfgs = LBFGS(AutoEncoder(6, 3, rating_scale=(1, 5), f="sigmoid", g="tanh", l2=(2.0, 0.5), rng=1), formulation)
    return lbfgs, lbfgs._function, lbfgs.get_state()


def step(formulation="dense", memory=10):
    """A fresh one; what is compiled is used again."""
    lbfgs, lbfgs._function, start = compiled(formulation, theano.config.floatX)
    lbfgs.memory, lbfgs._known = memory, None
    lbfgs.set_state(start)
    lbfgs.share.set_value(np.asarray(1, lbfgs.share.dtype))
    return lbfgs


def by_loops(x):
    """The reference's loss, squared error and gradient for the parameters as one vector, V in it item by item."""
    W, V_t, mu, b = np.split(x, [18, 36, 39])
    loss, squared_error, gradients = reference.loss_and_gradients(
        reference.pairs(ratings()), W.reshape(6, 3), V_t.reshape(6, 3).T, mu, b, **SETTINGS)
    gradients[1] = gradients[1].T
    return loss, squared_error, np.concatenate([g.ravel() for g in gradients])


@functools.lru_cache(maxsize=None)
def optimum():
    with change_flags(floatX="float64"):
        start = step()._parameters()
    return scipy.optimize.minimize(lambda x: by_loops(x)[::2], start, jac=True, method="L-BFGS-B",
                                   options=dict(ftol=0, gtol=1e-9)).fun


@pytest.mark.parametrize("formulation", NAMES)
def test_lbfgs_finds_what_scipys_own_finds(formulation, floatX):
    lbfgs, block = step(formulation), ratings()
    losses = [lbfgs(block)[0] for _ in range(200)]
    assert losses[-1] == pytest.approx(optimum(), rel=1e-5 if floatX == "float32" else 1e-9)
    assert all(later <= earlier for earlier, later in zip(losses, losses[1:]))
    assert [p.dtype for p in lbfgs.model.params] == [floatX] * 4
    assert lbfgs.model.V.get_value(borrow=True).flags.f_contiguous


def test_lbfgs_first_iterations_by_hand(floatX):
    """Down the gradient first; then the direction that the two vectors' own update of the inverse Hessian gives."""
    lbfgs, block = step(), ratings()
    x = [lbfgs._parameters()]
    for _ in range(2):
        lbfgs(block)
        x.append(lbfgs._parameters())
    x = np.array(x, "float64")
    g = [by_loops(each)[2] for each in x]
    cosine = np.dot(x[1] - x[0], -g[0]) / np.linalg.norm(x[1] - x[0]) / np.linalg.norm(g[0])
    assert cosine == pytest.approx(1, rel=1e-5)

    s, y = x[1] - x[0], g[1] - g[0]
    rho, eye = 1 / np.dot(s, y), np.eye(len(s))
    H = (eye - rho * np.outer(s, y)).dot(eye / (rho * y.dot(y))).dot(eye - rho * np.outer(y, s)) + rho * np.outer(s, s)
    direction = -H.dot(g[1])
    np.testing.assert_allclose((x[2] - x[1]) / np.linalg.norm(x[2] - x[1]), direction / np.linalg.norm(direction),
                               atol=1e-3 if floatX == "float32" else 1e-9)


def test_lbfgs_returns_what_the_step_of_an_update_returns():
    lbfgs, block = step(), ratings()
    expected = by_loops(lbfgs._parameters().astype("float64"))[:2]
    np.testing.assert_allclose(lbfgs(block), expected, rtol=1e-5)


def test_lbfgs_evaluates_once_an_iteration_as_a_rule():
    lbfgs, block = step(), ratings()
    calls, function = [], lbfgs._function
    lbfgs._function = lambda *args: calls.append(1) or function(*args)
    for _ in range(30):
        lbfgs(block.copy())
    assert 30 < len(calls) < 50


def test_lbfgs_memory_is_bounded_and_is_put_back():
    lbfgs, block = step(memory=3), ratings()
    for _ in range(6):
        lbfgs(block)
    state = lbfgs.get_state()
    assert list(state) == ["W", "V", "mu", "b", "s_0", "y_0", "s_1", "y_1", "s_2", "y_2"]
    kept = {name: value.copy() for name, value in state.items()}
    following = [lbfgs(block) for _ in range(4)]
    assert step(memory=3)(block) != following[0]
    lbfgs.set_state(state)
    assert [lbfgs(block) for _ in range(4)] == following
    for name in kept:
        np.testing.assert_array_equal(state[name], kept[name])


def test_lbfgs_notices_other_ratings_other_parameters_and_another_share():
    lbfgs, block = step(), ratings()
    first = lbfgs(block)
    lbfgs.model.b.set_value(lbfgs.model.b.get_value() + 1)
    changed = lbfgs(block)
    assert changed[0] > first[0]
    other = block.copy()
    other.data[:] = 6 - other.data
    assert lbfgs(other)[1] != lbfgs(block)[1]
    lbfgs.share.set_value(np.asarray(0, lbfgs.share.dtype))
    loss, squared_error = lbfgs(block)
    assert loss == squared_error


def test_lbfgs_stays_where_nothing_is_better():
    lbfgs, block = step(), ratings()
    lbfgs(block)
    x = lbfgs._parameters()
    function = lbfgs._function

    def uphill(*args):
        loss, squared_error, gradient = function(*args)
        return loss, squared_error, -gradient

    lbfgs._function, lbfgs._known = uphill, None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lbfgs(block)
    np.testing.assert_array_equal(lbfgs._parameters(), x)
    assert lbfgs._pairs == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_lbfgs_interrupted_amid_the_search(error):
    """A second Ctrl-C, or a trial step at which nothing is finite: the parameters are those of before."""
    lbfgs, block = step(), ratings()
    lbfgs(block)
    x = lbfgs._parameters()
    lbfgs._known = None
    function, calls = lbfgs._function, []

    def failing(*args):
        calls.append(1)
        if len(calls) > 1 and error is not None:
            raise error
        loss, squared_error, gradient = function(*args)
        return (loss, squared_error, gradient) if len(calls) == 1 else (np.nan, np.nan, gradient * np.nan)

    lbfgs._function = failing
    if error is not None:
        with pytest.raises(error):
            lbfgs(block)
    else:
        lbfgs(block)
    assert len(calls) > 1
    np.testing.assert_array_equal(lbfgs._parameters(), x)


def test_lbfgs_at_a_minimum_and_at_no_number():
    zero, three = lasagne.init.Constant(0), lasagne.init.Constant(3)
    model = AutoEncoder(6, 3, f="linear", l2=0, W=zero, V=zero, b=three)
    lbfgs = LBFGS(model, "dense")
    threes = sp.csr_matrix(np.full((2, 6), 3), dtype="float32")
    assert lbfgs(threes) == (0.0, 0.0)
    model.b.set_value(np.full(6, np.nan, model.b.dtype))
    assert np.isnan(lbfgs(threes)[0])


@pytest.mark.parametrize("memory", [0, 2.5, True])
def test_lbfgs_refuses(memory):
    with pytest.raises(ValueError, match="memory is %r; expected a positive integer" % memory):
        LBFGS(AutoEncoder(6, 3), "dense", memory=memory)
