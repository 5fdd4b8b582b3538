"""A first look at a side: little is trained where there is nothing to be gained, nothing is changed elsewhere."""
from types import SimpleNamespace

import numpy as np
import pytest
from made import levels, noise, triples

from sparse_ae.recommender import guard, probe, ratings as fitting
from sparse_ae.recommender.defaults import Choice
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.trainer import TrainingDiverged

SETTINGS = dict(n_hidden=40, l2=0.05, learning_rate=0.02, batch_size=9, n_epochs=12, update="adam",
                formulation="sparse", rows="items")
CHOICE = Choice(n_hidden=100, batch_size=10, l2=1.0, update="adam", learning_rate=0.001, n_epochs=300, patience=17,
                l2_weighted=False)


def fitted(ratings, **settings):
    return Recommender(**dict(SETTINGS, **settings)).fit(triples(ratings))


@pytest.fixture
def trained(monkeypatch):
    """What `fitting.fit_side` is called for and returns from now on: pairs of a label, None for none, and a Trained."""
    found, train = [], fitting.fit_side

    def noted(*args, **more):
        found.append((more.get("label"), train(*args, **more)))
        return found[-1][1]

    monkeypatch.setattr(fitting, "fit_side", noted)
    return found


def test_what_is_looked_at():
    assert not probe.is_large(10000, CHOICE) and probe.is_large(100000, CHOICE)
    assert not probe.is_large(10 ** 7, CHOICE._replace(n_hidden=32)), "half of it is no saving"
    assert probe.looks(CHOICE, 95) == [CHOICE._replace(n_hidden=16, n_epochs=n) for n in (10, 40)]
    assert [each.n_epochs for each in probe.looks(CHOICE._replace(batch_size=None), 95)] == [100, 300]
    assert [each.n_epochs for each in probe.looks(CHOICE._replace(n_epochs=7), 95)] == [7]
    *_, last = probe.looks(CHOICE, 95, 0.3)
    assert last == CHOICE._replace(n_hidden=16, n_epochs=65, patience=65, l2=0.3), "the rule's may leave nothing"


def test_memory_by_hand():
    """W, V and U, now and of the best epoch, with their gradients and two sums of Adam's; Adagrad's one sum."""
    numbers = 1000 * 100
    assert probe.memory_needed(1000, CHOICE) == 3 * numbers * 5 * 4
    assert probe.memory_needed(1000, CHOICE._replace(update="adagrad"), 8) == 3 * numbers * 3 * 8
    there = probe.memory_there()
    assert there is None or 2 ** 20 < there < 2 ** 50


def test_a_side_that_shows_no_gain_is_left(monkeypatch, capsys):
    monkeypatch.setattr(probe, "_LARGE", 1)
    found = fitted(noise(36, 20))
    assert found.weights_ == {"items": 0.0} and found.best_epoch_ == 0
    assert found.models_["items"].n_hidden == 16 == found.choices_["items"].n_hidden
    assert "items as rows: with 16 hidden units validation ratings show no gain over biases; the 40 that were " \
           "chosen, and 0.0 GB for them, are left out" in capsys.readouterr().err
    # Whoever wants the model all the same gets it.
    assert fitted(noise(36, 20), biases="unguarded").models_["items"].n_hidden == 40


def test_a_look_at_what_can_be_learned_changes_nothing(monkeypatch, trained):
    ratings = levels(36, 20)[0]
    without = fitted(ratings)
    trained.clear()
    monkeypatch.setattr(probe, "_LARGE", 1)
    found = fitted(ratings)
    assert [label for label, _ in trained] == ["items as rows, a first look", None, None]
    assert found.weights_ == without.weights_ and found.weights_["items"] > 0.8
    for one, other in zip(found.model_.params, without.model_.params):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


@pytest.mark.parametrize("there, said", [(1e3, True), (1e15, False), (None, False)])
def test_too_little_memory_is_told(there, said, monkeypatch, capsys):
    monkeypatch.setattr(probe, "memory_there", lambda: there)
    fitted(levels(36, 20)[0], n_epochs=1)
    assert ("items as rows: training takes about 0.0 GB, of 0.0 GB of memory that are free; a smaller n_hidden than 40"
            in capsys.readouterr().err) == said


def test_a_side_goes_on_with_the_decay_that_showed_a_gain(monkeypatch, trained):
    monkeypatch.setattr(probe, "_LARGE", 1)
    monkeypatch.setattr(probe, "promises",
                        lambda given, found, biases: found.choice.l2 < trained[0][1].choice.l2)
    fitted(noise(36, 20), l2="auto")
    looks = [each.choice.l2 for label, each in trained if label == "items as rows, a first look"]
    whole = [each.choice.l2 for label, each in trained if label is None]
    assert looks[-1] == pytest.approx(0.3 * looks[0]) and whole[0] == looks[-1]


def test_decays_are_tried_with_few_hidden_units_where_ratings_are_many(monkeypatch, trained, capsys):
    assert not probe.takes_long(10 ** 6 - 1, CHOICE._replace(n_hidden=512))
    assert not probe.takes_long(10 ** 7, CHOICE) and probe.takes_long(10 ** 6, CHOICE._replace(n_hidden=128))
    few = probe.with_few_hidden(CHOICE._replace(n_hidden=512), 95)
    assert few == CHOICE._replace(n_hidden=64, n_epochs=65, patience=65), "650 updates, of ten an epoch, to the end"
    assert probe.with_few_hidden(CHOICE._replace(n_epochs=7), 95).n_epochs == 7

    monkeypatch.setattr(probe, "_MANY_RATINGS", 1)
    monkeypatch.setattr(probe, "_TO_SEEK_BY", 8)
    found = fitted(levels(36, 20)[0], l2="auto")
    (label, first), (_, second) = [(label, each.choice) for label, each in trained[:2]]
    assert label == "items as rows, 8 hidden units first" and first.n_hidden == second.n_hidden == 8
    assert second.l2 == pytest.approx(0.3 * first.l2), "what was learned is all taste, and no noise"
    sought = [each.choice for label, each in trained if label]
    inwhole = [each.choice for label, each in trained if not label]
    assert inwhole[0].n_hidden == 40 and inwhole[0].l2 in [choice.l2 for choice in sought[1:]]
    assert found.choices_["items"].l2 <= 0.3 * first.l2 * 1.001
    epochs = [record["epoch"] for record in found.history_ if not record["refit"]]
    assert epochs == list(range(1, len(epochs) + 1)), "those with few hidden units are in no history"
    assert "again with l2=%.4g" % second.l2 in capsys.readouterr().err


@pytest.mark.parametrize("errors, expected", [
    ((1.0, 0.9995), 64), ((1.0, 0.99, 0.98, 0.97), 512), ((1.0, 0.99, 1.0), 128)])
def test_as_many_hidden_units_as_are_worth_their_time(errors, expected, monkeypatch):
    """Each is twice the last; what is chosen is trained for as long without gain as few hidden units stood still."""
    monkeypatch.setattr(probe, "_MANY_RATINGS", 1)
    of_hidden = dict(zip((64, 128, 256, 512), errors))
    monkeypatch.setattr(probe, "stretch_on_validation",
                        lambda given, found, biases: (1.0, of_hidden[found.choice.n_hidden]))
    told = []
    given = SimpleNamespace(train=SimpleNamespace(by=lambda side: levels(36, 20)[0]), tell=told.append)
    history = [dict(epoch=n, validation_rmse=error, interrupted=False) for n, error in enumerate([3, 4, 4, 2, 1], 1)]

    def train(choice, label):
        assert label == "items as rows, %d hidden units first" % choice.n_hidden
        return fitting.Trained("items", None, choice, history, 5, [], None)

    choice = CHOICE._replace(n_hidden=512, patience=2)
    assert probe.seek(given, "items", None, choice, train, ["l2", "n_hidden"]) == (
        None, choice._replace(n_hidden=expected, patience=4))
    assert told == ([] if expected == 512 else
                    ["items as rows: %d hidden units are no better than %d" % (2 * expected, expected)])
    assert probe.seek(given, "items", None, choice, train, ["l2"])[1].n_hidden == 512, "as was asked for"


@pytest.mark.parametrize("errors, ended, n_hidden", [
    ((1.0, 0.9999), {}, 192), ((1.0, 1.0009), {}, 192), ((1.0, 1.0011), {}, 96),
    ((1.0, 0.5), dict(error=TrainingDiverged("nan")), 96),
    ((1.0, 0.5), dict(history=[dict(interrupted=True)]), 96)])
def test_twice_as_many_hidden_units_of_few_ratings(errors, ended, n_hidden, monkeypatch):
    """If validation isn't clearly against it; a training that ended badly is none."""
    of_hidden = dict(zip((96, 192), errors))
    monkeypatch.setattr(probe, "stretch_on_validation",
                        lambda given, found, biases: (1.0, of_hidden[found.choice.n_hidden]))
    told = []
    best = fitting.Trained("items", None, CHOICE._replace(n_hidden=96), [], 5, [], None)

    def train(choice):
        return best._replace(choice=choice, **ended)

    found, is_enough = probe.more_hidden(SimpleNamespace(tell=told.append), best, None, train, 200, -0.001)
    assert found.choice.n_hidden == n_hidden and found.error is None
    assert found.interrupted == ("history" in ended) and is_enough == bool(told)
    assert bool(told) == (n_hidden == 96 and "history" not in ended)


def test_how_long_a_training_stood_still():
    of = [dict(epoch=n, validation_rmse=error) for n, error in enumerate([5, 6, 4, 4, 4, 4, 1, 2, 2, 2, 2, 2], 1)]
    assert probe.stood_still(of) == 4, "from epoch 3 to 7; nothing better came after that"
    assert probe.stood_still(of[:1]) == 1 and probe.stood_still([]) == 0


def test_ctrl_c_while_decays_are_tried_leaves_what_few_hidden_units_have_learned(monkeypatch):
    monkeypatch.setattr(probe, "_MANY_RATINGS", 1)
    monkeypatch.setattr(probe, "_TO_SEEK_BY", 8)
    trained, train = [], fitting.fit_side

    def interrupted(*args, **more):
        found = train(*args, **more)
        found.history[-1]["interrupted"] = True
        trained.append(found)
        return found

    monkeypatch.setattr(fitting, "fit_side", interrupted)
    found = fitted(levels(36, 20)[0], l2="auto")
    only, = trained
    assert found.best_epoch_ == only.epoch > 0 and found.choices_["items"].n_hidden == 8
    assert found.weights_["items"] > 0 and found.model_ is only.model


def test_outputs_that_are_next_to_nothing_are_of_too_strong_a_decay(monkeypatch):
    """What is left of them is of either sign, and says nothing of the decay."""
    monkeypatch.setattr(guard, "_shown", lambda *_: (None, outputs, np.array([1.0, -2.0, 2.0])))
    best = SimpleNamespace(epoch=3)
    outputs = np.array([0.05, 0.01, -0.06])
    assert guard.stretch_on_validation(None, best, None) == (np.inf, 9.0)
    outputs = np.array([0.5, -0.5, 0.5])
    assert guard.stretch_on_validation(None, best, None) == (pytest.approx(10 / 3), pytest.approx(9 - 25 / 3))
    assert guard.stretch_on_validation(None, SimpleNamespace(epoch=0), None) == (np.inf, 9.0)


@pytest.mark.parametrize("stretch, said", [
    (np.inf, "next to nothing is learned"), (1.5, "too small by a factor of 1.50"),
    (0.4, "too large by a factor of 2.50"), (0.0, "of the wrong sign")])
def test_what_is_said_of_outputs(stretch, said, monkeypatch, capsys):
    """Where another decay is tried."""
    found = iter([(stretch, 2.0), (1.0, 1.0)])
    monkeypatch.setattr(probe, "stretch_on_validation", lambda *args: next(found))
    fitted(levels(36, 20)[0], l2="auto", n_epochs=2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("limit, free", [("3000000", 1000000), ("max", None), (None, None)])
def test_memory_of_a_container_is_told(limit, free, tmp_path):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("2000000")
    assert probe.memory_of_container(tmp_path) == free
