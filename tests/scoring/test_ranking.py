"""Lists of the best: their order, their ties, what is left out."""
import sys

import numpy as np
import pytest

from sparse_ae.scoring import ranking
from sparse_ae.scoring.ranking import (
    RecommendationLists,
    floors,
    leave_out,
    many_recommendations,
    recommendations,
    top_n,
)


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


def test_highest_first_and_equals_by_place():
    scores = np.array([[1.0, 3, 2, 3, 3, 0], [5, 5, 5, 5, 5, 5]])
    assert top_n(scores, 2).tolist() == [[1, 3], [0, 1]]
    assert top_n(scores, 4).tolist() == [[1, 3, 4, 2], [0, 1, 2, 3]]
    assert scores[0].tolist() == [1, 3, 2, 3, 3, 0]


def test_equals_to_what_a_full_sort_finds():
    rng = np.random.RandomState(0)
    scores = rng.randint(0, 12, (50, 40)).astype("float32")
    scores[rng.rand(50, 40) < 0.2] = -np.inf
    for n in (1, 5, 40, 60):
        for row, best in zip(scores, top_n(scores, n)):
            expected = sorted((k for k in range(40) if row[k] > -np.inf), key=lambda k: (-row[k], k))[:n]
            assert best.tolist() == expected + [-1] * (n - len(expected))


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


def test_floors_are_low_enough_and_hardly_too_low():
    scores = np.random.RandomState(0).randn(200, 1000)
    for n in (1, 10, 100, 400, 1000):
        reached = (scores >= floors(scores, n)[:, np.newaxis]).sum(axis=1)
        assert reached.min() >= n and (reached.mean() < 1.4 * n or n == 1000)


def test_nothing_to_choose_from():
    assert top_n(np.zeros((2, 0)), 3).tolist() == [[-1] * 3] * 2
    assert top_n(np.full((1, 4), -np.inf), 2).tolist() == [[-1, -1]]
    assert top_n(np.zeros((0, 4)), 2).shape == (0, 2)


def test_left_out():
    scores = np.zeros((2, 3))
    leave_out(scores, np.array([2, 5, 9]), np.array([0, 0, 1, 1]), np.array([5, 7, 2, 99]))
    assert scores.tolist() == [[0, -np.inf, 0], [-np.inf, 0, 0]]
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


LISTS = RecommendationLists(np.array(["u", "v", "w"]), many_recommendations(
    np.array([7, 8, 9]), np.array([[2, 0], [1, -1], [-1, -1]]), np.array([[3.5, 2], [1, -np.inf], [-np.inf] * 2])))


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
