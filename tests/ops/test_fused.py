"""The masked autoencoder in one pass: wrong input, extremes, memory; test_formulations.py judges it by loops."""
from pathlib import Path

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from devices import ON_GPU

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, SquaredError
from sparse_ae.training.batch import Batch
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano
import theano.tensor as T

not_on_gpu = pytest.mark.skipif(ON_GPU, reason="on a GPU Adam is Theano's own loops")


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
    for what_is_given in T.vectors("data", "target", "indicator"):
        with pytest.raises(theano.gradient.DisconnectedInputError):
            T.grad(error(W, W, x, x, x, i, i, what_is_given, W, what_is_given)[0], what_is_given)


@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("tanh", "sigmoid")])
def test_float32_nonlinearities_at_their_extremes(f, g):
    # One item, one hidden unit, no learning: the squared error shows f and g at x.
    values = np.concatenate([np.linspace(-20, 20, 401), [-1e4, -200, -89, 89, 200, 1e4],
                             np.logspace(-12, 0, 25)]).astype("float32")
    inputs = [*T.fmatrices(2), *T.fvectors(2), T.dvector(), T.fvector(), *T.ivectors(2), *T.dscalars(3)]
    step, one = theano.function(inputs, SGDStep(f, g, 1.0, 4.0)(*inputs)), np.ones((1, 1), "float32")
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
    (lambda: AdagradStep("linear", "softplus"), "nonlinearity 'softplus' has no fused step; expected one of .*linear")])
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
    for state in (T.fvector(), T.dmatrix()):
        with pytest.raises(TypeError, match="state is a .-d tensor of .*; expected a vector of float64"):
            SGDStep("linear", "sigmoid")(W, W, x, x, state, x, i, i, s, s, s, x)
    with pytest.raises(TypeError, match="the rate, l2_W and l2_V must be scalars"):
        adagrad(W, W, x, x, W, W, x, x, x, i, i, x, 0, 0, x)
    with pytest.raises(TypeError, match="there are 16 inputs; expected 15, or 18 with a second encoder: the"):
        adagrad(W, W, x, x, W, W, W, x, x, x, i, i, 0, 0, 0, x)


@not_on_gpu
@pytest.mark.skipif(not theano.config.cxx, reason="without a compiler gradients are made whole")
def test_an_epoch_needs_no_memory_of_a_parameters_size():
    """Parameters and two moments are there; what an epoch needs beside them is for the rows of a mini-batch."""
    peak = programs.load("common").peak  # in MB
    n_items, n_batches, k = 60000, 12, 64
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
        before = peak()
        for block in blocks:
            step(Batch.of(block))
    assert peak() - before < W.nbytes / 2 ** 21
