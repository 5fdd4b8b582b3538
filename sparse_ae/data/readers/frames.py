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
    """Yield a Block for each batch of rows; ValueError or TypeError, with the row, for what can't be read."""
    names, batches = batches_of(path)
    layout = named_layout(path, options, names)

    def converted():
        first = 1
        for batch in batches([names[column] for column in layout.columns]):
            columns = list(map(as_array, batch.columns))
            try:
                yield convert(columns, np.arange(first, first + batch.num_rows), layout)
            except (TypeError, ValueError):
                row = _first_fault(columns, layout)
                try:
                    convert([column[row:row + 1] for column in columns], [first + row], layout)
                except (TypeError, ValueError) as error:
                    raise error_at("%s, row %d" % (path, first + row), error) from None
                raise
            first += batch.num_rows

    return told(path, layout, converted(), progress)


def _first_fault(columns, layout):
    """The place of the first of some rows that can't be converted, found by halves."""
    low, high = 0, len(columns[0])
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert([column[low:middle] for column in columns], range(low, middle), layout)
            low = middle
        except (TypeError, ValueError):
            high = middle
    return low


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
