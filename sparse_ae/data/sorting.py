"""Ratings sorted on disk in three passes; each holds a chunk at most, and the ids are in memory."""
import contextlib
import os

import numpy as np

from sparse_ae.data.entries import merge_repeated
from sparse_ae.data.ids import Numbering
from sparse_ae.data.ratings import index_dtype

_ENTRY = np.dtype([("row", np.int32), ("col", np.int32), ("value", np.float32)])

# Ratings sorted together, more or less; it takes some tens of bytes each.
_RATINGS_PER_BUCKET = 2 ** 22

#: Ratings dealt out at a time, which take some tens of bytes each.
RATINGS_PER_DEAL = 2 ** 21


def number_entries(blocks, path, rows):
    """Pass 1: write all entries to a file; return the numbering of rows and of columns, and the entries in each row."""
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


def deal_entries(work, row_rank, col_rank, counts):
    """Pass 2: put the entries into files of adjacent rows, numbered by the ids' order; return the files."""
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


def sort_entries(buckets, folder, shape, counts, duplicates):
    """Pass 3: write the matrix's arrays; return each bucket's first repeated pair, if these are an error."""
    dtype = index_dtype(shape, int(counts.sum()))
    counts, repeated = counts.copy(), []
    with array_file(folder, "data", np.float32) as values, array_file(folder, "indices", dtype) as indices:
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
    save(folder, indptr=np.concatenate([[0], np.cumsum(counts)]).astype(dtype))
    return repeated


@contextlib.contextmanager
def array_file(folder, name, dtype):
    """A file that one-dimensional arrays are appended to, which becomes a `.npy` of all of them."""
    with open(str(folder / (name + ".npy")), "wb") as file:
        start = _write_header(file, dtype, 0)
        yield file
        length = (file.seek(0, os.SEEK_END) - start) // np.dtype(dtype).itemsize
        file.seek(0)
        _write_header(file, dtype, length)
        to_disk(file)


def _write_header(file, dtype, length):
    """Write the header of a .npy file, and return its size: NumPy pads it to 128 bytes, whatever the length."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def save(folder, **arrays):
    """Write `.npy` files; they are small, and their checksums show whether a power cut has left them empty."""
    for name, array in arrays.items():
        np.save(str(folder / (name + ".npy")), array, allow_pickle=False)


def to_disk(file):
    file.flush()
    os.fsync(file.fileno())  # else a power cut could leave the folder's new name with empty files
