"""Ratings in, targets out: the equations by loops, what a rating is, and that the scale doesn't matter."""
import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars

from sparse_ae.training.targets import BeyondBiases, BeyondLevels


def targets_of(matrix, seed=0, scale=(0, 5)):
    rng = np.random.RandomState(seed)
    return BeyondBiases(3 + rng.randn(matrix.shape[0]), rng.randn(matrix.shape[1]), scale)


@pytest.mark.parametrize("scale, unit", [((1, 5), 1.0), ((0, 5), 1.25), ((-10, 10), 5.0), ((0, 100), 25.0)])
def test_equations_by_loops(scale, unit):
    matrix = many_stars()
    targets = targets_of(matrix, scale=scale)
    assert targets.unit == unit
    rows = np.array([3, 0, 7, 12])  # rows 0 and 7 have no rating
    batch = targets.batch(rows, matrix[rows])
    assert batch.data.dtype == batch.target.dtype == batch.indicator.dtype == np.float32
    assert batch.indptr.tolist() == matrix[rows].indptr.tolist()
    k = 0
    for row in rows:
        count = matrix.indptr[row + 1] - matrix.indptr[row]
        for p in range(matrix.indptr[row], matrix.indptr[row + 1]):
            col = matrix.indices[p]
            residual = (matrix.data[p] - targets.row_offsets[row] - targets.column_offsets[col]) / unit
            factor = (50 / count) ** 0.25
            assert batch.target[k] == pytest.approx(residual, rel=1e-5, abs=1e-6)
            assert batch.data[k] == pytest.approx(residual * factor, rel=1e-5, abs=1e-6)
            assert batch.indices[k] == col and batch.indicator[k] == pytest.approx(3 * factor, rel=1e-6)
            k += 1
    assert k == len(batch.target) == len(batch.indicator) == len(batch.data) > 0


def test_a_residual_of_zero_is_a_rating():
    matrix = sp.csr_matrix((np.array([3, 4, 0], np.float32), [0, 1, 1], [0, 2, 3]), shape=(2, 3))
    batch = BeyondBiases([3.0, 0.0], [0.0, 1.0, 0.0], (0, 4)).batch(np.arange(2), matrix)
    assert batch.target.tolist() == [0, 0, -1] and len(batch.data) == 3 and (batch.indicator > 0).all()
    assert batch.indices.tolist() == [0, 1, 1] and batch.indptr.tolist() == [0, 2, 3]


def test_the_way_back_is_the_way_in():
    matrix = many_stars()
    targets, coo = targets_of(matrix), matrix.tocoo()
    target = targets.batch(np.arange(matrix.shape[0]), matrix).target
    back = targets.row_offsets[coo.row] + targets.column_offsets[coo.col] + targets.unit * target
    assert back == pytest.approx(matrix.data, abs=1e-5)
    assert targets.clip(np.array([-1.0, 2.0, 7.0])).tolist() == [0, 2, 5]


def test_the_scale_does_not_matter():
    """Ratings, biases and scale times 5 less 15, from 1 .. 5 to -10 .. 10, and times 25 less 25, to 0 .. 100."""
    matrix = many_stars()
    matrix.data[:] = 1 + matrix.data * 0.8
    one = targets_of(matrix, scale=(1, 5))
    rows = np.arange(matrix.shape[0])
    for factor, shift, scale in ((5, -15, (-10, 10)), (25, -25, (0, 100))):
        columns = factor * one.column_offsets[np.arange(matrix.shape[1])]
        other = BeyondBiases(factor * one.row_offsets[rows] + shift, columns, scale)
        wide = sp.csr_matrix((factor * matrix.data + shift, matrix.indices, matrix.indptr), shape=matrix.shape)
        for left, right in zip(one.batch(rows, matrix), other.batch(rows, wide)):
            assert right == pytest.approx(left, abs=1e-5)


def test_rows_that_nobody_knows_bring_their_offset():
    matrix = many_stars()
    targets = targets_of(matrix)
    rows = np.array([3, 4])
    for left, right in zip(targets.batch(rows, matrix[rows]), targets.block(matrix[rows], targets.row_offsets[rows])):
        assert (left != right).sum() == 0


def test_variance(monkeypatch):
    matrix = many_stars()
    targets = targets_of(matrix)
    target = targets.batch(np.arange(matrix.shape[0]), matrix).target.astype("float64")
    assert targets.variance(matrix) == pytest.approx(np.mean(target ** 2), rel=1e-12)
    monkeypatch.setattr("sparse_ae.training.targets._CHUNK", 10)
    assert targets.variance(matrix) == pytest.approx(np.mean(target ** 2), rel=1e-12)


def test_levels_are_no_part_of_what_is_taught_by_loops():
    """Equation (5): the decoder is to give what the levels leave over; what the encoder sees is as before."""
    matrix, rng = many_stars(), np.random.RandomState(1)
    rows, columns = 3 + rng.randn(matrix.shape[0]), rng.randn(matrix.shape[1])
    plain = targets_of(matrix)
    taught = BeyondLevels((rows, columns), plain.row_offsets, plain.column_offsets, (0, 5))
    chosen = np.array([12, 0, 3])
    batch, before = (each.batch(chosen, matrix[chosen]) for each in (taught, plain))
    k = 0
    for row in chosen:
        for p in range(matrix.indptr[row], matrix.indptr[row + 1]):
            expected = (matrix.data[p] - rows[row] - columns[matrix.indices[p]]) / 1.25
            assert batch.target[k] == pytest.approx(expected, rel=1e-5, abs=1e-5)
            k += 1
    assert k == len(batch.target) > 0 and batch.target.dtype == np.float32
    for name in ("data", "indicator", "indices", "indptr"):
        assert getattr(batch, name).tolist() == getattr(before, name).tolist()
    assert taught.row_offsets.tolist() == plain.row_offsets.tolist()
    assert taught.column_offsets.tolist() == plain.column_offsets.tolist()
