"""Damaged files, random inputs to Ops and wrong arguments, each batch in a process that a crash or a hang ends."""
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
OF_DATA = ["csv", "tsv", "dat", "gz", "table", "lines", "lists", "mtx", "npz", "sound npz", "mat", "mat packed",
           "mat 4", "dense mat", "movielens", "lzma", "store", "sound store", "large store"]
OF_HDF5 = ["mat 7.3", "dense mat 7.3"]
OF_MODELS = ["model", "sound model", "sound network", "checkpoint", "sound checkpoint"]

# Seeds of the quick tests, of the nightly ones, and what is printed.
PROGRAMS = {"forms.py": ((0, 150), (150, 2150), "refused"),
            "ops.py": ((0, 90, "float32"), (90, 5150), "taken"),
            "arguments.py": ((0, 240), (240, 5000), "there and back")}


def run(program, *arguments):
    done = subprocess.run([sys.executable, str(FOLDER / program)] + list(map(str, arguments)), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_seeds(program, nightly):
    *seeds, said = PROGRAMS[program]
    out = run(program, *seeds[nightly])
    assert said in out and " 0 there" not in out


@pytest.mark.parametrize("program", PROGRAMS)
def test_random_cases(program):
    run_seeds(program, False)


@pytest.mark.nightly
@pytest.mark.parametrize("program", PROGRAMS)
def test_many_random_cases(program):
    run_seeds(program, True)


@pytest.mark.parametrize("kinds, n", [(OF_DATA, 24), (OF_MODELS, 12), (OF_HDF5, 20)], ids=["data", "models", "hdf5"])
def test_damaged_files(kinds, n):
    if kinds == OF_HDF5:
        pytest.importorskip("h5py")
    assert run("files.py", 0, n, *kinds).count("refused") == len(kinds)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", OF_DATA + OF_MODELS)
def test_many_damaged_files(kind):
    run("files.py", 8, 520, kind)


@pytest.mark.nightly
def test_ops_under_sanitizers():
    run("sanitize.py")
