"""Lists of the best: their order, their ties, what is left out; and from a shortlist the same, to the last bit."""
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.data import check_ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.scoring import ranking, scorer as scoring, shortlist
from sparse_ae.scoring.ranking import RecommendationLists, leave_out, recommendations, top_n
from sparse_ae.scoring.scorer import Blend, Scorer
from sparse_ae.scoring.shortlist import Shortlist
from sparse_ae.training.targets import BeyondBiases


def one_row_after_another(scores, n):
    """`top_n` by a loop: what is as high as the n-th, then a stable sort."""
    best = np.full((len(scores), n), -1)
    for row, negative in enumerate(-scores):
        candidates = np.flatnonzero(negative < np.inf)
        if len(candidates) > n:
            candidates = candidates[negative[candidates] <= np.partition(negative[candidates], n - 1)[n - 1]]
        order = candidates[np.argsort(negative[candidates], kind="stable")][:n]
        best[row, :len(order)] = order
    return best


@pytest.mark.parametrize("part", [1, 500, 2 ** 20])
@pytest.mark.parametrize("n_candidates", [1, 2, 7, 31, 32, 33, 250])
def test_as_by_a_loop(n_candidates, part, monkeypatch):
    """Of wide rows and narrow ones, in parts of one row or several; with ties, infinities, and both zeros."""
    monkeypatch.setattr(ranking, "_PART", part)
    rng = np.random.RandomState(n_candidates)
    normal = rng.randn(30, n_candidates)
    ties = rng.randint(-2, 3, normal.shape) * np.where(rng.rand(*normal.shape) < 0.5, 0.5, -0.5)
    sparse, huge = normal.copy(), normal * 1e300
    sparse[rng.rand(*normal.shape) < 0.9], sparse[:3], sparse[3, :] = -np.inf, -np.inf, 5
    huge[rng.rand(*normal.shape) < 0.1] = np.inf
    for scores in (normal, ties, sparse, huge, np.zeros_like(normal), normal.astype("float32"), ties.astype("float32"),
                   np.asfortranarray(normal), ties[:, ::-1], rng.randint(0, 9, normal.shape)):
        before = scores.copy()
        for n in (1, 2, 3, 10, n_candidates, n_candidates + 1):
            assert np.array_equal(top_n(scores, n), one_row_after_another(scores, n))
            assert np.array_equal(scores, before)


def test_nothing_to_choose_from():
    assert top_n(np.zeros((2, 0)), 3).tolist() == [[-1] * 3] * 2
    assert top_n(np.full((1, 4), -np.inf), 2).tolist() == [[-1, -1]]
    assert top_n(np.zeros((0, 4)), 2).shape == (0, 2)
    leave_out(np.zeros((1, 0)), np.zeros(0, int), np.array([0]), np.array([3]))


def test_left_out_of_many_items_few_or_many():
    rng = np.random.RandomState(0)
    candidates = np.flatnonzero(rng.rand(500) < 0.4)
    for n in (0, 1, 5, 5000):
        rows, items = rng.randint(0, 6, n), rng.randint(0, 600, n)
        scores, expected = np.zeros((6, len(candidates))), np.zeros((6, len(candidates)))
        leave_out(scores, candidates, rows, items)
        for row, item in zip(rows, items):
            expected[row, candidates == item] = -np.inf
        assert np.array_equal(scores, expected)


def test_in_ids():
    found = recommendations(np.array(["a", "b", "c"]), np.array([2, 0, -1]), np.array([4.0, 3.0, 9.0]))
    assert found.items.tolist() == ["c", "a"] and found.scores.tolist() == [4, 3]


@pytest.mark.parametrize("scores, n, message", [
    ([[1.0, np.nan]], 1, "1 scores are NaN"),
    ([[1.0]], 0, "n is 0; expected a positive integer"),
    ([[1.0]], 2.0, "n is 2.0; expected a positive integer"),
    ([[1.0]], True, "n is True; expected a positive integer"),
])
def test_refused(scores, n, message):
    with pytest.raises(ValueError, match=message):
        top_n(scores, n)


LISTS = RecommendationLists(np.array(["u", "v", "w"]), [
    recommendations(np.array([7, 8, 9]), np.array(best), np.array(scores))
    for best, scores in (([2, 0], [3.5, 2]), ([1, -1], [1, -np.inf]), ([-1, -1], [-np.inf] * 2))])


def test_lists_of_many_are_a_sequence_with_columns():
    assert len(LISTS) == 3 and [each.items.tolist() for each in LISTS] == [[9, 7], [8], []]
    assert LISTS[0].scores.tolist() == [3.5, 2] and LISTS[-1].items.tolist() == []
    assert [each.tolist() for each in LISTS.items] == [[9, 7], [8], []]
    assert [each.tolist() for each in LISTS.scores] == [[3.5, 2], [1], []]
    rest = LISTS[1:]
    assert rest.users.tolist() == ["v", "w"] and [each.tolist() for each in rest.items] == [[8], []]
    assert "'u', 'v', 'w'" in repr(LISTS) and "[9, 7]" in repr(LISTS)
    with pytest.raises(IndexError):
        LISTS[3]


def test_lists_as_tables():
    pytest.importorskip("pandas")
    assert LISTS.to_frame().to_dict("list") == {"user": ["u", "u", "v"], "item": [9, 7, 8], "score": [3.5, 2, 1]}
    assert LISTS[0].to_frame().to_dict("list") == {"item": [9, 7], "score": [3.5, 2]}
    nobody = LISTS[:0].to_frame()
    assert list(nobody.columns) == ["user", "item", "score"] and not len(nobody)


def test_no_table_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas, which isn't installed: pip install pandas, or take "
                                          "the arrays users and items and scores"):
        LISTS.to_frame()


# Lists from a shortlist


SCALE = 1.0, 5.0
MANY_USERS, MANY_ITEMS = 40, 90


def many_ratings():
    """User 3 has rated all but five items, users 7 and 8 nothing."""
    rng = np.random.RandomState(3)
    mask = rng.rand(MANY_USERS, MANY_ITEMS) < 0.2
    mask[3, 5:], mask[[7, 8]] = True, False
    mask[0, 40] = mask[1, 41] = False
    mask[:, 41] = mask[:, 40]  # items alike
    rows, cols = np.nonzero(mask)
    values = 1.0 + (7 * rows + np.where(cols == 41, 40, cols)) % 5
    return check_ratings(sp.coo_matrix((values.astype("float32"), (rows, cols)), mask.shape))


MANY = many_ratings()


def large_scorer(rows, f="identity", dtype="float32", with_biases=True, factor=1.0, ties=True):
    """Items 40 and 41, 10 and 80 are the same to it, if it has ties; `factor` is what W is multiplied with."""
    matrix = MANY if rows == "users" else MANY.T.tocsr()
    rng = np.random.RandomState(4)
    n_rows, n_columns = matrix.shape
    W, V, U = rng.randn(n_columns, 6), rng.randn(6, n_columns), rng.randn(6, n_columns)
    mu, b = rng.randn(6), rng.randn(n_columns)
    biases = [rng.randn(MANY_USERS), rng.randn(MANY_ITEMS)]
    if ties:
        biases[1][[40, 10]] = biases[1][[41, 80]]
        if rows == "users":
            W[[40, 10]], b[[40, 10]] = W[[41, 80]], b[[41, 80]]
    targets = None
    if with_biases:
        own, other = biases if rows == "users" else biases[::-1]
        targets = BeyondBiases(3 + own, other, (0.5, 5))
    model = AutoEncoder(n_columns, 6, (-4, 4) if with_biases else SCALE, f, "sigmoid", W=factor * W, V=V, mu=mu,
                        b=factor * b, U=U if with_biases else None, dtype=dtype)
    return Scorer(model, matrix, rows, targets)


def all_outputs_sorted(scorer, users, n, exclude_seen, candidates):
    """`Scorer.best` from the grid, by a loop: bytes of the lists and of the outputs of what is on them."""
    found, chosen = np.full((len(users), n), -1), []
    grid = scorer.grid(users, candidates)
    if exclude_seen:
        for k, user in enumerate(users):
            grid[k, np.isin(candidates, MANY[user].indices)] = -np.inf
    for k, row in enumerate(grid):
        order = [c for c in np.argsort(-row, kind="stable") if row[c] > -np.inf][:n]
        found[k, :len(order)] = order
        chosen.append(scorer.clip(row[order]).tobytes())
    return found.tolist(), chosen


def lists_of(scorer, users, n, exclude_seen, candidates):
    best, outputs = scorer.best(users, n, exclude_seen, candidates)
    return best.tolist(), [row[:count].tobytes() for row, count in zip(outputs, (best >= 0).sum(axis=1))]


@pytest.fixture
def from_one_user_on(monkeypatch):
    """Every list from a shortlist; returns whether each block's estimates said enough."""
    said, best = [], Shortlist.best
    monkeypatch.setattr(scoring, "USERS", 1)
    monkeypatch.setattr(shortlist, "_SHARE", 1)

    def recording(*args):
        found = best(*args)
        said.append(found is not None)
        return found

    monkeypatch.setattr(Shortlist, "best", recording)
    return said


SCORERS = {
    "users": lambda **kwargs: large_scorer("users", **kwargs),
    "items": lambda **kwargs: large_scorer("items", **kwargs),
    "plain users": lambda **kwargs: large_scorer("users", with_biases=False, **kwargs),
    "plain items": lambda **kwargs: large_scorer("items", with_biases=False, **kwargs),
    "both": lambda **kwargs: Blend([large_scorer("items", **kwargs), large_scorer("users", **kwargs)], [0.6, -0.3]),
    "one of two": lambda **kwargs: Blend([large_scorer("items", **kwargs), large_scorer("users", **kwargs)], [0, 0.9])}


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", sorted(SCORERS))
def test_a_shortlist_changes_no_bit(which, dtype, from_one_user_on, monkeypatch):
    scorer = SCORERS[which](dtype=dtype)
    everybody, gaps = np.arange(MANY_USERS), np.delete(np.arange(MANY_ITEMS), [0, 33])
    cases = [(everybody, np.arange(MANY_ITEMS)), (everybody[::-1], gaps), (np.array([3, 5, 3, 3, 7]), gaps[20:50]),
             (everybody[:2], np.array([11])), (everybody[:4], np.array([40, 41, 80]))]
    for together in (1024, 7):  # all at once, and in parts of users
        monkeypatch.setattr(scoring, "_TOGETHER", together)
        for users, candidates in cases:
            for n in (1, 2, 10, 100):
                n = min(n, len(candidates))
                for exclude_seen in (False, True):
                    arguments = scorer, users, n, exclude_seen, candidates
                    assert lists_of(*arguments) == all_outputs_sorted(*arguments)
    assert len(from_one_user_on) > 100 and all(from_one_user_on)


@pytest.mark.parametrize("which", sorted(SCORERS))
@pytest.mark.parametrize("factor, enough", [(1e-44, True), (1e-38, True), (1e-30, True), (1e-6, True), (1e6, True),
                                            (1e30, True), (5e36, False)])
def test_tiny_and_huge_numbers_change_no_bit(which, factor, enough, from_one_user_on):
    scorer, items = SCORERS[which](factor=factor), np.arange(MANY_ITEMS)
    with np.errstate(all="ignore"):
        for n in (1, 5):
            arguments = scorer, np.arange(MANY_USERS), n, True, items
            assert np.isfinite(scorer.grid(np.arange(MANY_USERS), items)).all()
            assert lists_of(*arguments) == all_outputs_sorted(*arguments)
    assert set(from_one_user_on) == {enough}


def test_what_has_no_bound_or_no_use_is_computed_as_ever():
    """Another f, long lists, estimates that say too little, no weight, NaN."""
    users, items = np.arange(MANY_USERS), np.arange(MANY_ITEMS)
    linear, sigmoid = large_scorer("users"), large_scorer("users", f="sigmoid")
    flat = large_scorer("users", factor=0.0, with_biases=False)  # all alike
    assert Shortlist(flat, items).best(users, 1) is Shortlist(linear, items).best(users, 50) is None
    for scorer in (sigmoid, flat, Blend([linear], [0])):
        assert lists_of(scorer, users, 3, True, items) == all_outputs_sorted(scorer, users, 3, True, items)
    W = linear.model.W.get_value()
    W[50, 2] = np.nan
    linear.model.W.set_value(W)
    with pytest.raises(ValueError, match="scores are NaN"):
        linear.best(users, 3, True, items)
