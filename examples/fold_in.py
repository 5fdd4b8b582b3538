"""How well are new users predicted, without training?

    python examples/fold_in.py                       # MovieLens 100K
    python examples/fold_in.py --data ratings.csv    # your ratings

A sixth of the users is left out of training. `fold_in` gets four fifths of their ratings, and predicts the last fifth;
beside it is the error when these users are part of the training. With rows="users" a user is an input: nothing is
approximated. With rows="items" a user is an output, whose weights are fitted to the residuals of the biases. The last
column folds in users of the training: the largest difference between predictions by fold-in and by training.
"""
import argparse
import time

import numpy as np

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="your ratings (default: MovieLens 100K)")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings

    split = sparse_ae.split_ratings(ratings, test_fraction=0.2, rng=0)
    train, test = split.train.matrix, split.test.matrix
    able = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(test.indptr) > 0))
    new_users = np.sort(np.random.RandomState(0).choice(able, len(able) // 6, replace=False))
    others = np.setdiff1d(np.arange(len(ratings.users)), new_users)
    without = sparse_ae.Ratings(train[others], ratings.users[others], ratings.items)
    shown, asked = train[new_users], test[new_users]
    pairs = asked.tocoo()
    print("trained on %d ratings of %d users; %d new users have %d ratings, and %d more are held out"
          % (len(without), len(others), len(new_users), shown.nnz, asked.nnz))

    print("\n%-16s %-12s %-14s %-14s %s"
          % ("held-out RMSE", "folded in", "trained with", "ms per user", "difference"))
    for rows in ("users", "items"):  # one side each; by default both are trained and weighted
        recommender = sparse_ae.Recommender(rows=rows, rng=0, progress=False).fit(without)
        start = time.perf_counter()
        folded = fold_in(recommender, shown, asked, ratings.items)
        milliseconds = 1000 * (time.perf_counter() - start) / len(new_users)
        trained = sparse_ae.Recommender(rows=rows, rng=0, progress=False).fit(split.train)
        known = trained.predict(ratings.users[new_users][pairs.row], ratings.items[pairs.col])
        difference = np.abs(fold_in(trained, shown, asked, ratings.items) - known).max()
        print("%-16s %-12.4f %-14.4f %-14.1f %.2g" % ('rows="%s"' % rows, sparse_ae.rmse(pairs.data, folded),
                                                      sparse_ae.rmse(pairs.data, known), milliseconds, difference))
    low, high = recommender.rating_scale_
    biases = np.clip(predict_biases(fit_biases(train), new_users[pairs.row], pairs.col), low, high)
    print("%-16s %-12s %.4f" % ("biases only", "", sparse_ae.rmse(pairs.data, biases)))

    some = dict(zip(ratings.items[shown[0].indices[:3]].tolist(), shown[0].data[:3].tolist()))
    print("\nfold_in(%r).recommend(n=3) is %s" % (some, recommender.fold_in(some).recommend(n=3).items.tolist()))


def fold_in(recommender, shown, asked, items):
    """Predictions of the ratings `asked` for, of users folded in with those `shown`; a row for each user."""
    people = recommender.fold_in([dict(zip(items[given.indices].tolist(), given.data.tolist())) for given in shown])
    return np.concatenate([person.predict(items[wanted.indices]) for person, wanted in zip(people, asked)])


if __name__ == "__main__":
    main()
