"""Files that several ranks write together: a part of each, and one file that names the parts.

The names of parts are new with each save. Once all are on disk rank 0 writes the file that names them, in one step;
only then do the parts of the save before go. Whenever a rank is killed, that file names parts that are whole.
"""
import contextlib
import glob
import os
import re
import time

from sparse_ae.checks import is_integer
from sparse_ae.files import storage

# Parts that no file names are those of a save that was killed, unless it is still at it.
_ABANDONED_AFTER = 3600.0


class Parts:
    """The parts of something, and the file that names them.

    Parameters
    ----------
    path : str
        The file that names them.
    kind, kind_of_part : str
        What the files are, for `storage`.
    entry : str
        Under which that file has the name of the save. The number of ranks is beside it.
    beginning, end : str
        Of a part's path; `end` has places for ``{save}``, ``{rank}`` and ``{ranks}``.
    """

    def __init__(self, path, kind, kind_of_part, entry, beginning, end):
        self.path, self._kind, self._kind_of_part = path, kind, kind_of_part
        self._entry, self._beginning, self._end = entry, beginning, end

    def write(self, save, names, own, ranks):
        """Write all files, or leave those of the save before as they are; for all ranks together.

        Parameters
        ----------
        save : str or int
            Hexadecimal digits, or a number: others each time.
        names, own : (dict, dict)
            Meta and arrays of the file that names the parts, and of a rank's own part.
        ranks : Ranks
        """
        part = self._path_of(save, ranks.rank, ranks.size)
        try:
            with ranks.agreed():
                storage.write(part, self._kind_of_part, *own)
        except BaseException:  # another rank's disk may be full, say: nobody will name this part
            with contextlib.suppress(OSError):
                os.remove(part)
            raise
        ranks.on_first(self._name, save, ranks.size, *names)  # all parts are on disk

    def _path_of(self, save, rank, n_ranks):
        return self._beginning + self._end.format(save=save, rank=rank, ranks=n_ranks)

    def _name(self, save, n_ranks, meta, arrays):
        """Write the file that names the parts; remove those of the save before, and of saves that were killed."""
        before = None
        with contextlib.suppress(OSError, LookupError, TypeError, ValueError):  # of no such file, or a damaged one
            before = str(storage.read(self.path, self._kind)[0][self._entry])
        storage.write(self.path, self._kind, dict(meta, **{self._entry: save, "ranks": n_ranks}), arrays)
        end = self._end.replace(".", r"\.").format(save="([0-9a-f]+)", rank=r"\d+", ranks=r"\d+")
        ours = re.compile(re.escape(self._beginning) + end + "(%s)?" % storage.TEMPORARY)
        for found in filter(None, map(ours.fullmatch, glob.glob(glob.escape(self._beginning) + "*"))):
            with contextlib.suppress(OSError):  # what was to be saved is; somebody else may be at it too
                if found[1] != str(save) and (
                        found[1] == before or time.time() - os.lstat(found[0]).st_mtime >= _ABANDONED_AFTER):
                    os.remove(found[0])

    def read(self, ranks, otherwise):
        """Read the file that names the parts, and find those that are this process's to read: alone all, else its own.

        Parameters
        ----------
        ranks : Ranks
        otherwise : str
            For a message, what else can be done where not as many have written them.

        Returns
        -------
        meta, arrays : dict
        parts : list of (str, dict)
            Paths, and of which save, rank and number of ranks the parts are to be.
        """
        meta, arrays = storage.read(self.path, self._kind)
        with storage.damage_named(self.path):
            save, n = meta[self._entry], meta["ranks"]
            if not is_integer(n) or n < 1 or not re.fullmatch("[0-9a-f]+", str(save)):
                raise ValueError("it is of the %s %r of %r ranks" % (self._entry, save, n))
        if ranks.size not in (1, n):
            raise ValueError("%s is of %d ranks and these are %d; come with as many, or %s"
                             % (self.path, n, ranks.size, otherwise))
        return meta, arrays, [(self._path_of(save, rank, n), {self._entry: save, "rank": rank, "ranks": n})
                              for rank in range(n)[ranks.own]]


def write_own(path, kind, number, meta, arrays, ranks):
    """Write a file; of several ranks each writes one beside it, of a `number` that is another each time."""
    if ranks.size == 1:
        storage.write(path, kind, meta, arrays)
    else:
        _beside(path, kind).write(number, ({}, {}), (meta, arrays), ranks)


def path_of_own(path, kind, ranks):
    """Return the path of the file that `write_own` has written, of this rank."""
    if ranks.size == 1:
        return path
    (own, _), = _beside(path, kind).read(ranks, "pass another path")[2]
    return own


def _beside(path, kind):
    path = os.fspath(path)
    return Parts(path, kind + " of several ranks", kind, "epoch", path + ".", "{save}.{rank}of{ranks}")
