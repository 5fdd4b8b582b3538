"""Compares the library with 1.0.0, over random inputs: ``python tests/fuzz/against.py --seconds 60 --seed 0``.

1.0.0 comes from this repository's history. Each version has a process of its own, in which the cases of `against_cases`
run one after another, with the same seeds: 1.0.0's for half of the time, then as many of today's. A difference that no
line of `MEANT` explains ends in status 1, and is printed with the seed: ``--only FAMILY --seed SEED --seconds 0`` runs
that case alone.
"""
import argparse
import faulthandler
import io
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import shares

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent))  # behind the version that a worker runs
from alike import differences  # noqa: E402

OLD = "d0380441a845bdba4a6d2124262004a9da482202"  # 1.0.0, which has no tag

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


class Meant(NamedTuple):
    """Differences that are meant: of a family's kinds, `when` outcomes are so; and words of CHANGELOG.md on them."""

    family: str
    kinds: tuple
    changelog: str
    when: Callable  # (old, new): whether it explains them


def says(*words):
    """Whether an error of today's has one of these."""
    return lambda old, new: any(word in new.error for word in words)


def is_of(*words):
    """Whether the case has one of these."""
    return lambda old, new: any(word in new.said for word in words)


MEANT = [
    Meant("damaged texts", ("newly refused",), "If two readings fit, an error shows both", says("two ways to read it")),
    Meant("damaged texts", ("newly read", "newly refused", "differs"), "Words of shops and logs name columns",
          is_of("sku", "customer")),
    Meant("damaged texts", ("newly read",), "the delimiter is found from all lines of the head",
          lambda old, new: re.search("columns; exp|expected one of them|isn't a number|expected after", old.error)),
    Meant("damaged texts", ("newly refused",), "Tables with decimal commas, names with blanks",
          says("write 4.5 for 4,5")),
    Meant("damaged texts", ("newly refused",), "A CR within a line",
          says("there is a CR within the line", "new-line character seen in unquoted field")),
    Meant("damaged texts", ("newly refused",), "a first line such as", says("has a header and no pairs")),
    Meant("damaged texts", ("newly refused",), "was dropped in silence",
          says("line 1: the rating", "line 2: the rating")),
    Meant("damaged texts", ("differs",), "where it was the latest", is_of("'sum'")),
    Meant("tables", ("differs",), "where it was the latest", is_of("'sum'")),
    Meant("calls", ("differs",), "Shrinkages of biases are estimated until they change", is_of("biases, ")),
    Meant("calls", ("differs",), '"popular" is the number of users who rated', is_of("popular")),
]


def without_a_word(meant):
    """Those that the changelog doesn't tell of."""
    changelog = " ".join((ROOT / "CHANGELOG.md").read_text("utf-8").split())
    return [each for each in meant if each.changelog not in changelog]


# A worker: one version, case after case


def work(family, first, last, seconds, folder):
    """Run the cases of seeds from `first` to before `last`, or for some seconds, and pickle an `Outcome` of each."""
    answers, sys.stdout, end = os.fdopen(os.dup(1), "wb"), sys.stderr, time.monotonic() + seconds
    os.dup2(2, 1)
    import sparse_ae
    assert Path(sparse_ae.__file__).parents[1] == Path(os.environ["PYTHONPATH"]), sparse_ae.__file__
    import against_cases
    family = against_cases.FAMILIES[family]
    if family.compiles:
        import compile_cache

        import theano
        compile_cache.compile_headers(theano.config, ["-O0"])
    for seed in range(first, last):
        words, place = [], Path(folder, str(seed))
        place.mkdir(exist_ok=True)
        against_cases.say = words.append
        faulthandler.dump_traceback_later(HANGS, exit=True)
        before, error, found = against_cases.settings_of_process(), "", {}
        try:
            found = family.case(np.random.RandomState(seed), place)
        except Exception as raised:
            error = "%s: %s" % (type(raised).__name__, raised)
        after = against_cases.settings_of_process()
        faulthandler.cancel_dump_traceback_later()
        left = [name for name in before if before[name] != after.get(name)]
        said = "\n".join(dict.fromkeys(words))
        pickle.dump(tuple(Outcome(said, error, found or {}, left, found is None)), answers, protocol=4)
        answers.flush()
        if time.monotonic() > end:
            break


def outcomes(source, cache, folder, family, first, last, seconds):
    """What became of the cases in a version, in a process of its own; where that dies, another one goes on."""
    found, end = [], time.monotonic() + seconds
    environment = dict(os.environ, PYTHONPATH=str(source), THEANO_FLAGS="base_compiledir=%s" % cache,
                       OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", OMP_WAIT_POLICY="passive")
    while first + len(found) < last and (not found or time.monotonic() < end):
        asked = family, first + len(found), last, max(0.0, end - time.monotonic()), folder
        done = subprocess.run([sys.executable, str(HERE / "against.py"), "--worker", *map(str, asked)], cwd=str(cache),
                              env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        answers = io.BytesIO(done.stdout)
        while answers.tell() < len(done.stdout):
            found.append(Outcome(*pickle.load(answers)))
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace")[-3000:]
            found.append(Outcome("", "died with status %d: %s" % (done.returncode, said), {}, []))
    return found


# Comparing


def compare(family, rounding, old, new):
    """(kind, what differs): of two outcomes."""
    if new.left:
        return "left behind", [", ".join(new.left)]
    if old.error or new.error:
        if new.error and not new.is_refused:
            return ("the same error" if old.error == new.error else "another error"), [new.error]
        if old.error and new.error:
            return "refused by both", []
        if new.error:
            return "newly refused", [new.error]
        return "newly read", [old.error, str(new.found)]
    found = differences(old.found, new.found, rounding)
    return ("differs" if found else "same"), found


#: Kinds that need no explanation.
FINE = {"same", "refused by both"}


def explanation(family, kind, old, new):
    """Words of the changelog that explain a difference; "" where none have to; None where there are none."""
    if kind in FINE:
        return ""
    for meant in MEANT:
        if meant.family == family and kind in meant.kinds and meant.when(old, new):
            return meant.changelog
    return None


# The run


def source_of_old(folder):
    """Unpack 1.0.0 from the repository's history."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", OLD, "sparse_ae"], stdout=subprocess.PIPE)
    if archive.returncode:
        raise SystemExit("1.0.0 is compared with: expected a checkout with its history, commit " + OLD)
    subprocess.run(["tar", "-xf", "-", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def run_family(family, seconds, seed, sources, caches, report, refusals):
    """Counts of kinds with their explanations, over the seeds that take so long."""
    import against_cases
    counts, last, both = Counter(), sys.maxsize, []
    with tempfile.TemporaryDirectory() as folder:
        for k, (source, cache) in enumerate(zip(sources, caches)):
            place = Path(folder, "0" if family == "old files" else str(k))  # of those today's reads what 1.0.0 wrote
            place.mkdir(exist_ok=True)
            both.append(outcomes(source, cache, place, family, seed, last, HANGS * 10 if k else seconds / 2))
            last = seed + len(both[0])
    assert len(both[0]) == len(both[1]), "today's version answered %d of %d" % (len(both[1]), len(both[0]))
    for k, (old, new) in enumerate(zip(*both)):
        if not new.none:
            kind, found = compare(family, against_cases.FAMILIES[family].rounding, old, new)
            reason = explanation(family, kind, old, new)
            counts[kind if reason == "" else "%s (%s)" % (kind, reason or "NOT EXPLAINED")] += 1
            refusals[re.sub(r"[\d']\S*|/\S+", "...", new.error)[:100]] += kind == "refused by both"
            if reason is None:
                report(family, seed + k, kind, old, new, found)
    return counts


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    shares_of_time = {name: family.share for name, family in against_cases.FAMILIES.items()
                      if parsed.only in (None, name)}
    if not shares_of_time:
        parser.error("expected one of %s" % ", ".join(against_cases.FAMILIES))
    failures = []

    def report(family, seed, kind, old, new, found):
        failures.append(family)
        if failures.count(family) <= 5:  # the first ones tell
            words = "\n  ".join([new.said or old.said] + found[:5])
            print("%s, seed %d: %s\n  %.3000s" % (family, seed, kind, words))
            if old.error:
                print("  1.0.0: %.500s" % old.error)

    with tempfile.TemporaryDirectory(prefix="sparse_ae-against-") as folder:
        places = [Path(folder, name) for name in ("source", "old", "new")]
        for place in places:
            place.mkdir()
        sources = source_of_old(places[0]), ROOT
        counted, refusals = {}, {name: Counter() for name in shares_of_time}
        for name, share in shares_of_time.items():
            counted[name] = run_family(name, parsed.seconds * share / sum(shares_of_time.values()), parsed.seed,
                                       sources, places[1:], report, refusals[name])
    lines, too_many = shares.table(counted, "refused by both", reasons=REASONS)
    print("\n".join(lines + too_many))
    for name in counted:
        if any(each.startswith(name + ":") for each in too_many):
            print("  %s: %s" % (name, refusals[name].most_common(3)))
    failures += too_many
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
