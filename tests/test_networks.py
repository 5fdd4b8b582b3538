"""Networks of layers: the contract, the post's model in layers, checkpoints, descriptions, and what is refused."""
import functools
import json

import numpy as np
import pytest
import scipy.sparse as sp
from alike import assert_all_close
from contract import N_COLUMNS, GraphContract, ModelContract, ratings
from devices import networks_need_cpu

from sparse_ae.contract import describe_model, model_of
from sparse_ae.layers import (
    BatchNormLayer,
    IndicatorLayer,
    ObservedLayer,
    SparseInputDenseLayer,
    SparseInputDropoutLayer,
    SparseInputNormLayer,
)
from sparse_ae.model import AutoEncoder
from sparse_ae.networks import Network, deep, denoising, multinomial, shallow, tied
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.trainer import Trainer
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Multinomial
import lasagne
import theano
from lasagne.layers import ConcatLayer, DenseLayer, DropoutLayer, ElemwiseSumLayer, InputLayer, NonlinearityLayer
from lasagne.nonlinearities import tanh
from theano.configparser import change_flags

pytestmark = networks_need_cpu


def float32(make):
    """Layers of float32, whatever Theano's floatX is."""
    @functools.wraps(make)
    def made(*args, **kwargs):
        with change_flags(floatX="float32"):
            return make(*args, **kwargs)
    return made


@float32
def everything(noise=0.0, low=1):
    """Each kind of layer that can be written down."""
    lasagne.random.set_rng(np.random.RandomState(2))
    l_in = InputLayer((None, N_COLUMNS))
    shown = SparseInputDropoutLayer(SparseInputNormLayer(l_in), noise)
    first = ElemwiseSumLayer([SparseInputDenseLayer(shown, 4, nonlinearity=None),
                              SparseInputDenseLayer(IndicatorLayer(l_in), 4, b=None, nonlinearity=None, name="there")],
                             coeffs=[1, 0.5])
    first = NonlinearityLayer(BatchNormLayer(first), tanh) if noise else NonlinearityLayer(first, tanh)
    second = ConcatLayer([first, DenseLayer(DropoutLayer(first, noise), 3, nonlinearity=tanh)])
    return Network(ObservedLayer(second, l_in), (low, 5), l2=0.01)


class TestEverything(ModelContract):
    def make(self):
        return everything()


class TestTwoEncoders(GraphContract):
    def make(self):
        return tied(N_COLUMNS, 3, f="linear", rng=1, indicator=True)


def values(model):
    return {each.name: each.variable.get_value() for each in model.parameters}


@pytest.mark.parametrize("update", ["sgd", "adagrad", "adam"])
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_twenty_updates_are_those_of_the_posts_model(update, dtype):
    network = shallow(N_COLUMNS, 3, (1, 5), l2=0.1, rng=1, dtype=dtype)
    start = values(network)
    model = AutoEncoder(N_COLUMNS, 3, (1, 5), l2=0.1, W=start["W"], V=start["1.W"].T, mu=start["1.b"], b=start["b"],
                        dtype=dtype)
    histories = [Trainer(each, update, 0.01, batch_size=3, progress=False).fit(ratings(), 5)
                 for each in (network, model)]  # 4 batches each: 20 updates
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == "float32" else dict(rtol=1e-10)
    for name in ("loss", "data_loss"):
        np.testing.assert_allclose(*[[record[name] for record in history] for history in histories], **tolerance)
    found = values(network)
    assert_all_close((found["W"], found["1.W"].T, found["1.b"], found["b"]), values(model).values(), **tolerance)


@pytest.mark.slow
def test_lbfgs_leaves_alone_what_is_not_trained():
    with change_flags(floatX="float32"):
        lasagne.random.set_rng(np.random.RandomState(2))
        l_in = InputLayer((None, N_COLUMNS))
        norm = BatchNormLayer(SparseInputDenseLayer(l_in, 3, nonlinearity=tanh), alpha=0)  # its averages stand still
        network = Network(ObservedLayer(norm, l_in), (1, 5), l2=0.01)
    before = values(network)
    trainer = Trainer(network, "lbfgs", batch_size=None, progress=False)
    losses = [record["loss"] for record in trainer.fit(ratings(), 8)]
    assert losses[-1] < losses[0] / 10
    after = values(network)
    assert {name for name in before if np.array_equal(before[name], after[name])} == {"2.mean", "2.inv_std"}


def trained(model, n_epochs=3, matrix=None, objective=None, **run):
    keywords = {} if objective is None else {"objective": objective}
    formulation = run.pop("formulation", "auto")
    trainer = Trainer(model, "adam", 0.02, batch_size=4, formulation=formulation, progress=False, **keywords)
    trainer.fit(ratings() if matrix is None else matrix, n_epochs, **run)
    return trainer


@pytest.mark.slow
def test_dense_is_sparse_with_noise_and_stored_zeros_too():
    """The same entries are hidden, the same units dropped: all comes from the entries, in their order."""
    matrix = ratings()
    matrix.data[::5] = 0
    found = []
    for name in ("dense", "sparse"):
        model = everything(noise=0.3, low=0)
        history = trained(model, matrix=matrix, formulation=name).history
        found.append([record["loss"] for record in history])
    np.testing.assert_allclose(*found, rtol=1e-4)


def test_killed_and_resumed_it_ends_with_the_same_bytes(tmp_path):
    """Running means and streams of random numbers included."""
    def bytes_after(n_epochs, **run):
        model = everything(noise=0.3)
        trainer = trained(model, n_epochs, **run)
        state = trainer.step.get_state()
        return [np.asarray(x).tobytes() for x in state.values()] + [x.tobytes() for x in values(model).values()]

    whole = bytes_after(4)
    bytes_after(2, checkpoint=tmp_path / "c")
    assert bytes_after(4, checkpoint=tmp_path / "c", resume=True) == whole
    names = [each.name for each in everything(noise=0.3).parameters if not each.trainable]
    assert [name.rpartition(".")[2] for name in names] == ["mean", "inv_std"]


def test_a_decay_that_is_set_is_the_constructors():
    network, like = (deep(N_COLUMNS, 3, l2=l2) for l2 in (0.0, 0.5))
    network.l2 = 0.5
    for one, other in zip(network.parameters, like.parameters):
        assert one[1:] == other[1:] and one.variable.name == one.name
    assert network.describe() == like.describe() and network.decay_of(network.decoder().W) == network.l2 == 0.5
    with pytest.raises(ValueError, match="l2 is nan; expected a finite number, 0 or more"):
        network.l2 = np.nan


def test_noise_is_for_training_alone():
    model = everything(noise=0.5)
    trained(model)
    scorer = Scorer(model, ratings())
    rows, columns = ratings().nonzero()
    first = scorer.predict(rows, columns, 3.0)
    assert first.tobytes() == scorer.predict(rows, columns, 3.0).tobytes()
    assert first.min() >= 1 and first.max() <= 5


@pytest.mark.parametrize("make", [
    lambda: shallow(N_COLUMNS, 3, (1, 5)), lambda: deep(N_COLUMNS, 4, hide=0.1, indicator=True),
    lambda: denoising(N_COLUMNS, 4), lambda: tied(N_COLUMNS, 3), lambda: multinomial(N_COLUMNS, 3),
    lambda: everything(0.3)])
def test_each_is_made_again_from_its_description(make, tmp_path):
    model = make()
    model.save(tmp_path / "m.npz")
    again = Network.load(tmp_path / "m.npz")
    assert describe_model(again) == describe_model(model)
    assert [each[1:] for each in again.parameters] == [each[1:] for each in model.parameters]
    for name, value in values(again).items():
        np.testing.assert_array_equal(value, values(model)[name])


def test_the_same_seed_makes_the_same_network():
    before = lasagne.random.get_rng()
    for make in (shallow, deep, denoising, tied, multinomial):
        one, other, third = (values(make(N_COLUMNS, 3, rng=seed)) for seed in (5, 5, 6))
        assert all((one[name] == other[name]).all() for name in one)
        assert any((one[name] != third[name]).any() for name in one)
    assert lasagne.random.get_rng() is before


# Lists


def test_units_of_a_row_are_the_same_to_the_last_bit_whatever_rows_are_beside_it():
    """A product of matrices rounds by their number."""
    outputs, block = Outputs(deep(40, 50, rng=0)), sp.random(70, 40, 0.3, "csr", random_state=0, dtype="float32")
    h = outputs.hidden(Batch.of(block))
    for start, n in ((0, 1), (3, 2), (5, 7), (66, 3)):
        np.testing.assert_array_equal(outputs.hidden(Batch.of(block[start:start + n])), h[start:start + n])


def test_the_multinomial_cost_by_loops():
    model = multinomial(N_COLUMNS, 3, hide=0, l2=0, rng=0)
    start = {name: value.astype("float64") for name, value in values(model).items()}
    trainer = Trainer(model, "sgd", 1e-4, batch_size=None, objective=Multinomial(), progress=False)
    record, = trainer.fit(ratings(), 1)
    total = 0.0
    for row in ratings().toarray().astype("float64"):
        if row.any():
            h = np.tanh((row / np.sqrt(sum(row ** 2))).dot(start["2.W"]) + start["2.b"])
            scores = start["W"].dot(h) + start["b"]
            total -= sum(r * (s - np.log(sum(np.exp(scores)))) for r, s in zip(row, scores))
    assert (trainer.formulation, trainer.step.formulation.name) == ("auto", "dense")
    assert record["data_loss"] == pytest.approx(total, rel=1e-5)
    with pytest.raises(ValueError, match="formulation='sparse' with Multinomial.*formulation='dense'"):
        Trainer(model, formulation="sparse", objective=Multinomial(), progress=False).fit(ratings(), 1)


# What is refused


def stack(hidden=None, l_in=None, **kwargs):
    l_in = InputLayer((None, N_COLUMNS)) if l_in is None else l_in
    hidden = SparseInputDenseLayer(l_in, 3) if hidden is None else hidden(l_in)
    return ObservedLayer(hidden, l_in, **kwargs)


@pytest.mark.parametrize("make, error, message", [
    (lambda: DenseLayer(InputLayer((None, 3)), 2), TypeError, "the output layer is DenseLayer; expected a .*Observed"),
    (lambda: stack(b=None), ValueError, "the output layer has b=None; expected a bias for each column"),
    (lambda: stack(l_in=InputLayer((5, N_COLUMNS))), ValueError, r"has the shape \(5, 7\); expected \(None, 7\)"),
    (lambda: stack(lambda l_in: ElemwiseSumLayer([SparseInputDenseLayer(l_in, 3),
                                                  DenseLayer(InputLayer((None, 2), name="age"), 3)])),
     ValueError, "the input layer InputLayer 'age' is neither the ratings' nor named 'indicator'"),
    (lambda: stack(lambda l_in: DenseLayer(InputLayer((None, N_COLUMNS), name="indicator"), 3)), ValueError,
     "the hidden units don't depend on the ratings"),
    (lambda: ObservedLayer((None, 3), InputLayer((None, 4))), ValueError, "the output layer has no layer before it"),
    (lambda: ObservedLayer(SparseInputDenseLayer((None, 4), 3), IndicatorLayer(InputLayer((None, 4)))), TypeError,
     "observed of the output layer is IndicatorLayer; expected the InputLayer of the ratings"),
    (lambda: deep(N_COLUMNS, (20, 10)), ValueError,
     r"n_hidden is \(20, 10\); expected a positive integer, the width of every hidden layer")])
def test_stacks_that_are_no_network(make, error, message):
    with pytest.raises(error, match=message):
        Network(make())


def test_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr("sparse_ae.networks.network.on_gpu", lambda: True)
    with pytest.raises(ValueError, match="a Network runs on the CPU, .*; set Theano's flag device=cpu, or use"):
        Network(stack())


def test_layers_that_cannot_be_written_down():
    class BatchNormLayer(DenseLayer):  # as Lasagne's master has one
        pass

    with pytest.raises(TypeError, match="the layer BatchNormLayer 'x' of the module %s can't be saved; expected "
                                        "ConcatLayer, .*; or, of sparse_ae.layers, BatchNormLayer, " % __name__):
        Network(stack(lambda l_in: BatchNormLayer(SparseInputDenseLayer(l_in, 3), 3, name="x"))).describe()
    with pytest.raises(TypeError, match="the nonlinearity Elemwise{tanh.* of the layer ObservedLayer can't be saved; "
                                        ".* such as lasagne.nonlinearities.tanh"):
        Network(stack(nonlinearity=theano.tensor.tanh)).describe()
    with pytest.raises(TypeError, match="p of the layer SparseInputDropoutLayer is .*; expected a number"):
        Network(stack(lambda l_in: SparseInputDenseLayer(SparseInputDropoutLayer(l_in, theano.shared(0.5)), 3))
                ).describe()


def test_an_argument_of_a_later_lasagne_is_not_lost(monkeypatch):
    of_0_1 = DropoutLayer.__init__

    def of_master(self, incoming, p=0.5, rescale=True, shared_axes=(), **kwargs):
        of_0_1(self, incoming, p, rescale, **kwargs)
        self.shared_axes = shared_axes

    def described(**settings):
        return Network(stack(lambda l_in: DropoutLayer(SparseInputDenseLayer(l_in, 3), **settings))).describe()

    monkeypatch.setattr(DropoutLayer, "__init__", of_master)
    described(shared_axes=())
    with pytest.raises(TypeError, match=r"DropoutLayer has shared_axes=\(0,\), which can't be saved; .* default, \(\)"):
        described(shared_axes=(0,))


def between(d, n=1, **layer):
    """Put n layers between the ratings' and the output of a description."""
    first, hidden, output = d["layers"]
    made = dict({"kind": "ElemwiseSumLayer", "name": None, "settings": {"coeffs": [1, 1]}, "parameters": {}}, **layer)
    layers = [dict({"inputs": [1 + i, 1 + i]}, **made) for i in range(n)]
    d["layers"] = [first, hidden] + layers + [dict(output, inputs=[1 + n, 0])]


@pytest.mark.parametrize("change, message", [
    (lambda d: between(d, 40), "layer 11 has 1024 terms; expected at most 1000"),
    (lambda d: between(d, 800, inputs=[1]), "there are 803 layers; expected at most 200"),
    (lambda d: between(d, inputs=7), "layer 2 has the inputs 7; expected the numbers of layers before it"),
    (lambda d: between(d, settings={"coeffs": [1e30, 1]}), "coeffs of a ElemwiseSumLayer is .*; no layer has that"),
    (lambda d: between(d, parameters=[]), "layer 2 has unknown settings"),
    (lambda d: d.update(layers="xy"), "the layers aren't a list of dicts"),
    (lambda d: d["layers"][1].update(kind="Evil"), "a layer is a 'Evil'; expected one of"),
    (lambda d: d["layers"][1].update(kind="OrdinalLayer"), "OrdinalLayer, .* is gone in version 2.0; predict with"),
    (lambda d: d["layers"][1].update(inputs=[7]), "layer 1 has the inputs \\[7\\]; expected the numbers"),
    (lambda d: d["layers"][1]["settings"].update(nonlinearity="__doc__"), "nonlinearity is '__doc__'; expected"),
    (lambda d: d["layers"][1]["settings"].update(W=3, more=1), "the settings of a SparseInputDenseLayer are"),
    (lambda d: d["layers"].clear(), "there are no layers"),
    (lambda d: d["layers"][1]["settings"].update(num_units=4),
     "the parameters of a SparseInputDenseLayer don't match: .*shape"),
    (lambda d: d["layers"][1]["settings"].update(num_units="3"), "num_units is '3'; expected a positive integer"),
    (lambda d: d["layers"][2]["parameters"].update(W="1.W", b="1.b"), "the parameters of a ObservedLayer don't match"),
    (lambda d: d.update(rating_scale=(5, 1)), "rating_scale"),
    (lambda d: d.update(l2=-1), "l2 is -1")])
def test_descriptions_that_nobody_gave(change, message):
    model = shallow(N_COLUMNS, 3)
    description = json.loads(json.dumps(describe_model(model)))
    change(description)
    with pytest.raises((ValueError, LookupError, TypeError), match=message):
        model_of(description, values(model))
