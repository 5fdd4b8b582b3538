"""Names of columns: which of them are users, items, ratings and times, in tables as in headers of files."""
import re
from collections.abc import Mapping

import numpy as np

#: Names of the columns of ratings, in tables as in the headers of files: the own one, then synonyms, in the order in
#: which they count. The last of timestamps are dates.
COLUMN_WORDS = {
    "user": (("user",), ("customer",), ("client", "buyer", "shopper", "member", "account"),
             ("visitor", "reviewer"), ("customeremail",), ("email",)),
    "item": (("item",), ("movie", "book", "product"), ("sku", "article", "song", "track", "asin", "isbn"),
             ("stockcode", "recipe", "business", "video", "anime", "game", "listing"), ("artist",), ("parentasin",)),
    "rating": (("rating",), ("score", "stars", "bookrating"), ("overall",),
               ("quantity", "qty", "count", "plays", "playcount", "clicks", "views", "purchases",
                "hours", "playtime"), ("weight",)),
    "timestamp": (("timestamp",), ("time",), ("unixreviewtime", "ts"),
                  ("date", "datetime", "orderdate", "ordertime", "orderedat", "createdat", "purchasedate",
                   "purchasedat", "eventtime", "invoicedate", "tdat")),
}

#: The columns of ratings, in the order in which they come without names; without timestamps, or ratings as well.
NAMES = tuple(COLUMN_WORDS)
RATINGS, PAIRS = NAMES[:3], NAMES[:2]

_DATE, _COUNTS = ("timestamp", 3), ("rating", 3)

# The column, and the tier of its word, of each name that is one, without what isn't a letter.
_KNOWN = {word + ending: (column, tier) for column, tiers in COLUMN_WORDS.items() for tier, words in enumerate(tiers)
          for word in words for ending in ("", "s", "id", "ids")}

# Names that an error lists: a table of ratings may have a column for each of thousands of items.
_MOST_NAMES = 10


def column_names(table):
    """The names of a table's columns; None if it has none, and TypeError for one without values."""
    if isinstance(table, np.ndarray):
        return table.dtype.names and list(table.dtype.names)
    if callable(getattr(table, "collect", None)):
        raise TypeError("a %s has no values yet: pass its .collect()" % type(table).__name__)
    names = getattr(table, "columns", table if isinstance(table, Mapping) else None)
    names = getattr(table, "column_names", names)  # of pyarrow, whose columns are the values
    return list(names) if names is not None and hasattr(table, "__getitem__") else None


def find_columns(names, wanted):
    """The positions of the columns called user, item, ... or a synonym, whatever the case: {name: [position, ...]}."""
    known, found = list(map(_known, names)), {}
    for column in wanted:
        tiers = [tier for each, tier in known if each == column]
        if tiers:
            found[column] = [place for place, each in enumerate(known) if each == (column, min(tiers))]
    return found


def _known(name):
    """The column that a name is one of, and the tier of the word."""
    return _KNOWN.get(re.sub("[^a-z]", "", str(name).lower().partition(":")[0]), (None, None))


def is_date(name):
    """Tell whether a name is that of a column of dates, which count as timestamps only if all are times."""
    return _known(name) == _DATE


def choose_columns(names, fewest, wanted, table, index):
    """The places of user, item, ... in a table: by name, else by order if the known names stand in it. Errors tell of
    known names among those of its index."""
    found = find_columns(names, wanted)
    hint = ". The index holds %s: call reset_index() first" % some_names(index) if find_columns(index, wanted) else ""
    for word, places in found.items():
        if len(places) > 1:
            raise ValueError("%s have several columns for the %s: %s; expected one: drop the others%s"
                             % (table, word, some_names(names[place] for place in places), hint))
    lacking = [word for word in wanted[:fewest] if word not in found]
    if not lacking:
        return [found[word][0] for word in wanted if word in found]
    if fewest <= len(names) <= len(wanted) and all(found.get(word, [place]) == [place]
                                                   for place, word in enumerate(wanted)):
        return list(range(len(names)))
    raise ValueError("%s have the columns %s, none named for the %s; rename one to %s, or keep just %s columns, in the "
                     "order %s%s%s" % (
                         table, some_names(names), " and the ".join(lacking), ", one to ".join(lacking),
                         " or ".join(map(str, range(fewest, len(wanted) + 1))), ", ".join(wanted),
                         ", or call as_ratings(array, missing=...) with a table of users by items" if not found else
                         "; or fit pairs without ratings with objective='clicks'" if lacking == ["rating"] else "",
                         hint))


def index_names(table):
    """The names of the index of a pandas table, which are no columns."""
    return [each for each in getattr(getattr(table, "index", None), "names", ()) if each is not None]


def said_columns(read, places, names):
    """Which columns are read, for a message."""
    return ": " + ", ".join("%s: %.60s" % (name, names[place]) for name, place in zip(read, places))


def doubt_about_counts(name):
    """What to do if a column of counts is read as ratings, for a message; "" where the name isn't one of counts."""
    return "; if %.60s holds counts, not ratings, fit with objective='clicks' (--objective clicks)" % name if (
        _known(name) == _COUNTS) else ""


def doubt_about_header(names):
    """What to do if a rating was read as the names of columns, for a message; "" if not all are text of numbers."""
    if not all(isinstance(name, str) and re.fullmatch(r"\d+(\.\d+)?", name) for name in names):
        return ""
    return "; if these are a rating, it is lost: read the table with header=None (pandas) or has_header=False (polars)"


def some_names(names):
    """The first of some names, for a message."""
    return listed("%.60r" % (name,) for name in names)


def listed(words):
    """The first of some words, for a message."""
    words = [word[:100] for word in words]
    return ", ".join(words[:_MOST_NAMES]) + (
        " and %d more" % (len(words) - _MOST_NAMES) if len(words) > _MOST_NAMES else "")
