"""Parquet and Feather, which pyarrow reads: the columns of ratings, a batch of rows at a time."""
import importlib
import struct

import numpy as np

from sparse_ae.data.columns import as_array
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.text import told
from sparse_ae.files.unpacking import check_size, one_error

# Rows that are converted at a time.
_ROWS = 2 ** 17

# A file of Feather is a stream of Arrow after so many bytes.
_MAGIC = b"ARROW1\0\0"

_EXPECTED = "a sound file of Parquet or Feather"


def blocks(path, options, progress):
    """Yield a Block for each batch of rows; ValueError or TypeError, with the row, for what can't be read."""
    names, batches = batches_of(path)
    layout = named_layout(path, options, names)

    def found():
        first = 1
        for columns in batches([names[column] for column in layout.columns], as_array):
            rows = np.arange(first, first + len(columns[0]))
            if layout.names[2:3] == ("rating",) and columns[2].dtype == object and all(
                    each is None or isinstance(each, str) for each in columns[2]):
                columns[2] = ["" if each is None else each for each in columns[2]]
            yield columns, rows
            first += len(rows)

    return told(path, layout, found(), progress, "row")


def batches_of(path):
    """A file's column names, and what yields values of some, a batch at a time; text is in dictionaries."""
    try:
        arrow, ipc, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.ipc", "pyarrow.parquet"))
    except ImportError as error:
        raise ImportError("%s is read by pyarrow, which can't be imported (%s): pip install pyarrow, of a version for "
                          "this NumPy" % (path, error)) from None
    with one_error(path, _EXPECTED):
        if path.suffix.lower() == ".feather":
            file = arrow.memory_map(str(path))
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("it doesn't begin with %r" % _MAGIC[:6].decode())
            sizes = [_size(message) for message in ipc.MessageReader.open_stream(file) if message.type != "schema"]
            n_rows, size = map(sum, zip(*sizes)) if sizes else (0, 0)
            file.seek(len(_MAGIC))
            file = ipc.open_stream(file)
            names = file.schema.names
        else:
            file = parquet.ParquetFile(str(path))
            leaves = map(file.schema.column, range(len(file.schema)))
            texts = [each.path for each in leaves if each.physical_type == "BYTE_ARRAY"]
            names, n_rows = file.schema_arrow.names, file.metadata.num_rows
            size = sum(file.metadata.row_group(k).total_byte_size for k in range(file.num_row_groups))
            file = parquet.ParquetFile(str(path), read_dictionary=texts)

    def batches(chosen, made):
        check_size(path, size + 8 * n_rows * len(chosen))  # bytes of a number for each value
        with one_error(path, _EXPECTED):
            for batch in file.iter_batches(_ROWS, columns=chosen) if hasattr(file, "iter_batches") else file:
                yield [made(batch.column(batch.schema.names.index(name))) for name in chosen]

    return names, batches


def _size(message):
    """The rows of a message of Arrow, and the bytes that it unpacks to, which stand before each packed buffer; where
    the buffers are is in a flatbuffer, whose tables have the places of their fields in another one."""
    data = message.metadata.to_pybytes()

    def read(form, at):
        return struct.unpack_from("<" + form, data, at)[0]

    def field(table, k):
        places = table - read("i", table)
        place = read("H", places + 4 + 2 * k) if 4 + 2 * k < read("H", places) else 0
        return table + place if place else None

    def followed(at):
        return at + read("I", at)

    batch = followed(field(followed(0), 2))
    if message.type == "dictionary":
        batch = followed(field(batch, 1))
    buffers, packed, size = followed(field(batch, 2)), field(batch, 3) is not None, 0
    for k in range(read("I", buffers)):
        start, length = struct.unpack_from("<qq", data, buffers + 4 + 16 * k)
        size += abs(struct.unpack_from("<q", message.body, start)[0] if packed and length else length)
    n_rows = field(batch, 0) if message.type == "record batch" else None  # which is left out for 0
    return 0 if n_rows is None else abs(read("q", n_rows)), size
