"""Folds, splits and mini-batches: exact counts, disjoint, the union the input, nothing of the input changed."""
import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars
from matrices import assert_canonical, assert_same, broken, entries, small
from numpy.testing import assert_array_equal

from sparse_ae.data import Ratings, minibatches, ratings_from_triples, refuse_stored_zeros, split_ratings
from sparse_ae.data.splits import k_folds, leave_k_out, split_by_time


@pytest.fixture
def ratings():
    """60 ratings of 20 users and 9 items, zeros among them; user 3 has one, user 19 none; several share a time."""
    rng = np.random.RandomState(0)
    cells = rng.permutation(18 * 9)[:59]
    users, items = np.append(cells // 9 + (cells // 9 >= 3), 3), np.append(cells % 9, 4)
    values = rng.randint(0, 4, 60)
    made = ratings_from_triples(users, items, values, rng.randint(0, 30, 60))
    matrix = sp.csr_matrix((made.matrix.data, made.items[made.matrix.indices],
                            np.append(made.matrix.indptr, [60] * (20 - len(made.users)))), shape=(20, 9))
    assert (matrix.data == 0).any()
    return Ratings(matrix, np.arange(20), np.arange(9), made.timestamps)


def triples(matrix):
    coo = matrix.tocoo()
    return set(zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist()))


def check(split, ratings):
    """Disjoint, and the union is the input; cold users and items by a loop."""
    train, test = triples(split.train), triples(split.test)
    assert not train & test and train | test == triples(ratings.matrix)
    assert len(train) == split.train.nnz and len(test) == split.test.nnz
    assert split.train.shape == split.test.shape == ratings.matrix.shape
    assert split.train.dtype == split.test.dtype == np.float32
    for cold, axis in ((split.cold_users, 0), (split.cold_items, 1)):
        assert cold.tolist() == sorted({e[axis] for e in test} - {e[axis] for e in train})


def bytes_of(splits):
    return [getattr(part, name).tobytes() for split in splits for part in split[:2]
            for name in ("data", "indices", "indptr")]


def test_each_rating_is_in_one_fold(ratings):
    before = bytes_of([(ratings.matrix, ratings.matrix)])
    folds = k_folds(ratings, 7, rng=3)
    for fold in folds:
        check(fold, ratings)
    assert sorted(fold.test.nnz for fold in folds) == [8] * 3 + [9] * 4
    assert set.union(*(triples(fold.test) for fold in folds)) == triples(ratings.matrix)
    assert bytes_of([(ratings.matrix, ratings.matrix)]) == before


def test_as_many_folds_as_ratings(ratings):
    assert [fold.test.nnz for fold in k_folds(ratings, 60)] == [1] * 60


def test_k_are_left_out_per_user(ratings):
    counts = np.diff(ratings.matrix.indptr)
    for k in (1, 3):
        for split in (leave_k_out(ratings, k, rng=1), leave_k_out(ratings, k, newest=True)):
            check(split, ratings)
            assert np.diff(split.test.indptr).tolist() == [k if n > k else 0 for n in counts]


def test_the_newest_are_left_out(ratings):
    test = leave_k_out(ratings, 2, newest=True).test
    matrix = ratings.matrix
    for user in range(20):
        start, stop = matrix.indptr[user:user + 2]
        by_age = sorted(range(start, stop), key=lambda entry: (ratings.timestamps[entry], matrix.indices[entry]))
        expected = {matrix.indices[entry] for entry in by_age[-2:]} if stop - start > 2 else set()
        assert set(test[user].indices) == expected


def test_the_chosen_are_anybody(ratings):
    """Over seeds, each of a user's ratings is left out sometimes: no place in the row is favoured."""
    user = int(np.argmax(np.diff(ratings.matrix.indptr)))
    seen = {int(leave_k_out(ratings, rng=seed).test[user].indices[0]) for seed in range(60)}
    assert seen == set(ratings.matrix[user].indices.tolist())


def test_train_on_the_past(ratings):
    split = split_by_time(ratings, 0.3)
    check(split, ratings)
    assert split.test.nnz == 18
    at = dict(zip(zip(*ratings.matrix.nonzero()), ratings.timestamps[ratings.matrix.data != 0]))
    times = [[at[pair] for pair in zip(*part.nonzero())] for part in split[:2]]
    assert max(times[0]) <= min(times[1])


def test_times_may_be_dates(ratings):
    dated = ratings._replace(timestamps=ratings.timestamps.astype("datetime64[s]"))
    assert bytes_of([split_by_time(dated, 0.3)]) == bytes_of([split_by_time(ratings, 0.3)])
    assert bytes_of([leave_k_out(dated, newest=True)]) == bytes_of([leave_k_out(ratings, newest=True)])


@pytest.mark.parametrize("cut", [lambda r, rng: k_folds(r, 4, rng), lambda r, rng: [leave_k_out(r, 2, rng)]])
def test_same_seed_same_bytes(ratings, cut):
    assert bytes_of(cut(ratings, 5)) == bytes_of(cut(ratings, np.random.RandomState(5))) != bytes_of(cut(ratings, 6))
    assert bytes_of(cut(ratings.matrix, 5)) == bytes_of(cut(ratings, 5))


@pytest.mark.parametrize("cut, message", [
    (lambda r: k_folds(r, 1), "n_folds is 1; expected a whole number from 2 to the number of ratings, 60"),
    (lambda r: k_folds(r, 61), "n_folds is 61; expected a whole number from 2"),
    (lambda r: k_folds(r, 2.5), "n_folds is 2.5; expected"),
    (lambda r: leave_k_out(r, 0), "k is 0; expected a positive integer"),
    (lambda r: leave_k_out(r, 9), "no user has more than k=9 ratings, .* lower k"),
    (lambda r: leave_k_out(r.matrix, newest=True),
     "newest=True needs timestamps, and these ratings have none; expected numbers or ISO"),
    (lambda r: split_by_time(r._replace(timestamps=None)), "split_by_time needs timestamps"),
    (lambda r: split_by_time(r._replace(timestamps=np.full(60, np.nan))), "entry 0: the timestamp is nan"),
    (lambda r: split_by_time(r._replace(timestamps=np.full(60, "NaT", "M8[s]"))), "entry 0: the timestamp is NaT"),
    (lambda r: split_by_time(r._replace(timestamps=r.timestamps[:5])),
     "the 5 timestamps may not have the order of the 60"),
    (lambda r: split_by_time(r._replace(matrix=r.matrix.astype("float64"))), "may not have the order"),
    (lambda r: split_by_time(r, 1.0), "test_fraction is 1.0; expected a number between 0 and 1"),
    (lambda r: split_by_time(r, 0.001), "test_fraction=0.001 puts 0 of 60 ratings into the test set"),
])
def test_refused(ratings, cut, message):
    with pytest.raises(ValueError, match=message):
        cut(ratings)


def test_times_that_are_none(ratings):
    with pytest.raises(TypeError, match="entry 0: the timestamp is None; expected numbers or datetime64: convert"):
        split_by_time(ratings._replace(timestamps=[None] * 60))
    with pytest.raises(TypeError, match="entry 59: the timestamp is None; expected numbers or datetime64"):
        leave_k_out(ratings._replace(timestamps=list(ratings.timestamps[:-1]) + [None]), newest=True)


# A part of all ratings

@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.97])
def test_split_cuts_the_stored_entries(fraction):
    matrix = many_stars()
    before = matrix.copy()
    split = split_ratings(matrix, fraction, rng=1)
    train, test, whole = entries(split.train), entries(split.test), entries(matrix)
    assert len(test) == split.test.nnz == round(fraction * matrix.nnz)
    assert not set(train) & set(test)
    train.update(test)
    assert train == whole and 0.0 in whole.values()
    for part in (split.train, split.test):
        assert_canonical(part)
        assert part.shape == matrix.shape
        assert not np.shares_memory(part.data, matrix.data)
    assert_same(matrix, before)


def test_split_is_the_seed_s():
    matrix = many_stars()
    one, two = split_ratings(matrix, rng=5), split_ratings(matrix, rng=np.random.RandomState(5))
    assert_same(one.train, two.train)
    assert_same(one.test, two.test)
    assert_same(split_ratings(matrix).test, split_ratings(matrix, 0.2, 0).test)
    assert entries(split_ratings(matrix, rng=6).test) != entries(one.test)
    rng = np.random.RandomState(5)
    assert entries(split_ratings(matrix, rng=rng).test) != entries(split_ratings(matrix, rng=rng).test)


def test_split_draws_every_entry_alike():
    matrix = sp.csr_matrix(np.arange(1, 21, dtype=np.float32).reshape(4, 5))
    drawn = sum(split_ratings(matrix, 0.5, seed).test.toarray() != 0 for seed in range(400))
    assert drawn.sum() == 400 * 10 and drawn.min() > 150 and drawn.max() < 250  # 200 +- 10 each


def test_split_reports_who_is_left_without_a_training_rating():
    matrix = many_stars(60, 50, 0.03)
    split = split_ratings(matrix, 0.5, rng=2)
    train, test = entries(split.train), entries(split.test)
    users = {user for user, _ in test} - {user for user, _ in train}
    items = {item for _, item in test} - {item for _, item in train}
    assert users and items
    assert split.cold_users.tolist() == sorted(users)
    assert split.cold_items.tolist() == sorted(items)


def test_split_takes_ratings():
    ratings = ratings_from_triples(range(10), [1] * 10, range(10))
    assert_same(split_ratings(ratings).test, split_ratings(ratings.matrix).test)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, np.nan, "0.2", None])
def test_split_refuses_a_fraction(fraction):
    with pytest.raises(ValueError, match="test_fraction is .*; expected a number between 0 and 1"):
        split_ratings(small(), fraction)


@pytest.mark.parametrize("fraction, n_test", [(0.01, 0), (0.99, 4)])
def test_split_refuses_an_empty_part(fraction, n_test):
    with pytest.raises(ValueError, match="puts %d of 4 ratings into the test set" % n_test):
        split_ratings(small(), fraction)


# Mini-batches


@pytest.mark.parametrize("batch_size", [1, 7, 34, 1000])
@pytest.mark.parametrize("rng", [None, 3])
def test_minibatches_hold_each_row_with_ratings_once(batch_size, rng):
    matrix = many_stars()
    before = matrix.copy()
    with_ratings = np.flatnonzero(np.diff(matrix.indptr))
    assert 0 < len(with_ratings) < matrix.shape[0]
    batches = list(minibatches(matrix, batch_size, rng))
    seen = np.concatenate([rows for rows, _ in batches])
    assert_array_equal(np.sort(seen), with_ratings)
    assert (seen.tolist() == with_ratings.tolist()) == (rng is None)
    assert [len(rows) for rows, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for rows, block in batches:
        assert_canonical(block)
        assert block.shape == (len(rows), matrix.shape[1])
        for place, row in enumerate(rows):
            assert entries(block[place]) == entries(matrix[row])
        block.data[:] = -1
    assert_same(matrix, before)


def test_minibatches_are_shuffled_by_the_rng():
    matrix = many_stars()

    def order(rng):
        return np.concatenate([rows for rows, _ in minibatches(matrix, 8, rng)]).tolist()

    assert order(3) == order(3) == order(np.random.RandomState(3)) != order(4)
    rng = np.random.RandomState(3)
    assert order(rng) != order(rng)
    assert order(3) != order(None)


@pytest.mark.parametrize("matrix, batch_size, rng, error, message", [
    (small().tocsc(), 2, None, TypeError, r"isn't a float32 csr_matrix; .*check_ratings\(matrix\)"),
    (small().astype(np.float64), 2, None, TypeError, "isn't a float32 csr_matrix"),
    (small(), 0, None, ValueError, "batch_size is 0; expected a positive integer"),
    (small(), 2.0, None, ValueError, "batch_size is 2.0"),
    (small(), 2, "seed", TypeError, "rng is 'seed'"),
    (sp.csr_matrix((2, 2), dtype=np.float32), 2, None, ValueError, "the matrix holds no entries"),
])
def test_minibatches_refuse_at_the_call(matrix, batch_size, rng, error, message):
    with pytest.raises(error, match=message):
        minibatches(matrix, batch_size, rng)


def test_stored_zeros_are_refused():
    refuse_stored_zeros(small()[:2])
    with pytest.raises(ValueError, match=r"ratings hold 1 stored zero; a dense row cannot tell them from missing "
                                         r"entries. Remove them with eliminate_zeros\(\) or use formulation='sparse'"):
        refuse_stored_zeros(small())
    with pytest.raises(ValueError, match="ratings hold 3 stored zeros;"):
        refuse_stored_zeros(broken(data=[0, 0, 0, 2]))
    with pytest.raises(TypeError, match="the ratings are ndarray; expected a SciPy CSR matrix"):
        refuse_stored_zeros(np.eye(2))


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()
    matrix = many_stars()
    list(minibatches(split_ratings(matrix, rng=0).train, 4, 0))
    after = np.random.get_state()
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
