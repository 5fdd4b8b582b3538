"""Compares the library with another commit's: ``python tests/fuzz/against.py COMMIT FIRST_SEED LAST_SEED``.

The commit, such as main or a release, comes from this repository's history. Each version has a process of its own, in
which the cases of `against_cases` run with the same seeds. A difference ends in status 1, and is printed with its seed.
What is the same for each call of the API is the matter of `tests/sameness.py`.
"""
import faulthandler
import os
import pickle
import subprocess
import sys
import tempfile
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
#: Errors that explain why the input isn't taken.
REFUSALS = "ValueError:", "TypeError:", "OSError:", "FileNotFoundError:", "MemoryError:"
#: Kinds that are no difference.
FINE = {"same", "refused by both", "in other words"}


class Outcome(NamedTuple):
    """What became of a case in one version."""

    said: str  # the case in words
    error: str  # "" or "ValueError: ..."
    found: dict
    left: list  # settings of the process that aren't what they were
    none: bool = False  # the seed gave no case


def work(first, last, folder):
    """Pickle an `Outcome` of each seed, by family."""
    import sparse_ae
    assert Path(sparse_ae.__file__).parents[1] == Path(os.environ["PYTHONPATH"]), sparse_ae.__file__
    import against_cases
    answers = {}
    for family, case in against_cases.FAMILIES.items():
        for seed in range(first, last):
            words, place = [], Path(folder, "%s %d" % (family, seed))
            place.mkdir()
            against_cases.say = words.append
            faulthandler.dump_traceback_later(HANGS, exit=True)
            before, error, found = against_cases.settings_of_process(), "", {}
            try:
                found = case(np.random.RandomState(seed), place)
            except Exception as raised:
                error = ("%s: %s" % (type(raised).__name__, raised)).replace(str(place), "FOLDER")
            after = against_cases.settings_of_process()
            left = [name for name in before if before[name] != after.get(name)]
            answers[family, seed] = tuple(Outcome("\n".join(words), error, found or {}, left, found is None))
    faulthandler.cancel_dump_traceback_later()
    Path(folder, "answers").write_bytes(pickle.dumps(answers))


def compare(old, new):
    """(kind, what differs): of two outcomes."""
    if new.left:
        return "left behind", [", ".join(new.left)]
    if old.error or new.error:
        if new.error and not new.error.startswith(REFUSALS):
            return ("the same error" if old.error == new.error else "another error"), [new.error]
        if old.error and new.error:
            return ("refused by both" if old.error == new.error else "in other words"), [new.error]
        if new.error:
            return "newly refused", [new.error]
        return "newly read", [old.error, str(new.found)]
    found = differences(old.found, new.found, 0)
    return ("differs" if found else "same"), found


def outcomes(source, first, last):
    """What became of the cases in the version of a folder."""
    environment = dict(os.environ, PYTHONPATH=str(source), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-W", "ignore", str(HERE / "against.py"), "--worker", first, last, folder],
                       cwd=folder, env=environment, check=True)
        return pickle.loads(Path(folder, "answers").read_bytes())


def main(commit, first, last):
    with tempfile.TemporaryDirectory(prefix="sparse_ae-against-") as folder:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "sparse_ae"], stdout=subprocess.PIPE,
                                 check=True)
        subprocess.run(["tar", "-xf", "-", "-C", folder], input=archive.stdout, check=True)
        before, now = (outcomes(source, first, last) for source in (folder, ROOT))
    counts, different = {}, 0
    for (family, seed), old in before.items():
        old, new = Outcome(*old), Outcome(*now[family, seed])
        if not new.none:
            kind, found = compare(old, new)
            counts.setdefault(family, Counter())[kind] += 1
            different += kind not in FINE
            if kind not in FINE and different <= 10:  # the first ones tell
                print("%s, seed %d: %s\n  %.3000s" % (family, seed, kind, "\n  ".join([new.said] + found[:5])))
    lines, too_many = shares.table(counts, "refused by both", reasons=REASONS)
    print("\n".join(lines + too_many))
    return 1 if different or too_many else 0


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        work(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        sys.exit(main(*sys.argv[1:4]))
