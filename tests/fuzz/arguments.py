"""Wrong arguments, by the thousand: ``python tests/fuzz/arguments.py FIRST_SEED LAST_SEED``.

Each seed is a call of something public with a value that it may or may not take in the place of one argument. It has to
return, or to raise ValueError, TypeError or OSError, out of the library's own lines; and before anything is
compiled.
"""
import datetime
import decimal
import functools
import os
import tempfile
import traceback
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from driver import drive, nothing_compiled_before_an_error, say

import sparse_ae
from sparse_ae import AutoEncoder, Recommender, Trainer
from sparse_ae.data.datasets import jester
from sparse_ae.data.stores import open_ratings, store_ratings
from sparse_ae.recommender import search
import theano.tensor as T

PAIRS = np.unique(np.random.RandomState(0).randint(0, 600, 250))
RATINGS = PAIRS // 20, PAIRS % 20, np.random.RandomState(1).randint(1, 6, len(PAIRS))
MATRIX = sp.csr_matrix((RATINGS[2].astype("float32"), RATINGS[:2]), shape=(30, 20))

VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 50, 10 ** 30, 10 ** 400, -10 ** 400, 0.0, 0.5, 1.0, 2.5, -0.5, 1e30, 1e-30,
    1e308, float("nan"), float("inf"), -float("inf"), 1j, "", "x", "auto", "rmse", "ndcg@10", "items", "sigmoid",
    "both", "\0", "a" * 5000, b"x", [], [1], [1, 2], [1.5], ["a"], [None], [[1, 2], [3]], [[1, 2], [3, 4]], (), (1, 5),
    (5, 1), (1, 2, 3), ("a", "b"), ([1], [2], [3]), ([1], [2], ["x"]), ([1], [2], [float("nan")]), ([1, 2], [3], [4]),
    {}, {1: 2}, {"a": 1}, {1: "x"}, {None: 1}, {(1, 2): 3}, {"user": [1], "item": [2], "rating": [3]}, set(), {1, 2},
    object(), object, int, len, print, lambda *args: None, lambda x: 1, lambda x: x, lambda x, y: x, np.float32(0.5),
    np.int64(3), np.bool_(True), np.nan, np.zeros(0), np.zeros(3), np.zeros((2, 2)), np.arange(6).reshape(2, 3),
    np.array(["a", "b"]), np.array([None]), np.zeros((3, 3), complex), np.ma.masked_array([1, 2], [0, 1]),
    np.ma.masked, [np.ma.masked], [1, np.ma.masked], np.ma.masked_array([1, 2], [1, 1]),
    np.ma.masked_array(np.arange(6).reshape(2, 3), [[0, 0, 1], [0, 0, 0]]), (np.ma.masked_array([1, 2], [0, 1]),) * 3,
    ([1, 2], [1, 2], np.ma.masked_array([1.0, 2], [0, 1])), {1: np.ma.masked}, ["a", "a" * 5000], "1" * 5000,
    np.datetime64("2020-01-01"), sp.csr_matrix((3, 3)), sp.csr_matrix(np.eye(3)), sp.csr_matrix(np.eye(3) * np.nan),
    MATRIX, MATRIX * 100, sp.coo_matrix(np.eye(3)), np.random.RandomState(0), np.random, decimal.Decimal("0.5"),
    datetime.date(2020, 1, 1), range(3), iter([1]), T.matrix(), slice(3), Ellipsis, NotImplemented, type, Exception(),
    Path("/nowhere/x"), Path("."), "/nowhere/x", ".", "/dev/null", bytearray(b"x"), memoryview(b"x"), frozenset([1]),
    np.dtype("f4"), "float32",
]

SETTINGS = dict(n_hidden=2, n_epochs=1, progress=False)


def settings_of(cls):
    return [name for name in cls._defaults()]


def fit(**given):
    settings = {name: given.pop(name) for name in list(given) if name in settings_of(Recommender)}
    ratings = given.pop("ratings", RATINGS)
    return Recommender(**dict(SETTINGS, **settings)).fit(ratings, **given)


def train(**given):
    model = given.pop("model") if "model" in given else AutoEncoder(20, 2, rating_scale=(0, 5))
    settings = {name: given.pop(name) for name in list(given) if name in (
        "update", "learning_rate", "batch_size", "formulation", "l2_per", "rng", "progress", "unknown")}
    trainer = Trainer(model, **dict(dict(progress=False), **settings))
    return trainer.fit(given.pop("train", MATRIX), given.pop("n_epochs", 1), **given)


def calls(fitted, folder):
    """(function, arguments that it may be called without, arguments to replace)."""
    person, text = fitted.fold_in({1: 3}), folder / "ratings.csv"
    text.write_text("".join("%d,%d,%d\n" % line for line in zip(*(column.tolist() for column in RATINGS))))
    return [
        (fit, {}, settings_of(Recommender) + ["ratings", "y", "validation", "on_epoch", "checkpoint",
                                              "checkpoint_every", "resume", "refit"]),
        (train, {}, ["model", "update", "learning_rate", "batch_size", "formulation", "l2_per", "rng", "progress",
                     "unknown", "train", "n_epochs", "validation", "on_epoch", "patience", "checkpoint",
                     "checkpoint_every", "resume"]),
        (AutoEncoder, dict(n_items=20, n_hidden=2),
         ["n_items", "n_hidden", "rating_scale", "f", "g", "l2", "W", "V", "mu", "b", "rng", "dtype", "U"]),
        (fitted.predict, dict(users=1, items=2), ["users", "items"]),
        (fitted.recommend, dict(users=1), ["users", "n", "exclude_seen", "items"]),
        (fitted.evaluate, dict(ratings=RATINGS), ["ratings", "y", "k", "relevant"]),
        (fitted.fold_in, dict(ratings={1: 3}), ["ratings"]),
        (fitted.similar_items, dict(item=1), ["item", "n"]),
        (fitted.score, dict(X=RATINGS), ["X", "y"]),
        (person.predict, dict(items=1), ["items"]),
        (person.recommend, {}, ["n", "exclude_seen", "items"]),
        (fitted.save, dict(path=folder / "model"), ["path"]),
        (Recommender.load, {}, ["path"]),
        (sparse_ae.load_ratings, dict(path="/nowhere/x"), ["path", "duplicates"]),
        (sparse_ae.load_ratings, dict(path=text, progress=False),
         ["duplicates", "variable", "missing", "pairs", "lists"]),
        (sparse_ae.as_ratings, dict(ratings=RATINGS), ["ratings", "y", "duplicates", "missing"]),
        (store_ratings, dict(source=text, folder=folder / "store"), ["missing", "lists", "duplicates"]),
        (sparse_ae.movielens, dict(path="/nowhere/x"), ["name", "path"]),
        (jester, dict(path="/nowhere/x"), ["path"]),
        (store_ratings, dict(source=[RATINGS], folder=folder / "store"), ["source", "folder", "rows", "duplicates"]),
        (open_ratings, {}, ["folder"]),
        (sparse_ae.split_ratings, dict(ratings=MATRIX), ["ratings", "test_fraction", "rng"]),
        (search.grid_search, dict(recommender=fitted, ratings=RATINGS, grid={"l2": ["x"]}),
         ["recommender", "ratings", "grid", "splits", "n_jobs", "measure"]),
        (search.cross_validate, dict(recommender=Recommender(l2="x"), ratings=RATINGS),
         ["recommender", "ratings", "splits", "k", "n_jobs"]),
        (search.tune, dict(recommender=Recommender(l2="x"), ratings=RATINGS),
         ["recommender", "ratings", "seconds", "n_jobs", "rng", "validation", "measure"]),
    ]


def check(error):
    """AssertionError unless an error is one of the library's; joblib raises those of other processes.

    Or of the system's that names the path: that a name is too long, say.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1].filename
    if "sparse_ae" + os.sep not in last and "joblib" not in last or "fuzz" in last:
        raise AssertionError("out of %s: %r" % (last, error)) from error


def case(fitted, rng, folder):
    made = calls(fitted, folder)
    weights = np.array([len(names) for _, _, names in made], float)
    call, arguments, names = made[rng.choice(len(made), p=weights / weights.sum())]
    name, value = names[rng.randint(len(names))], VALUES[rng.randint(len(VALUES))]
    if name in ("on_epoch", "learning_rate") and callable(value):
        return None  # what it raises is its own
    if name == "n_epochs" and isinstance(value, int) and value > 50:
        return None  # would be taken at its word
    say("%s(%s=%.200s)" % (getattr(call, "__qualname__", call), name,
                           "..." if isinstance(value, int) and abs(value) > 1e300 else repr(value)))
    try:
        with nothing_compiled_before_an_error():
            call(**dict(arguments, **{name: value}))
    except (ValueError, TypeError, OSError, MemoryError) as error:
        check(error)
        return "refused"
    except ArithmeticError as error:
        assert type(error).__name__ == "TrainingDiverged"
    return "taken"


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp(prefix="sparse_ae-fuzz-"))
    fitted = fit(validation=None)
    fitted.predict(1, 2)
    fitted.recommend(1)
    fitted.fold_in({1: 3}).recommend()
    drive(functools.partial(case, fitted), "refused", "taken")
