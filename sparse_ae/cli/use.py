"""Commands that use a saved model: ``recommend``, ``predict`` and ``evaluate``."""

import csv
import itertools
import math
import re
import sys
from pathlib import Path

from sparse_ae.checks import brief
from sparse_ae.cli.settings import add_ratings, load


def add_recommend(commands):
    """Add the command ``recommend``."""
    parser = commands.add_parser("recommend", usage="%(prog)s [options] model (--user ID ... | --all)",
                                 help="recommend items to users, with a saved model",
                                 description="Print the best items for users: item and predicted rating or score, "
                                             "after the user if there are several, separated by tabs.")
    parser.add_argument("model", help="a file that fit has written")
    users = parser.add_mutually_exclusive_group(required=True)
    users.add_argument("--user", nargs="+", action="extend", metavar="ID")
    users.add_argument("--all", action="store_true", help="all users of fit")
    parser.add_argument("-n", type=int, default=10, help="number of items for each user (default: %(default)s)")
    parser.add_argument("--items", nargs="+", action="extend", metavar="ID", help="recommend only these, such as items "
                                                                                  "in stock")
    parser.add_argument("--include-seen", action="store_true", help="also recommend items that the user has rated")
    _add_form(parser)
    parser.set_defaults(run=_run_recommend)


def _run_recommend(parsed):
    from sparse_ae.recommender.recommender import Recommender
    recommender = Recommender.load(parsed.model)
    users = recommender.users_ if parsed.all else _ids(parsed.user, recommender.users_, "user")
    items = None if parsed.items is None else _ids(parsed.items, recommender.items_, "item")
    if items and not set(items) & set(recommender.items_.tolist()):
        raise ValueError("none of the items %s had a rating in fit; expected ids such as %r"
                         % (brief(", ".join(map(repr, items))), recommender.items_.tolist()[0]))
    found = recommender.recommend(users, n=parsed.n, exclude_seen=not parsed.include_seen, items=items)
    decimals, several = _decimals(recommender), parsed.all or len(parsed.user) > 1
    _print_table(parsed, ["user"] * several + ["item", "score"], (
        [user] * several + [item, "%.*f" % (decimals, score)]
        for user, (items, scores) in zip(parsed.user or users.tolist(), found)
        for item, score in zip(items.tolist(), scores.tolist())))


def _add_form(parser):
    parser.add_argument("--header", action="store_true", help="print the names of the columns")
    parser.add_argument("--csv", action="store_true", help="print a CSV file with a header")


def _print_table(parsed, names, rows):
    rows = itertools.chain([names] * (parsed.header or parsed.csv), rows)
    if parsed.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        for row in rows:
            print("\t".join(map(_quoted, row)))


def _quoted(value):
    """A field between tabs, in quotes if it holds a tab or a line end itself."""
    text = str(value)
    return '"%s"' % text.replace('"', '""') if re.search("[\t\r\n]", text) else text


def _decimals(recommender):
    """Return the number of decimals: four, and more on a scale of less than 1."""
    low, high = recommender.rating_scale_
    return 4 + max(0, -math.floor(math.log10(high - low)))


def _ids(words, known, name):
    """Ids as the model has them: strings, or numbers, which are written plainly: 7, not 007 or 1_0."""
    if known.dtype.kind == "U":
        return words
    if not all(re.fullmatch("0|-?[1-9][0-9]{0,18}", word) for word in words):
        raise ValueError("%s %s: the ids of %ss in this model are numbers, such as %d"
                         % (name, brief(", ".join(words)), name, known[0]))
    return [int(word) for word in words]


def add_predict(commands):
    """Add the command ``predict``."""
    parser = commands.add_parser("predict", usage="%(prog)s [options] model [pairs]",
                                 help="predict ratings of pairs of user and item, with a saved model",
                                 description="Print user, item and predicted rating for each pair, separated by tabs.")
    parser.add_argument("model", help="a file that fit has written")
    parser.add_argument("pairs", nargs="?", help="a text file with user and item in each line, separated by tabs, "
                                                 "commas, semicolons, :: or blanks, with or without a header; further "
                                                 "columns are ignored")
    parser.add_argument("--user", metavar="ID", help="instead of a file: a user")
    parser.add_argument("--item", nargs="+", action="extend", metavar="ID", help="and items")
    _add_form(parser)
    parser.set_defaults(run=_run_predict)


def _run_predict(parsed):
    from sparse_ae.recommender.recommender import Recommender
    if (parsed.pairs is None) == (parsed.user is None or parsed.item is None) or (
            parsed.pairs is not None and (parsed.user or parsed.item)):
        raise ValueError("predict takes a file of pairs, or --user and --item; expected one of the two")
    recommender = Recommender.load(parsed.model)
    if parsed.pairs is None:
        users, items = [parsed.user] * len(parsed.item), parsed.item
        u, i = _ids(users, recommender.users_, "user"), _ids(items, recommender.items_, "item")
    else:
        users, items, u, i = _read_pairs(Path(parsed.pairs), recommender.users_, recommender.items_)
    decimals = _decimals(recommender)
    _print_table(parsed, ["user", "item", "predicted"], (
        [user, item, "%.*f" % (decimals, rating)]
        for user, item, rating in zip(users, items, recommender.predict(u, i).tolist())))


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
    """Tell whether a first pair names columns: no ids of the model, and called as `load_ratings` has it."""
    from sparse_ae.data.tables import COLUMN_WORDS
    return all(any(word in field.lower() for word in sum(COLUMN_WORDS[name], ())) and field not in ids.astype(str)
               for field, name, ids in zip(pair, ("user", "item"), known))


def add_evaluate(commands):
    """Add the command ``evaluate``."""
    parser = commands.add_parser("evaluate", usage="%(prog)s [options] model ratings",
                                 help="evaluate a saved model on held-out ratings",
                                 description="Print errors and ranking metrics on a file of held-out ratings. "
                                             "Recommender.evaluate describes them.")
    parser.add_argument("model", help="a file that fit has written")
    add_ratings(parser, "a file of ratings that were not used in fit")
    parser.add_argument("-k", type=int, default=10,
                        help="number of recommended items for each user; 0: no ranking metrics (default: %(default)s)")
    parser.add_argument("--relevant", type=float, metavar="RATING",
                        help="lowest rating of a relevant item (default: three quarters up the scale)")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(parsed):
    from sparse_ae.recommender.recommender import Recommender
    from sparse_ae.runtime.progress import figure, say
    recommender = Recommender.load(parsed.model)
    ratings = load(parsed, counts=recommender.takes_counts)
    users, items = (ids.astype(str) if known.dtype.kind == "U" else ids  # all numbers here, but not in fit
                    for ids, known in ((ratings.users, recommender.users_), (ratings.items, recommender.items_)))
    measures = recommender.evaluate(ratings._replace(users=users, items=items), k=parsed.k or None,
                                    relevant=parsed.relevant)
    if recommender.measure != "rmse":  # scores aren't ratings
        del measures["rmse"], measures["mae"]
    for name, value in measures.items():
        print("%s: %s" % (name, value if isinstance(value, int) else figure(value)))
    if measures["n_trained"]:
        missed = ", and count as misses, since rated items are not recommended" if parsed.k else ""
        say("%d of these %d pairs were used in fit: they don't show how well others are predicted%s; leave them out of "
            "the file" % (measures["n_trained"], measures["n_ratings"], missed))
