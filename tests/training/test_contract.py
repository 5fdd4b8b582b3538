"""`AutoEncoder` keeps the contract; so do a toy model and a toy objective of twenty lines, which everything takes."""
import numpy as np
import pytest
from contract import N_COLUMNS, GraphContract, ModelContract, ratings
from devices import ON_GPU
from made import triples
from recommender_contract import RecommenderContract
from toys import Absolute, Doubled, Toy, softplus

from sparse_ae.contract import Model, model_of
from sparse_ae.files import storage
from sparse_ae.model import AutoEncoder
from sparse_ae.parameters import Decoder
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.trainer import Trainer
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Missing, objective_of
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano.tensor as T
from theano.tensor.shared_randomstreams import RandomStreams


class TestAutoEncoder(ModelContract):
    def make(self):
        return AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), rng=1)


class TestTwoEncoders(GraphContract):
    def make(self):
        return AutoEncoder(N_COLUMNS, 3, f="linear", g="sigmoid", U=lasagne.init.Normal(0.1), l2_weighted=True, rng=1)


class TestToy(ModelContract):
    def make(self):
        return Toy(N_COLUMNS)


@pytest.fixture(scope="module")
def fitted():
    return Recommender(n_hidden=3, rows="users", objective=Absolute(0.5), network=Toy, biases=False, l2=0.01,
                       update="adam", learning_rate=0.02, batch_size=4, n_epochs=5, rng=1, progress=False).fit(
                           TestToysInARecommender.ratings, validation=None)


class TestToysInARecommender(RecommenderContract):
    ratings, fit, became = triples(ratings()), dict(validation=None), dict(network="toys.Toy")


class Renamed(Model):
    """The post's model under other names, which says by one method that one Op trains it."""

    def __init__(self, like):
        self.like, self.rating_scale = like, like.rating_scale
        self.parameters = [each._replace(name="p%d" % i) for i, each in enumerate(like.parameters)]

    def encode(self, batch, deterministic=True):
        return self.like.encode(batch)

    def decoder(self):
        return self.like.decoder()

    def one_pass(self):
        return self.like.one_pass()._replace(**dict(zip(("W", "V", "mu", "b"), self.parameters)))


@pytest.mark.parametrize("update", ["sgd", "adam"])
def test_a_model_of_a_programs_own_is_trained_in_one_pass(update):
    models = [AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), rng=1) for _ in range(2)]
    losses = []
    for model in (models[0], Renamed(models[1])):
        trainer = Trainer(model, update, 0.01, 4, formulation="sparse", progress=False)
        losses.append([record["loss"] for record in trainer.fit(ratings(), 3)])
        assert (trainer.step.pending is not None) == (update == "sgd")
    assert losses[0] == losses[1] and (models[0].W.get_value() == models[1].W.get_value()).all()


class Waiting(Renamed):
    """Without an Op: its decay waits where plain SGD knows all of it."""

    decay_may_wait, one_pass = True, Model.one_pass


@pytest.mark.parametrize("l2_b", [0.0, 0.5])
def test_a_decay_waits_if_all_of_it_is_of_the_matrices(l2_b):
    model = Waiting(AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), g=softplus, b=lasagne.init.Constant(2), rng=1))
    model.parameters[3] = model.parameters[3]._replace(decay=l2_b)
    expected = sum(each.decay * np.sum(each.variable.get_value() ** 2) for each in model.parameters)
    trainer = Trainer(model, "sgd", 0.01, None, formulation="sparse", progress=False)
    record = trainer.fit(ratings(), 1)[-1]
    assert record["loss"] - record["data_loss"] == pytest.approx(expected, rel=1e-4)
    assert (trainer.step.pending is None) == (l2_b > 0 or ON_GPU)


class Lasso(AutoEncoder):
    def loss(self, *data_term, **decay):
        return super().loss(*data_term, **decay) + 10 * T.sum(abs(self.W))


class Half(AutoEncoder):
    def encode(self, batch, deterministic=True):
        return 0.5 * super().encode(batch)


class Triple(AutoEncoder):
    def hidden_activation(self, weighted):
        return super().hidden_activation(3 * weighted)


@pytest.mark.parametrize("kind", [Lasso, Half, Triple])
def test_what_a_class_overrides_of_the_posts_model_is_asked_in_all_formulations(kind):
    found = []
    for name in ("dense", "sparse"):
        model = kind(N_COLUMNS, 3, rating_scale=(1, 5), rng=1)
        assert model.one_pass() is None
        loss = Trainer(model, "sgd", 0.01, 4, formulation=name, progress=False).fit(ratings(), 3)[-1]["loss"]
        weighted = (3 if kind is Triple else 1) * ratings().dot(model.V.get_value().T) + model.mu.get_value()
        h = Scorer(model, ratings()).hidden(np.arange(ratings().shape[0]))
        np.testing.assert_allclose(h, (0.5 if kind is Half else 1) * np.tanh(weighted), rtol=1e-4, atol=1e-6)
        found.append(loss)
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_decay_that_is_set_is_used_by_all():
    """Before a step is compiled, and after that; the optimiser goes on."""
    model = AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), l2=0, rng=1)
    trainer, steps = Trainer(model, "adam", 0.01, None, formulation="sparse", progress=False), []
    for n_steps, l2 in enumerate([(0.5, 0.25), (0.0, 2.0)], 1):
        model.l2_W, model.l2_V = l2
        assert tuple(model.describe()["l2"]) == l2 == (model.decay_of(model.W), model.decay_of(model.V))
        expected = sum(each * np.sum(x.get_value() ** 2) for each, x in zip(l2, (model.W, model.V)))
        record = trainer.fit(ratings(), 1)[-1]
        assert record["loss"] - record["data_loss"] == pytest.approx(expected, rel=1e-4)
        assert trainer.step.kept[-1].get_value() == n_steps
        steps.append(trainer.step)
    assert ON_GPU or steps[0] is steps[1]  # compiled once; a GPU's graph has the decay as a constant
    with pytest.raises(ValueError, match="l2_V is -1; expected a finite number, 0 or more"):
        model.l2_V = -1


def test_a_step_that_begins_anew_with_other_decays_is_a_new_one():
    models = [AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), l2=l2, l2_weighted=True, rng=1)
              for l2 in (0.1, (0.5, 0.2))]
    used, new = (TrainingStep(model, "sparse", lasagne.updates.adagrad, 0.01) for model in models)
    before, batch = used.get_parameters(), Batch.of(ratings())
    for _ in range(2):
        used(batch)
    assert used.begin_anew()
    used.set_state(before)
    models[0].l2_W, models[0].l2_V = 0.5, 0.2
    assert used.set_decays()
    assert [used(batch) for _ in range(3)] == [new(batch) for _ in range(3)]


def test_a_rating_scale_that_is_set_is_used_by_all():
    """After a step and the predictions were compiled."""
    model, matrix = AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), l2=0, rng=1), ratings()
    trainer = Trainer(model, "adam", 0.01, None, formulation="sparse", progress=False)
    for low, high in [(1, 5), (0, 6)]:
        model.rating_scale = low, high
        h = np.tanh(matrix.dot(model.V.get_value().T) + model.mu.get_value())
        expected = low + (high - low) / (1 + np.exp(-h.dot(model.W.get_value().T) - model.b.get_value()))
        rows, columns = matrix.nonzero()
        np.testing.assert_allclose(model.predict_pairs(matrix, rows, columns), expected[rows, columns], rtol=1e-5)
        record = trainer.fit(matrix, 1)[-1]
        assert record["data_loss"] == pytest.approx(np.sum((expected[rows, columns] - matrix.data) ** 2), rel=1e-5)


@pytest.mark.parametrize("name", ["decode", "scores"])
def test_a_method_that_predictions_do_not_ask_is_not_overridden_for_training_alone(name):
    def louder(self, *arguments):
        return getattr(AutoEncoder, name)(self, *arguments) + 1

    by_class = type("Louder", (AutoEncoder,), {name: louder})(N_COLUMNS, 3, rating_scale=(1, 5))
    by_itself = AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5))
    setattr(by_itself, name, louder.__get__(by_itself))
    for model in by_class, by_itself:
        assert model.one_pass() is None
        with pytest.raises(TypeError, match="overrides %s, which only training would call" % name):
            Trainer(model, progress=False).fit(ratings(), 1)
        with pytest.raises(TypeError, match="overrides %s" % name):
            model.predict_pairs(ratings(), [0], [0])


def test_the_decay_of_a_decoder_of_version_1_warns():
    decoder = Toy(N_COLUMNS).decoder()
    with pytest.warns(FutureWarning, match="l2_weighted=.* has no effect: the decay is that of W's Parameter"):
        assert Decoder(*decoder[:4], low=1.0, l2=0.5, l2_weighted=True) == decoder._replace(low=1.0)


def test_each_parameter_has_a_name():
    model = Toy(N_COLUMNS)
    model.parameters = [each._replace(name="same") for each in model.parameters]
    with pytest.raises(ValueError, match="parameters are named same, same, same, same; expected a name for each"):
        Trainer(model, progress=False).fit(ratings(), 1)


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_a_toy_objective_of_a_toy_model_by_loops(name):
    model = Toy(N_COLUMNS)
    trainer = Trainer(model, "sgd", 1e-3, batch_size=None, formulation=name, objective=Absolute(0.5), progress=False)
    W, b, V, P = (each.get_value().astype("float64") for each in (model.W, model.b, model.V, model.P))
    expected = 0.0
    for row in ratings().toarray().astype("float64"):
        h = np.tanh(np.tanh(row.dot(V)).dot(P))
        for column in np.flatnonzero(row):
            expected += np.sqrt((W[column].dot(h) + b[column] - row[column]) ** 2 + 0.5)
    record, = trainer.fit(ratings(), 1)
    assert record["data_loss"] == pytest.approx(expected, rel=1e-5) and record["train_rmse"] is None


def post():
    return AutoEncoder(N_COLUMNS, 3, rating_scale=(1, 5), rng=1)


@pytest.mark.parametrize("make, objective, names", [
    (lambda: Toy(N_COLUMNS), Missing(0.3), ("dense", "sparse")),  # which needs the decoder alone
    (post, Absolute(), ("dense", "sparse")),
    pytest.param(post, Absolute(), ("sparse", "scan"), marks=pytest.mark.slow)])
def test_an_objective_is_one_function_in_all_formulations(make, objective, names):
    losses = []
    for name in names:
        trainer = Trainer(make(), "adam", 0.02, 4, formulation=name, objective=objective, progress=False)
        losses.append([record["loss"] for record in trainer.fit(ratings(), 3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_descriptions_of_toys():
    assert objective_of(Absolute(0.3).describe()) == Absolute(0.3) != Absolute(0.2)
    with pytest.raises(ValueError, match="the model is 'Lost', a class that isn't imported; .*: AutoEnc.*toys.Toy"):
        model_of({"kind": "Lost"}, {})


def refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_files_of_models_are_checked_whole(tmp_path):
    path, model = tmp_path / "m.npz", AutoEncoder(N_COLUMNS, 3, dtype="float64")
    model.save(path)
    description, arrays = storage.read(path, "model")
    refused(lambda: Recommender.load(path), "is a model of sparse_ae; expected a recommender")
    refused(lambda: Toy.load(path), "has a model of the class AutoEncoder; expected Toy: load it by AutoEncoder.load")
    W, crafted = arrays["W"], tmp_path / "crafted.npz"
    for changed, others, match in [
            (dict(kind="Lost"), {}, "the model is 'Lost', a class that isn't imported"),
            (dict(n_columns=8), {}, r"W has shape \(7, 3\); expected \(8, 3\)"), (dict(more=1), {}, "argument 'more'"),
            (dict(dtype="float32"), {}, "has the arrays"), ({}, dict(more=W), "has the arrays"),
            ({}, dict(W=W.astype(complex)), "isn't of float32 or float64"), ({}, dict(W=W * np.nan), "W has numbers")]:
        storage.write(crafted, "model", dict(description, **changed), dict(arrays, **others))
        refused(lambda: AutoEncoder.load(crafted), "crafted.npz has no model that .*" + match)
    storage.write(crafted, "model", [1], {})
    refused(lambda: AutoEncoder.load(crafted), "has no model that")


def test_a_class_of_a_programs_own_is_found_by_its_name_where_it_has_moved(tmp_path):
    class AutoEncoder(Toy):
        """Named as the library's."""

    AutoEncoder(N_COLUMNS).save(tmp_path / "m.npz")
    assert type(Model.load(tmp_path / "m.npz")) is AutoEncoder
    for name in "Toy", "old_place.Toy":  # as version 1.0 wrote it, and from a module that is gone
        description, arrays = storage.read(tmp_path / "m.npz", "model")
        assert type(model_of(dict(description, kind=name), arrays)) is Toy


def test_a_model_that_no_file_could_give_back_is_not_saved(tmp_path):
    (tmp_path / "ratings.csv").write_text("ann,book,5\n")
    with pytest.raises(FileExistsError, match="isn't a sound file of sparse_ae"):
        AutoEncoder(N_COLUMNS, 3).save(tmp_path / "ratings.csv")
    with pytest.raises(TypeError, match="g of AutoEncoder is <function softplus.*expected a function of lasagne"):
        AutoEncoder(N_COLUMNS, 3, g=softplus).save(tmp_path / "m.npz")
    refused(lambda: AutoEncoder(N_COLUMNS, 3, b=lasagne.init.Constant(1e30)).save(tmp_path / "m.npz"), "b has numbers")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_model_that_draws_by_theanos_plain_streams(tmp_path):
    """Their generators are no arrays; a checkpoint has them all the same."""
    class Noisy(Toy):
        def encode(self, batch, deterministic=True):
            h = super().encode(batch)
            return h if deterministic else h * RandomStreams(3).binomial(h.shape, p=0.5, dtype=h.dtype)

    def trained(n_epochs, **run):
        model = Noisy(N_COLUMNS)
        Trainer(model, "momentum", 0.01, 4, progress=False).fit(ratings(), n_epochs, ratings(), patience=9,
                                                                keep_optimiser=False, **run)
        return [each.get_value().tobytes() for each in model.params]

    whole = trained(4)
    trained(2, checkpoint=tmp_path / "c")
    assert trained(4, checkpoint=tmp_path / "c", resume=True) == whole
    with pytest.raises(ValueError, match="L-BFGS with a model that draws noise"):
        Trainer(Noisy(N_COLUMNS), "lbfgs", batch_size=None, progress=False).fit(ratings(), 1)


@pytest.mark.parametrize("update", ["adam", "lbfgs"])
def test_a_cost_that_reads_no_target(update):
    class Ranked(Absolute):
        def cost(self, model, formulation, batch):
            return T.sum(T.nnet.softplus(-formulation.entries(model, batch).output))

    trainer = Trainer(Toy(N_COLUMNS), update, 0.01, None, objective=Ranked(), progress=False)
    history = trainer.fit(ratings(), 3, targets=Doubled())
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_posts_graph_is_for_the_posts_model():
    model = AutoEncoder(N_COLUMNS, 3, U=lasagne.init.Normal(0.1))
    with pytest.raises(ValueError, match="scan was called on a model with a second encoder, U"):
        model.scan(T.matrix())
    with pytest.raises(ValueError, match="formulation='scan' is the post's graph, .*the model is Toy"):
        Trainer(Toy(N_COLUMNS), formulation="scan", progress=False).fit(ratings(), 1)
