"""Orders that are split by time, by loops over their lines: training as it was on that day, and what was new then."""
import io
import pickle

import numpy as np
import pytest

import sparse_ae
from sparse_ae.data import Ratings, split_ratings
from sparse_ae.data.splits import k_core, leave_k_out, split_by_time, split_users, time_folds

SEVEN = """date,customer_id,sku
2025-06-01,a,tea
2025-06-01,a,jam
2025-11-05,a,tea
2025-06-01,b,tea
2025-06-02,b,jam
2025-06-02,c,jam
2025-06-03,c,tea
"""
COUNTS = dict(pairs=True, duplicates="sum")


def a_shop(seed=0, n=400, n_days=28):
    """Lines of a day, a customer, an article and a quantity: many are bought again, and some are returned."""
    rng, lines = np.random.RandomState(seed), []
    for _ in range(n):
        user, item = "c%02d" % rng.randint(30), "a%02d" % (12 * rng.rand() ** 2)
        day, quantity = int(rng.randint(n_days)), float(rng.randint(1, 4))
        lines.append((day, user, item, quantity))
        if rng.rand() < 0.2:
            lines.append((min(n_days - 1, day + int(rng.randint(12))), user, item, -quantity))
    order = rng.permutation(len(lines))
    return [lines[k] for k in order]


def totals(lines):
    """{(user, item): count} of those above 0, as of a file of these lines."""
    found = {}
    for _, user, item, quantity in lines:
        found[user, item] = found.get((user, item), 0) + quantity
    return {pair: count for pair, count in found.items() if count > 0}


def cut(lines, start, stop=99):
    """Two files cut by hand: the counts before a day, and those from it on of the pairs that weren't known."""
    known = totals(line for line in lines if line[0] < start)
    new = totals(line for line in lines if start <= line[0] < stop and line[1:3] not in known)
    return known, new


def named(ratings):
    coo = ratings.matrix.tocoo()
    found = dict(zip(zip(ratings.users[coo.row], ratings.items[coo.col]), coo.data))
    assert len(found) == len(ratings) and ratings.matrix.has_canonical_format
    return found


def first_days(lines, pairs):
    return [min(day for day, *pair, _ in lines if tuple(pair) == each) for each in pairs]


def as_table(lines, **columns):
    days, users, items, counts = map(list, zip(*lines))
    return {"user": users, "item": items, "quantity": counts, "timestamp": days, **columns}


def as_file(lines, form="2024-05-%02d"):
    return io.StringIO("date,customer,sku,quantity\n" + "".join(
        "%s,%s,%s,%d\n" % (form % (day + 1), user, item, n) for day, user, item, n in lines))


FORMS = {
    "file": (lambda lines: sparse_ae.load_ratings(as_file(lines), returns="drop", progress=False, **COUNTS),
             lambda day: "2024-05-%02d" % (day + 1)),
    "table": (lambda lines: sparse_ae.as_ratings(as_table(lines), duplicates="sum", returns="drop"), int),
    "arrays": (lambda lines: sparse_ae.as_ratings(tuple(np.array(as_table(lines)[name]) for name in (
        "user", "item", "quantity", "timestamp")), duplicates="sum", returns="drop"), float),
    "dates": (lambda lines: sparse_ae.as_ratings(as_table(lines, timestamp=np.datetime64("2024-05-01", "ns") + np.array(
        [line[0] for line in lines]) * np.timedelta64(1, "D")), duplicates="sum", returns="drop"),
              lambda day: np.datetime64("2024-05-01") + np.timedelta64(day, "D")),
    "pickle": (lambda lines: pickle.loads(pickle.dumps(FORMS["table"][0](lines))), int),
    "ids in any order": (lambda lines: sparse_ae.as_ratings(
        (lambda kept: Ratings(kept.matrix.tocoo(), kept.users, kept.items, kept.timestamps))(
            FORMS["table"][0](lines).events), duplicates="sum", returns="drop"), int)}


def test_an_article_that_is_bought_again_stays_in_training():
    counts = sparse_ae.load_ratings(io.StringIO(SEVEN), progress=False, **COUNTS)
    split = split_by_time(counts, at="2025-11-01")
    assert named(split.train) == dict.fromkeys([(u, i) for u in "abc" for i in ("jam", "tea")], 1)
    assert len(split.test) == 0 and named(counts)["a", "tea"] == 2 and len(split.cold_users) == 0
    split = split_by_time(counts, test_fraction=0.2)
    assert named(split.test) == {("c", "tea"): 1} and len(split.train) == 5 and split.train.matrix.data.max() == 1


@pytest.mark.parametrize("form", FORMS)
def test_two_files_cut_by_hand(form):
    lines = a_shop()
    make, at = FORMS[form]
    counts = make(lines)
    assert named(counts) == totals(lines) and len(counts.events) == len(lines) > len(counts)
    for day in (1, 9, 20, 27):
        split = split_by_time(counts, at=at(day))
        known, new = cut(lines, day)
        assert named(split.train) == known and named(split.test) == new
        assert set(split.cold_users) == {u for u, _ in new} - {u for u, _ in known}
        assert set(split.cold_items) == {i for _, i in new} - {i for _, i in known}
        assert set(split.train.users) >= set(counts.users) and np.array_equal(split.train.users, split.test.users)
    for fold, start, stop in zip(time_folds(counts, [at(9), at(20), at(25)]), (9, 20, 25), (20, 25, 99)):
        assert (named(fold.train), named(fold.test)) == cut(lines, start, stop)
    earlier = split_by_time(split_by_time(counts, at=at(20)).train, at=at(9))  # a split of a split
    assert (named(earlier.train), named(earlier.test)) == cut(lines, 9, 20)
    later = split_by_time(split_by_time(counts, at=at(9)).test, at=at(20)).train
    assert named(later) == cut(lines, 9, 20)[1]


def test_shares_of_the_pairs_by_the_first_time_that_each_was_bought():
    lines = [line for line in a_shop(1) if line[3] > 0]
    counts = sparse_ae.as_ratings(as_table(lines), duplicates="sum")
    pairs = sorted(named(counts))
    days = first_days(lines, pairs)
    assert dict(zip(sorted(pairs), days)) == dict(zip(named(counts), counts.timestamps))
    order = sorted(zip(days, pairs))  # of those with the same time the last by user and item are tested on
    for fraction in (0.1, 0.33, 0.8):
        split, n = split_by_time(counts, fraction), round(fraction * len(pairs))
        first = order[-n]
        known, new = cut([((day, (user, item)) >= first, user, item, n) for day, user, item, n in lines], True)
        assert (named(split.train), named(split.test)) == (known, new) and len(new) == n
        assert set(new) == {pair for _, pair in order[-n:]}
    edges = [len(pairs) * k // 6 for k in range(1, 7)]
    for fold, start, stop in zip(time_folds(counts, 5), edges, edges[1:]):
        assert set(named(fold.train)) == {pair for _, pair in order[:start]}
        assert set(named(fold.test)) == {pair for _, pair in order[start:stop]}
    held_out = leave_k_out(counts, 1, newest=True).test
    assert set(named(held_out)) == {max(each for each in order if each[1][0] == user)[1] for user in counts.users}


@pytest.mark.parametrize("way", [
    lambda counts: k_core(counts, 5), lambda counts: split_ratings(counts, 0.3).train, lambda counts: split_users(
        counts, 0.3).known, lambda counts: counts.part(leave_k_out(counts, 2).train.matrix)])
def test_some_of_the_pairs_keep_their_events(way):
    lines = a_shop(2)
    some = way(sparse_ae.as_ratings(as_table(lines), duplicates="sum", returns="drop"))
    kept = [line for line in lines if line[1:3] in named(some)]
    assert len(some.events) == len(kept)
    split = split_by_time(some, at=14)
    assert (named(split.train), named(split.test)) == cut(kept, 14)


def test_sums_whose_times_are_lost_are_refused():
    counts = sparse_ae.as_ratings(as_table(a_shop(3)), duplicates="sum", returns="drop")
    with pytest.raises(ValueError, match="needs timestamps, .*of every line of counts that are added up"):
        split_by_time(counts.part(counts.matrix * 2), at=9)
    with pytest.raises(ValueError, match="the timestamps of sums can't be replaced.*duplicates='sum'"):
        counts._replace(timestamps=counts.timestamps.astype("M8[s]"))
    for given in dict(duplicates="last"), {}:
        with pytest.raises(ValueError, match="returns='drop' was given with duplicates=.*pass duplicates='sum'"):
            sparse_ae.as_ratings(as_table(a_shop(3)), returns="drop", **given)


def test_sums_of_0_and_less_that_were_kept_stay():
    table = {"user": [1, 1, 1, 2], "item": [5, 5, 6, 5], "rating": [2, -2, -1, 1], "timestamp": [1, 2, 1, 3]}
    split = split_by_time(sparse_ae.as_ratings(table, duplicates="sum"), at=2)
    assert named(split.train) == {(1, 5): 2, (1, 6): -1} and named(split.test) == {(2, 5): 1}


@pytest.mark.parametrize("duplicates, value, time", [("first", 2, 1), ("last", 4, 9), ("mean", 3, 9)])
def test_ratings_that_come_again_are_on_one_side(duplicates, value, time):
    table = {"user": [1, 1, 2, 3], "item": [5, 5, 5, 5], "rating": [2, 4, 1, 1], "timestamp": [1, 9, 3, 9]}
    ratings = sparse_ae.as_ratings(table, duplicates=duplicates)
    assert ratings.events is None and ratings.timestamps.tolist() == [time, 3, 9]
    split = split_by_time(ratings, at=5)
    assert named(split.train if time == 1 else split.test)[1, 5] == value
