"""Scikit-learn's conventions, with and without scikit-learn."""
import pickle
import sys

import numpy as np
import pytest

from sparse_ae.recommender.settings import NotFittedError, RecommenderSettings, not_fitted


class Thing(RecommenderSettings):
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
