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
                                 help="the best items for some users, by a saved model",
                                 description="Print the best items for some users: item and predicted rating or score, "
                                             "the user before them if there are several, separated by tabs.")
    parser.add_argument("model", help="what fit has written")
    users = parser.add_mutually_exclusive_group(required=True)
    users.add_argument("--user", nargs="+", action="extend", metavar="ID")
    users.add_argument("--all", action="store_true", help="all users who were in the file for fit")
    parser.add_argument("-n", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--items", nargs="+", action="extend", metavar="ID", help="recommend from these only")
    parser.add_argument("--include-seen", action="store_true", help="recommend what a user has rated, too")
    _add_form(parser)
    parser.set_defaults(run=_run_recommend)


def _run_recommend(parsed):
    from sparse_ae.recommender.recommender import Recommender
    recommender = Recommender.load(parsed.model)
    users = recommender.users_ if parsed.all else _ids(parsed.user, recommender.users_, "user")
    items = None if parsed.items is None else _ids(parsed.items, recommender.items_, "item")
    found = recommender.recommend(users, n=parsed.n, exclude_seen=not parsed.include_seen, items=items)
    decimals, several = _decimals(recommender), parsed.all or len(parsed.user) > 1
    _print_table(parsed, ["user"] * several + ["item", "score"], (
        [user] * several + [item, "%.*f" % (decimals, score)]
        for user, (items, scores) in zip(parsed.user or users.tolist(), found)
        for item, score in zip(items.tolist(), scores.tolist())))


def _add_form(parser):
    parser.add_argument("--header", action="store_true", help="print the names of the columns first")
    parser.add_argument("--csv", action="store_true", help="separated by commas, quoted where need be, with --header; "
                                                           "between tabs only ids with a tab or a line end are quoted")


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
    """Of predicted ratings: four, and more on a scale of less than 1."""
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
                                 help="ratings of pairs of user and item, by a saved model",
                                 description="Print user, item and predicted rating of each of some pairs, separated "
                                             "by tabs.")
    parser.add_argument("model", help="what fit has written")
    parser.add_argument("pairs", nargs="?", help="a file of text with user and item in each line, separated by tabs, "
                                                 "commas, semicolons, :: or blanks, with or without a header; columns "
                                                 "after these count for nothing")
    parser.add_argument("--user", metavar="ID", help="instead of a file: this user,")
    parser.add_argument("--item", nargs="+", action="extend", metavar="ID", help="and these items")
    _add_form(parser)
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
                                 help="how well a saved model predicts held-out ratings",
                                 description="Print the errors and the measures of ranking on a file of held-out "
                                             "ratings; Recommender.evaluate says what they are.")
    parser.add_argument("model", help="what fit has written")
    add_ratings(parser, "a file of ratings that were not in the file for fit")
    parser.add_argument("-k", type=int, default=10,
                        help="length of the ranked lists; 0 for none (default: %(default)s)")
    parser.add_argument("--relevant", type=float, metavar="RATING",
                        help="from which an item is relevant (default: three quarters up the scale)")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(parsed):
    from sparse_ae.recommender.recommender import Recommender
    from sparse_ae.runtime.progress import figure, say
    recommender = Recommender.load(parsed.model)
    ratings = load(parsed, counts=recommender.takes_counts)
    users, items = (ids.astype(str) if known.dtype.kind == "U" else ids  # all numbers in this file, but not in fit's
                    for ids, known in ((ratings.users, recommender.users_), (ratings.items, recommender.items_)))
    measures = recommender.evaluate(ratings._replace(users=users, items=items), k=parsed.k or None,
                                    relevant=parsed.relevant)
    if recommender.measure != "rmse":  # scores to rank by are far from ratings
        del measures["rmse"], measures["mae"]
    for name, value in measures.items():
        print("%s: %s" % (name, value if isinstance(value, int) else figure(value)))
    if measures["n_trained"]:
        missed = ", and are on no list, so that they count as missed" if parsed.k else ""
        say("%d of these %d pairs are among those of fit: they don't tell how well others are predicted%s; leave them "
            "out of the file" % (measures["n_trained"], measures["n_ratings"], missed))
