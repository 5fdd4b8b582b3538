"""How long does an epoch take? The three formulations and PyTorch, side by side in one run. Or: how long do lists take?

    python benchmark.py --data ml-1m.zip               # MovieLens 1M from a file of yours
    python benchmark.py                                # from the cache, else a synthetic matrix of its shape
    python benchmark.py --shape 138493,26744,20000000  # MovieLens 20M's shape
    python benchmark.py --updates                      # SGD, Adam and Adagrad as Recommender trains
    python benchmark.py --lists                        # the ten best items for every user, beside implicit
    python benchmark.py --updates --floor              # and what share of the machine's speed that is
    python benchmark.py --data ml-1m.zip --write docs/results/speed.md README.md

All contenders start from the same parameters and take the same batches, of users as rows: plain SGD with L2, float32.
First they must agree on a step; then they are timed in turns, the preparation of batches included. A contender whose
epoch takes too long is timed on some of its batches, and the figure, scaled up, is marked with ~. On a GPU the card's
bandwidth is printed too, and beside it what each has to move.

`--updates` is about the model that `Recommender` trains: items as rows, f the identity, g a sigmoid, the sparse graph.
Adam moves every parameter at every step, so it can hope for SGD's epoch and one pass over all parameters: that is the
library's own pass, with gradients that are there already, timed alone. Adagrad with a decay for each rating has to move
no row but those in use, however many there are: it is timed also with ten times the columns, the new ones empty.

Lists are made of what each user has not rated, by `recommend`, and for comparison from the same factors, users' and
items', by implicit's top-n, and by NumPy: a product of matrices, and argpartition. The others are given the factors;
`recommend` has to find them: with users as rows it encodes every user's ratings each time.

`--floor` measures the machine: how fast NumPy multiplies two large matrices, and how fast all CPUs together read and
write memory, in place. It tells what share of the two each contender reaches by the least that it has to do. Of
calculation that is products, of which each entry takes five with 2 k operations, and nothing of nonlinearities and
updates. Of memory it is, batch by batch, what has to be read of W and V, and what an update has to read and write of
them and of its own, as if all else stayed in the caches. Where W and V stay there too, the share is too large.
"""
import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pages
import scipy
import scipy.sparse as sp

from sparse_ae.data import Ratings, minibatches
from sparse_ae.data.datasets import movielens
from sparse_ae.model import AutoEncoder
from sparse_ae.ops import fast_mode
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.runtime.device import device_name
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.training.batch import Batch
from sparse_ae.training.formulations import FORMULATIONS
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano

L2 = 1e-3
PRINTED = pages.Pages(__file__).table  # where nobody asks for tables on pages
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
KEPT = {"sgd": 0, "adagrad": 1, "adam": 2}  # what an update keeps for a parameter, in numbers


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
        self.name, self.formulation, self.recipe = name or formulation, formulation, recipe
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


def agree(all_contenders, block):
    """One step each, from the same start; raises where parameters or errors differ by more than float32 explains."""
    first = all_contenders[0]
    for contender in all_contenders:
        contender.error = contender.run([block])[0]
        pair = "%s against %s" % (contender.name, first.name)
        np.testing.assert_allclose(contender.error, first.error, rtol=1e-4, err_msg=pair)
        for x, y in zip(contender.parameters(), first.parameters()):
            np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5, err_msg=pair)


def agree_in_errors(all_contenders, blocks):
    """A step each for each block, from the same start; raises where errors differ by more than float32 explains.

    That Adam's parameters agree can't be asked: for a gradient near 0 its step depends on where epsilon is added.
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


def bytes_to_move(name, matrix, k, batch_size):
    """Bytes that an epoch of a formulation must read and write of a GPU's memory at least; None if not known."""
    n_items, n_batches = matrix.shape[1], -(-matrix.shape[0] // batch_size)
    if name == "sparse":
        # For a rating: rows of V and W forth, of hidden units and their slopes back. Rows in use: read and written.
        used = sum(len(np.unique(matrix[start:start + batch_size].indices))
                   for start in range(0, matrix.shape[0], batch_size))
        return 16 * k * (matrix.nnz + used)
    if name == "dense":
        # V and W: read forth, read and written when updated. Ratings, mask, outputs and errors: once each.
        return n_batches * n_items * (24 * k + 13 * batch_size)
    return None


def bandwidth():
    """Bytes that the GPU in use reads and writes in a second, by copying 256 MB ten times."""
    import pygpu

    from theano.gpuarray.type import get_context
    source = pygpu.zeros((2 ** 26,), dtype="float32", context=get_context(None))
    best = 0
    for _ in range(10):
        source.sync()
        start = time.perf_counter()
        source.copy().sync()
        best = max(best, 2 * 2 ** 28 / (time.perf_counter() - start))
    return best


def gpu():
    """The GPU in use, with its driver's version where nvidia-smi tells it; None without one."""
    if device_name() is None:
        return None
    try:
        asked = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                               stdout=subprocess.PIPE, universal_newlines=True).stdout.split()
    except OSError:
        asked = []
    return "%s (%s), driver %s, %.0f GB/s" % (device_name(), theano.config.device, asked[0] if asked else "unknown",
                                              bandwidth() / 1e9)


def machine():
    found = [pages.machine(), "Theano " + theano.__version__, "SciPy " + scipy.__version__]
    if "torch" in sys.modules:
        found.append("PyTorch " + sys.modules["torch"].__version__)
    return "; ".join(found + [card for card in [gpu()] if card])


class Floor(NamedTuple):
    """The CPUs at their best: operations and bytes in a second."""

    operations: float
    bytes: float


def measured_floor(n=2048, n_bytes=2 ** 28):
    """By a product of two (n, n) matrices of float32, and by negating some arrays of `n_bytes` in all, in place."""
    x = np.random.RandomState(0).rand(2, n, n).astype("float32")
    n_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [np.ones(n_bytes // 4 // n_cpus, "float32") for _ in range(n_cpus)]
    with ThreadPoolExecutor(n_cpus) as pool:
        moving = fastest(lambda: list(pool.map(lambda part: np.negative(part, out=part), parts)))
    return Floor(2 * n ** 3 / fastest(lambda: x[0].dot(x[1])), 2 * sum(part.nbytes for part in parts) / moving)


def fastest(function, times=8):
    """Seconds that it takes at best."""
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def least_work(formulation, update, matrix, k, batch_size):
    """(operations, bytes) of an epoch, as `--floor` counts them."""
    n_batches = -(-matrix.shape[0] // batch_size)
    entries, read = matrix.shape[0] * matrix.shape[1], n_batches * matrix.shape[1]
    moved = read
    if formulation == "sparse":
        entries, read = matrix.nnz, sum(len(np.unique(matrix[start:start + batch_size].indices))
                                        for start in range(0, matrix.shape[0], batch_size))
        moved = moved if update == "adam" else read
    # Five products: V r, W h, and the slopes of h, W and V. Rows of W and V are read forth, and when updated are read
    # and written with what is kept for them.
    return 10 * k * entries, 2 * k * 4 * (read + 2 * (1 + KEPT[update]) * moved)


def print_shares(title, floor, seconds, work, table=PRINTED):
    """The share of the machine's speed that each of {name: seconds} reaches, where its {name: work} is known."""
    shares = table(title + ", share of the machine's speed", "share of",
                   "%.0f GFLOP/s, as matrices are multiplied" % (floor.operations / 1e9),
                   "%.0f GB/s, as memory is read and written" % (floor.bytes / 1e9))
    for name, (operations, n_bytes) in work.items():
        shares.row(name, "%.1f%%" % (100 * operations / seconds[name] / floor.operations),
                   "%.1f%%" % (100 * n_bytes / seconds[name] / floor.bytes))


def print_times(title, times, first, scaled=(), table=PRINTED):
    """The table of {name: seconds of each round}; returns the medians."""
    medians = {name: float(np.median(x)) for name, x in times.items()}
    shown = table(title, "", "seconds", "min ... max", "against " + first)
    for name, x in times.items():
        shown.row(name, ("~" if name in scaled else "") + pages.three_digits(medians[name]),
                  " ... ".join(map(pages.three_digits, (min(x), max(x)))),
                  pages.three_digits(medians[name] / medians[first]))
    return medians


def start_values(n_items, k, rng):
    """W and V."""
    return [rng.uniform(-0.05, 0.05, shape).astype("float32") for shape in ((n_items, k), (k, n_items))]


def race(matrix, k, batch_size, names, rounds, budget, seed=0, floor=None, table=PRINTED):
    """Prints the table; returns {name: median seconds per epoch}."""
    rng = np.random.RandomState(seed)
    field = list(contenders(names, start_values(matrix.shape[1], k, rng)))
    agree(field, matrix[:min(batch_size, 16)])
    times = {contender.name: [] for contender in field}
    scaled = set()
    for _ in range(rounds):
        for contender in field:
            seconds, whole = seconds_per_epoch(contender, matrix, batch_size, budget, rng)
            times[contender.name].append(seconds)
            if not whole:
                scaled.add(contender.name)
    title = "k=%d, batch %d" % (k, batch_size)
    medians = print_times(title, times, field[0].name, scaled, table)
    for name in times if device_name() else []:
        moved = bytes_to_move(name, matrix, k, batch_size)
        if moved:
            print("%s: %.1f GB to move at least, at %.0f GB/s" % (name, moved / 1e9, moved / 1e9 / medians[name]))
    if floor:
        print_shares(title, floor, medians, {
            each.name: least_work(each.formulation, each.recipe.update, matrix, k, batch_size) for each in field
            if each.formulation != "scan"}, table)
    return medians


def adams_pass(start):
    """A function without arguments: Adam's pass over all parameters, with gradients that are there already.

    Only the weight decay's part of them is still to be added, as in a step.
    """
    model = AutoEncoder(*start[0].shape, W=start[0].copy(), V=start[1].copy())
    with model.building():
        gradients = [theano.shared(np.full_like(p.get_value(borrow=True), 1e-3)) for p in model.params]
        slopes = [gradient + np.float32(2 * L2) * p if p.ndim == 2 else gradient
                  for gradient, p in zip(gradients, model.params)]
        changes = lasagne.updates.adam(slopes, model.params, np.float32(ADAM.learning_rate))
        return theano.function([], updates=changes, mode=fast_mode())


def updates(ratings, k, batch_size, rounds, budget, seed=0, floor=None, table=PRINTED):
    """Prints the table for ratings of users by items; returns {name: median seconds per epoch}."""
    rng = np.random.RandomState(seed)
    matrix = ratings.T.tocsr()
    # Spread evenly, ten times the columns: in use are as many as before.
    wide = sp.csr_matrix((matrix.data, 10 * matrix.indices, matrix.indptr), (matrix.shape[0], 10 * matrix.shape[1]))
    start = start_values(matrix.shape[1], k, rng)
    field = [(Ours("sparse", start, SGD, "SGD"), matrix), (Ours("sparse", start, ADAM, "Adam"), matrix)]
    field += [(each, matrix) for each in torch_if_installed(start, ADAM, "Dense", "Adam in PyTorch, dense")]
    agree_in_errors([each for each, _ in field[1:]], [matrix[:min(batch_size, 16)]] * 3)
    field += [(Ours("sparse", start, ADAGRAD, "Adagrad"), matrix),
              (Ours("sparse", start_values(wide.shape[1], k, rng), ADAGRAD, "Adagrad, ten times the columns"), wide)]
    one_pass, n_passes = adams_pass(start), -(-np.count_nonzero(np.diff(matrix.indptr)) // batch_size)
    times, scaled = {each.name: [] for each, _ in field}, set()
    times["Adam's pass alone"] = []
    for _ in range(rounds):
        for contender, its_matrix in field:
            seconds, whole = seconds_per_epoch(contender, its_matrix, batch_size, budget, rng)
            times[contender.name].append(seconds)
            if not whole:
                scaled.add(contender.name)
        start_of_passes = time.perf_counter()
        for _ in range(n_passes):
            one_pass()
        times["Adam's pass alone"].append(time.perf_counter() - start_of_passes)
    for contender, _ in field:
        if not all(np.isfinite(x).all() for x in contender.parameters()):
            raise AssertionError("%s has diverged: its epochs say nothing" % contender.name)
    title = "items as rows, k=%d, batch %d" % (k, batch_size)
    medians = print_times(title, times, "SGD", scaled, table)
    hope = medians["SGD"] + medians["Adam's pass alone"]
    print("\nAdam takes %.2f of SGD's epoch and the pass." % (medians["Adam"] / hope))
    print("Adagrad takes %.2f of SGD's epoch, and %.2f of its own with ten times the columns." % (
        medians["Adagrad"] / medians["SGD"], medians["Adagrad, ten times the columns"] / medians["Adagrad"]))
    if "Adam in PyTorch, dense" in medians:
        print("PyTorch takes %.2f of Adam's epoch." % (medians["Adam in PyTorch, dense"] / medians["Adam"]))
    if floor:
        work = {each.name: least_work(each.formulation, each.recipe.update, its_matrix, k, batch_size)
                for each, its_matrix in field}
        gradient = 8 * k * matrix.shape[1]
        work["Adam's pass alone"] = 0, n_passes * gradient * (1 + 2 * (1 + KEPT["adam"]))
        print_shares(title, floor, medians, work, table)
    return medians


def factors(recommender, matrix):
    """Factors of users and of items whose products order a user's items as the model's outputs do."""
    model = recommender.model_
    W, b = model.W.get_value(), model.b.get_value()
    if recommender.rows == "items":
        return W, Outputs(model).hidden(Batch.of(matrix.T.tocsr()))  # a user's b is the same for all items
    h = Outputs(model).hidden(Batch.of(matrix))
    return np.column_stack([h, np.ones(len(h), h.dtype)]), np.column_stack([W, b])


def lists_of_numpy(of_users, of_items, matrix, n, together=512):
    """The n best unrated items of each user, (n_users, n)."""
    found = np.empty((len(of_users), n), int)
    for start in range(0, len(of_users), together):
        scores = of_users[start:start + together].dot(of_items.T)
        seen = matrix[start:start + together].tocoo()
        scores[seen.row, seen.col] = -np.inf
        best = np.argpartition(-scores, n, axis=1)[:, :n]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found[start:start + together] = np.take_along_axis(best, order, axis=1)
    return found


def list_makers(recommender, matrix, n):
    """{name: function that makes the lists of all users}."""
    of_users, of_items = factors(recommender, matrix)
    users = np.arange(matrix.shape[0])
    makers = {"recommend": lambda: [found.items for found in recommender.recommend(users, n)]}
    try:
        from implicit.cpu.topk import topk
        makers["implicit"] = lambda: topk(of_items, of_users, n, filter_query_items=matrix)[0]
    except ImportError:
        print("implicit is not installed: left out (pip install implicit)")
    makers["NumPy"] = lambda: lists_of_numpy(of_users, of_items, matrix, n)
    return makers


def lists(matrix, k, n, rounds, floor=None, table=PRINTED):
    """Prints the tables; returns {rows: {name: median seconds}}."""
    matrix = matrix[np.diff(matrix.indptr) > 0]
    matrix = matrix[:, np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0]
    medians = {}
    for rows in ("items", "users"):
        recommender = Recommender(k, rows, biases=False, n_epochs=1, progress=False)
        recommender.fit(Ratings(matrix, *map(np.arange, matrix.shape)), validation=None)
        makers = list_makers(recommender, matrix, n)
        found = {name: make() for name, make in makers.items()}
        for name, other in found.items():  # who has rated nearly all gets fewer than n
            same = np.mean([np.isin(one, theirs).mean() for one, theirs in zip(found["recommend"], other) if len(one)])
            if same < 0.999:
                raise AssertionError("%s shares %.4f of its items with recommend; expected all" % (name, same))
        times = {name: [] for name in makers}
        for _ in range(rounds):
            for name, make in makers.items():
                time.sleep(0.2)  # as above
                start = time.perf_counter()
                make()
                times[name].append(time.perf_counter() - start)
        title = "lists for all users, %s as rows, k=%d, n=%d" % (rows, k, n)
        medians[rows] = print_times(title, times, "implicit" if "implicit" in makers else "NumPy", table=table)
        if floor:
            one_product = 2 * k * matrix.shape[0] * matrix.shape[1], 4 * k * sum(matrix.shape)
            print_shares(title, floor, medians[rows], dict.fromkeys(makers, one_product), table)
    return medians


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
    parser.add_argument("--lists", action="store_true", help="time lists for all users instead of epochs")
    parser.add_argument("--floor", action="store_true", help="print the share of the machine's speed that each reaches")
    pages.add_argument(parser, __file__)
    args = parser.parse_args(argv)
    written = pages.Pages(__file__, args.write)
    if args.floor and device_name():
        parser.error("--floor is about a CPU's epochs and lists: it doesn't go with device=cuda")
    name, matrix = load(args.data, args.shape)
    print(name)

    def table(title, *columns):
        return written.table("%s, %s" % (name.partition(":")[0], title), *columns)

    floor = measured_floor() if args.floor else None
    if args.lists:
        lists(matrix, args.k, 10, args.rounds, floor, table)
    elif args.updates:
        for batch_size in args.batch or [256]:
            updates(matrix, args.k, batch_size, args.rounds, args.budget, floor=floor, table=table)
    else:
        for batch_size in args.batch or [64, 512]:
            race(matrix, args.k, batch_size, args.contenders, args.rounds, args.budget, floor=floor, table=table)
    print("\n" + machine())
    written.close()


if __name__ == "__main__":
    main()
