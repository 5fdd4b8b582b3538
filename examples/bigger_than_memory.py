"""Does training need the ratings in memory? No: here they are made up, stored on disk, and trained on from there.

    python examples/bigger_than_memory.py [--ratings 100000000] [--folder big]

Four steps, each with its seconds and its peak of memory: a text file is written; it is converted to a store; a model is
trained on the store; what it predicts is compared with the right answers, which are known, and with what the mean would
be off by. Peaks are of memory that the process asked for ("own", anonymous memory in Linux's terms); pages of the
mapped files that the system keeps while there is room, and takes back when there isn't, are beside them ("files").
"""
import argparse
import os
import threading
import time

import numpy as np

import sparse_ae
from sparse_ae.data.synthetic import rating_chunks, tastes


def memory():
    """MB of the process's own memory and of mapped files, where the system says it (Linux)."""
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        return [int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")]
    except (OSError, KeyError):
        return [float("nan")] * 2


class Step:
    """Prints how long its body takes and the peaks of memory on the way, looked at twenty times a second."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.start, self.peaks, self.over = time.perf_counter(), memory(), threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while not self.over.wait(0.05):
            self.peaks = [max(pair) for pair in zip(self.peaks, memory())]

    def __exit__(self, *_):
        self.over.set()
        self.watcher.join()
        print("%-34s %8.1f s   peak %6.0f MB own %6.0f MB files" % ((self.name, time.perf_counter() - self.start)
                                                                    + tuple(self.peaks)), flush=True)


def write(path, taste, n_ratings, rng):
    """A line "user,item,stars" for each rating. Users come in no order, as in a log."""
    with open(path, "w") as file:
        file.write("user,item,rating\n")
        for users, items, stars in rating_chunks(taste, n_ratings, step=1, rng=rng):
            order = rng.permutation(len(users))
            lines = zip(users[order].tolist(), items[order].tolist(), stars[order].astype(int).tolist())
            file.writelines(map("%d,%d,%d\n".__mod__, lines))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=float, default=5e6)
    parser.add_argument("--users", type=int, help="default: a user for 200 ratings")
    parser.add_argument("--items", type=int, default=20000)
    parser.add_argument("--hidden", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", default="big", help="made for ratings.csv and the store; 25 bytes a rating, and as "
                                                        "many again while converting")
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(arguments)
    n_ratings, rng = int(parsed.ratings), np.random.RandomState(parsed.seed)
    n_users = parsed.users or max(1, n_ratings // 200)
    os.makedirs(parsed.folder)
    path, store = (os.path.join(parsed.folder, name) for name in ("ratings.csv", "store"))
    taste = tastes(n_users, parsed.items, rng=rng)
    print("%d ratings, %d users, %d items, %d hidden units" % (n_ratings, n_users, parsed.items, parsed.hidden))

    with Step("write a text file"):
        write(path, taste, n_ratings, rng)
    with Step("convert it to a store"):
        stored = sparse_ae.store_ratings(path, store, rows="users")
    sizes = [sum(os.path.getsize(os.path.join(where, name)) for name in names)
             for where, names in ((parsed.folder, ["ratings.csv"]), (store, os.listdir(store)))]
    print("on disk: %.0f MB of text, %.0f MB of store" % tuple(size / 2 ** 20 for size in sizes))

    recommender = sparse_ae.Recommender(n_hidden=parsed.hidden, rows="users", l2=10, learning_rate=0.002,
                                        batch_size=512, n_epochs=parsed.epochs, rng=parsed.seed)
    with Step("train, %d epochs" % parsed.epochs):
        recommender.fit(stored, validation=None)
    print("seconds of an epoch: %s" % ", ".join("%.1f" % record["seconds"] for record in recommender.history_))

    with Step("predict 100,000 pairs"):
        u, i = rng.randint(0, len(stored.row_ids), 100000), rng.randint(0, len(stored.col_ids), 100000)
        users, items = stored.row_ids[u], stored.col_ids[i]
        right, predicted = taste(users, items), recommender.predict(users, items)
    rmse = {"mean": sparse_ae.rmse(right, np.full(len(right), recommender.mean_)),
            "model": sparse_ae.rmse(right, predicted)}
    print("RMSE from the right answers: %.3f (the mean rating: %.3f)" % (rmse["model"], rmse["mean"]))
    return rmse


if __name__ == "__main__":
    main()
