"""What the programs of this folder share: ``python tests/fuzz/PROGRAM.py FIRST_SEED LAST_SEED`` runs its cases."""
import contextlib
import faulthandler
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import shares

sys.path[:0] = [str(Path(__file__).resolve().parents[k]) for k in (1, 2)]
os.environ.setdefault("OMP_NUM_THREADS", "1")


def drive(case, *words, seconds=60, most_refused=0.6, reasons=()):
    """Call ``case(rng, folder)`` for each seed, and print how often each family of cases came to which word.

    A case returns (family, word), or None. A family of which more than a share is refused ends in an error, see
    `shares`. What hangs ends the process.
    """
    counts, (first, last) = {}, map(int, sys.argv[1:3])
    for seed in range(first, last):
        print("seed %d" % seed, file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(seconds, exit=True)
        with tempfile.TemporaryDirectory() as folder:
            found = case(np.random.RandomState(seed), Path(folder))
        faulthandler.cancel_dump_traceback_later()
        if found is not None:
            family, word = found
            counts.setdefault(family, dict.fromkeys(words, 0))[word] += 1
    lines, too_many = shares.table(counts, "refused", most_refused, reasons)
    print("\n".join(lines))
    assert not too_many, "\n".join(too_many)


def say(text):
    """Tell of a case, for the one that fails."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def nothing_compiled_before_an_error():
    """AssertionError where ValueError, TypeError or OSError comes after a function was compiled."""
    import theano
    with mock.patch.object(theano, "function", wraps=theano.function) as compiled:
        try:
            yield
        except (TypeError, ValueError, OSError, MemoryError) as error:
            assert not compiled.called, "compiled before it was refused: %s" % error
            assert str(error) or isinstance(error, MemoryError), "an error without a word"
            raise
