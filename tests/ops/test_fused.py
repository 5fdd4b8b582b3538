"""The masked autoencoder in one pass against plain loops, and wrong input; test_formulations.py has the dense graph."""
import functools
import re
from pathlib import Path

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from devices import ON_GPU
from toys import softplus

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, SquaredError
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano
import theano.tensor as T

not_on_gpu = pytest.mark.skipif(ON_GPU, reason="on a GPU Adam is Theano's own loops")
TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-5), "float64": dict(rtol=1e-11, atol=1e-11)}


@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("linear", "sigmoid"), ("tanh", "linear"),
                                  ("rectify", "very_leaky_rectify"), ("very_leaky_rectify", "rectify")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fused_step_against_loops(f, g, dtype):
    step = sgd_step(f, g, dtype)
    for seed, k in enumerate([1, 7, 40, 150]):
        rng = np.random.RandomState(seed)
        n_items = 6
        rows = [[(int(j), float(rng.randint(1, 6))) for j in rng.permutation(n_items)[:n]] for n in (3, 0, 6, 1)]
        indices, data = (np.array(x) for x in zip(*sum(rows, [])))
        indptr = np.cumsum([0] + [len(row) for row in rows])
        W, V, mu, b = rng.randn(n_items, k) / 2, rng.randn(k, n_items) / 2, rng.randn(k) / 2, rng.randn(n_items) / 2
        factors, l2 = np.array([0.7, 0.4]), (0.3, 0.2)
        norms = [(W ** 2).sum(), (V ** 2).sum()]
        loss, squared_error, expected = reference.sgd(rows, [W, V, mu, b], 0.01, f=f, g=g, low=1.0, span=4.0,
                                                      l2_W=l2[0], l2_V=l2[1])

        stored = [(W / factors[0]).astype(dtype), (V.T / factors[1]).astype(dtype), mu.astype(dtype), b.astype(dtype)]
        new_W, new_V_t, new_mu, new_b, state, *costs = step(*stored + [np.append(factors, norms), data.astype(dtype),
                                                           indices.astype("int32"), indptr.astype("int32"), 0.01, *l2])
        new = [new_W * state[0], new_V_t.T * state[1], new_mu, new_b]
        tolerance = dict(rtol=2e-4, atol=2e-4) if dtype == "float32" else TOLERANCE[dtype]
        for x, y in zip(new, expected):
            np.testing.assert_allclose(x, y, **tolerance)
        np.testing.assert_allclose(costs, [squared_error, loss], rtol=tolerance["rtol"])
        np.testing.assert_allclose(state[:2], factors * (1 - 0.02 * np.array(l2)), rtol=1e-14)
        np.testing.assert_allclose(state[2:], [(expected[0] ** 2).sum(), (expected[1] ** 2).sum()],
                                   rtol=tolerance["rtol"])


_steps = {}


def sgd_step(f, g, dtype):
    if (f, g, dtype) not in _steps:
        inputs = [T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype), T.vector(dtype=dtype),
                  T.dvector(),
                  T.vector(dtype=dtype), T.ivector(), T.ivector(), T.dscalar(), T.dscalar(), T.dscalar()]
        _steps[f, g, dtype] = theano.function(inputs, SGDStep(f, g, 1.0, 4.0)(*inputs))
    return _steps[f, g, dtype]


def problem(rng, n_items, k, dtype, n_rows=5):
    """Random ratings as lists of pairs and as a CSR block's arrays, the first row empty; and parameters W, V, mu, b."""
    lengths = [0] + list(rng.randint(1, min(n_items, 30), max(0, n_rows - 1)))
    rows = [[(int(j), float(rng.randint(1, 6))) for j in rng.permutation(n_items)[:n]] for n in lengths[:n_rows]]
    indices, data = np.array(sum(rows, []), float).reshape(-1, 2).T
    arrays = [data.astype(dtype), indices.astype("int32"), np.cumsum([0] + [len(row) for row in rows]).astype("int32")]
    return rows, arrays, [rng.randn(n_items, k) / 4, rng.randn(k, n_items) / 4, rng.randn(k) / 4,
                          rng.randn(n_items) / 4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f, g, target, two", [("sigmoid", "tanh", False, False), ("sigmoid", "tanh", True, False),
                                               ("sigmoid", "tanh", True, True), ("linear", "sigmoid", True, True)])
def test_squared_error_against_loops(f, g, target, two, dtype):
    matrix, vector = T.TensorType(dtype, (False, False)), T.TensorType(dtype, (False,))
    W, V_t, U_t, mu, b, data, wanted, seen = inputs = [matrix() for _ in range(3)] + [vector() for _ in range(5)]
    inputs += [T.ivector(), T.ivector()]
    more = dict({"target": wanted} if target else {}, **({"U_t": U_t, "indicator": seen} if two else {}))
    cost = 2 * SquaredError(f, g, 1.0, 4.0)(W, V_t, mu, b, data, *inputs[8:], **more)[0]
    parameters = [W, V_t, mu, b] + [U_t] * two
    function = theano.function(inputs, [cost] + T.grad(cost, parameters), on_unused_input="ignore")
    for x in [data] + [wanted] * target + [seen] * two:
        with pytest.raises(theano.gradient.DisconnectedInputError):
            T.grad(cost, x)
    # 1100 rows are more than are taken at a time in C.
    for n_items, k, n_rows in [(4, 3, 0), (40, 1, 5), (5, 3, 1100), (6000, 21, 4)]:
        rng = np.random.RandomState(k)
        rows, (data, indices, indptr), parameters = problem(rng, n_items, k, dtype, n_rows)
        parameters.append(rng.randn(k, n_items) / 4)
        targets, seen = ([rng.randn(len(row)) + 2 for row in rows] for _ in range(2))
        _, squared_error, gradients = reference.loss_and_gradients(
            rows, *parameters[:4 + two], f=f, g=g, low=1.0, span=4.0, l2_W=0, l2_V=0,
            targets=targets if target else None, seen=seen if two else None)
        W, V, mu, b, U = (np.array(x, dtype) for x in parameters)
        gradients[1] = gradients[1].T
        if two:
            gradients[4] = gradients[4].T
        tolerance = dict(rtol=4e-4, atol=4e-3) if dtype == "float32" else dict(rtol=1e-10, atol=1e-10)
        targets, seen = (np.concatenate(x or [[]]).astype(dtype) for x in (targets, seen))
        for stride in (1, 2):  # any memory layout, as of U and V
            of_data, of_targets, of_seen = (np.repeat(x, stride)[::stride] for x in (data, targets, seen))
            got = function(W, V.T, U.T, mu, b, of_data, of_targets, of_seen, indices, indptr)
            for x, y in zip(got, [squared_error] + gradients):
                np.testing.assert_allclose(x, 2 * y, **tolerance)


def test_a_second_encoder_comes_with_what_it_sees():
    W, x, i = T.matrix(), T.vector(), T.ivector()
    error = SquaredError("linear", "sigmoid")
    assert len(error.make_node(W, W, x, x, x, i, i).inputs) == 8
    for more, message in [(dict(U_t=W), "needs U_t and indicator; indicator is missing"),
                          (dict(indicator=x), "needs U_t and indicator; U_t is missing")]:
        with pytest.raises(TypeError, match=message):
            error(W, W, x, x, x, i, i, **more)
    with pytest.raises(TypeError, match="indicator has 2 dimensions; expected 1"):
        error(W, W, x, x, x, i, i, U_t=W, indicator=W)


def test_a_nonlinearity_without_a_fused_step():
    with pytest.raises(ValueError, match="nonlinearity 'softmax' has no fused step; expected one of .*linear"):
        SGDStep("softmax", "tanh")


@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("tanh", "sigmoid")])
def test_float32_nonlinearities_at_their_extremes(f, g):
    # One item, one hidden unit, no learning: the squared error shows f and g at x.
    values = np.concatenate([np.linspace(-20, 20, 401), [-1e4, -200, -89, 89, 200, 1e4],
                             np.logspace(-12, 0, 25)]).astype("float32")
    step = sgd_step(f, g, "float32")
    one = np.ones((1, 1), "float32")
    for x in values:
        _, _, _, _, _, *costs = step(one, 0 * one, np.array([x]), np.zeros(1, "float32"), np.ones(4),
                                    np.zeros(1, "float32"),
                                    np.int32([0]), np.int32([0, 1]), 0.0, 0.0, 0.0)
        expected = {"sigmoid": lambda x: 1 / (1 + np.exp(-np.clip(x, -700, 700))), "tanh": np.tanh}
        h = expected[g](np.float64(x))
        np.testing.assert_allclose(np.sqrt(costs[0]), abs(1 + 4 * expected[f](h)), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("make", [SquaredError, SGDStep, AdagradStep])
def test_functions_and_scales_share_the_compiled_code(make):
    """It takes seconds to compile."""
    W, x, i = T.matrix(), T.vector(), T.ivector()
    arguments = {SquaredError: [x, i, i], SGDStep: [T.dvector(), x, i, i, 0, 0, 0],
                 AdagradStep: [W, W, x, x, x, i, i, 0, 0, 0, x]}[make]
    ops = [make("sigmoid", "tanh", 1, 4), make("linear", "sigmoid"), make("tanh", "linear", -0.5, 1e-3)]
    ops += [op.in_place() for op in ops if hasattr(op, "in_place")]
    if make is AdagradStep:
        ops.append(make("sigmoid", "tanh", epsilon=1e-3))
    nodes = [op.make_node(W, W, x, x, *arguments) for op in ops]
    names = [["x%d" % i for i, _ in enumerate(variables)] for variables in (nodes[0].inputs, nodes[0].outputs)]
    assert len({node.op.c_code(node, "node", *names, dict(fail="fail", params="params")) for node in nodes}) == 1
    assert len({node.run_params() for node in nodes}) == len(ops)


@pytest.mark.parametrize("make, message", [
    (lambda settings=settings: AdamStep("linear", "sigmoid", **settings),
     "%s is .*; it must be" % "".join(settings)) for settings in (
         dict(beta1=1), dict(beta1=-0.1), dict(beta2=1.5), dict(epsilon=0), dict(epsilon=np.nan), dict(beta2=np.nan))
] + [(lambda epsilon=epsilon: AdagradStep("linear", "sigmoid", epsilon=epsilon), "epsilon is .*; it must be above 0")
     for epsilon in (0, -1, np.nan, np.inf)] + [
    (lambda: AdagradStep("linear", "softplus"), "nonlinearity 'softplus' has no fused step")])
def test_settings_that_are_no_step(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_other_inputs():
    W, x, i, s = T.matrix(), T.vector(), T.ivector(), T.scalar()
    adagrad, adam = AdagradStep("linear", "sigmoid"), AdamStep("linear", "sigmoid")
    with pytest.raises(TypeError, match="there are 18 inputs; expected 19, or 23"):
        adam(*[W, W, x, x] * 3 + [x, i, i, s, s, s])
    with pytest.raises(TypeError, match="the mean of gradients of W has 1 dimensions; expected 2"):
        adam(*[W, W, x, x] + [x, W, W, W, x, x, x, x] + [x, i, i, s, s, s, x])
    with pytest.raises(TypeError, match="learning_rate, l2_W and l2_V must be scalars"):
        adagrad(W, W, x, x, W, W, x, x, x, i, i, x, 0, 0, x)
    with pytest.raises(TypeError, match="there are 16 inputs; expected 15, or 18 with a second encoder: the"):
        adagrad(W, W, x, x, W, W, W, x, x, x, i, i, 0, 0, 0, x)


# The trainer's
N_ITEMS, K = 11, 5


def uses_adam_step(step):
    return any(isinstance(node.op, AdamStep) for node in step.function.maker.fgraph.apply_nodes)


@not_on_gpu
@pytest.mark.parametrize("update, settings", [
    (functools.partial(lasagne.updates.adam, beta1=T.constant(0.9)), {}),
    (functools.partial(lasagne.updates.adam, beta2=1.0), {}), (lasagne.updates.adam, dict(f=softplus)),
    pytest.param(lasagne.updates.adam, dict(objective=Missing(0.1)), marks=pytest.mark.slow),
    (lasagne.updates.rmsprop, {})])
def test_other_steps_are_lasagnes_own(update, settings):
    objective = settings.pop("objective", Observed())
    model = AutoEncoder(N_ITEMS, K, **dict(dict(f="linear", g="sigmoid", l2=0.1), **settings))
    assert not uses_adam_step(TrainingStep(model, "sparse", update, 0.1, objective=objective))


@not_on_gpu
@pytest.mark.skipif(not theano.config.cxx, reason="without a compiler gradients are made whole")
def test_an_epoch_needs_no_memory_of_a_parameters_size():
    """Parameters and two moments are there; what an epoch needs beside them is for the rows of a mini-batch."""
    n_items, n_batches, k = 120000, 12, 64
    W, V = np.zeros((n_items, k), "float32"), np.zeros((k, n_items), "float32")
    step = TrainingStep(AutoEncoder(n_items, k, l2=0.1, W=W, V=V), "sparse", lasagne.updates.adam, 0.001)
    per_batch = n_items // n_batches
    blocks = [sp.csr_matrix((np.ones(per_batch, "float32"), np.arange(i, i + per_batch), [0, per_batch]), (1, n_items))
              for i in range(0, n_items, per_batch)]  # all together use all rows
    with step.deferred():
        step(Batch.of(blocks[0]))  # zeros take no memory until they are written to
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pytest.skip("only Linux tells the most memory since a moment, and not to everybody")
        before = peak_memory()
        for block in blocks:
            step(Batch.of(block))
    assert peak_memory() - before < W.nbytes / 2


def peak_memory():
    """Bytes."""
    found = re.search("VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found.group(1))
