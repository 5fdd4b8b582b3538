"""The 2016 post's listing, corrected, beside the three graphs of this library: the same losses, rows written, seconds.

    python examples/post.py                         # MovieLens 100K; two minutes, most of it Theano's scan
    python examples/post.py --data ratings.csv      # your ratings

Each comment `here:` names where a piece of the post lives in the library; docs/tutorial/post.md lists the corrections.
"""
import argparse
import time

import numpy as np

from sparse_ae import AutoEncoder, Trainer, load_ratings, movielens, rmse, split_ratings
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.data import minibatches
from sparse_ae.training.batch import Batch
import theano
import theano.tensor as T
from lasagne.updates import sgd

K, L2, RATE, BATCH_SIZE, N_EPOCHS = 20, 0.1, 3e-4, 32, 4


def listing(w, v, scale):
    """The post's model: its parameters and its `ae_batch`, which takes dense rows and returns the loss."""
    low, high = scale
    W = theano.shared(w, name="W")                                      # here: AutoEncoder(W=..., V=...)
    V = theano.shared(v, name="V")
    mu = theano.shared(np.zeros(K, "float32"), name="mu")
    b = theano.shared(np.zeros(len(w), "float32"), name="b")            # the post's n: items, not users
    rating = T.fmatrix("rating")

    def step(rat, W, V, mu, b):                                         # here: AutoEncoder.step
        res = T.zeros_like(rat)
        rat_nz = T.neq(rat, 0).nonzero()[0]
        hidden_activation = T.tanh(T.dot(V[:, rat_nz], rat[rat_nz]) + mu)
        output_activation = T.nnet.sigmoid(T.dot(W[rat_nz, :], hidden_activation) + b[rat_nz])
        return T.set_subtensor(res[rat_nz], low + (high - low) * output_activation)     # a sigmoid can't reach 5

    scan_res, _ = theano.scan(fn=step, outputs_info=None, sequences=[rating],           # here: AutoEncoder.scan
                              non_sequences=[W, V, mu, b])
    loss = T.sum((scan_res - rating) ** 2) + L2 * T.sum(W ** 2) + L2 * T.sum(V ** 2)    # here: AutoEncoder.loss
    updates = sgd(loss, [W, V, mu, b], learning_rate=np.float32(RATE))  # a Python float would make float64 of float32
    return W, V, theano.function([rating], loss, updates=updates)       # here: AutoEncoder.ae_batch


def train_listing(train, w, v, scale):
    """The post's loop: mean losses, seconds of an epoch, rows of W and columns of V that the first step writes."""
    W, V, ae_batch = listing(w, v, scale)
    rng, losses, written = np.random.RandomState(0), [], None
    start = time.perf_counter()
    for _ in range(N_EPOCHS):                                           # here: Trainer.fit
        found = []
        for _, ratings in minibatches(train, BATCH_SIZE, rng):          # the post: T[indices[i:i + batch_size], :]
            found.append(ae_batch(ratings.toarray()))
            written = written or changed((w, v), (W.get_value(), V.get_value()))
        losses.append(np.mean(found))                                   # the post: print("mean Loss ...")
    return losses, (time.perf_counter() - start) / N_EPOCHS, written


def train_graph(formulation, train, w, v, scale):
    """The same by `Trainer`, and the model."""
    model = AutoEncoder(train.shape[1], K, rating_scale=scale, W=w, V=v, l2=L2)
    trainer = Trainer(model, "sgd", RATE, batch_size=BATCH_SIZE, formulation=formulation, l2_per="batch", rng=0)
    history = trainer.fit(train, N_EPOCHS)
    _, ratings = next(minibatches(train, BATCH_SIZE, np.random.RandomState(0)))
    # Outside of `deferred` each call also writes the weight decay of the other rows.
    with trainer.step.deferred():
        before = model.W.get_value(), model.V.get_value()
        trainer.step(Batch.of(ratings))
        written = changed(before, (model.W.get_value(), model.V.get_value()))
    # The step above was for the count: `fit` has told its losses before.
    return [each["loss"] for each in history], np.mean([each["seconds"] for each in history]), written, model


def changed(before, after):
    """Count the rows of W and the columns of V whose numbers changed."""
    (W, V), (new_W, new_V) = before, after
    return int((W != new_W).any(axis=1).sum()), int((V != new_V).any(axis=0).sum())


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="PATH", help="a file of ratings (default: MovieLens 100K)")
    data = parser.parse_args(argv).data
    try:
        ratings = load_ratings(data) if data else movielens("100k").ratings
        split = split_ratings(ratings.matrix, test_fraction=0.2, rng=0)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    train, test, rng = split.train, split.test.tocoo(), np.random.RandomState(0)
    scale, n_items = (float(ratings.matrix.data.min()), float(ratings.matrix.data.max())), train.shape[1]
    bound = np.sqrt(6 / (n_items + K))
    w, v = (rng.uniform(-bound, bound, shape).astype("float32") for shape in ((n_items, K), (K, n_items)))

    print("The post's listing, as it stands in this file ...", flush=True)
    found = {"the listing": train_listing(train, w, v, scale)}
    for formulation in "scan", "dense", "sparse":
        *found[formulation], model = train_graph(formulation, train, w, v, scale)

    print("\n%-24s" % "mean loss" + "".join("%14s" % name for name in found))
    for epoch in range(N_EPOCHS):
        print("%-24s" % ("epoch %d" % (epoch + 1)) + "".join("%14.3f" % each[0][epoch] for each in found.values()))
    print("%-24s" % "seconds an epoch" + "".join("%14.3f" % each[1] for each in found.values()))
    for i, name in enumerate(["rows of W", "columns of V"]):
        print("%-24s" % (name + " a step writes") + "".join("%14d" % each[2][i] for each in found.values()))
    _, block = next(minibatches(train, BATCH_SIZE, np.random.RandomState(0)))
    print("items rated in that mini-batch: %d of %d" % (len(np.unique(block.indices)), n_items))

    biases = np.clip(predict_biases(fit_biases(train), test.row, test.col), *scale)
    print("\nRMSE on held-out ratings: %.3f; biases alone %.3f.\nA user is a row, and %d rows are few for %d"
          " parameters: on small data the post's model stays behind biases.\nexamples/movielens.py trains it longer,"
          " and with items as rows, which is ahead."
          % (rmse(test.data, model.predict_pairs(train, test.row, test.col)), rmse(test.data, biases),
             train.shape[0], sum(each.get_value().size for each in model.params)))


if __name__ == "__main__":
    main()
