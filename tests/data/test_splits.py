"""Folds, splits, mini-batches and synthetic ratings: exact counts, disjoint, the union the input, left as it was."""
import datetime

import numpy as np
import pytest
import scipy.sparse as sp
from made import many_stars
from matrices import assert_canonical, assert_same, broken, entries, small
from numpy.testing import assert_array_equal

from sparse_ae import as_ratings
from sparse_ae.data import Ratings, minibatches, ratings_from_triples, refuse_stored_zeros, split_ratings
from sparse_ae.data.datasets.synthetic import made_up_ratings, rating_chunks, tastes
from sparse_ae.data.splits import k_core, k_folds, leave_k_out, split_by_time, split_users, time_folds


@pytest.fixture
def ratings():
    """60 ratings of 20 users, 1, 2, ..., and 9 items, zeros among them; the fourth user has one, the last none; several
    share a time."""
    rng = np.random.RandomState(0)
    cells = rng.permutation(18 * 9)[:59]
    users, items = np.append(cells // 9 + (cells // 9 >= 3), 3), np.append(cells % 9, 4)
    values = rng.randint(0, 4, 60)
    made = ratings_from_triples(users, items, values, rng.randint(0, 30, 60))
    matrix = sp.csr_matrix((made.matrix.data, made.items[made.matrix.indices],
                            np.append(made.matrix.indptr, [60] * (20 - len(made.users)))), shape=(20, 9))
    assert (matrix.data == 0).any()
    return Ratings(matrix, np.arange(1, 21), np.array(list("ihgfedcba")), made.timestamps)


def named(ratings):
    """{(user, item): [rating, time]} by ids, which are positions in a matrix."""
    if not isinstance(ratings, Ratings):
        ratings = Ratings(ratings, *map(np.arange, ratings.shape))
    matrix, users, items, times = ratings
    coo = matrix.tocoo()
    of_times = [None] * matrix.nnz if times is None else times.tolist()
    return {(users[u], items[i]): pair for u, i, *pair in zip(coo.row, coo.col, coo.data, of_times)}


def check(split, ratings):
    """Disjoint, and the union is the input, ids and times included; cold users and items by a loop."""
    train, test, whole = map(named, (*split[:2], ratings))
    assert not set(train) & set(test) and {**train, **test} == whole
    assert len(split.train) + len(split.test) == len(ratings) if isinstance(ratings, Ratings) else True
    for part in split[:2]:
        assert type(part) is type(ratings)
        if isinstance(part, Ratings):
            assert_array_equal(part.users, ratings.users)
            assert_array_equal(part.items, ratings.items)
            part = part.matrix
        assert_canonical(part)
        assert part.shape == (20, 9)
    for cold, axis in ((split.cold_users, 0), (split.cold_items, 1)):
        assert set(cold) == {e[axis] for e in test} - {e[axis] for e in train}
        assert len(set(cold)) == len(cold)


def bytes_of(splits):
    return [getattr(getattr(part, "matrix", part), name).tobytes() for split in splits for part in split[:2]
            for name in ("data", "indices", "indptr")]


# Each way to cut: a function of ratings and a seed that gives a list of splits.
WAYS = {"split": lambda r, rng: [split_ratings(r, 0.3, rng)], "folds": lambda r, rng: k_folds(r, 7, rng),
        "leave out": lambda r, rng: [leave_k_out(r, 2, rng)],
        "share": lambda r, rng: [leave_k_out(r, rng=rng, fraction=0.4)],
        "newest": lambda r, _: [leave_k_out(r, 2, newest=True)], "time": lambda r, _: [split_by_time(r, 0.3)]}


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_cut_the_stored_entries(ratings, way):
    before, random = bytes_of([(ratings.matrix, ratings.matrix)]), np.random.get_state()[1].tobytes()
    splits = WAYS[way](ratings, 3)
    for split in splits:
        check(split, ratings)
        assert not any(np.shares_memory(part.matrix.data, ratings.matrix.data) for part in split[:2])
    assert bytes_of(WAYS[way](ratings, np.random.RandomState(3))) == bytes_of(splits)
    if way in ("newest", "time"):  # by dates as by numbers
        dated = ratings._replace(timestamps=ratings.timestamps.astype("datetime64[s]"))
        assert bytes_of(WAYS[way](dated, 0)) == bytes_of(splits)
    else:
        for split in WAYS[way](ratings.matrix, 3) + WAYS[way](ratings.matrix.tocsc(), 3):
            check(split, ratings.matrix)
        for split in WAYS[way](ratings._replace(timestamps=None), 3):
            check(split, ratings._replace(timestamps=None))
        rng = np.random.RandomState(3)
        assert bytes_of(WAYS[way](ratings, rng)) != bytes_of(WAYS[way](ratings, rng))
        assert bytes_of(WAYS[way](ratings, 4)) != bytes_of(splits) == bytes_of(WAYS[way](ratings.matrix, 3))
    assert bytes_of([(ratings.matrix, ratings.matrix)]) == before
    assert np.random.get_state()[1].tobytes() == random


def test_exact_counts(ratings):
    for fraction in (0.1, 0.2, 0.5, 0.97):
        assert len(split_ratings(ratings, fraction).test) == len(split_by_time(ratings, fraction).test) == round(
            fraction * 60)
    assert len(split_by_time(ratings).test) == 12
    assert sorted(len(fold.test) for fold in k_folds(ratings, 7)) == [8] * 3 + [9] * 4
    tests = [entries(fold.test).items() for fold in k_folds(ratings.matrix, 7)]
    assert set().union(*tests) == set(entries(ratings.matrix).items())
    assert [len(fold.test) for fold in k_folds(ratings, 60)] == [1] * 60
    for k in (1, 3):
        for split in (leave_k_out(ratings, k, rng=1), leave_k_out(ratings, k, newest=True)):
            held_out, counts = (np.diff(each.matrix.indptr).tolist() for each in (split.test, ratings))
            assert held_out == [k if n > k else 0 for n in counts]
    for fraction in (0.3, 0.9):
        split = leave_k_out(ratings, fraction=fraction, newest=True)
        held_out, counts = (np.diff(each.matrix.indptr).tolist() for each in (split.test, ratings))
        assert held_out == [min(round(fraction * n), max(n - 1, 0)) for n in counts]


@pytest.mark.parametrize("by", [dict(k=2), dict(fraction=0.4)])
def test_the_newest_are_left_out(ratings, by):
    test = leave_k_out(ratings, newest=True, **by).test.matrix
    matrix = ratings.matrix
    for user in range(20):
        start, stop = matrix.indptr[user:user + 2]
        by_age = sorted(range(start, stop), key=lambda entry: (ratings.timestamps[entry], matrix.indices[entry]))
        n = round(0.4 * len(by_age)) if "fraction" in by else 2 * (stop - start > 2)
        expected = {matrix.indices[entry] for entry in by_age[len(by_age) - n:]}
        assert set(test[user].indices) == expected


def test_each_period_is_tested_on_by_what_was_before(ratings):
    by_age = sorted(named(ratings).items(), key=lambda each: (each[1][1], each[0][0], -ord(each[0][1])))
    for n_folds, edges in ((5, range(10, 70, 10)), (7, [7, 15, 22, 30, 37, 45, 52, 60])):
        folds = time_folds(ratings, n_folds)
        for fold, start, stop in zip(folds, edges, edges[1:]):
            assert named(fold.train) == dict(by_age[:start]) and named(fold.test) == dict(by_age[start:stop])
        assert len(folds) == len(edges) - 1
    before, after = time_folds(ratings, [11, 20.5])
    old, middle, new = ({key: pair for key, pair in by_age if low <= pair[1] < high}
                        for low, high in ((0, 11), (11, 20.5), (20.5, 99)))
    assert named(before.train) == old and named(before.test) == middle
    assert named(after.train) == {**old, **middle} and named(after.test) == new
    assert set(before.cold_users) == {user for user, _ in middle} - {user for user, _ in old}


@pytest.mark.parametrize("form", ["ratings", "matrix"])
def test_users_are_held_out(ratings, form):
    whole = ratings if form == "ratings" else ratings.matrix
    splits = [split_users(whole, 0.3, 0.6, seed) for seed in (0, np.random.RandomState(0), 1)]
    assert len(set(tuple(named(split.test)) for split in splits)) == 2, "by the seed"
    train, test, known = map(named, splits[0])
    assert {**known, **test} == named(whole) and not set(known) & set(test)
    held_out, counts = {user for user, _ in test}, [user for user, _ in named(whole)]
    assert train == {pair: value for pair, value in known.items() if pair[0] not in held_out}
    assert len(held_out) == round(0.3 * sum(1 for user in set(counts) if counts.count(user) > 1))
    assert all(type(part) is type(whole) for part in splits[0])
    for user in held_out:
        n = counts.count(user)
        assert 1 < n and sum(1 for each, _ in known if each == user) == max(1, min(n - 1, round(0.6 * n)))
    pair = split_users(sp.csr_matrix(np.float32([[1, 1], [1, 1]])), 0.5, 0.01)
    assert [part.nnz for part in pair] == [2, 1, 3], "one of two is known, however small the share"


@pytest.mark.parametrize("k", [1, 2, 3])
def test_core_by_loops(ratings, k):
    left = named(ratings)
    while True:
        users, items = [user for user, _ in left], [item for _, item in left]
        fewer = {pair: value for pair, value in left.items() if users.count(pair[0]) >= k and items.count(pair[1]) >= k}
        if len(fewer) == len(left):
            break
        left = fewer
    core = k_core(ratings, k)
    assert named(core) == left and set(core.users) == set(users) and set(core.items) == set(items)
    assert_canonical(core.matrix)
    assert core.users.tolist() == sorted(set(users)) and core.items.tolist() == sorted(set(items))[::-1]
    matrix = k_core(ratings.matrix, k)
    assert matrix.shape == (20, 9) and entries(matrix) == {
        (user - 1, ord("i") - ord(item)): value for (user, item), (value, _) in left.items()}


@pytest.mark.parametrize("at", [
    "2024-05-01", "2024-05-01 02:00+02:00", datetime.date(2024, 5, 1), datetime.datetime(2024, 5, 1),
    np.datetime64("2024-05-01"), np.datetime64("2024-05-01T00:00:00.000000000"),
    datetime.datetime(2024, 5, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))])
@pytest.mark.parametrize("unit", ["seconds", "s", "ns", "D"])
def test_from_a_day_on(at, unit):
    table = {"user": [7, 7, 8, 9], "item": ["a", "b", "b", "c"], "rating": [1, 2, 3, 4],
             "date": ["2024-04-01", "2024-04-30", "2024-05-01", "2024-06-01"]}
    ratings = as_ratings(table)
    if unit != "seconds":
        ratings = ratings._replace(timestamps=ratings.timestamps.astype("M8[s]").astype("M8[%s]" % unit))
    split = split_by_time(ratings, at=at)
    assert set(named(split.train)) == {(7, "a"), (7, "b")} and set(named(split.test)) == {(8, "b"), (9, "c")}
    assert split.cold_users.tolist() == [8, 9] and split.cold_items.tolist() == ["c"]
    if unit == "seconds":
        assert set(named(split_by_time(table, at=at).test)) == {(8, "b"), (9, "c")}, "of a table, too"
    assert bytes_of(time_folds(ratings, [at])) == bytes_of([split])


@pytest.mark.parametrize("cut, message", [
    (lambda r: k_folds(r, 1), "n_folds is 1; expected a whole number from 2 to the number of ratings, 60"),
    (lambda r: k_folds(r, 61), "n_folds is 61; expected a whole number from 2"),
    (lambda r: leave_k_out(r, 0), "k is 0; expected a positive integer"),
    (lambda r: leave_k_out(r, 9), "k=9 holds out no rating, since no user has more than 6: lower k"),
    (lambda r: leave_k_out(r, 1, fraction=0.5), "k=1 and fraction=0.5 were given; expected one of them"),
    (lambda r: leave_k_out(r, fraction=0.01), "fraction=0.01 holds out no rating, .* more than 6: raise it"),
    (lambda r: split_users(r, 0.01), "test_fraction=0.01 puts 0 of 16 users with two ratings or more into the test"),
    (lambda r: split_users(r, 0.99), "test_fraction=0.99 puts 16 of 16 users with .* or add users with two ratings"),
    (lambda r: split_users(r, known_fraction=1), "known_fraction is 1; expected a number between 0 and 1"),
    (lambda r: time_folds(r.matrix), "time_folds needs timestamps"),
    (lambda r: time_folds(r, 0), "folds is 0; expected a positive integer, or a list of times, such as"),
    (lambda r: time_folds(r, "2024-05-01"), "folds is '2024-05-01'; expected a positive integer, or a list of times"),
    (lambda r: time_folds(r, 60), "folds is 60; expected at most 59"),
    (lambda r: time_folds(r, []), r"folds=\[\] has a period without ratings"),
    (lambda r: time_folds(r, [20, 11]), r"folds=\[20, 11\] has a period without ratings"),
    (lambda r: time_folds(r, [11, 11]), r"folds=\[11, 11\] has a period without ratings"),
    (lambda r: time_folds(r, [0, 11]), "at=0 puts 60 of 60"),
    (lambda r: k_core(r, 15), "no users and items have 15 ratings of one another; expected a lower k"),
    (lambda r: k_core(r, 0), "k is 0; expected a positive integer"),
    (lambda r: leave_k_out(r.matrix, newest=True),
     "newest=True needs timestamps, and these ratings have none; expected numbers or ISO"),
    (lambda r: split_by_time(r._replace(timestamps=None)), "split_by_time needs timestamps"),
    (lambda r: split_by_time(r._replace(timestamps=np.full(60, "NaT", "M8[s]"))), "entry 0: the timestamp is NaT"),
    (lambda r: split_by_time(r._replace(timestamps=[None] * 60)), "entry 0: the timestamp is None; expected numbers"),
    (lambda r: split_by_time(r._replace(timestamps=r.timestamps[:5])),
     "the 5 timestamps may not have the order of the 60"),
    (lambda r: split_ratings(r._replace(matrix=r.matrix.tocsc())), "may not have the order"),
    (lambda r: split_by_time(r, 0.3, at=3), "test_fraction=0.3 and at=3 were given; expected one of them"),
    (lambda r: split_by_time(r, at=99), "at=99 puts 0 of 60 .*within their timestamps, which range from 0 to 29"),
    (lambda r: split_by_time(r, at="2024-05-01"), r"range from 0 to 29 \(a date is seconds since 1970\)"),
    (lambda r: split_by_time(r, at=0), "at=0 puts 60 of 60"),
    (lambda r: split_by_time(r._replace(timestamps=r.timestamps.astype("M8[ns]")), at="9999-01-01"),
     "at='9999-01-01' puts 0 of 60 .* range from 1970-01-01T"),
    (lambda r: split_by_time(r._replace(timestamps=r.timestamps.astype("M8[s]")), at=3),
     "at is 3; expected a date such as 2024-05-01$"),
    (lambda r: split_by_time(r, at="May"), "at is 'May'; expected a date such as .*, or a number in the unit of the"),
    (lambda r: split_by_time(r, at=True), "at is True; expected a date"),
    (lambda r: split_by_time(r, at=np.nan), "at is nan; expected a date"),
    (lambda r: split_ratings("ratings.csv"), "ratings are str, 'ratings.csv'; expected ratings: to read"),
    (lambda r: split_ratings(split_ratings(r)), "pass one of its parts, such as split.train"),
    (lambda r: split_by_time(r, 0.001), "test_fraction=0.001 puts 0 of 60 ratings into the test set"),
    (lambda r: split_ratings(small(), 0.99), "puts 4 of 4 ratings into the test set"),
] + [(lambda r, cut=cut, fraction=fraction: cut(r, fraction), "test_fraction is .*; expected a number between 0 and 1")
     for cut in (split_by_time, split_ratings) for fraction in (0, 1, -0.5, np.nan, "0.2")])
def test_refused(ratings, cut, message):
    with pytest.raises((TypeError, ValueError), match=message):
        cut(ratings)


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


def test_ratings_are_taken_where_a_matrix_is(ratings):
    for (rows, block), (same_rows, same) in zip(minibatches(ratings, 8), minibatches(ratings.matrix, 8)):
        assert_array_equal(rows, same_rows)
        assert_same(block, same)
    with pytest.raises(ValueError, match="ratings hold [0-9]+ stored zeros"):
        refuse_stored_zeros(ratings)


def with_rows_ends(indptr):
    matrix = sp.csr_matrix(np.float32([[1], [0]]))
    matrix.indptr = np.int32(indptr)
    return matrix


@pytest.mark.parametrize("matrix, batch_size, rng, error, message", [
    (small().tocsc(), 2, None, TypeError, r"isn't a float32 csr_matrix; .*check_ratings\(matrix\)"),
    (small(), 0, None, ValueError, "batch_size is 0; expected a positive integer"),
    (small(), 2, "seed", TypeError, "rng is 'seed'"),
    (sp.csr_matrix((2, 2), dtype=np.float32), 2, None, ValueError, "the matrix holds no entries"),
    (with_rows_ends([0, 10 ** 9, 1]), 2, None, ValueError, "indptr of the CSR matrix isn't 3 ascending integers"),
    (with_rows_ends([0, 1, 2]), 2, None, ValueError, "announces 2 entries, but there are 1 indices"),
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


# Synthetic ratings: as many as asked for, about what they are said to be about


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
    assert np.std(values - taste(users, items)) == pytest.approx(0.5, abs=0.05)  # the noise


def test_steps():
    ratings, _ = made_up_ratings(50, 40, 900, step=0.5, rating_scale=(0.5, 5))
    assert set(np.unique(ratings.matrix.data * 2)) <= set(range(1, 11)) and len(np.unique(ratings.matrix.data)) > 5


@pytest.mark.parametrize("settings, error, message", [
    (dict(n_users=0), ValueError, "n_users is 0; expected a positive integer"),
    (dict(rating_scale=(5, 1)), ValueError, r"rating_scale is \(5, 1\); expected two finite numbers, the lower first"),
    (dict(n_ratings=10 ** 6), ValueError, "n_ratings is 1000000; expected at most 250000"),
    (dict(noise=-1), ValueError, "noise is -1; expected a finite number, 0 or more"),
    (dict(step=0), ValueError, "step is 0; expected a positive number, or None"),
])
def test_synthetic_ratings_that_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        made_up_ratings(**settings)
