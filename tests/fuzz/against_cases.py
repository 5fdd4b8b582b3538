"""The cases of `against`: calls drawn from a seed, and those of `sameness`; with 1.0.0 and with today's version.

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
from sameness_cases import CASES, columns, parameters, recommender, said, split
from threadpoolctl import threadpool_info

import sparse_ae

IS_OLD = sparse_ae.__version__.startswith("1.")


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


# Fits, splits and what comes of them


#: Cases of `sameness` that leave no choice to validation ratings, by which 1.0.0 chose otherwise.
CALLS = [name for name in CASES if name.startswith((
    "sparse", "dense,", "scan", "decay", "missing", "patience", "splits", "biases", "both sides without", "ease",
    "popular"))]


def seen(things):
    """What people see of them: records have got more figures, and biases are solved for otherwise."""
    found = {name: value for name, value in things.items()
             if name not in ("choices", "biases", "measures") and " of " not in name}
    if "history" in found:
        found["history"] = [[record[name] for name in ("epoch", "loss", "train_rmse")] for record in found["history"]]
    return found


def calls(rng, folder):
    """Those of `sameness`, in turn."""
    name = CALLS[int(folder.name) % len(CALLS)]
    say(name)
    return seen(dict(CASES[name]()))


# Files that 1.0.0 has written


def old_files(rng, folder):
    """1.0.0 writes, today's reads."""
    kind = pick(rng, "recommender", "closed form", "store", "model", "run")
    train, test = columns(split().train), split().test
    say(kind)
    if kind in ("recommender", "closed form"):
        if IS_OLD:
            closed_form = dict(objective="lists", network=pick(rng, "ease", "popular"), progress=False)
            made = recommender(n_epochs=2) if kind == "recommender" else sparse_ae.Recommender(**closed_form)
            made.fit(train, validation=None).save(folder / "model.npz")
            (folder / "model.pickle").write_bytes(pickle.dumps(made))
        return {"loaded": seen(said(sparse_ae.Recommender.load(folder / "model.npz"))),
                "unpickled": seen(said(pickle.loads((folder / "model.pickle").read_bytes())))}
    if kind == "store":
        if IS_OLD:
            sparse_ae.store_ratings([train], folder / "store", rows=pick(rng, "users", "items"), progress=False)
        stored = sparse_ae.open_ratings(folder / "store")
        return {"matrix": sp.csr_matrix(stored.matrix), "rows": stored.rows, "ids": [stored.row_ids, stored.col_ids]}
    model = sparse_ae.AutoEncoder(test.shape[1], 4, rating_scale=(1, 5), rng=1)
    trainer = sparse_ae.Trainer(model, pick(rng, "sgd", "adagrad", "adam"), 0.01, rng=1, progress=False)
    if kind == "model":
        if IS_OLD:
            trainer.fit(test, 2)
            (folder / "model.pickle").write_bytes(pickle.dumps(model))
        return parameters(pickle.loads((folder / "model.pickle").read_bytes()))
    if IS_OLD:  # half of the training, and the rest without a file
        trainer.fit(test, 2, checkpoint=folder / "run.npz")
        content = (folder / "run.npz").read_bytes()
        trainer.fit(test, 2)
        (folder / "run.npz").write_bytes(content)
    else:
        trainer.fit(test, 4, checkpoint=folder / "run.npz", resume=True)
    return parameters(model)


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
            "calls": Family(calls, 8, 1e-4, True), "old files": Family(old_files, 2, 1e-4, True)}
