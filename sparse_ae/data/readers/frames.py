"""Parquet and Feather, which pyarrow reads: the columns of ratings, a batch of rows at a time."""
import importlib

import numpy as np

from sparse_ae.data.columns import as_array
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.text import convert, named_error, told
from sparse_ae.files.unpacking import check_size, one_error

# Rows that are converted at a time.
_ROWS = 2 ** 20

_EXPECTED = "a sound file of Parquet or Feather"


def blocks(path, options, progress):
    """Yield a Block for each batch of rows; ValueError or TypeError, with the row, for what can't be read."""
    names, batches = batches_of(path)
    layout = named_layout(path, options, names)

    def found():
        first = 1
        for batch in batches([names[column] for column in layout.columns]):
            columns, rows = list(map(as_array, batch.columns)), np.arange(first, first + batch.num_rows)
            yield named_error(path, "row", columns, rows, layout, convert)
            first += batch.num_rows

    return told(path, layout, found(), progress)


def batches_of(path):
    """The names of a file's columns, and what yields batches of the values of some."""
    try:
        parquet, feather = map(importlib.import_module, ("pyarrow.parquet", "pyarrow.feather"))
    except ImportError:
        raise ImportError("%s is read by pyarrow, which isn't installed: pip install pyarrow" % path) from None
    with one_error(path, _EXPECTED):
        if path.suffix.lower() == ".feather":
            table = feather.read_table(str(path))
            return table.column_names, lambda names: table.select(names).to_batches()
        file = parquet.ParquetFile(str(path))
        check_size(path, sum(file.metadata.row_group(k).total_byte_size for k in range(file.num_row_groups)))

    def batches(names):
        with one_error(path, _EXPECTED):
            for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                yield batch.select(names)

    return file.schema_arrow.names, batches
