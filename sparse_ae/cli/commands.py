"""The commands: each calls the library with its parsed options, and prints the result."""
import csv
import itertools
import math
import re
import sys
import time
from pathlib import Path

import numpy as np

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.checks import brief, check_rating_scale, errors_at
from sparse_ae.cli.settings import load, recommender_of, validation_of
from sparse_ae.data import readers
from sparse_ae.data.columns import tell_of_zeros
from sparse_ae.data.events import with_ids_like
from sparse_ae.data.ids import with_other_zeros
from sparse_ae.data.ratings import named_columns, part_of, rating_counts
from sparse_ae.data.readers.sources import on_disk
from sparse_ae.data.times import as_date
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.evaluation.report import check_replaceable as check_report
from sparse_ae.files.storage import check_replaceable
from sparse_ae.recommender.defaults import validation_fraction
from sparse_ae.recommender.held_out import nothing_known
from sparse_ae.recommender.settings import result_line, validation_line
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.runtime.progress import announced, figure, fitting, say

# Of matrix factorisation, which compare trains.
_N_FACTORS = 100


def info(parsed):
    """Print versions, the device, and missing parts."""
    from sparse_ae.cli.info import info
    print(info())


def compare(parsed):
    """Print a table of test errors of biases, factorisation and autoencoders."""
    recommender, ratings = recommender_of(parsed), load(parsed)
    if parsed.progress and parsed.rating_scale is None:
        tell_of_zeros(ratings.matrix.data)
    train, test = (sparse_ae.split_by_time(ratings, parsed.test_fraction) if parsed.by_time else
                   sparse_ae.split_ratings(ratings, parsed.test_fraction, recommender.rng))[:2]
    values, of_train, pairs = train.matrix.data, rating_counts(train.matrix), test.matrix.tocoo()
    scale = check_rating_scale(recommender.rating_scale or (float(values.min()), float(values.max())))
    n_unknown = np.count_nonzero((of_train[0][pairs.row] == 0) | (of_train[1][pairs.col] == 0))
    print(fitting("%s; tested on %d of them, %d with a user or an item without a training rating"
                  % (_size(ratings, scale), pairs.nnz, n_unknown), sys.stdout))
    print("%-28s%9s%10s" % ("", "test RMSE", "seconds"), flush=True)
    for name, contend in _contenders(recommender, train, test, scale).items():
        start = time.perf_counter()
        with announced("%s: under way ..." % name, parsed.progress):
            error, remark = contend()
        line = "%-28s%9s%10.1f  %s" % (name, figure(error), time.perf_counter() - start, remark)
        print(fitting(line.rstrip(), sys.stdout), flush=True)


def _contenders(recommender, train, test, scale):
    """{name: function}: each trains by the recommender's settings, and returns its test RMSE and a remark."""
    return {"biases": lambda: (_clipped_error(test.matrix, scale, predict_biases, fit_biases(train)), ""),
            "factorisation": lambda: (_factors(train.matrix, test.matrix, scale, recommender.rng), ""),
            "autoencoders, as in fit": lambda: _autoencoders(recommender, train, test)}


def _factors(train, test, scale, rng):
    """The error of factors after the number of passes that is best on validation ratings, on their scale, 1 to 5."""
    from sparse_ae.baselines.factorization import fit_factors, predict_factors
    low, high = scale

    def scaled(matrix):
        matrix = matrix.copy()
        matrix.data = 1 + 4 * (matrix.data - low) / (high - low)
        return matrix

    train, errors = scaled(train), []
    part = sparse_ae.split_ratings(train, validation_fraction(train.nnz), rng)
    fit_factors(part.train, _N_FACTORS, n_epochs=50, rng=rng,
                on_epoch=lambda record, factors: errors.append(
                    _clipped_error(part.test, (1, 5), predict_factors, factors)))
    factors = fit_factors(train, _N_FACTORS, n_epochs=int(np.argmin(errors)) + 1, rng=rng)
    return (high - low) / 4 * _clipped_error(scaled(test), (1, 5), predict_factors, factors)


def _autoencoders(recommender, train, test):
    try:
        fitted = recommender.fit(train)
    except ArithmeticError:
        return float("nan"), "training diverged"
    if fitted.interrupted_:
        raise KeyboardInterrupt
    used = " and ".join(side for side, weight in fitted.weights_.items() if weight)
    return fitted.evaluate(test, k=None)["rmse"], (
        "%s as rows" % used if used else "biases alone: no autoencoder was clearly better on validation")


def _clipped_error(test, scale, predict, model):
    pairs = test.tocoo()
    return rmse(pairs.data, np.clip(predict(model, pairs.row, pairs.col), *scale))


def fit(parsed):
    """Fit a model to a file of ratings and save it; a KeyboardInterrupt tells what is saved, and how to go on."""
    path, checkpoint = parsed.output, parsed.checkpoint
    beside = Path(path).with_name("%s.interrupted%s" % (Path(path).stem, Path(path).suffix))
    try:
        recommender = recommender_of(parsed)
        for each in path, beside:
            check_replaceable(each)
            if checkpoint is not None and Path(checkpoint).absolute() == Path(each).absolute():
                raise ValueError("--checkpoint is %s, where the model goes; expected another file" % checkpoint)
        ratings = load(parsed)
        fitted = recommender.fit(
            ratings, validation=validation_of(parsed), checkpoint=checkpoint, resume=checkpoint is not None,
            refit=parsed.refit, seconds=parsed.seconds, fits=parsed.fits, item_features=parsed.item_features,
            user_features=parsed.user_features)
        with sigint_as_flag() as late:
            fitted.save(beside if fitted.interrupted_ else path)
        if fitted.interrupted_:
            raise KeyboardInterrupt("the model so far is saved to %s, and not to %s" % (beside, path))
        if late:
            raise KeyboardInterrupt("the model is saved to %s" % path)
    except KeyboardInterrupt as end:
        kept = end.args or ("no model was saved",)
        # Later trainings have files with a number, as `Recommender.fit` says.
        if checkpoint is not None and any(re.fullmatch(re.escape(Path(checkpoint).name) + r"(\.\d+)?", each.name)
                                          for each in Path(checkpoint).absolute().parent.glob("*")):
            kept += ("the same command continues from %s" % checkpoint,)
        raise KeyboardInterrupt(*kept) from None
    _say_what_was_chosen(fitted, ratings, path)


def update(parsed):
    """Add ratings and attributes to a saved model, and save it."""
    check_replaceable(parsed.output)
    recommender, more = sparse_ae.Recommender.load(parsed.model), {}
    has_counts = parsed.ratings is not None and recommender.takes_counts
    if has_counts:
        more["returns"] = parsed.returns
        parsed.returns = "keep"  # until they are added to those of the fit
    elif parsed.again:
        raise ValueError("--again was given without a file of counts; leave it out: a rating that comes again replaces "
                         "the earlier one")
    ratings = parsed.ratings and load(parsed, counts=recommender.takes_counts)
    if has_counts and not parsed.again:
        _refuse_seen(recommender.last_time_, ratings, parsed)
    # A file is read in the columns of the fit's attributes.
    recommender.partial_fit(ratings, item_features=parsed.item_features, user_features=parsed.user_features, **more)
    recommender.save(parsed.output)
    print("saved to %s" % parsed.output)


def _refuse_seen(last, ratings, parsed):
    """ValueError for counts with times that a model has seen: they would be added once more."""
    lines = named_columns(ratings.events or ratings)
    seen = [] if last is None or "timestamp" not in lines else np.flatnonzero(lines["timestamp"] <= last)
    if len(seen):
        raise ValueError("%s: %d of %d orders are of %s or before, the last time that %s has seen, such as user %.60s, "
                         "item %.60s; leave them out, since counts are added up, or pass --again if they are new"
                         % (parsed.ratings, len(seen), len(lines["user"]), as_date(last), parsed.model,
                            lines["user"][seen[0]], lines["item"][seen[0]]))


def _size(ratings, scale):
    matrix = ratings.matrix
    return "%d ratings from %g to %g, %d users, %d items" % ((matrix.nnz,) + tuple(scale) + matrix.shape)


def _say_what_was_chosen(recommender, ratings, path):
    """Print the results of validation, and the settings that `fit` has chosen."""
    lines = ["%d pairs of %d users and %d items" % ((ratings.matrix.nnz,) + ratings.matrix.shape)
             if recommender.takes_counts else _size(ratings, recommender.rating_scale_)]
    # Progress on the same terminal has shown the results.
    are_shown = recommender.progress and sys.stdout.isatty() and sys.stderr.isatty()
    for metric, found in (("RMSE (known users and items)", recommender.validation_rmse_),
                          (recommender.measure, recommender.validation_lists_)):
        if found and not are_shown:
            lines.append(validation_line(metric, found))
    lines += str(recommender).split("\n")[1:]
    lines += ["attributes of %s: %r" % each for each in recommender.features_.items()]
    lines += [] if are_shown else [result_line(recommender)]
    print(*(fitting(line, sys.stdout) for line in lines + ["saved to %s" % path]), sep="\n")


def recommend(parsed):
    """Print the best items for some users."""
    if bool(parsed.user) == parsed.all:
        raise ValueError("recommend takes --user ID ... or --all; expected one of the two")
    recommender = sparse_ae.Recommender.load(parsed.model).set_params(progress=True)  # it tells of unknown users
    users = recommender.users_ if parsed.all else _ids(parsed.user, recommender.users_, "user")
    items = None if parsed.items is None else _ids(parsed.items, recommender.items_, "item")
    found = recommender.recommend(users, n=parsed.n, exclude_seen=not parsed.include_seen, items=items, new=parsed.new)
    several = parsed.all or len(parsed.user) > 1
    _print_table(parsed, recommender, ["user"] * several + ["item", "score"], (
        [user] * several + [item, score] for user, (items, scores) in zip(parsed.user or users.tolist(), found)
        for item, score in zip(items.tolist(), scores.tolist())))


def predict(parsed):
    """Print the predicted ratings of some pairs."""
    by_options = [parsed.pairs is None, parsed.user is not None, parsed.item is not None]
    if any(by_options) != all(by_options):
        raise ValueError("predict takes a file of pairs, or --user and --item; expected one of the two")
    recommender = sparse_ae.Recommender.load(parsed.model)
    if parsed.pairs is None:
        users, items = [parsed.user] * len(parsed.item), parsed.item
        u, i = _ids(users, recommender.users_, "user"), _ids(items, recommender.items_, "item")
    else:
        users, items, u, i = _read_pairs(Path(parsed.pairs), recommender.users_, recommender.items_)
    unknown = np.flatnonzero(np.minimum(*recommender.fitted_.pairs(u, i)) < 0)
    if len(unknown):
        first = users[unknown[0]], items[unknown[0]]
        hints = "".join(map(with_other_zeros, first, (recommender.users_, recommender.items_)))
        say("%d of %d pairs have a user or an item without a rating in fit, such as user %.60s, item %.60s%s: check "
            "the ids, and the order of the columns" % (len(unknown), len(users), *first, hints))
    _print_table(parsed, recommender, ["user", "item", "predicted"],
                 zip(users, items, recommender.predict(u, i).tolist()))


def evaluate(parsed):
    """Print the metrics of held-out ratings."""
    recommender = sparse_ae.Recommender.load(parsed.model)
    ratings = load(parsed, counts=recommender.takes_counts)
    metrics = recommender.evaluate(ratings, k=parsed.k or None, relevant=parsed.relevant)
    for name, value in metrics.items():
        print("%s: %s" % (name, value if isinstance(value, int) else figure(value)))
    if metrics["n_unknown"] == metrics["n_ratings"]:
        say(nothing_known(ratings.users, ratings.items))
    if metrics["n_trained"]:
        missed = ", and count as misses, since rated items are not recommended" if "n_users" in metrics else ""
        say("%d of these %d pairs were used in fit: they don't show how well others are predicted%s; leave them out of "
            "the file" % (metrics["n_trained"], metrics["n_ratings"], missed))


def report(parsed):
    """Write a page about a model and held-out ratings."""
    from sparse_ae.data.datasets.titles import load_titles
    check_report(parsed.output)
    recommender = sparse_ae.Recommender.load(parsed.model)
    ratings = _without_known(recommender, load(parsed, parsed.test, recommender.takes_counts))
    titles = None if parsed.titles is None else load_titles(parsed.titles)
    heading = "%s, tested on %s" % (Path(parsed.model).name, Path(parsed.test).name)
    recommender.report(ratings, titles, parsed.k, heading).save(parsed.output)
    print("saved to %s" % parsed.output)


def _without_known(recommender, ratings):
    """Counts without the pairs that were used in fit, which aren't recommended: a file of new orders has some."""
    ratings = with_ids_like(ratings, users=recommender.users_, items=recommender.items_)
    coo, fitted = ratings.matrix.tocoo(), recommender.fitted_
    known = fitted.are_rated(*fitted.pairs(ratings.users[coo.row], ratings.items[coo.col]))
    if not recommender.takes_counts or known.all() or not known.any():
        return ratings
    say("%d of %d pairs were used in fit, and are left out: the report is about items that are new to the user"
        % (np.count_nonzero(known), len(known)))
    return part_of(ratings, ~known)


def _print_table(parsed, recommender, names, rows):
    """Print rows whose last field is a rating or score: four decimals, and more on a scale of less than 1."""
    low, high = recommender.rating_scale_
    decimals = 4 + max(0, -math.floor(math.log10(high - low)))
    rows = itertools.chain([list(names)] * (parsed.header or parsed.csv),
                           (list(row[:-1]) + ["%.*f" % (decimals, row[-1])] for row in rows))
    csv.writer(sys.stdout, delimiter="," if parsed.csv else "\t", lineterminator="\n").writerows(rows)


def _ids(words, known, name):
    """Ids as the model has them: strings, or numbers, written as 7, not as 007 or 1_0."""
    if known.dtype.kind == "U":
        return words
    if not all(re.fullmatch("0|-?[1-9][0-9]{0,18}", word) for word in words):
        raise ValueError("%s %s: the ids of %ss in this model are numbers, such as %d"
                         % (name, brief(", ".join(words)), name, known[0]))
    return [int(word) for word in words]


def _read_pairs(path, *known):
    """Users and items of a text file, read as `load_ratings` reads pairs: as texts, and as ids of a model."""
    pairs, ids = [], []
    with on_disk(path) as file:
        for block in readers.pairs(file, progress=True):
            texts = [np.array(list(map(str, each)), dtype=object)[places]
                     for each, places in (block.users, block.items)]
            for number, *pair in zip(block.lines, *texts):
                with errors_at("%s, line %d" % (path, number)):
                    ids.append([_ids([text], each, name)[0] for text, name, each in zip(pair, ("user", "item"), known)])
                pairs.append(pair)
    return [list(column) for column in itertools.chain(zip(*pairs), zip(*ids))]
