"""How do I learn clicks from a million one-hot features? A factorisation machine, and a wide-and-deep network.

A row has 20 of 10^6 features, a value of each of 20 columns, such as a user or a page. Clicks are synthetic.
`sparse_adam` moves the rows of W and V that a mini-batch uses: a step costs the same for 10^4 features as for 10^6.
Needs scikit-learn, whose logistic regression is the baseline.
"""
import numpy as np
import scipy.sparse as sp

from sparse_ae.layers import SparseInputDenseLayer
from sparse_ae.ops import csr_dot, stored_arrays
from sparse_ae.updates import sparse_adam
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from lasagne.layers import DenseLayer, ElemwiseSumLayer, InputLayer, get_all_params, get_output

N_COLUMNS, K, BATCH = 20, 16, 64


def made_up_clicks(n_rows, n_features, rng):
    """CSR rows of 20 one-hot features, (n_rows, n_features), and clicks 0 or 1; few values of a column are frequent."""
    size = n_features // N_COLUMNS
    values = (size * rng.rand(n_rows, N_COLUMNS) ** 12).astype("int32") + size * np.arange(N_COLUMNS, dtype="int32")
    X = sp.csr_matrix((np.ones(values.size, "float32"), values.ravel(), np.arange(n_rows + 1) * N_COLUMNS),
                      (n_rows, n_features))
    weights, factors = 0.3 * rng.randn(n_features), 0.4 * rng.randn(n_features, 4)
    logits = X @ weights + 0.5 * (((X @ factors) ** 2).sum(1) - X @ (factors ** 2).sum(1))
    return X, (rng.rand(n_rows) < 1 / (1 + np.exp(-logits))).astype("float32")


def factorisation_machine(x, n_features, rng):
    """Logits of CSR rows, and parameters: w0 + x w + sum over pairs i < j of (v_i . v_j) x_i x_j (Rendle 2010)."""
    data, indices, indptr = stored_arrays(x, n_features)
    w0 = theano.shared(np.zeros((1, 1), "float32"), "w0", broadcastable=(True, True))
    w = theano.shared(np.zeros((n_features, 1), "float32"), "w")
    V = theano.shared((0.05 * rng.randn(n_features, K)).astype("float32"), "V")
    places = T.arange(indices.shape[0] + 1, dtype="int32")
    entries = csr_dot(data, indices, places, V)
    of_rows = T.ones_like(data), places[:-1], indptr
    pairs = csr_dot(*of_rows, entries) ** 2 - csr_dot(*of_rows, entries ** 2)  # (x V)^2 - x^2 V^2: each pair twice
    return (w0 + csr_dot(data, indices, indptr, w))[:, 0] + 0.5 * pairs.sum(axis=1), [w0, w, V]


def wide_and_deep(x, n_features, rng):
    """As above: a linear model beside a network (Cheng et al. 2016)."""
    lasagne.random.set_rng(rng)
    features = InputLayer((None, n_features), x)
    hidden = DenseLayer(SparseInputDenseLayer(features, K, W=lasagne.init.Normal(0.05)), 32)
    wide = SparseInputDenseLayer(features, 1, W=lasagne.init.Constant(0.0), nonlinearity=None)
    logits = ElemwiseSumLayer([wide, DenseLayer(hidden, 1, b=None, nonlinearity=None)])
    return get_output(logits)[:, 0], get_all_params(logits, trainable=True)


def compiled(model, n_features, update, learning_rate):
    """A function that trains on rows and clicks and returns the mean log-loss, and one that predicts."""
    with theano.configparser.change_flags(floatX="float32"):
        x, y = theano.sparse.csr_matrix("x", "float32"), T.fvector("y")
        logits, params = model(x, n_features, np.random.RandomState(0))
        loss = T.nnet.softplus(T.switch(y > 0.5, -logits, logits)).mean()
        train = theano.function([x, y], loss, updates=update(loss, params, learning_rate=learning_rate))
        return train, theano.function([x], T.nnet.sigmoid(logits))


def main(n_features=10 ** 6, n_rows=200000):
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import log_loss, roc_auc_score
    X, y = made_up_clicks(n_rows + n_rows // 4, n_features, np.random.RandomState(0))
    linear = SGDClassifier(loss="log_loss", random_state=0).fit(X[:n_rows], y[:n_rows])
    found = {"SGDClassifier": linear.predict_proba(X[n_rows:])[:, 1]}
    for name, model in (("factorisation machine", factorisation_machine), ("wide and deep", wide_and_deep)):
        train, predict = compiled(model, n_features, sparse_adam, 0.002)
        for start in range(0, n_rows, BATCH):
            train(X[start:start + BATCH], y[start:start + BATCH])
        found[name] = predict(X[n_rows:])
    print("%d rows to train on, %d held out, %d features; %.0f%% are clicks\n\n%-24s %-10s %s"
          % (n_rows, n_rows // 4, n_features, 100 * y.mean(), "held-out rows", "log-loss", "AUC"))
    for name, p in found.items():
        print("%-24s %-10.4f %.4f" % (name, log_loss(y[n_rows:], p), roc_auc_score(y[n_rows:], p)))


if __name__ == "__main__":
    main()
