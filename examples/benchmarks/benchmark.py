"""How long does an epoch take? The three formulations and PyTorch, side by side in one run.

    python benchmark.py --data ml-1m.zip               # MovieLens 1M; without it from the cache, else synthetic
    python benchmark.py --shape 138493,26744,20000000  # MovieLens 20M's shape
    python benchmark.py --updates                      # SGD, Adam and Adagrad as Recommender trains
    python benchmark.py --data ml-1m.zip --write docs/results/speed.md README.md

All contenders start from the same parameters and take the same batches, of users as rows: plain SGD with L2, float32.
First they must agree on some steps; then they are timed in turns, the preparation of batches included. A contender
whose epoch takes too long is timed on some of its batches, and the figure, scaled up, is marked with ~.

`--updates` is about the model that `Recommender` trains: items as rows, f the identity, g a sigmoid. Adam moves every
parameter at every step. Adagrad with a decay for each rating moves only the rows in use: it is timed with ten times the
columns too, the new ones empty.
"""
import argparse
import sys
import time
from typing import NamedTuple

import numpy as np
import pages
import scipy
import scipy.sparse as sp

from sparse_ae.data import minibatches
from sparse_ae.data.datasets import movielens
from sparse_ae.model import AutoEncoder
from sparse_ae.runtime.device import device_name
from sparse_ae.training.batch import Batch
from sparse_ae.training.formulations import FORMULATIONS
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.steps import TrainingStep
import theano

L2 = 1e-3
MOVIELENS_1M = (6040, 3706, 1000209)


class Recipe(NamedTuple):
    """The model and the update that a contender computes."""

    update: str
    learning_rate: float
    f: str = "sigmoid"
    g: str = "tanh"
    l2_weighted: bool = False


THE_POST = Recipe("sgd", 1e-3)
# The rate of SGD is small because an identity, unlike a sigmoid, lets large steps grow without end.
SGD, ADAM, ADAGRAD = (Recipe(*each, f="identity", g="sigmoid", l2_weighted=each[0] == "adagrad")
                      for each in (("sgd", 1e-5), ("adam", 1e-3), ("adagrad", 0.03)))
TORCH = {"torch": "Dense", "torch-sparse": "Sparse"}  # contenders, and their classes in torch_peers


def synthetic(n_rows, n_items, n_ratings, seed=0):
    """Random ratings 0.2, 0.4 ... 1 with few busy users, many quiet ones, and items alike."""
    rng = np.random.RandomState(seed)
    rows, items = (np.exp(spread * rng.randn(n)) for n, spread in ((n_rows, 1.0), (n_items, 1.4)))
    pairs = np.zeros(0, "int64")
    while len(pairs) < n_ratings:
        draws = [rng.choice(len(x), n_ratings, p=x / x.sum()).astype("int64") for x in (rows, items)]
        pairs = np.unique(np.concatenate([pairs, draws[0] * n_items + draws[1]]))
    pairs = rng.permutation(pairs)[:n_ratings]
    values = (rng.randint(1, 6, n_ratings) / 5).astype("float32")
    matrix = sp.csr_matrix((values, (pairs // n_items, pairs % n_items)), shape=(n_rows, n_items))
    matrix.sort_indices()
    return matrix


def load(data, shape):
    """(name, CSR matrix with ratings in (0, 1])."""
    if shape:
        return "synthetic %d x %d, %d ratings" % tuple(shape), synthetic(*shape)
    try:
        matrix = movielens("1m", path=data).ratings.matrix
    except FileNotFoundError:
        if data:
            raise
        return "synthetic, of MovieLens 1M's shape: %d x %d, %d ratings" % MOVIELENS_1M, synthetic(*MOVIELENS_1M)
    matrix = matrix[:, np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0]
    matrix.data /= 5
    return "MovieLens 1M: %d x %d, %d ratings" % (matrix.shape + (matrix.nnz,)), matrix


class Ours:
    """One formulation as a contender: `start` values in, one epoch or some of its batches run."""

    def __init__(self, formulation, start, recipe=THE_POST, name=None):
        n_items, k = start[0].shape
        self.name = name or formulation
        self.model = AutoEncoder(n_items, k, f=recipe.f, g=recipe.g, l2=L2, l2_weighted=recipe.l2_weighted,
                                 W=start[0].copy(), V=start[1].copy())
        self.step = TrainingStep(self.model, formulation, UPDATES[recipe.update], recipe.learning_rate)

    def run(self, batches):
        with self.step.deferred():
            return [self.step(Batch.of(block))[1] for block in batches]

    def parameters(self):
        return [p.get_value() for p in self.model.params]


def torch_if_installed(start, recipe=THE_POST, kind="Dense", *name):
    """[a contender of `torch_peers`], or nothing, which is said."""
    try:
        import torch_peers
    except ImportError:
        print("PyTorch is not installed: left out (pip install torch)")
        return []
    return [getattr(torch_peers, kind)(start, recipe, L2, *name)]


def contenders(names, start):
    for name in names:
        if name in TORCH:
            yield from torch_if_installed(start, THE_POST, TORCH[name])
        elif name == "scan" and device_name() and theano.config.device.startswith("opencl"):
            print("Theano's scan has no code for OpenCL: left out")
        else:
            yield Ours(name, start)


def agree(all_contenders, blocks):
    """A step each for each block, from the same start; raises where errors differ by more than float32 explains.

    Parameters may differ by more: for a gradient near 0, Adam's step depends on where epsilon is added.
    """
    expected = all_contenders[0].run(blocks)
    for contender in all_contenders[1:]:
        np.testing.assert_allclose(contender.run(blocks), expected, rtol=1e-4,
                                   err_msg="%s against %s" % (contender.name, all_contenders[0].name))


def seconds_per_epoch(contender, matrix, batch_size, budget, rng):
    """(seconds, whether the whole epoch was run)."""
    time.sleep(0.2)  # the threads of the last contender's BLAS go on spinning for some tens of milliseconds
    n_batches = -(-np.count_nonzero(np.diff(matrix.indptr)) // batch_size)
    done, start = 0, time.perf_counter()
    batches = (block for _, block in minibatches(matrix, batch_size, rng))

    def within_budget():
        nonlocal done
        for block in batches:
            yield block
            done += 1
            if time.perf_counter() - start > budget:
                return

    contender.run(within_budget())
    seconds = time.perf_counter() - start
    return seconds * n_batches / done, done == n_batches



def timed(title, field, batch_size, rounds, budget, rng, table):
    """Print the table of contenders and their matrices, in turns; returns {name: median seconds per epoch}."""
    times, scaled = {}, set()
    for _ in range(rounds):
        for contender, matrix in field:
            seconds, whole = seconds_per_epoch(contender, matrix, batch_size, budget, rng)
            times.setdefault(contender.name, []).append(seconds)
            if not whole:
                scaled.add(contender.name)
    for contender, _ in field:
        if not all(np.isfinite(x).all() for x in contender.parameters()):
            raise AssertionError("%s has diverged: its epochs say nothing" % contender.name)
    medians, first = {name: float(np.median(x)) for name, x in times.items()}, field[0][0].name
    shown = table(title, "", "seconds", "min ... max", "against " + first)
    for name, x in times.items():
        shown.row(name, ("~" if name in scaled else "") + pages.three_digits(medians[name]),
                  " ... ".join(map(pages.three_digits, (min(x), max(x)))),
                  pages.three_digits(medians[name] / medians[first]))
    return medians


def start_values(n_items, k, rng):
    """W and V."""
    return [rng.uniform(-0.05, 0.05, shape).astype("float32") for shape in ((n_items, k), (k, n_items))]


def race(matrix, args, batch_size, table):
    """Print the table of all contenders; returns {name: median seconds per epoch}."""
    rng = np.random.RandomState(0)
    field = list(contenders(args.contenders, start_values(matrix.shape[1], args.k, rng)))
    agree(field, [matrix[:min(batch_size, 16)]] * 3)
    return timed("k=%d, batch %d" % (args.k, batch_size), [(each, matrix) for each in field], batch_size, args.rounds,
                 args.budget, rng, table)


def updates(ratings, args, batch_size, table):
    """Print the table for ratings of users by items; returns {name: median seconds per epoch}."""
    rng = np.random.RandomState(0)
    matrix = ratings.T.tocsr()
    # Spread evenly, ten times the columns: in use are as many as before.
    wide = sp.csr_matrix((matrix.data, 10 * matrix.indices, matrix.indptr), (matrix.shape[0], 10 * matrix.shape[1]))
    start = start_values(matrix.shape[1], args.k, rng)
    of_adam = [Ours("sparse", start, ADAM, "Adam")] + torch_if_installed(start, ADAM, "Dense", "Adam in PyTorch, dense")
    agree(of_adam, [matrix[:min(batch_size, 16)]] * 3)
    field = [(each, matrix) for each in [Ours("sparse", start, SGD, "SGD"), *of_adam,
                                         Ours("sparse", start, ADAGRAD, "Adagrad")]]
    field.append((Ours("sparse", start_values(wide.shape[1], args.k, rng), ADAGRAD, "Adagrad, ten times the columns"),
                  wide))
    return timed("items as rows, k=%d, batch %d" % (args.k, batch_size), field, batch_size, args.rounds, args.budget,
                 rng, table)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", help="archive, folder or file of MovieLens 1M")
    parser.add_argument("--shape", type=lambda s: [int(x) for x in s.split(",")],
                        help="ROWS,ITEMS,RATINGS of a synthetic matrix")
    parser.add_argument("--k", type=int, default=500, help="hidden units (default %(default)s)")
    parser.add_argument("--batch", type=int, nargs="+",
                        help="rows in a batch (default 64 and 512; with --updates 256)")
    parser.add_argument("--contenders", nargs="+", default=["sparse", "dense", "torch", "torch-sparse", "scan"],
                        choices=list(FORMULATIONS) + list(TORCH), help="the first is what the others are compared with")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is timed (default %(default)s)")
    parser.add_argument("--budget", type=float, default=10,
                        help="seconds after which a turn is cut short (default %(default)s)")
    parser.add_argument("--updates", action="store_true", help="compare updates of the model that Recommender trains")
    pages.add_argument(parser, __file__)
    args = parser.parse_args(argv)
    written = pages.Pages(__file__, args.write)
    name, matrix = load(args.data, args.shape)
    print(name)

    def table(title, *columns):
        return written.table("%s, %s" % (name.partition(":")[0], title), *columns)

    judge, sizes = (updates, [256]) if args.updates else (race, [64, 512])
    for batch_size in args.batch or sizes:
        judge(matrix, args, batch_size, table)
    more = ["Theano " + theano.__version__, "SciPy " + scipy.__version__]
    more += ["PyTorch " + sys.modules["torch"].__version__] if "torch" in sys.modules else []
    written.close(*more + [device for device in [device_name()] if device])


if __name__ == "__main__":
    main()
