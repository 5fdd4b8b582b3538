"""The package as a whole: its rooms and what passes between them, its names, what it asks pip for, what it says."""
import ast
import base64
import doctest
import functools
import hashlib
import importlib
import importlib.metadata
import os
import re
import runpy
import sys
import types
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import programs
import pytest
from devices import ON_GPU, ON_OPENCL

import sparse_ae
from sparse_ae import moved, theano_compat
from sparse_ae.cli import info as info_module

ROOT = Path(__file__).resolve().parents[1]

# From the ground up: a room imports from lines above its own only. A room is a folder or a module of the top level;
# `sparse_ae` is the package's __init__.
ROOMS = """
    moved theano_compat
    sparse_ae
    checks kinds
    runtime
    ranks
    files
    data ops
    layers parameters updates
    training
    scoring
    contract
    model networks
    evaluation
    baselines
    validation
    trainer
    recommender
    cli
    __main__
"""
FLOORS = {room: floor for floor, line in enumerate(ROOMS.split("\n")) for room in line.split()}
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts).replace(".__init__", "")
                 for path in (ROOT / "sparse_ae").rglob("*.py"))


def room(module):
    return module.split(".")[1] if "." in module else module


# Their examples compile whole networks, some seconds each.
COMPILING = ["sparse_ae." + name for name in ("layers", "model", "networks", "networks.kinds")]
NEVER_THEANO = [module for module in MODULES if room(module) in ("checks", "files", "data", "evaluation")] + [
    "sparse_ae." + name for name in """
    ranks ranks.ranks runtime.interrupts runtime.progress
    training training.batch training.checkpoint training.run training.targets
    scoring scoring.ranking
    baselines baselines.biases baselines.ease
    baselines.factors baselines.lists
    recommender.defaults recommender.members recommender.search recommender.settings
""".split()]


def module_path(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.lru_cache(maxsize=None)
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    """What a file imports, at its top or within functions: modules, and ``module.name`` for each name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from ("%s.%s" % (node.module, alias.name) for alias in node.names)


def home(name):
    """The module of ours that an imported name is, or is of."""
    return name if name in MODULES else name.rpartition(".")[0]


@pytest.fixture
def setup_arguments(monkeypatch):
    """What setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    monkeypatch.chdir("/")
    runpy.run_path(str(ROOT / "setup.py"))
    return given


# Rooms


def test_every_room_is_written_down():
    assert {room(module) for module in MODULES} == set(FLOORS)


def ours(module):
    """The modules of ours that a module imports, at its top or within functions."""
    return {home(name) for name in imported(tree(module_path(module))) if name.partition(".")[0] == "sparse_ae"}


def test_rooms_import_one_way():
    assert not [(module, other) for module in MODULES for other in ours(module)
                if room(other) != room(module) and FLOORS[room(other)] >= FLOORS[room(module)]]


def test_no_modules_import_each_other_in_a_circle():
    """Not within a room either: modules that import none that is left can be taken away until none is left."""
    left = {module: ours(module) for module in MODULES}
    while left:
        free = [module for module, others in left.items() if not others & set(left)]
        assert free, "a circle among %s" % ", ".join(left)
        for module in free:
            del left[module]


def test_no_module_imports_a_private_name_of_ours():
    """Ruff finds those that are used as attributes."""
    assert not [(path, name) for folder in ("sparse_ae", "examples") for path in (ROOT / folder).rglob("*.py")
                for name in imported(tree(path)) if re.match(r"sparse_ae\..*\._(?!_)", name)]


def test_these_work_where_there_is_no_theano():
    """They don't import it within a function either."""
    for name in NEVER_THEANO:
        assert not {each.partition(".")[0] for each in imported(tree(module_path(name)))} & {"theano", "lasagne"}, name
    code = ("import importlib, sys, sparse_ae\n"
            "assert not {'scipy', 'distutils', 'setuptools', 'pkg_resources'} & set(sys.modules)\n"
            "sys.modules['theano'] = sys.modules['lasagne'] = None\n"
            # Modules are attributes before they are imported.
            "assert 'sparse_ae.evaluation.metrics' not in sys.modules\n"
            "assert {'evaluation', 'baselines'} <= set(dir(sparse_ae)) and '__main__' not in dir(sparse_ae)\n"
            "assert sparse_ae.evaluation.metrics.rmse is sparse_ae.rmse and sparse_ae.baselines.biases.fit_biases\n"
            "for name in %r: importlib.import_module(name)\n"
            "print(sum(name.partition('.')[0] in ('theano', 'lasagne') for name in sys.modules))" % NEVER_THEANO)
    assert programs.run("-W", "error", "-c", code) == ("2\n", "")


@pytest.mark.parametrize("module", [pytest.param(module, marks=pytest.mark.slow) if module in COMPILING else module
                                    for module in MODULES if ">>> " in module_path(module).read_text(encoding="utf-8")])
def test_examples_in_docstrings_run(module, monkeypatch, tmp_path):
    """Those that need a file or the net are marked to be skipped. Those of a recommender's methods go on with its own.
    """
    pytest.importorskip({"sparse_ae.data.ratings": "pandas", "sparse_ae.evaluation.plots": "matplotlib",
                         "sparse_ae.scoring.ranking": "pandas"}.get(module, "sparse_ae"))
    monkeypatch.chdir(tmp_path)
    if module == "sparse_ae.model" and ON_OPENCL:
        pytest.skip("the post's graph is a scan, for which Theano has no code for OpenCL")
    if room(module) in ("networks", "updates") and ON_GPU:
        pytest.skip("networks and sparse_adam run on the CPU")
    names = {}
    if room(module) in ("recommender", "scoring"):
        first, = doctest.DocTestFinder(recurse=False).find(sparse_ae.Recommender, "Recommender", globs=names)
        doctest.DocTestRunner().run(first, clear_globs=False)
        names = first.globs
    with np.printoptions():
        found = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert found.failed == 0 < found.attempted


# Names


def test_public_names_are_there_and_come_from_their_modules():
    for name, home in sparse_ae._HOMES.items():
        assert getattr(sparse_ae, name) is getattr(sys.modules["sparse_ae." + home], name)
        assert name in sparse_ae.__all__ and name in dir(sparse_ae) and home.partition(".")[0] in dir(sparse_ae)
    assert "rmse" not in vars(sparse_ae)
    everything = {}
    exec("from sparse_ae import *", everything)
    assert set(sparse_ae.__all__) <= set(everything)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sparse_ae' has no attribute 'autoencoder'"):
        sparse_ae.autoencoder  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'autoencoder' from 'sparse_ae'"):
        from sparse_ae import autoencoder  # noqa: F401


def test_types_are_told_of_the_names_that_are_loaded_when_they_are_asked_for():
    told = {}
    for node in ast.parse((ROOT / "sparse_ae" / "__init__.pyi").read_text()).body:
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            told[alias.asname] = getattr(importlib.import_module(node.module), alias.name)
    assert set(sparse_ae.__all__) <= set(told) | {"__version__"}
    assert all(getattr(sparse_ae, name) is value for name, value in told.items())


def test_old_modules_have_their_names_and_warn():
    for old, new in moved.MODULES.items():
        name = next(name for name, value in vars(importlib.import_module("sparse_ae." + new)).items()
                    if getattr(value, "__module__", "") == "sparse_ae." + new and not name.startswith("_"))
        module = importlib.import_module("sparse_ae." + old)
        with pytest.warns(FutureWarning, match=r"%s\.%s has moved to sparse_ae\.%s:" % (old, name, new)):
            assert getattr(module, name) is getattr(importlib.import_module("sparse_ae." + new), name)
        assert not hasattr(module, "no_such_name") and not hasattr(module, "__path__")
    with pytest.raises(ImportError, match="sparse_ae.no_such_module"):
        importlib.import_module("sparse_ae.no_such_module")


def test_new_names_of_the_upgrading_page_are_there():
    page = (ROOT / "docs" / "guide" / "upgrading.md").read_text(encoding="utf-8")
    columns = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ")]
    names = {name for column in columns for name in re.findall(r"`(sparse_ae(?:\.\w+)+)`", column)}
    assert len(names) > 25
    for name in names:
        home, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(home), attribute), name


# setup.py


def test_setup_takes_its_version_from_the_package(setup_arguments):
    assert setup_arguments["version"] == sparse_ae.__version__
    assert setup_arguments["python_requires"] == ">=3.8,<3.15"
    required = [each.partition(";")[0] for each in setup_arguments["install_requires"]]
    assert {"theano==1.0.5", "Lasagne>=0.1", "numpy>=1.17,<2.6"} <= set(required)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python lists its standard library since 3.10")
def test_setup_asks_for_all_that_is_imported(setup_arguments):
    wanted = {re.match("[A-Za-z_]+", each).group().lower() for each in setup_arguments["install_requires"]}
    optional = {re.match("[A-Za-z_0-9]+", each).group().lower()
                for each in setup_arguments["extras_require"]["examples"]}
    on_no_index = {"pygpu"}
    allowed = wanted | optional | on_no_index | {"sparse_ae"} | set(sys.stdlib_module_names)
    for module in MODULES:
        assert {name.partition(".")[0] for name in imported(tree(module_path(module)))} <= allowed, module


def test_setup_ships_every_file_of_the_package(setup_arguments):
    packages, package_data = setup_arguments["packages"], setup_arguments["package_data"]
    assert sorted(packages) == [name for name in MODULES if module_path(name).name == "__init__.py"]
    assert set(package_data) <= set(packages)
    shipped = {path for package in packages for pattern in package_data.get(package, []) + ["*.py"]
               for path in ROOT.joinpath(*package.split(".")).glob(pattern)}
    folder = ROOT / "sparse_ae"
    assert shipped == {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


# python -m sparse_ae


def test_the_command_line_says_what_a_bug_report_needs(tmp_path):
    said, errors = programs.run("-W", "error", "-m", "sparse_ae", "info", SPARSE_AE_DATA=str(tmp_path / "ratings"),
                                OMP_NUM_THREADS="1")
    *lines, last = said.splitlines()
    assert errors == ""
    facts = dict(line.split(": ", 1) for line in lines if not line.startswith("missing: "))
    assert facts["sparse_ae"] == sparse_ae.__version__
    assert facts["Theano"] == "1.0.5" and facts["numpy"] == np.__version__
    assert facts["Lasagne"] == importlib.metadata.version("Lasagne")  # 0.1, or its master
    assert facts["data cache"] == str(tmp_path / "ratings") and not (tmp_path / "ratings").exists()
    assert facts["OMP_NUM_THREADS"] == "1"
    for name in ("python", "scipy", "platform", "cores", "device", "floatX", "compiler", "OpenMP", "BLAS"):
        assert facts[name]
    assert last.startswith("missing: ") or last == "all required parts are there"


DEVICE, HEADERS = "sparse_ae.runtime.device.device_name", "sparse_ae.theano_compat.python_headers"
ANY = "sparse_ae.theano_compat.any_compiler"


@pytest.mark.parametrize("part, flag, here, said, missing", [
    ("device", "cpu", {}, "cpu", None),
    ("device", "cuda0", {DEVICE: "NVIDIA H100"}, "cuda0, in use: NVIDIA H100", None),
    ("device", "cuda0", {DEVICE: None, "sparse_ae.theano_compat.why_unused": "for a reason"},
     "cuda0, not usable: everything runs on the CPU", "the GPU: Theano cannot use device=cuda0: for a reason. "),
    ("compiler", "", {ANY: False}, "none", theano_compat.NO_COMPILER),
    ("compiler", "", {ANY: True, HEADERS: ("/nowhere", False)}, "none", "Python.h was not found in /nowhere"),
    ("compiler", "", {ANY: True, HEADERS: ("/somewhere", True)}, "switched off by Theano's flag cxx", None),
    ("openmp", "", {}, "not without a compiler", None),
    ("openmp", "clang++", {"theano.gof.OpenMPOp.test_gxx_support": False}, "no",
     "OpenMP, to use more than one core: clang++ does not compile with -fopenmp"),
])
def test_what_is_missing_comes_with_a_way_out(part, flag, here, said, missing, monkeypatch):
    for name, found in here.items():
        monkeypatch.setattr(name, lambda *_, found=found: found)
    told = []
    assert getattr(info_module, "_" + part)(flag, told) == said
    assert [each.startswith(missing or "-") for each in told] == [True] * bool(missing)


def test_without_scipy_and_theano_it_says_how_to_install_them(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", Mock(side_effect=importlib.metadata.PackageNotFoundError))
    monkeypatch.setitem(sys.modules, "theano", None)
    text = info_module.info()
    assert "scipy: not installed" in text and "pyarrow: not installed, optional" in text
    assert "missing: scipy: run pip install" in text
    assert "missing: a Theano that can be imported (ModuleNotFoundError: " in text


def test_the_citation_and_the_changelog_are_of_this_version():
    """One that isn't released has changes that no release has, and ends with .dev0."""
    changes, citation = ((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
    newest = re.search(r"^## \[?([\w.]+)\]?", changes, re.MULTILINE).group(1)
    assert "\nversion: %s\n" % sparse_ae.__version__ in citation
    assert (newest, "\ndate-released: " in citation) == (
        ("Unreleased", False) if sparse_ae.__version__.endswith(".dev0") else (sparse_ae.__version__, True))


# The build backend: what it puts into a wheel. The builds themselves need a network: .ci/run makes some


@pytest.fixture
def backend(monkeypatch):
    pytest.importorskip("setuptools")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("build_backend")


def test_setuptools_works_in_a_copy_of_the_sources(backend, monkeypatch):
    monkeypatch.chdir(ROOT)
    with backend._a_copy():
        assert os.getcwd() != str(ROOT) and sorted(os.listdir()) == sorted(backend.SOURCES)
    assert os.getcwd() == str(ROOT)


@pytest.mark.parametrize("brings", [False, True])
def test_the_wheel_has_one_line_more_and_theano_where_pip_cannot_install_it(backend, tmp_path, monkeypatch, brings):
    wheel, record = tmp_path / "sparse_ae-0.1.0-py3-none-any.whl", "sparse_ae-0.1.0.dist-info/RECORD"
    with zipfile.ZipFile(str(wheel), "w") as file:
        file.writestr("sparse_ae/__init__.py", b"ours")
        file.writestr(record, "%s\n%s,,\n" % (backend._recorded("sparse_ae/__init__.py", b"ours"), record))
    monkeypatch.setattr(backend, "BRINGS_THEANO", brings)
    monkeypatch.setattr(backend, "_refuse_another_theano", lambda: None)
    monkeypatch.setattr(backend, "_theano", lambda: {"theano/__init__.py": b"theirs"})
    assert backend._with_more(wheel) == wheel.name and [path.name for path in tmp_path.iterdir()] == [wheel.name]
    with zipfile.ZipFile(str(wheel)) as file:
        files = {name: file.read(name) for name in file.namelist()}
    recorded = dict(line.split(",", 1) for line in files[record].decode().splitlines())
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        assert recorded.pop(name) == ("," if name == record else "sha256=%s,%d" % (digest, len(content)))
    assert not recorded and files.pop("sparse_ae_startup.pth") == b"import sparse_ae_startup\n"
    assert files.pop("sparse_ae-0.1.0.data/purelib/theano/__init__.py", None) == (b"theirs" if brings else None)
    assert set(files) == {"sparse_ae/__init__.py", record}


def test_without_a_network_the_error_says_what_to_do(backend, monkeypatch):
    failed = types.SimpleNamespace(returncode=1)
    monkeypatch.setattr(backend, "subprocess", types.SimpleNamespace(run=lambda *args, **kwargs: failed))
    with pytest.raises(SystemExit, match="Theano 1.0.5 .* could not be fetched .*PIP_FIND_LINKS=FOLDER"):
        backend._theano()


@pytest.mark.parametrize("name, version", [("Theano", "1.0.4"), ("Theano-PyMC", "1.1.2")])
def test_a_theano_of_somebody_elses_is_refused(backend, monkeypatch, tmp_path, name, version):
    add = functools.partial(programs.add_distribution, tmp_path)
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
