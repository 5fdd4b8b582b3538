"""Commands that learn from a file of ratings: ``fit``, and ``tune``, which looks for better settings first."""

from sparse_ae.cli.settings import (
    add_fits,
    add_ratings,
    add_settings,
    add_validation,
    load,
    recommender_of,
    size,
    validation_of,
)


def add_fit(commands):
    """Add the command ``fit``."""
    parser = commands.add_parser("fit", usage="%(prog)s [options] ratings -o MODEL",
                                 help="fit a model to a file of ratings, and save it",
                                 description="Fit a model to a file of ratings, save it, and print the settings that "
                                             "were chosen.")
    add_ratings(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write, such as model.npz")
    add_validation(parser)
    parser.add_argument("--no-refit", dest="refit", action="store_false",
                        help="don't train again on all ratings after validation: half the time or less, slightly less "
                             "accurate")
    add_fits(parser)
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="keep a checkpoint in this file, and continue from it if it exists")
    parser.add_argument("--seconds", type=float,
                        help="time limit for --objective lists or clicks: autoencoders are trained only while there is "
                             "time (default: no limit)")
    add_settings(parser)
    parser.set_defaults(run=_run_fit)


def _run_fit(parsed):
    recommender = recommender_of(parsed)
    _check_output(parsed.output)
    ratings = load(parsed)
    recommender.fit(ratings, validation=validation_of(parsed), checkpoint=parsed.checkpoint,
                    resume=parsed.checkpoint is not None, refit=parsed.refit, seconds=parsed.seconds,
                    fits=parsed.fits)
    _save_and_say(recommender, ratings, parsed.output)


def add_tune(commands):
    """Add the command ``tune``."""
    parser = commands.add_parser("tune", usage="%(prog)s [options] ratings -o MODEL",
                                 help="search for better settings, then fit and save a model",
                                 description="Try settings around the given ones on the same validation ratings, fit "
                                             "the best on all ratings, save it, and print a table of all tries. "
                                             "Settings that are given are kept.")
    add_ratings(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write, such as model.npz")
    parser.add_argument("--seconds", type=float, default=300, help="approximate time for the search and the final fit "
                                                                   "(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1,
                        help="number of processes, with joblib; -1: one for each core (default: %(default)s)")
    add_validation(parser)
    add_settings(parser, without=("network",))
    parser.set_defaults(run=_run_tune)


def _run_tune(parsed):
    from sparse_ae.recommender.search import tune
    from sparse_ae.recommender.settings import in_words
    from sparse_ae.runtime.progress import figure
    recommender = recommender_of(parsed)
    _check_output(parsed.output)
    ratings = load(parsed)
    best, candidates = tune(recommender, ratings, seconds=parsed.seconds, n_jobs=parsed.jobs, rng=parsed.rng,
                            validation=validation_of(parsed))
    for candidate in candidates:
        (name, value), = [each for each in candidate.items() if each[0] not in ("params", "seconds")]
        print("validation %s %s, %.1f s: %s"
              % (name.replace("rmse", "RMSE"), figure(value), candidate["seconds"],
                 in_words(candidate["params"]) or "the settings as given"))
    _save_and_say(best, ratings, parsed.output)


def _check_output(path):
    from sparse_ae.files.storage import check_destination, check_replaceable
    check_destination(path)
    check_replaceable(path)


def _save_and_say(recommender, ratings, path):
    recommender.save(path)
    print("%d pairs of %d users and %d items" % ((ratings.matrix.nnz,) + ratings.matrix.shape)
          if recommender.takes_counts else size(ratings, recommender.rating_scale_))
    for line in chosen(recommender):
        print(line)
    print("saved to %s" % path)


def chosen(recommender):
    """Yield lines: validation results and the settings that `fit` has chosen."""
    from sparse_ae.runtime.progress import errors_of, figure
    errors, lists = recommender.validation_rmse_, recommender.validation_lists_
    for name, found in (("RMSE (known users and items)", errors), ("of lists", lists)):
        if found:
            yield "validation %s: %s" % (name, ", ".join("%s %s" % (each, figure(x)) for each, x in found.items()))
    # That of an epoch goes over all validation ratings.
    unknown_too = ", with unknown users and items" if errors else ""
    for rows, choice in recommender.choices_.items():
        records = [record for record in recommender.history_
                   if record.get("rows", rows) == rows and not record.get("refit")]
        best = records[-1]["restored"] if records else 0
        best = len(records) if best is None else best
        told = ", " + errors_of(records[best - 1]) + unknown_too if best else ""
        yield "%s as rows, weight %.2f: epoch %d of %d%s" % (rows, recommender.weights_[rows], best, len(records), told)
        yield "  n_hidden=%d, batch_size=%s, l2=%s, update=%s, learning_rate=%s" % (
            choice.n_hidden, choice.batch_size, _short(choice.l2), choice.update, _short(choice.learning_rate))
    for name, weight in recommender.weights_.items():
        if name not in recommender.choices_:
            yield "%s, weight %.2f" % (name, weight)
    if errors == {}:
        yield ("no validation rating has both a user and an item with training ratings, so an autoencoder can't be "
               "validated%s" % ("" if any(recommender.weights_.values()) else
                                           ": predictions use biases only"))
    elif not any(recommender.weights_.values()):
        if recommender.missing_rating_ is not None:
            yield "no autoencoder ranks clearly better than the most popular items, which are recommended"
        else:
            yield "no autoencoder is clearly better than biases: predictions use biases only"


def _short(value):
    return ", ".join("%.4g" % each for each in value) if isinstance(value, tuple) else "%.4g" % value
