"""The examples of this repository as modules, for tests that look into them."""
import importlib.util
import sys
from pathlib import Path

__all__ = ["EXAMPLES", "ROOT", "load"]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
if str(EXAMPLES) not in sys.path:
    sys.path.append(str(EXAMPLES))  # as where they are run, for what they share


def load(name):
    """A module of its own each time, so that a test may change it: ``examples/NAME.py``."""
    spec = importlib.util.spec_from_file_location("example_" + name, str(EXAMPLES / (name + ".py")))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
