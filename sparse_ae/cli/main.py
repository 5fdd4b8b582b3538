"""``python -m sparse_ae``: what runs here, as a bug report needs it; and a recommender from files, without a program.

    python -m sparse_ae compare ratings.csv
    python -m sparse_ae fit ratings.csv -o model.npz
    python -m sparse_ae tune ratings.csv -o model.npz --seconds 600
    python -m sparse_ae recommend model.npz --user 42
    python -m sparse_ae predict model.npz pairs.csv
    python -m sparse_ae evaluate model.npz held_out.csv

A command is a parser and a function of its parsed arguments, and does no more than call the library. What was asked for
comes on stdout, signs of life on stderr, and an error is one line there, with status 2.
"""

import argparse
import itertools
import math
import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import sparse_ae
from sparse_ae.cli.info import info

__all__ = ["main"]

# Seconds between two signs of life of `compare`.
_BETWEEN_SIGNS = 20.0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse prints the usage first."""

    def error(self, message):
        self.exit(2, "%s: error: %s (%s --help says more)\n" % (self.prog, message, self.prog))


def main(arguments=None):
    """Runs a command; without one, ``info``.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the command line by default.

    Raises
    ------
    SystemExit
        With status 2, and one line on stderr, for arguments, files and ratings that can't be used.
    """
    parser = _Parser(prog="python -m sparse_ae", description="Sparse autoencoders for collaborative filtering.")
    _check_streams(parser)
    parser.set_defaults(run=_run_info)
    parser.add_argument("--version", action="version", version="sparse_ae " + sparse_ae.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("info", help="what runs here, as a bug report needs it (the default)")
    _add_compare(commands)
    _add_fit(commands)
    _add_tune(commands)
    _add_recommend(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has had enough, as head has; what is left can't be written later either
        _drop_output()
        sys.exit(1)
    except (ArithmeticError, ImportError, OSError, TypeError, ValueError) as error:
        try:
            sys.stdout.flush()
        except OSError:  # a full disk: Python would try once more in the end, and say so in two lines of its own
            _drop_output()
        parser.exit(2, "%s: error: %s\n" % (parser.prog, " ".join(str(error).split())))


def _drop_output():
    """What isn't written to stdout yet goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_streams(parser):
    """Ends the process where nothing can be printed: what is asked for would be lost, and none would know."""
    if sys.stderr is None:  # closed, as by 2>&-
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:
        parser.exit(2, "%s: error: stdout is closed, and what a command finds is printed there; open it, or send it to "
                       "/dev/null\n" % parser.prog)


def _run_info(parsed):
    print(info())


# Values of arguments


def _or(word, kind, name):
    """A type of arguments: the word, or what `kind` makes of the text."""
    def value(text):
        if text == word:
            return text
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError("%r; expected %s or %s" % (text, name, word)) from None
    return value


_count, _number = _or("auto", int, "a whole number"), _or("auto", float, "a number")


def _number_or_nan(text):
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError("%r; expected a number, or nan" % text) from None


# Settings of a recommender, in groups: name, its default there, what argparse is told, help. 0 stands for None. What is
# on by default is switched off by --no-NAME.
_SETTINGS = {
    "the model": [
        ("rows", "auto", {"choices": ("auto", "items", "users", "both")},
         "what is reconstructed: items or users from their ratings, or both, weighed on validation"),
        ("n_hidden", "auto", {"type": _count, "metavar": "N"}, "hidden units"),
        ("f", "identity", {"metavar": "NAME"}, "output nonlinearity, of lasagne.nonlinearities"),
        ("g", "sigmoid", {"metavar": "NAME"}, "hidden nonlinearity"),
        ("l2", "auto", {"type": _number, "nargs": "+", "metavar": "X"}, "weight decay; or two numbers, of W and of V"),
        ("biases", True, {},
         "ratings in and out, as in the post, instead of ratings in and what biases leave over out"),
        ("guard", True, {},
         "use the autoencoder even where validation doesn't show that it is better than biases alone"),
    ],
    "lists and counts": [
        ("feedback", "ratings", {"choices": ("ratings", "counts")},
         "what the numbers are; counts need a missing weight"),
        ("missing_weight", 0.0, {"type": float, "metavar": "X"},
         "0.2, say, for lists of what people would pick: what a missing entry counts, as if it had been rated low"),
        ("missing_rating", "auto", {"type": _number, "metavar": "RATING"},
         "what missing entries are taken to be rated"),
        ("validation_measure", "auto", {"metavar": "MEASURE"},
         "what is to be good on validation: rmse, or a measure of lists such as ndcg@10"),
    ],
    "training": [
        ("update", "auto", {"metavar": "NAME"}, "optimiser, of lasagne.updates"),
        ("learning_rate", "auto", {"type": _number, "metavar": "X"}, "of the optimiser"),
        ("batch_size", "auto", {"type": _count, "metavar": "N"}, "rows in a mini-batch; 0 for all at once"),
        ("n_epochs", "auto", {"type": _count, "metavar": "N"}, "at most so many; without validation exactly so many"),
        ("patience", "auto", {"type": _count, "metavar": "N"},
         "epochs without a better validation before training ends; 0 for no such end"),
        ("weight_scale", 0.01, {"type": float, "metavar": "X"}, "standard deviation of the first weights"),
        ("formulation", "auto", {"choices": ("auto", "scan", "dense", "sparse")}, "which of the equal graphs runs"),
        ("dtype", "float32", {"choices": ("float32", "float64")}, "of parameters and predictions"),
        ("rng", 0, {"type": int, "metavar": "N"}, "of all that is random"),
        ("progress", True, {}, "no signs of life"),
    ],
    "predictions": [
        ("rating_scale", None, {"type": float, "nargs": 2, "metavar": ("LOWEST", "HIGHEST")}, "that of the ratings"),
        ("unknown", "mean", {"metavar": "RATING"},
         "what is predicted where nothing is known: a number, mean or error"),
    ],
}
_AUTO = ("auto is chosen by the number of ratings, rows and columns and by their spread; the docstring of "
         "sparse_ae.recommender.defaults has the rules, and fit prints what it chose")
# Where the command line has another word.
_FLAGS = {"rng": "seed"}


def _add_settings(parser, without=()):
    parser.epilog = "Settings are those of sparse_ae.Recommender. %s." % _AUTO
    for title, settings in _SETTINGS.items():
        settings = [each for each in settings if each[0] not in without]
        group = parser.add_argument_group(title) if settings else None
        for name, default, told, text in settings:
            flag = _FLAGS.get(name, name).replace("_", "-")
            if default is True:
                group.add_argument("--no-" + flag, dest=name, action="store_false", help=text)
            else:
                text = "default: " + text if default is None else "%s (default: %s)" % (text, default)
                group.add_argument("--" + flag, dest=name, default=default, help=text, **told)


def _recommender(parsed, **more):
    from sparse_ae.recommender.recommender import Recommender
    settings = {name: getattr(parsed, name) for group in _SETTINGS.values() for name, _, _, _ in group
                if hasattr(parsed, name)}
    if isinstance(settings["l2"], list):
        settings["l2"] = settings["l2"][0] if len(settings["l2"]) == 1 else tuple(settings["l2"])
    for name in ("batch_size", "patience"):
        if settings[name] == 0:
            settings[name] = None
    settings["rating_scale"] = settings["rating_scale"] and tuple(settings["rating_scale"])
    settings["unknown"] = _number_or_word(settings["unknown"])
    return Recommender(**dict(settings, **more))


def _add_ratings(parser, text="a file with user, item, rating in each line, or in any other form that load_ratings "
                              "reads; or an archive of MovieLens or Jester"):
    parser.add_argument("ratings", help=text)
    parser.add_argument("--duplicates", default="error", choices=("error", "first", "last", "mean", "sum"),
                        help="what becomes of a pair of user and item that comes more than once (default: %(default)s; "
                             "of counts, sum)")
    parser.add_argument("--missing", type=_number_or_nan, metavar="NUMBER",
                        help="what stands for no rating; nan for nothing, or nan. The file is a table, a row for each "
                             "user and a column for each item, unless it has a header, or three columns, or a fourth "
                             "of timestamps")
    parser.add_argument("--lists", action="store_true",
                        help="each line of the file is a user and the items that the user chose")
    parser.add_argument("--variable", metavar="NAME", help="that of a .mat file, if it holds several")


def _load(parsed, path=None, feedback=None):
    from sparse_ae.data.datasets import load_published
    counts = (feedback or getattr(parsed, "feedback", None)) == "counts"
    duplicates = "sum" if counts and parsed.duplicates == "error" else parsed.duplicates
    return load_published(path or parsed.ratings, duplicates=duplicates, missing=parsed.missing,
                          pairs=counts and not parsed.lists, lists=parsed.lists, variable=parsed.variable,
                          progress=getattr(parsed, "progress", True))


def _add_validation(parser):
    parser.add_argument("--validation", default="auto", metavar="FRACTION_OR_FILE",
                        help="of the ratings, to stop early on; or a file of held-out ratings; 0 or none for none "
                             "(default: %(default)s)")


def _validation(parsed):
    """As `Recommender.fit` takes it; a file is read as the ratings are."""
    text = parsed.validation
    if text == "auto":
        return text
    value = _number_or_word(text)
    if value in (0, "none"):
        return None
    if isinstance(value, float) and not Path(text).is_file():
        return value
    return _load(parsed, text)


# Commands


def _add_fit(commands):
    parser = commands.add_parser("fit", usage="%(prog)s [options] ratings -o MODEL",
                                 help="learn from a file of ratings, and save what was learned",
                                 description="Learn from a file of ratings, save what was learned, and print what was "
                                             "chosen.")
    _add_ratings(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write, by convention .npz")
    _add_validation(parser)
    parser.add_argument("--no-refit", dest="refit", action="store_false",
                        help="don't train again on all ratings after validation: half the time, a little worse")
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="keep a checkpoint in this file, and go on from it if it is there")
    _add_settings(parser)
    parser.set_defaults(run=_run_fit)


def _run_fit(parsed):
    recommender = _recommender(parsed)
    _check_output(parsed.output)
    ratings = _load(parsed)
    recommender.fit(ratings, validation=_validation(parsed), checkpoint=parsed.checkpoint,
                    resume=parsed.checkpoint is not None, refit=parsed.refit)
    _save_and_say(recommender, ratings, parsed.output)


def _check_output(path):
    from sparse_ae.files.storage import check_destination, check_replaceable
    check_destination(path)
    check_replaceable(path)


def _save_and_say(recommender, ratings, path):
    recommender.save(path)
    print(_size(ratings, recommender.rating_scale_))
    for line in _chosen(recommender):
        print(line)
    print("saved to %s" % path)


def _size(ratings, scale):
    return "%d ratings from %g to %g, %d users, %d items" % ((ratings.matrix.nnz,) + tuple(scale)
                                                             + ratings.matrix.shape)


def _chosen(recommender):
    """Lines on what `fit` has chosen, and what it was chosen by."""
    from sparse_ae.runtime.progress import errors_of, figure
    errors, lists = recommender.validation_rmse_, recommender.validation_lists_
    for name, found in (("RMSE, of known users and items", errors), ("of lists", lists)):
        if found:
            yield "validation %s: %s" % (name, ", ".join("%s %s" % (each, figure(x)) for each, x in found.items()))
    # That of an epoch goes over all validation ratings.
    unknown_too = ", of unknown ones too" if errors else ""
    for rows, choice in recommender.choices_.items():
        records = [record for record in recommender.history_
                   if record.get("rows", rows) == rows and not record.get("refit")]
        best = records[-1]["restored"] if records else 0
        best = len(records) if best is None else best
        told = ", " + errors_of(records[best - 1]) + unknown_too if best else ""
        yield "%s as rows, weight %.2f: epoch %d of %d%s" % (rows, recommender.weights_[rows], best, len(records), told)
        yield "  n_hidden=%d, batch_size=%s, l2=%s, update=%s, learning_rate=%s" % (
            choice.n_hidden, choice.batch_size, _short(choice.l2), choice.update, _short(choice.learning_rate))
    if errors == {}:
        yield ("no validation rating is of a user and an item that both have others, so nothing shows what an "
               "autoencoder is worth%s" % ("" if any(recommender.weights_.values()) else
                                           ": predictions are those of biases alone"))
    elif not any(recommender.weights_.values()):
        if recommender.missing_weight:
            yield "no autoencoder's lists are clearly better than the most popular items, which are recommended"
        else:
            yield "no autoencoder is clearly better than biases: predictions are those of biases alone"


def _short(value):
    return ", ".join("%.4g" % each for each in value) if isinstance(value, tuple) else "%.4g" % value


def _add_tune(commands):
    parser = commands.add_parser("tune", usage="%(prog)s [options] ratings -o MODEL",
                                 help="as fit, after a search for better settings",
                                 description="Try settings around the given ones for a while, each on the same "
                                             "validation ratings; fit the best on all ratings, save it, and print the "
                                             "table. A setting that is given stays as it is.")
    _add_ratings(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write, by convention .npz")
    parser.add_argument("--seconds", type=float, default=300, help="for all of it, about (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1,
                        help="processes, which takes joblib; -1 for one for each core (default: %(default)s)")
    _add_validation(parser)
    _add_settings(parser)
    parser.set_defaults(run=_run_tune)


def _run_tune(parsed):
    from sparse_ae.recommender.estimator import in_words
    from sparse_ae.recommender.search import tune
    from sparse_ae.runtime.progress import figure
    recommender = _recommender(parsed)
    _check_output(parsed.output)
    ratings = _load(parsed)
    best, candidates = tune(recommender, ratings, seconds=parsed.seconds, n_jobs=parsed.jobs, rng=parsed.rng,
                            validation=_validation(parsed))
    for candidate in candidates:
        (name, value), = [each for each in candidate.items() if each[0] not in ("params", "seconds")]
        print("validation %s %s, %.1f s: %s"
              % (name.replace("rmse", "RMSE"), figure(value), candidate["seconds"],
                 in_words(candidate["params"]) or "the settings as given"))
    _save_and_say(best, ratings, parsed.output)


def _add_compare(commands):
    parser = commands.add_parser("compare", usage="%(prog)s [options] ratings",
                                 help="biases, factorisation and autoencoders on a file of ratings",
                                 description="Cut off some ratings for testing, and print how well biases, matrix "
                                             "factorisation and the autoencoders, trained on the others, predict them. "
                                             "Seconds include the compiler's, which works only once.")
    _add_ratings(parser)
    parser.add_argument("--test-fraction", type=float, default=0.2, help="of the ratings (default: %(default)s)")
    parser.add_argument("--factors", type=int, default=100, help="of the factorisation (default: %(default)s)")
    _add_settings(parser, without=("rows", "missing_weight", "missing_rating", "validation_measure", "feedback"))
    parser.set_defaults(run=_run_compare)


def _run_compare(parsed):
    from sparse_ae.checks import check_rating_scale
    from sparse_ae.data.splits import split_ratings
    from sparse_ae.data.zeros import tell_of_zeros
    from sparse_ae.recommender.defaults import useful_sides
    from sparse_ae.runtime.progress import announced, figure
    # The table is sign of life enough, and what `_signs` says between two rows.
    recommenders = [_recommender(parsed, rows=rows, progress=False) for rows in ("items", "users", "both")
                    if parsed.biases or rows != "both"]
    ratings = _load(parsed)
    if parsed.progress and parsed.rating_scale is None:
        tell_of_zeros(ratings.matrix.data)
    split = split_ratings(ratings, parsed.test_fraction, parsed.rng)
    train, test = ratings.part(split.train), ratings.part(split.test)
    scale = parsed.rating_scale or (float(split.train.data.min()), float(split.train.data.max()))
    check_rating_scale(scale)
    print("%s; tested on %d of them" % (_size(ratings, scale), split.test.nnz))
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


def _number_or_word(text):
    try:
        return float(text)
    except ValueError:
        return text


def _add_recommend(commands):
    parser = commands.add_parser("recommend", usage="%(prog)s [options] model --user ID ...",
                                 help="the best items for some users, by a saved model",
                                 description="Print the best items for some users: item and predicted rating, the user "
                                             "before them if there are several, separated by tabs.")
    parser.add_argument("model", help="what fit has written")
    parser.add_argument("--user", required=True, nargs="+", metavar="ID")
    parser.add_argument("-n", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--items", nargs="+", metavar="ID", help="recommend from these only")
    parser.add_argument("--include-seen", action="store_true", help="recommend what a user has rated, too")
    _add_header(parser)
    parser.set_defaults(run=_run_recommend)


def _run_recommend(parsed):
    from sparse_ae.recommender.recommender import Recommender
    recommender = Recommender.load(parsed.model)
    users = _ids(parsed.user, recommender.users_, "user")
    items = None if parsed.items is None else _ids(parsed.items, recommender.items_, "item")
    found = recommender.recommend(users, n=parsed.n, exclude_seen=not parsed.include_seen, items=items)
    decimals, several = _decimals(recommender), len(parsed.user) > 1
    if parsed.header:
        print("\t".join(["user"] * several + ["item", "score"]))
    for user, (items, scores) in zip(parsed.user, found):
        for item, score in zip(items.tolist(), scores.tolist()):
            print("\t".join([user] * several + [str(item), "%.*f" % (decimals, score)]))


def _add_header(parser):
    parser.add_argument("--header", action="store_true", help="print the names of the columns first, as a table has "
                                                              "them")


def _decimals(recommender):
    """Of predicted ratings: four, and more on a scale of less than 1."""
    low, high = recommender.rating_scale_
    return 4 + max(0, -math.floor(math.log10(high - low)))


def _ids(words, known, name):
    """Ids as the model has them: numbers, or strings."""
    if known.dtype.kind == "U":
        return words
    try:
        return [int(word) for word in words]
    except ValueError:
        raise ValueError("%s %s: the ids of %ss in this model are numbers, such as %d"
                         % (name, ", ".join(words), name, known[0])) from None


def _add_predict(commands):
    parser = commands.add_parser("predict", usage="%(prog)s [options] model [pairs]",
                                 help="ratings of pairs of user and item, by a saved model",
                                 description="Print user, item and predicted rating of each of some pairs, separated "
                                             "by tabs.")
    parser.add_argument("model", help="what fit has written")
    parser.add_argument("pairs", nargs="?", help="a file of text with user and item in each line, separated by tabs, "
                                                 "commas, semicolons, :: or blanks, with or without a header; columns "
                                                 "after these count for nothing")
    parser.add_argument("--user", metavar="ID", help="instead of a file: this user,")
    parser.add_argument("--item", nargs="+", metavar="ID", help="and these items")
    _add_header(parser)
    parser.set_defaults(run=_run_predict)


def _run_predict(parsed):
    from sparse_ae.recommender.recommender import Recommender
    if (parsed.pairs is None) == (parsed.user is None or parsed.item is None) or (
            parsed.pairs is not None and (parsed.user or parsed.item)):
        raise ValueError("predict takes a file of pairs, or --user and --item; expected the one or the other")
    recommender = Recommender.load(parsed.model)
    if parsed.pairs is None:
        users, items = [parsed.user] * len(parsed.item), parsed.item
        u, i = _ids(users, recommender.users_, "user"), _ids(items, recommender.items_, "item")
    else:
        users, items, u, i = _read_pairs(Path(parsed.pairs), recommender.users_, recommender.items_)
    decimals = _decimals(recommender)
    if parsed.header:
        print("user\titem\tpredicted")
    for user, item, rating in zip(users, items, recommender.predict(u, i).tolist()):
        print("%s\t%s\t%.*f" % (user, item, decimals, rating))


def _read_pairs(path, *known):
    """Users and items of a file of text, as they stand there, and as a model has them."""
    from sparse_ae.data.lines import check_file
    from sparse_ae.data.text import read_pairs
    check_file(path)
    pairs, ids = [], []
    for k, (number, *pair) in enumerate(read_pairs(path)):
        if k == 0 and _is_header(pair, known):
            continue
        pairs.append(pair)
        try:
            ids.append([_ids([field], each, name)[0] for field, each, name in zip(pair, known, ("user", "item"))])
        except ValueError as error:
            raise ValueError("%s, line %d: %s" % (path, number, error)) from None
    if not pairs:
        raise ValueError("%s holds a header and no pairs; expected user and item in each line" % path)
    return [list(column) for column in itertools.chain(zip(*pairs), zip(*ids))]


def _is_header(pair, known):
    """Whether a first pair names columns: no ids of the model, and called as `load_ratings` has it."""
    from sparse_ae.data.tables import COLUMN_WORDS
    return all(any(word in field.lower() for word in COLUMN_WORDS[name]) and field not in ids.astype(str)
               for field, name, ids in zip(pair, ("user", "item"), known))


def _add_evaluate(commands):
    parser = commands.add_parser("evaluate", usage="%(prog)s [options] model ratings",
                                 help="how well a saved model predicts held-out ratings",
                                 description="Print the errors and the measures of ranking on a file of held-out "
                                             "ratings; Recommender.evaluate says what they are.")
    parser.add_argument("model", help="what fit has written")
    _add_ratings(parser, "a file of ratings that were not in the file for fit")
    parser.add_argument("-k", type=int, default=10,
                        help="length of the ranked lists; 0 for none (default: %(default)s)")
    parser.add_argument("--relevant", type=float, metavar="RATING",
                        help="from which an item is relevant (default: three quarters up the scale)")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(parsed):
    from sparse_ae.recommender.recommender import Recommender
    from sparse_ae.runtime.progress import figure
    recommender = Recommender.load(parsed.model)
    ratings = _load(parsed, feedback=recommender.feedback)
    users, items = (ids.astype(str) if known.dtype.kind == "U" else ids  # all numbers in this file, but not in fit's
                    for ids, known in ((ratings.users, recommender.users_), (ratings.items, recommender.items_)))
    measures = recommender.evaluate(ratings._replace(users=users, items=items), k=parsed.k or None,
                                    relevant=parsed.relevant)
    for name, value in measures.items():
        print("%s: %s" % (name, value if isinstance(value, int) else figure(value)))
