"""Ratings in: what is taken, in which form it comes out, what is refused; their ids, and which side is rows."""
import copy
import copyreg
import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars
from matrices import assert_canonical, assert_same, broken, entries, small
from numpy.testing import assert_array_equal

from sparse_ae import as_ratings
from sparse_ae.data import Ratings, check_ratings, ids as ids_module, ratings_from_triples, split_ratings
from sparse_ae.data.ids import distinct, ids_of_texts
from sparse_ae.data.side import ITEMS, USERS, Side

# check_ratings


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "uint16"])
def test_check_ratings_takes_every_sparse_format_and_leaves_it_alone(kind, dtype):
    given = small().astype(dtype).asformat(kind)
    before, expected = given.copy(), {(0, 1): 5, (0, 3): 3, (2, 0): 0, (2, 1): 2}
    if kind in ("bsr", "dia"):  # which pad with zeros
        del expected[2, 0]
    arrays = [getattr(sp, kind + "_array")(given)] if hasattr(sp, kind + "_array") else []  # of newer SciPys
    for each in [given] + arrays:
        got = check_ratings(each)
        assert_canonical(got)
        assert entries(got) == expected
    assert entries(given) == entries(before) and given.dtype == dtype
    assert check_ratings(got) is got
    got.data, got.indices = np.append(got.data, np.float32(np.nan)), np.append(got.indices, np.int32(99))
    assert entries(check_ratings(got)) == expected, "what lies behind the last row counts for nothing"


def test_check_ratings_sees_what_is_unsorted():
    rng = np.random.RandomState(0)
    for seed, (n_rows, n_items) in enumerate([(5, 3), (3, 8), (9, 2)] * 20):
        ratings = many_stars(n_rows, n_items, 0.5, seed)
        shuffled = ratings.copy()
        for start, stop in zip(ratings.indptr, ratings.indptr[1:]):
            order = start + rng.permutation(stop - start)
            shuffled.indices[start:stop], shuffled.data[start:stop] = ratings.indices[order], ratings.data[order]
        before = shuffled.copy()
        assert_same(check_ratings(ratings), ratings)
        assert_same(check_ratings(shuffled), ratings)
        assert_same(shuffled, before)
        assert (check_ratings(shuffled) is shuffled) == np.array_equal(shuffled.indices, ratings.indices)


def test_a_part_of_ratings_keeps_the_ids_and_the_times():
    ratings = ratings_from_triples(["b", "a", "b"], [7, 7, 5], [1, 2, 3], timestamps=[10, 20, 30])
    split = split_ratings(ratings.matrix, 0.4, rng=0)
    train, test = ratings.part(split.train), ratings.part(split.test.tocsc())
    assert train.users.tolist() == ["a", "b"] and train.items.tolist() == [5, 7] and train.matrix is split.train
    times = {1: 10, 2: 20, 3: 30}
    assert train.timestamps.tolist() == [times[value] for value in train.matrix.data]
    assert test.timestamps.tolist() == [times[value] for value in test.matrix.data]
    assert ratings.part(sp.csr_matrix([[1.0, 0], [0, 0]])).timestamps is None, "which entry of these is it?"
    assert ratings._replace(timestamps=None).part(split.train).timestamps is None
    assert ratings.part(train) is train
    with pytest.raises(ValueError, match="the part has other users or items than the ratings; expected the same ids"):
        ratings.part(Ratings(split.train, ["b", "a"], [5, 7]))
    with pytest.raises(ValueError, match="the part is 1 x 2 and the ratings are 2 x 2"):
        ratings.part(split.train[:1])
    for wrong in (split, split.cold_users, [0]):
        with pytest.raises(TypeError, match="expected a sparse matrix of some of the ratings, such as split.train"):
            ratings.part(wrong)


def test_ratings_are_counted_shown_taken_apart_and_copied():
    ratings = ratings_from_triples(["b", "a", "b"], [7, 7, 5], [1, 2, 0], timestamps=[10, 20, 30])
    assert repr(ratings) == "Ratings(3 ratings, 2 users, 2 items)" and len(ratings) == 3
    for name in ("shape", "tocoo", "data"):  # splits of version 1.0 were matrices
        with pytest.raises(AttributeError, match="have no %s: it is ratings.matrix.%s" % (name, name)):
            getattr(ratings, name)
    assert not hasattr(ratings, "no_such_name")
    matrix, users, items, timestamps = ratings
    assert [matrix, users, items, timestamps] == [getattr(ratings, name) for name in (
        "matrix", "users", "items", "timestamps")]
    for name in ("users", "other"):
        with pytest.raises(AttributeError, match="%s of Ratings can't be set; make new Ratings" % name):
            setattr(ratings, name, users)
    copies = [pickle.loads(pickle.dumps(ratings, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    # As pickles of version 1.0 do, where they were a named tuple.
    for each in copies + [copy.deepcopy(ratings), copyreg.__newobj__(Ratings, *ratings)]:
        assert_same(each.matrix, matrix)
        assert [list(column) for column in list(each)[1:]] == [["a", "b"], [5, 7], [20, 30, 10]]


def test_a_table_of_ratings():
    pandas = pytest.importorskip("pandas")
    ratings = ratings_from_triples(["b", "a", "b"], [7, 7, 5], [1, 2, 0], timestamps=[10, 20, 30])
    table = ratings.to_frame()
    assert isinstance(table, pandas.DataFrame) and table.to_dict("list") == {
        "user": ["a", "b", "b"], "item": [7, 5, 7], "rating": [2, 0, 1], "timestamp": [20, 30, 10]}
    assert_same(as_ratings(table).matrix, ratings.matrix)
    assert list(ratings._replace(timestamps=None).to_frame()) == ["user", "item", "rating"]
    table["rating"] = 9
    assert ratings.matrix.data.max() == 2


def of_format(kind, **parts):
    """A matrix of another format with other arrays."""
    matrix = small().asformat(kind)
    for name, values in parts.items():
        setattr(matrix, name, np.array(values))
    return matrix


@pytest.mark.parametrize("given, error, message", [
    (of_format("csc", indices=[0, 2, 7, 0]), ValueError, r"entry 2 has the index 7; expected 0 \.\. 2"),
    (of_format("csc", indices=[0.5, 2, 1, 0]), ValueError, "of the entries is of dtype float64; expected integers"),
    (np.eye(3), TypeError, r"ndarray, in which a missing rating can't be told from a 0.*csr_matrix\(ratings\)"),
    (small().astype(complex), TypeError, "dtype complex128; expected real numbers"),
    (sp.csr_matrix((3, 4)), ValueError, "shape 3 x 4 hold no entries"),
    (broken(data=[5, np.nan, 0, 2]), ValueError, "row 0, column 3: the rating is nan; .*correct or drop it"),
    (broken(data=[5, 3, np.nan, 2]).tocsc(), ValueError, "row 2, column 0: the rating is nan"),
    (sp.coo_matrix(([1e39], ([1], [2]))), ValueError, r"row 1, column 2: the rating is 1e\+39"),
    (broken(indices=[1, 1, 0, 1]), ValueError, r"row 0, column 1 is stored twice \(5.0 and 3.0\).*sum_duplicates"),
    (broken(indices=[1, 4, 0, 1]), ValueError, r"entry 1 has the index 4; expected 0 \.\. 3.*coo_matrix"),
    (broken(indptr=[0, 3, 2, 4]), ValueError, "indptr of the CSR matrix isn't 4 ascending integers that start at 0"),
    (broken(indptr=[1, 2, 2, 4]), ValueError, "start at 0"),
    (broken(indptr=[0, 2, 2, 10 ** 6]), ValueError, "announces 1000000 entries, but there are 4 indices and 4 values"),
    (broken(data=[5, 3]), ValueError, "announces 4 entries, but there are 4 indices and 2 values"),
    (of_format("coo", row=[0, 0, -2, 2]), ValueError, r"entry 2 has the row -2; expected 0 \.\. 2"),
    (of_format("coo", col=[0, 9, 1, 2]), ValueError, r"entry 1 has the column 9; expected 0 \.\. 3"),
    (of_format("coo", data=[1.0]), ValueError, "the COO matrix has 4 rows, 4 columns and 1 values"),
])
def test_check_ratings_refuses(given, error, message):
    with pytest.raises(error, match=message):
        check_ratings(given)


# ratings_from_triples

@pytest.mark.parametrize("ids, want", [
    (np.array([2.0, -1.0]), [-1, 2]),
    (np.array([9, 8], np.uint8), [8, 9]),
    (np.array(["b", "a"], object), ["a", "b"]),
    (("b", "a"), ["a", "b"]),
    (["10", "9"], ["10", "9"]),
])
def test_ids_of_triples(ids, want):
    got = ratings_from_triples(ids, ids, [1, 2])
    assert got.users.tolist() == got.items.tolist() == want
    assert got.users.dtype == np.int64 or got.users.dtype.kind == "U"
    assert_array_equal(got.matrix.toarray(), [[1, 0], [0, 2]] if want == list(ids) else [[2, 0], [0, 1]])


@pytest.mark.parametrize("change, error, message", [
    (dict(timestamps=[1, 2, 3]), ValueError, "3 timestamps and 2 ratings were given"),
    (dict(users=[], items=[], ratings=[]), ValueError, "there are no ratings in the arrays"),
    (dict(users=[[1, 2]]), ValueError, r"users have the shape \(1, 2\); expected one dimension"),
    (dict(ratings=[1, "x"]), TypeError, "entry 1: the rating is 'x'"),
    (dict(ratings=[1, np.nan]), ValueError, "entry 1: the rating is nan"),
    (dict(users=np.array(["a", np.nan], object)), TypeError, "entry 1: the id in users is nan; .*: fill it in"),
    (dict(users=[1, np.nan]), ValueError, "entry 1: the id in users is nan; .*: fill it in, or leave such rows out"),
    (dict(users=[1, 2.5]), ValueError, "entry 1: the id in users is 2.5; ids have to be integers or strings"),
    (dict(items=[1, "1"]), TypeError, "entry 1: the id in items is '1'; ids have to be all integers or all strings"),
    (dict(items=[b"a", b"b"]), TypeError, "entry 0: the id in items is b.a.; ids have to be all integers or all"),
    (dict(items=["a", "a\0"]), ValueError, r"entry 1: the id 'a\\x00' in items ends with a NUL"),
    (dict(items=[1, 2 ** 70]), ValueError, "entry 1: the id %d in items is too large for int64" % 2 ** 70),
    (dict(items=np.array([1, 2 ** 63], np.uint64)), ValueError, "entry 1: the id %d in items is too large" % 2 ** 63),
    (dict(timestamps=["then", "now"]), TypeError, "entry 0: the timestamp is 'then'; expected numbers or datetime64"),
    (dict(timestamps=[1, None]), TypeError, "entry 1: the timestamp is None; expected numbers or datetime64: convert"),
    (dict(users=[7, 7], items=["x", "x"]), ValueError, "entry 1: user 7 has rated item 'x' already, in entry 0"),
    (dict(duplicates=["last"]), ValueError, "duplicates is .*; expected 'error', 'first', 'last', 'mean' or 'sum'"),
])
def test_triples_refuse(change, error, message):
    arguments = dict(users=[1, 2], items=[1, 2], ratings=[3.0, 4.0])
    arguments.update(change)
    with pytest.raises(error, match=message):
        ratings_from_triples(**arguments)


# Pairs that come more than once

AGAIN = (["b", "a", "b", "a", "b"], [7, 7, 7, 3, 7], [1.0, 5, 2, 4, 4], [50, 10, 40, 20, 30])


@pytest.mark.parametrize("duplicates, values, times", [
    ("first", [4, 5, 1], [20, 10, 50]), ("last", [4, 5, 4], [20, 10, 30]), ("mean", [4, 5, 7 / 3], [20, 10, 50]),
    ("sum", [4, 5, 7], [20, 10, 30])])
def test_pairs_of_triples_that_come_twice(duplicates, values, times):
    kept = [np.array(each) for each in AGAIN]
    got = ratings_from_triples(*kept, duplicates=duplicates)
    assert_canonical(got.matrix)
    for ours in (got.matrix.data, got.users, got.items, got.timestamps):
        assert not any(np.shares_memory(ours, array) for array in kept)
    assert got.matrix.data.tolist() == np.array(values, np.float32).tolist() and got.timestamps.tolist() == times
    assert got.users.tolist() == ["a", "b"] and got.matrix.indptr.tolist() == [0, 2, 3]


@pytest.mark.parametrize("form", ["coo", "csr", "csc"])
@pytest.mark.parametrize("duplicates, value", [("first", 1), ("last", 4), ("mean", 7 / 3), ("sum", 7)])
def test_pairs_of_a_matrix_that_come_twice(form, duplicates, value):
    rows, cols, values = [1, 0, 1, 0, 1], [1, 1, 1, 0, 1], np.array([1.0, 5, 2, 4, 4])
    matrix = sp.coo_matrix((values, (rows, cols)))
    if form == "csr":
        matrix = sp.csr_matrix((values[[1, 3, 0, 2, 4]], [1, 0, 1, 1, 1], [0, 2, 5]), shape=(2, 2))
    elif form == "csc":
        matrix = sp.csc_matrix((values[[3, 0, 1, 2, 4]], [0, 1, 0, 1, 1], [0, 1, 5]), shape=(2, 2))
    got = check_ratings(matrix, duplicates)
    assert_canonical(got)
    assert got.toarray().tolist() == [[4, 5], [0, np.float32(value)]]
    with pytest.raises(ValueError, match='row 1, column 1 is stored twice .*duplicates="last"'):
        check_ratings(matrix)


def test_a_mean_is_taken_in_float64():
    values = [16777216.0] + [1.0] * 3
    got = ratings_from_triples([1] * 4, [1] * 4, values, duplicates="mean")
    assert got.matrix.data.tolist() == [np.float32(16777219 / 4)]


# Ids


@pytest.mark.parametrize("values", [
    [], [7], [5, 3, 5, 3, 9], [-4, 10 ** 15, -4, 0], [2 ** 63 - 1, -2 ** 63], list(range(50, 0, -1)) * 2,
    np.random.RandomState(0).randint(-10 ** 6, 10 ** 6, 999), np.random.RandomState(0).randint(0, 90, 999)])
def test_distinct_integers_are_those_of_unique(values):
    values = np.array(values, np.int64)
    ids, places = distinct(values)
    expected = np.unique(values, return_inverse=True)
    assert ids.dtype == np.int64 and ids.tolist() == expected[0].tolist() and places.tolist() == expected[1].tolist()
    unsigned = values[values >= 0].astype(np.uint64)
    assert distinct(unsigned)[0].tolist() == np.unique(unsigned).tolist()


@pytest.mark.parametrize("texts", [
    ["7", "007"], ["1.0"], ["+1"], ["-0"], ["1_0"], ["9223372036854775808"], ["-9223372036854775808"], ["\u0663"],
    ["a", "1"], ["9" * 5000]])
def test_texts_that_stay_texts(texts):
    assert ids_of_texts(texts + texts[:1]).tolist() == texts + texts[:1]
    ids = ids_of_texts(["9223372036854775807", "-9223372036854775807", "0", "-5", "0"])
    assert ids.dtype == np.int64 and ids.tolist() == [2 ** 63 - 1, -2 ** 63 + 1, 0, -5, 0]


@pytest.mark.parametrize("ids", [{1, 2}, {1: 2}.keys(), iter([1]), None])
def test_ids_that_are_no_list(ids):
    with pytest.raises(TypeError, match="items is .*; expected an id, or a list of ids"):
        ids_module.positions(ids, np.arange(3), "items")


# Rows and columns, users and items


def test_sides():
    for side, users, items in ((USERS, "r", "c"), (ITEMS, "c", "r")):
        assert side.users_items("r", "c") == (users, items) and side.rows_columns(users, items) == ("r", "c")
        assert side.other.users_items("c", "r") == (users, items) and side.other.other == side
        assert pickle.loads(pickle.dumps(side)).rows_columns(1, 2) == side.rows_columns(1, 2)
    grid = np.zeros((2, 3))
    ITEMS.turned(grid)[2, 0] = 5
    assert USERS.turned(grid) is grid and grid[0, 2] == 5
    assert {"items": 1}[ITEMS] == 1 and Side("items") == ITEMS and json.dumps({"rows": ITEMS}) == '{"rows": "items"}'
    for word in ("", "both", "Items", None, [], 1):
        with pytest.raises(ValueError, match="the rows are .*; expected 'users' or 'items'"):
            Side(word)
