"""Files of matrices, right and wrong, and files made to harm: an error that names the file, before long work."""
import bz2
import gzip
import io
import os
import re
import struct
import tracemalloc
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from made import many_stars
from matrices import as_bytes, assert_same, broken, small, zipped

import sparse_ae
from sparse_ae.data.datasets import jester, movielens, movielens_100k_folds
from sparse_ae.data.ids import positions
from sparse_ae.data.load import load_ratings
from sparse_ae.data.readers import lines
from sparse_ae.data.readers.matrices import check_shape
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.tables import as_ratings
from sparse_ae.files import unpacking

BANNER = "%%MatrixMarket matrix coordinate real general\n"
LIMIT = "expected at most .* set the environment variable SPARSE_AE_UNPACK_LIMIT"


def npz(matrix, **changes):
    content = as_bytes(lambda file: sp.save_npz(file, matrix))
    if changes:
        with np.load(io.BytesIO(content)) as parts:
            changed = dict(parts, **changes)
        content = as_bytes(lambda file: np.savez(file, **changed))
    return content


def mtx(matrix):
    return as_bytes(lambda file: scipy.io.mmwrite(file, matrix, symmetry="general"))


WRITERS = {"m.npz": npz, "m.mtx": mtx, "M.MTX": mtx,
           "m.mtx.gz": lambda matrix: gzip.compress(mtx(matrix))}


def save(path, matrix):
    path.write_bytes(WRITERS[path.name](matrix))


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("name", WRITERS)
def test_matrices_come_back_with_their_stored_zeros(tmp_path, name, kind):
    save(tmp_path / name, small().astype(np.float64).asformat(kind))
    got = load_ratings(str(tmp_path / name))
    assert_same(got.matrix, small())
    assert got.users.tolist() == [0, 1, 2] and got.items.tolist() == [0, 1, 2, 3]
    assert got.users.dtype == got.items.dtype == np.int64 and got.timestamps is None


# What is refused: name, content, how it is asked for, and the error, which names the file


def archive(method=zipfile.ZIP_DEFLATED):
    return zipped({"ml-1m/ratings.dat": b"1::2::3::100\n2::1::4::200\n" * 50}, method)


def changed(content, at, number, width="<H"):
    """An archive with a number of its directory and of the member's own header changed."""
    content = bytearray(content)
    directory, local = content.rindex(b"PK\1\2"), content.index(b"PK\3\4")
    struct.pack_into(width, content, directory + at, number)
    struct.pack_into(width, content, local + at - 2, number)
    return bytes(content)


def garbled(content, text):
    content = bytearray(content)
    at = content.index(text) if text else 60
    content[at:at + 8] = b"\xff" * 8
    return bytes(content)


SMALL, GZ = small().astype(float), gzip.compress(b"1::2::3::100\n2::1::4::200\n", mtime=0)
NO_MATRIX = "can't be read: .*expected a sparse matrix in a file of scipy.sparse.save_npz"
REFUSED = [
    # Arguments
    ("m.npz", npz(SMALL), dict(missing=99), "missing=99 was given for .*m.npz; only text"),
    # SciPy's .npz
    ("m.npz", as_bytes(lambda file: np.savez(file, a=np.eye(2))), {}, NO_MATRIX),
    ("m.npz", npz(many_stars())[:500], {}, NO_MATRIX), ("m.npz", b"not a zip at all", {}, NO_MATRIX),
    ("m.npz", npz(sp.csr_matrix((3, 4))), {}, "m.npz: ratings of shape 3 x 4 hold no entries"),
    ("m.npz", npz(broken(indices=[1, 9, 0, 1])), {}, r"m.npz: entry 1 has the index 9; expected 0 \.\. 3"),
    # Long lines, and many blank ones
    ("r.csv", b"," * 2 ** 18, {}, "line 1: found 262145 columns, separated by commas; expected user, item, rating"),
    ("r.csv", b"0," + b"a" * 2 ** 18 + b",3\n1,b,3\n", {}, "line 1: found no delimiter in '0,aaa.*; expected user"),
    ("r.csv", b"1,2,3\n" + b"\n \t\r\n" * 2 ** 16 + b"1,2,x\n", {}, "line 131074: the rating 'x' isn't a number"),
    # Archives, and text that is packed
    ("ml-1m.zip", changed(archive(), 8, 1), {}, "encrypted"), ("ml-1m.zip", changed(archive(), 10, 97), {}, "method"),
    ("ml-1m.zip", garbled(archive(zipfile.ZIP_LZMA), b""), {}, ""), ("ml-1m.zip", archive()[:90], {}, "not a zip file"),
    ("ml-1m.zip", garbled(archive(zipfile.ZIP_BZIP2), b"BZh"), {}, "Invalid data"),
    ("ml-1m.zip", garbled(archive(), b""), {}, "ml-1m.zip can't be read: .*; expected a sound zip"),
    ("ml-1m.zip", changed(archive(zipfile.ZIP_STORED), 16, 7, "<I"), {}, "CRC"),
    ("ml-1m.zip", zipped({"a" * 300 + ".csv": b"1,2,3\n"}), {}, "ml-1m.zip can't be read: .*too long"),
] + [("r.dat.gz", content, {}, "r.dat.gz can't be read: .*; expected a sound file: fetch or write") for content in (
    GZ[:-9], GZ[:5], b"\x1f\x8b\x08\x08" + b"x" * 40, GZ[:12] + b"\xff" * 30, bz2.compress(b"1,2,3\n"), b"\x1f\x8b")
] + [("r.npz", npz(sp.eye(3).asformat(kind), shape=np.array(shape)), {}, "(its shape, .* %s|%s)" % (LIMIT, NO_MATRIX))
     for kind in ("coo", "csr", "csc", "dia", "bsr") for shape in ((3, 10 ** 12), (10 ** 12, 3), (-1, 3))
] + [("m.mtx", text, {}, message) for text, message in [
    ("1 1 3\n", "m.mtx, line 1: found '1 1 3'; expected '%%MatrixMarket matrix coordinate real general', or"),
    ("%%MatrixMarket matrix coordinate real symmetric\n1 1 1\n1 1 1\n", "mmwrite.*symmetry='general'"),
    (BANNER + "3 1000000000000 1\n1 1 1\n", r"its shape, [0-9]+ x [0-9]+, would take .* " + LIMIT),
    (BANNER + "2 2 0\n", "m.mtx, line 2: the matrix holds no entries"),
    (BANNER + "2 2 1\n", "m.mtx has a header and no ratings"),
    (BANNER + "2 2 3\n1 1 3\n1 2 3\n", "m.mtx has 2 entries, and line 2 announces 3; the file is truncated"),
    (BANNER + "2 2 2\n1 1 3\n0 2 3\n", r"m.mtx, line 4: the row is 0; expected a whole number, 1 \.\. 2"),
    (BANNER + "2 2 3\n1 1 3\n1 2 3\n1 1 4\n", "m.mtx, line 5: user 0 has rated item 0 already, in .*m.mtx, line 3")]]


@pytest.mark.parametrize("name, content, given, message", REFUSED, ids=range(len(REFUSED)))
def test_files_that_are_refused(tmp_path, name, content, given, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((TypeError, ValueError), match="(?s)" + message) as caught:
        load_ratings(path, **given)
    said = str(caught.value)
    assert name in said
    assert not name.endswith(".zip") or "expected a sound zip archive: download it again" in said


def test_mtx_with_comments_and_padding(tmp_path):
    path = tmp_path / "m.mtx"
    path.write_text(BANNER + "% a note\n%\n 3 4 4 \n 1  2 5.0\n 01 4 3e0\n 3 1 0\n 3 2 2\n\n")
    assert_same(load_ratings(path).matrix, small())
    path = tmp_path / "m.mtx.gz"
    for blank in ("%\n", "\n", " \n"):
        path.write_bytes(gzip.compress((BANNER + blank * 2 ** 20).encode()))
        with pytest.raises(ValueError, match="line 10001: .* isn't the size .*, after at most 10000 lines"):
            load_ratings(path)
        path.write_bytes(gzip.compress((BANNER + blank * 9000 + "2 2 1\n1 2 3\n").encode()))
        assert load_ratings(path).matrix.toarray().tolist() == [[0, 3], [0, 0]]


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_what_the_machine_lacks_is_no_fault_of_the_file(tmp_path, monkeypatch, error):
    save(tmp_path / "m.npz", SMALL)
    monkeypatch.setattr("sparse_ae.data.readers.matrices.sp.load_npz", Mock(side_effect=error))
    with pytest.raises(type(error)) as raised:
        load_ratings(tmp_path / "m.npz")
    assert raised.value is error
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "4GB")
    with pytest.raises(ValueError, match="^the environment variable SPARSE_AE_UNPACK_LIMIT is '4GB'"):
        load_ratings(tmp_path / "m.npz")


# Files of MATLAB


@pytest.mark.filterwarnings("ignore:The default value for `spmatrix`")  # SciPy 1.18 or later
@pytest.mark.parametrize("read", [load_ratings, lambda path: movielens("1m", path),
                                  lambda path: store_ratings(path, path.with_name("store"))])
def test_the_error_for_a_file_of_matlab_has_the_lines_that_read_it(tmp_path, monkeypatch, read):
    path = tmp_path / "x.mat"
    scipy.io.savemat(str(path), {"X": small().tocsc().astype(float)})
    with monkeypatch.context() as closed:
        closed.setattr("builtins.open", Mock(side_effect=AssertionError))
        with pytest.raises(ValueError, match="x.mat is a file of MATLAB.*save_npz") as caught:
            read(path)
    by_scipy, by_h5py = re.findall(r"sparse_ae\.as_ratings\(.*?\)(?=; or|\. For)", str(caught.value))
    names = {"sparse_ae": sparse_ae, "scipy": scipy}
    assert_same(eval(by_scipy, names).matrix, small())
    matrix = small().tocsc()  # as h5py shows the file that MATLAB makes of it
    arrays = {"data": matrix.data.astype(float), "ir": matrix.indices.astype("u8"), "jc": matrix.indptr.astype("u8")}
    names["h5py"] = Mock(File=lambda path: {"X": {name: {(): array} for name, array in arrays.items()}})
    assert_same(eval(by_h5py, names).matrix, small())


# What unpacks to too much


def test_shapes_are_bounded_by_the_memory_that_they_take(tmp_path):
    path = tmp_path / "x.mtx"
    path.write_text("few bytes")
    check_shape(path, (20 * 10 ** 6, 100), 10)  # ids of 8 bytes, and places of 4: 240 MB
    with pytest.raises(ValueError, match="its shape, 30000000 x 100, would take 3600008.. or more; expected at most"):
        check_shape(path, (30 * 10 ** 6, 100), 10)
    with pytest.raises(ValueError, match="would take 3200"):
        check_shape(path, (20 * 10 ** 6, 100), 2 ** 31)


# Without the time of packing: all workers must see the same.
BLANK_LINES = gzip.compress(b"1,2,3\n" + b"\n" * 2 ** 22, mtime=0)


@pytest.mark.parametrize("name, content", [
    ("r.csv.gz", BLANK_LINES), ("r.csv.gz", gzip.compress(b"x" * 2 ** 22, mtime=0)),
    ("r.csv.gz", gzip.compress(b"1,1,1\n" * 2 ** 20, mtime=0)),
    ("m.mtx.gz", gzip.compress(BANNER.encode() + (b"%" * 999 + b"\n") * 2 ** 13, mtime=0)),
    ("m.mtx.gz", gzip.compress(BANNER.encode() + b"1 1 1\n" + b" \n" * 2 ** 21, mtime=0)),
    ("r.npz", npz(sp.csr_matrix(np.ones((200, 500)))))],
    ids=["blank lines", "a long line", "ratings", "comments", "blanks", "npz"])
def test_what_unpacks_to_too_much(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(unpacking, "_ALWAYS", 2 ** 16)
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 2 ** 14)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=name + ".*" + LIMIT):
        load_ratings(path)
    if name == "r.csv.gz":
        with pytest.raises(ValueError, match=name + ".*" + LIMIT):
            store_ratings(path, tmp_path / "store")
    assert os.listdir(str(tmp_path)) == [name]
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", str(2 ** 23))
    if content == BLANK_LINES:
        assert load_ratings(path).matrix.nnz == 1


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "_ALWAYS", 2 ** 16)
    path = tmp_path / "ml-1m.zip"
    for more, name in ((b"", "README"), (b"\n" * 2 ** 22, "README"), (b"\n" * 2 ** 22, "ratings.dat")):
        files = {"ml-1m/ratings.dat": b"1::2::3::100\n2::1::4::200\n"}
        path.write_bytes(zipped(dict(files, **{"ml-1m/" + name: files.get("ml-1m/" + name, b"") + more})))
        if name == "README":  # isn't looked at
            assert movielens("1m", path).ratings.matrix.nnz == 2
    with pytest.raises(ValueError, match="ml-1m.zip.*" + LIMIT):
        movielens("1m", path)


# One long id, whose array of strings would take 800 MB

LONG, SHORT = "a" * 10 ** 5, ["b%d" % k for k in range(2000)]
TOO_LONG = "one of 2001 ids has 100000 characters, 'a{38}\\S*, .* expected at most .*: shorten the id"


@pytest.mark.parametrize("line", [LONG + ",1,3\n", "1,%s,3\n" % LONG])
def test_one_long_id_in_a_file(tmp_path, line):
    path = tmp_path / "ratings.csv"
    path.write_text("".join("%s,%s,3\n" % (each, each) for each in SHORT) + line)
    for read in (load_ratings, lambda path: store_ratings(path, tmp_path / "store")):
        with pytest.raises(ValueError, match="ratings.csv: " + TOO_LONG):
            read(path)
    assert os.listdir(str(tmp_path)) == ["ratings.csv"]


def test_one_long_id_of_columns(monkeypatch):
    ids, numbers, values = SHORT + [LONG], list(range(2001)), [3] * 2001
    tracemalloc.start()
    try:
        for table in ((ids, numbers, values), (numbers, ids, values), list(zip(ids, numbers, values))):
            with pytest.raises(ValueError, match=TOO_LONG):
                as_ratings(table)
        with pytest.raises(ValueError, match=TOO_LONG):
            positions(ids, np.array(["b1", "b2"]), "users")
        assert tracemalloc.get_traced_memory()[1] < 2 ** 26
    finally:
        tracemalloc.stop()
    ids[-1] = LONG[:10 ** 4]  # 80 MB
    assert len(as_ratings((ids, numbers, values)).users) == 2001
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", str(10 ** 7))
    with pytest.raises(ValueError, match="'a.* 80040000 bytes; expected at most 10000000"):
        as_ratings((ids, numbers, values))


# Others that are made to harm


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_no_pipe_is_waited_for(tmp_path):
    for name in ("ratings.csv", "ratings.npz", "ratings.mat", "m.mtx", "ratings.csv.gz", "ml-1m.zip", "u.data"):
        path = tmp_path / name
        os.mkfifo(str(path))
        for read in (load_ratings, lambda path: movielens(path=path), jester, movielens_100k_folds,
                     lambda path: store_ratings(path, tmp_path / "store")):
            with pytest.raises(OSError, match="%s is a pipe; expected a file" % name):
                read(path)
        path.unlink()
    (tmp_path / "ratings.dat").write_bytes(b"1::2::3::100\n2::1::4::200\n")
    os.mkfifo(str(tmp_path / "movies.dat"))
    assert movielens("1m", tmp_path / "ratings.dat").titles == {}
    assert movielens("1m", tmp_path).ratings.matrix.nnz == 2
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(OSError, match="%s is a device or a socket; expected a file" % device):
            load_ratings(device)


@pytest.mark.parametrize("titles, message", [
    (b'movieId,title\n1,"' + b"x" * 200000, ".* field larger than field limit"),
    (b"movieId,title\n1\n", ".* found 1 columns; expected 2, as on the first line"),
    (b"movieId,title\nx,y\n", r": expected an item id \(int, as in the ratings\) .*'x'\. Correct the line, or"),
    (b"movieId,title\n" + b"9" * 5000 + b",y\n", ": expected an item id")])
def test_titles_that_are_none(tmp_path, titles, message):
    (tmp_path / "ratings.csv").write_bytes(b"userId,movieId,rating\n1,2,3\n")
    (tmp_path / "movies.csv").write_bytes(titles)
    with pytest.raises(ValueError, match="movies.csv" + message):
        movielens("latest-small", tmp_path)
