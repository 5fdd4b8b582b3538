"""Items and users with attributes and no rating: what ridge regression of others' outputs says, in every answer."""
import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from made import liked
from recommender_contract import assert_same

from sparse_ae import Recommender, Shallow
from sparse_ae.data.attributes import as_attributes
from sparse_ae.scoring.features import FeatureRegression, share_of_new

TRAIN, HELD_OUT = liked(40)
# Who likes even items, and the halves themselves: what `likings` are made of. Two words are of chance.
ITEM_WORDS = {item: ["even" if k % 2 == 0 else "odd", "ab"[k % 3 == 0]] for k, item in enumerate(TRAIN.items)}
USER_WORDS = {user: ["even" if k % 2 == 0 else "odd"] for k, user in enumerate(TRAIN.users)}
NEW_ITEMS = {"j0": ["even", "a"], "j1": ["odd", "b"], "j2": "even|zzz", "h9": ["odd"]}
ITEMS, USERS = dict(ITEM_WORDS, **NEW_ITEMS), {**USER_WORDS, 5: ["odd"], 9999: ["even"]}
QUICK = dict(n_hidden=4, batch_size=20, l2=0.02, update="adam", learning_rate=0.05, n_epochs=4, formulation="sparse",
             network=Shallow(weight_scale=0.3), rows="users", progress=False)


@pytest.fixture(scope="module")
def lists():
    return Recommender(objective="lists", network="ease", progress=False).fit(
        TRAIN, item_features=ITEMS, user_features=USERS)


@pytest.fixture(scope="module")
def ratings():
    return Recommender(**QUICK).fit(TRAIN, validation=None, item_features=ITEMS, user_features=USERS)


def ridge(words, names, counts, outputs, l2):
    """Coefficients of words, the first one, of none, not shrunk, by one equation for each observation and each word."""
    X, roots = with_ones(words, names), np.sqrt(counts / np.mean(counts))
    shrinking = np.sqrt(l2) * np.eye(X.shape[1])[1:]
    return np.linalg.lstsq(np.vstack([roots[:, np.newaxis] * X, shrinking]),
                           np.append(roots * outputs, np.zeros(len(shrinking))), rcond=None)[0]


def with_ones(words, names):
    return np.array([[1.0] + [name in (each.split("|") if isinstance(each, str) else each) for name in names]
                     for each in words.values()])


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_new_ones_outputs_are_a_ridge_regression_of_known_ones(name, request):
    recommender, new = request.getfixturevalue(name), list(NEW_ITEMS)
    fitted, matrix = recommender.fitted_, TRAIN.matrix
    users, items = np.arange(len(TRAIN.users)), np.arange(len(TRAIN.items))
    base = fitted.scorer.scorer
    outputs = (base.grid(users) if name == "lists" else base.grids(items)(users)).astype(float)
    of_items, of_users = fitted.features["items"], fitted.features["users"]
    words, l2 = of_items.names, fitted.scorer.by_side["items"].l2
    l2_of_users = fitted.scorer.by_side["users"].l2
    assert name == "ratings" or l2 == l2_of_users == 100
    assert set(words) == {"even", "odd", "a", "b"} and set(of_users.names) == {"even", "odd"}
    counts = [np.ones(n) if name == "lists" else matrix.getnnz(axis=1 - axis) for axis, n in enumerate(matrix.shape)]

    def of_new_items(of_user):
        return with_ones(NEW_ITEMS, words).dot(ridge(ITEM_WORDS, words, counts[1], of_user, l2))

    for row in (0, 7):
        np.testing.assert_allclose(recommender.predict(TRAIN.users[row], new), of_new_items(outputs[row]), rtol=1e-3,
                                   atol=1e-3)
    of_a_user = np.array([with_ones({0: ["even"]}, of_users.names)[0].dot(ridge(
        USER_WORDS, of_users.names, counts[0], column, l2_of_users)) for column in outputs.T])
    said = of_new_items(of_a_user)
    np.testing.assert_allclose(recommender.predict(9999, new), said, rtol=1e-3, atol=1e-3)
    some = {TRAIN.items[0]: 5, TRAIN.items[2]: 4}
    alone, told, untold = recommender.fold_in([{}, some, some], [["even", "tall"], ["even"], None])
    np.testing.assert_allclose(alone.predict(new), said, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(untold.predict(new), recommender.fold_in(some).predict(new), rtol=1e-6)
    with_new = recommender.fold_in(dict(some, j0=5, nothing=1))
    np.testing.assert_allclose(with_new.predict(new), untold.predict(new), rtol=1e-6)  # as unknown items are ignored
    # Attributes count as two ratings.
    np.testing.assert_allclose(told.predict(new), (untold.predict(new) + alone.predict(new)) / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tells, chosen", [("offsets", 10.0), ("tastes", 10.0), ("nothing", 1e12)])
def test_the_decay_for_ratings_is_chosen_on_known_items_that_are_held_out(tells, chosen):
    """By a ridge regression for each fold, decay and user. Words of chance are left out."""
    rng, n, n_users, names = np.random.RandomState(1), 80, 30, ["k0", "k1", "k2"]
    kinds, tastes, has = rng.randint(3, size=n), rng.randn(n_users, 3), rng.rand(n, n_users) < 0.5
    of_kinds = {"offsets": kinds[:, np.newaxis] + np.zeros((n, n_users)), "tastes": tastes[:, kinds].T,
                "nothing": np.zeros((n, n_users))}[tells]
    outputs = 3 + of_kinds + rng.randn(n, 1) * 0.5
    ratings, counts = has * (outputs + rng.randn(n, n_users) * 0.3), has.sum(axis=1)
    words = {k: ["k%d" % kind] for k, kind in enumerate(kinds)}
    regression = FeatureRegression(as_attributes(words, "items"), np.arange(n), counts,
                                   lambda n: (outputs[:, :n], sp.csr_matrix(ratings[:, :n])))
    errors, X, fold = dict.fromkeys((10.0, 30.0, 100.0, 300.0, 1000.0, 1e12), 0.0), with_ones(words, names), (
        np.arange(n) + 1) % 4
    root = np.sqrt(counts / counts.mean())[:, np.newaxis]
    for l2, k in itertools.product(errors, range(4)):
        held, shrinking = fold == k, np.sqrt(l2) * np.eye(4)[1:]
        found = np.linalg.lstsq(np.vstack([(root * X)[~held], shrinking]),
                                np.vstack([(root * outputs)[~held], np.zeros((3, n_users))]), rcond=None)[0]
        errors[l2] += np.sum(((X.dot(found) - ratings) * has)[held] ** 2)
    assert regression.l2 == min(errors, key=errors.get) == chosen


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_new_ones_are_in_all_answers(name, request, tmp_path):
    recommender = request.getfixturevalue(name)
    of_evens = TRAIN.users[[0, 2, 4]]
    for items in recommender.recommend(of_evens, n=2, items=list(NEW_ITEMS)).items:
        assert set(items) == {"j0", "j2"}
    everything = recommender.recommend(of_evens, n=100)
    for user, (items, scores) in zip(of_evens, everything):
        assert set(NEW_ITEMS) <= set(items) and not set(items) & set(TRAIN.items[TRAIN.matrix[
            np.searchsorted(TRAIN.users, user)].indices])
        np.testing.assert_allclose(scores, recommender.predict(user, items), rtol=1e-4)
    assert recommender.recommend(9999, n=100).items.tolist()[-1] in TRAIN.items[1::2].tolist() + ["j1", "h9"]
    assert set(recommender.similar_items("j1", n=3).items) <= set(TRAIN.items[1::2]) | {"h9"}
    assert len(recommender.similar_items(TRAIN.items[0], n=100).items) == len(TRAIN.items) + 3
    metrics = recommender.evaluate(([TRAIN.users[0], 9999], ["j0", TRAIN.items[0]], [5, 5]), k=100)
    assert metrics["n_unknown"] == 0 and metrics["n_users"] == 2 and np.isfinite(list(metrics.values())).all()
    assert recommender.features_["items"].ids.tolist() == sorted(ITEMS)
    assert recommender.items_.tolist() == TRAIN.items.tolist() + sorted(NEW_ITEMS)
    assert recommender.items_rated_.sum() == len(TRAIN.items)
    recommender.save(tmp_path / "model.npz")
    loaded = Recommender.load(tmp_path / "model.npz")
    assert_same(loaded, recommender)
    assert loaded.predict(9999, list(ITEMS)).tolist() == recommender.predict(9999, list(ITEMS)).tolist()
    assert loaded.fold_in({}, ["odd"]).recommend().items.tolist() == recommender.fold_in(
        {}, ["odd"]).recommend().items.tolist()


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_reasons_and_similar_users_are_of_ones_with_ratings(name, request):
    fitted, user, item = request.getfixturevalue(name), TRAIN.users[3], TRAIN.items[7]
    found = fitted.explain(user, item)
    assert fitted.fitted_.scorer.clip(np.array([found.score]))[0] == pytest.approx(fitted.predict(user, item), abs=1e-5)
    assert sorted(found.items) == sorted(TRAIN.items[TRAIN.matrix[3].indices]) and found.parts.any()
    for wrong in ((9999, item), (user, "nothing"), (user, np.str_("nothing"))):
        with pytest.raises(ValueError, match="the (user 9999|item 'nothing') had no rating in fit"):
            fitted.explain(*wrong)
    with pytest.raises(ValueError, match="the user 9999 had no rating in fit"):
        fitted.similar_users(9999)
    assert set(fitted.similar_users(user, 999).users) == set(TRAIN.users) - {user}
    assert set(fitted.users_for("j0", 999).users) == {*TRAIN.users, *USERS}, "whether they have ratings or attributes"
    new = fitted.fold_in({item: 5, TRAIN.items[3]: 1}, ["odd"])
    found = new.explain(item)
    assert fitted.fitted_.scorer.clip(np.array([found.score]))[0] == pytest.approx(new.predict(item), abs=1e-5)
    assert found.parts == pytest.approx(fitted.fold_in({item: 5, TRAIN.items[3]: 1}).explain(item).parts / 2), \
        "attributes count as two ratings"
    assert found.parts.any() and not len(fitted.fold_in({}).explain(item).parts)
    of_known, of_new = fitted.similar_items([item, "j0"], 3)
    assert of_known.items.tolist() == fitted.similar_items(item, 3).items.tolist() and len(of_new.items) == 3


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_known_ones_are_predicted_as_without_attributes(name, request):
    fitted = request.getfixturevalue(name)
    alone = Recommender(**QUICK).fit(TRAIN, validation=None) if name == "ratings" else Recommender(
        objective="lists", network="ease", progress=False).fit(TRAIN)
    pairs = np.repeat(TRAIN.users, len(TRAIN.items)), np.tile(TRAIN.items, len(TRAIN.users))
    assert fitted.predict(*pairs).tobytes() == alone.predict(*pairs).tobytes()


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_reasons_for_new_items_are_their_attributes(name, request):
    """By NumPy's coefficients; in a list with others, for users of the fit and new ones, with attributes or without."""
    fitted, user = request.getfixturevalue(name), TRAIN.users[3]
    result, every = fitted.fitted_, np.arange(len(TRAIN.items))
    words, counts = result.features["items"].names, TRAIN.matrix.getnnz(axis=0) if name == "ratings" else np.ones(40)
    visitors = fitted.fold_in([{TRAIN.items[7]: 5}, {}, {TRAIN.items[7]: 5}], [None, ["odd"], ["odd"]])
    for explain, outputs in [(lambda item: fitted.explain(user, item), lambda items: result.scorer.pairs(
            np.full(len(items), 3), items))] + [(each.explain, each._outputs) for each in visitors]:
        first, (known, second) = explain("j1"), explain([TRAIN.items[0], "j1"])
        said = ridge(ITEM_WORDS, words, counts, outputs(every).astype(float), result.scorer.by_side["items"].l2)
        wanted = dict(zip(words, said[1:]))
        assert dict(zip(first.items, first.parts)) == pytest.approx({"odd": wanted["odd"], "b": wanted["b"]}, abs=2e-3)
        assert first.score == pytest.approx(outputs(np.array([result.items.tolist().index("j1")]))[0], abs=1e-4)
        assert second.parts.tolist() == first.parts.tolist() == sorted(first.parts)[::-1]
        assert set(known.items) <= set(TRAIN.items)


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_a_visitor_of_new_items_is_like_those_of_items_like_them(name, request):
    """The mean of ten people who have one item each, by cosines of words, then by popularity."""
    fitted, counts = request.getfixturevalue(name), dict(zip(TRAIN.items, TRAIN.matrix.getnnz(axis=0)))
    every, known = np.arange(len(fitted.items_)), fitted.items_.tolist()
    cosines = {item: len(set(words) & {"odd", "b"}) / 2 for item, words in ITEM_WORDS.items()}
    best = sorted(counts, key=lambda item: (-cosines[item], -counts[item]))[:10]
    visitor, other, told = fitted.fold_in(
        [{"j1": 5, "nothing": 3}, {TRAIN.items[0]: 4, np.str_("j1"): 5}, {"j1": 5}], [None, None, ["odd"]])
    alone = [each._outputs(every) for each in fitted.fold_in([{item: 5} for item in best])]
    np.testing.assert_allclose(visitor._outputs(every), np.mean(alone, axis=0), rtol=1e-4, atol=1e-4)
    of_word = fitted.fold_in({}, ["odd"])._outputs(every)
    np.testing.assert_allclose(told._outputs(every), (np.mean(alone, axis=0) + 2 * of_word) / 3, rtol=1e-4, atol=1e-4)
    assert visitor.items.tolist() == ["j1"] and other.items.tolist() == [TRAIN.items[0], "j1"]
    for each in visitor, other:
        assert not set(each.recommend(99).items) & set(each.items) and "h9" in each.recommend(99).items
    assert other.predict(known) == pytest.approx(fitted.fold_in({TRAIN.items[0]: 4}).predict(known), abs=1e-5)
    assert not len(visitor.explain(TRAIN.items[1]).parts)
    with pytest.raises(ValueError, match="such as 'nothing', had a rating in fit, or attributes; expected at least"):
        fitted.fold_in({np.str_("nothing"): 3})


@pytest.mark.parametrize("name", ["lists", "ratings"])
def test_places_are_kept_for_new_items(name, request):
    """The last ones; by brute force on outputs."""
    recommender = request.getfixturevalue(name)
    seen = {user: set(TRAIN.items[TRAIN.matrix[row].indices]) for row, user in enumerate(TRAIN.users)}
    fitted, outputs = recommender.fitted_, {}

    def best(user, n, new, left_out=(), among=None):
        if user not in outputs:
            place = np.flatnonzero(fitted.users == user)
            outputs[user] = dict(zip(fitted.items, fitted.scorer.pairs(np.repeat(place, len(fitted.items)),
                                                                       np.arange(len(fitted.items)))))
        ids = [item for item in sorted(outputs[user], key=lambda item: -outputs[user][item])
               if item not in left_out and (among is None or item in among)]
        known, fresh = ([item for item in ids if (item in NEW_ITEMS) == kind] for kind in (False, True))
        n_new = min(len(fresh), max(new, n - len(known)))
        return known[:n - n_new] + fresh[:n_new]

    few = ["j1", "h9"] + TRAIN.items[:3].tolist()
    of_user = {TRAIN.users[0]: few, -5: few, 9999: TRAIN.items[4], TRAIN.users[9]: ["no such item"]}
    users = [*TRAIN.users[:3], 9999, TRAIN.users[0]]
    for n, new, places in ((10, None, 1), (4, None, 0), (6, None, 1), (5, 2, 2), (3, 3, 3), (12, 7, 7), (99, 1, 1)):
        for user, found in zip(users, recommender.recommend(users, n=n, new=new)):
            assert found.items.tolist() == best(user, n, places, seen.get(user, ())), (n, new, user)
            assert found.scores == pytest.approx(recommender.predict(user, found.items), abs=1e-4)
        assert recommender.recommend(users[1], n, items=few, new=new).items.tolist() == best(
            users[1], n, places, seen[users[1]], few)
        for user, found in zip(users, recommender.recommend(users, n, False, exclude=of_user, new=new)):
            assert found.items.tolist() == best(user, n, places, np.atleast_1d(of_user.get(user, [])))
        for found in (*(each.recommend(n, new=new) for each in recommender.fold_in([{}, {few[2]: 5}])),
                      recommender.recommend(-1, n, unknown="popular", new=new)) if n <= 10 else ():
            assert np.isin(found.items, list(NEW_ITEMS)).tolist() == [False] * (n - places) + [True] * places
    for found in (*recommender.recommend(users, 99, new=0), recommender.fold_in({}).recommend(99, new=0)):
        assert len(found.items) and not set(found.items) & set(NEW_ITEMS)
    assert not len(recommender.recommend(users[0], items=["j0"], new=0).items)
    assert recommender.recommend(-5, unknown="popular", exclude=of_user, new=4).items.tolist()[-2:] in (
        ["j0", "j2"], ["j2", "j0"]), "as many as there are"


def test_lists_are_judged_as_they_are_given(lists):
    users, taken = TRAIN.users[:30], ["j0", "j1"] * 15
    hits = [item in found for item, found in zip(taken, lists.recommend(users, n=10).items)]
    assert 0 < np.mean(hits) < 1
    assert lists.evaluate((users, taken, [5] * 30), k=10)["hit_rate"] == pytest.approx(np.mean(hits))


def test_what_can_not_be_kept_or_excluded(lists):
    plain = Recommender(objective="lists", network="popular", progress=False).fit(TRAIN)
    assert len(plain.recommend(TRAIN.users[0], new=0).items) == 10
    for recommender, given, error, message in (
            (plain, {"new": 2}, ValueError, "new is 2, and fit had no item_features"),
            (lists, {"new": 11}, ValueError, "new is 11; expected at most 10"),
            (lists, {"new": -1}, ValueError, "new is -1; expected a positive integer, 0 or None"),
            (lists, {"new": True}, ValueError, "new is True; expected a positive integer, 0 or None"),
            (lists, {"exclude": {"ann": ["i00"]}}, TypeError, "users of exclude are strings such as 'ann'; expected")):
        with pytest.raises(error, match=message):
            recommender.recommend(TRAIN.users[0], **given)
    with pytest.raises(TypeError, match="exclude is a dict; expected ids of items"):
        lists.fold_in({}).recommend(exclude={1: ["i00"]})


def test_share_of_new_items_is_that_of_what_was_taken_lately(tmp_path):
    coo = TRAIN.matrix.tocoo()
    times = np.arange(coo.nnz) + 1e6 * (coo.col < 2)  # all of two items come last
    late, of_two = coo.nnz // 10, np.count_nonzero(coo.col < 2)
    assert of_two < late
    recommender = Recommender(objective="lists", network="popular", progress=False).fit(
        TRAIN._replace(timestamps=times), item_features=ITEMS)
    assert recommender.fitted_.new_share == pytest.approx(of_two / late)
    places = [int(n * of_two / late + 0.5) for n in (2, 5, 9)]
    assert places[0] and [np.isin(recommender.recommend(TRAIN.users[0], n).items, list(NEW_ITEMS)).sum()
                          for n in (2, 5, 9)] == np.minimum(places, 4).tolist()
    recommender.save(tmp_path / "model.npz")
    loaded = Recommender.load(tmp_path / "model.npz")
    assert loaded.fitted_.new_share == recommender.partial_fit(
        [(1, "i00", 5)]).fitted_.new_share == recommender.fitted_.new_share
    assert share_of_new(coo.col, times, 1) == of_two / late / 2, "they are half as many now"
    assert share_of_new(np.array([3, 3]), np.array([1, 1]), 9) == 0.1, "all at one time tell nothing"


def test_memory_is_that_of_attributes():
    """No array has a number for each known user and each word: of 20,000 x 500 it would take 40 MB."""
    n, words = 20000, 500
    matrix = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), np.arange(n) % words)), (n, words))
    fitted = Recommender(objective="clicks", network="popular", progress=False).fit(
        (np.arange(n - 1), np.arange(n - 1) % 7), validation=None)
    tracemalloc.start()
    try:
        attributes = as_attributes((matrix, np.arange(n)), "user_features")
        fitted.fitted_ = fitted.fitted_.extended(features={"users": attributes})
        assert len(fitted.recommend(n - 1).items) == 7 and tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


def test_users_without_anything_get_the_most_popular_items(lists, capsys):
    counts, unlike = TRAIN.matrix.getnnz(axis=0), lists.recommend(-1, n=3, unknown="popular")
    assert counts[np.searchsorted(TRAIN.items, unlike.items)].tolist() == sorted(counts)[::-1][:3]
    assert lists.fold_in({}).recommend(n=3).items.tolist() == unlike.items.tolist()
    some = TRAIN.items[[3, 4]].tolist()
    assert set(lists.recommend(-1, items=some, unknown="popular").items) == set(some)
    talking = Recommender(objective="lists", network="ease").fit(TRAIN)
    capsys.readouterr()
    first, second = talking.recommend([TRAIN.users[0], -1], n=3).items
    assert second.tolist() == unlike.items.tolist() and len(first) == 3
    assert "1 of 2 users had no rating in fit, such as -1, and get the most popular items" in capsys.readouterr().err
    for users, unknown in ((-1, "auto"), ([TRAIN.users[0], -1], "error")):
        with pytest.raises(ValueError, match="the user -1 had no rating in fit; .* or pass unknown='popular'"):
            talking.recommend(users, unknown=unknown)
    with pytest.raises(ValueError, match="unknown is 'mean'; expected"):
        talking.recommend(-1, unknown="mean")


@pytest.mark.parametrize("arguments, error, message", [
    ({"item_features": {1: ["a"], 2: ["a"]}}, ValueError, "none of the 40 .*ids such as '1'; expected the same"),
    ({"item_features": {"x": ["a"], "y": ["a"]}}, ValueError, "item_features have none of the 40 items with ratings"),
    ({"ratings": TRAIN._replace(matrix=sp.hstack([TRAIN.matrix, np.zeros((80, 1))]), items=np.append(TRAIN.items, "z")),
      "item_features": {"z": ["a"], "y": ["a"]}}, ValueError, "item_features have none of the 40 items with ratings"),
    ({"user_features": (sp.csr_matrix((1, 10001)), TRAIN.users[:1])}, ValueError,
     "user_features have 10001 columns; expected at most 10000"),
    ({"user_features": "missing.csv"}, OSError, "there is no file missing.csv"),
])
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Recommender(progress=False).fit(**{"ratings": TRAIN, **arguments})


def test_features_of_a_new_user_need_those_of_others(ratings):
    with pytest.raises(ValueError, match="a list of 2 users, and features list; expected a list of as many"):
        ratings.fold_in([{}, {}], [["even"]])
    with pytest.raises(ValueError, match="features were given, and fit had no user_features"):
        Recommender(objective="lists", network="popular", progress=False).fit(TRAIN, item_features=as_attributes(
            ITEMS)).fold_in({}, ["even"])
