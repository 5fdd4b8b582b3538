"""Attributes of items or users - genres, brands, prices, ages - as a CSR matrix: a row for each id, a column for each
word and for each number."""
import contextlib
import datetime
import numbers
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST, error_at, is_number
from sparse_ae.data.columns import as_array
from sparse_ae.data.entries import check_compressed, triples
from sparse_ae.data.ids import distinct, distinct_texts, positions
from sparse_ae.data.names import column_names, find_columns, index_names, listed, some_names
from sparse_ae.data.readers.table import read_table
from sparse_ae.data.times import as_floats, year_of

# The most words that are kept of a column, the most frequent ones: systems of equations have this size.
_MOST_WORDS = 1000

# The share of numbers in a column of a file from which the other fields are errors rather than words.
_NUMBERS = 0.9

# Numbers with a mark for thousands: 1,299.00, and 1.299,00.
_THOUSANDS = {",": r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", ".": r"[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?"}


class Attributes(NamedTuple):
    """Attributes with ids, as `as_attributes` reads them.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_ids, n_columns)
        1 for a word; for a number how many standard deviations it is above the mean, 0 where it is missing.
    ids : numpy.ndarray of int64 or str, shape (n_ids,)
        The id of each row, ascending.
    names : tuple of str
        Of each column: "genre=Drama" for a word of a table's column, "Drama" for one of a list, "year" for a number.
    centre, scale : numpy.ndarray of float64, shape (n_columns,)
        Mean and standard deviation of numbers; 0 and 1 for words.
    unread : tuple of str
        Columns of a table that say nothing: no number that differs, no word that two ids have.
    """

    matrix: sp.csr_matrix
    ids: np.ndarray
    names: Tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    unread: Tuple[str, ...] = ()

    def of(self, features):
        """The row of these columns, (1, n_columns), for one more: a dict of column to word, words or number, or words.
        Words and columns that none of the others has say nothing."""
        columns = features.items() if isinstance(features, Mapping) else [("", features)]
        places, row = {name: k for k, name in enumerate(self.names)}, np.zeros((1, len(self.names)))
        for name, value in columns:
            number = value if _is_number(value) else _year(value)
            if number is not None and name in places:
                row[0, places[name]] = (number - self.centre[places[name]]) / self.scale[places[name]]
                continue
            if _is_missing(value) or _is_number(value) and name != "" and not any(
                    each.startswith("%s=" % name) for each in self.names):
                continue
            if name in places:
                raise TypeError("features, column %r: %.60r is %s; expected a number, as in fit"
                                % (name, value, type(value).__name__))
            try:
                words = _words(value)
            except TypeError as error:
                raise error_at("features, column %r" % (name,) if name != "" else "features", error) from None
            for word in words:
                place = places.get(_name_of(name, word))
                if place is not None:
                    row[0, place] = 1
        return sp.csr_matrix(row.astype(np.float32))

    def over(self, ids):
        """The rows of other ids, (n, n_columns), empty where there are none, and whether there are, (n,)."""
        _, places, rows = np.intersect1d(ids, self.ids, assume_unique=True, return_indices=True)
        chosen = sp.csr_matrix((np.ones(len(rows), np.float32), (places, rows)), (len(ids), len(self.ids)))
        return chosen.dot(self.matrix), np.isin(np.arange(len(ids)), places)

    def with_more(self, features, name="item_features"):
        """These with those of more ids, or other ones of the same ids, in any form of `as_attributes`, in the same
        columns. Words and columns that these lack say nothing."""
        if isinstance(features, (Attributes, tuple)):
            more = as_attributes(features, name)
            if more.names != self.names:
                raise ValueError("%s have the columns %s; expected those of fit, %s"
                                 % (name, listed(more.names), listed(self.names)))
            ids, matrix = more.ids, more.matrix
        else:
            _, ids, places, columns, where, is_text = _read(features, name)
            for column in set(columns) & set(self.names):
                columns[column] = _in_numbers(columns[column], where, is_text)
            rows = []
            for row in range(len(places)):
                try:
                    rows.append(self.of({column: values[row] for column, values in columns.items()}))
                except TypeError as error:
                    raise error_at(where(row), error) from None
            matrix = sp.vstack(rows, format="csr")[np.argsort(places)]
        positions(ids, self.ids, name)  # raises an error for strings among numbers
        kept = ~np.isin(self.ids, ids)
        every = np.append(self.ids[kept], ids)
        order = np.argsort(every)
        return self._replace(matrix=sp.vstack([self.matrix[kept], matrix], format="csr")[order], ids=every[order])

    def __repr__(self):
        return "Attributes(%d ids, %d columns: %s)" % (self.matrix.shape + (listed(self.names),))


def as_attributes(features, name="item_features"):
    """Read attributes in any form of docs/guide/new-items.md; errors have the column and the line.

    A table has the ids in the column called item or user, or a synonym that `as_ratings` knows, or id, else in the
    first. Empty fields, None and NaN are missing, and dates are years. Words that one id alone has say nothing of
    others: they are left out, as are all but the 1,000 most frequent ones of a column. A file is read by its ending, as
    `load_ratings` reads it, but for matrices and archives; text without names on the first line has columns "0", "1".
    """
    if isinstance(features, Attributes):
        return features
    if isinstance(features, tuple):
        return _of_matrix(features, name)
    said, ids, places, columns, where, is_text = _read(features, name)
    made = [_encoded(column, values, where, is_text) for column, values in columns.items()]
    names, matrices, centres, scales = zip(*made) if made else ((),) * 4
    if not any(names):
        raise ValueError("%s has no number that differs and no word that two ids have; expected attributes that some "
                         "ids have in common, such as a genre" % said)
    matrix = sp.hstack(matrices, format="csr", dtype=np.float32)[np.argsort(places)]
    return Attributes(matrix, ids, sum(names, ()), np.concatenate(centres), np.concatenate(scales),
                      tuple(column for column, of_column in zip(columns, names) if not of_column))


def _read(features, name):
    """The name of a table or a file, the distinct ids, each row's position among them, and the last three of `_table`.
    """
    is_file = isinstance(features, (str, os.PathLike))
    said, (ids, columns, where, is_text) = (str(features), _file(Path(features), name)) if is_file else (
        name, _table(features, name))
    try:
        ids, places = distinct(ids, "ids")
    except (TypeError, ValueError) as error:
        raise error_at(said, error) from None
    if not len(ids):
        raise ValueError("%s has no row of values; expected one for each id" % said)
    if len(ids) < len(places):
        first, second = np.flatnonzero(places == np.argmax(np.bincount(places) > 1))[:2]
        raise ValueError("%s, %s: the id %r is in %s, too; expected one row for each id, in a column "
                         "called %s" % (said, where(second), ids[places[first]].item(), where(first), name[:4]))
    return said, ids, places, columns, lambda row: "%s, %s" % (said, where(row)), is_text


def _of_matrix(given, name):
    """`Attributes` of a tuple."""
    matrix, ids, *names = given if len(given) in (2, 3) else (None, None)
    if (not sp.issparse(matrix) or matrix.dtype.kind not in "biuf" or len(matrix.shape) != 2 or not matrix.shape[0]
            or np.shape(ids) != matrix.shape[:1] or names and np.shape(names[0]) != matrix.shape[1:]):
        raise TypeError("%s are a tuple; expected (matrix, ids) or (matrix, ids, names), with a sparse matrix of "
                        "numbers, a row for each id" % name)
    try:  # SciPy trusts indices: wrong ones end the process
        if matrix.format in ("csr", "csc"):
            check_compressed(matrix, matrix.shape[::1 if matrix.format == "csr" else -1])
        else:
            values, *row_column = triples(matrix)
            matrix = sp.coo_matrix((values, row_column), matrix.shape)
    except ValueError as error:
        raise error_at(name, error) from None
    matrix, (ids, places) = sp.csr_matrix(matrix, dtype=np.float64), distinct(ids, name)
    if len(ids) < len(places):
        raise ValueError("%s have %d rows and %d different ids; expected one row for each id"
                         % (name, len(places), len(ids)))
    wrong = np.flatnonzero(~(np.abs(matrix.data) <= MOST))
    if len(wrong):
        raise ValueError("%s, row %d, column %d: the value is %g; expected a finite number" % (
            name, np.searchsorted(matrix.indptr, wrong[0], side="right") - 1, matrix.indices[wrong[0]],
            matrix.data[wrong[0]]))
    names = tuple(map(str, names[0] if names else range(matrix.shape[1])))
    return Attributes(matrix[np.argsort(places)].astype(np.float32), ids, names, np.zeros(len(names)),
                      np.ones(len(names)))


def _table(table, name):
    """Ids, values by column, the words for a row, and whether whole numbers as text are numbers, not words."""
    names = column_names(table)
    if not names or callable(getattr(table, "collect", None)):
        raise TypeError("%s are %s%s; expected a table, a path, a dict of id to words, or (matrix, ids)%s" % (
            name, "an empty " * (names == []), type(table).__name__, ": pass .collect()" if names else ""))
    if len(set(names)) < len(names):
        raise ValueError("%s have the columns %s; expected different names" % (name, some_names(names)))
    own = named_for_ids(names, name)
    if not own and named_for_ids(index_names(table), name):
        raise ValueError("%s have their ids in the index: call reset_index() first" % name)
    if isinstance(table, Mapping) and not own:
        return as_array(names), {"": list(table.values())}, lambda row: "id %r" % (names[row],), False
    own = (own or names)[0]
    columns = {str(each): _as_list(table[each]) for each in names if each != own}
    ids = as_array(table[own])
    for column, values in columns.items():
        n_values = len(values) if isinstance(values, list) else 1
        if n_values != np.size(ids):
            raise ValueError("%s: the column %r has %d values and %d ids; expected one for each id"
                             % (name, column, n_values, np.size(ids)))
    return ids, columns, lambda row: "row %d" % row, False


def _as_list(column):
    """The values of a column, None where it is masked, as Python's own where NumPy has them; itself if it is one."""
    if hasattr(column, "to_pylist"):  # of pyarrow
        return column.to_pylist()
    if hasattr(column, "dtype"):
        array = as_array(column)
        return (array.astype("datetime64[s]") if array.dtype.kind == "M" else array).tolist()
    return list(column) if hasattr(column, "__iter__") and not isinstance(column, str) else column


def named_for_ids(names, name):
    """The names of columns that are ids', the likeliest first."""
    wanted = name.partition("_")[0]
    places = find_columns(names, (wanted,)).get(wanted, [])
    return [names[place] for place in places] or [each for each in names if str(each).lower() in ("id", "ids")]


def _file(path, name):
    """As `_table`, of a file."""
    columns, where, is_text = read_table(path)
    own = (named_for_ids(list(columns), name) or list(columns))[0]
    ids = as_array(columns.pop(own))
    if is_text:
        ids, columns = [each.strip() for each in ids], {
            column: [each.strip() for each in values] for column, values in columns.items()}
        if not all(ids):
            raise ValueError("%s, %s: the %s is empty; expected an id" % (path, where(ids.index("")), own))
        ids, places = distinct_texts(ids)
        ids = np.array(ids)[places]
    return ids, columns, where, is_text


def _number(text, mark=None):
    """The number that a text is, or None; with a mark for thousands the decimal point is "," or ".", the other one."""
    if mark is not None:
        if re.fullmatch(_THOUSANDS[mark], text):
            text = text.replace(mark, "")
        text = "" if mark in text else text.replace(",", ".")
    with contextlib.suppress(ValueError):
        return float(as_floats([text])[0])


def _year(date):
    """The year, with decimals, of a date, perhaps as text; None for others."""
    with contextlib.suppress(ValueError):
        return year_of(date) if isinstance(date, (str, datetime.date)) else None


def _numbers(texts, where, is_text):
    """Some texts as numbers, or as years if all are dates; else unchanged. ValueError where a comma may be a decimal
    point or not, and in a file of text for few others among numbers."""
    plain = list(map(_number, texts))
    if None not in plain:
        return plain
    commas = any("," in text for text in texts)
    found = [plain] + [list(map(partial(_number, mark=mark), texts)) if commas else plain for mark in ",."]
    found.append(list(map(_year, texts)))
    counts = [len(texts) - each.count(None) for each in found]
    best = int(np.argmax(counts))
    if counts[best] < _NUMBERS * len(texts) or not is_text and counts[best] < len(texts):
        return texts
    both = [place for place, text in enumerate(texts) if "," in text and None not in (found[1][place], found[2][place])]
    if best == 1 and counts[1] == counts[2] and both:
        raise ValueError("%s: %.60r may be %.10g or %.10g; expected numbers without commas: write them so, or pass the "
                         "table of pandas.read_csv(FILE, thousands=',') or (FILE, decimal=',')"
                         % (where(both[0]), texts[both[0]], found[1][both[0]], found[2][both[0]]))
    if counts[best] < len(texts):
        place = found[best].index(None)
        raise ValueError("%s: %.60r isn't a %s, and %d others are; expected one: correct it, or leave it empty; or if "
                         "all are codes, pass a table with text in this column"
                         % (where(place), texts[place], "date" if best == 3 else "number", counts[best]))
    return found[best]


def _in_numbers(values, where, is_text):
    """The values of a column as numbers, where all are dates, or text that says numbers or dates; else unchanged."""
    present = [row for row, value in enumerate(values) if not _is_missing(value)]
    found = [values[row] for row in present]
    if all(isinstance(each, datetime.date) for each in found):
        found = list(map(_year, found))
    elif all(isinstance(each, str) for each in found) and (is_text or not all(map(str.isdigit, found))):
        found = _numbers(found, lambda place: where(present[place]), is_text)  # elsewhere text of digits is a code
    found = dict(zip(present, found))
    return [found.get(row) for row in range(len(values))]


def _encoded(column, values, where, is_text):
    """Names, a CSR matrix (n_ids, n), centres and scales of a column: of words, or of one number that differs."""
    if column:
        values = _in_numbers(values, lambda row: "%s, column %s" % (where(row), column), is_text)
    present = [row for row, value in enumerate(values) if not _is_missing(value)]
    are_numbers = [_is_number(values[row]) for row in present]
    if present and all(are_numbers):
        found = np.array([values[row] for row in present], np.float64)
        centre, scale = found.mean(), found.std()
        n = int(scale > 1e-9 * abs(centre))
        data = ((found - centre) / scale, (present, np.zeros(len(present), int))) if n else (len(values), 0)
        return (column,) * n, sp.csr_matrix(data, (len(values), n)), np.full(n, centre), np.full(n, scale)
    if any(are_numbers):  # the rarer kind is wrong
        wrong = present[are_numbers.index(np.mean(are_numbers) < 0.5)]
        raise TypeError("%s, column %s: %.60r is %s; expected finite numbers in all rows of a column, or words"
                        % (where(wrong), column, values[wrong], type(values[wrong]).__name__))
    rows, words = [], []
    for row in present:
        try:
            found = _words(values[row])
        except TypeError as error:
            raise error_at(where(row) + (", column %s" % column if column else ""), error) from None
        rows += [row] * len(found)
        words += found
    kept, places, counts = np.unique(np.array(words, dtype=str), return_inverse=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:_MOST_WORDS]
    chosen = np.sort(frequent[counts[frequent] > 1])
    matrix = sp.csr_matrix((np.ones(len(rows)), (rows, places)), (len(values), len(kept)))[:, chosen]
    return (tuple(_name_of(column, word) for word in kept[chosen]), matrix, np.zeros(len(chosen)),
            np.ones(len(chosen)))


def _is_missing(value):
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (
        not value if isinstance(value, str) else isinstance(value, float) and value != value)


def _is_number(value):
    return is_number(value) and abs(value) <= MOST


def _words(value):
    """The words of a field, each once: text, perhaps several with "|" between them, or a list; TypeError for others."""
    if isinstance(value, (str, bool)):
        parts = str(value).split("|")
    elif isinstance(value, (list, tuple, set, frozenset, np.ndarray)) or hasattr(value, "to_list"):
        parts = [str(each) if isinstance(each, numbers.Integral) else each for each in value]
    else:
        parts = [value]
    for each in parts:
        if not isinstance(each, str):
            raise TypeError("%.60r is %s; expected a word, a list of words or a finite number"
                            % (each, type(each).__name__))
    return sorted({part.strip() for part in parts} - {""})


def _name_of(column, word):
    return "%s=%s" % (column, word) if column else word
