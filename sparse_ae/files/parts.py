"""Files that several ranks write together: a part of each, and an index that names the parts.

The names of parts are new with each save. Once all are on disk rank 0 writes the index, in one step; only then do the
parts of the save before go. Whenever a rank is killed, the index names parts that are whole.
"""
import contextlib
import glob
import os
import re
import time
from typing import NamedTuple

from sparse_ae.checks import brief, is_integer
from sparse_ae.files import storage

# Parts that no index names are those of a save that was killed, unless it is still at it.
_ABANDONED_AFTER = 3600.0


class Parts(NamedTuple):
    """Where the index and the parts are: `path` and `kind` of the index, `kind_of_part`.

    `entry` is the index's name for the save, beside "ranks"; a part's path is `beginning` and `end`, which has places
    for {save}, {rank} and {ranks}.
    """

    path: str
    kind: str
    kind_of_part: str
    entry: str
    beginning: str
    end: str

    def write(self, save, index, part, ranks):
        """Write all files, or keep those of the last save; for all ranks together.

        `save` is hexadecimal digits, or a number, and new each time; `index` and a rank's `part` are (meta, arrays).
        """
        path = self._part(save, ranks.rank, ranks.size)
        try:
            with ranks.agreed():
                storage.write(path, self.kind_of_part, *part)
        except BaseException:  # another rank's disk may be full, for example: this part will never be named
            with contextlib.suppress(OSError):
                os.remove(path)
            raise
        ranks.on_first(self._write_index, save, ranks.size, *index)  # all parts are on disk

    def _part(self, save, rank, n_ranks):
        return self.beginning + self.end.format(save=save, rank=rank, ranks=n_ranks)

    def _write_index(self, save, n_ranks, meta, arrays):
        """Write the index; remove the parts of the save before, and of saves that were killed."""
        before = None
        with contextlib.suppress(OSError, LookupError, TypeError, ValueError):  # of no such file, or a damaged one
            before = str(storage.read_meta(self.path, self.kind)[self.entry])
        storage.write(self.path, self.kind, dict(meta, **{self.entry: save, "ranks": n_ranks}), arrays)
        end = self.end.replace(".", r"\.").format(save="([0-9a-f]+)", rank=r"\d+", ranks=r"\d+")
        ours = re.compile(re.escape(self.beginning) + end + "(%s)?" % storage.TEMPORARY)
        for found in filter(None, map(ours.fullmatch, glob.glob(glob.escape(self.beginning) + "*"))):
            with contextlib.suppress(OSError):  # all is saved by now; another process may be tidying up too
                if found[1] != str(save) and (
                        found[1] == before or time.time() - os.lstat(found[0]).st_mtime >= _ABANDONED_AFTER):
                    os.remove(found[0])

    def read(self, ranks, otherwise):
        """The index's meta and arrays, and [(path, {save, rank, ranks})] of the parts that are this process's to read.

        A process alone reads all. `otherwise` says in a message what else can be done where not as many have written.
        """
        meta, arrays = storage.read(self.path, self.kind)
        with storage.damage_named(self.path):
            save, n = meta[self.entry], meta["ranks"]
            if not is_integer(n) or n < 1 or not re.fullmatch("[0-9a-f]+", str(save)):
                raise ValueError("it is of the %s %r of %s ranks" % (self.entry, save, brief(repr(n))))
        if ranks.size not in (1, n):
            raise ValueError("%s is of %d ranks and these are %d; start as many, or %s"
                             % (self.path, n, ranks.size, otherwise))
        return meta, arrays, [(self._part(save, rank, n), {self.entry: save, "rank": rank, "ranks": n})
                              for rank in range(n)[ranks.own]]


def write_own(path, kind, number, meta, arrays, ranks):
    """Write a file; several ranks each write one beside it, with a `number` that is new each time."""
    if ranks.size == 1:
        storage.write(path, kind, meta, arrays)
    else:
        _beside(path, kind).write(number, ({}, {}), (meta, arrays), ranks)


def path_of_own(path, kind, ranks):
    """The path of the file that `write_own` has written, of this rank."""
    if ranks.size == 1:
        return path
    (own, _), = _beside(path, kind).read(ranks, "pass another path")[2]
    return own


def _beside(path, kind):
    path = os.fspath(path)
    return Parts(path, kind + " of several ranks", kind, "epoch", path + ".", "{save}.{rank}of{ranks}")
