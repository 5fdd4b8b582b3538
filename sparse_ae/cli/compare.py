"""The command ``compare``: biases, factorisation and autoencoders on a file of ratings."""

import time
from functools import partial

import numpy as np

from sparse_ae.cli.settings import add_ratings, add_settings, load, recommender_of, size

__all__ = ["add_compare"]

# Seconds between two signs of life.
_BETWEEN_SIGNS = 20.0


def add_compare(commands):
    parser = commands.add_parser("compare", usage="%(prog)s [options] ratings",
                                 help="biases, factorisation and autoencoders on a file of ratings",
                                 description="Cut off some ratings for testing, and print how well biases, matrix "
                                             "factorisation and the autoencoders, trained on the others, predict them. "
                                             "Seconds include the compiler's, which works only once.")
    add_ratings(parser)
    parser.add_argument("--test-fraction", type=float, default=0.2, help="of the ratings (default: %(default)s)")
    parser.add_argument("--factors", type=int, default=100, help="of the factorisation (default: %(default)s)")
    add_settings(parser, without=("rows", "missing_weight", "missing_rating", "validation_measure", "feedback"))
    parser.set_defaults(run=_run_compare)


def _run_compare(parsed):
    from sparse_ae.checks import check_rating_scale
    from sparse_ae.data.splits import split_ratings
    from sparse_ae.data.zeros import tell_of_zeros
    from sparse_ae.recommender.defaults import useful_sides
    from sparse_ae.runtime.progress import announced, figure
    # The table is sign of life enough, and what `_signs` says between two rows.
    recommenders = [recommender_of(parsed, rows=rows, progress=False) for rows in ("items", "users", "both")
                    if parsed.biases or rows != "both"]
    ratings = load(parsed)
    if parsed.progress and parsed.rating_scale is None:
        tell_of_zeros(ratings.matrix.data)
    split = split_ratings(ratings, parsed.test_fraction, parsed.rng)
    train, test = ratings.part(split.train), ratings.part(split.test)
    scale = parsed.rating_scale or (float(split.train.data.min()), float(split.train.data.max()))
    check_rating_scale(scale)
    print("%s; tested on %d of them" % (size(ratings, scale), split.test.nnz))
    print("%-28s%9s%10s" % ("", "test RMSE", "seconds"), flush=True)
    sides = useful_sides(("items", "users"), split.train) if parsed.biases else ("items",)
    contenders = [("biases", lambda note: (_error_of_biases(split, scale), "")),
                  ("factorisation", lambda note: (_error_of_factors(split, scale, parsed, note), ""))]
    for recommender in recommenders:
        rows = recommender.rows
        default = sides == (("items", "users") if rows == "both" else (rows,))
        contenders.append(("autoencoder, " + (rows if rows == "both" else rows + " as rows"),
                           partial(_error_of_autoencoder, recommender, train, test, default)))
    for name, error in contenders:
        start = time.perf_counter()
        with announced("%s: under way ..." % name, parsed.progress, after=_BETWEEN_SIGNS):
            rmse, remark = error(_signs(name, parsed.progress))
        print(("%-28s%9s%10.1f  %s" % (name, figure(rmse), time.perf_counter() - start, remark)).rstrip(), flush=True)


def _signs(name, wanted):
    """What `on_epoch` takes: a line on stderr now and then."""
    from sparse_ae.runtime.progress import errors_of, say
    start = time.perf_counter()
    last = [start]

    def note(record, *_):
        now = time.perf_counter()
        if wanted and now - last[0] >= _BETWEEN_SIGNS:
            last[0] = now
            say("%s: epoch %d, %s; %.0f s so far" % (name, record["epoch"], errors_of(record), now - start))

    return note


def _error_of_autoencoder(recommender, train, test, default, note):
    """The error, and what there is to remark on it."""
    error = recommender.fit(train, on_epoch=note).evaluate(test, k=None)["rmse"]
    used = [rows for rows, weight in recommender.weights_.items() if weight]
    remarks = ["what fit takes"] if default else []
    if not used:
        remarks.append("biases alone: no autoencoder was clearly better on validation")
    elif len(used) < len(recommender.weights_):
        remarks.append("%s as rows alone" % used[0])
    return error, "; ".join(remarks)


def _error_of_biases(split, scale):
    from sparse_ae.baselines.biases import fit_biases, predict_biases
    return _clipped_error(split.test, scale, lambda rows, cols: predict_biases(fit_biases(split.train), rows, cols))


def _error_of_factors(split, scale, parsed, on_epoch):
    """By as many passes as are best on a part of the training ratings, on a scale from 1 to 5, for which it is made."""
    from sparse_ae.baselines.factorization import fit_factors, predict_factors
    from sparse_ae.data.splits import split_ratings
    from sparse_ae.recommender.defaults import validation_fraction
    low, high = scale

    def scaled(matrix):
        matrix = matrix.copy()
        matrix.data = 1 + 4 * (matrix.data - low) / (high - low)
        return matrix

    train = scaled(split.train)
    part = split_ratings(train, validation_fraction(train.nnz), parsed.rng)
    errors = []

    def note(record, factors):
        on_epoch(record)
        errors.append(_clipped_error(part.test, (1, 5), lambda rows, cols: predict_factors(factors, rows, cols)))

    fit_factors(part.train, parsed.factors, n_epochs=50, rng=parsed.rng, on_epoch=note)
    factors = fit_factors(train, parsed.factors, n_epochs=int(np.argmin(errors)) + 1, rng=parsed.rng,
                          on_epoch=on_epoch)
    return (high - low) / 4 * _clipped_error(scaled(split.test), (1, 5),
                                             lambda rows, cols: predict_factors(factors, rows, cols))


def _clipped_error(test, scale, predict):
    from sparse_ae.evaluation.metrics import rmse
    pairs = test.tocoo()
    return rmse(pairs.data, np.clip(predict(pairs.row, pairs.col), *scale))
