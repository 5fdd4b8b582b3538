"""The ways in which ports of AutoRec go wrong, each as a test that would notice.

Elsewhere: that weight decay doesn't depend on the number of batches, in test_trainer.py; that the table's settings can
be chosen without a test rating, in test_benchmarks.py.
"""
import numpy as np
import pytest
import scipy.sparse as sp
from made import stars
from numpy.testing import assert_array_equal

from sparse_ae.data import split_ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.trainer import Trainer
import lasagne


def ratings(seed=0):
    """Row 3 and column 5 have one rating each."""
    return stars(30, 20, 0.4, seed, without_rows=[3], without_columns=[5], beside=[(3, 7), (4, 5)])


def model(n_items, **changed):
    settings = dict(n_hidden=4, rating_scale=(1, 5), f="identity", g="sigmoid", l2=0.1, b=lasagne.init.Constant(3))
    return AutoEncoder(n_items, **dict(settings, **changed))


def with_ratings(matrix, values):
    return sp.csr_matrix((np.asarray(values, "float32"), matrix.indices, matrix.indptr), shape=matrix.shape)


def trained(train, test):
    """A model, and what it predicts for the test ratings."""
    m = model(train.shape[1])
    trainer = Trainer(m, "adam", 0.02, batch_size=8, formulation="sparse", l2_per="epoch", progress=False, unknown=3.0)
    trainer.fit(train, 6, validation=test)
    pairs = test.tocoo()
    return m, m.predict_pairs(train, pairs.row, pairs.col, unknown=3.0)


def parameters(m):
    return [p.get_value().tobytes() for p in m.params]


def test_held_out_ratings_are_never_input():
    """The prediction of a held-out rating mustn't know it: whatever its value is, and whatever the others' are."""
    split = split_ratings(ratings(), 0.2)
    guesses = [trained(split.train, with_ratings(split.test, values))
               for values in (split.test.data, 6 - split.test.data, np.full(split.test.nnz, 1))]
    for m, guess in guesses[1:]:
        assert_array_equal(guess, guesses[0][1])
        assert parameters(m) == parameters(guesses[0][0])
    # The check can fail: with the test ratings among the input, predictions change with them.
    m, pairs = guesses[0][0], split.test.tocoo()
    leaks = [m.predict_pairs(split.train + with_ratings(split.test, values), pairs.row, pairs.col)
             for values in (split.test.data, 6 - split.test.data)]
    assert np.abs(leaks[0] - leaks[1]).max() > 0.01


def noise(seed=0, shape=(40, 30)):
    """Ratings that nothing predicts: half of all pairs, each drawn by itself."""
    rng = np.random.RandomState(seed)
    return sp.csr_matrix(np.where(rng.rand(*shape) < 0.5, rng.randint(1, 6, shape), 0), dtype="float32")


RATINGS = noise()
# Whoever hasn't seen a rating of `noise` can do no better than its mean, whose error is the standard deviation.
UNSEEN = 0.9 * RATINGS.data.std()


def test_defect_9_what_is_cut_off_is_not_trained_on():
    """By `split_ratings`, and by the recommender's own cut: the error there is no better than that of a guess."""
    split = split_ratings(RATINGS, 0.2, rng=0)
    history = Trainer(model(30, n_hidden=20, g="tanh", l2=0.0), "adam", 0.02, 8, "sparse", progress=False).fit(
        split.train, 50, validation=split.test)
    assert history[-1]["train_rmse"] < UNSEEN / 2 and min(record["validation_rmse"] for record in history) > UNSEEN

    ratings = RATINGS.tocoo()
    recommender = Recommender(20, rows="users", l2=0, network=Shallow(weight_scale=0.3), learning_rate=0.02,
                              batch_size=8, n_epochs=50, patience=None, progress=False)
    history = recommender.fit((ratings.row, ratings.col, ratings.data), validation=0.2).history_
    assert history[-1]["train_rmse"] < UNSEEN / 2 and min(record["validation_rmse"] for record in history) > UNSEEN


@pytest.mark.parametrize("default", [3.0, None])
def test_cold_rows_and_columns_get_the_default_and_stay_in_the_rmse(default):
    full = ratings()
    train = full.tolil()
    train[3], train[:, 5] = 0, 0  # row 3 and column 5 have one rating each
    train = train.tocsr()
    test = sp.csr_matrix(([5.0, 1.0, 2.0], ([3, 4, 0], [7, 5, 7])), shape=full.shape, dtype="float32")
    m = model(20)
    trainer = Trainer(m, "adam", 0.01, formulation="sparse", progress=False, unknown=default)
    record = trainer.fit(train, 2, validation=test)[-1]
    expected = train.data.mean() if default is None else default
    warm = m.predict_pairs(train, [0], [7])[0]
    pairs = test.tocoo()
    order = np.argsort(pairs.row)
    predicted = m.predict_pairs(train, pairs.row[order], pairs.col[order], unknown=default)
    np.testing.assert_allclose(predicted, [warm, expected, expected], rtol=1e-6)
    errors = np.array([2 - warm, 5 - expected, 1 - expected])
    assert record["validation_rmse"] == pytest.approx(np.sqrt(np.mean(errors ** 2)), rel=1e-5)
