"""Cross-validation and searches, on splits of one's own, in one process or several."""
import functools
import importlib
from unittest.mock import Mock

import numpy as np
import pytest

from sparse_ae.data import ratings_from_triples, split_ratings
from sparse_ae.data.datasets.synthetic import made_up_ratings
from sparse_ae.data.splits import k_folds, split_users, time_folds
from sparse_ae.data.tables import as_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.recommender.search import cross_validate, grid_search
from sparse_ae.training.objectives import Missing
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
    splits = [fold[:2] for fold in k_folds(ratings.matrix, 3)]
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
    monkeypatch.setattr(importlib, "import_module", Mock(side_effect=ImportError("joblib")))
    with pytest.raises(ImportError, match="n_jobs=2 needs joblib, which isn't installed: pip install joblib"):
        cross_validate(Constant(), ratings, n_jobs=2)


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


def test_a_grid_comes_before_choices_and_auto_is_chosen_anew(ratings, monkeypatch):
    first = Recommender(rows="items", n_epochs=2, learning_rate=0.01, progress=False).fit(ratings)
    choice = first.choices_["items"]._replace(l2=7.0, n_hidden=11)
    given, fit, fits = Recommender(**dict(first.settings_, choices={"items": choice})), Recommender.fit, []
    monkeypatch.setattr(Recommender, "fit", lambda *args, **more: fits.append(fit(*args, **more)) or fits[-1])
    found = grid_search(given, ratings, {"n_hidden": [5, "auto"]}, splits=[split_ratings(ratings.matrix, 0.3, 0)])
    assert len(found) == 2 and given.choices["items"].n_hidden == 11
    by_grid, by_rule = (each.choices_["items"] for each in fits)
    assert (by_grid.n_hidden, by_grid.l2) == (5, 7.0)
    assert by_rule.n_hidden != 11 and by_rule.l2 != 7.0
    best = given.set_params(**found[0]["params"]).fit(ratings)
    assert best.choices_["items"].n_hidden == (5 if found[0]["params"] == {"n_hidden": 5} else 11)


@pytest.mark.parametrize("call, message", [
    (lambda r: cross_validate(Constant(), r, 2.0), r"splits is 2.0 \(float\); expected a number of folds, or a list"),
    (lambda r: cross_validate(Constant(), r, [(r.matrix,)]), r"(?s)split 0 is .* \(tuple\); expected \(train, test\)"),
    (lambda r: cross_validate(Constant(), r, [split_ratings(r.matrix, 0.3), (r.matrix, r.matrix * np.nan)]),
     "split 1: row 0, column 0: the rating is nan"),
    (lambda r: cross_validate(Constant(), r, k=0), "k is 0; expected a positive integer, a list of them, or None"),
    (lambda r: cross_validate(Constant(), r, n_jobs=1.5), "n_jobs is 1.5; expected a number of processes"),
    (lambda r: cross_validate(Constant(), r, []), r"splits is \[\] \(list\); expected a number of folds"),
    (lambda r: cross_validate(Constant(), r, [(r.matrix[:3], r.matrix)]),
     "split 0: the part is 3 x 12 and the ratings are 20 x 12; expected a matrix of the same users"),
    (lambda r: grid_search(Constant(), r, {"size": [1]}),
     "grid has 'size', which is no setting of Constant; expected some of value"),
    (lambda r: grid_search(Constant(), "no ratings", {"value": "all"}), r"grid\['value'\] is 'all'; expected a list"),
    (lambda r: grid_search(Constant(), "no ratings", [("value", [1])]), "grid is .*; expected a dict of settings"),
    (lambda r: grid_search(Constant, r, {"value": [1]}), "recommender is <class .*expected a Recommender, such as Rec"),
])
def test_refused(ratings, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(ratings)


def test_the_best_by_lists():
    """Of missing entries the measure of lists decides, the higher the better; it is that of `evaluate`."""
    matrix = made_up_ratings(40, 20, 300, rng=0)[0]
    recommender = Recommender(n_hidden=3, rows="users", objective="lists", batch_size=10, l2=0.1, n_epochs=2,
                              learning_rate=0.05, update="adam", network=Shallow(weight_scale=0.3), progress=False)
    found = grid_search(recommender, matrix, {"learning_rate": [1e-6, 0.05], "n_epochs": [3]}, splits=2,
                        validation=None)
    assert [set(each) for each in found] == [{"params", "ndcg@10", "per_split"}] * 2
    assert found[0]["ndcg@10"] > found[1]["ndcg@10"] == found[1]["per_split"]["ndcg"].mean()
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


def test_counts_are_counted_once():
    """They are as they came until `fit` makes ratings of them."""
    pairs = np.array([[0, 0], [0, 0], [0, 1], [1, 1], [1, 0], [2, 2], [2, 1], [0, 2]])

    class Noting(Recommender):
        def fit(self, ratings, **more):
            raise KeyError(ratings.matrix.sum())

    split = as_ratings((pairs[1:, 0], pairs[1:, 1], [2, 1, 1, 1, 1, 1, 1])).matrix
    with pytest.raises(KeyError, match="8"):
        cross_validate(Noting(objective="clicks"), pairs, splits=[(split, split)], k=1)
