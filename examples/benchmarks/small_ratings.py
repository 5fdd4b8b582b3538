"""Never worse than biases? `Recommender()` on pure noise, and on parts of the users of sets of ratings.

    python small_ratings.py --filmtrust ratings.txt --ml-100k u.data

"worst" is by how much the test RMSE is above the biases' on the worst seed (below 0: never), "used" in how many seeds
anything beyond biases has a weight. With --tenth the judge is a tenth of the training ratings: choose by that, as with
--chosen, the standard errors of a weight that don't count.
"""
import numpy as np
import scipy.sparse as sp
from common import SETS, arguments, parser_of

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.recommender import guard

NOISE = {  # users, items, ratings, seeds; how ratings are drawn, their mean and their variance
    "noise, 1 to 5": ((60, 40, 1000, 60), lambda rng, n: rng.randint(1, 6, n), 3.0, 2.0),
    "noise, normal": ((200, 20, 1500, 40), lambda rng, n: rng.normal(50, 10, n), 50.0, 100.0),
    "noise, two values": ((100, 300, 3000, 40), lambda rng, n: rng.choice([-1, 1], n), 0.0, 1.0),
    "noise, 300": ((30, 25, 300, 40), lambda rng, n: rng.randint(1, 6, n), 3.0, 2.0),
    "noise, 60": ((15, 12, 60, 40), lambda rng, n: rng.randint(1, 6, n), 3.0, 2.0)}
SHARES, SEEDS = (1.0, 0.5, 0.25, 0.1), range(5)


def main(argv=None):
    parser = parser_of(__doc__, *SETS)
    parser.add_argument("--tenth", action="store_true", help="judge on a tenth of the training ratings")
    parser.add_argument("--chosen", type=float, default=guard.CHOSEN,
                        help="standard errors of a weight that don't count (default: %(default)s)")
    args, written = arguments(parser, __file__, argv)
    guard.CHOSEN = args.chosen
    table = written.table("small ratings", "", "ratings", "RMSE", "biases", "above", "worst", "used")
    for label, cases in list(noise()) + list(parts(args)):
        found = np.array([judge(*case) for case in cases])
        above = found[:, 1] - found[:, 2]
        table.row(label, "%d" % found[:, 0].mean(), *["%.4f" % each for each in (
            found[:, 1].mean(), found[:, 2].mean(), above.mean(), above.max())],
            "%d of %d" % (found[:, 3].sum(), len(found)))
    written.close()


def noise():
    """(label, cases): the error at all pairs, by the mean and the variance of what was drawn."""
    for label, ((users, items, n, seeds), draw, mean, variance) in NOISE.items():
        yield label, [noisy(seed, users, items, n, draw, mean, variance) for seed in range(seeds)]


def noisy(seed, users, items, n, draw, mean, variance):
    rng = np.random.RandomState(1000 + seed)
    cells = np.divmod(rng.choice(users * items, n, replace=False), items)
    pairs = np.divmod(np.arange(users * items), items)
    return (sp.csr_matrix((draw(rng, n).astype(float), cells), (users, items)), *pairs,
            lambda predicted: np.sqrt(np.mean((predicted - mean) ** 2) + variance), seed)


def parts(args):
    """(label, cases) of parts of the users; a tenth of their ratings judges."""
    for name in SETS:
        path = vars(args)[name.replace("-", "_")]
        whole = path and sparse_ae.load_ratings(path, duplicates="last", progress=False).matrix
        for share in SHARES if path else ():
            yield "%s, %d%% of the users" % (SETS[name], 100 * share), [
                part_of(seed, whole, share, args.tenth) for seed in SEEDS]


def part_of(seed, whole, share, tenth):
    users = np.random.RandomState(seed).permutation(whole.shape[0])[:round(share * whole.shape[0])]
    split = sparse_ae.split_ratings(whole[users], 0.1, seed)
    if tenth:
        split = sparse_ae.split_ratings(split.train, 0.1, seed)
    pairs = split.test.tocoo()
    return split.train, pairs.row, pairs.col, lambda predicted: sparse_ae.rmse(pairs.data, predicted), seed


def judge(train, users, items, rmse, seed):
    """The number of ratings, the RMSE of the recommender and of biases, and whether anything else is used."""
    found = sparse_ae.Recommender(progress=False, rng=seed).fit(train)
    biases = np.clip(predict_biases(fit_biases(train), users, items), train.data.min(), train.data.max())
    used = any(found.weights_.values()) or found.biases_.slopes is not None
    return train.nnz, rmse(found.predict(users, items)), rmse(biases), used


if __name__ == "__main__":
    main()
