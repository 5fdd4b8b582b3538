"""The cases of `against`: each draws a call from a seed, and returns its outcome. They run with 1.0.0 and with today's.

A case says what it does by `say`, returns {name: value}, and raises what the library raises. So it uses only names that
both versions have.
"""
import os
import pickle
import signal
import sys
from typing import Callable, NamedTuple

import numpy as np
import pandas
import scipy.sparse as sp
from damage import damaged
from driver import say
from forms import write_form
from threadpoolctl import threadpool_info

import sparse_ae
from sparse_ae.training.objectives import Missing

IS_OLD = sparse_ae.__version__.startswith("1.")
# The old bar can't be shown with NumPy 2.3 and later; today's is, on the terminal that `against` gives its workers.
PROGRESS = not IS_OLD


def pick(rng, *values):
    return values[rng.randint(len(values))]


def as_read(ratings):
    """`Ratings` as arrays to compare."""
    matrix = ratings.matrix
    return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape,
            "users": ratings.users, "items": ratings.items, "timestamps": ratings.timestamps}


# Files of text


def damaged_texts(rng, folder):
    """Files of known truth with changed bytes, without lists, of which 1.0.0 knew few."""
    form = write_form(rng, folder)
    if form is None or form.path.suffix == ".gz" or "lists" in form.given:
        return None
    content = damaged(form.path.read_bytes(), rng, text=True)
    form.path.write_bytes(content)
    say("%r, %r" % (content, form.given))
    return as_read(sparse_ae.load_ratings(form.path, progress=False, **form.given))


# Tables


def laid_out(rng, values):
    """An array in some layout or dtype that means the same."""
    values, kind = np.asarray(values), rng.randint(7)
    if kind == 1:
        return np.repeat(values, 2)[::2]
    if kind == 2 and values.dtype.kind in "iuf":
        return values.astype(values.dtype.newbyteorder())
    if kind == 3 and values.dtype.kind in "iu":
        return values.astype(pick(rng, "int16", "uint32", "int64", "float64"))
    if kind == 4:
        return values.astype(object)
    if kind == 5:
        return values.tolist()
    values.flags.writeable = kind != 6
    return values


def table(rng):
    """(ratings in a container that `as_ratings` knows, or nearly; the other arguments)."""
    n = int(rng.choice([0, 1, 3, 12, 40]))
    cells = rng.permutation(60)[:n] if rng.rand() < 0.7 else rng.randint(60, size=n)
    users, items = cells // 8 * pick(rng, 1, 1, 1, -7, 2 ** 40), cells % 8
    if rng.rand() < 0.4:
        users = np.array(["u%s" % user for user in users] + ["x"])[:n]
    if rng.rand() < 0.3:
        items = np.array(["\u00e4 %d" % item for item in items] + ["x"])[:n]
    values = rng.choice([1, 2, 3, 4, 5], n).astype(pick(rng, "int64", "float32", "float64"))
    if n and rng.rand() < 0.3 and values.dtype.kind == "f":
        values[rng.randint(n)] = pick(rng, 0, -0.0, 2.5, 1e-30, 1e30, np.nan, np.inf, 1e300)
    columns = [users, items, values]
    if rng.rand() < 0.25:
        columns.append(10 ** 9 + rng.permutation(n))
    given = {}
    if rng.rand() < 0.4:
        given["duplicates"] = pick(rng, "first", "last", "mean", "sum")
    if rng.rand() < 0.1:
        given["missing"] = pick(rng, 1, 3, np.nan)
    kind = rng.randint(9)
    if kind == 0 and users.dtype.kind == items.dtype.kind == "i" and n:
        matrix = sp.coo_matrix((values, (np.abs(users) % 50, items)), shape=(50, 9))
        return matrix.asformat(pick(rng, "coo", "csr", "csc", "lil", "dok")), given
    if kind == 1 and users.dtype.kind == items.dtype.kind == "i":
        return np.stack([np.asarray(column, "float64") for column in columns], axis=1), given
    columns = [laid_out(rng, column) for column in columns]
    names = pick(rng, ["user", "item", "rating", "timestamp"], ["userId", "movieId", "score", "time"],
                 ["user_id", "item_id", "rating", "timestamp"])
    named = list(zip(names, columns))
    if kind in (2, 3, 4):
        named += [("genre", ["a"] * n)] * rng.randint(2)
        named = dict(named[k] for k in rng.permutation(len(named)))
        if kind == 2:
            return named, given
        return pandas.DataFrame(named), given
    if kind == 5:
        return [tuple(row) for row in zip(*columns)], given
    if kind == 6:
        return tuple(columns[:2]), dict(given, y=columns[2])
    return tuple(columns), given


def tables(rng, folder):
    ratings, given = table(rng)
    say("%.2000r, %r" % (ratings, given))
    before = pickle.dumps(ratings)
    found = sparse_ae.as_ratings(ratings, **given)
    return dict(as_read(found), unchanged=pickle.dumps(ratings) == before)


# Splits and errors


def some_ratings(rng, n_users=None, n_items=None):
    """Synthetic `Ratings` with times; some users and items have none."""
    n_users, n_items = n_users or rng.randint(2, 40), n_items or rng.randint(2, 30)
    n = rng.randint(1, n_users * n_items // 2 + 2)
    cells = rng.permutation(n_users * n_items)[:n]
    matrix = sp.csr_matrix((rng.randint(1, 6, n).astype("float32"), (cells // n_items, cells % n_items)),
                           shape=(n_users, n_items))
    times = rng.permutation(n) if rng.rand() < 0.7 else None
    return sparse_ae.Ratings(matrix, np.arange(n_users), 5 + np.arange(n_items), times)


def parts(split):
    """A split of `some_ratings` as matrices and positions, which 1.0.0 gave of `Ratings`, too."""
    train, test, users, items = split
    return [train.matrix, test.matrix, users, items - 5] if isinstance(train, sparse_ae.Ratings) else list(split)


def splits(rng, folder):
    ratings, seed = some_ratings(rng), rng.randint(1000)
    share, n = float(rng.choice([0.01, 0.2, 0.5, 0.99])), int(rng.choice([1, 2, 3, 10]))
    whole = ratings if rng.rand() < 0.5 else ratings.matrix
    say("%r, %g, %d" % (ratings.matrix, share, n))
    kind = rng.randint(6)
    if kind == 0:
        return {"split": parts(sparse_ae.split_ratings(whole, share, rng=seed))}
    if kind == 1:
        return {"folds": [parts(each) for each in sparse_ae.k_folds(whole, n, rng=seed)]}
    if kind == 2:
        return {"split": parts(sparse_ae.leave_k_out(whole, n, rng=seed, newest=bool(rng.randint(2))))}
    if kind == 3:
        return {"split": parts(sparse_ae.split_by_time(ratings, share))}
    if kind == 4:
        return {"batches": list(sparse_ae.minibatches(ratings.matrix, n, rng=np.random.RandomState(seed)))}
    size = rng.randint(0, 30)
    observed, predicted = (rng.randn(size).astype(pick(rng, "float32", "float64")) * 10.0 ** rng.randint(-3, 20)
                           for _ in range(2))
    if size and rng.rand() < 0.1:
        predicted[rng.randint(size)] = pick(rng, np.nan, np.inf)
    if rng.rand() < 0.1:
        predicted = predicted[1:]
    return {"rmse": sparse_ae.rmse(observed, predicted), "mae": sparse_ae.mae(observed, predicted)}


# Training


def quick(x):
    return x / (1 + abs(x))


#: Few kinds of graphs, since each has to be compiled, and anything in them.
GRAPHS = [
    dict(update="sgd"), dict(update="adagrad"), dict(update="adam"), dict(update="momentum"),
    dict(update="nesterov_momentum"), dict(update="rmsprop"), dict(update="adadelta"), dict(update="sgd", g=quick),
    dict(update="sgd", formulation="dense"), dict(update="adam", formulation="dense"),
    dict(update="sgd", formulation="scan"), dict(update="adagrad", l2_weighted=True, formulation="sparse"),
    dict(update="rprop"), dict(update="lbfgs"), dict(update="adam", missing=(0.2, 0.5)),
    dict(update="sgd", missing=(0.2, 0.5)), dict(update="sgd", f="linear"), dict(update="adam", f="linear"),
]


def made_trainer(rng, ratings, graph):
    """A model and its trainer, with settings from the constructor and set afterwards."""
    graph = dict(graph)
    missing, all_rows = graph.pop("missing", None), graph["update"] in ("rprop", "lbfgs")
    of_model = dict(rating_scale=(1, 5), l2=pick(rng, 0.0, 0.1, (0.2, 0.05)), dtype=pick(rng, "float32", "float64"),
                    rng=rng.randint(1000), **{name: graph.pop(name) for name in ("f", "g", "l2_weighted")
                                              if name in graph})
    of_trainer = dict(learning_rate=float(rng.choice([0.001, 0.01])), rng=rng.randint(1000), progress=PROGRESS,
                      batch_size=None if all_rows else int(rng.choice([1, 7, 64])), l2_per=pick(rng, "batch", "epoch"))
    if missing:
        of_trainer["objective"] = Missing(*missing)
    later = {}
    if rng.rand() < 0.5:
        names = ["l2_W", "l2_V", "learning_rate", "l2_per"] + ["batch_size"] * (not all_rows)
        for name in rng.permutation(names)[:rng.randint(1, 4)].tolist():
            later[name] = {"l2_W": 0.7, "l2_V": 0.3, "learning_rate": pick(rng, 0.02, by_epoch), "l2_per": "epoch",
                           "batch_size": 13}[name]
    of_trainer.update(graph)
    model = sparse_ae.AutoEncoder(ratings.shape[1], rng.randint(1, 6), **of_model)
    trainer = sparse_ae.Trainer(model, **of_trainer)
    say("%r, %r, later %r" % (of_model, of_trainer, later))
    change(trainer, later)
    return trainer


def by_epoch(epoch):
    return 0.02 / epoch


def change(trainer, settings):
    for name, value in settings.items():
        setattr(trainer.model if name in ("l2_W", "l2_V") else trainer, name, value)


def trained(trainer):
    """The history and the parameters."""
    history = [{name: record[name] for name in ("epoch", "loss", "data_loss", "train_rmse", "learning_rate") + tuple(
        name for name in record if name.startswith("validation"))} for record in trainer.history]
    return {"history": history, "parameters": [each.get_value() for each in trainer.model.params]}


def trainings(rng, folder):
    graph = GRAPHS[rng.randint(len(GRAPHS))]
    ratings = some_ratings(rng).matrix
    train, test = ratings, ratings
    if ratings.nnz > 20:
        train, test = sparse_ae.split_ratings(ratings, 0.2, rng=1)[:2]
    trainer = made_trainer(rng, train, graph)
    given = {"validation": test} if rng.rand() < 0.5 else {}
    if given and rng.rand() < 0.5:
        given["patience"] = 1
    for _ in range(rng.randint(1, 3)):  # a second call of `fit` goes on, with other settings
        trainer.fit(train, rng.randint(1, 4), **given)
        change(trainer, {"learning_rate": 0.005} if rng.rand() < 0.3 else {})
    found = trained(trainer)
    found["blocks"] = [predicted for _, predicted in trainer.model.predict_blocks(train, block_size=16)]
    return found


# Recommenders


KINDS = [
    dict(network="ease", objective="lists"), dict(network="neighbours", objective="lists"),
    dict(network="popular", objective="lists"), dict(network="ease", objective="clicks"),
    dict(rows="users", update="adagrad"), dict(rows="items", update="sgd"), dict(rows="users", biases=False),
    dict(rows="users", objective="lists"),
]


def recommender(rng, kind):
    settings = dict(progress=PROGRESS, rng=rng.randint(1000), **kind)
    if "network" not in kind:
        settings.update(n_hidden=3, n_epochs=3, batch_size=16, learning_rate=0.05, l2=pick(rng, 0.1, 0.5),
                        network=sparse_ae.Shallow("identity", "sigmoid", 0.3), patience=5)
        settings.setdefault("biases", "unguarded")
    if rng.rand() < 0.3:
        settings["unknown"] = pick(rng, "mean", 3.0)
    return settings


def answers(fitted, people):
    """What a fitted recommender says."""
    users, items = fitted.users_, fitted.items_
    known = users[fitted.users_rated_][:6]
    found = {"predictions": fitted.predict(np.repeat(users[:6], len(items)), np.tile(items, len(users[:6])))}
    for name, lists in [("lists", fitted.recommend(known, n=5)),
                        ("all", fitted.recommend(known, n=50, exclude_seen=False)),
                        ("similar", [fitted.similar_items(item, 3) for item in items[fitted.items_rated_][:4]])]:
        found[name] = [dict(zip(each.items.tolist(), each.scores.tolist())) for each in lists]
    folded = fitted.fold_in([dict(zip(items[fitted.items_rated_].tolist(), person)) for person in people])
    found["folded in"] = [each.predict(items) for each in folded]
    return found


def fitted(rng):
    ratings = some_ratings(rng, 30, 20)
    kind = KINDS[rng.randint(len(KINDS))]
    settings = recommender(rng, kind)
    say("%r, %d ratings" % (settings, ratings.matrix.nnz))
    made = sparse_ae.Recommender(**settings)
    coo = ratings.matrix.tocoo()
    table = (np.array(["u%d" % row for row in coo.row]), coo.col, coo.data)
    made.fit(table, validation=None)
    return made, table, [[5.0, 1.0, 3.0], [4.0]] if "objective" not in kind else [[1.0, 1.0], [1.0]]


def recommenders(rng, folder):
    made, table, people = fitted(rng)
    found = {"once": answers(made, people)}
    if rng.rand() < 0.3:  # fitted again in the same process, with another setting
        made.set_params(l2=0.3)
        made.fit(table, validation=None)
        found["again"] = answers(made, people)
    return found


# Files that 1.0.0 has written


def old_files(rng, folder):
    """1.0.0 writes, today's reads."""
    kind = rng.randint(4)
    if kind == 0:
        if IS_OLD:
            made, _, people = fitted(rng)
            made.save(folder / "model.npz")
            with open(str(folder / "model.pickle"), "wb") as file:
                pickle.dump((made, people), file)
        with open(str(folder / "model.pickle"), "rb") as file:
            unpickled, people = pickle.load(file)
        loaded = sparse_ae.Recommender.load(folder / "model.npz")
        return {"loaded": answers(loaded, people), "unpickled": answers(unpickled, people)}
    if kind == 1:
        ratings = some_ratings(rng)
        rows = pick(rng, "users", "items")
        if IS_OLD:
            coo = ratings.matrix.tocoo()
            sparse_ae.store_ratings([(coo.row, coo.col, coo.data)], folder / "store", rows=rows, progress=False)
        stored = sparse_ae.open_ratings(folder / "store")
        return {"matrix": sp.csr_matrix(stored.matrix), "rows": stored.rows, "ids": [stored.row_ids, stored.col_ids]}
    ratings, graph = some_ratings(rng).matrix, GRAPHS[rng.randint(3)]
    trainer = made_trainer(rng, ratings, graph)
    if kind == 2:  # the whole trainer's model
        if IS_OLD:
            trainer.fit(ratings, 2)
            with open(str(folder / "model.pickle"), "wb") as file:
                pickle.dump(trainer.model, file)
        with open(str(folder / "model.pickle"), "rb") as file:
            model = pickle.load(file)
        return {"parameters": [each.get_value() for each in model.params],
                "blocks": [predicted for _, predicted in model.predict_blocks(ratings, block_size=16)]}
    if IS_OLD:  # half of the training, and on another copy the rest
        state = rng.get_state()
        trainer.fit(ratings, 2, checkpoint=folder / "run.npz")
        content = (folder / "run.npz").read_bytes()
        trainer.fit(ratings, 2)
        (folder / "run.npz").write_bytes(content)
        rng.set_state(state)
    else:
        trainer.fit(ratings, 4, checkpoint=folder / "run.npz", resume=True)
    return trained(trainer)


# What a case may not leave behind


def settings_of_process():
    """The process's settings that no call may change, by name."""
    found = {"global generator": np.random.get_state()[1].tobytes(), "folder": os.getcwd(),
             "environment": dict(os.environ), "errors of NumPy": np.geterr(), "interrupts": signal.getsignal(2)}
    if "lasagne" in sys.modules:
        found["Lasagne's generator"] = sys.modules["lasagne"].random.get_rng()
    for each in threadpool_info():
        found["threads of " + each["internal_api"] + each["filepath"]] = each["num_threads"]
    return found


class Family(NamedTuple):
    """Cases of one kind."""

    case: Callable
    share: float  # of the time
    rounding: float  # the relative difference of floats that is none
    compiles: bool


FAMILIES = {"damaged texts": Family(damaged_texts, 2, 0, False), "tables": Family(tables, 2, 0, False),
            "splits": Family(splits, 1, 0, False), "trainings": Family(trainings, 6, 1e-5, True),
            "recommenders": Family(recommenders, 3, 1e-4, True), "old files": Family(old_files, 2, 1e-4, True)}
