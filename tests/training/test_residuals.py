"""Ratings in, residuals out: the equations by loops, what a rating is, and that the scale doesn't matter."""
import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars

from sparse_ae.training.residuals import Residuals


def residuals_of(matrix, seed=0, scale=(0, 5)):
    rng = np.random.RandomState(seed)
    return Residuals(3 + rng.randn(matrix.shape[0]), rng.randn(matrix.shape[1]), scale)


@pytest.mark.parametrize("scale, unit", [((1, 5), 1.0), ((0, 5), 1.25), ((-10, 10), 5.0), ((0, 100), 25.0)])
def test_equations_by_loops(scale, unit):
    matrix = many_stars()
    residuals = residuals_of(matrix, scale=scale)
    assert residuals.unit == unit
    rows = np.array([3, 0, 7, 12])  # rows 0 and 7 have no rating
    inputs, target, seen = residuals.batch(rows, matrix[rows])
    assert inputs.dtype == target.dtype == seen.dtype == np.float32 and inputs.shape == (4, matrix.shape[1])
    k = 0
    for place, row in enumerate(rows):
        count = matrix.indptr[row + 1] - matrix.indptr[row]
        for p in range(matrix.indptr[row], matrix.indptr[row + 1]):
            col = matrix.indices[p]
            residual = (matrix.data[p] - residuals.rows[row] - residuals.columns[col]) / unit
            factor = (50 / count) ** 0.25
            assert target[k] == pytest.approx(residual, rel=1e-5, abs=1e-6)
            assert inputs[place, col] == pytest.approx(residual * factor, rel=1e-5, abs=1e-6)
            assert seen[k] == pytest.approx(3 * factor, rel=1e-6)
            k += 1
    assert k == len(target) == len(seen) == inputs.nnz > 0


def test_a_residual_of_zero_is_a_rating():
    matrix = sp.csr_matrix((np.array([3, 4, 0], np.float32), [0, 1, 1], [0, 2, 3]), shape=(2, 3))
    inputs, target, seen = Residuals([3.0, 0.0], [0.0, 1.0, 0.0], (0, 4)).batch(np.arange(2), matrix)
    assert target.tolist() == [0, 0, -1] and inputs.nnz == 3 and (seen > 0).all()
    assert inputs.indices.tolist() == [0, 1, 1] and inputs.indptr.tolist() == [0, 2, 3]


def test_the_way_back_is_the_way_in():
    matrix = many_stars()
    residuals, coo = residuals_of(matrix), matrix.tocoo()
    target = residuals.batch(np.arange(matrix.shape[0]), matrix)[1]
    back = residuals.baseline(coo.row, coo.col) + residuals.unit * target
    assert back == pytest.approx(matrix.data, abs=1e-5)
    assert residuals.clip(np.array([-1.0, 2.0, 7.0])).tolist() == [0, 2, 5]


def test_the_scale_does_not_matter():
    """Ratings, biases and scale times 5 less 15, from 1 .. 5 to -10 .. 10, and times 25 less 25, to 0 .. 100."""
    matrix = many_stars()
    matrix.data[:] = 1 + matrix.data * 0.8
    one = residuals_of(matrix, scale=(1, 5))
    rows = np.arange(matrix.shape[0])
    for factor, shift, scale in ((5, -15, (-10, 10)), (25, -25, (0, 100))):
        other = Residuals(factor * one.rows + shift, factor * one.columns, scale)
        wide = sp.csr_matrix((factor * matrix.data + shift, matrix.indices, matrix.indptr), shape=matrix.shape)
        for left, right in zip(one.batch(rows, matrix), other.batch(rows, wide)):
            left, right = (x.data if sp.issparse(x) else x for x in (left, right))
            assert right == pytest.approx(left, abs=1e-5)


def test_rows_that_nobody_knows_bring_their_offset():
    matrix = many_stars()
    residuals = residuals_of(matrix)
    rows = np.array([3, 4])
    for left, right in zip(residuals.batch(rows, matrix[rows]), residuals.block(matrix[rows], residuals.rows[rows])):
        assert (left != right).sum() == 0


def test_variance(monkeypatch):
    matrix = many_stars()
    residuals = residuals_of(matrix)
    target = residuals.batch(np.arange(matrix.shape[0]), matrix)[1].astype("float64")
    assert residuals.variance(matrix) == pytest.approx(np.mean(target ** 2), rel=1e-12)
    monkeypatch.setattr("sparse_ae.training.residuals._PART", 10)
    assert residuals.variance(matrix) == pytest.approx(np.mean(target ** 2), rel=1e-12)
