"""No ratings, no recommender: any network on sparse input. Here a classifier of texts.

    python sparse_input.py [--write docs/tutorial/sparse_input.md]

A text is a bag of words: 20,000 columns, about 200 in a row. Texts are synthetic: each shows some words of one of 20
themes, fewer of another, and others. The same network is trained with `SparseInputDenseLayer` on sparse rows and with
Lasagne's `DenseLayer` on dense ones, from the same weights in the same order, beside two models of scikit-learn. Then
single updates are timed, on rows with 1% of the columns at random.
"""
import time
import tracemalloc
import warnings

import numpy as np
import scipy.sparse as sp
from common import arguments, median_times, optional, parser_of

from sparse_ae.layers import SparseInputDenseLayer
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from lasagne.layers import DenseLayer, InputLayer, get_all_params, get_output

N_TEXTS, N_WORDS, N_THEMES, N_HIDDEN = 8000, 20000, 20, 200
BATCH, RATE, N_EPOCHS, ROUNDS = 32, 0.01, 5, 5


def texts(n, rng, themes_words):
    """n bags of words, (n, N_WORDS) with rows of length 1, and their classes."""
    frequency = 1 / np.arange(10.0, N_WORDS + 10)
    any_word = rng.choice(N_WORDS, (n, 200), p=frequency / frequency.sum())
    themes = rng.randint(N_THEMES, size=(n, 2))
    of_themes = [themes_words[themes[:, i, np.newaxis], rng.randint(themes_words.shape[1], size=(n, shown))]
                 for i, shown in enumerate((12, 8))]
    words = np.hstack([any_word] + of_themes)
    X = sp.csr_matrix((np.ones(words.size, "float32"), words.ravel(), np.arange(n + 1) * words.shape[1]), (n, N_WORDS))
    X.sum_duplicates()
    X.data /= np.repeat(np.sqrt(X.multiply(X).sum(axis=1).A1), np.diff(X.indptr))
    return X, themes[:, 0].astype("int32")


class Network:
    """One hidden layer in Lasagne; on sparse rows or on dense ones, all else being equal."""

    def __init__(self, sparse, update=lasagne.updates.adagrad):
        self._rows = (lambda X: X) if sparse else (lambda X: X.toarray())
        lasagne.random.set_rng(np.random.RandomState(0))
        x = theano.sparse.csr_matrix("x", "float32") if sparse else T.matrix("x", "float32")
        classes = T.ivector("classes")
        layer = SparseInputDenseLayer if sparse else DenseLayer
        hidden = layer(InputLayer((None, N_WORDS), x), N_HIDDEN, nonlinearity=lasagne.nonlinearities.tanh)
        output = DenseLayer(hidden, N_THEMES, nonlinearity=lasagne.nonlinearities.softmax)
        loss = lasagne.objectives.categorical_crossentropy(get_output(output), classes).mean()
        updates = update(loss, get_all_params(output, trainable=True), learning_rate=RATE)
        self.step = theano.function([x, classes], loss, updates=updates)
        self._probabilities = theano.function([x], get_output(output, deterministic=True))

    def partial_fit(self, X, y, classes):
        """An epoch; the methods are named as scikit-learn's."""
        for start in range(0, len(y), BATCH):
            self.step(self._rows(X[start:start + BATCH]), y[start:start + BATCH])

    def predict_proba(self, X):
        return np.vstack([self._probabilities(self._rows(X[i:i + 256])) for i in range(0, X.shape[0], 256)])


def peers():
    if optional("sklearn") is None:
        return {}
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier
    return {"scikit-learn, logistic regression": SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0),
            "scikit-learn, MLPClassifier (Adam)": MLPClassifier((N_HIDDEN,), "tanh", batch_size=BATCH, random_state=0)}


def trained(model, train, test):
    """The accuracy on the test texts, the seconds of all epochs, and the most MB that the first asked for."""
    (X, y), rng, start = train, np.random.RandomState(1), time.perf_counter()
    for epoch in range(N_EPOCHS):
        order = rng.permutation(len(y))
        rows, labels = X[order], y[order]
        if not epoch:
            tracemalloc.start()
        model.partial_fit(rows, labels, classes=np.arange(N_THEMES))
        if not epoch:
            most = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
    seconds = time.perf_counter() - start
    return np.mean(model.predict_proba(test[0]).argmax(axis=1) == test[1]), seconds, most


def updates_alone(written, rng):
    """One update on rows with 1% of the columns: milliseconds, sparse and dense."""
    table = written.table("one update", "update, rows", "sparse, ms", "dense, ms", "times as fast")
    per_row = N_WORDS // 100
    for update in (lasagne.updates.sgd, lasagne.updates.adagrad):
        steps = [Network(is_sparse, update).step for is_sparse in (True, False)]
        for n_rows in (16, 32, 64, 128):
            batches = []
            for _ in range(3):
                words = np.concatenate([np.sort(rng.choice(N_WORDS, per_row, replace=False)) for _ in range(n_rows)])
                X = sp.csr_matrix((rng.rand(words.size).astype("float32"), words, np.arange(n_rows + 1) * per_row),
                                  (n_rows, N_WORDS))
                batches.append((X, X.toarray(), rng.randint(N_THEMES, size=n_rows).astype("int32")))
            sparse, dense = (median_times({"": step}, [(each[k], each[2]) for each in batches] * ROUNDS)[""]
                             for k, step in enumerate(steps))
            table.row("%s, %d" % (update.__name__, n_rows), "%.2f" % sparse, "%.2f" % dense, "%.0f" % (dense / sparse))


def main(argv=None):
    (_, written), rng = arguments(parser_of(__doc__), __file__, argv), np.random.RandomState(0)
    themes_words = np.array([rng.choice(N_WORDS, N_WORDS // 100, replace=False) for _ in range(N_THEMES)])
    train, test = (texts(n, rng, themes_words) for n in (N_TEXTS, N_TEXTS // 4))
    print("%d texts to train on, %d held out; %d words, %.0f in a text; %d classes\n"
          % (N_TEXTS, N_TEXTS // 4, N_WORDS, train[0].nnz / N_TEXTS, N_THEMES))

    with theano.configparser.change_flags(floatX="float32"):
        sparse, dense = Network(True), Network(False)
        models = {"SparseInputDenseLayer (Adagrad)": sparse, "DenseLayer on dense rows (Adagrad)": dense, **peers()}
        table = written.table("texts", "", "right, of held-out texts", "seconds an epoch", "MB at most")
        for name, model in models.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scikit-learn's, on numbers of epochs
                accuracy, seconds, most = trained(model, train, test)
            table.row(name, "%.3f" % accuracy, "%.2f" % (seconds / N_EPOCHS), "%.1f" % most)
        print("\nThe network is the same: its probabilities for held-out texts differ by %.1e at most."
              % np.abs(sparse.predict_proba(test[0]) - dense.predict_proba(test[0])).max())
        updates_alone(written, rng)
    written.close()


if __name__ == "__main__":
    main()
