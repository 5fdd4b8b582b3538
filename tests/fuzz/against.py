"""Compares the library with 1.0.0, over random inputs: ``python tests/fuzz/against.py --seconds 60 --seed 0``.

1.0.0 comes from this repository's history. Each version has a process of its own at a terminal of its own, in which the
cases of `against_cases` run one after another, with the same seeds. A difference that no line of `MEANT` explains ends
in status 1, and is printed with the seed: ``--only FAMILY --seed SEED --seconds 0`` runs that case alone.
"""
import argparse
import contextlib
import faulthandler
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import scipy.sparse as sp
import shares

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OLD = "d0380441a845bdba4a6d2124262004a9da482202"  # 1.0.0, which has no tag

#: Seconds after which a case hangs.
HANGS = 300
#: More of a family's cases than usual may be refused.
REASONS = {"damaged texts": (0.9, "since damage is there to be refused")}


class Outcome(NamedTuple):
    """What became of a case in one version."""

    said: str  # the case in words, and what stood on the terminal
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
    Meant("damaged texts", ("newly refused",), "A CR within a line", says("there is a CR within the line")),
    Meant("recommenders", ("newly refused",), "settings of an autoencoder with a closed form",
          says("a closed form, and")),
    Meant("recommenders", ("differs",), '"popular" is the number of users who rated', is_of("'popular'")),
    Meant("recommenders", ("differs",), '`network="neighbours"` chooses its power by', is_of("'neighbours'")),
]


def without_a_word(meant):
    """Those that the changelog doesn't tell of."""
    changelog = " ".join((ROOT / "CHANGELOG.md").read_text("utf-8").split())
    return [each for each in meant if each.changelog not in changelog]


# A worker: one version, case after case


def work(family):
    """Run the seeds that come on stdin, and answer each with a pickled `Outcome` on stdout."""
    answers, sys.stdout = os.fdopen(os.dup(1), "wb"), sys.stderr
    os.dup2(2, 1)
    import sparse_ae
    assert Path(sparse_ae.__file__).parents[1] == Path(os.environ["PYTHONPATH"]), sparse_ae.__file__
    import against_cases
    family = against_cases.FAMILIES[family]
    if family.compiles:
        import compile_cache

        import theano
        compile_cache.compile_headers(theano.config, ["-O0"])
    for line in sys.stdin:
        seed, folder = line.rstrip("\n").split(" ", 1)
        words = []
        against_cases.say = words.append
        faulthandler.dump_traceback_later(HANGS, exit=True)
        before, error, found = against_cases.settings_of_process(), "", {}
        try:
            found = family.case(np.random.RandomState(int(seed)), Path(folder))
        except Exception as raised:
            error = "%s: %s" % (type(raised).__name__, raised)
        after = against_cases.settings_of_process()
        faulthandler.cancel_dump_traceback_later()
        left = [name for name in before if before[name] != after.get(name)]
        said = "\n".join(dict.fromkeys(words))
        pickle.dump(tuple(Outcome(said, error, found or {}, left, found is None)), answers, protocol=4)
        answers.flush()


class Worker:
    """A process of a version for the cases of a family; another one after it has died."""

    def __init__(self, source, family, cache):
        self.source, self.family, self.cache, self.process = source, family, cache, None

    def start(self):
        ours, its = os.openpty()
        flags = "base_compiledir=%s" % self.cache
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "against.py"), "--worker", self.family], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=its, cwd=str(self.cache), env=dict(
                os.environ, PYTHONPATH=str(self.source), THEANO_FLAGS=flags, OMP_NUM_THREADS="2",
                OPENBLAS_NUM_THREADS="2", OMP_WAIT_POLICY="passive"))
        os.close(its)
        self.shown = []
        self.reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self.reader.start()

    def _read(self, terminal):
        with contextlib.suppress(OSError):  # the end of a terminal
            for content in iter(lambda: os.read(terminal, 65536), b""):
                self.shown.append(content.decode("utf-8", "replace"))
                del self.shown[:-50]
        os.close(terminal)

    def ask(self, seed, folder):
        """Begin a case."""
        if self.process is None:
            self.start()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(b"%d %s\n" % (seed, os.fsencode(str(folder))))
            self.process.stdin.flush()

    def answer(self):
        """The outcome of the case."""
        try:
            return Outcome(*pickle.load(self.process.stdout))
        except EOFError:
            status = self.end()
            return Outcome("", "died with status %d: %s" % (status, "".join(self.shown)[-3000:]), {}, [])

    def end(self):
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.stdin.close()
        process.stdout.close()
        status = process.wait()
        self.reader.join()
        return status


# Comparing


def differences(old, new, rounding, place=""):
    """The places where two values differ, by more than rounding."""
    if sp.issparse(old) and sp.issparse(new):
        old, new = ({"shape": x.shape, "data": x.data, "indices": x.indices, "indptr": x.indptr}
                    for x in (old.tocsr(), new.tocsr()))
    if isinstance(old, dict) and isinstance(new, dict) and set(old) == set(new):
        return [found for name in old for found in differences(
            old[name], new[name], rounding, "%s[%r]" % (place, name))]
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and len(old) == len(new):
        return [found for k, pair in enumerate(zip(old, new)) for found in differences(
            *pair, rounding, "%s[%d]" % (place, k))]
    if are_alike(old, new, rounding):
        return []
    return ["%s: %.300s, and %.300s" % (place, *(" ".join(repr(x).split()) for x in (old, new)))]


def are_alike(old, new, rounding):
    numbers = (int, float, np.ndarray, np.generic)
    if not isinstance(old, numbers) or not isinstance(new, numbers):
        return type(old) is type(new) and old == new
    old, new = np.asarray(old), np.asarray(new)
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    if old.dtype.kind != "f" or not rounding:
        return old.tolist() == new.tolist() or old.tobytes() == new.tobytes()
    largest = np.abs(old[np.isfinite(old)]).max() if np.isfinite(old).any() else 0
    with np.errstate(invalid="ignore"):
        return bool(np.all((old == new) | (np.isnan(old) & np.isnan(new)) | (np.abs(old - new) <= rounding * largest)))


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
    rounding = against_cases.FAMILIES[family].rounding
    workers = [Worker(source, family, cache) for source, cache in zip(sources, caches)]
    counts, end = Counter(), None
    try:
        while True:
            with tempfile.TemporaryDirectory() as folder:
                outcomes = []
                if family != "old files":  # in which today's reads
                    for k, worker in enumerate(workers):
                        Path(folder, str(k)).mkdir()
                        worker.ask(seed, Path(folder, str(k)))
                for worker in workers:
                    if family == "old files":
                        worker.ask(seed, folder)
                    outcomes.append(worker.answer())
            old, new = outcomes
            if not new.none:
                kind, found = compare(family, rounding, old, new)
                reason = explanation(family, kind, old, new)
                counts[kind if reason == "" else "%s (%s)" % (kind, reason or "NOT EXPLAINED")] += 1
                refusals[re.sub(r"[\d']\S*|/\S+", "...", new.error)[:100]] += kind == "refused by both"
                if reason is None:
                    report(family, seed, kind, old, new, found)
            seed += 1
            end = end or time.monotonic() + seconds  # the first case loads the package
            if time.monotonic() > end:
                return counts
    finally:
        for worker in workers:
            worker.end()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first; those after it follow")
    parser.add_argument("--only", metavar="FAMILY")
    parser.add_argument("--worker", metavar="FAMILY", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.worker:
        work(parsed.worker)
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
