"""Runs Theano's own tests and Lasagne's on the Python and NumPy at hand, and compares two such runs.

    python tests/compat/upstream.py run now.json --lasagne FOLDER
    python tests/compat/upstream.py compare before.json now.json

No part of the suite: it takes an hour and more, and what it runs is not this project's. Theano's tests are in the
installed package, as in its sdist; Lasagne's are in its repository only (git clone --branch v0.1
https://github.com/Lasagne/Lasagne). ``pip install pytest parameterized mock`` first. Each file runs in a process of its
own, so that one that ends it ends no other. ``THEANO_FLAGS=cxx=`` runs what runs in Python, in minutes.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Of theano: gradient, subtensor, sparse, complex, casting, elemwise, tensor basic, scan.
THEANO = """
    tests/test_gradient.py tensor/tests/test_subtensor.py sparse/tests/test_basic.py sparse/tests/test_opt.py
    sparse/tests/test_sp2.py sparse/tests/test_type.py sparse/tests/test_utils.py tensor/tests/test_complex.py
    tensor/tests/test_casting.py tensor/tests/test_elemwise.py tensor/tests/test_inc_subtensor.py
    tensor/tests/test_extra_ops.py tensor/tests/test_keepdims.py tensor/tests/test_sort.py tensor/tests/test_blas.py
    scalar/tests/test_basic.py scan_module/tests/test_scan.py tensor/tests/test_basic.py
""".split()

SECONDS = 7200  # for each file

# A plugin of pytest's: the mends, of nose what these tests import, and a file of outcomes. nose itself runs on no
# Python from 3.10 on.
PLUGIN = '''
import inspect, json, os, sys, types, unittest
import numpy.testing, pytest
from sparse_ae.theano_compat import mends, numpy2, promotion, stand_ins

def module(name, **values):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(values)

def raises(*errors):
    def decorate(function):
        import functools
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with pytest.raises(errors):
                function(*args, **kwargs)
        return wrapped
    return decorate

case = unittest.TestCase()
module("nose", __path__=[])
module("nose.plugins", __path__=[])
module("nose.plugins.skip", SkipTest=unittest.SkipTest)
module("nose.plugins.attrib", attr=lambda *args, **kwargs: lambda function: function)
module("nose.tools", assert_raises=case.assertRaises, assert_true=case.assertTrue, assert_equal=case.assertEqual,
       assert_equals=case.assertEqual, raises=raises)
sys.modules["nose"].tools = sys.modules["nose.tools"]

# NumPy 1.25 dropped it.
numpy.testing.dec = types.SimpleNamespace(
    slow=lambda function: function,
    skipif=lambda condition, msg="": pytest.mark.skipif(condition, reason=msg or "skipif"),
    knownfailureif=lambda condition, msg="": pytest.mark.xfail(condition, reason=msg or "known"))

# What the tests themselves still look up in NumPy, they alone get.
dropped = dict(numpy2._dropped_names(), **mends._NAMES_NUMPY_DROPPED)
dropped["MAXDIMS"] = 64 if numpy2._NUMPY_2 else 32
dropped["find_common_type"] = lambda arrays, scalars: numpy.result_type(
    *arrays, *[each for each in scalars if all(array.kind in "biu" for array in arrays)])
dropped.update(asarray=promotion._as_numpy_1_did(numpy.asarray), array=promotion._as_numpy_1_did(numpy.array))

@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    """A test that yields others, as nose took them: one test of all."""
    if name.startswith("test") and inspect.isgeneratorfunction(obj):
        of_class = isinstance(collector, pytest.Class)

        def run_all():
            for function, *arguments in obj(*[collector.obj()] * of_class):
                function(*arguments)

        run_all = staticmethod(run_all) if of_class else run_all
        return pytest.Function.from_parent(collector, name=name, callobj=run_all)

def pytest_collection_modifyitems(items):
    for name in {item.module.__name__ for item in items}:
        if isinstance(getattr(sys.modules[name], "np", None), types.ModuleType):
            stand_ins.give_numpy_of_its_own(sys.modules[name], **dropped)

def keep(name, report):
    """Each at once: what ends the process, or takes too long, must not take with it what came before."""
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json.dumps([name, [report.outcome, str(report.longrepr)[-2000:] if report.failed else ""]]) + "\\n")

def pytest_runtest_logreport(report):
    if report.failed or report.when == "call" or report.when == "setup" and report.skipped:
        keep(report.nodeid.split("::", 1)[-1], report)

def pytest_collectreport(report):
    if report.failed:
        keep("collection of " + report.nodeid.rpartition("/")[2], report)
'''


def run(files):
    """Outcomes by file and test: 'passed', 'failed' or 'skipped', and what failed; a file that ended has one more."""
    outcomes = {}
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "upstream_plugin.py").write_text(PLUGIN)
        Path(scratch, "pytest.ini").write_text("[pytest]\n")
        root = str(Path(__file__).resolve().parents[2])
        environment = dict(os.environ, OUTCOMES=str(Path(scratch, "outcomes")))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [scratch, root, os.environ.get("PYTHONPATH")]))
        for name, path in files:
            Path(scratch, "outcomes").write_text("")
            command = [sys.executable, "-m", "pytest", "-q", "-p", "upstream_plugin", "-p", "no:cacheprovider", "-c",
                       str(Path(scratch, "pytest.ini")), "-W", "ignore", str(path)]
            try:
                status = subprocess.run(command, env=environment, cwd=scratch, timeout=SECONDS,
                                        stdout=subprocess.DEVNULL).returncode
            except subprocess.TimeoutExpired:
                status = "no end after %d s" % SECONDS
            outcomes[name] = dict(map(json.loads, Path(scratch, "outcomes").read_text().splitlines()))
            if status not in (0, 1, 2, 5):
                outcomes[name]["the process"] = ["failed", "ended with %s" % status]
            print(name, counts(outcomes[name]), flush=True)
    return outcomes


def counts(outcomes):
    return dict(collections.Counter(outcome for outcome, _ in outcomes.values()))


def theano_files():
    import importlib.util
    [folder] = importlib.util.find_spec("theano").submodule_search_locations
    return [("theano/" + name, Path(folder, *name.split("/"))) for name in THEANO]


def lasagne_files(checkout, scratch):
    """Its tests, copied: in the checkout they would import the lasagne beside them."""
    shutil.copytree(str(Path(checkout, "lasagne", "tests")), str(Path(scratch, "lasagne_tests")))
    paths = sorted(Path(scratch, "lasagne_tests").rglob("test_*.py"))
    return [("lasagne/" + path.relative_to(scratch).as_posix(), path) for path in paths]


def compare(before, now):
    """Print counts, and what fails or isn't run now though it didn't fail before; whether there is none."""
    found = 0
    for name, outcomes in before.items():
        current = now.get(name, {})
        print("%-45s before %s, now %s" % (name, counts(outcomes), counts(current)))
        for test in sorted(set(outcomes) | set(current)):
            then, (outcome, error) = outcomes.get(test, ["", ""])[0], current.get(test, ["not run", ""])
            # A process that ended, or a collection that failed, hides what would have been.
            if then != "failed" and (outcome == "failed" or then == "passed" and outcome != "passed"):
                found += 1
                lines = [line for line in error.splitlines() if line.startswith("E ")] or error.splitlines()
                print("    %s: %s\n        %s" % (test, outcome, "\n        ".join(lines[-3:])))
    print("\n%d fail or are not run now that did not fail before" % found)
    return not found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("outcomes", type=Path, help="the file to write")
    runs.add_argument("--lasagne", type=Path, help="a checkout of Lasagne")
    compares = commands.add_parser("compare")
    compares.add_argument("before", type=Path)
    compares.add_argument("now", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "compare":
        sys.exit(not compare(*(json.loads(path.read_text()) for path in (arguments.before, arguments.now))))
    with tempfile.TemporaryDirectory() as scratch:
        files = theano_files()
        if arguments.lasagne:
            files += lasagne_files(arguments.lasagne, scratch)
        arguments.outcomes.write_text(json.dumps(run(files)))


if __name__ == "__main__":
    main()
