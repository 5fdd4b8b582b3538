"""Whose lists are best? The lists of ten of several models, by what people rated 4 or 5 and the models have not seen.

    python top_n_table.py --ml-100k u.data --ml-1m ml-1m.zip
    python top_n_table.py --ml-100k u.data --picture missing-weight.png    # draws that alone

Each model is trained on a random 80% of the ratings and ranks all items that a user hasn't rated there; relevant are
held-out ratings from three quarters up the scale. Then "strangers", new users: a tenth of the users are left out of the
training, folded in by 80% of their ratings, and judged by the others. Settings are chosen by NDCG at 10 on a tenth of
the first split's training ratings. "blend" is `Recommender(objective="lists")`, "closed form" its members alone.
"""
import importlib.util
import itertools
import time
import types
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from common import arguments, interval, movielens_matrices, parser_of

import sparse_ae
from sparse_ae.baselines.lists import fit_ease, fit_neighbours, fit_popular
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.evaluation.rankings import evaluate_lists
from sparse_ae.recommender.members import CLOSED
from sparse_ae.training.objectives import Missing

K, SEEDS = 10, range(5)
MEASURES = ("ndcg", "recall", "precision", "hit_rate", "map", "mrr", "coverage", "popularity")
WEIGHTS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0)


class ByRatings:
    """A model of `sparse_ae.baselines.lists`, by the function that fits it: scores from ratings."""

    def __init__(self, fit=None):
        self._fit = fit

    def fit(self, train, **settings):
        self._model = self._fit(train, **settings)

    def scores(self, ratings, users):
        """Of some users, known by their numbers or, where those are None, by nothing but their ratings."""
        return self._model.scores(ratings)

    def measures(self, split):
        return evaluate_lists(lambda rows: self.scores(split.known[rows], None if split.strange else rows), split.known,
                              split.held_out, K)


def fit_random(train):
    """Another order for everybody."""
    rng = np.random.RandomState(0)
    return types.SimpleNamespace(scores=lambda ratings: rng.rand(*ratings.shape))


class Implicit(ByRatings):
    """A model of `implicit`; the ratings are its confidences."""

    def __init__(self, name):
        self._name = name

    def fit(self, train, **settings):
        import implicit
        kind = {"als": implicit.als.AlternatingLeastSquares, "bpr": implicit.bpr.BayesianPersonalizedRanking}
        self._model = kind[self._name](random_state=0, **settings)
        self._model.fit(train, show_progress=False)

    def scores(self, ratings, users):
        return self._model.user_factors[users].dot(self._model.item_factors.T)


class Autoencoder(ByRatings):
    """`Recommender` by matrices: its users and items are numbers."""

    def fit(self, train, **settings):
        self._recommender = sparse_ae.Recommender(progress=False, **settings).fit(train)

    def scores(self, ratings, users):
        people = [dict(zip(row.indices.tolist(), row.data.tolist())) for row in ratings]
        return np.stack([person.predict(np.arange(ratings.shape[1])) for person in self._recommender.fold_in(people)])

    def measures(self, split):
        return super().measures(split) if split.strange else self._recommender.evaluate(split.held_out, k=K)


class Split(NamedTuple):
    """Ratings to train on, what is known of those who are judged, held-out ratings, and whether they are strangers."""

    train: sp.csr_matrix
    known: sp.csr_matrix
    held_out: sp.csr_matrix
    strange: bool = False


def contenders():
    """(name, model, grid of settings, whether it takes strangers)."""
    found = [
        ("random", ByRatings(fit_random), {}, False),
        ("most popular", ByRatings(fit_popular), {}, True),
        ("item k-NN, cosine", ByRatings(fit_neighbours), {"k": (50, 200), "shrinkage": (10.0, 100.0)}, True),
        ("EASE", ByRatings(fit_ease), {"l2": (500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)}, True),
    ]
    if importlib.util.find_spec("implicit"):
        found += [("implicit, ALS", Implicit("als"),
                   {"factors": (64, 128), "regularization": (0.1, 10.0), "alpha": (1.0, 5.0)}, False),
                  ("implicit, BPR", Implicit("bpr"), {"factors": (64,), "iterations": (100, 300)}, False)]
    found += [("autoencoder, w = 0", Autoencoder(), {"rows": ("both",), "objective": ("ratings",)}, False)]
    for rows in ("users", "items", "both"):
        found.append(("autoencoder, " + rows, Autoencoder(),
                      {"rows": (rows,), "objective": tuple(map(Missing, (0.1, 0.2, 0.4)))}, True))
    # Their decays are chosen within `fit`, by ratings that it cuts off.
    for name in CLOSED:
        if name != "popular":
            found.append(("closed form, " + name, Autoencoder(), {"objective": ("lists",), "network": (name,)}, True))
    found.append(("blend", Autoencoder(), {"objective": ("lists",)}, True))
    return found


def main(argv=None):
    parser = parser_of(__doc__, "ml-100k", "ml-1m")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only models whose names hold one of these words")
    parser.add_argument("--picture", metavar="FILE",
                        help="draw the trade-off of the first set of ratings there, and print no table")
    args, written = arguments(parser, __file__, argv)
    sets = movielens_matrices(args, "100k", "1m")
    if args.picture:
        return draw(*next(sets), args.picture)
    for label, matrix in sets:
        models = [each for each in contenders() if not args.models or any(word in each[0] for word in args.models)]
        chosen = choose(matrix, models)
        table(written, label + ", 80/20", models, chosen, [split_of(matrix, seed) for seed in SEEDS])
        table(written, label + ", strangers", [each for each in models if each[3]], chosen,
              [strangers_of(matrix, seed) for seed in SEEDS])
    written.close()


def split_of(matrix, seed, test_fraction=0.2):
    train, test = sparse_ae.split_ratings(matrix, test_fraction, seed)[:2]
    return Split(train, train, test)


def strangers_of(matrix, seed):
    """A tenth of the users aren't in the training ratings at all."""
    strange = np.random.RandomState(seed).permutation(matrix.shape[0]) < matrix.shape[0] // 10
    known, held_out = sparse_ae.split_ratings(matrix, 0.2, seed)[:2]
    others, of_strangers = (sp.diags(mask.astype(np.float32)).tocsr() for mask in (~strange, strange))
    train, known = others.dot(matrix), of_strangers.dot(known)
    return Split(train, train + known, of_strangers.dot(held_out), True)


def choose(matrix, models):
    """The best settings of each model, by validation NDCG at K."""
    inner = split_of(split_of(matrix, 0).train, 0, 0.1)
    chosen = {}
    for name, model, grid, _ in models:
        combinations = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
        if len(combinations) > 1:
            found = [judge(model, inner, settings)[0]["ndcg"] for settings in combinations]
            chosen[name] = combinations[int(np.argmax(found))]
            print("  %s: %s" % (name, ", ".join("%s=%s" % each for each in chosen[name].items())), flush=True)
        else:
            chosen[name] = combinations[0]
    return chosen


def judge(model, split, settings):
    """The measures of a model's lists, and its seconds of training."""
    start = time.perf_counter()
    model.fit(split.train, **settings)
    seconds = time.perf_counter() - start
    return model.measures(split), seconds


def table(written, label, models, chosen, splits):
    """Print means over the splits, and by how much the last model's NDCG is higher than those of the others."""
    shown = written.table(label, "", "NDCG@%d" % K, "recall@%d" % K,
                          *[measure.replace("_", " ") for measure in MEASURES[2:]] + ["seconds"])
    ndcg = {}
    for name, model, _, _ in models:
        results = [judge(model, split, chosen[name]) for split in splits]
        columns = [np.array([result[0][measure] for result in results]) for measure in MEASURES]
        ndcg[name] = columns[0]
        seconds = np.mean([result[1] for result in results[1:] or results])
        shown.row(name, *[interval(column) for column in columns] + ["%.1f" % seconds])
    last = ndcg.pop(models[-1][0])
    compared = written.table(label + ", differences", "", "NDCG@%d: %s less this" % (K, models[-1][0]))
    for name, of_model in ndcg.items():
        compared.row(name, interval(last - of_model))


def draw(label, matrix, path):
    """NDCG at K and the RMSE against the weight of missing entries."""
    from matplotlib.figure import Figure
    train, _, test, _ = split_of(matrix, 0)
    entries = test.tocoo()
    low, high = matrix.data.min(), matrix.data.max()
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    places = np.arange(len(WEIGHTS))
    for m, colour in ((low - (high - low) / 4, "#0072B2"), (low + (high - low) / 4, "#D55E00")):
        found = []
        for w in WEIGHTS:
            objective = Missing(w, m) if w else "ratings"
            # Without the guard: else it is the most popular items that are judged where these are better.
            recommender = sparse_ae.Recommender(rows="users", biases="unguarded", objective=objective,
                                                progress=False).fit(train)
            error = rmse(entries.data, recommender.predict(entries.row, entries.col))  # `evaluate` has none of scores
            found.append(dict(recommender.evaluate(test, k=K), rmse=error))
            print("w=%g, m=%g: NDCG@%d %.4f, RMSE %.4f" % (w, m, K, found[-1]["ndcg"], found[-1]["rmse"]), flush=True)
        for ax, measure in zip(axes, ("ndcg", "rmse")):
            ax.plot(places, [each[measure] for each in found], color=colour, marker="o", linewidth=2,
                    label="a missing entry counts as a rating of %g" % m)
    titles = "NDCG@%d: the higher, the better lists" % K, "RMSE: the lower, the better predictions"
    for ax, title in zip(axes, titles):
        ax.set_title(title, fontsize="medium")
        ax.set_xticks(places, ["%g" % w for w in WEIGHTS])
        ax.set_xlabel("weight of missing entries")
        ax.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False)
    figure.suptitle("%s, users as rows, one split" % label)
    figure.savefig(path, dpi=120)
    print("drawn: %s" % path)


if __name__ == "__main__":
    main()
