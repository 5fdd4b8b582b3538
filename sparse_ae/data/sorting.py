"""Ratings sorted on disk, in three passes: numbered as they come, dealt out into buckets of rows, each of them sorted.

None of the passes holds more than a chunk of the ratings; the ids are in memory.
"""
import os

import numpy as np

from sparse_ae.data.ids import Numbering
from sparse_ae.data.ratings import index_dtype, merge_repeated

_ENTRY = np.dtype([("row", np.int32), ("col", np.int32), ("value", np.float32)])

# Ratings sorted together, more or less, and ratings dealt out at a time: both take some tens of bytes each.
_RATINGS_PER_BUCKET = 2 ** 22
#: Ratings that are sorted at a time.
RATINGS_PER_DEAL = 2 ** 21


# Pass 1: read, and number the ids as they come


def number_entries(blocks, path, rows):
    """Write the entries of all blocks to one file; return the ids by row and column, and the ratings in each row."""
    users, items = Numbering(), Numbering()
    by_row, by_col = rows.rows_columns(users, items)
    counts = np.zeros(0, np.int64)
    with open(str(path), "wb") as file:
        for block in blocks:
            entries = np.empty(len(block.ratings), _ENTRY)
            entries["row"], entries["col"] = rows.rows_columns(users.number(*block.users), items.number(*block.items))
            entries["value"] = block.ratings
            entries.tofile(file)
            new = np.bincount(entries["row"], minlength=len(by_row))
            new[:len(counts)] += counts
            counts = new
    if not len(counts):
        raise ValueError("there are no ratings in the source; expected at least one")
    return by_row, by_col, counts


# Pass 2: deal


def deal(work, row_rank, col_rank, counts):
    """Put the entries into files of rows that lie together, numbered by the ids' order; returns the files."""
    bucket_of_row = (np.cumsum(counts) - 1) // _RATINGS_PER_BUCKET
    paths = [work / ("bucket%d" % bucket) for bucket in range(bucket_of_row[-1] + 1)]
    source = work / "entries"
    for start in range(0, counts.sum(), RATINGS_PER_DEAL):
        entries = np.fromfile(str(source), _ENTRY, RATINGS_PER_DEAL, offset=start * _ENTRY.itemsize)
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


def sort_entries(buckets, folder, shape, counts, duplicates):
    """Write the three arrays of the matrix, one bucket after the other.

    Returns a pair (row, column) for each bucket in which a pair comes twice and mustn't: the first to do so.
    """
    dtype = index_dtype(shape, int(counts.sum()))
    counts, repeated = counts.copy(), []
    with array_file(folder / "data.npy", np.float32) as values, array_file(folder / "indices.npy", dtype) as indices:
        for bucket in buckets:
            entries = np.fromfile(str(bucket), _ENTRY)
            keys = entries["row"].astype(np.int64) * shape[1] + entries["col"]
            order = np.argsort(keys, kind="stable")
            same = np.diff(keys[order]) == 0
            floats = entries["value"][order]
            if same.any() and duplicates == "error":
                repeated.append(tuple(entries[order[1:][same].min()].tolist()[:2]))
            elif same.any():
                kept, floats = merge_repeated(floats, same, duplicates)
                np.subtract.at(counts, entries["row"][order[:-1][same]], 1)
                order = order[kept]
            floats.tofile(values)
            entries["col"][order].astype(dtype, copy=False).tofile(indices)
            bucket.unlink()
        for file, each in ((values, np.float32), (indices, dtype)):
            finish(file, each, int(counts.sum()))
    np.save(str(folder / "indptr.npy"), np.concatenate([[0], np.cumsum(counts)]).astype(dtype), allow_pickle=False)
    return repeated


def array_file(path, dtype):
    """A file that a one-dimensional array of yet unknown length is written to bit by bit, behind a .npy header."""
    file = open(str(path), "wb")
    _write_header(file, dtype, 0)
    return file


def _write_header(file, dtype, length):
    """The header of a .npy file: NumPy pads it, so that it takes the same 128 bytes for any length."""
    # An integer of NumPy's own would be written as NumPy 2 prints it, which nobody reads.
    shape = (int(length),)
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def finish(file, dtype, length):
    """Say in the header of an `array_file` how long its array has become, and have all of it on disk."""
    file.seek(0)
    _write_header(file, dtype, length)
    to_disk(file)


def to_disk(file):
    """Have what was written to a file on disk."""
    file.flush()
    os.fsync(file.fileno())  # else a power cut could leave the folder's new name with empty files
