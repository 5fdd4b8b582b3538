"""Scan, dense and sparse are one function: loss, gradients and updated parameters, judged by plain loops."""
import functools

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from alike import assert_all_close
from devices import DTYPE, ON_GPU, is_item_major, memory_of, params, scan_needs_cuda
from made import stars
from toys import softplus

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import AdagradStep, AdamStep, SparseAdamStep
from sparse_ae.training.batch import Batch
from sparse_ae.training.formulations import FORMULATIONS, choose_formulation
from sparse_ae.training.one_pass import find_op
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano

if ON_GPU:
    from sparse_ae.ops.gpu.autoencoder import GpuAdagrad

# What is judged is our graphs, and the Ops: Theano's own loops in C are those of float32.
pytestmark = pytest.mark.usefixtures("float64_by_numpy")
NAMES = params(FORMULATIONS)
TOLERANCE = {"float64": dict(rtol=1e-10, atol=1e-10), "float32": dict(rtol=1e-4, atol=1e-4)}
N_ITEMS, K, L2 = 7, 4, (0.05, 0.1)
# By one Op in the sparse step, and not. (f, g)
OWN = {"softplus": softplus}
NONLINEARITIES = [("sigmoid", "tanh"), ("linear", "softplus")]
# Each in each type; what the C of float32 takes long to compile for is slow.
CASES = [pytest.param(name, f, g, dtype, marks=[scan_needs_cuda] * (name == "scan") + [pytest.mark.slow] * (
    dtype == "float32" and not ON_GPU and (name == "scan" or f == "linear")))
    for name in FORMULATIONS for f, g in NONLINEARITIES for dtype in ["float32"] + ["float64"] * (not ON_GPU)]
SETTINGS = dict(low=1.0, span=4.0, l2_W=L2[0], l2_V=L2[1])


def ratings():
    """Ten rows; item 6 has no rating, and row 4 neither."""
    return stars(10, N_ITEMS, without_rows=[4], without_columns=[6])


def blocks():
    """Mini-batches of 4, 4 and 2 rows."""
    matrix = ratings()
    return [matrix[start:start + 4] for start in range(0, 10, 4)]


def settings_of(f, g="tanh"):
    return dict(SETTINGS, f=f, g=g) if f == "sigmoid" else dict(SETTINGS, f=f, g=g, low=0.0, span=1.0)


def model(f="sigmoid", g="tanh", l2=L2, dtype=DTYPE):
    # mu away from 0, so that rectify is nowhere at its corner
    return AutoEncoder(N_ITEMS, K, rating_scale=(1, 5), f=f, g=OWN.get(g, g), l2=l2, dtype=dtype, rng=1,
                       mu=lasagne.init.Uniform((0.1, 0.5)))


def values(model):
    return [p.get_value().astype("float64") for p in model.params]


def variables(step):
    """The Theano shared variables that a step changes."""
    return step.model.params + step.kept


# One compiled step for each case: resetting its parameters is cheaper than compiling it again.
@functools.lru_cache(maxsize=None)
def compiled_step(name, f, g, update, learning_rate, dtype):
    step = TrainingStep(model(f, g, dtype=dtype), name, getattr(lasagne.updates, update), learning_rate)
    return step, [x.get_value() for x in variables(step)]


def fresh_step(name, f="sigmoid", g="tanh", update="sgd", learning_rate=0.01, dtype=DTYPE):
    step, start = compiled_step(name, f, g, update, learning_rate, dtype)
    for variable, value in zip(variables(step), start):
        variable.set_value(value)
    step.decay_share.set_value(np.asarray(1, dtype))
    return step


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("name, f, g, dtype", CASES)
def test_twenty_one_updates(name, f, g, deferred, dtype):
    """The last six have a quarter of the weight decay."""
    step = fresh_step(name, f, g, dtype=dtype)
    expected, losses, expected_losses = values(step.model), [], []

    def train():
        nonlocal expected
        for share in [1] * 5 + [0.25] * 2:
            step.decay_share.set_value(np.asarray(share, dtype))
            judge = dict(settings_of(f, g), l2_W=share * L2[0], l2_V=share * L2[1])
            for block in blocks():
                loss, squared_error, expected = reference.sgd(reference.pairs(block), expected, 0.01, **judge)
                expected_losses.append([loss, squared_error])
                losses.append(step(Batch.of(block)))
                if not deferred:
                    assert_all_close(values(step.model), expected, **TOLERANCE[dtype])

    if deferred:
        with step.deferred():
            train()
    else:
        train()
    # The rounding of float32 adds up over the updates: float64 is what judges the mathematics.
    np.testing.assert_allclose(losses, expected_losses, rtol=5e-4 if dtype == "float32" else TOLERANCE[dtype]["rtol"])
    assert_all_close(values(step.model), expected, **TOLERANCE[dtype])
    assert [p.dtype for p in step.model.params] == [dtype] * 4


def moved(update, values, gradients, used, state, beta1=0.9, beta2=0.999, epsilon=None):
    """Parameters after a step, by loops, and what the optimiser keeps."""
    if update == "sgd":
        return [x - 0.01 * gradient for x, gradient in zip(values, gradients)], None
    if update == "adagrad":
        return reference.adagrad(values, gradients, 0.01, epsilon or 1e-6, state)
    used = used if update == "sparse_adam" else [np.ones(x.shape, bool) for x in values]
    return reference.sparse_adam(values, gradients, used, 0.01, beta1, beta2, epsilon or 1e-8, state)


def case(name, update, two, target, l2=L2, weighted=False, marks=()):
    # Half of the cases have another setting.
    settings = {"adagrad": dict(epsilon=1e-3), "sgd": {}}.get(update, dict(beta1=0.8, beta2=0.95, epsilon=1e-6))
    return pytest.param(name, update, settings if target == weighted else {}, two, target, l2, weighted,
                        marks=marks)


SLOW, BOTH = pytest.mark.slow, (False, True)
NOT_ON_GPU = pytest.mark.skipif(ON_GPU, reason="there Adam is Theano's")
STEPS = [case(name, "sgd", True, True, weighted=weighted) for name in ("dense", "sparse") for weighted in BOTH]
STEPS += [case(name, "sgd", two, not two, marks=SLOW) for name in ("dense", "sparse") for two in BOTH]
STEPS += [case("scan", "sgd", False, True, marks=scan_needs_cuda)]
STEPS += [case("sparse", "adagrad", two, target, *decay, marks=() if (two, target) == (decay[1],) * 2 else SLOW)
          for decay in [(L2, True), ((0, 0), False)] for two in BOTH for target in BOTH]
STEPS += [case("sparse", "adam", two, target, L2, weighted, NOT_ON_GPU)
          for two, target, weighted in [(True, True, False), (True, False, True), (False, False, False)]]
STEPS += [case("sparse", "sparse_adam", each, each, L2, True, NOT_ON_GPU) for each in BOTH]
IN_ONE_PASS = (AdagradStep, AdamStep, SparseAdamStep) + ((GpuAdagrad,) if ON_GPU else ())


@pytest.mark.parametrize("name, update, settings, two, target, l2, weighted", STEPS)
def test_steps_by_loops(name, update, settings, two, target, l2, weighted):
    """With a target of its own, and a second encoder: there 0 is a target and an input. One Op works in place."""
    rng, f = np.random.RandomState(3), "linear" if two and target else "sigmoid"
    m = AutoEncoder(N_ITEMS, K, None if f == "linear" else (1, 5), f=f, g="tanh", l2=l2, l2_weighted=weighted, rng=1,
                    dtype=DTYPE, W=lasagne.init.Normal(0.5), U=lasagne.init.Normal(0.5) if two else None)
    of_batches = ("target",) * target + m.channels
    step = TrainingStep(m, name, functools.partial(UPDATES[update], **settings), 0.01, of_batches)
    ops = [node.op.inplace for node in step.function.maker.fgraph.apply_nodes if isinstance(node.op, IN_ONE_PASS)]
    assert set(ops) == {True} if update != "sgd" else not ops
    assert all(is_item_major(x) for x in variables(step) if x.get_value().shape == (K, N_ITEMS))
    places = [(x, memory_of(x)) for x in variables(step) if ops and N_ITEMS in x.get_value().shape]
    judge, expected, state = dict(settings_of(f), l2_W=l2[0], l2_V=l2[1], weighted=weighted), values(m), None
    for block in blocks() * 3:
        if two:
            block.data = rng.randint(-1, 2, block.nnz).astype("float32")
        extras = [rng.randint(-2, 3, block.nnz) / 2.0 if target else None,
                  rng.uniform(1, 2, block.nnz) if two else None]
        targets, seen = (None if x is None else np.split(x, block.indptr[1:-1]) for x in extras)
        loss, squared_error, gradients = reference.loss_and_gradients(
            reference.pairs(block), *expected, targets=targets, seen=seen, **judge)
        column = np.isin(np.arange(N_ITEMS), block.indices)
        of_rows = np.tile(column[:, np.newaxis], K)
        used = [of_rows, of_rows.T, np.ones(K, bool), column, of_rows.T][:len(expected)]
        expected, state = moved(update, expected, gradients, used, state, **settings)
        np.testing.assert_allclose(step(Batch.of(block, *extras)), [loss, squared_error], **TOLERANCE[DTYPE])
        assert_all_close(values(m), expected, **TOLERANCE[DTYPE])
    assert all(memory_of(x) == place for x, place in places)


@pytest.mark.parametrize("update, settings", [
    (lasagne.updates.adagrad, {}), (lasagne.updates.adagrad, dict(l2=0, g=softplus)),
    (functools.partial(lasagne.updates.adagrad, epsilon=0), dict(l2=0)),
    (functools.partial(lasagne.updates.adagrad, epsilon=theano.shared(1e-6)), dict(l2=0)),
    (lasagne.updates.rmsprop, dict(l2=0)), (lasagne.updates.adam, dict(f=softplus)),
    (functools.partial(lasagne.updates.adam, beta2=1.0), {}),
    (functools.partial(lasagne.updates.adam, beta1=theano.tensor.constant(0.9)), {})])
def test_other_steps_are_lasagnes_own(update, settings):
    m = AutoEncoder(N_ITEMS, K, dtype=DTYPE, **dict(dict(f="linear", g="sigmoid", l2=L2), **settings))
    assert m.one_pass() is None or find_op(update, m.one_pass()) is None


def test_no_op_serves_frozen_parameters():
    m = AutoEncoder(N_ITEMS, K, dtype=DTYPE)
    m.parameters[0] = m.parameters[0]._replace(trainable=False)
    assert m.one_pass() is None


@pytest.mark.parametrize("name, changes", [("U", dict(decay=0.3)), ("mu", dict(decay=0.3)), ("b", dict(decay=0.3)),
                                           (None, {})])
def test_no_op_serves_decays_that_it_does_not_know(name, changes):
    one_pass = AutoEncoder(N_ITEMS, K, l2=L2, U=lasagne.init.Normal(0.5), dtype=DTYPE).one_pass()
    if name is not None:
        one_pass = one_pass._replace(**{name: getattr(one_pass, name)._replace(**changes)})
    op = find_op(lasagne.updates.adam, one_pass)
    assert (op is None) == (name is not None or ON_GPU)


@pytest.mark.parametrize("changes, error, message", [
    (dict(indices=[0, N_ITEMS]), IndexError, r"indices\[1\] is 7; with 7 items it must lie in 0 \.\.\. 6"),
    (dict(indptr=[0, 10 ** 6, 2]), ValueError, "indptr falls from 1000000 to 2 at row 1")])
def test_no_graph_is_given_rows_of_a_wrong_block(changes, error, message, monkeypatch):
    monkeypatch.setattr(sp.csr_matrix, "toarray", None)  # it writes wherever indices say
    batch = Batch(np.ones(2, "float32"), np.int32([0, 2]), np.int32([0, 1, 2]))._replace(
        **{name: np.array(value, "int32") for name, value in changes.items()})
    with pytest.raises(error, match=message):
        FORMULATIONS["scan"].pack(batch, model())


def test_sparse_sgd_works_in_place_on_the_rows_in_use():
    for f, g in NONLINEARITIES[:1] if ON_GPU else NONLINEARITIES:  # on a GPU one's own nonlinearity moves all rows
        step = fresh_step("sparse", f, g)
        block = sp.csr_matrix((np.ones(2, "float32"), [1, 3], [0, 2]), shape=(1, N_ITEMS))
        with step.deferred():
            before = [p.get_value() for p in step.model.params]
            memory = [memory_of(p) for p in step.model.params]
            step(Batch.of(block))
            assert [memory_of(p) for p in step.model.params] == memory
            changed = [p.get_value() != value for p, value in zip(step.model.params, before)]
        assert np.flatnonzero(changed[0].any(axis=1)).tolist() == [1, 3]
        assert np.flatnonzero(changed[1].any(axis=0)).tolist() == [1, 3]
        assert np.flatnonzero(changed[3]).tolist() == [1, 3]


@pytest.mark.parametrize("f, g", NONLINEARITIES)
def test_a_factor_that_gets_small_is_written(f, g, dtype):
    step = fresh_step("sparse", f, g, learning_rate=1.0, dtype=dtype)  # weight decay 0.9 and 0.8 a step
    for p in step.model.params:
        p.set_value(p.get_value() * 0)
    step.model.W.set_value(np.ones_like(step.model.W.get_value()))
    empty = sp.csr_matrix((1, N_ITEMS), dtype="float32")
    with step.deferred():
        for _ in range(100):
            loss, _ = step(Batch.of(empty))
        np.testing.assert_allclose(loss, L2[0] * N_ITEMS * K * 0.81 ** 99, rtol=1e-4)
    np.testing.assert_allclose(step.model.W.get_value(), 0.9 ** 100, rtol=1e-4)


def test_an_error_in_a_step_leaves_exact_parameters():
    step = fresh_step("sparse")
    expected = reference.sgd(reference.pairs(blocks()[0]), values(step.model), 0.01, **SETTINGS)[2]
    with pytest.raises(IndexError, match="with 7 items"):
        with step.deferred():
            step(Batch.of(blocks()[0]))
            step(Batch.of(sp.csr_matrix((np.ones(1, "float32"), [7], [0, 1]), shape=(1, N_ITEMS + 1))))
    assert_all_close(values(step.model), expected, **TOLERANCE[DTYPE])


@pytest.mark.parametrize("update", ["sgd", "adam"])
def test_values_may_be_set_in_any_memory_order(update):
    results = []
    for order in "FC":
        step = fresh_step("sparse", update=update)
        step.model.V.set_value(np.array(step.model.V.get_value(), order=order))
        for block in blocks():
            step(Batch.of(block))
        results.append(values(step.model))
        assert step.model.V.get_value().shape == (K, N_ITEMS)
        for _ in range(2):
            assert all(is_item_major(x) for x in variables(step) if x.get_value().shape == (K, N_ITEMS))
            step.set_state(step.get_state())
    assert_all_close(*results, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_no_float64_in_a_float32_graph(name):
    step = fresh_step(name, dtype="float32")
    # The fused step keeps its factors and sums in float64, scalars all.
    wide = [x for node in step.function.maker.fgraph.toposort() for x in node.outputs
            if getattr(x, "dtype", None) == "float64" and (x.ndim > 1 or (name != "sparse" and x.ndim > 0))]
    assert not wide


@pytest.mark.parametrize("gpu, density, expected", [
    (False, 0.05, "sparse"), (False, 1.0, "sparse"), (True, 0.005, "sparse"), (True, 0.05, "dense")])
def test_auto_goes_by_density(gpu, density, expected, monkeypatch):
    monkeypatch.setattr("sparse_ae.training.formulations.on_gpu", lambda: gpu)
    assert choose_formulation(density, model()) == expected
