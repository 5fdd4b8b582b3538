"""The bias baseline: the minimum it claims to find, the corners, and what it scores on real ratings."""

import numpy as np
import pytest
import scipy.sparse as sp
from made import cold_stars as ratings
from numpy.testing import assert_allclose

from sparse_ae.baselines.biases import Biases, fit_biases, predict_biases


def by_least_squares(u, i, r, shape, shrinkage):
    """The mean, and offsets of users and items: equation (2) as one problem, a row per rating, then for each offset a
    row sqrt(shrinkage) * offset = 0."""
    design = np.zeros((len(u) + sum(shape), sum(shape)))
    design[np.arange(len(u)), u] = 1
    design[np.arange(len(u)), shape[0] + i] = 1
    design[len(u):] = np.diag(np.sqrt(np.repeat(shrinkage, shape)))
    offsets = np.linalg.lstsq(design, np.append(r - np.mean(r), np.zeros(sum(shape))), rcond=None)[0]
    return np.mean(r), offsets[:shape[0]], offsets[shape[0]:]


@pytest.mark.parametrize("shrinkage", [5.0, 20.0])
def test_minimises_the_regularised_squares(shrinkage):
    """Of ratings among which are zeros; what has none has no offset."""
    train = ratings(low=0)
    coo = train.tocoo()
    mean, users, items = by_least_squares(coo.row, coo.col, coo.data.astype(float), train.shape, [shrinkage] * 2)
    got = fit_biases(train, shrinkage)
    assert got.mean == pytest.approx(mean, rel=1e-12)
    assert_allclose(got.users, users, atol=1e-7)
    assert_allclose(got.items, items, atol=1e-7)
    for each in (got, fit_biases(train, 0)):
        assert each.users[3] == each.items[5] == 0 and np.isfinite(np.append(each.users, each.items)).all()


def test_predictions():
    biases = Biases(3.0, np.array([0.5, -0.5]), np.array([0.0, 1.0, -2.0]))
    got = predict_biases(biases, [0, 1, 1], [1, 1, 2])
    assert got.dtype == np.float64 and got.tolist() == [4.5, 3.5, 0.5]
    assert predict_biases(biases, [], []).shape == (0,)


@pytest.mark.parametrize("rows, cols, error, message", [
    ([0, 1], [0], ValueError, r"user_places are of shape \(2,\) and item_places of \(1,\); expected as many of each"),
    ([-1], [0], ValueError, r"user_places are from -1 to -1; expected 0 \.\. 1: positions in the training"),
    ([0], [3], ValueError, r"item_places are from 3 to 3; expected 0 \.\. 2"),
    ([0.0], [0], TypeError, "user_places are of dtype float64; expected integers: positions of users"),
])
def test_predictions_refuse(rows, cols, error, message):
    with pytest.raises(error, match=message):
        predict_biases(Biases(3.0, np.zeros(2), np.zeros(3)), rows, cols)


def em_by_loops(matrix, n_estimates=30, n_sweeps=20):
    """Expectation and maximisation, rating by rating."""
    coo = matrix.tocoo()
    entries = list(zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist()))
    mean = sum(r for _, _, r in entries) / len(entries)
    counts = [[sum(1 for e in entries if e[side] == k) for k in range(size)] for side, size in enumerate(matrix.shape)]
    offsets, shrinkage = [[0.0] * size for size in matrix.shape], [5.0, 5.0]

    def sweep():
        for side in (1, 0):  # items first
            for k, n in enumerate(counts[side]):
                left = sum(e[2] - mean - offsets[1 - side][e[1 - side]] for e in entries if e[side] == k)
                offsets[side][k] = left / (n + shrinkage[side]) if n else 0.0

    for _ in range(n_estimates):
        sweep()
        sweep()
        squares = sum((r - mean - offsets[0][u] - offsets[1][i]) ** 2 for u, i, r in entries)
        spent = sum(n / (n + shrinkage[side]) for side in range(2) for n in counts[side])
        variance = squares / (len(entries) - spent)
        spreads = [[b ** 2 + variance / (n + shrinkage[side]) for b, n in zip(offsets[side], counts[side]) if n]
                   for side in range(2)]
        shrinkage = [variance / (sum(each) / len(each)) for each in spreads]
    for _ in range(n_sweeps):
        sweep()
    return mean, offsets[0], offsets[1], shrinkage


@pytest.fixture(scope="module")
def by_loops():
    return em_by_loops(ratings(shape=(12, 9)))


@pytest.mark.parametrize("part", [1, 7, 2 ** 22])
def test_shrinkage_by_loops(part, by_loops, monkeypatch):
    """Also where ratings are read a few at a time, and with a user and an item that have none."""
    monkeypatch.setattr("sparse_ae.baselines.biases.PART", part)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a pool of threads for each product takes seconds
    train, (mean, users, items, shrinkage) = ratings(shape=(12, 9)), by_loops
    got = fit_biases(train, "auto")
    assert got.mean == pytest.approx(mean, rel=1e-12) and got.shrinkage == pytest.approx(shrinkage, rel=1e-9)
    assert_allclose(got.users, users, atol=1e-9)
    assert_allclose(got.items, items, atol=1e-9)
    assert got.users[3] == got.items[5] == 0


@pytest.mark.parametrize("seed, is_better", [(0, False), (3, True), (7, True)])
def test_shrinkages_of_many_steps_take_folds_that_are_surely_better(seed, is_better, monkeypatch):
    """Of noise, whose shrinkages grow and grow."""
    rng = np.random.RandomState(seed)
    u, i = np.nonzero(rng.rand(20, 10) < 0.8)
    r = rng.randint(1, 6, len(u)).astype(float)
    train = sp.csr_matrix((r, (u, i)), (20, 10))
    shrinkages, errors = [em_by_loops(train, n)[3] for n in (30, 300)], np.zeros((2, len(r)))
    for k in range(4):
        held = (u + i) % 4 == k
        for of_pair, pair in zip(errors, shrinkages):
            mean, users, items = by_least_squares(u[~held], i[~held], r[~held], train.shape, pair)
            of_pair[held] = (np.clip(mean + users[u] + items[i], 1, 5) - r)[held] ** 2
    gains = errors[0] - errors[1]
    assert (gains.mean() > gains.std() / np.sqrt(len(r))) == is_better
    assert fit_biases(train).shrinkage == pytest.approx(shrinkages[is_better], rel=1e-9)
    monkeypatch.setattr("sparse_ae.baselines.biases._FEW", len(r) - 1)
    assert fit_biases(train).shrinkage == pytest.approx(shrinkages[0], rel=1e-9)


def test_a_shrinkage_of_each():
    train = ratings()
    assert fit_biases(train, (5, 20)).shrinkage == (5.0, 20.0) and fit_biases(train, 5).shrinkage == (5.0, 5.0)
    strong = fit_biases(train, (5.0, 1e12))
    assert np.abs(strong.items).max() < 1e-9 < 0.1 < np.abs(strong.users).max()
    for bad in (-1, np.nan, (1, -1), (1, 2, 3), "much"):
        with pytest.raises(ValueError, match="shrinkage is .*; expected a finite number, 0 or more, such as 5.0, or"):
            fit_biases(train, bad)
