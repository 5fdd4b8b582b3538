"""A network of one's own: layers of Lasagne's and of `sparse_ae.layers`, trained and judged like the post's model.

    python examples/custom_network.py                       # MovieLens 100K
    python examples/custom_network.py --data ratings.csv    # ratings of your own
    python examples/custom_network.py --plot curves.png

`my_network` is the part to change. Rows are items, as in the AutoRec paper: an item comes with the ratings that it has
been given, and the network has an output for each user. A part of these ratings is hidden each time, so that it learns
to fill in; a second encoder reads who has rated it at all; and behind the first hidden layer stands a second one, which
adds to it.
"""
import argparse
import sys
from pathlib import Path

try:
    import sparse_ae
except ModuleNotFoundError:  # not installed: take the checkout that this file is in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import sparse_ae

import numpy as np

from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.layers import IndicatorLayer, ObservedLayer, SparseInputDenseLayer, SparseInputDropoutLayer
from sparse_ae.networks import Network, shallow
from sparse_ae.scoring.predict import predict_pairs
import lasagne
import theano
from lasagne.layers import DenseLayer, DropoutLayer, ElemwiseSumLayer, InputLayer, NonlinearityLayer
from lasagne.nonlinearities import sigmoid, tanh


def my_network(n_columns, k, rating_scale, l2):
    ratings = InputLayer((None, n_columns), name="ratings")
    shown = SparseInputDropoutLayer(ratings, 0.2)
    values = SparseInputDenseLayer(shown, k, nonlinearity=None, name="values")
    rated = SparseInputDenseLayer(IndicatorLayer(ratings), k, b=None, nonlinearity=None, name="rated")
    first = NonlinearityLayer(ElemwiseSumLayer([values, rated], coeffs=0.1), tanh)
    second = ElemwiseSumLayer([first, DenseLayer(first, k, nonlinearity=tanh, name="second")])
    output = ObservedLayer(DropoutLayer(second, 0.3), ratings, nonlinearity=sigmoid, name="output")
    return Network(output, rating_scale, l2)


def trained(model, split, epochs, seed):
    """The history of a training that stops early, and its error on the test ratings."""
    inner = sparse_ae.split_ratings(split.train, 0.1, rng=seed)  # what stops it is not what judges it
    trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.002, batch_size=64, l2_per="epoch", rng=seed,
                                progress=False)
    history = trainer.fit(inner.train, epochs, validation=inner.test, patience=10)
    test = split.test.tocoo()
    return history, sparse_ae.rmse(test.data, predict_pairs(model, split.train, test.row, test.col))


def draw(histories, path):
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 4), constrained_layout=True)
    ax = figure.subplots()
    for name, history in histories.items():
        ax.plot([record["epoch"] for record in history], [record["validation_rmse"] for record in history], label=name)
    ax.set(xlabel="epoch", ylabel="RMSE on validation ratings", title="A network of one's own, and the post's")
    ax.legend(frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="ratings of your own; MovieLens 100K if not given")
    parser.add_argument("--hidden", type=int, default=200, help="hidden units (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=100, help="at most (default %(default)s)")
    parser.add_argument("--l2", type=float, default=60.0, help="weight decay (default %(default)s)")
    parser.add_argument("--plot", metavar="FILE", help="where a picture goes; none by default")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings

    matrix = ratings.matrix.T.tocsr()  # items as rows
    scale = float(matrix.data.min()), float(matrix.data.max())
    split = sparse_ae.split_ratings(matrix, 0.1, rng=0)
    with theano.configparser.change_flags(floatX="float32"):
        lasagne.random.set_rng(np.random.RandomState(0))
        mine = my_network(matrix.shape[1], args.hidden, scale, args.l2)
    models = {"my network": mine,
              "the post's": shallow(matrix.shape[1], args.hidden, scale, l2=args.l2)}
    print("parameters of my network:")
    for each in mine.parameters:
        print("    %-10s %s" % (each.name, " x ".join(map(str, each.variable.get_value(borrow=True).shape))))

    print("\n%d ratings to train on, %d held out" % (split.train.nnz, split.test.nnz))
    test, histories = split.test.tocoo(), {}
    said = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), *scale)
    print("%-12s held-out RMSE %.4f" % ("biases", sparse_ae.rmse(test.data, said)))
    for name, model in models.items():
        histories[name], error = trained(model, split, args.epochs, 0)
        print("%-12s held-out RMSE %.4f after %d epochs of %.2f s" % (
            name, error, len(histories[name]), np.median([record["seconds"] for record in histories[name]])))
    if args.plot:
        draw(histories, args.plot)
        print("\nThe picture is in %s." % args.plot)


if __name__ == "__main__":
    main()
