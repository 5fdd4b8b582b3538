"""Made-up ratings: as many as asked for, about what they are said to be about."""
import numpy as np
import pytest

from sparse_ae.data.synthetic import made_up_ratings, rating_chunks, tastes


def test_the_right_answer_is_as_good_as_the_noise():
    ratings, taste = made_up_ratings(400, 300, 30000, noise=0.3, rating_scale=(-10, 10), rng=1)
    coo = ratings.matrix.tocoo()
    errors = coo.data - taste(coo.row, coo.col)
    assert np.sqrt(np.mean(errors ** 2)) == pytest.approx(0.3, abs=0.01) and abs(errors.mean()) < 0.01
    assert coo.data.min() >= -10 and coo.data.max() <= 10 and coo.data.std() > 2.5
    exact, taste = made_up_ratings(40, 30, 600, noise=0, rng=1)
    coo = exact.matrix.tocoo()
    assert coo.data == pytest.approx(taste(coo.row, coo.col), abs=1e-6)


def test_tastes_by_hand():
    taste = tastes(3, 4, n_factors=2, rating_scale=(0, 8), rng=0)
    user, item = taste.users[1], taste.items[2]
    assert taste(np.array([1]), np.array([2]))[0] == np.clip(4 + sum(user[k] * item[k] for k in range(4)), 0, 8)
    everything = tastes(300, 200, rating_scale=(1, 5), rng=0)
    raw = everything.users.dot(everything.items.T)
    assert raw.std() == pytest.approx(0.5 * np.sqrt(0.4 ** 2 + 0.6 ** 2 + 1), rel=0.1) and abs(raw.mean()) < 0.1


@pytest.mark.parametrize("n_users, n_items, n_ratings",
                         [(50, 40, 1000), (7, 5, 17), (3, 1, 1), (1, 7, 3), (200, 30, 13)])
def test_counts_are_exact_and_no_pair_comes_twice(n_users, n_items, n_ratings):
    ratings, _ = made_up_ratings(n_users, n_items, n_ratings)
    assert ratings.matrix.nnz == n_ratings and ratings.matrix.shape == (n_users, n_items)
    assert ratings.users.tolist() == list(range(n_users)) and ratings.items.tolist() == list(range(n_items))


def test_chunks():
    taste = tastes(60, 50)
    chunks = list(rating_chunks(taste, 1000, chunk_size=100))
    assert len(chunks) > 5 and sum(len(chunk[2]) for chunk in chunks) == 1000
    for before, after in zip(chunks, chunks[1:]):
        assert before[0].max() < after[0].min()
    users, items, values = map(np.concatenate, zip(*chunks))
    assert len(np.unique(users * 50 + items)) == 1000 and values.dtype == np.float32
    counts = np.bincount(items)
    assert np.sort(counts)[-5:].sum() > 3 * np.sort(counts)[:5].sum()  # some items are more popular than others


def test_steps():
    ratings, _ = made_up_ratings(50, 40, 900, step=0.5, rating_scale=(0.5, 5))
    assert set(np.unique(ratings.matrix.data * 2)) <= set(range(1, 11)) and len(np.unique(ratings.matrix.data)) > 5


def test_same_seed_same_bytes():
    made = [made_up_ratings(50, 40, 900, rng=rng)[0].matrix for rng in (3, 3, np.random.RandomState(3), 4)]
    assert made[0].data.tobytes() == made[1].data.tobytes() == made[2].data.tobytes() != made[3].data.tobytes()


@pytest.mark.parametrize("settings, error, message", [
    (dict(n_users=0), ValueError, "n_users is 0; expected a positive integer"),
    (dict(n_factors=1.5), ValueError, "n_factors is 1.5"),
    (dict(rating_scale=(5, 1)), ValueError, r"rating_scale is \(5, 1\); expected two finite numbers, the lower first"),
    (dict(n_ratings=10 ** 6), ValueError, "n_ratings is 1000000; expected at most 250000"),
    (dict(noise=-1), ValueError, "noise is -1; expected a finite number, 0 or more"),
    (dict(step=0), ValueError, "step is 0; expected a positive number, or None"),
    (dict(rng="x"), TypeError, "rng is 'x'"),
])
def test_refused(settings, error, message):
    with pytest.raises(error, match=message):
        made_up_ratings(**settings)
