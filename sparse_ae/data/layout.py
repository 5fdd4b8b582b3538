"""The layout of a text file, found from its first lines: that delimiter by which all make sense; two are refused."""
import contextlib
import csv
import re
from functools import partial
from typing import NamedTuple, Optional, Tuple

from sparse_ae.data.headers import (
    NAMES,
    PAIRS,
    RATINGS,
    as_number,
    check_columns,
    chosen_columns,
    columns_of_header,
    is_header,
    is_header_of_pairs,
)
from sparse_ae.data.lines import AS_LISTS, AS_PAIRS, DELIMITERS, as_times, first_lines
from sparse_ae.data.tables import check_missing, find_columns, is_date, is_named, said_columns, some_names

#: The columns of a file of ratings, as errors name them.
EXPECTED = "user, item, rating and an optional timestamp"

# The delimiters but for blanks.
_STRONG = [each for each, _ in DELIMITERS if each is not None]

# Columns whose names, and records of the head, that are looked at.
_MOST_COLUMNS, _MOST_RECORDS = 10 ** 5, 1000

# A field between blanks: in quotes, or not.
_BETWEEN_BLANKS = re.compile(r'("(?:[^"]|"")*"(?!\S))|(\S+)')

# Seconds since 1970 are above it from 1973 on.
_TIMESTAMPS = 1e8

_DOUBT = (": %r and %r, on the first line, are read as a user and an item; if they are the names of the columns, drop "
          "that line")

# A delimiter that is on so many of the lines is no part of a field.
_NEARLY_ALL = 0.9


class Layout(NamedTuple):
    """The layout of ratings in a text file; without `names` it is a table, with a row of numbers for each user.

    Lines count from 1, `columns` are the places of the `names` from 0, a `delimiter` of None is any blanks. `missing`
    stands for no rating. If `loose_times`, a timestamp that isn't one leaves all out. A `note` is worth a line on
    stderr.
    """

    first_line: int
    delimiter: Optional[str]
    n_columns: int
    columns: Tuple[int, ...]
    missing: Optional[float] = None
    names: Tuple[str, ...] = RATINGS
    loose_times: bool = False
    note: str = ""


class _Reading(NamedTuple):
    """A delimiter's layout, the share of records that fit it, and the error if no other fits better."""

    layout: Optional[Layout]
    share: float
    refusal: str = ""


class _Head(NamedTuple):
    """The first lines of a file, and the caller's arguments."""

    path: object
    n_blank: int
    lines: Tuple[str, ...]
    pairs: bool = False
    missing: Optional[float] = None
    chosen: dict = {}
    decided: bool = False  # that the delimiter was given

    @property
    def where(self):
        return "%s, line %d" % (self.path, self.n_blank + 1)


def check_delimiter(delimiter):
    """Return what separates two columns: "::", or one character that isn't part of numbers; None for None."""
    if delimiter is None or isinstance(delimiter, str) and (
            delimiter == "::" or len(delimiter) == 1 and delimiter.isascii() and delimiter not in "\r\n\"+-._\0"
            and not delimiter.isalnum()):
        return delimiter
    raise ValueError("delimiter is %.60r; expected one character such as ',', ';', '|' or '\\t', '::', or ' ' for any "
                     "blanks" % (delimiter,))


def in_words(**given):
    """Arguments as they were given, but for those that are None."""
    return ", ".join("%s=%.60r" % each for each in given.items() if each[1] is not None)


def find_layout(path, form="lines", pairs=False, missing=None, delimiter=None, chosen=None):
    """The `Layout` of a text file, by arguments of `load_ratings` and its `form`: "lines", "lists" or "lines or table".
    ValueError where no delimiter, or more than one, makes sense of its first lines."""
    missing, delimiter, chosen = check_missing(missing), check_delimiter(delimiter), check_columns(chosen or {})
    if form == "lists" and in_words(missing=missing, pairs=pairs or None, **chosen):
        raise ValueError("lists=True was given with %s; lists have users and items only: leave it out"
                         % in_words(missing=missing, pairs=pairs or None, **chosen))
    head = _Head(path, *first_lines(path), pairs, missing, chosen, delimiter is not None)
    return _detect(head, delimiter, {"lines": _lines, "lists": _lists, "lines or table": _lines_or_table}[form])


def find_pairs(path):
    """The `Layout` of user and item among any columns of a text file."""
    head = _Head(path, *first_lines(path), pairs=True)
    several = [each for each, _ in DELIMITERS if each is None or len(_records(head.lines, each)[0][0]) > 1]
    delimiter = (_everywhere(head.lines) + several)[0]
    (fields, *rest), n_lines = _records(head.lines, delimiter)
    _check_line(head, delimiter, fields, "user and item")
    names = [field.strip() for field in fields]
    known = find_columns(names, PAIRS)
    places = [known[name][0] for name in PAIRS] if len(known) == 2 else [0, 1]
    header, doubtful = is_header_of_pairs([names[place] for place in places], [
        [each[place] for place in places] for each in rest if len(each) == len(names)])
    columns = tuple(columns_of_header(head, names, rest)[1][:2]) if header else (0, 1)
    note = (_DOUBT % tuple(names[:2]) if doubtful else
            said_columns(PAIRS, columns, names) if header and len(known) < 2 else "")
    return Layout(head.n_blank + 1 + (n_lines if header else 0), delimiter, len(fields), columns, names=PAIRS,
                  note=str(path) + note if note else "")


# Delimiters


def _detect(head, delimiter, lay_out):
    """The `Layout` by the one delimiter that fits."""
    tried = []
    for each in _delimiters(head.lines) if delimiter is None else [None if delimiter == " " else delimiter]:
        records, n_lines = _records(head.lines, each)
        try:
            reading = lay_out(head, each, records, n_lines)
        except ValueError as error:
            reading = _Reading(None, 0.0, str(error))
        tried.append((each, records, reading))
    fit = [each for each in tried if each[2].share >= 0.5]
    if len(fit) > 1:
        raise ValueError("%s: there are two ways to read it: %s: choose one by %s (--delimiter)" % (
            head.where, "; or ".join("by %s, %s" % (_said(each), some_names(max(records, key=len)))
                                     for each, records, _ in fit[:2]),
            " or ".join("delimiter=%r" % (each or " ") for each, _, _ in fit[:2])))
    # Where nothing fits, the error is that of the delimiter with the most columns.
    best = max(tried, key=lambda each: (each[2].share, not each[2].share and len(each[1][0])))[2]
    comment = head.lines[0].lstrip().startswith("#")
    if best.refusal or comment and not best.share:
        raise ValueError((best.refusal or "%s: its columns aren't those of the next lines" % head.where) + (
            "; lines that begin with # aren't skipped: drop it if it is a comment" if comment else ""))
    return best.layout


def _delimiters(lines):
    """The delimiters to try: blanks only where no other is on nearly every line, or among numbers between tabs."""
    lines = [line for line in lines[:_MOST_RECORDS] if line.strip()]
    if "\t" in lines[0] and all(re.fullmatch(r"[-\d\s.]*", line) for line in lines):
        if any(re.search(r"\d +\d", line) for line in lines) or all("\t\t" in line for line in lines):
            return _STRONG + [None]
    return _STRONG if _everywhere(lines) else _STRONG + [None]


def _everywhere(lines):
    """The delimiters, but for blanks, that are on nearly every line that holds any, outside of quotes."""
    lines = [re.sub('"[^"]*"', "", line) if '"' in line else line.strip() for line in lines[:_MOST_RECORDS]]
    lines = [line for line in lines if re.search("::|[\t,; ]", line)]
    return [each for each in _STRONG if lines and sum(each in line for line in lines) >= _NEARLY_ALL * len(lines)]


def _records(lines, delimiter):
    """The fields of the first records that aren't blank, [] for a wrong one; and how many lines the first takes."""
    rows, records, n_lines = records_of((line + "\n" for line in lines), delimiter), [], 1
    with contextlib.suppress(StopIteration):
        while len(records) < _MOST_RECORDS:
            try:
                fields = next(rows)
            except csv.Error:
                if records and getattr(rows, "line_num", 0) >= len(lines):
                    break  # the head may have cut it off
                records.append([])
                continue
            if len(fields) > 1 or fields and fields[0].strip():
                n_lines = n_lines if records else getattr(rows, "line_num", 1)
                records.append(fields)
    return records, n_lines


def records_of(lines, delimiter):
    """An iterator over the fields of each record of some lines; csv.Error for one that can't be read."""
    if delimiter in ("::", None):
        return map(partial(_cut, delimiter), lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _cut(delimiter, line):
    line = line.rstrip("\r\n")
    if "\r" in line:  # which would count as a blank
        raise csv.Error("there is a CR within the line")
    if delimiter is None and '"' in line:  # as R's write.table writes texts; between :: quotes mean nothing
        fields = _BETWEEN_BLANKS.findall(line)
        if any(field.startswith('"') for _, field in fields):
            raise csv.Error("a quote isn't closed before a blank")
        return [quoted[1:-1].replace('""', '"') or field for quoted, field in fields]
    return line.split(delimiter)


def _check_line(head, delimiter, fields, expected):
    """ValueError where the first line ends in CR, or has no delimiter."""
    line = head.lines[0].rstrip("\r")
    if "\r" in (line if delimiter in ("::", None) else re.sub('"[^"]*("|$)', "", line)):
        raise ValueError("%s: there is a CR within the line; expected lines that end with LF or CR LF: save it with "
                         "such line ends" % head.where)
    if len(fields) < 2:
        quotes = ("; quotes may hide it: correct them, so that one stands beside a delimiter or another quote only"
                  if '"' in line else "")
        raise ValueError("%s: found no %s in %.60r; expected %s%s" % (
            head.where, "delimiter %r" % (delimiter or " ") if head.decided else "delimiter", line, expected, quotes))


def _said(delimiter):
    return dict(DELIMITERS).get(delimiter, repr(delimiter))


def _share(records, fits):
    return sum(map(fits, records)) / len(records) if records else 1.0


# Ratings and pairs


def _lines(head, delimiter, records, n_lines):
    """The `_Reading` of ratings, or of pairs, in each line."""
    fields, rest = records[0], records[1:]
    _check_line(head, delimiter, fields, EXPECTED + ", separated by tabs, commas, semicolons, '::' or blanks")
    names = [field.strip() for field in fields] if len(fields) <= _MOST_COLUMNS else []
    known = find_columns(names, NAMES)
    sure, note, refusal, doubtful = all(name in known for name in RATINGS), "", "", False
    if head.chosen:
        read, columns, header, doubtful = chosen_columns(head, names, rest)
        sure = sure or any(isinstance(column, str) for column in head.chosen.values())
    elif sure or len(names) > 2 and is_header(names, () if "user" in known and "item" in known else rest):
        header = True
        read, columns = columns_of_header(head, names, rest)
    elif not 2 + (not head.pairs) <= len(fields) <= 4:
        raise ValueError("%s: found %d columns, separated by %s; expected %s: keep only these%s"
                         % (head.where, len(fields), _said(delimiter), EXPECTED, _hint(fields)))
    else:
        header, doubtful = is_header_of_pairs(names, rest) if len(names) == 2 else (False, False)
        read, columns = columns_of_header(head, names, rest) if header else (NAMES[:len(fields)], range(len(fields)))
        others = [each for each in _everywhere(head.lines) if each != delimiter]
        if others and read == PAIRS and not head.decided and not all(name in known for name in PAIRS):
            refusal = ("%s: each line has both %s and %s, which may be the separator: choose one by delimiter=%r or "
                       "delimiter=%r (--delimiter)"
                       % (head.where, _said(delimiter), _said(others[0]), delimiter or " ", others[0]))
    records, columns = rest if header else records, tuple(columns)
    if not (sure or head.chosen):
        if len(read) == 4:
            _check_times(head, records, columns)
        refusal = refusal or _are_ratings_times(head, records, header)
    if doubtful:
        note = _DOUBT % tuple(names[columns[read.index(name)]] for name in PAIRS)
    # Only a column called timestamp or time has to be one.
    loose = "rating" not in read or (header and read[-1] == "timestamp" and "timestamp" not in head.chosen
                                     and is_date(names[columns[-1]]))
    if len(read) == 4 and not header and head.missing is None and all(
            len(each) == 4 and as_number(each[3]) is not None and not _is_time(each[3]) for each in records):
        note = (" has four columns without a header, which are read as user, item, rating and timestamp. If each line "
                "has a user's ratings, read it with missing=99 (--missing 99), if 99 means \"not rated\"")
    unread = [name for place, name in enumerate(names) if place not in columns]
    if header and (unread or not sure and len(find_columns(names, read)) < len(read)):
        note = said_columns(read, columns, names)
        note += "; other columns are ignored: " + ", ".join(unread) if unread else ""
        if unread and head.pairs and "rating" not in read:
            note += " (each line counts once; to read a column of counts, choose it by rating=, --rating-column)"
    if head.missing is not None and "rating" in read:
        note += ': each line is read as %s; lines with the rating %g, which means "not rated", are left out' % (
            ", ".join(read), head.missing)
    layout = Layout(head.n_blank + 1 + (n_lines if header else 0), delimiter, len(fields), columns, head.missing, read,
                    loose, str(head.path) + note if note else "")
    return _Reading(layout, _share(records, lambda each: _fits(each, layout)), refusal)


def _fits(fields, layout):
    """Whether a record may be one of a layout."""
    if len(fields) != layout.n_columns:
        return False
    values = {name: fields[column].strip() for name, column in zip(layout.names, layout.columns)}
    if not values["user"] or not values["item"]:
        return False
    rating, time = values.get("rating", "1"), values.get("timestamp", "1")
    if as_number(rating) is None and (rating or layout.missing == layout.missing):
        return False
    return layout.loose_times or as_number(time) is not None or _is_time(time)


def _is_time(field):
    """Whether a field is a date, or a number as large as timestamps are."""
    number = as_number(field)
    if number is None:
        with contextlib.suppress(ValueError):
            as_times([field])
            return True
    return number is not None and number > _TIMESTAMPS


def _check_times(head, records, columns):
    """ValueError where the third of four columns are timestamps, and the fourth none."""
    third, fourth = ([as_number(each[column]) for each in records if len(each) == 4] for column in columns[2:])
    if third and None not in third + fourth and min(third) > _TIMESTAMPS > max(fourth):
        raise ValueError("%s: the third column looks like timestamps, and the fourth doesn't (all above 1e8, and "
                         "none); expected %s: reorder the columns" % (head.path, EXPECTED))


def _are_ratings_times(head, records, header):
    """Why three columns without a header aren't read: the third may be timestamps; else ""."""
    third = [as_number(each[2]) for each in records if len(each) == 3]
    if header or len(third) < len(records) or None in third or not _TIMESTAMPS < min(third) <= max(third) < 1e19:
        return ""
    return ("%s: the third column may be ratings or timestamps, since all numbers are above 1e8: pass user=0, item=1, "
            "rating=2 (--user-column 0 ...) if they are ratings or counts, or else user=0, item=1, timestamp=2 and "
            "pairs=True (fit --objective clicks)" % head.where)


def _hint(fields):
    """A hint about a first line with another number of columns."""
    if len(fields) == 2:
        return ", or " + AS_PAIRS
    if not 4 < len(fields) <= _MOST_COLUMNS:
        return ""
    numbers = all(not field.strip() or as_number(field) is not None for field in fields)
    table = (", or if this is a table with a row for each user, read it with missing=99 (--missing 99), if 99 means "
             '"not rated"' if numbers else "")
    return "%s, or %s, or choose columns by user=, item= and rating= (--user-column ...)" % (table, AS_LISTS)


# Tables and lists


def _lines_or_table(head, delimiter, records, n_lines):
    """The `_Reading` of lines if there is a header, three columns or a fourth of timestamps; else of a table."""
    fields = records[0]
    try:
        reading = _lines(head, delimiter, records, n_lines)
        header = reading.layout.first_line > head.n_blank + 1
        times = all(len(each) == 4 and _is_time(each[3]) for each in records)
        if head.chosen or (any(map(is_named, fields)) if header else len(fields) < 4 or times):
            return reading
    except ValueError:
        if head.chosen:
            raise
    _check_line(head, delimiter, fields if delimiter is not None else [0, 0], "a table of numbers")
    if delimiter is None and any("\t\t" in line for line in head.lines):
        raise ValueError("%s: there are two tabs between two numbers; expected one: a number may be "
                         "missing" % head.where)

    def fits(each):
        return len(each) == len(fields) and all(not field.strip() or as_number(field) is not None
                                                for field in each)
    return _Reading(Layout(head.n_blank + 1, delimiter, len(fields), (), head.missing, ()), _share(records, fits))


def _lists(head, delimiter, records, n_lines):
    """The `_Reading` of a user and items in each line: how many of the lines with several fields it separates."""
    records = [list_of(fields) for fields in records]
    several = [line for line in head.lines[:_MOST_RECORDS] if re.search("::|[\t,; ]", line.strip())]
    separated = [fields for fields in records if len(fields) > 1]
    expected = "a user and some items, separated by blanks, tabs, commas, semicolons or '::'"
    _check_line(head, delimiter, (separated or records)[0], expected)
    first, rest, note = records[0], records[1:], ""
    header = len(find_columns(first[:2], PAIRS)) == 2
    if not header and rest and len(first) > 1 and not any(letter.isdigit() for field in first for letter in field):
        header = all(field.isdigit() for fields in rest for field in fields)
        note = ": the first line is read as a header, since all ids below are numbers" if header else ""
    lists = separated[1:] if header and len(separated) > 1 else separated
    if lists and all(fields[0].endswith(":") for fields in lists):
        note = ": the ids of users end with a colon, such as %.30r" % lists[0][0]
    elif all(len(fields) == 2 for fields in lists) and any(re.search("[|/:+&]", fields[1]) for fields in lists):
        note = ": each user has one item, such as %.30r; if this is several items, separate them" % lists[0][1]
    refusal = ""
    if not head.decided and lists and all(re.fullmatch(r"\d+[\s:|]+\d+", fields[0]) for fields in lists):
        refusal = ("%s: by %s the user is %.30r; expected one delimiter between ids: replace the other"
                   % (head.where, _said(delimiter), lists[0][0]))
    layout = Layout(head.n_blank + 1 + (n_lines if header else 0), delimiter, 0, (), None, PAIRS,
                    note=str(head.path) + note if note else "")
    # A delimiter on the first line counts, however few of the others have it.
    share = max(min(1.0, len(separated) / max(len(several), 1)), 0.5 * (len((rest[:header] or records)[0]) > 1))
    return _Reading(layout, share, refusal)


def list_of(fields):
    """The ids of a line of a list: without blanks around them, and without what isn't there at the end."""
    fields = [field.strip() for field in fields]
    while fields and not fields[-1]:
        fields.pop()
    return fields
