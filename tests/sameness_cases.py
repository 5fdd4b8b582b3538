"""The cases of `sameness`: calls of the public API on small made-up ratings, and what comes out of each, by name."""
import functools
import os
import tempfile

import numpy as np

import sparse_ae
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.targets import AsRated

# What settings are called.
POST = {"biases": False}
LISTS = {"objective": "lists"}
CLICKS = {"objective": "clicks"}
EVERYWHERE = (0.2, 0.5)  # of `Missing`


def network(f="identity", g="sigmoid", weight_scale=0.3, dtype="float32"):
    return {"network": sparse_ae.Shallow(f, g, weight_scale, dtype)}


def own_f(x):
    return x / (1 + abs(x))


def own_g(x):
    import theano.tensor as T
    return T.log(1 + T.exp(x))


def by_epoch(epoch):
    return 0.05 / epoch


# Ratings


@functools.lru_cache(maxsize=None)
def split(noise=0.2, test_fraction=0.15):
    """Training and test ratings; some users and items have none to train on."""
    ratings, _ = sparse_ae.made_up_ratings(90, 50, 1300, n_factors=2, noise=noise, step=1, rng=5)
    return sparse_ae.split_ratings(ratings.matrix, test_fraction, rng=6)


def columns(matrix):
    """Users, items, ratings."""
    coo = matrix.tocoo()
    return np.array(["u%02d" % row for row in coo.row]), coo.col + 100, coo.data


def clicks(matrix):
    """Pairs, of which those of high ratings come twice."""
    users, items, ratings = columns(matrix)
    chosen = np.repeat(np.flatnonzero(ratings >= 3), 1 + (ratings[ratings >= 3] == 5))
    return list(zip(users[chosen].tolist(), items[chosen].tolist()))


def of_noise():
    rng = np.random.RandomState(8)
    cells = rng.permutation(60 * 30)[:500]
    return cells // 30, cells % 30, rng.randint(1, 6, 500)


# What is asked of a recommender and a model


def recommender(**settings):
    return sparse_ae.Recommender(**dict(dict(network(), n_hidden=6, n_epochs=5, batch_size=16, learning_rate=0.05,
                                             l2=0.5, biases="unguarded", progress=False), **settings))


FIGURES = ("rating_scale_", "mean_", "missing_rating_", "weights_", "validation_rmse_", "validation_lists_",
           "best_epoch_")


def said(fitted, test=None):
    """All that a fitted recommender says."""
    test = columns(split().test) if test is None else test
    users, items = fitted.users_, fitted.items_
    found = {"ids": [users, items, fitted.users_rated_, fitted.items_rated_],
             "figures": {name: getattr(fitted, name) for name in FIGURES},
             "choices": {rows: dict(choice._asdict()) for rows, choice in fitted.choices_.items()},
             "history": without_seconds(fitted.history_)}
    for rows, model in fitted.models_.items():
        for name, value in parameters(model).items():
            found["%s of %s" % (name, rows)] = value
    if fitted.biases_ is not None:
        found["biases"] = [fitted.biases_.mean, fitted.biases_.users, fitted.biases_.items]
    if fitted.unknown != "error":
        stranger = "nobody" if users.dtype.kind == "U" else -1
        everybody = np.concatenate([users, [stranger]])
        everything = np.concatenate([items, [-1]])
        found["predictions"] = fitted.predict(np.repeat(everybody, len(everything)),
                                              np.tile(everything, len(everybody)))
    found["one prediction"] = fitted.predict(users[3], items[5])
    listed = users[fitted.users_rated_]
    found["lists"] = listed_as(fitted.recommend(users, n=5))
    found["long lists"] = listed_as(fitted.recommend(listed[:9], n=1000, exclude_seen=False))
    found["lists of some items"] = listed_as(fitted.recommend(listed, n=3, items=items[fitted.items_rated_][::4]))
    found["one list"] = listed_as([fitted.recommend(listed[2])])
    rated = items[fitted.items_rated_]
    low, high = fitted.rating_scale_
    middle = (low + high) / 2  # of counts the lowest is 0, which nobody can say
    people = fitted.fold_in([{rated[0]: high, rated[4]: middle, rated[9]: high}, {rated[2]: middle}])
    found["folded in"] = [each.predict(items) for each in people]
    found["lists of the folded in"] = listed_as([each.recommend(6) for each in people])
    found["similar items"] = listed_as([fitted.similar_items(item, 4) for item in rated[:6]])
    found["measures"] = fitted.evaluate(test, k=5)
    return found


def listed_as(lists):
    return [[each.items, each.scores] for each in lists]


def parameters(model):
    return {variable.name: variable.get_value() for variable in model.params}


def without_seconds(history):
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in history]


def fitted(ratings=None, fit=None, test=None, **settings):
    """What a recommender with these settings says."""
    ratings = columns(split().train) if ratings is None else ratings()
    return said(recommender(**settings).fit(ratings, **fit or {}), None if test is None else test())


def closed(ratings=lambda: columns(split().train), **settings):
    """What a closed form says."""
    return said(sparse_ae.Recommender(progress=False, **settings).fit(ratings(), validation=None))


def trained(formulation="sparse", update="sgd", n_epochs=3, fit=None, model=None, blocks=False, missing=None,
            **settings):
    """What a model says that is trained by a Trainer."""
    train, test = split().train, split().test
    model = sparse_ae.AutoEncoder(train.shape[1], 5, **dict(dict(rating_scale=(1, 5), rng=3), **model or {}))
    settings = dict(dict(learning_rate=0.01, batch_size=16, rng=1, progress=False), **settings)
    objective, targets = Observed() if missing is None else Missing(*missing), AsRated((1, 5), missing is None)
    trainer = sparse_ae.Trainer(model, update, formulation=formulation, objective=objective, **settings)
    found = {"history": without_seconds(trainer.fit(train, n_epochs, validation=test, **fit or {}))}
    found.update(parameters(model))
    scorer = Scorer(model, train, targets=targets if missing else None)  # scores aren't clipped
    found["predictions"] = scorer.predict(*np.indices(train.shape).reshape(2, -1), train.data.mean(dtype="float64"))
    if blocks:
        found["blocks"] = [predicted for _, predicted in model.predict_blocks(train, block_size=32)]
    return found


ALL_ROWS = {"batch_size": None, "learning_rate": 0.05}
DECAY_BY_RATINGS = {"l2_weighted": True, "l2": (0.02, 0.01)}
LINEAR = {"f": "linear", "g": "sigmoid", "l2": 0.05}


# Cases that are more than settings


def stored(rows, **settings):
    with tempfile.TemporaryDirectory() as folder:
        sparse_ae.store_ratings([columns(split().train)], os.path.join(folder, "store"), rows, progress=False)
        ratings = sparse_ae.open_ratings(os.path.join(folder, "store"))
        return dict(fitted(lambda: ratings, rows=rows, **settings),
                    store=[ratings.matrix, ratings.row_ids, ratings.col_ids])


def splits():
    """What is drawn, and in which order."""
    ratings = sparse_ae.made_up_ratings(90, 50, 1300, n_factors=2, noise=0.2, rng=5)[0]
    yield "made_up_ratings", ratings.matrix
    yield "split_ratings", list(sparse_ae.split_ratings(ratings.matrix, 0.3, rng=2))
    yield "k_folds", [list(each) for each in sparse_ae.k_folds(ratings.matrix, 3, rng=2)]
    yield "leave_k_out", list(sparse_ae.leave_k_out(ratings.matrix, 2, rng=2))
    timed = columns(ratings.matrix) + (np.random.RandomState(0).permutation(ratings.matrix.nnz),)
    timed = sparse_ae.as_ratings(timed)
    yield "as_ratings", [timed.matrix, timed.users, timed.items, timed.timestamps]
    # Of 1.0.0 cold users and items were positions, and are ids.
    train, test, *_ = sparse_ae.split_by_time(timed, 0.2)
    yield "split_by_time", [getattr(each, "matrix", each) for each in (train, test)]
    yield "minibatches", list(sparse_ae.minibatches(ratings.matrix, 32, rng=np.random.RandomState(4)))


UPDATES = {"sgd": {}, "momentum": {}, "nesterov_momentum": {}, "adagrad": {}, "rmsprop": {}, "adadelta": {},
           "adam": {}, "rprop": ALL_ROWS, "lbfgs": {"batch_size": None}}

CASES = {
    "all by itself": lambda: fitted(
        n_hidden="auto", batch_size="auto", learning_rate="auto", l2="auto", n_epochs=6, biases=True,
        **network(weight_scale=0.01)),
    "both sides": lambda: fitted(rows="both"),
    "both sides without validation": lambda: fitted(rows="both", fit={"validation": None}),
    "items": lambda: fitted(rows="items"),
    "users": lambda: fitted(rows="users"),
    "the post's, items, sigmoid": lambda: fitted(rows="items", l2=0.1, **dict(POST, **network("sigmoid", "tanh"))),
    "held-out ratings": lambda: fitted(rows="both", fit={"validation": columns(split().test)}),
    "float64": lambda: fitted(rows="both", **network(dtype="float64")),
    "early stopping": lambda: fitted(rows="both", n_epochs=40, learning_rate=0.2, patience=2, l2=0.01),
    "guard on noise": lambda: fitted(of_noise, test=of_noise, rows="both", biases=True, fit={"validation": 0.3}),
    "unknown is an error": lambda: fitted(
        rows="items", unknown="error", test=lambda: columns(split().train), fit={"validation": None}),
    "own f and g": lambda: fitted(rows="both", **network(own_f, own_g)),
    "dense": lambda: fitted(rows="both", formulation="dense"),
    "schedule": lambda: fitted(rows="users", update="sgd", learning_rate=by_epoch),
    "l2 of W and V": lambda: fitted(rows="items", l2=(0.7, 0.2)),
    "lists, both sides": lambda: fitted(rows="both", **LISTS),
    "lists, by recall": lambda: fitted(rows="users", objective=Missing(0.2, 0.5, "recall@5")),
    "lists, float64, tanh": lambda: fitted(rows="users", **dict(LISTS, **network("tanh", "tanh", dtype="float64"))),
    "ratings by lists": lambda: fitted(rows="both", objective=Observed("ndcg@10")),
    "ease": lambda: closed(network="ease", objective="lists"),
    "local": lambda: closed(network="local", objective="lists"),
    "popular": lambda: closed(network="popular", objective="lists"),
    "ease of counts": lambda: closed(lambda: clicks(split().train), network="ease", objective="clicks"),
    "counts": lambda: fitted(
        lambda: clicks(split().train), test=lambda: clicks(split().test), rows="users", **CLICKS),
    "stored ratings, users": lambda: stored("users"),
    "stored ratings, items, lists": lambda: stored("items", **LISTS),
    "splits": splits,
    "scan": lambda: trained("scan", blocks=True),
    "sparse, float64": lambda: trained(model={"dtype": "float64"}),
    "sparse, no decay, no scale": lambda: trained(model={"rating_scale": None, "f": "linear", "l2": 0}),
    "sparse, own f and g": lambda: trained(model={"f": own_f, "g": own_g}),
    "sparse, rectify": lambda: trained(model={"f": "rectify", "g": "rectify"}),
    "patience": lambda: trained(update="adam", learning_rate=0.2, n_epochs=20, fit={"patience": 2}),
}
for each, more in UPDATES.items():
    CASES["sparse, " + each] = functools.partial(trained, "sparse", each, **more)
    CASES["biases, " + each] = functools.partial(fitted, rows="items", update=each, fit={"validation": None}, **more)
for each in ("sgd", "adagrad", "adam"):
    CASES["dense, " + each] = functools.partial(trained, "dense", each)
    CASES["decay by ratings, " + each] = functools.partial(trained, "sparse", each, model=DECAY_BY_RATINGS)
for each in ("sgd", "momentum", "adagrad", "adam"):
    CASES["missing entries, " + each] = functools.partial(
        trained, "sparse", each, learning_rate=0.002, model=LINEAR, missing=EVERYWHERE)
CASES["missing entries, dense"] = functools.partial(trained, "dense", "adam", model=LINEAR, missing=EVERYWHERE)
