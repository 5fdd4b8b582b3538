"""Examples and benchmarks that have one test or a few: what they say is true, and is what they are about."""
import mmap
import re

import numpy as np
import programs
import pytest
from devices import ON_GPU
from numpy.testing import assert_allclose

import sparse_ae
from sparse_ae.scoring.predict import predict_pairs
from sparse_ae.scoring.scorer import Scorer
import theano
import theano.sparse

large, sparse_input, million, bigger = (
    pytest.fixture(lambda name=name: programs.load(name), name=fixture) for fixture, name in (
        ("large", "large"), ("sparse_input", "sparse_input"), ("million", "million_features"),
        ("bigger", "bigger_than_memory")))


def csv(path, *arguments, **settings):
    """A file of made-up ratings."""
    pairs = sparse_ae.made_up_ratings(*arguments, rng=0, **settings)[0].matrix.tocoo()
    path.write_text("".join("u%02d,i%02d,%g\n" % each for each in zip(pairs.row, pairs.col, pairs.data)))
    return str(path)


# custom_network.py


def test_its_error_is_that_of_the_network_with_the_better_decay(tmp_path, capsys, monkeypatch):
    example, models = programs.load("custom_network"), []
    make = example.my_network
    monkeypatch.setattr(example, "my_network", lambda *args: models.append(make(*args)) or models[-1])
    for name, value in (("N_HIDDEN", 6), ("N_EPOCHS", 3), ("DECAYS", (1, 50))):
        monkeypatch.setattr(example, name, value)
    path = csv(tmp_path / "mine.csv", 40, 50, 700)
    example.main(["--data", path])
    out = capsys.readouterr().out

    errors = list(map(float, re.findall(r"l2 \S+ +validation RMSE (\d\.\d{4})", out)))
    model = models[int(errors[1] < errors[0])]
    assert len(models) == 2 and len(errors) == 4 and errors[0] != errors[1]
    assert {"values.W", "rated.W", "second.W"} < {each.name for each in model.parameters}
    split = sparse_ae.split_ratings(sparse_ae.load_ratings(path).matrix.T.tocsr(), 0.1, rng=0)
    test = split.test.tocoo()
    error = sparse_ae.rmse(test.data, predict_pairs(model, split.train, test.row, test.col))
    _, mine, _ = re.findall(r"held-out RMSE (\d\.\d{4})(?: with l2 \d+)?$", out, re.M)
    assert float(mine) == pytest.approx(error, abs=6e-5)


# deep_table.py


@pytest.mark.skipif(ON_GPU, reason="networks run on the CPU")
def test_its_errors_are_those_of_its_models_and_none_is_chosen_on_test_ratings(tmp_path, capsys, monkeypatch):
    table, runs = programs.load("deep_table"), []
    made, monkeypatched = table.Run.__init__, lambda self, *args: runs.append(self) or made(self, *args)
    monkeypatch.setattr(table.Run, "__init__", monkeypatched)
    monkeypatch.setattr(table, "MOST_EPOCHS", 3)
    path = csv(tmp_path / "mine.csv", 40, 30, 500, step=1)
    table.main(["--data", path, "--seeds", "0", "--hidden", "20", "--decays", "1", "--models", "tied", "as levels"])
    out = capsys.readouterr().out
    found = {name: list(map(float, errors)) for name, *errors in re.findall(
        r"^\| (ratings as levels, 30% dropped|tied) +\| (\d\.\d{4}) +\| (\d\.\d{4}) ", out, re.M)}
    assert len(found) == 2 and len(runs) == 4
    best = min(found, key=lambda name: found[name][1])
    assert "Best on validation: %s, test RMSE %.4f" % (best, found[best][0]) in out

    train, test = (part.T.tocsr() for part in sparse_ae.split_ratings(
        sparse_ae.load_ratings(path).matrix.tocsr(), 0.1, rng=0)[:2])
    asked = test.tocoo()
    for name, (choosing, judged) in zip(("ratings as levels, 30% dropped", "tied"), (runs[:2], runs[2:])):
        seen = choosing._train
        assert not seen.multiply(test).nnz and seen.nnz < train.nnz
        assert (judged._train != train).nnz == 0
        predicted = Scorer(judged.model, train, targets=judged.targets).predict(asked.row, asked.col, train.data.mean())
        assert sparse_ae.rmse(asked.data, predicted) == pytest.approx(found[name][0], abs=6e-5)


# large.py


def test_ratings_are_tastes_and_noise(large):
    train, test, taste = large.make(30000, np.random.RandomState(0))
    assert train.nnz + test.nnz == 30000 and 0.03 < test.nnz / 30000 < 0.07
    assert train.shape == test.shape == (len(taste.users), len(taste.items)) and not train.multiply(test).nnz
    pairs = test.tocoo()
    best = np.sqrt(np.mean((taste(pairs.row, pairs.col) - pairs.data) ** 2))
    # The noise and that of rounding to half stars, less what clipping takes away.
    assert 0.9 * large.NOISE < best < np.hypot(large.NOISE, 0.5 / 12 ** 0.5)
    assert (large.make(30000, np.random.RandomState(0))[0] != train).nnz == 0


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--rows", "items", "--disk"]])
def test_stages_add_up(large, capsys, more):
    found = large.main(["--ratings", "4000"] + more)
    lines = re.findall(r"^\| (.*?) +\| .*? +\| ([\d.]+) +\| [\d.]* +\| [\d.na]+ +\|$", capsys.readouterr().out, re.M)
    seconds = {name: float(number) for name, number in lines}
    whole = seconds["fit, all of it"]
    parts = [number for name, number in seconds.items()
             if "training" in name or name in ("validating", "choosing and the rest")]
    # Between the parts there is little work, which takes longer beside other programs.
    assert sum(parts) - 0.1 * len(parts) <= whole <= 1.5 * sum(parts) + 1
    assert {"saving", "loading", "predicting"} <= set(seconds) and ("storing" in seconds) == ("--disk" in more)
    assert found["tastes"] < found["recommender"] < found["biases"] + 0.01


def test_on_disk_one_side_lies_together(large, capsys):
    with pytest.raises(SystemExit):
        large.main(["--ratings", "4000", "--disk"])
    assert "expected --rows items, or users" in capsys.readouterr().err


# sparse_input.py


def test_sparse_and_dense_rows_train_the_same_network(sparse_input, capsys):
    pytest.importorskip("sklearn")
    sparse_input.main(["--texts", "600", "--words", "400", "--hidden", "20", "--epochs", "3", "--rounds", "1"])
    out = re.sub(r" +\|", " |", capsys.readouterr().out)
    assert re.match(r"600 texts to train on, 150 held out; 400 words, \d+ in a text; 20 classes\n", out)
    rows = dict(re.findall(r"^\| (.+?) \| (\d\.\d{3}) \| \d+\.\d\d \| \d+\.\d \|$", out, re.M))
    assert list(rows) == ["SparseInputDenseLayer (Adagrad)", "DenseLayer on dense rows (Adagrad)",
                          "scikit-learn, logistic regression", "scikit-learn, MLPClassifier (Adam)"]
    sparse, dense, logistic, _ = (float(accuracy) for accuracy in rows.values())
    assert sparse == dense > 0.3 and logistic > 0.3  # of 20 classes, by chance 0.05
    assert float(re.findall(r"differ by (\S+) at most", out)[0]) < 1e-4
    assert len(re.findall(r"^\| (?:sgd|adagrad), \d+ \| \d+\.\d\d \| \d+\.\d\d \| \d+ \|$", out, re.M)) == 8


# million_features.py


def test_the_factorisation_machine_by_loops(million):
    X, y = million.made_up_clicks(6, 200, np.random.RandomState(0))
    assert X.shape == (6, 200) and (np.diff(X.indptr) == 20).all() and set(y) <= {0, 1}
    x = theano.sparse.csr_matrix("x", "float32")
    logits, params = million.factorisation_machine(x, 200, np.random.RandomState(1))
    values = [np.full((1, 1), 0.5, "float32")] + [
        np.random.RandomState(2).randn(*p.get_value().shape).astype("float32") for p in params[1:]]
    for param, value in zip(params, values):
        param.set_value(value)
    _, w, V = values
    expected = []
    for row in X.toarray():
        used = np.flatnonzero(row)
        pairs = sum(row[i] * row[j] * V[i].dot(V[j]) for i in used for j in used if i < j)
        expected.append(0.5 + row.dot(w[:, 0]) + pairs)
    assert_allclose(theano.function([x], logits)(X), expected, rtol=1e-4)


def test_both_networks_learn(million, capsys):
    pytest.importorskip("sklearn")
    million.main(400, 9600)
    said = {name: float(loss) for name, loss in re.findall(r"^(\S.*?) +(\d\.\d{4}) +\d\.\d{4}$",
                                                           capsys.readouterr().out, re.M)}
    assert list(said) == ["SGDClassifier", "factorisation machine", "wide and deep"]
    assert max(said["factorisation machine"], said["wide and deep"]) < 0.66  # of a coin: 0.69


# bigger_than_memory.py


def test_from_text_to_predictions(bigger, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "big"
    for name, value in (("PER_USER", 27), ("N_ITEMS", 60), ("N_HIDDEN", 8)):
        monkeypatch.setattr(bigger, name, value)
    bigger.main(["--ratings", "4e3", "--epochs", "40", "--folder", str(folder)])
    out = capsys.readouterr().out
    assert len(re.findall(r"^.+ s   peak .+ MB own .+ MB files$", out, re.MULTILINE)) == 4
    (model, mean), = re.findall(r"^RMSE from the right answers: ([\d.]+) \(the mean rating: ([\d.]+)\)$", out, re.M)
    assert float(model) < float(mean)
    read, stored = sparse_ae.load_ratings(folder / "ratings.csv"), sparse_ae.open_ratings(folder / "store")
    assert stored.rows == "users" and (read.matrix != stored.matrix).nnz == 0 and stored.matrix.nnz == 4000
    assert set(np.unique(read.matrix.data)) == {1, 2, 3, 4, 5}
    with pytest.raises(OSError):
        bigger.main(["--ratings", "4e3", "--folder", str(folder)])


def test_memory_is_that_of_the_process(bigger):
    own, files = bigger.memory()
    if not np.isnan(own):
        # Not np.ones, which may be given memory that the process has had all along.
        block = np.frombuffer(mmap.mmap(-1, 2 ** 26, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
        block[:] = 1
        assert bigger.memory()[0] > own + 60 and files > 0
