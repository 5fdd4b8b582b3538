"""Text with a rating in each line, read a block of lines at a time, for `load_ratings` and `store_ratings` alike.

A block whose lines all look alike is cut up by NumPy, its numbers parsed there too; one with anything else in it, right
or wrong, is read record by record, so that an error can name its line. Errors come in the order of the lines, and what
is read doesn't depend on where a block ends.
"""
import bisect
import contextlib
import csv
import math
from array import array
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from sparse_ae.checks import error_at
from sparse_ae.data.columns import are_rated
from sparse_ae.data.ids import Numbering, distinct_integers, distinct_texts
from sparse_ae.data.layout import EXPECTED, PAIRS, TIMED_PAIRS, Layout, csv_reader, find_layout, first_record
from sparse_ae.data.lines import AS_LISTS, DELIMITERS, as_floats, as_times, first_lines, lines_of
from sparse_ae.data.ratings import as_float32
from sparse_ae.runtime.progress import say

_POWERS = 10.0 ** np.arange(16)

# Two columns, whatever comes after them.
_TWO = Layout(1, None, 2, (0, 1), names=PAIRS)


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


def read_text(path, progress=False, pairs=False, missing=None):
    """Read the ratings of a file of text, whatever its layout, a block of lines at a time.

    Parameters
    ----------
    path : pathlib.Path
    progress : bool
        As in `read_blocks`.
    pairs : bool
        As in `layout.find_layout`.
    missing : float, optional
        As in `layout.Layout`.

    Yields
    ------
    Block

    Raises
    ------
    ValueError
        As `find_layout` and `read_blocks`, and if there is a header and nothing else.
    """
    n_read, layout = 0, find_layout(path, pairs)._replace(missing=missing)
    if progress and layout.unread:
        say("%s: columns for %s are read; others are left out: %s"
            % (path, ", ".join(layout.names), ", ".join(layout.unread)))
    if progress and layout.by_place:
        say("%s: the columns %s are read as %s, in this order"
            % (path, ", ".join(layout.by_place), ", ".join(layout.names)))
    if progress and layout.maybe_named:
        say("%s: %r and %r, on its first line, are read as a user and an item; if they name the columns, drop that line"
            % ((path,) + layout.maybe_named))
    for block in read_blocks(path, layout, progress):
        n_read += len(block.lines)
        yield block
    if not n_read:
        raise ValueError("%s holds a header and no ratings%s; fetch or write it again"
                         % (path, "" if missing is None else ", or none but %r, which stands for no rating" % missing))


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
    lowest, latest, unread = np.inf, -np.inf, None
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
            if block.timestamps is None and layout.names == TIMED_PAIRS and unread is None:
                unread = block.lines[0], block.lines[-1]
            elif block.timestamps is not None:
                lowest, latest = min(lowest, block.ratings.min()), max(latest, block.timestamps.max())
            yield block
    # Seconds since 1970 are above 1e8 from 1973 on; no header told of them.
    if not layout.named and np.inf > lowest > 1e8 > latest:
        raise ValueError("%s: all numbers in the third column are above 1e8, as timestamps are, and none in the fourth "
                         "is; expected %s: reorder the columns" % (path, EXPECTED))
    if progress and unread is not None:
        say("%s: the timestamps are left out, for one of those in lines %d to %d is neither a number nor a date"
            % ((path,) + unread))
    if progress and layout.missing is not None and "rating" in layout.names:
        say("%s: read as %s in each line; those whose rating is %g, which stands for none, are left out"
            % (path, ", ".join(layout.names), layout.missing))
    elif progress and not layout.named and not layout.by_place and -np.inf < latest <= 1e8:
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
    delimiter = next((each for each, _ in DELIMITERS if len(first_record(first, each)[0]) > 1), None)
    with lines_of(path, before + 1) as lines:
        for text in iter(lines.read_block, b""):
            numbers, records, failure = _records(lines, text, delimiter)
            for number, fields in zip(numbers, records):
                if not any(field.strip() for field in fields):
                    continue
                where = "%s, line %d" % (path, number)
                if len(fields) < 2:
                    raise ValueError("%s: found one column, %.60r; expected user and item" % (where, fields[0].strip()))
                _check_record(where, fields, _TWO)
                yield number, fields[0].strip(), fields[1].strip()
            if failure is not None:
                raise failure


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
    for name, column in zip(layout.names, layout.columns):
        place = letters, starts[:, column].copy(), stops[:, column].copy()
        if name == "rating":
            values = parse_decimals(*place)
            values = parse_floats(*place) if values is None else values
        else:
            values = parse_whole(*place)
        if values is None:
            if fields is None:
                fields = lines.decode(unquoted).replace("\n", delimiter).split(delimiter)
            values = fields[column:-1:n_columns]
        columns.append(values)
    return _convert(columns, range(lines.number, lines.number + len(stops)), layout)


def _parse_lines(lines, text, layout):
    """The Block of whole lines of CSV with a record in each, all without an error; else None."""
    if layout.delimiter in ("::", None) or b"\0" in text:
        return None
    fields, n_records, texts = [], 0, lines.decode(text.rstrip(b"\r\n")).split("\n")
    try:
        for record in csv_reader(texts, layout.delimiter):
            if len(record) != layout.n_columns:
                return None
            fields += record  # many lists kept alive would have the garbage collector look at them over and over
            n_records += 1
    except csv.Error:
        return None
    if n_records != len(texts):
        return None
    columns = [fields[column::layout.n_columns] for column in layout.columns]
    return _convert(columns, range(lines.number, lines.number + n_records), layout)


# Anything else, record by record


def _parse_records(lines, text, layout):
    """The Block, perhaps empty, of whole lines of any text."""
    numbers, records, failure = _records(lines, text, layout.delimiter)
    if not records:
        block = _nothing()
    elif all(len(fields) == layout.n_columns for fields in records):
        columns = [[fields[column] for fields in records] for column in layout.columns]
        block = _convert(columns, numbers, layout)
    else:
        block = None
    if block is None:
        for number, fields in zip(numbers, records):
            where = "%s, line %d" % (lines.path, number)
            if len(fields) != layout.n_columns:
                way_out = "; " + AS_LISTS if all(field.strip().isdigit() for field in fields) else ""
                raise ValueError("%s: found %d columns; expected %d, as on the other lines: mend or drop it%s"
                                 % (where, len(fields), layout.n_columns, way_out))
            _check_record(where, fields, layout)
    if failure is not None:
        raise failure  # only now: a record before it might have been wrong too
    return block


def _records(lines, block, delimiter):
    """Find the line that each record of a block begins on, its fields, and the error that ended them, or None.

    A blank line is no record. A quoted field may hold line ends: as many more lines are read as it takes.
    """
    stop = lines.number + block.count(b"\n") + (not block.endswith(b"\n"))
    texts = lines.one_by_one(lines.decode(block))
    if delimiter in ("::", None):
        rows = (line.split(delimiter) for line in texts)
    else:
        rows = csv_reader(texts, delimiter)
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


def _nothing():
    return Block(([], np.zeros(0, np.intp)), ([], np.zeros(0, np.intp)), np.zeros(0, np.float32), None, range(0))


def _convert(columns, lines, layout):
    """The Block of columns that are arrays of numbers or sequences of str, or None if there is an error in one.

    Entries whose rating is the one that says that there is none are left out first.
    """
    if layout.missing is not None and "rating" in layout.names:
        try:
            rated = _rated(columns[2], layout.missing)
        except ValueError:
            return None
        if not any(rated):
            return _nothing()
        if not all(rated):
            places = np.flatnonzero(rated)
            columns = [column[places] if isinstance(column, np.ndarray) else [column[k] for k in places]
                       for column in columns]
            lines = np.asarray(lines)[places]
    ids = []
    for column in columns[:2]:
        if isinstance(column, np.ndarray):
            ids.append(distinct_integers(column))
        else:
            column = [text.strip() for text in column]
            if not all(column):
                return None
            ids.append(distinct_texts(column))
    values = dict(zip(layout.names[2:], columns[2:]))
    try:
        ratings = _read(values["rating"], as_floats) if "rating" in values else np.ones(len(columns[0]))
        times = _read(values["timestamp"], as_times) if "timestamp" in values else None
        if times is not None and not np.isfinite(times).all():
            raise ValueError
    except ValueError:
        if layout.names != TIMED_PAIRS:
            return None
        times = None
    ratings, bad = as_float32(ratings)
    if bad is not None:
        return None
    if times is not None and times.dtype == np.float64:
        if np.all((times == np.rint(times)) & (np.abs(times) <= 2 ** 53)):
            times = times.astype(np.int64)
    return Block(*ids, ratings, times, lines)


def _read(column, as_numbers):
    """A column's numbers: as they are, or of texts."""
    return column if isinstance(column, np.ndarray) else as_numbers(column)


def _rated(ratings, missing):
    """Tell which of some ratings, numbers or texts, aren't what stands for none; ValueError for what is no number."""
    if not isinstance(ratings, np.ndarray):
        blank = "nan" if math.isnan(missing) else ""
        ratings = as_floats([text if text.strip() else blank for text in ratings])
    return are_rated(ratings, missing)


def _check_record(where, fields, layout):
    """Raise the error of a record that `_convert` doesn't take, if it is this one."""
    fields = {name: fields[column] for name, column in zip(layout.names, layout.columns)}
    if layout.missing is not None and "rating" in fields:
        with contextlib.suppress(ValueError):  # of what is no number, below
            if not _rated([fields["rating"]], layout.missing)[0]:
                return
    for name in PAIRS:
        if not fields[name].strip():
            raise ValueError("%s: the %s is empty; expected an id: fill it in, or drop the line" % (where, name))
    if "rating" in fields:
        try:
            rating = as_floats([fields["rating"]])
        except ValueError:
            raise ValueError("%s: the rating %r isn't a number; expected one such as 3 or 4.5: %s"
                             % (where, fields["rating"].strip(), _way_out(fields["rating"]))) from None
        bad = as_float32(rating)[1]
        if bad is not None:
            raise ValueError("%s: %s" % (where, bad[1]))
    if "timestamp" in fields and layout.names != TIMED_PAIRS:
        try:
            time = as_times([fields["timestamp"]])[0]
        except ValueError:
            raise ValueError("%s: the timestamp %r is neither a number nor a date; expected one such as 978300760 or "
                             "2001-01-01 08:30: mend it, or leave the column out"
                             % (where, fields["timestamp"].strip())) from None
        if not np.isfinite(time):
            raise ValueError("%s: the timestamp is %s; timestamps have to be finite: mend it, or leave the timestamps "
                             "out" % (where, time))


def _way_out(rating):
    """Say what to do about a rating that is no number."""
    if _is_date(rating):
        return ("mend or drop the line; or if all are dates, let the first line name the columns, user,item,timestamp, "
                "and read it with pairs=True")
    try:
        as_floats([rating.replace(",", ".")])
    except ValueError:
        return "mend or drop the line"
    return ("write a point for the comma, or give the table that pandas.read_csv(FILE, sep=';', decimal=',') makes of "
            "the file")


def _is_date(text):
    with contextlib.suppress(ValueError):
        as_times([text])
        return True
    return False


def whole_table(path, blocks):
    """The arguments of `build_ratings` for all blocks of a file."""
    users, items, parts, lines, starts = Numbering(), Numbering(), [], [], [0]
    for block in blocks:
        parts.append((users.number(*block.users), items.number(*block.items), block.ratings, block.timestamps))
        lines.append(block.lines)
        starts.append(starts[-1] + len(block.lines))

    def where(entry):
        number = bisect.bisect_right(starts, entry) - 1
        return "%s, line %d" % (path, lines[number][entry - starts[number]])

    if not parts:
        return [(np.zeros(0, np.int64), np.zeros(0, np.intp))] * 2 + [np.zeros(0, np.float32), None, where]
    rows, cols, values, timestamps = zip(*parts)
    del parts
    try:
        (user_ids, user_places), (item_ids, item_places) = users.ascending(), items.ascending()
    except ValueError as error:  # an id that is too long
        raise error_at(path, error) from None
    return [(user_ids, user_places[np.concatenate(rows)]), (item_ids, item_places[np.concatenate(cols)]),
            np.concatenate(values), None if any(each is None for each in timestamps) else np.concatenate(timestamps),
            where]


# Lists


def read_lists(path, progress=False):
    """Read a file of lists, a block of lines at a time.

    Parameters
    ----------
    path : pathlib.Path
    progress : bool
        Whether to show a bar on stderr, if that is a terminal and reading takes longer than some seconds.

    Yields
    ------
    Block
        With a rating of 1 for each pair of a user and one of the user's items.

    Raises
    ------
    ValueError
        For a line without a user, or with nothing between two delimiters; if there are users and no items; and for
        what is no text. The message names the file and the line.
    """
    delimiter, first = _layout(path)
    empty = True
    with lines_of(path, first, progress) as lines:
        for text in iter(lines.read_block, b""):
            if not text.strip():  # millions of blank lines, one by one, would take long
                lines.number += text.count(b"\n")
                continue
            block = _parsed(lines, text, delimiter)
            if len(block.lines):
                empty = False
                yield block
    if empty:
        raise ValueError("%s holds users and no items; expected a user and some items in each line: fetch or write it "
                         "again" % path)


def _layout(path):
    """Find what is between two ids, and the line, from 1, that they begin on."""
    before, lines = first_lines(path)
    lines = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line.strip()][:100]
    found = [(sum(len(_ids_of(line, delimiter)) for line in lines), delimiter) for delimiter, _ in DELIMITERS]
    n_fields, delimiter = max(found, key=lambda each: each[0])  # of equals the first
    if n_fields == len(lines):
        raise ValueError("%s, line %d: found no delimiter in %.60r; expected a user and some items, separated by "
                         "blanks, tabs, commas, semicolons or '::'" % (path, before + 1, lines[0].rstrip("\r")))
    for other, name in DELIMITERS[:-1]:
        if other != delimiter and any(other in field for field in _ids_of(lines[0], delimiter)[:2]):
            raise ValueError("%s, line %d: %.60r holds %s, and more of %s; expected one of them alone: replace the "
                             "others" % (path, before + 1, lines[0].rstrip("\r"), name, dict(DELIMITERS)[delimiter]))
    try:
        header = find_layout(path, pairs=True)
    except ValueError:
        header = None
    named = header is not None and header.n_columns == 2 and header.first_line > before + 1
    return delimiter, before + 1 + named


def _ids_of(line, delimiter):
    """The ids of a line; of what isn't there at its end none."""
    fields = [field.strip() for field in line.split(delimiter)]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _parsed(lines, text, delimiter):
    """The Block, perhaps empty, of whole lines."""
    users, items, lengths, numbers = [], [], [], []
    decoded = lines.decode(text)
    for line in decoded[:-1].split("\n") if decoded.endswith("\n") else decoded.split("\n"):
        fields = line.split() if delimiter is None else _ids_of(line, delimiter)
        if "\0" in line:
            raise ValueError("%s, line %d: there is a NUL byte in it; expected text: write the file again"
                             % (lines.path, lines.number))
        if fields and not all(fields):
            raise ValueError("%s, line %d: there is nothing for %s; expected a user and items: mend or drop it"
                             % (lines.path, lines.number, "the user" if not fields[0] else
                                "item %d" % fields.index("")))
        if len(fields) > 1:
            users.append(fields[0])
            items += fields[1:]
            lengths.append(len(fields) - 1)
            numbers.append(lines.number)
        lines.number += 1
    ids, places = distinct_texts(users)
    return Block((ids, np.repeat(places, lengths).astype(np.intp)), distinct_texts(items),
                 np.ones(len(items), np.float32), None, np.repeat(np.array(numbers, np.int64), lengths))


# Tables


def read_table(path, progress=False):
    """Read a dense table of numbers from a file of text, some rows at a time.

    Numbers are separated as ratings in text are, and may be in quotes; one that isn't there counts as NaN.

    Parameters
    ----------
    path : pathlib.Path
    progress : bool
        Whether to show a bar on stderr, if that is a terminal and reading takes longer than some seconds.

    Yields
    ------
    numbers : list of int, length n
        The line of each row, from 1.
    table : numpy.ndarray of float64, shape (n, n_columns)

    Raises
    ------
    ValueError
        For what is no number, and a row of another length than the first.
    """
    first, delimiter = _first_row(path)
    n_columns = len(first)
    with lines_of(path, progress=progress) as lines:
        for block in iter(lines.read_block, b""):
            numbered, fields = [], []
            for line in lines.decode(block).replace('"', "").split("\n"):
                if line.strip():
                    row = line.rstrip("\r").split(delimiter)
                    if len(row) != n_columns:
                        way_out = "; " + AS_LISTS if all(field.strip().isdigit() for field in row) else ""
                        raise ValueError("%s, line %d: found %d columns; expected %d, as on the first line: mend or "
                                         "drop it%s" % (path, lines.number, len(row), n_columns, way_out))
                    numbered.append(lines.number)
                    fields += row
                lines.number += 1
            lines.number -= block.endswith(b"\n")
            try:
                table = _numbers(fields).reshape(-1, n_columns)
            except ValueError:
                _name_what_is_no_number(path, numbered, fields, n_columns)
            if numbered:
                yield numbered, table


def count_columns(path):
    """The number of columns that a file of text has, if its first line is of numbers, as that of a table is; else 0.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For what is no text, or blank.
    """
    first, _ = _first_row(path)
    try:
        return len(_numbers(first))
    except ValueError:
        return 0


def _first_row(path):
    """The first line's fields, and the delimiter: that which makes the most of them."""
    line = first_lines(path)[1][0].replace('"', "").rstrip("\r")
    return max(((line.split(delimiter), delimiter) for delimiter, _ in DELIMITERS), key=lambda each: len(each[0]))


def _numbers(fields):
    return as_floats([field if field and not field.isspace() else "nan" for field in fields])


def _name_what_is_no_number(path, numbered, fields, n_columns):
    for k, field in enumerate(fields):
        try:
            _numbers([field])
        except ValueError:
            raise ValueError("%s, line %d, column %d: %.60r isn't a number; expected a table of numbers alone: mend "
                             "it, or drop the header"
                             % (path, numbered[k // n_columns], k % n_columns + 1, field)) from None


# Digits


def parse_whole(letters, starts, stops):
    """Parse whole numbers as int64; None where a field isn't up to 15 digits without a leading zero."""
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


def parse_decimals(letters, starts, stops):
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


def parse_floats(letters, starts, stops):
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
