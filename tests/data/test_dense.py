"""Dense tables, in memory and in files: what is no rating is left out, every other number is one."""

import numpy as np
import pytest
from matrices import assert_canonical

from sparse_ae.data import check_ratings
from sparse_ae.data.load import load_ratings
from sparse_ae.data.tables import as_ratings, ratings_from_table

NAN = float("nan")

# The second user has rated nothing, nobody the third item; the first has given a 0.
TABLE = [[0, 2.5, 99, -1], [99, 99, 99, 99], [99, 5, 99, 99]]
RATED = [(0, 0, 0), (0, 1, 2.5), (0, 3, -1), (2, 1, 5)]


def check(ratings):
    assert_canonical(ratings.matrix)
    assert check_ratings(ratings.matrix) is ratings.matrix
    assert ratings.users.tolist() == [0, 1, 2] and ratings.items.tolist() == [0, 1, 2, 3]
    assert ratings.users.dtype == ratings.items.dtype == np.int64 and ratings.timestamps is None
    coo = ratings.matrix.tocoo()
    assert list(zip(coo.row, coo.col, coo.data)) == RATED and ratings.matrix.shape == (3, 4)


@pytest.mark.parametrize("missing", [99, 99.0, NAN, np.float32("nan"), -7])
def test_arrays(missing):
    array = np.array(TABLE)
    array[array == 99] = missing
    kept = array.copy()
    check(as_ratings(array, missing=missing))
    check(ratings_from_table(array.astype(np.float32), missing))
    check(as_ratings(array.tolist(), missing=missing))
    assert as_ratings(np.array([[0, 1], [2, 1]], np.uint8), missing=1).matrix.nnz == 2
    np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("table, missing, error, message", [
    ([[1, NAN]], 99, ValueError, "row 0, column 1: the rating is nan; .*pass missing=nan if it means"),
    ([[1, 1e39]], 99, ValueError, r"row 0, column 1: the rating is 1e\+39"),
    ([[9, 9]], 9, ValueError, "the table has only 9"),
    ([[1, 2]], "99", ValueError, "missing is '99'; expected the number that means"),
    ([[1, 2]], True, ValueError, "missing is True"), ([[1, 2]], float("inf"), ValueError, "missing is inf"),
    ([1, 2], 99, TypeError, r"ratings are of dtype int64 and shape \(2,\), and missing=99 was given"),
    ([["a", "b"]], 99, TypeError, "ratings are of dtype <U1 and shape"),
    (check_ratings(as_ratings(TABLE, missing=99)), 99, TypeError, "missing=99 was given with csr_.*eliminate_zeros"),
    (as_ratings(TABLE, missing=99), 99, TypeError, "missing=99 was given with Ratings; expected a dense array, or"),
    (([1], [2], [99]), 99, ValueError, "all 1 ratings are 99, which means .not rated."),
    (([1], [2], ["x"]), 99, TypeError, "the rating is 'x'"),
    (type("Frame", (dict,), {"columns": [0, 1]})(), 99, TypeError,
     r"ratings are Frame, whose .* have names, .*pass ratings.to_numpy\(\)"),
])
def test_refused_arrays(table, missing, error, message):
    with pytest.raises(error, match=message):
        as_ratings(table, missing=missing)


@pytest.mark.parametrize("missing", [0, NAN])
def test_columns(missing):
    users, items, values, times = [1, 1, 2, 3], ["x", "y", "x", "y"], [5.0, missing, 3, missing], [10, 20, 30, 40]
    rows = np.array(list(zip(users, items)), dtype=object)
    for ratings, y in (((users, items, values), None), ((users, items, values, times), None), (rows, values),
                       ({"item": items, "rating": values, "user": users}, None),
                       ((users, items, np.ma.array(values, mask=[0, 0, 0, 1])), None)):
        got = as_ratings(ratings, y, missing=missing)
        assert got.matrix.toarray().tolist() == [[5], [3]] and got.items.tolist() == ["x"]
        assert got.timestamps is None or got.timestamps.tolist() == [10, 30]


def test_a_first_column_that_counts_is_no_rating(tmp_path):
    """As in Jester's data set 1, where it is up to 100 beside ratings up to 10."""
    rng = np.random.RandomState(0)
    table = np.where(rng.rand(12, 7) < 0.5, rng.randint(-9, 10, (12, 7)), 99)
    table[3] = 99
    counted = np.column_stack([np.count_nonzero(table != 99, axis=1), table])
    np.savetxt(str(tmp_path / "table"), counted, fmt="%d", delimiter=",")
    for read in (lambda: load_ratings(tmp_path / "table", missing=99), lambda: as_ratings(counted, missing=99)):
        with pytest.raises(ValueError, match=r"first column counts .* in each of 12 rows, .*sparse_ae.jester\(path\)"):
            read()
    counted[11, 0] += 1
    for other in (table, counted, counted[:, :1], np.full((12, 3), 2.5), counted[:3]):
        assert as_ratings(other, missing=99).matrix.nnz == np.count_nonzero(other != 99)
