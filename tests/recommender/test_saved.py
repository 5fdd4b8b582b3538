"""What `fit` takes comes back from a file; a sound file with a wrong part is a ValueError that names the file."""
import copy
import fractions
import functools
import json
import operator
from pathlib import Path

import numpy as np
import pytest
from made import TRAIN

from sparse_ae.files import storage
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.training.objectives import Missing, Objective
import lasagne

USERS, ITEMS = map(np.ravel, np.indices((6, 4)))
KEPT = (USERS * 5 + ITEMS * 3) % 7 != 0
RATINGS = USERS[KEPT], np.array(["a", "b", "c", "d"])[ITEMS[KEPT]], 1 + (USERS + ITEMS)[KEPT] % 5


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """By name: the file's JSON and arrays, with biases and models of both sides, of the post's way, of closed forms."""
    found = {}
    for name, settings in (("both", dict(rows="both", biases="unguarded")), ("plain", dict(biases=False)),
                           ("lists", dict(objective="lists"))):
        path = tmp_path_factory.mktemp("saved") / name
        recommender = Recommender(n_hidden=2, n_epochs=1, batch_size=3, formulation="sparse", progress=False,
                                  **settings)
        recommender.fit(RATINGS, validation=None).save(path)
        found[name] = storage.read(path, "recommender")
    return found


def refused(meta, arrays, message="model.npz"):
    """By the reader of a sound file with this JSON and these arrays; tests/files has what no file could hold."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="model.npz") as found:
        patch.setattr(storage, "read", lambda *_: (json.loads(json.dumps(meta)), arrays))
        Recommender.load("model.npz")
    assert message in str(found.value)
    return str(found.value)


def entries(value, place=()):
    """The places of all entries of a file's JSON, but for those within what is no use to a model that is trained."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key not in ("measure", "format"):
            yield place + (key,)
        if key not in ("settings", "fit_settings", "choice", "history"):
            yield from entries(inner, place + (key,))


def changed(meta, place, change):
    """The JSON with another entry; `change` is its value, or a function of what holds it and its key."""
    found, (*above, name) = copy.deepcopy(meta), place
    holder = functools.reduce(operator.getitem, above, found)
    if callable(change):
        change(holder, name)
    else:
        holder[name] = change
    return found


@pytest.mark.parametrize("which", ["both", "plain", "lists"])
def test_nothing_may_be_missing_or_of_another_kind(which, written):
    meta, arrays = written[which]
    for name in arrays:
        left = {other: array for other, array in arrays.items() if other != name}
        refused(meta, left, name.rpartition("/")[2] if which == "lists" else name)
    places = [place for place in entries(meta) if place[-1] not in ("numbers", "shapes", "maps")]  # but what they hold
    assert len(places) >= 40
    for place in places:
        deleted = len(place) == 1 or len(place) == 3 and which != "lists"
        of_later_versions = ("interrupted",), ("fit_settings",), ("span",)
        deleted = deleted and place not in of_later_versions
        for change in ("x", [[]], {"x": "y"}, float("nan")) + (operator.delitem,) * deleted:
            refused(changed(meta, place, change), arrays)
    refused(changed(meta, ("settings", "rows_"), 1), arrays, "settings")  # what a later version has is no use
    for other in (None, [], "x", 3) + tuple(dict(meta, format=version) for version in (None, "2", 2.5, [2])):
        refused(other, arrays)
    refused(dict(meta, format=6), arrays,
            "model.npz has format 6 of a recommender; this sparse_ae reads formats up to 5: upgrade sparse_ae")


WRONG = {  # but in shape and dtype
    "users": [lambda x: x[::-1], np.zeros_like], "items": [lambda x: x[::-1], lambda x: np.repeat(x[:1], len(x))],
    "indices": [lambda x: x + 10 ** 6, lambda x: -1 - x, lambda x: x[::-1], lambda x: x * 0],
    "indptr": [lambda x: x + 1, lambda x: x * 1000, lambda x: x[::-1], lambda x: x * 0, lambda x: -x,
               lambda x: np.append(x[:-1], 2 ** 31 - 1).astype("int32")],
    "data": [lambda x: x + 100, lambda x: x - 100]}


OF_LISTS = ["ease/weights", "filter/roots", "factors/H", "explicit/H"]  # whose dtype may be another


@pytest.mark.parametrize("name", ["%s/%s" % (side, name) for side in ("items", "users") for name in (
    "W", "V", "mu", "b", "U")] + list(WRONG) + ["user_biases", "item_biases"] + OF_LISTS)
def test_each_array_has_its_shape_and_dtype_and_goes_with_the_others(name, written):
    meta, arrays = written["lists" if name in OF_LISTS else "both"]
    array = arrays[name]
    wrong = [array[:-1], np.concatenate([array, array[-1:]]), array[np.newaxis], array.reshape(-1)[0], array[:0]]
    wrong += [np.array(["x"] * len(array)), array.astype("complex64")] if array.dtype.kind != "U" else [
        np.arange(len(array), dtype="float64"), np.arange(len(array), dtype="int8")]
    if array.dtype.kind == "f":
        wrong += [np.full_like(array, value) for value in (np.nan, np.inf)]
    if name not in OF_LISTS and array.dtype.kind != "U":
        wrong += [array.astype({"float64": "float32"}.get(array.dtype.name, "float64"))] + [array.T] * (array.ndim > 1)
    if array.ndim == 2:  # any number of factors is sound
        wrong += [array.ravel()] + [array[:, :-1]] * (not name.endswith("/H"))
    for each in wrong + [change(array) for change in WRONG.get(name, ())]:
        refused(meta, dict(arrays, **{name: each}))


@pytest.mark.parametrize("place, values", [
    ("settings", [{"n_hiden": 1}, {"rng": {"RandomState": [1]}}, {"choices": {"Choices": {"items": 5}}},
                  {"unknown": {"Network": "deep", "settings": {}}}]),
    ("fit_settings", [3, {"n_hiden": 1}, {"unknown": {"Network": "deep", "settings": {}}}]),
    ("new_share", ["x", [0.1], None]),
    ("parts", [[]]), ("rating_scale", [[5, 1], [1, 2]]), ("best_epoch", [-1, 99, 1.0, True]),
    ("biases", [{"mean": 3.0, "shrinkage": [1, -1]}, {"mean": float("inf"), "shrinkage": [1, 1]}]),
    ("parts 0 rows", ["users"]), ("parts 0 objective", [{"name": "Missing", "weight": 2}]),
    ("parts 0 parameters", [{"W": 1}, {"W": 0, "V": 1, "mu": None, "b": 0, "U": 2}]),
    ("parts 0 weight", [-0.5, float("inf"), True]), ("parts 0 choice", [{"n_hidden": 3}]),
    ("parts 0 model f", ["softmax", "print", "__doc__"]), ("parts 0 model l2", [[1, -1], [1, 2, 3]]),
    ("parts 0 model n_columns", [0, 3]), ("parts 0 model n_hidden", [0, 3]), ("parts 0 model encoders", [1, 3]),
    ("parts 0 model dtype", ["float64"]), ("blend members 0 weight", [-1.0]), ("blend members 0 name", ["nobody"]),
    ("blend members 1 model", [{"kind": "dict"}]), ("blend members 1 values", [[1e30, 1.0, 2], [0.0, 1.0, -1]]),
])
def test_each_entry_is_looked_at(place, values, written):
    """Of the file, of a part, of its model's description, and of a blend's members."""
    meta, arrays = written["lists" if place.startswith("blend") else "both"]
    place = [int(each) if each.isdigit() else each for each in place.split()]
    for value in values:
        refused(changed(meta, place, value), arrays)


def test_models_that_do_not_go_together(written):
    meta, arrays = written["both"]
    one, other = meta["parts"]
    refused(dict(meta, parts=[one, one]), arrays, "the same rows")
    refused(dict(meta, parts=[one, other, one]), arrays)
    refused(dict(meta, biases=None), arrays)
    swapped = dict(arrays, **{"items/W": arrays["users/W"], "users/W": arrays["items/W"]})
    refused(meta, swapped, "W is of shape (4, 2)")


SAVED = Path(__file__).with_name("saved_by_1_0_0")


@pytest.mark.parametrize("name", ["ratings", "plain"])
def test_what_1_0_0_has_saved_is_read(name, tmp_path):
    said, found = json.loads((SAVED / "answers.json").read_text())[name], Recommender.load(SAVED / (name + ".npz"))
    found.save(tmp_path / "again")
    for each in found, Recommender.load(tmp_path / "again"):
        users, items = np.repeat(each.users_[:4], 3), np.tile(each.items_[:3], 4)
        np.testing.assert_allclose(each.predict(users, items), said["predicted"], rtol=1e-5)
        assert each.weights_ == said["weights"] and each.recommend(each.users_[0], 3).items.tolist() == said["listed"]
        folded = each.fold_in({each.items_[0]: 5, each.items_[3]: 2})
        np.testing.assert_allclose(folded.predict(each.items_[:4]), said["folded"], rtol=1e-4)


def test_a_folder_or_a_closed_form_of_an_earlier_version_is_an_error_that_says_what_to_do():
    with pytest.raises(IsADirectoryError, match=r"is a folder; .* Recommender.load\('.*'\).save\('model.npz'\)"):
        Recommender.load(SAVED)
    with pytest.raises(ValueError, match="lists.npz ranks by the closed form 'wide', which this sparse_ae doesn't have"
                                         "; fit again, or answer with the sparse_ae that wrote it"):
        Recommender.load(SAVED / "lists.npz")


class Scaled(Objective):
    """Keeps its argument under another name."""

    def __init__(self, factor=2.0):
        self.times = factor

    def cost(self, model, formulation, batch):
        return self.times * (formulation.entries(model, batch).difference ** 2).sum()


def test_an_objective_that_no_file_could_give_back_is_not_saved(tmp_path):
    found = Recommender(objective=Scaled(), n_hidden=2, n_epochs=1, progress=False).fit(RATINGS, validation=None)
    with pytest.raises(ValueError, match="Scaled can't be saved, .*'times'.*store each argument"):
        found.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_functions_are_saved_by_name_without_an_address(tmp_path):
    """The same seed gives the same settings in a file: the address of a function is another in each process."""
    recommender = Recommender(n_hidden=2, n_epochs=1, progress=False, learning_rate=lambda epoch: 0.01,
                              update=lambda loss, params, rate: lasagne.updates.sgd(loss, params, rate))
    recommender.fit(RATINGS, validation=None).save(tmp_path / "m")
    meta = storage.read(tmp_path / "m", "recommender")[0]
    for settings in meta["settings"], meta["parts"][0]["choice"]:
        assert "lambda" in settings["update"] and " at 0x" not in settings["update"] + settings["learning_rate"]
    loaded = Recommender.load(tmp_path / "m")
    assert loaded.predict(0, "a") == recommender.predict(0, "a")
    with pytest.raises(ValueError, match="update is '.*lambda"):
        loaded.fit(RATINGS)


# What `fit` takes, `save` and `load` take; tests/fuzz/arguments.py draws more of it at random


QUICK = dict(n_hidden=2, n_epochs=2, batch_size=50, l2=0.01, rows="users", progress=False)
RATERS, RATED, VALUES = TRAIN


def there_and_back(path, values=VALUES, **settings):
    recommender = Recommender(**dict(QUICK, **settings)).fit((RATERS, RATED, values), validation=None)
    recommender.save(path)
    again = Recommender.load(path)
    assert again.predict(RATERS, RATED).tobytes() == recommender.predict(RATERS, RATED).tobytes()
    return again


@pytest.mark.parametrize("settings, became", [
    (dict(network=Shallow(dtype=np.dtype("float32"), weight_scale=np.float32(0.5)), unknown=fractions.Fraction(7, 2),
          learning_rate=fractions.Fraction(1, 100), l2=(fractions.Fraction(1, 2), np.float32(0.25)),
          rating_scale=np.array([0.0, 6.0])),
     dict(network=Shallow(dtype="float32", weight_scale=0.5), unknown=3.5, learning_rate=0.01, l2=(0.5, 0.25),
          rating_scale=(0.0, 6.0))),
    (dict(objective=Missing(fractions.Fraction(1, 4), counts=True), network=Shallow(dtype=np.float64)),
     dict(objective=Missing(0.25, counts=True), network=Shallow(dtype="float64")))])
def test_settings_in_any_form_of_a_number(settings, became, tmp_path):
    again = there_and_back(tmp_path / "m", **settings)
    assert {name: getattr(again, name) for name in became} == became
    assert again.predict(RATERS, RATED).dtype == again.network.dtype == again.model_.dtype


@pytest.mark.parametrize("highest, settings, message", [
    (1e18, {}, r"the ratings go from 0 to 1e\+18; expected numbers up to 1e\+17: divide all ratings by a constant"),
    (-1e30, dict(objective="lists"), r"the ratings go from -1e\+30 to 0; expected numbers up to 1e\+17"),
    (5, dict(rating_scale=(-1e300, 5)), r"rating_scale goes from -1e\+300 to 5; expected numbers up to 1e\+17"),
    (5, dict(objective=Missing(rating=10 ** 40)), r"the objective's rating is 1e\+40; expected a number up to 1e\+17"),
    (5, dict(rating_scale={0: 1, 5: 1}), r"rating_scale is \{0: 1, 5: 1\}; expected \(lowest rating, highest rating\)"),
])
def test_what_no_file_could_hold_is_refused_before_training(highest, settings, message, monkeypatch):
    monkeypatch.setattr("theano.function", None)
    with pytest.raises(ValueError, match=message):
        Recommender(**dict(QUICK, **settings)).fit((RATERS, RATED, np.where(np.asarray(VALUES) > 3, highest, 0)))


def test_parameters_that_no_file_could_hold_are_a_divergence():
    """Hidden units that are saturated hide what V has come to."""
    with pytest.raises(TrainingDiverged, match=r"V.* has numbers beyond 1e\+18 in epoch 1; lower learning_rate=1e"):
        Recommender(**dict(QUICK, n_epochs=1, batch_size=None, update="adam", learning_rate=1e19, biases=False, l2=0,
                           network=Shallow("sigmoid"))).fit(TRAIN, validation=None)


def test_a_setting_of_no_kind_is_named(tmp_path):
    recommender = Recommender(**QUICK).fit(TRAIN, validation=None).set_params(l2={1})
    with pytest.raises(TypeError, match=r"\{1\} can't be saved as a setting; expected a number, a string"):
        recommender.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())
