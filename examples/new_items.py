"""How good are recommendations of new items, without a rating, by their attributes?

    python examples/new_items.py ml-100k                       # MovieLens 100K, unpacked
    python examples/new_items.py ratings.csv --items items.csv

A tenth of the items has no rating in training. Known items are compared with a fit without attributes. MovieLens's are
genres and half decades. Figures are means over seeds, and NDCG@10 unless they say otherwise.
"""
import argparse
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

import sparse_ae
from sparse_ae.baselines.biases import fit_biases

GAINS = 1 / np.log2(np.arange(10) + 2)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ratings", type=Path, help="a folder with u.data and u.item, or a file of ratings")
    parser.add_argument("--items", help="a file of attributes, with names of columns in its first line")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="shallow", help="a closed form, to be quick, such as ease")
    args = parser.parse_args(argv)
    ratings = sparse_ae.load_ratings(args.ratings if args.items else args.ratings / "u.data", progress=False)
    features = args.items or movielens_tags((args.ratings / "u.item").read_text(encoding="latin-1"))
    found = [measure(ratings, features, seed, args.network) for seed in range(args.seeds)]
    for name in found[0]:
        print("%-58s %.4f" % (name, np.mean([each[name] for each in found])))


def movielens_tags(text):
    """The numbers of its genres, and the half decade, of each film: a dict of id to words."""
    tags = {}
    for fields in (line.split("|") for line in text.split("\n") if line):
        year = re.search(r"(\d{4})$", fields[2])
        tags[int(fields[0])] = ["genre %d" % k for k, has in enumerate(fields[5:]) if has == "1"]
        tags[int(fields[0])] += ["from %d" % (int(year.group(1)) // 5 * 5)] if year else []
    return tags


def measure(ratings, features, seed, network):
    """The figures of one seed, by name."""
    rng, coo = np.random.RandomState(seed), ratings.matrix.tocoo()
    columns = np.array([ratings.users[coo.row], ratings.items[coo.col], coo.data], dtype=object)
    new = rng.permutation(len(ratings.items))[:len(ratings.items) // 10]
    is_new, tenth, values = np.isin(coo.col, new), rng.randint(10, size=coo.nnz), coo.data
    old, relevant = ~is_new, values >= values.min() + 0.75 * np.ptp(values)

    def fit(chosen, given, objective="lists", network=network):
        recommender = sparse_ae.Recommender(objective=objective, network=network, progress=False)
        return recommender.fit(tuple(columns[:, chosen]), item_features=given)

    def judge(recommender, chosen, items=None):
        """NDCG@10 and recall@10 of the relevant ones among some ratings."""
        wanted, found = defaultdict(list), []
        for user, item in columns[:2, chosen & relevant].T:
            wanted[user].append(item)
        for user, listed in zip(wanted, recommender.recommend(list(wanted), items=items, unknown="popular").items):
            hits, best = np.isin(listed, wanted[user]), min(10, len(wanted[user]))
            found.append((hits.dot(GAINS[:len(hits)]) / GAINS[:best].sum(), hits.sum() / best))
        return np.mean(found, axis=0)

    found = {"new items among themselves, by attributes": judge(fit(old, features), is_new, ratings.items[new])[0]}
    for name, given in (("without", None), ("with", features)):
        known = fit(old & (tenth > 1), given)
        found["in all lists, %s: all items" % name] = judge(known, is_new | (tenth < 2))[0]
        found["in all lists, %s: known items" % name] = judge(known, old & (tenth < 2))[0]
        found["in all lists, %s: recall@10 of new items" % name] = judge(known, is_new)[1]
        found["no new items, 80/20, %s" % name] = judge(fit(tenth > 1, given), tenth < 2)[0]
        found["no new items, a fifth of the ratings, %s" % name] = judge(fit(tenth > 7, given), tenth < 2)[0]
    (users, items, _), biases = columns[:, is_new], fit_biases(sparse_ae.as_ratings(tuple(columns[:, old])))
    by_attributes = fit(old, features, "ratings", "shallow")
    at = np.searchsorted(by_attributes.users_, users.astype(ratings.users.dtype))
    predicted = {"mu + b_u": np.clip(biases.mean + biases.users[at], values.min(), values.max()),
                 "attributes": by_attributes.predict(users.tolist(), items.tolist())}
    found.update(("ratings of new items: RMSE by " + name, sparse_ae.rmse(values[is_new], each))
                 for name, each in predicted.items())
    return found


if __name__ == "__main__":
    main()
