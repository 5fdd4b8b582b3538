"""`partial_fit` with 1% more ratings against a new fit with all: seconds, errors or NDCG, and lists.

    python partial_fit.py --ml-100k u.data --write docs/guide/new-items.md

A tenth of the ratings is for tests. "time" is the CPU time as a share of a new fit's; "kept" the share of the ten best
items of users without a new rating that stay. One thread: OMP_NUM_THREADS=1.
"""
import copy
import time

import numpy as np
from common import SETS, arguments, parser_of

import sparse_ae

OBJECTIVES, SHARE, USERS = ("ratings", "lists", "clicks"), 0.01, 1500


def main(argv=None):
    parser = parser_of(__doc__, *SETS)
    parser.add_argument("--seeds", type=int, default=1, help="means of so many splits (default: %(default)s)")
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES, choices=OBJECTIVES)
    args, written = arguments(parser, __file__, argv)
    table = written.table("one percent", "", "time", "before", "partial_fit", "a new fit", "kept", "kept by a new fit")
    for name in SETS:
        path = vars(args)[name.replace("-", "_")]
        ratings = path and sparse_ae.load_ratings(path, duplicates="last", progress=False)
        for objective in args.objectives if path else ():
            found = np.mean([one(ratings, objective, seed) for seed in range(args.seeds)], axis=0)
            table.row("%s, %s" % (SETS[name], objective), "%.0f%%" % (100 * found[0]),
                      *["%.4f" % each for each in found[1:4]], *["%.0f%%" % (100 * each) for each in found[4:]])
    written.close()


def one(ratings, objective, seed):
    """The share of time; RMSE or NDCG before, of `partial_fit` and of a new fit; the shares of items that both keep."""
    train, test = sparse_ae.split_ratings(ratings, 0.1, seed)[:2]
    old, new = sparse_ae.split_ratings(train, SHARE, seed)[:2]
    old, new, train, test = (given(each, objective) for each in (old, new, train, test))
    before = sparse_ae.Recommender(objective=objective, rng=seed, progress=False).fit(old)
    updated = copy.deepcopy(before)
    seconds = timed(lambda: updated.partial_fit(new))
    whole = sparse_ae.Recommender(objective=objective, rng=seed, progress=False)
    share = seconds / timed(lambda: whole.fit(train))
    idle = np.setdiff1d(before.users_[before.users_rated_], new[0])
    idle = np.random.RandomState(seed).permutation(idle if len(idle) else before.users_)[:USERS]
    lists = [each.recommend(idle).items for each in (before, updated, whole)]
    kept = [np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(lists[0], each)]) for each in lists[1:]]
    return [share, *[abs(each.score(test)) for each in (before, updated, whole)], *kept]


def given(ratings, objective):
    """Columns of ratings; all of them count as clicks."""
    coo = ratings.matrix.tocoo()
    return ratings.users[coo.row], ratings.items[coo.col], coo.data if objective != "clicks" else np.ones(coo.nnz)


def timed(function):
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
