"""Names of columns: which of them are users, items, ratings and times, in tables as in headers of files."""
import difflib
import re
from collections.abc import Mapping

import numpy as np

#: Names of the columns of ratings, in tables as in the headers of files: the own one, then synonyms, in the order in
#: which they count. The last of timestamps are dates.
COLUMN_WORDS = {
    "user": (("user",), ("customer",), ("client", "buyer", "shopper", "member", "account"),
             ("visitor", "reviewer"), ("customeremail",), ("email",)),
    "item": (("item",), ("movie", "book", "product"), ("sku", "article", "song", "track", "asin"),
             ("stockcode", "recipe", "business", "video", "anime", "game", "listing"), ("artist",)),
    "rating": (("rating",), ("score", "stars"), ("overall",),
               ("quantity", "qty", "count", "plays", "playcount", "clicks", "views", "purchases",
                "hours", "playtime")),
    "timestamp": (("timestamp",), ("time",), ("unixreviewtime", "ts"),
                  ("date", "datetime", "orderdate", "ordertime", "orderedat", "createdat", "purchasedate",
                   "purchasedat", "eventtime", "invoicedate", "tdat")),
}

#: The columns of ratings, in the order in which they come without names; without timestamps, ratings, or both.
NAMES = tuple(COLUMN_WORDS)
RATINGS, TIMED_PAIRS, PAIRS = NAMES[:3], NAMES[:2] + NAMES[3:], NAMES[:2]

_DATE, _COUNTS = ((name, len(COLUMN_WORDS[name]) - 1) for name in ("timestamp", "rating"))

# The column, and the tier of its word, of each name that is one, without what isn't a letter.
_KNOWN = {word + ending: (column, tier) for column, tiers in COLUMN_WORDS.items() for tier, words in enumerate(tiers)
          for word in words for ending in ("", "s", "id", "ids")}

# What may follow a word in a name, such as movieTitle.
_MORE = "(s|id|ids|name|title|no|nr|num|number|key|code|index)?"
_WORDS = {column: re.compile("(%s)%s" % ("|".join(sum(tiers, ())), _MORE)) for column, tiers in COLUMN_WORDS.items()}

# What a column that is read by its place may be, by the end of a word in its name, the likeliest first: a user_rating
# is a rating, and a playtime no timestamp. Words that others end in have to be whole.
_HINTS = [(re.compile("(%s%s)%s" % ("" if tier > 1 else ".*", word, _MORE)), NAMES.index(name))
          for name in ("timestamp", "rating", "user", "item") for tier, words in enumerate(COLUMN_WORDS[name])
          for word in words if word != "time" and (name, tier) != _DATE]

# Names that an error lists: a table of ratings may have a column for each of thousands of items.
_MOST_NAMES = 10


def column_names(table):
    """The names of a table's columns, as pandas, polars, pyarrow, NumPy and a dict have them; None if it has none."""
    if isinstance(table, np.ndarray):
        return table.dtype.names and list(table.dtype.names)
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


def is_named(name, columns=NAMES):
    """Tell whether a name, or a whole word in it, is one for some of the columns: movieTitle is, and cookbook isn't."""
    return _known(name)[0] in columns or any(_WORDS[each].fullmatch(word) for word in _words(name) for each in columns)


def _words(name):
    return [word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", str(name))]


def is_date(name):
    """Tell whether a name is that of a column of dates, which count as timestamps only if all are times."""
    return _known(name) == _DATE


def choose_columns(names, fewest, wanted, table, of_file=None):
    """The positions of user, item, ...: by name if `fewest` have one, else by order, unless names contradict that.
    `of_file` are all columns of a file, for errors: `load_ratings` has arguments that choose among them."""
    found = find_columns(names, wanted)
    for word, places in found.items():
        if len(places) > 1:
            raise ValueError("%s have several columns for the %s: %s; expected one: drop the others"
                             % (table, word, some_names(names[place] for place in places)))
    if all(word in found for word in wanted[:fewest]):
        return [found[word][0] for word in wanted if word in found]
    contradicted = any(_hint(name) not in (None, place) for place, name in enumerate(names))
    if contradicted or not fewest <= len(names) <= len(wanted):
        missing = [word for word in wanted[:fewest] if word not in found]
        raise ValueError("%s have the columns %s, none named for the %s; %s, or keep just %s columns, in the order %s%s"
                         % (table, some_names(of_file or names), " and the ".join(missing),
                            to_choose(missing, names, bool(of_file)),
                            " or ".join(map(str, range(fewest, len(wanted) + 1))), ", ".join(wanted),
                            ", or call as_ratings(array, missing=...) with a table of users by items"
                            if len(names) > _MOST_NAMES or not of_file and not found else
                            "; or fit pairs without ratings with objective='clicks'"
                            if missing == ["rating"] and not of_file else ""))
    return list(range(len(names)))


def to_choose(missing, names, of_file=True):
    """How to say which of some columns are the `missing` ones, with likely names for them."""
    likely = {word: _likely(word, names) for word in missing}
    if not of_file:
        pairs = [("%.60r" % (name,), word) for word, name in likely.items() if name is not None]
        others = [word for word, name in likely.items() if name is None]
        pairs += [("a column" if len(others) == 1 else "columns", ", ".join(others))] if others else []
        return "rename %s" % " and ".join("%s to %s" % pair for pair in pairs)
    likely = {word: str(name or "COLUMN") for word, name in likely.items()}
    quoted = ((word, name if " " not in name else "'%s'" % name) for word, name in likely.items())
    return "pass %s (%s)" % (", ".join("%s=%.60r" % each for each in likely.items()),
                             " ".join("--%s-column %.60s" % each for each in quoted))


def _likely(word, names):
    """The only one of some names that may be meant for a column: one of its words is in it, or nearly; else None."""
    words = [each for each in sum(COLUMN_WORDS[word], ()) if len(each) > 3]
    found = [name for name in names if _known(name)[0] is None and _hint(name) in (None, NAMES.index(word))
             and any(each in part or difflib.get_close_matches(each, [part], 1, 0.75)
                     for each in words for part in _words(name) + ["".join(_words(name))])]
    return found[0] if len(found) == 1 else None


def index_names(table):
    """The names of the index of a pandas table, which are no columns."""
    return [each for each in getattr(getattr(table, "index", None), "names", ()) if each is not None]


def _hint(name):
    """The column that a name indicates, or None."""
    return next((place for pattern, place in _HINTS if any(map(pattern.fullmatch, _words(name)))), None)


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
