"""What the build backend puts into a wheel. The builds themselves need a network: .ci/run makes some."""

import base64
import csv
import hashlib
import importlib
import io
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECORD = "sparse_ae-0.1.0.dist-info/RECORD"
OURS = {"sparse_ae/__init__.py": b"ours", "sparse_ae-0.1.0.dist-info/METADATA": b"Name: sparse_ae"}
THEANO = {"theano/__init__.py": b"theirs", "theano-1.0.5.dist-info/METADATA": b"Name: Theano",
          "theano-1.0.5.dist-info/licenses/LICENSE.txt": b"BSD"}


@pytest.fixture
def backend(monkeypatch):
    pytest.importorskip("setuptools")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("build_backend")


@pytest.fixture
def wheel(backend, tmp_path):
    path = tmp_path / "sparse_ae-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(str(path), "w") as file:
        for name, content in OURS.items():
            file.writestr(name, content)
        file.writestr(RECORD, "".join(backend._recorded(*each) + "\n" for each in OURS.items()) + RECORD + ",,\n")
    return path


def contents(path):
    with zipfile.ZipFile(str(path)) as file:
        assert file.testzip() is None and len(file.namelist()) == len(set(file.namelist()))
        return {name: file.read(name) for name in file.namelist()}


def check_record(files):
    """Each file is recorded once, with its hash and length."""
    rows = list(csv.reader(io.StringIO(files[RECORD].decode())))
    assert sorted(name for name, _, _ in rows) == sorted(files)
    for name, digest, size in rows:
        if name != RECORD:
            expected = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).decode().rstrip("=")
            assert (digest, int(size)) == ("sha256=" + expected, len(files[name]))


def test_setuptools_works_in_a_copy_of_the_sources(backend, tmp_path, monkeypatch):
    """There it finds all that it needs, and nothing that an earlier build has left; nor does it leave anything."""
    checkout = tmp_path / "checkout"
    monkeypatch.chdir(ROOT)
    with backend._a_copy():
        shutil.copytree(os.getcwd(), str(checkout))
    assert os.getcwd() == str(ROOT) and sorted(path.name for path in checkout.iterdir()) == sorted(backend.SOURCES)
    there = {path.relative_to(ROOT) for path in (ROOT / "sparse_ae").rglob("*.*") if path.suffix != ".pyc"}
    assert {path.relative_to(checkout) for path in (checkout / "sparse_ae").rglob("*.*")} == there

    (checkout / "build" / "lib" / "sparse_ae").mkdir(parents=True)
    monkeypatch.chdir(checkout)
    with backend._a_copy():
        assert not os.path.exists("build")
    before = sorted(checkout.rglob("*"))
    # In a process of its own, for setuptools changes it.
    code = ("import os, sys; sys.path.insert(0, os.getcwd())\n"
            "import build_backend; build_backend.get_requires_for_build_wheel()")
    subprocess.run([sys.executable, "-B", "-c", code], cwd=str(checkout), check=True)
    assert sorted(checkout.rglob("*")) == before


def test_where_pip_can_install_theano_the_wheel_has_one_line_more(backend, wheel, monkeypatch):
    monkeypatch.setattr(backend, "BRINGS_THEANO", False)
    assert backend._with_more(wheel) == wheel.name
    files = contents(wheel)
    check_record(files)
    assert files.pop("sparse_ae_startup.pth") == b"import sparse_ae_startup\n"
    assert set(files) == set(OURS) | {RECORD} and [path.name for path in wheel.parent.iterdir()] == [wheel.name]
    assert backend.get_requires_for_build_wheel() == backend.build_meta.get_requires_for_build_wheel()


def test_where_it_cannot_the_wheel_has_theano_too(backend, wheel, monkeypatch):
    monkeypatch.setattr(backend, "BRINGS_THEANO", True)
    monkeypatch.setattr(backend, "_refuse_another_theano", lambda: None)
    monkeypatch.setattr(backend, "_theano", lambda: THEANO)
    backend._with_more(wheel)
    files = contents(wheel)
    check_record(files)
    for name, content in THEANO.items():
        assert files.pop("sparse_ae-0.1.0.data/purelib/" + name) == content
    assert set(files) == set(OURS) | {RECORD, "sparse_ae_startup.pth"}
    assert "pip>=23.1" in backend.get_requires_for_build_wheel()
    if hasattr(backend.build_meta, "build_editable"):
        assert "pip>=23.1" in backend.get_requires_for_build_editable()


def test_theano_is_asked_for_by_its_hash_and_built_by_this_python(backend, monkeypatch):
    def run(command, env, stdout):
        assert command[:4] == [sys.executable, "-m", "pip", "wheel"] and "--require-hashes" in command
        folder = Path(command[command.index("--wheel-dir") + 1])
        asked = Path(command[command.index("-r") + 1]).read_text()
        assert asked.startswith("theano==1.0.5 --hash=sha256:") and len(asked.strip().rpartition(":")[2]) == 64
        assert "PYTHONWARNINGS" not in env and not any(name.startswith("_PYPROJECT_HOOKS_") for name in env)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c",
                               "import configparser as c, io; p = c.SafeConfigParser()\n"
                               "p.readfp(io.StringIO('[a]\\nb=c')); print(p.get('a', 'b'))"], env=env,
                              stdout=subprocess.PIPE, check=True)
        assert done.stdout.split() == [b"c"]
        with zipfile.ZipFile(str(folder / "theano.whl"), "w") as file:
            for name, content in dict(THEANO, **{"theano-1.0.5.dist-info/entry_points.txt": b"scripts"}).items():
                file.writestr(name, content)
        return types.SimpleNamespace(returncode=0)

    monkeypatch.setenv("_PYPROJECT_HOOKS_BUILD_BACKEND", "build_backend")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setattr(backend, "subprocess", types.SimpleNamespace(run=run))
    assert backend._theano() == THEANO


def test_without_a_network_the_error_says_what_to_do(backend, monkeypatch):
    failed = types.SimpleNamespace(returncode=1)
    monkeypatch.setattr(backend, "subprocess", types.SimpleNamespace(run=lambda *args, **kwargs: failed))
    with pytest.raises(SystemExit, match="Theano 1.0.5 .* could not be fetched .*PIP_FIND_LINKS=FOLDER"):
        backend._theano()


@pytest.mark.parametrize("name, version", [("Theano", "1.0.4"), ("theano", "1.0.4"), ("Theano-PyMC", "1.1.2")])
def test_a_theano_of_somebody_elses_is_refused(backend, monkeypatch, tmp_path, name, version):
    def add(name, version, record=None):
        folder = tmp_path / ("%s-%s.dist-info" % (name.replace("-", "_"), version))
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
        if record is not None:
            (folder / "RECORD").write_text(record)

    refused = pytest.raises(SystemExit, match="There is a %s %s in .* already.*pip uninstall %s, and"
                            % (name, version, name.lower()))
    monkeypatch.setattr(backend, "sysconfig", types.SimpleNamespace(get_path=lambda _: str(tmp_path)))
    (tmp_path / "theano-1.0.3.dist-info").mkdir()  # what an uninstallation left behind
    add("theano-lstm", "0.0.15")
    backend._refuse_another_theano()
    (tmp_path / "theano").mkdir()
    (tmp_path / "theano" / "__init__.py").write_text("")
    # A sparse_ae that brought none, and then one that did.
    add("sparse_ae", "0.1.0", "sparse_ae/__init__.py,,\n")
    backend._refuse_another_theano()
    add("Theano", "1.0.5")
    with pytest.raises(SystemExit, match="There is a Theano 1.0.5 in"):
        backend._refuse_another_theano()
    add("sparse_ae", "0.1.0", "sparse_ae/__init__.py,,\ntheano/__init__.py,,\n")
    backend._refuse_another_theano()
    add(name, version)
    with refused:
        backend._refuse_another_theano()
