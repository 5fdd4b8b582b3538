"""Ratings in, the split, mini-batches; and a tour of bad input where every message counts."""
import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sparse_ae import data
from sparse_ae.data import (check_ratings, check_rng, dense_rows, load_ratings, minibatches, ratings_from_triples,
                            refuse_stored_zeros, split_ratings)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="%s isn't there" % SHARED)


def small():
    """3 x 4, with a stored 0 at (2, 0), an empty row 1 and an empty column 2."""
    return sp.csr_matrix((np.array([5, 3, 0, 2], np.float32), [1, 3, 0, 1], [0, 2, 2, 4]), shape=(3, 4))


def random_ratings(n_users=40, n_items=30, density=0.2, seed=0):
    rng = np.random.RandomState(seed)
    mask = rng.rand(n_users, n_items) < density
    mask[::7] = False
    rows, cols = np.nonzero(mask)
    values = rng.randint(0, 6, len(rows)).astype(np.float32)
    return check_ratings(sp.coo_matrix((values, (rows, cols)), shape=mask.shape))


def entries(matrix):
    coo = sp.coo_matrix(matrix)
    return dict(zip(zip(coo.row.tolist(), coo.col.tolist()), coo.data.tolist()))


def assert_same(left, right):
    for name in ("data", "indices", "indptr"):
        a, b = getattr(left, name), getattr(right, name)
        assert a.dtype == b.dtype, name
        assert_array_equal(a, b, err_msg=name)
    assert left.shape == right.shape


def assert_canonical(matrix):
    assert type(matrix) is sp.csr_matrix and matrix.dtype == np.float32
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    for row in range(matrix.shape[0]):
        assert np.all(np.diff(matrix.indices[matrix.indptr[row]:matrix.indptr[row + 1]]) > 0)


# check_ratings

@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "uint16"])
def test_check_ratings_takes_every_sparse_format_and_leaves_it_alone(kind, dtype):
    given = small().astype(dtype).asformat(kind)
    before = given.copy()
    got = check_ratings(given)
    assert_canonical(got)
    assert entries(got) == {(0, 1): 5, (0, 3): 3, (2, 0): 0, (2, 1): 2}
    assert entries(given) == entries(before) and given.dtype == dtype


@pytest.mark.parametrize("kind", ["bsr", "dia"])
def test_padding_zeros_are_no_ratings(kind):
    assert entries(check_ratings(small().asformat(kind))) == {(0, 1): 5, (0, 3): 3, (2, 1): 2}


@pytest.mark.skipif(not hasattr(sp, "csr_array"), reason="this SciPy has no sparse arrays")
@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array"])
def test_check_ratings_takes_sparse_arrays(kind):
    got = check_ratings(getattr(sp, kind)(small()))
    assert_canonical(got)
    assert_same(got, small())


def test_check_ratings_returns_what_is_canonical_already():
    matrix = small()
    assert check_ratings(matrix) is matrix
    ratings = ratings_from_triples([1, 2], [3, 4], [1.0, 2.0])
    assert check_ratings(ratings) is ratings.matrix


def test_check_ratings_sorts_a_copy():
    given = sp.csr_matrix((np.array([3, 5], np.float32), np.array([3, 1]), np.array([0, 2])), shape=(1, 4))
    got = check_ratings(given)
    assert_array_equal(got.indices, [1, 3])
    assert_array_equal(got.data, [5, 3])
    assert_array_equal(given.indices, [3, 1])
    assert_array_equal(given.data, [3, 5])


def test_check_ratings_ignores_what_lies_behind_the_last_row():
    given = small()
    given.data = np.append(given.data, np.float32(np.nan))
    given.indices = np.append(given.indices, np.int32(99))
    assert_same(check_ratings(given), small())


def test_check_ratings_takes_arrays_on_disk(tmp_path):
    matrix = random_ratings()
    parts = []
    for name in ("data", "indices", "indptr"):
        np.save(str(tmp_path / name), getattr(matrix, name))
        parts.append(np.load(str(tmp_path / (name + ".npy")), mmap_mode="r"))
    on_disk = check_ratings(sp.csr_matrix(tuple(parts), shape=matrix.shape, copy=False))
    assert np.shares_memory(on_disk.data, parts[0])
    assert_same(on_disk, matrix)
    for (rows, block), (want_rows, want) in zip(minibatches(on_disk, 7), minibatches(matrix, 7)):
        assert_array_equal(rows, want_rows)
        assert_same(block, want)


def broken(**parts):
    """A CSR matrix with some of its arrays replaced behind SciPy's back."""
    matrix = small()
    for name, values in parts.items():
        setattr(matrix, name, np.array(values, getattr(matrix, name).dtype))
    return matrix


def broken_coo(**parts):
    matrix = small().tocoo()
    for name, values in parts.items():
        setattr(matrix, name, np.array(values))
    return matrix


@pytest.mark.parametrize("given, error, message", [
    (np.eye(3), TypeError, r"dense array, where a missing rating can't be told from a 0.*csr_matrix\(ratings\)"),
    ([[1, 2]], TypeError, "ratings are list; expected a SciPy sparse matrix: make one with load_ratings"),
    (small().astype(complex), TypeError, "dtype complex128; expected real numbers"),
    (small().astype(bool), TypeError, "dtype bool; expected real numbers"),
    (sp.csr_matrix((3, 4)), ValueError, "shape 3 x 4 hold no entries"),
    (sp.coo_matrix((0, 4)), ValueError, "shape 0 x 4 hold no entries"),
    (broken(data=[5, np.nan, 0, 2]), ValueError, "row 0, column 3: the rating is nan; .*mend or drop it"),
    (broken(data=[5, 3, 0, -np.inf]), ValueError, "row 2, column 1: the rating is -inf"),
    (broken(data=[5, 3, np.nan, 2]).tocsc(), ValueError, "row 2, column 0: the rating is nan"),
    (sp.coo_matrix(([1e39], ([1], [2]))), ValueError, r"row 1, column 2: the rating is 1e\+39"),
    (broken(indices=[1, 1, 0, 1]), ValueError, r"row 0, column 1 is stored twice \(5.0 and 3.0\).*sum_duplicates"),
    (sp.coo_matrix(([1, 2, 3], ([1, 0, 1], [0, 1, 0]))), ValueError, r"row 1, column 0 is stored twice \(1 and 3\)"),
    (broken(indices=[1, -3, 0, 1]), ValueError, r"entry 1 has the index -3; expected 0 \.\. 3"),
    (broken(indices=[1, 4, 0, 1]), ValueError, r"entry 1 has the index 4; expected 0 \.\. 3.*coo_matrix"),
    (broken(indptr=[0, 3, 2, 4]), ValueError, "indptr of the CSR matrix isn't 4 integers that start at 0 and never"),
    (broken(indptr=[1, 2, 2, 4]), ValueError, "start at 0"),
    (broken(indptr=[0, 2, 4]), ValueError, "isn't 4 integers"),
    (broken(indptr=[0, 2, 2, 10 ** 6]), ValueError, "announces 1000000 entries, but there are 4 indices and 4 values"),
    (broken(data=[5, 3]), ValueError, "announces 4 entries, but there are 4 indices and 2 values"),
    (broken_coo(row=[0, 0, -2, 2]), ValueError, r"entry 2 has the row -2; expected 0 \.\. 2"),
    (broken_coo(col=[0, 9, 1, 2]), ValueError, r"entry 1 has the column 9; expected 0 \.\. 3"),
    (broken_coo(data=[1.0]), ValueError, "the COO matrix has 4 rows, 4 columns and 1 values"),
])
def test_check_ratings_refuses(given, error, message):
    with pytest.raises(error, match=message):
        check_ratings(given)


def test_check_ratings_refuses_broken_csc():
    matrix = small().tocsc()
    matrix.indices = np.array([0, 2, 7, 0], np.int32)
    with pytest.raises(ValueError, match=r"entry 2 has the index 7; expected 0 \.\. 2"):
        check_ratings(matrix)
    matrix.indices = np.array([0.5, 2, 1, 0])
    with pytest.raises(ValueError, match="the index of the entries is of dtype float64; expected integers"):
        check_ratings(matrix)


# ratings_from_triples

def test_triples_with_string_ids_and_timestamps():
    users, values, times = ["bob", "al", "bob"], np.array([0.0, 4.5, 2.0]), np.array([7, 8, 9])
    got = ratings_from_triples(users, [30, 4, 4], values, times)
    assert_canonical(got.matrix)
    assert got.users.tolist() == ["al", "bob"] and got.items.tolist() == [4, 30]
    assert got.items.dtype == np.int64
    assert entries(got.matrix) == {(0, 0): 4.5, (1, 0): 2.0, (1, 1): 0.0}
    assert got.timestamps.tolist() == [8, 9, 7]


def test_triples_share_no_memory_with_the_arguments():
    arrays = [np.array([0, 1]), np.array([0, 1]), np.array([1, 2], np.float32), np.array([3, 4])]
    got = ratings_from_triples(*arrays)
    for ours in (got.matrix.data, got.users, got.items, got.timestamps):
        assert not any(np.shares_memory(ours, array) for array in arrays)


@pytest.mark.parametrize("ids, want", [
    ([-5, 3], [-5, 3]),
    (np.array([2.0, -1.0]), [-1, 2]),
    (np.array([9, 8], np.uint8), [8, 9]),
    (np.array([9, 8], object), [8, 9]),
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
    (dict(users=[1]), ValueError, "1 users and 2 ratings were given"),
    (dict(timestamps=[1, 2, 3]), ValueError, "3 timestamps and 2 ratings were given"),
    (dict(users=[], items=[], ratings=[]), ValueError, "there are no ratings in the arrays"),
    (dict(users=[[1, 2]]), ValueError, r"users have the shape \(1, 2\); expected one dimension"),
    (dict(ratings=[1, "x"]), TypeError, "entry 1: the rating is 'x'"),
    (dict(ratings=[1, None]), TypeError, "entry 1: the rating is None"),
    (dict(ratings=[1, np.nan]), ValueError, "entry 1: the rating is nan"),
    (dict(ratings=[np.inf, 1]), ValueError, "entry 0: the rating is inf"),
    (dict(ratings=np.ma.array([1, 2], mask=[0, 1])), ValueError, "ratings hold masked values"),
    (dict(users=[1, 2.5]), ValueError, "entry 1: the id in users is 2.5; ids have to be integers or strings"),
    (dict(users=[1, np.nan]), ValueError, "entry 1: the id in users is nan"),
    (dict(items=[1, "1"]), TypeError, "entry 1: the id in items is '1'; ids have to be all integers or all strings"),
    (dict(items=["a", None]), TypeError, "entry 1: the id in items is None"),
    (dict(items=[b"a", b"b"]), TypeError, r"items are of dtype \|S1; ids have to be integers or strings"),
    (dict(items=["a", "a\0"]), ValueError, r"entry 1: the id 'a\\x00' in items ends in a NUL"),
    (dict(items=[1, 2 ** 70]), ValueError, "entry 1: the id %d in items is too large for int64" % 2 ** 70),
    (dict(items=np.array([1, 2 ** 63], np.uint64)), ValueError, "items hold the id %d, which is too large" % 2 ** 63),
    (dict(timestamps=["then", "now"]), TypeError, "timestamps are of dtype <U4; expected numbers or datetime64"),
    (dict(timestamps=[1, np.nan]), ValueError, "entry 1: the timestamp is nan"),
    (dict(users=[7, 7], items=["x", "x"]), ValueError, "entry 1: user 7 has rated item 'x' already, in entry 0"),
])
def test_triples_refuse(change, error, message):
    arguments = dict(users=[1, 2], items=[1, 2], ratings=[3.0, 4.0])
    arguments.update(change)
    with pytest.raises(error, match=message):
        ratings_from_triples(**arguments)


# Files of text

ROWS = [("3", "20", "4.5", "100"), ("3", "9", "0", "101"), ("12", "20", "1", "102")]


def written(tmp_path, content, name="ratings.txt", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "end", "end end"])
@pytest.mark.parametrize("header", [None, ("userId", "movieId", "rating", "timestamp")])
@pytest.mark.parametrize("n_columns", [3, 4])
@pytest.mark.parametrize("delimiter", ["\t", ",", "::", ";", " "])
def test_delimited_text(tmp_path, delimiter, n_columns, header, tail, end):
    lines = [delimiter.join(row[:n_columns]) for row in ([header] if header else []) + ROWS]
    got = load_ratings(written(tmp_path, end.join(lines) + tail.replace("end", end).replace(" ", "")))
    assert_canonical(got.matrix)
    assert got.users.tolist() == [3, 12] and got.items.tolist() == [9, 20]
    assert got.users.dtype == got.items.dtype == np.int64
    assert entries(got.matrix) == {(0, 0): 0, (0, 1): 4.5, (1, 1): 1}
    if n_columns == 4:
        assert got.timestamps.dtype == np.int64 and got.timestamps.tolist() == [101, 100, 102]
    else:
        assert got.timestamps is None


@pytest.mark.parametrize("text, users, items, values", [
    ('"a, b",x,3\n"say ""hi""",y,4\n', ["a, b", 'say "hi"'], ["x", "y"], [3, 4]),
    ('u,i,r\n"two\nlines",x,3\nb,y,4\n', ["b", "two\nlines"], ["x", "y"], [4, 3]),
    ("007,x,3\n7,x,4\n", ["007", "7"], ["x"], [3, 4]),
    ("1.0,x,3\n2.0,x,4\n", ["1.0", "2.0"], ["x"], [3, 4]),
    ("-1,5,3\n-9223372036854775807,5,4\n", [-9223372036854775807, -1], [5], [4, 3]),
    ("99999999999999999999,5,3\n1,5,4\n", ["1", "99999999999999999999"], [5], [4, 3]),
    ("1, 5, 3\n2 ,6 ,4 \n", [1, 2], [5, 6], [3, 4]),
    ('"a", "x, y", 3\nb, z, 4\n', ["a", "b"], ["x, y", "z"], [3, 4]),
    ('"a\rb",x,3\n"c\r\nd",y,4\r\n', ["a\rb", "c\r\nd"], ["x", "y"], [3, 4]),
    ("1   5\t3\n22  6  4\n", [1, 22], [5, 6], [3, 4]),
    ("\n\n1,5,3\n\n  \n2,6,4\n\n", [1, 2], [5, 6], [3, 4]),
    ("user_id:token\titem_id:token\trating:float\n1\t5\t3\n2\t6\t4\n", [1, 2], [5, 6], [3, 4]),
    ("\ufeffuserId,movieId,rating\n1,5,3\n2,6,4\n", [1, 2], [5, 6], [3, 4]),
    ("\ufeff1,5,3\n2,6,4\n", [1, 2], [5, 6], [3, 4]),
    ("1,5,-3.5\n2,6,1e-1\n", [1, 2], [5, 6], [-3.5, 0.1]),
    ("1::a,b::3\n2::a;c::4\n", [1, 2], ["a,b", "a;c"], [3, 4]),
    ("1,5,3\n", [1], [5], [3]),
])
def test_text_as_people_write_it(tmp_path, text, users, items, values):
    got = load_ratings(written(tmp_path, text))
    assert got.users.tolist() == users and got.items.tolist() == items
    assert_array_equal(got.matrix.data, np.array(values, np.float32))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_encodings(tmp_path, encoding):
    text = "user,item,rating\nzo\xeb,\xe9t\xe9,4\n"
    got = load_ratings(written(tmp_path, text, encoding=encoding))
    assert got.users.tolist() == ["zo\xeb"] and got.items.tolist() == ["\xe9t\xe9"]


@pytest.mark.parametrize("times, dtype", [(("1.5", "2"), np.float64), (("2.0", "1e3"), np.int64)])
def test_timestamps(tmp_path, times, dtype):
    got = load_ratings(written(tmp_path, "1,1,3,%s\n2,1,3,%s\n" % times))
    assert got.timestamps.dtype == dtype
    assert got.timestamps.tolist() == [float(time) for time in times]


def test_compressed_text(tmp_path):
    got = load_ratings(written(tmp_path, gzip.compress(b"1,5,3\n2,6,4\n"), "ratings.csv.gz"))
    assert entries(got.matrix) == {(0, 0): 3, (1, 1): 4}


@pytest.mark.parametrize("block", [64, 100, 2 ** 20])
@pytest.mark.parametrize("delimiter", ["\t", ",", "::", " "])
def test_the_quick_way_reads_what_the_careful_way_reads(tmp_path, monkeypatch, delimiter, block):
    monkeypatch.setattr(data, "_BLOCK", block)
    rng = np.random.RandomState(3)
    pairs = rng.permutation(900)[:200]
    rows = [(pair // 30 * 37, pair % 30 + 99999, rng.choice(["3", "0.5", "-1.25", "1e-3", "0.30000000000000004"]),
             10 ** rng.randint(15)) for pair in pairs]
    text = "\n".join(delimiter.join(map(str, row)) for row in rows)
    path = written(tmp_path, text)
    arguments = (None if delimiter == " " else delimiter, 4)
    with open(str(path), "rb") as stream:
        assert data._read_plain(stream, *arguments) is not None
    quick = load_ratings(path)
    monkeypatch.setattr(data, "_read_plain", lambda *_: None)
    careful = load_ratings(path)
    assert_same(quick.matrix, careful.matrix)
    for name in ("users", "items", "timestamps"):
        assert getattr(quick, name).dtype == getattr(careful, name).dtype == np.int64
        assert_array_equal(getattr(quick, name), getattr(careful, name))
    assert quick.matrix.nnz == 200 and sorted(quick.users.tolist()) == sorted({row[0] for row in rows})


@pytest.mark.parametrize("line", ["07,1,3", "a,1,3", "1,-1,3", "1,2.0,3", "1,,3", ",1,3", "1,2,", "1,2,3,4", "1,2",
                                  "1,2,x", "1,2,1_0", "1 ,2,3", "1,2, 3", '"1",2,3', "1234567890123456,2,3", "",
                                  "1,2,3\r", "1\t2,3,4", "1,2\n3", "\xe9,1,2", "1,2,3,4\n1,2"])
def test_the_quick_way_leaves_what_is_not_plain(tmp_path, line):
    path = written(tmp_path, "1,1,5\n%s\n2,1,5\n" % line.replace("\r", "\rx"), encoding="latin-1")
    with open(str(path), "rb") as stream:
        assert data._read_plain(stream, ",", 3) is None


def test_the_quick_way_does_not_take_a_tab_for_two_colons(tmp_path):
    with pytest.raises(ValueError, match="line 2: found 2 columns; expected 3"):
        load_ratings(written(tmp_path, "1::2::3\n1\t3::4\n"))


@pytest.mark.parametrize("text, message", [
    ("", "ratings.txt is empty"),
    (" \n\n", "ratings.txt holds nothing but blanks"),
    ("userId,movieId,rating\n", "ratings.txt holds a header and no ratings"),
    ("userId,movieId,rating\n\n \n", "ratings.txt holds a header and no ratings"),
    ("nonsense\n", "ratings.txt, line 1: found no delimiter in 'nonsense'; expected user, item, rating"),
    ("1,2\n", "ratings.txt, line 1: found 2 columns, separated by commas"),
    ("1\t2\t3\t4\t5\n", "ratings.txt, line 1: found 5 columns, separated by tabs; .*keep just these"),
    ("1,2,3\n1,3\n", "ratings.txt, line 2: found 2 columns; expected 3"),
    ("1,2,3\n1,3,4,5\n", "ratings.txt, line 2: found 4 columns; expected 3"),
    ("1::2::3\n1::3\n", "ratings.txt, line 2: found 2 columns; expected 3"),
    ("u,i,r,t\n1,3,4\n", "ratings.txt, line 2: found 3 columns; expected 4"),
    ("1,2,five\n", "ratings.txt, line 1: the rating 'five' isn't a number"),
    ("a,b,N/A\nc,d,3\n", "ratings.txt, line 1: the rating 'N/A' isn't a number"),
    ("a,b,\nc,d,3\n", "ratings.txt, line 1: the rating '' isn't a number"),
    ("1,2,3\n\n1,3,x\n", "ratings.txt, line 3: the rating 'x' isn't a number; .*mend or drop the line"),
    ("1;2;3\n1;3;4,5\n", "ratings.txt, line 2: the rating '4,5' isn't a number"),
    ("1,2,3\n1,3,1_0\n", "ratings.txt, line 2: the rating '1_0' isn't a number"),
    ("1,2,3\n1,3,nan\n", "ratings.txt, line 2: the rating is nan"),
    ("1,2,3\nx,3,-inf\n", "ratings.txt, line 2: the rating is -inf"),
    ("1,2,3\n1,3,1e39\n", r"ratings.txt, line 2: the rating is 1e\+39"),
    ("1,2,3\n,3,4\n", "ratings.txt, line 2: the user is empty"),
    ("1,2,3\n1, ,4\n", "ratings.txt, line 2: the item is empty"),
    ("1,2,3,now\n", "ratings.txt, line 1: the timestamp 'now' isn't a number"),
    ("1,2,3,4\n1,3,3,nan\n", "ratings.txt, line 2: the timestamp is nan"),
    ("u,i,r\n1,2,3\n5,6,7\n1,2,4\n", "ratings.txt, line 4: user 1 has rated item 2 already, in .*ratings.txt, line 2"),
    ("5,5,3\n1,1,3\n5,5,4\n1,1,4\n", "line 3: user 5 has rated item 5 already, in .*line 1"),
    ('a,2,3\n"x\ny",2,3\na,2,4\n', "ratings.txt, line 4: user 'a' has rated item 2 already, in .*line 1"),
    ('a,2,3\n"b,2,3\nc,2,4\n', "ratings.txt, line 2: .*every quote closed, and quotes inside"),
    ("1,2,3\n1,3\r,4\n", "ratings.txt, line 2: .*expected lines that end in LF or CR LF"),
    ("item,user,rating\n1,2,3\n", "line 1: the header calls column 2 'user'; expected the order user, item, rating"),
    ("user,item,timestamp,rating\n1,2,3,4\n", "the header calls column 3 'timestamp'; .*reorder the columns"),
    ("1,2,3\n".encode("utf-16"), "isn't text that load_ratings can read; it reads SciPy .npz.*save text as UTF-8"),
    (b"PK\x03\x04\0\0", "unpack it if it is an archive"),
])
def test_text_refuses(tmp_path, text, message):
    with pytest.raises(ValueError, match="(?s)" + message):
        load_ratings(written(tmp_path, text))


def test_text_refuses_a_nul_far_down(tmp_path):
    text = "".join("a%d::2::3\n" % k for k in range(9000)) + "a\0::2::3\n"
    with pytest.raises(ValueError, match=r"ratings.txt, line 9001: the id 'a\\x00' ends in a NUL byte"):
        load_ratings(written(tmp_path, text))


@pytest.mark.parametrize("content", [b"1,2,3\n", gzip.compress(b"1,2,3\n" * 1000)[:-20]])
def test_damaged_compressed_text(tmp_path, content):
    with pytest.raises(ValueError, match="ratings.csv.gz is cut short or damaged"):
        load_ratings(written(tmp_path, content, "ratings.csv.gz"))


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*nowhere.csv; check the path"):
        load_ratings(tmp_path / "nowhere.csv")
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file of ratings"):
        load_ratings(tmp_path)


def test_variable_is_for_mat_files_only(tmp_path):
    with pytest.raises(ValueError, match="variable='X' was given for .*; only a .mat file has variables"):
        load_ratings(written(tmp_path, "1,2,3\n"), variable="X")


# Files of matrices

def save(path, matrix):
    if path.suffix == ".npz":
        sp.save_npz(str(path), matrix)
    elif path.suffix == ".mat":
        scipy.io.savemat(str(path), {"X": matrix, "dense": np.eye(2)})
    else:
        plain = path.with_suffix("") if path.suffix == ".gz" else path
        with open(str(plain), "wb") as stream:  # given a name, SciPy would add .mtx to .MTX
            scipy.io.mmwrite(stream, matrix, symmetry="general")
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(plain.read_bytes()))


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("name", ["m.npz", "m.mat", "m.mtx", "m.mtx.gz", "M.MTX"])
def test_matrices_come_back_with_their_stored_zeros(tmp_path, name, kind):
    save(tmp_path / name, small().astype(np.float64).asformat(kind))
    got = load_ratings(tmp_path / name)
    assert_same(got.matrix, small())
    assert got.users.tolist() == [0, 1, 2] and got.items.tolist() == [0, 1, 2, 3]
    assert got.users.dtype == got.items.dtype == np.int64 and got.timestamps is None


def test_path_may_be_a_string(tmp_path):
    save(tmp_path / "m.npz", small())
    assert_same(load_ratings(str(tmp_path / "m.npz")).matrix, small())


def test_named_variable_of_a_mat_file(tmp_path):
    path = tmp_path / "m.mat"
    scipy.io.savemat(str(path), {"A": sp.eye(2).tocsc(), "B": small().astype(float).tocsc(), "dense": np.eye(2)})
    assert_same(load_ratings(path, variable="B").matrix, small())
    with pytest.raises(ValueError, match="m.mat holds 2 sparse variables: 'A', 'B'; pass the one .* variable="):
        load_ratings(path)
    with pytest.raises(ValueError, match="m.mat has no sparse variable 'dense'; its sparse variables are 'A', 'B'"):
        load_ratings(path, variable="dense")


def test_mat_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "m.mat"
    scipy.io.savemat(str(path), {"dense": np.eye(2)})
    with pytest.raises(ValueError, match="m.mat holds no sparse variable; .*savemat"):
        load_ratings(path)
    save(path, random_ratings().astype(np.float64))
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ValueError, match="m.mat can't be read as a MATLAB file"):
        load_ratings(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(116) + b"\0" * 8 + b"\x00\x02IM" + b"\x89HDF" * 50)
    with pytest.raises(ValueError, match="m.mat is a MATLAB 7.3 file, which SciPy can't read: .*-v7"):
        load_ratings(path)


def test_npz_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(str(path), a=np.eye(2))
    with pytest.raises(ValueError, match="m.npz can't be read as a sparse matrix .*scipy.sparse.save_npz"):
        load_ratings(path)
    save(path, random_ratings())
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], b"not a zip at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="m.npz can't be read as a sparse matrix"):
            load_ratings(path)


@pytest.mark.parametrize("matrix, error, message", [
    (sp.csr_matrix((3, 4)), ValueError, "m.npz: ratings of shape 3 x 4 hold no entries"),
    (small().astype(bool), TypeError, "m.npz: ratings are of dtype bool"),
    (broken(data=[5, np.nan, 0, 2]), ValueError, "m.npz: row 0, column 3: the rating is nan"),
    (sp.coo_matrix(([1, 2], ([0, 0], [1, 1]))), ValueError, r"m.npz: row 0, column 1 is stored twice"),
    (broken(indices=[1, 9, 0, 1]), ValueError, "m.npz"),
])
def test_matrix_files_with_wrong_entries(tmp_path, matrix, error, message):
    save(tmp_path / "m.npz", matrix)
    with pytest.raises(error, match=message):
        load_ratings(tmp_path / "m.npz")


BANNER = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize("text, message", [
    ("1 1 3\n", "m.mtx, line 1: '1 1 3' doesn't begin a MatrixMarket matrix"),
    ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n", "the matrix is 'array real general'; .*coordinate"),
    ("%%MatrixMarket matrix coordinate pattern general\n1 1 1\n1 1\n", "the matrix is 'coordinate pattern general'"),
    ("%%MatrixMarket matrix coordinate real symmetric\n1 1 1\n1 1 1\n", "mmwrite.*symmetry='general'"),
    (BANNER, "m.mtx, line 1: '' isn't the size of a matrix"),
    (BANNER + "% note\n2 2\n", "m.mtx, line 3: '2 2' isn't the size of a matrix; expected its rows, columns"),
    (BANNER + "2 2 0\n", "m.mtx, line 2: the matrix holds no entries"),
    (BANNER + "2 2 1\n", "m.mtx holds 0 entries, line 2 announces 1"),
    (BANNER + "2 2 3\n1 1 3\n1 2 3\n", "m.mtx holds 2 entries, line 2 announces 3; the file is cut short"),
    (BANNER + "2 2 2\n1 1 3\n0 2 3\n", r"m.mtx, line 4: the row is 0; expected a whole number, 1 \.\. 2"),
    (BANNER + "2 2 2\n1 1 3\n2 -1 3\n", "m.mtx, line 4: the column is -1; expected a whole number"),
    (BANNER + "2 2 2\n1 1 3\n2 3 3\n", r"m.mtx, line 4: the column is 3; expected a whole number, 1 \.\. 2"),
    (BANNER + "2 2 2\n1 1 3\n1.5 2 3\n", "m.mtx, line 4: the row is 1.5; expected a whole number"),
    (BANNER + "2 2 2\n1 1 3\n1 2\n", "m.mtx, line 4: found 2 columns; expected 3"),
    (BANNER + "2 2 2\n1 1 3\n1 2 x\n", "m.mtx, line 4: the rating 'x' isn't a number"),
    (BANNER + "2 2 2\n1 1 3\n1 2 nan\n", "m.mtx, line 4: the rating is nan"),
    (BANNER + "2 2 3\n1 1 3\n1 2 3\n1 1 4\n", "m.mtx, line 5: user 0 has rated item 0 already, in .*m.mtx, line 3"),
])
def test_mtx_refuses(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_ratings(written(tmp_path, text, "m.mtx"))


def test_mtx_with_comments_and_padding(tmp_path):
    text = BANNER + "% a note\n%\n 3 4 4 \n 1  2 5.0\n 01 4 3e0\n 3 1 0\n 3 2 2\n\n"
    assert_same(load_ratings(written(tmp_path, text, "m.mtx")).matrix, small())


# The split

@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.97])
def test_split_cuts_the_stored_entries(fraction):
    matrix = random_ratings()
    before = matrix.copy()
    split = split_ratings(matrix, fraction, rng=1)
    train, test, whole = entries(split.train), entries(split.test), entries(matrix)
    assert len(test) == split.test.nnz == round(fraction * matrix.nnz)
    assert not set(train) & set(test)
    train.update(test)
    assert train == whole and 0.0 in whole.values()
    for part in (split.train, split.test):
        assert_canonical(part)
        assert part.shape == matrix.shape
        assert not np.shares_memory(part.data, matrix.data)
    assert_same(matrix, before)


def test_split_is_the_seed_s():
    matrix = random_ratings()
    one, two = split_ratings(matrix, rng=5), split_ratings(matrix, rng=np.random.RandomState(5))
    assert_same(one.train, two.train)
    assert_same(one.test, two.test)
    assert_same(split_ratings(matrix).test, split_ratings(matrix, 0.2, 0).test)
    assert entries(split_ratings(matrix, rng=6).test) != entries(one.test)
    rng = np.random.RandomState(5)
    assert entries(split_ratings(matrix, rng=rng).test) != entries(split_ratings(matrix, rng=rng).test)


def test_split_draws_every_entry_alike():
    matrix = sp.csr_matrix(np.arange(1, 21, dtype=np.float32).reshape(4, 5))
    drawn = sum(split_ratings(matrix, 0.5, seed).test.toarray() != 0 for seed in range(400))
    assert drawn.sum() == 400 * 10 and drawn.min() > 150 and drawn.max() < 250  # 200 +- 10 each


def test_split_reports_who_is_left_without_a_training_rating():
    matrix = random_ratings(60, 50, 0.03)
    split = split_ratings(matrix, 0.5, rng=2)
    train, test = entries(split.train), entries(split.test)
    users = {user for user, _ in test} - {user for user, _ in train}
    items = {item for _, item in test} - {item for _, item in train}
    assert users and items
    assert split.cold_users.tolist() == sorted(users)
    assert split.cold_items.tolist() == sorted(items)


def test_split_takes_ratings():
    ratings = ratings_from_triples(range(10), [1] * 10, range(10))
    assert_same(split_ratings(ratings).test, split_ratings(ratings.matrix).test)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, np.nan, "0.2", None])
def test_split_refuses_a_fraction(fraction):
    with pytest.raises(ValueError, match="test_fraction is .*; expected a number between 0 and 1"):
        split_ratings(small(), fraction)


@pytest.mark.parametrize("fraction, n_test", [(0.01, 0), (0.99, 4)])
def test_split_refuses_an_empty_part(fraction, n_test):
    with pytest.raises(ValueError, match="puts %d of 4 ratings into the test set" % n_test):
        split_ratings(small(), fraction)


# Mini-batches

@pytest.mark.parametrize("batch_size", [1, 7, 34, 1000])
@pytest.mark.parametrize("rng", [None, 3])
def test_minibatches_hold_each_row_with_ratings_once(batch_size, rng):
    matrix = random_ratings()
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
    matrix = random_ratings()

    def order(rng):
        return np.concatenate([rows for rows, _ in minibatches(matrix, 8, rng)]).tolist()

    assert order(3) == order(3) == order(np.random.RandomState(3)) != order(4)
    rng = np.random.RandomState(3)
    assert order(rng) != order(rng)
    assert order(3) != order(None)


@pytest.mark.parametrize("matrix, batch_size, rng, error, message", [
    (small().tocsc(), 2, None, TypeError, r"isn't a float32 csr_matrix; .*check_ratings\(matrix\)"),
    (small().astype(np.float64), 2, None, TypeError, "isn't a float32 csr_matrix"),
    (small(), 0, None, ValueError, "batch_size is 0; expected a whole number of rows, 1 or more"),
    (small(), 2.0, None, ValueError, "batch_size is 2.0"),
    (small(), 2, "seed", TypeError, "rng is 'seed'"),
    (sp.csr_matrix((2, 2), dtype=np.float32), 2, None, ValueError, "the matrix holds no entries"),
])
def test_minibatches_refuse_at_the_call(matrix, batch_size, rng, error, message):
    with pytest.raises(error, match=message):
        minibatches(matrix, batch_size, rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_rows(dtype):
    block = small()[:2]
    dense = dense_rows(block, dtype)
    assert dense.dtype == dtype
    assert_array_equal(dense, [[0, 5, 0, 3], [0, 0, 0, 0]])
    refuse_stored_zeros(block)


def test_dense_rows_refuse_stored_zeros():
    with pytest.raises(ValueError, match=r"ratings hold 1 stored zero; a dense row cannot tell them from missing "
                                         r"entries. Remove them with eliminate_zeros\(\) or use formulation='sparse'"):
        dense_rows(small())
    with pytest.raises(ValueError, match="ratings hold 3 stored zeros;"):
        refuse_stored_zeros(broken(data=[0, 0, 0, 2]))
    with pytest.raises(TypeError, match="the ratings are ndarray; expected a SciPy CSR matrix"):
        dense_rows(np.eye(2))


# Randomness

def test_check_rng():
    rng = np.random.RandomState(1)
    assert check_rng(rng) is rng
    assert check_rng(np.int64(1)).randint(1000) == np.random.RandomState(1).randint(1000)


@pytest.mark.parametrize("rng, error, message", [
    (None, TypeError, "rng is None; expected a numpy.random.RandomState or an int seed"),
    (True, TypeError, "rng is True"),
    (np.random, TypeError, "rng is <module"),
    (np.random.default_rng(0), TypeError, "rng is Generator"),
    (-1, ValueError, "rng=-1 is no seed"),
    (2 ** 32, ValueError, "rng=4294967296 is no seed"),
])
def test_check_rng_refuses(rng, error, message):
    with pytest.raises(error, match=message):
        check_rng(rng)


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()
    matrix = random_ratings()
    list(minibatches(split_ratings(matrix, rng=0).train, 4, 0))
    after = np.random.get_state()
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


# Real data

@needs_shared
def test_movielens_100k():
    got = load_ratings(SHARED / "ml-100k" / "u.data")
    assert got.matrix.shape == (943, 1682) and got.matrix.nnz == len(got.timestamps) == 100000
    assert got.users[0] == 1 and got.items[-1] == 1682
    row, col = 196 - 1, 242 - 1  # the file's first line: 196 242 3 881250949
    entry = got.matrix.indptr[row] + got.matrix[row].indices.tolist().index(col)
    assert got.matrix.data[entry] == 3 and got.timestamps[entry] == 881250949


@needs_shared
def test_movielens_1m():
    path = SHARED / "ml-1m" / "movielens_1m.mat"
    matrix = load_ratings(path, variable="X").matrix
    assert_canonical(matrix)
    assert matrix.shape == (6040, 3952)
    assert np.bincount(matrix.data.astype(int)).tolist() == [0, 56174, 107557, 261197, 348971, 226310]
    with pytest.raises(ValueError, match="holds 3 sparse variables"):
        load_ratings(path)
