"""The table of deep networks: its errors are those of its parameters, and nothing is chosen on test ratings."""
import re

import numpy as np
import programs
import pytest
import reference
from devices import ON_GPU

import sparse_ae

pytestmark = pytest.mark.skipif(ON_GPU, reason="networks run on the CPU")


def test_its_errors_are_those_of_its_parameters(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    table, runs = programs.load("deep_table"), []
    made, monkeypatched = table.Run.__init__, lambda self, *args: runs.append(self) or made(self, *args)
    monkeypatch.setattr(table.Run, "__init__", monkeypatched)
    monkeypatch.setattr(table, "MOST_EPOCHS", 3)
    ratings = sparse_ae.made_up_ratings(40, 30, 500, step=1, rng=0)[0]
    pairs = ratings.matrix.tocoo()
    (tmp_path / "mine.csv").write_text("".join("u%02d,i%02d,%g\n" % each
                                               for each in zip(pairs.row, pairs.col, pairs.data)))
    table.main(["--data", str(tmp_path / "mine.csv"), "--quick", "--models", "tied", "as levels",
                "--plot", str(tmp_path / "depth.png")])
    out = capsys.readouterr().out
    found = {name: list(map(float, errors)) for name, *errors in re.findall(
        r"^\| (ratings as levels, 30% dropped|tied) +\| (\d\.\d{4}) +\| (\d\.\d{4}) ", out, re.M)}
    assert len(found) == 2 and len(runs) == 4 and (tmp_path / "depth.png").stat().st_size > 5000
    best = min(found, key=lambda name: found[name][1])
    assert "Best on validation: %s, test RMSE %.4f" % (best, found[best][0]) in out

    matrix = sparse_ae.load_ratings(tmp_path / "mine.csv").matrix.tocsr()
    train, test = (part.T.toarray() for part in sparse_ae.split_ratings(matrix, 0.1, rng=0)[:2])
    for choosing, judged in (runs[:2], runs[2:]):
        seen = choosing._train.toarray()
        assert not (seen > 0)[test > 0].any() and (seen > 0).sum() < (train > 0).sum()
        assert (judged._train.toarray() == train).all()
    of_levels, tied = ({each.name: each.variable.get_value().astype("float64") for each in run.model.parameters}
                       for run in (runs[1], runs[3]))

    h = 1 / (1 + np.exp(-(train @ of_levels["1.W"] + of_levels["1.b"])))
    scores = h @ of_levels["W"].T + of_levels["b"]
    steps, = (value for name, value in of_levels.items() if name.endswith("steps"))
    thresholds = np.cumsum(np.append(steps[0], np.exp(steps[1:])))
    predicted = np.array([[sum(level * p for level, p in enumerate(reference.ordinal_probabilities(s, thresholds), 1))
                           for s in row] for row in scores])
    assert error(predicted, train, test, train[train > 0].mean(), None) == pytest.approx(
        found["ratings as levels, 30% dropped"][0], abs=6e-5)

    targets = runs[3].targets
    offsets = targets.row_offsets[np.arange(30)[:, np.newaxis]] + targets.column_offsets[np.arange(40)]
    values, there = reference.residual_inputs(train, offsets, 1.0)
    names = sorted(name for name in tied if tied[name].shape == (40, 100) and name != "W")
    bias, = (tied[name] for name in tied if tied[name].shape == (100,))
    h = np.tanh(values @ tied["W"] + bias + there @ tied[names[0]])
    predicted = np.clip(offsets + h @ tied["W"].T + tied["b"], 1, 5)
    assert error(predicted, train, test, train[train > 0].mean(), np.clip(offsets, 1, 5)) == pytest.approx(
        found["tied"][0], abs=6e-5)


def error(predicted, train, test, mean, baseline):
    """On test ratings, where an item or a user without training ratings is predicted by what is known."""
    known = (train > 0).any(axis=1)[:, np.newaxis] & (train > 0).any(axis=0)
    predicted = np.where(known, predicted, mean if baseline is None else baseline)
    return np.sqrt(np.mean((predicted - test)[test > 0] ** 2))
