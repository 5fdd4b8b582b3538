"""Would other constants of `Recommender` be better? Each is changed alone, and judged on ratings that no fit has seen.

    python constants.py --filmtrust ratings.txt --ml-100k u.data --seeds 5

Choose by this table, and leave test ratings alone: a tenth of each set is put aside first, as for tests, and another
tenth judges, anew for each seed. A cell is the gain over the library's own constants, in the first row of its kind:
NDCG@10 of ensembles, RMSE of ratings, with the 95% interval over the seeds. Ensembles are of closed forms with their
first decays. `small_ratings.py --tenth` repeats the choice of the guard's constants.
"""
import contextlib

import numpy as np
from common import SETS, arguments, interval, parser_of

import sparse_ae
from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.recommender import side_trainer, weights
from sparse_ae.recommender.ensemble import fit_closed
from sparse_ae.recommender.members import CLOSED

#: Values beside the library's, by the module's name for them.
LISTS = {"WORTH": (0.0, 0.1, 0.5, 1.0), "PARTS": ((0.1, 0.35), (0.05, 0.1, 0.2), (0.02, 0.05, 0.1, 0.2, 0.35, 0.5))}
RATINGS = {"LESS_DECAY": (0.1, 0.2, 0.5)}
#: Where columns have few ratings: so many on average, of the smaller side; and hidden units, there 96 by default.
PER_COLUMN, HIDDEN = 6, (16, 32, 64)


def main(argv=None):
    parser = parser_of(__doc__, *SETS)
    parser.add_argument("--seeds", type=int, default=3, help="splits of each set (default: %(default)s)")
    args, written = arguments(parser, __file__, argv)
    named = {SETS[name]: vars(args)[name.replace("-", "_")] for name in SETS}
    named["your own"] = args.data
    sets = {label: sparse_ae.load_ratings(path, duplicates="last", progress=False).matrix
            for label, path in named.items() if path}
    splits = {label: [parts(matrix, seed) for seed in range(args.seeds)] for label, matrix in sets.items()}
    table = written.table("validation", "", *splits)
    for kind in (of_lists, of_ratings, of_few):
        found = [[kind(*split) for split in of_set] for of_set in splits.values()]
        first, *others = found[0][0] if found else ()
        table.row(first, *[interval([by_name[first] for by_name in of_set]) for of_set in found])
        for name in others:
            table.row(name, *[interval([by_name[name] - by_name[first] for by_name in of_set]) for of_set in found])
    written.close("%d seeds" % args.seeds)


def parts(matrix, seed):
    """Ratings to train on, those that judge, and the seed; a tenth is in neither."""
    split = sparse_ae.split_ratings(sparse_ae.split_ratings(matrix, 0.1, seed).train, 0.1, seed)
    return split.train, split.test, seed


@contextlib.contextmanager
def changed(module, name, value):
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def of_lists(ratings, judge, seed):
    """{constant: NDCG@10}, the library's first."""
    train, held_out = sparse_ae.split_ratings(ratings, 0.1, seed)[:2]
    members = [fit_closed(form, train, train.data.min()) for form in CLOSED.values()
               if train.shape[1] <= form.most_items]
    pool, judged = (weights.pooled(members, train, ListValidation(train, each, most_users=2000))
                    for each in (held_out, judge))
    initial = {each.name: each.initial_weight for each in members}
    short = [each.short_weight for each in members]

    def ndcg(initial):
        first = np.array(list(initial.values())) / sum(initial.values())
        return judged.by_user(weights.greedy_weights(pool, first, np.array(short) / sum(short))[0]).mean()

    found = {"NDCG@10": ndcg(initial)}
    for name, values in LISTS.items():
        for value in values:
            with changed(weights, name, value):
                found["%s = %s" % (name, value)] = ndcg(initial)
    found["equal initial weights"] = ndcg({name: float(weight > 0) for name, weight in initial.items()})
    for name in [name for name, weight in initial.items() if weight]:
        found["no initial weight of %s" % name] = ndcg(dict(initial, **{name: 0.0}))
    return found


def of_ratings(ratings, judge, seed):
    """{constant: -RMSE}, the library's first."""
    found = {"-RMSE": score(ratings, judge, seed)}
    for name, values in RATINGS.items():
        for value in values:
            with changed(side_trainer, name, value):
                found["%s = %s" % (name, value)] = score(ratings, judge, seed)
    return found


def of_few(ratings, judge, seed):
    """{constant: -RMSE} with `PER_COLUMN` ratings of a column; what is left out judges, too."""
    n = PER_COLUMN * min(np.count_nonzero(np.bincount(each)) for each in ratings.nonzero())
    split = sparse_ae.split_ratings(ratings, max(0.1, 1 - n / ratings.nnz), seed)
    few, judge = split.train, (split.test + judge).tocsr()
    found = {"-RMSE, %d ratings of a column" % PER_COLUMN: score(few, judge, seed)}
    found.update(("n_hidden = %d" % k, score(few, judge, seed, n_hidden=k)) for k in HIDDEN)
    return found


def score(train, judge, seed, **settings):
    pairs = judge.tocoo()
    fitted = sparse_ae.Recommender(progress=False, rng=seed, **settings).fit(train, fits=1)
    return -sparse_ae.rmse(pairs.data, fitted.predict(pairs.row, pairs.col))


if __name__ == "__main__":
    main()
