"""No ratings, no recommender: any network on sparse input. Here a classifier of texts.

    python sparse_input.py [--write docs/tutorial/sparse_input.md]

A text comes as a bag of words: 20,000 columns, of which a row has about 200. Texts are made up: each is about one of 20
themes, and shows some words of it among words of any kind, and fewer of another theme. The same network is trained with
`SparseInputDenseLayer` on the rows as they are and with Lasagne's `DenseLayer` on dense rows, from the same weights in
the same order, beside scikit-learn's logistic regression and network. Then single updates are timed, on rows of which
any column is as likely as any other: the most rows of weights that 1% of the inputs can move.
"""
import argparse
import time
import tracemalloc
import warnings

import numpy as np
import pages
import scipy.sparse as sp

from sparse_ae.layers import SparseInputDenseLayer
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from lasagne.layers import DenseLayer, InputLayer, get_all_params, get_output

N_THEMES, BATCH, RATE = 20, 32, 0.01


def texts(n, n_words, rng, themes_words):
    """n bags of words, (n, n_words) with rows of length 1, and their classes."""
    frequency = 1 / np.arange(10.0, n_words + 10)
    any_word = rng.choice(n_words, (n, 200), p=frequency / frequency.sum())
    themes = rng.randint(N_THEMES, size=(n, 2))
    of_themes = [themes_words[themes[:, i, np.newaxis], rng.randint(themes_words.shape[1], size=(n, shown))]
                 for i, shown in enumerate((12, 8))]
    words = np.hstack([any_word] + of_themes)
    X = sp.csr_matrix((np.ones(words.size, "float32"), words.ravel(), np.arange(n + 1) * words.shape[1]), (n, n_words))
    X.sum_duplicates()
    X.data /= np.repeat(np.sqrt(X.multiply(X).sum(axis=1).A1), np.diff(X.indptr))
    return X, themes[:, 0].astype("int32")


class Network:
    """One hidden layer in Lasagne; on sparse rows or on dense ones, all else being equal."""

    def __init__(self, n_words, n_hidden, sparse, update=lasagne.updates.adagrad):
        self.sparse, self.n_words = sparse, n_words
        lasagne.random.set_rng(np.random.RandomState(0))
        x = theano.sparse.csr_matrix("x", "float32") if sparse else T.matrix("x", "float32")
        classes = T.ivector("classes")
        layer = SparseInputDenseLayer if sparse else DenseLayer
        hidden = layer(InputLayer((None, n_words), x), n_hidden, nonlinearity=lasagne.nonlinearities.tanh)
        output = DenseLayer(hidden, N_THEMES, nonlinearity=lasagne.nonlinearities.softmax)
        loss = lasagne.objectives.categorical_crossentropy(get_output(output), classes).mean()
        updates = update(loss, get_all_params(output, trainable=True), learning_rate=RATE)
        self.step = theano.function([x, classes], loss, updates=updates)
        self._probabilities = theano.function([x], get_output(output, deterministic=True))

    def rows(self, X):
        return X if self.sparse else X.toarray()

    def epoch(self, X, y, rng):
        order = rng.permutation(X.shape[0])
        for start in range(0, len(order), BATCH):
            batch = order[start:start + BATCH]
            self.step(self.rows(X[batch]), y[batch])

    def probabilities(self, X):
        return np.vstack([self._probabilities(self.rows(X[i:i + 256])) for i in range(0, X.shape[0], 256)])


class Peer:
    """A model of scikit-learn's, an epoch at a time."""

    def __init__(self, model):
        self.model = model

    def epoch(self, X, y, rng):
        order = rng.permutation(X.shape[0])
        self.model.partial_fit(X[order], y[order], classes=np.arange(N_THEMES))

    def probabilities(self, X):
        return self.model.predict_proba(X)


def peers(n_hidden):
    try:
        from sklearn.linear_model import SGDClassifier
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        print("scikit-learn isn't installed: its models are left out\n")
        return {}
    return {"scikit-learn, logistic regression": Peer(SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0)),
            "scikit-learn, MLPClassifier (Adam)": Peer(MLPClassifier((n_hidden,), "tanh", batch_size=BATCH,
                                                                     random_state=0))}


def trained(model, train, test, epochs):
    """Seconds and accuracies on the test texts after each epoch; and the most MB that the first asked for."""
    rng, (X, y), spent, curve, most = np.random.RandomState(1), train, 0.0, [], None
    for _ in range(epochs):
        if most is None:
            tracemalloc.start()
        start = time.perf_counter()
        model.epoch(X, y, rng)
        spent += time.perf_counter() - start
        if most is None:
            most = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
        curve.append((spent, float(np.mean(model.probabilities(test[0]).argmax(axis=1) == test[1]))))
    return curve, most


def seconds_of_updates(networks, batches, rounds):
    """The median seconds of an update by each network, which take turns."""
    times = {name: [] for name in networks}
    for i in range(rounds):
        for name, network in networks.items():
            X, y = batches[i % len(batches)]
            x = network.rows(X)  # what is timed is the update alone
            network.step(x, y)  # once for the caches
            start = time.perf_counter()
            network.step(x, y)
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def updates_alone(written, n_words, n_hidden, rounds, rng):
    """One update on rows with 1% of the columns: milliseconds, sparse and dense."""
    print("\nOne update of the network, %d inputs of which each row has 1%%, %d units; milliseconds, medians of %d:"
          % (n_words, n_hidden, rounds))
    table = written.table("one update", "update, rows", "sparse, ms", "dense, ms", "times as fast")
    per_row = max(1, n_words // 100)
    for update in (lasagne.updates.sgd, lasagne.updates.adagrad):
        networks = {name: Network(n_words, n_hidden, name == "sparse", update) for name in ("sparse", "dense")}
        for n_rows in (16, 32, 64, 128):
            batches = []
            for _ in range(3):
                words = np.concatenate([np.sort(rng.choice(n_words, per_row, replace=False)) for _ in range(n_rows)])
                X = sp.csr_matrix((rng.rand(words.size).astype("float32"), words, np.arange(n_rows + 1) * per_row),
                                  (n_rows, n_words))
                batches.append((X, rng.randint(N_THEMES, size=n_rows).astype("int32")))
            found = seconds_of_updates(networks, batches, rounds)
            table.row("%s, %d" % (update.__name__, n_rows), "%.2f" % (1e3 * found["sparse"]),
                      "%.2f" % (1e3 * found["dense"]), "%.0f" % (found["dense"] / found["sparse"]))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--texts", type=int, default=8000, help="to train on (default %(default)s)")
    parser.add_argument("--words", type=int, default=20000, help="that there are (default %(default)s)")
    parser.add_argument("--hidden", type=int, default=200, help="hidden units (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="updates to time (default %(default)s)")
    pages.add_argument(parser, __file__)
    args = parser.parse_args(argv)

    written, rng = pages.Pages(__file__, args.write), np.random.RandomState(0)
    themes_words = np.array([rng.choice(args.words, max(2, args.words // 100), replace=False)
                             for _ in range(N_THEMES)])
    train, test = (texts(n, args.words, rng, themes_words) for n in (args.texts, max(1, args.texts // 4)))
    print("%d texts to train on, %d held out; %d words, %.0f in a text; %d classes\n"
          % (args.texts, test[0].shape[0], args.words, train[0].nnz / args.texts, N_THEMES))

    with theano.configparser.change_flags(floatX="float32"):
        models = {"SparseInputDenseLayer (Adagrad)": Network(args.words, args.hidden, True),
                  "DenseLayer on dense rows (Adagrad)": Network(args.words, args.hidden, False)}
        sparse, dense = models.values()
        models.update(peers(args.hidden))
        curves = {}
        table = written.table("texts", "", "right, of held-out texts", "seconds an epoch", "MB at most")
        for name, model in models.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scikit-learn's, on numbers of epochs
                curves[name], most = trained(model, train, test, args.epochs)
            table.row(name, "%.3f" % curves[name][-1][1], "%.2f" % (curves[name][-1][0] / args.epochs), "%.1f" % most)
        print("\nThe network is the same: its probabilities for held-out texts differ by %.1e at most."
              % np.abs(sparse.probabilities(test[0]) - dense.probabilities(test[0])).max())
        updates_alone(written, args.words, args.hidden, args.rounds, rng)
    written.close()


if __name__ == "__main__":
    main()
