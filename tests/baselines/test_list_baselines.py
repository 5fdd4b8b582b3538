"""What a model of lists has to beat: each against its definition."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from made import cold_stars as ratings, likings
from numpy.testing import assert_allclose, assert_array_equal

from sparse_ae import as_ratings
from sparse_ae.baselines import ease, factors
from sparse_ae.baselines.ease import EaseSystem, LocalEaseSystem
from sparse_ae.baselines.factorization import fit_factors
from sparse_ae.baselines.factors import FactorSystem, FilterSystem, factor_solver
from sparse_ae.baselines.lists import fit_ease, fit_neighbours, fit_popular
from sparse_ae.evaluation.rankings import evaluate_lists

FITS = {
    "popular": fit_popular, "neighbours": fit_neighbours, "ease": fit_ease,
    "some items' ease": lambda train: EaseSystem(train, n_columns=4).solve(2.0),
    "factors": lambda train: FactorSystem(train, 3).solve(2.0),
    "low-pass filter": lambda train: FilterSystem(train).solve(3),
    "local ease": lambda train: LocalEaseSystem(train, 3).solve(2.0),
}


def test_popular_by_hand():
    train = sp.csr_matrix(([5.0, 0.0, 1.0, 1.0], ([0, 1, 0, 1], [0, 0, 2, 0 + 3])), shape=(2, 5))
    scores = fit_popular(train).scores(train)
    assert scores.tolist() == [[2, 0, 1, 1, 0]] * 2  # a stored 0 is a rating
    assert fit_popular(as_ratings(train)).scores(as_ratings(train)).tolist() == scores.tolist()


@pytest.mark.parametrize("k, shrinkage, low, tile", [(1, 0, 1, 256), (3, 10.0, 1, 4), (3, 3.0, -4, 256),
                                                     (20, 10.0, 1, 1)])
def test_neighbours_by_loops(k, shrinkage, low, tile, monkeypatch):
    monkeypatch.setattr(ease, "TILE", tile)
    train, strangers = ratings(low=low), ratings(1, (4, 9)).toarray()
    expected = reference.neighbour_scores(train.toarray().astype(float), strangers, k, shrinkage)
    model = fit_neighbours(train, k, shrinkage)
    assert_allclose(model.scores(sp.csr_matrix(strangers)), expected, atol=1e-12)
    assert model.weights.getnnz(axis=0).max() <= k and np.abs(expected).max() > 1


def test_of_equal_neighbours_the_first():
    train = sp.csr_matrix(np.array([[1.0, 1, 1, 1], [2, 2, 2, 2]]))  # all are alike
    assert fit_neighbours(train, k=1, shrinkage=0).weights.nonzero()[0].tolist() == [0, 0, 0, 1]  # of 1, 2, 3; of 0
    assert_allclose(fit_neighbours(train, k=1, shrinkage=5).weights.toarray()[0, 1:], 5 / (5 + 5))


@pytest.mark.parametrize("missing_weight", [0, 0.3, 1])
@pytest.mark.parametrize("k", [3, 16])
def test_each_half_of_a_sweep_is_at_the_bottom(k, missing_weight):
    """By systems of k factors, and of the ratings of a row, which are fewer."""
    train = ratings().astype(np.float64)
    rows, by_items = reference.pairs(train), train.T.tocsr()
    settings = missing_weight, 0.7
    rng = np.random.RandomState(0)
    W, H = rng.randn(14, k), rng.randn(9, k)
    losses = [reference.all_entries(rows, W, H, *settings)[0]]
    for _ in range(3):
        W = factor_solver(H, *settings)(train)
        loss, dW, dH = reference.all_entries(rows, W, H, *settings)
        losses.append(loss)
        assert np.abs(dW).max() < 1e-9 < 1e-3 < np.abs(dH).max()
        H = factor_solver(W, *settings)(by_items)
        loss, dW, dH = reference.all_entries(rows, W, H, *settings)
        losses.append(loss)
        assert np.abs(dH).max() < 1e-9 < 1e-3 < np.abs(dW).max()
    assert np.all(np.diff(losses) < 0)


@pytest.mark.parametrize("k", [5, 40])
def test_a_row_has_the_same_factors_whatever_others_there_are(k, monkeypatch):
    """To the last bit: alone, in another order, by several threads; of no rating, of a few and of many."""
    rng = np.random.RandomState(0)
    counts = np.concatenate([np.arange(0, 40, 3), [63, 64, 65, 200, 300, 300, 301]])
    places = [np.sort(rng.permutation(300)[:n]) for n in counts]
    indptr = np.cumsum(np.append(0, [len(each) for each in places]))
    data = rng.randint(1, 6, indptr[-1]).astype(np.float32)
    train, H = sp.csr_matrix((data, np.concatenate(places), indptr), (len(counts), 300)), rng.randn(300, k)
    H, settings = H.astype(np.float32), (0.2, 0.7)
    together = factor_solver(H, *settings)(train)
    for row, (x, found) in enumerate(zip(train.toarray().astype(float), together)):
        v = np.where(x != 0, 1, 0.2)[:, np.newaxis]
        expected = np.linalg.solve((v * H).T.dot(H) + 0.7 * np.eye(k), H.T.dot(x))
        assert_allclose(found, expected, atol=1e-4)
        assert (factor_solver(H, *settings)(train[row]) == found).all()
    with pytest.raises(np.linalg.LinAlgError, match="isn't positive definite in floating point"):
        factor_solver(np.ones_like(H), 0.2, 1e-9)(train[:3])
    order = rng.permutation(len(counts))
    for n_threads, rows, entries in (("1", 1, 1), ("3", 3, 200)):
        monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
        monkeypatch.setattr(factors, "_ROWS", rows)
        monkeypatch.setattr(factors, "_ENTRIES", entries)
        assert (factor_solver(H, *settings)(train[order]) == together[order]).all()


@pytest.mark.parametrize("name", FITS)
def test_common_to_all(name):
    fit, train = FITS[name], ratings()
    before = train.copy()
    model = fit(train)
    scores = model.scores(train)
    assert scores.shape == (14, 9) and scores.dtype.kind == "f" and np.isfinite(scores).all()
    nobody = model.scores(sp.csr_matrix((2, 9)))  # new users without a rating
    assert nobody.shape == (2, 9) and np.isfinite(nobody).all()
    assert_allclose(model.scores(train[[4, 2]].tocoo()), scores[[4, 2]], atol=1e-5)
    assert_array_equal(train.data, before.data)
    assert_array_equal(train.indices, before.indices)
    measures = evaluate_lists(lambda users: model.scores(train[users]), train, ratings(1), k=3)
    assert 0 < measures["hit_rate"] <= 1
    if fit in (fit_popular, fit_neighbours, fit_ease):  # the others are given what is checked
        with pytest.raises(TypeError, match="ratings are ndarray, in which"):
            fit(train.toarray())
    with pytest.raises(TypeError, match=r"ratings are ndarray; expected a SciPy sparse matrix, .* train\[users\]"):
        model.scores(train.toarray())
    with pytest.raises(ValueError, match="ratings are 9 x 14; expected a column for each of the 9 items"):
        model.scores(train.T)


@pytest.mark.parametrize("call, message", [
    (lambda train: fit_ease(train, 0), "l2 is 0; expected a positive number"),
    (lambda train: fit_neighbours(train, shrinkage=-1), "shrinkage is -1; expected a finite number, 0 or more"),
    (lambda train: fit_neighbours(train, 0), "k is 0; expected a positive integer"),
    (lambda train: fit_factors(train, l2=-1), "l2 is -1; expected a finite number, 0 or more"),
    (lambda train: fit_factors(train, learning_rate=0), "learning_rate is 0; expected a positive number"),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(ratings())


# Factors of all entries from singular vectors


@pytest.mark.parametrize("dense", [400, 0])
def test_two_sweeps_are_near_the_bottom(dense, monkeypatch):
    """As drawn factors are after many, and nearer than drawn ones are after two."""
    monkeypatch.setattr(factors, "_DENSE", dense)
    train, settings = likings(n_rows=40, n_columns=25), (0.1, 3.0)
    X, rows = train.astype(np.float64), reference.pairs(train)

    def loss(H):
        return reference.all_entries(rows, factor_solver(H, *settings)(X), H, *settings)[0]

    found, drawn, H = FactorSystem(train, 4, 0.1).solve(3.0), {}, 0.05 * np.random.RandomState(0).randn(25, 4)
    for n in range(1, 101):
        W = factor_solver(H, *settings)(X)
        H = factor_solver(W, *settings)(X.T.tocsr())
        if n in (2, 100):
            drawn[n] = loss(H)
    assert found.H.shape == (25, 4) and found.H.dtype == np.float32 and found[1:] == settings
    assert drawn[100] * (1 - 1e-6) < loss(found.H.astype(np.float64)) < min(1.02 * drawn[100], drawn[2])


# Low-pass filters, against NumPy's singular vectors


@pytest.mark.parametrize("dense", [400, 0])
@pytest.mark.parametrize("k", [1, 3])
def test_by_the_dense_matrix(k, dense, monkeypatch):
    """All singular vectors at once, or the first ones by ARPACK."""
    monkeypatch.setattr(factors, "_DENSE", dense)
    train, strangers = ratings(), ratings(1, (5, 9))
    X = train.toarray().astype(float)
    of_users, roots = np.maximum((X > 0).sum(axis=1), 1), np.sqrt((X > 0).sum(axis=0))
    inverse = np.where(roots, 1 / np.maximum(roots, 1), 0)
    V = np.linalg.svd(X / np.sqrt(of_users)[:, np.newaxis] * inverse)[2][:k]
    expected = strangers.toarray().dot(np.diag(inverse)).dot(V.T).dot(V).dot(np.diag(roots))
    system = FilterSystem(train)
    assert system.most == 7 and system.solve(100).vectors.shape == (7, 9)  # 8 items have ratings: all would pass
    scores = system.solve(k).scores(strangers)
    assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float32 and np.abs(scores).max() > 1 and not scores[:, 5].any()
