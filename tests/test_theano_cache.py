"""Theano's cache of compiled code in the face of faults: the right answer, if need be after compiling once more."""
import errno
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from devices import environment

from sparse_ae.theano_compat import torn
import theano
import theano.tensor as T

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


@pytest.fixture
def use(tmp_path):
    """What begins a process with a cache of its own: `theano` in the test's folder."""
    def begun(*deleted):
        return subprocess.Popen([sys.executable, "-c", USE] + list(map(str, deleted)), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, universal_newlines=True,
                                env=environment("base_compiledir=%s" % (tmp_path / "theano")))
    return begun


def is_right(process):
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in errors, errors[-2000:]
    return said == "True\n"


def cut(path, size):
    content = path.read_bytes()[:size]
    path.unlink()  # it may be mapped into a process
    path.write_bytes(content)


def test_a_shared_object_that_was_torn_is_known(tmp_path):
    whole = Path(__import__("numpy.core._multiarray_umath", fromlist=[""]).__file__)
    if whole.read_bytes()[:5] != b"\x7fELF\x02":
        pytest.skip("no ELF here")
    assert torn.is_whole(str(whole))
    for size in (0, 1, 4, 63, 64, 4096, whole.stat().st_size // 2):
        (tmp_path / "x.so").write_bytes(whole.read_bytes()[:size])
        assert not torn.is_whole(str(tmp_path / "x.so"))
    (tmp_path / "x.so").write_bytes(b"another system's")
    assert torn.is_whole(str(tmp_path / "x.so"))


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
    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("theano.gof.cmodule.KeyData.save_pkl", full)
    x, never_seen = T.dvector(), float(uuid.uuid4().int % 10 ** 15)
    with pytest.raises(OSError, match="No space left on device: Theano can't keep what it compiles in .*compiledir"):
        theano.function([x], T.exp(x) * never_seen)
    monkeypatch.undo()
    assert theano.function([x], T.exp(x) * never_seen)([0.0]) == [never_seen]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["/bin/false", "/nowhere/g++"])
def test_a_compiler_that_fails_is_an_error(use, compiler, monkeypatch):
    monkeypatch.setenv("THEANO_FLAGS", "cxx=" + compiler)
    process = use()
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "Compilation failed" in errors or "No such file" in errors
