"""Counts as ratings: totals of what came more than once, and equation (1) of `feedback`, by hand."""
import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.data.feedback import as_counts, count_columns, from_counts, total_counts
from sparse_ae.data.load import load_ratings

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


ORDERS = """order_id,order_date,customer_id,sku,quantity,price
1001,2024-01-03,C17,SKU-4,2,9.99
1002,2024-01-04,C18,SKU-4,1,9.99
1003,2024-01-09,C17,SKU-4,%d,9.99
1004,2024-01-10,C19,SKU-7,3,4.50
"""


def test_orders_of_a_shop(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS % 1)
    found = load_ratings(path, pairs=True, duplicates="sum")
    assert found.matrix.toarray().tolist() == [[3, 0], [1, 0], [0, 3]] and found.items.tolist() == ["SKU-4", "SKU-7"]
    assert found.timestamps.tolist() == [1704758400, 1704326400, 1704844800]
    with pytest.raises(ValueError, match="line 4: user 'C17' has rated item 'SKU-4' already, .*\"sum\" if they are"):
        load_ratings(path, pairs=True)
    path.write_text(ORDERS % -1)
    assert load_ratings(path, pairs=True, duplicates="sum").matrix.nnz == 3  # one is left
    path.write_text(ORDERS % -2)
    with pytest.raises(ValueError, match=r"orders.csv, line 4: user 'C17' has item 'SKU-4' 0 times in all; .*expected "
                                         r"counts above 0: leave out what was given back, .*table.quantity > 0"):
        load_ratings(path, pairs=True, duplicates="sum")
    orders = [line.split(",") for line in (ORDERS % -2).split()]
    table = {name: [row[k] for row in orders[1:]] for k, name in enumerate(orders[0])}
    table["quantity"] = list(map(int, table["quantity"]))
    with pytest.raises(ValueError, match="^user 'C17' has item 'SKU-4' 0 times in all"):
        as_counts(total_counts(table))
