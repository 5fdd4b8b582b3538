"""Compares the library with that of another commit, over random inputs: ``python tests/fuzz/against.py COMMIT``.

The commit comes from this repository's history, such as main or a release. Each version has a process of its own, in
which the cases of `against_cases` run one after another, with the same seeds: the other's for half of the time, then as
many of today's. A difference ends in status 1, and is printed with the seed: ``--only FAMILY --seed SEED --seconds 0``
runs that case alone. What is the same for each call of the API is the matter of `tests/sameness.py`.
"""
import argparse
import faulthandler
import io
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shares

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent))  # behind the version that a worker runs
from alike import differences  # noqa: E402

#: Seconds after which a case hangs.
HANGS = 300
#: More of a family's cases than usual may be refused.
REASONS = {"damaged texts": (0.9, "since damage is there to be refused")}


class Outcome(NamedTuple):
    """What became of a case in one version."""

    said: str  # the case in words
    error: str  # "" or "ValueError: ..."
    found: dict
    left: list  # settings of the process that aren't what they were
    none: bool = False  # the seed gave no case

    @property
    def is_refused(self):
        """Whether an error explains why the input isn't taken."""
        return self.error.startswith(REFUSALS)


REFUSALS = "ValueError:", "TypeError:", "OSError:", "FileNotFoundError:", "MemoryError:", "TrainingDiverged:"


# A worker: one version, case after case


def work(family, first, last, seconds, folder):
    """Run the cases of seeds from `first` to before `last`, or for some seconds, and pickle an `Outcome` of each."""
    answers, sys.stdout, end = os.fdopen(os.dup(1), "wb"), sys.stderr, time.monotonic() + seconds
    os.dup2(2, 1)
    import sparse_ae
    assert Path(sparse_ae.__file__).parents[1] == Path(os.environ["PYTHONPATH"]), sparse_ae.__file__
    import against_cases
    for seed in range(first, last):
        words, place = [], Path(folder, str(seed))
        place.mkdir(exist_ok=True)
        against_cases.say = words.append
        faulthandler.dump_traceback_later(HANGS, exit=True)
        before, error, found = against_cases.settings_of_process(), "", {}
        try:
            found = against_cases.FAMILIES[family](np.random.RandomState(seed), place)
        except Exception as raised:
            error = ("%s: %s" % (type(raised).__name__, raised)).replace(str(place), "FOLDER")
        after = against_cases.settings_of_process()
        faulthandler.cancel_dump_traceback_later()
        left = [name for name in before if before[name] != after.get(name)]
        said = "\n".join(dict.fromkeys(words))
        pickle.dump(tuple(Outcome(said, error, found or {}, left, found is None)), answers, protocol=4)
        answers.flush()
        if time.monotonic() > end:
            break


def outcomes(source, folder, family, first, last, seconds):
    """What became of the cases in a version, in a process of its own; where that dies, another one goes on."""
    found, end = [], time.monotonic() + seconds
    environment = dict(os.environ, PYTHONPATH=str(source), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    while first + len(found) < last and (not found or time.monotonic() < end):
        asked = family, first + len(found), last, max(0.0, end - time.monotonic()), folder
        done = subprocess.run([sys.executable, str(HERE / "against.py"), "--worker", *map(str, asked)],
                              cwd=str(folder), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        answers = io.BytesIO(done.stdout)
        while answers.tell() < len(done.stdout):
            found.append(Outcome(*pickle.load(answers)))
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace")[-3000:]
            found.append(Outcome("", "died with status %d: %s" % (done.returncode, said), {}, []))
    return found


# Comparing


def compare(old, new):
    """(kind, what differs): of two outcomes."""
    if new.left:
        return "left behind", [", ".join(new.left)]
    if old.error or new.error:
        if new.error and not new.is_refused:
            return ("the same error" if old.error == new.error else "another error"), [new.error]
        if old.error and new.error:
            return ("refused by both" if old.error == new.error else "in other words"), [new.error]
        if new.error:
            return "newly refused", [new.error]
        return "newly read", [old.error, str(new.found)]
    found = differences(old.found, new.found, 0)
    return ("differs" if found else "same"), found


#: Kinds that are no difference.
FINE = {"same", "refused by both", "in other words"}


# The run


def source_of(commit, folder):
    """Unpack a commit's library from the repository's history."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "sparse_ae"], stdout=subprocess.PIPE)
    if archive.returncode:
        raise SystemExit("expected a checkout with its history, and a commit of it; %s was given" % commit)
    subprocess.run(["tar", "-xf", "-", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def run_family(family, seconds, seed, sources, report):
    """Counts of kinds, over the seeds that take so long."""
    counts, last, both = Counter(), sys.maxsize, []
    with tempfile.TemporaryDirectory() as folder:
        for k, source in enumerate(sources):
            place = Path(folder, str(k))
            place.mkdir()
            both.append(outcomes(source, place, family, seed, last, HANGS * 10 if k else seconds / 2))
            last = seed + len(both[0])
    assert len(both[0]) == len(both[1]), "today's version answered %d of %d" % (len(both[1]), len(both[0]))
    for k, (old, new) in enumerate(zip(*both)):
        if not new.none:
            kind, found = compare(old, new)
            counts[kind] += 1
            if kind not in FINE:
                report(family, seed + k, kind, old, new, found)
    return counts


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default="HEAD")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first; those after it follow")
    parser.add_argument("--only", metavar="FAMILY")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.worker:
        family, first, last, seconds, folder = parsed.worker
        work(family, int(first), int(last), float(seconds), folder)
        return 0
    import against_cases
    families = [name for name in against_cases.FAMILIES if parsed.only in (None, name)]
    if not families:
        parser.error("expected one of %s" % ", ".join(against_cases.FAMILIES))
    failures = []

    def report(family, seed, kind, old, new, found):
        failures.append(family)
        if failures.count(family) <= 5:  # the first ones tell
            words = "\n  ".join([new.said or old.said] + found[:5])
            print("%s, seed %d: %s\n  %.3000s" % (family, seed, kind, words))
            if old.error:
                print("  %s: %.500s" % (parsed.commit, old.error))

    with tempfile.TemporaryDirectory(prefix="sparse_ae-against-") as folder:
        sources = source_of(parsed.commit, Path(folder)), ROOT
        counted = {name: run_family(name, parsed.seconds / len(families), parsed.seed, sources, report)
                   for name in families}
    lines, too_many = shares.table(counted, "refused by both", reasons=REASONS)
    print("\n".join(lines + too_many))
    return 1 if failures + too_many else 0


if __name__ == "__main__":
    sys.exit(main())
