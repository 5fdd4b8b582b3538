"""The AutoRec paper's tables beside what this library reaches, with baselines on the very same splits.

    python autorec_table.py --quick     # one split instead of five; four minutes
    python autorec_table.py             # twenty minutes on two cores
    python autorec_table.py --to-goals  # only how soon I-AutoRec gets to two RMSEs; half a minute

S. Sedhain, A. K. Menon, S. Sanner, L. Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015.
The paper's protocol: a random tenth of MovieLens 1M is tested on, five times; predictions are clipped to 1 ... 5,
and 3 for a user or an item without a training rating. docs/results/ratings.md tells how settings were chosen.
"""
import time
from typing import NamedTuple, Tuple

import common
import numpy as np
from common import arguments, parser_of, random_splits

from sparse_ae import AutoEncoder, Recommender, Trainer, movielens, rmse
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.data.datasets import movielens_100k_folds
import lasagne

SCALE = (1.0, 5.0)
DEFAULT = 3.0  # of a user or an item that nothing is known of, as in the paper
GOALS = 0.845, 0.831  # RMSEs, for the seconds to them: at one Surprise's SVD, tuned, ends, at the other the paper


class Settings(NamedTuple):
    """An AutoRec and its training: Adam at a constant rate for `hold` epochs, then at a falling one.

    An epoch's cost is squared error + l2[0] |W|^2 + l2[1] |V|^2: twice the paper's, so that its lambda is the same.
    """

    rows: str = "items"
    f: str = "identity"
    g: str = "sigmoid"
    n_hidden: int = 500
    l2: Tuple[float, float] = (100.0, 200.0)
    weight_scale: float = 0.01
    learning_rate: float = 1e-3
    batch_size: int = 256
    hold: int = 22
    decay: float = 0.75
    n_epochs: int = 30

    def rate(self, epoch):
        """Learning rate in epoch 1, 2, ..."""
        return self.learning_rate * self.decay ** max(0, epoch - self.hold)


# The library's recommendations for ratings from 1 to 5.
ITEMS = Settings()
USERS = ITEMS._replace(rows="users", l2=(200.0, 20.0), hold=12, n_epochs=20)
# A linear hidden layer has nothing to bound it: it wants more weight decay and smaller steps.
LINEAR = ITEMS._replace(g="identity", learning_rate=2e-4, hold=16, n_epochs=24)
PAIRS = dict([  # (f, g) -> settings and the paper's RMSE
    (("identity", "identity"), (LINEAR._replace(l2=(2000.0, 2000.0)), 0.872)),
    (("sigmoid", "identity"), (LINEAR._replace(f="sigmoid", l2=(1200.0, 1200.0)), 0.852)),
    (("identity", "sigmoid"), (ITEMS, 0.831)),
    (("sigmoid", "sigmoid"), (ITEMS._replace(f="sigmoid", l2=(50.0, 50.0), hold=18, n_epochs=24), 0.836)),
])
ITEMS_100K = ITEMS._replace(l2=(50.0, 50.0), batch_size=128, hold=12, n_epochs=20)
FACTORS = dict(n_factors=500, l2=0.06, n_epochs=25, learning_rate=0.005, weight_scale=0.01)
FACTORS_100K = dict(FACTORS, l2=0.1)
# Fewer units need larger weights, hence less weight decay and more steps to get there: k -> AutoRec's, the factors'.
SIZES = dict([
    (10, (ITEMS._replace(l2=(20.0, 20.0), learning_rate=3e-3, hold=100, n_epochs=120), dict(FACTORS, n_epochs=80))),
    (50, (ITEMS._replace(l2=(30.0, 30.0), learning_rate=2e-3, hold=50, n_epochs=60), dict(FACTORS, n_epochs=50))),
    (100, (ITEMS._replace(l2=(50.0, 80.0), learning_rate=2e-3, hold=35, n_epochs=48), dict(FACTORS, n_epochs=30))),
    (200, (ITEMS._replace(l2=(70.0, 140.0), hold=35, n_epochs=46), dict(FACTORS, n_epochs=30))),
    (500, (ITEMS, FACTORS)),
])
FALLING = dict(learning_rate=lambda epoch: 0.001 * 0.8 ** max(0, epoch - 30), n_epochs=45)
BESIDE_BIASES = [  # rows, settings, those in words, and how many fits are joined
    ("items", {}, "", 1),
    ("items", FALLING, ", Adam at 0.001, from epoch 31 on at 0.8 times the last, 45 epochs at most", 1),
    ("items", {}, ", four fits joined", 4),
    ("users", {}, "", 1),
    ("both", {}, "", 1),
    ("both", {}, ", four fits joined", 4),
]


class Score(NamedTuple):
    """Of one split: the RMSE, the seconds of training without compilation, and the RMSE against seconds on the way."""

    rmse: float
    seconds: float = 0.0
    curve: tuple = ()


def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--data", metavar="PATH",
                        help="MovieLens 1M (.npz, .dat, .zip, folder); fetched when not given")
    parser.add_argument("--data-100k", metavar="PATH",
                        help="u.data of MovieLens 100K or its folder; fetched when not given")
    parser.add_argument("--quick", action="store_true",
                        help="one split of MovieLens 1M instead of five, and three sizes of k")
    parser.add_argument("--to-goals", action="store_true",
                        help="only I-AutoRec on the first split, the seconds to RMSEs of %g and %g" % GOALS)
    args, written = arguments(parser, __file__, argv)
    ratings = movielens("1m", path=args.data).ratings
    folds = [] if args.to_goals else movielens_100k_folds(args.data_100k)
    splits = list(random_splits(ratings, 0.1, range(1 if args.quick or args.to_goals else 5)))
    done = {}

    def scores(score, settings):
        """Of a setting on all splits: settings that several tables share are trained once."""
        key = str(settings)
        if key not in done:
            shown = settings in (ITEMS, USERS, FACTORS)
            done[key] = [score(train, test, settings, seed, curve=shown and not seed)
                         for seed, (train, test) in enumerate(splits)]
        return done[key]

    table = written.table("MovieLens 1M", "", "published", "here", "seconds", *["to RMSE %g" % goal for goal in GOALS])

    def row(name, published, found):
        table.row(name, published, interval(found), seconds(found), *seconds_to_goals(found[0].curve))

    row("I-AutoRec", "0.831", scores(autorec, ITEMS))
    if args.to_goals:
        return written.close()
    row("U-AutoRec", "0.874", scores(autorec, USERS))
    row("global mean", "", [Score(rmse(test.data, np.full(test.nnz, train.data.mean(dtype="float64"))))
                            for train, test in splits])
    row("biases", "", [biases(*split) for split in splits])
    row("matrix factorisation", "0.845", scores(factorization, FACTORS))

    table = written.table("MovieLens 1M, Recommender", "`Recommender`", "here", "seconds")
    for rows, settings, shown, fits in BESIDE_BIASES:
        found = [recommended(train, test, dict(settings, rows=rows), seed, fits)
                 for seed, (train, test) in enumerate(splits)]
        table.row('`rows="%s"`%s' % (rows, shown), interval(found), seconds(found))

    table = written.table("MovieLens 1M, I-AutoRec by output and hidden nonlinearity",
                          "f, g", "published", "here", "seconds")
    for (f, g), (settings, published) in PAIRS.items():
        found = scores(autorec, settings)
        table.row("%s, %s" % (f, g), "%.3f" % published, interval(found), seconds(found))

    table = written.table("MovieLens 1M, by the number of hidden units or factors",
                          "k", "I-AutoRec", "its seconds", "matrix factorisation", "seconds")
    for k in list(SIZES)[::2] if args.quick else SIZES:
        ours = scores(autorec, SIZES[k][0]._replace(n_hidden=k))
        theirs = scores(factorization, dict(SIZES[k][1], n_factors=k))
        table.row(k, interval(ours), seconds(ours), interval(theirs), seconds(theirs))

    table = written.table("MovieLens 100K, the folds u1 to u5", "", "mean", "u1", "u2", "u3", "u4", "u5")
    for name, score in (("I-AutoRec", lambda *fold: autorec(*fold, settings=ITEMS_100K, seed=0)),
                        ("matrix factorisation", lambda *fold: factorization(*fold, settings=FACTORS_100K, seed=0)),
                        ("biases", biases)):
        of_folds = [score(*fold).rmse for fold in folds]
        table.row(name, "%.4f" % np.mean(of_folds), *["%.4f" % x for x in of_folds])
    written.close()


# Scores


class OnEpoch:
    """The seconds of training and, with `curve`, the RMSE after each epoch, off the clock and for show."""

    def __init__(self, judge, curve):
        self.judge, self.curve, self.seconds, self.points = judge, curve, 0.0, []

    def __call__(self, record, *model):
        self.seconds += record["seconds"]
        if self.curve:
            self.points.append((self.seconds, self.judge(*model)))


def autorec(train, test, settings, seed, curve=False):
    """Train on `train`, (n_users, n_items), which alone is the input, and judge on `test`: a Score."""
    if settings.rows == "items":
        train, test = train.T.tocsr(), test.T.tocsr()
    test = test.tocoo()
    low, high = SCALE
    start = train.data.mean(dtype="float64")
    if settings.f == "sigmoid":
        start = np.log((start - low) / (high - start))
    normal = lasagne.init.Normal(settings.weight_scale)
    model = AutoEncoder(train.shape[1], settings.n_hidden, SCALE, settings.f, settings.g, settings.l2,
                        W=normal, V=normal, b=lasagne.init.Constant(float(start)), rng=seed)
    trainer = Trainer(model, "adam", settings.rate, settings.batch_size, l2_per="epoch", rng=seed, progress=False)

    def judge():
        return rmse(test.data, model.predict_pairs(train, test.row, test.col, unknown=DEFAULT))

    on_epoch = OnEpoch(judge, curve)
    trainer.fit(train, settings.n_epochs, on_epoch=on_epoch)
    return Score(judge(), on_epoch.seconds, on_epoch.points)


def recommended(train, test, settings, seed, fits=1):
    """`Recommender`, which weighs, stops and refits by validation ratings of its own; joined fits are as long each."""
    recommender = Recommender(progress=False, rng=seed, **settings).fit(train, fits=fits)
    seconds = fits * sum(record["seconds"] for record in recommender.history_)
    return Score(recommender.evaluate(test)["rmse"], seconds)


def factorization(train, test, settings, seed, curve=False):
    """Matrix factorisation, as `autorec`; for cold users it predicts the mean and the item's bias, and vice versa."""
    test = test.tocoo()

    def judge(factors):
        return rmse(test.data, np.clip(predict_factors(factors, test.row, test.col), *SCALE))

    on_epoch = OnEpoch(judge, curve)
    factors = fit_factors(train, rng=seed, on_epoch=on_epoch, **settings)
    return Score(judge(factors), on_epoch.seconds, on_epoch.points)


def biases(train, test):
    """The mean, plus an offset for each user and each item."""
    start, test = time.perf_counter(), test.tocoo()
    fitted = fit_biases(train)
    elapsed = time.perf_counter() - start
    return Score(rmse(test.data, np.clip(predict_biases(fitted, test.row, test.col), *SCALE)), elapsed)


# Figures


def interval(scores):
    """Mean RMSE and, of several scores, half the width of its 95% interval, in words."""
    return common.interval([score.rmse for score in scores])


def seconds(scores):
    """Mean seconds of training, in words; nothing where there is no training."""
    mean = np.mean([score.seconds for score in scores])
    return "%.1f" % mean if mean else ""


def seconds_to_goals(curve):
    """The seconds after which a curve is at each of `GOALS` for the first time, in words."""
    return [next(("%.1f" % elapsed for elapsed, value in curve if value <= goal), "never" if curve else "")
            for goal in GOALS]


if __name__ == "__main__":
    main()
