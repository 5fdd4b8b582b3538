"""Wrong and odd arguments, by the thousand: ``python tests/fuzz/arguments.py FIRST_SEED LAST_SEED``.

A seed is a call of something public with a value that it may or may not take in the place of one argument; or a fit
with odd settings and ratings, which comes back from its file with the same bytes. What is refused is a ValueError,
TypeError or OSError out of the library's own lines, before anything is compiled, unless the loss has shown that
training diverges.
"""
import datetime
import decimal
import fractions
import functools
import os
import tempfile
import traceback
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from driver import drive, nothing_compiled_before_an_error, say
from matrices import zipped
from recommender_contract import ATTRIBUTES

import sparse_ae
from sparse_ae import AutoEncoder, Recommender, Shallow, Trainer
from sparse_ae.data.stores import open_ratings, store_ratings
from sparse_ae.recommender import search
from sparse_ae.training.objectives import Missing, Multinomial, Observed
import lasagne
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
    np.dtype("f4"), "float32", 4, 1e-3, 1e-45, 1e3, 1e17, 1e18, 10 ** 18, 10 ** 40, np.float64(0.125), np.int8(2),
    np.uint8(2), fractions.Fraction(1, 3), fractions.Fraction(4), (0.5, 0.25), [0.5, np.float32(0.25)], (1e18, 1e30),
    (fractions.Fraction(1, 2), 1), np.array([0.5, 0.25]), "unguarded", "mean", "error", "users", np.str_("mean"),
    "adam", "adagrad", 2 ** 32, np.uint32(2 ** 32 - 1), "sparse",
]
NUMBERS = [value for value in VALUES if isinstance(value, (int, float, np.generic, fractions.Fraction))]
# Settings of kinds of their own, in every form that people have them in.
ODD = {
    "update": ["adam", "adagrad", "sgd", np.str_("adam"), lasagne.updates.adam, "nothing", None],
    "learning_rate": NUMBERS + [lambda epoch: 0.01],
    "patience": [None, 1, np.int64(1), "auto", 0, 10 ** 30],
    "rating_scale": [None, (0, 6), [0, 6], np.array([0.0, 6.0]), (0, np.float32(6)), (fractions.Fraction(1, 2), 6),
                     (-1e17, 1e17), (0, 1e18), (-1e30, 1e30), (0, 1e38), (5, 1), (1, 5, 6), "06", {0: 1, 6: 1},
                     {0.0, 6.0}, iter([0, 6]), range(0, 7, 6), (True, 6), (float("-inf"), 6), (0, "6")],
    "network": ["shallow", "deep", Shallow(g="tanh"), None] + [
        Shallow(f) for f in ("linear", lasagne.nonlinearities.identity, lasagne.nonlinearities.linear, "nothing", None)
        ] + [Shallow(g=g) for g in (lasagne.nonlinearities.sigmoid, "tanh", 3)] + [
        Shallow(weight_scale=scale) for scale in NUMBERS] + [
        Shallow(dtype=dtype) for dtype in ("float64", np.float32, float, np.dtype("float32"), "f4", "<f8", int,
                                           np.str_("float32"), "float16", None)],
    "objective": ["ratings", "lists", "clicks", np.str_("lists"), "list", None, Missing, Multinomial()] + [
        Missing(weight) for weight in (0, np.float32(0.25), fractions.Fraction(1, 4), 1)] + [
        kind(measure=measure) for measure in ("rmse", "ndcg@3", np.str_("recall@2"), "ndcg", None)
        for kind in (Observed, Missing)] + [
        Missing(rating=rating) for rating in NUMBERS
        if type(rating) in (int, float) and abs(rating) < 1e300],
}
SEEDS = [0, np.int64(7), np.random.RandomState(0)]
# Values that most arguments of a name take, in odd forms: without them nearly all calls are refused. None of them has
# another graph compiled.
TAKEN = {
    "users": [1, np.int64(2), np.uint8(3)], "items": [2, np.int64(2), [1, 3], range(3)],
    "n": [1, np.int64(3), 10 ** 9], "exclude_seen": [True, np.bool_(False)], "y": [None], "k": [1, np.int8(5)],
    "ratings": [RATINGS, MATRIX, {1: 3}, {2: np.float32(5), 3: 1}], "relevant": [None, 3, np.float32(2.5)],
    "duplicates": ["error", "first", "mean", np.str_("sum")], "missing": [None, 0, float("nan"), np.float32(3)],
    "pairs": [False, np.bool_(False)], "lists": [False, np.bool_(False)], "delimiter": [None, ","], "user": [None, 0],
    "item": [1, np.int64(2), None], "rating": [None, 2], "timestamp": [None], "folder": [],
    "rows": ["users", np.str_("items")], "test_fraction": [0.5, np.float32(0.25), fractions.Fraction(1, 3)],
    "rng": SEEDS, "grid": [{"unknown": ["mean"]}, {"rng": [0, 1]}], "splits": [2, np.int64(3)], "n_jobs": [1],
    "seconds": [0.01, np.float32(0.1)], "validation": [None, 0.2, RATINGS], "measure": [None, "ndcg@5"],
    "n_items": [7, np.int64(20)], "n_hidden": [1, np.int8(3)], "rating_scale": [None, (0, 6), [0, np.float32(5)]],
    "f": ["linear", "sigmoid"], "g": ["tanh", lasagne.nonlinearities.rectify], "W": [np.zeros((20, 2))],
    "V": [lasagne.init.Normal(0.1), np.ones((2, 20), "float32")], "mu": [np.zeros(2)], "b": [lasagne.init.Constant(1)],
    "dtype": ["float64", np.float32], "l2": [0, 0.1, (0.5, 0.25), fractions.Fraction(1, 3), np.float32(0.1), 1e-30],
    "learning_rate": [0.1, np.float32(0.01), fractions.Fraction(1, 3)], "batch_size": [7, np.int64(64)],
    "l2_per": ["batch", np.str_("epoch")], "progress": [False, np.bool_(False)], "unknown": [None, 3.0, np.int8(2)],
    "train": [MATRIX], "n_epochs": [1, np.int64(2)], "on_epoch": [None], "patience": [None, 1], "resume": [False],
    "checkpoint": [None], "checkpoint_every": [1, np.int64(3)], "refit": [True, False], "U": [None],
    "biases": [True, False, "unguarded", np.str_("unguarded")],
}
# More may be refused where hardly any value can be taken.
REASONS = {name: (0.99, "since no value but a file's own path is taken") for name in (
    "Recommender.load", "open_ratings", "movielens")}
SETTINGS = dict(n_hidden=2, n_epochs=1, progress=False)
# Those of a recommender, by name.
NAMES = list(Recommender().get_params())


def fit(**given):
    settings = {name: given.pop(name) for name in list(given) if name in NAMES}
    ratings = given.pop("ratings", RATINGS)
    return Recommender(**dict(SETTINGS, **settings)).fit(ratings, **given)


def train(**given):
    model = given.pop("model") if "model" in given else AutoEncoder(20, 2, rating_scale=(0, 5))
    settings = {name: given.pop(name) for name in list(given) if name in (
        "update", "learning_rate", "batch_size", "formulation", "l2_per", "rng", "progress", "unknown")}
    trainer = Trainer(model, **dict(dict(progress=False), **settings))
    return trainer.fit(given.pop("train", MATRIX), given.pop("n_epochs", 1), **given)


def calls(fitted, folder):
    """(function, arguments that it takes, arguments to replace one of)."""
    person, text = fitted.fold_in({1: 3}), folder / "ratings.csv"
    lines = "".join("%d,%d,%d\n" % line for line in zip(*(column.tolist() for column in RATINGS)))
    movies = "".join("%d::Film (1999)::Drama\n" % item for item in range(20))
    text.write_text(lines)
    (folder / "ml-1m.zip").write_bytes(zipped({"ml-1m/ratings.dat": lines.replace(",", "::").replace("\n", "::0\n"),
                                               "ml-1m/movies.dat": movies}))
    fitted.save(folder / "saved")
    store_ratings([RATINGS], folder / "stored", progress=False)
    popular = Recommender(objective="lists", network="popular", progress=False)  # nothing is trained
    return [
        (fit, {}, NAMES + ["ratings", "y", "validation", "on_epoch", "checkpoint",
                                              "resume", "refit"]),
        (train, {}, ["model", "update", "learning_rate", "batch_size", "formulation", "l2_per", "rng", "progress",
                     "unknown", "train", "n_epochs", "validation", "on_epoch", "patience", "checkpoint",
                     "checkpoint_every", "resume"]),
        (AutoEncoder, dict(n_items=20, n_hidden=2),
         ["n_items", "n_hidden", "rating_scale", "f", "g", "l2", "W", "V", "mu", "b", "rng", "dtype", "U"]),
        (fitted.predict, dict(users=1, items=2), ["users", "items"]),
        (fitted.recommend, dict(users=1), ["users", "n", "exclude_seen", "items", "exclude"]),
        (fitted.evaluate, dict(ratings=RATINGS), ["ratings", "y", "k", "relevant"]),
        (fitted.fold_in, dict(ratings={1: 3}), ["ratings"]),
        (fitted.similar_items, dict(item=1), ["item", "n", "items"]),
        (fitted.similar_users, dict(user=1), ["user", "n"]),
        (fitted.explain, dict(user=1, item=2), ["user", "item"]),
        (fitted.users_for, dict(item=2), ["item", "n", "users"]),
        (fitted.score, dict(ratings=RATINGS), ["ratings", "y"]),
        (person.predict, dict(items=1), ["items"]),
        (person.recommend, {}, ["n", "exclude_seen", "items", "exclude"]),
        (fitted.save, dict(path=folder / "model"), ["path"]),
        (Recommender.load, dict(path=folder / "saved"), ["path"]),
        (sparse_ae.load_ratings, dict(path=text, progress=False),
         ["path", "duplicates", "missing", "pairs", "lists", "delimiter", "user", "item", "rating", "timestamp"]),
        (sparse_ae.as_ratings, dict(ratings=RATINGS), ["ratings", "y", "duplicates", "missing"]),
        (store_ratings, dict(source=text, folder=folder / "store"), ["missing", "lists", "duplicates"]),
        (sparse_ae.movielens, dict(path=folder / "ml-1m.zip"), ["name", "path"]),
        (store_ratings, dict(source=[RATINGS], folder=folder / "chunks"), ["source", "folder", "rows", "duplicates"]),
        (open_ratings, dict(folder=folder / "stored"), ["folder"]),
        (sparse_ae.split_ratings, dict(ratings=MATRIX), ["ratings", "test_fraction", "rng"]),
        (search.grid_search, dict(recommender=popular, ratings=RATINGS, grid={"unknown": ["mean", 3.0]}, splits=2),
         ["recommender", "ratings", "grid", "splits", "n_jobs", "measure"]),
        (search.cross_validate, dict(recommender=popular, ratings=RATINGS, splits=2),
         ["recommender", "ratings", "splits", "k", "n_jobs"]),
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


def attempt(call, **arguments):
    """(the word for what came of a call, what it returned)."""
    try:
        with nothing_compiled_before_an_error():
            return "taken", call(**arguments)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        check(error)
        return "refused", None
    except ArithmeticError as error:
        assert type(error).__name__ == "TrainingDiverged"
        return "diverged", None


def check_right_calls(fitted, folder):
    """AssertionError unless each call is taken as it stands: else whatever is put into it would be refused."""
    for call, arguments, _ in calls(fitted, folder):
        assert attempt(call, **arguments)[0] == "taken", "%r refuses %r" % (call, arguments)


def call_case(fitted, rng, folder):
    made = calls(fitted, folder)
    weights = np.array([len(names) for _, _, names in made], float)
    call, arguments, names = made[rng.choice(len(made), p=weights / weights.sum())]
    name = names[rng.randint(len(names))]
    values = TAKEN.get(name) if rng.rand() < 0.5 else None
    value = (values or VALUES)[rng.randint(len(values or VALUES))]
    if name in ("on_epoch", "learning_rate") and callable(value):
        return None  # what it raises is its own
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if is_number and (name == "n_epochs" and value > 50 or name == "seconds" and value > 1
                      or name == "n_jobs" and value not in (0, 1)):
        return None  # would be taken at its word
    say("%s(%s=%.200s)" % (getattr(call, "__qualname__", call), name,
                           "..." if isinstance(value, int) and abs(value) > 1e300 else repr(value)))
    return getattr(call, "__qualname__", str(call)), attempt(call, **dict(arguments, **{name: value}))[0]


# A fit of odd settings and ratings, to a file and back


def ratings_of(rng):
    """Users, items, and ratings: small, huge, of one value, far from 0, or of a narrow scale."""
    cells = rng.permutation(14 * 9)[:70]
    values = 1.0 + rng.randint(0, 5, 70)
    kind = rng.randint(8)
    if kind == 1:
        values *= 10.0 ** rng.randint(-44, 39)
    elif kind == 2:
        values += 10.0 ** rng.randint(0, 39)
    elif kind == 3:
        values[:] = rng.choice([0.0, 1.0, -3.0, 1e18])
    elif kind == 4:
        values = 0.1 * values
    elif kind == 5:
        values -= 10.0 ** rng.randint(0, 38)
    return cells // 9, cells % 9, values


def same(one, other):
    """Whether two settings are alike, but for the kind of a number or a sequence, and for names of functions."""
    if callable(one) and not callable(other):
        return isinstance(other, str)
    if isinstance(one, np.dtype) or isinstance(one, str) and one in ("f4", "<f8"):
        return np.dtype(one) == np.dtype(other)
    if isinstance(one, np.random.RandomState):
        return str(one.get_state()) == str(other.get_state())
    if isinstance(one, (list, tuple, np.ndarray)):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return other == (float(one) if isinstance(one, fractions.Fraction) else one) or one != one and other != other


def comes_back(recommender, folder):
    """AssertionError unless a fitted recommender comes back from its file as it is."""
    path = folder / "model.npz"
    recommender.save(path)
    again = Recommender.load(path)
    users, items = np.divmod(np.arange(15 * 10), 10)
    if recommender.unknown != "error":
        assert recommender.predict(users, items).tobytes() == again.predict(users, items).tobytes()
    known = recommender.users_[recommender.users_rated_][:3]
    for left, right in zip(recommender.recommend(known, n=4), again.recommend(known, n=4)):
        assert left.items.tolist() == right.items.tolist() and left.scores.tobytes() == right.scores.tobytes()
    for name in set(ATTRIBUTES) - {"choices_"}:  # which hold functions, and names of them
        before, after = getattr(recommender, name), getattr(again, name)
        assert before == after, name
    for name, value in recommender.get_params().items():
        assert same(value, getattr(again, name)), "%s was %r and has become %r" % (name, value, getattr(again, name))
    again.save(path)  # and once more
    Recommender.load(path)


def fit_case(rng, folder):
    """Of some unusual settings, most often of few."""
    ratings, settings = ratings_of(rng), dict(n_hidden=2, n_epochs=2, batch_size=5, l2=0.01, rows="users")
    names = [name for name in NAMES if name not in ("progress", "choices")]
    for name in rng.permutation(sorted(names))[:rng.choice([1, 1, 1, 2, 3])].tolist():
        values = ODD.get(name) or (TAKEN.get(name) if rng.rand() < 0.6 else None) or VALUES
        settings[name] = values[rng.randint(len(values))]
    if rng.rand() < 0.2:
        settings.setdefault("objective", "lists")
    n_epochs, validation = settings["n_epochs"], [None, None, 0.2, "auto"][rng.randint(4)]
    if isinstance(n_epochs, (int, np.integer)) and n_epochs > 50:
        return None
    say("%.3000r, validation=%r, ratings from %g to %g" % (settings, validation, ratings[2].min(), ratings[2].max()))
    word, recommender = attempt(fit, ratings=ratings, validation=validation, **settings)
    if word == "taken":
        comes_back(recommender, folder)
        return "odd settings", "there and back"
    return "odd settings", word


def case(fitted, rng, folder):
    return call_case(fitted, rng, folder) if rng.rand() < 0.45 else fit_case(rng, folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="sparse_ae-fuzz-") as here, tempfile.TemporaryDirectory() as folder:
        os.chdir(here)
        fitted = fit(validation=None)
        fitted.predict(1, 2)
        fitted.recommend(1)
        fitted.fold_in({1: 3}).recommend()
        check_right_calls(fitted, Path(folder))
        drive(functools.partial(case, fitted), "refused", "taken", "diverged", "there and back", seconds=600,
              most_refused=0.85, reasons=REASONS)
