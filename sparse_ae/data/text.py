"""Text with a rating, or a user and items, or a row of a table in each line, read a block of lines at a time.

A block whose lines all look alike is cut up by NumPy, its numbers parsed there too; one with anything else in it, right
or wrong, is read record by record, so that an error can name its line. Errors come in the order of the lines, and what
is read doesn't depend on where a block ends.
"""
import contextlib
import csv
import math
import re
from array import array

import numpy as np

from sparse_ae.data.blocks import Block, nothing
from sparse_ae.data.columns import are_rated
from sparse_ae.data.digits import parse_decimals, parse_floats, parse_whole
from sparse_ae.data.ids import distinct_integers, distinct_texts
from sparse_ae.data.layout import PAIRS, Layout, csv_reader, find_layout, find_pairs, list_of
from sparse_ae.data.lines import AS_LISTS, DELIMITERS, as_floats, as_times, first_lines, lines_of, whole
from sparse_ae.data.ratings import as_float32
from sparse_ae.runtime.progress import say

_DECIMALS = ("write 4.5 for 4,5, or pass the table of pandas.read_csv(FILE, sep=';', decimal=',') to as_ratings")


def read_text(path, layout, progress=False):
    """Yield a Block, never an empty one, for each block of lines of a text file; ValueError as `read_blocks`.

    With `progress`, say on stderr what the layout leaves open.
    """
    for note in layout.notes if progress else ():
        say(note)
    n_read = 0
    for block in read_blocks(path, layout, progress):
        n_read += len(block.lines)
        yield block
    if not n_read:
        raise ValueError("%s has a header and no ratings%s" % (
            path, "" if layout.missing is None else ' other than %g, which means "not rated"' % layout.missing))


def read_blocks(path, layout, progress=False):
    """Yield a Block for each block of lines; ValueError, which names the line, for the first one that is no rating."""
    unread = None
    with lines_of(path, layout.first_line, progress) as lines:
        for text in _texts(lines):
            block = _parse_alike(lines, text, layout) or _parse_lines(lines, text, layout)
            if block is None:
                block = _parse_records(lines, text, layout)
            else:
                lines.number += text.count(b"\n")
            if not len(block.lines):
                continue
            if block.timestamps is None and "timestamp" in layout.names and unread is None:
                unread = block.lines[0], block.lines[-1]
            yield block
    if progress and unread is not None:
        say("%s: timestamps are ignored, since one in lines %d to %d is neither a number nor a date such as 2024-05-31"
            % ((path,) + unread))


def _texts(lines):
    """The blocks of a file that aren't blank: millions of blank lines, one by one, would take long."""
    for text in iter(lines.read_block, b""):
        if text[0] in b"\r\n\t " and not text.strip(b"\r\n\t "):
            lines.number += text.count(b"\n")
        else:
            yield text


def read_pairs(path):
    """Yield line, user and item, as they stand there, of the first two columns of a text file; its header too.

    ValueError, which names the line, for one column, or no user or item.
    """
    layout = Layout(*find_pairs(path), 2, (0, 1), names=PAIRS)
    with lines_of(path, layout.first_line) as lines:
        for text in _texts(lines):
            numbers, records, failure = _records(lines, text, layout.delimiter)
            for number, fields in zip(numbers, records):
                where = "%s, line %d" % (path, number)
                if len(fields) < 2:
                    raise ValueError("%s: found one column, %.60r; expected user and item" % (where, fields[0].strip()))
                if any(field.strip() for field in fields):
                    _check_record(where, fields, layout)
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
    if n_controls != (ends.size if delimiter < " " else len(stops)):
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
        block = nothing()
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
                raise ValueError("%s: found %d columns; expected %d, as on the other lines: correct or drop it%s"
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
        rows = (_cut(lines.path, lines.number - 1, line, delimiter) for line in texts)
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
            failure = ValueError("%s, line %d: %s; expected lines that end with LF or CR LF, every quote closed, and "
                                 "quotes inside a quoted field doubled" % (lines.path, number, error))
        except ValueError as error:  # of what lies behind the rows
            failure = error
    return numbers, records, failure


def _cut(path, number, line, delimiter):
    """The fields of a line that knows no quotes; ValueError for a CR within it, which would count as a blank."""
    line = line.rstrip("\r\n")
    if "\r" in line:
        raise ValueError("%s, line %d: there is a CR within the line; expected lines that end with LF or CR LF: save "
                         "it with such line ends" % (path, number))
    return line.split(delimiter)


def _convert(columns, lines, layout):
    """The Block of columns that are arrays of numbers or sequences of str, or None if there is an error in one.

    Entries whose rating is the one that says that there is none are left out first.
    """
    values = dict(zip(layout.names, columns))
    if layout.missing is not None and "rating" in values:
        try:
            rated = _rated(values["rating"], layout.missing)
        except ValueError:
            return None
        if not rated.any():
            return nothing()
        if not rated.all():
            places = np.flatnonzero(rated)
            values = {name: column[places] if isinstance(column, np.ndarray) else [column[k] for k in places]
                      for name, column in values.items()}
            lines = np.asarray(lines)[places]
    ids = []
    for name in PAIRS:
        column = values[name]
        if isinstance(column, np.ndarray):
            ids.append(distinct_integers(column))
        else:
            column = [text.strip() for text in column]
            if not all(column):
                return None
            ids.append(distinct_texts(column))
    try:
        ratings = _read(values["rating"], as_floats) if "rating" in values else np.ones(len(values["user"]))
    except ValueError:
        return None
    ratings, bad = as_float32(ratings)
    if bad is not None:
        return None
    times = None
    if "timestamp" in values:
        with contextlib.suppress(ValueError):
            times = _read(values["timestamp"], as_times)
        if times is not None and not np.isfinite(times).all():
            times = None
        if times is None and not layout.loose_times:
            return None
    return Block(*ids, ratings, None if times is None else whole(times), lines)


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
            raise ValueError("%s: the rating %.60r isn't a number; expected one such as 3 or 4.5: %s"
                             % (where, fields["rating"].strip(), _hint(fields["rating"]))) from None
        bad = as_float32(rating)[1]
        if bad is not None:
            raise ValueError("%s: %s" % (where, bad[1]))
    if "timestamp" in fields and not layout.loose_times:
        try:
            time = as_times([fields["timestamp"]])[0]
        except ValueError:
            raise ValueError("%s: the timestamp %.60r is neither a number nor a date; expected one such as 978300760 "
                             "or 2001-01-01 08:30: correct it, or leave the column out"
                             % (where, fields["timestamp"].strip())) from None
        if not np.isfinite(time):
            raise ValueError("%s: the timestamp is %s; expected a finite number: correct it, or leave the timestamps "
                             "out" % (where, time))


def _hint(rating):
    """Say what to do about a rating that is no number."""
    with contextlib.suppress(ValueError):
        as_floats([rating.replace(",", ".")])
        return _DECIMALS
    with contextlib.suppress(ValueError):
        as_times([rating])
        return ("correct or drop the line; or if all are dates, write the names user,item,timestamp into the first "
                "line, and pass pairs=True")
    return "correct or drop the line"


# Lists


def read_lists(path, layout, progress=False):
    """Yield a Block for each block of lines of which each is a user and items, each pair a rating of 1.

    ValueError, which names the line, for nothing between two delimiters; and for users without items alone.
    """
    for note in layout.notes if progress else ():
        say(note)
    n_lists, n_items, doubtful = 0, 0, None
    with lines_of(path, layout.first_line, progress) as lines:
        for text in _texts(lines):
            numbers, records, failure = _records(lines, text, layout.delimiter)
            users, items, lengths, of = [], [], [], []
            for number, fields in zip(numbers, records):
                fields = list_of(fields)
                if not all(fields):
                    raise ValueError("%s, line %d: %s is empty; expected a user and items: correct or drop it"
                                     % (path, number, "item %d" % fields.index("") if fields[0] else "the user"))
                if len(fields) > 1:
                    users.append(fields[0])
                    items += fields[1:]
                    lengths.append(len(fields) - 1)
                    of.append(number)
            if failure is not None:
                raise failure
            if users:
                n_lists, n_items = n_lists + len(users), n_items + len(items)
                doubtful = doubtful or next((item for item in items if re.search("[|/:+&]", item)), None)
                ids, places = distinct_texts(users)
                yield Block((ids, np.repeat(places, lengths).astype(np.intp)), distinct_texts(items),
                            np.ones(len(items), np.float32), None, np.repeat(np.array(of, np.int64), lengths))
    if not n_lists:
        raise ValueError("%s has users and no items; expected a user and items in each line" % path)
    if progress and n_lists == n_items and doubtful:
        say("%s: each user has one item, such as %.30r; if this is several items, separate them"
            % (path, doubtful))


# Tables


def read_table(path, progress=False, layout=None):
    """Yield the line of each row, from 1, and the rows, float64, for each block of lines of a table of numbers.

    Numbers may be in quotes; one that isn't there counts as NaN. ValueError, which names the line, for what is no
    number, and for a row of another length than the first.
    """
    layout = layout or find_layout(path, or_table=True, missing=math.nan)
    with lines_of(path, progress=progress) as lines:
        for block in iter(lines.read_block, b""):
            numbered, fields = [], []
            for line in lines.decode(block).replace('"', "").split("\n"):
                if line.strip():
                    row = _cut(path, lines.number, line, layout.delimiter)
                    if len(row) != layout.n_columns:
                        hint = "; " + AS_LISTS if all(field.strip().isdigit() for field in row) else ""
                        raise ValueError("%s, line %d: found %d columns; expected %d, as on the first line: correct or "
                                         "drop it%s" % (path, lines.number, len(row), layout.n_columns, hint))
                    numbered.append(lines.number)
                    fields += row
                lines.number += 1
            lines.number -= block.endswith(b"\n")
            try:
                table = _numbers(fields).reshape(-1, layout.n_columns)
            except ValueError:
                _name_what_is_no_number(path, numbered, fields, layout.n_columns)
            if numbered:
                yield numbered, table


def count_columns(path):
    """The number of columns of a text file whose first line is of numbers, as that of a table is; else 0."""
    line = first_lines(path)[1][0].replace('"', "").rstrip("\r")
    fields = max((line.split(delimiter) for delimiter, _ in DELIMITERS), key=len)
    try:
        return len(_numbers(fields))
    except ValueError:
        return 0


def _numbers(fields):
    return as_floats([field if field and not field.isspace() else "nan" for field in fields])


def _name_what_is_no_number(path, numbered, fields, n_columns):
    for k, field in enumerate(fields):
        try:
            _numbers([field])
        except ValueError:
            raise ValueError("%s, line %d, column %d: %.60r isn't a number; expected a table of numbers: %s" % (
                path, numbered[k // n_columns], k % n_columns + 1, field,
                _DECIMALS if _hint(field) == _DECIMALS else "correct it, or drop the header")) from None
