"""What if the ratings are too many for one machine? The columns are shared out over several, and nothing big travels.

    mpiexec -n 2 python -m mpi4py examples/benchmarks/many_machines.py --ratings 1e6 --folder many
    python many_machines.py --plan 1e9,1e6,1e11 --ranks 1000 --gbit 100

The first makes up ratings, stores them in as many parts as there are ranks, trains, and compares with the right
answers, which are known. It prints seconds, and what each rank has put into sums, for each epoch; and the memory of
each rank: its own ("own") and that of mapped files, which the system takes back when it needs to ("files"). A store
that is there already is used as it is. The model is left beside it, in a folder to which each rank writes its part.

The second trains nothing. For users, items and ratings, on so many ranks with such a network, it prints what each rank
would need: memory, and seconds for each epoch of computing and of sums; and beside that what it would take to sum all
gradients, which is the usual way. How fast one core computes is measured on the spot, for some seconds; the latency of
a network, 20 us, is assumed. The model behind it:

    computing   ratings / ranks * k * (seconds for a rating and a hidden unit)
                + updates * columns / ranks * 2 k * (seconds for a parameter that Adam moves)
    sums        rows * 16 k bytes / bandwidth  +  updates * 2 * latency * log2(ranks)
    gradients   updates * columns * 2 k * 8 bytes / bandwidth

An epoch has rows / batch updates. 16 k: two sums of k float32 numbers for each row, and an allreduce that sends each
number about twice. As rows, take the side that has fewer: columns can be as many as you like. Parameters are those of
W and V; beside biases there is a second encoder, half as much again. A `Recommender` has the ids and the offsets of all
users and items on each rank, a `Trainer` has neither.
"""
import argparse
import math
import os
import sys
import time

import numpy as np

import sparse_ae
from sparse_ae.data.synthetic import rating_chunks, tastes
from sparse_ae.training.batch import Batch

LATENCY = 20e-6


def memory():
    """MB of the process's own memory and of mapped files, where the system says it (Linux)."""
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        return tuple(int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    except (OSError, KeyError):
        return float("nan"), float("nan")


class NobodyElse:
    """A communicator of two, of which the other has nothing to say: to time a rank's own work."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 2

    def Allreduce(self, values, total):
        total[...] = values

    def allgather(self, value):
        return [value, value]

    gather = allgather

    def Barrier(self):
        pass

    def Abort(self, status):
        sys.exit(status)


def seconds_of_an_update(update, n_columns, k, n_rows, per_row, seed=0):
    """Least seconds of a mini-batch of `n_rows` rows, each with about `per_row` ratings on this rank."""
    from sparse_ae.model import AutoEncoder
    from sparse_ae.training.optimisers import UPDATES, make_step
    matrix = sparse_ae.made_up_ratings(n_rows, n_columns, n_rows * per_row, rng=seed)[0].matrix
    model = AutoEncoder(2 * n_columns, k, (1, 5), f="linear", g="sigmoid", comm=NobodyElse())
    step, times = make_step(model, "sparse", UPDATES[update], 1e-4), []
    with step.deferred():
        for _ in range(7):
            start = time.perf_counter()
            step(Batch.of(matrix))
            times.append(time.perf_counter() - start)
    return min(times[2:])  # what it took beyond that is the work of others


def measured(k):
    """Seconds for a rating and a hidden unit, and for a parameter that Adam moves."""
    n_rows, per_row, n_columns = 256, 200, 4000
    sgd = seconds_of_an_update("sgd", n_columns, k, n_rows, per_row)
    few, many = (seconds_of_an_update("adam", n, k, 32, 8) for n in (2000, 20000))
    return sgd / (n_rows * per_row * k), max(0.0, many - few) / (18000 * 2 * k)


def plan(n_users, n_items, n_ratings, n_ranks, gbit, k, batch, constants):
    """Lines of the cost model."""
    per_rating, per_parameter = constants
    n_rows, n_columns = sorted((n_users, n_items))
    updates, bandwidth = math.ceil(n_rows / batch), gbit * 1e9 / 8
    parameters = 2 * k * n_columns / n_ranks
    gb = {"ratings (mapped from disk)": 8 * n_ratings / n_ranks + 8 * n_rows,
          "parameters": 4 * parameters, "what Adam keeps beside them": 8 * parameters,
          "a mini-batch's hidden units": 5 * 4 * batch * k,
          "ids and offsets, Recommender": 17 * (n_users + n_items)}
    compute, adam = n_ratings / n_ranks * k * per_rating, updates * parameters * per_parameter
    sums = n_rows * 16 * k / bandwidth + updates * 2 * LATENCY * math.log2(max(2, n_ranks))
    gradients = updates * 2 * k * n_columns * 8 / bandwidth
    decides = 16 / (bandwidth * per_rating)
    rows = "users" if n_rows == n_users else "items"
    yield ("%s as rows: %.3g rows, %.3g columns, %.3g ratings; k=%d, mini-batches of %d, %d ranks, %g Gbit/s"
           % (rows, n_rows, n_columns, n_ratings, k, batch, n_ranks, gbit))
    yield ("measured here, one core: %.2g s for a rating and a hidden unit, %.2g s for a parameter that Adam moves; "
           "assumed: %.2g s for a message" % (*constants, LATENCY))
    yield "memory for each rank:"
    for name, size in gb.items():
        yield "    %-30s %10.3f GB" % (name, size / 1e9)
    yield "an epoch:"
    for name, seconds in [("computing, SGD", compute), ("computing, Adam", compute + adam), ("sums, as here", sums),
                          ("summing all gradients instead", gradients)]:
        yield "    %-30s %10s" % (name, duration(seconds))
    yield ("the network decides where a row has fewer than %.3g ratings on a rank; here it has %.3g"
           % (decides, n_ratings / n_rows / n_ranks))
    if adam > 4 * compute:
        yield ("Adam moves all parameters in each update, which takes %s of an epoch. So many columns need plain SGD, "
               "which moves those in use, update='sgd' with biases=False; or larger mini-batches, for fewer updates."
               % duration(adam))


def duration(seconds):
    if seconds < 100:
        return "%.3g s" % seconds
    return "%.3g min" % (seconds / 60) if seconds < 6000 else "%.3g h" % (seconds / 3600)


def train(comm, parsed):
    rank, size = comm.Get_rank(), comm.Get_size()
    n_ratings, store = int(parsed.ratings), os.path.join(parsed.folder, "store")
    n_users = parsed.users or max(1, n_ratings // 200)
    taste = None
    if not rank:  # the others needn't know
        taste = tastes(n_users, parsed.items, rng=parsed.seed)
        if not os.path.exists(store):
            os.makedirs(parsed.folder, exist_ok=True)
            start = time.perf_counter()
            sparse_ae.store_ratings(rating_chunks(taste, n_ratings, step=1, rng=parsed.seed), store, parsed.rows,
                                    parts=size)
            print("%d ratings, %d users, %d items, stored in %d parts: %.1f s"
                  % (n_ratings, n_users, parsed.items, size, time.perf_counter() - start), flush=True)
    comm.Barrier()
    stored = sparse_ae.open_ratings(store, comm=comm)

    def on_epoch(record):
        own, files = zip(*comm.allgather(memory()))
        if not rank:
            print("epoch %d: RMSE %.4f, %.1f s, of which %.1f s in sums of %.3f MB; MB of each rank: own %s, files %s"
                  % (record["epoch"], record["train_rmse"], record["seconds"], record.get("seconds_in_sums", 0.0),
                     record.get("bytes_summed", 0) / 1e6, "/".join("%.0f" % each for each in own),
                     "/".join("%.0f" % each for each in files)), flush=True)

    recommender = sparse_ae.Recommender(n_hidden=parsed.hidden, rows=parsed.rows, l2=10, update=parsed.update,
                                        learning_rate=parsed.learning_rate, batch_size=parsed.batch,
                                        n_epochs=parsed.epochs, rng=parsed.seed)
    recommender.fit(stored, validation=None, on_epoch=on_epoch, comm=comm)
    recommender.save(os.path.join(parsed.folder, "model"), parts=True)

    rng = np.random.RandomState(parsed.seed + 1)  # all ranks ask for the same
    users, items = rng.choice(recommender.users_, 100000), rng.choice(recommender.items_, 100000)
    predicted = recommender.predict(users, items)
    if rank:
        return None
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
    parser.add_argument("--rows", choices=["users", "items"], default="users")
    parser.add_argument("--hidden", type=int, default=100)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--update", default="adam")
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", default="many", help="made for the store; 20 bytes a rating while it is made")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plan", metavar="USERS,ITEMS,RATINGS", help="such as 1e9,1e6,1e11: print the cost model")
    parser.add_argument("--ranks", type=int, default=100, help="of the plan")
    parser.add_argument("--gbit", type=float, default=10, help="the network's bandwidth for each rank, of the plan")
    parsed = parser.parse_args(arguments)
    if parsed.plan:
        sizes = [float(each) for each in parsed.plan.split(",")]
        if len(sizes) != 3 or min(sizes) < 1:
            parser.error("--plan is %r; expected three numbers, users, items and ratings" % parsed.plan)
        for line in plan(*sizes, parsed.ranks, parsed.gbit, parsed.hidden, parsed.batch, measured(parsed.hidden)):
            print(line)
        return None
    if comm is None:
        from mpi4py import MPI
        comm = MPI.COMM_WORLD
    return train(comm, parsed)


if __name__ == "__main__":
    main()
