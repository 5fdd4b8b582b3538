"""Factors of all entries from singular vectors: beside sweeps that go on until nothing changes, for the same sum."""
import numpy as np
import pytest
import reference
from made import likings, stars
from numpy.testing import assert_allclose

from sparse_ae.baselines import linalg
from sparse_ae.baselines.factors import FactorSystem
from sparse_ae.baselines.linalg import solve_factors


def loss(train, H, *settings):
    W = solve_factors(train.astype(np.float64), H.astype(np.float64), *settings)
    return reference.all_entries(reference.pairs(train), W, H.astype(np.float64), *settings)[0]


def by_sweeps(train, n, *settings):
    """Items' factors after so many sweeps of alternating least squares, from drawn ones."""
    X, H = train.astype(np.float64), 0.05 * np.random.RandomState(0).randn(train.shape[1], 4)
    for _ in range(n):
        H = solve_factors(X.T.tocsr(), solve_factors(X, H, *settings), *settings)
    return H


@pytest.mark.parametrize("dense", [400, 0])
def test_two_sweeps_are_near_the_bottom(dense, monkeypatch):
    """As drawn factors are after many, and nearer than drawn ones are after two."""
    monkeypatch.setattr(linalg, "_DENSE", dense)
    train, settings = likings(n_rows=40, n_columns=25), (0.1, 0.0, 3.0)
    system = FactorSystem(train, 4, 0.1)
    found = system.solve(3.0)
    assert found.H.shape == (25, 4) and found.H.dtype == np.float32 and found[1:] == settings
    drawn = [loss(train, by_sweeps(train, n, *settings), *settings) for n in (2, 300)]
    mine = loss(train, found.H, *settings)
    assert drawn[1] * (1 - 1e-6) < mine < min(1.02 * drawn[1], drawn[0])
    again = system.solve(0.5)
    assert (system.solve(3.0).H == found.H).all() and np.abs(again.H).sum() > np.abs(found.H).sum()


def test_with_all_factors_and_all_weights_equal_it_is_a_threshold_for_singular_values():
    """For v = 1 the bottom is known: singular values less l2. From its own singular vectors one sweep comes near."""
    train = stars(14, 9, without_rows=[3], without_columns=[5])
    U, values, V = np.linalg.svd(train.toarray().astype(float), full_matrices=False)
    model = FactorSystem(train, 20, 1.0).solve(1e-3)
    assert model.H.shape == (9, 9)
    assert_allclose(model.scores(train), (U * np.maximum(values - 1e-3, 0)) @ V, atol=0.02)


@pytest.mark.parametrize("call, message", [
    (lambda train: FactorSystem(train, 0), "n_factors is 0; expected a positive integer"),
    (lambda train: FactorSystem(train, 3, 1.5), "missing_weight is 1.5; expected a number from 0 to 1"),
    (lambda train: FactorSystem(train, 3).solve(0), "l2 is 0; expected a positive number"),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(stars(14, 9))
