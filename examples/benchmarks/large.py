"""Does `Recommender()` serve large data? Seconds and peak memory of each stage, on synthetic ratings with known noise.

    python large.py                             # 20 million ratings in MovieLens 20M's shape
    python large.py --ratings 2000000 --disk    # items as rows, a hundredth of the ratings held out to validate by
    python large.py --lists ratings.csv         # rankings: CPU seconds by member
    python large.py --lists clicks.csv --clicks # of pairs of user and item

Ratings are true preferences of ten factors and noise, in half stars; a twentieth is tested on. "Validating" is the time
from one epoch's end to the next less the epoch, "choosing and the rest" what is left of `fit`. A stage's peak is of the
whole process; CPU seconds are of all threads.
"""
import collections
import contextlib
import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse as sp
from common import arguments, parser_of, peak

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.data.datasets.synthetic import rating_chunks, tastes
from sparse_ae.recommender import ensemble
from sparse_ae.recommender.members import CLOSED, ClosedForm
from sparse_ae.recommender.side_trainer import SideTrainer

# MovieLens 20M's.
N_RATINGS, N_USERS, N_ITEMS = 20000263, 138493, 26744
NOISE, N_FACTORS = 0.75, 10


class Stages:
    """Seconds and peak memory of one stage after another, each a row of a table."""

    def __init__(self, table):
        self.table, self.start, self.cpu = table, time.perf_counter(), time.process_time()
        forget_peak()

    def end(self, name, of, most=None):
        """Add a row of all since the last one."""
        now, cpu = time.perf_counter(), time.process_time()
        self.table.row(name, of, "%.1f" % (now - self.start), "%.1f" % (cpu - self.cpu), "%.0f" % (most or peak()))
        self.start, self.cpu = now, cpu
        forget_peak()


def forget_peak():
    with contextlib.suppress(OSError):  # the peak is then that since the process began
        Path("/proc/self/clear_refs").write_text("5")


def make(n_ratings, rng):
    """Ratings to train and to test on, CSR of users and items, and the tastes that they came from."""
    share = n_ratings / N_RATINGS
    # In proportion, so that each has as many ratings, but not more than half of all pairs.
    n_users, n_items = (max(100, int(n * max(share, 0.002 if n == N_USERS else 0.03))) for n in (N_USERS, N_ITEMS))
    taste = tastes(n_users, n_items, N_FACTORS, (0.5, 5), rng)
    parts = ([], [])
    for users, items, ratings in rating_chunks(taste, n_ratings, NOISE, 0.5, rng):
        is_test = rng.rand(len(users)) < 0.05
        for part, chosen in zip(parts, (~is_test, is_test)):
            part.append((users[chosen].astype(np.int32), items[chosen].astype(np.int32), ratings[chosen]))
    return tuple(sp.coo_matrix((r, (u, i)), shape=(n_users, n_items)).tocsr()
                 for u, i, r in (map(np.concatenate, zip(*part)) for part in parts)) + (taste,)


def stored(train, folder, rng):
    """Put ratings on disk, but for a hundredth; return them, and that hundredth, to stop early and choose decay by."""
    pairs = train.tocoo()
    held_out = rng.rand(train.nnz) < 0.01
    columns = pairs.row, pairs.col, pairs.data
    on_disk = sparse_ae.store_ratings([tuple(column[~held_out] for column in columns)], os.path.join(folder, "store"),
                                      progress=False)
    return on_disk, sparse_ae.data.ratings_from_triples(*(column[held_out] for column in columns))


def of_lists(path, are_clicks, written):
    """Add a row with the CPU seconds of a default fit of rankings, by what they were spent on; return them."""
    ratings, spent = sparse_ae.load_ratings(path, pairs=are_clicks), collections.Counter()

    def counted(holder, function, name_of):
        whole = getattr(holder, function)

        def timed(first, *args, **kwargs):
            begun = time.process_time()
            try:
                return whole(first, *args, **kwargs)
            finally:
                spent[name_of(first)] += time.process_time() - begun

        return mock.patch.object(holder, function, timed)

    with contextlib.ExitStack() as stack:
        for each in ((ensemble, "fit_closed", lambda form: form.name), (ensemble, "pooled", lambda members: "weights"),
                     (ensemble, "greedy_weights", lambda pool: "weights"),
                     (ClosedForm, "refitted", lambda member: member.name),
                     (SideTrainer, "train", lambda trainer: "autoencoder")):
            stack.enter_context(counted(*each))
        begun = time.process_time()
        sparse_ae.Recommender(objective="clicks" if are_clicks else "lists", progress=False).fit(ratings)
        spent["all"] = time.process_time() - begun
    columns = list(CLOSED) + ["autoencoder", "weights", "all"]
    table = written.table("rankings", "", *columns)
    table.row(Path(path).name, *["%.1f" % spent[each] if each in spent else "" for each in columns])
    return spent


def main(argv=None):
    """Print the tables; return the test RMSEs of the recommender, the biases and the tastes, or `of_lists`."""
    parser = parser_of(__doc__)
    parser.add_argument("--ratings", type=float, default=N_RATINGS, help="how many (default: MovieLens 20M's)")
    parser.add_argument("--disk", action="store_true", help="train from disk, with items as rows")
    parser.add_argument("--lists", metavar="FILE", help="ratings, for the seconds of a fit of rankings")
    parser.add_argument("--clicks", action="store_true", help="the file has pairs of user and item")
    args, written = arguments(parser, __file__, argv)
    if args.lists:
        spent = of_lists(args.lists, args.clicks, written)
        written.close()
        return spent
    n_ratings, folder = int(args.ratings), tempfile.TemporaryDirectory()
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

    recommender = sparse_ae.Recommender(rows="items" if args.disk else "auto", progress=False)
    ratings, validation = train, "auto"
    if args.disk:
        ratings, validation = stored(train, folder.name, np.random.RandomState(0))
        stages.end("storing", "%d ratings" % ratings.matrix.nnz)
    recommender.fit(ratings, on_epoch=on_epoch, validation=validation)
    total = time.perf_counter() - stages.start
    most = max([peak()] + [each[2] for each in epochs.values()])
    of_fit = [("training, %s as rows%s" % (rows, ", on all ratings" if refit else ""), "%d epochs" % n, seconds, peaked)
              for (rows, refit), (n, seconds, peaked) in epochs.items()]
    rest = total - validating - sum(each[1] for each in epochs.values())
    for stage, of, seconds, peaked in of_fit + [("validating", "", validating, most),
                                                ("choosing and the rest", "", rest, most)]:
        stages.table.row(stage, of, "%.1f" % seconds, "", "%.0f" % peaked)
    stages.end("fit, all of it", "", most)
    pairs = test.tocoo()
    found = {"recommender": recommender.predict(pairs.row, pairs.col)}
    stages.end("predicting", "%d pairs" % test.nnz)
    users = recommender.users_
    for first in range(0, len(users), 10000):
        recommender.recommend(users[first:first + 10000], n=10)
    stages.end("a list for everybody", "%d lists" % len(users))
    path = os.path.join(folder.name, "model.npz")
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
    written.close()
    folder.cleanup()
    return rmses


if __name__ == "__main__":
    main()
