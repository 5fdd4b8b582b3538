"""Thousands of damaged files, each batch in a process of its own that a crash or a hang ends; see `files`."""
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
OF_DATA = ["csv", "tsv", "dat", "gz", "table", "mtx", "npz", "csr", "csc", "coo", "bsr", "dia", "mat", "mat packed",
           "mat 4", "movielens", "wheel", "store", "sound store"]
OF_MODELS = ["model", "sound model", "checkpoint", "sound checkpoint"]


def run(program, *arguments):
    done = subprocess.run([sys.executable, str(FOLDER / program)] + list(map(str, arguments)), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_damaged_files_of_ratings():
    assert run("files.py", 0, 40, *OF_DATA).count("refused") == len(OF_DATA)


def test_damaged_files_of_hdf5():
    pytest.importorskip("h5py")
    assert "refused" in run("files.py", 0, 40, "mat 7.3")


def test_damaged_models_and_checkpoints():
    assert run("files.py", 0, 40, *OF_MODELS).count("refused") == len(OF_MODELS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OF_DATA + OF_MODELS)
def test_many_damaged_files(kind):
    run("files.py", 40, 540, kind)
