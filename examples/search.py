"""Which settings suit my data?

    python examples/search.py                       # MovieLens 100K
    python examples/search.py --data ratings.csv    # ratings of your own

A tenth of the ratings is put away, for one look at the end. On the rest each combination of a grid is tried, on the
same three folds. The best is fitted to all of the rest, and only it meets the ratings that were put away: the least of
several validation errors is a little too good, by luck. (Within `fit`, a further part of the training ratings says
when to stop, before all of these are trained on.) All are models of items alone, without that of users which a
Recommender has beside it by default: that takes about half the time. Where joblib is installed two processes share the
work. `sparse_ae.tune` is the quicker way: it climbs from the defaults, on one validation part, within a given time.

With scikit-learn, GridSearchCV takes a Recommender as well, and any of its other searches: pairs of user and item as X,
ratings as y. `grid_search` needs no scikit-learn, and takes splits by user and by time.
"""
import argparse
import importlib.util
import sys
from pathlib import Path

try:
    import sparse_ae
except ModuleNotFoundError:  # not installed: take the checkout that this file is in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import sparse_ae

import numpy as np

from sparse_ae.baselines.biases import fit_biases, predict_biases

GRID = {"n_hidden": [64, 128], "l2": [25.0, 50.0, 100.0]}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="ratings of your own; MovieLens 100K if not given")
    parser.add_argument("--jobs", type=int, default=2 if importlib.util.find_spec("joblib") else 1, metavar="N",
                        help="processes; 2 if not given and joblib is installed, else 1")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings

    split = sparse_ae.split_ratings(ratings, test_fraction=0.1, rng=0)
    train, test = ratings.part(split.train), ratings.part(split.test)
    print("%d ratings to search with, %d put away" % (train.matrix.nnz, test.matrix.nnz))

    recommender = sparse_ae.Recommender(rows="items", rng=0, progress=False)
    found = sparse_ae.grid_search(recommender, train, GRID, splits=3, n_jobs=args.jobs)
    print("\n%-12s %-12s %s" % (*GRID, "validation RMSE, mean of 3 folds (least and most)"))
    for candidate in found:
        errors = candidate["per_split"]["rmse"]
        print("%-12g %-12g %.4f (%.4f, %.4f)"
              % (*candidate["params"].values(), candidate["rmse"], errors.min(), errors.max()))

    best = recommender.set_params(**found[0]["params"]).fit(train)
    pairs = test.matrix.tocoo()
    biases = np.clip(predict_biases(fit_biases(train), pairs.row, pairs.col), *best.rating_scale_)
    print("\nRMSE on what was put away: %.4f with %s; %.4f by biases alone"
          % (best.evaluate(test, k=None)["rmse"], ", ".join("%s=%g" % each for each in found[0]["params"].items()),
             sparse_ae.rmse(pairs.data, biases)))


if __name__ == "__main__":
    main()
