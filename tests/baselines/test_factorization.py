"""Matrix factorisation: its cost and gradients against loops, what it learns, its corners."""
import numpy as np
import pytest
import scipy.sparse as sp
from alike import assert_all_close
from devices import DTYPE
from made import low_rank
from numpy.testing import assert_allclose, assert_array_equal

from sparse_ae.baselines.biases import Biases, fit_biases, predict_biases
from sparse_ae.baselines.factorization import Factors, factor_cost, fit_factors, predict_factors
from sparse_ae.data import split_ratings
from sparse_ae.evaluation.metrics import rmse
import theano
import theano.tensor as T

TOLERANCE = 1e-10 if DTYPE == "float64" else 2e-4


def loops(train, mean, W, H, c, d, l2):
    """Equation (2) and its gradients, rating by rating: each pulls at what it touches."""
    cost, squared_error = 0.0, 0.0
    dW, dH, dc, dd = (np.zeros(x.shape) for x in (W, H, c, d))
    for u, i, r in zip(*sp.find(train)):
        e = mean + c[u] + d[i] + sum(W[u, t] * H[i, t] for t in range(W.shape[1])) - r
        squared_error += e ** 2
        cost += e ** 2 + l2 * (np.sum(W[u] ** 2) + c[u] ** 2 + np.sum(H[i] ** 2) + d[i] ** 2)
        dW[u] += 2 * e * H[i] + 2 * l2 * W[u]
        dH[i] += 2 * e * W[u] + 2 * l2 * H[i]
        dc[u] += 2 * e + 2 * l2 * c[u]
        dd[i] += 2 * e + 2 * l2 * d[i]
    return cost, squared_error, [dW, dH, dc, dd]


def test_cost_and_gradients_against_loops():
    train = low_rank(7, 5)
    rng = np.random.RandomState(1)
    values = [rng.randn(*shape) for shape in ((7, 3), (5, 3), (7,), (5,))]
    W, H = (T.matrix(name, DTYPE) for name in "WH")
    c, d, data = (T.vector(name, DTYPE) for name in ("c", "d", "data"))
    rows, indices, indptr = T.ivectors("rows", "indices", "indptr")
    l2 = np.asarray(0.3, DTYPE)
    cost, squared_error = factor_cost(W, H, c, d, data, rows, indices, indptr, l2)
    function = theano.function([W, H, c, d, data, rows, indices, indptr],
                               [cost, squared_error] + T.grad(cost, [W, H, c, d]))
    floats = [np.asarray(x, DTYPE) for x in values + [train.data.astype("float64") - 2.5]]
    got = function(*floats + [train.tocoo().row, train.indices, train.indptr])
    want = loops(train, 2.5, *values, l2=0.3)
    assert_allclose(got[:2], want[:2], rtol=TOLERANCE)
    assert_all_close(got[2:], want[2], rtol=TOLERANCE, atol=TOLERANCE)


def test_finds_what_biases_can_not():
    split = split_ratings(low_rank(), 0.2)
    test = split.test.tocoo()
    biases = rmse(test.data, predict_biases(fit_biases(split.train), test.row, test.col))
    factors = fit_factors(split.train, n_factors=3, l2=0.02, n_epochs=150, weight_scale=0.1)
    assert rmse(test.data, predict_factors(factors, test.row, test.col)) < 0.35 < 0.8 < biases


def test_predictions_by_hand(monkeypatch):
    factors = Factors(Biases(3.0, np.array([0.5, -0.5]), np.array([0.0, 1.0])),
                      np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, -2.0]]))
    assert predict_factors(factors, [0, 0, 1], [0, 1, 1]).tolist() == [4.5, 0.5, 1.5]
    assert predict_factors(factors, [], []).shape == (0,)
    monkeypatch.setattr("sparse_ae.baselines.factorization._PAIRS", 2)
    assert predict_factors(factors, [0, 0, 1], [0, 1, 1]).tolist() == [4.5, 0.5, 1.5]
    with pytest.raises(ValueError, match=r"user_places are from 2 to 2; expected 0 \.\. 1"):
        predict_factors(factors, [2], [0])


def test_passes_seeds_and_who_has_no_rating():
    train, seen = low_rank().tolil(), []
    train[3], train[:, 5] = 0, 0
    train = train.tocsr()
    before = train.copy()
    a = fit_factors(train, n_factors=3, n_epochs=4, rng=1, on_epoch=lambda *each: seen.append(each))
    b, other = (fit_factors(train, n_factors=3, n_epochs=4, rng=rng) for rng in (np.random.RandomState(1), 2))
    assert a.W.tobytes() == b.W.tobytes() == seen[3][1].W.tobytes() != other.W.tobytes()
    assert_array_equal(train.data, before.data)
    assert [record["epoch"] for record, _ in seen] == [1, 2, 3, 4]
    assert all(record["seconds"] > 0 for record, _ in seen) and seen[3][0]["loss"] < seen[0][0]["loss"]
    # The error reported is that before the step: of the factors of the epoch before.
    rows, cols, data = sp.find(train)
    assert seen[2][0]["train_rmse"] == pytest.approx(rmse(data, predict_factors(seen[1][1], rows, cols)), rel=1e-4)
    mean, c, d = a.biases[:3]
    assert not a.W[3].any() and not a.H[5].any() and c[3] == d[5] == 0
    assert predict_factors(a, [3, 3], [5, 6]).tolist() == [mean, mean + d[6]]


def test_says_when_it_diverges():
    train = low_rank()
    train.data[0] = 1e38
    with pytest.raises(ArithmeticError, match="the cost is (inf|nan) in epoch 1; lower learning_rate=0.005 or weight_"):
        with np.errstate(all="ignore"):
            fit_factors(train, weight_scale=1e25)
