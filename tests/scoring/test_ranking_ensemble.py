"""Blends of lists: by loops over users and items, known users beside strangers, and the n best beside full sorting."""
import numpy as np
import pytest
from made import stars
from numpy.testing import assert_allclose

from sparse_ae.baselines.lists import ItemWeights
from sparse_ae.scoring import scores
from sparse_ae.scoring.people import PersonRatings, stacked
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble

# User 3 and item 5 have none.
N_USERS, N_ITEMS = 14, 9
RATINGS = stars(N_USERS, N_ITEMS, without_rows=[3], without_columns=[5])
CANDIDATES = np.setdiff1d(np.arange(N_ITEMS), [5])


class Member:
    """Linear in the ratings, as closed forms are."""

    def __init__(self, seed, size=1.0, level=0.0, ratings=RATINGS):
        self.name, self._ratings, self._level = "member %d" % seed, ratings, level
        self._model = ItemWeights(size * np.random.RandomState(seed).randn(N_ITEMS, N_ITEMS))

    def of_users(self, users):
        return self._model.scores(self._ratings[users]) + self._level

    def of_people(self, people, ratings):
        rows = np.zeros((len(people), N_ITEMS))
        for row, person in zip(rows, people):
            row[person.places] = person.ratings
        return rows.dot(self._model.weights) + self._level


@pytest.fixture(params=[2 ** 22, 30])
def blend(request, monkeypatch):
    """Of a member with scores that are small, and one with scores far from 0, whose weight goes by the number of
    ratings; all users at once, or few."""
    monkeypatch.setattr(scores, "BLOCK", request.param)
    weights = [0.7, [0.3, 1.1, 0.0, 0.0], 0.0]
    return RankingEnsemble([Member(0, 1e-3), Member(1, 50.0, 1e4), Member(2)], weights, RATINGS)


def by_loops(blend, users):
    found = np.zeros((len(users), N_ITEMS))
    for row, u in enumerate(users):
        seen = set(RATINGS[u].indices)
        for member, weight in zip(blend.members, (0.7, 0.3 if len(seen) < 4 else 1.1 if len(seen) < 8 else 0, 0)):
            scores = member.of_users(np.array([u]))[0].astype(float)
            unseen = [scores[i] for i in CANDIDATES if i not in seen]
            mean = sum(unseen) / len(unseen)
            std = np.sqrt(sum((score - mean) ** 2 for score in unseen) / len(unseen))
            for i in CANDIDATES:
                found[row, i] += weight * (scores[i] - mean) / std if std else 0
    return found[:, CANDIDATES]


def test_scores_by_loops(blend):
    users = np.array([5, 3, 0, 13, 9])
    assert_allclose(blend.grid(users), by_loops(blend, users), atol=2e-4)
    assert blend.candidates.tolist() == CANDIDATES.tolist() and [each for each, _ in blend.used()] == blend.members[:2]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_are_the_first_of_all_sorted(blend, exclude_seen):
    users, candidates, counts = np.array([13, 3, 2]), np.array([0, 2, 3, 4, 6, 8]), np.diff(RATINGS.tocsc().indptr)
    best, scores = blend.best(users, 4, exclude_seen, candidates)
    grid = blend.grid(users)[:, np.searchsorted(CANDIDATES, candidates)]
    for row, u in enumerate(users):
        there = [i for i, item in enumerate(candidates) if not (exclude_seen and item in RATINGS[u].indices)]
        expected = sorted(there, key=lambda i: (-grid[row, i], -counts[candidates[i]], i))[:4]
        assert [i for i in best[row] if i >= 0] == expected
        assert_allclose(scores[row, :len(expected)], grid[row, expected], atol=1e-6)


def test_pairs_by_a_grid_and_none(blend):
    users, items = np.array([5, 3, 5, 0, 3, 13]), np.array([0, 8, 7, 2, 8, 0])  # some twice
    grid = blend.grid(np.arange(N_USERS))
    assert_allclose(blend.pairs(users, items), grid[users, np.searchsorted(CANDIDATES, items)], atol=1e-6)
    assert blend.best(users[:0], 4, True, CANDIDATES)[0].shape == (0, 4)
    assert blend.pairs(users[:0], items[:0]).shape == (0,)


def test_threads_make_the_same_lists(blend, monkeypatch):
    found = []
    for n_threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
        found.append(blend.best(np.arange(N_USERS), 4, True, CANDIDATES))
    assert all(one.tobytes() == other.tobytes() for one, other in zip(*found))


def test_what_says_the_same_of_all_adds_nothing():
    alone = RankingEnsemble([Member(0)], [1.0], RATINGS)
    flat = Member(1)
    flat.of_users = lambda users: np.full((len(users), N_ITEMS), 0.1, np.float32)
    both = RankingEnsemble([Member(0), flat], [1.0, 5.0], RATINGS)
    users = np.arange(N_USERS)
    assert (both.grid(users) == alone.grid(users)).all()
    assert np.isfinite(alone.grid(users)).all() and not alone.grid(np.array([3])).any()  # of user 3 nothing is known


def test_a_user_who_has_seen_all_has_scores():
    ratings = stars(4, N_ITEMS, density=2.0)
    blend = RankingEnsemble([Member(0, ratings=ratings)], [1.0], ratings)
    assert np.isfinite(blend.grid(np.arange(4))).all()
    best, _ = blend.best(np.arange(4), 3, True, np.arange(N_ITEMS))
    assert (best == -1).all()


@pytest.mark.parametrize("place", [-1, N_ITEMS, 10 ** 8])
def test_ratings_of_no_known_item_reach_no_product_of_matrices(place):
    with pytest.raises(ValueError, match="entry 1 has the index %d; expected 0 .. 8" % place):
        stacked([PersonRatings(np.array([0, place]), np.array([3.0, 4.0]))], N_ITEMS)
