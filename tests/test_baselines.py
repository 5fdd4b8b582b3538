"""The bias baseline: the minimum it claims to find, the corners, and what it scores on real ratings."""
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sparse_ae.baselines import Biases, fit_biases, predict_biases
from sparse_ae.data import split_ratings
from sparse_ae.data.files import load_ratings
from sparse_ae.metrics import rmse

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def ratings(seed=0, shape=(30, 20), density=0.4):
    rng = np.random.RandomState(seed)
    mask = rng.rand(*shape) < density
    mask[3], mask[:, 5] = False, False
    rows, cols = np.nonzero(mask)
    return sp.csr_matrix((rng.randint(1, 6, len(rows)).astype(np.float32), (rows, cols)), shape=shape)


@pytest.mark.parametrize("shrinkage", [5.0, 20.0])
def test_minimises_the_regularised_squares(shrinkage):
    train = ratings()
    coo = train.tocoo()
    n_users, n_items = train.shape
    # Equation (2) as one least-squares problem: a row per rating, then a row sqrt(shrinkage) * offset = 0 per offset.
    design = np.zeros((coo.nnz + n_users + n_items, n_users + n_items))
    design[np.arange(coo.nnz), coo.row] = 1
    design[np.arange(coo.nnz), n_users + coo.col] = 1
    design[coo.nnz:] = np.sqrt(shrinkage) * np.eye(n_users + n_items)
    target = np.zeros(len(design))
    mean = sum(coo.data.tolist()) / coo.nnz
    target[:coo.nnz] = coo.data - mean
    want = np.linalg.lstsq(design, target, rcond=None)[0]
    got = fit_biases(train, shrinkage)
    assert got.mean == pytest.approx(mean, rel=1e-12)
    assert_allclose(got.users, want[:n_users], atol=1e-7)
    assert_allclose(got.items, want[n_users:], atol=1e-7)


def test_by_hand():
    # One user, items rated 5 and 1: mean 3, centred 2 and -2, no user offset; b_i = +-2 / (1 + 1).
    got = fit_biases(sp.csr_matrix(np.array([[5.0, 1.0]])), shrinkage=1)
    assert got.mean == 3
    assert_allclose(got.users, [0], atol=1e-12)
    assert_allclose(got.items, [1, -1], atol=1e-12)


def test_without_shrinkage_additive_ratings_are_met():
    users, items = np.array([-1.0, 0.0, 1.0]), np.array([-0.5, 0.5])
    matrix = sp.csr_matrix(3 + users[:, np.newaxis] + items)
    rows, cols = matrix.nonzero()
    assert_allclose(predict_biases(fit_biases(matrix, shrinkage=0), rows, cols), matrix.data, atol=1e-6)


@pytest.mark.parametrize("shrinkage", [0, 5.0])
def test_cold_users_and_items_have_no_offset(shrinkage):
    got = fit_biases(ratings(), shrinkage)
    assert got.users[3] == 0 and got.items[5] == 0
    assert np.all(np.isfinite(got.users)) and np.all(np.isfinite(got.items))
    assert predict_biases(got, [3], [5]).tolist() == [got.mean]


def test_a_stored_zero_is_a_rating():
    got = fit_biases(sp.csr_matrix(([0.0, 4.0], ([0, 1], [0, 1]))))
    assert got.mean == 2 and got.users[0] < 0 < got.users[1]


def test_predictions():
    biases = Biases(3.0, np.array([0.5, -0.5]), np.array([0.0, 1.0, -2.0]))
    got = predict_biases(biases, [0, 1, 1], [1, 1, 2])
    assert got.dtype == np.float64 and got.tolist() == [4.5, 3.5, 0.5]
    assert predict_biases(biases, [], []).shape == (0,)


def test_the_ratings_are_left_alone():
    train = ratings()
    before = train.copy()
    fit_biases(train)
    assert_array_equal(train.data, before.data)
    assert_array_equal(train.indices, before.indices)


@pytest.mark.parametrize("shrinkage", [-1, np.nan, np.inf])
def test_refuses_a_shrinkage(shrinkage):
    with pytest.raises(ValueError, match="shrinkage is .*; expected a finite number, 0 or more"):
        fit_biases(ratings(), shrinkage)


def test_refuses_what_check_ratings_refuses():
    with pytest.raises(TypeError, match="ratings are a dense array"):
        fit_biases(np.eye(2))


@pytest.mark.parametrize("rows, cols, error, message", [
    ([0, 1], [0], ValueError, r"user_places are of shape \(2,\) and item_places of \(1,\); expected as many of each"),
    ([-1], [0], ValueError, r"user_places hold -1; expected 0 \.\. 1, places in the training ratings and no ids"),
    ([0], [3], ValueError, r"item_places hold 3; expected 0 \.\. 2"),
    ([0.0], [0], TypeError, "user_places are of dtype float64; expected integers, the places of users"),
])
def test_predictions_refuse(rows, cols, error, message):
    with pytest.raises(error, match=message):
        predict_biases(Biases(3.0, np.zeros(2), np.zeros(3)), rows, cols)


@pytest.mark.skipif(not SHARED.is_dir(), reason="%s isn't there" % SHARED)
def test_movielens_100k():
    matrix = load_ratings(SHARED / "ml-100k" / "u.data").matrix
    scores = []
    for seed in range(3):
        split = split_ratings(matrix, 0.2, rng=seed)
        test = split.test.tocoo()
        scores.append(rmse(test.data, predict_biases(fit_biases(split.train), test.row, test.col)))
    # Surprise's BaselineOnly scores about 0.944 on such splits, with more shrinkage.
    assert 0.93 < np.mean(scores) < 0.945
