"""Biases with slopes of users: sums by loops, what they predict, and that a recommender's answers go together."""
import numpy as np
import pytest
import scipy.sparse as sp
from recommender_contract import RecommenderContract

import sparse_ae
from sparse_ae.baselines.biases import Biases, Slopes, fit_biases, predict_biases
from sparse_ae.data import ratings_from_triples


def sloped(n_users=150, n_items=80, seed=0, spread=0.5, density=0.3):
    """Ratings by users who like the popular items, or the rare ones: (users, items, ratings)."""
    rng = np.random.RandomState(seed)
    popularity = np.exp(rng.randn(n_items))
    u, i = np.nonzero(rng.rand(n_users, n_items) < density * popularity / popularity.max() + 0.05)
    x = np.log(np.bincount(i, minlength=n_items) + 1.0)
    x = (x - x[i].mean()) / x[i].std()
    ratings = 3 + 0.3 * rng.randn(n_items)[i] + (spread * rng.randn(n_users))[u] * x[i] + 0.3 * rng.randn(len(u))
    return u, i, np.clip(ratings, 0, 6)


def by_loops(train, biases):
    """Equation (5)'s slopes, one user and one rating after the other; the ridges are given."""
    train = train.tocoo()
    n = np.bincount(train.col, minlength=train.shape[1])
    entries = []
    for u, i, r in zip(train.row, train.col, train.data.astype(float)):
        e = r - biases.mean - biases.users[u] - biases.items[i]
        own = e + biases.items[i]
        entries.append((u, np.log(n[i]), (biases.items[i] * (n[i] + biases.shrinkage[1]) - own)
                        / (n[i] - 1 + biases.shrinkage[1]), e))
    means = [np.mean([each[k] for each in entries]) for k in (1, 2)]
    spreads = [np.std([each[k] for each in entries]) for k in (1, 2)]
    slopes, said = np.zeros((train.shape[0], 2)), [0.0] * len(entries)
    for k in range(2):
        for u in range(train.shape[0]):
            xx = xe = 0.0
            for entry, before in zip(entries, said):
                if entry[0] == u:
                    x = (entry[1 + k] - means[k]) / spreads[k]
                    xx, xe = xx + x * x, xe + x * (entry[3] - before)
            slopes[u, k] = xe / (xx + biases.slopes.ridge[k])
        said = [before + slopes[entry[0], k] * (entry[1 + k] - means[k]) / spreads[k]
                for entry, before in zip(entries, said)]
    return slopes, means, spreads


def test_slopes_by_loops():
    train = ratings_from_triples(*sloped(60, 12)).matrix
    plain = fit_biases(train)
    found = fit_biases(train, slopes=True)
    slopes, means, spreads = by_loops(train, plain._replace(slopes=found.slopes))
    np.testing.assert_allclose(found.slopes.users, slopes, atol=1e-9)
    counts = np.diff(train.tocsc().indptr)
    np.testing.assert_allclose(found.slopes.items[:, 0], (np.log(counts + 1) - means[0]) / spreads[0])
    np.testing.assert_allclose(found.slopes.items[:, 1], (plain.items - means[1]) / spreads[1])
    assert counts.min() > 1
    np.testing.assert_allclose(found.slopes.unknown, (np.array([np.log(counts.min()), 0]) - means) / spreads)
    u, i = train.nonzero()
    left = sp.csr_matrix((train.data - found.slopes.at(u, i), (u, i)), train.shape)
    np.testing.assert_allclose(fit_biases(left).users, found.users, atol=1e-6)
    expected = found.mean + found.users[u] + found.items[i] + np.sum(found.slopes.users[u] * found.slopes.items[i], 1)
    np.testing.assert_allclose(predict_biases(found, u, i), expected)


def test_slopes_are_shrunk_to_nothing_where_there_are_none():
    for spread, least, most in ((0.5, 0.3, 0.7), (0.0, 0.0, 0.05)):
        slopes = fit_biases(ratings_from_triples(*sloped(300, 100, spread=spread)).matrix, slopes=True).slopes
        assert least <= slopes.users[:, 0].std() <= most
    equal = fit_biases(sp.csr_matrix(np.full((5, 4), 3.0, np.float32)), slopes=True)
    assert not equal.slopes.users.any() and np.isfinite(equal.slopes.items).all()


def test_slopes_at_unknown_pairs_by_hand():
    slopes = Slopes(np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([[4.0, 5.0]]), np.array([-1.0, 0.5]), (1.0, 2.0))
    users, items = np.array([0, 1, 0, -1, -1]), np.array([0, 0, -1, 0, -1])
    assert slopes.at(users, items).tolist() == [14.0, 15.0, 0.0, 0.0, 0.0]
    # x e / (x^2 + ridge), then the same of what is left.
    first = 4.0 * 2.0 / (16.0 + 1.0)
    np.testing.assert_allclose(slopes.of_person([0], np.array([2.0])).users,
                               [[first, 5 * (2 - 4 * first) / (25 + 2)]])


def test_a_new_users_offset_and_slopes_by_hand():
    slopes = Slopes(np.zeros((1, 2)), np.array([[1.0, 0.0], [2.0, 0.0]]), np.zeros(2), (1.0, 1.0))
    biases = Biases(3.0, np.zeros(1), np.array([0.5, -0.5]), (2.0, 1.0), slopes)
    found, left = biases.of_person(np.array([0, 1]), np.array([4.0, 5.0]))
    # Less the mean and the items 0.5 and 2.5; less an offset of 3 / (2 + 2) -0.25 and 1.75.
    slope = (1 * -0.25 + 2 * 1.75) / (1 + 4 + 1)
    np.testing.assert_allclose(found.slopes.users, [[slope, 0]])
    np.testing.assert_allclose(left, [4 - slope, 5 - 2 * slope])
    np.testing.assert_allclose(found.users, [(3 - 3 * slope) / (2 + 2)])


ALL = sloped(300, 120)
IS_TEST = (np.random.RandomState(1).rand(len(ALL[0])) < 0.2) | (ALL[1] == 7)  # an item that isn't known
TRAIN, TEST = (tuple(column[part] for column in ALL) for part in (~IS_TEST, IS_TEST))


@pytest.fixture(scope="module")
def fitted():
    return sparse_ae.Recommender(n_hidden=4, n_epochs=8, progress=False, rows="both").fit(TRAIN)


class TestSlopes(RecommenderContract):
    ratings, near = TRAIN, 0.3


def test_a_recommender_takes_slopes_that_validation_shows_to_help(fitted):
    found, (users, items, ratings) = fitted, TEST
    slopes = found.biases_.slopes
    assert slopes is not None and found.validation_rmse_["biases"] < 0.5
    plain = fit_biases(found.fitted_.rating_matrix.by("users"))
    known = items != 7
    u, i = np.searchsorted(found.users_, users), np.searchsorted(found.items_, items)
    without = np.sqrt(np.mean((predict_biases(plain, u[known], i[known]) - ratings[known]) ** 2))
    assert np.sqrt(np.mean((found.predict(users[known], items[known]) - ratings[known]) ** 2)) < 0.9 * without
    # Of an unknown item: the user's offset, and the slopes at an item that nobody has rated.
    expected = found.biases_.mean + found.biases_.users[u[~known]] + slopes.users[u[~known]].dot(slopes.unknown)
    np.testing.assert_allclose(found.predict(users[~known], 7), np.clip(expected, *found.rating_scale_), rtol=1e-5)
    assert np.std(slopes.users[:, 0]) > 0.3
