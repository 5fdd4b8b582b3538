"""Parquet and Feather, which pyarrow reads: the columns of ratings, a batch of rows at a time."""
import importlib

import numpy as np

from sparse_ae.checks import error_at
from sparse_ae.data.columns import as_array
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.text import build, convert, told
from sparse_ae.files.unpacking import check_size, one_error

# Rows that are converted at a time.
_ROWS = 2 ** 20

_EXPECTED = "a sound file of Parquet or Feather"


def read(path, options, duplicates, progress):
    """`Ratings` of a Parquet or Feather file."""
    return build(path, blocks(path, options, progress), options, duplicates, progress, "row")


def blocks(path, options, progress):
    """Yield a Block for each batch of rows; ValueError or TypeError, with the rows, for what can't be read."""
    names, batches = _batches(path)
    layout = named_layout(path, options, names)

    def converted():
        first = 1
        for batch in batches([names[column] for column in layout.columns]):
            try:
                yield convert(list(map(as_array, batch.columns)), np.arange(first, first + batch.num_rows), layout)
            except (TypeError, ValueError) as error:
                raise error_at("%s, rows %d to %d" % (path, first, first + batch.num_rows - 1), error) from None
            first += batch.num_rows

    return told(path, layout, converted(), progress)


def _batches(path):
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
