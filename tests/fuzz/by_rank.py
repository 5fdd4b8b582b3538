"""Arguments that differ by rank: ``python tests/fuzz/by_rank.py FIRST_SEED LAST_SEED``.

Two ranks, which are forks, fit together, and in half of the cases one of them with another value of a setting or an
argument. Both have to come to the same, or to raise the same error in words; none may hang, end the other, or go on
from what is left of a message.
"""
import contextlib
import faulthandler
import io
import os
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[k]) for k in (1, 2)]

import ranks as program  # noqa: E402

from sparse_ae import Recommender, Shallow  # noqa: E402
from sparse_ae.training.objectives import Missing  # noqa: E402

SECONDS = 60

SETTINGS = {
    "rng": [0, 1, None, "x", np.random.RandomState(1), np.random.RandomState(2)],
    "rows": ["items", "users", "both", "auto", None], "n_hidden": [2, 3, 0], "n_epochs": [1, 2, "x"],
    "l2": [0.01, 0.02, -1], "batch_size": [4, 5, None], "unknown": ["mean", "error", 3, 99],
    "rating_scale": [None, (1, 5), (1, 6), (2, 3)],
    "objective": ["ratings", "lists", Missing(0.3), Missing(measure="rmse"), "x"],
    "biases": [True, False, "unguarded"],
    "network": [Shallow(), Shallow("sigmoid"), Shallow("x"), Shallow(dtype="float64"), Shallow(dtype="x")],
    "update": ["adam", "sgd", "x"],
}
HELD_OUT = [[(0, 3, 4.0), (1, 5, 2.0)], [(0, 3, 4.0)], [(0, 3, 5.0), (1, 5, 2.0)], [], "x", [(99, 99, 3)]]
ARGUMENTS = {"validation": [None, None, 0.2, 0.3, "auto", HELD_OUT[0], HELD_OUT[2], "x", 2],
             "refit": [True, True, False, 1], "seed": [0, 0, 0, 1]}


def one_of(values, rng):
    return values[rng.randint(len(values))]


def drawn(rng):
    """Settings and arguments of `fit`."""
    settings = {name: SETTINGS[name][0] for name in ("n_hidden", "n_epochs", "rows")}
    for name in rng.permutation(sorted(SETTINGS))[:rng.randint(3)]:
        settings[name] = one_of(SETTINGS[name], rng)
    return settings, {name: one_of(values, rng) for name, values in ARGUMENTS.items()}


def changed(call, rng):
    """The same call with another value of one setting or argument."""
    of_call = rng.randint(2)
    name = one_of(sorted((SETTINGS, ARGUMENTS)[of_call]), rng)
    other = dict(call[of_call], **{name: one_of((SETTINGS, ARGUMENTS)[of_call][name], rng)})
    return (call[0], other) if of_call else (other, call[1])


def outcome(comm, settings, arguments):
    """What came of a call, in words."""
    try:
        train = program.ratings(seed=arguments["seed"]).tocoo()
        given = {name: value for name, value in arguments.items() if name != "seed"}
        recommender = Recommender(progress=False, **settings)
        recommender.fit((train.row, train.col, train.data), comm=comm, **given)
        return "fitted, %r" % recommender.predict([1, 2], [3, 4]).tolist()
    except (TypeError, ValueError, OSError, ArithmeticError) as error:
        assert str(error), "an error without a word"
        return "%s: %s" % (type(error).__name__, error)


def run(comm, first, last):
    counts = {"returned": 0, "refused": 0}
    for seed in range(first, last):
        rng = np.random.RandomState(seed)
        calls = [drawn(rng)] * 2
        if rng.rand() < 0.5:
            calls[1] = changed(calls[0], rng)
        own = calls[comm.Get_rank()]
        print("seed %d, rank %d: %.300r" % (seed, comm.Get_rank(), own), file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        with contextlib.redirect_stderr(io.StringIO()):  # what ranks that end the job would print
            said = comm.allgather(("seed", seed, outcome(comm, *own)))
        faulthandler.cancel_dump_traceback_later()
        assert said[0] == said[1], said
        counts["refused" if "rror: " in said[0][2] or "Diverged: " in said[0][2] else "returned"] += 1
    if not comm.Get_rank():
        print(", ".join("%d %s" % (count, what) for what, count in counts.items()), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(not program.forked(2, run, int(sys.argv[1]), int(sys.argv[2])))
