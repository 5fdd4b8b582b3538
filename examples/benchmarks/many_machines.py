"""What if the ratings are too many for one machine? The columns are shared out over several, and nothing big travels.

    mpiexec -n 2 python -m mpi4py examples/benchmarks/many_machines.py --ratings 1e6 --folder many

It makes synthetic ratings, stores them, trains, and compares with the right answers, which are known. It prints the
seconds of each epoch, what each rank has put into sums, and the memory of each rank: its own ("own") and that of mapped
files, which the system takes back when it needs to ("files"). An existing store is used as it is. The model is left
beside it.
"""
import argparse
import os
import time

import numpy as np
from common import memory

import sparse_ae
from sparse_ae.data.synthetic import rating_chunks, tastes


def train(comm, parsed):
    rank = comm.Get_rank()
    n_ratings, store = int(parsed.ratings), os.path.join(parsed.folder, "store")
    n_users = parsed.users or max(1, n_ratings // 200)
    taste = None
    if not rank:  # the others needn't know
        taste = tastes(n_users, parsed.items, rng=0)
        if not os.path.exists(store):
            os.makedirs(parsed.folder, exist_ok=True)
            start = time.perf_counter()
            sparse_ae.store_ratings(rating_chunks(taste, n_ratings, step=1, rng=0), store, "users")
            print("%d ratings, %d users, %d items, stored in %.1f s"
                  % (n_ratings, n_users, parsed.items, time.perf_counter() - start), flush=True)
    comm.Barrier()
    stored = sparse_ae.open_ratings(store)

    def on_epoch(record):
        own, files = zip(*comm.allgather(memory("RssAnon", "RssFile")))
        if not rank:
            print("epoch %d: RMSE %.4f, %.1f s, of which %.1f s in sums of %.3f MB; MB of each rank: own %s, files %s"
                  % (record["epoch"], record["train_rmse"], record["seconds"], record.get("seconds_in_sums", 0.0),
                     record.get("bytes_summed", 0) / 1e6, "/".join("%.0f" % each for each in own),
                     "/".join("%.0f" % each for each in files)), flush=True)

    recommender = sparse_ae.Recommender(n_hidden=parsed.hidden, rows="users", l2=10, update="adam",
                                        learning_rate=parsed.learning_rate, batch_size=parsed.batch,
                                        n_epochs=parsed.epochs, rng=0)
    recommender.fit(stored, validation=None, on_epoch=on_epoch, comm=comm)
    if rank:  # all have the same recommender
        return None
    recommender.save(os.path.join(parsed.folder, "model.npz"))
    rng = np.random.RandomState(1)
    users, items = rng.choice(recommender.users_, 100000), rng.choice(recommender.items_, 100000)
    predicted = recommender.predict(users, items)
    right = taste(users, items)
    rmse = {"mean": sparse_ae.rmse(right, np.full(len(right), recommender.mean_)),
            "model": sparse_ae.rmse(right, predicted)}
    print("RMSE from the right answers: %.3f (the mean rating: %.3f)" % (rmse["model"], rmse["mean"]))
    return rmse


def main(arguments=None, comm=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=float, default=1e6)
    parser.add_argument("--users", type=int, help="default: a user for 200 ratings")
    parser.add_argument("--items", type=int, default=20000)
    parser.add_argument("--hidden", type=int, default=100)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", default="many", help="made for the store; 20 bytes a rating while it is made")
    parsed = parser.parse_args(arguments)
    if comm is None:
        from mpi4py import MPI
        comm = MPI.COMM_WORLD
    return train(comm, parsed)


if __name__ == "__main__":
    main()
