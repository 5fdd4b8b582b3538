"""Variables of MATLAB's files, read here: SciPy's reader trusts what a damaged file says of sizes, and crashes.

A file of MATLAB 5 to 7.2 is a header of 128 bytes and an element for each variable: a tag, of type and size, and
contents, which may be packed by zlib, and are elements again. A sparse variable has five or six: its class, its shape,
its name, and `ir`, `jc` and `pr`, which are the indices, indptr and data of a CSC matrix. A dense one has `pr` alone
behind its name, the columns one after the other. Nothing is read that isn't within its element, and the size of what is
unpacked is known before. See MathWorks, MAT-File Format, chapter 1. Older files, of version 4, are SciPy's, whose
reader of them is Python, once they are as long as they say; newer ones, of 7.3, are `matlab73`'s.
"""
import inspect
import zlib

import numpy as np
import scipy.io
import scipy.sparse as sp

from sparse_ae.files.unpacking import check_size

_HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _PACKED, _UTF8 = 14, 15, 16
_SPARSE, _COMPLEX = 5, 0x0800
_DENSE = range(6, 16)  # doubles, singles, and integers of 1 to 8 bytes

# Since SciPy 1.18 it warns if it isn't told which of the two kinds of sparse matrices to make.
_AS_MATRIX = {"spmatrix": True} if "spmatrix" in inspect.signature(scipy.io.loadmat).parameters else {}

# The bytes of a number of version 4, by the tens digit of the variable's type.
_SIZES_4 = 8, 4, 4, 2, 2, 1

# A variable's class, shape and name are among its first bytes.
_HEAD = 4096


def sparse_names(path):
    """The names of the sparse variables of a `.mat` file, in their order.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    list of str

    Raises
    ------
    NotImplementedError
        If it is of version 7.3.
    ValueError
        If it is none, or damaged.
    """
    order = _byte_order(path)
    if order is None:
        return [name for name, _, kind in scipy.io.whosmat(str(path)) if kind == "sparse"]
    with open(str(path), "rb") as file:
        return [name for _, _, name, shape in _variables(path, file, order) if shape is None]


def dense_shapes(path):
    """The names of the two-dimensional arrays of numbers of a `.mat` file, in their order, and their shapes.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    dict of str to (int, int)

    Raises
    ------
    NotImplementedError, ValueError
        As `sparse_names`.
    """
    order = _byte_order(path)
    if order is None:
        return {name: shape for name, shape, kind in scipy.io.whosmat(str(path))
                if kind not in ("sparse", "char") and len(shape) == 2}
    with open(str(path), "rb") as file:
        return {name: shape for _, _, name, shape in _variables(path, file, order) if shape is not None}


def read_sparse(path, name):
    """One of these variables.

    Parameters
    ----------
    path : pathlib.Path
    name : str

    Returns
    -------
    scipy.sparse.spmatrix
        It isn't checked, but for the lengths of its arrays.
    """
    order = _byte_order(path)
    if order is None:
        return _of_version_4(path, name)
    return _sparse_matrix(_contents(path, name, order), order)


def read_dense(path, name):
    """One of these arrays.

    Parameters
    ----------
    path : pathlib.Path
    name : str

    Returns
    -------
    numpy.ndarray of real numbers, shape (n_rows, n_columns)
    """
    order = _byte_order(path)
    if order is None:
        return _of_version_4(path, name)
    shape, values = _real_numbers(_contents(path, name, order), order, "an array", 4)
    shape = tuple(shape.tolist())
    if len(shape) != 2 or min(shape) < 0 or shape[0] * shape[1] != len(values):
        raise ValueError("an array of the shape %r has %d numbers" % (shape, len(values)))
    return values.reshape(shape, order="F")


def _contents(path, name, order):
    """The bytes of a variable, unpacked."""
    with open(str(path), "rb") as file:
        for packed, size, found, _ in _variables(path, file, order):
            if found == name:
                return _whole(path, file.read(size), order) if packed else file.read(size)
    raise ValueError("it has no variable %r" % name)


def _byte_order(path):
    """"<" or ">" of a file of MATLAB 5, None of one of version 4 whose sizes are sound; NotImplementedError for 7.3."""
    with open(str(path), "rb") as file:
        head = file.read(_HEADER)
    if len(head) >= 4 and 0 in head[:4]:
        _check_sizes_4(path)
        return None
    order = {b"IM": "<", b"MI": ">"}.get(head[126:])
    version = head[125 if order == "<" else 124:][:1]
    if version == b"\2":
        raise NotImplementedError("version 7.3")
    if order is None or version != b"\1":
        raise ValueError("it doesn't begin as a file of MATLAB 5 or later")
    return order


def _of_version_4(path, name):
    with np.errstate(invalid="ignore"):  # of indices in a damaged file, which are doubles there
        return scipy.io.loadmat(str(path), variable_names=[name], **_AS_MATRIX)[name]


def _check_sizes_4(path):
    """ValueError unless all variables of a file of version 4 are as long as they say: SciPy asks for memory first."""
    end, place = path.stat().st_size, 0
    with open(str(path), "rb") as file:
        while place < end:
            file.seek(place)
            header = file.read(20)
            if len(header) < 20:
                raise ValueError("it ends amid the header of a variable")
            little = np.frombuffer(header, "<i4")
            kind, n_rows, n_cols, imaginary, name = map(int, little if 0 <= little[0] < 5000
                                                        else np.frombuffer(header, ">i4"))
            number = kind // 10 % 10
            if not (0 <= kind < 5000 and number < len(_SIZES_4) and min(n_rows, n_cols, name) >= 0):
                raise ValueError("there is no variable at byte %d" % place)
            size = 20 + name + n_rows * n_cols * _SIZES_4[number] * (2 if imaginary else 1)
            if size > end - place:
                raise ValueError("the variable at byte %d says that it has %d bytes, and there are %d"
                                 % (place, size, end - place))
            place += size


def _variables(path, file, order):
    """Tell of each variable whether it is packed, its size, its name, and its shape or, of a sparse one, None.

    The file is at its contents then.
    """
    end, place = path.stat().st_size, _HEADER
    while place < end:
        file.seek(place)
        tag = file.read(8)
        if len(tag) < 8:
            raise ValueError("it ends amid the tag of a variable")
        kind, size = (int(x) for x in np.frombuffer(tag, order + "u4"))
        start, place = place + 8, place + 8 + size
        if place > end or kind not in (_MATRIX, _PACKED):
            raise ValueError("there is no variable at byte %d, or it is cut short" % (start - 8))
        head = file.read(min(size, _HEAD))
        if kind == _PACKED:
            head = zlib.decompressobj().decompress(head, _HEAD)
            if len(head) < 8 or int(np.frombuffer(head[:4], order + "u4")[0]) != _MATRIX:
                raise ValueError("what is packed at byte %d is no variable" % (start - 8))
            head = head[8:]
        found = _name_and_shape(head, order)
        if found is not None:
            file.seek(start)
            yield (kind == _PACKED, size) + found


def _whole(path, packed, order):
    """The contents of a packed variable."""
    unpacking = zlib.decompressobj()
    tag = unpacking.decompress(packed, 8)
    size = int(np.frombuffer(tag[4:], order + "u4")[0])
    check_size(path, size, "a variable that is packed in it")
    contents = unpacking.decompress(unpacking.unconsumed_tail, size) if size else b""
    while len(contents) < size and unpacking.unconsumed_tail:
        contents += unpacking.decompress(unpacking.unconsumed_tail, size - len(contents))
    # The checksum stands at the end, and is looked at once that is reached.
    rest = unpacking.decompress(unpacking.unconsumed_tail, 1)
    if len(contents) < size or rest or not unpacking.eof:
        raise ValueError("a packed variable isn't as long as it says")
    return contents


def _elements(contents, order):
    """The types and bytes of the elements of a variable."""
    place = 0
    while place + 8 <= len(contents):
        kind, size = (int(x) for x in np.frombuffer(contents[place:place + 8], order + "u4"))
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size = kind & 0xffff, kind >> 16
            start, following = place + 4, place + 8
        else:
            start, following = place + 8, place + 8 + size + -size % 8
        if size > len(contents) - start or start == place + 4 and size > 4:
            yield kind, None  # cut short: an error, or the end of a head
            return
        yield kind, contents[start:start + size]
        place = following


def _numbers(element, order):
    kind, values = element
    dtype = np.dtype(order + _NUMBERS[kind] if kind in _NUMBERS else "V0")
    if values is None or not dtype.itemsize or len(values) % dtype.itemsize:
        raise ValueError("an element of type %d and %s bytes stands where numbers are expected"
                         % (kind, "too many" if values is None else len(values)))
    return np.frombuffer(values, dtype).astype(dtype.newbyteorder("="))


def _name_and_shape(contents, order):
    """The name of the variable that some contents begin, and its shape or, if it is sparse, None.

    None for what is neither sparse nor a two-dimensional array of numbers.
    """
    elements = _elements(contents, order)
    flags = _numbers(next(elements, (0, None)), order)
    kind = int(flags[0]) & 0xff if len(flags) else 0
    if kind != _SPARSE and kind not in _DENSE:
        return None
    shape = next(elements, (0, None))
    letters, name = next(elements, (0, None))
    if name is None or letters not in (1, 2, _UTF8):
        if kind == _SPARSE:
            raise ValueError("a sparse variable has no name")
        return None
    name = name.decode("utf-8", "replace")
    if kind == _SPARSE:
        return name, None
    shape = tuple(_numbers(shape, order).tolist())
    return (name, shape) if len(shape) == 2 else None


def _real_numbers(contents, order, what, n_elements):
    """The shape of a variable, and the arrays that follow its name."""
    elements = list(_elements(contents, order))
    if len(elements) < n_elements:
        raise ValueError("%s has %d elements; expected %d" % (what, len(elements), n_elements))
    if int(_numbers(elements[0], order)[0]) & _COMPLEX:
        raise ValueError("the variable holds complex numbers; expected real ones")
    return [_numbers(each, order) for each in elements[1:2] + elements[3:n_elements]]


def _sparse_matrix(contents, order):
    shape, indices, indptr, values = _real_numbers(contents, order, "a sparse variable", 6)
    if len(shape) != 2 or min(shape.tolist()) < 0 or any(x.dtype.kind == "f" for x in (shape, indices, indptr)):
        raise ValueError("a sparse variable is of the shape %r" % (tuple(shape.tolist()),))
    n_rows, n_columns = shape.tolist()
    if len(indptr) != n_columns + 1:
        raise ValueError("a variable of %d columns says of %d where they begin" % (n_columns, len(indptr) - 1))
    # MATLAB may keep room for more entries than there are; what is announced beyond it is found by whoever checks.
    n = min(max(int(indptr[-1]), 0), len(indices), len(values))
    return sp.csc_matrix((values[:n], indices[:n].astype(np.int64), indptr.astype(np.int64)), shape=(n_rows, n_columns))
