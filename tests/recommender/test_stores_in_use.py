"""Ratings on disk whose files change while a recommender is trained on them."""
import os

import numpy as np
import pytest
from made import SETTINGS, TRAIN

from sparse_ae.data import minibatches
from sparse_ae.data.stores import store_ratings
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.trainer import TrainingDiverged


@pytest.fixture
def stored(tmp_path):
    return store_ratings([TRAIN], tmp_path / "store", rows="items")


def fit(stored, change, **settings):
    """Changes the files at the end of the second epoch of four."""
    epochs = []

    def on_epoch(record):
        epochs.append(record["epoch"])
        if len(epochs) == 2:
            change()

    try:
        return Recommender(**dict(SETTINGS, rows="items", n_epochs=4, **settings)).fit(stored, validation=None,
                                                                                        on_epoch=on_epoch)
    finally:
        assert epochs[:2] == [1, 2] and len(epochs) == 4 - 2 * (len(epochs) < 4)


@pytest.mark.parametrize("name", ["data", "indices"])
def test_a_file_that_was_cut_short_is_found_when_the_next_epoch_begins(stored, name):
    path = stored.folder / (name + ".npy")
    n = os.path.getsize(str(path))
    with pytest.raises(ValueError, match="%s.npy has %d bytes, and had %d when it was opened: it was truncated"
                                         % (name, n - 100, n)):
        fit(stored, lambda: os.truncate(str(path), n - 100))
    rows = stored.matrix[:3]  # a copy, which has no file that could be cut
    assert sum(block.nnz for _, block in minibatches(rows, 2)) == rows.nnz > 0


def overwrite(stored, name, value):
    array = np.load(str(stored.folder / (name + ".npy")), mmap_mode="r+")
    array[5:9] = value
    array.flush()


@pytest.mark.parametrize("name, value", [("data", np.nan), ("indices", 10 ** 6)])
def test_what_was_overwritten_is_said_to_be_that_where_training_fails(stored, name, value):
    with pytest.raises(ValueError, match="(?s)store was overwritten while it was in use: the checksum of %s.npy is "
                                         "wrong now, after this error: .* Make the store again" % name):
        fit(stored, lambda: overwrite(stored, name, value))


def test_a_sound_store_is_not_blamed(stored):
    recommender = Recommender(**dict(SETTINGS, rows="items", update="sgd", learning_rate=1e20, l2=0))
    with pytest.raises(TrainingDiverged, match="Lower the learning rate"):
        recommender.fit(stored, validation=None)
    for each in stored.folder.iterdir():
        each.unlink()
    with pytest.raises(TrainingDiverged, match="Lower the learning rate"):
        recommender.fit(stored, validation=None)


def test_a_store_that_is_deleted_or_stays_trains_on(stored):
    def delete():
        for each in list(stored.folder.iterdir()):
            each.unlink()
        stored.folder.rmdir()

    assert len(fit(stored, lambda: None).history_) == 4
    assert len(fit(stored, delete).history_) == 4
