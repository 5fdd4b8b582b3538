"""Files of the library, whole or not at all: zips of `.npy` entries, as `numpy.savez` makes them, without pickle. The
entry `header` is JSON: "library", "kind" of file, "version" of the format, "arrays" (names), the writer's "meta"."""
import contextlib
import errno
import functools
import glob
import json
import os
import re
import shutil
import stat
import time
import uuid
import zipfile

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import brief, errors_at
from sparse_ae.files import unpacking

VERSION = 1

# Seconds after which a temporary file or folder that isn't written to is a killed process's.
_ABANDONED_AFTER = 3600.0

_HEADER = "header"

# The largest part of numbers that float16's rounding may take; the binary digits of rows in steps.
_LOST, _DIGITS = 2 ** -11, 15

# A unique name for a temporary file or folder, which is then renamed.
_TEMPORARY = "%s.sparse_ae-%s.tmp"


def check_destination(path):
    """OSError, before long work, where its result can't be written to `path`."""
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise IsADirectoryError("%s is a folder; expected the name of a file to write: add one, such as %s"
                                % (path, os.path.join(path, "model.npz")))
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileExistsError("%s is a pipe, a device or a socket; expected the name of a file to write" % path)
    if not os.path.isdir(folder):
        raise FileNotFoundError("there is no folder %s to write %s to; create it first"
                                % (folder, os.path.basename(path)))
    if not os.access(folder, os.W_OK):
        raise PermissionError("can't write %s: no permission for its folder %s; choose another folder"
                              % (os.path.basename(path), folder))
    with contextlib.suppress(FileNotFoundError):  # as it should be; a name that is too long is another OSError
        os.lstat(_TEMPORARY % (path, uuid.uuid4().hex))


def check_replaceable(path):
    """As `check_destination`; FileExistsError for a file that `write` hasn't written, of ratings perhaps."""
    check_own(path, "a sound file", _is_sound)


def check_own(path, kind, is_own):
    """As `check_destination`; FileExistsError for a file with content that isn't of a `kind`, by `is_own(path)`."""
    check_destination(path)
    if os.path.exists(path) and os.path.getsize(path) and not is_own(path):
        raise FileExistsError("%s exists, and isn't %s of sparse_ae; its content would be lost: choose another name, "
                              "or delete it first" % (path, kind))


def _is_sound(path):
    """Whether a file is one that `write` has written."""
    unpacking.limit_of(0)  # a value that is none is no fault of the file
    try:
        with _opened(path, "file"):
            return True
    except ValueError:
        return False


def write(path, kind, meta, arrays):
    """Write a dict of JSON values and a dict of arrays to a file, whose permissions stay, or keep the old one.
    TypeError, ValueError, and OSError as of `check_destination` come before anything is written."""
    if _HEADER in arrays:
        raise ValueError("an array is named %r, as the file's own entry is; expected another name" % _HEADER)
    arrays = {name: _halved(np.asanyarray(array)) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError("array %r is of dtype %s, which only pickle can store; expected numbers or strings: "
                            "convert it, for example with .astype(str)" % (name, array.dtype))
    header = {"library": "sparse_ae", "kind": kind, "version": VERSION, "arrays": sorted(arrays), "meta": meta}
    header = np.array(json.dumps(header))
    with replacing(path) as file, zipfile.ZipFile(file, "w", compresslevel=1) as archive:
        for name, array in [(_HEADER, header)] + sorted(arrays.items()):
            is_dense = array.dtype in (np.float32, np.float64)  # hardly shrinks
            archive.compression = zipfile.ZIP_STORED if is_dense else zipfile.ZIP_DEFLATED
            with archive.open(name + ".npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def shortened(array):
    """Float32 numbers, an array or a CSR matrix, as float16 has them, which take half a file. Others stay, as do those
    that are too large or too small for it."""
    values = array.data if sp.issparse(array) else array
    if values.dtype != np.float32:
        return array
    half = _float16(values).astype(np.float32)
    if np.isinf(half).any() or np.linalg.norm(half - values) > _LOST * np.linalg.norm(values):
        return array
    return sp.csr_matrix((half, array.indices, array.indptr), array.shape) if sp.issparse(array) else half


def in_steps(rows):
    """Float32 rows, (n, k), rounded to multiples of a power of 2, a row's step, which take half a file: with 15 binary
    digits of the largest number of each row."""
    return _of_steps(_steps(rows))


def _steps(rows):
    exponents = np.frexp(np.abs(rows).max(axis=1))[1] - _DIGITS
    found, most = np.empty(len(rows), _rows_of(rows.shape[1])), 2 ** _DIGITS - 1
    found["exponent"] = exponents
    with np.errstate(invalid="ignore"):  # NaN
        found["multiples"] = np.clip(np.rint(np.ldexp(rows, -exponents[:, np.newaxis])), -most, most)
    return found


def _of_steps(found):
    shape = found.dtype["multiples"].shape if "multiples" in found.dtype.names else ()
    if found.ndim != 1 or len(shape) != 1 or found.dtype != _rows_of(*shape):
        raise ValueError("it has records of %s; expected rows in steps" % brief(found.dtype))
    with np.errstate(over="ignore"):  # infinite
        return np.ldexp(found["multiples"].astype(np.float32), found["exponent"][:, np.newaxis])


def _rows_of(k):
    return np.dtype([("exponent", np.int16), ("multiples", np.int16, (k,))])


def _halved(array):
    """Float32 numbers as float16, or as rows in steps, if these have them all; `read` makes float32 of them."""
    if array.dtype != np.float32:
        return array
    half = _float16(array)
    if np.array_equal(half, array):
        return half
    # A first row that isn't in steps spares the others.
    if array.ndim != 2 or not np.array_equal(in_steps(array[:1]), array[:1]):
        return array
    found = _steps(array)
    return found if np.array_equal(_of_steps(found), array) else array


def _float16(array):
    with np.errstate(over="ignore"):  # infinite
        return array.astype(np.float16)


@contextlib.contextmanager
def replacing(path):
    """A context with an open binary file that becomes `path` once all is written; errors are those of `write`."""
    path = os.path.realpath(path)
    check_destination(path)
    with made_whole(path) as temporary:
        with to_disk(temporary) as file:
            yield file
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))


@contextlib.contextmanager
def to_disk(path):
    """A new file, on the disk when it is closed: else a power cut could leave its later name with an empty one."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def made_whole(path):
    """A context with a name for a file or a folder, which becomes `path` at its end, and is removed after an error.
    An OSError says what to do where the disk is full, and where another process has made a folder of that name."""
    remove_abandoned(path)
    temporary = _TEMPORARY % (path, uuid.uuid4().hex)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        _remove(temporary)
        number = error.errno if isinstance(error, OSError) else 0
        if number in (errno.ENOTEMPTY, errno.EEXIST) and os.path.isdir(path):
            raise FileExistsError("%s has been made by another process meanwhile, and stays as it is; expected a new "
                                  "folder: delete it, or choose another name" % path) from error
        # ndarray.tofile says how much it has written, and no more.
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or number is None and "written" in str(error):
            raise OSError(number or errno.ENOSPC, "the disk or your quota is full (%s): free some space, or choose "
                                                  "another folder; nothing was changed" % error, str(path)) from error
        raise


def remove_abandoned(path, after=_ABANDONED_AFTER):
    """Remove temporary files and folders beside a path that killed processes left at least `after` seconds ago."""
    path = os.path.realpath(path)
    ours = re.compile(re.escape(path) + r"\.sparse_ae-[0-9a-f]{32}\.tmp")
    for abandoned in filter(ours.fullmatch, glob.glob(_TEMPORARY % (glob.escape(path), "*"))):
        with contextlib.suppress(FileNotFoundError):  # another process may be tidying up too
            parts = [abandoned] + glob.glob(os.path.join(glob.escape(abandoned), "*"))
            if time.time() - max(os.lstat(part).st_mtime for part in parts) >= after:
                _remove(abandoned)


def _remove(path):
    """Remove a file or a folder, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.isfile(path) and not os.path.islink(path):
        os.remove(path)


def read(path, kind):
    """The meta and the arrays, in the machine's byte order, of a file of this `kind`; ValueError for any other."""
    with _opened(path, kind) as (archive, header):
        damaged = archive.testzip()  # before anything is made of a damaged entry's shape
        if damaged is not None:
            raise ValueError("the checksum of its entry %r is wrong" % damaged)
        names, known = header["arrays"], header["version"] <= VERSION and header["kind"] == kind
        if known and sorted(archive.namelist()) != sorted(name + ".npy" for name in names + [_HEADER]):
            raise ValueError("its entries don't match its header")
        arrays = {name: _array(archive, name) for name in names if known}
    if header["version"] > VERSION:
        raise ValueError("%s has format version %s; this sparse_ae reads versions up to %d: upgrade sparse_ae, or "
                         "write the file again with this version" % (path, brief(header["version"]), VERSION))
    if header["kind"] != kind:
        raise ValueError("%s is a %s of sparse_ae; expected a %s: check the path" % (path, brief(header["kind"]), kind))
    return header["meta"], arrays


@contextlib.contextmanager
def _opened(path, kind):
    """The archive and header of a file; one ValueError for all that is wrong with its bytes, here or in the context."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError("there is no file %s; expected a %s of sparse_ae: check the path" % (path, kind))
    unpacking.check_regular(path)
    if not zipfile.is_zipfile(path):
        raise ValueError("%s is no file of sparse_ae, or incomplete; expected a %s, which sparse_ae has written: check "
                         "the path, or take a complete copy" % (path, kind))
    expected = ("a %s of sparse_ae. It is another kind of file, truncated or damaged: check the path, or take a "
                "complete copy" % kind)
    with unpacking.one_error(path, expected), open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        unpacking.check_archive(path, archive)
        yield archive, _header(archive)


#: A context of using the contents of a file or folder of ours: an error in it becomes one ValueError that names it.
damage_named = functools.partial(
    unpacking.one_error, expected="a complete copy: take one, or delete it and make it again",
    is_what="is damaged, or was changed by hand")


def _header(archive):
    header = None
    if _HEADER + ".npy" in archive.namelist():
        with contextlib.suppress(json.JSONDecodeError, RecursionError):
            header = json.loads(str(_array(archive, _HEADER)))
    if not isinstance(header, dict) or header.get("library") != "sparse_ae":
        raise ValueError("it was not written by sparse_ae, and has %s"
                         % (brief(", ".join(archive.namelist()[:5])) or "nothing"))
    if not isinstance(header.get("version"), int) or not isinstance(header.get("arrays"), list) or (
            "meta" not in header or not all(isinstance(each, str) for each in header["arrays"] + [header.get("kind")])):
        raise ValueError("its header is incomplete")
    return header


def _array(archive, name):
    entry = archive.getinfo(name + ".npy")
    with archive.open(entry) as stream, errors_at("entry %r" % name):  # in another format, or of pickled objects
        array = unpacking.read_array(stream, entry.file_size)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype.names:
            return _of_steps(array)
    return array.astype(np.float32) if array.dtype == np.float16 else array
