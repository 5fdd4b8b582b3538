"""The example of a network of one's own: what it says of its error is true, judged by NumPy from its parameters."""
import re

import numpy as np
import programs
import pytest

import sparse_ae


def test_its_error_is_that_of_its_parameters(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    example, models = programs.load("custom_network"), []
    make = example.my_network
    monkeypatch.setattr(example, "my_network", lambda *args: models.append(make(*args)) or models[-1])
    pairs = sparse_ae.made_up_ratings(40, 50, 700, rng=0)[0].matrix.tocoo()
    (tmp_path / "mine.csv").write_text("".join("u%d,i%d,%g\n" % each for each in zip(pairs.row, pairs.col, pairs.data)))
    example.main(["--data", str(tmp_path / "mine.csv"), "--hidden", "6", "--epochs", "3", "--l2", "1", "50",
                  "--plot", str(tmp_path / "curves.png")])
    out = capsys.readouterr().out

    # The first model was made for its parameters' names alone; the next two have a decay each.
    errors = list(map(float, re.findall(r"l2 \S+ +validation RMSE (\d\.\d{4})", out)))
    model = models[1:][int(errors[1] < errors[0])]
    assert len(models) == 3 and len(errors) == 4 and errors[0] != errors[1]
    p = {each.name: each.variable.get_value().astype("float64") for each in model.parameters}
    assert set(re.findall(r"^    (\S+) +[\dx ]+$", out, re.M)) == set(p)
    matrix = sparse_ae.load_ratings(tmp_path / "mine.csv").matrix.T.tocsr()
    split = sparse_ae.split_ratings(matrix, 0.1, rng=0)
    full, test, (low, high) = split.train.toarray(), split.test.tocoo(), (matrix.data.min(), matrix.data.max())
    first = np.tanh(0.1 * (full @ p["values.W"] + p["values.b"] + (full > 0) @ p["rated.W"]))
    second = first + np.tanh(first @ p["second.W"] + p["second.b"])
    predicted = low + (high - low) / (1 + np.exp(-(second @ p["W"].T + p["b"])))
    predicted[(full > 0).sum(axis=1) == 0] = predicted[:, (full > 0).sum(axis=0) == 0] = split.train.data.mean()
    error = np.sqrt(np.mean((predicted[test.row, test.col] - test.data) ** 2))
    said = dict(re.findall(r"^(biases|my network|the post's)(?:, l2 \S+)? +held-out RMSE (\d\.\d{4})", out, re.M))
    assert len(said) == 3 and float(said["my network"]) == pytest.approx(error, abs=6e-5)
    assert (tmp_path / "curves.png").stat().st_size > 5000
