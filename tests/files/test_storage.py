"""Files: what comes back, what is refused, and that the old file survives whatever goes wrong."""
import errno
import io
import json
import os
import sys
import time
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest
from matrices import as_bytes, zipped

from sparse_ae.files import storage, unpacking
from sparse_ae.files.unpacking import check_size, is_of_the_machine, limit_of, read_array

META = {"name": "ünï", "n": 3, "rate": 0.1, "tiny": 5e-324, "nothing": None, "yes": True, "list": [1, [2.5, "x"]],
        "inside": {"a": 1}}


def arrays():
    rng = np.random.RandomState(0)
    return {
        "W": rng.randn(4, 3).astype("float32"),
        "V": np.asfortranarray(rng.randn(3, 4)),
        "ids": np.array(["b", "ä", "third"]),
        "file": np.arange(3, dtype="int64"),  # a name that numpy.savez can't take
        "empty": np.zeros((0, 5)),
        "scalar": np.float32(np.nan),
        "big_endian": np.arange(3, dtype=">i4"),
        "mask": np.array([True, False]),
    }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.npz"
    storage.write(path, "checkpoint", META, arrays())
    return path


def test_integers_are_compressed_and_float32_comes_back(tmp_path):
    numbers = np.random.RandomState(0).rand(20000).astype(np.float32)
    ratings, short = np.tile(np.float32([1, 4.5]), 10000), numbers.astype(np.float16).astype(np.float32)
    written = {"numbers": numbers, "ratings": ratings, "short": short, "places": np.arange(20000)}
    storage.write(tmp_path / "model", "checkpoint", {}, written)
    for name, array in storage.read(tmp_path / "model", "checkpoint")[1].items():
        assert array.dtype == written[name].dtype and (array == written[name]).all()
    storage.write(tmp_path / "other", "checkpoint", {}, {"half": np.array([1.5], ">f2")})  # of another machine
    half = storage.read(tmp_path / "other", "checkpoint")[1]["half"]
    assert half.dtype == np.float32 and half.tolist() == [1.5]
    with zipfile.ZipFile(tmp_path / "model") as archive:
        sizes = {each.filename[:-4]: each.compress_size for each in archive.infolist()}
    assert sizes["numbers"] > 80000 and sizes["short"] < 40000 and sizes["ratings"] < 1000 and sizes["places"] < 60000


def test_rows_in_steps_take_half_a_file(tmp_path):
    rng = np.random.RandomState(0)
    given = (rng.randn(300, 64) * np.exp(10 * rng.randn(300, 1))).astype(np.float32)
    given[7] = 0
    rows = storage.in_steps(given)
    for row, got in zip(given, rows):  # by hand: the step is 2^-15 of the power of 2 above the largest
        step = 2.0 ** (np.floor(np.log2(abs(row).max() or 1)) + 1 - 15)
        assert (abs(got - row.astype(float)) <= step).all() and (got / step == np.rint(got / step)).all()
    assert (storage.in_steps(rows) == rows).all()
    others = {"first": np.vstack([rows[:1], given]), "none": np.float32([[np.nan, 1e-9], [np.inf, 1]])}
    storage.write(tmp_path / "model", "checkpoint", {}, dict(others, rows=rows))
    with zipfile.ZipFile(tmp_path / "model") as archive:
        assert archive.getinfo("rows.npy").compress_size < 0.55 * rows.nbytes
    for name, array in storage.read(tmp_path / "model", "checkpoint")[1].items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, dict(others, rows=rows)[name])


@pytest.mark.parametrize("kind", [
    [("exponent", "<i2"), ("multiples", "<i2")],  # would be (n, n) numbers
    [("exponent", "<i2"), ("multiples", "<i2", (2, 2))],
    [("exponent", "<i8"), ("multiples", "<i2", (2,))],
    [("rows", "<f4")],
])
def test_records_that_are_no_rows_in_steps_are_refused(kind, tmp_path):
    storage.write(tmp_path / "model", "checkpoint", {}, {"H": np.zeros(3, kind)})
    with pytest.raises(ValueError, match="entry 'H': it has records"):
        storage.read(tmp_path / "model", "checkpoint")


def test_what_was_written_comes_back(path, tmp_path):
    meta, got = storage.read(path, "checkpoint")
    assert meta == META
    expected = arrays()
    assert set(got) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])
        assert got[name].dtype == expected[name].dtype.newbyteorder("=") and got[name].dtype.isnative
    assert got["V"].flags.f_contiguous and not got["V"].flags.c_contiguous
    got["W"][0] = 1  # the reader's own
    with np.load(str(path), allow_pickle=False) as file:  # NumPy alone opens it
        np.testing.assert_array_equal(file["W"], arrays()["W"])
        assert json.loads(str(file["header"])) == json.loads(str(header(arrays=sorted(arrays()), meta=META)))
    storage.write(tmp_path / "again", "checkpoint", META, arrays())
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    with pytest.raises(FileNotFoundError, match="there is no file .*none.npz; expected a recommender of sparse_ae:"):
        storage.read(tmp_path / "none.npz", "recommender")


@pytest.mark.skipif(sys.platform == "win32", reason="no modes, and links by permission, on Windows")
def test_mode_and_link_survive(path, tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "link.npz").symlink_to(path)
    for mode in (0o600, 0o664):
        path.chmod(mode)
        storage.write(tmp_path / "link.npz", "checkpoint", {"new": mode}, {})
        assert path.stat().st_mode & 0o777 == mode and storage.read(path, "checkpoint")[0] == {"new": mode}
    assert (tmp_path / "link.npz").is_symlink()


FULL = "disk or your quota is full .*: free some space, .*model.npz"


@pytest.mark.parametrize("place", [(np.lib.format, "write_array"), (os, "fsync"), (os, "replace")])
@pytest.mark.parametrize("error, said", [(KeyboardInterrupt(), None), (OSError("160 requested and 0 written"), FULL),
                                         (OSError(errno.ENOSPC, "No space left on device"), FULL),
                                         (OSError(errno.EDQUOT, "Quota"), FULL), (OSError(errno.EFBIG, "Big"), FULL),
                                         (OSError(errno.EIO, "bad disk"), r"^\[Errno [0-9]+\] bad disk$")])
def test_the_old_file_survives(path, place, error, said, monkeypatch):
    old = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(place[0], place[1], Mock(side_effect=error))
        with pytest.raises(type(error), match=said):
            storage.write(path, "checkpoint", {}, arrays())
    assert path.read_bytes() == old and os.listdir(str(path.parent)) == ["model.npz"]


def test_what_a_killed_writer_left_is_removed_once_it_is_surely_dead(path):
    dead, alive = (path.parent / ("model.npz.sparse_ae-%s.tmp" % (8 * name)) for name in ("01ef", "ffff"))
    folder = path.parent / ("model.npz.sparse_ae-%s.tmp" % (8 * "abcd"))
    others = [path.parent / name for name in (
        "model.npz.mybackup.tmp", "model.npz.0123abcd.tmp", "model.npz.sparse_ae-mine.tmp", "model.npz.tmp",
        "model.npz.sparse_ae-%s.tmp.gz" % (8 * "01ef"), "my model.npz.sparse_ae-%s.tmp" % (8 * "01ef"))]
    folder.mkdir()
    for leftover in [dead, alive, folder / "part"] + others:
        leftover.write_bytes(b"PK")
    for leftover in [dead, folder] + others:
        os.utime(str(leftover), (time.time() - 4000,) * 2)
    storage.write(path, "checkpoint", META, arrays())
    assert not dead.exists() and all(each.exists() for each in [path, alive, folder] + others)
    storage.remove_abandoned(path, after=0)
    assert not alive.exists() and not folder.exists() and all(each.exists() for each in [path] + others)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_a_device_is_neither_replaced_nor_read(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    link = tmp_path / "link"
    link.symlink_to(os.devnull)
    for path in (tmp_path / "pipe", link):
        for refused in (lambda path: storage.write(path, "checkpoint", {}, {}), storage.check_replaceable):
            with pytest.raises(FileExistsError, match="is a pipe, a device or a socket; expected the name of a file"):
                refused(path)
        with pytest.raises(OSError, match="expected a file"):
            storage.read(path, "checkpoint")
    assert sorted(os.listdir(str(tmp_path))) == ["link", "pipe"]


@pytest.mark.parametrize("meta, arrays, error, message", [
    ({}, {"ids": np.array(["a", 1], dtype=object)}, TypeError,
     "array 'ids' is of dtype object, which only pickle can store; expected numbers or strings: convert it"),
    ({}, {"t": np.zeros(1, [("x", object)])}, TypeError, "array 't' is of dtype .*'O'"),
    ({}, {"header": np.zeros(1)}, ValueError, "an array is named 'header', .*; expected another name"),
    ({"x": np.float32(1)}, {}, TypeError, "float32 is not JSON serializable"),
])
def test_what_cannot_be_written(path, meta, arrays, error, message):
    old = path.read_bytes()
    with pytest.raises(error, match=message):
        storage.write(path, "checkpoint", meta, arrays)
    assert path.read_bytes() == old


@pytest.mark.parametrize("name, error, message", [
    ("nowhere/x.npz", FileNotFoundError, "there is no folder .*nowhere to write x.npz to; create it first"),
    ("", IsADirectoryError, "is a folder; expected the name of a file to write"),
    ("a" * 240, OSError, "File name too long"),  # a temporary file's is longer
    pytest.param("locked/x.npz", PermissionError, "can't write x.npz: no permission for its folder", marks=(
        pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions don't bind here")))])
def test_where_cannot_be_written(tmp_path, monkeypatch, name, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked").mkdir(0o500)
    with pytest.raises(error, match=message):
        storage.check_destination(tmp_path / name)
    storage.check_destination("here.npz")
    storage.check_destination(tmp_path / ("a" * 200))


def numpy_file(**arrays):
    return as_bytes(lambda file: np.savez(file, **arrays))


def bytes_of(array):
    return as_bytes(lambda file: np.save(file, array))


def header(**changes):
    plain = {"library": "sparse_ae", "kind": "checkpoint", "version": storage.VERSION, "arrays": [], "meta": {}}
    return np.array(json.dumps(dict(plain, **changes)))


def array_header(descr, shape):
    return as_bytes(lambda file: np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}))


def announcing(shape, written=b""):
    """A file whose array W announces a shape, whatever it holds."""
    return zipped({"header.npy": bytes_of(header(arrays=["W"])), "W.npy": array_header("<f8", shape) + written})


@pytest.mark.parametrize("content, message", [pytest.param(*case, id="case%d" % i) for i, case in enumerate([
    (b"", "is no file of sparse_ae, or incomplete; expected a checkpoint, which sparse_ae has written: check the path, "
          "or take a complete copy"),
    (b"user,item,rating\n1,2,3\n", "is no file of sparse_ae, or incomplete"),
    (announcing((10 ** 12,)), r"can't be read: entry 'W': its header announces the shape \(10{12},\) of float64"),
    (announcing((-1,)), "can't be read: entry 'W': its header announces the shape"),
    (announcing((3,), bytes(8)), "can't be read: entry 'W': its header announces the shape"),
    (numpy_file(data=np.zeros(3), shape=np.zeros(2)),
     "can't be read: it was not written by sparse_ae, and has data.npy, shape.npy; expected a checkpoint"),
    (numpy_file(), "can't be read: it was not written by sparse_ae, and has nothing"),
    (numpy_file(header=np.array("[1]")), "can't be read: it was not written by sparse_ae"),
    (numpy_file(header=header(library="other")), "can't be read: it was not written by sparse_ae"),
    (numpy_file(header=header(kind="recommender")), "is a recommender of sparse_ae; expected a checkpoint: check the"),
    (numpy_file(header=header(version=storage.VERSION + 1, kind="novelty")),
     "has format version .; this sparse_ae reads versions up to .: upgrade sparse_ae, or write the file again"),
    (numpy_file(header=header(arrays=["evil"]), evil=np.array([{}, 1], dtype=object)),
     "can't be read: entry 'evil': .*allow_pickle=False"),
    (numpy_file(header=header(arrays=[1])), "can't be read: its header is incomplete"),
    (numpy_file(header=np.array('{"library": "sparse_ae"}')), "can't be read: its header is incomplete"),
    (numpy_file(header=np.array("[" * 100000)), "can't be read: it was not written by sparse_ae"),
    (numpy_file(header=header(kind="k" * 10 ** 6)), "is a k{200} ... k{100} of sparse_ae; expected a checkpoint"),
    (numpy_file(header=header(version=10 ** 99)), "has format version 10{99}; .*upgrade sparse_ae"),
    (numpy_file(header=header(arrays=["W"])), "can't be read: its entries don't match its header"),
])])
def test_what_is_refused(tmp_path, content, message):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match="x.npz " + message) as caught:
        storage.read(tmp_path / "x.npz", "checkpoint")
    assert len(str(caught.value)) < 1000


def test_a_limit_and_what_the_machine_lacks_are_no_fault_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "_ALWAYS", 2 ** 14)
    (tmp_path / "x").write_bytes(announcing((2 ** 16,), bytes(2 ** 19)))
    with pytest.raises(ValueError, match="x can't be read: .*SPARSE_AE_UNPACK_LIMIT"):
        storage.read(tmp_path / "x", "checkpoint")
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "3000000")
    assert storage.read(tmp_path / "x", "checkpoint")[1]["W"].shape == (2 ** 16,)
    error = MemoryError()
    monkeypatch.setattr(unpacking, "read_array", Mock(side_effect=error))
    for ask in (storage.check_replaceable, lambda path: storage.read(path, "checkpoint")):
        with pytest.raises(MemoryError) as raised:
            ask(tmp_path / "x")
        assert raised.value is error
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "1 GB")
    for ask in (storage.check_replaceable, lambda path: storage.read(path, "checkpoint")):
        with pytest.raises(ValueError, match="^the environment variable SPARSE_AE_UNPACK_LIMIT is '1 GB'; expected"):
            ask(tmp_path / "x")


# How much a file may unpack to, and arrays that aren't what their headers say


def test_the_limit_follows_the_file_and_the_variable(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    assert limit_of(1000) == 2 ** 28
    monkeypatch.setattr(unpacking, "_ALWAYS", 10)
    assert limit_of(1000) == 100 * 1000
    check_size(path, 100 * 1000)
    with pytest.raises(ValueError, match="x has 1000 bytes, and it would take 100001 or more; .*at most 100000"):
        check_size(path, 100 * 1000 + 1)
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "50")
    assert limit_of(1000) == 50
    for value in ("-1", "1e9", "9" * 19):
        monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", value)
        with pytest.raises(ValueError, match="SPARSE_AE_UNPACK_LIMIT is '%s'; expected a number of bytes" % value):
            limit_of(1000)


@pytest.mark.parametrize("content, message", [
    (b"", None), (b"PK", None), (bytes_of(np.zeros(3))[:20], None),
    (bytes_of(np.zeros(3))[:-1], "announces .*, which doesn't match its 151 bytes"),
    (bytes_of(np.zeros(3)) + b"x", "announces .*, which doesn't match its 153 bytes")
] + [(array_header(descr, (0,)), r"announces the shape \(0,\) of .*%s, which doesn't match its 128 bytes" % descr[1:])
     for descr in ("<U500000000", "|S2000000000", "|V2000000000")])  # items that would fill the memory
def test_arrays_of_another_size_than_they_say(content, message):
    with pytest.raises(ValueError, match=message):
        read_array(io.BytesIO(content), len(content))


def test_a_map_has_the_order_of_its_file(tmp_path):
    np.save(str(tmp_path / "V.npy"), arrays()["V"])
    with open(str(tmp_path / "V.npy"), "rb") as file:
        np.testing.assert_array_equal(read_array(file, os.stat(file.fileno()).st_size, tmp_path / "V.npy"),
                                      arrays()["V"])


@pytest.mark.parametrize("error, expected", [
    (MemoryError(), True), (ImportError("pandas"), True), (OSError(errno.EIO, "x"), True),
    (PermissionError(errno.EACCES, "x"), True), (OSError("not a zip"), False),
    (OSError(errno.EINVAL, "negative seek"), False), (ValueError("x"), False)])
def test_errors_of_the_machine(error, expected):
    assert is_of_the_machine(error) == expected
