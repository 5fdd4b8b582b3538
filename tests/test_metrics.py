"""Errors of predictions: against numbers worked out by hand, and in blocks."""
import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.metrics import ErrorSums, mae, rmse


def test_by_hand():
    # errors 1, -2, 0, 3: squares 1 + 4 + 0 + 9 = 14, absolutes 6
    observed, predicted = [4, 1, 3, 5], [3.0, 3.0, 3.0, 2.0]
    assert rmse(observed, predicted) == pytest.approx(np.sqrt(14 / 4), rel=1e-15)
    assert mae(observed, predicted) == pytest.approx(6 / 4, rel=1e-15)
    assert isinstance(rmse(observed, predicted), float) and isinstance(mae(observed, predicted), float)


def test_blocks_weigh_by_their_size():
    rng = np.random.RandomState(0)
    observed, predicted = rng.rand(100), rng.rand(100)
    sums = ErrorSums()
    for block in (slice(0, 1), slice(1, 1), slice(1, 90), slice(90, 100)):
        assert sums.add(observed[block], predicted[block]) is sums
    assert sums.count == 100
    assert sums.rmse() == pytest.approx(np.sqrt(np.mean((observed - predicted) ** 2)), rel=1e-12)
    assert sums.mae() == pytest.approx(np.mean(np.abs(observed - predicted)), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_float64_inside(dtype):
    observed, predicted = np.full(100000, 2.0, dtype), np.full(100000, 1.5, dtype)
    assert rmse(observed, predicted) == 0.5
    assert mae(observed, predicted) == 0.5


def test_unsigned_ratings_do_not_wrap():
    assert mae(np.array([1], np.uint8), np.array([3], np.uint8)) == 2


@pytest.mark.parametrize("metric", [rmse, mae])
@pytest.mark.parametrize("observed, predicted, error, message", [
    ([1, 2, 3], [1, np.nan, np.nan], ValueError, r"2 of 3 predictions are missing or infinite, the first \(nan\) at "
                                                 "position 1; .*fill them in"),
    ([1, np.inf], [1, 2], ValueError, r"1 of 2 ratings are missing or infinite, the first \(inf\) at position 1"),
    ([1, 2], np.ma.array([1, 2], mask=[0, 1]), ValueError, "predictions hold masked values"),
    ([1, 2], [1], ValueError, r"\(2,\) ratings and \(1,\) predictions; expected arrays of one shape"),
    ([[1], [2]], [1, 2], ValueError, r"\(2, 1\) ratings and \(2,\) predictions"),
    ([1, 2], 1.5, ValueError, r"\(2,\) ratings and \(\) predictions"),
    ([], [], ValueError, "no ratings to compare with"),
    ([1], [None], TypeError, "predictions are list of dtype object; expected an array of real numbers"),
    (sp.eye(2).tocsr(), [1, 2], TypeError, "ratings are csr_matrix of dtype object; .*its .data"),
    ([1], [1j], TypeError, "predictions are list of dtype complex128"),
])
def test_refused(metric, observed, predicted, error, message):
    with pytest.raises(error, match=message):
        metric(observed, predicted)


def test_a_refused_block_leaves_the_sums_as_they_were():
    sums = ErrorSums().add([1.0], [2.0])
    with pytest.raises(ValueError, match="predictions are missing"):
        sums.add([1.0, 1.0], [1.0, np.nan])
    assert (sums.count, sums.squared, sums.absolute) == (1, 1.0, 1.0)


def test_arguments_are_left_alone():
    observed, predicted = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    rmse(observed, predicted)
    mae(observed, predicted)
    assert observed.tolist() == [1, 2] and predicted.tolist() == [2, 4]
