"""Masked columns, and ids of all lengths, by the thousand: ``python tests/fuzz/columns.py FIRST_SEED LAST_SEED``.

Each seed is some ratings, of which some are masked, in one of the forms that ratings come in. What is made of them has
to be what is made of the others alone; where an id is masked whose rating isn't, it has to be refused. Some ids may be
long: then all may be refused, in words, before there is much of anything.
"""
import resource

import numpy as np
from driver import drive

from sparse_ae.data.feedback import as_counts, total_counts
from sparse_ae.data.load import load_ratings
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.tables import as_columns, as_ratings

SECONDS, MEMORY = 20, 4 * 2 ** 30


def masked(array, mask, rng):
    """A column with a mask: as an array, or as a list that holds the constant; as it is where nothing is masked."""
    if not mask.any():
        return array if rng.rand() < 0.5 else np.ma.array(array, mask=False)
    if rng.rand() < 0.5:
        return np.ma.array(array, mask=mask)
    return [np.ma.masked if none else value for value, none in zip(array.tolist(), mask)]


def made(rng):
    """Users, items and ratings, and the masks of the three."""
    n = rng.randint(1, 40)
    pairs = rng.permutation(400)[:n]
    users, items = pairs // 20, pairs % 20
    values = rng.randint(1, 6, n).astype(rng.choice(["int64", "float32", "float64", "uint8"]))
    if rng.rand() < 0.4:
        users = np.array(["u%d" % each for each in users])
    masks = [rng.rand(n) < share for share in (rng.choice([0, 0, 0, 0.2]), rng.choice([0, 0, 0, 0.2]),
                                               rng.choice([0, 0.1, 0.5, 1]))]
    if rng.rand() < 0.5:  # masked ids where the rating is masked too, and nowhere else
        masks[0] &= masks[2]
        masks[1] &= masks[2]
    return (users, items, values), masks


def form(columns, masks, rng):
    """(ratings, y) in some form."""
    users, items, values = (masked(column, mask, rng) for column, mask in zip(columns, masks))
    kind = rng.randint(6)
    if kind == 0:
        return (users, items, values), None
    if kind == 1:
        return {"rating": values, "user": users, "item": items}, None
    whole = np.ma.array([list(row) for row in zip(*(column.tolist() for column in columns))], dtype=object,
                        mask=np.column_stack(masks))
    if kind == 2:
        return whole, None
    if kind == 3:
        return list(whole), None
    if kind == 4:
        return whole[:, :2], values
    records = np.array(list(zip(*columns)), dtype=[("user", columns[0].dtype), ("item", columns[1].dtype),
                                                   ("rating", columns[2].dtype)])
    return np.ma.array(records, mask=list(zip(*masks))), None


def triples(ratings):
    coo = ratings.matrix.tocoo()
    return list(zip(ratings.users[coo.row].tolist(), ratings.items[coo.col].tolist(), coo.data.tolist()))


def mask_case(rng, folder):
    columns, masks = made(rng)
    ratings, y = form(columns, masks, rng)
    left = [column[~masks[2]] for column in columns]
    unknown = any((mask & ~masks[2]).any() for mask in masks[:2])
    ways = [lambda: triples(as_ratings(ratings, y)), lambda: triples(as_counts(total_counts(ratings, y)))]
    wanted = [lambda: triples(as_ratings(tuple(left))), lambda: triples(as_counts(total_counts(tuple(left))))]
    which = rng.randint(len(ways))
    try:
        found = ways[which]()
    except (TypeError, ValueError) as error:
        assert "masked" in str(error), "another error: %r" % error
        assert unknown or masks[2].all(), "refused: %r" % error
        return "refused"
    assert not unknown and found == wanted[which](), "a mask was lost"
    assert [len(column) for column in as_columns(ratings, y)[:3]] == [len(left[0])] * 3
    if rng.rand() < 0.1:
        stored = store_ratings([ratings if y is None else (ratings[:, 0], ratings[:, 1], y)], folder / "store",
                               rows="users", progress=False)
        assert stored.matrix.nnz == len(left[0])
    return "taken"


def length_case(rng, folder):
    n, length = 10 ** rng.randint(1, 5), 10 ** rng.randint(1, 7)
    ids = ["b%d" % k for k in range(n)]
    for _ in range(rng.randint(1, 3)):
        ids[rng.randint(n)] = rng.choice(["a", "\u00e9", "7"]) * length + str(rng.randint(9))
    values, others = np.ones(n), [str(k % 7) for k in range(n)]
    columns = [ids, others] if rng.rand() < 0.5 else [others, ids]
    path = folder / "ratings.csv"
    path.write_text("".join("%s,%s,3\n" % pair for pair in zip(*columns)), encoding="utf-8")
    lists = rng.rand() < 0.3
    ways = [lambda: load_ratings(path, progress=False, duplicates="last"),
            lambda: store_ratings(path, folder / "store", progress=False, duplicates="last"),
            lambda: as_ratings((*columns, values), duplicates="last"),
            lambda: as_ratings({"user": columns[0], "item": columns[1], "rating": values}, duplicates="last"),
            lambda: load_ratings(path, progress=False, duplicates="last", lists=lists, pairs=False)]
    try:
        ways[rng.randint(len(ways))]()
    except ValueError as error:
        said = str(error)
        assert len(said) < 1000 and any(
            words in said for words in ("characters", "field larger than field limit", "a line near line")), said
        return "refused"
    return "taken"


def case(rng, folder):
    return (length_case if rng.rand() < 0.1 else mask_case)(rng, folder)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    drive(case, "refused", "taken", seconds=SECONDS)
