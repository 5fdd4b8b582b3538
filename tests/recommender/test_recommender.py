"""Ratings in, recommendations out, in raw ids: judged by data with known answers, and by the model's own outputs."""
import contextlib
import copy
import importlib
import os
import pickle
import shutil
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from made import ITEMS, SETTINGS, TEST, TRAIN, USERS, with_unrated
from recommender_contract import RecommenderContract, parameters

import sparse_ae
from sparse_ae.data import ratings_from_triples
from sparse_ae.data.stores import store_ratings
from sparse_ae.recommender.recommender import NotFittedError, Recommender, Shallow
from sparse_ae.recommender.settings import not_fitted
from sparse_ae.scoring.fold_in import FoldIn
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.people import PersonRatings
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Missing, Observed


@pytest.fixture(scope="module", params=["items", "users"])
def fitted(request):
    return Recommender(rows=request.param, **SETTINGS).fit(TRAIN, validation=None)


class TestWithoutBiases(RecommenderContract):
    ratings, fit, stored = TRAIN, dict(validation=None), TRAIN
    kills = [("users", False, 2), ("items", False, 59)]

    @pytest.fixture(autouse=True)
    def kills_of_these_rows(self, fitted):
        self.kills = [each for each in type(self).kills if each[0] == fitted.rows]


# Training


def test_learns_what_can_be_known(fitted):
    assert fitted.users_.tolist() == sorted(USERS) and fitted.items_.tolist() == sorted(ITEMS)
    assert fitted.rating_scale_ == (1, 5) and fitted.mean_ == pytest.approx(np.mean(TRAIN[2]))
    assert len(fitted.history_) == fitted.best_epoch_ == 60
    predicted = fitted.predict(TEST[0], TEST[1])
    assert np.sqrt(np.mean((predicted - TEST[2]) ** 2)) < 0.5
    assert predicted.min() >= 1 and predicted.max() <= 5


def test_what_scikit_learn_gives_is_as_good(fitted):
    X, y = list(zip(*TRAIN[:2])), TRAIN[2]
    again = Recommender(**fitted.get_params()).fit(np.array(X, dtype=object), y, validation=None)
    assert parameters(again) == parameters(fitted)
    pairs = list(zip(*TEST[:2]))
    assert again.predict(pairs).tolist() == fitted.predict(TEST[0], TEST[1]).tolist()
    assert again.score(pairs, TEST[2]) == fitted.score(TEST) == -fitted.evaluate(TEST)["rmse"]


def test_errors_wider_than_the_scale_are_no_result():
    with pytest.raises(TrainingDiverged, match="the training RMSE is .* in epoch 3, on a scale from 1 to 5; lower "
                                               "learning_rate=100.0, or the weight_scale of network=Shallow"):
        Recommender(**dict(SETTINGS, learning_rate=100.0, n_epochs=3, update="adam")).fit(TRAIN, validation=None)


def test_a_bounded_output_starts_at_the_mean_too():
    recommender = Recommender(**dict(SETTINGS, network=Shallow("tanh", "tanh", 1e-6), n_epochs=1, learning_rate=1e-9))
    recommender.fit(TRAIN, validation=None)
    assert recommender.predict(*TEST[:2]) == pytest.approx(recommender.mean_, abs=1e-3)
    with pytest.raises(ValueError, match="aren't products .*; fit with network='shallow', or another one whose output"):
        recommender.vectors()


CLOSED, LISTS = dict(objective="lists", network="ease"), dict(objective="lists", n_hidden="auto")


@pytest.mark.parametrize("settings, arguments, message", [
    (dict(rows="user"), {}, "rows is 'user'; expected 'auto', 'items', 'users' or 'both'"),
    (dict(rows="both"), {}, "rows is 'both' and biases is False; expected biases=True"),
    (dict(unknown="zero"), {}, "unknown is 'zero'; expected 'mean', 'error', or the rating to predict"),
    (dict(biases="no"), {}, "biases is 'no'; expected True, False, or 'unguarded'"),
    (dict(network="deep"), {}, "network is 'deep'; expected 'shallow', Shallow.*, a function that makes"),
    (dict(network=Shallow(weight_scale=0)), {}, "weight_scale is 0; expected a positive number"),
    (dict(network=Shallow(weight_scale=1e18)), {}, "weight_scale is 1e.18; expected far less, such as 0.01"),
    (dict(update="lbfgs"), {}, "batch_size is 8 with update='lbfgs'"),
    (dict(update=sp.eye(2).tocsr()), {}, r"(?s)update is <.*>; expected a function like those of"),
    (dict(patience=0), dict(validation=None), "patience is 0; expected a positive integer, or None"),
    (dict(objective="clicks", rating_scale=(9, 1)), {}, "rating_scale is .* the objective is for counts"),
    (dict(rating_scale=(2, 5)), {}, r"rating 1 is outside rating_scale=\(2, 5\); pass rating_scale=\(1, "),
    (dict(CLOSED, rows="users"), {}, "a closed form, and n_hidden=4; expected"),
    (dict(CLOSED, network="slim"), {}, "network is 'slim'; expected 'shallow', .*, or for rankings one of 'popular', "),
    (LISTS, dict(seconds=0), "seconds is 0; expected a positive number, or None"),
    (dict(LISTS, rows="users"), dict(seconds=5), "seconds is 5; expected None: a limit needs objective='lists' or 'cl"),
    (dict(objective="list"), {}, "objective is 'list'; expected 'ratings', 'lists', 'clicks', or an instance of a "),
    (dict(objective=Missing), {}, "objective is <class .*; expected 'ratings', 'lists', 'clicks', or an instance of a"),
    (dict(objective=Missing(measure="ndcg")), {}, "the objective's measure is 'ndcg'; expected 'rmse', or .*'ndcg@10'"),
    (dict(objective=Missing(measure="ndcg@0")), {}, "the objective's measure is 'ndcg@0'"),
    (dict(objective=Missing(measure=10)), {}, "the objective's measure is 10"),
    (dict(objective="lists", rows="users", network=Shallow("sigmoid")), {},
     "formulation='sparse' with Missing.* and f=sigmoid: .*formulation='dense'"),
    (dict(objective=Observed("recall@5"), rows="users"), dict(validation=None),
     "validation=None, and the objective is Observed.*recall@5"),
    ({}, dict(seconds=5), "seconds is 5; expected None"),
    ({}, dict(refit=None), "refit is None; expected True or False"),
    ({}, dict(resume=True), "resume is True without checkpoint"),
    ({}, dict(checkpoint="nowhere/to/be/found"), "nowhere"),
    ({}, dict(validation=0), "validation is 0; expected a number between 0 and 1, 'auto', held-out"),
    ({}, dict(validation=1e-9), "validation=1e-09 is 0 of .* or validation=None"),
    ({}, dict(validation=TRAIN), r"%d of the validation ratings are training ratings too" % len(TRAIN[0])),
    ({}, dict(validation=(["who"], [900], [3])), "none of the 1 validation ratings has a user and an item"),
    ({}, dict(validation="test.csv"), r"ratings are str, 'test.csv'; .* pass load_ratings\('test.csv'\)$"),
])
def test_fit_refuses(settings, arguments, message, monkeypatch):
    """Before anything is compiled or written."""
    monkeypatch.setattr("theano.function", None)
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        Recommender(**dict(SETTINGS, **settings)).fit(TRAIN, **arguments)


# Predictions


def test_one_user_one_item(fitted):
    both = fitted.predict(["user3", "user3"], [900, 880])
    assert fitted.predict("user3", [900, 880]).tolist() == both.tolist()
    assert fitted.predict(["user3", "user4"], 900)[0] == both[0]
    assert fitted.predict("user3", 900) == both[0] and isinstance(fitted.predict("user3", 900), float)
    assert fitted.predict([], []).tolist() == [] and fitted.predict("user3", []).tolist() == []
    assert list(fitted.recommend([], n=3)) == []


def test_unknown_ids():
    """A stranger, a new item, and ids that are there without a rating."""
    ratings = with_unrated(ratings_from_triples(*TRAIN), ["zoe"], [9999])
    users, items = ["stranger", "user3", "zoe", "user3"], [900, 1, 900, 9999]
    recommender = Recommender(rows="items", **dict(SETTINGS, n_epochs=1, unknown=3)).fit(ratings, validation=None)
    assert recommender.predict(users, items) == pytest.approx([3] * 4, rel=1e-6)
    assert recommender.recommend("user3", items=[9999, 1]).items.tolist() == []
    assert recommender.fold_in({900: 5, 1: 3, 9999: 2}).items.tolist() == [900]
    assert recommender.fold_in({900: 5}).predict([1, 9999]) == pytest.approx([3] * 2, rel=1e-6)
    for each in (lambda **ids: recommender.recommend("user3", **ids), recommender.fold_in({900: 5}).recommend):
        every = each(n=99).items
        assert each(n=99, exclude=[every[1], 1]).items.tolist() == np.delete(every, 1).tolist()
        assert each(items=every[:3], exclude=every[1:]).items.tolist() == [every[0]]
        assert each(items=[], exclude=[9999]).items.tolist() == []
        assert each(n=99, exclude=1).items.tolist() == every.tolist()
        with pytest.raises(ValueError, match="none of the items, such as 1, had a rating in fit; expected .* 770"):
            each(items=[1, 2])
        with pytest.raises(TypeError, match="items are strings such as '1'; expected numbers such as"):
            each(exclude=["1"])
    recommender = Recommender(rows="users", **dict(SETTINGS, n_epochs=1, unknown="error")).fit(ratings, validation=None)
    for call, message in [
            (lambda: recommender.predict(users, items),
             "the user 'stranger' had no rating in fit, and with unknown='error' it can't be predicted; leave it out, "
             "or set unknown to"),
            (lambda: recommender.predict("zoe", 900), "the user 'zoe' had no rating"),
            (lambda: recommender.predict("user3", [900, 9999]), "the item 9999 had no rating"),
            (lambda: recommender.recommend("user3", items=[900, 1]),
             "the item 1 had no rating in fit, .* it can't be ignored"),
            (lambda: recommender.fold_in({1: 3}), "the item 1 had no rating"),
            (lambda: recommender.fold_in({900: 3}).predict(9999), "the item 9999 had no rating")]:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_validation_rating_of_the_unknown_is_predicted_as_told():
    few = tuple(column[:5] for column in TRAIN)  # of one user: others' items are cold in all that is left
    recommender = Recommender(**dict(SETTINGS, rows="users", n_epochs=1, unknown=1.0))
    recommender.fit(few, validation=0.2)
    held_out = few[2][np.random.RandomState(0).permutation(5)[:1]]
    assert recommender.history_[0]["validation_rmse"] == pytest.approx(abs(float(held_out[0]) - 1))


@pytest.mark.parametrize("call, error, message", [
    (lambda r: r.predict(["user3"] * 2, [900] * 3), ValueError, "2 users and 3 items were given; expected as many"),
    (lambda r: r.predict([3], [900]), TypeError, "users are numbers such as 3; expected strings such as 'user0'"),
    (lambda r: r.predict(np.ma.array(["user3", "user4"], mask=[0, 1]), 900), ValueError,
     "some values are masked, which means missing; expected none"),
    (lambda r: r.predict("user3"), TypeError,
     r"predict has the user 'user3' and no items; expected predict\(users, items\)"),
    (lambda r: r.recommend("who"), ValueError,
     "the user 'who' had no rating in fit; pass the user's ratings to fold_in"),
    (lambda r: r.explain("zoe", 900), ValueError, "the user 'zoe' had no rating in fit; expected one of the users in"),
    (lambda r: r.explain("user3", [900, 1]), ValueError, "the item 1 had no rating in fit; expected an item"),
    (lambda r: r.explain(["user3"], 900), TypeError, r"user is \['user3'\]; expected a single id"),
    (lambda r: r.similar_items([900, 1]), ValueError, "the item 1 had no rating in fit; expected an item with ratings"),
    (lambda r: r.similar_users(["user3"]), TypeError, r"user is \['user3'\]; expected a single id"),
    (lambda r: r.users_for(900, users=["x"]), ValueError, "none of the users, such as 'x', had a rating in fit"),
    (lambda r: r.recommend([], n=0), ValueError, "n is 0; expected a positive integer"),
    (lambda r: r.fold_in([(900, 5)]), TypeError,
     "entry 0: ratings are tuple; expected a dict of item id to rating, such as {770: 5}, or a list of such dicts"),
    (lambda r: r.fold_in([{900: 5}, {900: 6}]), ValueError, "^entry 1: the rating of item 900 is 6; expected one"),
    (lambda r: r.fold_in([{900: 5}, {900: 5}, {1: 5}]), ValueError, "^entry 2: none of the 1 rated items, such as 1,"),
    (lambda r: r.fold_in({900: 6}), ValueError,
     "the rating of item 900 is 6; expected one within the rating scale, 1 to 5"),
])
def test_refused(fitted, call, error, message):
    with pytest.raises(error, match=message):
        call(fitted)


@pytest.mark.parametrize("name, arguments", [
    ("predict", [[1], [2]]), ("recommend", [1]), ("fold_in", [{1: 1}]), ("similar_items", [1]), ("score", [TEST]),
    ("evaluate", [TEST]), ("save", ["nowhere.npz"])])
def test_not_fitted(name, arguments):
    with pytest.raises(NotFittedError, match="not fitted yet; call fit with ratings first, or load a saved one"):
        getattr(Recommender(), name)(*arguments)
    assert not hasattr(Recommender(), "users_") and not hasattr(Recommender(), "fitted_")
    assert sparse_ae.recommender.NotFittedError is NotFittedError


def test_not_fitted_is_scikit_learns_where_that_is_installed(monkeypatch):
    theirs = importlib.import_module("sklearn.exceptions").NotFittedError if importlib.util.find_spec("sklearn") else ()
    error = not_fitted("why")
    assert not theirs or isinstance(error, theirs)
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)
    for each in (error, not_fitted("why"), pickle.loads(pickle.dumps(error))):
        assert isinstance(each, NotFittedError) and isinstance(each, (ValueError, AttributeError))
        assert type(each).__name__ == "NotFittedError" and str(each) == "why"


def test_settings():
    recommender = Recommender(n_hidden=np.arange(2), l2=None)
    assert recommender.get_params(deep=False)["n_hidden"] is recommender.n_hidden
    assert recommender.set_params(n_hidden=5, l2=1) is recommender
    assert repr(recommender) == "Recommender(n_hidden=5, l2=1)"
    with pytest.raises(ValueError, match="Recommender has no parameter 'nmae'; expected one of n_hidden, "):
        recommender.set_params(n_hidden=9, nmae="z")
    assert recommender.n_hidden == 5


# People folded in: they get what they love, and a new column is the least of its cost


def test_a_new_user_gets_what_they_love(fitted):
    before = parameters(fitted)
    new = fitted.fold_in({900: 5, 880: 5, 890: 1, 870: 1, 860: 5})
    assert new.items.tolist() == [860, 870, 880, 890, 900] and new.ratings.tolist() == [5, 1, 5, 1, 5]
    assert set(new.recommend(n=4).items) == {840, 820, 800, 780}
    assert new.predict(840) > 4 > 2 > new.predict(850) and isinstance(new.predict(900), float)
    found = new.recommend(n=99)
    assert set(found.items) == set(ITEMS) - set(new.items)
    assert new.predict(found.items).tolist() == found.scores.tolist()
    assert set(new.recommend(n=99, exclude_seen=False).items) == set(ITEMS)
    assert new.recommend(items=[840, 850, 900]).items.tolist() == [840, 850]
    assert parameters(fitted) == before


@pytest.mark.parametrize("f, objective, l2, weighted", [
    ("identity", Observed(), 0.02, False), ("identity", Observed(), 0.02, True), ("identity", Observed(), 0.0, False),
    ("identity", Missing(0.1), 0.02, True), ("sigmoid", Observed(), 0.02, False)])
def test_parts_of_a_list_are_those_of_folding_in_without_each_rating(f, objective, l2, weighted, monkeypatch):
    settings = dict(SETTINGS, rows="both", biases="unguarded", n_epochs=1, network=Shallow(f, dtype="float64"))
    fitted = Recommender(**settings).fit(TRAIN, validation=None).fitted_
    row, items, abs_ = fitted.rating_matrix.by("users")[4], np.array([3, 0, 12]), 1e-5 if f == "sigmoid" else 2e-9
    for scorer in fitted.scorer.scorers:
        monkeypatch.setattr(scorer.model, "decay_of", lambda _: l2)
        monkeypatch.setattr(scorer.model, "l2_weighted", weighted)
        fold_in = FoldIn(scorer, objective, 3.0)
        for n in (1, 2, row.nnz):
            person = PersonRatings(row.indices[:n], row.data[:n].astype(float), 0.3)
            people = [person] + [person._replace(places=np.delete(person.places, k), ratings=np.delete(
                person.ratings, k)) for k in range(n)]
            every, *without = (of_person(items) for of_person in fold_in(people))
            np.testing.assert_allclose(fold_in.parts(person, items), every - without, rtol=0, atol=abs_)


@pytest.mark.parametrize("given", [dict(rows="items", biases=False), dict(rows="both", biases="unguarded"),
                                   dict(rows="users", learning_rate=1e-9),
                                   dict(rows="both", biases="unguarded", objective="lists", formulation="dense")],
                         ids=["items", "both", "biases", "missing"])
def test_many_people_are_folded_in_as_one_by_one(given, monkeypatch):
    """To the last bit, in their order, in parts or at once, before the items' hidden units are kept and after."""
    monkeypatch.setattr("sparse_ae.scoring.fold_in.TOGETHER", 3)
    settings = dict(SETTINGS, network=Shallow("sigmoid", weight_scale=0.1), n_epochs=3, biases=True)
    settings.update(given)
    recommender = Recommender(**settings).fit(TRAIN, validation=0.2, fits=1)
    rng = np.random.RandomState(0)
    people = [{int(item): float(rng.randint(1, 6)) for item in rng.choice(ITEMS, n, replace=False)}
              for n in (1, 3, 14, 2, 9, 5, 1)]
    people[1][12345], people[6] = 3.0, {900: 5.0}  # unknown; no other's ratings
    others = [copy.deepcopy(recommender) for _ in range(2)]
    many = others[0].fold_in(people)
    assert isinstance(many, list) and recommender.fold_in([]) == [] and len(recommender.fold_in(people[:1])) == 1
    for ratings, one in zip(people, many):
        alone = others[1].fold_in(ratings)
        assert one.items.tolist() == alone.items.tolist() == sorted(set(ratings) - {12345})
        assert one.ratings.tolist() == [ratings[item] for item in one.items]
        assert one.predict(ITEMS).tobytes() == alone.predict(ITEMS).tobytes()
        assert one.predict(int(ITEMS[3])) == alone.predict(ITEMS)[3]
        for left, right in zip(one.recommend(5), alone.recommend(5)):
            assert left.tobytes() == right.tobytes()
    assert len({one.predict(ITEMS).tobytes() for one in many}) >= 3


def test_a_new_column_is_the_least_of_its_cost():
    """No step away from it costs less; an unbounded output is held against the normal equations elsewhere."""
    ratings = with_unrated(ratings_from_triples(*TRAIN), ["zoe"])  # who is no part of the mean
    settings = dict(SETTINGS, network=Shallow("sigmoid", weight_scale=0.1), l2=0.5, n_epochs=10)
    recommender = Recommender(**settings).fit(ratings, validation=None)
    new = recommender.fold_in({900: 5, 880: 4, 870: 2})
    model = recommender.model_
    W, b = (p.get_value().astype("float64")[:-1] for p in (model.W, model.b))
    mean = np.append(W.mean(axis=0), b.mean())
    rows = np.flatnonzero(np.isin(recommender.items_, [870, 880, 900]))
    scorer, r = recommender.fitted_.scorer, np.array([2.0, 4.0, 5.0])
    X = np.column_stack([Outputs(model).hidden(Batch.of(scorer.inputs[rows])), np.ones(3)])
    p = np.append(*FoldIn(scorer, Observed()).column(rows, r)).astype("float64")
    def output(p):
        return 1 + 4 / (1 + np.exp(-X.dot(p)))

    def cost(p):
        return np.sum((output(p) - r) ** 2) + 0.5 * np.sum((p - mean) ** 2)

    assert new.predict([870, 880, 900]) == pytest.approx(output(p), abs=1e-5)
    assert all(cost(p) < cost(p + 0.01 * step) for step in np.random.RandomState(0).randn(50, 5))


# Measures


def test_measures_by_loops(fitted):
    """Errors by NumPy; lists by loops in tests/evaluation. A stranger counts as misses."""
    extra = ["ann", "ann", "user3"], [900, 890, 12345], [5, 1, 5]
    held_out = [np.append(column, more) for column, more in zip(TEST, extra)]
    measures = fitted.evaluate(tuple(held_out), k=3)
    predicted = fitted.predict(held_out[0], held_out[1])
    errors = predicted - held_out[2]
    assert measures["rmse"] == pytest.approx(np.sqrt(np.mean(errors ** 2))) and measures["n_ratings"] == len(errors)
    assert measures["mae"] == pytest.approx(np.mean(np.abs(errors))) and measures["n_unknown"] == 3
    assert fitted.evaluate((*held_out, range(len(errors))), k=3) == measures  # with times
    several, of_users = (fitted.evaluate(tuple(held_out), k=k, per_user=k == 3) for k in ([10, 3], 3))
    assert list(several)[:2] == ["rmse", "mae"] and several["f1@3"] == measures["f1"] != several["f1@10"]
    assert list(of_users["user"]) == sorted(of_users["user"]) and "ann" in of_users["user"]
    for name in set(of_users) - {"user"}:
        assert np.mean(of_users[name]) == pytest.approx(measures[name]), name
    known = fitted.evaluate(tuple(held_out), k=3, users="known")
    kept = held_out[0] != "ann"
    expected = dict(measures, **fitted.evaluate(tuple(column[kept] for column in held_out), k=3))
    assert known == dict(expected, n_users_left_out=expected["n_users_left_out"] + 1) != measures
    assert known["n_ratings"] == len(errors) - 2 and known["n_unknown"] == 1 and measures["n_users_unknown"] == 1
    with pytest.raises(ValueError, match="none of the 1 held-out ratings is of a user with a rating in fit"):
        fitted.evaluate([("ann", 900, 5)], users="known")
    for given, said in (({"per_user": True}, "per_user=True"), ({"relevant": 4}, "relevant")):
        with pytest.raises(ValueError, match="^%s and k=None were given; expected a k" % said):
            fitted.evaluate(tuple(held_out), k=None, **given)


# As an estimator of scikit-learn


@pytest.mark.parametrize("check", [
    "check_do_not_raise_errors_in_init_or_set_params", "check_estimator_cloneable", "check_estimator_repr",
    "check_estimator_tags_renamed", "check_estimators_unfitted", "check_get_params_invariance", "check_mixin_order",
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_set_params",
    "check_supervised_y_no_nan", "check_valid_tag_types"])
def test_scikit_learns_checks_of_an_estimator(check):
    """Those that apply: the others fit to a table of features, where this takes pairs of a user and an item."""
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    if not hasattr(checks, check):
        pytest.skip("this scikit-learn has no %s" % check)
    getattr(checks, check)("Recommender", Recommender(**SETTINGS))


# Ratings on disk whose files change while a recommender is trained on them


def cut(folder):
    os.truncate(str(folder / "indices.npy"), os.path.getsize(str(folder / "indices.npy")) - 100)


def overwrite(folder, name="data", value=np.nan):
    np.load(str(folder / (name + ".npy")), mmap_mode="r+")[5:9] = value


OVERWRITTEN = "store: files were overwritten while they were read; make the store again$"


@pytest.mark.parametrize("change, message", [
    (cut, "indices.npy has [0-9]+ bytes, and had [0-9]+ when it was opened: it was truncated"),
    (overwrite, OVERWRITTEN), (lambda folder: overwrite(folder, "indices", 10 ** 6), OVERWRITTEN),
    (shutil.rmtree, None)], ids=["cut", "NaN", "index", "deleted"])
def test_a_store_that_changes_while_it_is_trained_on(change, message, tmp_path):
    stored, recommender = store_ratings([TRAIN], tmp_path / "store", rows="items"), Recommender(
        **dict(SETTINGS, rows="items", n_epochs=4))

    def on_epoch(record):
        if record["epoch"] == 2:
            change(stored.folder)

    with pytest.raises(ValueError, match=message) if message else contextlib.nullcontext():
        recommender.fit(stored, validation=None, on_epoch=on_epoch)
    assert message or len(recommender.history_) == 4
