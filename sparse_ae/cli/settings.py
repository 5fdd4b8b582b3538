"""The commands and their options, in tables; the recommender and the ratings that parsed options ask for."""
import argparse
import contextlib
from pathlib import Path
from typing import NamedTuple

from sparse_ae.checks import check_path
from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.settings import RecommenderSettings


class Command(NamedTuple):
    """The texts of `--help`, the options, and the settings of a recommender that the command lacks."""

    usage: str
    help: str
    options: list
    without: tuple = ("all",)
    example: str = ""


def _value(text):
    """A number if it is one, else the text, which the library checks."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _path(text):
    return check_path(text, "the path")


_BIASES = {"yes": True, "no": False, "unguarded": "unguarded"}

#: Settings of a recommender, in groups: name, arguments of argparse, help. 0 means None.
SETTINGS = {
    "task": [
        ("objective", {"choices": ("ratings", "lists", "clicks")},
         "ratings: predict ratings; lists: rank items, from ratings; clicks: rank items, from counts, or pairs of user "
         "and item"),
        ("rows", {"choices": ("auto", "items", "users", "both")},
         "rows of the autoencoder: items, users, or both, weighted by validation"),
        ("biases", {"choices": tuple(_BIASES)},
         "yes: model predicts residuals of biases, and is used if validation shows a gain; unguarded: used in any "
         "case; no: ratings in and out, as in the post"),
    ],
    "model": [
        ("network", {"choices": ("shallow",) + tuple(CLOSED)},
         "shallow: the post's autoencoder; others: a closed-form model for rankings"),
        ("n_hidden", {"type": _value, "metavar": "N"}, "hidden units"),
        ("l2", {"type": _value, "nargs": "+", "metavar": "X"}, "weight decay, or two numbers, for W and for V"),
    ],
    "training": [
        ("update", {"metavar": "NAME"}, "optimiser, a name of lasagne.updates"),
        ("learning_rate", {"type": _value, "metavar": "X"}, "learning rate of the optimiser"),
        ("batch_size", {"type": _value, "metavar": "N"}, "rows in a mini-batch; 0: all rows"),
        ("n_epochs", {"type": _value, "metavar": "N"}, "largest number of epochs; without validation the exact number"),
        ("patience", {"type": _value, "metavar": "N"},
         "epochs without improvement on validation before training stops; 0: no early stopping"),
        ("formulation", {"choices": ("auto", "scan", "dense", "sparse")}, "which of the equivalent graphs is used"),
        ("rng", {"type": int, "metavar": "N"}, "seed of all random numbers"),
        ("progress", {"action": "store_false"}, "don't report progress"),
    ],
    "predictions": [
        ("rating_scale", {"type": float, "nargs": 2, "metavar": ("LOWEST", "HIGHEST")}, "lowest and highest of the "
                                                                                        "ratings"),
        ("unknown", {"type": _value}, "prediction for unknown users and items: a number, mean or error"),
    ],
}
_AUTO = ("auto: chosen by the number and spread of the ratings, by the rules of docs/explanation/auto.md; fit prints "
         "the choice")
_COLUMNS = "user", "item", "rating", "timestamp"

_READ = [
    ("--duplicates", {"default": "error", "choices": ("error", "first", "last", "mean", "sum")},
     "which rating is used if a pair of user and item is repeated; for clicks: sum"),
    ("--missing", {"type": float, "metavar": "NUMBER"},
     'the number that means "not rated", or nan for empty fields'),
    ("--returns", {"default": "error", "choices": ("error", "drop")},
     "what becomes of a pair of user and item whose counts add up to 0 or less, for clicks"),
    ("--lists", {"action": "store_true"}, "each line of the file is a user and the user's items"),
    ("--delimiter", {"type": lambda text: "\t" if text in ("tab", "\\t") else text, "metavar": "CHARACTER"},
     "separator of the columns: , or ; or | or :: or tab, or a blank for any blanks (default: found from the lines)"),
] + [("--%s-column" % name, {"type": lambda text: int(text) if text.isdigit() else text, "metavar": "COLUMN"},
      "the column of the %s: its name in the first line, or its number, counted from 0" % name)
     for name in _COLUMNS]
_RATINGS = [("ratings", {"type": _path}, "a file with user, item, rating in each line; JSON, Parquet, a zip archive or "
                                         "another form that load_ratings reads; or an archive of MovieLens or Jester")
            ] + _READ
_FEATURES = [
    ("--item-features", {"type": _path, "metavar": "FILE"},
     "attributes of items, text with names of columns in the first line, JSON or Parquet; items without a rating are "
     "known by them, too"),
    ("--user-features", {"type": _path, "metavar": "FILE"}, "the same of users"),
]
_OUTPUT = ("-o --output", {"required": True, "type": _path, "metavar": "MODEL"}, "the file to write, such as model.npz")
_MODEL = ("model", {"type": _path}, "a file that fit has written")
_PRINT = [("--header", {"action": "store_true"}, "print the names of the columns"),
          ("--csv", {"action": "store_true"}, "print a CSV file with a header")]

# The options of commands that most people need, which `--help` shows first; others have headings of their own.
_FIRST = ("-o --output", "--objective", "--user-column", "--item-column", "--rating-column", "--seconds")

#: All commands; functions of `commands` have the same names.
COMMANDS = {
    "info": Command("", "show versions, compiler and device, for a bug report (the default)", []),
    "compare": Command(
        "ratings", "print the test RMSE of biases, matrix factorisation and autoencoders that are trained on the other "
                   "ratings of a file; seconds include compilation, which happens once",
        _RATINGS + [
            ("--test-fraction", {"type": float, "default": 0.2}, "fraction of the ratings to test on"),
            ("--by-time", {"action": "store_true"}, "test on the newest ratings, in place of random ones")],
        ("rows", "objective", "network"), "ratings.csv"),
    "fit": Command(
        "ratings -o MODEL", "fit a model to a file of ratings, save it, and print the settings that were chosen",
        _RATINGS + _FEATURES + [
            _OUTPUT,
            ("--validation", {"default": "auto", "type": _path, "metavar": "FRACTION_OR_FILE"},
             "fraction of the ratings to hold out for early stopping, or a file of held-out ratings; 0 or none: no "
             "validation"),
            ("--no-refit", {"dest": "refit", "action": "store_false"},
             "don't train again on all ratings after validation: half the time or less, slightly less accurate"),
            ("--fits", {"type": _value, "default": "auto", "metavar": "N"},
             "number of models that are averaged: a lower error, in N times the time; auto is 4 below 20,000 ratings, "
             "else 1"),
            ("--checkpoint", {"type": _path, "metavar": "FILE"},
             "keep a checkpoint in this file, and continue from it if it exists"),
            ("--seconds", {"type": float},
             "time limit for --objective lists or clicks: autoencoders are trained only while there is time (default: "
             "no limit)")], (), "orders.csv --objective clicks -o model.npz"),
    "update": Command(
        "model [ratings] -o MODEL", "add new ratings, or attributes of more items and users, to a saved model, in a "
                                    "fraction of a fit's time; settings and weights stay those of fit",
        [_MODEL, ("ratings", {"nargs": "?", "type": _path}, "a file of new ratings, which replace those of the same "
                                                            "pairs; counts are added up")] + _READ + _FEATURES
        + [_OUTPUT, ("--again", {"action": "store_true"},
                     "add counts whose times are at or before the last one that the model has seen, too")],
        example="model.npz today.csv -o model.npz"),
    "recommend": Command(
        "model (--user ID ... | --all)", "print the best items for users, with a saved model: item and predicted "
                                         "rating or score, after the user if there are several, separated by tabs",
        [_MODEL, ("--user", {"nargs": "+", "action": "extend", "metavar": "ID"}, "users"),
         ("--all", {"action": "store_true"}, "all users of fit"),
         ("-n", {"type": int, "default": 10}, "number of items for each user"),
         ("--items", {"nargs": "+", "action": "extend", "metavar": "ID"}, "recommend only these, such as items in "
                                                                          "stock"),
         ("--new", {"type": int}, "how many of them, the last ones, are items without ratings that have attributes; 0 "
                                  "lists none; default: the share that new items had among what people took lately, "
                                  "or 1 of 10"),
         ("--include-seen", {"action": "store_true"}, "also recommend items that the user has rated")] + _PRINT,
        example="model.npz --user ann bob -n 5 --csv"),
    "predict": Command(
        "model [pairs]", "print user, item and predicted rating of pairs, with a saved model, separated by tabs",
        [_MODEL, ("pairs", {"nargs": "?", "type": _path},
                  "a file with user and item in each line, in a form that fit reads; further columns are ignored"),
         ("--user", {"metavar": "ID"}, "instead of a file: a user"),
         ("--item", {"nargs": "+", "action": "extend", "metavar": "ID"}, "and items")] + _PRINT,
        example="model.npz pairs.csv --header"),
    "evaluate": Command(
        "model ratings", "print errors and ranking metrics of a saved model on held-out ratings, as "
                         "Recommender.evaluate describes them",
        [_MODEL, ("ratings", {"type": _path}, "a file of ratings that were not used in fit")] + _READ + [
            ("-k", {"type": _value, "default": "auto"},
             "number of recommended items for each user; auto is that of the objective's metric, and 10 for ratings; "
             "0: no ranking metrics for ratings"),
            ("--relevant", {"type": float, "metavar": "RATING"},
             "lowest rating of a relevant item (default: three quarters up the scale)")],
        example="model.npz held-out.csv"),
    "report": Command(
        "model --test RATINGS -o REPORT", "write a page for people who decide, in HTML: a saved model on held-out "
                                          "ratings, beside the most popular items and EASE",
        [_MODEL, ("--test", {"required": True, "type": _path, "metavar": "RATINGS"},
                  "a file of ratings that were not used in fit"),
         ("-o --output", {"required": True, "type": _path, "metavar": "REPORT"},
          "the file to write, such as report.html"),
         ("--titles", {"type": _path, "metavar": "FILE"},
          "titles of items: names of columns in the first line, one of them with title or name in it, then a line for "
          "each item"),
         ("-k", {"type": _value, "default": "auto"}, "number of recommended items for each user")] + _READ,
        example="model.npz --test held-out.csv -o report.html"),
}


class _Help(argparse.HelpFormatter):
    """Keeps the lines of a text below the options, such as an example, apart."""

    def _fill_text(self, text, width, indent):
        fill = super()._fill_text
        return "\n".join(fill(line, width, indent) for line in text.split("\n"))


def add_commands(parser):
    """Add all commands with their options to a parser: {name: the command's parser}."""
    added = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        parser = added.add_parser(name, usage=("%(prog)s [options] " + command.usage).strip(), help=command.help,
                                  description=command.help, formatter_class=_Help,
                                  epilog=("example: python -m sparse_ae %s %s" % (name, command.example)).strip())
        reading = parser.add_argument_group("reading files") if _READ[0] in command.options else parser
        others = parser if "all" in command.without else parser.add_argument_group("more options")
        for option in sorted(command.options, key=lambda option: option[0] != _FIRST[0]):
            flags, told, text = option
            first = not flags.startswith("-") or flags in _FIRST
            shown = told.get("default") is not None
            (parser if first else reading if option in _READ else others).add_argument(
                *flags.split(), help=text + " (default: %(default)s)" * shown, **told)
        if "all" not in command.without:
            _add_settings(parser, command.without)
    return added.choices


def _add_settings(parser, without):
    parser.epilog += "\nSettings are those of sparse_ae.Recommender. %s." % _AUTO
    defaults = dict(RecommenderSettings().get_params(), biases="yes")
    for title, settings in SETTINGS.items():
        settings = [each for each in settings if each[0] not in without]
        titled = parser.add_argument_group(title) if settings else None
        for name, told, text in settings:
            flag = "--" + {"rng": "seed", "progress": "no-progress"}.get(name, name).replace("_", "-")
            if "action" not in told:
                text = "default: " + text if defaults[name] is None else text + " (default: %(default)s)"
            group = parser if flag in _FIRST else titled
            group.add_argument(flag, dest=name, default=defaults[name], help=text, **told)


def recommender_of(parsed):
    """The recommender that the options ask for."""
    from sparse_ae.recommender.recommender import Recommender
    settings = {name: getattr(parsed, name) for group in SETTINGS.values() for name, _, _ in group
                if hasattr(parsed, name)}
    if isinstance(settings["l2"], list):
        settings["l2"] = settings["l2"][0] if len(settings["l2"]) == 1 else tuple(settings["l2"])
    for name in ("batch_size", "patience"):
        settings[name] = None if settings[name] == 0 else settings[name]
    settings["biases"] = _BIASES[settings["biases"]]
    settings["rating_scale"] = settings["rating_scale"] and tuple(settings["rating_scale"])
    return Recommender(**settings)


def load(parsed, path=None, counts=None):
    """The ratings of a command, or of another `path`, read by the same options."""
    from sparse_ae.data.load import load_ratings
    if counts is None:
        counts = getattr(parsed, "objective", None) == "clicks"
    duplicates = "sum" if counts and parsed.duplicates == "error" else parsed.duplicates
    return load_ratings(path or parsed.ratings, duplicates=duplicates, missing=parsed.missing,
                        pairs=counts and not parsed.lists, lists=parsed.lists, returns=parsed.returns,
                        progress=getattr(parsed, "progress", True), delimiter=parsed.delimiter,
                        **{name: getattr(parsed, name + "_column") for name in _COLUMNS})


def validation_of(parsed):
    """The argument of `Recommender.fit`; a file is read by the same options as the ratings."""
    value = _value(parsed.validation)
    if value in (0, "none"):
        return None
    if value == "auto" or isinstance(value, (int, float)) and not Path(parsed.validation).is_file():
        return value
    return load(parsed, parsed.validation)
