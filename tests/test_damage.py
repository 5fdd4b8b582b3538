"""Files of each format, damaged: an error that names the file, or no change; and files that 1.0.0 wrote."""
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars

import sparse_ae
from sparse_ae.data import stores
from sparse_ae.data.load import load_ratings
from sparse_ae.data.stores import open_ratings, store_ratings
from sparse_ae.files import storage
from sparse_ae.recommender.recommender import Recommender

MODEL = Path(__file__).parent / "data" / "of_1_0" / "recommender.npz"


def damaged(content, n):
    """Some n contents: each with one bit flipped, or cut short, all over the file."""
    for place in range(0, len(content), max(1, len(content) // n)):
        yield content[:place]
        yield content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1:]


def make_storage(folder):
    storage.write(folder / "x", "thing", {"a": 1}, {"W": np.arange(50.0)})
    return folder / "x"


def read_storage(path):
    meta, arrays = storage.read(path, "thing")
    return meta, arrays["W"].tolist()


def make_store(name):
    def make(folder):
        matrix = many_stars().tocoo()
        store_ratings([(matrix.row, matrix.col, matrix.data)], folder / "x", rows="users")
        return folder / "x" / name
    return make


def read_store(path):
    stored = open_ratings(path.parent)
    stored.check()  # which opening has done, if the store is small
    return stored.rows, stored.row_ids.tolist(), stored.col_ids.tolist(), stored.matrix.toarray().tolist()


def read_model(path):
    recommender = Recommender.load(path)
    return recommender.get_params(), recommender.predict([1, 3, 7], [130, 100, 50]).tolist()


def read_ratings(path):
    return load_ratings(path).matrix.toarray().tolist()


def make_ratings(name, write):
    def make(folder):
        write(str(folder / name))
        return folder / name
    return make


FORMATS = {
    "storage": (make_storage, read_storage, 400),
    "model": (make_ratings("x", lambda path: Path(path).write_bytes(MODEL.read_bytes())), read_model, 60),
    "npz": (make_ratings("x.npz", lambda path: sp.save_npz(path, many_stars())), read_ratings, 300),
    "gz": (make_ratings("x.csv.gz", lambda path: Path(path).write_bytes(gzip.compress(b"u,i,2\nu,j,3\nv,i,5\n"))),
           read_ratings, 300),
}
FORMATS.update({name: (make_store(name), read_store, 60) for name in (
    "store.json", "data.npy", "indices.npy", "indptr.npy", "rows.npy", "cols.npy")})


@pytest.mark.parametrize("name, small", [(name, small) for name in FORMATS for small in (True, False)
                                         if small or FORMATS[name][1] is read_store])
def test_damage_is_an_error_that_names_the_file_or_changes_nothing(tmp_path, name, small, monkeypatch):
    make, read, n = FORMATS[name]
    path = make(tmp_path)
    if not small:  # a store that isn't read when it is opened
        monkeypatch.setattr(stores, "_SMALL", 0)
    whole, before = path.read_bytes(), read(path)
    refused = n_all = 0
    for content in damaged(whole, n):
        path.write_bytes(content)
        n_all += 1
        try:
            assert read(path) == before
        except ValueError as error:
            assert str(tmp_path / "x") in str(error) and len(str(error)) < 2000
            refused += 1
    assert refused > 0.8 * n_all  # the rest are dates, permissions and the like


# What sparse_ae 1.0.0 wrote: 170 ratings of 24 users and 15 items, and a recommender


HERE = Path(__file__).parent / "data" / "of_1_0"


def test_a_store():
    stored = sparse_ae.open_ratings(HERE / "store")
    assert json.loads((HERE / "store" / "store.json").read_text())["format"] == 2
    assert stored.rows == "items" and stored.matrix.nnz == 170 and stored.matrix.data.sum() == 513
    assert stored.row_ids.tolist() == list(range(10, 151, 10)) and stored.col_ids.tolist() == list(range(1, 25))
    assert stored.matrix[:, 0].toarray().ravel().tolist() == [3, 3, 3, 1, 2, 0, 4, 0, 3, 3, 3, 1, 0, 0, 3]
