"""Mini-batches: each row once, in the order that the generator gives; and dense rows."""
import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars
from matrices import assert_canonical, assert_same, broken, entries, small
from numpy.testing import assert_array_equal

from sparse_ae.data import minibatches, refuse_stored_zeros, split_ratings


@pytest.mark.parametrize("batch_size", [1, 7, 34, 1000])
@pytest.mark.parametrize("rng", [None, 3])
def test_minibatches_hold_each_row_with_ratings_once(batch_size, rng):
    matrix = many_stars()
    before = matrix.copy()
    with_ratings = np.flatnonzero(np.diff(matrix.indptr))
    assert 0 < len(with_ratings) < matrix.shape[0]
    batches = list(minibatches(matrix, batch_size, rng))
    seen = np.concatenate([rows for rows, _ in batches])
    assert_array_equal(np.sort(seen), with_ratings)
    assert (seen.tolist() == with_ratings.tolist()) == (rng is None)
    assert [len(rows) for rows, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for rows, block in batches:
        assert_canonical(block)
        assert block.shape == (len(rows), matrix.shape[1])
        for place, row in enumerate(rows):
            assert entries(block[place]) == entries(matrix[row])
        block.data[:] = -1
    assert_same(matrix, before)


def test_minibatches_are_shuffled_by_the_rng():
    matrix = many_stars()

    def order(rng):
        return np.concatenate([rows for rows, _ in minibatches(matrix, 8, rng)]).tolist()

    assert order(3) == order(3) == order(np.random.RandomState(3)) != order(4)
    rng = np.random.RandomState(3)
    assert order(rng) != order(rng)
    assert order(3) != order(None)


@pytest.mark.parametrize("matrix, batch_size, rng, error, message", [
    (small().tocsc(), 2, None, TypeError, r"isn't a float32 csr_matrix; .*check_ratings\(matrix\)"),
    (small().astype(np.float64), 2, None, TypeError, "isn't a float32 csr_matrix"),
    (small(), 0, None, ValueError, "batch_size is 0; expected a positive integer"),
    (small(), 2.0, None, ValueError, "batch_size is 2.0"),
    (small(), 2, "seed", TypeError, "rng is 'seed'"),
    (sp.csr_matrix((2, 2), dtype=np.float32), 2, None, ValueError, "the matrix holds no entries"),
])
def test_minibatches_refuse_at_the_call(matrix, batch_size, rng, error, message):
    with pytest.raises(error, match=message):
        minibatches(matrix, batch_size, rng)


def test_stored_zeros_are_refused():
    refuse_stored_zeros(small()[:2])
    with pytest.raises(ValueError, match=r"ratings hold 1 stored zero; a dense row cannot tell them from missing "
                                         r"entries. Remove them with eliminate_zeros\(\) or use formulation='sparse'"):
        refuse_stored_zeros(small())
    with pytest.raises(ValueError, match="ratings hold 3 stored zeros;"):
        refuse_stored_zeros(broken(data=[0, 0, 0, 2]))
    with pytest.raises(TypeError, match="the ratings are ndarray; expected a SciPy CSR matrix"):
        refuse_stored_zeros(np.eye(2))


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()
    matrix = many_stars()
    list(minibatches(split_ratings(matrix, rng=0).train, 4, 0))
    after = np.random.get_state()
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
