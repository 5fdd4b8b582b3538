"""The example that reproduces the published tables, on ratings small enough to watch it."""

import re

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from made import low_rank, rounded
from numpy.testing import assert_array_equal

from sparse_ae.data import split_ratings


def ratings():
    return rounded(low_rank(biases=0))


@pytest.fixture
def example(monkeypatch):
    """The script as a module, with settings for small ratings, and folds that need no download."""
    module = programs.load("autorec_table")
    small = dict(n_hidden=3, l2=(0.5, 0.5), hold=2, n_epochs=3, learning_rate=0.01)
    for name in ("ITEMS", "USERS", "ITEMS_100K"):
        monkeypatch.setattr(module, name, getattr(module, name)._replace(**small))
    for pair, (settings, published) in list(module.PAIRS.items()):
        module.PAIRS[pair] = settings._replace(**small), published
    for factors in (module.FACTORS, module.FACTORS_100K):
        factors.update(n_factors=2, n_epochs=3)
    monkeypatch.setattr(module, "SIZES", {k: (module.ITEMS, module.FACTORS) for k in (2, 3, 4)})
    folds = [split_ratings(ratings(), 0.2, rng=i)[:2] for i in range(5)]
    monkeypatch.setattr(module, "movielens_100k_folds", lambda path: folds)
    return module


def run(example, tmp_path, capsys, *arguments):
    path = tmp_path / "ratings.npz"
    sp.save_npz(str(path), ratings())
    example.main(["--data", str(path)] + list(arguments))
    return re.sub(r" +\|", " |", capsys.readouterr().out)


@pytest.fixture
def judged(example, monkeypatch):
    """What is trained on and judged by, while nothing is trained: ``[(train, test)]``."""
    seen = []

    def score(train, test, settings, seed, curve=False):
        seen.append((train, test))
        return example.Score(0.8 + 0.01 * seed, 1.0, [(1.0, 0.9), (2.0, 0.84)] if curve else [])

    for name in ("autorec", "factorization", "recommended"):
        monkeypatch.setattr(example, name, score)
    return seen


@pytest.mark.slow
def test_all_tables(example, tmp_path, capsys):
    out = run(example, tmp_path, capsys, "--quick")
    assert out.count("\n### ") == 5
    tables = [[line for line in part.splitlines() if line.startswith("|")] for part in out.split("\n### ")[1:]]
    assert [len(table) - 2 for table in tables] == [5, 6, 4, 2, 3]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert "| I-AutoRec | 0.831 | " in out


def test_same_seed_same_figures(example):
    train, test = split_ratings(ratings(), 0.2, rng=0)[:2]
    for score, settings in ((example.autorec, example.ITEMS), (example.factorization, example.FACTORS)):
        figures = [score(train, test, settings, seed).rmse for seed in (0, 0, 1)]
        assert figures[0] == figures[1] != figures[2]


def test_five_splits_make_an_interval(example, judged, tmp_path, capsys):
    out = run(example, tmp_path, capsys)
    assert "seeds 0, 1, 2, 3, 4" in out
    # Mean 0.82, deviation 0.0158; Student's t with 4 degrees of freedom: 2.7764.
    assert out.count("| 0.8200 \u00b1 0.0196 |") == 3 + 6 + 4 + 2 * 3
    assert "| 2.0 | never |" in out
    # What tables share is trained once: AutoRec 2 + 3 pairs + 2 sizes, factors 1 + 2 sizes, six recommenders; and
    # five folds of either of the first two.
    assert len(judged) == 5 * (2 + 3 + 2 + 1 + 2 + 6) + 5 + 5
    assert all(train.multiply(test).nnz == 0 for train, test in judged)


def test_interval_by_hand(example):
    scores = [example.Score(x, 0.0, []) for x in (0.83, 0.84, 0.85)]
    # Student's t with 2 degrees of freedom: 4.3027 times 0.01 / sqrt(3).
    assert example.interval(scores) == "0.8400 ± 0.0248"
    assert example.interval(scores[:1]) == "0.8300"


def test_seconds_to_the_goals(example):
    assert example.seconds_to_goals([(1.0, 0.9), (2.04, 0.845), (3.0, 0.85), (4.0, 0.83)]) == ["2.0", "4.0"]
    assert example.seconds_to_goals([(1.0, 0.84)]) == ["1.0", "never"]


def test_only_how_soon_it_gets_to_the_goals(example, judged, tmp_path, capsys):
    out = run(example, tmp_path, capsys, "--to-goals", "--seed", "3")
    assert len(judged) == 1 and out.count("| I-AutoRec | 0.831 | 0.8300 | 1.0 | 2.0 | never |") == 1


def test_the_rate_is_held_and_falls(example):
    settings = example.Settings(learning_rate=0.4, hold=2, decay=0.5)
    assert [settings.rate(epoch) for epoch in (1, 2, 3, 4)] == [0.4, 0.4, 0.2, 0.1]


@pytest.mark.parametrize("rows", ["items", "users"])
def test_test_ratings_change_the_score_and_nothing_else(example, rows):
    """Other test ratings at the same places get the same predictions."""
    train, test = split_ratings(ratings(), 0.2, rng=0)[:2]
    other = test.copy()
    other.data = 6 - other.data
    predicted = {}
    for name, judged in (("test", test), ("other", other)):
        seen = predicted[name] = []
        example.rmse = lambda observed, guess, seen=seen: seen.append((np.array(observed), np.array(guess))) or 0.5
        settings = example.Settings(rows=rows, n_hidden=3, l2=(0.5, 0.5), n_epochs=2)
        example.autorec(train, judged, settings, seed=0, curve=True)
        assert len(seen) == 3
    for (observed, guess), (other_observed, other_guess) in zip(predicted["test"], predicted["other"]):
        assert_array_equal(guess, other_guess)
        assert_array_equal(observed, 6 - other_observed)
