"""EASE of all items and of the nearest ones, against their definitions, column by column."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from made import cold_stars as ratings, likings
from numpy.testing import assert_allclose

from sparse_ae.baselines import ease
from sparse_ae.baselines.ease import EaseSystem, LocalEaseSystem, packed, unpacked
from sparse_ae.baselines.lists import fit_ease
from sparse_ae.files.storage import shortened


@pytest.mark.parametrize("user_power, item_power, l2", [(0, 0, 3.0), (0.5, 0, 3.0), (0, 0.5, 3.0), (1, 0.3, 3.0),
                                                        (0, 0, 0.01), (0, 0, 200.0)])
@pytest.mark.parametrize("n_users", [14, 5, 4])
@pytest.mark.parametrize("tile", [256, 1, 4])
def test_each_column_is_the_best_that_keeps_its_diagonal_at_zero(tile, n_users, user_power, item_power, l2,
                                                                 monkeypatch):
    """A little decay is solved for in float64, a large one in float32; of few users in a system of users."""
    monkeypatch.setattr(ease, "TILE", tile)
    train = ratings()[:n_users]
    weights = EaseSystem(train, user_power).solve(l2, item_power).weights
    X = train.toarray().astype(float)
    of_users, of_items = (X > 0).sum(axis=1), (X > 0).sum(axis=0)
    users = [(n / np.mean(of_users[of_users > 0])) ** -user_power if n else 1 for n in of_users]
    decay = [l2 * (n / np.mean(of_items[of_items > 0])) ** item_power if n else l2 for n in of_items]
    for j in range(9):
        expected = reference.weighted_ease_column(X, j, users, decay)
        assert_allclose(weights[:, j], expected, atol=1e-5)


@pytest.mark.parametrize("l2", [1e-19, 1e-300])
def test_a_decay_that_is_lost_to_rounding_is_an_error(l2):
    with pytest.raises(np.linalg.LinAlgError, match="too small for these ratings"):
        fit_ease(sp.csr_matrix(np.array([[5.0, 0, 0, 0], [0, 3, 4, 0]])), l2)


def test_threads_and_tiles_add_up_the_same(monkeypatch):
    found = []
    for threads, tile in (("1", 256), ("1", 4), ("4", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setattr(ease, "TILE", tile)
        found.append(EaseSystem(likings(), 0.5).solve(3.0).weights)
    assert (found[0] == found[1:]).all()


@pytest.mark.parametrize("n_users, popularity, power, l2, dtype", [
    # Sums of products are millions of times the smallest decay, but 3,000 times the roots of any two items' decays.
    (3000, np.linspace(1, 0, 40) ** 4, 1.0, 30.0, "float32"),
    # Of few users: the largest sum of a user's products is 20 and 200 times the decay.
    (100, np.linspace(0.3, 0.01, 300), 0.5, 500.0, "float32"),
    (100, np.linspace(0.3, 0.01, 300), 0.5, 50.0, "float64")])
def test_float32_where_it_is_enough(n_users, popularity, power, l2, dtype, monkeypatch):
    rng, dtypes = np.random.RandomState(0), []
    X = (rng.rand(n_users, len(popularity)) < popularity) * rng.randint(1, 6, (n_users, len(popularity)))
    decay = l2 * ease.relative((X > 0).sum(axis=0), power)
    monkeypatch.setattr(ease, "symmetric_inverse", lambda A, of=ease.symmetric_inverse: dtypes.append(A.dtype) or of(A))
    weights = EaseSystem(sp.csr_matrix(X.astype(np.float32))).solve(l2, power).weights
    P = np.linalg.inv(X.T.dot(X) + np.diag(decay))
    expected = P / -np.diag(P)
    np.fill_diagonal(expected, 0)
    assert dtypes == [dtype]
    assert_allclose(weights, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("n_users", [14, 4])
def test_a_file_has_the_symmetric_form_of_weights_in_steps(n_users):
    train = ratings()[:n_users]
    weights = EaseSystem(train, 0.5).solve(3.0, 0.5)
    X = sp.diags(ease.relative(np.diff(train.indptr), -0.25)).dot(train).toarray()
    P = np.linalg.inv(X.T.dot(X) + np.diag(3.0 * ease.relative((X > 0).sum(axis=0), 0.5)))
    roots = np.sqrt(np.diag(P))
    assert_allclose(weights.roots, roots, rtol=1e-5)
    found, below = packed(*weights), np.tril_indices(9, -1)
    assert found.dtype == np.int16
    assert_allclose(found / 2.0 ** 15, (-P / roots / roots[:, np.newaxis])[below], atol=2.0 ** -16 + 1e-6)
    rounded = weights.rounded()
    assert_allclose(rounded.weights, weights.weights, atol=2.0 ** -16 * roots.max() / roots.min() + 1e-6)
    assert (unpacked(found, weights.roots) == rounded.weights).all() and (packed(*rounded) == found).all()
    for others in (found[1:], np.append(found, found[:1]), found[np.newaxis]):
        with pytest.raises(ValueError, match="weights and 9 roots aren't those of EASE"):
            unpacked(others, weights.roots)
    with pytest.raises(ValueError, match="36 weights and 9 roots aren't those of EASE"):
        unpacked(found, weights.roots * np.append(np.ones(8, np.float32), np.float32(-1)))


def test_a_weight_of_one_has_a_step_less():
    """Two items that all users rate alike: -P_ij / sqrt(P_ii P_jj) is 1 - 1e-9."""
    weights = EaseSystem(sp.csr_matrix(np.ones((5, 2), np.float32))).solve(1e-8)
    assert packed(*weights).tolist() == [2 ** 15 - 1]


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_other_weights_are_those_of_float16(kind):
    rounded = ease.ItemWeights(kind(np.array([[0, 0.1], [-1000 / 3, 0]], "float32"))).rounded().weights
    dense = rounded.toarray() if sp.issparse(rounded) else rounded
    assert dense.dtype == np.float32 and dense.tolist() == [[0, float(np.float16(0.1))], [-333.25, 0]]
    # float16 has numbers up to 65,504, and below 6e-5 with fewer digits; float64 stays.
    for others in ([[0.1, 65520]], [[1e-6, 2e-6]], [[3e30, 1]]):
        others = kind(np.array(others, "float32"))
        assert shortened(others) is others
    others = kind(np.array([[0.1, 3]]))
    assert shortened(others) is others


def test_above_so_many_items_the_most_popular_have_weights():
    train = ratings()
    chosen = np.sort(np.argsort(-np.diff(train.tocsc().indptr), kind="stable")[:4])
    some = EaseSystem(train, n_columns=4).solve(2.0)
    assert isinstance(some, ease.SomeItemWeights) and some.columns.tolist() == chosen.tolist()
    scores, rest = some.scores(train), np.setdiff1d(np.arange(9), chosen)
    assert_allclose(scores[:, chosen], fit_ease(train[:, chosen], 2.0).scores(train[:, chosen]), atol=1e-5)
    assert scores.shape == (14, 9) and scores[:, chosen].any() and not scores[:, rest].any()


# EASE among the nearest items


@pytest.mark.parametrize("k, user_power, item_power, l2", [(3, 0.0, 0.0, 0.5), (12, 0.5, 0.5, 3.0)])
@pytest.mark.parametrize("block", [1, 10, 10 ** 4])
def test_each_column_is_the_best_among_the_nearest(k, user_power, item_power, l2, block, monkeypatch):
    """Items without ratings, and with fewer neighbours; made and solved for in blocks, by several threads."""
    monkeypatch.setattr(ease, "_ITEMS", block)
    monkeypatch.setattr(ease, "_NEIGHBOURS", block)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    X = likings(n_rows=40, n_columns=30).toarray() * np.random.RandomState(0).uniform(0.1, 1, (40, 30))
    X[:, 4], X[1:, 5] = 0, 0
    X[3], X[2, ::3] = 0, -X[2, ::3]
    weights = LocalEaseSystem(sp.csr_matrix(X.astype(np.float32)), k, user_power).solve(l2, item_power).weights
    users, items = ((X != 0).sum(axis=axis) for axis in (1, 0))
    users, decay = ease.relative(users, -user_power), l2 * ease.relative(items, item_power)
    expected = np.transpose([reference.local_ease_column(X, j, users, decay, k) for j in range(30)])
    assert_allclose(weights.toarray(), expected, atol=1e-5)
    assert weights.dtype == np.float32 and weights.getnnz(axis=0).max() == k and not weights[4].nnz


def test_several_decays_at_once_are_those_alone():
    """Whichever is asked for first, or again."""
    system, powers = LocalEaseSystem(likings(), 4, 0.5), (0.5, 0.0)
    alone = {(l2, power): system.solve(l2, power).weights.toarray() for l2 in (1.0, 2.0, 0.5) for power in powers}
    system.prepare([1.0, 2.0, 0.5], 0.5)
    for l2, power in ((2.0, 0.5), (1.0, 0.5), (1.0, 0.0), (0.5, 0.5), (2.0, 0.5)):
        assert (system.solve(l2, power).weights.toarray() == alone[l2, power]).all()
    assert len({found.tobytes() for found in alone.values()}) == 6


def test_a_small_decay_of_local_ease():
    """Equal items: their system is solved in float64; with even less decay that isn't enough either."""
    X = sp.csr_matrix(np.repeat(np.random.RandomState(0).rand(50, 2), [3, 3], axis=1).astype(np.float32) * 100)
    weights = LocalEaseSystem(X, 5).solve(0.01).weights.toarray()
    assert_allclose(weights, EaseSystem(X).solve(0.01).weights, atol=1e-3)
    with pytest.raises(np.linalg.LinAlgError, match="a decay of 1e-300 is too small for these ratings"):
        LocalEaseSystem(X, 5).solve(1e-300)
