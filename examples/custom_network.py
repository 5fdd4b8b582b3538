"""How do I train a network of my own? Layers of Lasagne and of `sparse_ae.layers`, trained like the post's model.

    python examples/custom_network.py                       # MovieLens 100K
    python examples/custom_network.py --data ratings.csv    # your ratings

Change `my_network`. Rows are items: the input is an item's ratings, and there is an output for each user. A part of the
input is masked each time; a second encoder reads which users have rated the item; a second hidden layer is added to the
first. Weight decay and early stopping are chosen on validation ratings; the test ratings are used once, at the end.
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

N_HIDDEN, N_EPOCHS, DECAYS = 200, 100, (30.0, 60.0, 120.0)


def my_network(n_columns, k, rating_scale, l2):
    ratings = InputLayer((None, n_columns), name="ratings")
    shown = SparseInputDropoutLayer(ratings, 0.2)
    values = SparseInputDenseLayer(shown, k, nonlinearity=None, name="values")
    rated = SparseInputDenseLayer(IndicatorLayer(ratings), k, b=None, nonlinearity=None, name="rated")
    first = NonlinearityLayer(ElemwiseSumLayer([values, rated], coeffs=0.1), tanh)
    second = ElemwiseSumLayer([first, DenseLayer(first, k, nonlinearity=tanh, name="second")])
    output = ObservedLayer(DropoutLayer(second, 0.3), ratings, nonlinearity=sigmoid, name="output")
    return Network(output, rating_scale, l2)


def best_of(make, train):
    """Train a network for each weight decay: (validation RMSE, decay, network) of the best on validation ratings."""
    inner, found = sparse_ae.split_ratings(train, 0.1, rng=0), []  # what chooses is not what judges
    for l2 in DECAYS:
        model = make(l2)
        trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.002, batch_size=64, l2_per="epoch", rng=0,
                                    progress=False)
        history = trainer.fit(inner.train, N_EPOCHS, validation=inner.test, patience=10)
        found.append((min(record["validation_rmse"] for record in history), l2, model))
        print("    l2 %-6g validation RMSE %.4f, %d epochs" % (l2, found[-1][0], len(history)))
    return min(found)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="your ratings (default: MovieLens 100K)")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.data) if args.data else sparse_ae.movielens("100k").ratings
    matrix = ratings.matrix.T.tocsr()  # items as rows
    scale = float(matrix.data.min()), float(matrix.data.max())
    split = sparse_ae.split_ratings(matrix, 0.1, rng=0)
    test = split.test.tocoo()

    def mine(l2):
        with theano.configparser.change_flags(floatX="float32"):
            lasagne.random.set_rng(np.random.RandomState(0))
            return my_network(matrix.shape[1], N_HIDDEN, scale, l2)

    print("%d ratings to train on, %d held out" % (split.train.nnz, split.test.nnz))
    biases = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), *scale)
    print("biases\n    held-out RMSE %.4f" % sparse_ae.rmse(test.data, biases))
    for name, make in (("my network", mine),
                       ("the post's", lambda l2: shallow(matrix.shape[1], N_HIDDEN, scale, l2=l2))):
        print(name)
        _, l2, model = best_of(make, split.train)
        predicted = predict_pairs(model, split.train, test.row, test.col)
        print("    held-out RMSE %.4f with l2 %g" % (sparse_ae.rmse(test.data, predicted), l2))


if __name__ == "__main__":
    main()
