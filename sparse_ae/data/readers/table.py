"""Tables of any columns, with a row for each item or user, in files of text, JSON, Parquet and Feather."""
from sparse_ae.data.columns import python_values
from sparse_ae.data.readers import READERS, frames
from sparse_ae.data.readers.json_lines import objects_of
from sparse_ae.data.readers.layout import find_table
from sparse_ae.data.readers.lines import JSON, blocks_of, ending
from sparse_ae.data.readers.sources import check_file
from sparse_ae.data.readers.text import records


def read_table(path):
    """A file's columns, {name: [value, ...]}, the words for a row, and whether all values are text."""
    check_file(path)
    kind, place = ending(path), "line"
    if READERS.get(kind) is frames:
        names, batches = frames.batches_of(path)
        rows = [row for columns in batches(names, python_values) for row in zip(*columns)]
        numbers, place = range(1, len(rows) + 1), "row"
    elif kind in READERS and kind not in JSON:
        raise ValueError("%s is a matrix file; expected a table: read it, and pass (matrix, ids)" % path)
    elif kind in JSON:
        numbers, objects = [], []
        for found in objects_of(path):
            numbers += found[0]
            objects += found[1]
        names = list(dict.fromkeys(key for each in objects for key in each))
        rows = [[each.get(name) for name in names] for each in objects]
    else:
        layout = find_table(path)
        names, numbers, rows = layout.names, [], []
        for lines, text in blocks_of(path, layout.first_line):
            for number, fields in records(lines, text, layout):
                numbers.append(number)
                rows.append(fields)
    if not rows:
        raise ValueError("%s has no row of values; expected one for each id" % path)
    return dict(zip(names, map(list, zip(*rows)))), lambda row: "%s %d" % (place, numbers[row]), kind not in READERS
