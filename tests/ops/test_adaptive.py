"""Adam and Adagrad in one pass against Lasagne's on a dense graph, and what they can't take; Adam's in the trainer."""
import functools
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from devices import ON_GPU
from toys import softplus

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import AdagradStep, AdamStep
from sparse_ae.runtime.device import kept_on_host
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano
import theano.tensor as T
from theano.configparser import change_flags

not_on_gpu = pytest.mark.skipif(ON_GPU, reason="on a GPU Adam is Theano's own loops")

# By name: the Op, Lasagne's update, the settings of both, how many arrays are kept for each parameter.
ADAM = dict(beta1=0.8, beta2=0.95, epsilon=1e-6)
KINDS = {"adagrad": (AdagradStep, lasagne.updates.adagrad, dict(epsilon=1e-6), 1),
         "adam": (AdamStep, lasagne.updates.adam, ADAM, 2)}


class Steps:
    """Of an Op, on shared variables: W, V's transpose, mu, b, U's transpose; then what is kept for each."""

    def __init__(self, kind, f, g, dtype, target=False, two=False, weighted=True):
        make, _, settings, n_kept = KINDS[kind]
        self.kind, self.f, self.g, self.dtype, self.two, self.weighted = kind, f, g, dtype, two, weighted
        self.n_kept, ndims = n_kept, (2, 2, 1, 1, 2)[:4 + two]
        ndims += tuple(ndim for ndim in ndims for _ in range(n_kept))
        self.shared = [theano.shared(np.zeros((1,) * ndim, dtype)) for ndim in ndims]
        data, indices, indptr, rate = T.vector(dtype=dtype), T.ivector(), T.ivector(), T.dscalar()
        more = [T.vector(dtype=dtype) for _ in range(target + two)]
        self.op = make(f, g, 1.0, 4.0, **dict(settings, **({"weighted": weighted} if kind == "adam" else {})))
        *new, squared_error, cost = self.op(*self.shared, data, indices, indptr, rate, 0.03, 0.02,
                                            more[0] if target else data, *more[target:])
        self.function = theano.function([rate, data, indices, indptr] + more, [squared_error, cost],
                                        updates=list(zip(self.shared, new)))

    def start(self, *parameters):
        kept = [0 * np.asarray(x) for x in parameters for _ in range(self.n_kept)]
        for variable, value in zip(self.shared, list(parameters) + kept):
            variable.set_value(np.array(value, self.dtype))

    def values(self):
        return [variable.get_value() for variable in self.shared]

    def rate(self, t):
        """Of step t: Adam's Op takes the rate with the corrections of its moments."""
        return 0.01 * np.sqrt(1 - 0.95 ** t) / (1 - 0.8 ** t) if self.kind == "adam" else 0.01


steps = functools.lru_cache(maxsize=None)(Steps)  # several tests use one


@functools.lru_cache(maxsize=None)
def lasagnes(kind, f, g, two, weighted):
    """A step of Lasagne's, of dense rows, mask, targets and what is seen; and what it moves, as in `Steps.shared`."""
    _, update, settings, _ = KINDS[kind]
    with change_flags(floatX="float64"):
        parameters = [theano.shared(np.zeros((1,) * ndim)) for ndim in (2, 2, 1, 1, 2)[:4 + two]]
        W, V_t, mu, b = parameters[:4]
        rows, mask, targets, seen = T.dmatrices(4)
        functions = {"linear": lambda x: x, "sigmoid": T.nnet.sigmoid, "tanh": T.tanh}
        hidden = functions[g](T.dot(rows, V_t) + (T.dot(seen, parameters[4]) if two else 0) + mu)
        squared_error = T.sum(mask * (1 + 4 * functions[f](T.dot(hidden, W.T) + b) - targets) ** 2)
        n = mask.sum(axis=0) if weighted else T.ones_like(b)
        cost = squared_error + 0.03 * T.dot(n, (W ** 2).sum(axis=1))
        for encoder in [V_t] + parameters[4:]:
            cost += 0.02 * T.dot(n, (encoder ** 2).sum(axis=1))
        updates = update(cost, parameters, 0.01, **settings)
        kept = [variable for variable in updates if variable not in parameters]
        function = theano.function([rows, mask, targets, seen], [squared_error, cost], updates=updates,
                                   mode=kept_on_host(theano.Mode("py", "fast_compile")), on_unused_input="ignore")
    return function, parameters + [x for x in kept if x.ndim], [x for x in kept if not x.ndim]


def cases(kind, *each):
    return [pytest.param(kind, *case, marks=not_on_gpu if kind == "adam" else ()) for case in each]


@pytest.mark.parametrize("kind, f, g, target, two, weighted", cases(
    "adagrad", ("linear", "sigmoid", False, False, True), ("sigmoid", "tanh", True, False, True),
    ("linear", "sigmoid", True, True, True), ("sigmoid", "tanh", False, True, True)) + cases(
    "adam", ("linear", "sigmoid", False, False, False), ("sigmoid", "tanh", True, False, True),
    ("linear", "sigmoid", True, True, False), ("linear", "tanh", False, True, True)))
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_it_is_lasagnes_on_a_dense_graph(kind, f, g, target, two, weighted, dtype):
    step = steps(kind, f, g, dtype, target, two, weighted)
    assert all(node.op.inplace for node in step.function.maker.fgraph.apply_nodes
               if isinstance(node.op, type(step.op)))
    # A first step is d / |d|, nearly: the rounding of a gradient near 0 decides where it goes.
    rtol, atol = (1e-3, 1e-3) if dtype == "float32" else (1e-10, 1e-10)
    judge, expected, counters = lasagnes(kind, f, g, two, weighted)
    # The last is for more than one thread: four blocks of hidden units, the last one no multiple of a vector.
    for n_rows, n_items, k in [(4, 7, 1), (6, 9, 19), (60, 900 if kind == "adam" else 90, 505)]:
        rng = np.random.RandomState(k)
        parameters = [rng.randn(n_items, k) / 8, rng.randn(n_items, k) / 8, rng.randn(k) / 8, rng.randn(n_items) / 8]
        step.start(*parameters + [rng.randn(n_items, k) / 8] * two)
        before, used = step.values(), np.zeros(n_items, bool)
        for variable, own in zip(expected, before):
            variable.set_value(own.astype("float64"))
        for counter in counters:
            counter.set_value(0.0)
        for t in range(1, 5):
            mask = rng.rand(n_rows, n_items) < 0.4
            mask[:, -2:] = mask[:, 0] = False  # without a rating: Adam moves them all the same, once they have had one
            mask[0] = False
            if t == 1:
                mask[1:, -1] = True
            if t == 3:
                mask[:] = False  # the decay alone
            used |= mask.any(axis=0)
            dense = np.where(mask, rng.randint(0, 6, mask.shape), 0).astype(float)  # a stored 0 is a rating
            targets = np.where(mask, rng.randn(*mask.shape), 0).astype(dtype).astype(float) if target else dense
            seen = np.where(mask, rng.rand(*mask.shape), 0).astype(dtype).astype(float)
            indices = np.nonzero(mask)[1].astype("int32")
            indptr = np.append(0, np.cumsum(mask.sum(axis=1))).astype("int32")
            costs = step.function(step.rate(t), dense[mask].astype(dtype), indices, indptr,
                                  *[targets[mask].astype(dtype)] * target + [seen[mask].astype(dtype)] * two)
            np.testing.assert_allclose(costs, judge(dense, mask, targets, seen), rtol=rtol)
            for x, y in zip(step.values(), (variable.get_value() for variable in expected)):
                np.testing.assert_allclose(x, y, rtol=rtol, atol=atol * max(1, abs(y).max()))
        for x, y in zip(step.values(), before):
            if kind == "adagrad" and len(x) == n_items:
                np.testing.assert_array_equal(x[~used], y[~used])


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
