"""The suite itself: which warnings it takes for errors, and that it leaves what is the user's alone."""
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import compile_cache
import pytest

import theano

ROOT = Path(__file__).resolve().parents[1]


def warn_in(module, category=DeprecationWarning):
    """As if a module had warned; those that are no errors are swallowed."""
    with warnings.catch_warnings(record=True):
        warnings.warn_explicit("old", category, "file.py", 1, module=module)


# Warnings


@pytest.mark.parametrize("module", [
    "sparse_ae", "sparse_ae.data.text", "theano.tensor", "lasagne.layers.base", "numpy", "scipy.sparse", "test_model",
    "conftest", "reference", "ranks", "example_movielens", "<string>", "subprocess"])
def test_a_warning_is_an_error_where_it_is_ours_or_of_what_we_stand_on(module):
    with pytest.raises(DeprecationWarning, match="old"):
        warn_in(module)


@pytest.mark.parametrize("module", ["pytest_benchmark.logger", "matplotlib._mathtext", "_pytest.cacheprovider", "sys",
                                    "numpydoc", "theano_lstm", "scipy_openblas64", "testing_plugin", "referencing"])
def test_a_warning_of_others_is_none(module):
    warn_in(module)
    warn_in(module, FutureWarning)


def test_all_files_of_tests_and_examples_are_ours():
    for path in (ROOT / "tests").rglob("*.py"):
        with pytest.raises(UserWarning):
            warn_in(path.stem, UserWarning)


def test_no_fixture_has_the_name_of_one_of_a_plug_in():
    """pytest-benchmark, for one, ends the run over a fixture `benchmark` that isn't its own."""
    taken = "benchmark|benchmark_weave|mocker|cov|no_cover|anyio_backend|event_loop|testdir|pytester"
    for path in (ROOT / "tests").rglob("*.py"):
        found = re.search(r"@pytest\.fixture.*\ndef (%s)\(" % taken, path.read_text(encoding="utf-8"))
        assert found is None, (path, found)


# Theano's cache


def test_processes_that_tests_start_compile_to_the_same_folder():
    assert compile_cache.flag("base_compiledir") == theano.config.base_compiledir
    assert theano.config.compiledir.startswith(os.path.realpath(theano.config.base_compiledir))


@pytest.fixture
def session(tmp_path):
    """Runs one test of this folder as somebody with a home of theirs would; without a compiler, for time's sake."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".theanorc").write_text("[global]\nbase_compiledir = %s\nfloatX = float32\n" % (home / "mine"))

    def run(*options, **more):
        environment = {name: value for name, value in os.environ.items()
                       if name != "THEANORC" and not name.startswith("PYTEST_")}
        environment.update(HOME=str(home), TMPDIR=str(tmp_path), THEANO_FLAGS="cxx=", **more)
        command = [sys.executable, "-m", "pytest", *options, "-k", "same_folder", __file__]
        done = subprocess.run(command, cwd=str(ROOT), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True)
        assert [path.name for path in home.iterdir()] == [".theanorc"]
        return done

    return run


@pytest.mark.parametrize("options", [[], ["-n", "1"]])
def test_a_run_without_flags_leaves_the_users_cache_alone(session, tmp_path, options):
    done = session("-p", "no:cacheprovider", *options)
    assert done.returncode == 0, done.stdout
    assert "floatX=float64" in done.stdout  # not what ~/.theanorc says
    [folder] = re.findall("base_compiledir=(.*)", done.stdout)
    assert os.path.dirname(folder) == str(tmp_path)
    assert not os.path.exists(folder)  # its own, and gone


def test_a_cache_that_is_named_whole_is_the_users_too(session, tmp_path):
    (tmp_path / "rc").write_text("[global]\ncompiledir = %s\n" % (tmp_path / "whole"))
    done = session(THEANORC=str(tmp_path / "rc"))
    assert done.returncode == 4 and "THEANORC=/dev/null" in done.stdout, done.stdout


class Config:
    def __init__(self, folder):
        self.cache, self.cleanups = self, []
        self.folder = folder
        self.add_cleanup = self.cleanups.append

    def mkdir(self, name):
        if self.folder is None:
            raise PermissionError("read-only")
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        return self.folder / name


@pytest.mark.parametrize("place", [None, "with space", "with,comma"])
def test_where_the_checkout_does_not_do_the_folder_goes_with_the_run(tmp_path, monkeypatch, place):
    monkeypatch.delenv("THEANO_FLAGS")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    config = Config(place and tmp_path / place)
    folder = compile_cache.own_folder(config)
    assert os.path.dirname(folder) == str(tmp_path) and os.path.isdir(folder)
    config.cleanups[0]()
    assert not os.path.exists(folder)


def test_what_the_flags_name_is_for_this_run(tmp_path, monkeypatch):
    config = Config(tmp_path)
    monkeypatch.setenv("THEANO_FLAGS", "base_compiledir=/a,floatX=float32,base_compiledir=/b,optimizer=None")
    assert compile_cache.own_folder(config) == "/b"
    monkeypatch.setenv("THEANO_FLAGS", "floatX=float32")
    assert compile_cache.own_folder(config) == str(tmp_path / "theano")
    assert not config.cleanups
