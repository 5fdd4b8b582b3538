"""Is it better than a baseline?

    python examples/compare.py                       # MovieLens 100K
    python examples/compare.py --data ratings.csv    # ratings of your own

Five-fold cross-validation: each rating is held out once, and all models see the very same folds. It prints means over
the folds with 95% intervals (Student's t). The last lines compare fold by fold, which takes out what makes a fold easy
or hard for all. The folds share training ratings, so that all intervals are somewhat too narrow.

Lists of ten are judged too: the best, to the model, of all that a user has not rated in training. An item on it is a
hit if the user's held-out rating is three quarters up the scale or more (4 of 5 stars); what the user never rated is a
miss. The mean puts no item before another. Popularity, an item's number of ratings, predicts none, but it ranks.
"""
import argparse
import functools
import sys
from pathlib import Path

try:
    import sparse_ae
except ModuleNotFoundError:  # not installed: take the checkout that this file is in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import sparse_ae

import numpy as np
import scipy.stats

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.baselines.factorization import fit_factors, predict_factors
from sparse_ae.evaluation.lists import evaluate_lists

RATING, RANKING = ("rmse", "mae"), ("precision", "recall", "ndcg")
ROW = "%-14s" + " %-18s" * 5


class Baseline:
    """A model of another kind as `cross_validate` takes it: with settings, `fit` and `evaluate`.

    Parameters
    ----------
    learn : callable
        From a matrix of ratings to whatever is to be learned from it.
    predict : callable
        From that, rows and columns, (n,), to predictions, (n,).
    """

    def __init__(self, learn, predict):
        self.learn, self.predict = learn, predict

    def get_params(self):
        return {"learn": self.learn, "predict": self.predict}

    def fit(self, ratings):
        self.train, self.learned = ratings.matrix, self.learn(ratings.matrix)
        return self

    def evaluate(self, ratings, k):
        """The measures of `Recommender.evaluate`."""
        low, high = self.train.data.min(), self.train.data.max()
        test, items = ratings.matrix.tocoo(), np.arange(self.train.shape[1])
        predicted = np.clip(self.predict(self.learned, test.row, test.col), low, high)

        def scores(users):
            pairs = np.repeat(users, len(items)), np.tile(items, len(users))
            return self.predict(self.learned, *pairs).reshape(len(users), len(items))

        return dict(evaluate_lists(scores, self.train, ratings.matrix, k),
                    rmse=sparse_ae.rmse(test.data, predicted), mae=sparse_ae.mae(test.data, predicted))


# For each model, what it can be judged by. The factorisation's settings were chosen on a few thousand ratings of
# MovieLens 100K, and so, on other data as well, were the rules that the Recommender's defaults follow: these are test
# ratings here in one fold or another. search.py shows how to keep the two apart.
MODELS = {
    "mean": (RATING, Baseline(lambda train: train.data.mean(dtype="float64"),
                              lambda mean, rows, cols: np.full(len(rows), mean))),
    "popularity": (RANKING, Baseline(lambda train: np.bincount(train.indices, minlength=train.shape[1]).astype(float),
                                     lambda counts, rows, cols: counts[cols])),
    "biases": (RATING + RANKING, Baseline(fit_biases, predict_biases)),
    "factorisation": (RATING + RANKING, Baseline(functools.partial(fit_factors, n_factors=50, l2=0.1),
                                                 predict_factors)),
    "Recommender": (RATING + RANKING, sparse_ae.Recommender(progress=False)),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="ratings of your own; MovieLens 100K if not given")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings
    folds = sparse_ae.k_folds(ratings, 5, rng=0)
    print("%d ratings, %d users, %d items; 5 folds\n" % ((ratings.matrix.nnz,) + ratings.matrix.shape))

    print((ROW % ("", "RMSE", "MAE", "precision at 10", "recall at 10", "NDCG at 10")).rstrip())
    found = {}
    for name, (measures, model) in MODELS.items():
        found[name] = sparse_ae.cross_validate(model, ratings, folds, k=10)
        cells = [interval(found[name][each]) if each in measures else "" for each in RATING + RANKING]
        print((ROW % tuple([name] + cells)).rstrip(), flush=True)

    print("\nfold by fold, the Recommender's less that of")
    for other in ("popularity", "biases", "factorisation"):
        cells = [interval(found["Recommender"][each] - found[other][each]) if each in MODELS[other][0] else ""
                 for each in RATING + RANKING]
        print((ROW % tuple([other] + cells)).rstrip())


def interval(values):
    """Mean and half the width of its 95% interval."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return "%.4f +- %.4f" % (np.mean(values), half)


if __name__ == "__main__":
    main()
