"""Runs tests that others wrote, Theano's own among them, with the Theano and NumPy that are installed here.

    python tests/old_code.py                                        # Theano's own, all: hours
    python tests/old_code.py theano/gof theano/scan_module --cxx=   # of two packages, without a compiler
    python tests/old_code.py Lasagne-0.1/lasagne/tests --old-names  # those of a folder

It needs `pip install parameterized`; a few names stand in for nose, which runs on no Python from 3.10 on. Each file has
a process of its own. docs/guide/old-code.md has what came out.
"""
import argparse
import os
import re
import subprocess
import sys
import types
import unittest
from collections import Counter
from importlib.util import find_spec
from pathlib import Path


def pretend_nose():
    """Put modules with nose's names into `sys.modules`, and nose's decorators into NumPy, which dropped them."""
    case = unittest.TestCase()
    tools = {re.sub("([A-Z])", r"_\1", name).lower(): getattr(case, name) for name in dir(case)
             if name.startswith("assert")}
    names = {"nose": {}, "nose.plugins": {}, "nose.plugins.skip": {"SkipTest": unittest.SkipTest},
             "nose.plugins.attrib": {"attr": lambda *args, **kwargs: lambda test: test},
             "nose.tools": dict(tools, raises=raises)}
    for name, has in names.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(has)
    import numpy
    import pytest
    vars(numpy.testing).setdefault("dec", types.SimpleNamespace(
        skipif=lambda condition, reason: pytest.mark.skipif(condition, reason=reason)))


def raises(*errors):
    """nose's decorator: a test that passes if it raises one of these."""
    def decorated(test):
        def run(*args, **kwargs):
            with unittest.TestCase().assertRaises(errors):
                test(*args, **kwargs)
        run.__name__ = test.__name__
        return run
    return decorated


def files_of(place):
    """The test files of a folder, of one file, or of a package's folder, such as theano/gof."""
    path = Path(place)
    if not path.exists():
        package, _, rest = place.partition("/")
        path = Path(find_spec(package).submodule_search_locations[0]) / rest
    return sorted(path.rglob("test_*.py")) if path.is_dir() else [path]


def run(path, seconds, old_names):
    """How many tests of a file passed, failed and so on, and the lines about those that failed."""
    setup = "import sparse_ae.theano_compat as compat; %s; import old_code; old_code.pretend_nose(); " % (
        "compat.old_names()" if old_names else "None")
    command = [sys.executable, "-c", setup + "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))",
               "-q", "-rfE", "--tb=line", "-p", "no:warnings", "-c", os.devnull, "-p", "no:cacheprovider", str(path)]
    places = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = dict(os.environ, COLUMNS="200", PYTHONPATH=os.pathsep.join(filter(None, places)))
    try:
        said = subprocess.run(command, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds).stdout.decode()
    except subprocess.TimeoutExpired:
        return Counter(unfinished=1), []
    counts = Counter({kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)",
                                                             said.strip().rpartition("\n")[2])})
    return counts or Counter(crashed=1), re.findall("(?m)^(?:FAILED|ERROR) .*", said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("places", nargs="*", default=["theano"], help="files, folders, or packages such as theano/gof")
    parser.add_argument("--cxx", help="Theano's flag: '' for no compiler")
    parser.add_argument("--old-names", action="store_true", help="call theano_compat.old_names() first")
    parser.add_argument("--seconds", type=float, default=1800, help="the most for one file")
    args = parser.parse_args()
    if args.cxx is not None:
        os.environ["THEANO_FLAGS"] = "%s,cxx=%s" % (os.environ.get("THEANO_FLAGS", ""), args.cxx)
    total = Counter()
    for path in (path for place in args.places for path in files_of(place)):
        counts, lines = run(path, args.seconds, args.old_names)
        total.update(counts)
        print("%-50s %s" % ("/".join(path.parts[-4:]), dict(counts)), *lines, sep="\n    ", flush=True)
    print("all", dict(total))
