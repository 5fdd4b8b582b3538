"""Does `Recommender()` serve large data? Seconds and peak memory of each stage, on made-up ratings with known noise.

    python large.py                        # 20 million ratings in MovieLens 20M's shape
    python large.py --ratings 2000000      # as many; people and items in proportion
    python large.py --ratings 2000000 --rows items --disk    # of which a hundredth is held out to validate by

Ratings are tastes of ten factors and noise, in half stars: nobody can predict better than the tastes themselves, whose
RMSE on the test ratings, a twentieth, is told, too. "Validating" is the time from one epoch's end to the next less the
epoch, and "choosing and the rest" what is left of `fit`. A stage's peak is of the whole process; CPU seconds are of all
threads.
"""
import argparse
import os
import tempfile
import time

import numpy as np
import pages
import scipy.sparse as sp
from common import memory

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.data.synthetic import rating_chunks, tastes

# MovieLens 20M's.
N_RATINGS, N_USERS, N_ITEMS = 20000263, 138493, 26744
NOISE, N_FACTORS = 0.75, 10


class Stages:
    """Seconds and peak memory of one stage after another, each a row of a table."""

    def __init__(self, table):
        self.table, self.start, self.cpu = table, time.perf_counter(), time.process_time()
        forget_peak()

    def end(self, name, of, seconds=None, most=None):
        """Add a row; of `seconds` if these aren't all since the last one, and of `most` MB if these are known."""
        now, cpu = time.perf_counter(), time.process_time()
        if seconds is None:
            seconds, of_cpu = now - self.start, "%.1f" % (cpu - self.cpu)
            self.start, self.cpu = now, cpu
        else:
            of_cpu = ""
        self.table.row(name, of, "%.1f" % seconds, of_cpu, "%.0f" % (most or peak()))
        if of_cpu:
            forget_peak()


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # the peak is then that since the process began


def peak():
    """The most memory that the process had, in MB; NaN where the system doesn't tell."""
    return memory("VmHWM")[0]


def make(n_ratings, rng):
    """Ratings to train and to test on, CSR of users and items, and the tastes that they came from."""
    share = n_ratings / N_RATINGS
    # Fewer people and items in proportion, so that each has as many ratings, but not more than half of all pairs.
    n_users, n_items = (max(100, int(n * max(share, 0.002 if n == N_USERS else 0.03))) for n in (N_USERS, N_ITEMS))
    taste = tastes(n_users, n_items, N_FACTORS, (0.5, 5), rng)
    parts = ([], [])
    for users, items, ratings in rating_chunks(taste, n_ratings, NOISE, 0.5, rng):
        is_test = rng.rand(len(users)) < 0.05
        for part, chosen in zip(parts, (~is_test, is_test)):
            part.append((users[chosen].astype(np.int32), items[chosen].astype(np.int32), ratings[chosen]))
    return tuple(sp.coo_matrix((r, (u, i)), shape=(n_users, n_items)).tocsr()
                 for u, i, r in (map(np.concatenate, zip(*part)) for part in parts)) + (taste,)


def stored(train, rows, folder, rng):
    """Put ratings on disk, but for a hundredth; return them, and that hundredth, to stop early and choose decay by."""
    pairs = train.tocoo()
    held_out = rng.rand(train.nnz) < 0.01
    columns = pairs.row, pairs.col, pairs.data
    on_disk = sparse_ae.store_ratings([tuple(column[~held_out] for column in columns)], os.path.join(folder, "store"),
                                      rows=rows, progress=False)
    return on_disk, sparse_ae.data.ratings_from_triples(*(column[held_out] for column in columns))


def main(argv=None):
    """Print the tables; return the test RMSEs of the recommender, the biases and the tastes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ratings", type=float, default=N_RATINGS, help="how many (default: MovieLens 20M's)")
    parser.add_argument("--rows", default="auto", choices=("auto", "items", "users", "both"))
    parser.add_argument("--disk", action="store_true", help="train from disk")
    pages.add_argument(parser, __file__)
    args = parser.parse_args(argv)
    n_ratings = int(args.ratings)
    if n_ratings < 1000:
        parser.error("--ratings is %g; expected 1000 or more" % args.ratings)
    if args.disk and args.rows not in ("items", "users"):
        parser.error("--disk with --rows %s; expected --rows items, or users: on disk one of them has to lie together"
                     % args.rows)
    with tempfile.TemporaryDirectory() as folder:
        return run(args, n_ratings, folder)


def run(args, n_ratings, folder):
    """As `main`; files are written to a folder."""
    written = pages.Pages(__file__, args.write)
    name = "%d ratings%s" % (n_ratings, " on disk" if args.disk else "")
    stages = Stages(written.table(name, "stage", "of", "seconds", "CPU seconds", "peak memory, MB"))
    train, test, taste = make(n_ratings, np.random.RandomState(0))
    stages.end("making ratings", "%d x %d, %d to train on" % (train.shape + (train.nnz,)))

    epochs, validating, before = {}, 0.0, [None, time.perf_counter()]

    def on_epoch(record):
        nonlocal validating
        which = record["rows"], record["refit"]
        now = time.perf_counter()
        if before[0] == which and record["validation_rmse"] is not None:
            validating += now - before[1] - record["seconds"]
        n, seconds, most = epochs.get(which, (0, 0.0, 0.0))
        epochs[which] = n + 1, seconds + record["seconds"], max(most, peak())
        forget_peak()
        before[:] = which, now

    recommender = sparse_ae.Recommender(rows=args.rows, progress=False)
    ratings, validation = train, "auto"
    if args.disk:
        ratings, validation = stored(train, args.rows, folder, np.random.RandomState(0))
        stages.end("storing", "%d ratings" % ratings.matrix.nnz)
    start = stages.start
    recommender.fit(ratings, on_epoch=on_epoch, validation=validation)
    total = time.perf_counter() - start
    most = max([peak()] + [each[2] for each in epochs.values()])
    for (rows, refit), (n, *of_epochs) in epochs.items():
        stages.end("training, %s as rows%s" % (rows, ", on all ratings" if refit else ""), "%d epochs" % n, *of_epochs)
    stages.end("validating", "", validating, most)
    stages.end("choosing and the rest", "", total - validating - sum(each[1] for each in epochs.values()), most)
    stages.end("fit, all of it", "", most=most)
    pairs = test.tocoo()
    found = {"recommender": recommender.predict(pairs.row, pairs.col)}
    stages.end("predicting", "%d pairs" % test.nnz)
    users = recommender.users_
    for first in range(0, len(users), 10000):
        recommender.recommend(users[first:first + 10000], n=10)
    stages.end("a list for everybody", "%d lists" % len(users))
    path = os.path.join(folder, "model.npz")
    recommender.save(path)
    stages.end("saving", "%.0f MB" % (os.path.getsize(path) / 2 ** 20))
    sparse_ae.Recommender.load(path)
    stages.end("loading", "")
    found["biases"] = np.clip(predict_biases(fit_biases(train), pairs.row, pairs.col), 0.5, 5)
    found["tastes"] = taste(pairs.row, pairs.col)
    table = written.table(name + ", errors", "", "test RMSE")
    rmses = {name: sparse_ae.rmse(pairs.data, predicted) for name, predicted in found.items()}
    for name, rmse in rmses.items():
        table.row(name, "%.4f" % rmse)
    print("\nweights %s; n_hidden %s" % (
        ", ".join("%.2f of %s as rows" % each[::-1] for each in recommender.weights_.items()),
        ", ".join("%d" % each.n_hidden for each in recommender.choices_.values())))
    written.close()
    return rmses


if __name__ == "__main__":
    main()
