"""A program's own model and objective in a recommender: all that the library's have."""
import numpy as np
import pytest
from made import at
from recommender_contract import RecommenderContract
from toys import Absolute, Toy

from sparse_ae.recommender.recommender import Recommender

# Ratings of users 10, 11, ... and items 100, 101, ...
TABLE = at(np.random.RandomState(0).rand(12, 7) < 0.7).toarray()
USERS, ITEMS = np.nonzero(TABLE)


@pytest.fixture(scope="module")
def fitted():
    return Recommender(n_hidden=3, rows="users", objective=Absolute(0.5), network=Toy, biases=False, l2=0.01,
                       update="adam", learning_rate=0.02, batch_size=4, n_epochs=5, rng=1, progress=False).fit(
                           TestToys.ratings, validation=None)


class TestToys(RecommenderContract):
    ratings, fit = (10 + USERS, 100 + ITEMS, TABLE[USERS, ITEMS]), dict(validation=None)
    became = dict(network="toys.Toy")


def test_predictions_by_its_equation(fitted):
    V, P, W, b = (each.get_value().astype(float) for each in map(fitted.model_.__getattribute__, "VPWb"))
    expected = np.clip(np.tanh(np.tanh(TABLE.dot(V)).dot(P)).dot(W.T) + b, 1, 5)
    users, items = map(np.ravel, np.indices(TABLE.shape))
    np.testing.assert_allclose(fitted.predict(10 + users, 100 + items), expected.ravel(), atol=1e-4)
    assert isinstance(fitted.model_, Toy) and fitted.objective == Absolute(0.5)
