"""Arguments that differ by rank: ``python tests/fuzz/by_rank.py FIRST_SEED LAST_SEED``.

Two ranks, which are forks, call something public together, and in half of the cases one of them with another value of
an argument, or something else altogether. Both have to return the same, or to raise the same error in words; none may
hang, end the other, or go on from what is left of a message.
"""
import contextlib
import faulthandler
import io
import os
import sys
import tempfile
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
IDS = [1, 2, [1], [1, 2], [2, 1], [1, 2, 3], [1, 99], 99, "x", ["x"], None, [], np.array([3, 4]), [[1]], 1.5, object()]
COUNTS = [1, 2, 3, 10, 0, None, "x", np.int64(2), 10 ** 9]
PEOPLE = [{1: 3}, {1: 4}, {2: 3}, {1: 3, 2: 4}, [{1: 3}], [{1: 3}, {2: 4}], {}, [], {99: 3}, {1: 9}, 7, None]
HELD_OUT = [[(0, 3, 4.0), (1, 5, 2.0)], [(0, 3, 4.0)], [(0, 3, 5.0), (1, 5, 2.0)], [], "x", [(99, 99, 3)]]
METHODS = {
    "predict": [IDS, IDS], "recommend": [IDS, COUNTS, [True, False, 1]], "fold_in": [PEOPLE],
    "similar_items": [IDS, COUNTS], "score": [HELD_OUT], "evaluate": [HELD_OUT, [None], COUNTS, [None, 3, 4, "x"]],
    "save": [["/nowhere/x", "/nowhere/y", 7, "SAVED", "SAVED too"], [False, True, 2]],
}
OF_NEW = {"predict": [IDS], "recommend": [COUNTS, [True, False, 1]]}


def one_of(values, rng):
    return values[rng.randint(len(values))]


def drawn(rng):
    """What is called: a kind, and what it is called with."""
    kind = one_of(["fit", "ask", "ask", "new"], rng)
    if kind == "fit":
        settings = {name: SETTINGS[name][0] for name in ("n_hidden", "n_epochs", "rows")}
        for name in rng.permutation(sorted(SETTINGS))[:rng.randint(3)]:
            settings[name] = one_of(SETTINGS[name], rng)
        arguments = {"validation": one_of([None, None, 0.2, 0.3, "auto", HELD_OUT[0], HELD_OUT[2], "x", 2], rng),
                     "refit": one_of([True, True, False, 1], rng), "seed": one_of([0, 0, 0, 1], rng)}
        return kind, settings, arguments
    methods = METHODS if kind == "ask" else OF_NEW
    name = one_of(sorted(methods), rng)
    n = rng.randint(1, len(methods[name]) + 1)
    return kind, name, [one_of(values, rng) for values in methods[name][:n]]


def changed(call, rng):
    """The same call, with one value another one; or another call."""
    kind, what, arguments = call
    if rng.rand() < 0.15:
        return drawn(rng)
    if kind == "fit":
        if rng.rand() < 0.5:
            name = one_of(sorted(SETTINGS), rng)
            return kind, dict(what, **{name: one_of(SETTINGS[name], rng)}), arguments
        return kind, what, dict(arguments, **dict([one_of(sorted(drawn_fit(rng).items()), rng)]))
    values = (METHODS if kind == "ask" else OF_NEW)[what]
    k = rng.randint(len(arguments))
    return kind, what, arguments[:k] + [one_of(values[k], rng)] + arguments[k + 1:]


def drawn_fit(rng):
    while True:
        kind, _, arguments = drawn(rng)
        if kind == "fit":
            return arguments


def outcome(comm, call, folder):
    """What came of a call, in words."""
    kind, what, arguments = call
    try:
        if kind == "fit":
            train = program.ratings(seed=arguments["seed"]).tocoo()
            given = {name: value for name, value in arguments.items() if name != "seed"}
            recommender = Recommender(progress=False, **what)
            recommender.fit((train.row, train.col, train.data), comm=comm, **given)
            return "fitted, %r" % recommender.predict([1, 2], [3, 4]).tolist()
        asked = program.fitted(comm) if kind == "ask" else program.fitted(comm).fold_in({1: 3})
        arguments = [str(folder / each) if isinstance(each, str) and each.startswith("SAVED") else each
                     for each in arguments]
        found = getattr(asked, what)(*arguments)
        if what == "fold_in":
            found = [each.predict([1, 2]) for each in (found if isinstance(found, list) else [found])]
        if what == "predict":
            found = np.ravel(found).tolist()  # one id and a list of one are no difference
        return "%s: %r" % (what, list(found) if what == "recommend" else found)
    except (TypeError, ValueError, OSError, ArithmeticError) as error:
        assert str(error), "an error without a word"
        return "%s: %s" % (type(error).__name__, error)


def run(comm, first, last, folder):
    counts = {"returned": 0, "refused": 0}
    program.fitted(comm)
    for seed in range(first, last):
        rng = np.random.RandomState(seed)
        calls = [drawn(rng)] * 2
        if rng.rand() < 0.5:
            calls[1] = changed(calls[0], rng)
        own = calls[comm.Get_rank()]
        print("seed %d, rank %d: %.300r" % (seed, comm.Get_rank(), own), file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        with contextlib.redirect_stderr(io.StringIO()):  # what ranks that end the job would print
            said = comm.allgather(("seed", seed, outcome(comm, own, folder)))
        faulthandler.cancel_dump_traceback_later()
        assert said[0] == said[1], said
        counts["refused" if "rror: " in said[0][2] or "Diverged: " in said[0][2] else "returned"] += 1
    if not comm.Get_rank():
        print(", ".join("%d %s" % (count, what) for what, count in counts.items()), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not program.forked(2, run, int(sys.argv[1]), int(sys.argv[2]), Path(folder)))
