"""Attributes of items or users as a CSR matrix: a row for each id, a column for each word and each number."""
import contextlib
import numbers
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST, errors_at, is_number, near
from sparse_ae.data.columns import as_array, python_values
from sparse_ae.data.entries import triples
from sparse_ae.data.ids import MISSING_WORDS, distinct, ids_of_texts, positions, texts_like
from sparse_ae.data.names import column_names, find_columns, index_names, listed, some_names
from sparse_ae.data.readers import read_table
from sparse_ae.data.times import as_floats, year_of

# The most words that are kept of a column, the most frequent ones: systems of equations have this size. Those that one
# id alone has say nothing of others.
_MOST_WORDS = 1000

# The share of numbers in a column of a file from which the other fields are errors rather than words.
_NUMBERS = 0.9

# Numbers with a comma, for thousands or as the decimal mark.
_WITH_COMMA = re.compile(r"[-+]?\d[\d.,]*,[\d.,]*")

# What stands between the levels of a path, such as "Home > Kitchen > Knives".
_LEVELS = " > "


class Attributes(NamedTuple):
    """Attributes with ids, as `as_attributes` reads them."""

    matrix: sp.csr_matrix  # float32, (n_ids, n_columns): 1 for a word, (number - centre) / scale, 0 for a missing one
    ids: np.ndarray  # int64 or str, ascending
    names: Tuple[str, ...]  # "genre=Drama" for a word of a column, "Drama" for one of a list, "year" for numbers
    centre: np.ndarray  # mean of each column, (n_columns,) float64; 0 of words
    scale: np.ndarray  # standard deviation; 1 of words
    unread: Tuple[str, ...] = ()  # columns of a table without a number that differs, or a word that two ids have

    def of(self, features, unknown):
        """The row of these columns, (1, n_columns), for one more: a dict of column to word, words or number, or words.
        Words and columns that none of the others has say nothing, and are added to a set, `unknown`."""
        columns = features if isinstance(features, Mapping) else {"": features}
        columns = {name: [value] for name, value in columns.items()}
        self._check_columns(columns, "features", unknown)
        return self.rows_of(columns, 1, lambda row, column:
                            "features, column %s" % column if column != "" else "features", unknown)

    def _check_columns(self, columns, said, unknown):
        """ValueError for columns if none of them is among these, or one is spelled much like one that is missing."""
        own = list(dict.fromkeys(name.partition("=")[0] for name in self.names))
        others = [column for column in columns if column not in {*own, *self.names, *self.unread}]
        if "" in others and any("=" not in name and scale == 1 for name, scale in zip(self.names, self.scale)):  # words
            others.remove("")
        for column in others:
            hint = near(column, set(own) - set(columns))
            if hint or len(others) == len(columns):
                raise ValueError("%s: nothing is known of %s; expected columns or words of fit, such as %s%s" % (
                    said, "the column %r" % column if column else "a list of words", listed(own), hint))
        unknown.update("the column %s" % column for column in others)

    def rows_of(self, columns, n_rows, where, unknown=None):
        """The rows of these columns, (n_rows, n_columns), for values by column, as `of` for each."""
        places, rows, cols, data = {name: k for k, name in enumerate(self.names)}, [], [], []
        for column, values in columns.items():
            has_words = column == "" or any(name.startswith("%s=" % column) for name in self.names)
            for row, value in enumerate(values):
                if _is_missing(value) or _is_number(value) and not has_words and column not in places:
                    continue
                if column in places:
                    place, number = places[column], value if _is_number(value) else year_of(value)
                    if number is None:
                        raise TypeError("%s: %.60r is %s; expected a number, as in fit"
                                        % (where(row, column), value, type(value).__name__))
                    found = {place: (number - self.centre[place]) / self.scale[place]}
                else:
                    names = [_name_of(column, word) for word in _words(value, where, row, column)]
                    found = {places[name]: 1 for name in names if name in places}
                    if unknown is not None and has_words:
                        unknown.update(name for name in names if name not in places)
                rows += [row] * len(found)
                cols += found
                data += found.values()
        return sp.csr_matrix((np.array(data, np.float32), (rows, cols)), (n_rows, len(self.names)))

    def over(self, ids):
        """The rows of other ids, (n, n_columns), empty where there are none, and whether there are, (n,)."""
        _, places, rows = np.intersect1d(ids, self.ids, assume_unique=True, return_indices=True)
        chosen = sp.csr_matrix((np.ones(len(rows), np.float32), (places, rows)), (len(ids), len(self.ids)))
        return chosen.dot(self.matrix), np.isin(np.arange(len(ids)), places)

    def with_ids_like(self, known):
        """These with ids that are text where the `known` ones are."""
        ids = texts_like(self.ids, known)
        order = np.argsort(ids)
        return self if ids is self.ids else self._replace(ids=ids[order], matrix=self.matrix[order])

    def with_more(self, features, name, unknown):
        """These with those of more ids, or other ones of the same ids, in the same columns; `unknown` as in `of`."""
        if isinstance(features, (Attributes, tuple)):
            more = as_attributes(features, name)
            if more.names != self.names:
                raise ValueError("%s have the columns %s; expected those of fit, %s"
                                 % (name, listed(more.names), listed(self.names)))
            ids, matrix, at = more.ids, more.matrix.copy(), more.matrix.indices
            numbers = matrix.data * more.scale[at] + more.centre[at]
            matrix.data = ((numbers - self.centre[at]) / self.scale[at]).astype(np.float32)
        else:
            said, ids, places, columns, where, is_text = _read(features, name)
            self._check_columns(columns, said, unknown)
            for column in set(columns) & set(self.names):
                columns[column] = _in_numbers(column, columns[column], where, is_text)
            matrix = self.rows_of(columns, len(places), where, unknown)[np.argsort(places)]
            ids = texts_like(ids, self.ids) if is_text else ids
        positions(ids, self.ids, name)  # raises an error for strings among numbers
        kept = ~np.isin(self.ids, ids)
        every = np.append(self.ids[kept], ids)
        order = np.argsort(every)
        return self._replace(matrix=sp.vstack([self.matrix[kept], matrix], format="csr")[order], ids=every[order])

    def __repr__(self):
        return "Attributes(%d ids, %d columns: %s)" % (self.matrix.shape + (listed(self.names),))


def unknown_line(name, unknown):
    """A line about words and columns that `Attributes.of` has added to a set."""
    return "%s: nothing is known of %s" % (name, listed(sorted(unknown)))


def as_attributes(features, name="item_features"):
    """Read attributes in any form of docs/guide/new-items.md; errors have the column and the line. Empty fields, None,
    NaN, and words such as NA are missing."""
    if isinstance(features, Attributes):
        return features
    if isinstance(features, tuple):
        return _of_matrix(features, name)
    said, ids, places, columns, where, is_text = _read(features, name)
    columns = {column: _in_numbers(column, values, where, is_text) if column else values
               for column, values in columns.items()}
    found = {column: _learned(column, values, where) for column, values in columns.items()}
    if not any(found.values()):
        raise ValueError("%s has no number that differs and no word that two ids have; expected attributes that some "
                         "ids have in common, such as a genre" % said)
    names, centre, scale = zip(*sum(found.values(), []))
    if len(set(names)) < len(names):
        raise ValueError("%s has words and numbers in columns of one name, among %s; expected different names"
                         % (said, some_names(columns)))
    made = Attributes(sp.csr_matrix((len(ids), 0)), ids, names, np.array(centre), np.array(scale),
                      tuple(column for column, of_column in found.items() if not of_column))
    return made._replace(matrix=made.rows_of(columns, len(ids), where)[np.argsort(places)])


def _read(features, name):
    """Name, distinct ids, each row's position among these, values by column, words for a row, whether all are text."""
    is_file = isinstance(features, (str, os.PathLike))
    table, where, is_text = read_table(Path(features)) if is_file else (features, None, False)
    said = str(features) if is_file else name
    ids, columns, where = _columns(table, name, where)
    if is_text:
        ids, columns = [each.strip() for each in ids], {
            column: [each.strip() for each in values] for column, values in columns.items()}
        if not all(ids):
            raise ValueError("%s, %s: the %s is empty; expected an id"
                             % (said, where(ids.index("")), next(each for each in table if each not in columns)))
        ids = np.array(ids_of_texts(ids))
    with errors_at(said):
        ids, places = distinct(ids, "ids")
    if not len(ids):
        raise ValueError("%s has no row of values; expected one for each id" % said)
    if len(ids) < len(places):
        first, second = np.flatnonzero(places == np.argmax(np.bincount(places) > 1))[:2]
        raise ValueError("%s, %s: the id %r is in %s, too; expected one row for each id, in a column "
                         "called %s" % (said, where(second), ids[places[first]].item(), where(first), name[:4]))
    return said, ids, places, columns, lambda row, column: "%s, %s%s" % (
        said, where(row), ", column %s" % column if column != "" else ""), is_text


def _of_matrix(given, name):
    """`Attributes` of a tuple."""
    matrix, ids, *names = given if len(given) in (2, 3) else (None, None)
    if (not sp.issparse(matrix) or matrix.dtype.kind not in "biuf" or len(matrix.shape) != 2 or not matrix.shape[0]
            or np.shape(ids) != matrix.shape[:1] or names and np.shape(names[0]) != matrix.shape[1:]):
        raise TypeError("%s are a tuple; expected (matrix, ids) or (matrix, ids, names), with a sparse matrix of "
                        "numbers, a row for each id" % name)
    with errors_at(name):  # SciPy trusts indices: wrong ones end the process
        values, rows, cols = triples(matrix)
    values = values.astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(values) <= MOST))
    if len(wrong):
        raise ValueError("%s, row %d, column %d: the value is %g; expected a finite number"
                         % (name, rows[wrong[0]], cols[wrong[0]], values[wrong[0]]))
    matrix = sp.csr_matrix((values, (rows, cols)), matrix.shape)
    ids, places = distinct(ids, name)
    if len(ids) < len(places):
        raise ValueError("%s have %d rows and %d different ids; expected one row for each id"
                         % (name, len(places), len(ids)))
    names = tuple(map(str, names[0] if names else range(matrix.shape[1])))
    if len(set(names)) < len(names):
        raise ValueError("%s have the columns %s; expected different names" % (name, some_names(names)))
    return Attributes(matrix[np.argsort(places)].astype(np.float32), ids, names, np.zeros(len(names)),
                      np.ones(len(names)))


def _columns(table, name, where):
    """Ids, values by column, and the words for a row, of a table, or of a file's columns if there are such words."""
    names = column_names(table)
    if not names:
        raise TypeError("%s are %s%s; expected a table, a path, a dict of id to words, or (matrix, ids)"
                        % (name, "an empty " * (names == []), type(table).__name__))
    if len(set(names)) < len(names):
        raise ValueError("%s have the columns %s; expected different names" % (name, some_names(names)))
    own = named_for_ids(names, name)
    if not own and named_for_ids(index_names(table), name):
        raise ValueError("%s have their ids in the index: call reset_index() first" % name)
    if isinstance(table, Mapping) and not own and where is None:
        return as_array(names), {"": list(table.values())}, lambda row: "id %r" % (names[row],)
    own = (own or names)[0]
    columns = {str(each): _as_list(table[each]) for each in names if each != own}
    ids = as_array(table[own])
    for column, values in columns.items():
        n_values = len(values) if isinstance(values, list) else 1
        if n_values != np.size(ids):
            raise ValueError("%s: the column %r has %d values and %d ids; expected one for each id"
                             % (name, column, n_values, np.size(ids)))
    return ids, columns, where or "row {}".format


def _as_list(column):
    """The values of a column, as Python's own where NumPy has them; itself if it is one."""
    if hasattr(column, "to_pylist"):  # of pyarrow
        return python_values(column)
    if hasattr(column, "dtype"):
        array = as_array(column)
        return (array.astype("datetime64[s]") if array.dtype.kind == "M" else array).tolist()
    return list(column) if hasattr(column, "__iter__") and not isinstance(column, str) else column


def named_for_ids(names, name):
    """The names of columns that are ids', the likeliest first."""
    wanted = name.partition("_")[0]
    places = find_columns(names, (wanted,)).get(wanted, [])
    return [names[place] for place in places] or [each for each in names if str(each).lower() in ("id", "ids")]


def _number(text):
    """The number that a text is; None for others."""
    with contextlib.suppress(ValueError):
        return float(as_floats([text])[0]) if isinstance(text, str) else None


def _in_numbers(column, values, where, is_text):
    """The values of a column as numbers, or years, where all are dates, or text that says numbers or dates; else
    unchanged. ValueError where nearly all are numbers, but with commas, and in a file of text for few others."""
    present = [row for row, value in enumerate(values) if not _is_missing(value)]
    given = [values[row] for row in present]
    if not is_text and all(isinstance(each, str) and each.isdigit() for each in given):  # a code
        return values
    plain, years = list(map(_number, given)), list(map(year_of, given))
    commas = [place for place, text in enumerate(given) if isinstance(text, str) and _WITH_COMMA.fullmatch(text)]
    if commas and len(given) - plain.count(None) + len(commas) >= (_NUMBERS if is_text else 1) * len(given):
        raise ValueError("%s: %.60r has a comma; expected numbers such as 1299.5: pass the table of "
                         "pandas.read_csv(FILE, thousands=',') or (FILE, decimal=','), or if these are words, write "
                         "them with | in between" % (where(present[commas[0]], column), given[commas[0]]))
    found = min(plain, years, key=lambda each: each.count(None))
    n_found = len(given) - found.count(None)
    if n_found < (_NUMBERS if is_text else 1) * len(given):
        return values
    if n_found < len(given):
        place = found.index(None)
        raise ValueError("%s: %.60r isn't a %s, and %d others are; expected one: correct it, or leave it empty; or if "
                         "all are codes, pass a table with text in this column"
                         % (where(present[place], column), given[place],
                            "number" if found is plain else "date", n_found))
    found = dict(zip(present, found))
    return [found.get(row) for row in range(len(values))]


def _learned(column, values, where):
    """The name, centre and scale of each column that a table's column becomes: one of numbers, or one for each word."""
    present = [row for row, value in enumerate(values) if not _is_missing(value)]
    are_numbers = [_is_number(values[row]) for row in present]
    if present and all(are_numbers):
        found = np.array([values[row] for row in present], np.float64)
        centre, scale = found.mean(), found.std()
        return [(column, centre, scale)] if scale > 1e-9 * abs(centre) else []
    if any(are_numbers):  # the rarer kind is wrong
        wrong = present[are_numbers.index(np.mean(are_numbers) < 0.5)]
        raise TypeError("%s: %.60r is %s; expected finite numbers in all rows of a column, or words"
                        % (where(wrong, column), values[wrong], type(values[wrong]).__name__))
    counts = Counter(word for row in present for word in _words(values[row], where, row, column))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:_MOST_WORDS]
    return [(_name_of(column, word), 0.0, 1.0) for word in sorted(frequent) if counts[word] > 1]


def _is_missing(value):
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (
        not value.strip() or value.strip() in MISSING_WORDS if isinstance(value, str) else
        isinstance(value, float) and value != value)


def _is_number(value):
    return is_number(value) and abs(value) <= MOST


def _words(value, where, row, column):
    """The words of a field, each once, and all that a path begins with; TypeError for others."""
    if isinstance(value, (str, bool)):
        parts = str(value).split("|")
    elif isinstance(value, (list, tuple, set, frozenset, np.ndarray)) or hasattr(value, "to_list"):
        parts = [str(each) if isinstance(each, numbers.Integral) else each for each in value]
    else:
        parts = [value]
    for each in parts:
        if not isinstance(each, str):
            raise TypeError("%s: %.60r is %s; expected a word, a list of words or a finite number"
                            % (where(row, column), each, type(each).__name__))
    paths = [[level.strip() for level in part.split(_LEVELS)] for part in parts]
    return {_LEVELS.join(path[:n]) for path in paths for n in range(1, len(path) + 1)} - {""} - MISSING_WORDS


def _name_of(column, word):
    return "%s=%s" % (column, word) if column else word
