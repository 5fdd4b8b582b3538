"""Settings and ratings at random, to a file and back: ``python tests/fuzz/settings.py FIRST_SEED LAST_SEED``.

Whatever `Recommender.fit` takes, `save` writes and `load` reads, and predictions and lists are the same bytes after it.
What it doesn't take it refuses before anything is compiled, unless the loss has shown that training diverges. Most
seeds change one place of a network's description: it is refused in words, or makes a network that says the same.
"""
import fractions
import json

import numpy as np
from driver import drive, nothing_compiled_before_an_error, say
from mutations import other_json

from sparse_ae import AutoEncoder, Recommender, Shallow, networks
from sparse_ae.contract import describe_model, model_of
from sparse_ae.training.objectives import Missing, Multinomial, Observed
import lasagne

N_USERS, N_ITEMS, N_RATINGS = 14, 9, 70

# Of a kind that is compiled once for all seeds, in every form that people have numbers in.
NUMBERS = [0, 1, 2, 0.5, 1e-3, 1e-30, 1e-45, 1e17, 1e18, 1e30, 1e38, 1e300, -1, -0.5, float("nan"), float("inf"),
           np.float32(0.25), np.float64(0.125), np.int64(1), np.int8(2), np.bool_(True), True, fractions.Fraction(1, 3),
           10 ** 18, 10 ** 40, "auto", "1", None]
SETTINGS = {
    "n_hidden": [2, np.int64(2), 3, 0, -1, 2.0, "auto", None, np.uint8(2), True],
    "rows": ["auto", "items", "users", "both", np.str_("users"), None, 1],
    "l2": NUMBERS + [(0.5, 0.25), [0.5, np.float32(0.25)], (fractions.Fraction(1, 2), 1), (1e18, 1e30), (1, 2, 3),
                     np.array([0.5, 0.25])],
    "update": ["adam", "adagrad", "sgd", np.str_("adam"), lasagne.updates.adam, "nothing", None],
    "learning_rate": NUMBERS + [lambda epoch: 0.01, np.float32(0.01)],
    "batch_size": [4, None, np.int32(4), 0, 1e3, "auto", 10 ** 18, fractions.Fraction(4)],
    "n_epochs": [1, 2, np.int16(2), 0, "auto", 1.0, None],
    "patience": [None, 1, np.int64(1), "auto", 0, 10 ** 30],
    "rating_scale": [None, (0, 6), [0, 6], np.array([0.0, 6.0]), (0, np.float32(6)), (fractions.Fraction(1, 2), 6),
                     (-1e17, 1e17), (0, 1e18), (-1e30, 1e30), (0, 1e38), (5, 1), (1, 5, 6), "06", {0: 1, 6: 1},
                     {0.0, 6.0}, iter([0, 6]), range(0, 7, 6), (True, 6), (float("-inf"), 6), (0, "6")],
    "unknown": NUMBERS + ["mean", "error", 3, np.float32(3), np.str_("mean"), fractions.Fraction(7, 2)],
    "formulation": ["auto", "sparse", np.str_("sparse"), "nothing"],
    "rng": [0, 1, np.int64(3), np.uint32(2 ** 32 - 1), -1, 2 ** 32, 1.0, np.random.RandomState(5), np.random, True],
    "biases": [True, False, np.bool_(False), "unguarded", np.str_("unguarded"), 0, None],
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
        if type(rating) in (int, float) and abs(rating) < np.inf],
}
MODELS = [networks.deep(6, 3, 2, 0.2, 0.1, (1, 5), indicator=True), networks.multinomial(6, 3), networks.tied(6, 3),
          networks.ordinal(networks.deep(6, 3), [1, 2, 3]), AutoEncoder(6, 3, (1, 5))]


def ratings_of(rng):
    """Users, items, and ratings: small, huge, of one value, far from 0, or of a narrow scale."""
    cells = rng.permutation(N_USERS * N_ITEMS)[:N_RATINGS]
    values = 1.0 + rng.randint(0, 5, N_RATINGS)
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
    return cells // N_ITEMS, cells % N_ITEMS, values


def drawn(rng):
    """A recommender of some unusual settings, most often of few."""
    settings = dict(n_hidden=2, n_epochs=2, batch_size=5, l2=0.01, rows="users")
    for name in rng.permutation(sorted(SETTINGS))[:rng.choice([1, 1, 2, 3, 4])]:
        values = SETTINGS[name]
        settings[name] = values[rng.randint(len(values))]
    if rng.rand() < 0.2:
        settings.setdefault("objective", "lists")
    return dict(settings, progress=False)


def same(one, other):
    """Whether two settings are alike, but for the kind of a number or a sequence, and for names of functions."""
    if callable(one) and not callable(other):
        return isinstance(other, str)
    if isinstance(one, np.dtype):
        return other == one.name
    if isinstance(one, np.random.RandomState):
        return str(one.get_state()) == str(other.get_state())
    if isinstance(one, (list, tuple, np.ndarray)):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return other == (float(one) if isinstance(one, fractions.Fraction) else one) or one != one and other != other


def plain(value):
    """A value as it is shown, whether its numbers are NumPy's, which NumPy 2 shows by their type, or Python's."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def check(recommender, folder):
    """AssertionError unless a fitted recommender comes back from its file as it is."""
    path = folder / "model.npz"
    recommender.save(path)
    again = Recommender.load(path)
    users, items = np.divmod(np.arange((N_USERS + 1) * (N_ITEMS + 1)), N_ITEMS + 1)
    if recommender.unknown != "error":
        assert recommender.predict(users, items).tobytes() == again.predict(users, items).tobytes()
    known = recommender.users_[recommender.users_rated_][:3]
    for left, right in zip(recommender.recommend(known, n=4), again.recommend(known, n=4)):
        assert left.items.tolist() == right.items.tolist() and left.scores.tobytes() == right.scores.tobytes()
    for name, value in recommender.get_params().items():
        assert same(value, getattr(again, name)), "%s was %r and has become %r" % (name, value, getattr(again, name))
    for name in ("rating_scale_", "mean_", "missing_rating_", "weights_", "validation_rmse_", "validation_lists_",
                 "best_epoch_", "n_hidden_"):
        assert plain(getattr(again, name)) == plain(getattr(recommender, name)), name
    again.save(path)  # and once more
    Recommender.load(path)


def network_case(rng):
    model = MODELS[rng.randint(len(MODELS))]
    description = json.loads(json.dumps(describe_model(model)))
    arrays = {each.name: each.variable.get_value() for each in model.parameters}
    if rng.rand() < 0.2:
        name = sorted(arrays)[rng.randint(len(arrays))]
        arrays[name] = [arrays[name][1:], arrays[name] * np.float32(1e30), arrays[name] / np.float32(0)][rng.randint(3)]
    else:
        description = other_json(description, rng)
    try:
        with np.errstate(all="ignore"):
            made = model_of(description, arrays)
    except (LookupError, TypeError, ValueError) as error:
        assert str(error) and len(str(error)) < 1000, error
        return "refused"
    assert describe_model(model_of(describe_model(made), arrays)) == describe_model(made)
    return "taken"


def case(rng, folder):
    if rng.rand() < 0.8:
        return network_case(rng)
    settings, ratings = drawn(rng), ratings_of(rng)
    validation = [None, None, 0.2, "auto"][rng.randint(4)]
    say("%r, validation=%r, ratings from %g to %g" % (settings, validation, ratings[2].min(), ratings[2].max()))
    try:
        with nothing_compiled_before_an_error():
            recommender = Recommender(**settings).fit(ratings, validation=validation)
    except (TypeError, ValueError):
        return "refused"
    except ArithmeticError as error:
        assert type(error).__name__ == "TrainingDiverged"
        return "diverged"
    check(recommender, folder)
    return "there and back"


if __name__ == "__main__":
    drive(case, "refused", "taken", "diverged", "there and back", seconds=120)
