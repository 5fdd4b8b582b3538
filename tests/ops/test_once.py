"""Graphs that are compiled once: each model gets what its own function would give it."""
import copy
import gc
import weakref
from collections import OrderedDict

import numpy as np
import pytest
from devices import ON_GPU, is_item_major
from made import stars

from sparse_ae import AutoEncoder
from sparse_ae.ops import once
from sparse_ae.ops.compiled import updating
from sparse_ae.training.batch import Batch
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.steps import make_step
import theano
import theano.tensor as T

pytestmark = pytest.mark.skipif(ON_GPU, reason="on a GPU each graph is compiled for itself")
QUICK = [("dense", "lbfgs"), ("dense", "adam"), ("sparse", "sgd"), ("sparse", "adagrad")]
STEPS = QUICK + [pytest.param(*step, marks=pytest.mark.slow) for step in [("scan", "sgd")] + [
    (formulation, update) for formulation in ("dense", "sparse") for update in UPDATES]
    if step not in QUICK + [("dense", "sparse_adam")]]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(once, "_functions", OrderedDict())


@pytest.fixture
def made(monkeypatch):
    """The functions that Theano compiles."""
    functions, function = [], theano.function
    monkeypatch.setattr(theano, "function", lambda *args, **kwargs: functions.append(function(*args, **kwargs))
                        or functions[-1])
    return functions


def step_of(formulation, update, seed, **settings):
    l2 = 0 if update == "sparse_adam" else 0.01  # a decay moves all rows
    settings = dict(dict(n_hidden=3, rating_scale=(1, 5), f="sigmoid", g="tanh", l2=l2), **settings)
    return make_step(AutoEncoder(6, rng=seed, **settings), formulation, UPDATES[update], 0.02)


def trained(steps, n=3):
    """Steps taken in turn, and what each gave and has by then."""
    batch, costs = Batch.of(stars(10, 6)), [[] for _ in steps]
    for _ in range(n):
        for step, own in zip(steps, costs):
            own.append(step(batch))
    return [(own, [(name, value.dtype, value.tobytes("A")) for name, value in step.get_state().items()])
            for step, own in zip(steps, costs)]


@pytest.mark.parametrize("formulation, update", STEPS)
def test_models_trained_in_turn_get_the_bits_of_functions_of_their_own(formulation, update, made, monkeypatch):
    steps = [step_of(formulation, update, seed) for seed in (1, 2)]
    assert len(made) == 1
    together = trained(steps)
    assert all(is_item_major(step.model.V) for step in steps)
    monkeypatch.setattr(once, "_MOST", -1)
    for seed, own in zip((1, 2), together):
        assert trained([step_of(formulation, update, seed)]) == [own]
    assert len(made) == 3


def test_what_a_function_is_for():
    """Constants, names of inputs, flags, and which variable is which tell graphs apart."""
    def function(graph, name="x", floatX="float64", b=2.0, **kind):
        x, a, b = T.scalar(name, "float64"), theano.shared(1.0), theano.shared(b, **kind)
        with theano.configparser.change_flags(floatX=floatX):
            return updating([x], graph(x, a, b), [(a, a + x)]), (a, b)

    kinds = [dict(graph=lambda x, a, b: x * a - b), dict(graph=lambda x, a, b: x * b - a),
             dict(graph=lambda x, a, b: [x * a - b]), dict(graph=lambda x, a, b: x * a - 2.0),
             dict(graph=lambda x, a, b: x * a - 3.0), dict(graph=lambda x, a, b: x * a - b, name="y"),
             dict(graph=lambda x, a, b: x * a - b, floatX="float32"), dict(graph=lambda x, a, b: x * a + b),
             *[dict(graph=lambda x, a, b: x * a - T.sum(b), b=np.full(1, 2.0), broadcastable=(one,))
               for one in (True, False)]]
    found = [function(**kind) for kind in kinds for _ in range(2)]
    assert len(once._functions) == len(kinds)
    assert [np.ravel(made(5.0)).tolist() for made, _ in found[::2]] == [[k] for k in (3, 9, 3, 3, 2, 3, 3, 7, 3, 3)]
    assert [[x.get_value() for x in variables] for _, variables in found] == [[6, 2], [1, 2]] * len(kinds)


def test_a_model_goes_with_its_last_step_and_few_functions_are_kept(monkeypatch):
    step = step_of("sparse", "adam", 1)
    trained([step])
    model = weakref.ref(step.model)
    del step
    monkeypatch.setattr(once, "_KEPT", 2)
    gc.collect()
    assert model() is None
    for l2 in (0.1, 0.2, 0.3):
        step_of("sparse", "adam", 1, l2=l2)
    assert len(once._functions) == 2


def test_what_large_inputs_were_passed_to_goes_with_its_models(monkeypatch):
    """Its Ops keep memory in the size of those."""
    steps = [step_of("sparse", "adam", seed) for seed in (1, 2)]
    function = weakref.ref(steps[0].function._function)
    monkeypatch.setattr(once, "_MOST", 20)
    trained(steps[:1])
    del steps[0]
    gc.collect()
    assert function() is steps[0].function._function
    trained(steps)
    del steps
    gc.collect()
    assert function() is None


def test_an_error_leaves_the_arrays_where_they_were():
    steps = [step_of("sparse", "adam", seed) for seed in (1, 2)]
    wanted = trained([step_of("sparse", "adam", 1)], 1)
    with pytest.raises(IndexError):
        steps[0].function(np.ones(1, "float32"), np.array([7], "int32"), np.array([0, 1], "int32"))
    assert trained(steps, 1)[0] == wanted[0]


def test_a_shared_function_is_theanos_own():
    """It is printed, called by names, and copied with its model, which then trains alone."""
    steps = [step_of("scan", "sgd", seed) for seed in (1, 2)]
    function, W = steps[0].function, steps[0].model.W
    assert isinstance(function, theano.compile.Function) and "ae_batch" == function.name
    assert "scan_fn" in theano.printing.debugprint(function, file="str")
    assert W in function.get_shared() and steps[1].model.W not in function.get_shared()
    wanted = trained([copy.deepcopy(steps[0])], 1)
    assert trained([copy.copy(steps[0])], 1) == wanted
    before = W.get_value()
    # Theano's virtual machine in Python knows no subset of outputs.
    subset = {"output_subset": [0]} if theano.config.cxx else {}
    loss = function(rating=stars(10, 6).toarray().astype(W.dtype), **subset)[0]
    assert np.isfinite(loss) and (W.get_value() != before).any()
    after, copied = W.get_value(), copy.deepcopy(steps[0])
    trained([copied], 1)
    assert (W.get_value() == after).all() and (copied.model.W.get_value() != after).any()
    with pytest.raises(NotImplementedError, match="compile the graph again"):
        function.copy()
