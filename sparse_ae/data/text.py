"""Text with a rating in each line, read a block of lines at a time, for `load_ratings` and `store_ratings` alike.

A block whose lines all look alike is cut up by NumPy, its numbers parsed there too; one with anything else in it, right
or wrong, is read record by record, so that an error can name its line. Errors come in the order of the lines, and what
is read doesn't depend on where a block ends.
"""
import csv
from array import array
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from sparse_ae.data.ids import distinct_integers, distinct_texts
from sparse_ae.data.lines import DELIMITERS, as_floats, first_lines, lines_of
from sparse_ae.data.ratings import as_float32
from sparse_ae.data.tables import COLUMN_WORDS, choose_columns, find_columns
from sparse_ae.runtime.progress import say

__all__ = ["Block", "Layout", "find_layout", "read_blocks", "read_pairs", "read_text"]

_EXPECTED = "user, item, rating and, if you like, a timestamp"

_NAMES = tuple(COLUMN_WORDS)

# Columns whose names are looked at.
_MOST_COLUMNS = 10 ** 5

_POWERS = 10.0 ** np.arange(16)


class Layout(NamedTuple):
    """How ratings are laid out in a file of text.

    Attributes
    ----------
    first_line : int
        The line, from 1, that the ratings begin on.
    delimiter : str or None
        What is between two columns; None for any blanks.
    n_columns : int
        How many there are.
    columns : tuple of int
        Which of them, from 0, are user, item, rating and, if there are any, timestamp; user and item of pairs alone.
    named : bool
        Whether the header calls them so, or the format does.
    unread : tuple of str
        The names of the others.
    """

    first_line: int
    delimiter: Optional[str]
    n_columns: int
    columns: Tuple[int, ...]
    named: bool = True
    unread: Tuple[str, ...] = ()


class Block(NamedTuple):
    """Some of a file's ratings, in its order.

    Attributes
    ----------
    users, items : (ids, places)
        The distinct ids, int64 or, if one of them isn't a plain whole number, a list of str, and where each entry's id
        is among them, (n,).
    ratings : numpy.ndarray of float32, (n,)
        Finite.
    timestamps : numpy.ndarray of int64 or float64, (n,), or None
        Finite.
    lines : sequence of int, length n
        The line that each entry begins on, from 1.
    """

    users: Tuple[Sequence, np.ndarray]
    items: Tuple[Sequence, np.ndarray]
    ratings: np.ndarray
    timestamps: Optional[np.ndarray]
    lines: Sequence


def find_layout(path, pairs=False):
    """Where the ratings begin in a file of text, how they are separated, and which columns they are.

    The first line that isn't blank tells. If it is a header, columns go by their names, as in `tables.as_ratings`; if
    it has others, or there is none, by their order.

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
    found = [_first_record(lines, delimiter) + (delimiter, name) for delimiter, name in DELIMITERS]
    named = [each for each in found if len(each[0]) <= _MOST_COLUMNS
             and all(word in find_columns(each[0], _NAMES) for word in _NAMES[:3])]
    fields, n_lines, delimiter, name = (named or [each for wanted in (widths[:2], widths) for each in found
                                                  if len(each[0]) in wanted]
                                        or [max(found, key=lambda each: len(each[0]))])[0]
    header = bool(named) or (pairs or len(fields) != 2) and len(fields) <= _MOST_COLUMNS and _is_header(fields)
    line = lines[0].rstrip("\r")
    if "\r" in line and (delimiter in ("::", None) or len(fields) not in widths and not header):
        raise ValueError("%s, line %d: a CR stands within the line; expected lines that end in LF or CR LF: save it "
                         "with such line ends" % (path, before + 1))
    if len(fields) < 2:
        raise ValueError("%s, line %d: found no delimiter in %.60r; expected %s, separated by tabs, commas, "
                         "semicolons, '::' or blanks" % (path, before + 1, line, _EXPECTED))
    if header:
        columns = _named_columns(fields, pairs, "%s, line %d: ratings" % (path, before + 1))
        unread = tuple(field.strip() for place, field in enumerate(fields) if place not in columns)
        called_so = len(find_columns(fields, _NAMES[:len(columns)])) == len(columns)
        return Layout(before + 1 + n_lines, delimiter, len(fields), columns, called_so, unread)
    if len(fields) not in widths:
        numbers = 4 < len(fields) <= _MOST_COLUMNS and all(map(_is_number_or_blank, fields))
        table = (", or if this is a table, with a row for each user, read it with missing=99 (--missing 99), where 99 "
                 "stands for no rating" if numbers else
                 ", or if these are pairs of user and item alone, read them with pairs=True (--feedback counts)"
                 if len(fields) == 2 else "")
        raise ValueError("%s, line %d: found %d columns, separated by %s; expected %s: keep just these%s"
                         % (path, before + 1, len(fields), name, _EXPECTED, table))
    return Layout(before + 1, delimiter, len(fields), tuple(range(len(fields))), named=False)


def read_text(path, progress=False, pairs=False):
    """Read the ratings of a file of text, whatever its layout, a block of lines at a time.

    Parameters
    ----------
    path : pathlib.Path
    progress : bool
        As in `read_blocks`.
    pairs : bool
        As in `find_layout`.

    Yields
    ------
    Block

    Raises
    ------
    ValueError
        As `find_layout` and `read_blocks`, and if there is a header and nothing else.
    """
    empty, layout = True, find_layout(path, pairs)
    if progress and layout.unread:
        say("%s: what is read are columns for %s; these are not: %s"
            % (path, ", ".join(_NAMES[:len(layout.columns)]), ", ".join(layout.unread)))
    for block in read_blocks(path, layout, progress):
        empty = False
        yield block
    if empty:
        raise ValueError("%s holds a header and no ratings; fetch or write it again" % path)


def read_blocks(path, layout, progress=False):
    """Read the ratings of a file of text, a block of lines at a time.

    Parameters
    ----------
    path : pathlib.Path
    layout : Layout
    progress : bool
        Whether to show a bar on stderr, if that is a terminal and reading takes longer than some seconds; and to say
        there how four columns were read if no header says what they are.

    Yields
    ------
    Block
        None of them empty.

    Raises
    ------
    ValueError
        For the first line that isn't a rating; in the end if the columns turn out to be in another order. The message
        names the file.
    """
    lowest, latest = np.inf, -np.inf
    with lines_of(path, layout.first_line, progress) as lines:
        for text in iter(lines.read_block, b""):
            # Millions of blank lines, one by one, would take long.
            if text[0] in b"\r\n\t " and not _with_line_feeds(text).strip(b"\n\t "):
                lines.number += text.count(b"\n")
                continue
            block = _parse_alike(lines, text, layout) or _parse_lines(lines, text, layout)
            if block is None:
                block = _parse_records(lines, text, layout)
            else:
                lines.number += text.count(b"\n")
            if not len(block.lines):
                continue
            if block.timestamps is not None:
                lowest, latest = min(lowest, block.ratings.min()), max(latest, block.timestamps.max())
            yield block
    # Seconds since 1970 are above 1e8 from 1973 on; no header told of them.
    if not layout.named and np.inf > lowest > 1e8 > latest:
        raise ValueError("%s: all numbers in the third column are above 1e8, as timestamps are, and none in the fourth "
                         "is; expected %s: reorder the columns" % (path, _EXPECTED))
    if progress and not layout.named and -np.inf < latest <= 1e8:
        say("%s has four columns that no header calls user, item, rating and timestamp, as which they are read. If "
            "each line is a user's ratings, read it with missing=99 (--missing 99), where 99 stands for no rating"
            % path)


def read_pairs(path):
    """Read the first two columns of a file of text, whatever its layout and whatever comes after them.

    Parameters
    ----------
    path : pathlib.Path

    Yields
    ------
    line : int
        The line that the record begins on, from 1.
    user, item : str
        As they stand there, without blanks around them; those of a header too, if there is one.

    Raises
    ------
    ValueError
        For a record of one column, one without a user or an item, and what is no text. The message names the file and
        the line.
    """
    before, first = first_lines(path)
    delimiter = next((each for each, _ in DELIMITERS if len(_first_record(first, each)[0]) > 1), None)
    with lines_of(path, before + 1) as lines:
        for text in iter(lines.read_block, b""):
            numbers, records, failure = _records(lines, text, delimiter)
            for number, fields in zip(numbers, records):
                if not any(field.strip() for field in fields):
                    continue
                where = "%s, line %d" % (path, number)
                if len(fields) < 2:
                    raise ValueError("%s: found one column, %.60r; expected user and item" % (where, fields[0].strip()))
                _check_record(where, fields, (0, 1))
                yield number, fields[0].strip(), fields[1].strip()
            if failure is not None:
                raise failure


# The first line


def _first_record(lines, delimiter):
    """The fields of the first record, none if it makes no sense with the delimiter, and how many lines it takes."""
    if delimiter in ("::", None):
        return lines[0].split(delimiter), 1
    rows = _csv_reader((line + "\n" for line in lines), delimiter)
    try:
        return next(rows), rows.line_num
    except csv.Error:
        return [], 1


def _is_header(fields):
    """Whether a first line names the columns: it holds no number, and its rating isn't just missing."""
    if any(field.strip() and _is_number_or_blank(field) for field in fields):
        return False
    if len(fields) < 3:  # of pairs both may be words, and only words for user and item make a header
        return len(fields) == 2 and all(any(word in field.lower() for word in COLUMN_WORDS[name])
                   for name, field in zip(("user", "item"), fields))
    return fields[2].strip().lower() not in ("", "na", "n/a", "none", "null", "?")


def _is_number_or_blank(field):
    try:
        float(field.strip() or 0)
    except ValueError:
        return False
    return True


def _named_columns(fields, pairs, table):
    """The places of user, item, rating and perhaps timestamp by a header; of pairs, of user and item if not so."""
    names = [field.strip() for field in fields]
    if pairs:
        try:
            return tuple(choose_columns(names, 3, _NAMES, table))
        except ValueError:
            return tuple(choose_columns(names, 2, _NAMES[:2], table))
    return tuple(choose_columns(names, 3, _NAMES, table))


# Lines without a surprise


def _with_line_feeds(text):
    """Bytes of lines that all end in LF."""
    return text.replace(b"\r\n", b"\n") if b"\r" in text else text  # to look for one letter is much quicker


def _parse_alike(lines, text, layout):
    """The Block of whole lines of as many fields each, no field in need of quotes; None for others and errors."""
    text = _with_line_feeds(text)
    if not text.endswith(b"\n"):
        text += b"\n"
    delimiter, n_columns = layout.delimiter or " ", layout.n_columns
    if layout.delimiter is None and not text.isascii():  # there are blanks that aren't ASCII
        return None
    if delimiter == "::":
        if b"\t" in text:
            return None
        text, delimiter = text.replace(b"::", b"\t"), "\t"
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((letters == ord(delimiter)) | (letters == ord("\n")))
    if len(ends) % n_columns:
        return None
    stops = ends.reshape(-1, n_columns)
    marks = letters[stops]
    if np.any(marks[:, :-1] != ord(delimiter)) or np.any(marks[:, -1] != ord("\n")):
        return None
    n_controls = np.count_nonzero(letters < ord(" "))  # a CR, a NUL, a tab that counts as a blank
    if n_controls != (ends.size if delimiter == "\t" else len(stops)):
        return None
    starts = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, n_columns)
    if b'"' in text and layout.delimiter not in ("::", None):
        # Fields in quotes are as good, if that is the only place of quotes: two to such a field.
        quoted = (letters[starts] == ord('"')) & (letters[stops - 1] == ord('"')) & (stops - starts > 1)
        if np.count_nonzero(letters == ord('"')) != 2 * np.count_nonzero(quoted):
            return None
        starts, stops, unquoted = starts + quoted, stops - quoted, text.replace(b'"', b"")
    else:
        unquoted = text
    fields, columns = None, []
    for name, column in zip(_NAMES, layout.columns):
        place = letters, starts[:, column].copy(), stops[:, column].copy()
        if name == "rating":
            values = _parse_decimals(*place)
            values = _parse_floats(*place) if values is None else values
        else:
            values = _parse_whole(*place)
        if values is None:
            if fields is None:
                fields = lines.decode(unquoted).replace("\n", delimiter).split(delimiter)
            values = fields[column:-1:n_columns]
        columns.append(values)
    return _convert(columns, range(lines.number, lines.number + len(stops)))


def _parse_lines(lines, text, layout):
    """The Block of whole lines of CSV with a record in each, all without an error; else None."""
    if layout.delimiter in ("::", None) or b"\0" in text:
        return None
    fields, n_records, texts = [], 0, lines.decode(text.rstrip(b"\r\n")).split("\n")
    try:
        for record in _csv_reader(texts, layout.delimiter):
            if len(record) != layout.n_columns:
                return None
            fields += record  # many lists kept alive would have the garbage collector look at them over and over
            n_records += 1
    except csv.Error:
        return None
    if n_records != len(texts):
        return None
    columns = [fields[column::layout.n_columns] for column in layout.columns]
    return _convert(columns, range(lines.number, lines.number + n_records))


def _parse_whole(letters, starts, stops):
    """Whole numbers as int64, or None where a field isn't up to 15 digits without a leading zero."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 15 or np.any((letters[starts] == ord("0")) & (widths > 1)):
        return None
    values = np.zeros(len(starts), np.int64)
    for place in range(widths.max()):
        # As uint8, anything below "0" wraps around to more than 9.
        digits = np.where(widths > place, letters[np.maximum(stops - 1 - place, 0)] - np.uint8(ord("0")), 0)
        if digits.max() > 9:
            return None
        values += digits.astype(np.int64) * 10 ** place
    return values


def _parse_decimals(letters, starts, stops):
    """Numbers as float64, or None where a field isn't up to 15 digits with or without a point and a minus."""
    negative = letters[starts] == ord("-")
    widths = stops - starts - negative
    if widths.min() < 1 or widths.max() > 16:
        return None
    digits, pointed, decimals = np.zeros(len(starts), np.int64), np.zeros(len(starts), bool), 0
    zero = np.uint8(ord("0"))
    for place in range(widths.max()):
        letter = np.where(widths > place, letters[np.maximum(stops - 1 - place, 0)], zero)
        point = letter == ord(".")
        if point.any():
            if (point & (pointed | (widths == 1))).any():
                return None
            letter, pointed, decimals = np.where(point, zero, letter), pointed | point, decimals + place * point
        digit = letter - zero  # as uint8, in which anything below "0" wraps around to more than 9
        if digit.max() > 9:
            return None
        digits += digit.astype(np.int64) * np.where(pointed, 10 ** max(place - 1, 0), 10 ** place)
    if digits.max() >= 10 ** 15:
        return None
    # Both are float64 without an error, so that what is nearest to their quotient is what float() gives.
    values = digits / _POWERS[decimals]
    return np.where(negative, -values, values) if negative.any() else values


def _parse_floats(letters, starts, stops):
    """Numbers of any form as float64, or None."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 32:
        return None
    places = np.arange(widths.max())
    fields = letters[np.minimum(starts[:, np.newaxis] + places, len(letters) - 1)]
    inside = places < widths[:, np.newaxis]
    # float() allows blanks around a number and an underscore between its digits.
    if np.any(inside & ((fields <= ord(" ")) | (fields == ord("_")))):
        return None
    fields[~inside] = 0
    try:
        return fields.view("S%d" % len(places)).ravel().astype(np.float64)
    except ValueError:
        return None


# Anything else, record by record


def _parse_records(lines, text, layout):
    """The Block, perhaps empty, of whole lines of any text."""
    numbers, records, failure = _records(lines, text, layout.delimiter)
    if not records:
        block = Block(([], np.zeros(0, np.intp)), ([], np.zeros(0, np.intp)), np.zeros(0, np.float32), None, numbers)
    elif all(len(fields) == layout.n_columns for fields in records):
        block = _convert([[fields[column] for fields in records] for column in layout.columns], numbers)
    else:
        block = None
    if block is None:
        for number, fields in zip(numbers, records):
            where = "%s, line %d" % (lines.path, number)
            if len(fields) != layout.n_columns:
                raise ValueError("%s: found %d columns; expected %d, as on the other lines: mend or drop it"
                                 % (where, len(fields), layout.n_columns))
            _check_record(where, fields, layout.columns)
    if failure is not None:
        raise failure  # only now: a record before it might have been wrong too
    return block


def _records(lines, block, delimiter):
    """Of a block, the line that each record begins on, the fields of each, and the error that ended them, or None.

    A blank line is no record. A quoted field may hold line ends: as many more lines are read as it takes.
    """
    stop = lines.number + block.count(b"\n") + (not block.endswith(b"\n"))
    texts = lines.one_by_one(lines.decode(block))
    if delimiter in ("::", None):
        rows = (line.split(delimiter) for line in texts)
    else:
        rows = _csv_reader(texts, delimiter)
    numbers, records, failure = array("q"), [], None
    while lines.number < stop and failure is None:
        number = lines.number
        try:
            fields = next(rows)
            if len(fields) > 1 or fields and fields[0].strip():
                numbers.append(number)
                records.append(fields)
        except csv.Error as error:
            failure = ValueError("%s, line %d: %s; expected lines that end in LF or CR LF, every quote closed, and "
                                 "quotes inside a quoted field doubled" % (lines.path, number, error))
        except ValueError as error:  # of what lies behind the rows
            failure = error
    return numbers, records, failure


def _convert(columns, lines):
    """The Block of columns that are arrays of numbers or sequences of str, or None if there is an error in one."""
    ids = []
    for column in columns[:2]:
        if isinstance(column, np.ndarray):
            ids.append(distinct_integers(column))
        else:
            column = [text.strip() for text in column]
            if not all(column):
                return None
            ids.append(distinct_texts(column))
    try:
        values = [column if isinstance(column, np.ndarray) else as_floats(column) for column in columns[2:]]
    except ValueError:
        return None
    values = values or [np.ones(len(columns[0]))]
    ratings, bad = as_float32(values[0])
    if bad is not None:
        return None
    times = values[1] if len(values) > 1 else None
    if times is not None and times.dtype == np.float64:
        if not np.isfinite(times).all():
            return None
        if np.all((times == np.rint(times)) & (np.abs(times) <= 2 ** 53)):
            times = times.astype(np.int64)
    return Block(*ids, ratings, times, lines)


def _check_record(where, fields, columns):
    """Raise the error of a record that `_convert` doesn't take, if it is this one."""
    fields = [fields[column] for column in columns]
    for name, text in zip(("user", "item"), fields):
        if not text.strip():
            raise ValueError("%s: the %s is empty; expected an id: fill it in, or drop the line" % (where, name))
    if len(columns) == 2:
        return
    try:
        rating = as_floats(fields[2:3])
    except ValueError:
        raise ValueError("%s: the rating %r isn't a number; expected one such as 3 or 4.5: mend or drop the line"
                         % (where, fields[2].strip())) from None
    bad = as_float32(rating)[1]
    if bad is not None:
        raise ValueError("%s: %s" % (where, bad[1]))
    if len(columns) == 4:
        try:
            time = as_floats(fields[3:4])[0]
        except ValueError:
            raise ValueError("%s: the timestamp %r isn't a number; expected one such as 978300760: mend it, or leave "
                             "the column out" % (where, fields[3].strip())) from None
        if not np.isfinite(time):
            raise ValueError("%s: the timestamp is %s; timestamps have to be finite: mend it, or leave the timestamps "
                             "out" % (where, time))


def _csv_reader(texts, delimiter):
    return csv.reader(texts, delimiter=delimiter, skipinitialspace=True, strict=True)
