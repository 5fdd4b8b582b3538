"""A file that several ranks write together: a part of each, and an index that names the parts.

The names of parts are new with each save. Once all are on disk rank 0 writes the index, in one step; only then do the
parts of the save before go. Whenever a rank is killed, the index names parts that are whole.
"""
import contextlib
import glob
import os
import re
import time

from sparse_ae.checks import brief, is_integer
from sparse_ae.files import storage

# Parts that no index names are those of a save that was killed, unless it is still at it.
_ABANDONED_AFTER = 3600.0


def write_own(path, kind, number, meta, arrays, ranks):
    """Write a file; several ranks each write a part beside it, with a `number` that is new each time, or keep the last.
    """
    if ranks.size == 1:
        storage.write(path, kind, meta, arrays)
        return
    own = _part(path, number, ranks.rank, ranks.size)
    try:
        with ranks.agreed():
            storage.write(own, kind, meta, arrays)
    except BaseException:  # another rank's disk may be full, for example: this part will never be named
        with contextlib.suppress(OSError):
            os.remove(own)
        raise
    ranks.on_first(_write_index, path, kind, number, ranks.size)  # all parts are on disk


def path_of_own(path, kind, ranks):
    """The path of the file that `write_own` has written, of this rank."""
    if ranks.size == 1:
        return path
    index = storage.read(path, _of_all(kind))[0]
    with storage.damage_named(path):
        number, n = index["epoch"], index["ranks"]
        if not is_integer(n) or n < 1 or not re.fullmatch("[0-9]+", str(number)):
            raise ValueError("it is of the epoch %r of %s ranks" % (number, brief(repr(n))))
    if ranks.size != n:
        raise ValueError("%s is of %d ranks and these are %d; start as many, or pass another path"
                         % (path, n, ranks.size))
    return _part(path, number, ranks.rank, n)


def _of_all(kind):
    return kind + " of several ranks"


def _part(path, number, rank, n_ranks):
    return "%s.%s.%dof%d" % (os.fspath(path), number, rank, n_ranks)


def _write_index(path, kind, number, n_ranks):
    """Write the index; remove the parts of the save before, and of saves that were killed."""
    path, before = os.fspath(path), None
    with contextlib.suppress(OSError, LookupError, TypeError, ValueError):  # of no such file, or a damaged one
        before = str(storage.read_meta(path, _of_all(kind))["epoch"])
    storage.write(path, _of_all(kind), {"epoch": number, "ranks": n_ranks}, {})
    ours = re.compile(re.escape(path) + r"\.([0-9]+)\.\d+of\d+(%s)?" % storage.TEMPORARY)
    for found in filter(None, map(ours.fullmatch, glob.glob(glob.escape(path) + ".*"))):
        with contextlib.suppress(OSError):  # all is saved by now; another process may be tidying up too
            if found[1] != str(number) and (
                    found[1] == before or time.time() - os.lstat(found[0]).st_mtime >= _ABANDONED_AFTER):
                os.remove(found[0])
