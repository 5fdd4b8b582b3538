"""How good are recommendations of new items, without a rating, by their attributes?

    python new_items.py ml-100k ml-1m [--write docs/guide/new-items.md]    # MovieLens, unpacked
    python new_items.py ratings.csv --items items.csv
    python new_items.py shop                               # synthetic: 3,000 articles of 20 kinds, 100 of them new

A tenth of the items has no rating in training; known ones are compared with a fit without attributes. MovieLens's are
genres and half decades. `new` places of each list of ten are kept for new items. Figures are means over seeds.
"""
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import arguments, parser_of

import sparse_ae
from sparse_ae.baselines.biases import fit_biases

GAINS = 1 / np.log2(np.arange(10) + 2)
PLACES = 0, 1, 2


def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("ratings", type=Path, nargs="+",
                        help="folders of MovieLens 100K or 1M, a file of ratings, or shop")
    parser.add_argument("--items", help="a file of attributes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="shallow", help="a closed form, to be quick, such as ease")
    args, written = arguments(parser, __file__, argv)
    for path in args.ratings:
        if path == Path("shop"):
            found = [shop(seed, args.network) for seed in range(args.seeds)]
            columns = ["new=%d" % new for new in PLACES]
        else:
            ratings, features = (sparse_ae.load_ratings(path), args.items) if args.items else movielens(path)
            found = [measure(ratings, features, seed, args.network) for seed in range(args.seeds)]
            columns = ["without attributes", "with"]
        table = written.table("%s, %s" % (path.name, args.network), "", *columns)
        for name in found[0]:
            means = np.mean([each[name] for each in found], axis=0)
            table.row(name, *["" if np.isnan(mean) else "%.4f" % mean for mean in means])
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

    def judge(recommender, chosen, items=None, new=None):
        """NDCG@10 and recall@10 of the relevant ones among some ratings; without a recommender of random lists."""
        wanted, found = defaultdict(list), []
        for user, item in columns[:2, chosen & relevant].T:
            wanted[user].append(item)
        lists = ([rng.permutation(items)[:10] for _ in wanted] if recommender is None else
                 recommender.recommend(list(wanted), items=items, unknown="popular", new=new).items)
        for user, listed in zip(wanted, lists):
            hits, best = np.isin(listed, wanted[user]), min(10, len(wanted[user]))
            found.append((hits.dot(GAINS[:len(hits)]) / GAINS[:best].sum(), hits.sum() / best))
        return np.mean(found, axis=0)

    found = defaultdict(list)
    for given in (None, features):
        known = fit(old & (tenth > 1), given)
        found["new items among themselves, NDCG@10"].append(judge(given and known, is_new, ratings.items[new])[0])
        for places in PLACES:
            new_places, said = places if given else 0, "new=%d: " % places
            found[said + "NDCG@10 of all items"].append(judge(known, is_new | (tenth < 2), new=new_places)[0])
            found[said + "of known items"].append(judge(known, old & (tenth < 2), new=new_places)[0])
            found[said + "recall@10 of new items"].append(judge(known, is_new, new=new_places)[1])
    (users, items, _), biases = columns[:, is_new], fit_biases(sparse_ae.as_ratings(tuple(columns[:, old])))
    fitted = fit(old, features, "ratings", "shallow")
    at = np.searchsorted(fitted.users_, users.astype(ratings.users.dtype))
    for predicted in (np.clip(biases.mean + biases.users[at], values.min(), values.max()),
                      fitted.predict(users.tolist(), items.tolist())):
        found["ratings of new items, RMSE"].append(sparse_ae.rmse(values[is_new], predicted))
    return found


def shop(seed, network, n_customers=5000, n_articles=3000, n_new=100, n_orders=100000):
    """The figures of a synthetic shop by name, for each number of places. Articles have a kind, customers like three
    of 20: four fifths of their orders are of these."""
    rng = np.random.RandomState(seed)
    kinds, likes = rng.randint(20, size=n_articles), np.argsort(rng.rand(n_customers, 20))[:, :3]
    odds = np.where(np.arange(n_articles) < n_new, 0, 1 / (20 + rng.permutation(n_articles)))  # the first are new
    customers = rng.randint(n_customers, size=n_orders)
    wanted = np.where(rng.rand(n_orders) < 0.8, likes[customers, rng.randint(3, size=n_orders)],
                      rng.randint(20, size=n_orders))
    articles = np.zeros(n_orders, int)
    for kind in range(20):
        of_kind, = np.nonzero(wanted == kind)
        articles[of_kind] = rng.choice(n_articles, len(of_kind), p=(odds * (kinds == kind)) / odds[kinds == kind].sum())
    pairs = rng.permutation(np.unique(customers * n_articles + articles))
    test, train = np.split(pairs, [len(pairs) // 10])
    attributes = {article: ["kind %d" % kind] for article, kind in enumerate(kinds)}
    recommender = sparse_ae.Recommender(objective="clicks", network=network, progress=False).fit(
        (train // n_articles, train % n_articles), item_features=attributes)
    found = defaultdict(list)
    for new in PLACES:
        lists = np.stack(recommender.recommend(np.arange(n_customers), new=new, unknown="popular").items)
        are_new = lists < n_new
        liked = (kinds[lists][..., np.newaxis] == likes[:, np.newaxis]).any(axis=2)
        found["customers with a new article in their list"].append(are_new.any(axis=1).mean())
        found["of these articles, of a kind that the customer likes"].append(liked[are_new].mean() if new else np.nan)
        listed = np.arange(n_customers)[:, np.newaxis] * n_articles + lists
        found["orders of known articles that were held out, in the lists"].append(np.isin(test, listed).mean())
    return found


if __name__ == "__main__":
    main()
