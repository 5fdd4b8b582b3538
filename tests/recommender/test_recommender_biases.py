"""A recommender beside biases: what it learns, when it holds back, both sides, files, runs that were killed."""
import os
import re

import numpy as np
import pytest
from made import levels, noise, triples, with_unrated
from recommender_contract import Killed, RecommenderContract, assert_same, parameters

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.data import ratings_from_triples
from sparse_ae.data.stores import store_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender import model_factory, side_trainer
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.trainer import TrainingDiverged

N_USERS, N_ITEMS = 36, 20
SETTINGS = dict(n_hidden=6, l2=0.05, network=Shallow(weight_scale=0.1), learning_rate=0.02, batch_size=9, n_epochs=25,
                update="adam", formulation="sparse", progress=False)
SIDES = {"items": ["items"], "users": ["users"], "both": ["items", "users"]}


IDS = 100 + 3 * np.arange(N_USERS), 7 * np.arange(N_ITEMS)
TRAIN, TEST = (triples(part, *IDS) for part in levels(N_USERS, N_ITEMS))


def made(ratings=TRAIN, fit=None, **settings):
    return Recommender(**dict(SETTINGS, **settings)).fit(ratings, **dict(dict(fits=1), **fit or {}))


@pytest.fixture(scope="module")
def both():
    return made(rows="both")


@pytest.fixture(scope="module", params=["items", "users", "both"])
def fitted(request):
    return request.getfixturevalue("both") if request.param == "both" else made(rows=request.param)


def clipped_biases(recommender, users, items):
    """What the biases alone say, in ids."""
    places = np.searchsorted(recommender.users_, users), np.searchsorted(recommender.items_, items)
    return np.clip(predict_biases(recommender.biases_, *places), *recommender.rating_scale_)


# What is learned


def test_learns_what_biases_leave_over_and_has_them(fitted):
    alone = rmse(clipped_biases(fitted, *TEST[:2]), TEST[2])
    assert -fitted.score(TEST) < 0.45 < 0.8 < alone
    sides = SIDES[fitted.rows]
    assert list(fitted.models_) == list(fitted.weights_) == list(fitted.choices_) == sides
    found = fitted.validation_rmse_
    assert list(found) == ["biases"] + sides + ["both"] * (len(sides) == 2) and found["biases"] > 0.8
    assert all(found[name] < 0.5 for name in found if name != "biases")
    assert fitted.model_ is fitted.models_[sides[0]] and all(weight > 0 for weight in fitted.weights_.values())
    if len(sides) == 1:
        assert fitted.weights_[sides[0]] == pytest.approx(1, abs=0.1)
    else:
        assert found["both"] <= min(found["items"], found["users"]) + 1e-3
    given = fit_biases(ratings_from_triples(*TRAIN).matrix)
    assert fitted.biases_.items == pytest.approx(given.items, abs=1e-4)  # of all ratings, once trained on all
    assert fitted.mean_ == pytest.approx(TRAIN[2].mean()) and np.ptp(fitted.biases_.items) > 1.5
    assert fitted.biases_.slopes is None  # they don't help here


def test_a_rate_that_is_chosen_falls_once():
    """And on all ratings at the same epochs, less those that were put back."""
    found = made(rows="items", learning_rate="auto", update="adagrad", l2=0.0, patience=2, n_epochs=200)
    first, again = ([r for r in found.history_ if r["refit"] == refit] for refit in (False, True))
    turn = next(k for k, record in enumerate(first) if record["restored"] is not None)
    rates = [record["learning_rate"] for record in first]
    assert rates == pytest.approx([0.03] * (turn + 1) + [0.0045] * (len(first) - turn - 1)) and turn + 1 < len(first)
    best = int(np.argmin([record["validation_rmse"] for record in first]))
    expected = [0.03] * first[turn]["restored"] + [0.0045] * max(0, best - turn)
    assert [record["learning_rate"] for record in again] == pytest.approx(expected)
    assert found.best_epoch_ == len(again)


def test_rows_auto_is_both_with_validation_and_items_without(both):
    auto = made(rows="auto")
    assert_same(auto, both)
    alone = made(rows="auto", fit=dict(validation=None), n_epochs=2)
    assert list(alone.weights_.items()) == [("items", 1.0)] and alone.validation_rmse_ is None
    assert len(alone.history_) == alone.best_epoch_ == 2
    alike = made(rows="both", fit=dict(validation=None), n_epochs=2)
    assert alike.weights_ == {"items": 0.5, "users": 0.5}


# The guard


def test_where_there_is_nothing_to_learn_predictions_are_the_biases():
    ratings = triples(noise(N_USERS, N_ITEMS))
    guarded = made(ratings, rows="both")
    assert guarded.weights_ == {"items": 0, "users": 0}
    predicted, say = guarded.predict(*ratings[:2]), clipped_biases(guarded, *ratings[:2])
    assert predicted == pytest.approx(say, rel=1e-6)
    assert not any(record["refit"] for record in guarded.history_)
    found = guarded.recommend(3, n=5, exclude_seen=False)
    assert found.items.tolist() == np.argsort(-guarded.biases_.items)[:5].tolist()
    told = {1: 5.0, 2: 4.0}
    assert guarded.fold_in(told).predict(3) == pytest.approx(np.clip(
        guarded.mean_ + guarded.biases_.items[3]
        + sum(r - guarded.mean_ - guarded.biases_.items[i] for i, r in told.items())
        / (2 + guarded.biases_.shrinkage[0]), 1, 5), rel=1e-6)
    assert len(guarded.similar_items(3, n=4).items) == 4


def test_epoch_0_is_where_nothing_helped_at_all():
    """A step so long that each epoch is worse than none."""
    ratings = triples(noise(N_USERS, N_ITEMS))
    for biases, weight in ((True, 0.0), ("unguarded", 1.0)):
        recommender = made(ratings, rows="items", biases=biases, learning_rate=0.5, l2=0, n_epochs=3,
                           network=Shallow(weight_scale=1e-6))
        assert recommender.best_epoch_ == 0 and recommender.weights_ == {"items": weight}
        assert recommender.predict(*ratings[:2]) == pytest.approx(clipped_biases(recommender, *ratings[:2]), abs=1e-3)


def test_validation_of_strangers_only_tells_nothing(capsys):
    held_out = [100], [999], [4.0]
    ratings = with_unrated(ratings_from_triples(*TRAIN), items=[999])
    for biases, weight in ((True, 0.0), ("unguarded", 1.0)):
        found = made(ratings, rows="items", biases=biases, n_epochs=2, fit=dict(validation=held_out), progress=True)
        assert found.weights_ == {"items": weight} and found.validation_rmse_ == {}
        assert re.search("validation: none of the 1 ratings has both a user and an item with training .* use "
                         "biases " + ("only" if biases is True else "and all models"), capsys.readouterr().err)


# Divergence and Ctrl-C


def diverging(sides, refit=(False, True)):
    """A Trainer that diverges for models with these rows."""
    class Diverging(model_factory.Trainer):
        def fit(self, *args, **kwargs):
            side = "items" if self.model.n_columns == N_USERS else "users"
            if side in sides and (kwargs.get("validation") is None) in refit:
                super().fit(*args, **kwargs)
                raise TrainingDiverged("the loss is nan")
            return super().fit(*args, **kwargs)
    return Diverging


def test_one_side_may_diverge(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(model_factory, "Trainer", diverging(["items"]))
    found = made(rows="both", n_epochs=12, progress=True)
    assert found.weights_["items"] == 0 < 0.9 < found.weights_["users"]
    assert set(found.validation_rmse_) == {"biases", "users"}
    assert "items as rows, 1 of 2: the loss is nan; that model is left out" in capsys.readouterr().err
    assert {record["rows"] for record in found.history_ if record["refit"]} == {"users"}
    monkeypatch.undo()
    found.save(tmp_path / "m")
    assert_same(Recommender.load(tmp_path / "m"), found)
    monkeypatch.setattr(model_factory, "Trainer", diverging(["items", "users"]))
    with pytest.raises(TrainingDiverged, match="the loss is nan"):
        made(rows="both", n_epochs=2)


def test_a_refit_that_diverges_leaves_the_model_of_before(monkeypatch):
    monkeypatch.setattr(model_factory, "Trainer", diverging(["items"], refit=[True]))
    found = made(rows="items", n_epochs=12)
    monkeypatch.undo()
    before = made(rows="items", n_epochs=12, fit=dict(refit=False))
    assert found.weights_ == before.weights_ and parameters(found) == parameters(before)


# What is known by half, or not at all


@pytest.fixture(scope="module")
def with_strangers():
    ratings = with_unrated(ratings_from_triples(*TRAIN), [999], [999])
    return {unknown: made(ratings, rows="both", n_epochs=3, unknown=unknown, biases="unguarded")
            for unknown in ("mean", 2.0, "error")}


def test_half_known_pairs_get_what_is_known(with_strangers):
    for unknown, found in with_strangers.items():
        biases = found.biases_
        users, items = [103, 100, 999, 5], [999, -1, 7, 0]
        expected = biases.mean + np.append(biases.users[[1, 0]], biases.items[[1, 0]])
        assert found.predict(users, items) == pytest.approx(np.clip(expected, 1, 5), rel=1e-6)
        assert found.predict(999, 7) == found.predict(5, 7)
        assert found.users_rated_.tolist() == [True] * N_USERS + [False]
        assert found.items_rated_.tolist() == [True] * N_ITEMS + [False]
        if unknown == "error":
            for user, item in ((999, 999), (5, -1)):
                with pytest.raises(ValueError, match="the user %d had no rating in fit, and with unknown=" % user):
                    found.predict(user, item)
        else:
            expected = found.mean_ if unknown == "mean" else 2.0
            assert found.predict([999, 5], [999, -1]) == pytest.approx([expected] * 2, rel=1e-6)
            assert found.evaluate((users, items, [3, 3, 3, 3]))["n_unknown"] == 4


def test_everybody_gets_a_list(with_strangers):
    for found in with_strangers.values():
        lists = found.recommend(found.users_, n=30)
        assert [len(each.items) for each in lists] == [
            N_ITEMS - np.count_nonzero(TRAIN[0] == user) for user in found.users_]
        last, biases = lists[-1], found.biases_
        order = np.argsort(-biases.items[:N_ITEMS], kind="stable")
        assert last.items.tolist() == found.items_[order].tolist()  # 999, without a rating, is not among them
        assert last.scores == pytest.approx(np.clip(biases.mean + biases.items[order], 1, 5), rel=1e-6)
        assert found.recommend(999, n=2, items=[7, 14, 21]).items.tolist() == [
            item for item in last.items if item in (7, 14, 21)][:2]
        with pytest.raises(ValueError, match="the user 5 had no rating in fit"):
            found.recommend([103, 5], unknown="error")


# New people, similar items


def test_a_new_column_by_the_normal_equations():
    found = made(rows="items", n_epochs=5, l2=0.3, fit=dict(validation=None))
    settings, (meta, arrays, ratings) = found.__getstate__()
    told = {0: 4.5, 21: 2.0, 35: 4.0}
    values, places = np.array(list(told.values())), np.searchsorted(found.items_, list(told))
    unit = np.ptp(found.rating_scale_) / 4
    for weighted in (False, True):
        meta["parts"][0]["model"]["l2_weighted"] = weighted
        found.__setstate__((settings, (meta, arrays, ratings)))
        model, biases = found.model_, found.biases_
        offset = np.sum(values - biases.mean - biases.items[places]) / (3 + biases.shrinkage[0])
        say = biases.mean + biases.items + offset
        h = np.column_stack([found.fitted_.scorer.hidden(np.arange(N_ITEMS)).astype("float64"), np.ones(N_ITEMS)])
        mean = np.append(model.W.get_value().mean(axis=0), model.b.get_value().mean()).astype("float64")
        X, l2 = h[places], 0.3 * 3 if weighted else 0.3
        beyond = (values - say[places]) / unit
        beyond -= beyond.sum() / (3 + 1)  # the level, shrunk by one rating
        p = mean + np.linalg.solve(X.T.dot(X) + l2 * np.eye(7), X.T.dot(beyond - X.dot(mean)))
        expected = np.clip(say + unit * h.dot(p), *found.rating_scale_)
        assert found.fold_in(told).predict(found.items_) == pytest.approx(expected, abs=1e-4)


def test_similar_items_are_those_loved_by_the_same(fitted):
    found = fitted.similar_items(7, n=N_ITEMS)
    assert 7 not in found.items and len(found.items) == N_ITEMS - 1
    assert all(item % 2 for item in found.items[:8])
    assert np.all(np.diff(found.scores) <= 0) and found.scores[0] <= 1 + 1e-6
    some, other = fitted.similar_items([7, 14], n=2, items=[7, 14, *found.items[3:6], 999])
    assert some.items.tolist() == [item for item in found.items if item in [14, *found.items[3:6]]][:2]
    assert some.scores[0] == pytest.approx(found.scores[3]) and 14 not in other.items


def test_similar_users_love_the_same(fitted):
    found = fitted.similar_users(103, n=99)
    assert 103 not in found.users and len(found.users) == N_USERS - 1
    assert all((user - 100) % 2 for user in found.users[:12])
    scorer = max(fitted.fitted_.scorer.used(), key=lambda pair: pair[1])[0]
    factors = scorer.hidden(np.arange(N_USERS)) if scorer.rows == "users" else scorer.model.W.get_value()
    centred = factors - factors.mean(axis=0)
    for user, score in zip(found.users[[0, -1]], found.scores[[0, -1]]):
        one, other = centred[1], centred[(user - 100) // 3]
        assert score == pytest.approx(one.dot(other) / np.sqrt(one.dot(one) * other.dot(other)), abs=1e-5)


# Files, copies, runs that were killed


class TestBiases(RecommenderContract):
    """Both sides are killed in the second and the third of four trainings; tests of lists in the others."""

    ratings, near, fit = TRAIN, 0.6, dict(fits=1)

    @pytest.fixture(autouse=True)
    def kills_of_both(self, fitted):
        self.kills = [("users", False, 2), ("items", True, 2)] if fitted.rows == "both" else []


@pytest.fixture(scope="module")
def with_less_decay():
    """Most of what biases leave over is taste here, and the rule for l2 takes it for noise."""
    return made(rows="items", l2="auto")


def test_taste_that_the_decay_suppressed_gets_less_of_it(with_less_decay, monkeypatch):
    monkeypatch.setattr(side_trainer, "_TOO_SMALL", np.inf)
    by_rule = made(rows="items", l2="auto")
    less, l2 = (each.choices_["items"].l2 for each in (with_less_decay, by_rule))
    tries = np.log(less / l2) / np.log(0.3)
    assert tries == pytest.approx(1) or tries == pytest.approx(2)
    assert with_less_decay.validation_rmse_["items"] < by_rule.validation_rmse_["items"]
    assert rmse(with_less_decay.predict(*TEST[:2]), TEST[2]) < 0.9 * rmse(by_rule.predict(*TEST[:2]), TEST[2])
    # Who names a decay gets it.
    monkeypatch.undo()
    assert made(rows="items", l2=l2).choices_["items"].l2 == l2


def test_killed_with_less_decay_and_resumed(with_less_decay, tmp_path):
    firsts = []

    def kill(record):
        if record["epoch"] == 1:
            firsts.append(record)
        if len(firsts) == 2 and record["epoch"] == 3:
            assert not record["refit"]
            raise Killed

    path = tmp_path / "run"
    with pytest.raises(Killed):
        made(rows="items", l2="auto", fit=dict(checkpoint=path, on_epoch=kill))
    assert sorted(os.listdir(str(tmp_path))) == ["run", "run.3"]
    assert_same(made(rows="items", l2="auto", fit=dict(checkpoint=path, resume=True)), with_less_decay)


def test_each_training_has_a_checkpoint_of_its_own_and_none_is_written_over(tmp_path, monkeypatch):
    (tmp_path / "run.3").write_bytes(b"")
    with pytest.raises(FileExistsError, match="run.3 exists; pass resume=True to continue from it, or another path"):
        made(rows="both", fit=dict(checkpoint=tmp_path / "run"))
    assert os.listdir(str(tmp_path)) == ["run.3"]
    monkeypatch.setenv("HOME", str(tmp_path))
    made(rows="both", n_epochs=2, fit=dict(checkpoint="~/other"), biases="unguarded")
    assert sorted(os.listdir(str(tmp_path)))[:-1] == ["other", "other.2", "other.3", "other.4"]


# Ratings on disk, scales, dtypes, seeds


def test_ratings_on_disk(tmp_path, rows="users"):
    stored = store_ratings([TRAIN], tmp_path / "store", rows=rows)
    on_disk = made(stored, rows="auto", n_epochs=5, fit=dict(validation=TEST))
    in_memory = made(rows=rows, n_epochs=5, fit=dict(validation=TEST))
    assert list(on_disk.models_) == [rows]
    assert_same(on_disk, in_memory)
    alone = made(stored, n_epochs=2)
    assert alone.validation_rmse_ is None and alone.weights_ == {rows: 1.0} and len(alone.history_) == 2
    with pytest.raises(ValueError, match="stored ratings have %s as rows and the recommender has rows='both'" % rows):
        made(stored, rows="both")


def test_defaults_are_chosen_said_and_kept(capsys):
    found = Recommender(formulation="sparse", n_epochs=2, rng=3).fit(TRAIN)
    items, users = (found.choices_[side] for side in ("items", "users"))
    assert (items.n_hidden, items.batch_size, items.update) == (96, 2, "adam") and users.batch_size == 3
    lines = capsys.readouterr().err.splitlines()
    begins = "to train: items as rows, users as rows, on 4 random splits; then on all ratings"
    expected = ("items as rows, 1 of 2, fit 1 of 4: n_hidden=96, batch_size=2, l2=[0-9.]+, update=adam, "
                "learning_rate=0.001, patience=8")
    assert lines[0] == begins and any(re.match(expected, line) for line in lines)
    assert re.search("items as rows, 1 of 2, fit 1 of 4: l2=.* is too much .on validation ratings outputs ", str(lines))
    assert any(line.endswith("again with l2=%.4g" % items.l2) for line in lines)
    assert any(line.startswith("validation RMSE (known users and items, 4 fits): biases 0.9") for line in lines)


# Validation


def test_no_refit_keeps_the_best_epoch(both):
    found = made(rows="both", fit=dict(refit=False))
    assert not any(record["refit"] for record in found.history_)
    assert found.best_epoch_ == both.best_epoch_ and found.weights_ == both.weights_
    assert found.fitted_.scorer.inputs.nnz == len(TRAIN[0])  # what was cut off is input and seen all the same
    assert parameters(found) != parameters(both)


def test_held_out_ratings_are_never_input(monkeypatch):
    monkeypatch.setattr(side_trainer, "shortened", lambda array: array)  # history has the figures before rounding
    found = made(rows="both", fit=dict(validation=TEST))
    assert found.fitted_.scorer.inputs.nnz == len(TRAIN[0]) and not any(record["refit"] for record in found.history_)
    assert found.validation_rmse_["both"] == pytest.approx(-found.score(TEST), rel=1e-4)
    for side in SIDES["both"]:
        best = min(record["validation_rmse"] for record in found.history_ if record["rows"] == side)
        assert found.validation_rmse_[side] == pytest.approx(best, rel=1e-5)
