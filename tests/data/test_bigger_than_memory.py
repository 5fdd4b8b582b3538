"""examples/bigger_than_memory.py: what it says of the files and the model is true."""
import mmap
import re

import numpy as np
import programs
import pytest

import sparse_ae


@pytest.fixture(scope="module")
def example():
    return programs.load("bigger_than_memory")


def test_from_text_to_predictions(example, tmp_path, capsys):
    folder = tmp_path / "big"
    rmse = example.main(["--ratings", "4e3", "--users", "150", "--items", "60", "--hidden", "8", "--epochs", "40",
                         "--folder", str(folder)])
    out = capsys.readouterr().out
    assert out.startswith("4000 ratings, 150 users, 60 items, 8 hidden units\n")
    assert len(re.findall(r"^.+ s   peak .+ MB own .+ MB files$", out, re.MULTILINE)) == 4
    assert "(the mean rating: %.3f)" % rmse["mean"] in out and rmse["model"] < rmse["mean"]

    read, stored = sparse_ae.load_ratings(folder / "ratings.csv"), sparse_ae.open_ratings(folder / "store")
    assert stored.rows == "users" and (read.matrix != stored.matrix).nnz == 0 and stored.matrix.nnz == 4000
    assert set(np.unique(read.matrix.data)) == {1, 2, 3, 4, 5}
    with pytest.raises(OSError):
        example.main(["--ratings", "4e3", "--folder", str(folder)])


def test_memory_is_that_of_the_process(example):
    own, files = example.memory()
    if not np.isnan(own):
        # Not np.ones, which may be given memory that the process has had all along.
        block = np.frombuffer(mmap.mmap(-1, 2 ** 26, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
        block[:] = 1
        assert example.memory()[0] > own + 60 and files > 0
