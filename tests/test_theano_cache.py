"""Theano's cache of compiled code in the face of faults: the right answer, if need be after compiling once more."""
import contextlib
import errno
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import types
import uuid
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from devices import environment
from limits import HANGS
from numpy.linalg import _umath_linalg

from sparse_ae.theano_compat import cache, compilers, failing
import theano
import theano.tensor as T
from theano.configparser import change_flags
from theano.gof.cc import get_module_cache
from theano.gof.cmodule import GCC_compiler, ModuleCache

USE = """
import glob, os, shutil, sys
import numpy as np
import sparse_ae
import theano, theano.tensor as T
from sparse_ae.ops import csr_dot
inputs = T.dvector(), T.ivector(), T.ivector(), T.dmatrix()
arguments = np.array([1., 2.]), np.array([0, 1], "i"), np.array([0, 2], "i"), np.arange(6.).reshape(2, 3)
f = theano.function(inputs, csr_dot(*inputs))
for folder in sys.argv[1:]:
    shutil.rmtree(folder)
g = theano.function(inputs, T.exp(csr_dot(*inputs)))
print(f(*arguments).tolist() == [[6, 9, 12]] and np.allclose(np.log(g(*arguments)), [[6, 9, 12]]))
"""


def begun(flags, *deleted):
    """A process that computes something, with these flags of Theano's, and deletes some folders on the way."""
    return subprocess.Popen([sys.executable, "-c", USE, *map(str, deleted)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True, env=environment(flags))


@pytest.fixture
def use(tmp_path):
    """What begins a process with a cache of its own: `theano` in the test's folder."""
    return lambda *deleted: begun("base_compiledir=%s" % (tmp_path / "theano"), *deleted)


def is_right(process):
    said, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0 and "Traceback" not in errors, errors[-2000:]
    return said == "True\n"


def cut(path, size):
    content = path.read_bytes()[:size]
    path.unlink()  # it may be mapped into a process
    path.write_bytes(content)


def test_a_shared_object_that_was_torn_is_known(tmp_path):
    whole = Path(_umath_linalg.__file__)
    if whole.read_bytes()[:5] != b"\x7fELF\x02":
        pytest.skip("no ELF here")
    assert cache.is_whole(str(whole))
    for size in (0, 1, 4, 63, 64, 4096, whole.stat().st_size // 2):
        (tmp_path / "x.so").write_bytes(whole.read_bytes()[:size])
        assert not cache.is_whole(str(tmp_path / "x.so"))
    for content in (b"another system's", bytes(whole.stat().st_size)):
        (tmp_path / "x.so").write_bytes(content)
        assert cache.is_whole(str(tmp_path / "x.so")) != sys.platform.startswith("linux")


@pytest.mark.parametrize("said", ["x.so: invalid ELF header", "x.so: file too short", "no module named y"])
def test_an_entry_that_cannot_be_loaded_goes(said, tmp_path):
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "key.pkl").touch()
    goes = "no module" not in said
    with pytest.raises(FileNotFoundError if goes else ImportError, match=said):
        with cache.entry_loaded(str(tmp_path / "entry" / "x.so")):
            raise ImportError(said)
    assert (tmp_path / "entry").exists() is not goes


def test_several_shared_objects_of_a_process_that_was_killed_go_when_they_are_old(tmp_path):
    folder = tmp_path / "tmp1a2b3c"
    folder.mkdir()
    (tmp_path / "tmp_file").touch()  # not Theano's
    for name in ("0.cpp", "0.cpp.so", "1.cpp", "1.cpp.so"):
        (folder / name).touch()
    found = ModuleCache(str(tmp_path))
    found.clear_unversioned()  # what runs when a process ends
    assert len(list(folder.iterdir())) == 4
    found.clear_unversioned(min_age=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["tmp_file"]


@pytest.mark.slow
def test_a_cache_that_was_damaged_or_deleted(use, tmp_path):
    cache = tmp_path / "theano"
    assert is_right(use())
    for size in (9000, 0):
        for path in cache.rglob("*.so"):
            cut(path, size)
        assert is_right(use())
    for content in (b"", b"garbage"):
        for path in cache.rglob("key.pkl"):
            path.write_bytes(content)
        assert is_right(use())
    for pattern in ("tmp*/*.so", "*/*.so", "*/__init__.py", "lazylinker_ext/*"):
        for path in cache.glob("compiledir*/" + pattern):
            path.unlink() if path.is_file() else None
        assert is_right(use())
    assert is_right(use(cache))
    assert is_right(use(*cache.glob("compiledir*/tmp*")))


@pytest.mark.slow
def test_processes_that_begin_at_once_with_nothing_cached(use):
    processes = [use() for _ in range(4)]
    assert all(is_right(process) for process in processes)


@pytest.mark.skipif(not theano.config.cxx, reason="without a compiler there is nothing to keep")
def test_a_full_disk_is_said_in_words(monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("theano.gof.cmodule.KeyData.save_pkl", Mock(side_effect=full))
    x, never_seen = T.dvector(), float(uuid.uuid4().int % 10 ** 15)
    with pytest.raises(OSError, match="No space left on device: Theano can't write compiled code to .*compiledir"):
        theano.function([x], T.exp(x) * never_seen)
    monkeypatch.undo()
    assert theano.function([x], T.exp(x) * never_seen)([0.0]) == [never_seen]
    with pytest.raises(OSError, match=r"^\[Errno %d\] bad disk$" % errno.EIO), cache.cache_writable("a folder"):
        raise OSError(errno.EIO, "bad disk")


@pytest.mark.parametrize("said, message", [
    ("cc1plus: fatal error: error writing to /elsewhere/cc1.s: No space left on device",
     "can't write compiled code to /elsewhere; free some space there .*by TMPDIR=FOLDER"),
    ("ld: final link failed: No space left on device", "code to /cache; free .*by THEANO_FLAGS=base_compiledir=FOLDER"),
    ("g++: fatal error: Killed signal terminated program cc1plus", "compiler was killed, probably for lack of memory")])
def test_a_compiler_without_space_or_memory_is_told_of_in_one_line(said, message, monkeypatch, capsys):
    """It can compile a small module."""
    monkeypatch.setattr(failing, "find_usable", lambda: True)

    def compile_str(*arguments):
        print("pages")
        raise Exception("Compilation failed (return status=1): " + said)

    module = types.SimpleNamespace(GCC_compiler=type("Compiler", (), {"compile_str": staticmethod(compile_str)}))
    failing._mend_compiler(module)
    with pytest.raises(OSError, match=message), cache.cache_writable("/cache"):
        module.GCC_compiler.compile_str("a_module", "")
    advice = compilers.way_out(said)
    assert advice == "free some memory" or advice.startswith("free some space in %s, or name another folder by" % (
        "/elsewhere" if "/elsewhere" in said else tempfile.gettempdir()))


@pytest.mark.skipif(not theano.config.cxx, reason="without a compiler there is nothing to keep")
def test_an_entry_that_was_deleted_is_forgotten_in_silence(tmp_path):
    known, key = get_module_cache(), ((uuid.uuid4().int,), "key")
    known.entry_from_key[key] = str(tmp_path / "gone.so")
    known.module_hash_to_key_data["gone"] = theano.gof.cmodule.KeyData(
        {key}, "gone", str(tmp_path / "key.pkl"), str(tmp_path / "gone.so"))  # not in loaded_key_pkl
    known.refresh(cleanup=False)
    assert "gone" not in known.module_hash_to_key_data and key not in known.entry_from_key


def test_a_process_that_waits_for_another_says_so_once(tmp_path, monkeypatch, caplog):
    compilelock = theano.gof.compilelock
    lock, owner = tmp_path / "lock_dir", "%d_0123456789_%s" % (os.getpid(), compilelock.hostname)
    lock.mkdir()
    (lock / "lock").write_text(owner)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            (lock / "lock").unlink()
            lock.rmdir()

    monkeypatch.setattr(compilelock, "time", types.SimpleNamespace(sleep=sleep, time=lambda: 0.0))
    compilelock.lock(str(lock), timeout=60, min_wait=1)
    assert len(naps) == 3 and caplog.messages == [
        "Another process is compiling; waiting for it. (If there is none, on any machine: delete its lock, %s)" % lock]


def test_a_compilation_that_finds_a_broken_cache_is_tried_once_more(tmp_path, monkeypatch, caplog):
    cache = ModuleCache(str(tmp_path))
    monkeypatch.setattr(theano.gof.cc, "get_module_cache", lambda: cache)
    x, check_key = T.vector(), cache.check_key
    graph = T.exp(x * 1.25) + x
    monkeypatch.setattr(cache, "check_key", Mock(side_effect=KeyboardInterrupt))  # before the cache knows what it has
    with pytest.raises(KeyboardInterrupt):
        theano.function([x], graph)
    assert theano.gof.compilelock.get_lock.n_lock == 0
    monkeypatch.setattr(cache, "check_key", check_key)
    np.testing.assert_allclose(theano.function([x], graph)([0, 1]), [1, np.exp(1.25) + 1], rtol=1e-6)
    assert theano.gof.compilelock.get_lock.n_lock == 0
    theano.function([x], graph)
    assert caplog.messages == [
        "an entry of the cache of compiled code in %s was broken; compiling once more" % tmp_path]


def test_other_errors_of_a_compilation_are_raised_at_once(monkeypatch):
    tries = []

    class Linker:
        def get_src_code(self):
            tries.append(1)
            raise AssertionError("of an Op")

    cache = ModuleCache(str(theano.config.compiledir), do_refresh=False)
    with pytest.raises(AssertionError, match="of an Op"):
        cache.module_from_key(((1,), ("new",)), Linker())
    assert tries == [1]


def test_what_the_cache_knows_of_an_entry_is_written_in_one_step(tmp_path, monkeypatch, caplog):
    cmodule = theano.gof.cmodule
    entry = cmodule.KeyData({"one"}, "hash", str(tmp_path / "key.pkl"), "module.so")
    entry.save_pkl()
    written = (tmp_path / "key.pkl").read_bytes()

    def dump(value, file, protocol):
        file.write(b"half of")
        raise pickle.PicklingError

    monkeypatch.setattr(cmodule, "pickle", types.SimpleNamespace(dump=dump, PicklingError=pickle.PicklingError,
                                                                 HIGHEST_PROTOCOL=4))
    with pytest.raises(pickle.PicklingError):
        entry.save_pkl()
    assert caplog.messages[0].startswith("Cache leak")
    assert [path.name for path in tmp_path.iterdir()] == ["key.pkl"]
    assert (tmp_path / "key.pkl").read_bytes() == written and pickle.loads(written).keys == {"one"}


def test_a_broken_entry_of_the_cache_is_one_clear_line(tmp_path, caplog):
    entry = tmp_path / "cache" / "tmpabc"
    entry.mkdir(parents=True)
    (entry / "m.so").write_bytes(b"")
    (entry / "key.pkl").write_bytes(b"")
    ModuleCache(str(tmp_path / "cache"))
    assert caplog.messages == [
        "A broken entry of the cache of compiled code is deleted, and will be compiled again when needed: %s" % entry]
    assert not entry.exists()


# A compiler that fails


needs_compiler = pytest.mark.skipif(not theano.config.cxx or os.name != "posix", reason="stands before a compiler")


@pytest.fixture
def compiler(tmp_path):
    """What makes a compiler: a script that runs some lines of sh before the real one has its turn."""
    def made(lines):
        path = tmp_path / "g++"
        path.write_text("#!/bin/sh\n%s\nexec %s \"$@\"\n" % (lines, theano.config.cxx))
        path.chmod(0o755)
        return path
    return made


@needs_compiler
def test_a_folder_that_is_deleted_while_it_is_compiled_to(compiler, tmp_path):
    folder = tmp_path / "deleted"
    folder.mkdir()
    with change_flags(cxx=str(compiler("rm -r %s; exit 1" % folder))), pytest.raises(FileNotFoundError):
        GCC_compiler.compile_str("a_module", "", str(folder))


def in_python(compiler, flags=""):
    """What is said on stderr by a process that has computed something, with a compiler that fails."""
    process = begun("device=cpu,cxx=%s%s" % (compiler, flags))  # a GPU's Ops have no code in Python
    said, errors = process.communicate(timeout=HANGS)
    assert (process.returncode, said) == (0, "True\n"), errors[-2000:]
    return errors


@pytest.mark.parametrize("said, others, message", [
    ("mod.cpp:1:10: fatal error: Python.h: No such file", False,
     "Python.h was not found in .*: there is a C.. compiler, but everything runs in Python, .*apt install python3-dev"),
    ("cc1plus: error: no room", False,
     "g.. can't compile a module for Python .cc1plus: error: no room.: everything runs in Python, .*To fix it: apt"),
    ("", True, "g.. can't compile a module for Python .it gave no reason.: everything")])
@needs_compiler
def test_a_compiler_that_fails_is_one_line_and_all_runs_in_python(compiler, tmp_path, said, others, message):
    """With nothing in the cache, or with Theano's own extensions and others, which were compiled before."""
    assert theano.function([], theano.shared(1.0) + 1)() == 2
    failing = compiler("case \"$*\" in *-shared*) printf '%%s' '%s' >&2; exit 1;; esac" % said)
    errors = in_python(failing, ",gcc.cxxflags=-DNEVER_SEEN=%d" % (uuid.uuid4().int % 10 ** 9) if others
                       else ",base_compiledir=%s" % (tmp_path / "theano"))
    assert re.match("WARNING [^\n]*" + message, errors) and errors.count("\n") == 1


# A cache that is deleted while a process begins


@pytest.mark.slow
@needs_compiler
def test_a_cache_that_is_deleted_while_a_process_begins(compiler, tmp_path):
    cache, mark = tmp_path / "theano", tmp_path / "mark"
    script = compiler("case \"$*\" in *-shared*ext*) [ -e %s ] || { touch %s; rm -rf %s/*; };; esac"
                      % (mark, mark, cache))
    assert in_python(script, ",base_compiledir=%s" % cache) == "" and mark.exists()


@needs_compiler
@pytest.mark.parametrize("comes_back, error", [
    (True, FileNotFoundError(errno.ENOENT, "gone")), (False, FileNotFoundError(errno.ENOENT, "gone")),
    (True, ImportError("x.so: invalid ELF header"))])
def test_an_extension_that_is_deleted_or_damaged_is_made_once_more(comes_back, error):
    folder, tries = Path(theano.config.compiledir) / "deleted_ext", []
    folder.mkdir()

    def run(module):
        tries.append(module)
        if isinstance(error, FileNotFoundError):
            shutil.rmtree(str(folder), ignore_errors=True)
        if len(tries) == 1 or not comes_back:
            raise error
        assert not list(folder.glob("*"))
        folder.mkdir(exist_ok=True)
        shutil.copy(str(next(Path(theano.config.compiledir).glob("lazylinker_ext/*.so"))), str(folder))

    shutil.copy(_umath_linalg.__file__, str(folder / "x.so"))

    again_and_again = pytest.raises(RuntimeError, match="Theano's cache of compiled code, .*, was deleted while it was "
                                                        "in use; don't delete it while programs start")
    try:
        with contextlib.nullcontext() if comes_back else again_and_again:
            cache.run_extension("deleted_ext", run, sys)
        assert tries == [sys, sys] or not comes_back
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)
