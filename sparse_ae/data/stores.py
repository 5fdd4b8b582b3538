"""Ratings that don't fit into memory: a file becomes a CSR matrix on disk, from which mini-batches are read.

docs/guide/large.md tells what a store is, docs/guide/files.md when it is checked. Its files have to stay as they are.
"""
import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import AnyPath, Column, brief, check_choice, check_path, errors_at
from sparse_ae.data import readers
from sparse_ae.data.entries import in_order
from sparse_ae.data.ids import Numbering, check_ids
from sparse_ae.data.ratings import (
    Ratings,
    canonical_csr,
    check_ratings,
    checked_columns,
    index_dtype,
    repeated_pair,
)
from sparse_ae.data.readers.options import check_options
from sparse_ae.data.readers.sources import on_disk
from sparse_ae.data.readers.text import Block
from sparse_ae.data.side import Side
from sparse_ae.data.tables import as_columns, as_ratings, is_whole
from sparse_ae.files.storage import check_destination, damage_named, made_whole, to_disk
from sparse_ae.files.unpacking import check_regular, read_array
from sparse_ae.runtime.progress import announced

__all__ = ["StoredRatings", "open_ratings", "store_ratings"]

# Format 2, of sparse_ae 1.0, has no checksum of the note.
_FORMAT = 3
_NOTE, _ARRAYS = "store.json", ("data", "indices", "indptr", "rows", "cols")

# Up to how many bytes of `data` and `indices` are read and checked when a store is opened.
_SMALL = 2 ** 26

# Its place, the line of a file or the number of a chunk, is for errors; after 2^32 lines it counts from 0 again.
_ENTRY = np.dtype([("row", np.int32), ("col", np.int32), ("value", np.float32), ("place", np.uint32)])

# Ratings sorted together, more or less, and dealt out at a time; some tens of bytes each.
_RATINGS_AT_ONCE = 2 ** 21


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
    folder : pathlib.Path or None
        Where they are.
    checksums : dict or None
        Checksums still to be verified, by file name; `check` empties it.
    """

    matrix: sp.csr_matrix
    row_ids: np.ndarray
    col_ids: np.ndarray
    rows: Side
    folder: Optional[Path] = None
    checksums: Optional[Dict[str, int]] = None

    def check(self) -> None:
        """Read all ratings once, unless that has been done: ValueError if the files were changed."""
        if self.checksums:
            with damage_named(self.folder):
                _compare_checksums(self.folder, self.checksums)
                if check_ratings(self.matrix) is not self.matrix:
                    raise ValueError("its ratings aren't sorted by row and column")
            self.checksums.clear()


def store_ratings(source: Any, folder: AnyPath, rows: str = "items", duplicates: str = "error", progress: bool = True,
                  missing: Optional[float] = None, lists: bool = False, delimiter: Optional[str] = None,
                  user: Column = None, item: Column = None, rating: Column = None, timestamp: Column = None,
                  pairs: bool = False) -> StoredRatings:
    """Convert ratings, in chunks, to a store on disk.

    Parameters
    ----------
    source : str, path-like or file, or ratings, or iterable of chunks
        A file of ratings other than a matrix, as `load_ratings` reads it; or ratings in a form that `as_ratings` takes;
        or anything that yields such ratings, in chunks. Timestamps are ignored. Ids are numbers if they are in all
        chunks; else they are strings, and numbers among them become strings.
    folder : str or path-like
        The folder to make. It must not exist; it appears when all of it is written.
    rows : {"items", "users"}
        The rows; `rows` of `Recommender` must agree with it.
    duplicates : {"error", "first", "last", "mean", "sum"}
        What becomes of a pair of user and item that comes more than once, as in `load_ratings`. The order is that of
        the file, or of the chunks and their entries.
    progress : bool
        Whether to show on stderr how far reading has come, as `load_ratings` does, and that sorting takes long.
    missing, lists, delimiter, user, item, rating, timestamp, pairs
        How a file is read, as in `load_ratings`.

    Returns
    -------
    StoredRatings

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = [("ann", "tea", 5), ("bob", "tea", 4), ("bob", "jam", 2)]
    >>> stored = sparse_ae.store_ratings(ratings, "ratings.store", rows="items")
    >>> stored.row_ids.tolist(), stored.matrix.shape
    (['jam', 'tea'], (2, 2))
    """
    rows = Side(check_choice(rows, "rows", ("items", "users")))
    options = check_options(duplicates, pairs, lists, missing, delimiter, user=user, item=item, rating=rating,
                            timestamp=timestamp)
    folder = Path(check_path(folder, "folder", "the path of a folder"))
    if folder.exists():
        raise FileExistsError("%s exists; expected a new folder to make: delete it, or choose another name" % folder)
    check_destination(str(folder))
    if isinstance(source, (str, os.PathLike)) or callable(getattr(source, "read", None)):
        with on_disk(source, "source") as path:
            blocks = readers.blocks(path, options, progress)
            _make_store(blocks, folder, rows, duplicates, progress, options.pairs, "%s, line" % path, path)
        return open_ratings(folder)
    if options.in_words():
        raise TypeError("%s was given with chunks of ratings; it is for text files: leave it out, give pairs a rating "
                        "of 1, and leave out missing ratings" % options.in_words())
    if is_whole(source):
        if sp.issparse(source) or isinstance(source, Ratings):
            source = as_ratings(source, duplicates=duplicates)
        columns, said = as_columns(source)[:3], "entry"
        blocks = [Block(*checked_columns(*columns), range(len(columns[2])))]
    else:
        said = "chunk"
        try:
            blocks = _blocks_of_chunks(iter(source))
        except TypeError:
            raise TypeError("source is %s; expected the path of a text file, ratings, or an iterable of chunks of "
                            "ratings" % brief(repr(source))) from None
    _make_store(blocks, folder, rows, duplicates, progress, False, said)
    return open_ratings(folder)


def open_ratings(folder: AnyPath) -> StoredRatings:
    """Open a store. Only the ids and `indptr` of a large one are read, and the rest is checked once `fit` reads it.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    StoredRatings

    Examples
    --------
    >>> import sparse_ae
    >>> stored = sparse_ae.open_ratings("ratings.store")                   # doctest: +SKIP
    >>> sparse_ae.Recommender(rows="items").fit(stored)                    # doctest: +SKIP
    """
    folder = Path(check_path(folder, "folder", "the path of a folder"))
    if not (folder / _NOTE).is_file():
        raise FileNotFoundError("there is no file %s; expected a store of store_ratings: check the path"
                                % (folder / _NOTE))
    with damage_named(folder):
        note = json.loads((folder / _NOTE).read_text())
        said = [note.get(name) for name in ("library", "kind", "format")]
    if said[:2] != ["sparse_ae", "ratings"] or type(said[2]) is not int:
        raise ValueError("%s isn't a store of ratings, since %s tells of library, kind and format %s; check the path"
                         % (folder, _NOTE, brief(repr(said))))
    if note["format"] > _FORMAT:
        raise ValueError("%s has format %s of stored ratings; this sparse_ae reads formats up to %d: upgrade sparse_ae"
                         % (folder, brief(note["format"]), _FORMAT))
    if "parts" in note:
        raise ValueError("%s is a store in parts, which version 1.0 made for ranks; store the ratings again: all ranks "
                         "open one store" % folder)
    with damage_named(folder):
        if note["format"] > 2 and note.get("checksum") != _checksum_of_note(note):
            raise ValueError("the checksum of %s is wrong" % _NOTE)
        checksums, side = dict(note["checksums"]), Side(note["rows"])
        if sorted(checksums) != sorted(_ARRAYS):
            raise ValueError("%s was changed" % _NOTE)
        paths = [folder / (name + ".npy") for name in _ARRAYS]
        for path in paths:
            check_regular(path)
        _compare_checksums(folder, {name: checksums.pop(name) for name in ("rows", "cols", "indptr")})
        data, indices, indptr = (_read_array(path, path) for path in paths[:3])
        ids = [check_ids(_read_array(path), what) for path, what in zip(paths[3:], ("row ids", "column ids"))]
        n, shape = len(data) if data.ndim else 0, (len(ids[0]), len(ids[1]))
        if not (data.ndim == indices.ndim == indptr.ndim == 1 and data.dtype == np.float32 and n
                and indices.dtype == indptr.dtype == index_dtype(shape, n)
                and (len(indptr), len(indices)) == (shape[0] + 1, n) and (indptr[0], indptr[-1]) == (0, n)):
            raise ValueError("its files don't match")
        if np.any(indptr[1:] < indptr[:-1]):
            raise ValueError("its rows overlap")
    stored = StoredRatings(canonical_csr(data, indices, indptr, shape), ids[0], ids[1], side, folder, checksums)
    if data.nbytes + indices.nbytes <= _SMALL:
        stored.check()
    return stored


def _checksum_of_note(note):
    rest = {name: value for name, value in note.items() if name != "checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode("ascii"))


def _read_array(path, mapped=None):
    with open(str(path), "rb") as file:
        return read_array(file, path.stat().st_size, mapped)


def _compare_checksums(folder, expected):
    for name, checksum in sorted(expected.items()):
        if _checksum(folder, name) != checksum:
            raise ValueError("the checksum of %s.npy is wrong" % name)


def _checksum(folder, name):
    checksum = 0
    with open(str(folder / (name + ".npy")), "rb") as file:
        for part in iter(lambda: file.read(2 ** 20), b""):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _blocks_of_chunks(source):
    """A Block of each chunk of ratings in any form, with the number of the chunk for lines."""
    for number, chunk in enumerate(source):
        with errors_at("chunk %d" % number):
            columns = as_columns(chunk)[:3]
            if any(map(np.size, columns)):
                yield Block(*checked_columns(*columns), np.broadcast_to(number, len(columns[2])))


def _make_store(blocks, folder, rows, duplicates, progress, pairs, said, path=None):
    """Make the folder of a store, or nothing; ValueError for the first repeated pair of user and item, if these are an
    error, whose sum can't be stored, or is no count where ratings are those of `pairs`. `said` names a place."""
    with made_whole(folder) as work:
        work = Path(work)
        work.mkdir()
        by_row, by_col, counts = _number_entries(blocks, path, work / "entries", rows)
        with announced("all ratings are read; sorting them on disk ...", bool(progress)):
            entries = np.memmap(str(work / "entries"), _ENTRY, "r")
            (row_ids, row_rank), (col_ids, col_rank) = (
                numbering.ascending(entries[axis], lambda entry: "%s %d" % (said, entries["place"][entry]))
                for axis, numbering in (("row", by_row), ("col", by_col)))
            counts = counts[np.argsort(row_rank)]
            buckets = _deal_entries(work, row_rank, col_rank, counts)
            indptr, repeated = _sort_entries(buckets, work, (len(row_ids), len(col_ids)), counts, duplicates, pairs)
            if repeated:
                pair, total = min(repeated, key=lambda found: found[0][1]["place"])
                ids = rows.users_items(row_ids[pair[0]["row"]].item(), col_ids[pair[0]["col"]].item())
                raise repeated_pair(*ids, *("%s %d" % (said, entry["place"]) for entry in pair), total)
            for name, array in (("indptr", indptr), ("rows", row_ids), ("cols", col_ids)):
                with _array_file(work, name, array.dtype) as file:
                    array.tofile(file)
        note = {"library": "sparse_ae", "kind": "ratings", "format": _FORMAT, "rows": rows,
                "checksums": {name: _checksum(work, name) for name in _ARRAYS}}
        with to_disk(work / _NOTE) as file:
            file.write(json.dumps(dict(note, checksum=_checksum_of_note(note))).encode("ascii"))


# Three passes: each holds a chunk at most, and the ids are in memory


def _number_entries(blocks, path, entries_file, rows):
    """Pass 1: write all entries to a file; return the numbering of rows and of columns, and the entries in each row."""
    users, items = Numbering(path), Numbering(path)
    by_row, by_col = rows.rows_columns(users, items)
    counts = np.zeros(0, np.int64)
    with open(str(entries_file), "wb") as file:
        for block in blocks:
            entries = np.empty(len(block.ratings), _ENTRY)
            entries["row"], entries["col"] = rows.rows_columns(users.number(*block.users), items.number(*block.items))
            lines = block.lines  # NumPy would take a range apart number by number
            entries["value"] = block.ratings
            entries["place"] = np.arange(lines.start, lines.stop) if isinstance(lines, range) else lines
            entries.tofile(file)
            new = np.bincount(entries["row"], minlength=len(by_row))
            new[:len(counts)] += counts
            counts = new
    if not len(counts):
        raise ValueError("there are no ratings in the source; expected at least one")
    return by_row, by_col, counts


def _deal_entries(work, row_rank, col_rank, counts):
    """Pass 2: put the entries into files of adjacent rows, numbered by the ids' order; return the files."""
    bucket_of_row = (np.cumsum(counts) - 1) // _RATINGS_AT_ONCE
    bucket_of_row = bucket_of_row.astype(np.min_scalar_type(bucket_of_row[-1]))  # NumPy sorts short integers faster
    paths = [work / ("bucket%d" % bucket) for bucket in range(int(bucket_of_row[-1]) + 1)]
    source = work / "entries"
    for start in range(0, counts.sum(), _RATINGS_AT_ONCE):
        entries = np.fromfile(str(source), _ENTRY, _RATINGS_AT_ONCE, offset=start * _ENTRY.itemsize)
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


def _sort_entries(buckets, folder, shape, counts, duplicates, pairs):
    """Pass 3: write `data` and `indices`; indptr, and for buckets with a wrong pair its ends and total."""
    dtype = index_dtype(shape, int(counts.sum()))
    counts, repeated = counts.copy(), []
    with _array_file(folder, "data", np.float32) as values, _array_file(folder, "indices", dtype) as indices:
        for bucket in buckets:
            entries = np.fromfile(str(bucket), _ENTRY)
            first = entries["row"].min()
            rows = entries["row"] - first
            n_rows = rows.max() + 1
            try:
                floats, cols, indptr, *_ = in_order(entries["value"], (rows, entries["col"]), n_rows, duplicates,
                                                    _Repeated)
            except _Repeated as error:
                first, last, *total = error.args
                repeated.append((entries[[first, last]], total[0] if total else None))
                continue
            if pairs and floats.min() <= 0:
                wrong = int(np.argmin(floats))
                same = (rows == np.searchsorted(indptr, wrong, side="right") - 1) & (entries["col"] == cols[wrong])
                repeated.append((entries[np.flatnonzero(same)[[0, -1]]], floats[wrong]))
                continue
            floats.tofile(values)
            cols.astype(dtype, copy=False).tofile(indices)
            counts[first:first + n_rows] = np.diff(indptr)
            bucket.unlink()
    return np.concatenate([[0], np.cumsum(counts)]).astype(dtype), repeated


class _Repeated(Exception):
    """Two entries have the same row and column; with a third argument, their sum is too large."""


@contextlib.contextmanager
def _array_file(folder, name, dtype):
    """A file that one-dimensional arrays are appended to, which becomes a `.npy` of all of them."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (0,)}
    with to_disk(folder / (name + ".npy")) as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        yield file
        length = (file.seek(0, os.SEEK_END) - start) // np.dtype(dtype).itemsize
        file.seek(0)  # NumPy pads a header to 128 bytes, whatever the length
        np.lib.format.write_array_header_1_0(file, dict(header, shape=(length,)))
