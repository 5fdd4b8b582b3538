"""Is a machine better used by ranks or by threads? One rank with N threads against N ranks with one thread each.

    python ranks_or_threads.py --data ml-1m.zip       # N is 2; the machine should have nothing else to do
    python ranks_or_threads.py                        # the same on made-up ratings of that size

Both train the model that `Recommender` trains, the sparse graph in float32, on the same batches. Each has programs of
its own, since ranks that wait take a core: one with as many threads, and ranks by way of `mpiexec`, in turns. An epoch
counts with the least time that it took in any of them. Printed are the seconds of both, their ratio, and the share that
the ranks have spent in sums, waiting for one another included.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pages

import sparse_ae
from sparse_ae.data.datasets import movielens
from sparse_ae.model import AutoEncoder
from sparse_ae.trainer import Trainer

# The rate of SGD is small because an identity, unlike a sigmoid, lets large steps grow without end.
RATES = {"sgd": 1e-5, "adam": 1e-3}


def cases(parsed):
    return [(rows, update, batch) for rows in ("users", "items") for update in RATES for batch in parsed.batches]


def epochs(parsed, comm):
    """Seconds of the quickest epoch of each case, and what share of it went into sums."""
    ratings = movielens("1m", path=parsed.data).ratings if parsed.data else sparse_ae.made_up_ratings(
        6040, 3706, 1000209, step=1)[0]
    by = {"users": ratings.matrix, "items": ratings.matrix.T.tocsr()}
    found = []
    for rows, update, batch in cases(parsed):
        model = AutoEncoder(by[rows].shape[1], parsed.hidden, (1, 5), f="linear", g="sigmoid", l2=1e-3, comm=comm)
        trainer = Trainer(model, update, RATES[update], batch, "sparse", rng=0, progress=False)
        history = trainer.fit(model.ranks.part(by[rows]), 1 + parsed.epochs)[1:]  # the first compiles and warms up
        best = min(history, key=lambda record: record["seconds"])
        found.append((best["seconds"], best.get("seconds_in_sums", 0.0) / best["seconds"]))
    return found


def started(parsed, n_ranks, n_threads):
    """`epochs` of programs of their own."""
    command = [sys.executable] + (["-m", "mpi4py"] if n_ranks > 1 else []) + [os.path.abspath(__file__), "--timed"]
    command += ["--hidden", str(parsed.hidden), "--epochs", str(parsed.epochs)]
    command += ["--batches"] + [str(batch) for batch in parsed.batches]
    command += ["--data", parsed.data] if parsed.data else []
    if n_ranks > 1:
        beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))  # of a wheel, in this environment
        command = [beside or "mpiexec", "-n", str(n_ranks)] + command + ["--ranks", str(n_ranks)]
    threads = {name: str(n_threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, env=dict(os.environ, **threads), stdout=subprocess.PIPE, universal_newlines=True)
    if done.returncode:
        sys.exit("%s ended with %d" % (" ".join(command), done.returncode))
    return json.loads(done.stdout)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="MovieLens 1M: what datasets.movielens takes; made-up ratings without it")
    parser.add_argument("-n", type=int, default=2, help="threads, and ranks (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--epochs", type=int, default=3, help="timed in each program (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="programs of each kind (default: %(default)s)")
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)  # one of these programs
    parser.add_argument("--ranks", type=int, default=1, help=argparse.SUPPRESS)
    pages.add_argument(parser, __file__)
    parsed = parser.parse_args(arguments)
    if parsed.timed:
        comm = None
        if parsed.ranks > 1:
            from mpi4py import MPI
            comm = MPI.COMM_WORLD
        found = epochs(parsed, comm)
        if comm is None or not comm.Get_rank():
            print(json.dumps(found))
        return
    written = pages.Pages(__file__, parsed.write)
    table = written.table("k=%d" % parsed.hidden, "rows, update, batch", "one rank, %d threads" % parsed.n,
                          "%d ranks" % parsed.n, "ratio", "in sums")
    rounds = [(started(parsed, 1, parsed.n), started(parsed, parsed.n, 1)) for _ in range(parsed.rounds)]
    for k, (rows, update, batch) in enumerate(cases(parsed)):
        threads, ranks = (min(found[k] for found in each) for each in zip(*rounds))
        table.row("%s, %s, %d" % (rows, update, batch), "%.2f" % threads[0], "%.2f" % ranks[0],
                  "%.2f" % (ranks[0] / threads[0]), "%.0f%%" % (100 * ranks[1]))
    written.close()


if __name__ == "__main__":
    main()
