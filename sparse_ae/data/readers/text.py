"""Text with a rating, or a user and items, in each line, read a block of lines at a time.

A block whose lines all look alike is cut up and parsed by NumPy; any other one is read record by record, so that an
error can name its line. Errors come in the order of the lines, and nothing depends on where a block ends.
"""
import contextlib
import csv
import math
from itertools import islice
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from sparse_ae.checks import error_at, errors_at
from sparse_ae.data.columns import are_rated
from sparse_ae.data.ids import Numbering, distinct, ids_of_texts
from sparse_ae.data.names import PAIRS
from sparse_ae.data.ratings import as_float32, build_ratings, check_counts
from sparse_ae.data.readers.layout import find_layout
from sparse_ae.data.readers.lines import AS_LISTS, CUT_OFF, blocks_of, list_of, records_of
from sparse_ae.data.times import as_floats, as_times, check_timestamps, in_seconds, whole
from sparse_ae.runtime.progress import say

_DECIMALS = "write 4.5 for 4,5, or pass the table of pandas.read_csv(FILE, sep=';', decimal=',') to as_ratings"

_POWERS = 10 ** np.arange(16, dtype=np.int64)

# The longest fields that are compared by NumPy; and what leaves the first 0 to 8 bytes of eight.
_LONGEST = 64
_FIRST, _ODD = np.array([2 ** (8 * n) - 1 for n in range(9)], np.uint64), np.uint64(0x9E3779B97F4A7C15)


class Block(NamedTuple):
    """Some of a file's ratings, in its order: finite, with finite timestamps or None, and the line of each, from 1.
    Users, and items, are ids, int64 or, if one isn't a plain whole number, str; and where each entry's is."""

    users: Tuple[np.ndarray, np.ndarray]
    items: Tuple[np.ndarray, np.ndarray]
    ratings: np.ndarray
    timestamps: Optional[np.ndarray]
    lines: Sequence
    unread: Optional[Tuple[int, object]] = None  # the line and the value of a timestamp that is none


def blocks(path, options, progress):
    """Yield a Block for each block of lines with a rating, or a user and items, in each."""
    return read_text(path, find_layout(path, options), progress)


def build(path, blocks, options, duplicates, progress, line="line"):
    """`Ratings` of all blocks of a file; errors call their places `line`."""
    users, items, values, times, where = columns_of(path, blocks, line)
    ratings = build_ratings(users, items, values, in_seconds(times, path, progress), where, duplicates)
    if options.pairs and options.returns == "error":
        check_counts(ratings, lambda row, col: "%s: " % where(int(np.argmax(
            (users[1] == row) & (items[1] == col) & ~(values > 0)))))
    return ratings


def columns_of(path, blocks, line="line"):
    """The arguments of `build_ratings` for all blocks of a file."""
    users, items, parts, lines = Numbering(path), Numbering(path), [], []
    for block in blocks:
        parts.append((users.number(*block.users), items.number(*block.items), block.ratings, block.timestamps))
        lines.append(block.lines)

    def where(entry):
        return "%s, %s %d" % (path, line, np.concatenate(lines)[entry])

    rows, cols, values, timestamps = zip(*parts)
    del parts
    ids = []
    for numbering, numbers in (users, np.concatenate(rows)), (items, np.concatenate(cols)):
        each, places = numbering.ascending(numbers, where)
        ids.append((each, places[numbers]))
    return ids + [np.concatenate(values), None if any(each is None for each in timestamps)
                  else np.concatenate(timestamps), where]


def read_text(path, layout, progress=False):
    """Yield a Block for each block of lines; ValueError, with its line, for what can't be read."""
    return told(path, layout, _parts(path, layout, progress), progress, made=_block)


def _parts(path, layout, progress):
    for lines, text in blocks_of(path, layout.first_line, progress):
        quick = _parse_alike(lines, text, layout) if layout.n_columns else None
        if quick is not None:
            yield quick
        else:
            for numbers, rows in in_parts(records(lines, text, layout), len(text)):
                yield [rows], numbers


def told(path, layout, parts, progress, line="line", made=None):
    """Yield the Block of each part that isn't empty, or ValueError; with `progress` say what the layout leaves open. A
    part is a Block, or columns and the numbers of their lines, which `made`, by default `convert`, turns into one; its
    error is the one for the first line that it refuses."""
    n_read, unread, made = 0, None, made or convert
    if progress and layout.note:
        say("%s%s" % (path, layout.note))
    for part in parts:
        try:
            block = part if isinstance(part, Block) else made(*part, layout)
        except (TypeError, ValueError) as of_all:
            columns, numbers = part
            for k, number in enumerate(numbers):
                with errors_at("%s, %s %d" % (path, line, number)):
                    made([column[k:k + 1] for column in columns], numbers[k:k + 1], layout)
            raise error_at(str(path), of_all) from None
        if len(block.lines):
            n_read += len(block.lines)
            if block.timestamps is None and "timestamp" in layout.names and unread is None:
                unread = block.unread
            yield block
    if progress and unread is not None:
        say("%s: timestamps are ignored, since %.60r in %s %d is neither a number nor a date such as 2024-05-31: "
            "correct it, or leave it out" % (path, unread[1], line, unread[0]))
    if not n_read:
        raise ValueError("%s has %s" % (path, (
            "users and no items; expected a user and items in each line" if not layout.n_columns else
            "a header and no %s; expected lines below it" % ("ratings" if "rating" in layout.names else "pairs")
            if layout.missing is None else
            'a header and no ratings other than %g, which means "not rated"' % layout.missing)))


# Lines without a surprise


def _parse_alike(lines, text, layout):
    """The Block of whole lines of as many fields each, no field in need of quotes; None for others and errors."""
    if b"\r" in text:  # to look for one letter is much quicker
        text = text.replace(b"\r\n", b"\n")
    text += b"" if text.endswith(b"\n") else b"\n"
    delimiter, n_columns = layout.delimiter or " ", layout.n_columns
    if layout.delimiter is None and (b'"' in text or not text.isascii()):  # there are blanks that aren't ASCII
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
    if b'"' in text and layout.delimiter != "::":
        # Quoted fields are fine if all quotes enclose fields: two for each.
        quoted = (letters[starts] == ord('"')) & (letters[stops - 1] == ord('"')) & (stops - starts > 1)
        if np.count_nonzero(letters == ord('"')) != 2 * np.count_nonzero(quoted):
            return None
        starts, stops = starts + quoted, stops - quoted
    columns = []
    for name, column in zip(layout.names, layout.columns):
        place = starts[:, column].copy(), stops[:, column].copy()
        values = parse_numbers(letters, *place, plain=name != "rating")
        if values is None:
            texts, places = _distinct_fields(text, *place, lines.decode)
            values = (texts, places) if name in PAIRS else [texts[k] for k in places]
        columns.append(values)
    try:
        block = convert(columns, range(lines.number, lines.number + len(stops)), layout)
    except ValueError:
        return None
    lines.number += len(stops)
    return block


def parse_numbers(letters, starts, stops, plain):
    """Numbers in text, int64 if `plain` (7, not -7 or 007), else float64; None for other forms and 16 digits."""
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


def _distinct_fields(text, starts, stops, decode):
    """Fields of a text as a list, most of them distinct, and where each is in it. Eight bytes at a time are a number;
    where there are more, fields with equal hashes are compared, too."""
    widths = stops - starts
    first, places = np.arange(len(starts)), np.arange(len(starts))
    if widths.max() <= _LONGEST:
        words = np.ndarray((len(text) + 1,), "<u8", text + bytes(8), strides=(1,))
        parts = [words[np.minimum(starts + k, len(text))] & _FIRST[np.clip(widths - k, 0, 8)]
                 for k in range(0, max(int(widths.max()), 1), 8)]
        keys = parts[0]
        for part in parts[1:]:
            keys = (keys ^ (keys >> np.uint64(29))) * _ODD + part
        order = np.argsort(keys)
        is_new = np.append(True, np.diff(keys[order]) != 0)
        found = np.empty(len(keys), np.intp)
        found[order] = np.cumsum(is_new) - 1
        if not any((part != part[order[is_new]][found]).any() for part in parts[:-1]):
            first, places = order[is_new], found
    texts = b"\n".join([text[start:stop] for start, stop in zip(starts[first].tolist(), stops[first].tolist())])
    return decode(texts).split("\n"), places


# Anything else, record by record


def records(lines, block, layout):
    """Yield the line that each record of a block begins on, and its fields; ValueError for what is none."""
    stop = lines.number + block.count(b"\n") + (not block.endswith(b"\n"))
    found, n = records_of(lines.one_by_one(lines.decode(block)), layout.delimiter), layout.n_columns

    def cut_off():
        return CUT_OFF * (lines.number == stop and not block.endswith(b"\n"))

    while lines.number < stop:
        number = lines.number
        try:
            fields = next(found)
        except csv.Error as error:
            raise ValueError("%s, line %d: %s; expected lines that end with LF or CR LF, every quote closed, and "
                             "quotes inside a quoted field doubled%s"
                             % (lines.path, number, error, cut_off())) from None
        if len(fields) > 1 or fields and fields[0].strip():
            if n and len(fields) != n:
                hint = "; " + AS_LISTS if all(field.strip().isdigit() for field in fields) else ""
                raise ValueError("%s, line %d: found %d columns; expected %d, as on the first line: correct or drop "
                                 "one%s%s" % (lines.path, number, len(fields), n, hint, cut_off()))
            yield number, tuple(fields)  # lists would keep the garbage collector busy


def in_parts(found, most):
    """Yield the numbers and the values of up to so many pairs at a time; an error in making one comes after these."""
    failure = None
    while failure is None:
        part = []
        try:
            for each in islice(found, most):
                part.append(each)
        except ValueError as error:
            failure = error
        if not part:
            break
        yield tuple(map(list, zip(*part)))
    if failure is not None:
        raise failure


def _block(columns, numbers, layout):
    """The Block of records, the only column: of ratings, or of a user and items in each."""
    rows, = columns
    if layout.n_columns:
        return convert([[row[column] for row in rows] for column in layout.columns], np.array(numbers), layout)
    rows = list(map(list_of, rows))
    for row in rows:
        if not all(row):
            raise ValueError("%s is empty; expected a user and items: correct or drop it"
                             % ("item %d" % row.index("") if row[0] else "the user"))
    columns = [[row[0] for row in rows for _ in row[1:]], [item for row in rows for item in row[1:]]]
    return convert(columns, np.repeat(numbers, [max(len(row) - 1, 0) for row in rows]), layout)


def convert(columns, lines, layout):
    """The Block of columns, without "not rated": of arrays, lists of text, or distinct texts and where each entry's is;
    a ValueError's words are about the first entry."""
    values = dict(zip(layout.names, columns))
    ratings = values["rating"] if "rating" in values else np.ones(len(lines))
    if not isinstance(ratings, np.ndarray):
        blank = "nan" if layout.missing is not None and math.isnan(layout.missing) else ""
        try:
            ratings = as_floats([text if text.strip() else blank for text in ratings])
        except ValueError:
            if not ratings[0].strip():
                raise ValueError("the rating is empty; expected a number: fill it in, or pass missing=nan (--missing "
                                 "nan) to leave out such lines") from None
            raise ValueError("the rating %.60r isn't a number; expected one such as 3 or 4.5: %s"
                             % (ratings[0].strip(), _hint(ratings[0]))) from None
    if layout.missing is not None and "rating" in values and ratings.dtype.kind in "iuf":
        rated = np.flatnonzero(are_rated(ratings, layout.missing))
        if len(rated) < len(ratings):
            values = {name: _some(column, rated) for name, column in values.items()}
            ratings, lines = ratings[rated], np.asarray(lines)[rated]
    ids = []
    for name in PAIRS:
        column = values[name]
        if isinstance(column, np.ndarray):
            ids.append(distinct(column, name + "s"))
            continue
        texts, places = column if isinstance(column, tuple) else (column, np.arange(len(column)))
        texts = [text.strip() for text in texts]
        if not all(texts):
            raise ValueError("the %s is empty; expected an id: fill it in, or drop such lines, in pandas by dropna"
                             % name)
        ids.append((ids_of_texts(texts), places))
    if ratings.dtype.kind not in "iuf":
        raise TypeError("the rating is %.60r; expected a real number: convert the column" % (ratings[0],))
    ratings, bad = as_float32(ratings)
    if bad is not None:
        raise ValueError(bad[1])
    times, unread = None, None
    if "timestamp" in values:
        column = values["timestamp"]
        try:
            times = _times(column)
        except (TypeError, ValueError):
            if not layout.loose_times:
                raise
            for k in range(len(column)):
                try:
                    _times(column[k:k + 1])
                except (TypeError, ValueError):
                    unread = lines[k], column[k]
                    break
    return Block(*ids, ratings, times, lines, unread)


def _some(column, entries):
    """Some entries of a column of `convert`."""
    if isinstance(column, tuple):
        used, places = np.unique(column[1][entries], return_inverse=True)
        return [column[0][k] for k in used], places
    return [column[k] for k in entries] if isinstance(column, list) else column[entries]


def _times(column):
    """Finite timestamps of an array, or of texts; the words of its ValueError are about the first of those."""
    if isinstance(column, np.ndarray):
        return whole(check_timestamps(column))
    times = as_times(column)
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
        return "correct or drop the line; or if all are dates, pass user=0, item=1, timestamp=2 and pairs=True"
    return ("correct or drop the line, or choose another column by rating= (--rating-column), by its name if the first "
            "line has names")
