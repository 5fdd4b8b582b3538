"""Text with a rating, or a user and items, or a row of a table in each line, read a block of lines at a time.

A block whose lines all look alike is cut up by NumPy, its whole numbers and decimals parsed there too; any other one is
read record by record, so that an error can name its line. Errors come in the order of the lines, and what is read
doesn't depend on where a block ends.
"""
import contextlib
import csv
import math
import re

import numpy as np

from sparse_ae.checks import error_at
from sparse_ae.data.blocks import Block, nothing
from sparse_ae.data.columns import are_rated
from sparse_ae.data.ids import distinct_integers, distinct_texts
from sparse_ae.data.layout import PAIRS, csv_reader, find_layout, find_pairs, list_of
from sparse_ae.data.lines import AS_LISTS, DELIMITERS, as_floats, as_times, first_lines, lines_of, whole
from sparse_ae.data.ratings import as_float32
from sparse_ae.runtime.progress import say

_POWERS = 10 ** np.arange(16, dtype=np.int64)

_DECIMALS = "write 4.5 for 4,5, or pass the table of pandas.read_csv(FILE, sep=';', decimal=',') to as_ratings"


def read_text(path, layout, progress=False):
    """Yield a Block, never an empty one, for each block of lines; ValueError, with its line, for an unreadable rating.

    With `progress`, say on stderr what the layout leaves open.
    """
    for note in layout.notes if progress else ():
        say(note)
    n_read, unread = 0, None
    with lines_of(path, layout.first_line, progress) as lines:
        for text in _texts(lines):
            block = _parse_alike(lines, text, layout)
            if block is None:
                block = _parse_records(lines, text, layout)
            else:
                lines.number += text.count(b"\n")
            if not len(block.lines):
                continue
            n_read += len(block.lines)
            if block.timestamps is None and "timestamp" in layout.names and unread is None:
                unread = block.lines[0], block.lines[-1]
            yield block
    if progress and unread is not None:
        say("%s: timestamps are ignored, since one in lines %d to %d is neither a number nor a date such as 2024-05-31"
            % ((path,) + unread))
    if not n_read:
        raise ValueError("%s has a header and no ratings%s" % (
            path, "" if layout.missing is None else ' other than %g, which means "not rated"' % layout.missing))


def _texts(lines):
    """The blocks of a file that aren't blank: millions of blank lines, one by one, would take long."""
    for text in iter(lines.read_block, b""):
        if text[0] in b"\r\n\t " and not text.strip(b"\r\n\t "):
            lines.number += text.count(b"\n")
        else:
            yield text


# Lines without a surprise


def _parse_alike(lines, text, layout):
    """The Block of whole lines of as many fields each, no field in need of quotes; None for others and errors."""
    if b"\r" in text:  # to look for one letter is much quicker
        text = text.replace(b"\r\n", b"\n")
    text += b"" if text.endswith(b"\n") else b"\n"
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
    if n_controls != (ends.size if delimiter < " " else len(stops)):
        return None
    starts = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, n_columns)
    unquoted = text
    if b'"' in text and layout.delimiter not in ("::", None):
        # Quoted fields are fine if all quotes enclose fields: two for each.
        quoted = (letters[starts] == ord('"')) & (letters[stops - 1] == ord('"')) & (stops - starts > 1)
        if np.count_nonzero(letters == ord('"')) != 2 * np.count_nonzero(quoted):
            return None
        starts, stops, unquoted = starts + quoted, stops - quoted, text.replace(b'"', b"")
    fields, columns = None, []
    for name, column in zip(layout.names, layout.columns):
        values = parse_numbers(letters, starts[:, column].copy(), stops[:, column].copy(), plain=name != "rating")
        if values is None:
            if fields is None:
                fields = lines.decode(unquoted).replace("\n", delimiter).split(delimiter)
            values = fields[column:-1:n_columns]
        columns.append(values)
    try:
        return _convert(columns, range(lines.number, lines.number + len(stops)), layout)
    except ValueError:
        return None


def parse_numbers(letters, starts, stops, plain):
    """Numbers, (n,), of up to 15 digits, from the bytes of text that start and stop there; None if a field is no such.

    They are int64 if `plain`, without a minus, a point or a leading zero; else float64.
    """
    zero, negative = np.uint8(ord("0")), letters[starts] == ord("-")
    widths = stops - starts - negative
    if widths.min() < 1 or widths.max() > 16 - plain:
        return None
    if plain and (negative.any() or np.any((letters[starts] == zero) & (widths > 1))):
        return None
    digits, pointed, decimals = np.zeros(len(starts), np.int64), 0, 0
    for place in range(widths.max()):
        letter = np.where(widths > place, letters[np.maximum(stops - 1 - place, 0)], zero)
        if not plain:
            point = letter == ord(".")
            if point.any():
                if (point & ((pointed > 0) | (widths == 1))).any():
                    return None
                letter, pointed, decimals = np.where(point, zero, letter), pointed + point, decimals + place * point
        digit = letter - zero  # as uint8, in which anything below "0" wraps around to more than 9
        if digit.max() > 9:
            return None
        digits += digit.astype(np.int64) * _POWERS[place - pointed]
    if plain:
        return digits
    if digits.max() >= 10 ** 15:
        return None
    # Both are exact in float64, so that the rounded quotient is float()'s result.
    values = digits / _POWERS[decimals]
    return np.where(negative, -values, values) if negative.any() else values


# Anything else, record by record


def _parse_records(lines, text, layout):
    """The Block, perhaps empty, of whole lines of any text."""
    numbers, lengths, fields, failure = _records(lines, text, layout.delimiter)
    n = layout.n_columns
    other = _first_other(lengths, n)  # errors before it come first
    columns = [fields[column:n * other:n] for column in layout.columns]
    try:
        block = _convert(columns, np.array(numbers[:other]), layout) if other else nothing()
    except ValueError:
        _raise_first(lines.path, columns, numbers, layout)
    if other < len(lengths):
        raise _other_length(lines.path, numbers[other], fields[n * other:][:lengths[other]], n, "the other lines")
    if failure is not None:
        raise failure
    return block


def _records(lines, block, delimiter):
    """The lines that records of a block begin on, how many fields each has, all fields, and the error that ended them.

    A blank line is no record. A quoted field may hold line ends: as many more lines are read as it takes.
    """
    stop = lines.number + block.count(b"\n") + (not block.endswith(b"\n"))
    texts = lines.one_by_one(lines.decode(block))
    if delimiter in ("::", None):
        rows = (_cut(lines.path, lines.number - 1, line, delimiter) for line in texts)
    else:
        rows = csv_reader(texts, delimiter)
    # One list of all fields: the garbage collector would look at a list for each record over and over.
    numbers, lengths, fields = [], [], []
    try:
        while lines.number < stop:
            number = lines.number
            found = next(rows)
            if len(found) > 1 or found and found[0].strip():
                numbers.append(number)
                lengths.append(len(found))
                fields += found
    except csv.Error as error:
        return numbers, lengths, fields, ValueError(
            "%s, line %d: %s; expected lines that end with LF or CR LF, every quote closed, and quotes inside a "
            "quoted field doubled" % (lines.path, number, error))
    except ValueError as error:  # errors behind the rows
        return numbers, lengths, fields, error
    return numbers, lengths, fields, None


def _first_other(lengths, n):
    """The first record of another number of fields."""
    return next((k for k, length in enumerate(lengths) if length != n), len(lengths))


def _rows(lengths, fields):
    """The fields of each record."""
    start = 0
    for length in lengths:
        yield fields[start:start + length]
        start += length


def _cut(path, number, line, delimiter):
    """The fields of a line that knows no quotes; ValueError for a CR within it, which would count as a blank."""
    line = line.rstrip("\r\n")
    if "\r" in line:
        raise ValueError("%s, line %d: there is a CR within the line; expected lines that end with LF or CR LF: save "
                         "it with such line ends" % (path, number))
    return line.split(delimiter)


def _other_length(path, number, fields, n_columns, others):
    """The error of a line of another number of columns."""
    hint = "; " + AS_LISTS if all(field.strip().isdigit() for field in fields) else ""
    return ValueError("%s, line %d: found %d columns; expected %d, as on %s: correct or drop it%s"
                      % (path, number, len(fields), n_columns, others, hint))


def _raise_first(path, columns, numbers, layout):
    """Raise the error of the first of some records that is wrong, looking at halves."""
    first, last = 0, len(columns[0])
    while True:
        middle = first + max(1, (last - first) // 2)
        try:
            _convert([column[first:middle] for column in columns], np.arange(first, middle), layout)
            first = middle
        except ValueError as error:
            if middle - first == 1:
                raise error_at("%s, line %d" % (path, numbers[first]), error) from None
            last = middle


def _convert(columns, lines, layout):
    """The Block of columns that are arrays of numbers or lists of str, without entries that mean "not rated".

    ValueError if one is wrong; its words are about the first, wherever the error is.
    """
    values = dict(zip(layout.names, columns))
    ratings = values["rating"] if "rating" in values else np.ones(len(columns[0]))
    if not isinstance(ratings, np.ndarray):
        blank = "nan" if layout.missing is not None and math.isnan(layout.missing) else ""
        try:
            ratings = as_floats([text if text.strip() else blank for text in ratings])
        except ValueError:
            raise ValueError("the rating %.60r isn't a number; expected one such as 3 or 4.5: %s"
                             % (ratings[0].strip(), _hint(ratings[0]))) from None
    if layout.missing is not None and "rating" in values:
        rated = np.flatnonzero(are_rated(ratings, layout.missing))
        if not len(rated):
            return nothing()
        if len(rated) < len(ratings):
            values = {name: column[rated] if isinstance(column, np.ndarray) else [column[k] for k in rated]
                      for name, column in values.items()}
            ratings, lines = ratings[rated], np.asarray(lines)[rated]
    ids = []
    for name in PAIRS:
        column = values[name]
        if isinstance(column, np.ndarray):
            ids.append(distinct_integers(column))
            continue
        column = [text.strip() for text in column]
        if not all(column):
            raise ValueError("the %s is empty; expected an id: fill it in, or drop the line" % name)
        ids.append(distinct_texts(column))
    ratings, bad = as_float32(ratings)
    if bad is not None:
        raise ValueError(bad[1])
    times = None
    if "timestamp" in values:
        try:
            times = _times(values["timestamp"])
        except ValueError:
            if not layout.loose_times:
                raise
    return Block(*ids, ratings, times, lines)


def _times(column):
    """Finite timestamps of an array, or of texts; the words of its ValueError are about the first."""
    try:
        times = column if isinstance(column, np.ndarray) else as_times(column)
    except ValueError:
        raise ValueError("the timestamp %.60r is neither a number nor a date; expected one such as 978300760 or "
                         "2001-01-01 08:30: correct it, or leave the column out" % column[0].strip()) from None
    if not np.isfinite(times).all():
        raise ValueError("the timestamp is %s; expected a finite number: correct it, or leave the timestamps out"
                         % times[0])
    return whole(times)


def _hint(rating):
    """Advice for a rating that isn't a number."""
    with contextlib.suppress(ValueError):
        as_floats([rating.replace(",", ".")])
        return _DECIMALS
    with contextlib.suppress(ValueError):
        as_times([rating])
        return ("correct or drop the line; or if all are dates, write the names user,item,timestamp into the first "
                "line, and pass pairs=True")
    return "correct or drop the line"


# Pairs, lists and tables


def read_pairs(path):
    """Yield line, user and item, as texts, of the first two columns of a text file; its header too.

    ValueError, which names the line, for one column, or no user or item.
    """
    first_line, delimiter = find_pairs(path)
    with lines_of(path, first_line) as lines:
        for text in _texts(lines):
            numbers, lengths, fields, failure = _records(lines, text, delimiter)
            for number, row in zip(numbers, _rows(lengths, fields)):
                row = [field.strip() for field in row]
                if any(row) or len(row) < 2:
                    if len(row) < 2 or not all(row[:2]):
                        raise ValueError("%s, line %d: %s" % (path, number, (
                            "found one column, %.60r; expected user and item" % row[0] if len(row) < 2 else
                            "the %s is empty; expected an id: fill it in, or drop the line" % PAIRS[bool(row[0])])))
                    yield number, row[0], row[1]
            if failure is not None:
                raise failure


def read_lists(path, layout, progress=False):
    """Yield a Block for each block of lines with a user and items; each pair is a rating of 1.

    ValueError, which names the line, for nothing between two delimiters; and for users without items alone.
    """
    for note in layout.notes if progress else ():
        say(note)
    n_lists, n_items, doubtful = 0, 0, None
    with lines_of(path, layout.first_line, progress) as lines:
        for text in _texts(lines):
            numbers, lengths, fields, failure = _records(lines, text, layout.delimiter)
            users, items, sizes, of = [], [], [], []
            for number, row in zip(numbers, map(list_of, _rows(lengths, fields))):
                if not all(row):
                    raise ValueError("%s, line %d: %s is empty; expected a user and items: correct or drop it"
                                     % (path, number, "item %d" % row.index("") if row[0] else "the user"))
                if len(row) > 1:
                    users.append(row[0])
                    items += row[1:]
                    sizes.append(len(row) - 1)
                    of.append(number)
            if failure is not None:
                raise failure
            if users:
                n_lists, n_items = n_lists + len(users), n_items + len(items)
                doubtful = doubtful or next((item for item in items if re.search("[|/:+&]", item)), None)
                ids, places = distinct_texts(users)
                yield Block((ids, np.repeat(places, sizes).astype(np.intp)), distinct_texts(items),
                            np.ones(len(items), np.float32), None, np.repeat(np.array(of, np.int64), sizes))
    if not n_lists:
        raise ValueError("%s has users and no items; expected a user and items in each line" % path)
    if progress and n_lists == n_items and doubtful:
        say("%s: each user has one item, such as %.30r; if this is several items, separate them"
            % (path, doubtful))


def read_table(path, progress=False, layout=None):
    """Yield the line of each row, from 1, and the rows, float64, for each block of lines of a table of numbers.

    Numbers may be in quotes; one that isn't there counts as NaN. ValueError, which names the line, for what is no
    number, and for a row of another length than the first.
    """
    layout = layout or find_layout(path, or_table=True, missing=math.nan)
    n = layout.n_columns
    with lines_of(path, progress=progress) as lines:
        for text in _texts(lines):
            text = re.sub(rb"(?m)^[ \t\r]+$", b"", text.replace(b'"', b""))  # two tabs alone are no row
            numbers, lengths, fields, failure = _records(lines, text, layout.delimiter)
            other = _first_other(lengths, n)
            try:
                table = _numbers(fields[:n * other]).reshape(-1, n)
            except ValueError:
                _raise_no_number(path, numbers, fields, n)
            if other < len(lengths):
                raise _other_length(path, numbers[other], fields[n * other:][:lengths[other]], n, "the first line")
            if failure is not None:
                raise failure
            if numbers:
                yield numbers, table


def count_columns(path):
    """The number of columns of a text file whose first line is of numbers, as that of a table is; else 0."""
    line = first_lines(path)[1][0].replace('"', "").rstrip("\r")
    fields = max((line.split(delimiter) for delimiter, _ in DELIMITERS), key=len)
    with contextlib.suppress(ValueError):
        return len(_numbers(fields))
    return 0


def _numbers(fields):
    return as_floats([field if field and not field.isspace() else "nan" for field in fields])


def _raise_no_number(path, numbers, fields, n_columns):
    for k, field in enumerate(fields):
        try:
            _numbers([field])
        except ValueError:
            raise ValueError("%s, line %d, column %d: %.60r isn't a number; expected a table of numbers: %s" % (
                path, numbers[k // n_columns], k % n_columns + 1, field,
                _DECIMALS if _hint(field) == _DECIMALS else "correct it, or drop the header")) from None
