"""What about a person the model never saw?

    python examples/fold_in.py                       # MovieLens 100K
    python examples/fold_in.py --data ratings.csv    # ratings of your own

A sixth of the people is left out of training. Then they come with four fifths of their ratings: `fold_in` takes these
without training, and its predictions of the last fifth are judged. Beside that stands the error on the same ratings
when the same people, with the same four fifths, are trained with.

First comes the person's offset among the biases, which takes nothing but the ratings. With rows="users" a person is an
input: nothing is approximated, the ratings go through the model as anybody's do, and yet strangers are predicted worse
than the people whom the weights were fitted to. With rows="items" a person is an output, with weights that a stranger
lacks. They are fitted by least squares, with the model's weight decay, to what the biases leave over of the ratings,
and all else stays: what training with the person would have changed there is lost.

The last column shows the difference. Those who were trained with are folded in as well: how far off, at most, are their
predictions from those that training gave them?
"""
import argparse
import time

import numpy as np

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="ratings of your own; MovieLens 100K if not given")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings

    split = sparse_ae.split_ratings(ratings, test_fraction=0.2, rng=0)
    # Who has nothing to show can't be folded in, and who has nothing held out can't be judged.
    able = np.flatnonzero((np.diff(split.train.indptr) > 0) & (np.diff(split.test.indptr) > 0))
    strangers = np.sort(np.random.RandomState(0).choice(able, len(able) // 6, replace=False))
    others = np.setdiff1d(np.arange(len(ratings.users)), strangers)
    everybody = ratings.part(split.train)
    without = sparse_ae.Ratings(split.train[others], ratings.users[others], ratings.items)
    shown, asked = split.train[strangers], split.test[strangers]
    pairs = asked.tocoo()
    print("trained on %d ratings of %d people; %d strangers bring %d ratings, and %d of theirs are held out"
          % (without.matrix.nnz, len(others), len(strangers), shown.nnz, asked.nnz))

    print("\n%-16s %-12s %-14s %-14s %s"
          % ("held-out RMSE", "folded in", "trained with", "ms a stranger", "difference"))
    for rows in ("users", "items"):
        recommender = train(rows, without)
        start = time.perf_counter()
        folded = fold_in(recommender, shown, asked, ratings.items)
        milliseconds = 1000 * (time.perf_counter() - start) / len(strangers)
        trained = train(rows, everybody)
        known = trained.predict(ratings.users[strangers][pairs.row], ratings.items[pairs.col])
        difference = np.abs(fold_in(trained, shown, asked, ratings.items) - known).max()
        print("%-16s %-12.4f %-14.4f %-14.1f %.2g" % ('rows="%s"' % rows, sparse_ae.rmse(pairs.data, folded),
                                                      sparse_ae.rmse(pairs.data, known), milliseconds, difference))
    low, high = recommender.rating_scale_
    biases = np.clip(predict_biases(fit_biases(everybody), strangers[pairs.row], pairs.col), low, high)
    print("%-16s %-12s %.4f" % ("biases alone", "", sparse_ae.rmse(pairs.data, biases)))

    some = dict(zip(ratings.items[shown[0].indices[:3]].tolist(), shown[0].data[:3].tolist()))
    print("\nfold_in(%r).recommend(n=3) says %s" % (some, recommender.fold_in(some).recommend(n=3).items.tolist()))


def train(rows, ratings):
    """A recommender of one side alone; by default both are trained, and weighed."""
    return sparse_ae.Recommender(rows=rows, rng=0, progress=False).fit(ratings)


def fold_in(recommender, shown, asked, items):
    """Predictions of the ratings `asked` for, of people folded in with those `shown`; a row for each person."""
    people = recommender.fold_in([dict(zip(items[given.indices].tolist(), given.data.tolist())) for given in shown])
    return np.concatenate([person.predict(items[wanted.indices]) for person, wanted in zip(people, asked)])


if __name__ == "__main__":
    main()
