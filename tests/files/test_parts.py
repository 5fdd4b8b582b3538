"""Files in parts: those of a save or of the one before, whoever fails; and nobody else's files are touched."""
import os

import pytest

from sparse_ae.files import storage
from sparse_ae.files.parts import path_of_own, write_own
from sparse_ae.ranks.ranks import Ranks


class Alike:
    """A communicator of two ranks, both of which say what this one does, or what is `heard` of the other."""

    def __init__(self, rank, heard=None):
        self._rank, self._heard = rank, heard

    def Get_rank(self):
        return self._rank

    def Get_size(self):
        return 2

    def allgather(self, value):
        return [value, self._heard or value]

    Allreduce = gather = Barrier = Abort = Get_size


def write(path, number, **heard):
    for rank in (1, 0):
        write_own(path, "thing", number, {"of": [number, rank]}, {}, Ranks(Alike(rank, **heard)))


@pytest.fixture
def path(tmp_path):
    """Of a name that is none of a pattern's or a format's."""
    return tmp_path / "r{u}n[1]%s.npz"


def names_beside(path):
    return sorted(each.name[len(path.name):] for each in path.parent.iterdir())


def test_each_rank_has_its_own_until_there_is_another(path):
    others = [path.name + end for end in (".2.1.0of2", ".2.0of2x", ".x.0of2")]  # of another's parts, say
    for name in others:
        (path.parent / name).write_bytes(b"")
    for number in (1, 2):
        write(path, number)
        for rank in (0, 1):
            own = path_of_own(path, "thing", Ranks(Alike(rank)))
            assert storage.read(own, "thing")[0] == {"of": [number, rank]}
    assert names_beside(path) == sorted(["", ".2.0of2", ".2.1of2", ".2.1.0of2", ".2.0of2x", ".x.0of2"])


def test_what_a_rank_cannot_write_nobody_names(path):
    write(path, 1)
    with pytest.raises(OSError, match="rank 1: the disk is full"):
        write(path, 2, heard=("errors", ("OSError", "the disk is full")))
    assert names_beside(path) == ["", ".1.0of2", ".1.1of2"]
    assert storage.read(path, "thing of several ranks")[0] == {"epoch": 1, "ranks": 2}


def test_what_was_left_behind_goes_after_an_hour(path):
    left = [path.parent / (path.name + end) for end in (".1.1of2", ".1.0of2.sparse_ae-%s.tmp" % ("a" * 32))]
    for each in left:
        each.write_bytes(b"")
    write(path, 2)
    assert len(names_beside(path)) == 5
    for each in left:
        os.utime(str(each), (0, 0))
    write(path, 3)
    assert names_beside(path) == ["", ".3.0of2", ".3.1of2"]


@pytest.mark.parametrize("change", [{"epoch": None}, {"epoch": "../1"}, {"epoch": -1}, {"epoch": True}, {"ranks": "2"},
                                    {"ranks": 0}, {"ranks": True}])
def test_names_that_were_changed_are_refused(change, path):
    write(path, 1)
    storage.write(path, "thing of several ranks", dict({"epoch": 1, "ranks": 2}, **change), {})
    with pytest.raises(ValueError, match="npz is damaged, or was changed by hand: it is of the epoch"):
        path_of_own(path, "thing", Ranks(Alike(0)))
