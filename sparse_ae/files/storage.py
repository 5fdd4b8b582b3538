"""Files of the library: named arrays and a JSON header in one `.npz`, without pickle, whole or not at all.

A file is a zip of `.npy` entries, as `numpy.savez` makes it, so `numpy.load` opens it too. The entry `header` is a 0-d
array of one string, the JSON text of

    {"library": "sparse_ae", "kind": what the file is, "version": of this format, "arrays": their names,
     "meta": what the writer says beside the arrays}

Writing goes to a temporary file in the same folder, which then takes the old file's place in one step: killed, or on a
full disk, the old file is as it was. Nothing is pickled, and nothing read is unpickled.
"""
import contextlib
import errno
import glob
import json
import os
import re
import stat
import time
import uuid
import zipfile

import numpy as np

from sparse_ae.files.unpacking import check_archive, check_regular, is_of_the_machine, read_array, unpack_limit

VERSION = 1

_HEADER = "header"

# What is written first, beside what it will replace; nobody else calls a file so.
_TEMPORARY = "%s.sparse_ae-%s.tmp"

#: A pattern of the end of its name.
TEMPORARY = r"\.sparse_ae-[0-9a-f]{32}\.tmp"


def check_destination(path):
    """Check before long work that its result can be written.

    Parameters
    ----------
    path : str or os.PathLike

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        If the folder of `path` doesn't exist or can't be written to, or `path` is a folder itself.
    FileExistsError
        If it is a pipe or a device, which a file would take the place of.
    OSError
        If the name is too long for what is written first, which has 47 characters more.
    """
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
        raise PermissionError("can't write %s: no permission for its folder %s; choose another one"
                              % (os.path.basename(path), folder))
    try:
        os.lstat(_TEMPORARY % (path, uuid.uuid4().hex))
    except FileNotFoundError:
        pass  # as it should be: the system could have one of that name


def check_replaceable(path):
    """Check that a file of that name, if there is one, holds nothing but what `write` wrote: FileExistsError if not.

    A file of ratings, named where a model's name was meant, would be lost.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        check_destination(path)
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    unpack_limit(path)  # a value that is none is no fault of the file
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive, [_HEADER + ".npy"])
            header = _header(archive)
    except Exception as error:  # whatever zipfile and NumPy make of somebody else's bytes
        if is_of_the_machine(error):
            raise
        header = None
    if not _is_ours(header):
        raise FileExistsError("%s exists and isn't a file of sparse_ae, or is a damaged one; what it holds would be "
                              "lost: choose another name, or delete it first" % path)


def write(path, kind, meta, arrays):
    """Write a file, or leave the old one of that name as it is.

    Parameters
    ----------
    path : str or os.PathLike
        Taken as it is: no ending is added. An existing file is replaced, of a symbolic link the file that it points to;
        who may read and write it stays as it was.
    kind : str
        What the file is, such as "checkpoint"; `read` is asked for the same.
    meta : dict
        Of what JSON has: str, int, float (which come back with the same bits), bool, None, lists, and dicts with keys
        of str.
    arrays : dict of str to array
        Of any dtype but object. C and Fortran order are kept.

    Raises
    ------
    TypeError
        For object arrays and for values that JSON doesn't have; nothing is written then.
    ValueError
        For an array named "header".
    OSError
        As `check_destination`, and what the disk says.
    """
    path = os.path.realpath(path)
    if _HEADER in arrays:
        raise ValueError("an array is named %r, as the file's own entry is; expected another name" % _HEADER)
    arrays = {name: np.asanyarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError("array %r is of dtype %s, which only pickle can store; expected numbers or strings: "
                            "convert it, for example with .astype(str)" % (name, array.dtype))
    header = {"library": "sparse_ae", "kind": kind, "version": VERSION, "arrays": sorted(arrays), "meta": meta}
    header = np.array(json.dumps(header))
    check_destination(path)

    remove_abandoned(path)
    temporary = _TEMPORARY % (path, uuid.uuid4().hex)
    try:
        with explained_writing(path), open(temporary, "xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, array in [(_HEADER, header)] + sorted(arrays.items()):
                    with archive.open(name + ".npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name with an empty file
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


@contextlib.contextmanager
def explained_writing(path):
    """Says what it means, of what is written to become `path`, that there is no room left on the disk."""
    try:
        yield
    except OSError as error:
        # ndarray.tofile says how much it has written, and no more.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or error.errno is None and "written" in str(error):
            raise OSError(error.errno or errno.ENOSPC, "the disk or your share of it is full (%s): free some room, or "
                          "choose another folder; nothing was changed" % error, str(path)) from error
        raise


def remove_abandoned(path, after=3600.0):
    """Remove the temporary files that processes killed amid `write` have left beside a file.

    They are known by their names, which begin with that file's and have the library's and 32 hexadecimal digits in
    them. All else stays, whatever its name.

    Parameters
    ----------
    path : str or os.PathLike
        The file that they were to become.
    after : float
        How long ago they must have been written to, in seconds. After an hour no process can be at it still; 0 is for
        who knows that there is no other process.
    """
    path = os.path.realpath(path)
    ours = re.compile(re.escape(path) + TEMPORARY)
    for abandoned in filter(ours.fullmatch, glob.glob(_TEMPORARY % (glob.escape(path), "*"))):
        with contextlib.suppress(FileNotFoundError):  # another process may be tidying up too
            found = os.lstat(abandoned)
            if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime >= after:
                os.remove(abandoned)


def read(path, kind):
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : str or os.PathLike
    kind : str
        What the file is expected to be.

    Returns
    -------
    meta : dict
        As given to `write`; tuples have become lists.
    arrays : dict of str to numpy.ndarray

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated or damaged, not of this library, of another kind, or of a later version of the format.
    OSError, MemoryError
        As the machine raises them.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError("there is no file %s; expected a %s of sparse_ae: check the path" % (path, kind))
    check_regular(path)
    unpack_limit(path)  # a value that is none is no fault of the file
    with open(path, "rb") as file:
        with _explained(path, kind):
            archive = zipfile.ZipFile(file)
            check_archive(path, archive)
            damaged = archive.testzip()  # before anything is made of a damaged entry's shape
            if damaged is not None:
                raise ValueError("the checksum of its entry %r is wrong" % damaged)
            header = _header(archive)
        _check_header(header, archive.namelist(), path, kind)
        with _explained(path, kind):
            if sorted(archive.namelist()) != sorted(name + ".npy" for name in header["arrays"] + [_HEADER]):
                raise ValueError("its entries are not those that its header names")
            return header["meta"], {name: _array(archive, name) for name in header["arrays"]}


@contextlib.contextmanager
def damage_named(path):
    """A context of making something of a sound file's contents: an error in it is one ValueError that names the file.

    Parameters
    ----------
    path : str or os.PathLike
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError("%s is damaged, or was changed by hand: %s; take a whole copy, or delete it and make it anew"
                         % (path, error)) from error


@contextlib.contextmanager
def _explained(path, kind):
    """One error for all that zipfile and NumPy say of bytes that they can't make sense of."""
    try:
        yield
    except Exception as error:
        if is_of_the_machine(error):
            raise
        said = str(error) or type(error).__name__
        raise ValueError("%s can't be read: %s; expected a %s of sparse_ae. It is some other file, or was cut short or "
                         "damaged: take a whole copy" % (path, said, kind)) from error


def _header(archive):
    """The header's JSON value; None in a zip of somebody else."""
    if _HEADER + ".npy" not in archive.namelist():
        return None
    try:
        return json.loads(str(_array(archive, _HEADER)))
    except (json.JSONDecodeError, RecursionError):
        return None


def _is_ours(header):
    return isinstance(header, dict) and header.get("library") == "sparse_ae"


def _check_header(header, names, path, kind):
    if not _is_ours(header):
        raise ValueError("%s was not written by sparse_ae (it holds %s); expected a %s: check the path"
                         % (path, ", ".join(names[:5]) or "nothing", kind))
    version, arrays = header.get("version"), header.get("arrays")
    if not isinstance(version, int) or not isinstance(arrays, list) or "meta" not in header or not all(
            isinstance(name, str) for name in arrays + [header.get("kind")]):
        raise ValueError("%s can't be read: its header lacks what write puts there; expected a %s of sparse_ae: take a "
                         "whole copy" % (path, kind))
    if version > VERSION:
        raise ValueError("%s has format version %r; this sparse_ae reads versions up to %d: upgrade sparse_ae, or "
                         "write the file anew with this one" % (path, version, VERSION))
    if header["kind"] != kind:
        raise ValueError("%s is a %s of sparse_ae; expected a %s: check the path" % (path, header["kind"], kind))


def _array(archive, name):
    entry = archive.getinfo(name + ".npy")
    with archive.open(entry) as stream:
        try:
            return read_array(stream, entry.file_size)
        except ValueError as error:  # an entry in another format, or one of pickled objects
            raise ValueError("entry %r: %s" % (name, error)) from error
