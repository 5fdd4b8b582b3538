"""A home that can't be written to stops nothing."""
import os
import platform
import types
from pathlib import Path

import programs
import pytest

from sparse_ae.theano_compat import folders, mends

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a home is named by HOME")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_what_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    assert folders.can_be_made(str(tmp_path)) and folders.can_be_made(str(tmp_path / "a" / "b"))
    assert not folders.can_be_made(str(tmp_path / "file")) and not folders.can_be_made(str(tmp_path / "file" / "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root can write to any folder")
def test_a_folder_without_leave_to_write(tmp_path):
    tmp_path.chmod(0o500)
    assert not folders.can_be_made(str(tmp_path)) and not folders.can_be_made(str(tmp_path / "a"))
    tmp_path.chmod(0o700)


def test_a_temporary_folder_is_the_users_own_and_stays(temporary):
    folder = folders.temporary("ours")
    assert os.path.dirname(folder) == str(temporary) and os.stat(folder).st_mode & 0o777 == 0o700
    assert folders.temporary("ours") == folder


@pytest.mark.parametrize("theirs", ["a link", "anybody's", "a file"])
def test_one_that_somebody_else_may_have_made_is_not_taken(temporary, theirs):
    folder = Path(folders.temporary("ours"))
    folder.rmdir()
    if theirs == "a link":
        (temporary / "elsewhere").mkdir()
        folder.symlink_to(temporary / "elsewhere")
    elif theirs == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    other = folders.temporary("ours")
    assert other != str(folder) and os.stat(other).st_mode & 0o777 == 0o700 and not os.path.islink(other)


def test_theano_compiles_to_a_temporary_folder_and_says_so(tmp_path):
    def said(flags, home="/dev/null/home"):
        return programs.run("-W", "error", "-c", "import sparse_ae, theano; print(theano.config.base_compiledir)",
                            HOME=home, TMPDIR=str(tmp_path), THEANORC=os.devnull, THEANO_FLAGS=flags)

    folder = str(tmp_path / ("theano-of-%d" % os.getuid()))
    assert said("cxx=") == (folder + "\n", (
        "WARNING (theano.configdefaults): /dev/null/home/.theano can't be written to: compiled code is kept in %s. "
        "To keep it elsewhere: THEANO_FLAGS=base_compiledir=FOLDER\n" % folder))
    assert said("cxx=,base_compiledir=%s" % (tmp_path / "mine")) == ("%s\n" % (tmp_path / "mine"), "")
    anothers = tmp_path / ".theano" / ("compiledir_Linux--%s-64" % platform.python_version())
    anothers.parent.mkdir()
    anothers.touch()  # no more a folder to write to than one of root's
    kept_in, warning = said("cxx=", str(tmp_path))
    assert kept_in == folder + "\n" and "%s can't be written to: compiled code is kept in" % anothers in warning


@pytest.mark.skipif(not hasattr(os, "ST_NOEXEC"), reason="this system doesn't say it")
def test_a_mount_without_exec_is_told_of(tmp_path, monkeypatch):
    home, of_os = str(tmp_path / "home"), os.statvfs
    os.mkdir(home)
    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(
        f_flag=os.ST_NOEXEC) if path == home else of_os(path))
    assert folders.fault_of(str(tmp_path)) is None
    assert folders.fault_of(os.path.join(home, ".theano")) == "%s/.theano is on a mount without exec" % home
    config = types.SimpleNamespace(cxx="g++", compiledir=os.path.join(home, "compiledir"))
    with pytest.raises(OSError, match="%s is on a mount without exec, from which no compiled code" % config.compiledir):
        mends._refuse_a_mount_without_exec(types.SimpleNamespace(config=config))
    config.cxx = ""
    mends._refuse_a_mount_without_exec(types.SimpleNamespace(config=config))
