"""Ratings from files: SciPy .npz, MatrixMarket, MATLAB, and text with a rating in each line.

A file of plain numbers is parsed by NumPy, a block at a time; one with anything else in it, right or wrong, line by line, so that an error
can name its line.
"""
import csv
import gzip
import io
import re
import zlib
from array import array
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from sparse_ae.data.ids import INT64_MAX, Codes, sort_ids
from sparse_ae.data.ratings import Ratings, build_ratings, check_ratings

__all__ = ["load_ratings"]

# Bytes of text parsed at a time: small enough for the temporary arrays to stay in the processor's cache.
_BLOCK = 2 ** 20

# In this order: a comma may stand inside a tab-separated field, a blank inside any other.
_DELIMITERS = (("::", "'::'"), ("\t", "tabs"), (",", "commas"), (";", "semicolons"), (None, "blanks"))
_COLUMNS = "user, item, rating and, if you like, a timestamp"
_FORMATS = "SciPy .npz, MatrixMarket .mtx, MATLAB .mat, and text with the columns " + _COLUMNS

# What a header calls a column, and where that column has to stand; the first word that fits counts.
_HEADER_WORDS = (("timestamp", 3), ("rating", 2), ("user", 0))


def load_ratings(path, variable=None):
    """Read ratings from a file.

    The name's ending tells the format: `.npz` (`scipy.sparse.save_npz`), `.mtx` (MatrixMarket, coordinate format, real
    or integer, general), `.mat` (MATLAB, before version 7.3). Any other file is read as text with one rating per
    line: user, item, rating and, if there is one, a timestamp, separated by tabs, commas, semicolons, `::` or blanks,
    with or without a header. Fields may be quoted as in CSV, save between `::` or blanks; blanks around a field
    and blank lines count for nothing; the encoding is UTF-8, else Latin-1. Text and `.mtx` may be compressed (`.gz`).

    Ids in text that all are whole numbers (written plainly: 7, not 007 or 7.0) become int64, else they stay strings;
    being labels, they may be negative. A matrix has no ids: its rows and columns are numbered from 0.

    Parameters
    ----------
    path : str or path-like
        The file.
    variable : str, optional
        The name of the sparse variable of a `.mat` file that holds several.

    Returns
    -------
    Ratings
        `timestamps` are int64 if they all are whole numbers, else float64, in the file's unit.

    Raises
    ------
    OSError
        If there is no such file, or it can't be opened.
    TypeError, ValueError
        If the file isn't what its name says, or holds no ratings, or one that can't be used. The message names the
        file and the line or the entry.
    """
    path = Path(path)
    name = path.name.lower()
    if path.is_dir():
        raise IsADirectoryError("%s is a folder; expected a file of ratings: name one of the files in it" % path)
    if not path.is_file():
        raise FileNotFoundError("there is no file %s; check the path (relative to %s)" % (path, Path.cwd()))
    if variable is not None and not name.endswith(".mat"):
        raise ValueError("variable=%r was given for %s; only a .mat file has variables: leave it out"
                         % (variable, path))
    if path.stat().st_size == 0:
        raise ValueError("%s is empty; expected ratings: fetch or write it again" % path)
    if name.endswith(".npz"):
        return _number_ids(path, _read_npz(path))
    if name.endswith(".mat"):
        return _number_ids(path, _read_mat(path, variable))
    try:
        return _read_mtx(path) if name.endswith((".mtx", ".mtx.gz")) else _read_text(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError("%s is cut short or damaged (%s); fetch or write it again" % (path, error)) from error


def _number_ids(path, matrix):
    """Ratings of a matrix without ids."""
    try:
        matrix = check_ratings(matrix)
    except (TypeError, ValueError) as error:
        raise type(error)("%s: %s" % (path, error)) from None
    return Ratings(matrix, np.arange(matrix.shape[0], dtype=np.int64), np.arange(matrix.shape[1], dtype=np.int64))


def _read_npz(path):
    try:
        with open(str(path), "rb") as stream:
            return sp.load_npz(stream)
    except Exception as error:  # the zip, .npy and SciPy layers each raise their own on a foreign or damaged file
        raise ValueError("%s can't be read as a sparse matrix (%s: %s); expected a file that scipy.sparse.save_npz has "
                         "written" % (path, type(error).__name__, error)) from error


def _read_mat(path, variable):
    way_out = "save the ratings alone, with save('-v7', file, 'name') in MATLAB or scipy.io.savemat"
    try:
        names = [name for name, _, kind in scipy.io.whosmat(str(path)) if kind == "sparse"]
        if variable is None and len(names) == 1:
            variable = names[0]
        if variable in names:
            return scipy.io.loadmat(str(path), variable_names=[variable])[variable]
    except NotImplementedError as error:
        raise ValueError("%s is a MATLAB 7.3 file, which SciPy can't read: %s" % (path, way_out)) from error
    except Exception as error:  # SciPy's reader raises whatever the damaged bytes lead it to
        raise ValueError("%s can't be read as a MATLAB file (%s: %s): %s"
                         % (path, type(error).__name__, error, way_out)) from error
    if variable is not None:
        raise ValueError("%s has no sparse variable %r; its sparse variables are %s: pass one of them as variable="
                         % (path, variable, ", ".join(map(repr, names)) or "none"))
    if names:
        raise ValueError("%s holds %d sparse variables: %s; pass the one with the ratings as variable="
                         % (path, len(names), ", ".join(map(repr, names))))
    raise ValueError("%s holds no sparse variable; expected the ratings as one: %s" % (path, way_out))


def _read_mtx(path):
    """Read MatrixMarket here, not with scipy.io.mmread, which can't name a line and is slow before SciPy 1.12."""
    with _open(path) as stream:
        banner = stream.readline().decode("latin-1").lower().split()
        n_lines, size = 1, ""
        for line in stream:
            n_lines += 1
            size = line.decode("latin-1").strip()
            if size and not size.startswith("%"):
                break
    way_out = "write it with scipy.io.mmwrite(path, matrix, symmetry='general')"
    if len(banner) != 5 or banner[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError("%s, line 1: %r doesn't begin a MatrixMarket matrix; expected '%%%%MatrixMarket matrix "
                         "coordinate real general': %s" % (path, " ".join(banner), way_out))
    if banner[2] != "coordinate" or banner[3] not in ("real", "integer") or banner[4] != "general":
        raise ValueError("%s, line 1: the matrix is '%s'; ratings have to be 'coordinate', 'real' or 'integer', and "
                         "'general': %s" % (path, " ".join(banner[2:]), way_out))
    if not re.fullmatch(r"[0-9]+\s+[0-9]+\s+[0-9]+", size):
        raise ValueError("%s, line %d: %r isn't the size of a matrix; expected its rows, columns and number of "
                         "entries: %s" % (path, n_lines, size, way_out))
    n_rows, n_cols, n_entries = map(int, size.split())
    if n_entries == 0:
        raise ValueError("%s, line %d: the matrix holds no entries; expected at least one rating" % (path, n_lines))
    table = _read_table(path, n_lines, None, 3)
    n_found = 0 if table is None else len(table[2])
    if n_found != n_entries:
        raise ValueError("%s holds %d entries, line %d announces %d; the file is cut short or damaged: fetch or write "
                         "it again" % (path, n_found, n_lines, n_entries))
    rows, cols, values, _, where = table
    rows, cols = _mtx_positions(rows, n_rows, "row", where), _mtx_positions(cols, n_cols, "column", where)
    return build_ratings(rows, cols, values, None, where)


def _mtx_positions(column, size, what, where):
    """(0 .. size - 1, positions counted from 0) of a column of numbers counted from 1."""
    ids, codes = column
    if ids.dtype.kind == "U":  # at least one isn't written as a plain whole number; 0 stands for what is no number
        ids = np.array([int(text) if re.fullmatch("[0-9]{1,18}", text) else 0 for text in ids])
    fits = (ids >= 1) & (ids <= size)
    if not fits.all():
        entry = int(np.argmin(fits[codes]))
        raise ValueError("%s: the %s is %s; expected a whole number, 1 .. %d: mend it, or the size at the top"
                         % (where(entry), what, column[0][codes[entry]], size))
    return np.arange(size, dtype=np.int64), ids[codes] - 1


def _read_text(path):
    """Read triples, once the first line has told the delimiter, the number of columns and whether it is a header."""
    with _open(path) as stream:
        head = stream.read(2 ** 16)
    if b"\0" in head:
        raise ValueError("%s isn't text that load_ratings can read; it reads %s: convert it, unpack it if it is an "
                         "archive, and save text as UTF-8" % (path, _FORMATS))
    lines = head.decode("utf-8-sig", errors="replace").split("\n")
    number = next((k for k, line in enumerate(lines) if line.strip()), None)
    if number is None:
        raise ValueError("%s holds nothing but blanks; expected ratings: fetch or write it again" % path)
    line = lines[number]
    found = [(_split_line(line, delimiter), delimiter, name) for delimiter, name in _DELIMITERS]
    fields, delimiter, name = next((f for f in found if len(f[0]) in (3, 4)), max(found, key=lambda f: len(f[0])))
    if len(fields) < 2:
        raise ValueError("%s, line %d: found no delimiter in %.60r; expected %s, separated by tabs, commas, "
                         "semicolons, '::' or blanks" % (path, number + 1, line, _COLUMNS))
    if len(fields) not in (3, 4):
        raise ValueError("%s, line %d: found %d columns, separated by %s; expected %s: keep just these"
                         % (path, number + 1, len(fields), name, _COLUMNS))
    header = _is_header(fields)
    if header:
        _check_header(path, number + 1, fields)
    table = _read_table(path, number + header, delimiter, len(fields))
    if table is None:
        raise ValueError("%s holds a header and no ratings; fetch or write it again" % path)
    values, timestamps = table[2:4]
    # Seconds since 1970 are above 1e8 from 1973 on; no header told of them.
    if timestamps is not None and len(values) and values.min() > 1e8 > np.max(timestamps):
        raise ValueError("%s: the third column holds numbers such as %.15g, which look like timestamps, and the fourth "
                         "such as %.15g; expected %s: reorder the columns" % (path, values[0], timestamps[0], _COLUMNS))
    return build_ratings(*table)


def _split_line(line, delimiter):
    if delimiter in ("::", None):
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True), [])
    except csv.Error:
        return []


def _is_header(fields):
    """Whether a first line names the columns: it holds no number, and its rating isn't just missing."""
    for field in fields:
        try:
            float(field)
        except ValueError:
            continue
        return False
    return fields[2].strip().lower() not in ("", "na", "n/a", "none", "null", "?")


def _check_header(path, number, fields):
    """Refuse a header that contradicts the order of the columns."""
    for column, field in enumerate(fields):
        place = next((place for word, place in _HEADER_WORDS if word in field.lower()), column)
        if place != column:
            raise ValueError("%s, line %d: the header calls column %d %r; expected the order %s: reorder the columns"
                             % (path, number, column + 1, field.strip(), _COLUMNS))


def _read_table(path, n_skipped, delimiter, n_columns):
    """Read what follows the first `n_skipped` lines: the arguments of `build_ratings`, or None if nothing follows.

    NumPy reads a file of plain numbers; one with anything else in it, right or wrong, is read again line by line.
    """
    with _open(path) as stream:
        for _ in range(n_skipped):
            stream.readline()
        columns = _read_plain(stream, delimiter, n_columns)
    if columns is not None:
        users, items = (np.unique(ids, return_inverse=True) for ids in columns[:2])
        return (users, items, columns[2], columns[3] if n_columns == 4 else None,
                lambda entry: "%s, line %d" % (path, n_skipped + 1 + entry))
    try:
        return _read_any(path, n_skipped, delimiter, n_columns, "utf-8-sig")
    except UnicodeDecodeError:
        return _read_any(path, n_skipped, delimiter, n_columns, "latin-1")


def _open(path):
    return gzip.open(str(path), "rb") if path.name.lower().endswith(".gz") else open(str(path), "rb")


def _read_plain(stream, delimiter, n_columns):
    """Columns of a file of digits and delimiters, or None if there is anything else in it that needs a closer look."""
    parts, rest = [], b""
    while True:
        text = stream.read(_BLOCK)
        rest += text
        # The last line waits for what follows it: the rest of it, or blank lines at the end of the file.
        end = rest.rfind(b"\n", 0, len(rest.rstrip(b"\r\n"))) + 1
        if not text:
            block, rest = rest.rstrip(b"\r\n") + b"\n", b""
        elif end:
            block, rest = rest[:end], rest[end:]
        elif len(rest) > _BLOCK:  # no line of ratings is that long
            return None
        else:
            continue
        if block == b"\n" and not text:
            return [np.concatenate(column) for column in zip(*parts)] or None
        columns = _parse_plain(block, delimiter, n_columns)
        if columns is None:
            return None
        parts.append(columns)


def _parse_plain(block, delimiter, n_columns):
    """Columns of whole lines of text, or None."""
    block = block.replace(b"\r\n", b"\n")
    if delimiter == "::":
        if b"\t" in block:
            return None
        block, delimiter = block.replace(b"::", b"\t"), "\t"
    delimiter = ord(delimiter or " ")
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((text == delimiter) | (text == ord("\n")))
    if len(ends) % n_columns:
        return None
    stops = ends.reshape(-1, n_columns)
    marks = text[stops]
    if np.any(marks[:, :-1] != delimiter) or np.any(marks[:, -1] != ord("\n")):
        return None
    starts = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, n_columns)
    columns = []
    for column in range(n_columns):
        parse = _parse_numbers if column == 2 else _parse_whole
        values = parse(text, starts[:, column].copy(), stops[:, column].copy())
        if values is None:
            return None
        columns.append(values)
    return columns


def _parse_whole(text, starts, stops):
    """Whole numbers as int64, or None where a field isn't up to 15 digits without a leading zero."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 15 or np.any((text[starts] == ord("0")) & (widths > 1)):
        return None
    values = np.zeros(len(starts), np.int64)
    for place in range(widths.max()):
        # As uint8, anything below "0" wraps around to more than 9.
        digits = np.where(widths > place, text[np.maximum(stops - 1 - place, 0)] - np.uint8(ord("0")), 0)
        if digits.max() > 9:
            return None
        values += digits.astype(np.int64) * 10 ** place
    return values


def _parse_numbers(text, starts, stops):
    """Numbers as float64, or None."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 32:
        return None
    places = np.arange(widths.max())
    letters = text[np.minimum(starts[:, np.newaxis] + places, len(text) - 1)]
    inside = places < widths[:, np.newaxis]
    # float() allows blanks around a number and an underscore between its digits.
    if np.any(inside & ((letters <= ord(" ")) | (letters == ord("_")))):
        return None
    letters[~inside] = 0
    try:
        return letters.view("S%d" % len(places)).ravel().astype(np.float64)
    except ValueError:
        return None


def _read_any(path, n_skipped, delimiter, n_columns, encoding):
    """What `_read_table` returns, read line by line."""
    users, items = Codes(), Codes()
    rows, cols, ratings, timestamps, lines = array("q"), array("q"), array("d"), array("d"), array("q")
    with io.TextIOWrapper(_open(path), encoding=encoding, newline="\n") as stream:
        for line, fields in _records(path, stream, n_skipped, delimiter):
            if len(fields) != n_columns:
                raise ValueError("%s, line %d: found %d columns; expected %d, as on the other lines: mend or drop it"
                                 % (path, line, len(fields), n_columns))
            user, item = fields[0].strip(), fields[1].strip()
            if not user or not item:
                raise ValueError("%s, line %d: the %s is empty; expected an id: fill it in, or drop the line"
                                 % (path, line, "item" if user else "user"))
            rows.append(users[user])
            cols.append(items[item])
            lines.append(line)
            try:
                ratings.append(_as_float(fields[2]))
            except ValueError:
                raise ValueError("%s, line %d: the rating %r isn't a number; expected one such as 3 or 4.5: mend or "
                                 "drop the line" % (path, line, fields[2].strip())) from None
            if n_columns == 4:
                try:
                    timestamps.append(_as_float(fields[3]))
                except ValueError:
                    raise ValueError("%s, line %d: the timestamp %r isn't a number; expected one such as 978300760: "
                                     "mend it, or leave the column out" % (path, line, fields[3].strip())) from None
    if not lines:
        return None
    times = np.array(timestamps) if n_columns == 4 else None
    if times is not None and np.all((times == np.rint(times)) & (np.abs(times) <= 2 ** 53)):
        times = times.astype(np.int64)
    return (_sort_text_ids(path, users, rows, lines), _sort_text_ids(path, items, cols, lines), np.array(ratings),
            times, lambda entry: "%s, line %d" % (path, lines[entry]))


def _records(path, stream, n_skipped, delimiter):
    """Line numbers and fields of the lines that aren't blank, after the first `n_skipped` lines."""
    for _ in range(n_skipped):
        stream.readline()
    number = n_skipped + 1
    if delimiter in ("::", None):
        rows = (line.split(delimiter) for line in stream)
    else:
        rows = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for fields in rows:
            if len(fields) > 1 or fields and fields[0].strip():
                yield number, fields
            # A quoted field may hold line ends, so that a record takes several lines.
            number = number + 1 if delimiter in ("::", None) else n_skipped + rows.line_num + 1
    except csv.Error as error:
        raise ValueError("%s, line %d: %s; expected lines that end in LF or CR LF, every quote closed, and quotes "
                         "inside a quoted field doubled" % (path, number, error)) from error


def _as_float(text):
    if "_" in text:  # float() allows it between digits; no file means that
        raise ValueError
    return float(text)


def _sort_text_ids(path, codes, positions, lines):
    """Sort ids read as text: as integers if that keeps all of them as they are written."""
    ids = list(codes)
    if all(re.fullmatch("0|-?[1-9][0-9]{0,18}", text) and abs(int(text)) <= INT64_MAX for text in ids):
        ids = [int(text) for text in ids]
    else:
        for text in ids:
            if text.endswith("\0"):
                raise ValueError("%s, line %d: the id %r ends in a NUL byte; expected text: write the file again"
                                 % (path, lines[positions.index(codes[text])], text))
    return sort_ids(ids, np.array(positions))
