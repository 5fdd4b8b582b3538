"""Does Theano update only the rows of W and V in use? The post hoped so; here is what each formulation does.

    python which_rows.py [--write docs/results/speed.md docs/tutorial/post.md]

First one update is looked at: which rows changed, and how many bytes of W and V that is. Then updates are timed while
items grow, and the ratings stay.
"""

import numpy as np
import scipy.sparse as sp
from common import arguments, median_times, parser_of, three_digits

from sparse_ae.model import AutoEncoder
from sparse_ae.training.batch import Batch
from sparse_ae.training.formulations import FORMULATIONS
from sparse_ae.training.steps import TrainingStep
import lasagne

N_ROWS, N_RATED = 64, 1000  # rows of a batch; items with ratings in it, however many items there are


def batch(n_items, ratings_per_row, rng):
    """A CSR block of `N_ROWS` rows; its ratings fall on `N_RATED` of the items, spread evenly over all of them."""
    rated = np.arange(N_RATED) * n_items // N_RATED
    indices = np.concatenate([np.sort(rng.choice(rated, ratings_per_row, replace=False)) for _ in range(N_ROWS)])
    data = rng.randint(1, 6, len(indices)).astype("float32")
    return sp.csr_matrix((data, indices.astype("int32"), np.arange(N_ROWS + 1) * ratings_per_row), (N_ROWS, n_items))


def compiled(formulation, n_items, k):
    """Small weights: what is timed is the work, which must not run into saturation."""
    small = lasagne.init.Uniform(0.01)
    model = AutoEncoder(n_items, k, rating_scale=(1, 5), l2=0.1, W=small, V=small, rng=0)
    return TrainingStep(model, formulation, lasagne.updates.sgd, 1e-3)


def rows_changed(formulation, block, k):
    """Rows of W and columns of V whose memory one update changes."""
    step = compiled(formulation, block.shape[1], k)
    with step.deferred():
        before = [p.get_value() for p in step.model.params[:2]]
        step(Batch.of(block))
        W, V = (p.get_value() != value for p, value in zip(step.model.params[:2], before))
    return int(W.any(axis=1).sum()), int(V.any(axis=0).sum())


def milliseconds(formulation, n_items, k, rng):
    """The median of seven updates."""
    step, block = compiled(formulation, n_items, k), batch(n_items, 100, rng)
    with step.deferred():
        step(Batch.of(block))
        return median_times({"": lambda block: step(Batch.of(block))[1]}, [(block,)] * 7)[""]


def main(argv=None):
    (_, written), n_items, k = arguments(parser_of(__doc__), __file__, argv), 10000, 100
    block = batch(n_items, 100, np.random.RandomState(0))
    table = written.table("one update", "formulation", "rows of W changed", "columns of V changed",
                          "bytes of W and V written")
    for name in FORMULATIONS:
        W, V = rows_changed(name, block, k)
        table.row(name, W, V, "%.1f MB" % ((W + V) * k * 4 / 1e6))

    most = {"sparse": 10 ** 6, "dense": 10 ** 5, "scan": 10 ** 4}  # the dense graphs stop earlier
    table, rng = written.table("by items", "items", *[name + ", ms" for name in most]), np.random.RandomState(0)
    for n in (1000, 3000, 10000, 30000, 100000, 300000, 1000000):
        table.row(n, *[three_digits(milliseconds(name, n, k, rng)) if n <= most[name] else "" for name in most])
    written.close()


if __name__ == "__main__":
    main()
