"""Files of matrices: the library's own reader of MATLAB's makes of them what SciPy's does; shapes are within bounds."""
import struct

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from sparse_ae.data.load import load_ratings
from sparse_ae.data.matrices import AS_MATRIX, check_shape, read_mat, sparse_variables


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


def test_complex_ratings_are_refused(tmp_path):
    path = tmp_path / "x.mat"
    scipy.io.savemat(str(path), {"X": sp.csc_matrix(np.eye(3) * 1j)})
    with pytest.raises(ValueError, match="x.mat.*complex numbers; expected real ones"):
        load_ratings(path)


@pytest.mark.parametrize("place, value, message", [
    (4, 10 ** 9, "the variable at byte 0 says that it has 24000000022 bytes, and there are 118"),
    (4, -1, "there is no variable at byte 0"), (0, 2061, "there is no variable at byte 0"),
    (None, None, "amid the header")])
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


def test_a_list_of_ratings_is_no_table(tmp_path):
    path, rows = tmp_path / "x.mat", np.arange(300).reshape(60, 5)  # user, item, category, rating, helpfulness
    scipy.io.savemat(str(path), {"rating": rows, "trust": rows[:, :2]})
    with pytest.raises(ValueError, match=r"'rating' looks like a list with a rating in each row: .*ratings_from_triples"
                                         r".*of a table of users by items pass .*variable='rating', missing=0"):
        load_ratings(path)
