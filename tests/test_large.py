"""The example of large data: what it makes, that the best RMSE is the noise's, and that its stages add up."""
import re

import numpy as np
import programs
import pytest


@pytest.fixture
def example():
    return programs.load("large")


def test_ratings_are_tastes_and_noise(example):
    train, test, taste = example.make(30000, np.random.RandomState(0))
    assert train.nnz + test.nnz == 30000 and 0.03 < test.nnz / 30000 < 0.07
    assert train.shape == test.shape == (len(taste.users), len(taste.items)) and not train.multiply(test).nnz
    pairs = test.tocoo()
    best = np.sqrt(np.mean((taste(pairs.row, pairs.col) - pairs.data) ** 2))
    # The noise and that of rounding to half stars, less what clipping takes away.
    assert 0.9 * example.NOISE < best < np.hypot(example.NOISE, 0.5 / 12 ** 0.5)
    again = example.make(30000, np.random.RandomState(0))[0]
    assert (again != train).nnz == 0


@pytest.mark.slow
def test_stages_add_up(example, capsys):
    found = example.main(["--ratings", "4000"])
    out = capsys.readouterr().out
    lines = re.findall(r"^\| (.*?) +\| .*? +\| ([\d.]+) +\| [\d.]* +\| [\d.na]+ +\|$", out, re.M)
    seconds = {name: float(number) for name, number in lines}
    whole = seconds["fit, all of it"]
    parts = [number for name, number in seconds.items() if "training" in name or name in ("validating",
                                                                                        "choosing and the rest")]
    # Between the parts there is little work, which takes longer beside other programs.
    assert sum(parts) - 0.1 * len(parts) <= whole <= 1.5 * sum(parts) + 1
    assert {"saving", "loading", "predicting"} <= set(seconds)
    assert found["tastes"] < found["recommender"] < found["biases"] + 0.01


@pytest.mark.slow
def test_from_disk_a_hundredth_is_held_out(example, capsys):
    found = example.main(["--ratings", "4000", "--rows", "items", "--disk"])
    assert found["tastes"] < found["recommender"] < found["biases"] + 0.01
    assert "| storing " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        example.main(["--ratings", "4000", "--disk"])
    assert "expected --rows items, or users" in capsys.readouterr().err
