"""The build backend: setuptools', in a copy of the sources, and with two things more in the wheel.

setuptools writes to the folder that it builds in, and takes what an earlier build left there into the wheel. So a
checkout of somebody else's, which can't be written to, can be installed from, and one that modules have left.

On every Python a line for Python's start, by which ``import theano`` and ``import lasagne`` find their mends without an
``import sparse_ae`` before them (see sparse_ae_startup.py).

From Python 3.12 on, where Theano's own setup.py fails, Theano: what a wheel of the unmodified Theano 1.0.5 would
install, its files, its metadata and its licence. pip fetches that source from the package index, checks its hash and
builds it.
"""

import base64
import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the hooks that stay what they are)

BRINGS_THEANO = sys.version_info >= (3, 12)
THEANO = "theano==1.0.5 --hash=sha256:6e9439dd53ba995fcae27bf20626074bfc2fff446899dc5c53cb28c1f9202e89\n"
# Python runs it before the build of Theano, whose setup.py imports versioneer.py, which uses names of configparser that
# were deprecated in Python 3.2 and left in 3.12.
SITECUSTOMIZE = """
import configparser
configparser.SafeConfigParser = type(
    "SafeConfigParser", (configparser.ConfigParser,), {"readfp": configparser.ConfigParser.read_file})
"""
STARTUP = "import sparse_ae_startup\n"
# All that setup.py reads and installs.
SOURCES = ("LICENSE", "MANIFEST.in", "README.md", "build_backend.py", "pyproject.toml", "setup.py", "sparse_ae",
           "sparse_ae_startup.py")


def get_requires_for_build_wheel(config_settings=None):
    with _a_copy():
        return build_meta.get_requires_for_build_wheel(config_settings) + _requires()


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with _a_copy():
        return build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with _a_copy():
        name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return _with_more(Path(wheel_directory, name))


if hasattr(build_meta, "build_editable"):  # since setuptools 64; without it pip has another way
    def get_requires_for_build_editable(config_settings=None):
        return build_meta.get_requires_for_build_editable(config_settings) + _requires()

    def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
        name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
        return _with_more(Path(wheel_directory, name))


@contextlib.contextmanager
def _a_copy():
    """The working folder is a copy of the sources, which is gone in the end."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        for source in (Path(before, name) for name in SOURCES):
            if source.is_dir():
                shutil.copytree(str(source), str(Path(folder, source.name)),
                                ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copyfile(str(source), str(Path(folder, source.name)))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _requires():
    return ["pip>=23.1"] if BRINGS_THEANO else []


def _with_more(wheel):
    """Adds the line and the files to a wheel; its name."""
    with zipfile.ZipFile(str(wheel)) as file:
        files = {name: file.read(name) for name in file.namelist()}
    [record] = [name for name in files if name.endswith(".dist-info/RECORD")]
    more = {"sparse_ae_startup.pth": STARTUP.encode()}
    if BRINGS_THEANO:
        _refuse_another_theano()
        # Beside sparse_ae, though a wheel's own files may be of one distribution only.
        folder = record.replace(".dist-info/RECORD", ".data/purelib/")
        more.update((folder + name, content) for name, content in _theano().items())
    lines = [files.pop(record).decode().rstrip("\n")] + [_recorded(name, content) for name, content in more.items()]
    files.update(more, **{record: ("\n".join(lines) + "\n").encode()})
    unfinished = wheel.with_suffix(".unfinished")
    with zipfile.ZipFile(str(unfinished), "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    unfinished.replace(wheel)
    return wheel.name


def _recorded(name, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return "%s,sha256=%s,%d" % (name, digest, len(content))


def _refuse_another_theano():
    """pip installs over another's files without a word. So a Theano that sparse_ae didn't bring is not built over."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    # A folder that an uninstallation left behind has no metadata.
    there = [(each.metadata["Name"].lower().replace("-", "_"), each)
             for each in importlib.metadata.distributions(path=folders) if each.metadata and each.metadata["Name"]]
    ours = [str(path) for name, each in there if name == "sparse_ae" for path in each.files or []]
    for name, each in there:
        is_ours = "theano/__init__.py" in ours and (name, each.version) == ("theano", "1.0.5")
        if name in ("theano", "theano_pymc") and not is_ours:  # PyMC's fork is a package `theano` too
            name = each.metadata["Name"]
            raise SystemExit(
                "There is a %s %s in %s already. From Python 3.12 on sparse_ae brings the unmodified Theano 1.0.5 "
                "along, and does not overwrite another: pip uninstall %s, and then install sparse_ae again, or install "
                "it into an environment of its own." % (name, each.version, folders[0], name.lower()))


def _theano():
    """The files of a wheel of Theano, by name, but for its scripts: setup.py declares the one that is of use."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "theano.txt").write_text(THEANO)
        Path(scratch, "sitecustomize.py").write_text(SITECUSTOMIZE)
        # What the outer pip tells this backend is not for the inner one. Nor is what turns warnings into errors:
        # Theano's setup.py warns.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("_PYPROJECT_HOOKS_") and name != "PYTHONWARNINGS"}
        environment["PYTHONPATH"] = os.pathsep.join([scratch] + [folder for folder in sys.path if folder])
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--use-pep517",
                   "--no-binary", "theano", "--require-hashes", "-r", str(Path(scratch, "theano.txt")),
                   "--wheel-dir", scratch, "--no-cache-dir", "--disable-pip-version-check"]
        if subprocess.run(command, env=environment, stdout=sys.stderr).returncode:
            raise SystemExit(
                "sparse_ae brings Theano 1.0.5 along, and its source could not be fetched from the package index, or "
                "not be built: see above. This step goes by pip's configuration and environment (PIP_INDEX_URL, "
                "PIP_PROXY and so on), not by pip's command line. Without a network: PIP_NO_INDEX=1 "
                "PIP_FIND_LINKS=FOLDER, with a folder that holds Theano-1.0.5.tar.gz.")
        [wheel] = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(str(wheel)) as file:
            return {name: file.read(name) for name in file.namelist()
                    if not name.endswith(("/", ".dist-info/entry_points.txt"))}
