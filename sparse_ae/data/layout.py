"""The layout of ratings in a file of text, told by its first line and a few that follow."""
import csv
from typing import NamedTuple, Optional, Tuple

from sparse_ae.data.lines import AS_LISTS, AS_PAIRS, DELIMITERS, first_lines
from sparse_ae.data.tables import COLUMN_WORDS, choose_columns, find_columns

#: The columns of a file of ratings, as errors name them.
EXPECTED = "user, item, rating and, if you like, a timestamp"

#: The columns of ratings, in the order in which they come without a header.
NAMES = tuple(COLUMN_WORDS)

#: What is read where there are no timestamps, no ratings, or neither.
RATINGS, TIMED_PAIRS, PAIRS = NAMES[:3], NAMES[:2] + NAMES[3:], NAMES[:2]

# What names a column, of whichever.
_WORDS = [word for words in COLUMN_WORDS.values() for word in words]

# Columns whose names are looked at.
_MOST_COLUMNS = 10 ** 5

# Seconds since 1970 are above it from 1973 on.
_TIMESTAMPS = 1e8


class Layout(NamedTuple):
    """The layout of ratings in a file of text.

    Attributes
    ----------
    first_line : int
        The line, from 1, that the ratings begin on.
    delimiter : str or None
        What is between two columns; None for any blanks.
    n_columns : int
        How many there are.
    columns : tuple of int
        Which of them, from 0, are those of `names`.
    named : bool
        Whether the header calls them so, or the format does.
    unread : tuple of str
        The names of the others.
    by_place : tuple of str
        The names of the columns that are read, if a header names them otherwise.
    maybe_named : tuple of str
        Two words on the first line that are read as a pair, and may be a header as well.
    missing : float or None
        The rating that says that there is none; it may be NaN, as which a blank one counts then.
    names : tuple of str
        What is read: of `NAMES` all, those of `RATINGS`, `PAIRS` or `TIMED_PAIRS`.
    """

    first_line: int
    delimiter: Optional[str]
    n_columns: int
    columns: Tuple[int, ...]
    named: bool = True
    unread: Tuple[str, ...] = ()
    by_place: Tuple[str, ...] = ()
    maybe_named: Tuple[str, ...] = ()
    missing: Optional[float] = None
    names: Tuple[str, ...] = RATINGS


def find_layout(path, pairs=False):
    """Find where the ratings begin in a file of text, how they are separated, and which columns they are.

    The first line that isn't blank tells. If it is a header, columns go by their names, as in `tables.as_ratings`; if
    it has others, or there is none, by their order. Of pairs, two words are a header if they name columns and don't
    come again in the lines that follow, or if there are numbers in one of their places on these. A header of pairs may
    name a timestamp, a time or a date, too.

    Parameters
    ----------
    path : pathlib.Path
    pairs : bool
        Whether two columns, user and item, are enough.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If that line names no user, item and rating, and isn't three or four columns that may be these; and for what is
        no text.
    """
    widths = (3, 4, 2) if pairs else (3, 4)
    before, lines = first_lines(path)
    found = [first_record(lines, delimiter) + (delimiter, name) for delimiter, name in DELIMITERS]
    named = [each for each in found if len(each[0]) <= _MOST_COLUMNS
             and all(word in find_columns(each[0], NAMES) for word in NAMES[:3])]
    fields, n_lines, delimiter, name = (named or [each for wanted in (widths[:2], widths) for each in found
                                                  if len(each[0]) in wanted]
                                        or [max(found, key=lambda each: len(each[0]))])[0]
    header, doubtful = bool(named), False
    if not header and len(fields) == 2 and pairs:
        header, doubtful = _is_header_of_pairs(fields, _following(lines, delimiter))
    elif not header and 2 < len(fields) <= _MOST_COLUMNS:
        header = _is_header(fields)
    line = lines[0].rstrip("\r")
    if "\r" in line and (delimiter in ("::", None) or len(fields) not in widths and not header):
        raise ValueError("%s, line %d: a CR stands within the line; expected lines that end in LF or CR LF: save it "
                         "with such line ends" % (path, before + 1))
    if len(fields) < 2 and len(line) > csv.field_size_limit():
        raise ValueError("%s, line %d: there is a field of more than %d characters; expected ids and numbers: shorten "
                         "it" % (path, before + 1, csv.field_size_limit()))
    if len(fields) < 2:
        raise ValueError("%s, line %d: found no delimiter in %.60r; expected %s, separated by tabs, commas, "
                         "semicolons, '::' or blanks" % (path, before + 1, line, EXPECTED))
    if header:
        try:
            read, columns = _named_columns(fields, pairs, "%s, line %d: ratings" % (path, before + 1))
        except ValueError as error:
            way_out = "; " + AS_LISTS if _is_ragged(fields, lines, delimiter) else ""
            if not pairs and not way_out and "rating" not in find_columns(fields, NAMES):
                way_out = "; " + AS_PAIRS
            raise ValueError("%s%s" % (error, way_out)) from None
        unread = tuple(field.strip() for place, field in enumerate(fields) if place not in columns)
        called_so = len(find_columns(fields, read)) == len(columns)
        by_place = () if called_so else tuple(fields[place].strip() for place in columns)
        return Layout(before + 1 + n_lines, delimiter, len(fields), columns, called_so, unread, by_place, names=read)
    if len(fields) not in widths:
        raise ValueError("%s, line %d: found %d columns, separated by %s; expected %s: keep just these%s"
                         % (path, before + 1, len(fields), name, EXPECTED, _way_out(fields, lines, delimiter)))
    return Layout(before + 1, delimiter, len(fields), tuple(range(len(fields))), named=False, names=NAMES[:len(fields)],
                  maybe_named=tuple(field.strip() for field in fields) if doubtful else ())


def holds_lines(path):
    """Tell a rating in each line from a table, of a file of text of which it is said what stands for no rating.

    So has one with a header that names any of user, item and rating, and one of three columns, or of four of which the
    last can only be timestamps. There may be tables of so few items, but hardly as files.

    Parameters
    ----------
    path : pathlib.Path
    """
    try:
        layout = find_layout(path)
    except ValueError:
        return False
    before, lines = first_lines(path)
    first = first_record(lines, layout.delimiter)[0]
    if layout.first_line > before + 1:
        return layout.named or any(word in field.lower() for field in first for word in _WORDS)
    if layout.n_columns == 3:
        return True
    times = [fields[3] for fields in [first] + _following(lines, layout.delimiter) if len(fields) == 4]
    return all(_is_number_or_blank(time) and time.strip() and float(time) > _TIMESTAMPS for time in times)


def first_record(lines, delimiter):
    """The fields of the first record, none if it makes no sense with the delimiter, and how many lines it takes."""
    if delimiter in ("::", None):
        return lines[0].split(delimiter), 1
    rows = csv_reader((line + "\n" for line in lines), delimiter)
    try:
        return next(rows), rows.line_num
    except csv.Error:
        return [], 1


def csv_reader(texts, delimiter):
    """The records of some lines of CSV, as `load_ratings` takes them."""
    return csv.reader(texts, delimiter=delimiter, skipinitialspace=True, strict=True)


def _following(lines, delimiter):
    """The fields of some lines after the first, each taken for a record."""
    found = []
    for line in lines[1:-1] if len(lines) > 2 else lines[1:]:  # the last may be a part of one
        if line.strip():
            found.append(first_record([line.rstrip("\r")], delimiter)[0])
    return found


def _is_header(fields):
    """Tell whether a first line of three or more names the columns: no number, and its rating isn't just missing.
    """
    if any(field.strip() and _is_number_or_blank(field) for field in fields):
        return False
    return fields[2].strip().lower() not in ("", "na", "n/a", "none", "null", "?")


def _is_header_of_pairs(fields, following):
    """Tell whether a first line of two fields, which may both be ids that are words, names the columns; or may."""
    words = [field.strip().lower() for field in fields]
    following = [[field.strip() for field in others] for others in following if len(others) == 2]
    again = any(word == other.lower() for others in following for word, other in zip(words, others))
    if again or not all(words) or any(letter.isdigit() for word in words for letter in word):
        return False, False
    of_numbers = [bool(following) and all(others[k] and _is_number_or_blank(others[k]) for others in following)
                  for k in (0, 1)]
    if any(of_numbers) or all(any(each in word for each in _WORDS) for word in words):
        return True, False
    return False, True


def _is_number_or_blank(field):
    """Tell whether a field can be read as a number, or has nothing in it."""
    try:
        float(field.strip() or 0)
    except ValueError:
        return False
    return True


def _named_columns(fields, pairs, table):
    """What is read by a header, and the places of it: ratings; of pairs, users and items with timestamps, if not so."""
    names = [field.strip() for field in fields]
    times = _times_of(names) if pairs else []
    try:
        columns = choose_columns(names, 3, NAMES, table)
        if columns[2] not in times:
            return NAMES[:len(columns)], tuple(columns)
    except ValueError:
        if not pairs:
            raise
    others = [place for place in range(len(names)) if place not in times]
    if len(others) < 2:
        times, others = [], range(len(names))
    columns = [others[place] for place in choose_columns([names[place] for place in others], 2, PAIRS, table)]
    return (TIMED_PAIRS, tuple(columns + times)) if len(times) == 1 else (PAIRS, tuple(columns))


def _times_of(names):
    """The places of the timestamps of pairs by a header: those that are called so, else one that is called a date."""
    found = find_columns(names, NAMES[3:]).get(NAMES[3])
    return found or [place for place, name in enumerate(names) if name.lower() == "date"]


def _is_ragged(fields, lines, delimiter):
    """Tell whether the lines after the first have other numbers of fields."""
    return any(len(others) != len(fields) for others in _following(lines, delimiter))


def _way_out(fields, lines, delimiter):
    """Say what a first line of another number of columns may be."""
    if len(fields) == 2:
        return ", or " + AS_PAIRS
    if not 4 < len(fields) <= _MOST_COLUMNS:
        return ""
    ragged = _is_ragged(fields, lines, delimiter)
    numbers = all(map(_is_number_or_blank, fields))
    table = (", or if this is a table, with a row for each user, read it with missing=99 (--missing 99), where 99 "
             "stands for no rating" if numbers and not ragged else "")
    return table + (", or " + AS_LISTS if ragged or numbers else "")
