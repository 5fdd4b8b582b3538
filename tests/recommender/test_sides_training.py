"""Fits of ratings: decays, and the mean of several fits."""
import copy
from types import SimpleNamespace

import numpy as np
import pytest
from devices import ON_GPU, networks_need_cpu
from made import levels, likings, triples
from recommender_contract import parameters

from sparse_ae.checks import MOST
from sparse_ae.model import AutoEncoder
from sparse_ae.networks import deep
from sparse_ae.recommender import defaults, fit_data, model_factory, rating_models as fitting
from sparse_ae.recommender.guard import ValidationResiduals
from sparse_ae.recommender.rating_models import mean_of
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.recommender.settings import Shallow
from sparse_ae.recommender.side_trainer import SideTrainer
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.training.objectives import Observed
import theano

SETTINGS = dict(n_hidden=40, l2=0.05, learning_rate=0.02, batch_size=9, n_epochs=12, update="adam",
                formulation="sparse", rows="items", progress=False)


def fitted(ratings=None, fit=None, **settings):
    ratings = levels(36, 20)[0] if ratings is None else ratings
    return Recommender(**dict(SETTINGS, **settings)).fit(triples(ratings), **dict(dict(fits=1), **fit or {}))


@pytest.fixture
def trained(monkeypatch):
    """What is trained from now on with validation: a SideModel each."""
    found, train = [], SideTrainer.train

    def noted(self, *args, **more):
        found.append(train(self, *args, **more))
        return found[-1]

    monkeypatch.setattr(SideTrainer, "train", noted)
    return found


@pytest.mark.parametrize("outputs, epoch, expected", [
    ([0.05, 0.01, -0.06], 3, (np.inf, 9.0)),  # next to nothing: of either sign
    ([0.5, -0.5, 0.5], 3, (pytest.approx(10 / 3), pytest.approx(9 - 25 / 3))),
    ([0.5, -0.5, 0.5], 0, (np.inf, 9.0))])  # nothing is learned
def test_how_much_outputs_are_to_be_stretched(outputs, epoch, expected):
    scorer = SimpleNamespace(pair_outputs=lambda users, items: np.array(outputs)[users + items])
    best, places = SimpleNamespace(epoch=epoch, scorer=scorer), np.array([0, 0, 1])
    assert ValidationResiduals(places, np.array([0, 1, 1]), None, np.array([1.0, -2.0, 2.0])).stretch(best) == expected


@pytest.mark.parametrize("update, n_steps", [("adam", 3 if ON_GPU else 1), ("momentum", 3)])
def test_models_of_a_fit_share_a_step_and_have_the_bits_of_steps_of_their_own(update, n_steps, trained, monkeypatch):
    """Trained with two decays, and on all ratings. A GPU's graph, and momentum's, has the decay as a constant."""
    monkeypatch.setattr(ValidationResiduals, "stretch", lambda *_: (2.0, 1.0))
    made, function = [], theano.function
    monkeypatch.setattr(theano, "function", lambda *args, **more: made.append(more["name"]) or function(*args, **more))
    settings = dict(update=update, learning_rate=0.001, l2="auto", n_epochs=2, biases="unguarded")
    shared = fitted(**settings)
    assert made.count("ae_batch") == n_steps and trained[0].choice.l2 > trained[1].choice.l2
    monkeypatch.setattr(model_factory, "LARGE", 0)
    assert parameters(fitted(**settings)) == parameters(shared) and made.count("ae_batch") == n_steps + 3


# The mean of several fits


@pytest.mark.parametrize("n_fits", [2, 3])
def test_the_mean_of_models_is_one_model(n_fits):
    """And a column is drawn to the mean as strongly: least squares with weight decay has the outputs of one model."""
    rng = np.random.RandomState(n_fits)

    def model(k, n=5):
        arrays = dict(W=rng.randn(n, k), V=rng.randn(k, n), U=rng.randn(k, n), mu=rng.randn(k), b=rng.randn(n))
        return AutoEncoder(n, k, f="linear", g="sigmoid", dtype="float64", l2=(0.7, 0.2), **arrays)

    def outputs(model):
        W, V, mu, b, U = (parameter.get_value() for parameter in model.params)
        return b + W @ (1 / (1 + np.exp(-(mu + V @ row + U @ rated))))

    row, rated = np.array([0, 0.5, 0, -2, 1]), np.array([0, 1, 0, 1, 1])
    models = [model(k) for k in (2, 1, 3)[:n_fits]]
    np.testing.assert_allclose(outputs(mean_of(models)), sum(map(outputs, models)) / n_fits, rtol=1e-12)
    single, h, ratings = model(3), rng.randn(4, 3), rng.randn(4)
    alike = mean_of([single] * n_fits)
    assert alike.l2_W == pytest.approx(n_fits * 0.7) and alike.l2_V == pytest.approx(0.2)
    assert mean_of([AutoEncoder(5, 1, l2=MOST, U=np.zeros((1, 5)))] * n_fits).l2_W == MOST  # no model takes more
    spread = np.hstack([h] * n_fits)
    solved = [x @ np.linalg.solve(x.T @ x + l2 * np.eye(x.shape[1]), x.T @ ratings)
              for x, l2 in ((h, 0.7), (spread, alike.l2_W))]
    np.testing.assert_allclose(*solved)


@pytest.fixture
def fits(monkeypatch):
    """The fits that are made from now on."""
    found, fit_once = [], fitting._fit_once
    monkeypatch.setattr(fitting, "_fit_once", lambda *args: found.append(fit_once(*args)) or found[-1])
    return found


@pytest.mark.parametrize("n_fits", ["auto", 3])
def test_so_many_fits_as_are_asked_for(fits, n_fits):
    """Four of few ratings."""
    found, n = fitted(fit=dict(fits=n_fits)), 4 if n_fits == "auto" else n_fits
    assert len(fits) == n and found.model_.n_hidden == n * found.choices_["items"].n_hidden
    first = [each for each in found.history_ if not each["refit"]]
    assert first == fits[0].history and len(found.history_) > len(first) and found.weights_["items"] > 0.5


@pytest.mark.parametrize("n_fits", ["auto", 2])
def test_large_data_are_trained_on_once_by_a_single_fit(n_fits, monkeypatch):
    monkeypatch.setattr(defaults, "_ENOUGH", 3)  # of 571 ratings: less than 1.25%
    found = fitted(biases="unguarded", fit=dict(fits=n_fits))
    assert any(each["refit"] for each in found.history_) == (n_fits == 2)


def test_large_data_begin_with_the_decay_that_some_users_need(trained, monkeypatch):
    """Users need a third of the rule's here, and items no less than they begin with."""
    def stretch(known, found):
        n_of_users = sum(each.side == "users" for each in trained)
        return (2.0, 9.0) if found.side == "users" and n_of_users == 1 else (1.0, 8.0)

    def trainings(large, very_large, **settings):
        del trained[:], told[:]
        monkeypatch.setattr(fit_data, "WORTH_A_REFIT", float(large))
        monkeypatch.setattr(defaults, "_ENOUGH", 10 ** (-9 if very_large else 9))
        found = fitted(fit=dict(validation=0.25, on_epoch=told.append),
                       **dict(dict(rows="both", l2="auto", n_hidden="auto", n_epochs=2), **settings))
        assert list(found.models_) == ["items", "users"]
        of_all = [each for each in trained if len(each.scorer.rating_matrix.users_rated) == 36]
        assert sum(not each["refit"] for each in told) == sum(len(each.history) for each in of_all)
        return [(each.side, len(each.scorer.rating_matrix.users_rated), each.choice) for each in trained]

    told = []
    monkeypatch.setattr(ValidationResiduals, "stretch", stretch)
    small, large, very_large = trainings(0, 0), trainings(1, 0), trainings(1, 1)
    rule, of_some = small[0][2].l2, very_large[0][2].l2
    assert [(side, n, pytest.approx(choice.l2)) for side, n, choice in small] == [
        ("items", 36, rule), ("users", 36, rule), ("users", 36, 0.3 * rule)]
    assert [(side, n, pytest.approx(choice.l2)) for side, n, choice in large] == [
        ("users", 36, rule), ("users", 36, 0.3 * rule), ("items", 36, 0.3 * rule)]
    assert [(side, n, pytest.approx(choice.l2)) for side, n, choice in very_large] == [
        ("users", 5, of_some), ("users", 5, 0.3 * of_some), ("users", 36, 0.3 * rule), ("items", 36, 0.3 * rule)]
    assert of_some < rule and {choice.update for _, _, choice in very_large} == {"adam"}
    # Not of a small part that is held out, nor where the decay is given.
    assert len(trainings(0, 1)) == 3 and len(trainings(1, 1, l2=3.0)) == 2
    train = SideTrainer.train
    monkeypatch.setattr(SideTrainer, "train", lambda *args, **more: train(*args, **more)._replace(interrupted=True))
    with pytest.raises(KeyboardInterrupt):  # while the decay is looked for
        trainings(1, 1)


def test_a_fit_that_diverges_is_left_out(fits, monkeypatch, capsys):
    fit_once = fitting._fit_once

    def others_diverge(*args):
        if fits:
            raise TrainingDiverged("the loss is nan")
        return fit_once(*args)

    monkeypatch.setattr(fitting, "_fit_once", others_diverge)
    found, one = fitted(progress=True, fit=dict(fits=4)), fits[0].models[0].model
    assert found.model_.n_hidden == one.n_hidden and found.model_ is not one
    assert "fit 4: the loss is nan; it is left out" in capsys.readouterr().err


@pytest.mark.parametrize("settings, fit", [
    ({}, dict(refit=False)), (dict(network=Shallow(f="sigmoid")), {}),
    pytest.param(dict(network=deep), {}, id="deep", marks=networks_need_cpu), (dict(biases=False), {}),
    (dict(objective="lists"), {})], ids=str)
def test_several_fits_that_cannot_be_joined_are_refused(fits, settings, fit):
    ratings = likings() if "objective" in settings else levels(36, 20)[0]
    with pytest.raises(ValueError, match="fits is 2; expected 'auto' or 1: averaging needs"):
        fitted(ratings, fit=dict(fit, fits=2), **settings)
    assert not fits


# "auto" is a value


@pytest.mark.parametrize("settings, fit", [
    (dict(rows="both"), {}), (dict(biases=False), {}), ({}, dict(fits=2)), ({}, dict(validation=None)),
    (dict(objective="lists", rows="auto"), {})], ids=str)
def test_what_was_chosen_gives_the_same_model_without_a_search(settings, fit, trained, tmp_path):
    ratings = likings() if "objective" in settings else levels(36, 20)[0]
    auto = dict(dict.fromkeys(("l2", "n_hidden", "learning_rate", "batch_size", "patience"), "auto"), n_epochs=6)
    if settings.get("rows") == "auto":
        auto.update(formulation="auto", update="auto")
    found = fitted(ratings, fit, **dict(auto, **settings))
    searched = len(trained)
    again = Recommender(**found.settings_).fit(triples(ratings), **dict(dict(fits=1), **fit))
    assert again.choices_ == found.choices_ and again.weights_ == found.weights_
    assert len(trained) - searched == len(found.choices_) * fit.get("fits", 1) <= searched
    assert parameters(again) == parameters(found)
    again.save(tmp_path / "m")
    loaded = Recommender.load(tmp_path / "m")
    assert loaded.choices == again.choices and loaded.choices_ == found.choices_


def test_what_is_given_comes_before_what_was_chosen(trained):
    found = fitted(l2="auto", n_hidden="auto", learning_rate="auto")
    chosen = found.choices_["items"]
    del trained[:]
    changed = Recommender(**found.settings_).set_params(n_hidden=3, l2=2.0).fit(triples(levels(36, 20)[0]), fits=1)
    assert changed.choices_ == {"items": chosen._replace(n_hidden=3, l2=2.0)} and len(trained) == 1
    alone = Recommender(**found.settings_).fit(triples(levels(36, 20)[0]), validation=None)
    assert alone.choices_["items"] == chosen._replace(patience=None, cut=None)


def test_settings_are_those_of_the_last_fit(tmp_path):
    users = np.arange(36)
    found = fitted(rng=np.random.RandomState(3), n_epochs=3)
    predicted = found.predict(users, 1)
    found.set_params(n_hidden=7, rows="users", rng=0)
    found.save(tmp_path / "m")
    for each in found, Recommender.load(tmp_path / "m"), copy.deepcopy(found):
        assert (each.n_hidden, each.settings_["n_hidden"], each.settings_["rows"]) == (7, 40, "items")
        for _ in range(2):  # `rng` is what it was, each time
            again = Recommender(**each.settings_).fit(triples(levels(36, 20)[0]), fits=1)
            assert again.predict(users, 1).tolist() == predicted.tolist()


def test_choices_that_are_none_are_refused_and_print_tells_what_was_chosen():
    found = fitted(l2="auto")
    chosen = found.choices_["items"]
    assert str(Recommender(n_hidden=3)) == "Recommender(n_hidden=3)" and "choices" not in repr(found)
    assert "items as rows, weight %.2f: n_hidden=40, batch_size=9, l2=" % found.weights_["items"] in str(found)
    for choices, error, message in (
            (dict(items=3), TypeError, "choices is {'items': 3}; expected None, or a dict"),
            (np.ones(2), TypeError, r"choices is array.*; expected None, or a dict"),
            (dict(users=chosen), ValueError, "choices has users, and with rows='items' there are models of items; exp"),
            (dict(items=chosen, user=chosen), ValueError, "choices has items, user, and with rows='items' there are")):
        with pytest.raises(error, match=message):
            fitted(choices=choices)
    with pytest.raises(ValueError, match="network is 'ease', a closed form, and choices={.*; expected no such setting"):
        Recommender(objective="lists", network="ease", choices={"items": chosen}).fit(triples(likings()))


def test_where_nothing_is_learned_a_ninth_of_the_decay_is_next(trained):
    fitted(l2="auto", n_epochs=3, update="sgd", learning_rate=1e-9, network=Shallow(weight_scale=1e-4))
    first, second = (each.choice.l2 for each in trained)
    assert second == pytest.approx(0.09 * first)


# Objectives that have no rule


def test_the_decay_of_a_cost_without_a_rule_is_of_its_scale(trained, monkeypatch, capsys):
    """In proportion to what a rating costs in a first epoch."""
    monkeypatch.setattr(Observed, "rule", lambda *_: None)
    fitted(l2="auto", n_epochs=3, update="sgd", learning_rate=1e-6, progress=True)
    before, first = trained[:2]
    n, said = before.scorer.inputs.nnz, capsys.readouterr().err
    assert len(before.history) == 1 < len(first.history)
    assert first.choice.l2 == pytest.approx(50 * before.history[0]["data_loss"] / n * (n / 50000) ** (1 / 3))
    assert "again with l2=%.4g" % (0.3 * first.choice.l2) in said


def test_less_decay_is_tried_while_it_is_better(trained, monkeypatch):
    stretches = iter([(1.0, 3.0), (1.0, 2.0), (1.0, 4.0)])  # and errors
    monkeypatch.setattr(ValidationResiduals, "stretch", lambda *args: next(stretches))
    monkeypatch.setattr(Observed, "rule", lambda *args: None)
    found = fitted(l2="auto", n_epochs=2)
    _, first, less, least = [each.choice.l2 for each in trained]
    assert (less, least) == (pytest.approx(0.3 * first), pytest.approx(0.09 * first))
    assert found.choices_["items"].l2 == less
