"""The post's autoencoder on MovieLens, its better half, and what biases alone know: how good is it, what does it say?

    python examples/movielens.py                         # MovieLens 100K; a minute at first, then seconds
    python examples/movielens.py --data ratings.csv      # ratings of your own
    python examples/movielens.py --help

Users as rows is the post: a user's ratings in, the same user's ratings out. Items as rows is the same model on the
transposed matrix (I-AutoRec of Sedhain et al., WWW 2015). Both are judged on the same held-out fifth of the ratings,
beside the least that a model has to beat: the mean, plus an offset for each user and each item.
"""
import argparse
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparse_ae import AutoEncoder, Trainer, mae, movielens, rmse, split_ratings
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.evaluation import plots
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.training.batch import Batch
import lasagne
import theano

SIZES = ("100k", "1m", "latest-small", "10m", "20m", "25m", "32m")


class Settings(NamedTuple):
    """Settings of a model and its training."""

    title: str
    f: str
    g: str
    n_hidden: int
    l2: float
    l2_per: str
    update: str
    learning_rate: float
    batch_size: int
    n_epochs: int


# Chosen, the numbers of epochs included, on a tenth of the *training* ratings of MovieLens 100K, cut off once more by
# split_ratings with four seeds: no setting has seen a test rating. The validation RMSE is flat around them.
# "users" keeps all that the post fixes: sigmoid, tanh, plain SGD, 0.1 (|W|^2 + |V|^2) in the cost of each mini-batch.
# The post leaves the size of a mini-batch open, and with it the weight decay that adds up over an epoch. Mini-batches
# of a single user, the most decay that it can have, did best. "items" takes the AutoRec paper's nonlinearities.
SETTINGS = {
    "users": Settings("users as rows, the post", "sigmoid", "tanh", 50, 0.1, "batch", "sgd", 3e-4, 1, 30),
    "items": Settings("items as rows", "linear", "sigmoid", 200, 70.0, "epoch", "adam", 1e-3, 128, 40),
}
# The same start for both. From Lasagne's GlorotUniform, validation is worse by 0.005 to 0.01.
START = lasagne.init.Normal(0.01)

# What `item_strengths` returns.
STRENGTH = {"users": "decoder weight W of the item", "items": "activation for the item, less its mean over items"}


class Result(NamedTuple):
    """A trained model, and its predictions of the held-out ratings."""

    rows: str
    model: AutoEncoder
    ratings: object
    history: list
    predicted: np.ndarray


def main(argv=None):
    """Runs the example with the arguments of the command line, or with those given."""
    started = time.perf_counter()
    parser = _parser()
    args = parser.parse_args(argv)
    if not args.plot.resolve().parent.is_dir():
        parser.error("there is no folder %s for the picture %s" % (args.plot.resolve().parent, args.plot))
    try:
        label, ratings, titles = load(args.data)
        split = split_ratings(ratings, test_fraction=0.2, rng=args.seed)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))

    test = split.test.tocoo()
    scale = float(ratings.matrix.data.min()), float(ratings.matrix.data.max())
    print("%s: %d ratings from %g to %g, %d users, %d items; theano %s on %s"
          % (label, ratings.matrix.nnz, scale[0], scale[1], *ratings.matrix.shape, theano.__version__,
             theano.config.device))
    print("split with seed %d: %d ratings to train on, %d held out; without a training rating: %d users, %d items"
          % (args.seed, split.train.nnz, split.test.nnz, len(split.cold_users), len(split.cold_items)))
    print("errors are in the ratings' unit, of predictions clipped to %g ... %g; a user or an item without a training "
          "rating gets the mean" % scale)
    biases = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), *scale)
    print("\nbiases alone: held-out RMSE %.4f" % rmse(test.data, biases))

    results = [train(rows, split, scale, args) for rows in ([args.rows] if args.rows else ["users", "items"])]

    print("\n%-26s %-8s %s" % ("held-out error", "RMSE", "MAE"))
    for name, predicted in [("biases alone", biases)] + [(SETTINGS[r.rows].title, r.predicted) for r in results]:
        print("%-26s %.4f   %.4f" % (name, rmse(test.data, predicted), mae(test.data, predicted)))

    names = [titles.get(item, "item %s" % item) for item in ratings.items.tolist()]
    recommend(results[-1], split, ratings.users, names, args.seed)
    try:
        draw(results, split, names, biases, label, args.plot)
    except (ImportError, OSError, ValueError) as error:  # all that is left to say can still be said
        print("\nno picture was drawn: %s" % error)
    print("%.0f seconds in all" % (time.perf_counter() - started))


def load(data):
    """Label, ratings and titles of the data set that `data` names or is the path of."""
    if data in SIZES:
        dataset = movielens(data)
        return dataset.name, dataset.ratings, dataset.titles
    # A path such as ml-1m.zip tells the size, by which movielens knows what files to look for.
    sizes = re.findall("ml-(%s)" % "|".join(SIZES), str(Path(data).resolve()).lower())
    dataset = movielens(sizes[-1] if sizes else "100k", path=data)
    return Path(data).resolve().name, dataset.ratings, dataset.titles


def train(rows, split, scale, args):
    """Train the model of `SETTINGS[rows]`; says how it goes."""
    settings = SETTINGS[rows]
    ratings, held_out = (_oriented(matrix, rows) for matrix in (split.train, split.test))
    n_hidden, n_epochs = args.hidden or settings.n_hidden, args.epochs or settings.n_epochs
    model = AutoEncoder(ratings.shape[1], n_hidden, rating_scale=scale, f=settings.f, g=settings.g, l2=settings.l2,
                        W=START, V=START, b=_start_at(ratings.data.mean(dtype="float64"), scale, settings.f),
                        rng=args.seed)
    trainer = Trainer(model, settings.update, settings.learning_rate, settings.batch_size, l2_per=settings.l2_per,
                      rng=args.seed)
    print("\n%s: %d hidden units, f=%s, g=%s, l2=%g in each %s, %s with learning rate %g, %d row%s in a mini-batch"
          % (settings.title, n_hidden, settings.f, settings.g, settings.l2, settings.l2_per, settings.update,
             settings.learning_rate, settings.batch_size, "" if settings.batch_size == 1 else "s"))

    # What is shown of the held-out ratings decides nothing: the number of epochs is given.
    def say(record):
        print("epoch %3d of %d: training RMSE %.4f, held-out RMSE %.4f, %.2f s"
              % (record["epoch"], n_epochs, record["train_rmse"], record["validation_rmse"], record["seconds"]),
              flush=True)

    history = trainer.fit(ratings, n_epochs, validation=held_out, on_epoch=say)
    test = split.test.tocoo()
    return Result(rows, model, ratings, history, predict(rows, model, ratings, test.row, test.col))


def predict(rows, model, ratings, users, items):
    """Ratings that users give to items, whichever of the two are the model's rows."""
    return model.predict_pairs(ratings, *((users, items) if rows == "users" else (items, users)))


def recommend(result, split, users, names, seed, n=10):
    """Print ten recommendations for a user beside what the user liked."""
    # Somebody with enough ratings to recognise a taste in them.
    counts = np.diff(split.train.indptr)
    user = np.random.RandomState(seed).choice(np.flatnonzero(counts >= min(20, counts.max())))
    seen, rated = split.train[user].indices, split.train[user].data
    liked = [i for i in np.argsort(-rated, kind="stable")[:n] if rated[i] >= rated.mean()]
    held_out = dict(zip(split.test[user].indices, split.test[user].data))
    # Of an item without a training rating nothing is known: its prediction is no recommendation.
    items = np.setdiff1d(split.train.indices, seen)
    scores = predict(result.rows, result.model, result.ratings, np.full(len(items), user), items)
    best = np.argsort(-scores, kind="stable")[:n]

    print("\nuser %s, by the model with %s; in brackets what the user gave it, where that was held out"
          % (users[user], SETTINGS[result.rows].title))
    left = ["%g  %s" % (rated[i], _shortened(names[seen[i]])) for i in liked]
    right = ["%.2f  %s%s" % (score, _shortened(names[item]), " (%g)" % held_out[item] if item in held_out else "")
             for item, score in zip(items[best], scores[best])]
    print("%-46s %s" % ("liked, of %d ratings in training" % len(seen), "recommended, with the predicted rating"))
    for i in range(max(len(left), len(right))):
        print(("%-46s %s" % (left[i] if i < len(left) else "", right[i] if i < len(right) else "")).rstrip())


def draw(results, split, names, biases, label, path):
    """Write the learning curves to `path`, and pictures of what was learned beside it."""
    test, last = split.test.tocoo(), results[-1]
    ax = plots.learning_curves({SETTINGS[each.rows].title: each.history for each in results},
                               {"biases alone, held out": rmse(test.data, biases)})
    ax.set_title("Learning curves, %s" % label)
    ax.figure.savefig(str(path))
    print("\nlearning curves: %s" % path.resolve())

    from matplotlib.figure import Figure
    figure = Figure(figsize=(13, 9), dpi=120, constrained_layout=True)
    grid = figure.add_gridspec(2, 2)
    predicted = {SETTINGS[each.rows].title: each.predicted for each in results}
    plots.calibration(test.data, predicted, n_bins=12, ax=figure.add_subplot(grid[0, 0])).set_title("Calibration")
    predicted["biases alone"] = biases
    counts = np.bincount(split.train.indices, minlength=split.train.shape[1])[test.col]
    plots.rmse_by_count(test.data, predicted, counts, ax=figure.add_subplot(grid[1, 0])).set(
        title="Held-out error by how often the item was rated", xlabel="ratings of the item in training")
    plots.hidden_units(item_strengths(last), names, ax=figure.add_subplot(grid[:, 1])).set(
        title="Hidden units, %s" % SETTINGS[last.rows].title, xlabel=STRENGTH[last.rows])
    path = path.with_name("%s-model%s" % (path.stem, path.suffix))
    figure.savefig(str(path))
    print("what was learned: %s" % path.resolve())


def item_strengths(result):
    """Items by hidden units: how much of a unit each item has; see `plots.hidden_units`."""
    if result.rows == "users":
        return result.model.W.get_value()
    hidden = Outputs(result.model).hidden(Batch.of(result.ratings))
    return hidden - hidden.mean(axis=0)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="100k", metavar="NAME_OR_PATH",
                        help="a MovieLens size (%s), or the path of an archive, a folder or a file of ratings; 100k if "
                        "not given" % ", ".join(SIZES))
    parser.add_argument("--rows", choices=sorted(SETTINGS), help="train this model only; both if not given")
    parser.add_argument("--hidden", type=_count, metavar="K",
                        help="hidden units; if not given, %s" % _defaults("n_hidden"))
    parser.add_argument("--epochs", type=_count, metavar="N", help="if not given, %s" % _defaults("n_epochs"))
    parser.add_argument("--seed", type=int, default=0,
                        help="of the split, the first weights and the order of the rows; 0 if not given")
    parser.add_argument("--plot", type=Path, default=Path("movielens.png"), metavar="FILE",
                        help="where the learning curves go, movielens.png if not given; pictures of what was learned "
                        "go beside it, to movielens-model.png")
    return parser


def _defaults(name):
    return " and ".join("%d for %s" % (getattr(each, name), rows) for rows, each in SETTINGS.items())


def _count(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("%r is no positive whole number" % text)
    return int(text)


def _oriented(matrix, rows):
    return matrix if rows == "users" else matrix.T.tocsr()


def _start_at(mean, scale, f):
    """An initial b with which the first outputs are the mean rating, so that no step is spent on getting there."""
    low, high = scale
    return lasagne.init.Constant(np.log((mean - low) / (high - mean)) if f == "sigmoid" else mean)


def _shortened(title, width=40):
    return title if len(title) <= width else title[:width - 3].rstrip() + "..."


if __name__ == "__main__":
    main()
