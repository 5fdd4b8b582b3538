"""A network of one's own: layers of Lasagne's and of `sparse_ae.layers`, trained and judged like the post's model.

    python examples/custom_network.py                       # MovieLens 100K
    python examples/custom_network.py --data ratings.csv    # ratings of your own
    python examples/custom_network.py --plot curves.png

`my_network` is the part to change. Rows are items, as in the AutoRec paper: an item comes with the ratings that it has
been given, and the network has an output for each user. A part of these ratings is hidden each time, so that it learns
to fill in; a second encoder reads who has rated it at all; and behind the first hidden layer stands a second one, which
adds to it. How strong the weight decay is, and when training stops, is chosen on validation ratings, which are cut from
those to train on; the held-out ratings are looked at once, at the end.
"""
import argparse

import numpy as np

import sparse_ae
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


def best_of(make, decays, train, epochs, seed):
    """Trains a network for each weight decay: the one that is best on validation ratings, its decay and history."""
    inner, found = sparse_ae.split_ratings(train, 0.1, rng=seed), {}  # what chooses is not what judges
    for l2 in decays:
        model = make(l2)
        trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.002, batch_size=64, l2_per="epoch", rng=seed,
                                    progress=False)
        history = trainer.fit(inner.train, epochs, validation=inner.test, patience=10)
        error = min(record["validation_rmse"] for record in history)
        print("    l2 %-6g validation RMSE %.4f, %d epochs of %.2f s"
              % (l2, error, len(history), np.median([record["seconds"] for record in history])))
        found[l2] = error, model, history
    best = min(found, key=lambda l2: found[l2][0])
    return best, found[best][1], found[best][2]


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
    parser.add_argument("--l2", type=float, nargs="+", default=[30.0, 60.0, 120.0], metavar="DECAY",
                        help="weight decays to choose from on validation ratings (default 30 60 120)")
    parser.add_argument("--plot", metavar="FILE", help="where a picture goes; none by default")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings

    matrix = ratings.matrix.T.tocsr()  # items as rows
    scale = float(matrix.data.min()), float(matrix.data.max())
    split = sparse_ae.split_ratings(matrix, 0.1, rng=0)

    def mine(l2):
        with theano.configparser.change_flags(floatX="float32"):
            lasagne.random.set_rng(np.random.RandomState(0))
            return my_network(matrix.shape[1], args.hidden, scale, l2)

    makers = {"my network": mine, "the post's": lambda l2: shallow(matrix.shape[1], args.hidden, scale, l2=l2)}
    print("parameters of my network:")
    for each in mine(args.l2[0]).parameters:
        print("    %-10s %s" % (each.name, " x ".join(map(str, each.variable.get_value(borrow=True).shape))))

    print("\n%d ratings to train on, %d held out" % (split.train.nnz, split.test.nnz))
    test, histories, chosen = split.test.tocoo(), {}, {}
    for name, make in makers.items():
        print(name)
        l2, model, histories[name] = best_of(make, args.l2, split.train, args.epochs, 0)
        chosen["%s, l2 %g" % (name, l2)] = predict_pairs(model, split.train, test.row, test.col)
    said = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), *scale)
    print()
    for name, predicted in dict({"biases": said}, **chosen).items():
        print("%-24s held-out RMSE %.4f" % (name, sparse_ae.rmse(test.data, predicted)))
    if args.plot:
        draw(histories, args.plot)
        print("\nThe picture is in %s." % args.plot)


if __name__ == "__main__":
    main()
