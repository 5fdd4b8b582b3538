"""`partial_fit`: a fit that goes on with more ratings and attributes, against a new fit with all of them."""
import contextlib
import copy

import numpy as np
import pytest
import scipy.sparse as sp
from made import liked, triples
from recommender_contract import answers, assert_same, parameters
from toys import Toy

from sparse_ae import Recommender, Shallow
from sparse_ae.baselines.biases import fit_biases
from sparse_ae.data import ratings_from_triples
from sparse_ae.recommender import ensemble, model_factory
from sparse_ae.recommender.fit_data import biases_of
from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.rating_models import mean_of
from sparse_ae.trainer import Trainer

# The first and the last user, and two items amid others, have new ratings only; so have some pairs of others.
ALL = liked(40)[0]
COLUMNS = triples(ALL.matrix, ALL.users, ALL.items)
IS_NEW = np.isin(COLUMNS[0], ALL.users[[0, -1]]) | np.isin(COLUMNS[1], ["i07", "i20"])
IS_NEW[np.flatnonzero(~IS_NEW)[::50]] = True
OLD, NEW = (tuple(column[part] for column in COLUMNS) for part in (~IS_NEW, IS_NEW))
AGAIN = tuple(np.append(*each) for each in zip(NEW, [[OLD[0][3]], [OLD[1][3]], [OLD[2][3] % 5 + 1]]))
QUICK = dict(n_hidden=4, batch_size=20, l2=0.02, update="adam", learning_rate=0.05, n_epochs=4, formulation="sparse",
             network=Shallow(weight_scale=0.3), rows="both", progress=False)
WORDS = {item: ["even" if k % 2 == 0 else "odd"] for k, item in enumerate(np.unique(OLD[1]))}


def together(replaced=True):
    """All ratings and the pair that is rated again, whose ratings are replaced or added up."""
    users, items, values = COLUMNS
    values = values.copy()
    values[np.flatnonzero(~IS_NEW)[3]] = AGAIN[2][-1] + (0 if replaced else OLD[2][3])
    return users, items, values


@pytest.fixture(scope="module")
def fitted():
    return Recommender(rng=np.random.RandomState(0), **QUICK).fit(OLD, validation=None)


@pytest.fixture
def again(fitted):
    return copy.deepcopy(fitted)


@pytest.mark.parametrize("objective", ["lists", "clicks"])
@pytest.mark.parametrize("network", ["popular", "ease", "local", "factors"])
def test_closed_forms_are_those_of_a_new_fit(objective, network):
    made = Recommender(objective=objective, network=network, progress=False)
    users, items = np.repeat(ALL.users, len(ALL.items)), np.tile(ALL.items, len(ALL.users))
    whole = copy.deepcopy(made).fit(together(objective == "lists"), validation=None)
    new = whole.predict(users, items)
    assert np.abs(made.fit(OLD, validation=None).predict(users, items) - new).max() > 1e-2
    np.testing.assert_allclose(made.partial_fit(AGAIN).predict(users, items), new, rtol=1e-5, atol=1e-5)
    assert made.rating_scale_ == pytest.approx(whole.rating_scale_)
    assert made.users_.tolist() == ALL.users.tolist() and made.items_.tolist() == ALL.items.tolist()


def test_biases_are_solved_anew_and_parameters_begin_where_they_were(fitted, again):
    before = answers(fitted)
    again.partial_fit(AGAIN, n_epochs=0)
    users, items, values = together()
    matrix = sp.csr_matrix((values, (np.searchsorted(ALL.users, users), np.searchsorted(ALL.items, items))))
    wanted = fit_biases(sp.csr_matrix(matrix.T))  # items as rows, as in the fit
    for found, expected in zip(again.biases_, (wanted.mean, wanted.items, wanted.users)):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    for rows, ids, was in (("items", again.users_, fitted.users_), ("users", again.items_, fitted.items_)):
        known = np.searchsorted(ids, was)
        for name in ("W", "b", "V", "U", "mu"):
            now, then = (getattr(each.models_[rows], name).get_value() for each in (again, fitted))
            now = now[:, known] if name in "VU" else now if name == "mu" else now[known]
            assert now.tobytes() == then.tobytes()
    assert answers(fitted) == before and again.history_ == fitted.history_
    idle = np.setdiff1d(fitted.users_, AGAIN[0])
    kept = [len(np.intersect1d(*each)) for each in zip(*(each.recommend(idle, 5).items for each in (fitted, again)))]
    assert len(idle) > 10 and np.mean(kept) > 4


def test_slopes_keep_their_weight(again):
    again.fitted_.biases_of_fit = biases_of(again.fitted_.rating_matrix, slopes=0.5)
    slopes = again.partial_fit(NEW, n_epochs=0).biases_.slopes
    assert slopes.weight == 0.5 and slopes.users.shape == (80, 2) and slopes.users[[0, -1]].any()


def test_training_goes_on_at_a_part_of_the_last_rate(again):
    for side, choice in again.choices_.items():  # a file only describes a function
        again.fitted_.choices[side] = choice._replace(learning_rate="my.rate")
    n, rng = len(again.history_), again.settings_["rng"].get_state()[1].tolist()
    errors = [record["train_rmse"] for record in again.partial_fit(NEW).history_]
    assert [(record["rows"], record["learning_rate"]) for record in again.history_[n:]] == [
        (rows, 0.05 * 0.3) for rows in ("items", "users") for _ in range(3)]
    assert max(errors[n:]) < min(errors[0], errors[n // 2]) and again.best_epoch_ == 4 + 3
    again.partial_fit(([ALL.users[0]], ["new"], [5]), n_epochs=1)
    assert again.settings_["rng"].get_state()[1].tolist() == rng
    assert len(again.history_) == n + 8 and again.history_[-1]["learning_rate"] == 0.05 * 0.3
    assert again.items_[-1] == "new" and again.predict(ALL.users[0], "new") > 3
    again.fitted_.scorer_of_fit.weights[0] = again.fitted_.weights["items"] = 0.0  # `model_` isn't trained
    assert again.partial_fit(NEW, n_epochs=1).best_epoch_ == 4 + 3 + 1 and len(again.history_) == n + 9


def test_it_is_the_same_after_a_file_and_twice(again, tmp_path):
    again.save(tmp_path / "model.npz")
    loaded, twin = Recommender.load(tmp_path / "model.npz"), copy.deepcopy(again).set_params(n_hidden=9, rng=5)
    for each in (again, loaded, twin):
        assert each.partial_fit(NEW, n_epochs=1) is each
    assert_same(loaded, again)
    assert parameters(twin) == parameters(again) and answers(twin) == answers(again)
    again.save(tmp_path / "model.npz")
    assert_same(Recommender.load(tmp_path / "model.npz").partial_fit(AGAIN, n_epochs=1),
                twin.partial_fit(AGAIN, n_epochs=1))


def test_an_ensemble_goes_on_with_its_weights(monkeypatch, capsys):
    monkeypatch.setattr(ensemble, "CLOSED", {name: CLOSED[name] for name in ("ease", "local")})
    monkeypatch.setattr(ensemble, "greedy_weights", lambda pool, *_: ([1.0, 0.5, 0.5][:len(pool.scores)],) * 2 + (0,))
    made = Recommender(objective="lists", n_hidden=4, n_epochs=2, batch_size=20).fit(OLD, validation=0.3)
    weights, n = dict(made.weights_), len(made.history_)
    assert list(weights) == ["users", "ease", "local"]
    capsys.readouterr()
    announced = []
    monkeypatch.setattr(model_factory, "announced", lambda *given: announced.append(given) or contextlib.nullcontext())
    made.partial_fit(NEW, n_epochs=2)
    assert announced == [("%s: fitting again on all ratings ..." % name, True) for name in ("ease", "local")]
    assert made.weights_ == weights and len(made.history_) == n + 2
    said = capsys.readouterr().err
    assert "new ratings: %d, new users: 2, new items: 2" % len(NEW[0]) in said
    own = made.recommend(ALL.users[0], n=5).items
    assert np.isin(own, ALL.items[::2]).mean() > 0.5  # the half that this user likes


@pytest.mark.parametrize("objective, network", [("lists", "ease"), ("ratings", None)])
def test_new_attributes_have_the_columns_of_the_fit(objective, network):
    settings = QUICK if network is None else dict(objective=objective, network=network, progress=False)
    made = Recommender(**settings).fit(OLD, validation=None, item_features=WORDS)
    more = {"i01": ["even"], "i20": ["even"], "zz": ["odd", "unheard"], "aa": "even"}
    whole, users = copy.deepcopy(made), made.users_[::2]
    assert len(made.recommend(7, n=99, unknown="popular").items) == 38
    assert made.partial_fit(item_features=more).items_.tolist()[-3:] == ["aa", "i20", "zz"]
    assert {record["epoch"] for record in made.history_} == {record["epoch"] for record in whole.history_}
    direct = Recommender(**settings).fit(OLD, validation=None, item_features=dict(WORDS, **dict(more, zz=["odd"])))
    assert answers(made) == answers(direct) and made.similar_items("zz").items.tolist()
    assert len(made.recommend(7, n=99, unknown="popular").items) == 41
    made.partial_fit(NEW, n_epochs=0)
    assert made.items_.tolist() == ALL.items.tolist() + ["aa", "zz"]
    assert answers(made) == answers(whole.partial_fit(NEW, item_features=more, n_epochs=0))
    assert np.isfinite(made.predict(users, "zz")).all()
    with pytest.raises(ValueError, match="item_features have the columns x; expected those of fit, even, odd"):
        made.partial_fit(item_features=(sp.csr_matrix([[1.0]]), ["aa"], ["x"]))
    with pytest.raises(ValueError, match="item_features has no row of values; expected one for each id"):
        made.partial_fit(item_features={"item": [], "genre": []})
    with pytest.raises(TypeError, match="item_features are numbers such as 7; expected strings such as 'aa'"):
        made.partial_fit(item_features={7: ["odd"]})


def test_a_filter_of_1_0_has_at_most_half_of_the_rank_from_then_on():
    """With all of it the scores of items without a rating are rounding, which an ensemble would divide by its size."""
    made = Recommender(objective="lists", network="filter", progress=False).fit(OLD, validation=None)
    made.fitted_.scorer.members[0].knob = 37  # the rank of 38 items, less 1
    assert len(made.partial_fit(NEW).fitted_.scorer.members[0].model.vectors) == 39 // 2


def test_returns_are_taken_off(capsys):
    """By hand: log2(1 + count) of whole counts; what is left of a count of 5 in float32 isn't 0."""
    orders = [("a", "x", 3), ("a", "y", 5), ("b", "x", 1), ("b", "z", 1e6), ("c", "y", 2.5)]
    made = Recommender(objective="clicks", network="ease").fit(orders, validation=None)
    again = copy.deepcopy(made)

    def counts(fitted):
        matrix = fitted.fitted_.rating_matrix.by("users").tocoo()
        return {(fitted.users_[u], fitted.items_[i]): round(2 ** float(value) - 1, 1)
                for u, i, value in zip(*(getattr(matrix, name) for name in ("row", "col", "data")))}

    assert counts(again.partial_fit([("a", "x", -1), ("c", "x", 2), ("c", "y", -0.5)])) == {
        ("a", "x"): 2, ("a", "y"): 5, ("b", "x"): 1, ("b", "z"): 1e6, ("c", "x"): 2, ("c", "y"): 2}
    returned = [("b", "x", -1), ("b", "z", -1e6), ("a", "y", -5), ("d", "w", -1), ("c", "w", 1)]
    with pytest.raises(ValueError, match="user 'a' has item 'y' 0 times in total; expected counts above 0: leave out"):
        copy.deepcopy(made).partial_fit(returned)
    capsys.readouterr()
    made.partial_fit(returned, returns="drop")
    said = capsys.readouterr().err
    assert "new users: 0, new items: 1\n" in said and "4 pairs of user and item are left out, since their c" in said
    assert counts(made) == {("a", "x"): 3, ("c", "w"): 1, ("c", "y"): 2.5}
    assert made.users_rated_.tolist() == [True, False, True] and made.items_rated_.tolist() == [True, True, True, False]
    assert made.recommend("a", n=9).items.tolist() and made.predict("b", "x") == made.predict("b", "x")
    for fitted, given, message in (
            (made, [("d", "w", -1)], "counts of all 1 pairs of user and item add up to 0 or less, and none was in fit"),
            (made, [(*pair, -count) for pair, count in counts(made).items()], "the counts of all pairs .* add up to 0"),
            (Recommender(network="ease", objective="lists", progress=False).fit(OLD, validation=None), NEW,
             "returns='drop' was given, and the ratings of fit were no counts")):
        with pytest.raises(ValueError, match=message):
            fitted.partial_fit(given, returns="drop")


def test_the_last_time_is_known(tmp_path):
    def orders(*times):
        return ratings_from_triples(["a", "a", "b"], ["x", "y", "x"], np.ones(3), np.array(times))

    made = Recommender(objective="clicks", network="ease", progress=False).fit(orders(5, 7, 6), validation=None)
    made.save(tmp_path / "m.npz")
    made = Recommender.load(tmp_path / "m.npz")
    assert made.last_time_ == 7 == copy.deepcopy(made).last_time_
    assert made.partial_fit(([*"ab"], [*"yy"])).last_time_ == 7 == made.partial_fit(orders(4, 2, 3)).last_time_
    assert made.partial_fit(orders(9, 8.5, 7)).last_time_ == 9
    days = orders(*np.array(["2024-05-01", "2024-05-03", "2024-05-02"], "datetime64[D]"))
    assert Recommender(**made.get_params()).fit(days, validation=None).last_time_ == 1714694400
    assert Recommender(**made.get_params()).fit([*zip("aab", "xyx")], validation=None).last_time_ is None


def test_other_models_go_on(tmp_path):
    by_lbfgs = dict(update="lbfgs", batch_size=None)  # without a learning rate
    made = Recommender(n_hidden=3, n_epochs=1, biases=False, network=Toy, progress=False, **by_lbfgs)
    made.fit(OLD, validation=None).save(tmp_path / "toy.npz")
    before = made.model_
    made.partial_fit(NEW, n_epochs=1)
    assert made.model_.n_columns == 80 == before.n_columns + 2 and len(made.history_) == 2
    assert np.isfinite(made.predict(ALL.users, "i07")).all()
    with pytest.raises(TypeError, match="network is .*expected 'shallow'"):
        Recommender.load(tmp_path / "toy.npz").partial_fit(NEW)


def test_a_mean_of_models_keeps_its_units_and_decay(again):
    for scorer in again.fitted_.scorer_of_fit.scorers:
        scorer.model = mean_of([scorer.model] * 2)
    for model in again.partial_fit(NEW, n_epochs=0).models_.values():
        assert (model.n_hidden, model.l2_W, model.l2_V) == (8, 0.04, 0.02)


@pytest.mark.parametrize("arguments, error, message", [
    (dict(ratings=([100], ["i01"], [7])), ValueError, "rating 7 is outside the rating scale of the fit, 1 to 5"),
    (dict(ratings=([100], [1], [5])), TypeError, "items are numbers such as 1; expected strings such as 'i00'"),
    (dict(ratings=([], [], [])), ValueError, "there are no ratings in the arrays given"),
    (dict(ratings=NEW, n_epochs=-1), ValueError, "n_epochs is -1; expected a positive integer, or 0"),
    ({}, ValueError, "partial_fit was given neither ratings nor attributes"),
    (dict(ratings=NEW, item_features=WORDS), ValueError, "item_features were given, and fit had none; leave them")])
def test_what_cannot_be_used_is_an_error(again, arguments, error, message):
    before = again.fitted_
    with pytest.raises(error, match=message):
        again.partial_fit(**arguments)
    assert again.fitted_ is before


def test_it_changes_all_or_nothing(again, monkeypatch):
    with pytest.raises(ValueError, match="not fitted yet"):
        Recommender().partial_fit(NEW)
    before, fit = again.fitted_, Trainer.fit

    def interrupted(trainer, *args, **more):
        fit(trainer, *args, **more)[-1]["interrupted"] = True
        return trainer.history

    monkeypatch.setattr(Trainer, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again.partial_fit(NEW)
    assert again.fitted_ is before
