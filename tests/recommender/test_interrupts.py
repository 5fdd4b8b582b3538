"""Ctrl-C at any time of a fit: what is trained by then is what there is, and before that the last fit."""
import os
import signal

import numpy as np
import pytest
from made import levels, liked, triples
from recommender_contract import answers, parameters
from test_blends import QUICK, with_all_members

from sparse_ae.recommender import ensemble, rating_models as fitting
from sparse_ae.recommender.fit_data import FitData
from sparse_ae.recommender.guard import ValidationResiduals
from sparse_ae.recommender.members import CLOSED, ClosedForm
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.recommender.side_trainer import SideTrainer
from sparse_ae.training.run import TrainingRun

SETTINGS = dict(n_hidden=4, learning_rate=0.02, batch_size=9, n_epochs=3, update="adam", formulation="sparse",
                network=Shallow(weight_scale=0.1), progress=False)


@pytest.fixture
def ctrl_c_in(monkeypatch):
    """A function that has Ctrl-C pressed when a function is called for the nth time."""
    handler = signal.getsignal(signal.SIGINT)

    def press(owner, name, nth=1):
        function, calls = getattr(owner, name), []

        def pressed(*args, **kwargs):
            calls.append(name)
            if len(calls) == nth:
                os.kill(os.getpid(), signal.SIGINT)
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, pressed)
        return calls

    yield press
    assert signal.getsignal(signal.SIGINT) is handler


def ratings_fit(**fit):
    return Recommender(rows="both", **SETTINGS).fit(triples(levels(36, 20)[0]), **fit)


@pytest.fixture(scope="module")
def split():
    return liked(40)


@pytest.fixture(scope="module")
def validated():
    return ratings_fit(refit=False)


@pytest.mark.parametrize("owner, name, nth, sides", [
    (SideTrainer, "__init__", 2, ["items"]),
    (TrainingRun, "goes_on", 1, ["items"]), (TrainingRun, "finish", 1, ["items"]),
    (ValidationResiduals, "stretch", 1, ["items"]), (SideTrainer, "train", 2, ["items"]),  # with less decay
    (fitting, "weigh", 1, ["items", "users"]),
    (FitData, "biases_under", 2, ["items", "users"]),  # of all ratings
    (SideTrainer, "__init__", 4, ["items", "users"]), (FitData, "alone", 1, ["items", "users"])],
    ids="users before finish stretch again weighing biases refit end".split())
def test_what_is_trained_is_kept(ctrl_c_in, monkeypatch, validated, owner, name, nth, sides):
    if name == "alone":
        monkeypatch.setattr(fitting, "weigh", lambda *_: ([0.0, 0.0], {}))
    calls = ctrl_c_in(owner, name, nth)
    found = ratings_fit(fits=1)
    assert len(calls) >= nth and found.interrupted_ and list(found.models_) == sides
    assert np.isfinite(found.predict([0, 1], [1, 2])).all() and len(found.recommend(0, n=3).items) == 3
    for side in sides:
        epochs = [record["epoch"] for record in found.history_ if record["rows"] == side and not record["refit"]]
        assert epochs == list(range(1, len(epochs) + 1))
    if len(sides) == 2:
        assert parameters(found) == parameters(validated), "as they were beside the biases that they were trained with"
        assert name == "alone" or (found.biases_.users == validated.biases_.users).all()


def test_a_fit_that_is_averaged_is_left_out(ctrl_c_in):
    """The models of the first are there, as they were validated, beside their biases."""
    calls = ctrl_c_in(fitting, "_fit_once", 3)
    found = ratings_fit(fits=4)
    assert len(calls) == 3 and found.interrupted_ and all(found.weights_.values())
    assert {model.n_hidden for model in found.models_.values()} == {each.n_hidden for each in found.choices_.values()}
    assert np.isfinite(found.predict([0, 1], 2)).all() and not any(record["refit"] for record in found.history_)


@pytest.mark.parametrize("owner, name, nth, trained", [
    (SideTrainer, "train", 1, []), (ensemble._EnsembleFit, "_weighed", 2, ["users"]),
    (SideTrainer, "train", 2, ["users"]), (ClosedForm, "refitted", 1, ["users", "items"]),
    (SideTrainer, "again", 1, ["users", "items"])],
    ids=["users", "weighing", "items", "closed form again", "autoencoder again"])
def test_an_ensemble_has_the_members_that_are_fitted(ctrl_c_in, monkeypatch, split, owner, name, nth, trained):
    with_all_members(monkeypatch)
    calls = ctrl_c_in(owner, name, nth)
    found = Recommender(objective="lists", **QUICK).fit(split[0])
    assert len(calls) >= nth and found.interrupted_ and list(found.choices_) == trained
    assert not any(record["refit"] for record in found.history_)
    assert abs(sum(found.weights_.values()) - 1) < 1e-6 and len(found.recommend(found.users_[0], n=3).items) == 3


@pytest.mark.parametrize("settings, owner, name", [
    (dict(rows="both"), SideTrainer, "search"), (dict(rows="both"), FitData, "biases_under"),
    (dict(objective="lists"), CLOSED["ease"], "system")], ids=["training", "biases", "closed form"])
def test_before_that_it_is_a_keyboard_interrupt(ctrl_c_in, split, settings, owner, name):
    recommender = Recommender(**dict(SETTINGS, **settings)).fit(split[0], validation=split[1])
    before, said, calls = recommender.fitted_, answers(recommender), ctrl_c_in(owner, name)
    with pytest.raises(KeyboardInterrupt):
        recommender.fit(split[0], validation=split[1])
    assert calls == [name] and recommender.fitted_ is before and not recommender.interrupted_
    assert answers(recommender) == said
