"""A sound file with any part that is wrong is a ValueError that names the file, and never a crash or a wrong answer."""
import copy
import json
from pathlib import Path

import numpy as np
import pytest

from sparse_ae.files import storage
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.training.objectives import Objective
import lasagne

USERS, ITEMS = map(np.ravel, np.indices((6, 4)))
KEPT = (USERS * 5 + ITEMS * 3) % 7 != 0
RATINGS = USERS[KEPT], np.array(["a", "b", "c", "d"])[ITEMS[KEPT]], 1 + (USERS + ITEMS)[KEPT] % 5


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """By name: the file's JSON and its arrays, with biases and a model of each side, and of the post's way."""
    found = {}
    for name, settings in (("both", dict(rows="both", biases="unguarded")), ("plain", dict(biases=False))):
        path = tmp_path_factory.mktemp("saved") / name
        recommender = Recommender(n_hidden=2, n_epochs=1, batch_size=3, formulation="sparse", progress=False,
                                  **settings)
        recommender.fit(RATINGS, validation=None).save(path)
        found[name] = storage.read(path, "recommender")
    return found


def refused(meta, arrays, path, message="model.npz"):
    storage.write(path / "model.npz", "recommender", meta, arrays)
    with pytest.raises(ValueError, match="model.npz") as found:
        Recommender.load(path / "model.npz")
    assert message in str(found.value)


def test_what_is_sound_is_read(written, tmp_path):
    for name, (meta, arrays) in written.items():
        storage.write(tmp_path / name, "recommender", meta, arrays)
        assert list(Recommender.load(tmp_path / name).models_) == (["items", "users"] if name == "both" else ["items"])


@pytest.mark.parametrize("which", ["both", "plain"])
def test_nothing_may_be_missing(which, written, tmp_path):
    meta, arrays = written[which]
    for name in arrays:
        refused(meta, {other: array for other, array in arrays.items() if other != name}, tmp_path, name)
    for name in meta:
        if name != "format":
            refused({other: value for other, value in meta.items() if other != name}, arrays, tmp_path, name)
    for name in meta["parts"][0]:
        parts = copy.deepcopy(meta["parts"])
        del parts[0][name]
        refused(dict(meta, parts=parts), arrays, tmp_path, name)
    for name in meta["settings"]:
        if name not in ("rows", "progress"):  # what a later version has is no use; what it hasn't is the default
            continue
        refused(dict(meta, settings=dict(meta["settings"], **{name + "_": 1})), arrays, tmp_path, "settings")


SIDES = ["%s/%s" % (side, name) for side in ("items", "users") for name in ("W", "V", "mu", "b", "U")]


@pytest.mark.parametrize("name", SIDES + ["users", "items", "data", "indices", "indptr", "user_biases", "item_biases"])
def test_each_array_has_its_shape_and_dtype(name, written, tmp_path):
    meta, arrays = written["both"]
    array = arrays[name]
    wrong = [array[:-1], np.concatenate([array, array[-1:]]), array[np.newaxis], array.reshape(-1)[0], array[:0]]
    wrong += [np.array(["x"] * len(array)), array.astype("complex64")] if array.dtype.kind != "U" else [
        np.arange(len(array), dtype="float64"), np.arange(len(array), dtype="int8")]
    if array.dtype.kind == "f":
        wrong += [np.full_like(array, value) for value in (np.nan, np.inf)] + [array.astype("float16")]
        wrong.append(array.astype({"float32": "float64", "float64": "float32"}[array.dtype.name]))
    if array.ndim == 2:
        wrong += [array.T, array[:, :-1], array.ravel()]
    for each in wrong:
        refused(meta, dict(arrays, **{name: each}), tmp_path)


@pytest.mark.parametrize("name, change", [
    ("users", lambda x: x[::-1]), ("items", lambda x: x[::-1]), ("users", lambda x: np.zeros_like(x)),
    ("items", lambda x: np.repeat(x[:1], len(x))), ("users", lambda x: x.astype("float64")),
    ("indices", lambda x: x + 10 ** 6), ("indices", lambda x: -1 - x), ("indices", lambda x: x[::-1]),
    ("indices", lambda x: x * 0), ("indices", lambda x: x.astype("float64")), ("indices", lambda x: x.astype("int8")),
    ("indptr", lambda x: x + 1), ("indptr", lambda x: x * 1000), ("indptr", lambda x: x[::-1]),
    ("indptr", lambda x: x * 0), ("indptr", lambda x: np.append(x[:-1], 2 ** 31 - 1).astype("int32")),
    ("indptr", lambda x: -x), ("indptr", lambda x: x.astype("float32")),
    ("data", lambda x: x + 100), ("data", lambda x: x - 100), ("data", lambda x: x.astype("int64")),
    ("data", lambda x: np.full_like(x, np.nan))])
def test_arrays_that_do_not_go_together(name, change, written, tmp_path):
    for meta, arrays in written.values():
        refused(meta, dict(arrays, **{name: change(arrays[name])}), tmp_path)


@pytest.mark.parametrize("name, values", [
    ("settings", [None, [], "x", {"n_hiden": 1}, {"rng": {"RandomState": [1]}}, {"rng": {}}, {"choices": []},
                  {"choices": {"Choices": 5}}, {"choices": {"Choices": {"items": 5}}}, {"network": {"Shallow": 3}},
                  {"objective": {"Objective": 3}}]),
    ("parts", [None, [], {}, 3, "x", [3], [None], [[]]]),
    ("ratings_rows", [None, "x", 1, []]),
    ("rating_scale", [None, 3, [1], [5, 1], [1, 2], ["a", "b"], [1, float("nan")], {}]),
    ("unknown", [None, "x", float("nan"), [], 3, True]),
    ("biases", [3, [], {}, "x", {"mean": 3}, {"mean": "3", "shrinkage": [1, 1]}, {"mean": 3.0, "shrinkage": [1]},
                {"mean": 3.0, "shrinkage": [1, -1]}, {"mean": float("inf"), "shrinkage": [1, 1]},
                {"mean": 3.0, "shrinkage": 5}]),
    ("history", [None, 3, "x", {}, [3]]),
    ("best_epoch", [None, -1, 99, 1.0, True, "1"]),
    ("validation_rmse", [3, "x", [], {"biases": "x"}]),
])
def test_each_entry_is_looked_at(name, values, written, tmp_path):
    meta, arrays = written["both"]
    for value in values:
        refused(dict(meta, **{name: value}), arrays, tmp_path)


@pytest.mark.parametrize("name, values", [
    ("rows", [None, "x", "users", []]),
    ("model", [None, 3, [], {}, {"kind": "AutoEncoder"}, {"x": 1}]),
    ("objective", [None, 3, [], {}, {"name": "x"}, {"name": "Missing", "weight": 2}, {"name": "Observed", "x": 1}]),
    ("parameters", [None, 3, {}, {"W": 1}, {"W": 0, "x": 0}, {"W": 0, "V": 1, "mu": None, "b": 0, "U": 2}]),
    ("weight", [None, -0.5, "x", float("nan"), float("inf"), True]),
    ("choice", [None, 3, [], {}, {"n_hidden": 3}, {"x": 1}]),
])
def test_each_model_is_looked_at(name, values, written, tmp_path):
    meta, arrays = written["both"]
    for value in values:
        refused(dict(meta, parts=[dict(meta["parts"][0], **{name: value}), meta["parts"][1]]), arrays, tmp_path)


@pytest.mark.parametrize("name, values", [
    ("kind", [None, 3, "x", "Model"]),
    ("f", [None, 3, "x", "softmax", "print", "__doc__"]),
    ("g", [None, 3, "x"]),
    ("l2", [None, [1], [1, -1], [1, "x"], [1, 2, 3], "xy"]),
    ("l2_weighted", [None, 1, "x"]),
    ("n_columns", [None, 0, 3, "x"]),
    ("n_hidden", [None, 0, 3, "x"]),
    ("encoders", [None, 1, 3, "x"]),
    ("dtype", [None, "float64", "x"]),
    ("rating_scale", [3, [1], "x"]),
])
def test_each_description_is_looked_at(name, values, written, tmp_path):
    meta, arrays = written["both"]
    part, other = meta["parts"]
    for value in values:
        refused(dict(meta, parts=[dict(part, model=dict(part["model"], **{name: value})), other]), arrays, tmp_path)


def test_models_that_do_not_go_together(written, tmp_path):
    meta, arrays = written["both"]
    one, other = meta["parts"]
    refused(dict(meta, parts=[one, one]), arrays, tmp_path, "the same rows")
    refused(dict(meta, parts=[one, other, one]), arrays, tmp_path)
    refused(dict(meta, biases=None), arrays, tmp_path)
    swapped = dict(arrays, **{"items/W": arrays["users/W"], "users/W": arrays["items/W"]})
    refused(meta, swapped, tmp_path, "W is of shape (4, 2)")


def test_what_is_no_record_of_entries(written, tmp_path):
    meta, arrays = written["both"]
    for value in (None, [], "x", 3):
        refused(value, arrays, tmp_path)
    for version in (None, "2", 2.5, [2]):
        refused(dict(meta, format=version), arrays, tmp_path)


@pytest.mark.parametrize("name", ["ratings", "plain", "lists"])
def test_what_1_0_0_has_saved_is_read(name, tmp_path):
    folder = Path(__file__).with_name("saved_by_1_0_0")
    said, found = json.loads((folder / "answers.json").read_text())[name], Recommender.load(folder / (name + ".npz"))
    found.save(tmp_path / "again")
    for each in found, Recommender.load(tmp_path / "again"):
        users, items = np.repeat(each.users_[:4], 3), np.tile(each.items_[:3], 4)
        np.testing.assert_allclose(each.predict(users, items), said["predicted"], rtol=1e-5)
        assert each.weights_ == said["weights"] and each.recommend(each.users_[0], 3).items.tolist() == said["listed"]
        folded = each.fold_in({each.items_[0]: 5, each.items_[3]: 2})
        np.testing.assert_allclose(folded.predict(each.items_[:4]), said["folded"], rtol=1e-4)


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
