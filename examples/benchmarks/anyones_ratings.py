"""Does it serve anybody's ratings? `Recommender()` as it is, no setting given, beside what people would use instead.

    python anyones_ratings.py --douban ratings.csv --sizes    # without --sizes synthetic ratings of four kinds, too

Each line is the test RMSE on a set of ratings, all on the same splits. "less" is by how much the recommender's RMSE is
below the biases', "worst" that on the worst of the splits; seconds are of `fit`, compiling included. Surprise and
cmfrec are run where they are installed, with their defaults.
"""
import importlib.util
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from common import SETS, arguments, parser_of, random_splits

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.data.datasets import movielens_100k_folds

SEEDS = (0, 1, 2)
SIZES = (3000, 10000, 30000, 100000)
KINDS = {  # what made_up_ratings takes for n ratings
    "dense": lambda n: dict(n_users=int(2 * n ** 0.5), n_items=int(1.5 * n ** 0.5)),
    "stars": lambda n: dict(n_users=n // 10, n_items=n // 12, step=1),
    "0 to 100": lambda n: dict(n_users=max(20, n // 100), n_items=n // 15, noise=8.0, rating_scale=(0, 100)),
    "noisy": lambda n: dict(n_users=n // 20, n_items=n // 15, noise=1.0, step=1),
}
COLUMNS = {"biases": "biases", "factors": "factorisation", "SVD": "SVD", "KNN": "KNNBaseline", "cmfrec": "cmfrec",
           "ours": "`Recommender()`"}


def main(argv=None):
    parser = parser_of(__doc__, *SETS)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES,
                        help="of the synthetic sets; none for no such sets (default: %(default)s)")
    args, written = arguments(parser, __file__, argv)
    table = written.table("test RMSE", "", *list(COLUMNS.values()) + ["less", "worst", "seconds"])
    for label, splits in sets(args):
        scores = [judge(train, test) for train, test in splits]
        columns = {name: np.array([score[name] for score in scores]) for name in scores[0]}
        less = columns["biases"] - columns["ours"]
        table.row(label, *["%.4f" % columns[name].mean() if name in columns else "" for name in COLUMNS],
                  "%.4f" % less.mean(), "%.4f" % less.min(), "%.0f" % columns["seconds"].mean())
    written.close()


def sets(args):
    """(label, splits) for each set; a split is two sparse matrices, and made when its turn comes."""
    if args.filmtrust:
        ratings = sparse_ae.load_ratings(args.filmtrust, duplicates="last")
        yield "FilmTrust 80/20", random_splits(ratings, 0.2, SEEDS)
    if args.douban:
        yield "Douban", [douban(args.douban)]
    if args.jester:
        yield "Jester 80/20", random_splits(sparse_ae.as_ratings(
            np.loadtxt(args.jester, delimiter=",")[:, 1:], missing=99), 0.2, SEEDS[:1])
    if args.ml_100k:
        yield "MovieLens 100K, u1 ... u5", movielens_100k_folds(args.ml_100k)
    if args.ml_1m:
        yield "MovieLens 1M 90/10", random_splits(sparse_ae.movielens("1m", path=args.ml_1m).ratings, 0.1, SEEDS)
    if args.data:
        yield Path(args.data).name, random_splits(sparse_ae.load_ratings(args.data), 0.2, SEEDS)
    for n in args.sizes:
        for kind, settings in KINDS.items():
            yield "%d, %s" % (n, kind), (split for seed in SEEDS for split in random_splits(
                sparse_ae.made_up_ratings(n_ratings=n, rng=seed, **settings(n))[0], 0.2, [seed]))


def douban(path):
    """The split of F. Monti, M. Bronstein, X. Bresson, NIPS 2017: a file of user, item, rating and part."""
    table = np.genfromtxt(path, delimiter=",", dtype=None, names=True, encoding="utf-8")
    shape = table["user"].max() + 1, table["item"].max() + 1
    return [sp.csr_matrix((table["rating"][part].astype(np.float32), (table["user"][part], table["item"][part])), shape)
            for part in (table["part"] == "train", table["part"] == "test")]


def judge(train, test):
    """Test RMSEs by name, and the recommender's seconds."""
    low, high = float(train.data.min()), float(train.data.max())
    pairs = test.tocoo()

    def rmse(predicted):
        return sparse_ae.rmse(pairs.data, np.clip(predicted, low, high))

    start = time.perf_counter()
    recommender = sparse_ae.Recommender(progress=False).fit(train)
    found = {"seconds": time.perf_counter() - start,
             "ours": rmse(recommender.predict(pairs.row, pairs.col)),
             "biases": rmse(predict_biases(fit_biases(train), pairs.row, pairs.col)),
             "factors": rmse(predict_factors(fit_factors(train, n_factors=100, l2=0.1), pairs.row, pairs.col))}
    if importlib.util.find_spec("surprise"):
        found.update({name: rmse(predicted) for name, predicted in surprise(train, pairs, (low, high))})
    if importlib.util.find_spec("cmfrec"):
        import cmfrec
        import pandas as pd
        known = train.tocoo()
        model = cmfrec.CMF(verbose=False).fit(pd.DataFrame(
            {"UserId": known.row, "ItemId": known.col, "Rating": known.data}))
        predicted = model.predict(pairs.row, pairs.col)
        found["cmfrec"] = rmse(np.where(np.isnan(predicted), train.data.mean(), predicted))
    return found


def surprise(train, pairs, scale):
    """(name, predictions) of Surprise's SVD and KNNBaseline with their defaults."""
    import surprise
    known = train.tocoo()
    triples = [(int(u), int(i), float(r), None) for u, i, r in zip(known.row, known.col, known.data)]
    built = surprise.Dataset(surprise.Reader(rating_scale=scale)).construct_trainset(triples)
    for name, model in (("SVD", surprise.SVD(random_state=0)),
                        ("KNN", surprise.KNNBaseline(sim_options={"user_based": train.shape[0] < train.shape[1]},
                                                     verbose=False))):
        model.fit(built)
        yield name, np.array([model.predict(int(u), int(i)).est for u, i in zip(pairs.row, pairs.col)])


if __name__ == "__main__":
    main()
