"""Compiled code in Theano's cache that was torn by a power cut or a full disk: found before it is loaded.

To load a shared object that ends too early kills the process, once a page of it is touched that isn't there.
"""

import contextlib
import errno
import importlib
import os
import shutil
import struct
import sys

from sparse_ae.theano_compat.failing import find_usable

# Extensions that were compiled in this process: its compiler can.
_MADE = []
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def is_whole(path):
    """Whether a shared object is as long as its header says; True for anything but ELF of 64 bits, unless empty."""
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02":
            return bool(head) and not b"\x7fELF".startswith(head[:4])
        order = "<" if head[5] == 1 else ">"
        (segments, sections), sizes = struct.unpack_from(order + "QQ", head, 0x20), struct.unpack_from(
            order + "HHHH", head, 0x36)
        if max(segments + sizes[0] * sizes[1], sections + sizes[2] * sizes[3]) > length:
            return False
        file.seek(segments)
        for _ in range(sizes[1]):
            segment = file.read(sizes[0])
            if sum(struct.unpack_from(order + "Q16xQ", segment, 8)) > length:  # where it begins, and how long it is
                return False
    return True


def check_whole(path):
    """FileNotFoundError, and no entry of the cache any more, where an entry's shared object is torn."""
    if os.path.exists(path) and not is_whole(path):
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
        raise FileNotFoundError("%s was torn" % path)


@contextlib.contextmanager
def cache_writable(folder):
    """A context of writing to the cache: if the disk refuses, the error says whose folder it is, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise type(error)(error.errno, "%s: Theano can't write compiled code to %s; free some space there or allow "
                                       "writing, or name another folder by THEANO_FLAGS=base_compiledir=FOLDER"
                          % (os.strerror(error.errno), folder)) from error


def run_extension(name, run, module):
    """Have Python `run` a module that compiles Theano's extension `name`, if need be, and imports it.

    A torn one is removed first: gof/lazylinker_c.py:72 takes it for compiled if its folder says which version it is.
    """
    import theano
    path, folder = list(sys.path), os.path.join(theano.config.compiledir, name)
    for last in (False, True):
        if _is_torn(folder):
            from theano.gof.compilelock import get_lock, release_lock
            get_lock()
            try:
                if _is_torn(folder):  # it isn't being written
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                release_lock()
        missing = not any(each.endswith(".so") for each in _listed(folder))
        if missing and not _MADE and not find_usable():
            raise ImportError("%s can't be compiled here" % name, name=name)
        try:
            with cache_writable(theano.config.compiledir):
                run(module)
            _MADE.extend([name] if missing else [])
            return
        except Exception as error:
            if not _was_deleted(error, folder):
                raise
            if last:
                raise OSError(errno.ENOENT, "%s: Theano's cache of compiled code was deleted while it was in use; "
                                            "don't delete it while programs start, or name another folder by "
                                            "THEANO_FLAGS=base_compiledir=FOLDER" % os.strerror(errno.ENOENT),
                              folder) from error
            sys.path[:] = path
            for each in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[each]
            importlib.invalidate_caches()
            os.makedirs(theano.config.compiledir, exist_ok=True)


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []


def _is_torn(folder):
    found = _listed(folder)
    objects = [os.path.join(folder, each) for each in found if each.endswith(".so")]
    version = os.path.join(folder, "__init__.py")
    said = os.path.isfile(version) and os.path.getsize(version) > 0
    return bool(found) and (not objects and said or not all(map(is_whole, objects)))


def _was_deleted(error, folder):
    """Whether an error is of an extension that isn't there any more, or not wholly."""
    return isinstance(error, (AssertionError, ImportError, FileNotFoundError)) and not (
        any(each.endswith(".so") for each in _listed(folder)))
