"""The layout of a text file, found from its first lines: that delimiter by which all make sense; two are refused."""
import contextlib
import csv
import re
from typing import NamedTuple, Optional, Tuple

from sparse_ae.data.names import NAMES, PAIRS, RATINGS, find_columns, some_names
from sparse_ae.data.readers import headers
from sparse_ae.data.readers.headers import as_number
from sparse_ae.data.readers.lines import AS_LISTS, AS_PAIRS, DELIMITERS, first_lines, list_of, records_of
from sparse_ae.data.readers.options import Options
from sparse_ae.data.times import as_times

#: The columns of a file of ratings, as errors name them.
EXPECTED = "user, item, rating and an optional timestamp"

# The delimiters but for blanks.
_STRONG = [each for each in DELIMITERS if each is not None]

# Columns whose names are looked at, and records of the head.
_MOST_COLUMNS, _MOST_RECORDS = 10 ** 5, 1000

# Seconds since 1970 are above it from 1973 on.
_TIMESTAMPS = 1e8

# A delimiter that is on so many of the lines is no part of a field.
_NEARLY_ALL = 0.9


class Layout(NamedTuple):
    """The layout of a text file."""

    first_line: int  # from 1
    delimiter: Optional[str]  # None is any blanks
    n_columns: int
    columns: Tuple[int, ...]  # the places of the `names`, from 0
    missing: Optional[float] = None  # the number that means "not rated"
    names: Tuple[str, ...] = RATINGS
    loose_times: bool = False  # whether a timestamp that isn't one leaves all out
    note: str = ""  # for stderr


class _Head(NamedTuple):
    """The first lines of a file, and how it is to be read."""

    path: object
    first_line: int  # from 1, after blank ones
    lines: Tuple[str, ...]
    options: Options
    where: str  # the path and the first line, in words


def _head(path, options):
    """The `_Head` of a file, without Excel's first line sep=; which is an option."""
    number, lines = first_lines(path)
    found = re.fullmatch(r'"?sep=([,;\t|])"?\s*', lines[0])
    below = next((k for k in range(1, len(lines)) if lines[k].strip()), 0)
    if found and below:
        options = options._replace(delimiter=options.delimiter or found[1])
        number, lines = number + below, lines[below:]
    return _Head(path, number, lines, options, "%s, line %d" % (path, number))


def find_layout(path, options):
    """The `Layout` of a text file. ValueError where no delimiter, or more than one, makes sense of its first lines."""
    return _detect(_head(path, options), _lists if options.lists else _lines)


def find_pairs(path):
    """The `Layout` of user and item among any columns of a text file: by known names, else the first two."""
    head = _head(path, Options(pairs=True))
    several = [each for each in DELIMITERS if each is None or len(_records(head, each)[0][0]) > 1]
    delimiter = head.options.delimiter or (_everywhere(head.lines) + several)[0]
    (fields, *_), below = _records(head, delimiter)
    _check_line(head, delimiter, fields, "user and item")
    names = [field.strip() for field in fields]
    header = headers.is_header(head.options, names)
    columns = headers.named_columns(head.where, head.options, names)[1][:2] if header else (0, 1)
    return Layout(below if header else head.first_line, delimiter, len(fields), tuple(columns), names=PAIRS)


def find_table(path):
    """The `Layout` of a text file with any columns; without a header `names` count from "0"."""
    return _detect(_head(path, Options()), _table, _STRONG + ["|"],
                   "pass the table of pandas.read_csv(FILE, sep=...)")


def named_layout(path, options, names):
    """The `Layout` of a file whose columns have names."""
    unfit = Options(lists=options.lists, delimiter=options.delimiter).in_words()
    if unfit:
        raise ValueError("%s was given for %s, whose columns have names: leave it out" % (unfit, path))
    read, columns = headers.named_columns(str(path), options, names)
    return Layout(1, None, len(read), tuple(columns), options.missing, read,
                  *headers.left_open(options, names, read, columns))


# Delimiters


def _detect(head, lay_out, delimiters=None, way_out=None):
    """The `Layout` by the one delimiter that fits, of some or of all; an error for two names the `way_out`. Of each
    delimiter `lay_out` gives the layout, the share of records that fit it, and its error if no other fits better."""
    tried, given = [], head.options.delimiter
    for each in (delimiters or _delimiters(head.lines)) if given is None else [None if given == " " else given]:
        records, below = _records(head, each)
        try:
            layout, share, refusal = lay_out(head, each, records, below)
        except ValueError as error:
            layout, share, refusal = None, 0.0, str(error)
        tried.append((share, each, records, layout, refusal))
    fit = [each for each in tried if each[0] >= 0.5]
    if len(fit) > 1:
        raise ValueError("%s: there are two ways to read it: %s: %s" % (
            head.where, "; or ".join("by %s, %s" % (_said(each), some_names(max(records, key=len)))
                                     for _, each, records, _, _ in fit[:2]),
            way_out or "choose one by %s (--delimiter)" % " or ".join(
                "delimiter=%r" % (each or " ") for _, each, _, _, _ in fit[:2])))
    # Where nothing fits, the error is that of the delimiter with the most columns.
    share, _, _, layout, refusal = max(tried, key=lambda each: (each[0], not each[0] and len(each[2][0])))
    comment = head.lines[0].lstrip().startswith("#")
    if refusal or comment and not share:
        raise ValueError((refusal or "%s: its columns aren't those of the next lines" % head.where) + (
            "; lines that begin with # aren't skipped: drop it if it is a comment" if comment else ""))
    return layout


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


def _records(head, delimiter):
    """The fields of the first records that aren't blank, [] for a wrong one; and the line after the first record."""
    rows, records, below = records_of((line + "\n" for line in head.lines), delimiter), [], head.first_line + 1
    with contextlib.suppress(StopIteration):
        while len(records) < _MOST_RECORDS:
            try:
                fields = next(rows)
            except csv.Error:
                if records and getattr(rows, "line_num", 0) >= len(head.lines):
                    break  # the head may have cut it off
                records.append([])
                continue
            if len(fields) > 1 or fields and fields[0].strip():
                below = below if records else head.first_line + getattr(rows, "line_num", 1)
                records.append(fields)
    return records, below


def _check_line(head, delimiter, fields, expected):
    """ValueError where the first line ends in CR, or has no delimiter."""
    line = head.lines[0].rstrip("\r")
    if "\r" in (line if delimiter in ("::", None) else re.sub('"[^"]*("|$)', "", line)):
        raise ValueError("%s: there is a CR within the line; expected lines that end with LF or CR LF: save it with "
                         "such line ends" % head.where)
    if len(fields) < 2:
        quotes = ("; quotes may hide it: correct them, so that one stands beside a delimiter or another quote only"
                  if '"' in line else "")
        given = head.options.delimiter
        raise ValueError("%s: found no delimiter%s in %.60r; expected %s%s"
                         % (head.where, " %r" % given if given else "", line, expected, quotes))


def _said(delimiter):
    return DELIMITERS.get(delimiter, repr(delimiter))


# Ratings and pairs


def _lines(head, delimiter, records, below):
    """For `_detect`: ratings, or pairs, in each line."""
    fields, rest = records[0], records[1:]
    _check_line(head, delimiter, fields, EXPECTED + ", separated by tabs, commas, semicolons, '::' or blanks; "
                "pass another delimiter by delimiter= (--delimiter)")
    names, options = [field.strip() for field in fields] if len(fields) <= _MOST_COLUMNS else [], head.options
    header, refusal = headers.is_header(options, names), ""
    if header or options.columns:
        read, columns = headers.named_columns(head.where, options, names, rest, header)
    elif len(fields) > 4 and any(as_number(name) is not None for name in names) or not (
            len(options.needed) <= len(fields) <= _MOST_COLUMNS):
        raise ValueError("%s: found %d columns, separated by %s; expected %s: keep only these%s"
                         % (head.where, len(fields), _said(delimiter), EXPECTED, _hint(head, delimiter, fields)))
    elif len(names) > 4 or not headers.is_of_values(names):
        headers.named_columns(head.where, options, names, rest)  # raises an error
    else:
        read, columns = NAMES[:len(fields)], range(len(fields))
        others = [each for each in _everywhere(head.lines) if each != delimiter]
        if others and read == PAIRS and options.delimiter is None:
            refusal = ("%s: each line has both %s and %s, which may be the separator: choose one by delimiter=%r or "
                       "delimiter=%r (--delimiter)"
                       % (head.where, _said(delimiter), _said(others[0]), delimiter or " ", others[0]))
    records, columns = rest if header else records, tuple(columns)
    if not (header or options.columns):
        refusal = refusal or _doubt_about_times(head, records, len(fields))
    layout = Layout(below if header else head.first_line, delimiter, len(fields), columns, options.missing, read,
                    *headers.left_open(options, names, read, columns, header))
    return layout, sum(_fits(each, layout) for each in records) / len(records) if records else 1.0, refusal


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
    with contextlib.suppress(ValueError):
        return layout.loose_times or as_number(time) is not None or len(as_times([time])) == 1
    return False


def _doubt_about_times(head, records, n_columns):
    """Why columns without a header aren't read: the third may be timestamps; else ""."""
    third, fourth = ([as_number(each[column]) for each in records if len(each) == n_columns > column]
                     for column in (2, 3))
    if not third or None in third + fourth or not _TIMESTAMPS < min(third) <= max(third) < 1e19:
        return ""
    if fourth:
        return "" if max(fourth) >= _TIMESTAMPS else (
            "%s: the third column looks like timestamps, and the fourth doesn't (all above 1e8, and none); expected "
            "%s: reorder the columns" % (head.path, EXPECTED))
    return "" if len(third) < len(records) else (
        "%s: the third column may be ratings or timestamps, since all numbers are above 1e8: pass user=0, item=1, "
        "rating=2 (--user-column 0 ...) if they are ratings or counts, or else user=0, item=1, timestamp=2 and "
        "pairs=True (fit --objective clicks)" % head.where)


def _hint(head, delimiter, fields):
    """A hint about a first line with another number of columns."""
    if len(fields) == 2:
        return ", or " + AS_PAIRS
    if not 4 < len(fields) <= _MOST_COLUMNS:
        return ""
    numbers = all(not field.strip() or as_number(field) is not None for field in fields)
    table = ", or if this is a table with a row for each user, pass as_ratings(numpy.loadtxt(%r%s), missing=%g)" % (
        str(head.path), "" if delimiter is None else ", delimiter=%r" % delimiter,
        99 if head.options.missing is None else head.options.missing) if numbers else ""
    return "%s, or %s, or choose columns by user=, item= and rating= (--user-column ...)" % (table, AS_LISTS)


# Lists


def _lists(head, delimiter, records, below):
    """For `_detect`: a user and items in each line; the share is that of the lines with several fields it separates."""
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
    if head.options.delimiter is None and lists and all(re.fullmatch(r"\d+[\s:|]+\d+", fields[0]) for fields in lists):
        refusal = ("%s: by %s the user is %.30r; expected one delimiter between ids: replace the other"
                   % (head.where, _said(delimiter), lists[0][0]))
    layout = Layout(below if header else head.first_line, delimiter, 0, (), None, PAIRS, note=note)
    # A delimiter on the first line counts, however few of the others have it.
    share = max(min(1.0, len(separated) / max(len(several), 1)), 0.5 * (len((rest[:header] or records)[0]) > 1))
    return layout, share, refusal


# Tables of any columns


def _table(head, delimiter, records, below):
    """For `_detect`: any columns; the share is that of the records with as many as the first."""
    fields, rest = records[0], [each for each in records[1:] if len(each) == len(records[0])]
    _check_line(head, delimiter, fields, "columns such as item,genre,year, separated by tabs, commas, semicolons, '::' "
                                         "or |")
    names = tuple(field.strip() for field in fields)
    named = find_columns(names, PAIRS) or any(name.lower() in ("id", "ids") for name in names)
    numbers = [name for name in names if as_number(name) is not None]
    again = [name for place, name in enumerate(names) if any(each[place].strip() == name != "" for each in rest)]
    refusal = "" if not (named and numbers) else (
        "%s: its fields %s may be names of columns, or the first values: write words for names, or names into a line "
        "above" % (head.where, some_names(names)))
    header = named or not (numbers or again)
    if header and not refusal and ("" in names or len(set(names)) < len(names)):
        refusal = "%s: the columns are called %s; expected different names: name or drop a column" % (
            head.where, some_names(names))
    layout = Layout(below if header else head.first_line, delimiter, len(fields), (),
                    names=names if header else tuple(map(str, range(len(names)))))
    return layout, (1 + len(rest)) / len(records), refusal
