"""Ratings in whatever people have them in: all forms give the same, and what is none says what was expected."""
import datetime
import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from matrices import assert_canonical, entries, triples, written

from sparse_ae.data import Ratings, Split, check_ratings, columns, ratings_from_triples
from sparse_ae.data.attributes import as_attributes
from sparse_ae.data.columns import tell_of_zeros
from sparse_ae.data.datasets import Dataset
from sparse_ae.data.ids import positions
from sparse_ae.data.load import load_ratings
from sparse_ae.data.tables import as_columns, as_counts, as_pairs, as_ratings, from_counts, total_counts
from sparse_ae.recommender.recommender import Recommender

USERS, ITEMS, VALUES, TIMES = ["b", "a", "b"], [7, 7, 3], [4.5, 0.0, 1.0], [30, 10, 20]
TRIPLES = ratings_from_triples(USERS, ITEMS, VALUES)


class Table:
    """What a data frame is known by, and no more."""

    def __init__(self, **columns):
        self.data, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return self.data[name]


def same(left, right):
    assert left.users.tolist() == right.users.tolist() and left.users.dtype == right.users.dtype
    assert left.items.tolist() == right.items.tolist() and left.items.dtype == right.items.dtype
    for name in ("data", "indices", "indptr"):
        assert getattr(left.matrix, name).tolist() == getattr(right.matrix, name).tolist()


FORMS = {
    "tuple": (USERS, ITEMS, VALUES),
    "arrays": tuple(map(np.array, (USERS, ITEMS, VALUES))),
    "rows": list(zip(USERS, ITEMS, VALUES)),
    "array of rows": np.array(list(zip(USERS, ITEMS, VALUES)), dtype=object),
    "structured": np.array(list(zip(USERS, ITEMS, VALUES)), dtype=[("user", "U1"), ("item", int), ("rating", float)]),
    "dict": {"item": ITEMS, "user": USERS, "rating": VALUES},
    "by name": Table(rating=VALUES, when=TIMES, user=USERS, item=ITEMS),
    "by name, beside a synonym": Table(score=TIMES, movie=USERS, item=ITEMS, user=USERS, rating=VALUES),
    "by name, as MovieLens": Table(movieId=ITEMS, title=VALUES, genres=TIMES, userId=USERS, rating=VALUES),
    "by place": Table(customer=USERS, film=ITEMS, stars=VALUES),
    "by place, one named": Table(user=USERS, film=ITEMS, given=VALUES),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_forms(form):
    same(as_ratings(FORMS[form]), TRIPLES)
    columns = as_columns(FORMS[form])
    assert [list(column) for column in columns] == [USERS, ITEMS, VALUES]
    same(as_ratings(TRIPLES), TRIPLES)
    assert as_ratings(TRIPLES).matrix is TRIPLES.matrix


@pytest.mark.parametrize("pairs", [
    list(zip(USERS, ITEMS)), np.array(list(zip(USERS, ITEMS)), dtype=object), Table(item=ITEMS, user=USERS),
    Table(x=USERS, y=ITEMS)])
def test_pairs_and_ratings(pairs):
    same(as_ratings(pairs, VALUES), TRIPLES)
    same(as_ratings(pairs, np.array(VALUES)), TRIPLES)
    assert [list(column) for column in as_pairs(pairs)] == [USERS, ITEMS]
    numbers = as_ratings(np.array([[9, 5, 3.5], [8, 5, 1.0]]))
    assert numbers.users.tolist() == [8, 9] and numbers.users.dtype == np.int64
    assert numbers.matrix.toarray().tolist() == [[1], [3.5]]


@pytest.mark.parametrize("form", [
    (USERS, ITEMS, VALUES, TIMES), list(zip(USERS, ITEMS, VALUES, TIMES)), Table(a=USERS, b=ITEMS, c=VALUES, d=TIMES),
    Table(timestamp=TIMES, user=USERS, item=ITEMS, rating=VALUES)])
def test_timestamps(form):
    same(as_ratings(form), TRIPLES)
    assert as_ratings(form).timestamps.tolist() == [10, 20, 30]
    assert list(as_columns(form)[3]) == TIMES
    same(as_ratings((USERS, ITEMS, VALUES, None)), TRIPLES)  # no timestamps are known


def test_a_sparse_matrix_is_numbered_and_its_ids_come_into_order():
    matrix = sp.coo_matrix(([2.0, 0.0], ([0, 2], [1, 0])), shape=(3, 2))
    ratings = as_ratings(matrix)
    assert ratings.users.tolist() == [0, 1, 2] and ratings.items.tolist() == [0, 1] and ratings.matrix.nnz == 2
    assert [list(column) for column in as_columns(matrix)] == [[0, 2], [1, 0], [2, 0]]
    matrix = sp.csr_matrix(np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 4.0]]))
    ratings = as_ratings(Ratings(matrix, ["z", "m"], [30, 10, 20]))
    assert ratings.users.tolist() == ["m", "z"] and ratings.items.tolist() == [10, 20, 30]
    assert ratings.matrix.toarray().tolist() == [[3, 4, 0], [2, 0, 1]]
    unsorted = sp.csr_matrix((np.array([1, 2, 3], np.float32), [1, 0, 0], [0, 2, 3]), shape=(2, 2))
    matrices = unsorted, check_ratings(unsorted)
    for given, users, items in itertools.product(matrices, ([5, 6], [6, 5]), ([7, 8], [8, 7])):
        found = as_ratings(Ratings(given, users, items, 100 * given.data))  # and times go with them
        assert (found.timestamps == 100 * found.matrix.data).all() and found.users.tolist() == [5, 6]


def test_ratings_with_other_timestamps_are_refused():
    for times in ([1, 2, 3], [1]):
        with pytest.raises(ValueError, match=r"timestamps have the shape \(%d,\) and there are 2 ratings" % len(times)):
            as_ratings(Ratings(sp.csr_matrix([[1.0, 2.0]]), ["a"], [5, 6], times))


def test_room_behind_the_entries_is_no_rating():
    matrix = sp.csr_matrix([[1.0, 2.0]])
    matrix.data, matrix.indices = np.append(matrix.data, [9]), np.append(matrix.indices, np.int32(0))
    found = as_ratings(Ratings(matrix, ["a"], [6, 5], [1, 2]))
    assert found.matrix.data.tolist() == [2, 1] and found.timestamps.tolist() == [2, 1]


def test_pairs_that_come_twice():
    again = Table(user=USERS + ["b"], item=ITEMS + [7], rating=VALUES + [2.5], timestamp=TIMES + [5])
    assert as_ratings(again, duplicates="last").matrix.toarray().tolist() == [[0, 0], [1, 2.5]]
    matrix = sp.coo_matrix(([1.0, 4.0], ([0, 0], [1, 1])))
    merged = as_ratings(Ratings(matrix, ["a"], [5, 6], [1, 2]), duplicates="first")
    assert merged.matrix.data.tolist() == [1] and merged.timestamps.tolist() == [1]
    with pytest.raises(ValueError, match="entry 3: user .b. has rated item 7 already, in entry 0; .*"
                                         'duplicates="last" to load_ratings or as_ratings'):
        as_ratings(again)
    with pytest.raises(ValueError, match="duplicates is 'drop'; expected 'error'"):
        as_ratings(again, duplicates="drop")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_data_frames(library):
    made = getattr(pytest.importorskip(library), "table" if library == "pyarrow" else "DataFrame")
    same(as_ratings(made({"rating": VALUES, "item": ITEMS, "user": USERS})), TRIPLES)


def test_null_in_a_dictionary_of_pyarrow_is_missing():
    pyarrow = pytest.importorskip("pyarrow")
    coded = pyarrow.array(["a", None, "b", "a"]).dictionary_encode()
    for column in (coded, pyarrow.chunked_array([coded, coded])):
        rows = list(range(len(column)))
        with pytest.raises(TypeError, match="entry 1: the id in users is None; .*: fill it in, or leave such rows out"):
            as_ratings({"user": column, "item": rows, "rating": rows})
    numbers = pyarrow.array([7, 8, 7]).dictionary_encode()
    assert triples(as_ratings((coded.take([0, 3, 2]), [1, 2, 3], numbers))) == [("a", 1, 7), ("a", 2, 8), ("b", 3, 7)]


def test_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"rating": VALUES, "item": ITEMS, "user": USERS})
    odd = pandas.DataFrame({"user": pandas.Categorical(USERS), "item": pandas.array(ITEMS, dtype="Int64"),
                            "rating": pandas.array(VALUES, dtype="Float64")}, index=[5, 5, 9])
    same(as_ratings(odd), TRIPLES)
    same(as_ratings(frame[["user", "item"]], frame["rating"]), TRIPLES)
    with pytest.raises(TypeError, match="entry 1: the id in users is"):
        as_ratings(frame.assign(user=["b", None, "b"]))
    with pytest.raises(ValueError, match="entry 1: the rating is nan"):
        as_ratings(frame.assign(rating=[1, np.nan, 2]))


NAN = float("nan")

# A dense table: the second user has rated nothing, nobody the third item; the first has given a 0.
DENSE = [[0, 2.5, 99, -1], [99, 99, 99, 99], [99, 5, 99, 99]]


@pytest.mark.parametrize("ratings, given, error, message", [
    (None, {}, ValueError,
     "ratings are NoneType; expected a table, or an array of rows, with user, item, "
                             "rating and perhaps timestamp; a tuple of such columns; or a sparse matrix"),
    ("ratings.csv", {}, ValueError, r"are str, 'ratings.csv'; .* to read a file, pass load_ratings\('ratings.csv'\)$"),
    (Dataset("100k", TRIPLES, {}), {}, TypeError, "ratings are a Dataset of name, .*; expected .* pass its ratings"),
    (Split(TRIPLES.matrix, TRIPLES.matrix, [], []), {}, TypeError,
     r"ratings are a Split of train, test, .* pass one of its parts, such as split.train"),
    (np.ones((2, 5)), {}, ValueError,
     r"ratings are ndarray of shape \(2, 5\); .* call as_ratings\(array, missing=...\) first, with"),
    (Table(user=[1], item=[2]), {}, ValueError,
     "ratings have the columns 'user', 'item', none named for the rating; rename one to rating, or keep "
                                                  "just 3 or 4 columns, in the order user, item, rating, timestamp; "
     "or fit pairs without ratings with objective='clicks'"),
    (Table(user=[[1], 2], item=[1, 2], rating=[3, 4]), {}, TypeError, r"the id in users is \[1\]"),
    (Table(film=[1], user=[2], rating=[3]), {}, ValueError,
     "have the columns 'film', 'user', 'rating', none named for the item; rename one to item"),
    (Table(rating=[3], movi_nr=[1], user=[2], price=[9]), {}, ValueError, "for the item; rename one to item,"),
    (Table(user=[1], userId=[1], item=[2], rating=[3]), {}, ValueError,
     "several columns for the user: 'user', 'userId'"),
    (type("LazyFrame", (), {"columns": ["user", "item", "rating"], "collect": lambda self: None,
                            "__getitem__": None})(), {}, TypeError,
     r"a LazyFrame has no values yet: pass its .collect\(\)"),
    (Table(item=[1], who=[2]), dict(y=[5]), ValueError,
     "X have the columns 'item', 'who', none named for the user; rename one to user, or keep just 2"),
    (Table(**{"i%d" % k: [1] for k in range(2000)}), {}, ValueError,
     r"'i9' and 1990 more, none named for the user and the item and the rating; .*as_ratings\(array, missing=...\).*"),
    ([("a", 2), (1, 3)], dict(y=[5, 5]), TypeError,
     "entry 1: the id in users is 1; ids have to be all integers or all strings"),
    ([(1, 2, "good")], {}, TypeError, "entry 0: the rating is 'good'; expected a real number"),
    ((["a" * 10 ** 6] * 2, [1, 1], [2, 3]), {}, ValueError, "^.{9,600}$"),  # a long id is cut
    (Ratings(TRIPLES.matrix, ["a"], [3, 7]), {}, ValueError,
     r"users have the shape \(1,\) and the matrix has 2 of them"),
    (Ratings(TRIPLES.matrix, ["a", "b"], [3, 3]), {}, ValueError, "items have the id 3 twice"),
    ([[1, NAN]], dict(missing=99), ValueError, "row 0, column 1: the rating is nan; .*pass missing=nan if it means"),
    ([1, 2], dict(missing=99), TypeError, r"ratings are of dtype int64 and shape \(2,\), and missing=99 was given"),
    (TRIPLES.matrix, dict(missing=99), TypeError, "missing=99 was given with csr_.*eliminate_zeros"),
    (TRIPLES, dict(missing=99), TypeError, "missing=99 was given with Ratings; expected a dense array, or"),
    (([1], [2], [99]), dict(missing=99), ValueError, "all 1 ratings are 99, which means .not rated."),
    (type("Frame", (dict,), {"columns": [0, 1]})(), dict(missing=99), TypeError,
     r"ratings are Frame, whose .* have names, .*pass ratings.to_numpy\(\)"),
])
def test_refused(ratings, given, error, message):
    with pytest.raises(error, match=message):
        as_ratings(ratings, **given)


# Numbers that mean "not rated"


@pytest.mark.parametrize("missing", [99, 99.0, NAN, np.float32("nan"), -7])
def test_dense_arrays(missing):
    array = np.array(DENSE)
    array[array == 99] = missing
    kept = array.copy()
    for form in (array, array.astype(np.float32), array.tolist()):
        ratings = as_ratings(form, missing=missing)
        assert_canonical(ratings.matrix)
        assert check_ratings(ratings.matrix) is ratings.matrix and ratings.matrix.shape == (3, 4)
        assert ratings.users.tolist() == [0, 1, 2] and ratings.items.tolist() == [0, 1, 2, 3]
        assert ratings.users.dtype == ratings.items.dtype == np.int64 and ratings.timestamps is None
        assert entries(ratings.matrix) == {(0, 0): 0, (0, 1): 2.5, (0, 3): -1, (2, 1): 5}
    assert as_ratings(np.array([[0, 1], [2, 1]], np.uint8), missing=1).matrix.nnz == 2
    np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("missing", [0, NAN])
def test_columns_with_numbers_that_mean_not_rated(missing):
    users, items, values, times = [1, 1, 2, 3], ["x", "y", "x", "y"], [5.0, missing, 3, missing], [10, 20, 30, 40]
    rows = np.array(list(zip(users, items)), dtype=object)
    for ratings, y in (((users, items, values), None), ((users, items, values, times), None), (rows, values),
                       ({"item": items, "rating": values, "user": users}, None)):
        got = as_ratings(ratings, y, missing=missing)
        assert got.matrix.toarray().tolist() == [[5], [3]] and got.items.tolist() == ["x"]
        want = [10, 30] if isinstance(ratings, tuple) and len(ratings) == 4 else None
        assert got.timestamps is want or got.timestamps.tolist() == want


def test_a_first_column_that_counts_is_no_rating():
    """As in Jester's data set 1, where it is up to 100 beside ratings up to 10."""
    rng = np.random.RandomState(0)
    table = np.where(rng.rand(12, 7) < 0.5, rng.randint(-9, 10, (12, 7)), 99)
    table[3] = 99
    counted = np.column_stack([np.count_nonzero(table != 99, axis=1), table])
    with pytest.raises(ValueError, match=r"first column counts .* in each of 12 rows, .*table\[:, 1:\]"):
        as_ratings(counted, missing=99)
    everything = np.insert(np.ones((12, 99)), 0, 99, axis=1)  # whose counts, 99, mean "not rated"
    everything[1:, 0], everything[1:, 99] = 98, 99
    with pytest.raises(ValueError, match="first column counts"):
        as_ratings(everything, missing=99)
    counted[11, 0] += 1
    empty = np.where(np.arange(12)[:, np.newaxis] == 5, [1, 4, 99], 99)
    for other in (table, counted, counted[:, :1], np.full((12, 3), 2.5), counted[:3], empty):
        assert as_ratings(other, missing=99).matrix.nnz == np.count_nonzero(other != 99)


def test_ids_beside_a_table_are_no_ratings():
    """As pandas writes a pivot with its columns, or its index, alone."""
    table = np.where(np.random.RandomState(0).rand(12, 12) < 0.5, 3, 0)
    for first in 0, 7:
        for axis, name in enumerate(("row", "column")):
            labelled = np.insert(table, 0, np.arange(first, first + 12), axis)
            said = "the first %s ascends from %d to %d, as ids do; .* put another %s" % (
                name, first or 1, first + 11, name)
            with pytest.raises(ValueError, match=said):
                as_ratings(labelled, missing=0)
    both = np.insert(np.insert(table, 0, np.arange(12), 0), 0, np.append(0, np.arange(12)), 1)
    with pytest.raises(ValueError, match="the first row ascends from 1 to 11"):
        as_ratings(both, missing=0)
    table[:, 0] = np.arange(1, 13)
    assert len(as_ratings(table + 0.25, missing=0)) == 144  # ratings on a line may be sorted
    assert len(as_ratings([[1, 2, 3, 4, 5, 6, 7, 8, 9]], missing=0)) == 9


def test_positions():
    assert positions([5, 3, 9, 3], np.array([3, 5, 7]), "items").tolist() == [1, 0, -1, 0]
    assert positions(["b", "abc"], np.array(["a", "b"]), "users").tolist() == [1, -1]
    assert positions([2.0], np.array([2]), "users").tolist() == [0]
    assert positions([], np.array(["a"]), "users").tolist() == []
    for known, labels in ((np.array([3, 5, 7]), [3, np.int64(7), np.int32(5), 4, 8, -1, -2 ** 63 + 1]),
                          (np.array(["3", "5", "70"]), ["3", np.str_("70"), "", "700", "a"])):
        for label in labels:  # one alone, as among several
            place, = positions([label], known, "users")
            for alone in positions(label, known, "users"), positions(np.array(label, object), known, "users"):
                assert alone == place and alone.shape == () and (place >= 0) == (label in known.tolist())
    for ids, error, message in [
            (["3"], TypeError,
             "items are strings such as '3'; expected numbers such as 4, as the ids in fit: convert them"),
            ([[4]], ValueError, r"items have the shape \(1, 1\); expected one dimension"),
            ([1.5], ValueError, "the id in items is 1.5"),
            ([2 ** 53 + 1, 7.0], ValueError, "items is 9007199254740992"), ([None], TypeError, "items is None")]:
        with pytest.raises(error, match=message):
            positions(ids, np.array([4]), "items")


@pytest.mark.parametrize("missing", [99.9, np.float64(99.9), np.float32(99.9)])
def test_what_stands_for_none_is_compared_as_the_ratings_are(missing):
    array = np.array([[99.9, 3], [4, 99.9]], np.float32)
    assert as_ratings(array, missing=missing).matrix.nnz == 2
    assert as_ratings((USERS, ITEMS, array.ravel()[:3]), missing=missing).matrix.nnz == 2


def test_rows_of_a_list_are_no_users():
    rng = np.random.RandomState(0)
    rows = np.column_stack([np.arange(400) // 5, rng.permutation(400), rng.randint(1, 12, (400, 2))])
    with pytest.raises(ValueError, match=r"columns look like users, items and ratings in each of 400 rows.*"
                                         r"as_ratings\(table\[:, \[0, 1, 2\]\]\)"):
        as_ratings(rows, missing=0)
    assert as_ratings(rows[:, 2:], missing=0).matrix.shape == (400, 2)


@pytest.mark.parametrize("name, dates, want", [
    ("timestamp", ["1970-01-02", "1970-01-01 00:00:01", "1970-01-01"], [1, 0, 86400]),
    ("order_date", ["1970-01-02", "1970-01-01 00:00:01", "1970-01-01"], [1, 0, 86400]),
    ("order_date", ["1/2/1970", "1970-01-01 00:00:01", None], None)])
def test_dates(name, dates, want, capsys):
    found = as_ratings({"user": USERS, "item": ITEMS, "rating": VALUES, name: dates}).timestamps
    assert found is want or found.tolist() == want
    assert ("the dates of %s are ignored" % name in capsys.readouterr().err) == (found is None)
    milliseconds = np.array([1700000000000 + k for k in range(3)], dtype=object)
    for column in "timestamp", "created_at":
        table = {"user": USERS, "item": ITEMS, "rating": VALUES, column: milliseconds}
        assert (as_ratings(table).timestamps // 1).tolist() == [1700000000] * 3
    with pytest.raises(TypeError, match="entry 0: the timestamp is '1/2/1970'; .*with pandas.to_datetime"):
        as_ratings((USERS, ITEMS, VALUES, ["1/2/1970"] * 3))


# Counts as ratings: equation (1) of `feedback`, by hand


# Of users and items: (7, 1) comes three times, (8, 2) once.
PAIRS = np.array([[7, 1], [8, 2], [7, 1], [7, 1]])
BY_HAND = [[3, 0], [0, 1]]


@pytest.mark.parametrize("feedback, y", [
    (PAIRS, None),
    (PAIRS.tolist(), None),
    ({"user": PAIRS[:, 0], "item": PAIRS[:, 1], "seconds": [3, 4, 5, 6]}, None),
    ({"customer_id": PAIRS[:, 0], "sku": PAIRS[:, 1], "order_id": [901, 902, 903, 904]}, None),
    (([7, 8, 7], [1, 2, 1], [2, 1, 1]), None),
    (PAIRS[:3], [2, 1, 1]),
])
def test_totals_by_hand(feedback, y):
    totals = total_counts(feedback, y)
    assert totals.users.tolist() == [7, 8] and totals.items.tolist() == [1, 2]
    assert totals.matrix.toarray().tolist() == BY_HAND


def test_equation_1_by_hand():
    assert from_counts([1, 3, 7]).tolist() == [1, 2, 3]
    for count in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="the count at position 1 is .*; expected numbers above 0"):
            from_counts([1, count])
    with pytest.raises(ValueError, match="^user 7 has item 1 0 times in total"):
        as_counts(total_counts(([7, 7], [1, 1], [2, -2])))
    totals = total_counts(PAIRS)
    ratings = as_counts(totals)
    assert ratings.matrix.toarray().tolist() == [[2, 0], [0, 1]] and ratings.matrix.dtype == np.float32
    assert totals.matrix.toarray().tolist() == BY_HAND, "what came is left alone"


@pytest.mark.parametrize("columns, told", [
    (dict(customer_id=["a", "b"], product_id=["x", "y"], price=[3.5, 4]),
     "ratings: user: customer_id, item: product_id, rating: price\n"),
    (dict(customer=["a", "b"], sku=["x", "y"], quantity=[1, 2]),
     "ratings: user: customer, item: sku, rating: quantity; if quantity holds counts, not ratings, fit with "
     "objective='clicks' (--objective clicks)\n")])
def test_what_is_read_by_its_place_is_told(tmp_path, capsys, columns, told):
    table, lines = Table(**columns), [",".join(map(str, row)) + "\n" for row in (columns, *zip(*columns.values()))]
    path = written(tmp_path, "".join(lines))
    third = {"rating": list(columns)[2]}
    same(load_ratings(path, **third), as_ratings(table))
    assert capsys.readouterr().err == ("" if "price" in told else told.replace("ratings", str(path), 1)) + told
    as_ratings(table, progress=False), as_columns(table), load_ratings(path, progress=False, **third)
    as_ratings(Table(user=[1], item=[2], rating=[3], other=[4]))
    if "quantity" in columns:  # which is what counts are
        load_ratings(path, pairs=True), total_counts(table, progress=True)
    assert not capsys.readouterr().err


def test_a_rating_that_became_the_header_is_told(capsys):
    """As by pandas.read_csv of a file without a header; with header=None the names are no text."""
    as_ratings(Table(**{"196": [1, 2], "242": [3, 4], "3.0": [5, 4]}))
    assert capsys.readouterr().err == (
        "ratings: user: 196, item: 242, rating: 3.0; if these are a rating, it is lost: read the table with "
        "header=None (pandas) or has_header=False (polars)\n")


def test_columns_that_are_an_index_are_told():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"The index holds 'user': call reset_index\(\) first"):
        as_ratings(pandas.DataFrame({"user": [1], "item": [2], "rating": [3]}).set_index("user"))
    with pytest.raises(TypeError, match="path is a table, DataFrame; .* pass the table to fit"):
        load_ratings(pandas.DataFrame({"user": [1]}))
    with pytest.raises(ValueError, match=r"item_features have their ids in the index: call reset_index\(\) first"):
        as_attributes(pandas.DataFrame({"item": [1, 2], "year": [3, 4]}).set_index("item"))


@pytest.mark.parametrize("name", ["timestamp", "time", "date", "created_at"])
def test_times_with_a_zone(name):
    pandas = pytest.importorskip("pandas")
    times = pandas.DatetimeIndex(list(map(pandas.Timestamp, ["2024-05-01 12:00:00.123456789", "2024-05-01 13:00"])))
    table = pandas.DataFrame({"user": [1, 2], "item": [3, 3], "rating": [4, 5]})
    table[name] = times.tz_localize("Europe/Berlin")
    want = (times - pandas.Timedelta(hours=2)).to_numpy()
    assert as_ratings(table).timestamps.tolist() == want.tolist()
    assert as_ratings(tuple(table[each].tolist() for each in table)).timestamps.tolist() == want.tolist()
    hour = datetime.timezone(datetime.timedelta(hours=1))
    found = as_ratings(([1, 1], [2, 3], [3, 3], [datetime.datetime(2024, 5, 1, 1, tzinfo=hour),
                                                 datetime.datetime(2024, 5, 1)])).timestamps
    assert (found == np.datetime64("2024-05-01")).all()


# Zeros that may mean "no rating": told of where they stand out


def ratings(**counts):
    values = [np.full(count, float(name[1:].replace("_", "."))) for name, count in counts.items()]
    return np.random.RandomState(0).permutation(np.concatenate(values)).astype(np.float32)


@pytest.mark.parametrize("found, n_zeros, lowest, highest, why", [
    (ratings(r0=716, r1=2, r5=60, r7=80, r8=100, r10=70), 716, 1, 10, "most are 0"),  # Book-Crossing
    (ratings(r0=32, r1=13000, r2=14000, r3=40000, r4=80000, r5=137000), 32, 1, 5, "0 is very rare"),  # Ciao
    (ratings(r0=40, r3=50, r4=50, r5=20), 40, 3, 5, "0 is far from the others"),
])
def test_told_of(found, n_zeros, lowest, highest, why, monkeypatch):
    lines = []
    monkeypatch.setattr(columns, "say", lines.append)
    tell_of_zeros(found)
    said, = lines
    assert said.startswith("%d of %d ratings are 0, and the others %g to %g: %s. If 0 means \"not rated\""
                           % (n_zeros, len(found), lowest, highest, why))
    assert "missing=0 to load_ratings" in said and said.endswith("rating_scale=(0, %g) (--rating-scale 0 %g)"
                                                                 % (highest, highest))


@pytest.mark.parametrize("found", [
    ratings(r1=5, r2=5), ratings(r0=5), ratings(r0=10, r1=12, r2=20, r3=15, r4=9, r5=8), ratings(r0=40, r1=60),
    np.concatenate([[0], np.random.RandomState(0).rand(999)]),
    -ratings(r0=716, r1=2, r5=60), np.zeros(0, np.float32)])
def test_not_told_of(found, monkeypatch):
    monkeypatch.setattr(columns, "say", pytest.fail)
    tell_of_zeros(found)


def test_fit_tells_once_and_only_who_wants_to_know(monkeypatch):
    said = []
    monkeypatch.setattr(columns, "say", said.append)
    users, items = np.indices((9, 8)).reshape(2, -1)
    values = np.where((users + items) % 3, 0, 3 + (users * items) % 3)
    settings = dict(n_hidden=2, n_epochs=1, rows="users", biases=False)
    Recommender(**settings).fit((users, items, values), validation=None)
    assert len(said) == 1 and "48 of 72 ratings are 0, and the others 3 to 5: most are 0" in said[0]
    for more in (dict(progress=False), dict(rating_scale=(0, 5))):
        Recommender(**dict(settings, **more)).fit((users, items, values), validation=None)
    Recommender(**settings).fit((users, items, np.maximum(values, 1)), validation=None)
    assert len(said) == 1
