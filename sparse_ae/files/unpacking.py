"""Checks made before memory is taken: how much a file may unpack to, whether arrays are as large as headers say. A
megabyte of an archive can hold a gigabyte; docs/guide/files.md has the limit."""
import contextlib
import errno
import math
import os
import stat

import numpy as np

from sparse_ae.checks import brief

_VARIABLE = "SPARSE_AE_UNPACK_LIMIT"
_ALWAYS, _TIMES = 2 ** 28, 100

# Bytes of one item of an array: an empty array may claim huge items, and converting it takes as many.
_LONGEST_ITEM = 2 ** 24


def limit_of(size):
    """How many bytes may be made of so many; ValueError if the environment variable is no number of bytes."""
    given = os.environ.get(_VARIABLE)
    if not given:
        return max(_ALWAYS, _TIMES * size)
    if not given.isdigit() or len(given) > 18:
        raise ValueError("the environment variable %s is %r; expected a number of bytes, such as 4000000000"
                         % (_VARIABLE, given))
    return int(given)


def check_size(path, size, what="it"):
    """ValueError where contents of a file, which `what` names, would take more bytes than `limit_of` allows."""
    of_file = os.path.getsize(str(path))
    limit = limit_of(of_file)
    if size > limit:
        raise ValueError("%s has %d bytes, and %s would take %d or more; expected at most %d: it is damaged or "
                         "malicious. If it isn't, set the environment variable %s to the number of bytes that you "
                         "allow" % (path, of_file, what, size, limit, _VARIABLE))


def check_archive(path, archive, names=None):
    """Check some members of a `zipfile.ZipFile`, or all: zipfile reads no more of a member than its header says."""
    check_size(path, sum(each.file_size for each in archive.infolist() if names is None or each.filename in names),
               "its content")


def is_of_the_machine(error):
    """Whether an error is of the disk, of memory or of a package that is missing, not of the file's contents."""
    return isinstance(error, (ImportError, MemoryError)) or (
        isinstance(error, OSError) and error.errno not in (
            None, errno.EINVAL, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOENT))


@contextlib.contextmanager
def one_error(path, expected, is_what="can't be read"):
    """A context of reading a file: all that can be wrong with its bytes is one ValueError, with what was `expected`."""
    limit_of(0)  # a value that is none is no fault of the file
    try:
        yield
    except Exception as error:  # zipfile, NumPy and SciPy each have many
        if is_of_the_machine(error):
            raise
        said = "it has no %s" % error if isinstance(error, KeyError) else brief(error) or type(error).__name__
        raise ValueError("%s %s: %s; expected %s" % (path, is_what, said, expected)) from error


def check_regular(path):
    """OSError for anything but a file: reading a pipe or a device could wait for ever."""
    mode = os.stat(str(path)).st_mode
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device or a socket"
        raise OSError("%s is a %s; expected a file" % (path, kind))


def check_mapped(*arrays):
    """The files that arrays map; ValueError if one is shorter by now: the system ends a process that reads beyond."""
    found = []
    for array in arrays:
        while isinstance(array.base, np.ndarray):
            array = array.base
        if isinstance(array, np.memmap) and array.filename is not None:
            found.append(array.filename)
            try:
                size = os.path.getsize(str(array.filename))
            except OSError:  # deleted: mapped memory stays
                continue
            if size < array.offset + array.nbytes:
                raise ValueError("%s has %d bytes, and had %d when it was opened: it was truncated; take a complete "
                                 "copy, or make it again, and don't write to it while it is read"
                                 % (array.filename, size, array.offset + array.nbytes))
    return found


def read_header(stream, size):
    """The shape, order and dtype of a `.npy` array; ValueError unless it fits the `size` bytes that the stream has."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream)
    except Exception as error:  # NumPy has a parser of Python read the header
        reason = brief(" ".join(str(error).split()))  # old NumPys say it in two lines, with all blanks of the header
        raise ValueError("its header can't be read (%s: %s)" % (type(error).__name__, reason)) from error
    if dtype.hasobject:
        raise ValueError("it has Python objects, which need unpickling, and that could run code (allow_pickle=False)")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or not 0 <= dtype.itemsize <= _LONGEST_ITEM or dtype.itemsize == 0 and count or (
            stream.tell() + count * dtype.itemsize != size):
        raise ValueError("its header announces the shape %s of %s, which doesn't match its %d bytes"
                         % (brief(shape), brief(dtype), size))
    return shape, "F" if fortran else "C", dtype


def read_array(stream, size, mapped=None):
    """The `.npy` array of `size` bytes that a stream is at, or a map of the file `mapped`; else ValueError."""
    shape, order, dtype = read_header(stream, size)
    if mapped is not None and size > stream.tell():
        return np.memmap(str(mapped), dtype, "r", stream.tell(), shape, order)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
