"""The cases of `against`: calls drawn from a seed, with another version and with today's.

A case says what it does by `say`, returns {name: value}, and raises what the library raises. So it uses only names that
both versions have.
"""
import os
import pickle

import numpy as np
import pandas
import scipy.sparse as sp
from damage import damaged
from driver import say
from forms import write_form

import sparse_ae


def pick(rng, *values):
    return values[rng.randint(len(values))]


def as_read(ratings):
    """`Ratings` as arrays to compare."""
    matrix = ratings.matrix
    return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape,
            "users": ratings.users, "items": ratings.items, "timestamps": ratings.timestamps}


# Files of text


def damaged_texts(rng, folder):
    """Files of known truth with changed bytes, without lists, of which 1.0.0 knew few."""
    form = write_form(rng, folder)
    if form is None or form.path.suffix == ".gz" or "lists" in form.given:
        return None
    content = damaged(form.path.read_bytes(), rng, text=True)
    form.path.write_bytes(content)
    say("%r, %r" % (content, form.given))
    return as_read(sparse_ae.load_ratings(form.path, progress=False, **form.given))


# Tables


def laid_out(rng, values):
    """An array in some layout or dtype that means the same."""
    values, kind = np.asarray(values), rng.randint(7)
    if kind == 1:
        return np.repeat(values, 2)[::2]
    if kind == 2 and values.dtype.kind in "iuf":
        return values.astype(values.dtype.newbyteorder())
    if kind == 3 and values.dtype.kind in "iu":
        return values.astype(pick(rng, "int16", "uint32", "int64", "float64"))
    if kind == 4:
        return values.astype(object)
    if kind == 5:
        return values.tolist()
    values.flags.writeable = kind != 6
    return values


def table(rng):
    """(ratings in a container that `as_ratings` knows, or nearly; the other arguments)."""
    n = int(rng.choice([0, 1, 3, 12, 40]))
    cells = rng.permutation(60)[:n] if rng.rand() < 0.7 else rng.randint(60, size=n)
    users, items = cells // 8 * pick(rng, 1, 1, 1, -7, 2 ** 40), cells % 8
    if rng.rand() < 0.4:
        users = np.array(["u%s" % user for user in users] + ["x"])[:n]
    if rng.rand() < 0.3:
        items = np.array(["\u00e4 %d" % item for item in items] + ["x"])[:n]
    values = rng.choice([1, 2, 3, 4, 5], n).astype(pick(rng, "int64", "float32", "float64"))
    if n and rng.rand() < 0.3 and values.dtype.kind == "f":
        values[rng.randint(n)] = pick(rng, 0, -0.0, 2.5, 1e-30, 1e30, np.nan, np.inf, 1e300)
    columns = [users, items, values]
    if rng.rand() < 0.25:
        columns.append(10 ** 9 + rng.permutation(n))
    given = {}
    if rng.rand() < 0.4:
        given["duplicates"] = pick(rng, "first", "last", "mean", "sum")
    if rng.rand() < 0.1:
        given["missing"] = pick(rng, 1, 3, np.nan)
    kind = rng.randint(9)
    if kind == 0 and users.dtype.kind == items.dtype.kind == "i" and n:
        matrix = sp.coo_matrix((values, (np.abs(users) % 50, items)), shape=(50, 9))
        return matrix.asformat(pick(rng, "coo", "csr", "csc", "lil", "dok")), given
    if kind == 1 and users.dtype.kind == items.dtype.kind == "i":
        return np.stack([np.asarray(column, "float64") for column in columns], axis=1), given
    columns = [laid_out(rng, column) for column in columns]
    names = pick(rng, ["user", "item", "rating", "timestamp"], ["userId", "movieId", "score", "time"],
                 ["user_id", "item_id", "rating", "timestamp"])
    named = list(zip(names, columns))
    if kind in (2, 3, 4):
        named += [("genre", ["a"] * n)] * rng.randint(2)
        named = dict(named[k] for k in rng.permutation(len(named)))
        if kind == 2:
            return named, given
        return pandas.DataFrame(named), given
    if kind == 5:
        return [tuple(row) for row in zip(*columns)], given
    if kind == 6:
        return tuple(columns[:2]), dict(given, y=columns[2])
    return tuple(columns), given


def tables(rng, folder):
    ratings, given = table(rng)
    say("%.2000r, %r" % (ratings, given))
    before = pickle.dumps(ratings)
    found = sparse_ae.as_ratings(ratings, **given)
    return dict(as_read(found), unchanged=pickle.dumps(ratings) == before)


# What a case may not leave behind


def settings_of_process():
    """The process's settings that no call may change, by name."""
    return {"global generator": np.random.get_state()[1].tobytes(), "folder": os.getcwd(),
            "environment": dict(os.environ), "errors of NumPy": np.geterr()}


FAMILIES = {"damaged texts": damaged_texts, "tables": tables}
