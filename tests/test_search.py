"""Cross-validation and search, on splits of one's own, in one process or several."""
import importlib

import numpy as np
import pytest

from sparse_ae.data import Ratings, ratings_from_triples, split_ratings
from sparse_ae.data.splits import k_folds, leave_k_out
from sparse_ae.recommender import Recommender
from sparse_ae.search import cross_validate, grid_search
import theano
from theano.configparser import change_flags

SETTINGS = dict(n_hidden=3, l2=0.01, weight_scale=0.1, learning_rate=0.02, batch_size=8, n_epochs=5,
                formulation="sparse",
                progress=False, biases=False, update="adam")


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
        fitted = Recommender(**SETTINGS).fit(Ratings(fold.train, ratings.users, ratings.items), validation=None)
        for name, value in fitted.evaluate(Ratings(fold.test, ratings.users, ratings.items), k=4).items():
            assert found[name][k] == value
    assert found["rmse"].shape == (3,) and (found["seconds"] > 0).all()


def test_splits_of_ones_own(ratings):
    splits = [leave_k_out(ratings, 2), split_ratings(ratings, 0.3)]
    found = cross_validate(Constant(3), ratings, splits)
    assert found["rmse"].tolist() == [2, 2]
    assert cross_validate(Constant(3), ratings, [split[:2] for split in splits])["rmse"].tolist() == [2, 2]
    assert cross_validate(Constant(3), ratings, splits[0])["rmse"].tolist() == [2]
    assert cross_validate(Constant(3), ratings, 2, k=7, offset=1)["k"].tolist() == [7, 7]


def test_the_best_comes_first(ratings):
    rng = np.random.RandomState(0)
    found = grid_search(Constant(), ratings, {"value": [0, 9.0, 3, 4], "rng": [None]}, splits=2)
    assert [each["params"]["value"] for each in found] == [3, 4, 0, 9]
    assert found[0]["rmse"] == 2 == found[0]["per_split"]["rmse"].mean() and len(found[0]["per_split"]["rmse"]) == 2
    found = grid_search(Constant(rng=rng), ratings, {"value": [3, 3]}, splits=2)
    assert found[0]["rmse"] == found[1]["rmse"] and rng.rand() == np.random.RandomState(0).rand()


@pytest.mark.slow
def test_several_processes_find_the_same(ratings):
    pytest.importorskip("joblib")
    grid = {"learning_rate": [1e-6, 0.02]}
    other = {"float32": "float64", "float64": "float32"}[theano.config.floatX]
    with change_flags(floatX=other):  # as a program may do, of which new processes know nothing
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


@pytest.mark.parametrize("call, message", [
    (lambda r: cross_validate(Constant(), r, 1), "n_folds is 1; expected"),
    (lambda r: cross_validate(Constant(), r, []), "there are no splits; expected a number of folds"),
    (lambda r: cross_validate(Constant(), r, [(r.matrix[:3], r.matrix)]),
     "split 0 is of 3 x 12 and 20 x 12, the ratings are 20 x 12"),
    (lambda r: grid_search(Constant(), r, {"size": [1]}),
     "grid has 'size', which is no setting of Constant; expected some of value"),
    (lambda r: grid_search(Constant(), r, {"value": 3}), r"grid\['value'\] is 3; expected a list of values to try"),
    (lambda r: grid_search(Constant(), r, {"value": []}), r"grid\['value'\] is \[\]; expected a list"),
])
def test_refused(ratings, call, message):
    with pytest.raises(ValueError, match=message):
        call(ratings)
