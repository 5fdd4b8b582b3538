"""How do I train on my own CSV?

    python examples/own_data.py ratings.csv     # user, item, rating and an optional timestamp in each line
    python examples/own_data.py                 # writes a synthetic file, as an example

A fifth of the ratings is held out, to compare the recommender with biases: the mean plus an offset for each user and
each item. Then it predicts, recommends, is saved, and is loaded again, always with the ids of the file.
"""
import argparse
import tempfile
from pathlib import Path

import numpy as np

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("csv", nargs="?", type=Path, help="your ratings (default: synthetic ones)")
    parser.add_argument("--folder", type=Path, help="folder of the recommender and of synthetic ratings (default: a "
                                                    "new temporary one)")
    args = parser.parse_args(argv)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="own_data-"))
    folder.mkdir(parents=True, exist_ok=True)
    path = args.csv or make_up(folder / "ratings.csv")

    ratings = sparse_ae.load_ratings(path)
    low, high = ratings.matrix.data.min(), ratings.matrix.data.max()
    print("%s: %d ratings from %g to %g, %d users, %d items"
          % (path, len(ratings), low, high, len(ratings.users), len(ratings.items)))

    split = sparse_ae.split_ratings(ratings, test_fraction=0.2, rng=0)
    # Settings are chosen to fit the ratings, on some that are held out; then all are trained on.
    recommender = sparse_ae.Recommender(rng=0).fit(split.train)
    print("trained on %d ratings, %d hidden units; weights: %s"
          % (len(split.train), recommender.model_.n_hidden,
             ", ".join("%s as rows %.2f" % each for each in recommender.weights_.items())))

    pairs = split.test.matrix.tocoo()
    users, items = ratings.users[pairs.row], ratings.items[pairs.col]
    biases = np.clip(predict_biases(fit_biases(split.train), pairs.row, pairs.col), low, high)
    predicted = recommender.predict(users, items)
    print("\n%-28s %-8s %s" % ("error on %d held out" % len(pairs.data), "RMSE", "MAE"))
    for name, prediction in (("biases alone", biases), ("the recommender", predicted)):
        errors = sparse_ae.rmse(pairs.data, prediction), sparse_ae.mae(pairs.data, prediction)
        print("%-28s %.4f   %.4f" % ((name,) + errors))

    user, item = users[0], items[0]
    print("\n%s gave %s a %g, which was held out; predicted: %.2f"
          % (user, item, pairs.data[0], recommender.predict(user, item)))
    best = recommender.recommend(user, n=5)
    print("recommended to %s: %s"
          % (user, ", ".join("%s (%.2f)" % pair for pair in zip(best.items, best.scores))))

    saved = folder / "recommender.npz"
    recommender.save(saved)
    loaded = sparse_ae.Recommender.load(saved)
    print("\nsaved to %s (%.1f MB) and loaded again; the same %d predictions: %s"
          % (saved, saved.stat().st_size / 1e6, len(predicted),
             "yes" if np.array_equal(loaded.predict(users, items), predicted) else "NO"))


def make_up(path):
    """Write a CSV of synthetic ratings, by half stars, and show its first lines."""
    ratings, _ = sparse_ae.made_up_ratings(n_users=600, n_items=150, n_ratings=20000, step=0.5, rng=0)
    pairs = ratings.matrix.tocoo()
    lines = ["reader-%03d,book-%03d,%g" % rating for rating in zip(pairs.row, pairs.col, pairs.data)]
    path.write_text("\n".join(["user,item,rating"] + lines) + "\n")
    print("\n".join(["synthetic:", "    user,item,rating"] + ["    " + line for line in lines[:3]] + ["    ..."]))
    return path


if __name__ == "__main__":
    main()
