"""Files of matrices: SciPy's .npz, MatrixMarket, and MATLAB's, which SciPy's reader doesn't check for damage.

docs/develop/decisions.md has the format of MATLAB 5 to 7.2, MathWorks, MAT-File Format, chapter 1.
"""
import inspect
import re
import zipfile
import zlib
from functools import partial

import numpy as np
import scipy.io
import scipy.sparse as sp

from sparse_ae.data.layout import Layout, in_words
from sparse_ae.data.lines import LONGEST_LINE, opened
from sparse_ae.data.ratings import index_dtype
from sparse_ae.data.tables import listed, some_names
from sparse_ae.data.text import whole_table
from sparse_ae.files.unpacking import check_archive, check_size, one_error, read_header

#: The names of files that hold a matrix end so; all others are read as text.
MATRIX_ENDINGS = (".npz", ".mat", ".mtx", ".mtx.gz")

_HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _PACKED, _UTF8 = 14, 15, 16
_SPARSE, _COMPLEX = 5, 0x0800
_DENSE = range(6, 16)  # doubles, singles, and integers of 1 to 8 bytes

# SciPy 1.18 warns if the kind of sparse matrix isn't given.
AS_MATRIX = {"spmatrix": True} if "spmatrix" in inspect.signature(scipy.io.loadmat).parameters else {}

# The bytes of a number of version 4, by the tens digit of the variable's type.
_SIZES_4 = 8, 4, 4, 2, 2, 1

# A variable's class, shape and name are among its first bytes.
_HEAD = 4096

# Lines of comments at the top of a MatrixMarket file.
_MOST_COMMENTS = 10000

_MAT_HINT = "save the ratings only, with save('-v7', file, 'name') in MATLAB or scipy.io.savemat"
_MTX_HINT = "write it with scipy.io.mmwrite(path, matrix, symmetry='general')"


def check_shape(path, shape, n_entries):
    """Raise ValueError for a shape that takes too much memory: each row and column has an id, each row a pointer too.
    """
    n_rows, n_cols = map(int, shape)
    places = np.dtype(index_dtype((n_rows, n_cols), n_entries)).itemsize * (n_rows + 1)
    check_size(path, 8 * (n_rows + n_cols) + places, "its shape, %d x %d," % (n_rows, n_cols))


# SciPy's .npz


def read_npz(path):
    """The matrix of a file of `scipy.sparse.save_npz`; it isn't checked."""
    with one_error(path, "a sparse matrix in a file of scipy.sparse.save_npz"):
        with zipfile.ZipFile(str(path)) as archive:
            check_archive(path, archive)
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    read_header(stream, entry.file_size)  # SciPy takes as much memory as it says
        matrix = sp.load_npz(str(path))
        if len(matrix.shape) != 2:
            raise ValueError("the shape is %r" % (matrix.shape,))
        return matrix


# MatrixMarket


def read_mtx(path, progress):
    """The arguments of `build_ratings` for a MatrixMarket file; SciPy's names no line, and is slow before 1.12."""
    n_rows, n_cols, n_entries, line = _mtx_size(path)
    check_shape(path, (n_rows, n_cols), n_entries)
    layout = Layout(first_line=line + 1, delimiter=None, n_columns=3, columns=(0, 1, 2))
    rows, cols, values, _, where = whole_table(path, layout, progress)
    if len(values) != n_entries:
        raise ValueError("%s has %d entries, and line %d announces %d; the file is truncated or damaged: fetch or "
                         "write it again" % (path, len(values), line, n_entries))
    return (_mtx_positions(rows, n_rows, "row", where), _mtx_positions(cols, n_cols, "column", where), values, None,
            where)


def _mtx_size(path):
    """Rows, columns, entries, and the number of their line."""
    with opened(path) as stream:
        banner = stream.readline(LONGEST_LINE).decode("latin-1").lower().split()
        n_lines, size = 1, ""
        for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
            n_lines += 1
            size = line.decode("latin-1").strip()
            if size and not size.startswith("%") or n_lines > _MOST_COMMENTS:
                break
    if banner not in (["%%matrixmarket", "matrix", "coordinate", kind, "general"] for kind in ("real", "integer")):
        raise ValueError("%s, line 1: found %.60r; expected '%%%%MatrixMarket matrix coordinate real general', or "
                         "'integer' for 'real': %s" % (path, " ".join(banner), _MTX_HINT))
    if not re.fullmatch(r"[0-9]{1,18}\s+[0-9]{1,18}\s+[0-9]{1,18}", size):
        raise ValueError("%s, line %d: %.60r isn't the size of the matrix; expected the numbers of rows, columns and "
                         "entries, after at most %d lines: %s" % (path, n_lines, size, _MOST_COMMENTS, _MTX_HINT))
    n_rows, n_cols, n_entries = map(int, size.split())
    if n_entries == 0:
        raise ValueError("%s, line %d: the matrix holds no entries; expected at least one rating" % (path, n_lines))
    return n_rows, n_cols, n_entries, n_lines


def _mtx_positions(column, size, what, where):
    """(0 .. size - 1, positions counted from 0) of a column of numbers counted from 1."""
    ids, codes = column
    if ids.dtype.kind == "U":  # at least one isn't a plain whole number; 0 replaces those
        ids = np.array([int(text) if re.fullmatch("[0-9]{1,18}", text) else 0 for text in ids])
    fits = (ids >= 1) & (ids <= size)
    if not fits.all():
        entry = int(np.argmin(fits[codes]))
        raise ValueError("%s: the %s is %s; expected a whole number, 1 .. %d: correct it, or the size at the top"
                         % (where(entry), what, str(column[0][codes[entry]])[:60], size))
    return np.arange(size, dtype=np.int64), ids[codes] - 1


# MATLAB


def sparse_variables(path):
    """The names of the sparse variables of a `.mat` file of any version, in order; raises what its readers do."""
    return [name for name, (shape, _) in _mat_variables(path).items() if shape is None]


def read_mat(path, variable, missing):
    """A sparse matrix, unchecked; or, with `missing`, a dense array."""
    try:
        with one_error(path, "a MATLAB file: " + _MAT_HINT):
            variables = _mat_variables(path)
            names = [name for name, (shape, _) in variables.items() if shape is None]
            arrays = {name: shape for name, (shape, _) in variables.items() if shape is not None}
            wanted = names if missing is None else [] if names and variable is None else list(arrays)
            if variable in wanted or variable is None and len(wanted) == 1:
                return variables[variable or wanted[0]][1]()
    except ImportError as error:
        raise ValueError("%s is a MATLAB 7.3 file, which SciPy can't read and h5py can: pip install h5py, or %s"
                         % (path, _MAT_HINT)) from error
    shapes = listed("%r (%d x %d)" % ((name,) + tuple(shape)) for name, shape in arrays.items())
    raise ValueError('%s: %s was given; expected a sparse variable, of %s, as variable=; or a dense array of users by '
                     'items, of %s, and the number that means "not rated" as missing= (--variable M --missing 0): or %s'
                     % (path, in_words(variable=variable, missing=missing) or "no variable",
                        some_names(names) or "none", shapes or "none", _MAT_HINT))


def _mat_variables(path):
    """The variables of a MATLAB file, {name: (shape, or None if it is sparse; the function that reads it)}."""
    with open(str(path), "rb") as file:
        head = file.read(_HEADER)
    if len(head) >= 4 and 0 in head[:4]:
        _check_sizes_4(path)
        return {name: (None if kind == "sparse" else shape, partial(_read_4, path, name))
                for name, shape, kind in scipy.io.whosmat(str(path)) if kind != "char" and len(shape) == 2}
    order = {b"IM": "<", b"MI": ">"}.get(head[126:])
    version = head[125 if order == "<" else 124:][:1]
    if version == b"\2":
        import h5py
        with h5py.File(str(path), "r") as file:
            return {name: (None if "MATLAB_sparse" in node.attrs else node.shape[::-1], partial(_read_73, path, name))
                    for name, node in file.items() if "MATLAB_sparse" in node.attrs
                    or hasattr(node, "shape") and len(node.shape) == 2 and node.dtype.kind in "iuf"}
    if order is None or version != b"\1":
        raise ValueError("it doesn't begin like a file of MATLAB 5 or later")
    return dict(_variables_5(path, order))


# MATLAB 4


def _read_4(path, name):
    with np.errstate(invalid="ignore"):  # of indices in a damaged file, which are doubles there
        return scipy.io.loadmat(str(path), variable_names=[name], **AS_MATRIX)[name]


def _check_sizes_4(path):
    """ValueError unless all variables of a file of version 4 are as long as they say: SciPy asks for memory first."""
    end, place = path.stat().st_size, 0
    with open(str(path), "rb") as file:
        while place < end:
            file.seek(place)
            header = file.read(20)
            if len(header) < 20:
                raise ValueError("it ends within the header of a variable")
            little = np.frombuffer(header, "<i4")
            kind, n_rows, n_cols, imaginary, name = map(int, little if 0 <= little[0] < 5000
                                                        else np.frombuffer(header, ">i4"))
            number = kind // 10 % 10
            if not (0 <= kind < 5000 and number < len(_SIZES_4) and min(n_rows, n_cols, name) >= 0):
                raise ValueError("there is no variable at byte %d" % place)
            size = 20 + name + n_rows * n_cols * _SIZES_4[number] * (2 if imaginary else 1)
            if size > end - place:
                raise ValueError("the variable at byte %d announces %d bytes, but there are %d"
                                 % (place, size, end - place))
            place += size


# MATLAB 7.3


def _read_73(path, name):
    import h5py
    with h5py.File(str(path), "r") as file:
        node = file[name]
        sparse = "MATLAB_sparse" in node.attrs
        arrays = [node[each] for each in ("jc", "data", "ir") if each in node] if sparse else [node]
        check_size(path, sum(each.size * each.dtype.itemsize for each in arrays), "a variable in it")
        if not sparse:
            return node[()].T  # MATLAB keeps the columns of an array one after the other, HDF5 the rows
        indptr = node["jc"][()].astype(np.int64)
        # MATLAB leaves out the arrays of a matrix without entries.
        values, rows = (node[each][()] if each in node else np.zeros(0) for each in ("data", "ir"))
        shape = int(node.attrs["MATLAB_sparse"]), len(indptr) - 1
        return sp.csc_matrix((values, rows.astype(np.int64), indptr), shape=shape)


# MATLAB 5 to 7.2


def _read_5(path, order, start):
    sparse, complex_numbers, shape, _, parts = _parsed_5(_contents_5(path, order, start)[0], order)
    if complex_numbers:
        raise ValueError("the variable holds complex numbers; expected real ones")
    if min(shape) < 0:
        raise ValueError("the variable is of the shape %r" % (shape,))
    if not sparse:
        return _numbers(parts[0], order).reshape(shape, order="F")
    indices, indptr, values = (_numbers(parts[k], order) for k in range(3))
    if indices.dtype.kind == "f" or indptr.dtype.kind == "f":
        raise ValueError("the indices of a sparse variable are fractions")
    # MATLAB may keep room for more entries than there are; `check_ratings` finds an indptr that announces too many.
    n = min(max(int(indptr[-1]), 0), len(indices), len(values))
    return sp.csc_matrix((values[:n], indices[:n].astype(np.int64), indptr.astype(np.int64)), shape=shape)


def _variables_5(path, order):
    """Yield the name of each variable, its shape, or None if it is sparse, and the function that reads it."""
    start = _HEADER
    while start < path.stat().st_size:
        head, end = _contents_5(path, order, start, _HEAD)
        sparse, _, shape, name, _ = _parsed_5(head, order) or (False, 0, (), "", [])
        if sparse or len(shape) == 2:
            yield name, (None if sparse else shape, partial(_read_5, path, order, start))
        start = end


def _contents_5(path, order, start, most=None):
    """The contents, unpacked, of the variable that begins at a byte, or `most` bytes of them; and where it ends."""
    with open(str(path), "rb") as file:
        file.seek(start)
        kind, size = _tag(file.read(8), order)
        end = start + 8 + size
        if kind not in (_MATRIX, _PACKED) or end > path.stat().st_size:
            raise ValueError("there is no variable at byte %d, or it is truncated" % start)
        contents = file.read(size if most is None else min(size, most))
    if kind == _PACKED:
        unpacking = zlib.decompressobj()
        kind, size = _tag(unpacking.decompress(contents, 8), order)
        if kind != _MATRIX:
            raise ValueError("the packed data at byte %d isn't a variable" % start)
        if most is None:
            check_size(path, size, "a packed variable")
        # One byte more, so that the checksum at the end is compared.
        contents = unpacking.decompress(unpacking.unconsumed_tail, most or size + 1)
        if most is None and (len(contents) != size or not unpacking.eof):
            raise ValueError("a packed variable doesn't have the length that it announces")
    return contents, end


def _tag(letters, order):
    """The type and the size that a tag of 8 bytes says; zeros for less."""
    return np.frombuffer(letters, order + "u4").tolist() if len(letters) == 8 else (0, 0)


def _parts(contents, order):
    """The types and bytes of the elements of a variable; no bytes for the last, if it is cut short."""
    place = 0
    while place + 8 <= len(contents):
        kind, size = _tag(contents[place:place + 8], order)
        if kind >> 16:  # up to four bytes are in the tag itself
            kind, size = kind & 0xffff, kind >> 16
            start, following = place + 4, place + 8
        else:
            start, following = place + 8, place + 8 + size + -size % 8
        if size > len(contents) - start or start == place + 4 and size > 4:
            yield kind, None  # an error, or the end of a head
            return
        yield kind, contents[start:start + size]
        place = following


def _numbers(element, order):
    kind, values = element
    dtype = np.dtype(order + _NUMBERS[kind] if kind in _NUMBERS else "V0")
    if values is None or not dtype.itemsize or len(values) % dtype.itemsize:
        raise ValueError("found an element of type %d and %s bytes instead of numbers"
                         % (kind, "too many" if values is None else len(values)))
    return np.frombuffer(values, dtype).astype(dtype.newbyteorder("="))


def _parsed_5(contents, order):
    """Whether a variable is sparse, whether complex, its shape, its name and further elements; None for other kinds."""
    parts = list(_parts(contents, order))
    flags = _numbers(parts[0] if parts else (0, None), order)
    kind = int(flags[0]) & 0xff if len(flags) else 0
    if kind != _SPARSE and kind not in _DENSE:
        return None
    letters, name = parts[2] if len(parts) > 2 else (0, None)
    if name is None or letters not in (1, 2, _UTF8):
        if kind == _SPARSE:
            raise ValueError("a sparse variable has no name")
        return None
    shape = tuple(_numbers(parts[1], order).tolist())
    return kind == _SPARSE, int(flags[0]) & _COMPLEX, shape, name.decode("utf-8", "replace"), parts[3:]
