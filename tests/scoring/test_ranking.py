"""Lists of the best: their order, their ties, what is left out; and those of a model, to the last bit."""
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.data import check_ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.scoring import scores as scoring
from sparse_ae.scoring.people import explanation
from sparse_ae.scoring.ranking import RecommendationLists, recommendations, top_n
from sparse_ae.scoring.scorer import Scorer, WeightedScorer
from sparse_ae.training.targets import BeyondBiases


def one_row_after_another(scores, n, popularity=None):
    """`top_n` by a loop: all in a stable sort by score, then popularity."""
    best = np.full((len(scores), n), -1)
    for row, of_row in enumerate(scores):
        popular = np.zeros(len(of_row)) if popularity is None else popularity
        order = [k for k in np.lexsort((-popular, -of_row)) if of_row[k] > -np.inf][:n]
        best[row, :len(order)] = order
    return best


@pytest.mark.parametrize("n_candidates", [0, 1, 2, 7, 31, 32, 33, 250])
def test_as_by_a_loop(n_candidates):
    """Of wide rows and narrow ones; with ties, infinities, and both zeros."""
    rng = np.random.RandomState(n_candidates)
    normal = rng.randn(30, n_candidates)
    ties = rng.randint(-2, 3, normal.shape) * np.where(rng.rand(*normal.shape) < 0.5, 0.5, -0.5)
    sparse, huge = normal.copy(), normal * 1e300
    sparse[rng.rand(*normal.shape) < 0.9], sparse[:3], sparse[3, :] = -np.inf, -np.inf, 5
    huge[rng.rand(*normal.shape) < 0.1] = np.inf
    popularity = rng.randint(0, 9, n_candidates)
    for scores in (normal, ties, sparse, huge, np.zeros_like(normal), normal.astype("float32"), ties.astype("float32"),
                   np.asfortranarray(normal), ties[:, ::-1], normal[:0]):
        before = scores.copy()
        for n in (1, 2, 3, 10, max(1, n_candidates), n_candidates + 1):
            for counts in (None, popularity):
                assert np.array_equal(top_n(scores, n, counts), one_row_after_another(scores, n, counts))
            assert np.array_equal(scores, before)


@pytest.mark.parametrize("n_candidates", [2, 40])
def test_refused(n_candidates):
    """Also among the last of 40, which fill no group of 16."""
    with pytest.raises(ValueError, match="scores are NaN"):
        top_n(np.append(np.ones(n_candidates - 1), np.nan)[np.newaxis], 1)


LISTS = RecommendationLists(np.array(["u", "v", "w"]), [
    recommendations(np.array([7, 8, 9]), np.array(best), np.array(scores))
    for best, scores in (([2, 0], [3.5, 2]), ([1, -1], [1, -np.inf]), ([-1, -1], [-np.inf] * 2))])


def test_lists_as_tables():
    pytest.importorskip("pandas")
    assert LISTS.to_frame().to_dict("list") == {"user": ["u", "u", "v"], "item": [9, 7, 8], "score": [3.5, 2, 1]}
    assert LISTS[0].to_frame().to_dict("list") == {"item": [9, 7], "score": [3.5, 2]}
    assert explanation(np.array([7, 9]), np.array([0.5, 1.0]), 4.0).to_frame().to_dict("list") == {
        "item": [9, 7], "part": [1.0, 0.5]}
    nobody = LISTS[:0].to_frame()
    assert list(nobody.columns) == ["user", "item", "score"] and not len(nobody)


def test_no_table_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas, which isn't installed: pip install pandas, or take "
                                          "the arrays, which are attributes"):
        LISTS.to_frame()


# The best of a model: a product of matrices finds what can be among them, outputs of pairs say the order


MANY_USERS, MANY_ITEMS = 40, 90


def many_ratings():
    """User 3 has rated all but five items, users 7 and 8 nothing; items 40 and 41 are alike."""
    rng = np.random.RandomState(3)
    mask = rng.rand(MANY_USERS, MANY_ITEMS) < 0.2
    mask[3, 5:], mask[[7, 8]] = True, False
    mask[0, 40] = mask[1, 41] = False
    mask[:, 41] = mask[:, 40]
    rows, cols = np.nonzero(mask)
    values = 1.0 + (7 * rows + np.where(cols == 41, 40, cols)) % 5
    return check_ratings(sp.coo_matrix((values.astype("float32"), (rows, cols)), mask.shape))


MANY = many_ratings()


def large_scorer(rows, f="identity", dtype="float32", with_biases=True, spread=1.0):
    """Items 40 and 41, 10 and 80 are the same to it; all are nearly so where their rows of W have little `spread`."""
    matrix = MANY if rows == "users" else MANY.T.tocsr()
    rng = np.random.RandomState(4)
    n_rows, n_columns = matrix.shape
    W, V, U = rng.randn(n_columns, 6), rng.randn(6, n_columns), rng.randn(6, n_columns)
    mu, b = rng.randn(6), rng.randn(n_columns)
    biases = [rng.randn(MANY_USERS), rng.randn(MANY_ITEMS)]
    biases[1][[40, 10]] = biases[1][[41, 80]]
    if rows == "users":
        W[[40, 10]], b[[40, 10]] = W[[41, 80]], b[[41, 80]]
    W, b, targets = W[0] + spread * (W - W[0]), b[0] + spread * (b - b[0]), None
    if with_biases:
        own, other = biases if rows == "users" else biases[::-1]
        targets = BeyondBiases(3 + own, other, (0.5, 5))
    model = AutoEncoder(n_columns, 6, (-4, 4) if with_biases else (1, 5), f, "sigmoid", W=W, V=V, mu=mu, b=b,
                        U=U if with_biases else None, dtype=dtype)
    return Scorer(model, matrix, rows, targets)


def blend(weights, **kwargs):
    return WeightedScorer([large_scorer("items", **kwargs), large_scorer("users", **kwargs)], weights)


SCORERS = {"users": lambda dtype: large_scorer("users", dtype=dtype),
           "items": lambda dtype: large_scorer("items", dtype=dtype),
           "plain": lambda dtype: large_scorer("users", dtype=dtype, with_biases=False),
           "sigmoid": lambda dtype: large_scorer("items", "sigmoid", dtype),
           "all alike": lambda dtype: large_scorer("users", dtype=dtype, with_biases=False, spread=0.0),
           "nearly alike": lambda dtype: large_scorer("users", dtype=dtype, with_biases=False, spread=1e-7),
           "both": lambda dtype: blend([0.6, -0.3], dtype=dtype),
           "both, not linear": lambda dtype: blend([0.6, -0.3], f="sigmoid", dtype=dtype),
           "no weight": lambda dtype: blend([0, 0], dtype=dtype)}


def sorted_pairs(scorer, users, n, exclude_seen, candidates):
    """`Scorer.best` from all pairs, by a loop: the lists, and bytes of the outputs of what is on them."""
    found, chosen, counts = np.full((len(users), n), -1), [], np.diff(MANY.tocsc().indptr)
    for k, user in enumerate(users):
        row = scorer.pairs(np.full(len(candidates), user), candidates)
        if exclude_seen:
            row[np.isin(candidates, MANY[user].indices)] = -np.inf
        order = [c for c in np.lexsort((-counts[candidates], -row)) if row[c] > -np.inf][:n]
        found[k, :len(order)] = order
        chosen.append(scorer.clip(row[order]).tobytes())
    return found.tolist(), chosen


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", SCORERS)
def test_the_best_are_those_of_all_pairs_sorted(which, dtype, monkeypatch):
    """To the last bit, all users at once and in parts; some users twice, candidates with gaps."""
    scorer, everybody = SCORERS[which](dtype), np.arange(MANY_USERS)
    gaps = np.delete(np.arange(MANY_ITEMS), [0, 33])
    for together, users, candidates in ((1024, everybody[::-1], gaps), (7, everybody, np.arange(MANY_ITEMS)),
                                        (7, np.array([3, 5, 3, 3, 7]), np.array([40, 41, 80]))):
        monkeypatch.setattr(scoring, "TOGETHER", together)
        for n in {1, 2, 10, 100} if len(candidates) > 3 else {1, 3}:
            for exclude_seen in (False, True):
                arguments = scorer, users, n, exclude_seen, candidates
                best, outputs = scorer.best(*arguments[1:])
                found = [row[:count].tobytes() for row, count in zip(outputs, (best >= 0).sum(axis=1))]
                assert (best.tolist(), found) == sorted_pairs(*arguments)
