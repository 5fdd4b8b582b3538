"""Lines of a user and the user's items."""
import numpy as np
import pytest

from sparse_ae.data import lines
from sparse_ae.data.datasets import load_published
from sparse_ae.data.load import load_ratings
from sparse_ae.data.stores import store_ratings


def written(folder, content, name="train.txt"):
    path = folder / name
    path.write_bytes(content.encode("utf-8"))
    return path


def pairs(ratings):
    coo = ratings.matrix.tocoo()
    assert set(coo.data.tolist()) == {1}
    return list(zip(ratings.users[coo.row].tolist(), ratings.items[coo.col].tolist()))


@pytest.mark.parametrize("size", [5, 2 ** 20])
@pytest.mark.parametrize("delimiter", [" ", "\t", ",", ";", "::", ", "])
def test_lists(tmp_path, monkeypatch, delimiter, size):
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
    rows = ["0", "7 1 2 3", "8 10", "10", "9 2 7 1 30", "8 2"]  # 0 and 10 have chosen nothing, 8 has two lines
    want = [(7, 1), (7, 2), (7, 3), (8, 2), (8, 10), (9, 1), (9, 2), (9, 7), (9, 30)]
    for end in ("\n", "\r\n", " \n", "\n\n"):
        path = written(tmp_path, end.join(row.replace(" ", delimiter) for row in rows) + end)
        got = load_ratings(path, lists=True)
        assert pairs(got) == want and got.users.dtype == got.items.dtype == np.int64 and got.timestamps is None
    assert pairs(load_published(path, lists=True)) == want
    stored = store_ratings(path, tmp_path / "store", rows="users", lists=True)
    assert stored.row_ids.tolist() == [7, 8, 9] and stored.col_ids.tolist() == [1, 2, 3, 7, 10, 30]
    assert stored.matrix.toarray().tolist() == got.matrix.toarray().tolist()


@pytest.mark.parametrize("header", ["user items", "User Item", "customer products"])
def test_a_header(tmp_path, header):
    assert pairs(load_ratings(written(tmp_path, header + "\n1 2\n3 4\n"), lists=True)) == [(1, 2), (3, 4)]


def test_a_pair_twice(tmp_path):
    path = written(tmp_path, "1 2 3\n4 5 6 5\n1 3\n")
    with pytest.raises(ValueError, match="train.txt, line 2: user 4 has rated item 5 already, in .*train.txt, line 2"):
        load_ratings(path, lists=True)
    with pytest.raises(ValueError, match="train.txt, line 2: user 4 has rated item 5 already, in .*train.txt, line 2"):
        store_ratings(path, tmp_path / "store", lists=True)
    assert load_ratings(path, lists=True, duplicates="sum").matrix.toarray().tolist() == [[1, 2, 0, 0], [0, 0, 2, 1]]
    assert pairs(load_ratings(path, lists=True, duplicates="last")) == [(1, 2), (1, 3), (4, 5), (4, 6)]


@pytest.mark.parametrize("content, message", [
    ("1\n2\n3\n", "train.txt, line 1: found no delimiter in '1'; expected a user and some items"),
    ("1,2,,3\n", "train.txt, line 1: item 2 is empty; expected a user and items"),
    ("1,2\n,3,4\n", "train.txt, line 2: the user is empty"),
    ("1\t2,3\n4\t5,6,7\n", r"line 1: there are two ways to read it: .*user '1', items '2,3'; or .*delimiter=','"),
    ("1 2\n3 \0 4\n" + "9 9\n" * 2 ** 15, "isn't text"),
    ("9 9\n" * 2 ** 15 + "1 2 \0\n", "line 32769: there is a NUL byte in it"),
    ("user item\n1\n2\n", "train.txt has users and no items; expected a user and items"),
    ("", "train.txt is empty"), (" \n\n", "has only blank lines"),
])
def test_refused(tmp_path, content, message):
    path = written(tmp_path, content)
    for read in (lambda: load_ratings(path, lists=True), lambda: store_ratings(path, tmp_path / "store", lists=True)):
        with pytest.raises(ValueError, match=message):
            read()


def test_refused_arguments(tmp_path):
    path = written(tmp_path, "1 2 3\n")
    for given, message in ((dict(missing=0), "lists=True was given with missing=0"),
                           (dict(pairs=True), "lists=True was given with pairs=True")):
        with pytest.raises(ValueError, match=message):
            load_ratings(path, lists=True, **given)
    with pytest.raises(ValueError, match="lists is 1; expected True or False"):
        load_ratings(path, lists=1)
    with pytest.raises(ValueError, match="lists=True was given with missing=0"):
        store_ratings(path, tmp_path / "store", lists=True, missing=0)
    for given in (dict(lists=True), dict(missing=0)):
        with pytest.raises(TypeError, match="was given with chunks of ratings; it is for text files"):
            store_ratings([([1], [2], [3])], tmp_path / "store", **given)
    matrix = written(tmp_path, "x", "m.npz")
    with pytest.raises(ValueError, match="lists=True was given for .*m.npz; only text files have lines"):
        load_ratings(matrix, lists=True)


SAID = r"if each line is a user and the user's items, pass lists=True \(--lists\)"


@pytest.mark.parametrize("content, given", [
    ("0 1 2 3 4 5\n1 2 3\n", {}), ("0 1 2 3 4 5\n1 2 3 4 5 6\n", {}), ("0 1 2\n1 4 5 6 7\n", {}),
    ("0 1 2 3\n1 4\n", {}), ("0 1\n1 2 3\n", dict(pairs=True)), ("0 1 2 3 4 5\n1 2 3\n", dict(missing=99)),
    ("ann,tea,jam,ale,oil\nbob,tea\neve,jam\n", {})])
def test_whoever_has_lists_is_told_so(tmp_path, content, given):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=SAID) as said:
        load_ratings(path, **given)
    equal = content == "0 1 2 3 4 5\n1 2 3 4 5 6\n"
    assert ("read it with missing=99" in str(said.value)) == equal


@pytest.mark.parametrize("content", ["1,2,3,a,99\n", "1,2,3\n1,2,3.5,x\n", "user,item,rating\n1,2,a,b,c\n"])
def test_who_has_none_is_not(tmp_path, content):
    with pytest.raises(ValueError) as said:
        load_ratings(written(tmp_path, content))
    assert "lists" not in str(said.value)


def test_gowalla(shared_data):
    counts = {"train": 719081, "valid": 91047, "test": 217242}
    for name, n in counts.items():
        assert load_ratings(shared_data / "gowalla" / (name + ".txt"), lists=True).matrix.nnz == n
