"""What does a step cost as features become many? A factorisation machine on 10^4 to 10^6 of them, by optimiser.

    python feature_steps.py [--write docs/tutorial/sparse_input.md]

Each step is one of `examples/million_features.py`'s factorisation machine: 64 rows of 20 features, 16 factors, float32.
SGD, Adagrad and `sparse_adam` move the rows of V that the mini-batch uses; Adam moves all. PyTorch's contender has its
parameters in `EmbeddingBag(sparse=True)`. The median of a contender's steps counts.
"""
import sys
from pathlib import Path

import numpy as np
from common import arguments, median_times, optional, parser_of, three_digits

from sparse_ae.updates import sparse_adam
import lasagne

sys.path.append(str(Path(__file__).resolve().parents[1]))
from million_features import BATCH, K, compiled, factorisation_machine, made_up_clicks  # noqa: E402

SIZES, N_STEPS = (10 ** 4, 10 ** 5, 10 ** 6), 100
UPDATES = {"SGD": lasagne.updates.sgd, "Adagrad": lasagne.updates.adagrad, "sparse_adam": sparse_adam,
           "Adam": lasagne.updates.adam}


def steps_in_torch(n_features):
    """{name: function of rows and clicks}, none where PyTorch isn't installed."""
    torch = optional("torch")
    if torch is None:
        return {}

    def made(optimiser):
        torch.manual_seed(0)
        w, V = (torch.nn.EmbeddingBag(n_features, size, mode="sum", sparse=True) for size in (1, K))
        torch.nn.init.normal_(V.weight, std=0.05)
        torch.nn.init.zeros_(w.weight)
        squares = torch.nn.Embedding(n_features, K, sparse=True)
        squares.weight = V.weight
        update = optimiser([w.weight, V.weight], lr=0.002)

        def step(X, y):
            indices, offsets = torch.from_numpy(X.indices).long(), torch.from_numpy(X.indptr[:-1]).long()
            rows = torch.from_numpy(np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)))
            of_squares = torch.zeros(X.shape[0], K).index_add(0, rows, squares(indices) ** 2)
            logits = w(indices, offsets)[:, 0] + 0.5 * (V(indices, offsets) ** 2 - of_squares).sum(1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y))
            update.zero_grad()
            loss.backward()
            update.step()
            return loss.item()

        return step

    return {"SGD in PyTorch, sparse": made(torch.optim.SGD), "Adagrad in PyTorch, sparse": made(torch.optim.Adagrad),
            "SparseAdam in PyTorch": made(torch.optim.SparseAdam)}


def milliseconds(n_features):
    """The median of each contender's steps."""
    X, y = made_up_clicks(BATCH * N_STEPS, n_features, np.random.RandomState(0))
    batches = [(X[start:start + BATCH], y[start:start + BATCH]) for start in range(0, BATCH * N_STEPS, BATCH)]
    steps = {name: compiled(factorisation_machine, n_features, update, 0.002)[0] for name, update in UPDATES.items()}
    steps.update(steps_in_torch(n_features))
    return median_times(steps, batches)


def main(argv=None):
    _, written = arguments(parser_of(__doc__), __file__, argv)
    found = {size: milliseconds(size) for size in SIZES}
    table = written.table("milliseconds a step", "", *["%d features" % size for size in found])
    for name in next(iter(found.values())):
        table.row(name, *[three_digits(each[name]) for each in found.values()])
    written.close()


if __name__ == "__main__":
    main()
