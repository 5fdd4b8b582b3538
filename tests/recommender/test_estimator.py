"""Scikit-learn's conventions, with and without scikit-learn."""
import copy
import json
import pickle
import sys

import numpy as np
import pytest

from sparse_ae.recommender.settings import NotFittedError, Settings, from_json, not_fitted, to_json


class Thing(Settings):
    def __init__(self, size=3, name="x", rng=0):
        self.size = size
        self.name = name
        self.rng = rng


def test_settings():
    thing = Thing(size=np.arange(2), name=None)
    assert list(thing.get_params()) == ["size", "name", "rng"] and thing.get_params(deep=False)["size"] is thing.size
    assert thing.set_params(name="y", size=5) is thing and (thing.name, thing.size) == ("y", 5)
    assert repr(thing) == "Thing(size=5, name='y')" and repr(Thing()) == "Thing()"
    with pytest.raises(ValueError, match="Thing has no parameter 'nmae'; expected one of size, name, rng"):
        thing.set_params(size=9, nmae="z")
    assert thing.size == 5


def test_clone():
    base = pytest.importorskip("sklearn.base")
    thing = Thing(size=[1, 2], rng=np.random.RandomState(3))
    copied = base.clone(thing)
    assert copied.size == [1, 2] and copied.size is not thing.size and copied.rng is not thing.rng
    assert base.is_regressor(thing) and not base.is_classifier(thing)


def test_not_fitted(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)
    assert type(not_fitted("why")) is NotFittedError and isinstance(not_fitted("why"), (ValueError, AttributeError))


def test_not_fitted_is_scikit_learns_too():
    exceptions = pytest.importorskip("sklearn.exceptions")
    error = not_fitted("why")
    assert isinstance(error, NotFittedError) and isinstance(error, exceptions.NotFittedError)
    assert type(error).__name__ == "NotFittedError" and str(error) == "why"
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is NotFittedError and back.args == ("why",)


@pytest.mark.parametrize("value", [3, 0.1, 1e-300, "sgd", None, True, (1, 5), (0.25, None)])
def test_json(value):
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert back == value and type(back) is type(value)


def test_json_of_numpy():
    assert to_json(np.int64(3)) == 3 and type(to_json(np.int64(3))) is int
    assert to_json(np.array([0.5, 1])) == [0.5, 1] and to_json((np.float32(0.5),)) == [0.5]


def test_json_of_a_generator():
    rng = np.random.RandomState(7)
    rng.randn(3)
    back = from_json(json.loads(json.dumps(to_json(rng))))
    assert back.randn(5).tolist() == copy.deepcopy(rng).randn(5).tolist()
