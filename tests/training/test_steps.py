"""The steps that a trainer drives: their protocol; L-BFGS against SciPy's own, and RProp by loops over weights."""
import contextlib
import functools

import numpy as np
import pytest
import reference
import scipy.optimize
import scipy.sparse as sp
from devices import DTYPE, is_item_major
from made import stars

from sparse_ae.model import AutoEncoder
from sparse_ae.training.batch import Batch
from sparse_ae.training.lbfgs import LBFGS
from sparse_ae.training.optimisers import rprop
import lasagne
import theano
import theano.tensor as T
from theano.configparser import change_flags

pytestmark = pytest.mark.usefixtures("float64_by_numpy")
NAMES = ["dense", "sparse"]  # scan takes long to compile


# L-BFGS

# Weight decay so strong that there is one minimum, and no long valley.
SETTINGS = dict(f="sigmoid", g="tanh", low=1.0, span=4.0, l2_W=2.0, l2_V=0.5)


def ratings():
    return stars(10, 6)


@functools.lru_cache(maxsize=None)
def compiled(formulation, dtype):
    lbfgs = LBFGS(AutoEncoder(6, 3, rating_scale=(1, 5), f="sigmoid", g="tanh", l2=(2.0, 0.5), rng=1,
                              dtype=dtype), formulation)
    return lbfgs, lbfgs.function, lbfgs.get_state()


def step(formulation="dense", memory=10, dtype=DTYPE):
    """A fresh one; what is compiled is used again."""
    lbfgs, lbfgs.function, start = compiled(formulation, dtype)
    lbfgs.memory = memory
    lbfgs.set_state(start)
    lbfgs.decay_share.set_value(np.asarray(1, dtype))
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
    start = step(dtype="float64").parameters()
    return scipy.optimize.minimize(lambda x: by_loops(x)[::2], start, jac=True, method="L-BFGS-B",
                                   options=dict(ftol=0, gtol=1e-9)).fun


@pytest.mark.parametrize("formulation", NAMES)
def test_lbfgs_finds_what_scipys_own_finds(formulation, dtype):
    lbfgs, block = step(formulation, dtype=dtype), Batch.of(ratings())
    losses = [lbfgs(block)[0] for _ in range(200)]
    assert losses[-1] == pytest.approx(optimum(), rel=1e-5 if dtype == "float32" else 1e-9)
    assert all(later <= earlier for earlier, later in zip(losses, losses[1:]))
    assert [p.dtype for p in lbfgs.model.params] == [dtype] * 4
    assert is_item_major(lbfgs.model.V)


def test_lbfgs_evaluates_once_an_iteration_as_a_rule():
    lbfgs, block = step(), Batch.of(ratings())
    calls, function = [], lbfgs.function
    lbfgs.function = lambda *args: calls.append(1) or function(*args)
    for _ in range(30):
        lbfgs(block.map(np.copy))
    assert 30 < len(calls) < 50


def test_lbfgs_memory_is_bounded_and_is_put_back():
    lbfgs, block = step(memory=3), Batch.of(ratings())
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
    lbfgs, block = step(), Batch.of(ratings())
    first = lbfgs(block)
    lbfgs.model.b.set_value(lbfgs.model.b.get_value() + 1)
    changed = lbfgs(block)
    assert changed[0] > first[0]
    other = block.map(lambda data: 6 - data)
    assert lbfgs(other)[1] != lbfgs(block)[1]
    lbfgs.decay_share.set_value(np.asarray(0, lbfgs.decay_share.dtype))
    loss, squared_error = lbfgs(block)
    assert loss == squared_error


def interrupted(n, *found):
    """As by a second Ctrl-C amid the search."""
    if n > 1:
        raise KeyboardInterrupt
    return found


@pytest.mark.parametrize("change", [
    interrupted, lambda n, *found: found if n == 1 else [np.nan * x for x in found],
    lambda n, loss, squared_error, gradient: (loss, squared_error, -gradient)], ids=["Ctrl-C", "no number", "uphill"])
def test_lbfgs_stays_where_it_finds_nothing_better(change):
    lbfgs, block = step(), Batch.of(ratings())
    lbfgs(block)
    x, function, calls = lbfgs.parameters(), lbfgs.function, []
    lbfgs.set_state(lbfgs.get_state())  # which forgets the last evaluation

    def changed(*args):
        calls.append(1)
        return change(len(calls), *function(*args))

    lbfgs.function = changed
    with pytest.raises(KeyboardInterrupt) if change is interrupted else contextlib.nullcontext():
        lbfgs(block)
    assert len(calls) > 1 and list(lbfgs.get_state())[:4] == ["W", "V", "mu", "b"]
    assert change is interrupted or len(lbfgs.get_state()) == 4, "what it remembers led nowhere"
    np.testing.assert_array_equal(lbfgs.parameters(), x)


def test_lbfgs_at_a_minimum_and_at_no_number():
    zero, three = lasagne.init.Constant(0), lasagne.init.Constant(3)
    model = AutoEncoder(6, 3, f="linear", l2=0, W=zero, V=zero, b=three)
    lbfgs = LBFGS(model, "dense")
    threes = sp.csr_matrix(np.full((2, 6), 3), dtype="float32")
    assert lbfgs(Batch.of(threes)) == (0.0, 0.0)
    model.b.set_value(np.full(6, np.nan, model.b.dtype))
    assert np.isnan(lbfgs(Batch.of(threes))[0])


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
def test_rprop_weight_by_weight(settings, dtype):
    rng = np.random.RandomState(0)
    # Runs of a sign, turns, zeros, and gradients whose products underflow.
    gradients = [(rng.randn(3, 4) * np.array([1, 1e-30, 1e30, rng.randint(2)])).astype(dtype) for _ in range(40)]
    gradients += [np.full((3, 4), 1e-30, dtype)] * 30
    start = rng.randn(3, 4).astype(dtype)
    with change_flags(floatX=dtype):
        path = followed(gradients, start, learning_rate=1e-3, **settings)
    for i, j in np.ndindex(3, 4):
        expected = irprop_minus([np.sign(float(g[i, j])) for g in gradients], float(start[i, j]), **settings)
        np.testing.assert_allclose([x[i, j] for x in path], expected, rtol=1e-4 if dtype == "float32" else 1e-12)
    assert path[0].dtype == dtype


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
