"""Files of matrices, right and wrong, and files made to harm: an error that names the file, before long work."""
import bz2
import gzip
import io
import os
import struct
import sys
import tracemalloc
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from made import many_stars
from matrices import HEAD_73, as_bytes, assert_same, broken, save_73, small, zipped

from sparse_ae.data import lines
from sparse_ae.data.datasets import jester, load_published, movielens, movielens_100k_folds
from sparse_ae.data.ids import positions
from sparse_ae.data.load import load_ratings
from sparse_ae.data.matrices import AS_MATRIX, check_shape, read_mat, sparse_variables
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


def mat(packed=False, version="5", **variables):
    return as_bytes(lambda file: scipy.io.savemat(file, variables, format=version, do_compression=packed))


def mtx(matrix):
    return as_bytes(lambda file: scipy.io.mmwrite(file, matrix, symmetry="general"))


WRITERS = {"m.npz": npz, "m.mat": lambda matrix: mat(X=matrix, dense=np.eye(2)), "m.mtx": mtx, "M.MTX": mtx,
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
NO_MAT = "can't be read: .*expected a MATLAB file"
REFUSED = [
    # Arguments
    ("m.npz", npz(SMALL), dict(missing=99), "missing=99 was given for .*m.npz; only text"),
    ("m.mat", mat(X=SMALL), dict(missing=0), "m.mat: missing=0 was given; expected a sparse variable, of 'X'"),
    # SciPy's .npz
    ("m.npz", as_bytes(lambda file: np.savez(file, a=np.eye(2))), {}, NO_MATRIX),
    ("m.npz", npz(many_stars())[:500], {}, NO_MATRIX), ("m.npz", b"not a zip at all", {}, NO_MATRIX),
    ("m.npz", npz(sp.csr_matrix((3, 4))), {}, "m.npz: ratings of shape 3 x 4 hold no entries"),
    ("m.npz", npz(broken(indices=[1, 9, 0, 1])), {}, r"m.npz: entry 1 has the index 9; expected 0 \.\. 3"),
    # MATLAB
    ("m.mat", mat(X=SMALL)[:150], {}, NO_MAT), ("m.mat", mat(X=SMALL)[:128] + b"\x89HDF" * 500, {}, NO_MAT),
    ("m.mat", mat(text="abc"), {}, "of none, as variable=; .* of none, and .*savemat"),
    ("m.mat", mat(M=np.eye(3) * 1j), dict(missing=0), "complex numbers; expected real ones"),
    # Archives, and text that is packed
    ("ml-1m.zip", changed(archive(), 8, 1), {}, "encrypted"), ("ml-1m.zip", changed(archive(), 10, 97), {}, "NotImpl"),
    ("ml-1m.zip", garbled(archive(zipfile.ZIP_LZMA), b""), {}, ""), ("ml-1m.zip", archive()[:90], {}, "BadZip"),
    ("ml-1m.zip", garbled(archive(zipfile.ZIP_BZIP2), b"BZh"), {}, "OSError"),
    ("ml-1m.zip", garbled(archive(), b""), {}, "error"),
    ("ml-1m.zip", changed(archive(zipfile.ZIP_STORED), 16, 7, "<I"), {}, "CRC"),
] + [("r.dat.gz", content, {}, "r.dat.gz is truncated or damaged") for content in (
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
        load_published(path, **given)
    said = str(caught.value)
    assert name in said
    assert not name.endswith(".zip") or "is not a readable zip archive (" in said and "Download it again" in said


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


@pytest.mark.parametrize("name", ["m.npz", "m.mat"])
@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_what_the_machine_lacks_is_no_fault_of_the_file(tmp_path, monkeypatch, name, error):
    save(tmp_path / name, SMALL)
    monkeypatch.setattr("sparse_ae.data.matrices." + {"m.npz": "sp.load_npz", "m.mat": "_read_5"}[name],
                        Mock(side_effect=error))
    with pytest.raises(type(error)) as raised:
        load_ratings(tmp_path / name)
    assert raised.value is error
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "4GB")
    with pytest.raises(ValueError, match="^the environment variable SPARSE_AE_UNPACK_LIMIT is '4GB'"):
        load_ratings(tmp_path / name)


# Variables of MATLAB files


def save_5(path, **matrices):
    path.write_bytes(mat(True, dense=np.eye(2), text="abc",
                         **{name: matrix.tocsc().astype(float) for name, matrix in matrices.items()}))


@pytest.mark.parametrize("write", [save_5, save_73])
def test_sparse_variables(tmp_path, write):
    path = tmp_path / "m.mat"
    write(path, X=small())
    assert_same(load_ratings(path).matrix, small())
    write(path, A=sp.eye(2).tocsc(), B=small())
    assert_same(load_ratings(path, variable="B").matrix, small())
    for name, said in ((None, "no variable"), ("dense", "variable='dense'")):
        with pytest.raises(ValueError, match="m.mat: %s was given; expected a sparse variable, of 'A', 'B'" % said):
            load_ratings(path, variable=name)
    write(path)
    with pytest.raises(ValueError, match="m.mat: no variable was given; expected a sparse variable, of none, as v"):
        load_ratings(path)


def dense_73(path, **arrays):
    """As MATLAB writes arrays, and as GC-MC's files have them."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(str(path), "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
        file["names"] = np.array([1, 2], "u2")
    with open(str(path), "r+b") as file:
        file.write(HEAD_73)


def dense_5(path, **arrays):
    path.write_bytes(mat(True, names="abc", cube=np.zeros((2, 2, 2)), **arrays))


def dense_4(path, **arrays):
    path.write_bytes(mat(version="4", names="abc", **arrays))


@pytest.mark.parametrize("write", [dense_73, dense_5, dense_4])
def test_dense_arrays_of_mat_files(tmp_path, write):
    path, M = tmp_path / "gcmc.mat", np.array([[5.0, 0, 3, 0], [0, 0, 0, 0], [1, 0, 0, 4]])
    write(path, M=M, Otest=np.eye(3, 4), W=np.eye(2))
    got = load_ratings(path, variable="M", missing=0)
    assert got.matrix.toarray().tolist() == M.tolist() and got.matrix.nnz == 4
    assert load_ratings(path, variable="M", missing=3).matrix.nnz == 11
    for given, said in (({}, "no variable"), (dict(variable="M"), "variable='M'"), (dict(missing=0), "missing=0"),
                        (dict(missing=0, variable="X"), "variable='X', missing=0")):
        with pytest.raises(ValueError, match=r"gcmc.mat: %s was given; .* of none, as variable=; or .* of .*'M' "
                                             r"\(3 x 4\).*, and the number .*--variable M --missing 0" % said):
            load_ratings(path, **given)
    with pytest.raises(ValueError, match="gcmc.mat: .*only 0, which means .not rated."):
        write(path, M=np.zeros((2, 3)))
        load_ratings(path, missing=0)
    write(path, M=M)
    assert load_ratings(path, missing=0).matrix.nnz == 4  # the only one


def test_mat_files_of_version_73_where_nothing_reads_them(tmp_path, monkeypatch):
    (tmp_path / "m.mat").write_bytes(HEAD_73 + b"\x89HDF" * 50)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match="m.mat is a MATLAB 7.3 file, .*pip install h5py, or save .*-v7"):
        load_ratings(tmp_path / "m.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "uint8", "int16", "bool"])
def test_sparse_variables_are_those_that_scipy_reads(tmp_path, compressed, dtype):
    path = tmp_path / "x.mat"
    rng = np.random.RandomState(0)
    made = {"A": sp.csc_matrix(rng.randint(0, 3, (5, 4)), dtype=dtype), "dense": rng.rand(300, 40), "text": "abc",
            "a_name_that_takes_more_than_four_bytes": sp.eye(3).tocsc().astype(dtype),
            "s": {"inside": sp.eye(2).tocsc()}, "e": sp.csc_matrix((3, 2))}
    scipy.io.savemat(str(path), made, do_compression=compressed)
    names = ["A", "a_name_that_takes_more_than_four_bytes", "e"]
    assert sparse_variables(path) == names
    whole = scipy.io.loadmat(str(path), **AS_MATRIX)
    for name in names:
        found = read_mat(path, name, None)
        np.testing.assert_array_equal(found.toarray(), whole[name].toarray())
        assert found.shape == whole[name].shape


def test_the_other_byte_order(tmp_path):
    def element(kind, values):
        return struct.pack(">II", kind, len(values)) + values + bytes(-len(values) % 8)

    path, head = tmp_path / "x.mat", (element(6, struct.pack(">II", 5, 2)) + element(5, struct.pack(">ii", 2, 2))
                                      + element(1, b"ratings"))
    rows, starts = element(5, struct.pack(">ii", 1, 0)), element(5, struct.pack(">iii", 0, 1, 2))
    for ir, jc in ((rows, starts), (element(9, struct.pack(">dd", 1, 0)), starts),
                   (rows, element(9, struct.pack(">ddd", 0, 1, 2)))):
        contents = head + ir + jc + element(9, struct.pack(">dd", 4.5, 3))
        path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\1\0MI" + struct.pack(">II", 14, len(contents)) + contents)
        if ir + jc == rows + starts:
            assert load_ratings(path).matrix.toarray().tolist() == [[0, 3], [4.5, 0]]
        else:
            with pytest.raises(ValueError, match="the indices of a sparse variable are fractions"):
                load_ratings(path)


@pytest.mark.parametrize("place, value, message", [
    (4, 10 ** 9, "the variable at byte 0 announces 24000000022 bytes, but there are 118"),
    (4, -1, "there is no variable at byte 0"), (0, 2061, "there is no variable at byte 0"),
    (None, None, "within the header")])
def test_version_4_is_as_long_as_it_says(tmp_path, place, value, message):
    path = tmp_path / "x.mat"
    content = bytearray(mat(version="4", X=sp.csc_matrix(np.eye(3))))
    path.write_bytes(content)
    assert load_ratings(path).matrix.nnz == 3
    if place is None:
        content += b"\0" * 7
    else:
        content[place:place + 4] = struct.pack("<i", value)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.mat.*" + message):
        load_ratings(path)


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
    ("r.npz", npz(sp.csr_matrix(np.ones((200, 500))))), ("r.mat", mat(True, X=sp.csc_matrix(np.ones((200, 500)))))],
    ids=["blank lines", "a long line", "ratings", "comments", "blanks", "npz", "mat"])
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


@pytest.mark.parametrize("content, message", [
    (b"," * 2 ** 18, "line 1: found 262145 columns, separated by commas; expected user, item, rating"),
    (b"0," + b"a" * 2 ** 18 + b",3\n1,b,3\n", "line 1: found no delimiter in '0,aaa.*; expected user, item, rating"),
    (b"1,2,3\n" + b"\n \t\r\n" * 2 ** 16 + b"1,2,x\n", "line %d: the rating 'x' isn't a number" % (2 ** 17 + 2))])
def test_long_lines_and_many_blank_ones(tmp_path, content, message):
    (tmp_path / "wide.csv").write_bytes(content)
    with pytest.raises(ValueError, match="wide.csv, " + message):
        load_ratings(tmp_path / "wide.csv")
