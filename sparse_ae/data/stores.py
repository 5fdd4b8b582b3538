"""Ratings that don't fit into memory: a file becomes a CSR matrix on disk, from which mini-batches are read.

The file is converted once, in chunks. A store is a folder of five `.npy` files, and a note of their checksums that has
a checksum itself. `data`, `indices` and `indptr` are the matrix; they are mapped into memory when the store is opened,
so that the system reads what is used, and may forget it again. `rows` and `cols` are the ids. Users or items are the
rows from then on, since one row has to lie together.

The ids, `indptr` and a small store are checked on opening, `data` and `indices` of a large one when
`StoredRatings.check` reads them once, as `Recommender.fit` has it do. The files have to stay as they are while they are
in use: if a file is cut short between two epochs, that is an error; within an epoch the system ends the process
(SIGBUS). If a file is overwritten, training continues with the new bytes; where they can't be ratings, an error names
the store.

Converting needs the ids in memory, and temporarily up to three times the store's own room on disk, 8 bytes a rating.

>>> from sparse_ae import open_ratings, store_ratings
>>> store_ratings("ratings.csv", "ratings.store", rows="items")           # doctest: +SKIP
>>> Recommender(rows="items").fit(open_ratings("ratings.store"), validation=None)           # doctest: +SKIP
"""
import contextlib
import json
import os
import shutil
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import Dict, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import brief, check_bool, check_choice, check_path, error_at
from sparse_ae.data import sorting
from sparse_ae.data.headers import check_columns
from sparse_ae.data.ids import check_ids, distinct
from sparse_ae.data.layout import check_delimiter, find_layout, in_words
from sparse_ae.data.lines import check_file
from sparse_ae.data.matrices import MATRIX_ENDINGS
from sparse_ae.data.ratings import (
    as_float32,
    canonical_csr,
    check_duplicates,
    check_ratings,
    index_dtype,
    repeated_pair,
)
from sparse_ae.data.side import Side
from sparse_ae.data.tables import as_columns, check_missing
from sparse_ae.data.text import Block, read_text
from sparse_ae.files.storage import explained_writing
from sparse_ae.files.unpacking import check_regular, is_of_the_machine, read_array
from sparse_ae.runtime.progress import announced

__all__ = ["StoredRatings", "open_ratings", "store_ratings"]

# Format 2, of sparse_ae 1.0, has no checksum of the note.
_FORMAT, _OLDEST = 3, 2
_NOTE, _ARRAYS = "store.json", ("data", "indices", "indptr", "rows", "cols")

# Bytes of a file read at a time for its checksum.
_BYTES_PER_PART = 2 ** 20

# Up to how many bytes of `data` and `indices` are read and checked when a store is opened.
_SMALL = 2 ** 26


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

    def check(self):
        """Read all ratings once, unless that has been done: ValueError if the files were changed."""
        if self.checksums:
            with _damage_reported(self.folder):
                _compare_checksums(self.folder, self.checksums)
                if check_ratings(self.matrix) is not self.matrix:
                    raise ValueError("its ratings aren't sorted by row and column")
            self.checksums.clear()


def store_ratings(source, folder, rows="items", duplicates="error", progress=True, missing=None, lists=False,
                  delimiter=None, user=None, item=None, rating=None, timestamp=None):
    """Convert ratings, in chunks, to a store on disk.

    Parameters
    ----------
    source : str or path-like, or iterable of chunks
        A text file of ratings, as `load_ratings` reads it; or anything that yields chunks of ratings, each in a form
        that `as_ratings` takes, such as a tuple (users, items, ratings) of arrays. Timestamps are ignored. Ids are
        numbers if they are in all chunks; else they are strings, and numbers among them become strings.
    folder : str or path-like
        The folder to make. It must not exist; it appears when all of it is written.
    rows : {"items", "users"}
        The rows; `rows` of `Recommender` must agree with it.
    duplicates : {"error", "first", "last", "mean", "sum"}
        What becomes of a pair of user and item that comes more than once, as in `load_ratings`. The order is that of
        the file, or of the chunks and their entries.
    progress : bool
        Whether to show on stderr how far reading has come, as `load_ratings` does, and that sorting takes long.
    missing, lists, delimiter, user, item, rating, timestamp
        How a file is read, as in `load_ratings`; with `missing`, too, each line is a rating.

    Returns
    -------
    StoredRatings
        As of `open_ratings`.

    Raises
    ------
    OSError
        If the source doesn't exist, the folder exists, or the disk is full.
    TypeError, ValueError
        As `load_ratings`: the message names the line, or the ids of the rating.
    """
    rows = Side(check_choice(rows, "rows", ("items", "users")))
    check_duplicates(duplicates)
    delimiter, lists = check_delimiter(delimiter), check_bool(lists, "lists")
    chosen = check_columns({"user": user, "item": item, "rating": rating, "timestamp": timestamp})
    folder = Path(check_path(folder, "folder", "the path of a folder")).expanduser()
    if folder.exists():
        raise FileExistsError("%s exists; expected a new folder to make: delete it, or choose another name" % folder)
    if not folder.parent.is_dir():
        raise FileNotFoundError("there is no folder %s to make %s in; create it first" % (folder.parent, folder.name))
    if isinstance(source, (str, os.PathLike)):
        source = Path(source).expanduser()
        check_file(source)
        if source.name.lower().endswith(MATRIX_ENDINGS):
            raise ValueError("%s is a matrix file; expected text with a rating in each line: read it with "
                             "load_ratings" % source)
        missing, form = None if missing is None else check_missing(missing), "lists" if lists else "lines"
        read = partial(read_text, source, find_layout(source, form, False, missing, delimiter, chosen))
        blocks = read(progress=progress)
    elif lists or missing is not None or delimiter is not None or chosen:
        raise TypeError("%s was given with chunks of ratings; it is for text files: leave it out, give pairs a rating "
                        "of 1, and leave out or mask missing ratings"
                        % in_words(lists=lists, missing=missing, delimiter=delimiter, **chosen))
    else:
        read = None
        try:
            blocks = _blocks_of_chunks(iter(source))
        except TypeError:
            raise TypeError("source is %s; expected the path of a text file, or an iterable of chunks of ratings"
                            % brief(repr(source))) from None
    work = Path(tempfile.mkdtemp(prefix=folder.name + ".", suffix=".tmp", dir=str(folder.parent)))
    try:
        with explained_writing(folder):
            done = _write_store(blocks, work, source, read, rows=rows, duplicates=duplicates, progress=progress)
        done.rename(folder)
    finally:
        shutil.rmtree(str(work), ignore_errors=True)
    return open_ratings(folder)


def open_ratings(folder):
    """Open a store. Only the ids and `indptr` of a large one are read.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    StoredRatings

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, it isn't a store that this version can read, or it is damaged.
    """
    folder = Path(check_path(folder, "folder", "the path of a folder")).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError("there is no folder %s; expected a store of store_ratings: check the path" % folder)
    note = _read_note(folder)
    if "parts" in note:
        raise ValueError("%s is a store in parts, which version 1.0 made for ranks; store the ratings again: all ranks "
                         "open one store" % folder)
    with _damage_reported(folder):
        checksums, side = dict(note["checksums"]), Side(note["rows"])
        if sorted(checksums) != sorted(_ARRAYS):
            raise ValueError("%s was changed" % _NOTE)
        for name in _ARRAYS:
            check_regular(folder / (name + ".npy"))
        _compare_checksums(folder, {name: checksums.pop(name) for name in ("rows", "cols", "indptr")})
        arrays = {name: _read_array(folder, name) for name in _ARRAYS}
        ids = [check_ids(arrays[name], what) for name, what in (("rows", "row ids"), ("cols", "column ids"))]
        data, indices, indptr = (arrays[name] for name in _ARRAYS[:3])
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


def _read_note(folder):
    """The note of a store; ValueError for any other file, another version's, and a changed one."""
    try:
        check_regular(folder / _NOTE)
        note = json.loads((folder / _NOTE).read_text())
        if (note["library"], note["kind"], type(note["format"])) != ("sparse_ae", "ratings", int):
            raise ValueError("%s says that it is a %r of %r, of format %r"
                             % (_NOTE, note["kind"], note["library"], note["format"]))
    except (OSError, LookupError, RecursionError, TypeError, ValueError) as error:  # no note, or another program's
        if _says_nothing_of_contents(error):
            raise
        raise ValueError("%s isn't a store of ratings (%s: %s); make it again with store_ratings"
                         % (folder, type(error).__name__, brief(error))) from error
    if not _OLDEST <= note["format"] <= _FORMAT:
        raise ValueError("%s has format %s of stored ratings; this sparse_ae reads formats %d to %d: %s"
                         % (folder, brief(note["format"]), _OLDEST, _FORMAT,
                            "upgrade sparse_ae" if note["format"] > _FORMAT else
                            "it is from before the first release: make the store again"))
    with _damage_reported(folder):
        if note["format"] > 2 and note.get("checksum") != _checksum_of_note(note):
            raise ValueError("the checksum of %s is wrong" % _NOTE)
    return note


def _write_note(folder, rows):
    note = {"library": "sparse_ae", "kind": "ratings", "format": _FORMAT, "rows": rows,
            "checksums": {name: _checksum(folder, name) for name in _ARRAYS}}
    note["checksum"] = _checksum_of_note(note)
    with open(str(folder / _NOTE), "w") as file:
        json.dump(note, file)
        sorting.to_disk(file)


def _checksum_of_note(note):
    rest = {name: value for name, value in note.items() if name != "checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode("ascii"))


@contextlib.contextmanager
def _damage_reported(folder):
    """One error for whatever is wrong with a store."""
    try:
        yield
    except (OSError, LookupError, TypeError, ValueError) as error:
        if _says_nothing_of_contents(error):
            raise
        raise ValueError("%s is damaged: %s; make the store again, or take a complete copy"
                         % (folder, brief(error))) from error


def _says_nothing_of_contents(error):
    """Whether an error, such as no permission, says nothing of the contents of a file; a missing file is damage."""
    return is_of_the_machine(error) and not isinstance(error, FileNotFoundError)


def _read_array(folder, name):
    path = folder / (name + ".npy")
    with open(str(path), "rb") as file:
        return read_array(file, path.stat().st_size, None if name in ("rows", "cols") else path)


def _compare_checksums(folder, expected):
    for name, checksum in sorted(expected.items()):
        if _checksum(folder, name) != checksum:
            raise ValueError("the checksum of %s.npy is wrong" % name)


def _checksum(folder, name):
    checksum = 0
    with open(str(folder / (name + ".npy")), "rb") as file:
        for part in iter(lambda: file.read(_BYTES_PER_PART), b""):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _blocks_of_chunks(source):
    """A Block, without lines, of each chunk of ratings in any form."""
    for number, chunk in enumerate(source):
        users, items, values = as_columns(chunk)[:3]
        values = np.asarray(values)
        if not len(users) == len(items) == len(values) or values.dtype.kind not in "iuf":
            raise ValueError("chunk %d holds %d users, %d items and %d ratings of dtype %s; expected numbers as "
                             "ratings, and as many users and items as ratings"
                             % (number, len(users), len(items), len(values), values.dtype))
        if len(values):
            floats, bad = as_float32(values)
            if bad is not None:
                raise ValueError("chunk %d, entry %d: %s" % ((number,) + bad))
            yield Block(distinct(users, "users"), distinct(items, "items"), floats, None, ())


def _write_store(blocks, work, source, read, rows, duplicates, progress):
    """Make a store in a new folder within `work`, and return that."""
    by_row, by_col, counts = sorting.number_entries(blocks, work / "entries", rows)
    with announced("all ratings are read; sorting them on disk ...", bool(progress)):
        try:
            (row_ids, row_rank), (col_ids, col_rank) = by_row.ascending(), by_col.ascending()
        except ValueError as error:  # an id that is too long
            raise error_at(source, error) if isinstance(source, Path) else error from None
        counts = counts[np.argsort(row_rank)]
        buckets = sorting.deal_entries(work, row_rank, col_rank, counts)
        done = work / "store"
        done.mkdir()
        sorting.save(done, rows=row_ids, cols=col_ids)
        repeated = sorting.sort_entries(buckets, done, (len(row_ids), len(col_ids)), counts, duplicates)
    if repeated:
        pairs = [(row_ids[row].item(), col_ids[col].item()) for row, col in repeated]
        raise _repeated_error(source, read, [rows.users_items(*pair) for pair in pairs])
    _write_note(done, rows)
    return done


def _repeated_error(source, read, pairs):
    """The error for repeated pairs (user, item): in a file it names the lines of the first one."""
    if read is None:
        return repeated_pair(*pairs[0])
    lines = {pair: [] for pair in pairs}
    for block in read():
        for pair in pairs:
            both = [np.array([str(each) == str(id) for each in ids])[places]
                    for (ids, places), id in zip((block.users, block.items), pair)]
            lines[pair] += [block.lines[entry] for entry in np.flatnonzero(both[0] & both[1])]
    pair = min(pairs, key=lambda each: lines[each][1])
    return repeated_pair(*pair, *("%s, line %d" % (source, line) for line in lines[pair][:2]))
