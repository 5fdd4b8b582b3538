"""Lists of the best: their order, their ties, what is left out."""
import numpy as np
import pytest

from sparse_ae.ranking import leave_out, recommendations, top_n


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


def test_nothing_to_choose_from():
    assert top_n(np.zeros((2, 0)), 3).tolist() == [[-1] * 3] * 2
    assert top_n(np.full((1, 4), -np.inf), 2).tolist() == [[-1, -1]]
    assert top_n(np.zeros((0, 4)), 2).shape == (0, 2)


def test_left_out():
    scores = np.zeros((2, 3))
    leave_out(scores, np.array([2, 5, 9]), np.array([0, 0, 1, 1]), np.array([5, 7, 2, 99]))
    assert scores.tolist() == [[0, -np.inf, 0], [-np.inf, 0, 0]]
    leave_out(np.zeros((1, 0)), np.zeros(0, int), np.array([0]), np.array([3]))


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
