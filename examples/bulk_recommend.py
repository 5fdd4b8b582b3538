"""How do I make recommendations for millions of users? Many processes load a saved model.

    python examples/bulk_recommend.py model.npz -o lists.csv --jobs 4

Each process loads the model once, and recommends for a block of users at a time, by joblib: on this machine, or on
others where `main` runs within `joblib.parallel_backend("dask")`. Each line of the output is user, item, score, in the
order of the users' ids.
"""
import argparse
import csv
import functools
from pathlib import Path

import joblib

import sparse_ae

TOGETHER = 4096  # people at a time


@functools.lru_cache(maxsize=1)
def loaded(path):
    return sparse_ae.Recommender.load(path)


def lists(path, first, last, n):
    """Rows (user, item, score) for a range of users."""
    recommender = loaded(path)
    users = recommender.users_[first:last]
    found = recommender.recommend(users, n)
    return [(user, item, score) for user, of_one in zip(users.tolist(), found)
            for item, score in zip(of_one.items.tolist(), of_one.scores.tolist())]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the file of a recommender")
    parser.add_argument("-o", "--output", default="lists.csv")
    parser.add_argument("-n", type=int, default=10, help="items for each user (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=-1, help="processes of joblib; -1: one for each core")
    parsed = parser.parse_args(arguments)
    path = str(Path(parsed.model).resolve())
    n_users = len(loaded(path).users_)
    tasks = [(path, start, start + TOGETHER, parsed.n) for start in range(0, n_users, TOGETHER)]
    with open(parsed.output, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "item", "score"))
        for start in range(0, len(tasks), 64):
            for rows in joblib.Parallel(n_jobs=parsed.jobs)(
                    joblib.delayed(lists)(*task) for task in tasks[start:start + 64]):
                writer.writerows(rows)
    print("recommendations for %d users are in %s" % (n_users, parsed.output))


if __name__ == "__main__":
    import bulk_recommend  # joblib's processes import it by this name, and keep the model that they load
    bulk_recommend.main()
