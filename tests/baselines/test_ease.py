"""EASE for many decays and by numbers of ratings: against its definition, column by column."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from made import likings, stars
from numpy.testing import assert_allclose

from sparse_ae.baselines import ease
from sparse_ae.baselines.ease import EaseSystem, SomeItemWeights
from sparse_ae.baselines.linalg import symmetric_inverse
from sparse_ae.baselines.lists import fit_ease


def ratings(seed=0, shape=(14, 9)):
    """User 3 and item 5 have none."""
    return stars(*shape, seed=seed, without_rows=[3], without_columns=[5])


@pytest.fixture(params=[256, 1, 4])
def tile(request, monkeypatch):
    monkeypatch.setattr(ease, "_TILE", request.param)


@pytest.mark.parametrize("user_power, item_power", [(0, 0), (0.5, 0), (0, 0.5), (1, 0.3)])
def test_each_column_is_the_best_that_keeps_its_diagonal_at_zero(user_power, item_power, tile):
    train, l2 = ratings(), 3.0
    weights = EaseSystem(train, user_power).solve(l2, item_power).weights
    X = train.toarray().astype(float)
    of_users, of_items = (X > 0).sum(axis=1), (X > 0).sum(axis=0)
    users = [(n / np.mean(of_users[of_users > 0])) ** -user_power if n else 1 for n in of_users]
    decay = [l2 * (n / np.mean(of_items[of_items > 0])) ** item_power if n else l2 for n in of_items]
    for j in range(9):
        expected = reference.weighted_ease_column(X, j, users, decay)
        assert_allclose(weights[:, j], expected, atol=2e-6)
        if j != 5:
            assert np.abs(expected).max() > 0.1


def test_threads_and_tiles_add_up_the_same(monkeypatch):
    found = []
    for threads, tile in (("1", 256), ("1", 4), ("4", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setattr(ease, "_TILE", tile)
        found.append(EaseSystem(likings(), 0.5).solve(3.0).weights)
    assert (found[0] == found[1:]).all()


@pytest.mark.parametrize("l2", [0.01, 200.0])
def test_without_powers_it_is_ease(l2):
    """A little decay is solved for in float64, a large one in float32."""
    train = ratings()
    system = EaseSystem(train)
    for _ in range(2):  # a solution leaves the sums as they are
        expected = [reference.ease_column(train.toarray().astype(float), j, l2) for j in range(9)]
        assert_allclose(system.solve(l2).weights, np.transpose(expected), atol=1e-5)


def test_float32_is_enough_where_what_is_popular_decays_more(monkeypatch):
    """Sums of products are millions of times the smallest decay, but 3,000 times the roots of any two items' decays."""
    rng, dtypes = np.random.RandomState(0), []
    rated = rng.rand(3000, 40) < np.linspace(1, 0, 40) ** 4
    X, counts, l2 = rated * rng.randint(1, 6, rated.shape), rated.sum(axis=0), 30.0
    decay = l2 * np.where(counts, counts / counts[counts > 0].mean(), 1)
    assert X.T.dot(X).sum(axis=1).max() > 5e6 * decay.min()
    monkeypatch.setattr(ease, "symmetric_inverse", lambda A: dtypes.append(A.dtype) or symmetric_inverse(A))
    weights = EaseSystem(sp.csr_matrix(X.astype(np.float32))).solve(l2, 1.0).weights
    P = np.linalg.inv(X.T.dot(X) + np.diag(decay))
    expected = P / -np.diag(P)
    np.fill_diagonal(expected, 0)
    assert dtypes == ["float32"]
    assert_allclose(weights, expected, atol=1e-6 * np.abs(expected).max())


def test_above_so_many_items_the_most_popular_have_weights():
    train = ratings()
    chosen = np.sort(np.argsort(-np.diff(train.tocsc().indptr), kind="stable")[:4])
    some = EaseSystem(train, n_columns=4).solve(2.0)
    assert isinstance(some, SomeItemWeights) and some.columns.tolist() == chosen.tolist()
    scores, rest = some.scores(train), np.setdiff1d(np.arange(9), chosen)
    assert_allclose(scores[:, chosen], fit_ease(train[:, chosen], 2.0).scores(train[:, chosen]), atol=1e-5)
    assert scores.shape == (14, 9) and scores[:, chosen].any() and not scores[:, rest].any()


@pytest.mark.parametrize("dtype, error", [("float32", 1e-5), ("float64", 1e-12)])
def test_the_inverse(dtype, error, tile):
    A = np.random.RandomState(0).randn(9, 6).astype(dtype)
    matrix = A.T.dot(A) + np.eye(6, dtype=dtype)
    found = symmetric_inverse(matrix.copy())
    assert found.dtype == dtype and (found == found.T).all()
    assert_allclose(found, np.linalg.inv(matrix.astype(float)), atol=error)


def test_what_is_not_positive_definite_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match="2 x 2 isn't positive definite"):
        symmetric_inverse(np.array([[1.0, 2.0], [2.0, 1.0]]))


@pytest.mark.parametrize("call, message", [
    (lambda: EaseSystem(ratings(), user_power=-1), "user_power is -1"),
    (lambda: EaseSystem(ratings(), n_columns=0), "n_columns is 0; expected a positive integer"),
    (lambda: EaseSystem(ratings()).solve(0), "l2 is 0; expected a positive number"),
    (lambda: EaseSystem(ratings()).solve(1.0, np.nan), "item_power is nan"),
    (lambda: EaseSystem(ratings(), n_columns=3).solve(1.0).scores(sp.csr_matrix((2, 8))), "ratings are 2 x 8"),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
