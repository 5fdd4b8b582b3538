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


#: Settings of a recommender, and of its network, in groups: name, what argparse is told, help. Where a number may be
#: None, 0 stands for it.
SETTINGS = {
    "what is learned": [
        ("objective", {"choices": ("ratings", "lists", "clicks")},
         "to predict ratings; or to make lists of what people would pick, from ratings, or from counts and mere pairs"),
        ("rows", {"choices": ("auto", "items", "users", "both")},
         "what is reconstructed: items or users from their ratings, or both, weighed on validation"),
        ("biases", {"type": _biases, "metavar": "{yes,no,unguarded}"},
         "yes: what biases leave over, and only where validation shows that it helps; unguarded: even where it "
         "doesn't; no: ratings in and out, as in the post"),
    ],
    "the model": [
        ("network", {"choices": ("shallow",) + tuple(CLOSED)},
         "shallow: the post's autoencoder; else, for lists, this closed-form model alone"),
        ("n_hidden", {"type": _count, "metavar": "N"}, "hidden units"),
        ("f", {"metavar": "NAME"}, "output nonlinearity, of lasagne.nonlinearities"),
        ("g", {"metavar": "NAME"}, "hidden nonlinearity"),
        ("weight_scale", {"type": float, "metavar": "X"}, "standard deviation of the first weights"),
        ("dtype", {"choices": ("float32", "float64")}, "of parameters and predictions"),
        ("l2", {"type": _number, "nargs": "+", "metavar": "X"}, "weight decay; or two numbers, of W and of V"),
    ],
    "training": [
        ("update", {"metavar": "NAME"}, "optimiser, of lasagne.updates"),
        ("learning_rate", {"type": _number, "metavar": "X"}, "of the optimiser"),
        ("batch_size", {"type": _count, "metavar": "N"}, "rows in a mini-batch; 0 for all at once"),
        ("n_epochs", {"type": _count, "metavar": "N"}, "at most so many; without validation exactly so many"),
        ("patience", {"type": _count, "metavar": "N"},
         "epochs without a better validation before training ends; 0 for no such end"),
        ("formulation", {"choices": ("auto", "scan", "dense", "sparse")}, "which of the equal graphs runs"),
        ("rng", {"type": int, "metavar": "N"}, "of all that is random"),
        ("progress", {}, "no progress reports"),
    ],
    "predictions": [
        ("rating_scale", {"type": float, "nargs": 2, "metavar": ("LOWEST", "HIGHEST")}, "that of the ratings"),
        ("unknown", {"metavar": "RATING"}, "what is predicted where nothing is known: a number, mean or error"),
    ],
}
_AUTO = ("auto is chosen by the number of ratings, rows and columns and by their spread; the docstring of "
         "sparse_ae.recommender.defaults has the rules, and fit prints what it chose")
_COLUMNS = "user", "item", "rating", "timestamp"
# Where the command line has another word.
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
        raise ValueError("--network %s has no %s; expected these with --network shallow alone"
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


def add_ratings(parser, text="a file with user, item, rating in each line, or in any other form that load_ratings "
                              "reads; or an archive of MovieLens or Jester"):
    """Add the file of ratings, and how it is read."""
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
    parser.add_argument("--delimiter", metavar="CHARACTER",
                        type=lambda text: "\t" if text in ("tab", "\\t") else text,
                        help="what separates columns: , or ; or | or :: or tab, or a blank for any blanks (default: "
                             "what the lines tell)")
    for name in _COLUMNS:
        parser.add_argument("--%s-column" % name, metavar="COLUMN",
                            type=lambda text: int(text) if text.isdigit() else text,
                            help="the column of the %s, by its name in the first line, or by its number from 0" % name)
    parser.add_argument("--variable", metavar="NAME", help="that of a .mat file, if it holds several")


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
                        help="fits that are averaged, for a lower error in N times the time; auto is 1 "
                             "(default: %(default)s)")


def add_validation(parser):
    """Add what training stops early on."""
    parser.add_argument("--validation", default="auto", metavar="FRACTION_OR_FILE",
                        help="of the ratings, to stop early on; or a file of held-out ratings; 0 or none for none "
                             "(default: %(default)s)")


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
    """Say how many ratings, users and items there are, and the scale."""
    return "%d ratings from %g to %g, %d users, %d items" % ((ratings.matrix.nnz,) + tuple(scale)
                                                             + ratings.matrix.shape)
