"""Does depth help? Networks of one to three hidden layers, with noise, dropout and other outputs, beside shallow ones.

    python deep_table.py --ml-100k u.data --ml-1m movielens_1m.npz    # the folds u1 to u5; 90/10, five seeds

Rows are items. Most networks learn the residuals of biases, with a second encoder that reads who has rated; two learn
the ratings themselves, one of them as ordered levels. For each the width, the weight decay (a multiple of the rule in
`recommender.defaults`) and the number of epochs are chosen on a tenth of the *training* ratings of the first split;
then it is trained on all training ratings of each. The last line is of the network that validation prefers.
"""
import time
from functools import partial
from typing import Any, NamedTuple, Tuple

import numpy as np
from common import SETS, arguments, interval, movielens_matrices, parser_of, random_splits

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.data.datasets import movielens_100k_folds
from sparse_ae.networks import deep, shallow, tied
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.objectives import Observed
from sparse_ae.training.targets import AsRated, BeyondBiases

UPDATES_PER_EPOCH, PATIENCE, MOST_EPOCHS, SEEDS = 12, 10, 100, range(5)


class Variant(NamedTuple):
    """A network's maker and objective, and which multiples of the rule's weight decay are tried."""

    make: Any
    objective: Any = Observed()
    beyond_biases: bool = True
    decays: Tuple[float, ...] = (0.5, 1.0, 2.0)


PLAIN = partial(shallow, f="linear", g="sigmoid")
VARIANTS = {
    "ratings themselves": Variant(PLAIN, beyond_biases=False),
    "one layer": Variant(PLAIN),
    "one layer, 30% dropped": Variant(partial(deep, depth=1, dropout=0.3)),
    "one layer, 20% of ratings hidden, 20% dropped": Variant(partial(deep, depth=1, hide=0.2, dropout=0.2)),
    "tied": Variant(partial(tied, f="linear")),
    "two layers, 30% dropped": Variant(partial(deep, depth=2, dropout=0.3)),
    "two layers, 40% of ratings hidden, 20% dropped": Variant(partial(deep, depth=2, hide=0.4, dropout=0.2)),
    "three layers, 30% dropped": Variant(partial(deep, depth=3, dropout=0.3)),
}


class Run:
    """A training of a variant on ratings, (n_items, n_users), and what it predicts."""

    def __init__(self, variant, train, k, factor, seed):
        scale, self._mean = (float(train.data.min()), float(train.data.max())), float(train.data.mean())
        biases = fit_biases(train)
        if variant.beyond_biases:
            self.targets = BeyondBiases(biases.mean + biases.users, biases.items, scale)
            variance = self.targets.variance(train)
        else:
            self.targets = AsRated(scale)
            beyond = train.data - predict_biases(biases, *train.nonzero())
            variance = float(np.mean(beyond ** 2)) * 16 / (scale[1] - scale[0]) ** 2
        l2 = factor * Observed().rule(train.nnz, variance).l2
        self.model = variant.make(train.shape[1], k, rating_scale=self.targets.output_scale, l2=l2, rng=seed,
                                  indicator=variant.beyond_biases)
        if not variant.beyond_biases:
            variant.objective.begin(self.model, train, self._mean)
        n_rows = int(np.count_nonzero(np.diff(train.indptr)))
        self.trainer = sparse_ae.Trainer(self.model, "adam", 0.001, -(-n_rows // UPDATES_PER_EPOCH), l2_per="epoch",
                                         objective=variant.objective, rng=seed, progress=False)
        self._train = train

    def fit(self, n_epochs, validation=None):
        """Train; with validation ratings, the least RMSE on them; and the best epoch."""
        history = self.trainer.fit(self._train, n_epochs, validation=validation, targets=self.targets,
                                   patience=None if validation is None else PATIENCE)
        best = history[-1]["restored"] or len(history)
        return history[best - 1]["validation_rmse"], best

    def error(self, test):
        pairs = test.tocoo()
        scorer = Scorer(self.model, self._train, targets=self.targets)
        return sparse_ae.rmse(pairs.data, scorer.predict(pairs.row, pairs.col, self._mean))


def choose(variant, train, widths, decays):
    """The validation RMSE, width, multiple of the decay and epochs that are best on a tenth of the training ratings."""
    inner = sparse_ae.split_ratings(train, 0.1, rng=1000)
    return min((*Run(variant, inner.train, k, factor, 0).fit(MOST_EPOCHS, inner.test), k, factor)
               for k in widths for factor in decays)


def table(written, label, splits, args):
    """Print what each variant reaches."""
    first, found, validation = splits[0][0], {}, {}
    shown = written.table(label, "", "test RMSE", "validation", "k", "decay, times the rule's", "epochs", "s an epoch",
                          "seconds")
    biases = [sparse_ae.rmse(test.data, np.clip(predict_biases(fit_biases(train), *test.nonzero()), train.data.min(),
                                                train.data.max())) for train, test in splits]
    shown.row("biases", interval(biases), *[""] * 6)
    for name, variant in VARIANTS.items():
        start = time.perf_counter()
        decays = variant.decays if args.decays is None else [x * variant.decays[1] for x in args.decays]
        validation[name], epochs, k, factor = choose(variant, first, args.hidden, decays)
        errors, seconds = [], []
        for seed, (train, test) in zip(SEEDS, splits):
            run = Run(variant, train, k, factor, seed)
            run.fit(epochs)
            errors.append(run.error(test))
            seconds += [record["seconds"] for record in run.trainer.history]
        found[name] = errors
        shown.row(name, interval(errors), "%.4f" % validation[name], k, "%g" % factor, epochs,
                  "%.2f" % np.median(seconds), "%.0f" % (time.perf_counter() - start))
    best = min(validation, key=validation.get)
    print("Best on validation: %s, test RMSE %s" % (best, interval(found[best])))


def sets(args):
    """A label, and splits of ratings."""
    if args.ml_100k:
        yield "MovieLens 100K, u1 ... u5", movielens_100k_folds(args.ml_100k)
    for label, matrix in movielens_matrices(args, "1m"):
        yield label + ", 90/10" * (label in SETS.values()), random_splits(matrix, 0.1, SEEDS)


def main(argv=None):
    parser = parser_of(__doc__, "ml-100k", "ml-1m")
    parser.add_argument("--hidden", type=int, nargs="+", default=[200, 500], metavar="K",
                        help="widths to choose from (default 200 500)")
    parser.add_argument("--decays", type=float, nargs="+", metavar="FACTOR",
                        help="weight decays to choose from, times each network's own middle one (default 0.5 1 2)")
    args, written = arguments(parser, __file__, argv)
    for label, splits in sets(args):
        table(written, label, [(train.T.tocsr(), test.T.tocsr()) for train, test in splits], args)
    written.close()


if __name__ == "__main__":
    main()
