"""The example of a million features: its networks are what their formulas say, its scores those of a count by hand."""
import numpy as np
import programs
import pytest
from numpy.testing import assert_allclose

import theano
import theano.sparse


@pytest.fixture(scope="module")
def example():
    return programs.load("million_features")


def test_the_factorisation_machine_by_loops(example):
    X, y = example.made_up_clicks(6, 200, np.random.RandomState(0))
    assert X.shape == (6, 200) and (np.diff(X.indptr) == 20).all() and set(y) <= {0, 1}
    x = theano.sparse.csr_matrix("x", "float32")
    logits, params = example.factorisation_machine(x, 200, 3, np.random.RandomState(1))
    values = [np.full((1, 1), 0.5, "float32")] + [np.random.RandomState(2).randn(*p.get_value().shape).astype("float32")
                                                  for p in params[1:]]
    for param, value in zip(params, values):
        param.set_value(value)
    _, w, V = values
    expected = []
    for row in X.toarray():
        used = np.flatnonzero(row)
        pairs = sum(row[i] * row[j] * V[i].dot(V[j]) for i in used for j in used if i < j)
        expected.append(0.5 + row.dot(w[:, 0]) + pairs)
    assert_allclose(theano.function([x], logits)(X), expected, rtol=1e-4)


@pytest.mark.parametrize("model", ["factorisation_machine", "wide_and_deep"])
def test_both_networks_learn(example, model):
    X, y = example.made_up_clicks(512, 400, np.random.RandomState(0))
    train, predict = example.compiled(getattr(example, model), 400, example.sparse_adam, 0.02)
    before = example.scores(y, predict(X))[0]
    for _ in range(20):
        for start in range(0, 512, 64):
            train(X[start:start + 64], y[start:start + 64])
    assert example.scores(y, predict(X))[0] < 0.8 * before


def test_scores_by_hand(example):
    log_loss, auc = example.scores(np.array([1, 0, 1, 0]), np.array([0.8, 0.4, 0.4, 0.2]))
    assert_allclose(log_loss, -np.log([0.8, 0.6, 0.4, 0.8]).mean())
    assert auc == 3.5 / 4  # of four pairs three are in order, and one is a tie
