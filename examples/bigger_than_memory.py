"""Do the ratings have to fit into memory? No: here synthetic ratings are stored on disk, and trained on from there.

    python examples/bigger_than_memory.py [--ratings 100000000] [--folder big]

Each step has seconds and peak memory: the process's "own", and pages of mapped files, which the system may drop.
"""
import argparse
import contextlib
import os
import threading
import time
from pathlib import Path

import numpy as np

import sparse_ae
from sparse_ae.data.datasets.synthetic import rating_chunks, tastes

PER_USER, N_ITEMS, N_HIDDEN = 200, 20000, 100


def memory():
    """MB of the process's own memory and of mapped files, on Linux."""
    path = Path("/proc/self/status")
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines()) if path.exists() else {}
    return [float(lines.get(name, "nan").split()[0]) / 1024 for name in ("RssAnon", "RssFile")]


@contextlib.contextmanager
def step(name):
    """Print the seconds of the body and its peaks of memory, sampled twenty times a second."""
    start, over, seen = time.perf_counter(), threading.Event(), [memory()]

    def watch():
        while not over.wait(0.05):
            seen.append(memory())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    print("%-34s %8.1f s   peak %6.0f MB own %6.0f MB files"
          % (name, time.perf_counter() - start, *np.max(seen, axis=0)), flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=float, default=5e6)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", default="big", help="for ratings.csv and the store: 50 bytes a rating")
    args = parser.parse_args(arguments)
    n_ratings, rng, path = int(args.ratings), np.random.RandomState(0), os.path.join(args.folder, "ratings.csv")
    os.makedirs(args.folder)
    taste = tastes(max(1, n_ratings // PER_USER), N_ITEMS, rng=rng)
    with step("write a text file"), open(path, "w") as file:
        for users, items, stars in rating_chunks(taste, n_ratings, step=1, rng=rng):
            order = rng.permutation(len(users))  # users come in no order, as in a log
            lines = zip(users[order].tolist(), items[order].tolist(), stars[order].astype(int).tolist())
            file.writelines(map("%d,%d,%d\n".__mod__, lines))
    with step("convert it to a store"):
        stored = sparse_ae.store_ratings(path, os.path.join(args.folder, "store"), rows="users")
    recommender = sparse_ae.Recommender(n_hidden=N_HIDDEN, rows="users", l2=10, learning_rate=0.002, batch_size=512,
                                        n_epochs=args.epochs, rng=0)
    with step("train, %d epochs" % args.epochs):
        recommender.fit(stored, validation=None)
    with step("predict 100,000 pairs"):
        users, items = rng.choice(stored.row_ids, 100000), rng.choice(stored.col_ids, 100000)
        predicted = recommender.predict(users, items)
    right = taste(users, items)
    print("RMSE from the right answers: %.3f (the mean rating: %.3f)"
          % (sparse_ae.rmse(right, predicted), sparse_ae.rmse(right, np.full(len(right), recommender.mean_))))


if __name__ == "__main__":
    main()
