"""The example of texts: bags of words are what they are said to be, and sparse rows change nothing but the cost."""
import re

import numpy as np
import programs
import pytest


@pytest.fixture
def example():
    return programs.load("sparse_input")


def test_texts(example):
    rng = np.random.RandomState(0)
    themes_words = np.array([rng.choice(400, 30, replace=False) for _ in range(example.N_THEMES)])
    X, y = example.texts(50, 400, rng, themes_words)
    assert X.shape == (50, 400) and X.has_canonical_format and X.dtype == "float32"
    for i, theme in enumerate(y):
        assert abs(sum(float(x) ** 2 for x in X[i].data) - 1) < 1e-5
        assert len(set(X[i].indices) & set(themes_words[theme])) >= 6  # of 12 words, the same one at times


def test_sparse_and_dense_rows_train_the_same_network(example, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    example.main(["--texts", "600", "--words", "400", "--hidden", "20", "--epochs", "3", "--rounds", "1",
                  "--plot", str(tmp_path / "curves.png")])
    out = re.sub(r" +\|", " |", capsys.readouterr().out)
    assert re.match(r"600 texts to train on, 150 held out; 400 words, \d+ in a text; 20 classes\n", out)
    rows = dict(re.findall(r"^\| (.+?) \| (\d\.\d{3}) \| \d+\.\d\d \| \d+\.\d \|$", out, re.M))
    assert list(rows) == ["SparseInputDenseLayer (Adagrad)", "DenseLayer on dense rows (Adagrad)",
                          "scikit-learn, logistic regression", "scikit-learn, MLPClassifier (Adam)"]
    sparse, dense, logistic, _ = (float(accuracy) for accuracy in rows.values())
    assert sparse == dense > 0.3  # of 20 classes, by chance 0.05
    assert logistic > 0.3
    difference, = re.findall(r"differ by (\S+) at most", out)
    assert float(difference) < 1e-4
    assert len(re.findall(r"^\| (?:sgd|adagrad), \d+ \| \d+\.\d\d \| \d+\.\d\d \| \d+ \|$", out, re.M)) == 8
    assert (tmp_path / "curves.png").stat().st_size > 5000
