"""Ratings on disk: the matrix that load_ratings reads, however small the chunks; and trained on a block at a time."""
import contextlib
import errno
import json
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.sparse as sp
from matrices import assert_same, replace_array, sealed

from sparse_ae.data import check_ratings, ratings_from_triples, stores
from sparse_ae.data.load import load_ratings
from sparse_ae.data.readers import lines
from sparse_ae.data.stores import open_ratings, store_ratings
from sparse_ae.data.tables import as_ratings
from sparse_ae.recommender.recommender import Recommender


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(stores, "_RATINGS_AT_ONCE", 7)
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 40)


def triples(text_ids, seed=0):
    rng = np.random.RandomState(seed)
    cells = rng.permutation(12 * 9)[:60]
    users, items = 3 * (cells // 9) + 5, 100 - cells % 9
    if text_ids:
        users = np.array(["%s%02d" % ("uv"[user % 2], user) for user in users])
    return users, items, np.round(rng.rand(60) * 4, 1) * (rng.rand(60) < 0.8)


def same(stored, ratings, rows):
    expected = ratings.matrix if rows == "users" else check_ratings(ratings.matrix.T)
    ids = (ratings.users, ratings.items) if rows == "users" else (ratings.items, ratings.users)
    assert stored.rows == rows
    for found, wanted in zip((stored.row_ids, stored.col_ids), ids):
        assert found.tolist() == wanted.tolist() and found.dtype == wanted.dtype
    assert_same(stored.matrix, expected)


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize("rows, text_ids", [("users", True), ("items", False)])
def test_a_file_is_what_load_ratings_reads(tmp_path, rows, text_ids):
    path = tmp_path / "ratings.txt"
    path.write_text("".join("%s,%s,%s\n" % each for each in zip(*triples(text_ids))))
    ratings = load_ratings(path)
    stored = store_ratings(path, tmp_path / "store", rows=rows)
    same(stored, ratings, rows)
    assert all(is_mapped(getattr(stored.matrix, name)) for name in ("data", "indices", "indptr"))
    assert check_ratings(stored.matrix) is stored.matrix
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ratings.txt", "store"]
    assert {each.name for each in (tmp_path / "store").iterdir()} == {"store.json"}.union(
        name + ".npy" for name in ("data", "indices", "indptr", "rows", "cols"))
    same(open_ratings(tmp_path / "store"), ratings, rows)


@pytest.mark.parametrize("odd", ["8", "7x"])
def test_an_id_that_is_a_number_in_one_block_and_text_in_another(tmp_path, odd):
    path = tmp_path / "ratings.txt"
    path.write_text("".join("%d,1,3\n" % user for user in (9, 8, 7, 10, 11, 12, 13)) + '7,"a,b",4\n%s,2,5\n' % odd)
    users = np.array([9, 8, 7, 10, 11, 12, 13, 7, odd]).astype(int if odd == "8" else str)
    ratings = ratings_from_triples(users, ["1"] * 7 + ["a,b", "2"], [3] * 7 + [4, 5])
    for rows in ("users", "items"):
        same(store_ratings(path, tmp_path / rows, rows=rows), ratings, rows)
    same(store_ratings([ratings], tmp_path / "loaded", rows="users"), load_ratings(path), "users")


@pytest.mark.parametrize("text_ids", [False, True])
def test_chunks_of_ratings_in_any_form(tmp_path, monkeypatch, text_ids):
    said = []
    monkeypatch.setattr(stores, "announced", lambda *given: said.append(given) or contextlib.nullcontext())
    users, items, values = triples(text_ids)
    parts = np.split(np.arange(60), [11, 11, 30, 31])
    chunks = [(users[part], items[part], values[part]) for part in parts]
    chunks[2] = {"rating": chunks[2][2], "user": chunks[2][0], "item": chunks[2][1]}
    stored = store_ratings(iter(chunks), tmp_path / "store", rows="users", progress=text_ids)
    same(stored, ratings_from_triples(users, items, values), "users")
    assert [wanted for _, wanted in said] == [text_ids]


def test_ratings_that_are_no_chunks(tmp_path):
    users, items, values = triples(False)
    ratings, rows = ratings_from_triples(users, items, values), np.column_stack([users, items, values])
    columns = {"user": users, "item": items, "rating": values}
    lists = users.tolist(), items.tolist(), values.tolist()
    for k, source in enumerate(((users, items, values), lists, ratings, columns, rows,
                                list(zip(*lists)), ((users, items, values),), [rows])):
        same(store_ratings(source, tmp_path / str(k), rows="users"), ratings, "users")
    for k, matrix in enumerate((ratings.matrix, ratings.matrix.tocsc(), ratings.matrix.tocoo())):
        assert_same(store_ratings(matrix, tmp_path / ("m%d" % k), rows="users").matrix, ratings.matrix)
    twice = sp.coo_matrix(([1.0, 2], ([0, 0], [1, 1])))
    assert store_ratings(twice, tmp_path / "twice", duplicates="sum").matrix.data.tolist() == [3]
    with pytest.raises(ValueError, match="^entry 1: user 7 has rated item 8 already, in entry 0"):
        store_ratings(([7, 7], [8, 8], [1, 2]), tmp_path / "store")


@pytest.mark.parametrize("rows", ["users", "items"])
def test_counts_and_sums_that_are_none(tmp_path, rows):
    path = tmp_path / "r"
    path.write_text("user,item,quantity\n1,7,2\n" + "".join("%d,8,1\n" % k for k in range(20)) + "1,7,-2\n")
    for read in (load_ratings, lambda path, **given: store_ratings(path, tmp_path / "store", rows, **given)):
        with pytest.raises(ValueError, match="r, line 23: user 1.* item 7 0 times in total|r, line 23: user 1, item 7"):
            read(path, pairs=True, duplicates="sum")
    for large in ([3e38, 3e38], [-3e38, -3e38]):
        path.write_text("1,2,%g\n1,3,1\n1,2,%g\n" % tuple(large))
        for read in (load_ratings, lambda path, **given: store_ratings(path, tmp_path / "store", rows, **given)):
            with pytest.raises(ValueError, match=r"r, line 3: user 1, item 2: the ratings add up to -?6e\+38, beyond"):
                read(path, duplicates="sum")
        assert load_ratings(path, duplicates="mean").matrix.data.tolist() == np.float32([large[0], 1]).tolist()
        with pytest.raises(ValueError, match=r"user 0, item 1: the ratings add up to -?6e\+38"):
            check_ratings(sp.coo_matrix((large, ([0, 0], [1, 1]))), duplicates="sum")
    assert os.listdir(str(tmp_path)) == ["r"]


def test_what_a_killed_call_has_left_is_removed_once_it_is_old(tmp_path):
    names = ["s.sparse_ae-%s.tmp" % (32 * letter) for letter in "ab"] + ["s.backup.tmp"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.npy").write_text("")
    for path in list(tmp_path.rglob("*"))[::-1]:
        if path.parent.name != names[1]:
            os.utime(str(path), (0, 0))
    store_ratings(([1], [2], [3.0]), tmp_path / "s")
    assert sorted(os.listdir(str(tmp_path))) == ["s"] + names[:0:-1]


def test_another_process_is_first(tmp_path):
    def chunks():
        yield [1], [2], [3.0]
        store_ratings(([5], [6], [4.0]), tmp_path / "s")

    with pytest.raises(FileExistsError, match="s has been made by another process meanwhile, .* choose another name"):
        store_ratings(chunks(), tmp_path / "s")
    assert open_ratings(tmp_path / "s").matrix.data.tolist() == [4] and os.listdir(str(tmp_path)) == ["s"]


def test_ratings_on_disk_are_for_fit(tmp_path):
    stored = store_ratings(([1], [2], [3.0]), tmp_path / "s")
    with pytest.raises(TypeError, match="only those of fit may be on disk; pass others in memory, as load_ratings"):
        as_ratings(stored)


@pytest.mark.parametrize("n", [255, 256, 257])
def test_as_many_buckets_as_a_byte_counts(tmp_path, monkeypatch, n):
    monkeypatch.setattr(stores, "_RATINGS_AT_ONCE", 1)
    triple = np.arange(n), np.arange(n) % 7, np.ones(n)
    same(store_ratings([triple], tmp_path / "store", rows="users"), ratings_from_triples(*triple), "users")


@pytest.mark.parametrize("duplicates, rows", [("first", "users"), ("last", "items"), ("mean", "users"),
                                              ("sum", "items")])
def test_pairs_that_come_twice_in_many_buckets(tmp_path, duplicates, rows):
    rng = np.random.RandomState(1)
    users, items, values = rng.randint(0, 9, 300), rng.randint(0, 7, 300), np.round(rng.rand(300) * 4, 2)
    chunks = [(users[part], items[part], values[part]) for part in np.split(np.arange(300), [40, 41, 200])]
    stored = store_ratings(chunks, tmp_path / "store", rows=rows, duplicates=duplicates)
    same(stored, ratings_from_triples(users, items, values, duplicates=duplicates), rows)
    assert stored.matrix.nnz < 64 and check_ratings(stored.matrix) is stored.matrix


@pytest.mark.parametrize("seed", [0, 1])
def test_of_many_pairs_that_come_twice_the_first_to_do_so_is_named(tmp_path, seed):
    """Their buckets are sorted in the order of the rows, which isn't that of the file."""
    users, items, values = triples(seed % 2 == 1, seed)
    lines = ["%s,%s,%s\n" % line for line in zip(users, items, values)]
    order = np.random.RandomState(seed).permutation(90) % 60
    path = tmp_path / "ratings.csv"
    path.write_text("".join(lines[k] for k in order))
    messages = []
    for read in (load_ratings, lambda path: store_ratings(path, tmp_path / "store")):
        with pytest.raises(ValueError, match="has rated item .* already") as caught:
            read(path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


ONE = [([1], [2], [3])]


@pytest.mark.parametrize("source, given, error, message", [
    ([([1], [2], ["x"])], {}, TypeError, "chunk 0: entry 0: the rating is .x.; expected a real number"),
    ([([1], [2], [np.inf])], {}, ValueError, "chunk 0: entry 0: the rating is inf"),
    ([([1, 2], [3, 4], []), ([1], [3], [2.0])], {}, ValueError, "chunk 0: 2 users and 0 ratings were given"),
    ([([1], [None], [3])], {}, TypeError, "the id in items is None"),
    ([], {}, ValueError, "there are no ratings in the source; expected at least one"),
    (ONE + [([1], [2], [4])], {}, ValueError, "chunk 1: user 1 has rated item 2 already, in chunk 0; expected one "),
    ("nowhere.csv", {}, FileNotFoundError, "there is no file nowhere.csv"),
    ("r.npz", {}, ValueError, "r.npz is a matrix file; expected text .* read it with load_ratings"),
    (ONE, dict(lists=True), TypeError, "lists=True was given with chunks of ratings; it is for text files"),
    (ONE, dict(lists=np.zeros(3)), ValueError, "lists is array.*; expected True or False"),
    (ONE, dict(missing=0), TypeError, "missing=0 was given with chunks of ratings"),
    (ONE, dict(rows="user"), ValueError, "rows is 'user'; expected 'items' or 'users'"),
    (ONE, dict(duplicates="median"), ValueError, "duplicates is 'median'; expected 'error', "),
    (ONE, dict(folder="r.npz"), FileExistsError, "r.npz exists; expected a new folder to make"),
    (ONE, dict(folder="nowhere/store"), FileNotFoundError, "there is no folder .*nowhere to write store to; cr"),
])
def test_refused(tmp_path, monkeypatch, source, given, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.npz").write_bytes(b"x")
    with pytest.raises(error, match=message):
        store_ratings(source, **dict({"folder": "store"}, **given))
    assert os.listdir(".") == ["r.npz"]


@pytest.fixture
def store(tmp_path):
    store_ratings([triples(True)], tmp_path / "store", rows="users")
    return tmp_path / "store"


def test_a_large_store_is_checked_once_when_it_is_fitted(store, monkeypatch):
    monkeypatch.setattr(stores, "_SMALL", 0)
    path, stored = store / "data.npy", open_ratings(store)
    stored.check()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    stored.check()
    unread = open_ratings(store)
    with pytest.raises(ValueError, match="store is damaged.*: the checksum of data.npy is wrong; .* make it again"):
        Recommender(progress=False).fit(unread)
    ids = store / "rows.npy"
    ids.write_bytes(ids.read_bytes().replace(b"v\0", b"w\0"))  # still in ascending order
    with pytest.raises(ValueError, match="store is damaged.*: the checksum of rows.npy is wrong"):
        open_ratings(store)


@pytest.mark.parametrize("name, change, message", [
    ("indptr", lambda x: x[::-1], "its files don't match"),
    ("indptr", lambda x: np.concatenate([x[:1], x[1:-1][::-1], x[-1:]]), "its rows overlap"),
    ("indices", lambda x: x + 10 ** 6, "entry 0 has the index 10000"),
    ("indices", lambda x: -1 - x, "entry 0 has the index -"),
    ("indices", lambda x: x[::-1], "sorted|twice"),
    ("data", lambda x: x * np.nan, "the rating is nan"),
    ("data", lambda x: x.astype("float64"), "its files don't match"),
    ("rows", lambda x: x[::-1], "row ids aren't in ascending order"),
    ("cols", lambda x: np.append(x, x[-1] + 1)[1:] * 0, "column ids aren't in ascending order"),
])
def test_a_store_with_right_checksums_is_looked_at_too(store, name, change, message):
    array = np.load(str(store / (name + ".npy")))
    replace_array(store, name, change(array))
    with pytest.raises(ValueError, match="store is damaged.*: .*(%s)" % message):
        open_ratings(store)
    replace_array(store, name, array)
    assert open_ratings(store).matrix.nnz == 60


NONE = "is damaged, or .*make it again|isn't a store of ratings, since store.json tells of .*; check the path"
WRONG_CHECKSUM = "is damaged.*: the checksum of store.json is wrong; "


@pytest.mark.parametrize("changed, message", [
    (lambda note, text=text: text, NONE) for text in (
        b"", b"[]", b"7", b"{}", b"[" * 100000, b"\xff\xfe", b'{"library": "sparse_ae"}')
] + [(lambda note, more=more: json.dumps(dict(note, **more)).encode(), WRONG_CHECKSUM) for more in (
    {"rows": "items"}, {"more": 1}, {"checksum": None})
] + [(lambda note, changes=changes: sealed(dict(note, **changes)).encode(), message) for changes, message in [
    ({"checksums": {}}, "is damaged.*: store.json was changed"), ({"checksums": None}, "is damaged"),
    ({"checksums": 3}, "is damaged"), ({"rows": "user"}, "is damaged.*: .*'user'"), ({"rows": None}, "is damaged"),
    ({"checksums": {"data": 1}}, "is damaged"), ({"kind": "jam"}, "isn't a store.*'jam', 3"),
    ({"kind": "j" * 10 ** 6}, "isn't a store.* ...  *j"), ({"format": True}, "isn't a store.*True"),
    ({"format": 4}, "has format 4 of stored ratings; .* upgrade sparse_ae"),
    ({"format": 2, "parts": 2, "whole": {}}, "is a store in parts, which version 1.0 made for ranks; ")]])
def test_notes_that_say_something_else(store, changed, message):
    path = store / "store.json"
    path.write_bytes(changed(json.loads(path.read_text())))
    with pytest.raises(ValueError, match="store (%s)" % message) as caught:
        open_ratings(store)
    assert len(str(caught.value)) < 1000


def test_no_permission_is_no_damage_and_a_missing_file_is(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stores, "check_regular", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
        with pytest.raises(PermissionError):
            open_ratings(store)
    for name, error, message in (("data.npy", ValueError, "is damaged, .* No such file"),
                                 ("store.json", FileNotFoundError, "there is no file .*store.json; expected a store")):
        (store / name).unlink()
        with pytest.raises(error, match=message):
            open_ratings(store)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["store.json", "data.npy", "rows.npy"])
def test_a_pipe_in_a_store_is_not_waited_for(store, name):
    (store / name).unlink()
    os.mkfifo(str(store / name))
    with pytest.raises((OSError, ValueError), match="store is.* is a pipe; expected a file|there is no file .*json"):
        open_ratings(store)


def test_a_full_disk_is_said_in_words_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "to_disk", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="the disk or your quota is full .*store"):
        store_ratings([triples(True)], tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_what_1_0_0_has_stored_is_read():
    folder = Path(__file__).with_name("of_1_0") / "store"
    stored = open_ratings(folder)
    assert json.loads((folder / "store.json").read_text())["format"] == 2
    assert stored.rows == "items" and stored.matrix.nnz == 170 and stored.matrix.data.sum() == 513
    assert stored.row_ids.tolist() == list(range(10, 151, 10)) and stored.col_ids.tolist() == list(range(1, 25))
    assert stored.matrix[:, 0].toarray().ravel().tolist() == [3, 3, 3, 1, 2, 0, 4, 0, 3, 3, 3, 1, 0, 0, 3]


def test_no_more_is_sorted_at_a_time_than_fits_and_a_row(tmp_path, monkeypatch):
    """Four rows of 9 ratings come before eight of one, in another order than that of their ids."""
    sizes, sort = [], stores._sort_entries
    monkeypatch.setattr(stores, "_sort_entries", lambda buckets, *rest: sizes.extend(
        path.stat().st_size // stores._ENTRY.itemsize for path in buckets) or sort(buckets, *rest))
    chunks = [(np.full(n, (user + 4) % 12), np.arange(n), np.ones(n)) for user, n in enumerate([9] * 4 + [1] * 8)]
    store_ratings(chunks, tmp_path / "store", rows="users")
    assert sum(sizes) == 44 and max(sizes) < 7 + 9
