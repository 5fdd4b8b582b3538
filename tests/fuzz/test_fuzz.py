"""Damaged files, random inputs to Ops and wrong arguments, each batch in a process that a crash or a hang ends."""
import re
import subprocess
import sys
from pathlib import Path

import against
import numpy as np
import pytest
import shares
from devices import environment

FOLDER = Path(__file__).resolve().parent
OF_DATA = ["csv", "tsv", "dat", "gz", "lines", "lists", "mtx", "npz", "sound npz",
           "jsonl", "json", "bz2", "xz", "zip", "movielens", "lzma", "store", "sound store", "large store"]
OF_MODELS = ["model", "sound model", "sound network", "checkpoint", "sound checkpoint"]

# Seeds of the quick tests, of the nightly ones, and what comes of at least one.
PROGRAMS = {"forms.py": ((0, 100), (100, 2150), "read when told"),
            "ops.py": ((0, 20, "float32"), (20, 5150), "taken"),
            "arguments.py": ((0, 30), (30, 5000), "there and back")}


def run(program, *arguments):
    """What a program prints, on the CPU, which compiles hundreds of graphs sooner than a GPU."""
    done = subprocess.run([sys.executable, str(FOLDER / program)] + list(map(str, arguments)), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=3000, env=environment("device=cpu"))
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("nightly", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("program", PROGRAMS)
def test_random_cases(program, nightly):
    *seeds, said = PROGRAMS[program]
    assert re.search("[1-9] " + said, run(program, *seeds[nightly]))


@pytest.mark.parametrize("kinds, n", [(OF_DATA, 8), (OF_MODELS, 2)], ids=["data", "models"])
def test_damaged_files(kinds, n):
    assert len(run("files.py", 0, n, *kinds).splitlines()) == len(kinds)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", OF_DATA + OF_MODELS)
def test_many_damaged_files(kind):
    run("files.py", 2, 520, kind)


@pytest.mark.nightly
def test_ops_under_sanitizers():
    run("sanitize.py")


# Beside another version


def outcome(error="", left=(), **found):
    return against.Outcome("", error, found, list(left))


@pytest.mark.parametrize("old, new, kind", [
    (outcome(x=1.0), outcome(x=1.0), "same"),
    (outcome(x=[np.ones(3)]), outcome(x=[np.ones(3) + 1e-3]), "differs"),
    (outcome(x=np.ones(3)), outcome(x=np.ones(3, "float32")), "differs"),
    (outcome(x=1), outcome("ValueError: no"), "newly refused"),
    (outcome("ValueError: no"), outcome("ValueError: no"), "refused by both"),
    (outcome("ValueError: no"), outcome("TypeError: no"), "in other words"),
    (outcome("ValueError: no"), outcome("IndexError: 3"), "another error"),
    (outcome("ValueError: no"), outcome(x=1), "newly read"),
    (outcome(x=1), outcome(x=1, left=["folder"]), "left behind"),
])
def test_two_versions_are_compared(old, new, kind):
    assert against.compare(old, new)[0] == kind


def test_a_family_of_cases_that_is_nearly_always_refused_is_told():
    counts = {"odd": {"taken": 1, "refused": 39}, "even": {"taken": 30, "refused": 10}, "rare": {"refused": 3}}
    lines, too_many = shares.table(counts, "refused")
    assert lines[1] == "odd: 1 taken, 39 refused; 97% refused"
    assert too_many == ["odd: 97% of 40 cases are refused; at most 60% may be, by default"]
    assert not shares.table(counts, "refused", reasons={"odd": (1, "by intention")})[1]
