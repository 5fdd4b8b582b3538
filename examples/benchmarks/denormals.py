"""Do numbers below the normal range of float32 make steps slow? Milliseconds with and without them, side by side.

    OMP_NUM_THREADS=1 python denormals.py

On Intel's processors a sum or product with such a number takes as long as a hundred others. Hidden units that saturate
have such outputs, and running means of columns without a rating fade into them. The model has 20,000 columns and
100 hidden units; a mini-batch has 64 rows, with ratings of 200 columns.
"""
import time

import numpy as np
import scipy.sparse as sp
from common import Pages, parser_of, three_digits

from sparse_ae import AutoEncoder
from sparse_ae.training.batch import Batch
from sparse_ae.training.optimisers import UPDATES
from sparse_ae.training.steps import make_step

N_COLUMNS, K, N_ROWS, IN_USE = 20000, 100, 64, 200


def batch_of(n_columns, density):
    """Stars for the first columns, in a matrix of all."""
    block = sp.random(N_ROWS, n_columns, density, "csr", "float32", random_state=np.random.RandomState(0))
    block.data = np.ceil(5 * block.data)
    return Batch.of(sp.csr_matrix((block.data, block.indices, block.indptr), shape=(N_ROWS, N_COLUMNS)))


def step_of(name, saturated=0):
    """A step of an update, on a model that has some hidden units with outputs of 6e-39."""
    model = AutoEncoder(N_COLUMNS, K, rating_scale=(1, 5), g="sigmoid", rng=0, l2=0.0)
    model.mu.set_value(np.where(np.arange(K) < saturated, -88, 0).astype("float32"))
    return make_step(model, "sparse", UPDATES[name], 1e-6)


def milliseconds(step, batch, n):
    """The CPU time of n steps: of one of the quickest, for a busy machine slows some."""
    times = []
    with step.deferred():
        for _ in range(n):
            start = time.process_time()
            step(batch)
            times.append(time.process_time() - start)
    return 1000 * np.quantile(times, 0.2)


def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="without a rating of most columns (%(default)s)")
    options = parser.parse_args(argv)
    table = Pages(__file__).table("ms of CPU a step", "", "before", "after", "ratio")
    all_columns, few = batch_of(N_COLUMNS, 0.01), batch_of(IN_USE, 0.3)

    def compare(label, before, after):
        table.row(label, three_digits(before), three_digits(after), "%.2f" % (after / before))

    for name in ("sgd", "adagrad"):
        steps = [step_of(name, saturated) for saturated in (0, 1)]
        for step in steps:
            milliseconds(step, few, 20)
        compare("%s, one hidden unit saturates" % name, *[milliseconds(step, few, 100) for step in steps])
    for name in ("adam", "momentum", "nesterov_momentum", "rmsprop", "adadelta"):
        step = step_of(name)
        milliseconds(step, all_columns, 5)
        before = milliseconds(step, few, 50)
        milliseconds(step, few, options.steps)
        compare("%s, after %d steps" % (name, options.steps), before, milliseconds(step, few, 50))


if __name__ == "__main__":
    main()
