"""Cross-validation and searches, on splits of one's own, in one process or several."""
import functools
import importlib
import itertools
import types

import numpy as np
import pytest

from sparse_ae.data import Ratings, ratings_from_triples, split_ratings
from sparse_ae.data.datasets.synthetic import made_up_ratings
from sparse_ae.data.splits import k_folds, split_users, time_folds
from sparse_ae.data.tables import as_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender import search
from sparse_ae.recommender.defaults import validation_fraction
from sparse_ae.recommender.fit_data import FitData
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.recommender.search import cross_validate, grid_search, tune
from sparse_ae.training.objectives import Missing, Observed
import theano
from theano.configparser import change_flags

SETTINGS = dict(n_hidden=3, l2=0.01, network=Shallow(weight_scale=0.1), learning_rate=0.02, batch_size=8, n_epochs=5,
                formulation="sparse", progress=False, biases=False, update="adam")


class Constant:
    """Predicts a number: what a search has to find is known."""

    def __init__(self, value=1.0, rng=None):
        self.value, self.rng = value, rng

    def get_params(self):
        return {"value": self.value, "rng": self.rng}

    def fit(self, ratings, offset=0):
        self.offset = offset + (self.rng.rand() if self.rng else 0)
        self.train = ratings.matrix
        return self

    def evaluate(self, ratings, k=None):
        assert (self.train.multiply(ratings.matrix)).nnz == 0
        return {"rmse": float(np.sqrt(np.mean((ratings.matrix.data - self.value - self.offset) ** 2))), "k": k}


class Tunable:
    """The best settings are known: l2=2, g="tanh" of the network, n_hidden=20; a fit takes a second."""

    def __init__(self, l2="auto", network="shallow", n_hidden=10, learning_rate="auto", progress=False):
        self.l2, self.network, self.n_hidden = l2, network, n_hidden
        self.learning_rate, self.progress = learning_rate, progress

    def get_params(self):
        return {name: value for name, value in vars(self).items() if name in
                ("l2", "network", "n_hidden", "learning_rate", "progress")}

    def fit(self, ratings, validation=None, diverge=()):
        search._now.seconds += 1
        if self.n_hidden in diverge:
            raise ArithmeticError("the loss is nan")
        self.ratings, self.validation = ratings, validation
        values = {"l2": 8.0 if self.l2 == "auto" else self.l2}
        self.choices_ = {side: types.SimpleNamespace(learning_rate=rate, **values)
                         for side, rate in (("items", 0.1), ("users", 0.2))}
        self.values = dict(values, network=self.network, n_hidden=self.n_hidden)
        return self

    def evaluate(self, ratings, k=None):
        assert k is None and ratings is self.validation
        wrong = abs(np.log2(self.values["l2"] / 2)) + abs(np.log2(self.values["n_hidden"] / 20))
        return {"rmse": 1 + wrong / 10 + (self.values["network"] != Shallow(g="tanh"))}


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch, request):
    if "tune" in request.node.name:
        monkeypatch.setattr(search, "_now", Clock())


@pytest.fixture
def ratings():
    rng = np.random.RandomState(0)
    cells = rng.permutation(20 * 12)[:150]
    return ratings_from_triples(np.char.add("u", (cells // 12).astype(str)), cells % 12 + 100,
                                1 + (cells // 12 + cells % 12) % 2 * 4)


def test_each_split_is_fitted_and_evaluated(ratings):
    recommender = Recommender(**SETTINGS)
    found = cross_validate(recommender, ratings, splits=3, k=4, validation=None)
    assert not hasattr(recommender, "model_")
    for k, fold in enumerate(k_folds(ratings, 3)):
        fitted = Recommender(**SETTINGS).fit(fold.train, validation=None)
        for name, value in fitted.evaluate(fold.test, k=4).items():
            assert found[name][k] == value
    assert found["rmse"].shape == (3,) and (found["seconds"] > 0).all()
    given = [fold[:2] for fold in k_folds(ratings, 3)], [fold[:2] for fold in k_folds(ratings.matrix, 3)]
    for splits in given:
        assert (cross_validate(recommender, ratings, splits, validation=None)["rmse"] == found["rmse"]).all()


def test_splits_by_time_and_by_user_are_taken_as_they_are(ratings):
    ratings = ratings._replace(timestamps=np.arange(150) % 37)
    of_users, times = split_users(ratings, 0.3), time_folds(ratings, 4)
    for splits, tests in (of_users, [of_users.test]), (times, [fold.test for fold in times]):
        found = cross_validate(Constant(), ratings, splits, k=[1, 2])
        assert found["rmse"] == pytest.approx([rmse(test.matrix.data, np.ones(len(test))) for test in tests], rel=1e-6)
        assert found["k"].tolist() == [[1, 2]] * len(tests)


def test_the_best_comes_first(ratings):
    rng = np.random.RandomState(0)
    found = grid_search(Constant(), ratings, {"value": [0, 9.0, 3, 4], "rng": [None]}, splits=2)
    assert [each["params"]["value"] for each in found] == [3, 4, 0, 9]
    assert found[0]["rmse"] == 2 == found[0]["per_split"]["rmse"].mean() and len(found[0]["per_split"]["rmse"]) == 2
    found = grid_search(Constant(rng=rng), ratings, {"value": [3, 3]}, splits=2)
    assert found[0]["rmse"] == found[1]["rmse"] and rng.rand() == np.random.RandomState(0).rand()


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_several_processes_find_the_same(ratings, backend):
    joblib = pytest.importorskip("joblib")
    grid = {"learning_rate": [1e-6, 0.02]}
    other = {"float32": "float64", "float64": "float32"}[theano.config.floatX]
    # As a program may do, of which new processes know nothing.
    with change_flags(floatX=other), joblib.parallel_config(backend):
        alone, together = (grid_search(Recommender(**SETTINGS), ratings, grid, splits=2, n_jobs=n_jobs, validation=None)
                           for n_jobs in (1, 2))
    for one, other in zip(alone, together):
        assert one["params"] == other["params"]
        assert one["per_split"]["rmse"].tolist() == other["per_split"]["rmse"].tolist()


def test_without_joblib(ratings, monkeypatch):
    def no_joblib(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", no_joblib)
    with pytest.raises(ImportError, match="n_jobs=2 needs joblib, which isn't installed: pip install joblib"):
        cross_validate(Constant(), ratings, n_jobs=2)


def test_tune_climbs_from_the_settings_as_given(ratings, capsys):
    given = Tunable(progress=True)
    best, table = tune(given, ratings, seconds=1000)
    assert best.get_params() == dict(given.get_params(), l2=2.0, network=Shallow(g="tanh"), n_hidden=20)
    assert given.get_params() == Tunable(progress=True).get_params() and not hasattr(given, "ratings")
    assert best.ratings.matrix.nnz == ratings.matrix.nnz and best.validation == "auto"
    assert table[0]["params"] == {"l2": 2.0, "network": Shallow(g="tanh"), "n_hidden": 20}
    assert (table[0]["rmse"], table[0]["seconds"]) == (1.0, 1.0)
    assert [row["rmse"] for row in table] == sorted(row["rmse"] for row in table)
    assert not any("learning_rate" in row["params"] for row in table)  # which is each side's own
    tried = [sorted(row["params"].items()) for row in table]
    assert all(tried.count(params) == 1 for params in tried) and [] in tried
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "combination 1: the settings as given: validation RMSE 2.3000, in 1.0 s",
        "combination 2: l2=4: validation RMSE 2.2000, in 1.0 s, the best so far",
        "combination 3: l2=16: validation RMSE 2.4000, in 1.0 s",
        "combination 4: l2=2: validation RMSE 2.1000, in 1.0 s, the best so far"]
    assert len(lines) == len(table) + 1
    assert lines[-1] == "fitting l2=2, network=Shallow(g='tanh'), n_hidden=20 on all ratings"


@pytest.mark.parametrize("seconds, n", [(0, 1), (3, 1), (4, 2), (6.5, 5)])
def test_tune_keeps_to_its_time(ratings, seconds, n, capsys):
    """A second for each combination, and two that are kept for the last fit."""
    best, table = tune(Tunable(progress=True), ratings, seconds=seconds)
    assert len(table) == n and (n > 1 or best.get_params() == Tunable(progress=True).get_params())
    said = "no other settings were tried: one try takes 1 of the 3 seconds; a search needs more" in (
        capsys.readouterr().err)
    assert said == (seconds == 3)


def test_tune_judges_all_on_the_same_part_and_fits_nothing_again_beside_held_out_ratings(ratings, capsys):
    fits = []

    class Watched(Tunable):
        def fit(self, ratings, validation=None, diverge=()):
            fits.append((ratings, validation))
            return super().fit(ratings, validation, diverge)

    tune(Watched(), ratings, seconds=6)
    held_out = fits[0][1]
    assert all(validation is held_out for _, validation in fits[:-1]) and fits[-1][1] == "auto"
    assert held_out.matrix.nnz == round(validation_fraction(150) * 150) and fits[0][0].matrix.nnz == 112
    held_out = Ratings(ratings.matrix[:5], ratings.users[:5], ratings.items)
    for seconds, n in ((0, 1), (4, 3), (1000, 11)):  # no second is kept for a last fit
        del fits[:]
        best, table = tune(Watched(progress=True), ratings, seconds=seconds, validation=held_out)
        assert len(fits) == len(table) == n
        assert {(whole.matrix.nnz, each.matrix.nnz) for whole, each in fits} == {(150, held_out.matrix.nnz)}
        assert best.get_params() == dict(Watched(progress=True).get_params(), **table[0]["params"])
    assert best.get_params()["l2"] == 2.0
    assert capsys.readouterr().err.endswith("the best is l2=2, network=Shallow(g='tanh'), n_hidden=20, fitted "
                                            "without the held-out ratings\n")


def test_the_last_fit_of_tune_holds_out_another_sample(monkeypatch):
    """It was the very ratings that all had been judged on, if users are rows."""
    split, found = FitData.of, []

    def noted(*args):
        found.append(split(*args))
        return found[-1]

    monkeypatch.setattr(FitData, "of", noted)
    tune(Recommender(rows="users", n_epochs=2, progress=False), made_up_ratings(40, 20, 300, rng=0)[0], seconds=0)
    judged, last = ({pair for part in (each.held_out, each.for_weights) for pair in zip(*part.by("users").nonzero())}
                    for each in found[:2])
    assert len(judged) == len(last) and len(judged & last) < len(last) / 2


@pytest.mark.parametrize("kind, search", [
    (Constant, cross_validate), (Constant, functools.partial(grid_search, grid={"value": [1.0, 2.0]})),
    (Tunable, tune)], ids=["cross_validate", "grid_search", "tune"])
def test_ctrl_c_in_a_training_ends_a_search(ratings, monkeypatch, kind, search):
    """A half-trained model counted like any other, and the next was begun."""
    fits = []
    monkeypatch.setattr(kind, "interrupted_", property(lambda self: fits.append(self) or True), raising=False)
    with pytest.raises(KeyboardInterrupt):
        search(kind(), ratings)
    assert len(fits) == 1


def failing(monkeypatch, kind, nth, error=None):
    """Have Ctrl-C end the nth fit of a class, or an error; the list of fits."""
    fit, fits = kind.fit, []

    def counted(self, *args, **more):
        fits.append(self)
        if len(fits) == nth and error:
            raise error
        vars(self)["interrupted_"] = len(fits) == nth
        return fit(self, *args, **more)

    monkeypatch.setattr(kind, "fit", counted)
    return fits


@pytest.mark.parametrize("nth, n_whole", [(2, None), (3, 1), (6, 2), (7, 3)])
def test_ctrl_c_leaves_the_combinations_that_are_whole(ratings, monkeypatch, nth, n_whole):
    fits = failing(monkeypatch, Constant, nth)
    call = functools.partial(grid_search, Constant(), ratings, {"value": [4.0, 3.0, 9.0]}, splits=2)
    if n_whole is None:
        with pytest.raises(KeyboardInterrupt):
            call()
    else:
        assert [each["params"]["value"] for each in call()] == [[4.0], [3.0, 4.0], [3.0, 4.0, 9.0]][n_whole - 1]
    assert len(fits) == min(nth, 6)


@pytest.mark.parametrize("nth, n_whole, l2", [(2, 1, "auto"), (3, 2, 4.0), (12, 11, 2.0)])
def test_ctrl_c_in_tune_leaves_the_best_of_the_combinations_that_are_whole(ratings, monkeypatch, nth, n_whole, l2):
    """The twelfth fit is the last, on all ratings."""
    fits = failing(monkeypatch, Tunable, nth)
    best, table = tune(Tunable(), ratings, seconds=1000)
    assert len(table) == n_whole and len(fits) == nth and best.interrupted and not best.interrupted_
    assert best.l2 == l2 == table[0]["params"].get("l2", "auto") and best.ratings.matrix.nnz == 112


def test_tune_with_recommender_tells_that_it_was_interrupted(ratings, monkeypatch):
    begun = failing(monkeypatch, Recommender, 2, KeyboardInterrupt())
    best, table = tune(Recommender(n_epochs=2, rows="items", progress=False), ratings, seconds=1000)
    assert best is begun[0] and best.interrupted_ and len(table) == 1


def test_a_combination_that_diverges_leaves_the_others(ratings, monkeypatch):
    call = functools.partial(grid_search, Constant(), ratings, {"value": [4.0, 3.0, 9.0]}, splits=2)
    before = call()
    failing(monkeypatch, Constant, 3, error=ArithmeticError("the loss is nan"))
    found = call()
    assert [each["params"]["value"] for each in found] == [4.0, 9.0, 3.0]
    assert [each["rmse"] for each in found[:2]] == [before[1]["rmse"], before[2]["rmse"]]
    assert np.isnan(found[2]["rmse"]) and set(found[2]["per_split"]) == set(found[0]["per_split"])
    assert np.isnan(found[2]["per_split"]["rmse"]).tolist() == [True, False]
    failing(monkeypatch, Constant, 2, error=ArithmeticError("the loss is nan"))
    with pytest.raises(ArithmeticError, match="the loss is nan"):
        cross_validate(Constant(), ratings, splits=2)


@pytest.fixture
def fits(monkeypatch):
    """The recommenders that are fitted from now on."""
    found, fit = [], Recommender.fit
    monkeypatch.setattr(Recommender, "fit", lambda *args, **more: found.append(fit(*args, **more)) or found[-1])
    return found


def test_a_grid_comes_before_choices_and_auto_is_chosen_anew(ratings, fits):
    first = Recommender(rows="items", n_epochs=2, learning_rate=0.01, progress=False).fit(ratings)
    choice = first.choices_["items"]._replace(l2=7.0, n_hidden=11)
    given = Recommender(**dict(first.settings_, choices={"items": choice}))
    del fits[:]
    found = grid_search(given, ratings, {"n_hidden": [5, "auto"]}, splits=[split_ratings(ratings.matrix, 0.3, 0)])
    assert len(found) == 2 and given.choices["items"].n_hidden == 11
    by_grid, by_rule = (each.choices_["items"] for each in fits)
    assert (by_grid.n_hidden, by_grid.l2) == (5, 7.0)
    assert by_rule.n_hidden != 11 and by_rule.l2 != 7.0
    best = given.set_params(**found[0]["params"]).fit(ratings)
    assert best.choices_["items"].n_hidden == (5 if found[0]["params"] == {"n_hidden": 5} else 11)


@pytest.mark.parametrize("half, twice", [(0.9985, 0.998), (0.998, 0.9985)])
def test_tune_takes_the_best_value_of_a_setting(ratings, half, twice):
    """If both are a thousandth better, too."""
    class Nearly(Tunable):
        def evaluate(self, ratings, k=None):
            return {"rmse": {4.0: half, 16.0: twice}.get(self.values["l2"], 1.0)}

    best, table = tune(Nearly(), ratings, seconds=1000)
    assert best.values["l2"] == (4.0 if half < twice else 16.0) and table[0]["rmse"] == 0.998


def test_tune_passes_over_what_diverges(ratings, capsys):
    best, table = tune(Tunable(progress=True), ratings, diverge=[20])
    assert best.n_hidden == 10 and table[-1]["rmse"] == np.inf and table[-1]["params"]["n_hidden"] == 20
    assert ": l2=2, network=Shallow(g='tanh'), n_hidden=20: training diverged\n" in capsys.readouterr().err
    with pytest.raises(ArithmeticError):
        tune(Tunable(), ratings, diverge=[10])


def test_tune_with_recommender(ratings):
    settings = dict(batch_size=8, n_epochs=3, formulation="sparse", progress=False)
    best, table = tune(Recommender(**settings), ratings, seconds=0)
    assert [row["params"] for row in table] == [{}] and best.predict("u3", 100) > 0
    fitted = Recommender(**settings).fit(ratings)
    assert best.predict("u3", ratings.items).tolist() == fitted.predict("u3", ratings.items).tolist()
    alike = Recommender(l2=0.1, **settings).fit(ratings)  # "auto" may have become another decay for each side
    start = search._start_values(Recommender(**settings), alike)
    assert list(start) == ["l2", "network", "n_hidden", "learning_rate"] and start["network"] == "shallow"


@pytest.mark.parametrize("call, message", [
    (lambda r: cross_validate(Constant(), r, 2.0), r"splits is 2.0 \(float\); expected a number of folds, or a list"),
    (lambda r: cross_validate(Constant(), r, [(r.matrix,)]), r"(?s)split 0 is .* \(tuple\); expected \(train, test\)"),
    (lambda r: cross_validate(Constant(), r, [split_ratings(r.matrix, 0.3), (r.matrix, r.matrix * np.nan)]),
     "split 1: row 0, column 0: the rating is nan"),
    (lambda r: cross_validate(Constant(), r, k=0), "k is 0; expected a positive integer, a list of them, or None"),
    (lambda r: cross_validate(Constant(), r, n_jobs=1.5), "n_jobs is 1.5; expected a number of processes"),
    (lambda r: cross_validate(Constant(), r, []), "there are no splits; expected a number of folds"),
    (lambda r: cross_validate(Constant(), r, [(r.matrix[:3], r.matrix)]),
     "split 0: the part is 3 x 12 and the ratings are 20 x 12; expected a matrix of the same users"),
    (lambda r: grid_search(Constant(), r, {"size": [1]}),
     "grid has 'size', which is no setting of Constant; expected some of value"),
    (lambda r: grid_search(Constant(), "no ratings", {"value": "all"}), r"grid\['value'\] is 'all'; expected a list"),
    (lambda r: grid_search(Constant(), "no ratings", [("value", [1])]), "grid is .*; expected a dict of settings"),
    (lambda r: tune(Tunable(), r, seconds=-1), "seconds is -1; expected a finite number, 0 or more"),
    (lambda r: tune(Tunable(), r, validation=None), "validation is None; expected a number between 0 and 1"),
    (lambda r: tune(Tunable(), r, validation=r.matrix * np.nan), "validation: row 0, column 0: the rating is nan"),
    (lambda r: tune(Tunable(), r, checkpoint="run.npz"), "checkpoint='run.npz' was given to tune; leave it out"),
    (lambda r: tune(Tunable, r), "recommender is <class .*expected a Recommender, such as Recommender()"),
])
def test_refused(ratings, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(ratings)


@pytest.mark.parametrize("measure, best, luck, gain", [("rmse", 0.8, 0.7993, 0.7991), ("ndcg@10", 0.4, 0.4003, 0.4005)])
def test_a_gain_of_less_than_a_thousandth_is_luck(measure, best, luck, gain):
    is_better = search._Evaluator(Constant(), measure, {}).is_better
    assert not is_better({measure: luck}, {measure: best}) and is_better({measure: gain}, {measure: best})
    assert not is_better({measure: best}, {measure: gain})


def test_the_best_by_lists(monkeypatch):
    """Of missing entries the measure of lists decides, the higher the better; it is that of `evaluate`."""
    matrix = made_up_ratings(40, 20, 300, rng=0)[0]
    recommender = Recommender(n_hidden=3, rows="users", objective="lists", batch_size=10, l2=0.1, n_epochs=2,
                              learning_rate=0.05, update="adam", network=Shallow(weight_scale=0.3), progress=False)
    found = grid_search(recommender, matrix, {"learning_rate": [1e-6, 0.05], "n_epochs": [3]}, splits=2,
                        validation=None)
    assert [set(each) for each in found] == [{"params", "ndcg@10", "per_split"}] * 2
    assert found[0]["ndcg@10"] > found[1]["ndcg@10"] == found[1]["per_split"]["ndcg"].mean()
    best, combinations = tune(recommender, matrix, seconds=0, measure="recall@5", validation=0.3)
    assert list(combinations[0]) == ["params", "recall@5", "seconds"] and 0 < combinations[0]["recall@5"] < 1
    with pytest.raises(ValueError, match="measure is 'recall'; expected 'rmse', or one of .* such as"):
        grid_search(recommender, matrix, {"n_epochs": [1]}, measure="recall")


@pytest.mark.parametrize("objective", ["lists", "clicks", Missing(measure="recall@5")])
def test_rankings_are_judged_as_rankings(objective):
    matrix = made_up_ratings(40, 20, 300, rng=0)[0]
    split = split_ratings(matrix, 0.3, 0)
    settings = dict(objective=objective, progress=False)
    settings.update(dict(network="ease") if isinstance(objective, str) else dict(SETTINGS, objective=objective))
    fitted = Recommender(**settings).fit(split.train, validation=None)
    name, _, k = fitted.measure.partition("@")
    found = fitted.evaluate(split.test)
    assert next(iter(found)) == name and not {"rmse", "mae"} & set(found) and 0 < found[name] < 1
    assert found == fitted.evaluate(split.test, k=int(k)) == fitted.evaluate(split.test, k=None)
    for several, first in ([3, int(k)], int(k)), ([3, 1], 3):
        assert next(iter(fitted.evaluate(split.test, k=several))) == "%s@%d" % (name, first)
    assert next(iter(fitted.evaluate(split.test, k=3))) == name and fitted.evaluate(split.test, k=1) != found
    assert fitted.score(split.test) == found[name]
    folds = cross_validate(Recommender(**settings), matrix, splits=[split], validation=None)
    assert next(iter(folds)) == name and folds[name] == [found[name]] and "rmse" not in folds
    with pytest.raises(ValueError, match="the measure is 'rmse', and objective=.* predicts scores; expected a ranking"):
        grid_search(Recommender(**settings), matrix, {"l2": [1.0]}, measure="rmse")


def test_ratings_judged_by_lists_have_errors_too(ratings):
    split = split_ratings(ratings.matrix, 0.3, 0)
    fitted = Recommender(**dict(SETTINGS, objective=Observed(measure="ndcg@4"))).fit(split.train, validation=split.test)
    found = fitted.evaluate(split.test)
    assert list(found)[:3] == ["ndcg", "rmse", "mae"] and fitted.score(split.test) == found["ndcg"]
    assert found == fitted.evaluate(split.test, k=4)


def test_counts_are_counted_once():
    """They are as they came until `fit` makes ratings of them."""
    pairs = np.array([[0, 0], [0, 0], [0, 1], [1, 1], [1, 0], [2, 2], [2, 1], [0, 2]])

    class Noting(Recommender):
        def fit(self, ratings, **more):
            raise KeyError(ratings.matrix.sum())

    split = as_ratings((pairs[1:, 0], pairs[1:, 1], [2, 1, 1, 1, 1, 1, 1])).matrix
    with pytest.raises(KeyError, match="8"):
        cross_validate(Noting(objective="clicks"), pairs, splits=[(split, split)], k=1)


def test_tune_compares_what_fit_trains(ratings, fits, monkeypatch):
    """A combination has all that was chosen for the first one, but for what is changed: the schedule is the same."""
    monkeypatch.setattr(search, "_now", itertools.count(0, 40).__next__)
    _, table = tune(Recommender(n_epochs=3, progress=False, rows="items"), ratings, seconds=1000)
    first, *others = fits
    chosen = first.choices_["items"]
    assert first.choices is None and len(others) >= len(table) - 1 > 3 and chosen.cut == 0.15
    for other in others:
        if other.choices is not None:
            changed = {name: getattr(other, name) for name in ("l2", "n_hidden", "learning_rate")
                       if getattr(other, name) != "auto"}
            assert changed and other.choices_["items"] == chosen._replace(**changed)
    assert any(other.choices is not None for other in others)
