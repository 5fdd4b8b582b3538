"""Files from the network, without one: who is asked, what enters the cache, what is said where nobody delivers."""
import hashlib
from pathlib import Path

import pooch
import pytest

from sparse_ae.data.download import Source, cache_folder, fetch


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSE_AE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def source(label, content, asked, expected=b"what it should be"):
    """A source that delivers `content`, and notes that it was asked; an exception is raised instead."""
    def download(url, output_file, _):
        asked.append((label, url))
        if isinstance(content, Exception):
            raise content
        Path(str(output_file)).write_bytes(content)

    return Source(label, "http://%s/x" % label.lower(), "x.zip", "sha256:" + hashlib.sha256(expected).hexdigest(),
                  download)


def fetched(*sources):
    return fetch(list(sources), "The data", "http://home", "data(path='x.zip')")


def test_the_first_source_that_delivers_is_taken_once(cache):
    asked = []
    sources = [source("One", OSError("no route"), asked), source("Two", b"what it should be", asked),
               source("Three", b"what it should be", asked)]
    path = fetched(*sources)
    assert path == cache / "x.zip" and path.read_bytes() == b"what it should be"
    assert asked == [("One", "http://one/x"), ("Two", "http://two/x")]
    assert fetched(*sources) == path and len(asked) == 2


def test_what_is_damaged_in_the_cache_is_fetched_again(cache):
    asked = []
    path = fetched(source("One", b"what it should be", asked))
    path.write_bytes(b"damaged")
    assert fetched(source("One", b"what it should be", asked)).read_bytes() == b"what it should be"
    assert len(asked) == 2


def test_nothing_enters_the_cache_where_no_source_delivers(cache):
    asked = []
    with pytest.raises(FileNotFoundError) as raised:
        fetched(source("One", OSError("no route"), asked), source("Two", b"something else", asked))
    said = str(raised.value)
    assert said.startswith("The data is not in the cache folder %s and could not be fetched" % cache)
    assert "One, http://one/x: OSError: no route" in said and "Two, http://two/x: ValueError" in said
    assert "Download x.zip from http://home by any other way and call data(path='x.zip')" in said
    assert not cache.exists() or not list(cache.iterdir())


def test_cache_folder(cache, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache / name)
    assert cache_folder() == cache
    monkeypatch.setenv("SPARSE_AE_DATA", "~/ratings")
    assert cache_folder() == Path.home() / "ratings"
    for unset in (lambda: monkeypatch.setenv("SPARSE_AE_DATA", ""), lambda: monkeypatch.delenv("SPARSE_AE_DATA")):
        unset()
        assert cache_folder() == cache / "sparse_ae"


def test_a_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARSE_AE_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(FileNotFoundError, match="(?s)SPARSE_AE_DATA"):
        fetched(source("One", b"what it should be", []))


def test_a_download_to_a_temporary_folder_is_told_of(tmp_path, monkeypatch, capsys):
    asked = []
    good = source("One", b"what it should be", asked)
    fetched(good)
    assert capsys.readouterr() == ("", "")
    monkeypatch.delenv("SPARSE_AE_DATA")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "file" / name)
    with pytest.raises(FileNotFoundError):
        fetched(source("Two", OSError("no route"), asked))
    assert capsys.readouterr() == ("", "")
    path = fetched(source("Two", OSError("no route"), asked), good)
    assert path.read_bytes() == b"what it should be" and path.parent.parent == tmp_path
    assert capsys.readouterr() == ("", "%s can't be written to: what is fetched is kept in %s. To keep it elsewhere: "
                                       "SPARSE_AE_DATA=FOLDER\n" % (tmp_path / "file" / "sparse_ae", path.parent))
    assert fetched(good) == path and len(asked) == 4
    assert capsys.readouterr() == ("", "")
