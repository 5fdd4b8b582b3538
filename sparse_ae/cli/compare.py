"""The command ``compare``: compare biases, factorisation and autoencoders on a file of ratings."""
import time

from sparse_ae.cli.settings import add_ratings, add_settings, load, recommender_of, size

# Seconds between two progress reports.
_BETWEEN_REPORTS = 20.0


def add_compare(commands):
    """Add the command ``compare``."""
    parser = commands.add_parser("compare", usage="%(prog)s [options] ratings",
                                 help="compare biases, factorisation and autoencoders on a file of ratings",
                                 description="Hold out test ratings, train biases, matrix factorisation and "
                                             "autoencoders on the others, and print the test RMSE of each. Seconds "
                                             "include compilation, which happens once.")
    add_ratings(parser)
    parser.add_argument("--test-fraction", type=float, default=0.2, help="fraction of the ratings to test on (default: "
                                                                         "%(default)s)")
    parser.add_argument("--factors", type=int, default=100, help="number of factors of the factorisation (default: "
                                                                 "%(default)s)")
    add_settings(parser, without=("rows", "objective", "network"))
    parser.set_defaults(run=_run_compare)


def _run_compare(parsed):
    from sparse_ae.cli.comparing import contenders, split_for_test
    from sparse_ae.data.zeros import tell_of_zeros
    from sparse_ae.runtime.progress import announced, figure
    # The table shows progress, with the lines of `_reporter` between two rows.
    recommender = recommender_of(parsed, progress=False)
    ratings = load(parsed)
    if parsed.progress and parsed.rating_scale is None:
        tell_of_zeros(ratings.matrix.data)
    train, test, scale = split_for_test(recommender, ratings, parsed.test_fraction)
    print("%s; tested on %d of them" % (size(ratings, scale), test.matrix.nnz))
    print("%-28s%9s%10s" % ("", "test RMSE", "seconds"), flush=True)
    for name, contend in contenders(recommender, train, test, scale, parsed.factors).items():
        start = time.perf_counter()
        with announced("%s: under way ..." % name, parsed.progress, after=_BETWEEN_REPORTS):
            rmse, remark = contend(_reporter(name, parsed.progress))
        print(("%-28s%9s%10.1f  %s" % (name, figure(rmse), time.perf_counter() - start, remark)).rstrip(), flush=True)


def _reporter(name, wanted):
    """A function of an epoch's record that says a line on stderr now and then."""
    from sparse_ae.runtime.progress import errors_of, say
    start = last = time.perf_counter()

    def report(record):
        nonlocal last
        now = time.perf_counter()
        if wanted and now - last >= _BETWEEN_REPORTS:
            last = now
            say("%s: epoch %d, %s; %.0f s so far" % (name, record["epoch"], errors_of(record), now - start))

    return report
