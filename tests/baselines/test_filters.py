"""Low-pass filters, against NumPy's singular vectors of the dense matrix."""
import numpy as np
import pytest
from made import stars
from numpy.testing import assert_allclose

from sparse_ae.baselines import linalg
from sparse_ae.baselines.filters import FilterSystem, SharedSystem


def ratings(seed=0, shape=(14, 9)):
    """User 3 and item 5 have none."""
    return stars(*shape, seed=seed, without_rows=[3], without_columns=[5])


@pytest.mark.parametrize("dense", [400, 0])
@pytest.mark.parametrize("k", [1, 3])
def test_by_the_dense_matrix(k, dense, monkeypatch):
    """All singular vectors at once, or the first ones by ARPACK."""
    monkeypatch.setattr(linalg, "_DENSE", dense)
    train, strangers = ratings(), ratings(1, (5, 9))
    X = train.toarray().astype(float)
    N = np.zeros(X.shape)
    of_users, of_items = (X > 0).sum(axis=1), (X > 0).sum(axis=0)
    for u in range(14):
        for i in range(9):
            if X[u, i]:
                N[u, i] = X[u, i] / np.sqrt(of_users[u] * of_items[i])
    V = np.linalg.svd(N)[2][:k]
    expected = np.zeros((5, 9))
    for u in range(5):
        for i in range(9):
            for j in range(9):
                if strangers[u, j] and of_items[j]:
                    expected[u, i] += (strangers[u, j] / np.sqrt(of_items[j]) * V[:, i].dot(V[:, j])
                                       * np.sqrt(of_items[i]))
    scores = FilterSystem(train).solve(k).scores(strangers)
    assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float32 and np.abs(scores).max() > 1 and not scores[:, 5].any()


def test_a_filter_of_fewer_vectors_is_the_first_ones():
    system = FilterSystem(ratings())
    three = system.solve(3)
    assert (system.solve(2).vectors == three.vectors[:2]).all()


def test_all_vectors_would_let_everything_pass():
    """Which says nothing of what was not rated: 8 items have ratings, so that 7 vectors are the most."""
    train = ratings()
    model = FilterSystem(train).solve(100)
    assert FilterSystem(train).most == 7 and model.vectors.shape == (7, 9)
    assert np.abs(model.scores(train)[train.toarray() == 0]).max() > 0.1


@pytest.mark.parametrize("power", [0.0, 0.25])
def test_what_users_share_by_loops(power):
    train, strangers = ratings(), ratings(1, (5, 9))
    X, of_users, of_items = train.toarray().astype(float), np.diff(train.indptr), np.diff(train.tocsc().indptr)
    expected = np.zeros((5, 9))
    for s, i, j, u in np.ndindex(5, 9, 9, 14):
        if X[u, i] and X[u, j]:
            shared = X[u, i] * X[u, j] / of_users[u]
            expected[s, i] += strangers[s, j] / of_items[j] ** (0.5 + power) * shared / of_items[i] ** (0.5 - power)
    scores = SharedSystem(train).solve(power).scores(strangers)
    assert_allclose(scores, expected, rtol=1e-5)
    assert scores.dtype == np.float32 and np.abs(scores).max() > 1 and not scores[:, 5].any()


@pytest.mark.parametrize("k", [0, 2.5])
def test_refused(k):
    with pytest.raises(ValueError, match="k is .*; expected a positive integer"):
        FilterSystem(ratings()).solve(k)
