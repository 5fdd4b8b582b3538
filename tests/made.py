"""Ratings for all tests: who needs some takes them from here.

==============  ========================================================================================
`stars`         whole numbers at random places, with rows and columns that have none: any ratings will do
`at`            the same at given places
`many_stars`    the same with zeros among them
`cold_stars`    the same without any in row 3 and column 5
`low_rank`      what one factor explains, and biases don't
`checkerboard`  even rows love even columns, odd rows odd ones: what can be known is known without luck
`levels`        the same upon columns that have levels of their own: there are biases, too
`noise`         biases and chance: there is nothing to learn
`likings`       each row picks from one half of the columns: for lists; `liked` are such with ids, in two parts
==============  ========================================================================================

They are CSR matrices; `triples` gives users, items and ratings of one, in ids, and `with_unrated` adds ids that are
known by name only.
"""
import numpy as np
import scipy.sparse as sp

from sparse_ae.data import Ratings
from sparse_ae.recommender.settings import Shallow

N_USERS, N_ITEMS = 30, 14
# Ids that aren't positions, in an order that isn't theirs.
USERS = np.array(["user%d" % (7 * u % N_USERS) for u in range(N_USERS)])
ITEMS = 900 - 10 * np.arange(N_ITEMS)


def at(rated, rng=0, low=1):
    """Whole numbers from `low` to 5 where a mask (n_rows, n_columns) is True; `rng` is a seed or a RandomState."""
    rng = np.random.RandomState(rng) if isinstance(rng, int) else rng
    rows, columns = np.nonzero(rated)
    return sp.csr_matrix((rng.randint(low, 6, len(rows)).astype("float32"), (rows, columns)), shape=rated.shape)


def stars(n_rows, n_columns, density=0.5, seed=0, low=1, without_rows=(), without_columns=(), beside=()):
    """Whole numbers from `low` to 5 at random places.

    Some rows and columns have none, but for the pairs (row, column) that there are `beside`.
    """
    rng = np.random.RandomState(seed)
    rated = rng.rand(n_rows, n_columns) < density
    rated[list(without_rows)] = rated[:, list(without_columns)] = False
    for pair in beside:
        rated[pair] = True
    return at(rated, rng, low)


def many_stars(n_rows=40, n_columns=30, density=0.2, seed=0):
    """0 to 5, with stored zeros; every seventh row has none."""
    return stars(n_rows, n_columns, density, seed, low=0, without_rows=range(0, n_rows, 7))


def cold_stars(seed=0, shape=(14, 9), low=1):
    """Row 3 and column 5 have none."""
    return stars(*shape, seed=seed, low=low, without_rows=[3], without_columns=[5])


def low_rank(n_rows=60, n_columns=40, density=0.5, seed=0, biases=0.3):
    """About 3, with biases and one factor, which these can't explain."""
    rng = np.random.RandomState(seed)
    full = 3 + biases * rng.randn(n_rows, 1) + biases * rng.randn(n_columns)
    full += np.outer(rng.randn(n_rows), rng.randn(n_columns))
    rated = rng.rand(n_rows, n_columns) < density
    return sp.csr_matrix((full[rated].astype("float32"), np.nonzero(rated)), shape=rated.shape)


def rounded(matrix):
    """The nearest of 1 ... 5."""
    return sp.csr_matrix((np.clip(np.rint(matrix.data), 1, 5), matrix.indices, matrix.indptr), shape=matrix.shape)


def checkerboard(n_rows=N_USERS, n_columns=N_ITEMS, held_out=0.3, seed=0):
    """5 where row and column are both even or both odd, else 1: training and held-out ratings, all pairs together."""
    out = np.random.RandomState(seed).rand(n_rows, n_columns) < held_out
    full = np.where(np.add.outer(np.arange(n_rows), np.arange(n_columns)) % 2, 1.0, 5.0)
    return [sp.csr_matrix(full * part, dtype="float32") for part in (~out, out)]


def levels(n_rows=36, n_columns=20, held_out=0.2, seed=0):
    """From 1 to 5, columns with levels of their own and a checkerboard upon them: as `checkerboard`, of float64."""
    rng = np.random.RandomState(seed)
    out = rng.rand(n_rows, n_columns) < held_out
    of_columns = np.linspace(-1, 1, n_columns)[rng.permutation(n_columns)]
    odd = np.add.outer(np.arange(n_rows), np.arange(n_columns)) % 2
    full = np.clip(3 + of_columns + np.where(odd, -0.9, 0.9) + 0.1 * rng.randn(n_rows, n_columns), 1, 5)
    return [sp.csr_matrix(full * part) for part in (~out, out)]


def noise(n_rows=36, n_columns=20, seed=0):
    """Of all pairs, from 1 to 5: biases of rows and columns, and chance."""
    rng = np.random.RandomState(seed)
    full = 3 + rng.randn(n_rows, 1) + rng.randn(n_columns) + rng.randn(n_rows, n_columns)
    return sp.csr_matrix(np.clip(full, 1, 5))


def likings(n_rows=80, n_columns=24, seed=0):
    """Who likes one half of the columns rates some of them 4 or 5, and few of the other half, 1 or 2."""
    rng = np.random.RandomState(seed)
    liked = np.add.outer(np.arange(n_rows), np.arange(n_columns)) % 2 == 0
    rated = rng.rand(n_rows, n_columns) < np.where(liked, 0.5, 0.1)
    rated[:, 0] = rated[0, :5] = True
    return sp.csr_matrix(rated * np.where(liked, rng.randint(4, 6, liked.shape), rng.randint(1, 3, liked.shape)),
                         dtype="float32")


def with_ids(matrix):
    n_users, n_items = matrix.shape
    return Ratings(matrix, np.arange(n_users) * 10 + 100, np.array(["i%02d" % j for j in range(n_items)]))


def liked(n_columns=24):
    """Ratings to train on, and a fifth of them held out."""
    coo, rng = likings(n_columns=n_columns).tocoo(), np.random.RandomState(1)
    held = rng.rand(coo.nnz) < 0.2
    return tuple(with_ids(sp.csr_matrix((coo.data[part], (coo.row[part], coo.col[part])), shape=coo.shape))
                 for part in (~held, held))


def triples(matrix, users=None, items=None):
    """Users, items and ratings, (n,) each, row by row; ids are rows and columns where they aren't given."""
    coo = matrix.tocoo()
    return (coo.row if users is None else np.asarray(users)[coo.row],
            coo.col if items is None else np.asarray(items)[coo.col], coo.data)


def with_unrated(ratings, users=(), items=()):
    """`Ratings` with more users and items behind the others, which have no rating."""
    matrix = ratings.matrix
    shape = matrix.shape[0] + len(users), matrix.shape[1] + len(items)
    parts = matrix.data, matrix.indices, np.append(matrix.indptr, np.full(len(users), matrix.nnz, np.int32))
    return Ratings(sp.csr_matrix(parts, shape), np.array([*ratings.users, *users]), np.array([*ratings.items, *items]))


# A checkerboard in ids, and settings that learn it in little time.
TRAIN, TEST = (triples(part.astype(int), USERS, ITEMS) for part in checkerboard())
SETTINGS = dict(n_hidden=4, l2=0.01, network=Shallow(weight_scale=0.1), learning_rate=0.02, batch_size=8, n_epochs=60,
                formulation="sparse", progress=False, biases=False, update="adam")
