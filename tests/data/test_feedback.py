"""Counts as ratings: totals of what came more than once, and equation (1) of `feedback`, by hand."""
import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.data.feedback import as_counts, count_columns, from_counts, total_counts

# Of users and items: (7, 1) comes three times, (8, 2) once.
PAIRS = np.array([[7, 1], [8, 2], [7, 1], [7, 1]])
BY_HAND = [[3, 0], [0, 1]]


@pytest.mark.parametrize("feedback, y", [
    (PAIRS, None),
    (PAIRS.tolist(), None),
    ({"user": PAIRS[:, 0], "item": PAIRS[:, 1], "seconds": [3, 4, 5, 6]}, None),
    (([7, 8, 7], [1, 2, 1], [2, 1, 1]), None),
    (PAIRS[:3], [2, 1, 1]),
])
def test_totals_by_hand(feedback, y):
    totals = total_counts(feedback, y)
    assert totals.users.tolist() == [7, 8] and totals.items.tolist() == [1, 2]
    assert totals.matrix.toarray().tolist() == BY_HAND


def test_equation_1_by_hand():
    assert from_counts([1, 3, 7]).tolist() == [1, 2, 3]
    totals = total_counts(PAIRS)
    ratings = as_counts(totals)
    assert ratings.matrix.toarray().tolist() == [[2, 0], [0, 1]] and ratings.matrix.dtype == np.float32
    assert totals.matrix.toarray().tolist() == BY_HAND, "what came is left alone"


def test_columns_stay_as_they_came():
    users, items, ratings = count_columns(PAIRS)
    assert users.tolist() == [7, 8, 7, 7] and items.tolist() == [1, 2, 1, 1] and ratings.tolist() == [1] * 4
    assert count_columns(sp.csr_matrix([[0, 3]]))[2].tolist() == [2]


@pytest.mark.parametrize("count", [0, -1, np.nan, np.inf])
def test_what_is_no_count(count):
    with pytest.raises(ValueError, match="the count .* stands at position 1; expected numbers above 0"):
        from_counts([1, count])
