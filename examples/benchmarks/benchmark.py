"""How long does an epoch take? The three formulations and PyTorch, side by side in one run.

    python benchmark.py --data ml-1m.zip    # MovieLens 1M; without it from the cache, else synthetic
    python benchmark.py --updates           # SGD, Adam and Adagrad as Recommender trains

All start from the same parameters and take the same batches, of users as rows: plain SGD with L2, float32. First they
must agree on some steps; then they are timed in turns, the preparation of batches included. A figure that is scaled up
from some of the batches is marked with ~.

`--updates` is about the model that `Recommender` trains: items as rows, f the identity, g a sigmoid. Adagrad with a
decay for each rating moves only the rows in use: it is timed with ten times the columns too, the new ones empty.
"""
import sys
import time
from typing import NamedTuple

import numpy as np
import scipy
import scipy.sparse as sp
from common import arguments, optional, parser_of, three_digits

from sparse_ae import made_up_ratings, movielens
from sparse_ae.data import minibatches
from sparse_ae.model import AutoEncoder
from sparse_ae.runtime.device import device_name
from sparse_ae.training.batch import Batch
from sparse_ae.training.formulations import FORMULATIONS
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.steps import TrainingStep
import theano

L2, K, BATCHES, BATCH_OF_UPDATES = 1e-3, 500, (64, 512), 256
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


def load(data):
    """(name, CSR matrix with ratings in (0, 1])."""
    try:
        name, matrix = "MovieLens 1M", movielens("1m", path=data).ratings.matrix
    except FileNotFoundError:
        if data:
            raise
        name, matrix = "synthetic, of MovieLens 1M's shape", made_up_ratings(*MOVIELENS_1M, step=1)[0].matrix
    matrix = matrix[:, np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0]
    matrix.data /= 5
    return "%s: %d x %d, %d ratings" % ((name,) + matrix.shape + (matrix.nnz,)), matrix


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
    peers = optional("torch_peers")
    return [getattr(peers, kind)(start, recipe, L2, *name)] if peers else []


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


def timed(title, field, batch_size, args, rng, table):
    """Print the table of contenders and their matrices, which take turns."""
    times, scaled = {}, set()
    for _ in range(args.rounds):
        for contender, matrix in field:
            seconds, whole = seconds_per_epoch(contender, matrix, batch_size, args.budget, rng)
            times.setdefault(contender.name, []).append(seconds)
            if not whole:
                scaled.add(contender.name)
    for contender, _ in field:
        if not all(np.isfinite(x).all() for x in contender.parameters()):
            raise AssertionError("%s has diverged: its epochs say nothing" % contender.name)
    medians, first = {name: float(np.median(x)) for name, x in times.items()}, field[0][0].name
    shown = table(title, "", "seconds", "min ... max", "against " + first)
    for name, x in times.items():
        shown.row(name, ("~" if name in scaled else "") + three_digits(medians[name]),
                  " ... ".join(map(three_digits, (min(x), max(x)))),
                  three_digits(medians[name] / medians[first]))


def start_values(n_items, rng):
    """W and V."""
    return [rng.uniform(-0.05, 0.05, shape).astype("float32") for shape in ((n_items, K), (K, n_items))]


def race(matrix, args, table):
    """Print the tables of all contenders."""
    for batch_size in BATCHES:
        rng = np.random.RandomState(0)
        field = list(contenders(args.contenders, start_values(matrix.shape[1], rng)))
        agree(field, [matrix[:min(batch_size, 16)]] * 3)
        timed("k=%d, batch %d" % (K, batch_size), [(each, matrix) for each in field], batch_size, args, rng, table)


def updates(ratings, args, table):
    """Print the table of updates, for ratings of users by items."""
    rng, matrix = np.random.RandomState(0), ratings.T.tocsr()
    # Spread evenly, ten times the columns: in use are as many as before.
    wide = sp.csr_matrix((matrix.data, 10 * matrix.indices, matrix.indptr), (matrix.shape[0], 10 * matrix.shape[1]))
    start = start_values(matrix.shape[1], rng)
    of_adam = [Ours("sparse", start, ADAM, "Adam")] + torch_if_installed(start, ADAM, "Dense", "Adam in PyTorch, dense")
    agree(of_adam, [matrix[:16]] * 3)
    field = [(each, matrix) for each in [Ours("sparse", start, SGD, "SGD"), *of_adam,
                                         Ours("sparse", start, ADAGRAD, "Adagrad")]]
    field.append((Ours("sparse", start_values(wide.shape[1], rng), ADAGRAD, "Adagrad, ten times the columns"), wide))
    timed("items as rows, k=%d, batch %d" % (K, BATCH_OF_UPDATES), field, BATCH_OF_UPDATES, args, rng, table)


def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--data", help="archive, folder or file of MovieLens 1M")
    parser.add_argument("--contenders", nargs="+", default=["sparse", "dense", "torch", "torch-sparse", "scan"],
                        choices=list(FORMULATIONS) + list(TORCH), help="the first is what the others are compared with")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is timed (default %(default)s)")
    parser.add_argument("--budget", type=float, default=10,
                        help="seconds after which a turn is cut short (default %(default)s)")
    parser.add_argument("--updates", action="store_true", help="compare updates of the model that Recommender trains")
    args, written = arguments(parser, __file__, argv)
    name, matrix = load(args.data)
    print(name)

    def table(title, *columns):
        return written.table("%s, %s" % (name.partition(":")[0], title), *columns)

    (updates if args.updates else race)(matrix, args, table)
    more = ["Theano " + theano.__version__, "SciPy " + scipy.__version__]
    more += ["PyTorch " + sys.modules["torch"].__version__] if "torch" in sys.modules else []
    written.close(*more + [device for device in [device_name()] if device])


if __name__ == "__main__":
    main()
