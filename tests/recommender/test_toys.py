"""A program's own model and objective go through the whole house: predictions, lists, fold-in, the file."""
import numpy as np
import pytest
from toys import Absolute, Toy

from sparse_ae.recommender.recommender import Recommender

N_USERS, N_ITEMS = 12, 7


@pytest.fixture(scope="module")
def table():
    """Ratings 1 ... 5 of users 10, 11, ... and items 100, 101, ...; 0 where there is none."""
    rng = np.random.RandomState(0)
    return rng.randint(1, 6, (N_USERS, N_ITEMS)) * (rng.rand(N_USERS, N_ITEMS) < 0.7)


@pytest.fixture(scope="module")
def recommender(table):
    users, items = np.nonzero(table)
    return Recommender(n_hidden=3, rows="users", objective=Absolute(0.5), network=Toy, biases=False, l2=0.01,
                       update="adam", learning_rate=0.02, batch_size=4, n_epochs=5, rng=1, progress=False).fit(
                           list(zip((10 + users).tolist(), (100 + items).tolist(), table[users, items].tolist())),
                           validation=None)


def outputs(model, ratings):
    """Of one row of ratings, by the equation."""
    V, P, W, b = (each.get_value().astype(np.float64) for each in (model.V, model.P, model.W, model.b))
    return W.dot(np.tanh(np.tanh(ratings.dot(V)).dot(P))) + b


def test_predictions_are_the_toys_clipped_to_the_scale(recommender, table):
    assert isinstance(recommender.model_, Toy) and len(recommender.history_) == 5
    expected = np.array([outputs(recommender.model_, row) for row in table.astype(float)])
    users, items = np.indices(table.shape)
    predicted = recommender.predict(10 + users.ravel(), 100 + items.ravel())
    np.testing.assert_allclose(predicted.reshape(table.shape), np.clip(expected, 1, 5), rtol=1e-4, atol=1e-4)


def test_lists_are_of_its_best_outputs(recommender, table):
    for user, ratings in enumerate(table):
        scores = np.where(ratings > 0, -np.inf, outputs(recommender.model_, ratings.astype(float)))
        found = recommender.recommend(10 + user, n=2).items
        assert list(found) == [100 + item for item in np.argsort(-scores)[:2] if scores[item] > -np.inf]


def test_who_comes_later_goes_through_its_encoder(recommender, table):
    row = table[3]
    rated = {100 + int(item): float(row[item]) for item in np.flatnonzero(row)}
    user = recommender.fold_in(rated)
    np.testing.assert_allclose(user.predict(100 + np.arange(N_ITEMS)), np.clip(outputs(recommender.model_, row), 1, 5),
                               rtol=1e-4, atol=1e-4)


def test_the_file_has_it(recommender, tmp_path):
    recommender.save(tmp_path / "toy.npz")
    loaded = Recommender.load(tmp_path / "toy.npz")
    assert isinstance(loaded.model_, Toy) and loaded.objective == Absolute(0.5)
    users, items = np.indices((N_USERS, N_ITEMS))
    pairs = 10 + users.ravel(), 100 + items.ravel()
    assert loaded.predict(*pairs).tobytes() == recommender.predict(*pairs).tobytes()
    for again, before in zip(loaded.recommend(10 + np.arange(N_USERS)), recommender.recommend(10 + np.arange(N_USERS))):
        assert again.items.tolist() == before.items.tolist() and again.scores.tolist() == before.scores.tolist()
