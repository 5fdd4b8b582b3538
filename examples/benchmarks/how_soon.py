"""How soon is there a result? Seconds until a file is read; and until the first epoch and the first prediction.

    python how_soon.py [--write docs/results/speed.md]

Reading: `load_ratings` of a CSV of five million lines in a process of its own.

First run: `Recommender` with its own settings on 100,000 ratings in MovieLens 100K's shape, one epoch a training, from
the start of Python on; first with nothing compiled, then with everything.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from common import arguments, parser_of

import sparse_ae
from sparse_ae.data.datasets.synthetic import rating_chunks, tastes

READING = """
import sys, time
from common import peak
from sparse_ae import load_ratings
start = time.perf_counter()
matrix = load_ratings(sys.argv[1], progress=False).matrix
print(matrix.nnz, matrix.data.sum(dtype=float), time.perf_counter() - start, peak())
"""
FIRST_RUN = """
import sys, time
import scipy.sparse
import sparse_ae
epochs = []
recommender = sparse_ae.Recommender(n_epochs=1, progress=False)
recommender.fit(scipy.sparse.load_npz(sys.argv[1]), on_epoch=lambda epoch: epochs.append(time.time()))
recommender.predict([0], [0])
print(epochs[0], time.time())
"""


def run(program, argument, **environment):
    """The numbers that a Python program prints last, run in a process of its own."""
    folders = [Path(sparse_ae.__file__).resolve().parents[1], Path(__file__).resolve().parent]  # this very package
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    environment = dict(os.environ, PYTHONPATH=path, **environment)
    printed = subprocess.run([sys.executable, "-c", program, str(argument)], env=environment, check=True,
                             stdout=subprocess.PIPE, universal_newlines=True).stdout
    return [float(number) for number in printed.splitlines()[-1].split()]


def write_csv(path, n_lines, seed=0):
    """Synthetic ratings in half stars, in no order; users have 36 ratings on average, and items 185."""
    rng = np.random.RandomState(seed)
    taste = tastes(max(100, n_lines // 36), max(100, n_lines // 185), rng=rng)
    users, items, values = map(np.concatenate, zip(*rating_chunks(taste, n_lines, step=0.5, rng=rng)))
    order = rng.permutation(n_lines)
    times = rng.randint(10 ** 9, 2 * 10 ** 9, n_lines)
    with open(path, "w") as file:
        file.write("user,item,rating,time\n")
        for start in range(0, n_lines, 10 ** 6):
            some = order[start:start + 10 ** 6]
            columns = (users[some].tolist(), items[some].tolist(), values[some].tolist(), times[some].tolist())
            file.writelines(map("%d,%d,%g,%d\n".__mod__, zip(*columns)))


def reading(path, table, rounds=3):
    """Print the table; returns the number of ratings and their sum."""
    found = [run(READING, path) for _ in range(rounds)]
    times = [each[2] for each in found]
    shown = table("a CSV", "", "seconds", "min ... max", "peak memory")
    n, total, seconds, peak = np.median(found, axis=0)
    shown.row("load_ratings", "%.2f" % seconds, "%.2f ... %.2f" % (min(times), max(times)),
              "not known" if np.isnan(peak) else "%.0f MB" % peak)
    return n, total


def first_run(folder, table):
    """Print the table."""
    ratings, _ = sparse_ae.made_up_ratings(943, 1682, 100000, step=1)
    sp.save_npz(os.path.join(folder, "ratings.npz"), ratings.matrix)
    flags = ",".join([each for each in [os.environ.get("THEANO_FLAGS")] if each]
                     + ["base_compiledir=" + os.path.join(folder, "compiled")])
    shown = table("a first run", "compiled before", "seconds to the first epoch", "to the first prediction")
    for name in ("nothing", "everything"):
        start = time.time()
        ends = run(FIRST_RUN, os.path.join(folder, "ratings.npz"), THEANO_FLAGS=flags)
        shown.row(name, *["%.1f" % (end - start) for end in ends])


def main(argv=None):
    _, written = arguments(parser_of(__doc__), __file__, argv)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ratings.csv")
        write_csv(path, 5000000)
        reading(path, written.table)
        first_run(folder, written.table)
    written.close()


if __name__ == "__main__":
    main()
