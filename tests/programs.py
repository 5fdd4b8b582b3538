"""The examples of this repository as modules, for tests that look into them."""
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
BENCHMARKS = EXAMPLES / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))  # as where they are run, for the modules that they share


def load(name):
    """A module of its own each time, so that a test may change it: ``NAME.py`` of the examples or the benchmarks."""
    path = next(path for path in (EXAMPLES / (name + ".py"), BENCHMARKS / (name + ".py")) if path.exists())
    spec = importlib.util.spec_from_file_location("example_" + name, str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
