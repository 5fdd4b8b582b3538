"""Updates in one pass against the same updates in Theano's own loops; and where there is none."""
import functools

import numpy as np
import pytest
from alike import assert_all_close
from devices import ON_GPU
from made import stars
from matrices import laid_out

from sparse_ae.model import AutoEncoder
from sparse_ae.ops.rewrites import TAG, rewriting_mode
from sparse_ae.ops.updates import Together, UpdatePass
from sparse_ae.training.batch import Batch
from sparse_ae.training.optimisers import rprop
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano
import theano.tensor as T
from theano.configparser import change_flags

pytestmark = [pytest.mark.skipif(ON_GPU, reason="the rewrite is the CPU's"),
              pytest.mark.skipif(not theano.config.cxx, reason="there is no C++ compiler, and NumPy needs no rewrite")]

TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-6), "float64": dict(rtol=1e-12, atol=1e-12)}


UPDATES = [lasagne.updates.adam, lasagne.updates.momentum, lasagne.updates.nesterov_momentum, lasagne.updates.adagrad,
           lasagne.updates.rmsprop, lasagne.updates.adadelta, lasagne.updates.sgd, rprop]


# Of the judges: each node of the graph by NumPy, as it was written down.
PLAIN = theano.Mode(linker="py", optimizer="fast_compile")


def modes():
    return rewriting_mode(), theano.Mode(linker="py", optimizer="fast_run").including(TAG)


def passes(function):
    return [node.op for node in function.maker.fgraph.apply_nodes if isinstance(node.op, UpdatePass)]


class Problem:
    """Steps of an update of a matrix and a vector, with weight decays, towards gradients of our own; the rate falls."""

    def __init__(self, update, dtype, mode):
        with change_flags(floatX=dtype):
            self.dtype = dtype
            self.params = W, b = [theano.shared(np.zeros((1,) * n, dtype)) for n in (2, 1)]
            self.grads = [theano.shared(np.zeros((1,) * n, dtype)) for n in (2, 1)]
            self.rate, share = (theano.shared(np.asarray(x, dtype)) for x in (0.1, 0.3))
            self.weights = rows, columns = [theano.shared(np.zeros(1, dtype)) for _ in range(2)]
            norm = T.sum(W ** 2)
            cost = share * norm + T.dot(rows, T.sum(W ** 2, axis=1)) + T.dot(columns,
                                                                             T.sum(W ** 2, axis=0)) + T.sum(b ** 2)
            grads = [T.grad(cost, param) + grad for param, grad in zip(self.params, self.grads)]
            self.updates = update(grads, self.params, self.rate)
            self.function = theano.function([], norm, updates=self.updates, mode=mode)
            # What is kept for a parameter starts as one number for all of its entries.
            self.kept = [(x, x.get_value()) for x in self.updates if x not in self.params]

    def start(self, param_order="C", grad_order="C", shape=(5, 7)):
        """From the beginning, with arrays of these memory orders; compiling it again would take far longer."""
        self.rng, self.grad_order = np.random.RandomState(0), grad_order

        def value(*shape):
            return self.rng.randn(*shape).astype(self.dtype)

        self.params[0].set_value(laid_out(value(*shape), param_order), borrow=True)
        self.params[1].set_value(value(shape[0]))
        for weights, n in zip(self.weights, shape):
            weights.set_value(abs(value(n)))
        for variable, start in self.kept:
            shape_of_it = [(), shape[:1], shape][start.ndim]
            variable.set_value(np.full(shape_of_it, start.ravel()[0], start.dtype))
        self.rate.set_value(np.asarray(0.1, self.dtype))
        return self

    def run(self, n_steps=5):
        results = []
        for _ in range(n_steps):
            for grad, param in zip(self.grads, self.params):
                value = self.rng.randn(*param.get_value().shape).astype(self.dtype)
                grad.set_value(laid_out(value, self.grad_order) if value.ndim == 2 else value, borrow=True)
            results.append(self.function())
            self.rate.set_value(np.asarray(0.9 * self.rate.get_value(), self.dtype))
        return [np.array(results)] + [variable.get_value() for variable in self.updates]


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("update", [
    pytest.param(each, marks=pytest.mark.slow) if each in (lasagne.updates.adadelta, lasagne.updates.nesterov_momentum)
    else each for each in UPDATES], ids=lambda update: update.__name__)
def test_every_update_in_one_pass_a_parameter(update, dtype):
    expected = Problem(update, dtype, PLAIN).start().run()
    for mode in modes():
        problem = Problem(update, dtype, mode)
        assert [op.inplace for op in passes(problem.function)] == [True, True]
        for orders in [("C", "C"), ("F", "F"), ("F", "C"), ("strided", "F")]:
            problem.start(*orders)
            memory = [x.get_value(borrow=True) for x in problem.params]
            assert_all_close(problem.run(), expected, **TOLERANCE[dtype])
            if orders[0] != "strided":
                assert all(np.shares_memory(x.get_value(borrow=True), y) for x, y in zip(problem.params, memory))


@functools.lru_cache(maxsize=None)
def adam_problems():
    return [Problem(lasagne.updates.adam, "float64", mode) for mode in (PLAIN, rewriting_mode())]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (700, 1300)])
@pytest.mark.parametrize("order", "CF")
def test_sizes(shape, order):
    """The last for more than one thread, in chunks."""
    plain, fused = adam_problems()
    expected = plain.start(shape=shape).run(2)
    assert_all_close(fused.start(order, "C", shape).run(2), expected, **TOLERANCE["float64"])


def test_averages_fade_to_0():
    """Below the normal range they would be slow, and stay there: a few of its steps times 0.9 are rounded up."""
    x = theano.shared(np.full((700, 600), 1.2e-38, "float32"))  # more than one thread's
    function = theano.function([], updates=[(x, x * np.float32(0.9))], mode=rewriting_mode())
    function()
    assert passes(function) and (x.get_value() == 0).all()
    assert (np.float32([1e-39]) * 1).view("int32") > 0, "outside the setting is as it was"


@pytest.mark.parametrize("name, update", [("dense", lasagne.updates.adam), ("sparse", lasagne.updates.rmsprop)])
def test_steps_of_a_trainer_have_them(name, update):
    model = AutoEncoder(6, 3, rating_scale=(1, 5), l2=(0.1, 0.2), l2_weighted=True, rng=0, dtype="float64")
    step = TrainingStep(model, name, update, 0.01)
    assert [op.inplace for op in passes(step.function)] == [True] * 4
    step(Batch.of(stars(5, 6)))
    assert model.V.get_value(borrow=True).flags.f_contiguous


@pytest.mark.parametrize("which", [0, 1])
def test_an_old_value_that_somebody_needs(which):
    x, g = theano.shared(np.ones((2, 3))), theano.shared(np.full((2, 3), 0.5))
    function = theano.function([], [x] if which else [], updates=[(x, x - 0.1 * g)], mode=modes()[which])
    assert len(passes(function)) == 1
    assert [np.array_equal(y, np.ones((2, 3))) for y in function()] == [True] * which
    np.testing.assert_allclose(x.get_value(), np.full((2, 3), 0.95))


@pytest.mark.parametrize("updates, pairs", [
    # Theano makes one number of the two squares in C, once they are in one loop.
    (lambda x, y: [(x, T.sqr(x) + y), (y, x * x + y)], []),
    # No one loop can do both: the second takes the first one's sum.
    (lambda x, y: [(x, 0.9 * x + 1), (y, (y + x) * T.sum(0.9 * x + 1))], []),
    # Nothing of the old value, and no array to write to: Theano went on replacing such an update by itself for ever.
    (lambda x, y: [(x, T.exp(y) + 1)], [()])], ids=["equal", "a sum", "nothing of the old"])
def test_updates_that_are_hard_to_do_in_one_pass(updates, pairs):
    results = []
    for mode in (PLAIN, rewriting_mode()):
        x, y = (theano.shared(np.arange(6.0).reshape(2, 3) + i) for i in range(2))
        function = theano.function([], updates=updates(x, y), mode=mode)
        function()
        function()
        results.append([x.get_value(), y.get_value()])
    assert [op.pairs for op in passes(function)] == pairs
    np.testing.assert_allclose(*results, rtol=1e-12)


@pytest.mark.parametrize("memory", ["a file's", "the caller's"])
def test_a_value_that_cannot_be_written_to_is_copied(memory, tmp_path):
    x = np.arange(6.0)
    if memory == "a file's":
        np.save(str(tmp_path / "x.npy"), x)
        x = np.load(str(tmp_path / "x.npy"), mmap_mode="r")
    x.setflags(write=False)
    shared = theano.shared(np.zeros(6))
    function = theano.function([], updates=[(shared, 0.5 * shared + 1)], mode=rewriting_mode())
    assert [op.inplace for op in passes(function)] == [True]
    shared.set_value(x, borrow=True)
    function()
    np.testing.assert_array_equal(shared.get_value(), 0.5 * np.arange(6.0) + 1)
    np.testing.assert_array_equal(x, np.arange(6.0))


def test_an_input_may_be_there_twice():
    """As equal constants are where Theano merges them after the rewrite."""
    a, x, c = (theano.scalar.float64() for _ in range(3))
    array, number = T.vector(dtype="float64"), T.constant(np.array([0.5]))
    passed = UpdatePass(Together([a, x, c], [a * x + c]), [(0, 1)])(number, array, number)
    np.testing.assert_array_equal(theano.function([array], passed)(np.arange(5.0)), 0.5 * np.arange(5.0) + 0.5)


def test_what_others_need_too_is_computed_once():
    """A gradient whose norm is clipped: it is there before the pass, and the pass reads it."""
    def clipped(mode):
        x, z = theano.shared(np.ones((4, 3))), theano.shared(np.arange(12.0).reshape(4, 3))
        grads, norm = lasagne.updates.total_norm_constraint([T.exp(x) * z], 5, return_norm=True)
        function = theano.function([], norm, updates=lasagne.updates.adam(grads, [x], 0.1), mode=mode)
        return function, [function() for _ in range(3)], x.get_value()

    function, *got = clipped(rewriting_mode())
    assert_all_close(got, clipped(PLAIN)[1:], rtol=1e-12)
    assert len(passes(function)) == 1
    exponentials = [node for node in function.maker.fgraph.toposort()
                    if "exp(" in str(node.op) or "Exp" in str(node.op)]
    assert len(exponentials) == 1


@pytest.mark.parametrize("which", [0, 1])
def test_arrays_that_do_not_fit_are_refused_and_nothing_changes(which):
    x, g, row = theano.shared(np.ones((2, 3))), theano.shared(np.ones((2, 3))), theano.shared(np.ones(3))
    function = theano.function([], updates=lasagne.updates.momentum([g + row], [x], 0.1), mode=modes()[which])
    for variable, value in [(g, np.ones((2, 2))), (g, np.ones((1, 3))), (row, np.ones(2))]:
        before = variable.get_value()
        variable.set_value(value)
        with pytest.raises(ValueError, match="[Dd]imension mis|could not be broadcast"):
            function()
        variable.set_value(before)
        np.testing.assert_array_equal(x.get_value(), np.ones((2, 3)))
    function()
    np.testing.assert_allclose(x.get_value(), np.full((2, 3), 0.8))


def test_other_functions_are_left_alone(monkeypatch):
    x = theano.shared(np.ones((2, 3)))
    assert not passes(theano.function([], updates=[(x, 2 * x)]))
    assert not passes(theano.function([], 2 * x, mode=rewriting_mode()))
    assert not passes(theano.function([], updates=[(x, T.dot(x, np.ones((3, 3))))], mode=rewriting_mode()))
    assert passes(theano.function([], updates=[(x, 2 * x)], mode=rewriting_mode()))
    in_python = theano.Mode("py", "fast_run")  # where a pass would go number by number
    monkeypatch.setattr(theano.compile.mode, "get_default_mode", lambda: in_python)
    assert not passes(theano.function([], updates=[(x, 2 * x)], mode=rewriting_mode()))
