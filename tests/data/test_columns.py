"""Masked arrays are refused, with the ways out, in every form that ratings come in."""
import warnings

import numpy as np
import pytest

from sparse_ae.data import check_ratings, ratings_from_triples
from sparse_ae.data.ids import Catalogue, distinct, positions
from sparse_ae.data.ratings import as_float32
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.tables import as_columns, as_ratings

USERS, ITEMS = [1, 1, 2, 2], [7, 8, 7, 8]
MASKED = np.ma.masked_equal([5.0, 4, 99, 2], 99)
MASK = [False, False, True, False]
ROWS = np.ma.array(np.column_stack([USERS, ITEMS, MASKED.data]), mask=np.outer(MASK, [0, 0, 1]))
RECORDS = np.ma.array(np.array(list(zip(USERS, ITEMS, MASKED.data)), [("user", int), ("item", int), ("rating", float)]),
                      mask=[(False, False, masked) for masked in MASK])
REFUSED = r"some values are masked, .*\.compressed\(\) of them, .*\.filled\(numpy.nan\), with missing=numpy.nan"


@pytest.mark.parametrize("ratings, y", [
    ((USERS, ITEMS, MASKED), None), ((USERS, ITEMS, [5.0, 4, np.ma.masked, 2]), None),
    ((np.ma.array(USERS, mask=MASK), ITEMS, MASKED.data), None),
    ({"user": USERS, "item": ITEMS, "rating": MASKED}, None), (RECORDS, None), (ROWS, None),
    (np.column_stack([USERS, ITEMS]), MASKED),
    ((USERS, ITEMS, MASKED.data, np.ma.array([1, 2, 3, 4], mask=MASK)), None)], ids=range(8))
def test_masked_arrays_are_refused(tmp_path, ratings, y):
    for read in (as_ratings, as_columns):
        with pytest.raises(ValueError, match=REFUSED):
            read(ratings, y)
    if y is None:
        with pytest.raises(ValueError, match=REFUSED):
            store_ratings(ratings, tmp_path / "store")


def test_a_dense_table():
    table = np.ma.array([[0.0, 3], [4, 99], [5, 1]], mask=[[0, 0], [0, 0], [1, 0]])
    with pytest.raises(ValueError, match=REFUSED):
        as_ratings(table, missing=99)
    with pytest.raises(TypeError, match="MaskedArray, in which .*as_ratings.ratings.filled.numpy.nan., missing"):
        check_ratings(table)
    assert as_ratings(table.filled(np.nan), missing=np.nan).matrix.toarray().tolist() == [[0, 3], [4, 99], [0, 1]]


def test_nothing_masked_is_as_without_a_mask():
    """Of ids that lie far apart, and of those close together."""
    columns = tuple(map(np.ma.array, ([10 ** 6, 5, 10 ** 9], [7, 8, 7], [1.0, 2, 3], [1, 2, 3])))
    got = as_ratings(columns)
    assert {type(array) for array in (got.users, got.items, got.timestamps)} == {np.ndarray}
    assert got.matrix.toarray().tolist() == [[0, 2], [1, 0], [3, 0]]
    assert distinct(np.ma.array([3, 1], mask=False))[0].tolist() == [1, 3]
    with pytest.raises(ValueError, match="2 users and 4 ratings were given"):
        ratings_from_triples([1, 2], ITEMS, MASKED.data)


@pytest.mark.parametrize("ids", [
    np.ma.array([1, 2], mask=[0, 1]), np.ma.array(["a", "b"], mask=[1, 0]), [1, np.ma.masked], ["a", "b", np.ma.masked],
    np.ma.array([1, 2], object, mask=[1, 1])])
def test_masked_ids(ids):
    catalogue = Catalogue("user", np.array(["a", "b"] if "a" in list(ids) else [1, 2]), np.ones(2, bool), False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in (distinct, lambda x: positions(x, catalogue.ids, "ids"), catalogue.find):
            with pytest.raises(ValueError, match=REFUSED):
                ask(ids)


def test_floats_where_numpy_raises_for_all_errors():
    with np.errstate(all="raise"):
        assert distinct(np.array([7, 3, 7], np.float16))[0].tolist() == [3, 7]
        assert as_float32(np.array([1e-40, 1e-300, 2]))[0].tolist() == [np.float32(1e-40), 0, 2]
