"""Files of ratings and of matrices, right and wrong: a tour of bad input where every message counts."""
import gzip
import struct
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from made import many_stars
from matrices import HEAD_73, assert_canonical, assert_same, broken, save_73, small

from sparse_ae.data.load import load_ratings
from sparse_ae.data.matrices import AS_MATRIX, check_shape, read_mat, sparse_variables

# Files of text

def written(tmp_path, content, name="ratings.txt", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("name, given, error, message", [
    ("nowhere.csv", {}, FileNotFoundError, "there is no file .*nowhere.csv; check the path"),
    ("", {}, IsADirectoryError, "is a folder; expected a file of ratings"),
    ("r", dict(variable="X"), ValueError, "variable='X' was given for .*; only a .mat file has variables"),
    ("r", dict(duplicates="median"), ValueError, "duplicates is 'median'; expected 'error', .*, 'mean' or 'sum'"),
    ("m.npz", dict(missing=99), ValueError, "missing=99 was given for .*m.npz; only text"),
    ("m.npz", dict(lists=True), ValueError, "lists=True was given for .*m.npz; only text"),
    ("m.mtx", dict(user=0), ValueError, "user=0 was given for .*m.mtx; only text"),
    ("m.mat", dict(missing=0), ValueError, "m.mat: missing=0 was given; expected a sparse variable, of 'X'")])
def test_refused_arguments(tmp_path, name, given, error, message):
    written(tmp_path, "1,2,3\n", "r")
    for each in ("m.npz", "m.mtx", "m.mat"):
        save(tmp_path / each, small().astype(float))
    with pytest.raises(error, match=message):
        load_ratings(tmp_path / name, **given)


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
    got = load_ratings(str(tmp_path / name))
    assert_same(got.matrix, small())
    assert got.users.tolist() == [0, 1, 2] and got.items.tolist() == [0, 1, 2, 3]
    assert got.users.dtype == got.items.dtype == np.int64 and got.timestamps is None


def save_5(path, **matrices):
    scipy.io.savemat(str(path), dict({name: matrix.tocsc().astype(float) for name, matrix in matrices.items()},
                                     dense=np.eye(2), text="abc"), do_compression=True)


@pytest.mark.parametrize("write", [save_5, save_73])
def test_variables_of_mat_files(tmp_path, write):
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
    write(path, X=sp.csc_matrix((3, 4)))
    with pytest.raises(ValueError, match="m.mat: ratings of shape 3 x 4 hold no entries"):
        load_ratings(path)
    for content in (path.read_bytes()[:150], path.read_bytes()[:128] + b"\x89HDF" * 500):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="m.mat can't be read as a MATLAB file"):
            load_ratings(path)
    scipy.io.savemat(str(path), {"text": "abc"})
    with pytest.raises(ValueError, match="of none, as variable=; .* of none, and .*savemat"):
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
    scipy.io.savemat(str(path), dict(arrays, names="abc", cube=np.zeros((2, 2, 2))), do_compression=True)


def dense_4(path, **arrays):
    scipy.io.savemat(str(path), dict(arrays, names="abc"), format="4")


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


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "int64", ">f8"])
def test_numbers_of_dense_arrays(tmp_path, dtype):
    path = tmp_path / "m.mat"
    dense_5(path, a_name_that_is_longer=np.arange(12).reshape(3, 4).astype(dtype))
    assert load_ratings(path, missing=0).matrix.toarray().tolist() == np.arange(12).reshape(3, 4).tolist()
    scipy.io.savemat(str(path), {"M": np.eye(3) * 1j})
    with pytest.raises(ValueError, match="m.mat.*complex numbers; expected real ones"):
        load_ratings(path, missing=0)


def test_mat_files_of_version_73_where_nothing_reads_them(tmp_path, monkeypatch):
    (tmp_path / "m.mat").write_bytes(HEAD_73 + b"\x89HDF" * 50)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match="m.mat is a MATLAB 7.3 file, .*pip install h5py, or save .*-v7"):
        load_ratings(tmp_path / "m.mat")


@pytest.mark.parametrize("name, reader", [("m.npz", "read_array"), ("m.mat", "_read_5")])
@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_what_the_machine_lacks_is_no_fault_of_the_file(tmp_path, monkeypatch, name, reader, error):
    save(tmp_path / name, small().astype(float))
    monkeypatch.setattr("sparse_ae.data.matrices." + reader, Mock(side_effect=error))
    with pytest.raises(type(error)) as raised:
        load_ratings(tmp_path / name)
    assert raised.value is error
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "4GB")
    with pytest.raises(ValueError, match="^the environment variable SPARSE_AE_UNPACK_LIMIT is '4GB'"):
        load_ratings(tmp_path / name)


def test_npz_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(str(path), a=np.eye(2))
    with pytest.raises(ValueError, match="m.npz can't be read as a sparse matrix .*scipy.sparse.save_npz"):
        load_ratings(path)
    save(path, many_stars())
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
    (broken(indices=[1, 9, 0, 1]), ValueError, "m.npz: entry 1 has the index 9; expected 0 .. 3"),
])
def test_matrix_files_with_wrong_entries(tmp_path, matrix, error, message):
    save(tmp_path / "m.npz", matrix)
    with pytest.raises(error, match=message):
        load_ratings(tmp_path / "m.npz")


BANNER = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize("text, message", [
    ("1 1 3\n", "m.mtx, line 1: found '1 1 3'; expected '%%MatrixMarket matrix coordinate real general', or"),
    ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n", "found .* array real general.; expected"),
    ("%%MatrixMarket matrix coordinate pattern general\n1 1 1\n1 1\n", "found '.* pattern general'; expected"),
    ("%%MatrixMarket matrix coordinate real symmetric\n1 1 1\n1 1 1\n", "mmwrite.*symmetry='general'"),
    (BANNER, "m.mtx, line 1: '' isn't the size of the matrix"),
    (BANNER + "% note\n2 2\n", "m.mtx, line 3: '2 2' isn't the size of the matrix; expected the numbers of rows"),
    (BANNER + "2 2 0\n", "m.mtx, line 2: the matrix holds no entries"),
    (BANNER + "2 2 1\n", "m.mtx has a header and no ratings"),
    (BANNER + "2 2 3\n1 1 3\n1 2 3\n", "m.mtx has 2 entries, and line 2 announces 3; the file is truncated"),
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


# Real data

def test_movielens_1m(shared_data):
    path = shared_data / "ml-1m" / "movielens_1m.mat"
    matrix = load_ratings(path, variable="X").matrix
    assert_canonical(matrix)
    assert matrix.shape == (6040, 3952)
    assert np.bincount(matrix.data.astype(int)).tolist() == [0, 56174, 107557, 261197, 348971, 226310]
    with pytest.raises(ValueError, match="no variable was given; expected a sparse variable, of .*'X'"):
        load_ratings(path)


# Matrices


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

    contents = (element(6, struct.pack(">II", 5, 2)) + element(5, struct.pack(">ii", 2, 2)) + element(1, b"ratings")
                + element(5, struct.pack(">ii", 1, 0)) + element(5, struct.pack(">iii", 0, 1, 2))
                + element(9, struct.pack(">dd", 4.5, 3)))
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\1\0MI" + struct.pack(">II", 14, len(contents)) + contents)
    assert load_ratings(path).matrix.toarray().tolist() == [[0, 3], [4.5, 0]]
    try:
        theirs = scipy.io.loadmat(str(path), **AS_MATRIX)["ratings"]
    except ValueError as error:  # SciPy 1.15 makes no sparse matrix of numbers in the other order
        assert "does not support dtype float64" in str(error)
    else:
        np.testing.assert_array_equal(theirs.toarray(), [[0, 3], [4.5, 0]])


@pytest.mark.parametrize("place, value, message", [
    (4, 10 ** 9, "the variable at byte 0 announces 24000000022 bytes, but there are 118"),
    (4, -1, "there is no variable at byte 0"), (0, 2061, "there is no variable at byte 0"),
    (None, None, "within the header")])
def test_version_4_is_as_long_as_it_says(tmp_path, place, value, message):
    path = tmp_path / "x.mat"
    scipy.io.savemat(str(path), {"X": sp.csc_matrix(np.eye(3))}, format="4")
    assert load_ratings(path).matrix.nnz == 3
    content = bytearray(path.read_bytes())
    if place is None:
        content += b"\0" * 7
    else:
        content[place:place + 4] = struct.pack("<i", value)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.mat.*" + message):
        load_ratings(path)


def test_shapes_are_bounded_by_the_memory_that_they_take(tmp_path):
    path = tmp_path / "x.mtx"
    path.write_text("few bytes")
    check_shape(path, (20 * 10 ** 6, 100), 10)  # ids of 8 bytes, and places of 4: 240 MB
    with pytest.raises(ValueError, match="its shape, 30000000 x 100, would take 3600008.. or more; expected at most"):
        check_shape(path, (30 * 10 ** 6, 100), 10)
    with pytest.raises(ValueError, match="would take 3200"):
        check_shape(path, (20 * 10 ** 6, 100), 2 ** 31)
