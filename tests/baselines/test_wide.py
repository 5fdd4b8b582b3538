"""The infinitely wide autoencoder, against its definition in plain loops, and against networks that are wide."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from made import stars
from numpy.testing import assert_allclose

from sparse_ae.baselines import wide
from sparse_ae.baselines.wide import SomeRows, WideSystem, fit_wide, kernel


def ratings(seed=0, shape=(14, 9)):
    """User 3 and item 5 have none."""
    return stars(*shape, seed=seed, without_rows=[3], without_columns=[5])


def test_the_kernel_by_hand():
    x, y = sp.csr_matrix([[3.0, 0]]), sp.csr_matrix([[5.0, 0], [0, 2], [1, 1], [-1, 0], [0, 0]])
    at_45_degrees = (np.sqrt(0.5) + 2 * np.sqrt(0.5) * 0.75 * np.pi) / np.pi
    assert_allclose(kernel(x, y), [[2, 1 / np.pi, at_45_degrees, 0, 0]], atol=1e-12)


def test_a_row_of_zeros_alone_is_as_one_without_ratings():
    X = sp.csr_matrix((np.array([0, 5, 3, 2], np.float32), [0, 0, 1, 1], [0, 1, 3, 4]), (3, 2))
    assert X.nnz == 4
    K = kernel(X, X)
    assert_allclose(K, K.T)
    assert_allclose(K[0], 0)
    with pytest.raises(ValueError, match="all ratings are 0, .*: add a number to all ratings"):
        fit_wide(X[:1])


@pytest.mark.parametrize("block", [2 ** 22, 30])
def test_half_of_the_kernel_among_the_same_rows_is_enough(block, monkeypatch):
    monkeypatch.setattr(wide, "_BLOCK", block)
    X = ratings(shape=(40, 9))
    K = kernel(X, X)
    assert (K == kernel(X, X.copy())).all() and (K == K.T).all() and K[:3].any() and not K[3].any()


@pytest.mark.parametrize("l2", [0.5, 4.0])
def test_users_as_rows_by_loops(l2):
    train, strangers = ratings(), ratings(1, (5, 9))
    scores = fit_wide(train, l2, "users").scores(strangers)
    X = train.toarray().astype(float)
    X = X[X.any(axis=1)]
    expected = [reference.wide_outputs(x, X, l2) for x in strangers.toarray().astype(float)]
    assert_allclose(scores, expected, atol=1e-5)
    assert not scores[3].any() and np.abs(scores[0]).max() > 0.5  # nothing is known of stranger 3


@pytest.mark.parametrize("shape, n_maps", [((14, 9), 1), ((7, 20), 2)])
def test_training_rows_need_no_kernel(shape, n_maps, monkeypatch):
    """What they are multiplied by is kept whole where that is no more than two numbers for each in the inverse."""
    train = ratings(shape=shape)
    model = fit_wide(train, 2.0, "users")
    X = train.toarray().astype(float)
    expected = [reference.wide_outputs(x, X[X.any(axis=1)], 2.0) for x in X]
    users = np.array([5, 3, 0, 6])
    places = (np.cumsum(X.any(axis=1)) - 1)[users]
    assert len(model.maps) == n_maps
    assert_allclose(model.scores(train[users]), np.array(expected)[users], atol=1e-5)
    strangers = ratings(1, shape)[users]
    of_strangers = model.scores(strangers)
    assert (model.scores_of_rows(strangers, places) == of_strangers).all()  # they have rated other items
    assert (model.scores_of_rows(strangers, places + 40) == of_strangers).all()

    def not_asked(*args):
        raise AssertionError("a kernel is computed")

    monkeypatch.setattr(wide, "kernel", not_asked)
    assert_allclose(model.scores_of_rows(train[users], places), np.array(expected)[users], atol=1e-5)


@pytest.mark.parametrize("tile", [128, 2])
def test_some_training_rows_alone(tile, monkeypatch):
    """Where they are few; user 3 has no ratings, and no place among the rows."""
    monkeypatch.setattr(wide, "_TILE", tile)
    train, users = ratings(shape=(14, 9)), np.array([1, 3, 4, 9, 13])
    system, places = WideSystem(train, "users"), np.cumsum(np.diff(train.indptr) > 0) - 1
    some, whole = system.solve_for(2.0, users), system.solve(2.0)
    assert isinstance(some, SomeRows) and some.places.tolist() == [1, 3, 8, 12]
    for asked in (users, users[[4, 1, 0]]):
        found = some.scores_of_rows(train[asked], places[asked])
        assert_allclose(found, whole.scores_of_rows(train[asked], places[asked]), atol=1e-6)
        assert found.dtype == np.float32 and np.abs(found).max() > 0.5
    for few, others in ((np.arange(14), system), (np.array([3]), system), (users, WideSystem(train, "items")),
                        (users, WideSystem(train, "users", 5))):
        assert_allclose(others.solve_for(2.0, few).scores(train), others.solve(2.0).scores(train))


@pytest.mark.parametrize("l2", [0.5, 4.0])
def test_items_as_rows_by_loops(l2):
    """Each user's scores are a column of the outputs; a stranger's are as linear in the ratings."""
    train = ratings()
    model = fit_wide(train, l2, "items")
    X = train.toarray().astype(float).T
    outputs = np.zeros(X.shape)
    outputs[X.any(axis=1)] = [reference.wide_outputs(x, X[X.any(axis=1)], l2) for x in X[X.any(axis=1)]]
    assert_allclose(model.scores(train), outputs.T, atol=1e-5)
    assert_allclose(model.scores(train[2] + 2 * train[4]), outputs.T[[2]] + 2 * outputs.T[[4]], atol=1e-5)


@pytest.mark.parametrize("rows", ["users", "items"])
@pytest.mark.parametrize("block", [2 ** 22, 30])
def test_all_rows_as_landmarks_are_no_approximation(rows, block, monkeypatch):
    monkeypatch.setattr(wide, "_BLOCK", block)
    train, strangers = ratings(), ratings(1, (5, 9))
    monkeypatch.setattr(wide, "_landmarks", lambda X, with_ratings, n, rng: with_ratings)
    assert_allclose(fit_wide(train, 2.0, rows, n_landmarks=2).scores(strangers),
                    fit_wide(train, 2.0, rows, n_landmarks=None).scores(strangers), atol=1e-4)


def test_landmarks_are_those_with_most_ratings_or_drawn():
    train = sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 1]], np.float32))
    most = fit_wide(train, rows="users", n_landmarks=2)
    assert most.rows.toarray().tolist() == train[[1, 3]].toarray().tolist()
    drawn = [fit_wide(train, rows="users", n_landmarks=2, rng=seed).rows.toarray() for seed in range(20)]
    assert len({each.tobytes() for each in drawn}) == 3 and all(each.any(axis=1).all() for each in drawn)


@pytest.mark.parametrize("shape, rows", [((14, 9), "items"), ((9, 14), "users")])
def test_rows_are_the_fewer(shape, rows):
    train = ratings(shape=shape)
    assert_allclose(fit_wide(train).scores(train), fit_wide(train, rows=rows).scores(train))


def trained_network(X, k, rng, n_steps=400, rate=0.1):
    """Outputs, as a function of rows, of k rectifiers whose two layers are trained by gradient descent until it stands.

    Two halves begin with opposite weights, so that the outputs begin at 0.
    """
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    V = np.tile(rng.randn(X.shape[1], k // 2), 2)
    W = np.concatenate([sign * half for half in [rng.randn(k // 2, X.shape[1])] for sign in (1, -1)])
    scale = np.sqrt(2 / k)
    for _ in range(n_steps):
        before = unit @ V
        error = scale * np.maximum(before, 0) @ W - X
        W, V = (W - rate * scale * np.maximum(before, 0).T @ error,
                V - rate * scale * unit.T @ (error @ W.T * (before > 0)))
    return lambda x: scale * np.maximum(x / np.linalg.norm(x, axis=1, keepdims=True) @ V, 0) @ W


def test_trained_networks_come_closer_as_they_grow_wider():
    X = ratings().toarray().astype(float)
    X = X[X.any(axis=1)][:6]
    strangers = X[:3] + X[3:]
    expected = fit_wide(sp.csr_matrix(X.astype(np.float32)), 1e-5, "users").scores(sp.csr_matrix(strangers))
    distances = [np.mean([((trained_network(X, k, np.random.RandomState(seed))(strangers) - expected) ** 2).mean()
                          for seed in range(8)]) ** 0.5 for k in (16, 256, 4096)]
    assert distances[0] > 1.7 * distances[1] > 1.7 ** 2 * distances[2] and distances[2] < 0.05, distances


@pytest.mark.parametrize("settings, message", [
    ({"l2": 0}, "l2 is 0; expected"), ({"rows": "both"}, "rows is 'both'"), ({"n_landmarks": 0}, "n_landmarks is 0"),
])
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        fit_wide(ratings(), **settings)


def test_no_memory(monkeypatch):
    def full(*args):
        raise MemoryError

    monkeypatch.setattr(wide, "kernel", full)
    with pytest.raises(MemoryError, match="3 x 13 x 13 numbers, with all users as rows; .* n_landmarks=3"):
        fit_wide(ratings(), rows="users")


def test_scores_of_what_is_no_matrix_of_the_same_items():
    model = fit_wide(ratings(), rows="users")
    with pytest.raises(ValueError, match="ratings are 2 x 8; expected a column for each of the 9 items"):
        model.scores(sp.csr_matrix((2, 8)))
