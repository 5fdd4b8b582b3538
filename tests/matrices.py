"""Small matrices of ratings and contents of files, and what is asserted of them, for the tests of data and files."""
import io
import json
import zipfile
import zlib

import numpy as np
import scipy.sparse as sp
from numpy.testing import assert_array_equal


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


def small():
    """3 x 4, with a stored 0 at (2, 0), an empty row 1 and an empty column 2."""
    return sp.csr_matrix((np.array([5, 3, 0, 2], np.float32), [1, 3, 0, 1], [0, 2, 2, 4]), shape=(3, 4))


def laid_out(x, order):
    """A dense matrix in a memory order: C, F or strided."""
    return np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2] if order == "strided" else np.array(x, order=order)


def entries(matrix):
    coo = sp.coo_matrix(matrix)
    return dict(zip(zip(coo.row.tolist(), coo.col.tolist()), coo.data.tolist()))


def triples(ratings):
    """Users, items and values of `Ratings`, row by row: a list of tuples."""
    coo = ratings.matrix.tocoo()
    return list(zip(ratings.users[coo.row].tolist(), ratings.items[coo.col].tolist(), coo.data.tolist()))


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


def broken(**parts):
    """A CSR matrix with some of its arrays replaced behind SciPy's back."""
    matrix = small()
    for name, values in parts.items():
        setattr(matrix, name, np.array(values, getattr(matrix, name).dtype))
    return matrix


def as_bytes(write):
    """What a function writes to a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(members, method=zipfile.ZIP_DEFLATED):
    """A zip archive of members' contents by name."""
    def write(file):
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    return as_bytes(write)


def written(folder, content, name="ratings"):
    """The path of a new file."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def sealed(note):
    """The text of a store's note with the right checksum, as whoever knows the format would write it."""
    if isinstance(note, dict):
        note = {name: value for name, value in note.items() if name != "checksum"}
        note["checksum"] = zlib.crc32(json.dumps(note, sort_keys=True).encode())
    return json.dumps(note)


def replace_array(folder, name, array):
    """Write another array into a store, with the right checksums."""
    path, note = folder / (name + ".npy"), json.loads((folder / "store.json").read_text())
    np.save(str(path), array)
    note["checksums"][name] = zlib.crc32(path.read_bytes())
    (folder / "store.json").write_text(sealed(note))
