"""Ratings that don't fit into memory: a file is converted once, in chunks, to a CSR matrix on disk, and trained on from
there, a mini-batch in memory at a time.

A store is a folder of five `.npy` files and a note of what they are. `data`, `indices` and `indptr` are the matrix and
are mapped into memory when it is opened: the system reads what is looked at, and may forget it again. `rows` and
`cols` are the ids. What is a row is decided when the store is made, since one row has to lie together: users, or items.

Converting takes three passes, none of which holds more than a chunk: read the source and number the ids as they come;
deal the ratings out into buckets of rows; sort each bucket into its place. It needs the ids in memory, and for the time
being up to three times the store's own room on disk, 8 bytes a rating.

>>> from sparse_ae.data.outofcore import open_ratings, store_ratings
>>> store_ratings("ratings.csv", "ratings.store", rows="items")           # doctest: +SKIP
>>> Recommender(rows="items").fit(open_ratings("ratings.store"), validation=None)           # doctest: +SKIP
"""
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.data import files
from sparse_ae.data.ids import distinct
from sparse_ae.data.ratings import as_float32, canonical_csr, index_dtype
from sparse_ae.data.tables import as_columns

__all__ = ["StoredRatings", "open_ratings", "store_ratings"]

_FORMAT = 1
_NOTE = "store.json"
_ENTRY = np.dtype([("row", np.int32), ("col", np.int32), ("value", np.float32)])

# Ratings in a bucket, more or less, and ratings dealt out at a time: both take some tens of bytes each.
_BUCKET = 2 ** 22
_HAND = 2 ** 21

# Bytes of text parsed at a time.
_TEXT = 2 ** 23


class StoredRatings(NamedTuple):
    """Ratings on disk.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_rows, n_cols)
        In the form of `data.check_ratings`; its arrays are read-only maps of files.
    row_ids, col_ids : numpy.ndarray of int64 or str
        Ascending.
    rows : {"users", "items"}
        What the rows are.
    """

    matrix: sp.csr_matrix
    row_ids: np.ndarray
    col_ids: np.ndarray
    rows: str


def store_ratings(source, folder, rows="items"):
    """Convert ratings, in chunks, to a store on disk.

    Parameters
    ----------
    source : str or path-like, or iterable of chunks
        A text file of ratings, as `files.load_ratings` reads it; or anything that yields chunks of ratings, each in a
        form that `tables.as_columns` takes, such as a tuple (users, items, ratings) of arrays. Timestamps are passed
        over. Ids are numbers if they are in all chunks; else they are strings, and numbers among them become strings.
    folder : str or path-like
        What to make. It must not exist; it is there once all of it is.
    rows : {"items", "users"}
        What a row is; `Recommender` and its `rows` have to agree with it.

    Returns
    -------
    StoredRatings
        As `open_ratings` gives them.

    Raises
    ------
    OSError
        If the source isn't there, the folder is, or the disk is full.
    TypeError, ValueError
        For what `files.load_ratings` would refuse: the message names the line, or the ids of the rating.
    """
    if rows not in ("items", "users"):
        raise ValueError("rows is %r; expected 'items' or 'users'" % (rows,))
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError("%s exists; expected a new folder to make: delete it, or choose another name" % folder)
    if not folder.parent.is_dir():
        raise FileNotFoundError("there is no folder %s to make %s in; create it first" % (folder.parent, folder.name))
    chunks = _text_chunks(Path(source)) if isinstance(source, (str, os.PathLike)) else _plain_chunks(source)
    work = Path(tempfile.mkdtemp(prefix=folder.name + ".", suffix=".tmp", dir=str(folder.parent)))
    try:
        by_row, by_col, counts = _number(chunks, work / "entries", rows)
        (row_ids, row_rank), (col_ids, col_rank) = by_row.sorted(), by_col.sorted()
        counts = counts[np.argsort(row_rank)]
        buckets = _deal(work, row_rank, col_rank, counts)
        done = work / "store"
        done.mkdir()
        for name, array in (("rows", row_ids), ("cols", col_ids)):
            np.save(str(done / (name + ".npy")), array, allow_pickle=False)
        _sort(buckets, done, row_ids, col_ids, counts, rows)
        with open(str(done / _NOTE), "w") as file:
            json.dump({"library": "sparse_ae", "kind": "ratings", "format": _FORMAT, "rows": rows}, file)
            _to_disk(file)
        done.rename(folder)
    finally:
        shutil.rmtree(str(work), ignore_errors=True)
    return open_ratings(folder)


def open_ratings(folder):
    """Open a store; nothing but the ids is read.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    StoredRatings

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, or it is no store that this version can read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError("there is no folder %s; expected what store_ratings has made: check the path" % folder)
    try:
        note = json.loads((folder / _NOTE).read_text())
        if (note["library"], note["kind"]) != ("sparse_ae", "ratings"):
            raise ValueError("%s says that it is a %r of %r" % (_NOTE, note["kind"], note["library"]))
        if note["format"] <= _FORMAT:
            parts = {name: np.load(str(folder / (name + ".npy")), mmap_mode="r", allow_pickle=False)
                     for name in ("data", "indices", "indptr")}
            row_ids, col_ids = (np.load(str(folder / name), allow_pickle=False) for name in ("rows.npy", "cols.npy"))
    except (OSError, KeyError, TypeError, ValueError) as error:  # of a missing file, a foreign note, a truncated array
        raise ValueError("%s is no store of ratings (%s: %s); expected what store_ratings has made: make it anew"
                         % (folder, type(error).__name__, error)) from error
    if note["format"] > _FORMAT:
        raise ValueError("%s has format %r of stored ratings; this sparse_ae reads formats up to %d: upgrade sparse_ae"
                         % (folder, note["format"], _FORMAT))
    n_entries = int(parts["indptr"][-1])
    if (len(row_ids) + 1, n_entries, n_entries) != tuple(len(parts[name]) for name in ("indptr", "data", "indices")):
        raise ValueError("%s is damaged: its files don't go together; make the store anew" % folder)
    matrix = canonical_csr(parts["data"], parts["indices"], parts["indptr"], (len(row_ids), len(col_ids)))
    return StoredRatings(matrix, row_ids, col_ids, note["rows"])


# Pass 1: read, and number the ids as they come


def _number(chunks, path, rows):
    """Write the entries of all chunks to one file; return the ids by row and column, and the ratings in each row."""
    users, items = _Ids("users"), _Ids("items")
    by_row, by_col = (users, items) if rows == "users" else (items, users)
    counts = np.zeros(0, np.int64)
    with open(str(path), "wb") as file:
        for chunk_users, chunk_items, values, where in chunks:
            floats, bad = as_float32(values)
            if bad is not None:
                raise ValueError("%s: %s" % (where(bad[0]), bad[1]))
            numbers = users.encode(chunk_users), items.encode(chunk_items)
            entries = np.empty(len(floats), _ENTRY)
            entries["row"], entries["col"] = numbers if rows == "users" else numbers[::-1]
            entries["value"] = floats
            entries.tofile(file)
            new = np.bincount(entries["row"], minlength=len(by_row.codes))
            new[:len(counts)] += counts
            counts = new
    if not len(counts):
        raise ValueError("there are no ratings in the source; expected at least one")
    return by_row, by_col, counts


class _Ids:
    """Distinct ids, numbered as they come; all int or, from the first on that isn't, all str."""

    def __init__(self, name):
        self.name, self.codes, self.text = name, {}, False

    def encode(self, ids):
        """The numbers of a chunk's ids, (n,), new ones included."""
        found, inverse = distinct(ids, self.name)
        if found.dtype.kind == "U" and not self.text:
            self.codes, self.text = {str(each): code for each, code in self.codes.items()}, True
        found = map(str, found.tolist()) if self.text else found.tolist()
        codes = self.codes
        return np.array([codes.setdefault(each, len(codes)) for each in found], np.int32)[inverse]

    def sorted(self):
        """The ids, ascending, and for each number the place of its id."""
        ids = np.array(list(self.codes), dtype=str if self.text else np.int64)
        order = np.argsort(ids, kind="stable")
        rank = np.empty(len(ids), np.int32)
        rank[order] = np.arange(len(ids), dtype=np.int32)
        return ids[order], rank


def _plain_chunks(source):
    """Users, items, ratings, and what puts an entry into words, of chunks of ratings in any form."""
    for number, chunk in enumerate(source):
        users, items, values = as_columns(chunk)[:3]
        values = np.asarray(values)
        if not len(users) == len(items) == len(values) or values.dtype.kind not in "iuf":
            raise ValueError("chunk %d holds %d users, %d items and %d ratings of dtype %s; expected numbers for "
                             "ratings, and one of each for every rating"
                             % (number, len(users), len(items), len(values), values.dtype))
        if len(values):
            yield users, items, values, lambda entry: "chunk %d, entry %d" % (number, entry)


def _text_chunks(path):
    """The same of a text file, read a block of lines at a time."""
    line, delimiter, n_columns = _look_at(path)
    with files._open(path) as stream:
        for _ in range(line - 1):
            stream.readline()
        rest = b""
        while True:
            text = stream.read(_TEXT)
            # The last line waits for the rest of it, if there is any.
            block = rest + text if text else rest.rstrip() + b"\n"
            end = block.rfind(b"\n") + 1
            block, rest = block[:end], block[end:]
            if block.strip():
                columns = files._parse_plain(block, delimiter, n_columns)
                if columns is None:
                    yield _parse_any(path, block, line, delimiter, n_columns)
                else:
                    yield columns[0], columns[1], columns[2], _Line(path, line)
            if not text:
                return
            line += block.count(b"\n")


class _Line:
    """Puts an entry into words, by the line that it is on."""

    def __init__(self, path, first):
        self.path, self.first = path, first

    def __call__(self, entry):
        return "%s, line %d" % (self.path, self.first + entry)


def _look_at(path):
    """The line, from 1, that the ratings begin on, the delimiter, and the number of columns."""
    if not path.is_file():
        raise FileNotFoundError("there is no file %s; check the path (relative to %s)" % (path, Path.cwd()))
    if path.name.lower().endswith((".npz", ".mat", ".mtx", ".mtx.gz")):
        raise ValueError("%s is a file of a matrix; expected text with the columns %s: read it with load_ratings"
                         % (path, files._COLUMNS))
    with files._open(path) as stream:
        lines = stream.read(2 ** 16).decode("utf-8-sig", errors="replace").split("\n")
    number = next((k for k, line in enumerate(lines) if line.strip()), None)
    if number is None:
        raise ValueError("%s holds nothing but blanks; expected ratings: fetch or write it again" % path)
    for delimiter, _ in files._DELIMITERS:
        fields = files._split_line(lines[number], delimiter)
        if len(fields) in (3, 4):
            break
    else:
        raise ValueError("%s, line %d: %.60r isn't three or four columns; expected %s, separated by tabs, commas, "
                         "semicolons, '::' or blanks" % (path, number + 1, lines[number], files._COLUMNS))
    header = files._is_header(fields)
    if header:
        files._check_header(path, number + 1, fields)
    return number + 1 + header, delimiter, len(fields)


def _parse_any(path, block, first, delimiter, n_columns):
    """Users, items, ratings, and the words for an entry, of whole lines of any text."""
    try:
        text = block.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = block.decode("latin-1")
    users, items, values, lines = [], [], [], []
    for number, line in enumerate(text.split("\n"), first):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        fields = [field.strip() for field in files._split_line(line, delimiter)]
        if len(fields) != n_columns or not fields[0] or not fields[1]:
            raise ValueError("%s, line %d: %.60r isn't %d columns, separated as on the first line, with a user and an "
                             "item; mend or drop it (a quoted field must end on the line it begins on)"
                             % (path, number, line, n_columns))
        try:
            values.append(files._as_float(fields[2]))
        except ValueError:
            raise ValueError("%s, line %d: the rating %r isn't a number; expected one such as 3 or 4.5: mend or drop "
                             "the line" % (path, number, fields[2])) from None
        users.append(fields[0])
        items.append(fields[1])
        lines.append(number)
    return _as_numbers(users), _as_numbers(items), np.array(values), lambda entry: "%s, line %d" % (path, lines[entry])


def _as_numbers(ids):
    """As integers, if that keeps all of them as they are written."""
    if all(re.fullmatch("0|-?[1-9][0-9]{0,17}", text) for text in ids):
        return np.array(ids, dtype=np.int64)
    return ids


# Pass 2: deal


def _deal(work, row_rank, col_rank, counts):
    """Put the entries into files of rows that lie together, numbered by the ids' order; returns the files."""
    bucket_of_row = (np.cumsum(counts) - 1) // _BUCKET
    paths = [work / ("bucket%d" % bucket) for bucket in range(bucket_of_row[-1] + 1)]
    source = work / "entries"
    for start in range(0, counts.sum(), _HAND):
        entries = np.fromfile(str(source), _ENTRY, _HAND, offset=start * _ENTRY.itemsize)
        entries["row"], entries["col"] = row_rank[entries["row"]], col_rank[entries["col"]]
        bucket = bucket_of_row[entries["row"]]
        entries = entries[np.argsort(bucket, kind="stable")]
        stops = np.cumsum(np.bincount(bucket, minlength=len(paths)))
        for path, part in zip(paths, np.split(entries, stops[:-1])):
            if len(part):
                with open(str(path), "ab") as file:
                    part.tofile(file)
    source.unlink()
    return [path for path in paths if path.exists()]


# Pass 3: sort


def _sort(buckets, folder, row_ids, col_ids, counts, rows):
    """Write the three arrays of the matrix, one bucket after the other."""
    n_entries = int(counts.sum())
    dtype = index_dtype((len(row_ids), len(col_ids)), n_entries)
    with _array_file(folder / "data.npy", np.float32, n_entries) as values, \
            _array_file(folder / "indices.npy", dtype, n_entries) as indices:
        for bucket in buckets:
            entries = np.fromfile(str(bucket), _ENTRY)
            keys = entries["row"].astype(np.int64) * len(col_ids) + entries["col"]
            order = np.argsort(keys, kind="stable")
            twice = np.flatnonzero(np.diff(keys[order]) == 0)
            if len(twice):
                row, col, _ = entries[order[twice[0]]]
                pair = row_ids[row].item(), col_ids[col].item()
                raise ValueError("user %r has rated item %r twice; expected one rating per pair: keep the last, or "
                                 "their mean" % (pair if rows == "users" else pair[::-1]))
            entries["value"][order].tofile(values)
            entries["col"][order].astype(dtype, copy=False).tofile(indices)
            bucket.unlink()
        for file in (values, indices):
            _to_disk(file)
    np.save(str(folder / "indptr.npy"), np.concatenate([[0], np.cumsum(counts)]).astype(dtype), allow_pickle=False)


def _array_file(path, dtype, length):
    """A file that a one-dimensional array is written to bit by bit, its .npy header done."""
    file = open(str(path), "wb")
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())  # else a power cut could leave the folder's new name with empty files
