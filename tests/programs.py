"""Programs in processes of their own; and the examples of this repository as modules, for tests that look into them."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from limits import HANGS

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
BENCHMARKS = EXAMPLES / "benchmarks"
TESTS = Path(__file__).resolve().parent
#: A path of Python's on which the tests and what they share are, too.
WITH_TESTS = os.pathsep.join(filter(None, [str(TESTS), str(TESTS / "ops"), os.environ.get("PYTHONPATH")]))
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))  # as where they are run, for the modules that they share


def run(*arguments, **environment):
    """(what a Python of its own prints, what it says on stderr), by these arguments; it has to end well, and to end."""
    done = subprocess.run([sys.executable, *map(str, arguments)], env=dict(os.environ, **environment), cwd=str(ROOT),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


def add_distribution(folder, name, version, record=""):
    """Have a folder of Python's say that a distribution is installed there."""
    info = folder / ("%s-%s.dist-info" % (name.replace("-", "_"), version))
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
    (info / "RECORD").write_text(record)


def module_of(path):
    """A module of its own each time, so that a test may change it."""
    spec = importlib.util.spec_from_file_location("example_" + path.stem, str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name):
    """``NAME.py`` of the examples or the benchmarks, as a module."""
    return module_of(next(path for path in (EXAMPLES / (name + ".py"), BENCHMARKS / (name + ".py")) if path.exists()))
