"""Parquet, which pyarrow reads: the columns of ratings, a batch of rows at a time."""
import importlib

import numpy as np

from sparse_ae.data.columns import as_array
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.text import convert, named_error, told
from sparse_ae.files.unpacking import check_size, one_error

# Rows that are converted at a time, and the bytes of one of their numbers.
_ROWS, _BYTES_OF_A_VALUE = 2 ** 17, 8

_EXPECTED = "a sound file of Parquet"


def blocks(path, options, progress):
    """Yield a Block for each batch of rows; ValueError or TypeError, with the row, for what can't be read."""
    names, batches = batches_of(path)
    layout = named_layout(path, options, names)

    def found():
        first = 1
        for columns in batches([names[column] for column in layout.columns], as_array):
            rows = np.arange(first, first + len(columns[0]))
            yield named_error(path, "row", columns, rows, layout, convert)
            first += len(rows)

    return told(path, layout, found(), progress, "row")


def batches_of(path):
    """The names of a file's columns, and what yields the values of some, a batch of rows at a time, as a function makes
    them of columns of pyarrow. Text is in dictionaries: millions of rows may have one long text."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ImportError("%s is read by pyarrow, which can't be imported (%s): pip install pyarrow, of a version for "
                          "this NumPy" % (path, error)) from None
    with one_error(path, _EXPECTED):
        file = parquet.ParquetFile(str(path))
        leaves = map(file.schema.column, range(len(file.schema)))
        texts = [each.path for each in leaves if each.physical_type == "BYTE_ARRAY"]
        size = sum(file.metadata.row_group(k).total_byte_size for k in range(file.num_row_groups))
        file = parquet.ParquetFile(str(path), read_dictionary=texts)

    def batches(chosen, made):
        check_size(path, size + _BYTES_OF_A_VALUE * file.metadata.num_rows * len(chosen))
        with one_error(path, _EXPECTED):
            for batch in file.iter_batches(_ROWS, columns=chosen):
                yield [made(batch.column(batch.schema.names.index(name))) for name in chosen]

    return file.schema_arrow.names, batches
