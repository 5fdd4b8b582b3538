"""What does the post's autoencoder learn on MovieLens? Compared with items as rows, and with biases.

    python examples/movielens.py                         # MovieLens 100K; a minute at first, then seconds
    python examples/movielens.py --data ratings.csv      # your ratings

Users as rows is the post: a user's ratings in, the same user's ratings out. Items as rows is the same model on the
transposed matrix (I-AutoRec of Sedhain et al., WWW 2015). Both are tested on the same held-out fifth of the ratings.
"""
import argparse
import re
from collections import namedtuple
from pathlib import Path

import numpy as np
from scipy.linalg import qr

from sparse_ae import AutoEncoder, Trainer, mae, movielens, rmse, split_ratings
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.evaluation import plots
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.training.batch import Batch
import lasagne

SIZES = ("100k", "1m", "latest-small", "10m", "20m", "25m", "32m")

# The model, its training, and the number of epochs, chosen on a tenth of the *training* ratings of MovieLens 100K. The
# first keeps what the post fixes: sigmoid, tanh, plain SGD, 0.1 (|W|^2 + |V|^2) in the cost of each mini-batch.
SETTINGS: dict = {
    "users as rows, the post": (dict(n_hidden=50, f="sigmoid", g="tanh", l2=0.1),
                                dict(update="sgd", learning_rate=3e-4, batch_size=1, l2_per="batch"), 30),
    "items as rows": (dict(n_hidden=200, f="linear", g="sigmoid", l2=70.0),
                      dict(update="adam", learning_rate=1e-3, batch_size=128, l2_per="epoch"), 40),
}
START = lasagne.init.Normal(0.01)

# A trained model, its rows, and its predictions of the held-out ratings.
Result = namedtuple("Result", "model rows history predicted")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="100k", metavar="NAME_OR_PATH",
                        help="a MovieLens size (%s), or the path of an archive, a folder or a file of ratings "
                        "(default: %%(default)s)" % ", ".join(SIZES))
    parser.add_argument("--plot", type=Path, default=Path("movielens.png"), metavar="FILE",
                        help="file of the learning curves; pictures of the model are written beside it, to "
                        "movielens-model.png (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        ratings, titles = load(args.data)
        split = split_ratings(ratings.matrix, test_fraction=0.2, rng=0)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))

    test = split.test.tocoo()
    scale = float(ratings.matrix.data.min()), float(ratings.matrix.data.max())
    print("%s: %d ratings from %g to %g, %d users, %d items; %d to train on, %d held out"
          % (args.data, ratings.matrix.nnz, *scale, *ratings.matrix.shape, split.train.nnz, split.test.nnz))
    results = {title: train(title, split, scale) for title in SETTINGS}
    biases = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), *scale)
    print("\n%-26s %-8s %s" % ("held-out error", "RMSE", "MAE"))
    for name, predicted in [("biases alone", biases)] + [(title, each.predicted) for title, each in results.items()]:
        print("%-26s %.4f   %.4f" % (name, rmse(test.data, predicted), mae(test.data, predicted)))

    names = [titles.get(item, "item %s" % item) for item in ratings.items.tolist()]
    recommend(results["items as rows"], split, ratings.users, names)
    try:
        draw(results, split, names, biases, args.plot)
    except (ImportError, OSError, ValueError) as error:
        print("\nno picture was drawn: %s" % error)


def load(data):
    """Ratings and titles of the data set with the name or path `data`."""
    # A path such as ml-1m.zip tells the size, by which movielens knows what files to look for.
    sizes = re.findall("ml-(%s)" % "|".join(SIZES), str(Path(data).resolve()).lower())
    found = movielens(data) if data in SIZES else movielens((["100k"] + sizes)[-1], path=data)
    return found.ratings, found.titles


def train(title, split, scale):
    """Train the model of `SETTINGS[title]`."""
    of_model, of_training, n_epochs = SETTINGS[title]
    print("\n%s" % title)
    is_of_items = title == "items as rows"
    rows, held_out = (part.T.tocsr() if is_of_items else part for part in (split.train, split.test))
    mean, (low, high) = rows.data.mean(dtype="float64"), scale
    start = np.log((mean - low) / (high - mean)) if of_model["f"] == "sigmoid" else mean
    model = AutoEncoder(rows.shape[1], rating_scale=scale, W=START, V=START, b=lasagne.init.Constant(start), rng=0,
                        **of_model)

    # The held-out ratings are shown, and decide nothing: the number of epochs is given.
    history = Trainer(model, rng=0, **of_training).fit(rows, n_epochs, validation=held_out)
    users, items = split.test.tocoo().row, split.test.tocoo().col
    pairs = (items, users) if is_of_items else (users, items)
    return Result(model, rows, history, model.predict_pairs(rows, *pairs))


def recommend(result, split, users, names, n=10):
    """Print ten recommendations for a user, and items that the user liked; items are the model's rows."""
    counts = np.diff(split.train.indptr)
    user = np.random.RandomState(0).choice(np.flatnonzero(counts >= min(20, counts.max())))
    seen, rated = split.train[user].indices, split.train[user].data
    held_out = dict(zip(split.test[user].indices, split.test[user].data))
    left = ["%g  %.34s" % (rated[i], names[seen[i]])
            for i in np.argsort(-rated, kind="stable")[:n] if rated[i] >= rated.mean()]
    items = np.setdiff1d(split.train.indices, seen)
    scores = result.model.predict_pairs(result.rows, items, np.full(len(items), user))
    right = ["%.2f  %.30s%s" % (score, names[item], " (%g)" % held_out[item] if item in held_out else "")
             for score, item in sorted(zip(scores, items), reverse=True)[:n]]
    print("\nuser %s; in brackets what the user gave it, where that was held out" % users[user])
    print("%-38s %s" % ("liked, of %d ratings in training" % len(seen), "recommended, with the predicted rating"))
    for i in range(max(len(left), len(right))):
        print(("%-38s %s" % ("".join(left[i:i + 1]), "".join(right[i:i + 1]))).rstrip())


def draw(results, split, names, biases, path):
    """Write the learning curves to `path`, and pictures of the model beside it."""
    test = split.test.tocoo()
    ax = plots.learning_curves({title: each.history for title, each in results.items()},
                               {"biases alone, held out": rmse(test.data, biases)})
    ax.set_title("Learning curves")
    ax.figure.savefig(str(path))

    from matplotlib.figure import Figure
    figure = Figure(figsize=(13, 9), dpi=120, constrained_layout=True)
    grid = figure.add_gridspec(2, 2)
    predicted = {title: each.predicted for title, each in results.items()}
    calibration(test.data, predicted["items as rows"], figure.add_subplot(grid[0, 0]))
    counts = np.bincount(split.train.indices, minlength=split.train.shape[1])[test.col]
    rmse_by_count(test.data, dict(predicted, **{"biases alone": biases}), counts, figure.add_subplot(grid[1, 0]))
    hidden_units(item_strengths(results["items as rows"]), names, figure.add_subplot(grid[:, 1])).set(
        title="Hidden units, items as rows", xlabel="activation for the item, less its mean over items")
    model_path = path.with_name("%s-model%s" % (path.stem, path.suffix))
    figure.savefig(str(model_path))
    print("\nlearning curves: %s\nwhat was learned: %s" % (path.resolve(), model_path.resolve()))


def item_strengths(result):
    """Items by hidden units: how much more of a unit each item has than others."""
    hidden = Outputs(result.model).hidden(Batch.of(result.rows))
    return hidden - hidden.mean(axis=0)


def calibration(observed, predicted, ax, n_bins=12):
    """Draw the mean of held-out ratings against that of their predictions, in bins of as many ratings each, with twice
    the standard error: on the diagonal a prediction of 4 means that the ratings average 4."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(n_bins, len(predicted)))
    errors = [2 * observed[each].std() / np.sqrt(len(each)) for each in bins]
    ax.errorbar([predicted[each].mean() for each in bins], [observed[each].mean() for each in bins], errors, fmt="o-")
    ends = [predicted.min(), predicted.max()]
    ax.plot(ends, ends, ":", color="grey", label="perfect calibration")
    ax.set(title="Calibration, items as rows", xlabel="mean of the predictions", ylabel="mean of the held-out ratings")
    ax.legend(frameon=False, loc="upper left")


def rmse_by_count(observed, predicted, counts, ax, n_bins=6):
    """Draw the RMSE of held-out ratings by how many ratings their item had in training, in bins of about as many."""
    lowest = np.unique(np.sort(counts)[np.arange(n_bins) * len(counts) // n_bins])
    bins = np.searchsorted(lowest, counts, side="right") - 1
    for name, values in predicted.items():
        errors = np.sqrt(np.bincount(bins, (observed - values) ** 2) / np.bincount(bins))
        ax.plot(range(len(lowest)), errors, "o-", label=name)
    ax.set_xticks(range(len(lowest)))
    ax.set_xticklabels(["%d\N{EN DASH}%d" % ends for ends in zip(lowest, [*(lowest[1:] - 1), counts.max()])])
    ax.set(title="Held-out error by how often the item was rated", xlabel="ratings of the item in training",
           ylabel="RMSE (unit of the ratings)")
    ax.legend(frameon=False)


def hidden_units(strengths, names, ax, n_units=5, n_items=3):
    """Draw the items at both ends of some hidden units, which a QR factorisation with pivots chooses: each has the most
    variation that the units before it don't explain."""
    units, n_bars = qr(strengths, mode="r", pivoting=True)[1][:n_units], min(2 * n_items, len(names))
    labels = []
    for i, unit in enumerate(units):
        order = np.argsort(-strengths[:, unit], kind="stable")
        items = np.append(order[:n_bars - n_bars // 2], order[len(order) - n_bars // 2:])
        places = i * (n_bars + 1) + np.arange(n_bars)
        ax.barh(places, strengths[items, unit], color=["C0" if each >= 0 else "C1" for each in strengths[items, unit]])
        ax.text(1.02, places.mean(), "unit %d" % unit, transform=ax.get_yaxis_transform(), va="center")
        labels += [(place, "%.42s" % names[item]) for place, item in zip(places, items)]
    ax.set_yticks([place for place, _ in labels])
    ax.set_yticklabels([label for _, label in labels])
    ax.invert_yaxis()
    return ax


if __name__ == "__main__":
    main()
