"""How good are recommendations of new items, without a rating, by their attributes?

    python new_items.py ml-100k ml-1m [--write docs/guide/new-items.md]    # MovieLens, unpacked
    python new_items.py ratings.csv --items items.csv

A tenth of the items has no rating in training; known ones are compared with a fit without attributes. MovieLens's are
genres and half decades. Figures are means over seeds.
"""
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import arguments, parser_of

import sparse_ae
from sparse_ae.baselines.biases import fit_biases

GAINS = 1 / np.log2(np.arange(10) + 2)


def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("ratings", type=Path, nargs="+", help="folders of MovieLens 100K or 1M, or a file of ratings")
    parser.add_argument("--items", help="a file of attributes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="shallow", help="a closed form, to be quick, such as ease")
    args, written = arguments(parser, __file__, argv)
    for path in args.ratings:
        ratings, features = (sparse_ae.load_ratings(path), args.items) if args.items else movielens(path)
        found = [measure(ratings, features, seed, args.network) for seed in range(args.seeds)]
        table = written.table("%s, %s" % (path.name, args.network), "", "without attributes", "with")
        for name in found[0]:
            table.row(name, *["%.4f" % each for each in np.mean([each[name] for each in found], axis=0)])
    written.close("%d seeds" % args.seeds)


def movielens(folder):
    """The ratings of an unpacked MovieLens 100K or 1M; and genres and half decade of each film, by id."""
    is_old, tags = (folder / "u.item").exists(), {}
    for line in (folder / ("u.item" if is_old else "movies.dat")).read_text(encoding="latin-1").splitlines():
        fields = line.split("|" if is_old else "::")
        year = re.search(r"(\d{4})\)?$", fields[2 if is_old else 1])
        genres = ["genre %d" % k for k, has in enumerate(fields[5:]) if has == "1"] if is_old else fields[2].split("|")
        tags[int(fields[0])] = genres + (["from %d" % (int(year.group(1)) // 5 * 5)] if year else [])
    return sparse_ae.load_ratings(folder / ("u.data" if is_old else "ratings.dat")), tags


def measure(ratings, features, seed, network):
    """The figures of one seed by name, without attributes and with."""
    rng, coo = np.random.RandomState(seed), ratings.matrix.tocoo()
    columns = np.array([ratings.users[coo.row], ratings.items[coo.col], coo.data], dtype=object)
    new = rng.permutation(len(ratings.items))[:len(ratings.items) // 10]
    is_new, tenth, values = np.isin(coo.col, new), rng.randint(10, size=coo.nnz), coo.data
    old, relevant = ~is_new, values >= values.min() + 0.75 * np.ptp(values)

    def fit(chosen, given, objective="lists", network=network):
        recommender = sparse_ae.Recommender(objective=objective, network=network, progress=False)
        return recommender.fit(tuple(columns[:, chosen]), item_features=given)

    def judge(recommender, chosen, items=None):
        """NDCG@10 and recall@10 of the relevant ones among some ratings; without a recommender of random lists."""
        wanted, found = defaultdict(list), []
        for user, item in columns[:2, chosen & relevant].T:
            wanted[user].append(item)
        lists = ([rng.permutation(items)[:10] for _ in wanted] if recommender is None else
                 recommender.recommend(list(wanted), items=items, unknown="popular").items)
        for user, listed in zip(wanted, lists):
            hits, best = np.isin(listed, wanted[user]), min(10, len(wanted[user]))
            found.append((hits.dot(GAINS[:len(hits)]) / GAINS[:best].sum(), hits.sum() / best))
        return np.mean(found, axis=0)

    found = defaultdict(list)
    for given in (None, features):
        known = fit(old & (tenth > 1), given)
        found["new items among themselves, NDCG@10"].append(judge(given and known, is_new, ratings.items[new])[0])
        found["lists of all items, NDCG@10"].append(judge(known, is_new | (tenth < 2))[0])
        found["of known items"].append(judge(known, old & (tenth < 2))[0])
        found["recall@10 of new items"].append(judge(known, is_new)[1])
        found["no new items, four fifths of the ratings, NDCG@10"].append(judge(fit(tenth > 1, given), tenth < 2)[0])
        found["a fifth of the ratings"].append(judge(fit(tenth > 7, given), tenth < 2)[0])
    (users, items, _), biases = columns[:, is_new], fit_biases(sparse_ae.as_ratings(tuple(columns[:, old])))
    fitted = fit(old, features, "ratings", "shallow")
    at = np.searchsorted(fitted.users_, users.astype(ratings.users.dtype))
    for predicted in (np.clip(biases.mean + biases.users[at], values.min(), values.max()),
                      fitted.predict(users.tolist(), items.tolist())):
        found["ratings of new items, RMSE"].append(sparse_ae.rmse(values[is_new], predicted))
    return found


if __name__ == "__main__":
    main()
