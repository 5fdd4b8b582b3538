"""Options of commands that are settings of a recommender, and the ratings that commands read."""

import argparse
from pathlib import Path

from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.settings import RecommenderSettings, Shallow

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


def _biases(text):
    values = {"yes": True, "no": False, "unguarded": "unguarded"}
    if text not in values:
        raise argparse.ArgumentTypeError("%r; expected yes, no or unguarded" % text)
    return values[text]


def _number_or_nan(text):
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError("%r; expected a number, or nan" % text) from None


def _number_or_word(text):
    try:
        return float(text)
    except ValueError:
        return text


#: Settings of a recommender and its network, in groups: name, arguments of argparse, help. 0 means None.
SETTINGS = {
    "task": [
        ("objective", {"choices": ("ratings", "lists", "clicks")},
         "ratings: predict ratings; lists: rank items, from ratings; clicks: rank items, from counts, or pairs of user "
         "and item"),
        ("rows", {"choices": ("auto", "items", "users", "both")},
         "rows of the autoencoder: items, users, or both, weighted by validation"),
        ("biases", {"type": _biases, "metavar": "{yes,no,unguarded}"},
         "yes: model predicts residuals of biases, and is used if validation shows a gain; unguarded: used in any "
         "case; no: ratings in and out, as in the post"),
    ],
    "model": [
        ("network", {"choices": ("shallow",) + tuple(CLOSED)},
         "shallow: the post's autoencoder; others: a closed-form model for rankings"),
        ("n_hidden", {"type": _count, "metavar": "N"}, "hidden units"),
        ("f", {"metavar": "NAME"}, "output nonlinearity, a name of lasagne.nonlinearities"),
        ("g", {"metavar": "NAME"}, "hidden nonlinearity, a name of lasagne.nonlinearities"),
        ("weight_scale", {"type": float, "metavar": "X"}, "standard deviation of the initial weights"),
        ("dtype", {"choices": ("float32", "float64")}, "dtype of parameters and predictions"),
        ("l2", {"type": _number, "nargs": "+", "metavar": "X"}, "weight decay, or two numbers, for W and for V"),
    ],
    "training": [
        ("update", {"metavar": "NAME"}, "optimiser, a name of lasagne.updates"),
        ("learning_rate", {"type": _number, "metavar": "X"}, "learning rate of the optimiser"),
        ("batch_size", {"type": _count, "metavar": "N"}, "rows in a mini-batch; 0: all rows"),
        ("n_epochs", {"type": _count, "metavar": "N"}, "largest number of epochs; without validation the exact number"),
        ("patience", {"type": _count, "metavar": "N"},
         "epochs without improvement on validation before training stops; 0: no early stopping"),
        ("formulation", {"choices": ("auto", "scan", "dense", "sparse")}, "which of the equivalent graphs is used"),
        ("rng", {"type": int, "metavar": "N"}, "seed of all random numbers"),
        ("progress", {}, "don't report progress"),
    ],
    "predictions": [
        ("rating_scale", {"type": float, "nargs": 2, "metavar": ("LOWEST", "HIGHEST")}, "lowest and highest of the "
                                                                                        "ratings"),
        ("unknown", {"metavar": "RATING"}, "prediction for unknown users and items: a number, mean or error"),
    ],
}
_AUTO = ("auto: chosen by the number and spread of the ratings, by the rules in the docstring of "
         "sparse_ae.recommender.defaults; fit prints the choice")
_COLUMNS = "user", "item", "rating", "timestamp"
# Options whose names differ from the settings'.
_FLAGS = {"rng": "seed"}


def add_settings(parser, without=()):
    """Add the options that are settings of a recommender, but for those `without`."""
    parser.epilog = "Settings are those of sparse_ae.Recommender and of its network, sparse_ae.Shallow. %s." % _AUTO
    defaults = dict(RecommenderSettings().get_params(), **Shallow()._asdict())
    for title, settings in SETTINGS.items():
        settings = [each for each in settings if each[0] not in without]
        group = parser.add_argument_group(title) if settings else None
        for name, told, text in settings:
            flag, default = _FLAGS.get(name, name).replace("_", "-"), defaults[name]
            if name == "progress":
                group.add_argument("--no-" + flag, dest=name, action="store_false", help=text)
            else:
                shown = "yes" if default is True else default
                text = "default: " + text if default is None else "%s (default: %s)" % (text, shown)
                group.add_argument("--" + flag, dest=name, default=default, help=text, **told)


def recommender_of(parsed, **more):
    """Make the recommender that the options ask for, with `more` settings."""
    from sparse_ae.recommender.recommender import Recommender
    settings = {name: getattr(parsed, name) for group in SETTINGS.values() for name, _, _ in group
                if hasattr(parsed, name)}
    shallow = Shallow(**{name: settings.pop(name) for name in Shallow._fields if name in settings})
    if settings.get("network", "shallow") == "shallow":
        settings["network"] = shallow
    elif shallow != Shallow():
        raise ValueError("--network %s has no %s; these need --network shallow"
                         % (settings["network"], ", ".join("--" + name.replace("_", "-") for name in Shallow._fields)))
    if isinstance(settings["l2"], list):
        settings["l2"] = settings["l2"][0] if len(settings["l2"]) == 1 else tuple(settings["l2"])
    for name in ("batch_size", "patience"):
        if settings[name] == 0:
            settings[name] = None
    settings["rating_scale"] = settings["rating_scale"] and tuple(settings["rating_scale"])
    settings["unknown"] = _number_or_word(settings["unknown"])
    return Recommender(**dict(settings, **more))


# Ratings


def add_ratings(parser, text="a file with user, item, rating in each line, or another form that load_ratings reads, or "
                             "an archive of MovieLens or Jester"):
    """Add the file of ratings, and how it is read."""
    parser.add_argument("ratings", help=text)
    parser.add_argument("--duplicates", default="error", choices=("error", "first", "last", "mean", "sum"),
                        help="which rating is used if a pair of user and item is repeated (default: %(default)s; for "
                             "clicks: sum)")
    parser.add_argument("--missing", type=_number_or_nan, metavar="NUMBER",
                        help='the number that means "not rated", or nan for empty fields. The file is read as a table '
                             "of users by items unless it has a header, three columns, or a fourth of timestamps")
    parser.add_argument("--lists", action="store_true",
                        help="each line of the file is a user and the user's items")
    parser.add_argument("--delimiter", metavar="CHARACTER",
                        type=lambda text: "\t" if text in ("tab", "\\t") else text,
                        help="separator of the columns: , or ; or | or :: or tab, or a blank for any blanks (default: "
                             "found from the lines)")
    for name in _COLUMNS:
        parser.add_argument("--%s-column" % name, metavar="COLUMN",
                            type=lambda text: int(text) if text.isdigit() else text,
                            help="the column of the %s: its name in the first line, or its number, counted from "
                                 "0" % name)
    parser.add_argument("--variable", metavar="NAME", help="the variable of a .mat file that holds several")


def load(parsed, path=None, counts=None):
    """Load the ratings of a command, or of another `path`, read as these are."""
    from sparse_ae.data.datasets import load_published
    if counts is None:
        counts = getattr(parsed, "objective", None) == "clicks"
    duplicates = "sum" if counts and parsed.duplicates == "error" else parsed.duplicates
    return load_published(path or parsed.ratings, duplicates=duplicates, missing=parsed.missing,
                          pairs=counts and not parsed.lists, lists=parsed.lists, variable=parsed.variable,
                          progress=getattr(parsed, "progress", True), delimiter=parsed.delimiter,
                          **{name: getattr(parsed, name + "_column") for name in _COLUMNS})


def add_fits(parser):
    """Add how many fits are averaged."""
    parser.add_argument("--fits", type=_count, default="auto", metavar="N",
                        help="number of models that are averaged: a lower error, in N times the time; auto is 1 "
                             "(default: %(default)s)")


def add_validation(parser):
    """Add the validation set for early stopping."""
    parser.add_argument("--validation", default="auto", metavar="FRACTION_OR_FILE",
                        help="fraction of the ratings to hold out for early stopping, or a file of held-out ratings; 0 "
                             "or none: no validation (default: %(default)s)")


def validation_of(parsed):
    """As `Recommender.fit` takes it; a file is read as the ratings are."""
    text = parsed.validation
    if text == "auto":
        return text
    value = _number_or_word(text)
    if value in (0, "none"):
        return None
    if isinstance(value, float) and not Path(text).is_file():
        return value
    return load(parsed, text)


def size(ratings, scale):
    """Describe the ratings: numbers of ratings, users and items, and the scale."""
    return "%d ratings from %g to %g, %d users, %d items" % ((ratings.matrix.nnz,) + tuple(scale)
                                                             + ratings.matrix.shape)
