"""Files made to harm: an error that names the file, before there is much of anything."""
import bz2
import gzip
import io
import os
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from sparse_ae.data import lines
from sparse_ae.data.datasets import jester, load_published, movielens, movielens_100k_folds
from sparse_ae.data.ids import positions
from sparse_ae.data.load import load_ratings
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.tables import as_ratings
from sparse_ae.files import unpacking

RATINGS = b"1::2::3::100\n2::1::4::200\n"


@pytest.fixture
def little_allowed(monkeypatch):
    monkeypatch.setattr(unpacking, "_ALWAYS", 2 ** 16)
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 2 ** 14)


def refused(read, path, message):
    with pytest.raises(ValueError, match="%s.*%s" % (re.escape(path.name), message)):
        read(path)


LIMIT = "expected at most .* set the environment variable SPARSE_AE_UNPACK_LIMIT"


@pytest.mark.parametrize("name, content", [
    ("ratings.csv.gz", b"1,2,3\n" + b"\n" * 2 ** 22),
    ("ratings.csv.gz", b"x" * 2 ** 22), ("ratings.csv.gz", b"1,1,1\n" * 2 ** 20),
    ("m.mtx.gz", b"%%MatrixMarket matrix coordinate real general\n" + (b"%" * 999 + b"\n") * 2 ** 13),
    ("m.mtx.gz", b"%%MatrixMarket matrix coordinate real general\n1 1 1\n" + b" \n" * 2 ** 21)])
def test_text_that_unpacks_to_too_much(tmp_path, name, content, little_allowed, monkeypatch):
    path = tmp_path / name
    with gzip.open(str(path), "wb") as file:
        file.write(content)
    refused(load_ratings, path, LIMIT)
    if content.endswith(b"\n\n"):
        monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", str(2 ** 23))
        assert load_ratings(path).matrix.nnz == 1
        monkeypatch.delenv("SPARSE_AE_UNPACK_LIMIT")
    if name.endswith(".csv.gz"):
        refused(lambda path: store_ratings(path, tmp_path / "store"), path, LIMIT)
    assert sorted(os.listdir(str(tmp_path))) == [name]


def test_blank_lines_are_counted_but_not_looked_at_one_by_one(tmp_path, little_allowed, monkeypatch):
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"1,2,3\n" + b"\n \t\r\n" * 2 ** 16 + b"1,2,x\n")
    with pytest.raises(ValueError, match="ratings.csv, line %d: the rating 'x' isn't a number" % (2 ** 17 + 2)):
        load_ratings(path)


@pytest.mark.parametrize("name, write", [
    ("ratings.npz", lambda path: sp.save_npz(path, sp.csr_matrix(np.ones((200, 500))))),
    ("ratings.mat", lambda path: scipy.io.savemat(path, {"X": sp.csc_matrix(np.ones((200, 500)))},
                                                  do_compression=True))])
def test_a_matrix_that_unpacks_to_too_much(tmp_path, name, write, little_allowed):
    write(str(tmp_path / name))
    refused(load_ratings, tmp_path / name, LIMIT)


def test_an_archive_that_unpacks_to_too_much(tmp_path, little_allowed):
    path = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml-1m/ratings.dat", RATINGS)
        archive.writestr("ml-1m/README", bytes(2 ** 22))  # isn't looked at
    assert movielens("1m", path).ratings.matrix.nnz == 2
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml-1m/ratings.dat", RATINGS + b"\n" * 2 ** 22)
    refused(lambda path: movielens("1m", path), path, LIMIT)


@pytest.mark.parametrize("size", ["3 1000000000000 1", "1000000000000 3 1", "999999999999999999 999999999999999999 1"])
def test_an_mtx_that_announces_too_much(tmp_path, size):
    path = tmp_path / "m.mtx"
    path.write_text("%%%%MatrixMarket matrix coordinate real general\n%s\n1 1 1\n" % size)
    refused(load_ratings, path, r"its shape, [0-9]+ x [0-9]+, would take .* %s" % LIMIT)


def test_an_mtx_of_numbers_that_are_none(tmp_path):
    path = tmp_path / "m.mtx"
    path.write_text("%%%%MatrixMarket matrix coordinate real general\n%s 1 1\n1 1 1\n" % ("1" * 5000))
    refused(load_ratings, path, "line 2: '1+ isn't the size of the matrix")


@pytest.mark.parametrize("kind", ["coo", "csr", "csc", "dia", "bsr"])
@pytest.mark.parametrize("shape", [(3, 10 ** 12), (10 ** 12, 3), (10 ** 18, 10 ** 18), (-1, 3)])
def test_an_npz_that_announces_too_much(tmp_path, kind, shape):
    path = tmp_path / "r.npz"
    sp.save_npz(str(path), sp.eye(3).asformat(kind))
    with np.load(str(path)) as file:
        parts = dict(file, shape=np.array(shape))
    np.savez(str(path), **parts)
    refused(load_ratings, path, "(its shape, .* %s|can't be read as a sparse matrix)" % LIMIT)


def archive(method=zipfile.ZIP_DEFLATED, content=RATINGS * 50):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("ml-1m/ratings.dat", content)
    return bytearray(file.getvalue())


def changed(content, at, number, width="<H"):
    """An archive with a number of its directory and of the member's own header changed."""
    directory, local = content.rindex(b"PK\1\2"), content.index(b"PK\3\4")
    struct.pack_into(width, content, directory + at, number)
    struct.pack_into(width, content, local + at - 2, number)
    return bytes(content)


def broken(content, text):
    at = content.index(text) if text else 60
    content[at:at + 8] = b"\xff" * 8
    return bytes(content)


@pytest.mark.parametrize("content", [
    changed(archive(), 8, 1),                       # encrypted: RuntimeError
    changed(archive(), 10, 97),                     # packed in a way nobody knows: NotImplementedError
    broken(archive(zipfile.ZIP_LZMA), b""),         # LZMAError
    broken(archive(zipfile.ZIP_BZIP2), b"BZh"),     # OSError
    broken(archive(), b""),                         # zlib.error
    bytes(archive())[:90],                          # BadZipFile
    changed(archive(zipfile.ZIP_STORED), 16, 7, "<I"),  # the checksum
], ids="encrypted method lzma bz2 zlib short checksum".split())
def test_archives_that_cannot_be_unpacked(tmp_path, content):
    path = tmp_path / "ml-1m.zip"
    path.write_bytes(content)
    refused(lambda path: movielens("1m", path), path, r"is not a readable zip archive \(.*\)\. Download it again")


@pytest.mark.parametrize("content", [
    gzip.compress(RATINGS, mtime=0)[:-9], gzip.compress(RATINGS, mtime=0)[:5], b"\x1f\x8b\x08\x08" + b"x" * 40,
    gzip.compress(RATINGS, mtime=0)[:12] + b"\xff" * 30, bz2.compress(RATINGS), b"\x1f\x8b"])
def test_gzip_that_cannot_be_unpacked(tmp_path, content):
    path = tmp_path / "ratings.dat.gz"
    path.write_bytes(content)
    refused(load_ratings, path, "is truncated or damaged")


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
    (tmp_path / "ratings.dat").write_bytes(RATINGS)
    os.mkfifo(str(tmp_path / "movies.dat"))
    assert movielens("1m", tmp_path / "ratings.dat").titles == {}
    assert movielens("1m", tmp_path).ratings.matrix.nnz == 2
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(OSError, match="%s is a device or a socket; expected a file" % device):
            load_ratings(device)


@pytest.mark.parametrize("titles, message", [
    (b'movieId,title\n1,"' + b"x" * 200000, "field larger than field limit"),
    (b"movieId,title\n1\n", r"expected an item id \(int, as in the ratings\) and a title in each line, got \['1'.*"
                              "Correct the line, or remove the file"),
    (b"movieId,title\nx,y\n", r"expected an item id \(int, as in the ratings\) .* got \['x', 'y'\]"),
    (b"movieId,title\n" + b"9" * 5000 + b",y\n", "expected an item id .*9{50}")])
def test_titles_that_are_none(tmp_path, titles, message):
    (tmp_path / "ratings.csv").write_bytes(b"userId,movieId,rating\n1,2,3\n")
    (tmp_path / "movies.csv").write_bytes(titles)
    with pytest.raises(ValueError, match="movies.csv: %s" % message):
        movielens("latest-small", tmp_path)


# One long id

LONG = "a" * 10 ** 5
SHORT = ["b%d" % k for k in range(2000)]  # 800 MB, were each to take as much as the long one


@pytest.mark.parametrize("line", [LONG + ",1,3\n", "1,%s,3\n" % LONG])
def test_one_long_id_in_a_file(tmp_path, line):
    path = tmp_path / "ratings.csv"
    path.write_text("".join("%s,%s,3\n" % (each, each) for each in SHORT) + line)
    said = "one of 2001 ids has 100000 characters, 'a{38}\\S*, .* expected at most .*: shorten the id"
    refused(load_ratings, path, said)
    refused(lambda path: store_ratings(path, tmp_path / "store"), path, said)
    assert os.listdir(str(tmp_path)) == ["ratings.csv"]


def test_one_long_id_of_columns():
    ids, numbers, values = SHORT + [LONG], list(range(2001)), [3] * 2001
    said = "one of 2001 ids has 100000 characters"
    tables = [(ids, numbers, values), (numbers, ids, values), {"user": ids, "item": numbers, "rating": values},
              list(zip(ids, numbers, values))]
    tracemalloc.start()
    try:
        for table in tables:
            with pytest.raises(ValueError, match=said):
                as_ratings(table)
        with pytest.raises(ValueError, match=said):
            positions(ids, np.array(["b1", "b2"]), "users")
        assert tracemalloc.get_traced_memory()[1] < 2 ** 26
    finally:
        tracemalloc.stop()


def test_long_ids_that_are_all_long(tmp_path, monkeypatch):
    ids = ["%s%d" % ("x" * 50000, k) for k in range(40)]
    path = tmp_path / "ratings.csv"
    path.write_text("".join("%s,7,3\n" % each for each in ids))
    assert load_ratings(path).users.tolist() == sorted(ids)
    assert len(as_ratings((SHORT + [LONG[:10 ** 4]], list(range(2001)), [3] * 2001)).users) == 2001  # 80 MB
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", str(10 ** 7))
    with pytest.raises(ValueError, match="'a.* 80040000 bytes; expected at most 10000000"):
        as_ratings((SHORT + [LONG[:10 ** 4]], list(range(2001)), [3] * 2001))


# What would be refused, but not soon


@pytest.mark.parametrize("blank", [b"%\n", b"\n", b" \n"])
def test_comments_without_end_are_refused_soon(tmp_path, blank):
    path = tmp_path / "m.mtx.gz"
    with gzip.open(str(path), "wb") as file:
        file.write(b"%%MatrixMarket matrix coordinate real general\n" + blank * 2 ** 22)
    refused(load_ratings, path, "line 10001: .* isn't the size of the matrix; expected .*, after at most 10000 lines")
    with gzip.open(str(path), "wb") as file:
        file.write(b"%%MatrixMarket matrix coordinate real general\n" + blank * 9000 + b"2 2 1\n1 2 3\n")
    assert load_ratings(path).matrix.toarray().tolist() == [[0, 3], [0, 0]]


def test_lines_are_taken_one_by_one_from_any_line_on(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"".join(b"%d\n" % k for k in range(10 ** 5)) + b"end")
    with lines.lines_of(path, 10 ** 5) as found:
        assert found.read_block() == b"99999\nend" and found.read_block() == b""
    with lines.lines_of(path, 7) as found:
        assert list(found.one_by_one("x\n"))[:3] == ["x\n", "6\n", "7\n"]


@pytest.mark.parametrize("content, message", [
    (b"," * 2 ** 18, "line 1: found 262145 columns, separated by commas; expected user, item, rating"),
    (b"0," + b"a" * 2 ** 18 + b",3\n1,b,3\n", "line 1: found no delimiter in '0,aaa.*; expected user, item, rating")])
def test_a_long_first_line(tmp_path, content, message):
    (tmp_path / "wide.csv").write_bytes(content)
    refused(load_ratings, tmp_path / "wide.csv", message)


def test_an_archive_of_many_files_of_ratings(tmp_path):
    with zipfile.ZipFile(str(tmp_path / "many.zip"), "w") as archive:
        for k in range(300):
            archive.writestr("d%d/ratings.csv" % k, b"1,1,1\n")
    for read in (load_published, lambda path: movielens("100k", path)):
        refused(read, tmp_path / "many.zip", "holds several files that may be the ratings.*d0/ratings.csv.* 290 more")
