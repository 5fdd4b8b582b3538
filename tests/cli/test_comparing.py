"""Biases, factorisation and autoencoders on one split."""
import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.cli.comparing import contenders, split_for_test
from sparse_ae.data.tables import as_ratings
from sparse_ae.recommender.recommender import Recommender


@pytest.fixture
def ratings():
    rng = np.random.RandomState(0)
    matrix = sp.random(30, 20, 0.5, format="csr", random_state=rng)
    matrix.data = rng.randint(1, 6, matrix.nnz).astype(np.float32)
    return as_ratings(matrix)


def test_all_are_tested_on_the_same_part_which_none_has_seen(ratings):
    recommender = Recommender(rng=3)
    parts = split_for_test(recommender, ratings, 0.25)
    train, test = parts[0].matrix, parts[1].matrix
    assert (train.nnz, test.nnz) == (225, 75) and not train.multiply(test).nnz
    assert abs(train + test - ratings.matrix).max() == 0 and parts[2] == (1.0, 5.0)
    pairs = test.tocoo()
    predicted = np.clip(predict_biases(fit_biases(train), pairs.row, pairs.col), 1, 5)
    error, remark = contenders(recommender, *parts, 10)["biases"](None)
    assert error == pytest.approx(np.sqrt(np.mean((pairs.data - predicted) ** 2)), rel=1e-6) and remark == ""


def test_without_biases_there_is_nothing_to_weigh_both_sides_against(ratings):
    names = ["biases", "factorisation", "autoencoder, items as rows", "autoencoder, users as rows"]
    parts = split_for_test(Recommender(), ratings, 0.2)
    assert list(contenders(Recommender(biases=False), *parts, 10)) == names
    assert list(contenders(Recommender(), *parts, 10)) == names + ["autoencoder, both"]


def test_a_scale_has_two_ends(ratings):
    ratings.matrix.data[:] = 3
    with pytest.raises(ValueError, match=r"rating_scale is \(3.0, 3.0\)"):
        split_for_test(Recommender(), ratings, 0.2)
