"""How much a file may unpack to, and arrays that aren't what their headers say."""
import errno
import io
import os

import numpy as np
import pytest

from sparse_ae.files import unpacking
from sparse_ae.files.unpacking import check_regular, check_size, is_of_the_machine, read_array, unpack_limit


def bytes_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_the_limit_follows_the_file_and_the_variable(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    assert unpack_limit(path) == 2 ** 28
    monkeypatch.setattr(unpacking, "_ALWAYS", 10)
    assert unpack_limit(path) == 100 * 1000
    check_size(path, 100 * 1000)
    with pytest.raises(ValueError, match="x has 1000 bytes, and it would take 100001 or more; .*at most 100000"):
        check_size(path, 100 * 1000 + 1)
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "50")
    assert unpack_limit(path) == 50


@pytest.mark.parametrize("value", ["4GB", "-1", "1e9", "9" * 19])
def test_a_limit_that_is_none(tmp_path, monkeypatch, value):
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", value)
    with pytest.raises(ValueError, match="SPARSE_AE_UNPACK_LIMIT is '%s'; expected a number of bytes" % value):
        unpack_limit(tmp_path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_come_back(tmp_path, order, mapped):
    array = np.arange(12.0).reshape(3, 4, order=order)
    path = tmp_path / "x.npy"
    path.write_bytes(bytes_of(array))
    with open(str(path), "rb") as file:
        found = read_array(file, path.stat().st_size, path if mapped else None)
    np.testing.assert_array_equal(found, array)
    assert found.flags.f_contiguous == (order == "F") and isinstance(found, np.memmap) == mapped


@pytest.mark.parametrize("content", [
    b"", b"PK", bytes_of(np.zeros(3))[:-1], bytes_of(np.zeros(3)) + b"x", bytes_of(np.zeros(3))[:20]])
def test_arrays_of_another_size_than_they_say(content):
    with pytest.raises(ValueError):
        read_array(io.BytesIO(content), len(content))


@pytest.mark.parametrize("descr", ["<U500000000", "|S2000000000", "|V2000000000"])
def test_items_that_would_fill_the_memory_are_none_in_an_array_without_items_either(descr):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": (0,)})
    with pytest.raises(ValueError, match=r"announces the shape \(0,\) of .*%s, which doesn't match its 128 bytes"
                       % descr[1:]):
        read_array(io.BytesIO(file.getvalue()), 128)


def test_objects_are_not_read():
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="object"):
        read_array(io.BytesIO(file.getvalue()), len(file.getvalue()))


def test_what_is_no_file(tmp_path):
    with pytest.raises(OSError, match="is a folder; expected a file"):
        check_regular(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(str(tmp_path / "pipe"))
        with pytest.raises(OSError, match="pipe is a pipe; expected a file"):
            check_regular(tmp_path / "pipe")


@pytest.mark.parametrize("error, expected", [
    (MemoryError(), True), (OSError(errno.EIO, "x"), True), (PermissionError(errno.EACCES, "x"), True),
    (OSError("not a zip"), False), (OSError(errno.EINVAL, "negative seek"), False), (ValueError("x"), False)])
def test_errors_of_the_machine(error, expected):
    assert is_of_the_machine(error) == expected
