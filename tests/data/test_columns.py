"""What is masked: a rating is left out, in every form that ratings come in; an id is an error."""
import warnings

import numpy as np
import pytest

from sparse_ae.data import check_ratings, ratings_from_triples
from sparse_ae.data.columns import unmasked
from sparse_ae.data.ids import Catalogue, distinct, positions
from sparse_ae.data.ratings import as_float32
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.tables import as_columns, as_counts, as_ratings, count_columns, total_counts

USERS, ITEMS = [1, 1, 2, 2], ["x", "y", "x", "y"]
MASKED = np.ma.masked_equal([5.0, 4, 99, 2], 99)
WANT = [(1, "x", 5.0), (1, "y", 4.0), (2, "y", 2.0)]
MASK = [False, False, True, False]


def in_numbers(letters):
    return [7 + "xy".index(letter) for letter in letters]


def rows():
    """Rows of numbers, users 1 and 2, items 7 and 8."""
    mask = np.zeros((4, 3), bool)
    mask[2, 2] = True
    return np.ma.array(np.column_stack([USERS, in_numbers(ITEMS), MASKED.data]), mask=mask)


def records():
    columns = np.array(list(zip(USERS, ITEMS, MASKED.data)), dtype=[("user", int), ("item", "U1"), ("rating", float)])
    return np.ma.array(columns, mask=[(False, False, masked) for masked in MASK])


FORMS = {
    "tuple": ((USERS, ITEMS, MASKED), None),
    "the constant in a list": ((USERS, ITEMS, [5.0, 4, np.ma.masked, 2]), None),
    "masked ids where the rating is masked": ((np.ma.array(USERS, mask=MASK), ITEMS, MASKED), None),
    "dict": ({"item": ITEMS, "user": USERS, "rating": MASKED}, None),
    "records": (records(), None),
    "rows": (rows(), None),
    "list of masked rows": (list(rows().astype(int)), None),
    "rows of objects": (np.ma.array([list(row) for row in zip(USERS, ITEMS, MASKED.data.tolist())], dtype=object,
                                    mask=rows().mask), None),
    "rows with the constant": ([[1, "x", 5], [1, "y", 4], [2, "x", np.ma.masked], [2, "y", 2]], None),
    "X, y": (np.column_stack([USERS, in_numbers(ITEMS)]), MASKED),
    "X of records, y": (records()[["user", "item"]], MASKED),
    "with timestamps": ((USERS, ITEMS, MASKED, np.ma.array([10, 20, 30, 40], mask=MASK)), None),
}


def triples(columns):
    users, items, values = (np.asarray(column).tolist() for column in columns[:3])
    return list(zip(map(int, users), ["xy"[int(x) - 7] if x not in ("x", "y") else x for x in items], values))


@pytest.mark.parametrize("form", list(FORMS))
def test_masked_ratings_are_left_out(form):
    ratings, y = FORMS[form]
    got = as_ratings(ratings, y)
    coo = got.matrix.tocoo()
    assert triples([got.users[coo.row], got.items[coo.col], coo.data]) == WANT
    assert triples(as_columns(ratings, y)) == WANT
    assert {type(array) for array in (got.users, got.items, got.timestamps)} <= {np.ndarray, type(None)}
    if form == "with timestamps":
        assert got.timestamps.tolist() == [10, 20, 40]
    else:
        assert triples([*count_columns(ratings, y)[:2], as_columns(ratings, y)[2]]) == WANT
    assert MASKED.mask.tolist() == MASK and MASKED.data[2] == 99  # the caller's own


def test_counts_and_stores(tmp_path):
    counts = as_counts(total_counts((USERS, ITEMS, MASKED)))
    np.testing.assert_allclose(counts.matrix.toarray(), np.log2([[6, 5], [1, 3]]))
    chunks = [FORMS[form][0] for form in ("tuple", "dict")] + [([3], ["x"], np.ma.masked_equal([99], 99))]
    stored = store_ratings(chunks, tmp_path / "store", rows="users", duplicates="sum")
    assert stored.row_ids.tolist() == [1, 2] and stored.matrix.toarray().tolist() == [[10, 8], [0, 4]]


def test_a_dense_table():
    table = np.ma.array([[0, 3], [4, 99], [5, 1]], mask=[[0, 0], [0, 0], [1, 0]])
    assert as_ratings(table, missing=99).matrix.toarray().tolist() == [[0, 3], [4, 0], [0, 1]]
    assert as_ratings(table, missing=99).matrix.nnz == 4
    assert as_ratings(table, missing=np.nan).matrix.toarray().tolist() == [[0, 3], [4, 99], [0, 1]]
    with pytest.raises(TypeError, match="are MaskedArray, in which .*as_ratings.ratings, missing=numpy.nan., of the"):
        check_ratings(table)
    with pytest.raises(ValueError, match=r"call as_ratings\(array, missing=...\) first, .*numpy.nan"):
        as_ratings(np.ma.array(np.ones((4, 9)), mask=np.eye(4, 9)))


def test_nothing_masked_is_as_without_a_mask():
    """Of ids that lie far apart, and of those close together."""
    columns = tuple(map(np.ma.array, ([10 ** 6, 5, 10 ** 9], [7, 8, 7], [1.0, 2, 3], [1, 2, 3])))
    got = as_ratings(columns)
    assert {type(array) for array in (got.users, got.items, got.timestamps)} == {np.ndarray}
    assert got.matrix.toarray().tolist() == [[0, 2], [1, 0], [3, 0]] and unmasked(columns)[1] is None
    assert distinct(np.ma.array([3, 1], mask=False))[0].tolist() == [1, 3]
    with pytest.raises(ValueError, match="2 users and 4 ratings were given"):
        ratings_from_triples([1, 2], ITEMS, MASKED)


@pytest.mark.parametrize("ids, entry", [
    (np.ma.array([1, 2], mask=[0, 1]), 1), (np.ma.array(["a", "b"], mask=[1, 0]), 0), ([1, np.ma.masked], 1),
    (["a", "b", np.ma.masked], 2), (np.ma.array([1, 2], object, mask=[1, 1]), 0)])
def test_masked_ids(ids, entry):
    catalogue = Catalogue("user", np.array(["a", "b"] if "a" in list(ids) else [1, 2]), np.ones(2, bool), False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in (distinct, lambda x: positions(x, catalogue.ids, "ids"), catalogue.find):
            with pytest.raises(ValueError, match="^entry %d: the value in (ids|users) is masked, which means" % entry):
                ask(ids)


def test_floats_where_numpy_raises_for_all_errors():
    with np.errstate(all="raise"):
        assert distinct(np.array([7, 3, 7], np.float16))[0].tolist() == [3, 7]
        assert as_float32(np.array([1e-40, 1e-300, 2]))[0].tolist() == [np.float32(1e-40), 0, 2]
